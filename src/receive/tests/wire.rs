//! The wire: bytes in pieces, deadlines, caps, and the drain.

use super::*;

const FORM: &str = "POST /f/contact HTTP/1.1\r\nhost: t\r\naccept: application/json\r\ncontent-type: application/x-www-form-urlencoded\r\n";

#[tokio::test]
async fn a_request_may_come_byte_by_byte_and_several_on_one_connection() {
    let running = start(|_| {}).await;
    let mut stream = running.connect().await;
    stream.set_nodelay(true).unwrap();
    for _ in 0..2 {
        for byte in format!("{FORM}content-length: 3\r\n\r\na=1").bytes() {
            stream.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(read_one(&mut stream).await.status, 200);
    }
    // Two requests in one write are answered in order.
    let pair =
        "GET /robots.txt HTTP/1.1\r\nhost: t\r\n\r\nGET /c/summer HTTP/1.1\r\nhost: t\r\n\r\n";
    stream.write_all(pair.as_bytes()).await.unwrap();
    assert_eq!(read_one(&mut stream).await.status, 200);
    assert_eq!(read_one(&mut stream).await.status, 302);
    assert_eq!(running.events().len(), 3);
}

#[tokio::test]
async fn a_chunked_body_is_a_body_and_a_broken_one_is_refused() {
    let running = start(|_| {}).await;
    let chunked = format!(
        "{FORM}transfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\na=\r\n3\r\n1&b\r\n0\r\n\r\n"
    );
    assert_eq!(Answer::parse(&running.raw(chunked.as_bytes()).await).status, 200);
    let event = running.event();
    assert_eq!(event.form.unwrap().fields.len(), 2);
    let broken = format!(
        "{FORM}transfer-encoding: chunked\r\nconnection: close\r\n\r\nzz\r\na=1\r\n0\r\n\r\n"
    );
    let answer = Answer::parse(&running.raw(broken.as_bytes()).await);
    assert!(answer.status == 400 && answer.text().contains("broken_body"), "{answer:?}");
    let endless = format!(
        "{FORM}transfer-encoding: chunked\r\nconnection: close\r\n\r\n20000\r\n{}\r\n0\r\n\r\n",
        "a".repeat(0x20000)
    );
    let answer = Answer::parse(&running.raw(endless.as_bytes()).await);
    assert!(answer.status == 413 && answer.text().contains("body_too_large"), "{answer:?}");
}

#[tokio::test]
async fn two_lengths_that_differ_are_no_request() {
    let running = start(|_| {}).await;
    let twice = format!("{FORM}content-length: 3\r\ncontent-length: 4\r\n\r\na=12");
    assert_eq!(Answer::parse(&running.raw(twice.as_bytes()).await).status, 400);
    for nonsense in ["\u{1}\u{2}\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /a b c HTTP/1.1\r\n\r\n"]
    {
        assert_eq!(
            Answer::parse(&running.raw(nonsense.as_bytes()).await).status,
            400,
            "{nonsense:?}"
        );
    }
    let bad = "kind=\"other\",reason=\"bad_http\"";
    eventually("they are counted", || {
        running.counted("leadtrail_requests_refused_total", bad) == 4
    })
    .await;
    let vast = format!("GET /robots.txt HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(40_000));
    assert_eq!(Answer::parse(&running.raw(vast.as_bytes()).await).status, 431);
    let large = "kind=\"other\",reason=\"header_too_large\"";
    eventually("it is counted", || running.counted("leadtrail_requests_refused_total", large) == 1)
        .await;
    assert!(running.events().is_empty());
}

#[tokio::test]
async fn who_expects_a_continue_gets_it_or_the_refusal() {
    let running = start(|_| {}).await;
    let mut stream = running.connect().await;
    let head = format!("{FORM}content-length: 3\r\nexpect: 100-continue\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read_one(&mut stream).await.status, 100);
    stream.write_all(b"a=1").await.unwrap();
    assert_eq!(read_one(&mut stream).await.status, 200);
    let head = format!("{FORM}content-length: 3000000\r\nexpect: 100-continue\r\n\r\n");
    assert_eq!(Answer::parse(&running.raw(head.as_bytes()).await).status, 413);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_read_away_so_that_the_refusal_is_seen() {
    let running = start(|_| {}).await;
    let body = vec![b'a'; 900_000];
    let mut request =
        format!("{FORM}connection: close\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    request.extend_from_slice(&body);
    let answer = Answer::parse(&running.raw(&request).await);
    assert!(answer.status == 413 && answer.text().contains("body_too_large"));
}

#[tokio::test]
async fn a_body_that_dribbles_is_answered_408() {
    let running = start(|config| config.edge.body_timeout_ms = 100).await;
    let answer =
        Answer::parse(&running.raw(format!("{FORM}content-length: 9\r\n\r\na=").as_bytes()).await);
    assert!(answer.status == 408 && answer.text().contains("body_too_slow"), "{answer:?}");
}

#[tokio::test]
async fn a_header_that_dribbles_is_answered_408_and_closed() {
    let running = start(|config| config.edge.header_timeout_ms = 500).await;
    let mut stream = running.connect().await;
    stream.write_all(b"GET /robots.txt HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
    assert_eq!(read_one(&mut stream).await.status, 200);
    stream.write_all(b"GET /rob").await.unwrap();
    // Idle is allowed for 75 s, but the second header has begun.
    assert_eq!(Answer::parse(&read_to_end(&mut stream).await).status, 408);
    let mut dribbler = running.connect().await;
    dribbler.write_all(b"GET /rob").await.unwrap();
    assert_eq!(Answer::parse(&read_to_end(&mut dribbler).await).status, 408);
    let slow = "kind=\"other\",reason=\"header_too_slow\"";
    assert_eq!(running.counted("leadtrail_requests_refused_total", slow), 2);
    let mut silent = running.connect().await;
    assert!(read_to_end(&mut silent).await.is_empty(), "who says nothing is told nothing");
}

#[tokio::test]
async fn an_idle_connection_outlives_the_header_deadline_and_is_closed_at_its_own() {
    let running = start(|config| {
        config.edge.header_timeout_ms = 400;
        config.edge.idle_timeout_ms = 2_000;
    })
    .await;
    let mut stream = running.connect().await;
    let request = b"GET /robots.txt HTTP/1.1\r\nhost: t\r\n\r\n";
    stream.write_all(request).await.unwrap();
    read_one(&mut stream).await;
    let idle = std::time::Instant::now();
    // The quiet itself is what is tested: longer than two header deadlines, shorter than the idle one.
    tokio::time::sleep(Duration::from_millis(900)).await;
    stream.write_all(request).await.unwrap();
    assert_eq!(read_one(&mut stream).await.status, 200, "two header deadlines later");
    assert!(read_to_end(&mut stream).await.is_empty());
    assert!(idle.elapsed() >= Duration::from_millis(2_900), "{:?}", idle.elapsed());
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_and_are_served_later() {
    let running = start(|config| config.edge.connections_max = 1).await;
    let mut first = running.connect().await;
    first.write_all(b"GET /robots.txt HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
    assert_eq!(read_one(&mut first).await.status, 200);
    let mut second = running.connect().await;
    second
        .write_all(b"GET /robots.txt HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(100), second.read(&mut byte)).await;
    assert!(early.is_err(), "the place is taken");
    assert_eq!(running.edge.metrics.connections.get(), 1);
    drop(first);
    assert!(read_to_end(&mut second).await.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn a_stop_closes_the_idle_and_finishes_what_is_under_way() {
    let running = start(|_| {}).await;
    let mut idle = running.connect().await;
    idle.write_all(b"GET /robots.txt HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
    read_one(&mut idle).await;
    let mut fresh = running.connect().await;
    let mut busy = running.connect().await;
    busy.write_all(format!("{FORM}content-length: 3\r\n\r\na=").as_bytes()).await.unwrap();
    let received = "leadtrail_requests_received_total";
    eventually("the form is under way", || running.counted(received, "kind=\"form\"") == 1).await;
    eventually("all are accepted", || running.edge.metrics.connections.get() == 3).await;
    running.stopper.stop();
    assert!(read_to_end(&mut idle).await.is_empty());
    assert!(read_to_end(&mut fresh).await.is_empty());
    busy.write_all(b"1").await.unwrap();
    let answer = Answer::parse(&read_to_end(&mut busy).await);
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert_eq!(running.serving.await.unwrap(), Drained::Whole);
    assert!(TcpStream::connect(running.address).await.is_err(), "nobody listens any more");
    assert_eq!(running.edge.metrics.connections.get(), 0);
}

#[tokio::test]
async fn the_drain_has_a_deadline() {
    let running = start(|config| config.edge.drain_ms = 100).await;
    running.log_says(None);
    let mut busy = running.connect().await;
    busy.write_all(b"GET /i.gif?ad=summer-shoes HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
    let received = "leadtrail_requests_received_total";
    eventually("it is under way", || running.counted(received, "") == 1).await;
    running.stopper.stop();
    assert_eq!(running.serving.await.unwrap(), Drained::Deadline { left: 1 });
}

#[tokio::test]
async fn a_servers_get_with_raw_blanks_and_letters_is_a_lead() {
    let running = start(|_| {}).await;
    let request = "GET /f/contact?name=Jürgen Wolf&email=a@b.example HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
    assert_eq!(Answer::parse(&running.raw(request.as_bytes()).await).status, 200);
    let form = running.event().form.unwrap();
    assert_eq!(form.fields[0].1.expose(), "Jürgen Wolf");
}
