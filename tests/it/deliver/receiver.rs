//! A webhook's receiver that can be slow, ill, gone, or hold its answer; and the check of a signature, written anew.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::SECRET;

/// What it does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Answers with this status.
    Answers(u16),
    /// Reads it and never answers.
    Holds,
}

/// One request, and the status it was answered with; 0: none.
#[derive(Clone, Debug)]
pub struct Seen {
    pub id: String,
    pub path: String,
    pub body: Value,
    pub status: u16,
}

/// A receiver on a port; it lives as long as the test run.
pub struct Receiver {
    mood: Arc<Mutex<Mood>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Receiver {
    pub fn listen(port: u16, mood: Mood) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let this = Self { mood: Arc::new(Mutex::new(mood)), seen: Arc::default() };
        let (mood, seen) = (this.mood.clone(), this.seen.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (mood, seen) = (mood.clone(), seen.clone());
                std::thread::spawn(move || serve(stream, &mood, &seen));
            }
        });
        this
    }

    pub fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many were answered so.
    pub fn answered(&self, status: u16) -> usize {
        self.seen().iter().filter(|seen| seen.status == status).count()
    }
}

fn serve(mut stream: TcpStream, mood: &Mutex<Mood>, seen: &Mutex<Vec<Seen>>) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let header = |name: &str| {
        let found = lines.iter().filter_map(|line| line.split_once(": "));
        found
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.to_owned())
            .next()
            .unwrap()
    };
    let mut body = vec![0; header("content-length").parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    let (id, time) = (header("webhook-id"), header("webhook-timestamp"));
    verify(&id, &time, &body, &header("webhook-signature"));
    assert_eq!(header("content-type"), "application/json");
    let path = lines[0].split(' ').nth(1).unwrap().to_owned();
    let mood = *mood.lock().unwrap();
    let status = if let Mood::Answers(status) = mood { status } else { 0 };
    seen.lock().unwrap().push(Seen {
        id,
        path,
        body: serde_json::from_slice(&body).unwrap(),
        status,
    });
    if status != 0 {
        let _ = write!(stream, "HTTP/1.1 {status} Thanks\r\nContent-Length: 2\r\n\r\nok");
        return;
    }
    // Held until the other side has enough.
    let _ = reader.read(&mut [0]);
}

/// Standard Webhooks by hand: HMAC-SHA-256 (RFC 2104) over `id.timestamp.body`, and not older than five minutes.
fn verify(id: &str, time: &str, body: &[u8], signature: &str) {
    let key = STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let mut block = [0u8; 64];
    block[..key.len()].copy_from_slice(&key);
    let padded = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new()
        .chain_update(padded(0x36))
        .chain_update(format!("{id}.{time}."))
        .chain_update(body)
        .finalize();
    let outer = Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize();
    assert_eq!(signature, format!("v1,{}", STANDARD.encode(outer)));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(now.abs_diff(time.parse().unwrap()) < 300, "{time}");
}
