//! Slow clients. In: a port and how many. Out: how often each kind was cut off. Promises: as many connections are held open all the time:
//! who is cut off comes again. A third each dribbles its header, dribbles its body, and asks without ever reading.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

/// A byte each second: well below every deadline but the whole one.
const DRIBBLE: Duration = Duration::from_secs(1);

/// Little, so that answers pile up at the edge and not in the kernel.
const RECEIVE_BYTES: u32 = 4_096;

/// Requests that a slow reader sends at once.
const ASKED_AT_ONCE: usize = 200;

/// Who was cut off waits so long before the next try.
const AGAIN: Duration = Duration::from_millis(500);

/// What a client is slow with.
#[derive(Clone, Copy)]
enum With {
    Header,
    Body,
    Reading,
}

/// How often they connected and were cut off, by kind.
#[derive(Default)]
pub struct Cuts {
    connected: [AtomicU64; 3],
    cut: [AtomicU64; 3],
}

impl fmt::Display for Cuts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in ["headers", "bodies", "readers"].into_iter().enumerate() {
            let count = |of: &[AtomicU64; 3]| of[at].load(Ordering::Relaxed);
            write!(
                formatter,
                "{name} connected={} cut={} ",
                count(&self.connected),
                count(&self.cut)
            )?;
        }
        Ok(())
    }
}

/// Slow clients at work.
pub struct Slow {
    cuts: Arc<Cuts>,
    stop: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

impl Slow {
    /// Begins with `count` of them.
    pub fn begin(port: u16, count: u16) -> Self {
        let (cuts, stop) = (Arc::new(Cuts::default()), Arc::new(AtomicBool::new(false)));
        let mut clients = JoinSet::new();
        for number in 0..count {
            let with = [With::Header, With::Body, With::Reading][usize::from(number % 3)];
            let (cuts, stop) = (cuts.clone(), stop.clone());
            clients.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    // Whatever went wrong, it is tried again.
                    let _ = once(port, with, &cuts).await;
                    tokio::time::sleep(AGAIN).await;
                }
            });
        }
        Self { cuts, stop, clients }
    }

    /// Ends them, and says how they fared.
    pub fn end(mut self) -> Arc<Cuts> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.abort_all();
        self.cuts
    }
}

/// One connection until it is cut off.
async fn once(port: u16, with: With, cuts: &Cuts) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BYTES)?;
    let mut stream = socket.connect(([127, 0, 0, 1], port).into()).await?;
    cuts.connected[with as usize].fetch_add(1, Ordering::Relaxed);
    let outcome = match with {
        With::Header => {
            dribble(&mut stream, "GET /c/summer-ad HTTP/1.1\r\nHost: track\r\nX-Slow: ").await
        }
        With::Body => {
            let head = "POST /f/contact HTTP/1.1\r\nHost: track\r\nContent-Length: 50000\r\n\
                        Content-Type: application/x-www-form-urlencoded\r\n\r\nemail=";
            dribble(&mut stream, head).await
        }
        With::Reading => ask_and_wait(&mut stream).await,
    };
    cuts.cut[with as usize].fetch_add(1, Ordering::Relaxed);
    outcome
}

/// Sends a byte a second until the other side answers or ends.
async fn dribble(stream: &mut tokio::net::TcpStream, begin: &str) -> std::io::Result<()> {
    stream.write_all(begin.as_bytes()).await?;
    let mut answer = [0; 64];
    loop {
        tokio::select! {
            read = stream.read(&mut answer) => return read.map(drop),
            () = tokio::time::sleep(DRIBBLE) => stream.write_all(b"x").await?,
        }
    }
}

/// Asks for pages that need no record, and never reads: ends when the other side does.
async fn ask_and_wait(stream: &mut tokio::net::TcpStream) -> std::io::Result<()> {
    for _ in 0..ASKED_AT_ONCE {
        stream.write_all(b"GET /nothing-here HTTP/1.1\r\nHost: track\r\n\r\n").await?;
    }
    // What is never read is never seen to end, but for a reset.
    stream.ready(tokio::io::Interest::ERROR).await.map(drop)
}
