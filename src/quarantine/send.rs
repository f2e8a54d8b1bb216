//! Sending: a decision to the process that writes the log.
//!
//! In: the event of a decision, the installation's keys, an ops listener. Out: `Ok` when the log has it. Refuses: nothing by itself. Promises: the request is
//! signed with a key that only who may read the key files has; no answer is waited for longer than its deadline.
//!
//! The journal belongs to one process and Kafka's producer has its spill, so a command does not write the log itself.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::event::Event;
use crate::ids::now_millis;
use crate::journal::Outcome;
use crate::keys::Keys;
use crate::ops::{DECISIONS_PATH, EVENTS_PATH, SIGNATURE_HEADER};
use crate::tokens::sign_order;

/// For the connection, and for each read: the edge itself waits ten seconds for the log.
const WAIT: Duration = Duration::from_secs(15);

/// An answer is a line.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;

/// Why the log doesn't have it.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Nobody there.
    #[error(
        "no running edge at {address}: {source}; start `leadtrail up` or `serve`, or name its ops listener with --ops"
    )]
    Away {
        /// Where it was looked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// It said no.
    #[error("the process at {address} did not record it: {answer}")]
    Refused {
        /// Who.
        address: SocketAddr,
        /// Its words.
        answer: String,
    },
}

/// Sends one decision.
pub fn order(address: SocketAddr, keys: &Keys, event: &Event) -> Result<(), SendError> {
    post(address, DECISIONS_PATH, keys, &event.to_record()).map(drop)
}

/// Sends events, one record a line; gives what became of each.
pub fn events(address: SocketAddr, keys: &Keys, records: &[u8]) -> Result<Vec<Outcome>, SendError> {
    let mut body = format!("{}\n", now_millis()).into_bytes();
    body.extend_from_slice(records);
    let answer = post(address, EVENTS_PATH, keys, &body)?;
    let outcomes = answer.trim().bytes().map(|letter| match letter {
        b'd' => Outcome::Durable,
        b'w' => Outcome::Written,
        _ => Outcome::Refused,
    });
    Ok(outcomes.collect())
}

/// Gives the answer's words.
fn post(address: SocketAddr, path: &str, keys: &Keys, body: &[u8]) -> Result<String, SendError> {
    let address = reachable(address);
    let signature = sign_order(keys, body);
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         {SIGNATURE_HEADER}: {signature}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let answer = exchange(address, head.as_bytes(), body)
        .map_err(|source| SendError::Away { address, source })?;
    let words = answer.split_once("\r\n\r\n").map_or("no answer", |(_, words)| words.trim());
    if answer.starts_with("HTTP/1.1 200 ") {
        return Ok(words.to_owned());
    }
    Err(SendError::Refused { address, answer: words.to_owned() })
}

fn exchange(address: SocketAddr, head: &[u8], body: &[u8]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, WAIT)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    stream.write_all(head)?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A listener on every address is reached on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
