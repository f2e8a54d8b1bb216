//! More comes than can be done: who is sent away, and how.

use super::*;

const URLENCODED: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn what_is_only_counted_is_sent_away_first_and_leads_much_later() {
    let running = start(|_| {}).await;
    let lead = b"email=jane@example.org";
    running.edge.pulse.pretend(Duration::from_millis(1_500));
    for path in ["/i.gif?ad=summer-shoes", "/o/x.gif", "/f/contact/time"] {
        let answer = running.get(path, &[]).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{path}");
        assert_eq!(answer.header("leadtrail-receipt"), None);
    }
    assert_eq!(running.get("/i.gif?ad=summer-shoes", &[]).await.body.len(), 43, "still an image");
    assert_eq!(running.post("/f/contact", URLENCODED, lead, &[]).await.status, 200);
    assert_eq!(running.get("/x.gif?site=shop&amount=1", &[]).await.status, 200);
    assert_eq!(running.get("/c/summer", &[]).await.status, 302);
    assert_eq!(running.events().len(), 3);

    running.edge.pulse.pretend(Duration::from_secs(11));
    let page = running.post("/f/contact", URLENCODED, lead, &["accept: text/html"]).await;
    assert_eq!((page.status, page.header("retry-after")), (503, Some("5")));
    assert!(page.text().contains("jane@example.org"), "what was typed comes back, to send again");
    assert_eq!(running.get("/x.gif?site=shop&amount=1", &[]).await.status, 503);
    let postback = running.get("/postback/open?subid=x&status=sale&payout=1", &[]).await;
    assert_eq!((postback.status, postback.header("retry-after")), (503, Some("5")));
    assert_eq!(running.events().len(), 3);
    // Who is led on is led on, and recorded.
    for path in ["/c/summer", "/a/blogger/spring"] {
        assert_eq!(running.get(path, &[]).await.status, 302, "{path}");
    }
    assert_eq!(running.events().len(), 5);
    assert_eq!(running.counted("leadtrail_requests_refused_total", "reason=\"overloaded\""), 7);

    running.edge.pulse.pretend(Duration::ZERO);
    assert_eq!(running.get("/i.gif?ad=summer-shoes", &[]).await.status, 200);
}
