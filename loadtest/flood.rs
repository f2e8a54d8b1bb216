//! A flood of distinct addresses. In: how many, a form, the edge's process. Out: how the edge answered and how much memory it
//! took; exit code 1 when it took more than `--memory-max`. Each request is a form from an address in a network of its own: every second
//! one an IPv4 /24, the others an IPv6 /64, told in `X-Forwarded-For` (the edge must trust 127.0.0.1). As fast as it goes, in batches
//! on each connection, for what counts here is the edge's memory, not its time.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::options::FloodOptions;

/// Requests that are sent before their answers are read: few enough for every buffer on the way.
const BATCH: u64 = 32;

/// There are 2^24 networks of /24; ten million, and as many of IPv6, fit.
const ADDRESSES_MAX: u64 = 30_000_000;

/// A word in each message, so that they are not all alike.
const WORDS: [&str; 4] = ["blue", "green", "red", "white"];

/// What the lanes share.
struct Flood {
    options: FloodOptions,
    next: Cell<u64>,
    statuses: RefCell<BTreeMap<u16, u64>>,
}

/// Floods, and says what it cost.
pub async fn flood(options: FloodOptions) -> anyhow::Result<bool> {
    ensure!(options.addresses <= ADDRESSES_MAX, "--addresses is at most {ADDRESSES_MAX}");
    let before = memory(options.pid)?;
    let started = Instant::now();
    let connections = options.connections;
    let flood = Flood { options, next: Cell::new(0), statuses: RefCell::default() };
    let flood = Rc::new(flood);
    let lanes: Vec<_> =
        (0..connections).map(|_| tokio::task::spawn_local(lane(flood.clone()))).collect();
    for lane in lanes {
        lane.await??;
    }
    let seconds = started.elapsed().as_secs_f64();
    let after = memory(flood.options.pid)?;
    let addresses = flood.options.addresses;
    println!("addresses={addresses} seconds={seconds:.0} rate={:.0}/s", addresses as f64 / seconds);
    let statuses = flood.statuses.borrow();
    let words: Vec<String> =
        statuses.iter().map(|(status, count)| format!("status_{status}={count}")).collect();
    println!("{}", words.join(" "));
    println!(
        "rss_before_kb={} rss_after_kb={} rss_peak_kb={}",
        before.resident_kb, after.resident_kb, after.peak_kb
    );
    ensure!(statuses.values().sum::<u64>() == addresses, "not every request was answered");
    let failed = statuses.keys().any(|status| *status >= 500);
    Ok(!failed && after.peak_kb <= flood.options.memory_max * 1024)
}

async fn lane(flood: Rc<Flood>) -> anyhow::Result<()> {
    let address = flood.options.target.address;
    let mut stream = TcpStream::connect(address).await.context("connecting to the edge")?;
    stream.set_nodelay(true)?;
    let (mut out, mut answers) = (Vec::new(), Vec::new());
    loop {
        let from = flood.next.get();
        let to = (from + BATCH).min(flood.options.addresses);
        if from == to {
            return Ok(());
        }
        flood.next.set(to);
        out.clear();
        for number in from..to {
            request(&flood.options, number, &mut out);
        }
        stream.write_all(&out).await.context("sending")?;
        for _ in from..to {
            let status = read_answer(&mut stream, &mut answers).await?;
            *flood.statuses.borrow_mut().entry(status).or_default() += 1;
        }
    }
}

/// One form from the network of this number.
fn request(options: &FloodOptions, number: u64, out: &mut Vec<u8>) {
    let word = WORDS[number as usize % WORDS.len()];
    let body = format!("email=visitor{number}%40example.org&message=The+{word}+one+please");
    let (form, host) = (&options.form, &options.target.host);
    let half = u32::try_from(number / 2).unwrap_or(u32::MAX);
    let from = if number.is_multiple_of(2) {
        // 10.0.0.0/8 upwards: 127 is the proxy's own and is stepped over.
        let network = half + (u32::from(half >= 117 << 16) << 16) + (10 << 16);
        Ipv4Addr::from((network << 8) | 7).to_string()
    } else {
        Ipv6Addr::from((0x2001_0db8_u128 << 96) | (u128::from(half) << 64) | 7).to_string()
    };
    write!(
        out,
        "POST /f/{form} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {from}\r\nAccept: application/json\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("writing to memory does not fail");
}

/// Reads one answer with a `Content-Length`; what follows it stays in `buffer`.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<u16> {
    loop {
        if let Some((status, length)) = answer_in(buffer) {
            buffer.drain(..length);
            return Ok(status);
        }
        let read = stream.read_buf(buffer).await.context("reading")?;
        ensure!(read > 0, "the edge closed a connection");
    }
}

/// Status and length of the first whole answer.
fn answer_in(buffer: &[u8]) -> Option<(u16, usize)> {
    let head = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).ok()?;
    let status = text.split(' ').nth(1)?.parse().ok()?;
    let length: usize = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())?;
    (buffer.len() >= head + length).then_some((status, head + length))
}

/// Memory of a process.
pub struct Memory {
    /// What it holds.
    pub resident_kb: u64,
    /// The most that it ever held.
    pub peak_kb: u64,
}

/// Memory of process `pid`.
///
/// # Errors
/// When there is no such process.
pub fn memory(pid: u32) -> anyhow::Result<Memory> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("reading {path}; is it the right --pid?"))?;
    let line = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name))?;
        value.split_whitespace().next()?.parse().ok()
    };
    let found = line("VmRSS:").zip(line("VmHWM:"));
    let (resident_kb, peak_kb) = found.with_context(|| format!("{path} is not as proc(5) says"))?;
    Ok(Memory { resident_kb, peak_kb })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use std::collections::HashSet;

    fn options() -> FloodOptions {
        let words = ["leadtrail-load", "flood", "--pid", "1"];
        match crate::options::Options::parse_from(words).command {
            crate::options::Command::Flood(options) => options,
            _ => unreachable!("flood was asked for"),
        }
    }

    #[test]
    fn every_request_comes_from_a_network_of_its_own() {
        let options = options();
        let mut networks = HashSet::new();
        for number in (0..20_000_000).step_by(1_001) {
            let mut out = Vec::new();
            request(&options, number, &mut out);
            let text = String::from_utf8(out).unwrap();
            let line =
                text.lines().find_map(|line| line.strip_prefix("X-Forwarded-For: ")).unwrap();
            let address: std::net::IpAddr = line.parse().unwrap();
            assert!(!address.is_loopback() && !address.is_unspecified(), "{address}");
            let network = match address {
                std::net::IpAddr::V4(ip) => u64::from(u32::from(ip) >> 8),
                std::net::IpAddr::V6(ip) => (u128::from(ip) >> 64) as u64,
            };
            assert!(networks.insert(network), "{address}");
        }
    }

    #[test]
    fn answers_are_told_apart() {
        let bytes = b"HTTP/1.1 429 Too Many\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n";
        assert_eq!(answer_in(bytes), Some((429, bytes.len() - 17)));
        assert_eq!(answer_in(&bytes[..bytes.len() - 18]), None);
    }
}
