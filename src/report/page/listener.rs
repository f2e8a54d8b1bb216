//! A small HTTP listener for pages: the report page and the demo shop. The edge has its own, for another load.
//!
//! In: a bound listener, a function from request to response, a stop signal. Out: nothing; it returns when it has stopped.
//! Refuses: more than `CONNECTIONS_MAX` connections at once (they wait in the kernel's queue), a header or an idle connection
//! that lasts too long. Promises: when told to stop, open requests get `DRAIN` to end.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// Connections at once: people, not visitors; a browser opens six.
const CONNECTIONS_MAX: usize = 256;

/// How long a request's header may take, and how long a connection may idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection lives at most, so that one that doesn't read its answer ends too.
const CONNECTION_LIFE_MAX: Duration = Duration::from_secs(300);

/// The largest request header: pages have short URLs and a browser's header is 1-2 kB.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// How long open requests may go on after the stop signal.
const DRAIN: Duration = Duration::from_secs(5);

/// The pause after a failed accept: out of file descriptors, mostly, which passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end; an extension of each request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// What handlers give back.
pub type Reply = Response<Full<Bytes>>;

/// Serves until `stop` turns true or its sender is gone.
pub async fn serve<Handler, Answer>(
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
    handler: Handler,
) where
    Handler: Fn(Request<Incoming>) -> Answer + Clone + Send + Sync + 'static,
    Answer: Future<Output = Reply> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection =
                    one_connection(stream, Peer(peer.ip()), stop.clone(), handler.clone());
                tokio::spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; trying on");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    // All places free again: all connections have ended. Those that have not are cut with the runtime.
    let all = u32::try_from(CONNECTIONS_MAX).expect("a small number");
    let _ = tokio::time::timeout(DRAIN, places.acquire_many(all)).await;
}

async fn one_connection<Handler, Answer>(
    stream: TcpStream,
    peer: Peer,
    mut stop: watch::Receiver<bool>,
    handler: Handler,
) where
    Handler: Fn(Request<Incoming>) -> Answer + Send + Sync + 'static,
    Answer: Future<Output = Reply> + Send + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let life = async {
        tokio::select! {
            // An error here is the client's: it went away or spoke nonsense. There is nobody to tell.
            _ = connection.as_mut() => return,
            _ = stop.wait_for(|stop| *stop) => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    };
    let _ = tokio::time::timeout(CONNECTION_LIFE_MAX, life).await;
}
