//! The embedded engine: the real library, the real child process, the real sandbox.

mod disk;
mod ends;
mod rights;

use std::io::Write as _;
use std::net::TcpStream;

use clickhouse::Client;
use leadtrail::store::engine::{Engine, EngineError};

use crate::env;
use crate::env::warehouse::{client, settings};

async fn number(client: &Client, query: &str) -> Result<u64, clickhouse::error::Error> {
    client.query(query).fetch_one::<u64>().await
}

async fn text(client: &Client, query: &str) -> Result<String, clickhouse::error::Error> {
    client.query(query).fetch_one::<String>().await
}

/// Runs the statement as a text, without a row type of our own, and gives the server's refusal.
async fn refusal(client: &Client, query: &str) -> String {
    match client.query(query).execute().await {
        Ok(()) => panic!("not refused: {query}"),
        Err(error) => error.to_string(),
    }
}

async fn fill(admin: &Client, rows: u64) {
    admin.query("CREATE DATABASE IF NOT EXISTS leadtrail ENGINE = Atomic").execute().await.unwrap();
    let table = "CREATE TABLE leadtrail.kept (n UInt64) ENGINE = MergeTree ORDER BY n";
    admin.query(table).execute().await.unwrap();
    let insert = format!("INSERT INTO leadtrail.kept SELECT number FROM numbers({rows})");
    admin.query(&insert).execute().await.unwrap();
}

#[tokio::test]
async fn half_sent_requests_do_not_end_it() {
    let engine = Engine::start(settings(env::folder("hostile"))).await.unwrap();
    let (pid, address) = (engine.pid(), engine.access().url.replace("http://", ""));
    let beginnings: [&[u8]; 10] = [
        b"",
        b"G",
        b"GET",
        b"GET /",
        b"GET / HTTP/1.1\r\nHost",
        b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\nSELECT",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        &[0xff; 4096],
        b"GET /?query=SELECT%201 HTTP/9.9\r\n\r\n\r\n\r\n",
    ];
    for round in 0..200 {
        let mut stream = TcpStream::connect(&address).unwrap();
        // It may hang up first, which is its right.
        let _ = stream.write_all(beginnings[round % beginnings.len()]);
    }
    let admin = client(engine.access(), &engine.access().admin);
    assert_eq!(number(&admin, "SELECT toUInt64(2)").await.unwrap(), 2);
    assert_eq!(engine.pid(), pid);
    engine.stop().await.unwrap();
}

#[tokio::test]
async fn it_counts_what_it_holds_itself_and_nothing_of_its_neighbours() {
    let mut small = settings(env::folder("neighbour"));
    small.memory_bytes_max = 512 << 20;
    let engine = Engine::start(small).await.unwrap();
    let admin = client(engine.access(), &engine.access().admin);
    let neighbour = vec![1_u8; 640 << 20];
    admin.query("CREATE TABLE default.held (n UInt64) ENGINE = Memory").execute().await.unwrap();
    let hold = "INSERT INTO default.held SELECT number FROM numbers(25000000)";
    admin.query(hold).execute().await.unwrap();
    // What looks at control groups would look every 50 to 100 ms; it finds the neighbour where groups are of version 2.
    for _ in 0..20 {
        let counted = "SELECT toUInt64(value) + sleep(0.05) FROM system.metrics WHERE metric = 'MemoryTracking'";
        let counted = number(&admin, counted).await.unwrap();
        assert!((200_000_000..450_000_000).contains(&counted), "{counted} of 200 MB held");
    }
    assert_eq!(neighbour.iter().step_by(4096).map(|byte| u64::from(*byte)).sum::<u64>(), 163_840);
    let much = "SELECT length(groupArray(number)) FROM numbers(200000000) FORMAT Null";
    let much = refusal(&admin, much).await;
    assert!(much.contains("MEMORY_LIMIT_EXCEEDED"), "{much}");
    engine.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_engine_on_one_folder_is_refused_and_the_first_goes_on() {
    let folder = env::folder("twice");
    let first = Engine::start(settings(&folder)).await.unwrap();
    let error = Engine::start(settings(&folder)).await.unwrap_err();
    assert!(matches!(error, EngineError::Held { .. }), "{error}");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    let admin = client(first.access(), &first.access().admin);
    assert_eq!(number(&admin, "SELECT toUInt64(1)").await.unwrap(), 1);
    first.stop().await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_reported_with_its_holder_and_the_key_to_change() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = settings(env::folder("port"));
    settings.http_port = listener.local_addr().unwrap().port();
    let error = Engine::start(settings).await.unwrap_err().to_string();
    for part in [&format!("process {}", std::process::id()), "engine.http_port"] {
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn what_cannot_start_says_why_and_what_to_do() {
    let mut missing = settings(env::folder("missing"));
    missing.library = "/nowhere/libchdb.so".into();
    let error = Engine::start(missing).await.unwrap_err().to_string();
    assert!(error.contains("deploy/parts/fetch up"), "{error}");

    // A library that is none: what the child says reaches the error.
    let mut wrong = settings(env::folder("wrong"));
    wrong.library = wrong.program.clone();
    let error = Engine::start(wrong).await.unwrap_err();
    assert!(matches!(error, EngineError::EndedEarly { .. }), "{error}");
    assert!(error.to_string().contains("cannot load the engine"), "{error}");

    let folder = env::folder("keyless");
    let engine = Engine::start(settings(&folder)).await.unwrap();
    fill(&client(engine.access(), &engine.access().admin), 1).await;
    engine.stop().await.unwrap();
    std::fs::remove_file(folder.join("data.key")).unwrap();
    let error = Engine::start(settings(&folder)).await.unwrap_err();
    assert!(matches!(error, EngineError::DataKey { state: "missing", .. }), "{error}");
}
