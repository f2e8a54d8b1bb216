//! The counts reconcile, whatever is sent.

use super::*;

const SETTLED: [&str; 5] = [
    "leadtrail_requests_accepted_total",
    "leadtrail_requests_refused_total",
    "leadtrail_requests_unrecorded_total",
    "leadtrail_requests_answered_total",
    "leadtrail_requests_abandoned_total",
];

fn assert_reconciled(running: &Running) {
    for door in crate::receive::tally::Door::ALL {
        let kind = format!("kind=\"{}\"", door.word());
        let received = running.counted("leadtrail_requests_received_total", &kind);
        let settled: u64 = SETTLED.iter().map(|name| running.counted(name, &kind)).sum();
        assert_eq!(received, settled, "{kind}");
    }
}

#[tokio::test]
async fn received_is_accepted_plus_refused_plus_what_says_why_not() {
    let running = start(|_| {}).await;
    let urlencoded = "application/x-www-form-urlencoded";
    for round in 0..3 {
        running.log_says(Some([Outcome::Durable, Outcome::Written, Outcome::Refused][round]));
        running.post("/f/contact", urlencoded, b"a=1", &[]).await;
        running.post("/f/contact", urlencoded, b"", &[]).await;
        running.post("/f/contact", "x/y", b"", &[]).await;
        running.ask("OPTIONS", "/f/contact", &[]).await;
        for path in [
            "/c/summer",
            "/c/none",
            "/a/blogger/spring",
            "/a/x/y",
            "/o/x.gif",
            "/i.gif?ad=summer-shoes",
            "/i.gif",
            "/x.gif?site=shop&amount=1",
            "/x.gif",
            "/receipt/x",
            "/robots.txt",
            "/favicon.ico",
            "/f/contact",
        ] {
            running.get(path, &[]).await;
        }
        running.raw(b"nonsense\r\n\r\n").await;
    }
    assert_eq!(running.counted("leadtrail_requests_received_total", ""), 3 * 18);
    assert_reconciled(&running);
    let accepted = running.counted("leadtrail_requests_accepted_total", "");
    assert_eq!(accepted, 5 + 2, "five events durable, two clicks written");
    assert_eq!(running.counted("leadtrail_requests_answered_total", ""), 3 * 2);
}

#[tokio::test]
async fn a_client_that_leaves_is_counted_too() {
    let running = start(|_| {}).await;
    running.log_says(None);
    let mut stream = running.connect().await;
    stream.write_all(b"GET /i.gif?ad=summer-shoes HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
    let received = "leadtrail_requests_received_total";
    eventually("the request is received", || running.counted(received, "") == 1).await;
    drop(stream);
    let abandoned = "leadtrail_requests_abandoned_total";
    eventually("it is abandoned", || running.counted(abandoned, "kind=\"impression\"") == 1).await;
    let mut half = running.connect().await;
    let head = "POST /f/contact HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{\"a\"";
    half.write_all(head.as_bytes()).await.unwrap();
    eventually("the form is received", || running.counted(received, "kind=\"form\"") == 1).await;
    drop(half);
    let form = "kind=\"form\"";
    eventually("the form is settled", || {
        running.counted(abandoned, form) + running.counted("leadtrail_requests_refused_total", form)
            == 1
    })
    .await;
    assert_reconciled(&running);
}

#[tokio::test]
async fn no_answer_and_no_metric_repeats_what_was_sent() {
    let running = start(|_| {}).await;
    let secret = "jane.roe@example.com";
    let body = format!("email={secret}&_next=https://evil.example/{secret}");
    let page = format!("referer: https://www.shop.example/{secret}");
    let mut answers = vec![
        running
            .post("/f/contact", "application/x-www-form-urlencoded", body.as_bytes(), &[&page])
            .await,
        running
            .post(
                &format!("/f/{secret}"),
                "application/x-www-form-urlencoded",
                body.as_bytes(),
                &[],
            )
            .await,
        running.post("/f/contact", &format!("text/{secret}"), body.as_bytes(), &[]).await,
    ];
    for path in ["/c/summer?x=", "/c/", "/x.gif?site=", "/i.gif?ad=", "/receipt/"] {
        answers.push(running.get(&format!("{path}{secret}"), &[&page]).await);
    }
    for answer in &answers {
        let text = format!("{}{}", answer.head, String::from_utf8_lossy(&answer.body));
        assert!(!text.contains("jane") && !text.contains("evil"), "{text}");
    }
    let mut metrics = String::new();
    prometheus_client::encoding::text::encode(&mut metrics, &running.counters).unwrap();
    assert!(!metrics.contains("jane"));
}
