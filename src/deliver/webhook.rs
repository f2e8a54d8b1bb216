//! A webhook: one POST, signed.
//!
//! In: an id, a body. Out: an [`Outcome`]. Refuses: addresses that the guard doesn't admit; redirects. Promises: the name is resolved once, and
//! the connection goes to an address that was checked; one attempt is bounded in time and in what is read of the answer; nothing of the
//! answer is kept but its status.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::deliver::guard::Guard;
use crate::deliver::outcome::{Outcome, Reason};
use crate::deliver::secret::Secrets;

/// Of an answer's header; one that is longer is no answer.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Of an answer's body, which nobody reads: only so that the receiver can finish its sentence.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Addresses of one name that are tried, one after the other.
const ADDRESSES_MAX: usize = 4;

/// The part of an attempt's time that one address may take to be connected to.
const CONNECT_PART: u32 = 3;

/// Somewhere to post to.
pub struct Webhook {
    url: Url,
    host: String,
    port: u16,
    secrets: Secrets,
    guard: Guard,
    /// For https.
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A path may hold a secret.
        formatter.debug_struct("Webhook").field("host", &self.host).finish_non_exhaustive()
    }
}

/// What is posted.
pub struct Post {
    /// The same for each attempt.
    pub id: String,
    /// When this attempt is made, in seconds since 1970.
    pub seconds: i64,
    /// JSON.
    pub body: Bytes,
}

impl Webhook {
    /// `url` is checked already. Without `authorities` the public ones are trusted.
    pub fn new(
        url: Url,
        secrets: Secrets,
        guard: Guard,
        authorities: Option<RootCertStore>,
    ) -> Result<Self, String> {
        let host = url.host_str().ok_or("url has no host")?.to_owned();
        let port = url.port_or_known_default().ok_or("url has no port")?;
        let tls = match url.scheme() {
            "https" => {
                let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(name).map_err(|_| "url's host is no name")?;
                Some((connector(authorities), name))
            }
            _ => None,
        };
        Ok(Self { url, host, port, secrets, guard, tls })
    }

    /// The host, with its port where it isn't the usual one.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// One attempt.
    pub async fn post(&self, post: Post, timeout: Duration) -> Outcome {
        // A status that has come stands, whatever happens to the rest of the answer.
        let answered = OnceLock::new();
        let attempt = self.attempt(post, timeout / CONNECT_PART, &answered);
        let ended = tokio::time::timeout(timeout, attempt).await;
        match (answered.get(), ended) {
            (Some(outcome), _) => *outcome,
            (None, Ok(Err(reason))) => Outcome::failed(reason),
            (None, Ok(Ok(()))) => Outcome::failed(Reason::Broken),
            (None, Err(_)) => Outcome::failed(Reason::Timeout),
        }
    }

    async fn attempt(
        &self,
        post: Post,
        connect_timeout: Duration,
        answered: &OnceLock<Outcome>,
    ) -> Result<(), Reason> {
        let addresses = self.resolve().await?;
        let stream = connect(&addresses, connect_timeout).await?;
        let request = self.request(post)?;
        match &self.tls {
            None => exchange(stream, request, answered).await,
            Some((connector, name)) => {
                let stream = connector
                    .connect(name.clone(), stream)
                    .await
                    .map_err(|error| tls_reason(&error))?;
                exchange(stream, request, answered).await
            }
        }
    }

    /// The addresses that may be connected to. They are connected to as they are: no second look-up can give others.
    async fn resolve(&self) -> Result<Vec<SocketAddr>, Reason> {
        let found: Vec<SocketAddr> = match self.url.host() {
            Some(Host::Ipv4(address)) => vec![(IpAddr::V4(address), self.port).into()],
            Some(Host::Ipv6(address)) => vec![(IpAddr::V6(address), self.port).into()],
            Some(Host::Domain(name)) => tokio::net::lookup_host((name, self.port))
                .await
                .map_err(|_| Reason::Unresolved)?
                .collect(),
            None => Vec::new(),
        };
        if found.is_empty() {
            return Err(Reason::Unresolved);
        }
        let admitted: Vec<SocketAddr> = found
            .into_iter()
            .filter(|address| self.guard.admits(address.ip()))
            .take(ADDRESSES_MAX)
            .collect();
        if admitted.is_empty() { Err(Reason::AddressRefused) } else { Ok(admitted) }
    }

    fn request(&self, post: Post) -> Result<Request<Full<Bytes>>, Reason> {
        let path = &self.url[url::Position::BeforePath..url::Position::AfterQuery];
        let host = &self.url[url::Position::BeforeHost..url::Position::AfterPort];
        let signature = self.secrets.sign(&post.id, post.seconds, &post.body);
        Request::post(path)
            .header(HOST, host)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("leadtrail/", env!("CARGO_PKG_VERSION")))
            .header(CONNECTION, "close")
            .header("webhook-id", &post.id)
            .header("webhook-timestamp", post.seconds)
            .header("webhook-signature", signature)
            .body(Full::new(post.body))
            .map_err(|_| Reason::Broken)
    }
}

fn connector(authorities: Option<RootCertStore>) -> TlsConnector {
    let roots = authorities
        .unwrap_or_else(|| RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config).into()
}

/// A handshake that ends early says nothing about certificates.
fn tls_reason(error: &std::io::Error) -> Reason {
    if error.kind() == std::io::ErrorKind::InvalidData { Reason::Tls } else { Reason::Broken }
}

/// The first address that answers.
async fn connect(addresses: &[SocketAddr], timeout: Duration) -> Result<TcpStream, Reason> {
    let mut reason = Reason::Unreachable;
    for address in addresses {
        match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(_)) => reason = Reason::Unreachable,
            Err(_) => reason = Reason::Timeout,
        }
    }
    Err(reason)
}

/// Sends the request and notes the answer's status.
async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    answered: &OnceLock<Outcome>,
) -> Result<(), Reason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEADER_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| Reason::Broken)?;
    let talk = std::pin::pin!(async move {
        let response = sender.send_request(request).await.map_err(|_| Reason::Broken)?;
        let _ = answered.set(Outcome::of_status(response.status().as_u16(), wait_ms(&response)));
        // So that the receiver can finish its sentence; what it says is dropped.
        let _ = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok(())
    });
    drive(talk, std::pin::pin!(connection)).await
}

/// Runs a conversation and the connection that carries it, to the end of the conversation.
async fn drive<T>(mut talk: impl Future<Output = T> + Unpin, connection: impl Future + Unpin) -> T {
    tokio::select! {
        biased;
        said = &mut talk => said,
        // What came is in the conversation's hands; without more it ends by itself.
        _ = connection => talk.await,
    }
}

/// What the receiver asks for; only as seconds, which is what receivers send.
fn wait_ms<B>(response: &Response<B>) -> i64 {
    let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds: Option<u32> = header.and_then(|text| text.trim().parse().ok());
    seconds.map_or(0, |seconds| i64::from(seconds) * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::secret;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    const LOOPBACK: &str = "127.0.0.0/8";

    fn webhook(url: &str, allowed: &[&str]) -> Webhook {
        let allowed = allowed.iter().map(|network| network.parse().unwrap()).collect();
        let secrets = Secrets::parse(&secret::fresh().unwrap()).unwrap();
        Webhook::new(url.parse().unwrap(), secrets, Guard::new(allowed), None).unwrap()
    }

    async fn post(webhook: &Webhook) -> Outcome {
        let post = Post { id: "msg_1".into(), seconds: 1, body: Bytes::from_static(b"{}") };
        webhook.post(post, Duration::from_millis(900)).await
    }

    /// A server that reads a little and says this, then holds the connection.
    async fn server(says: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut bytes = [0; 1024];
                let _ = stream.read(&mut bytes).await;
                let _ = stream.write_all(says.as_bytes()).await;
                held.push(stream);
            }
        });
        port
    }

    #[tokio::test]
    async fn an_address_that_is_not_public_is_never_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in [
            "127.0.0.1",
            "localhost",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "0.0.0.0",
            "2130706433",
            "0x7f.1",
            "017700000001",
            "127.1",
            "169.254.169.254",
            "10.0.0.1",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "224.0.0.1",
            "192.168.0.1",
            "172.16.0.1",
        ] {
            for scheme in ["http", "https"] {
                let outcome = post(&webhook(&format!("{scheme}://{host}:{port}/"), &[])).await;
                assert_eq!(outcome.word(), "address_refused", "{scheme}://{host}");
            }
        }
        let none = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(none.is_err(), "somebody connected");
    }

    #[tokio::test]
    async fn every_way_to_fail_has_its_word() {
        let redirect =
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n";
        let busy = "HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
        for (says, word) in [
            ("HTTP/1.1 204 No Content\r\n\r\n", "delivered"),
            // The status counts, though the body never ends.
            ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", "delivered"),
            (redirect, "redirect"),
            (busy, "busy"),
            ("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n", "gone"),
            ("HTTP/1.1 500 Oops\r\ncontent-length: 3\r\n\r\nbad", "server_error"),
            ("not http at all\r\n\r\n", "broken"),
            ("", "timeout"),
        ] {
            let port = server(says).await;
            let outcome = post(&webhook(&format!("http://127.0.0.1:{port}/"), &[LOOPBACK])).await;
            assert_eq!(outcome.word(), word, "{says:?}");
            if word == "busy" {
                assert!(matches!(outcome, Outcome::Failed { wait_ms: 7_000, .. }));
            }
        }
        let port = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let outcome = post(&webhook(&format!("https://127.0.0.1:{port}/"), &[LOOPBACK])).await;
        assert_eq!(outcome.word(), "tls", "it speaks no TLS");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let outcome = post(&webhook(&format!("http://127.0.0.1:{port}/"), &[LOOPBACK])).await;
        assert_eq!(outcome.word(), "unreachable");
        let outcome = post(&webhook("http://no-such-host.invalid/", &[LOOPBACK])).await;
        assert_eq!(outcome.word(), "unresolved");
    }
}
