//! Hostile bytes against both open listeners of the real program: the edge and the app.
//!
//! Each try is written byte by byte to a socket of its own. What is asked every time: no answer but to what was one request, no 5xx, no header that was smuggled
//! into an answer, and afterwards the listener answers as ever.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::env::program::Installation;
use crate::env::warehouse::Warehouse;

/// Longer than any deadline of a listener that is set for these tests.
const ANSWER_MAX: Duration = Duration::from_secs(30);

async fn installation(purpose: &str) -> (Installation, crate::env::warehouse::Database) {
    let database = Warehouse::shared().database().await;
    let mut installation = Installation::new(purpose);
    installation.use_warehouse(&database);
    (installation, database)
}

/// A listener that is not refusing by then waits for more.
const FIRST_WORD_MAX: Duration = Duration::from_secs(3);

/// Sends bytes, reads until the end; a connection that is cut gives what came before.
fn exchange(port: u16, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(FIRST_WORD_MAX)).unwrap();
    // A listener that refuses early stops reading.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
        // Nothing more comes from here: what the listener waits for is over, and what it has to say is said now.
        stream.set_read_timeout(Some(ANSWER_MAX)).unwrap();
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses of an exchange, in order.
fn statuses(answer: &str) -> Vec<u16> {
    let lines = answer.match_indices("HTTP/1.1 ");
    lines.filter_map(|(at, _)| answer.get(at + 9..at + 12)?.parse().ok()).collect()
}

/// A request that one parser takes for one and another for two. The second is `GET /hidden`.
fn smuggled(port: u16, path: &str) -> Vec<(&'static str, String)> {
    let hidden = format!("GET /hidden HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    let chunk = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    );
    let length = hidden.len();
    vec![
        (
            "two lengths that differ",
            format!("{head}Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{hidden}"),
        ),
        ("a list of lengths", format!("{head}Content-Length: 0, {length}\r\n\r\n{hidden}")),
        ("a length with a sign", format!("{head}Content-Length: +0\r\n\r\n{hidden}")),
        ("a length in hexadecimal", format!("{head}Content-Length: 0x0\r\n\r\n{hidden}")),
        ("a blank before the colon", format!("{head}Content-Length : {length}\r\n\r\n{hidden}")),
        (
            "chunks and a length",
            format!(
                "{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
            ),
        ),
        (
            "a length and chunks",
            format!(
                "{head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{hidden}"
            ),
        ),
        ("chunks by another name", format!("{head}Transfer-Encoding: xchunked\r\n\r\n{chunk}")),
        (
            "chunks that are not last",
            format!("{head}Transfer-Encoding: chunked, identity\r\n\r\n{chunk}"),
        ),
        (
            "identity",
            format!("{head}Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n{hidden}"),
        ),
        (
            "a folded encoding",
            format!("{head}Transfer-Encoding:\r\n chunked\r\nContent-Length: 0\r\n\r\n{hidden}"),
        ),
        ("a folded length", format!("{head}Content-Length:\r\n 0\r\n\r\n{hidden}")),
        (
            "a tab in the encoding's name",
            format!("{head}Transfer-Encoding\t: chunked\r\nContent-Length: 0\r\n\r\n{hidden}"),
        ),
        (
            "HTTP/1.0 in chunks",
            format!(
                "POST {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
            ),
        ),
        (
            "a chunk larger than numbers",
            format!("{head}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n{hidden}"),
        ),
        (
            "a chunk that is no number",
            format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n{hidden}"),
        ),
    ]
}

/// Requests of which an honest parser takes none.
fn malformed(port: u16) -> Vec<(&'static str, Vec<u8>)> {
    let host = format!("Host: 127.0.0.1:{port}\r\n");
    let request = |head: &str| format!("{head}{host}Connection: close\r\n\r\n").into_bytes();
    let mut zero = request("GET / HTTP/1.1\r\n");
    let at = zero.iter().position(|byte| *byte == b'1').unwrap();
    zero[at] = 0;
    vec![
        ("another protocol", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("a zero in the version", zero),
        ("a carriage return in a header", request("GET / HTTP/1.1\r\nX: a\rSet-Cookie: b\r\n")),
        ("a zero in a header", request("GET / HTTP/1.1\r\nX: a\0b\r\n")),
        ("a header without a name", request("GET / HTTP/1.1\r\n: x\r\n")),
        ("a path with a blank", request("GET /a b HTTP/1.1\r\n")),
        ("a folded header", request("GET / HTTP/1.1\r\nX: a\r\n b\r\n")),
    ]
}

/// Paths that mean a file or another listener's page to a careless server.
const PATHS: [&str; 16] = [
    "/../../etc/passwd",
    "/..%2f..%2fetc%2fpasswd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/api/report/../../v1/events",
    "/api/report/..%2fleads",
    "/api/report/leads/",
    "/api//report/leads",
    "//evil.example/",
    "/%00",
    "/leads%00.csv",
    "/sign-in/..;/",
    "/\\evil.example",
    "/c/..%2f..",
    "/f/%2e%2e",
    "/receipt/%0d%0aSet-Cookie:%20a=b",
    "/o/..%2f.gif",
];

fn still_answers(installation: &Installation, try_of: &str) {
    assert_eq!(installation.get("/robots.txt", "").status, 200, "the edge after {try_of}");
    assert_eq!(installation.app("/page.css").status, 200, "the app after {try_of}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bytes_make_a_listener_answer_twice_fail_or_stop() {
    let (mut installation, _database) = installation("hostile").await;
    installation.set("EDGE__HEADER_TIMEOUT_MS", "2000");
    installation.set("EDGE__BODY_TIMEOUT_MS", "2000");
    installation.set("LIMITS__ADDRESS_BURST", "100000");
    let mut program = installation.ready(&["up"]).await;
    for (port, path) in [(installation.edge, "/f/contact"), (installation.app, "/v1/events")] {
        for (what, request) in smuggled(port, path) {
            let answer = exchange(port, request.as_bytes());
            let statuses = statuses(&answer);
            assert!(
                statuses.iter().all(|status| (400..500).contains(status)),
                "{what} at {path}: {answer}"
            );
            // What hides in a body is part of it, or the connection ends before it.
            assert!(statuses.len() <= 1, "{what} at {path}: {answer}");
        }
        for (what, request) in malformed(port) {
            let answer = exchange(port, &request);
            let refused = statuses(&answer).iter().all(|status| (400..500).contains(status));
            assert!(refused && !answer.contains("Set-Cookie: b"), "{what}: {answer}");
        }
        still_answers(&installation, "malformed requests");
        for path in PATHS {
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
            );
            let answer = exchange(port, request.as_bytes());
            let found = statuses(&answer);
            assert!(found.len() == 1 && (400..500).contains(&found[0]), "{path}: {answer}");
            let head = answer.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
            assert!(!head.contains("set-cookie") && !head.contains("location"), "{path}: {answer}");
            assert!(!answer.contains("root:"), "{path}");
        }
        floods(port);
        still_answers(&installation, "floods");
    }
    let logs = installation.logs();
    assert!(!logs.contains("panicked"), "{logs}");
    assert!(program.stop().success());
}

/// Headers without an end, by number, by size, by time.
fn floods(port: u16) {
    let head = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n");
    let many: String = (0..5_000).map(|number| format!("X-{number}: a\r\n")).collect();
    let long = format!("X: {}\r\n", "a".repeat(1 << 20));
    for (what, request) in [
        ("many headers", format!("{head}{many}\r\n")),
        ("one long header", format!("{head}{long}\r\n")),
        ("a long path", format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1 << 20))),
        ("a long method", format!("{} / HTTP/1.1\r\n\r\n", "A".repeat(1 << 20))),
        ("headers that never end", format!("{head}X: a\r\n")),
    ] {
        let answer = exchange(port, request.as_bytes());
        // A listener that closes on unread bytes resets the connection: then there may be no answer.
        assert!(
            statuses(&answer).iter().all(|status| (400..500).contains(status)),
            "{what}: {answer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_makes_a_log_line_of_its_own_a_formula_or_a_header() {
    let (installation, database) = installation("injected").await;
    let mut program = installation.ready(&["up"]).await;
    let evil = "x%0d%0aSet-Cookie:%20a=b%0a%7B%22level%22:%22ERROR%22,%22message%22:%22forged%22%7D%1b%5b31m";
    let raw = "x\r\n{\"level\":\"ERROR\",\"fields\":{\"message\":\"forged\"}}\u{1b}[31m";
    for path in [
        format!("/c/summer-ad?utm_campaign={evil}&gclid={evil}"),
        format!("/c/{evil}"),
        format!("/x.gif?goal={evil}&order={evil}&amount={evil}"),
        format!("/postback/network?tid={evil}&status={evil}"),
        format!("/receipt/{evil}"),
    ] {
        let reply = installation.get(&path, "");
        assert!(reply.header("set-cookie").is_none_or(|cookie| !cookie.contains("a=b")), "{path}");
    }
    for path in
        [format!("/?period={evil}"), format!("/api/report/{evil}"), format!("/sign-in?next={evil}")]
    {
        let reply = installation.app(&path);
        assert!(reply.header("set-cookie").is_none() && reply.status < 500, "{path}");
        assert!(!reply.text().contains('\u{1b}'), "{path}");
    }
    let key = installation.says(&["key", "new", "--name", "shop", "--role", "operator"]);
    let bearer = format!("Authorization: Bearer {key}\r\n");
    crate::env::wait_for("the key to be admitted", ANSWER_MAX, || {
        let reply = installation.ask_app(
            "POST",
            "/v1/events",
            &format!("{bearer}Content-Type: application/json\r\n"),
            "[]",
        );
        reply.status == 400
    })
    .await;
    let headers = format!(
        "{bearer}Content-Type: application/json\r\nIdempotency-Key: {{\"level\":\"ERROR\"}}\r\n"
    );
    let name = serde_json::to_string(raw).unwrap();
    let body = format!(
        r#"[{{"type":"conversion","goal":{name},{name}:1}},{{"type":"lead","form":"contact","fields":{{"name":"=cmd|' /C calc'!A0","email":"+1@example.com","phone":"@SUM(1)"}}}}]"#
    );
    let reply = installation.ask_app("POST", "/v1/events", &headers, &body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(
        !reply.text().contains('\u{1b}') && reply.text().contains("unknown_field"),
        "{}",
        reply.text()
    );
    let sign_in = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("name", raw), ("password", raw), ("next", raw)])
        .finish();
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let reply = installation.ask_app("POST", "/sign-in", form, &sign_in);
    assert_eq!((reply.status, reply.header("location")), (403, None));

    crate::env::wait_for_async("the lead to be stored", ANSWER_MAX * 2, async || {
        let count = database.admin.query("SELECT count() FROM leads").fetch_one::<u64>().await;
        count.is_ok_and(|count| count == 1)
    })
    .await;
    let file = installation.ask_app("GET", "/api/report/leads?format=csv", &bearer, "").text();
    assert!(file.contains("'=cmd|"), "{file}");
    for line in file.lines() {
        for cell in line.split(',') {
            let cell = cell.trim_matches('"');
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t']), "{cell} in {line}");
        }
    }
    assert!(program.stop().success());
    let logs = installation.logs();
    assert!(
        !logs.contains("forged")
            || !logs.lines().any(|line| line.starts_with("{\"level\":\"ERROR\"")),
        "{logs}"
    );
    assert!(!logs.contains('\u{1b}') && !logs.contains(&key[15..]));
}
