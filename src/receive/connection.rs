//! One connection: HTTP/1 with its deadlines.
//!
//! In: a socket. Out: nothing; requests are answered by [`crate::receive::route`]. Refuses: a header that takes too long (408), bytes that are no
//! HTTP/1 (400, by hyper), headers that are too large (431). Promises: no connection stays open without a request longer
//! than `edge.idle_timeout_ms`, and none for ever.
//!
//! hyper's own `header_read_timeout` starts when the last answer is sent and so closes idle connections after it too; and it
//! allocates a timer for every request. Here the socket's reads say when a header begins, and one timer per connection, moved only
//! when it fires or when a header arrives in pieces, serves both deadlines.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::check::Refusal;
use crate::ids::now_millis;
use crate::receive::refusals::About;
use crate::receive::tally::{Door, Settled};
use crate::receive::{Edge, route};
use crate::stop::Stop;

/// Bytes of one header: room for 8 KiB of query and as much of cookies; four times that is somebody's error.
const HEADER_BYTES_MAX: usize = 32 * 1024;

/// Bytes that one connection's read buffer grows to: hyper's own 400 KiB is for uploads.
const BUFFER_BYTES_MAX: usize = 2 * HEADER_BYTES_MAX;

/// Said to a client whose header never ends, before the connection is closed.
const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// Open, nothing has come yet: the header's deadline counts, for who connects has something to say.
    Fresh,
    /// Between two requests.
    Idle,
    /// A header has begun.
    Header,
    /// A request is being answered: its body and the log have deadlines of their own.
    Busy,
}

/// What socket, service and deadlines of one connection share. All of it runs in one task: the atomics only make it `Send`.
struct Line {
    edge: Arc<Edge>,
    peer: IpAddr,
    opened: Instant,
    phase: AtomicU8,
    since_ms: AtomicU64,
}

impl Line {
    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Fresh,
            1 => Phase::Idle,
            2 => Phase::Header,
            _ => Phase::Busy,
        }
    }

    fn enter(&self, phase: Phase) {
        if phase != Phase::Busy {
            let since_ms = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.since_ms.store(since_ms, Ordering::Relaxed);
        }
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// When the present phase has lasted too long; while a request is answered, when to look again.
    fn deadline(&self) -> Instant {
        let settings = &self.edge.settings;
        let since = self.opened + Duration::from_millis(self.since_ms.load(Ordering::Relaxed));
        match self.phase() {
            Phase::Fresh | Phase::Header => {
                since + Duration::from_millis(settings.header_timeout_ms)
            }
            Phase::Idle => since + Duration::from_millis(settings.idle_timeout_ms),
            Phase::Busy => Instant::now() + Duration::from_millis(settings.idle_timeout_ms),
        }
    }
}

/// The socket; it notes when a header begins.
struct Socket {
    stream: TcpStream,
    line: Arc<Line>,
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        let came = buffer.filled().len() > before;
        if came && matches!(self.line.phase(), Phase::Fresh | Phase::Idle) {
            self.line.enter(Phase::Header);
            mend_blanks(&mut buffer.filled_mut()[before..]);
        }
        result
    }
}

/// Writes `+` for blanks in the query of a GET: scripts on servers put values there as they are (QUIRKS.md 9), and a strict parser would refuse
/// the lead. Borders of requests stay where they are.
fn mend_blanks(head: &mut [u8]) {
    if !head.starts_with(b"GET ") {
        return;
    }
    let Some(end) = memchr::memmem::find(head, b" HTTP/1.").filter(|end| *end > 4) else { return };
    let target = &mut head[4..end];
    let Some(query) = memchr::memchr(b'?', target) else { return };
    // What follows a line's end is a header, and no part of a target.
    if memchr::memchr2(b'\r', b'\n', target).is_none() {
        target[query..].iter_mut().filter(|byte| **byte == b' ').for_each(|byte| *byte = b'+');
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}

/// What calls for something to be done about a connection.
enum Alarm {
    /// The process is to stop.
    Stop,
    /// The phase has lasted too long.
    Late(Phase),
}

/// Watches over one connection: its deadlines and the stop.
///
/// Timer and stop keep the waker of the task, so they are polled again only when they have something to say: to poll them with
/// every request would take locks that all connections share.
struct Watch {
    line: Arc<Line>,
    stop: Stop,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
    draining: bool,
    timer: Pin<Box<Sleep>>,
    waker: Option<Waker>,
}

impl Watch {
    fn new(line: Arc<Line>, stop: Stop) -> Self {
        let waiting = stop.clone();
        Self {
            stopped: Box::pin(async move { waiting.stopped().await }),
            timer: Box::pin(tokio::time::sleep_until(line.deadline())),
            draining: false,
            waker: None,
            line,
            stop,
        }
    }

    /// Ready when there is an alarm; `Stop` comes once.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Alarm> {
        let new_task = !self.waker.as_ref().is_some_and(|known| known.will_wake(context.waker()));
        if new_task {
            self.waker = Some(context.waker().clone());
        }
        if !self.draining
            && (new_task || self.stop.is_stopped())
            && self.stopped.as_mut().poll(context).is_ready()
        {
            self.draining = true;
            return Poll::Ready(Alarm::Stop);
        }
        // A header that comes in pieces is due before the timer that an idle connection has.
        let sooner =
            self.line.phase() == Phase::Header && self.line.deadline() < self.timer.deadline();
        if sooner {
            self.timer.as_mut().reset(self.line.deadline());
        }
        if !(sooner || new_task || self.timer.is_elapsed()) {
            return Poll::Pending;
        }
        while self.timer.as_mut().poll(context).is_ready() {
            let deadline = self.line.deadline();
            if deadline <= Instant::now() {
                return Poll::Ready(Alarm::Late(self.line.phase()));
            }
            self.timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// How a connection ended.
enum End {
    Closed(hyper::Result<()>),
    Late(Phase),
    Stopped,
}

/// Serves one connection to its end.
pub async fn serve(stream: TcpStream, edge: Arc<Edge>, stop: Stop) {
    let peer = stream.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip());
    // Answers are single small writes: waiting to fill a packet only adds delay. A socket that refuses is about to close.
    let _ = stream.set_nodelay(true);
    let line = Arc::new(Line {
        edge,
        peer,
        opened: Instant::now(),
        phase: AtomicU8::new(Phase::Fresh as u8),
        since_ms: AtomicU64::new(0),
    });
    let answering = line.clone();
    let service = service_fn(move |request| {
        let line = answering.clone();
        async move {
            line.enter(Phase::Busy);
            let reply = route::answer(&line.edge, line.peer, request).await;
            line.enter(Phase::Idle);
            Ok::<_, Infallible>(reply)
        }
    });
    let mut connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_header_size(HEADER_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(Socket { stream, line: line.clone() }), service);
    let mut watch = Watch::new(line.clone(), stop);
    let end = std::future::poll_fn(|context| {
        loop {
            if let Poll::Ready(result) = Pin::new(&mut connection).poll(context) {
                return Poll::Ready(End::Closed(result));
            }
            match ready!(watch.poll(context)) {
                Alarm::Late(phase) => return Poll::Ready(End::Late(phase)),
                Alarm::Stop if line.phase() == Phase::Fresh => return Poll::Ready(End::Stopped),
                // Ends an idle connection at its next poll, another one with its answer.
                Alarm::Stop => Pin::new(&mut connection).graceful_shutdown(),
            }
        }
    })
    .await;
    let count = |refusal| {
        line.edge.refusals.count(Door::Other, refusal, About::default(), now_millis());
        line.edge.metrics.received(Door::Other).settle(Settled::Refused(refusal));
    };
    match end {
        End::Late(Phase::Header) => {
            count(Refusal::HeaderTooSlow);
            // As much as the socket takes at once: who dribbles is not waited for.
            let _ = connection.into_parts().io.inner().stream.try_write(TOO_SLOW);
        }
        End::Closed(Err(error)) if error.is_parse_too_large() => count(Refusal::HeaderTooLarge),
        End::Closed(Err(error)) if error.is_parse() => count(Refusal::BadHttp),
        End::Closed(Err(error)) => tracing::debug!(%error, "connection ended early"),
        End::Closed(Ok(())) | End::Late(_) | End::Stopped => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_blanks_in_a_gets_query_are_mended_and_nothing_else_is() {
        let mended = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            mend_blanks(&mut bytes);
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(
            mended("GET /r?a=Jane Roe&b=c d HTTP/1.1\r\nHost: a b\r\n"),
            "GET /r?a=Jane+Roe&b=c+d HTTP/1.1\r\nHost: a b\r\n"
        );
        for kept in [
            "GET /a b HTTP/1.1\r\n",
            "POST /r?a=b c HTTP/1.1\r\n",
            "GET /r?a=b c",
            "GET /r?a\r\nX: a b HTTP/1.1",
            "GET  HTTP/1.1",
            "",
        ] {
            assert_eq!(mended(kept), kept);
        }
    }
}
