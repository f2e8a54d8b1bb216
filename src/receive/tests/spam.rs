//! Spam and limits at the edge, from outside.

use super::*;
use crate::check::Refusal;
use crate::event::EventType;
use crate::receive::reply::GIF;

const URLENCODED: &str = "application/x-www-form-urlencoded";

fn names(event: &Event) -> Vec<&str> {
    let form = event.form.as_ref().unwrap();
    form.fields.iter().map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn captcha_tokens_are_stored_nowhere() {
    let running = start(|_| {}).await;
    let body = b"email=a%40b.example&g-recaptcha-response=secret-1&cf-turnstile-response=secret-2&captcha=7XK2";
    assert_eq!(running.post("/f/contact", URLENCODED, body, &[]).await.status, 200);
    let json = br#"{"email":"a@b.example","h-captcha-response":"secret-3","frc-captcha-solution":"secret-4"}"#;
    assert_eq!(running.post("/f/contact", "application/json", json, &[]).await.status, 200);
    let events = running.events();
    assert_eq!(names(&events[0]), ["email", "captcha"]);
    assert_eq!(names(&events[1]), ["email"]);
    for event in events {
        assert!(!String::from_utf8_lossy(&event.to_record()).contains("secret-"));
    }
}

#[tokio::test]
async fn a_page_gets_the_signed_time_of_rendering_and_a_form_sent_at_once_is_noticed() {
    let running = start(|_| {}).await;
    let html = running.get("/f/contact/time", &["accept: text/html"]).await;
    assert_eq!(html.status, 200);
    assert_eq!(html.header("cache-control"), Some("no-store"));
    assert!(html.text().starts_with("<input type=\"hidden\" name=\"lt_time\" value=\""));
    let json = running.get("/f/contact/time", &["accept: application/json"]).await;
    let json: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!(json["name"], "lt_time");
    let token = json["value"].as_str().unwrap();
    assert!(html.text().len() > token.len() && running.events().is_empty(), "it records nothing");
    let body = format!("email=a%40b.example&lt_time={token}");
    let answer = running.post("/f/contact", URLENCODED, body.as_bytes(), &[]).await;
    assert_eq!(answer.status, 200, "it is answered like any other");
    let event = running.event();
    assert_eq!(names(&event), ["email"]);
    assert_eq!(event.flags, ["rendered_too_fast"]);
    assert_eq!(running.get("/f/nobody/time", &[]).await.status, 404);
    assert_eq!(running.ask("POST", "/f/contact/time", &[]).await.status, 405);
}

#[tokio::test]
async fn a_filled_trap_is_recorded_whole_and_answered_like_success() {
    let running = start(|_| {}).await;
    let plain = running.post("/f/contact", URLENCODED, b"email=a%40b.example&_gotcha=", &[]).await;
    let trap = running.post("/f/contact", URLENCODED, b"email=a%40b.example&_gotcha=1", &[]).await;
    let heads = |answer: &Answer| -> Vec<String> {
        let lines = answer.head.lines().filter(|line| !line.starts_with("date"));
        lines.filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect()
    };
    assert_eq!((plain.status, heads(&plain)), (trap.status, heads(&trap)));
    assert_eq!(plain.body.len(), trap.body.len());
    assert_eq!(names(&running.events()[1]), ["email", "_gotcha"]);
    // A script, a page with an address to go to, and a complaint see no difference either.
    for (lines, more) in [
        (&["accept: application/json"][..], ""),
        (&["accept: text/html"], "&retURL=https%3A%2F%2Fwww.shop.example%2Fok"),
        (&["accept: text/html"], "&type=Complaint"),
    ] {
        let mut answers = Vec::new();
        for trap in ["", "x"] {
            let body = format!("email=a%40b.example&_gotcha={trap}{more}");
            answers.push(running.post("/f/contact", URLENCODED, body.as_bytes(), lines).await);
        }
        let [plain, trap] = &answers[..] else { unreachable!() };
        assert_eq!((plain.status, heads(plain)), (trap.status, heads(trap)), "{more}");
        assert_eq!(plain.header("location"), trap.header("location"));
        assert_eq!(plain.header("content-type"), trap.header("content-type"));
        assert_eq!(plain.body.len(), trap.body.len());
        assert!(trap.header("leadtrail-receipt").is_some());
    }
}

#[tokio::test]
async fn a_browser_that_looks_ahead_makes_no_lead_of_a_form_with_method_get() {
    let running = start(|_| {}).await;
    let target = "/f/contact?email=a%40b.example";
    for line in [
        "sec-purpose: prefetch",
        "sec-purpose: prefetch;prerender",
        "sec-purpose: prefetch;anonymous-client-ip",
        "purpose: prefetch",
        "x-purpose: preview",
        "x-moz: prefetch",
    ] {
        let answer = running.get(target, &[line]).await;
        assert_eq!((answer.status, answer.header("leadtrail-receipt")), (405, None), "{line}");
    }
    assert!(running.events().is_empty());
    assert_eq!(running.get(target, &["sec-fetch-mode: navigate"]).await.status, 200);
    assert_eq!(running.event().event_type, EventType::Lead);
}

#[tokio::test]
async fn over_every_limit_forms_are_told_redirects_go_and_images_stay_images() {
    let codes = [Refusal::RateGlobal, Refusal::RateSite, Refusal::RateForm, Refusal::RateAddress];
    for refusal in codes {
        let running = start(|config| {
            let limits = &mut config.limits;
            match refusal {
                Refusal::RateGlobal => (limits.global_per_minute, limits.global_burst) = (1, 1),
                Refusal::RateSite => (limits.site_per_minute, limits.site_burst) = (1, 1),
                Refusal::RateForm => (limits.form_per_minute, limits.form_burst) = (1, 1),
                _ => (limits.address_per_minute, limits.address_burst) = (1, 1),
            }
        })
        .await;
        let json = ["accept: application/json"];
        let first = running.post("/f/contact", URLENCODED, b"a=1", &json).await;
        assert_eq!(first.status, 200, "{refusal:?}");
        assert!(first.header("ratelimit").unwrap().starts_with("\"address\";r="));
        let second = running.post("/f/contact", URLENCODED, b"a=1", &json).await;
        assert_eq!(second.status, 429, "{refusal:?}");
        assert!(second.text().contains(refusal.code()), "{}", second.text());
        let policy = refusal.code().strip_prefix("rate_").unwrap();
        assert_eq!(second.header("ratelimit-policy").unwrap(), format!("\"{policy}\";q=1;w=60"));
        let wait: u32 = second.header("retry-after").unwrap().parse().unwrap();
        assert_eq!(second.header("ratelimit").unwrap(), format!("\"{policy}\";r=0;t={wait}"));
        assert!((1..=61).contains(&wait), "{wait}");
        let click = running.get("/c/summer", &[]).await;
        assert_eq!(click.status, 302, "{refusal:?}");
        let pixel = running.get("/i.gif?ad=summer-shoes", &[]).await;
        assert_eq!((pixel.status, &pixel.body[..]), (200, &GIF[..]), "{refusal:?}");
        let flagged = refusal != Refusal::RateForm;
        for event in &running.events()[1..] {
            assert_eq!(event.flags.contains(&"over_limit".to_owned()), flagged, "{refusal:?}");
        }
    }
}

#[tokio::test]
async fn the_header_that_the_proxy_sets_is_believed_and_the_other_is_not() {
    let running = start(|config| {
        config.edge.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        config.edge.proxy_header = crate::config::ProxyHeader::Forwarded;
    })
    .await;
    let lines = ["x-forwarded-for: 6.6.6.6", "forwarded: for=\"203.0.113.9:80\";proto=https"];
    running.post("/f/contact", URLENCODED, b"a=1", &lines).await;
    assert_eq!(running.event().client.network.unwrap().address().to_string(), "203.0.113.0");
}
