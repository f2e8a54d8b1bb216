//! One keep-alive connection. In: requests from the queue, one at a time. Out: each one's end, told to
//! the shared state. Connects again with back-off when the service closes or dies, for as long as the
//! run lasts; never sends a request twice, since a second try would hide a loss or make a double.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::generator::Shared;
use crate::outcome::{Answer, Trouble};
use crate::queue::Planned;
use crate::response::{Response, ResponseReader};

/// A service that is being restarted comes back within this, give or take.
const BACK_OFF_MAX: Duration = Duration::from_millis(250);
const BACK_OFF_MIN: Duration = Duration::from_millis(5);
/// On loopback a connection is made at once or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Most answers fit whole.
const BUFFER_BYTES: usize = 4 * 1024;

/// Works until the queue is closed.
pub async fn work(shared: Rc<Shared>) {
    let mut lane = Lane { shared, request: Vec::with_capacity(1024), buffer: [0; BUFFER_BYTES] };
    let mut back_off = BACK_OFF_MIN;
    while !lane.shared.stopped() {
        match lane.connect().await {
            Some(stream) => {
                back_off = BACK_OFF_MIN;
                lane.shared.connection_stands();
                lane.serve(stream).await;
                lane.shared.connection_ended();
            }
            None => {
                sleep(back_off).await;
                back_off = (back_off * 2).min(BACK_OFF_MAX);
            }
        }
    }
}

struct Lane {
    shared: Rc<Shared>,
    request: Vec<u8>,
    buffer: [u8; BUFFER_BYTES],
}

impl Lane {
    async fn connect(&self) -> Option<TcpStream> {
        let connecting = TcpStream::connect(self.shared.target);
        let stream = timeout(CONNECT_TIMEOUT, connecting).await.ok()?.ok()?;
        stream.set_nodelay(true).ok()?;
        Some(stream)
    }

    /// Sends over one connection until it is of no more use, or the run is over.
    async fn serve(&mut self, mut stream: TcpStream) {
        loop {
            let planned = tokio::select! {
                biased;
                planned = self.shared.queue.take() => planned,
                // Bytes or an end while nothing is asked: the peer gives the connection up.
                _ = stream.read(&mut self.buffer) => return,
            };
            let Some(planned) = planned else { return };
            if !self.ask(&mut stream, planned).await {
                return;
            }
        }
    }

    /// One request and its answer; true when the connection may be used again.
    async fn ask(&mut self, stream: &mut TcpStream, planned: Planned) -> bool {
        self.request.clear();
        let shared = Rc::clone(&self.shared);
        let kind = shared.write(planned.number, &mut self.request);
        let sent = Some(Instant::now());
        let result = match timeout(shared.timeout, self.exchange(stream)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(Trouble::TimedOut),
        };
        let ended = Instant::now();
        let (keep_alive, answer) = match &result {
            Ok(response) => (response.keep_alive, Answer::of(response)),
            Err(trouble) => (false, Err(*trouble)),
        };
        if let Ok(Response { location: Some(location), .. }) = &result {
            shared.keep_click(location, planned.number);
        }
        shared.finish(planned, kind, (sent, ended), answer);
        keep_alive
    }

    async fn exchange(&mut self, stream: &mut TcpStream) -> Result<Response, Trouble> {
        let mut reader = ResponseReader::default();
        stream.write_all(&self.request).await.map_err(|_| Trouble::Broken)?;
        loop {
            let count = stream.read(&mut self.buffer).await.map_err(|_| Trouble::Broken)?;
            if count == 0 {
                return reader.end().ok_or(Trouble::Broken);
            }
            let read = reader.feed(&self.buffer[..count]).map_err(|_| Trouble::BadAnswer)?;
            if let Some((mut response, used)) = read {
                // More than was asked for: the answer stands, the connection does not.
                response.keep_alive &= used == count;
                return Ok(response);
            }
        }
    }
}
