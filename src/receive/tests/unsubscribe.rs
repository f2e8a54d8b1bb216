//! Unsubscribing, from outside.

use super::*;
use crate::event::EventType;
use crate::tokens::{recipient, sign_unsubscribe};

#[tokio::test]
async fn whoever_only_looks_changes_nothing_and_a_post_unsubscribes() {
    let running = start(|_| {}).await;
    let path = format!("/u/{}", sign_unsubscribe(&running.edge.keys, 4, "customer-17"));
    let page = running.get(&path, &["accept-language: de"]).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("<form method=\"post\"><button type=\"submit\">Abmelden"));
    assert!(page.header("content-security-policy").unwrap().contains("form-action 'self'"));
    assert_eq!(running.ask("HEAD", &path, &[]).await.status, 200);
    assert!(running.events().is_empty(), "a scanner changes nothing");

    let done = running.post(&path, "application/x-www-form-urlencoded", b"", &[]).await;
    assert_eq!(done.status, 200);
    assert!(done.text().contains("You are unsubscribed"), "{}", done.text());
    assert!(done.header("leadtrail-receipt").is_some());
    let one_click = b"List-Unsubscribe=One-Click";
    running.post(&path, "application/x-www-form-urlencoded", one_click, &[]).await;
    let events = running.events();
    let key = recipient(&running.edge.keys, "customer-17");
    for event in &events {
        assert_eq!((event.event_type, event.recipient.0), (EventType::Unsubscribe, key));
        assert_eq!(
            (event.site.as_str(), event.promotion.mailing.as_str()),
            ("shop", "spring-mail")
        );
    }
    assert!(events[0].flags.is_empty());
    assert_eq!(events[1].flags, ["one_click"]);
}

#[tokio::test]
async fn it_is_confirmed_only_when_it_is_kept() {
    let running = start(|_| {}).await;
    let path = format!("/u/{}", sign_unsubscribe(&running.edge.keys, 4, "customer-17"));
    running.log_says(Some(Outcome::Refused));
    let answer = running.post(&path, "application/x-www-form-urlencoded", b"", &[]).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    for path in ["/u/forged", "/u/", &path[..path.len() - 1]] {
        assert_eq!(running.get(path, &[]).await.status, 404);
        let posted = running.post(path, "application/x-www-form-urlencoded", b"", &[]).await;
        assert_eq!(posted.status, 404);
    }
    assert_eq!(running.ask("DELETE", &path, &[]).await.header("allow"), Some("GET, HEAD, POST"));
}

#[tokio::test]
async fn nobody_who_wants_to_be_left_alone_is_limited() {
    let running = start(|config| {
        config.limits.address_per_minute = 1;
        config.limits.address_burst = 1;
    })
    .await;
    let path = format!("/u/{}", sign_unsubscribe(&running.edge.keys, 4, "customer-17"));
    for _ in 0..30 {
        let answer = running.post(&path, "application/x-www-form-urlencoded", b"", &[]).await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(running.events().len(), 30);
}
