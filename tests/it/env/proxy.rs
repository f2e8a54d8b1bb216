//! A wire that a test can cut, mend and make slow: a TCP proxy in front of something real.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Kinds of requests to a Kafka broker, by their numbers in its protocol.
pub const PRODUCE: u16 = 0;
pub const FETCH: u16 = 1;

/// In front of `to`, on a port of its own. Lives as long as the test run.
pub struct Proxy {
    pub address: String,
    cut: Arc<AtomicBool>,
    delay_ms: Arc<AtomicU64>,
    /// Connections that were made so far, and how many of the first ones hear nothing any more.
    made: Arc<AtomicU64>,
    deaf: Arc<AtomicU64>,
    /// How many of the first connections lose one kind of request that they carry to a Kafka broker, and which.
    robbed: Arc<AtomicU64>,
    robbed_of: Arc<AtomicU16>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    pub fn before(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (cut, open) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let delay_ms = Arc::new(AtomicU64::new(0));
        let (made, deaf) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (to, is_cut, all) = (to.to_owned(), cut.clone(), open.clone());
        let (delay, count, silent) = (delay_ms.clone(), made.clone(), deaf.clone());
        let (robbed, robbed_of) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU16::new(0)));
        let lost = (robbed.clone(), robbed_of.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if is_cut.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(&to) else { continue };
                let number = count.fetch_add(1, Ordering::SeqCst);
                for (from, into, is_answer) in [(&client, &server, false), (&server, &client, true)]
                {
                    let (from, into) = (from.try_clone().unwrap(), into.try_clone().unwrap());
                    all.lock().unwrap().push(from.try_clone().unwrap());
                    let (delay, silent, (robbed, of)) =
                        (delay.clone(), silent.clone(), lost.clone());
                    std::thread::spawn(move || {
                        let sift = |piece: &[u8]| {
                            if is_answer && number < silent.load(Ordering::SeqCst) {
                                Vec::new()
                            } else if !is_answer && number < robbed.load(Ordering::SeqCst) {
                                without(of.load(Ordering::SeqCst), piece)
                            } else {
                                piece.to_vec()
                            }
                        };
                        let _ = pass(&from, &into, &delay, sift);
                        let _ = into.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { address, cut, delay_ms, made, deaf, robbed, robbed_of, open }
    }

    /// From now on each piece passes after this long.
    pub fn slow(&self, delay: Duration) {
        self.delay_ms.store(delay.as_millis() as u64, Ordering::SeqCst);
    }

    /// On the connections that there are, requests still arrive and no answer comes back; new ones are as ever.
    pub fn swallow_answers(&self) {
        self.deaf.store(self.made.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// On the connections that there are, a Kafka broker hears nothing more of this kind; new ones are as ever.
    pub fn swallow_requests(&self, kind: u16) {
        self.robbed_of.store(kind, Ordering::SeqCst);
        self.robbed.store(self.made.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Ends every connection, and each new one at once.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }
}

/// Passes bytes on until either side ends.
fn pass(
    mut from: &TcpStream,
    mut into: &TcpStream,
    delay_ms: &AtomicU64,
    sift: impl Fn(&[u8]) -> Vec<u8>,
) -> io::Result<()> {
    let mut piece = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(delay_ms.load(Ordering::SeqCst)));
        into.write_all(&sift(&piece[..count]))?;
    }
}

/// Kafka's requests but for one kind: each is its length in four bytes, the number of its kind in two, and the rest. A client with little to
/// say writes whole requests; what isn't one is left as it is.
fn without(kind: u16, mut piece: &[u8]) -> Vec<u8> {
    let mut left = Vec::with_capacity(piece.len());
    while let Some((length, after)) = piece.split_first_chunk::<4>() {
        let Some(request) = after.get(..u32::from_be_bytes(*length) as usize) else { break };
        if !request.starts_with(&kind.to_be_bytes()) {
            left.extend_from_slice(&piece[..4 + request.len()]);
        }
        piece = &piece[4 + request.len()..];
    }
    left.extend_from_slice(piece);
    left
}
