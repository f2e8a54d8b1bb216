//! The edge as a process: the real binary, a real journal on a real disk, raw bytes over real sockets.
//!
//! In: requests. Out: answers, and what the journal holds once the process is gone. Promises: each test reads the journal for
//! itself, as the consumer does, and never believes the edge's own word.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use leadtrail::event::{Event, EventType};
use leadtrail::ids::EventId;
use leadtrail::journal::disk::{DiskReader, Entry};
use leadtrail::keys::Keys;
use leadtrail::tokens::{verify_click, verify_receipt};
use rustix::process::{Pid, Signal, kill_process};

use crate::env::{folder, free_port, wait_for};

/// A start takes milliseconds; the machine may be busy.
const READY_MAX: Duration = Duration::from_secs(30);

/// No answer of the edge takes longer than its own limits.
const ANSWER_MAX: Duration = Duration::from_secs(30);

const FORM: &str = "application/x-www-form-urlencoded";

/// `leadtrail serve` on a folder and ports of its own. Ends with this value.
struct Edge {
    child: Child,
    edge: SocketAddr,
    ops: SocketAddr,
    data: PathBuf,
}

impl Edge {
    async fn start(data: PathBuf, settings: &[(&str, &str)]) -> Self {
        let [edge, ops] = std::array::from_fn(|_| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let log = std::fs::OpenOptions::new().create(true).append(true).open(data.join("edge.log"));
        let child = Command::new(env!("CARGO_BIN_EXE_leadtrail"))
            .arg("serve")
            .env("LEADTRAIL_DATA_DIR", data.join("data"))
            .env("LEADTRAIL_EDGE__LISTEN", edge.to_string())
            .env("LEADTRAIL_OPS__LISTEN", ops.to_string())
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap())
            .spawn()
            .unwrap();
        let running = Self { child, edge, ops, data };
        wait_for("an edge that is ready", READY_MAX, || {
            TcpStream::connect(ops).is_ok() && get(ops, "/ready", "").starts_with("HTTP/1.1 200")
        })
        .await;
        running
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait_for("the end of the edge", READY_MAX, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }

    /// What the journal holds, read as the consumer reads it.
    fn events(&self) -> Vec<Event> {
        let mut reader = DiskReader::open(&self.data.join("data/journal")).unwrap();
        let mut from = reader.start().unwrap();
        let mut events = Vec::new();
        loop {
            let entries = reader.read(from, 1_000, 1 << 20).unwrap();
            let Some(last) = entries.last() else { return events };
            from = last.next_offset();
            for entry in entries {
                match entry {
                    Entry::Record { payload, .. } => {
                        events.push(Event::from_record(&payload).unwrap());
                    }
                    Entry::Void { .. } => {}
                    Entry::Damaged(damage) => panic!("damage at {}", damage.position),
                }
            }
        }
    }

    fn keys(&self) -> Keys {
        Keys::open(&self.data.join("data/keys")).unwrap()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends bytes, reads until the end; whatever came before an error counts.
fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let Ok(mut stream) = TcpStream::connect(address) else { return String::new() };
    stream.set_read_timeout(Some(ANSWER_MAX)).unwrap();
    let _ = stream.write_all(bytes);
    read(&mut stream)
}

fn read(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(address: SocketAddr, path: &str, lines: &str) -> String {
    let head =
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{lines}\r\n");
    raw(address, head.as_bytes())
}

fn post(address: SocketAddr, body: &str, lines: &str) -> String {
    let length = body.len();
    let head = format!(
        "POST /f/contact HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: {FORM}\r\n\
         content-length: {length}\r\n{lines}\r\n{body}"
    );
    raw(address, head.as_bytes())
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The sum of a counter's series that hold `labels`.
fn counted(edge: &Edge, name: &str, labels: &str) -> u64 {
    let text = get(edge.ops, "/metrics", "");
    let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(labels));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn a_receipt_outlives_kill_9() {
    let mut edge = Edge::start(folder("receive-kill"), &[]).await;
    let stop = AtomicBool::new(false);
    // Forms and clicks from four senders at once, until the process is gone in the middle of them.
    let receipts: Vec<String> = std::thread::scope(|scope| {
        let send = |sender: usize| {
            let (stop, edge) = (&stop, edge.edge);
            move || {
                let mut receipts = Vec::new();
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let answer = match number % 2 {
                        0 => post(edge, &format!("email={sender}-{number}%40example.com"), ""),
                        _ => get(edge, "/c/summer-ad", ""),
                    };
                    receipts.extend(header(&answer, "leadtrail-receipt").map(str::to_owned));
                }
                receipts
            }
        };
        let senders: Vec<_> = (0..4).map(|sender| scope.spawn(send(sender))).collect();
        let give_up = std::time::Instant::now() + READY_MAX;
        while counted(&edge, "leadtrail_requests_accepted_total", "") < 300 {
            assert!(std::time::Instant::now() < give_up, "300 events are not accepted in time");
            std::thread::yield_now();
        }
        edge.child.kill().unwrap();
        stop.store(true, Ordering::Relaxed);
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    edge.ended().await;
    // Half of the events are clicks, which may go without one.
    assert!(receipts.len() >= 100, "{} receipts", receipts.len());
    // The journal marks what is synced when it is opened again, and the receipts are good for the next process too.
    let edge = Edge::start(edge.data.clone(), &[]).await;
    let keys = edge.keys();
    let held: HashSet<EventId> = edge.events().iter().map(|event| event.id).collect();
    for receipt in &receipts {
        assert!(held.contains(&verify_receipt(&keys, receipt).unwrap()), "an event is lost");
        assert!(get(edge.edge, &format!("/receipt/{receipt}"), "").starts_with("HTTP/1.1 200"));
    }
    assert_eq!(held.len(), edge.events().len(), "each once");
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way_and_keeps_it() {
    let mut edge = Edge::start(folder("receive-stop"), &[]).await;
    let mut busy = TcpStream::connect(edge.edge).unwrap();
    busy.set_read_timeout(Some(ANSWER_MAX)).unwrap();
    let head = format!(
        "POST /f/contact HTTP/1.1\r\nhost: t\r\ncontent-type: {FORM}\r\ncontent-length: 11\r\n\r\nemail="
    );
    busy.write_all(head.as_bytes()).unwrap();
    wait_for("a form under way", READY_MAX, || {
        counted(&edge, "leadtrail_requests_received_total", "kind=\"form\"") == 1
    })
    .await;
    edge.signal(Signal::TERM);
    wait_for("a closed door", READY_MAX, || TcpStream::connect(edge.edge).is_err()).await;
    busy.write_all(b"a@b.c").unwrap();
    let answer = read(&mut busy);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(edge.ended().await.success());
    let receipt = header(&answer, "leadtrail-receipt").unwrap();
    let events = edge.events();
    assert_eq!(events.len(), 1);
    assert_eq!(verify_receipt(&edge.keys(), receipt), Some(events[0].id));
}

#[tokio::test]
async fn a_browsers_click_and_form_meet_in_the_log() {
    let edge = Edge::start(folder("receive-meet"), &[]).await;
    let click = get(edge.edge, "/c/summer-ad?gclid=Q", "accept-language: de\r\n");
    assert!(click.starts_with("HTTP/1.1 302"), "{click}");
    let location = url::Url::parse(header(&click, "location").unwrap()).unwrap();
    assert_eq!(location.host_str(), Some("localhost"));
    let id = location.query_pairs().find(|(name, _)| name == "lt").unwrap().1.into_owned();
    let cookie = header(&click, "set-cookie").unwrap().split(';').next().unwrap();
    let lines = format!(
        "cookie: {cookie}\r\norigin: http://localhost:8082\r\naccept: application/json\r\n"
    );
    let form = post(edge.edge, &format!("email=jane%40example.com&lt={id}"), &lines);
    assert_eq!(header(&form, "access-control-allow-origin"), Some("http://localhost:8082"));
    let events = edge.events();
    let (click, lead) = (&events[0], &events[1]);
    assert_eq!((click.event_type, lead.event_type), (EventType::Click, EventType::Lead));
    assert_eq!(lead.parent_click, verify_click(&edge.keys(), &id));
    assert_eq!(lead.parent_click.unwrap().id, click.id);
    assert_eq!((lead.visitor, lead.visitor.is_none()), (click.visitor, false));
    assert_eq!(lead.form.as_ref().unwrap().fields[0].1.expose(), "jane@example.com");
    // Neither the log of the process nor its metrics know who that was.
    let said = std::fs::read_to_string(edge.data.join("edge.log")).unwrap();
    assert!(!said.contains("jane") && !get(edge.ops, "/metrics", "").contains("jane"));
}

#[tokio::test]
async fn accepted_is_what_the_log_holds() {
    // A burst of one network that ends over its limit, so that every way of being counted occurs.
    let limits =
        [("LEADTRAIL_LIMITS__ADDRESS_BURST", "30"), ("LEADTRAIL_LIMITS__ADDRESS_PER_MINUTE", "1")];
    let edge = Edge::start(folder("receive-count"), &limits).await;
    for round in 0..40 {
        let answer = post(edge.edge, "email=a", "");
        let expected = if round < 30 { "HTTP/1.1 200" } else { "HTTP/1.1 429" };
        assert!(answer.starts_with(expected), "{round}: {answer}");
    }
    post(edge.edge, "", "");
    for path in [
        "/c/summer-ad",
        "/c/none",
        "/a/blogger/spring",
        "/i.gif?ad=summer-shoes",
        "/x.gif?amount=5",
        "/y",
    ] {
        get(edge.edge, path, "");
    }
    raw(edge.edge, b"no http at all\r\n\r\n");
    let sum = |names: &[&str]| -> u64 {
        names
            .iter()
            .map(|name| counted(&edge, &format!("leadtrail_requests_{name}_total"), ""))
            .sum()
    };
    let accepted = sum(&["accepted"]);
    assert_eq!(accepted, 34);
    assert_eq!(edge.events().len() as u64, accepted);
    assert_eq!(sum(&["received"]), 48);
    wait_for("counts that reconcile", READY_MAX, || {
        sum(&["received"]) == sum(&["accepted", "refused", "unrecorded", "answered", "abandoned"])
    })
    .await;
}

#[tokio::test]
async fn the_ops_door_answers_its_own_hosts_only() {
    let edge = Edge::start(folder("receive-ops"), &[]).await;
    let foreign = "GET /metrics HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    assert!(raw(edge.ops, foreign.as_bytes()).starts_with("HTTP/1.1 421"));
    assert!(get(edge.ops, "/live", "").starts_with("HTTP/1.1 200"));
    assert!(get(edge.edge, "/metrics", "").starts_with("HTTP/1.1 404"), "not on the edge");
}
