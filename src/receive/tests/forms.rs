//! Forms, from outside.

use super::*;
use crate::event::{EventType, SourceKind, VisitorBasis};
use crate::receive::reply::GIF;
use crate::tokens::{ClickClaim, sign_click, verify_receipt};

const URLENCODED: &str = "application/x-www-form-urlencoded";

fn fields(event: &Event) -> Vec<(&str, &str)> {
    let form = event.form.as_ref().unwrap();
    form.fields.iter().map(|(name, value)| (name.as_str(), value.expose())).collect()
}

#[tokio::test]
async fn a_plain_form_is_recorded_exactly_and_thanked() {
    let running = start(|_| {}).await;
    let body = b"email=jane%40example.com&E-Mail=J&tags=a&tags=b&note=+two++spaces&empty=";
    let answer = running
        .post(
            "/f/contact",
            URLENCODED,
            body,
            &["user-agent: Mozilla/5.0 Test", "accept-language: de-AT,de;q=0.9"],
        )
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let receipt = answer.header("leadtrail-receipt").unwrap();
    assert!(answer.text().contains(receipt) && !answer.text().contains("jane"));
    let event = running.event();
    assert_eq!(verify_receipt(&running.edge.keys, receipt), Some(event.id));
    let expected = [
        ("email", "jane@example.com"),
        ("E-Mail", "J"),
        ("tags", "a"),
        ("tags", "b"),
        ("note", " two  spaces"),
        ("empty", ""),
    ];
    assert_eq!(fields(&event), expected);
    assert_eq!((event.event_type, event.source), (EventType::Lead, SourceKind::WebForm));
    assert_eq!((event.site.as_str(), event.client.agent.as_str()), ("shop", "Mozilla/5.0 Test"));
    assert_eq!((event.client.language.as_str(), event.event_time), ("de-AT", event.id.millis()));
    assert_eq!(event.client.network.unwrap().address().to_string(), "127.0.0.0");
    assert_eq!(event.visitor_basis, VisitorBasis::DailyHash, "a form sets no cookie");
    assert_eq!(answer.header("set-cookie"), None);
    assert!(event.flags.is_empty());
}

#[tokio::test]
async fn a_receipt_can_be_looked_up_and_a_forged_one_cannot() {
    let running = start(|_| {}).await;
    let answer =
        running.post("/f/contact", URLENCODED, b"a=1", &["accept: application/json"]).await;
    let receipt = answer.header("leadtrail-receipt").unwrap().to_owned();
    assert_eq!(answer.text(), format!("{{\"receipt\":\"{receipt}\"}}\n"));
    let found = running.get(&format!("/receipt/{receipt}"), &["accept: application/json"]).await;
    assert!(
        found.status == 200 && found.text().starts_with("{\"status\":\"received\",\"time\":\"20")
    );
    let page = running.get(&format!("/receipt/{receipt}"), &["accept: text/html"]).await;
    assert!(page.status == 200 && page.text().contains("Received"));
    let mut forged = receipt.into_bytes();
    forged[3] = if forged[3] == b'A' { b'B' } else { b'A' };
    let forged = format!("/receipt/{}", String::from_utf8(forged).unwrap());
    let missing = running.get(&forged, &["accept: application/json"]).await;
    let unknown = running.get("/no/such/page", &["accept: application/json"]).await;
    assert_eq!((missing.status, &missing.body), (404, &unknown.body), "constant, without a hint");
}

#[tokio::test]
async fn the_browser_goes_where_the_site_allows() {
    let running = start(|_| {}).await;
    let post = |form: &'static str, body: String| {
        let running = &running;
        async move {
            let answer =
                running.post(form, URLENCODED, body.as_bytes(), &["accept: text/html"]).await;
            (answer.status, answer.header("location").map(str::to_owned))
        }
    };
    let own = "https%3A%2F%2Fwww.shop.example%2Fdone";
    let there = Some("https://www.shop.example/done".to_owned());
    for spelling in [
        "retURL",
        "returnURL",
        "return_url",
        "redirect",
        "_next",
        "success_location",
        "RedirectUrl",
    ] {
        let expected = (303, there.clone());
        assert_eq!(
            post("/f/contact", format!("a=1&{spelling}={own}")).await,
            expected,
            "{spelling}"
        );
    }
    assert_eq!(post("/f/contact", "a=1&_next=/done".into()).await, (303, there));
    let evil = "a=1&_next=https%3A%2F%2Fevil.example%2F";
    assert_eq!(post("/f/contact", evil.into()).await, (200, None));
    assert_eq!(
        post("/f/quiet", evil.into()).await,
        (303, Some("https://quiet.example/thanks".into()))
    );
    let events = running.events();
    assert!(events.iter().rev().take(2).all(|event| event.flags == ["return_url_refused"]));
    assert!(events.iter().all(|event| fields(event)[0] == ("a", "1")));
    assert_eq!(
        events.last().unwrap().visitor_basis,
        VisitorBasis::None,
        "the quiet site knows nobody"
    );
}

#[tokio::test]
async fn json_and_multipart_say_the_same() {
    let running = start(|_| {}).await;
    let json = br#"{"email":"a@b.example","address":{"city":"Wien"},"tags":["x","y"],"n":1.10}"#;
    let answer = running.post("/f/contact", "application/json", json, &[]).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let multipart = "--B\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\na@b.example\r\n\
        --B\r\nContent-Disposition: form-data; name=\"cv\"; filename=\"cv.txt\"\r\n\r\nhello\r\n--B--\r\n";
    let answer = running
        .post("/f/contact", "multipart/form-data; boundary=B", multipart.as_bytes(), &[])
        .await;
    assert_eq!(answer.status, 200);
    let events = running.events();
    let expected = [
        ("email", "a@b.example"),
        ("address.city", "Wien"),
        ("tags", "x"),
        ("tags", "y"),
        ("n", "1.10"),
    ];
    assert_eq!(fields(&events[0]), expected);
    let file = r#"{"bytes":5,"field":"cv","name":"cv.txt","type":null}"#;
    assert_eq!(fields(&events[1]), [("email", "a@b.example"), ("leadtrail.file", file)]);
    assert_eq!(events[1].flags, ["file_skipped"]);
    let plain = "email=a@b.example\r\nmessage=one\r\ntwo\r\n";
    assert_eq!(running.post("/f/contact", "text/plain", plain.as_bytes(), &[]).await.status, 200);
    let latin = "application/x-www-form-urlencoded; charset=iso-8859-2";
    assert_eq!(running.post("/f/contact", latin, b"miasto=%A3%F3d%BC", &[]).await.status, 200);
    let events = running.events();
    assert_eq!(fields(&events[2]), [("email", "a@b.example"), ("message", "one\r\ntwo")]);
    assert_eq!(fields(&events[3]), [("miasto", "Łódź")]);
}

#[tokio::test]
async fn a_form_may_refuse_files_and_know_its_pages_charset() {
    let running = start(|_| {}).await;
    let post = |head: &str| {
        format!("--B\r\nContent-Disposition: form-data; name=\"a\"{head}\r\n\r\n1\r\n--B--\r\n")
    };
    let kind = "multipart/form-data; boundary=B";
    let with_file = post("; filename=\"a.txt\"");
    let accept = &["accept: application/json"];
    let refused = running.post("/f/quiet", kind, with_file.as_bytes(), accept).await;
    assert_eq!(refused.status, 415);
    assert!(refused.text().starts_with("{\"error\":\"file_refused\""));
    assert_eq!(running.post("/f/quiet", kind, post("").as_bytes(), accept).await.status, 200);
    let polish = running.post("/f/quiet", URLENCODED, b"miasto=%A3%F3d%BC", accept).await;
    assert_eq!(polish.status, 200);
    let events = running.events();
    assert_eq!(
        (fields(&events[0]), fields(&events[1])),
        (vec![("a", "1")], vec![("miasto", "Łódź")])
    );
}

#[tokio::test]
async fn a_form_finds_its_click_and_its_campaign() {
    let running = start(|_| {}).await;
    let id = running.edge.minter.mint(now_millis());
    let claim = ClickClaim { id, link: 7, offer: 0, affiliate: 0 };
    let ours = sign_click(&running.edge.keys, &claim);
    let body = format!("email=a&lt={ours}&utm_source=field&sub1=s&gclid=G");
    let page = "referer: https://www.shop.example/shoes/jane@example.com?utm_source=page&utm_medium=cpc&email=x";
    running.post("/f/contact", URLENCODED, body.as_bytes(), &[page]).await;
    running.post("/f/contact", URLENCODED, b"email=a&lt=forged", &[]).await;
    let by_page = format!("referer: https://www.shop.example/shoes?lt={ours}");
    running.post("/f/contact", URLENCODED, b"email=a", &[&by_page]).await;
    let events = running.events();
    assert_eq!(events[0].parent_click, Some(claim));
    assert_eq!(fields(&events[0]), [("email", "a")]);
    let origin = &events[0].origin;
    assert_eq!((origin.utm_source.as_str(), origin.utm_medium.as_str()), ("field", "cpc"));
    assert_eq!((origin.click_ids[0].1.as_str(), origin.sub_ids[0].1.as_str()), ("G", "s"));
    assert_eq!(
        (origin.landing_host.as_str(), origin.landing_path.as_str()),
        ("www.shop.example", "/shoes/redacted")
    );
    assert_eq!(events[0].flags, ["personal_in_url"]);
    assert_eq!(
        (events[1].parent_click, events[1].flags.as_slice()),
        (None, &["click_id_not_ours".to_owned()][..])
    );
    assert_eq!(events[2].parent_click, Some(claim));
}

#[tokio::test]
async fn bad_bodies_are_refused_by_their_reason() {
    let running = start(|config| config.edge.fields_max = 3).await;
    let large = vec![b'a'; 65_537];
    let long = format!("a={}", "x".repeat(16_385));
    let cases: [(&str, &[u8], u16, &str); 9] = [
        ("text/html", b"a=1", 415, "unsupported_type"),
        (URLENCODED, &large, 413, "body_too_large"),
        (URLENCODED, b"a=1&b=2&c=3&d=4", 413, "too_many_fields"),
        (URLENCODED, long.as_bytes(), 413, "value_too_long"),
        (URLENCODED, b"", 400, "empty"),
        (URLENCODED, b"a=&b=+&lt=x", 400, "empty"),
        ("application/json", b"{\"a\":", 400, "broken_body"),
        ("multipart/form-data; boundary=B", b"--B\r\n", 400, "broken_body"),
        (
            "application/json",
            br#"{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":1}}}}}}}}}"#,
            400,
            "too_deep",
        ),
    ];
    for (kind, body, status, code) in cases {
        let answer = running.post("/f/contact", kind, body, &["accept: application/json"]).await;
        assert_eq!(answer.status, status, "{code}");
        assert!(
            answer.text().starts_with(&format!("{{\"error\":\"{code}\"")),
            "{code}: {answer:?}"
        );
        let reason = format!("kind=\"form\",reason=\"{code}\"");
        assert!(running.counted("leadtrail_requests_refused_total", &reason) > 0, "{code}");
    }
    let page = running.post("/f/contact", "text/html", b"a", &["accept: text/html"]).await;
    assert!(page.text().contains("<code>unsupported_type</code>"));
    let gzip = running.post("/f/contact", URLENCODED, b"a=1", &["content-encoding: gzip"]).await;
    assert_eq!(gzip.status, 415);
    assert!(running.events().is_empty());
}

#[tokio::test]
async fn unknown_forms_and_wrong_methods_tell_nothing() {
    let running = start(|_| {}).await;
    let unknown = running.post("/f/none", URLENCODED, b"a=1", &["accept: application/json"]).await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().starts_with("{\"error\":\"not_found\""));
    for form in ["contact", "none"] {
        let answer = running.get(&format!("/f/{form}"), &[]).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, POST, OPTIONS")));
    }
    assert_eq!(
        running.post("/o/x.gif", URLENCODED, b"", &[]).await.body,
        GIF,
        "an image stays one"
    );
}

#[tokio::test]
async fn only_the_sites_own_pages_may_read_the_answer() {
    let running = start(|_| {}).await;
    let own = "origin: https://www.shop.example";
    let preflight =
        running.ask("OPTIONS", "/f/contact", &[own, "access-control-request-method: POST"]).await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("https://www.shop.example"));
    assert_eq!(preflight.header("access-control-allow-headers"), Some("Content-Type"));
    for (origin, allowed, flags) in [
        (own, Some("https://www.shop.example"), 0),
        ("origin: http://localhost:8082", Some("http://localhost:8082"), 0),
        ("origin: https://evil.example", None, 1),
        ("origin: null", None, 1),
    ] {
        let answer = running.post("/f/contact", URLENCODED, b"a=1", &[origin]).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, allowed));
        assert_eq!(answer.header("vary"), Some("Origin"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        assert_eq!(running.events().last().unwrap().flags.len(), flags);
        let refused = running.post("/f/contact", URLENCODED, b"", &[origin]).await;
        assert_eq!((refused.status, refused.header("access-control-allow-origin")), (400, allowed));
    }
    let foreign = running.ask("OPTIONS", "/f/contact", &["origin: https://evil.example"]).await;
    assert_eq!(foreign.header("access-control-allow-origin"), None);
    assert_eq!(running.ask("OPTIONS", "/f/none", &[own]).await.status, 404);
}

#[tokio::test]
async fn over_the_limit_a_form_is_told_when_to_come_back() {
    let running = start(|config| {
        config.limits.address_burst = 3;
        config.limits.address_per_minute = 1;
    })
    .await;
    for _ in 0..3 {
        assert_eq!(running.post("/f/contact", URLENCODED, b"a=1", &[]).await.status, 200);
    }
    let limited =
        running.post("/f/contact", URLENCODED, b"a=1", &["accept: application/json"]).await;
    assert_eq!(limited.status, 429);
    assert!(limited.text().contains("rate_address"));
    let wait: u32 = limited.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=61).contains(&wait), "{wait}");
    assert_eq!(running.events().len(), 3);
    let running = start(|config| {
        (config.limits.form_per_minute, config.limits.form_burst) = (1, 1);
    })
    .await;
    assert_eq!(running.post("/f/contact", URLENCODED, b"a=1", &[]).await.status, 200);
    let limited =
        running.post("/f/contact", URLENCODED, b"a=1", &["accept: application/json"]).await;
    assert!(limited.status == 429 && limited.text().contains("rate_form"));
    assert_eq!(running.post("/f/quiet", URLENCODED, b"a=1", &[]).await.status, 303);
}

#[tokio::test]
async fn a_full_log_refuses_and_says_when_to_come_back() {
    let running = start(|_| {}).await;
    running.log_says(Some(Outcome::Refused));
    let refused =
        running.post("/f/contact", URLENCODED, b"a=1", &["accept: application/json"]).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
    assert!(refused.text().contains("log_full"));
    assert_eq!(refused.header("leadtrail-receipt"), None);
    running.log_says(Some(Outcome::Written));
    let unsure = running.post("/f/contact", URLENCODED, b"a=1", &[]).await;
    assert_eq!((unsure.status, unsure.header("leadtrail-receipt")), (503, None));
}
