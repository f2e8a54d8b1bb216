//! The floor that the edge is measured against. In: any HTTP/1.1 request. Out: 204, after its body was
//! read whole. Nothing but hyper 1 on tokio's multi-thread runtime, as the edge uses them; what the
//! edge costs above it is the edge's own. Loopback only.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};

/// What the server prints before the address it listens on.
pub const LISTENING: &str = "listening on http://";

/// Connections that may wait to be accepted. tokio's own `bind` has 128: when 256 connect at once, half
/// of them would be dropped, and come again a second later.
const BACKLOG: u32 = 4096;

/// Listens on `address`, whose port may be 0.
///
/// # Errors
/// When the address is taken.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Answers until `stop` ends.
///
/// # Errors
/// When connections can no longer be accepted.
pub async fn serve(listener: TcpListener, stop: impl Future<Output = ()>) -> std::io::Result<()> {
    tokio::pin!(stop);
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            () = &mut stop => return Ok(()),
        };
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            // A client that goes away in the middle is no concern of this server.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let whole = request.into_body().collect().await;
    let status = if whole.is_ok() { StatusCode::NO_CONTENT } else { StatusCode::BAD_REQUEST };
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    Ok(response)
}

/// Ends when standard input does: the parent that holds the other end has gone.
pub async fn parent_gone() {
    let (gone, parent) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // An error ends the wait as well as the end does.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = gone.send(());
    });
    let _ = parent.await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn the_body_is_read_and_204_comes_back_on_one_connection() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let exchange = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            for _ in 0..2 {
                let request = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
                stream.write_all(request).await.unwrap();
                let mut answer = [0; 512];
                let count = stream.read(&mut answer).await.unwrap();
                let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
                assert!(answer.starts_with("HTTP/1.1 204 No Content\r\n"), "{answer}");
            }
        };
        serve(listener, exchange).await.unwrap();
    }
}
