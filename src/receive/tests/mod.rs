//! The doors from outside: raw bytes over a real socket, the log in memory.
//!
//! In: requests as text. Out: answers, and the events that were recorded. The harness is here; one module per subject.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::registry::Registry as Counters;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::check::caps::Caps;
use crate::check::clicks::Networks;
use crate::check::dialects::Dialects;
use crate::check::dialects::doors::Doors;
use crate::check::postbacks::Postbacks;
use crate::config::Config;
use crate::enrich::place::Places;
use crate::event::Event;
use crate::ids::now_millis;
use crate::journal::{Journal, Outcome};
use crate::keys::{DailySalt, Keys};
use crate::receive::{Drained, Edge, Known, serve};
use crate::registry::Registry;
use crate::stop::{self, Stopper};

mod affiliates;
mod clicks;
mod forms;
mod golden;
mod hostile;
mod links;
mod overload;
mod pixels;
mod postbacks;
mod replies;
mod spam;
mod tallies;
mod unsubscribe;
mod wire;

/// A small database of places.
const PLACES: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/geo/GeoIP2-City-Test.mmdb");

/// Everything that a test waits for comes within this, or the test fails.
const DEADLINE: Duration = Duration::from_secs(20);

const SITES: &str = r#"
[[site]]
name = "shop"
origins = ["https://www.shop.example", "http://localhost:8082"]
visitor = "cookie"

[[site]]
name = "quiet"
thank_you = "https://quiet.example/thanks"
visitor = "none"

[[site]]
name = "hashed"
visitor = "daily_hash"

[[form]]
name = "contact"
site = "shop"

[[form]]
name = "quiet"
site = "quiet"
files = "refuse"
charset = "iso-8859-2"

[[form]]
name = "hashed"
site = "hashed"

[[mailing]]
number = 4
name = "spring-mail"
site = "shop"
campaign = "spring"

[[link]]
number = 7
name = "summer"
site = "shop"
destination = "https://www.shop.example/shoes?utm_source=newsday&utm_medium=cpc#sizes"
campaign = "summer"
ad = "summer-shoes"
placement = "top"
product = "shoe"
price = "79.90"
currency = "EUR"

[[link]]
number = 8
name = "still"
site = "quiet"
destination = "https://quiet.example/"

[[affiliate]]
number = 1
name = "blogger"

[[affiliate]]
number = 2
name = "stranger"

[[offer]]
number = 300
name = "spring"
site = "shop"
destination = "https://www.shop.example/spring"
click_parameter = "cid"
affiliates = ["blogger"]
amount = "49.90"
currency = "EUR"

[[postback]]
name = "tracker"
profile = "keitaro"
site = "shop"
offer = "spring"
secret_file = "SECRET_FILE"

[[postback]]
name = "open"
profile = "keitaro"
site = "shop"

[[postback]]
name = "tune"
site = "shop"
secret_file = "SECRET_FILE"
hosts = ["t"]
"#;

/// An edge that runs, with a log in memory.
struct Running {
    address: SocketAddr,
    edge: Arc<Edge>,
    counters: Counters,
    stopper: Stopper,
    serving: JoinHandle<Drained>,
    _keys: tempfile::TempDir,
}

/// Starts an edge; `tune` changes its configuration.
async fn start(tune: impl FnOnce(&mut Config)) -> Running {
    start_with(SITES, tune).await
}

/// The same, with other sites.
async fn start_with(sites: &str, tune: impl FnOnce(&mut Config)) -> Running {
    let keys = tempfile::tempdir().unwrap();
    let mut config = Config::load(None, std::iter::empty()).unwrap();
    tune(&mut config);
    let journal = Journal::Memory(Mutex::default(), Mutex::new(Some(Outcome::Durable)));
    let mut counters = Counters::default();
    let secret = keys.path().join("secret");
    std::fs::write(&secret, "known-secret\n").unwrap();
    let sites = sites.replace("SECRET_FILE", secret.to_str().unwrap());
    let registry = Arc::new(Registry::parse(&sites, "test").unwrap());
    let doors = Doors::new(&registry, Arc::new(Dialects::built_in())).unwrap();
    let edge = Edge::new(
        &config,
        Known {
            postbacks: Arc::new(Postbacks::open(&config, &registry).unwrap()),
            networks: Arc::new(Networks::open("", registry.clone()).unwrap()),
            places: Some(Arc::new(Places::open(Path::new(PLACES)).unwrap())),
            caps: Arc::new(Caps::in_memory()),
            registry,
            links: Arc::default(),
            doors: Arc::new(doors),
        },
        Arc::new(Keys::open(keys.path()).unwrap()),
        Arc::new(DailySalt::open(keys.path(), now_millis()).unwrap()),
        Arc::new(journal),
        &mut counters,
    );
    let edge = Arc::new(edge.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stopper, stop) = stop::channel();
    let serving = tokio::spawn(serve(listener, edge.clone(), stop));
    Running { address, edge, counters, stopper, serving, _keys: keys }
}

/// An answer, read.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end =
            end.unwrap_or_else(|| panic!("no answer in {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head[9..12].parse().unwrap();
        Self { status, head, body: bytes[end + 4..].to_vec() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads until the edge closes.
    async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        read_to_end(&mut stream).await
    }

    /// A request without a body, with further header lines.
    async fn ask(&self, method: &str, path: &str, lines: &[&str]) -> Answer {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n{lines}\r\n");
        Answer::parse(&self.raw(request.as_bytes()).await)
    }

    async fn get(&self, path: &str, lines: &[&str]) -> Answer {
        self.ask("GET", path, lines).await
    }

    /// A post of some type, with further header lines.
    async fn post(&self, path: &str, kind: &str, body: &[u8], lines: &[&str]) -> Answer {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n{lines}\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        Answer::parse(&self.raw(&request).await)
    }

    /// The events that the log has.
    fn events(&self) -> Vec<Event> {
        let Journal::Memory(records, _) = &*self.edge.journal else { unreachable!() };
        let records = records.lock().unwrap();
        records.iter().map(|record| Event::from_record(&record.payload).unwrap()).collect()
    }

    /// The only event that the log has.
    fn event(&self) -> Event {
        let mut events = self.events();
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }

    /// What every append says from now on; `None`: nothing, ever.
    fn log_says(&self, outcome: Option<Outcome>) {
        let Journal::Memory(_, says) = &*self.edge.journal else { unreachable!() };
        *says.lock().unwrap() = outcome;
    }

    /// The sum of a counter's series whose labels hold `labels`.
    fn counted(&self, name: &str, labels: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.counters).unwrap();
        text.lines()
            .filter(|line| line.starts_with(name) && line.contains(labels))
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
            .sum()
    }
}

async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes)).await;
    // A reset after the answer is as good as an end.
    let _ = read.expect("the edge closes the connection in time");
    bytes
}

/// Reads one answer from a connection that stays open. Its body must have a length.
async fn read_one(stream: &mut TcpStream) -> Answer {
    let read = async {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.push(stream.read_u8().await.expect("an answer"));
        }
        let mut answer = Answer::parse(&bytes);
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        answer.body = vec![0; length];
        stream.read_exact(&mut answer.body).await.unwrap();
        answer
    };
    tokio::time::timeout(DEADLINE, read).await.expect("an answer in time")
}

/// Waits for a condition.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let end = std::time::Instant::now() + DEADLINE;
    while !condition() {
        assert!(std::time::Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A value of a URL's query.
fn query_value(url: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(url).unwrap();
    url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}
