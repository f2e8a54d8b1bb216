//! Ops: `/live`, `/ready` and `/metrics` of one process, and `/decisions` where it writes the log.
//!
//! In: a listener, named checks, the metrics of the process. Out: 200 or 503 with each check's word; the metrics as OpenMetrics text;
//! decisions of the operator's own command, signed with the installation's key, recorded.
//! Refuses: a `Host` that isn't listed (421), so that a page in somebody's browser can't read what runs on their loopback.
//! Promises: a process that drains is alive and not ready.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::stop::Stop;
use crate::telemetry;

/// Connections at once: a few scrapers and an operator.
const CONNECTIONS_MAX: usize = 64;

/// A header that takes longer, and an idle connection, are closed: a scraper comes back every few seconds or minutes.
const HEADER_TIMEOUT: Duration = Duration::from_secs(90);

/// The pause after an accept that failed.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(200);

type Reply = Response<Full<Bytes>>;

/// Says what is wrong, without personal data. Called for each request: it must not block.
pub type Probe = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// One condition of readiness.
pub struct Check {
    /// As `/ready` shows it.
    pub name: &'static str,
    /// Asked for each request.
    pub run: Probe,
}

/// The checks' outcomes as a metric, so that an alert needs to scrape one address only.
pub struct ReadyMetric(pub Arc<[Check]>);

impl std::fmt::Debug for ReadyMetric {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|check| check.name)).finish()
    }
}

impl Collector for ReadyMetric {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let passed = |check: &Check| f64::from(u8::from((check.run)().is_ok()));
        let values = self.0.iter().map(|check| (check.name.to_owned(), passed(check)));
        telemetry::READY.write_gauge(&mut encoder, values)
    }
}
/// Where the operator's command sends its decisions.
pub const DECISIONS_PATH: &str = "/decisions";

/// Where an app of its own sends its events.
pub const EVENTS_PATH: &str = "/events";

/// What is asked of a process that writes the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// To record a decision.
    Decision,
    /// To record events that the app of this machine took.
    Events,
}

/// The header with the signature over the body. A page in somebody's browser can neither make it nor send it.
pub const SIGNATURE_HEADER: &str = "leadtrail-signature";

/// A record of 64 KiB of fields, with every byte escaped.
const DECISION_BYTES_MAX: usize = 1 << 20;

/// A decision's body comes from this machine or its neighbour.
const DECISION_WITHIN: Duration = Duration::from_secs(10);

/// What recording a decision gives: a status and words.
pub type Recorded = Pin<Box<dyn Future<Output = (StatusCode, String)> + Send>>;

/// Records what is ordered, from its signature and body.
pub type Recorder = Box<dyn Fn(Order, String, Bytes) -> Recorded + Send + Sync>;

/// What the ops listener shows.
pub struct Ops {
    /// `Host` headers that are answered: `host` with any port, or `host:port`.
    pub hosts: Vec<String>,
    /// All must pass for `/ready`.
    pub checks: Arc<[Check]>,
    /// The metrics of the process.
    pub metrics: Registry,
    /// Records decisions, in a process that writes the log.
    pub recorder: Option<Recorder>,
    /// Once it is asked for, the process is not ready any more.
    pub draining: Stop,
}

/// Serves until `stop`. Give it a stop that comes after the drain, so that `/live` and `/metrics` answer meanwhile.
pub async fn serve(listener: TcpListener, ops: Arc<Ops>, stop: Stop) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let accepted = tokio::select! {
            () = stop.stopped() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_BACKOFF).await;
            continue;
        };
        let (ops, stop) = (ops.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! { () = stop.stopped() => {} () = connection(stream, ops) => {} }
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, ops: Arc<Ops>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let ops = ops.clone();
        async move { Ok::<_, Infallible>(answer(&ops, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "ops connection ended early");
    }
}

/// True when the request's host is listed. An entry without a port admits every port.
pub fn host_is_listed(uri: &Uri, headers: &HeaderMap, hosts: &[String]) -> bool {
    let host = match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(HOST).and_then(|host| host.to_str().ok()),
    };
    let Some(host) = host else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    hosts
        .iter()
        .any(|listed| listed.eq_ignore_ascii_case(host) || listed.eq_ignore_ascii_case(name))
}

fn text(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

async fn answer(ops: &Ops, request: Request<Incoming>) -> Reply {
    if !host_is_listed(request.uri(), request.headers(), &ops.hosts) {
        return text(
            StatusCode::MISDIRECTED_REQUEST,
            "text/plain",
            "host not listed in ops.hosts\n",
        );
    }
    let order = match request.uri().path() {
        DECISIONS_PATH => Some(Order::Decision),
        EVENTS_PATH => Some(Order::Events),
        _ => None,
    };
    if let (Some(order), Some(recorder)) = (order, &ops.recorder) {
        return record(recorder, order, request).await;
    }
    let paths = ["/live", "/ready", "/metrics"];
    if !paths.contains(&request.uri().path()) {
        return text(StatusCode::NOT_FOUND, "text/plain", "try /live, /ready or /metrics\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut reply = text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET or HEAD\n");
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return reply;
    }
    match request.uri().path() {
        "/ready" => ready(ops),
        "/metrics" => metrics(ops),
        _ => text(StatusCode::OK, "text/plain", "live\n"),
    }
}

/// Reads an order and has it recorded.
async fn record(recorder: &Recorder, order: Order, request: Request<Incoming>) -> Reply {
    if *request.method() != Method::POST {
        let mut reply = text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "POST\n");
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return reply;
    }
    let (parts, body) = request.into_parts();
    let signature = parts.headers.get(SIGNATURE_HEADER).and_then(|value| value.to_str().ok());
    let Some(signature) = signature.map(str::to_owned) else {
        return text(StatusCode::FORBIDDEN, "text/plain", "not signed\n");
    };
    let body = Limited::new(body, DECISION_BYTES_MAX).collect();
    let Ok(Ok(body)) = tokio::time::timeout(DECISION_WITHIN, body).await else {
        return text(StatusCode::BAD_REQUEST, "text/plain", "the body is too large or too slow\n");
    };
    let (status, words) = recorder(order, signature, body.to_bytes()).await;
    text(status, "text/plain", format!("{words}\n"))
}

/// One line for each check, `ok` or what is wrong.
fn ready(ops: &Ops) -> Reply {
    let mut lines = String::new();
    let mut all = true;
    let draining = if ops.draining.is_stopped() { Err("draining".to_owned()) } else { Ok(()) };
    let results = ops.checks.iter().map(|check| (check.name, (check.run)()));
    for (name, result) in std::iter::once(("running", draining)).chain(results) {
        all &= result.is_ok();
        let word = result.err().unwrap_or_else(|| "ok".to_owned());
        writeln!(lines, "{name}: {word}").expect("writing to a String cannot fail");
    }
    let status = if all { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    text(status, "text/plain", lines)
}

fn metrics(ops: &Ops) -> Reply {
    let mut body = String::with_capacity(16 * 1024);
    prometheus_client::encoding::text::encode(&mut body, &ops.metrics)
        .expect("writing to a String cannot fail");
    text(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop::{self, Stopper};
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    struct Running {
        address: std::net::SocketAddr,
        healthy: Arc<AtomicBool>,
        drain: Stopper,
        _end: Stopper,
    }

    async fn start() -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (drain, draining) = stop::channel();
        let (end, ended) = stop::channel();
        let healthy = Arc::new(AtomicBool::new(true));
        let seen = healthy.clone();
        let run =
            move || if seen.load(Ordering::Relaxed) { Ok(()) } else { Err("disk is full".into()) };
        let mut metrics = Registry::default();
        crate::receive::tally::Metrics::new(&mut metrics);
        let pulse = Arc::new(crate::receive::pulse::Pulse::new(1_000));
        metrics.register_collector(Box::new(crate::receive::pulse::Gauge(pulse)));
        let log = crate::journal::Journal::Memory(Default::default(), Default::default());
        metrics.register_collector(Box::new(crate::journal::Gauges(Arc::new(log))));
        let checks: Arc<[Check]> = vec![Check { name: "journal", run: Box::new(run) }].into();
        metrics.register_collector(Box::new(ReadyMetric(checks.clone())));
        let hosts = vec!["127.0.0.1".into(), "ops.example:9080".into()];
        let recorder: Recorder = Box::new(|_, signature, body| {
            Box::pin(async move { (StatusCode::OK, format!("{signature} {} bytes", body.len())) })
        });
        let recorder = Some(recorder);
        tokio::spawn(serve(
            listener,
            Arc::new(Ops { hosts, checks, metrics, recorder, draining }),
            ended,
        ));
        Running { address, healthy, drain, _end: end }
    }

    async fn get(running: &Running, method: &str, path: &str, host: &str) -> String {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        reply
    }

    #[tokio::test]
    async fn readiness_is_every_check_and_not_draining() {
        let running = start().await;
        let ready = get(&running, "GET", "/ready", "127.0.0.1:9080").await;
        assert!(
            ready.starts_with("HTTP/1.1 200") && ready.ends_with("running: ok\njournal: ok\n"),
            "{ready}"
        );
        running.healthy.store(false, Ordering::Relaxed);
        let sick = get(&running, "GET", "/ready", "127.0.0.1").await;
        assert!(
            sick.starts_with("HTTP/1.1 503") && sick.ends_with("journal: disk is full\n"),
            "{sick}"
        );
        running.healthy.store(true, Ordering::Relaxed);
        running.drain.stop();
        let draining = get(&running, "GET", "/ready", "127.0.0.1").await;
        assert!(draining.starts_with("HTTP/1.1 503") && draining.contains("running: draining"));
        assert!(get(&running, "GET", "/live", "127.0.0.1").await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn only_listed_hosts_and_known_paths_are_answered() {
        let running = start().await;
        for (host, status) in [
            ("evil.example", 421),
            ("127.0.0.1.evil.example", 421),
            ("127.0.0.1:80@evil.example", 421),
            ("OPS.example:9080", 200),
            ("ops.example:9081", 421),
        ] {
            let reply = get(&running, "GET", "/live", host).await;
            assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{host}: {reply}");
        }
        assert!(get(&running, "GET", "/", "127.0.0.1").await.starts_with("HTTP/1.1 404"));
        assert!(get(&running, "POST", "/ready", "127.0.0.1").await.starts_with("HTTP/1.1 405"));
    }

    #[tokio::test]
    async fn a_decision_must_be_posted_signed_and_small() {
        let running = start().await;
        let post = async |lines: &str, body: &str| {
            let mut stream = TcpStream::connect(running.address).await.unwrap();
            let request = format!(
                "POST /decisions HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n{lines}content-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut reply = String::new();
            let _ = stream.read_to_string(&mut reply).await;
            reply
        };
        let signed = post("leadtrail-signature: abc\r\n", "{}").await;
        assert!(
            signed.starts_with("HTTP/1.1 200") && signed.ends_with("abc 2 bytes\n"),
            "{signed}"
        );
        assert!(post("", "{}").await.starts_with("HTTP/1.1 403"));
        let large = "x".repeat(DECISION_BYTES_MAX + 1);
        let reply = post("leadtrail-signature: abc\r\n", &large).await;
        assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 400"), "{reply}");
        assert!(get(&running, "GET", "/decisions", "127.0.0.1").await.starts_with("HTTP/1.1 405"));
    }

    #[tokio::test]
    async fn metrics_are_openmetrics() {
        let running = start().await;
        let reply = get(&running, "GET", "/metrics", "127.0.0.1").await;
        assert!(
            reply.contains("# HELP leadtrail_requests_received Requests that arrived"),
            "{reply}"
        );
        assert!(reply.ends_with("# EOF\n"));
        for metric in telemetry::METRICS.iter().filter(|metric| {
            matches!(metric.shown, telemetry::Shown::Edge | telemetry::Shown::Everywhere)
        }) {
            assert!(reply.contains(&format!("# TYPE {} ", metric.name)), "{}", metric.name);
        }
        assert!(reply.contains("leadtrail_ready{check=\"journal\"} 1"), "{reply}");
        running.healthy.store(false, Ordering::Relaxed);
        let sick = get(&running, "GET", "/metrics", "127.0.0.1").await;
        assert!(sick.contains("leadtrail_ready{check=\"journal\"} 0"), "{sick}");
    }
}
