//! Postbacks, from outside.

use super::*;
use crate::event::{EventType, SourceKind};
use crate::ids::EventId;
use crate::tokens::{ClickClaim, sign_click};

const KIND: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn a_postback_with_its_secret_is_durable_and_answered_in_the_networks_words() {
    let running = start(|_| {}).await;
    let claim = ClickClaim {
        id: EventId::from_parts((now_millis() - 3_600_000) as u64, 1, 1),
        link: 0,
        offer: 300,
        affiliate: 1,
    };
    let click = sign_click(&running.edge.keys, &claim);
    let path = format!(
        "/postback/tracker/known-secret?subid={click}&payout=12.50&currency=eur&status=sale&tid=A-1&sub_id_1=x"
    );
    let answer = running.get(&path, &["user-agent: network/1.0"]).await;
    assert_eq!((answer.status, answer.text()), (200, "OK"));
    assert!(answer.header("leadtrail-receipt").is_some() && answer.header("set-cookie").is_none());
    let event = running.event();
    assert_eq!((event.event_type, event.source), (EventType::Conversion, SourceKind::S2s));
    assert_eq!((event.site.as_str(), event.promotion.offer.as_str()), ("shop", "spring"));
    assert_eq!(event.parent_click, Some(claim));
    // Whoever sends it is no visitor.
    assert!(event.visitor.is_none() && event.day_hash.is_none());
    let (worth, partner) = (event.worth.unwrap(), event.partner.unwrap());
    assert_eq!(worth.amount.unwrap().to_string(), "12.50");
    assert_eq!((worth.currency.unwrap().as_str(), worth.status.as_str()), ("EUR", "approved"));
    assert_eq!((partner.postback.as_str(), partner.transaction.as_str()), ("tracker", "A-1"));
    assert_eq!(event.origin.sub_ids, [("sub1".to_owned(), "x".to_owned())]);
    assert!(event.flags.is_empty(), "{:?}", event.flags);
}

#[tokio::test]
async fn what_is_refused_is_never_called_ok_and_leaves_nothing() {
    let running = start(|_| {}).await;
    for (path, status, words) in [
        ("/postback/tracker?subid=a&tid=1", 403, "ERROR secret_wrong"),
        ("/postback/tracker/guessed-secret?subid=a&tid=1", 403, "ERROR secret_wrong"),
        ("/postback/tracker/known-secret?status=sale", 400, "ERROR postback_incomplete"),
        ("/postback/tracker/known-secret?subid={subid}&payout=1", 400, "ERROR macro_unexpanded"),
        ("/aff_lsr?transaction_id=x&amount=1", 200, "success=false; err_msg=secret_wrong"),
    ] {
        let path = path.replace('{', "%7B").replace('}', "%7D");
        let answer = running.get(&path, &[]).await;
        assert_eq!((answer.status, answer.text()), (status, words), "{path}");
        assert!(answer.header("leadtrail-receipt").is_none());
        let reference = answer.header("leadtrail-refusal").unwrap();
        let looked_up =
            running.get(&format!("/receipt/{reference}"), &["accept: application/json"]).await;
        assert!(
            looked_up.text().contains(words.rsplit([' ', '=']).next().unwrap()),
            "{}",
            looked_up.text()
        );
    }
    // What it is about is named, and never what it held.
    for (query, parameter) in [
        ("status=sale", "subid or tid"),
        ("subid=&status=sale", "subid"),
        ("subid=%7Bsubid%7D", "subid"),
        ("sbuid=w8f2a", "sbuid"),
    ] {
        let answer = running.get(&format!("/postback/tracker/known-secret?{query}"), &[]).await;
        assert_eq!(
            (answer.status, answer.header("leadtrail-parameter")),
            (400, Some(parameter)),
            "{query}"
        );
    }
    for path in ["/postback/nobody", "/postback/", "/postback"] {
        assert_eq!(running.get(path, &[]).await.status, 404, "{path}");
    }
    let answer = running.ask("PUT", "/postback/tracker", &[]).await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, POST")));
    assert!(running.events().is_empty());
    assert_eq!(running.counted("leadtrail_requests_refused_total", "kind=\"postback\""), 11);
}

#[tokio::test]
async fn a_full_log_is_no_success_in_any_networks_words() {
    let running = start(|_| {}).await;
    running.log_says(Some(Outcome::Refused));
    for path in [
        "/postback/tracker/known-secret?subid=a&tid=1",
        "/aff_lsr?transaction_id=x&security_token=known-secret",
    ] {
        let answer = running.get(path, &[]).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{path}");
        assert!(answer.text().contains("log_full"), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_form_and_json_are_read_as_a_query_is_and_a_head_does_nothing() {
    let running = start(|_| {}).await;
    let head = running.ask("HEAD", "/postback/tracker/known-secret?subid=a&tid=1", &[]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert!(running.events().is_empty());
    let path = "/postback/tracker/known-secret";
    let posts = [
        (KIND, "subid=a&payout=1.50&tid=7"),
        ("application/json", "{\"subid\":\"a\",\"payout\":1.50,\"tid\":7}"),
        ("text/plain", "{\"subid\":\"a\",\"payout\":\"1.50\",\"tid\":\"7\"}"),
    ];
    for (kind, body) in posts {
        assert_eq!(running.post(path, kind, body.as_bytes(), &[]).await.text(), "OK", "{kind}");
    }
    let events = running.events();
    assert_eq!(events.len(), 3);
    for event in events {
        assert_eq!(event.worth.unwrap().amount.unwrap().to_string(), "1.50");
        let partner = event.partner.unwrap();
        assert_eq!((partner.external_click.as_str(), partner.transaction.as_str()), ("a", "7"));
    }
}

#[tokio::test]
async fn a_compressed_postback_is_refused_and_said_to_be_so() {
    let running = start(|_| {}).await;
    let path = "/postback/tracker/known-secret";
    let gzip = running.post(path, KIND, b"tid=Z-1&payout=1", &["content-encoding: gzip"]).await;
    assert_eq!((gzip.status, gzip.text()), (415, "ERROR unsupported_encoding"));
    let plain =
        running.post(path, KIND, b"tid=Z-1&payout=1", &["content-encoding: identity"]).await;
    assert_eq!((plain.status, plain.text()), (200, "OK"));
    assert_eq!(running.event().partner.unwrap().transaction, "Z-1");
}

#[tokio::test]
async fn a_networks_own_path_is_taken_at_the_enabled_host_alone() {
    let running = start(|_| {}).await;
    let path = "/aff_lsr?transaction_id=x&amount=1&adv_sub=9&security_token=known-secret";
    let answer = running.get(path, &[]).await;
    assert_eq!((answer.status, answer.text()), (200, "success=true;"));
    let elsewhere = format!("GET {path} HTTP/1.1\r\nhost: other\r\nconnection: close\r\n\r\n");
    let elsewhere = running.raw(elsewhere.as_bytes()).await;
    assert_eq!(Answer::parse(&elsewhere).status, 404);
    assert_eq!(running.event().partner.unwrap().postback, "tune");
}

#[tokio::test]
async fn who_proves_nothing_is_held_to_pending_and_to_the_limit() {
    let running = start(|config| {
        config.limits.address_per_minute = 1;
        config.limits.address_burst = 2;
    })
    .await;
    for _ in 0..2 {
        let answer = running.get("/postback/open?subid=a&tid=1&status=sale", &[]).await;
        assert_eq!((answer.status, answer.text()), (200, "OK"));
    }
    let answer = running.get("/postback/open?subid=a&tid=1", &[]).await;
    assert_eq!((answer.status, answer.text()), (429, "ERROR rate_address"));
    for event in running.events() {
        assert_eq!(event.worth.unwrap().status, "pending");
        assert!(event.flags.contains(&"unauthenticated".to_owned()));
    }
    // Who has the secret goes on.
    let answer = running.get("/postback/tracker/known-secret?subid=a&tid=1", &[]).await;
    assert_eq!(answer.status, 200);
}
