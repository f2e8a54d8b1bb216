//! The floor that the edge is measured against. In: any HTTP/1.1 request. Out: 204, after its body was
//! read whole. Nothing but hyper 1 on tokio's multi-thread runtime, as the edge uses them; what the
//! edge costs above it is the edge's own. Loopback only.

use std::convert::Infallible;
use std::future::Future;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// What the server prints before the address it listens on.
pub const LISTENING: &str = "listening on http://";

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
