//! A small edge for tests, true to the contract on the wire, with faults to order. It stores nothing
//! durably: it notes what came, so that a test can hold it against what the generator says.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Every n-th request (by arrival, from 1) meets the fault; 0 never does.
#[derive(Clone, Copy, Default)]
pub struct Faults {
    pub refuse_every: u64,
    pub without_receipt_every: u64,
    pub drop_every: u64,
    pub delay: Duration,
}

/// What the fake edge has seen.
#[derive(Default)]
pub struct Seen {
    pub requests: u64,
    pub connections: u64,
    /// Tag and id of each event that it gave a receipt for.
    pub durable: HashMap<String, Uuid>,
    /// Tags that it refused.
    pub refused: Vec<String>,
    /// Tags that it answered without a receipt, or not at all.
    pub open: Vec<String>,
    /// Click ids that it gave, and those that came back.
    pub clicks_given: Vec<String>,
    pub clicks_joined: Vec<String>,
}

/// A running fake edge.
pub struct FakeEdge {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Seen>>,
    faults: Faults,
    task: JoinHandle<()>,
}

impl FakeEdge {
    pub async fn start(faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::default();
        let task = tokio::spawn(accept(listener, Arc::clone(&seen), faults));
        Self { address, seen, faults, task }
    }

    /// Closes the listener and cuts every connection, as kill -9 does.
    pub async fn kill(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    /// Listens again on the same address.
    pub async fn restart(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.task = tokio::spawn(accept(listener, Arc::clone(&self.seen), self.faults));
    }
}

async fn accept(listener: TcpListener, seen: Arc<Mutex<Seen>>, faults: Faults) {
    // Dropped with this task, and all connections with it.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        seen.lock().unwrap().connections += 1;
        let seen = Arc::clone(&seen);
        connections.spawn(async move {
            let service = service_fn(|request| answer(request, Arc::clone(&seen), faults));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Mutex<Seen>>,
    faults: Faults,
) -> Result<Response<Full<Bytes>>, &'static str> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| "cut")?.to_bytes();
    let text = format!("{}&{}", head.uri, String::from_utf8_lossy(&body));
    if !faults.delay.is_zero() {
        tokio::time::sleep(faults.delay).await;
    }
    let mut seen = seen.lock().unwrap();
    seen.requests += 1;
    let number = seen.requests;
    let every = |every: u64| every > 0 && number.is_multiple_of(every);
    let tag = value(&text, "sub1").expect("every request has a tag");
    seen.clicks_joined.extend(value(&text, "lt"));
    if every(faults.drop_every) {
        seen.open.push(tag);
        return Err("dropped");
    }
    if every(faults.refuse_every) {
        seen.refused.push(tag);
        return Ok(Response::builder().status(429).body(Full::default()).unwrap());
    }
    let path = head.uri.path();
    let mut response = Response::builder();
    if path.starts_with("/c/") || path.starts_with("/a/") {
        let click = format!("click-{number}");
        let location = format!("http://localhost/landing?lt={click}");
        response = response.status(302).header("Location", location);
        seen.clicks_given.push(click);
    } else {
        response = response.status(if path.starts_with("/f/") { 303 } else { 200 });
    }
    if every(faults.without_receipt_every) {
        seen.open.push(tag);
    } else {
        let id = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(number));
        let receipt = URL_SAFE_NO_PAD.encode([id.as_bytes().as_slice(), b"mac"].concat());
        response = response.header("Leadtrail-Receipt", receipt);
        seen.durable.insert(tag, id);
    }
    Ok(response.body(Full::from("ok")).unwrap())
}

/// The value of a query parameter or urlencoded field, or of a multipart or JSON one.
fn value(text: &str, name: &str) -> Option<String> {
    let marks = [
        format!("?{name}="),
        format!("&{name}="),
        format!("\"{name}\":\""),
        format!("name=\"{name}\"\r\n\r\n"),
    ];
    let start = marks.iter().find_map(|mark| text.find(mark).map(|at| at + mark.len()))?;
    let rest = &text[start..];
    let end = rest.find(['&', '"', '\r', ' ']).unwrap_or(rest.len());
    Some(rest[..end].to_owned())
}
