//! Replies, from outside: languages, return URLs, and error pages that keep what was typed.

use super::*;
use crate::receive::refusals;
use crate::refusals::{Report, is_report};
use crate::tokens::verify_refusal;

const URLENCODED: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn thanks_come_in_the_visitors_language_and_hold_nothing_personal() {
    let running = start(|_| {}).await;
    for (wish, language, says) in [
        ("de-AT,en;q=0.5", "<html lang=\"de\" dir=\"ltr\">", "Vielen Dank"),
        ("ur", "<html lang=\"ur\" dir=\"rtl\">", "شکریہ"),
        ("bn-BD", "<html lang=\"bn\" dir=\"ltr\">", "ধন্যবাদ"),
        ("pl", "<html lang=\"pl\" dir=\"ltr\">", "Dziękujemy"),
        ("fr", "<html lang=\"fr\" dir=\"ltr\">", "Merci"),
        ("es-MX", "<html lang=\"es\" dir=\"ltr\">", "Gracias"),
        ("pt-BR", "<html lang=\"pt\" dir=\"ltr\">", "Obrigado"),
        ("it", "<html lang=\"en\" dir=\"ltr\">", "Thank you"),
    ] {
        let line = format!("accept-language: {wish}");
        let body = b"email=jane%40example.com&name=Jane";
        let answer = running.post("/f/contact", URLENCODED, body, &[&line]).await;
        let page = answer.text();
        assert!(page.contains(language) && page.contains(says), "{wish}: {page}");
        assert!(page.contains(answer.header("leadtrail-receipt").unwrap()));
        assert!(!page.to_lowercase().contains("jane"), "{page}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(policy.contains("frame-ancestors 'self' https://www.shop.example"), "{policy}");
    }
}

#[tokio::test]
async fn a_return_url_may_stand_in_the_query_and_be_relative() {
    let running = start(|_| {}).await;
    let place = async |path: &str, body: &str, lines: &[&str]| {
        let answer = running.post(path, URLENCODED, body.as_bytes(), lines).await;
        answer.header("location").unwrap_or("").to_owned()
    };
    let own = "https://www.shop.example/ok";
    let query = "/f/contact?success_location=https%3A%2F%2Fwww.shop.example%2Fok";
    assert_eq!(place(query, "a=1", &[]).await, own);
    assert_eq!(place(query, "a=1&retURL=/field", &[]).await, "https://www.shop.example/field");
    assert_eq!(place("/f/contact", "a=1&mauticform%5Breturn%5D=/ok", &[]).await, own);
    let page = "referer: http://localhost:8082/de/kontakt";
    assert_eq!(
        place("/f/contact", "a=1&_next=danke", &[page]).await,
        "http://localhost:8082/de/danke"
    );
    for nothing in ["", "null", "undefined"] {
        assert_eq!(place("/f/contact", &format!("a=1&retURL={nothing}"), &[]).await, "");
    }
    let inside =
        "a=1&retURL=https%3A%2F%2Fwww.shop.example%2Fok%3Fu%3Dhttps%253A%252F%252Fx.example%252F";
    assert_eq!(
        place("/f/contact", inside, &[]).await,
        format!("{own}?u=https%3A%2F%2Fx.example%2F")
    );
    let flags: Vec<_> = running.events().iter().flat_map(|event| event.flags.clone()).collect();
    assert!(flags.is_empty(), "{flags:?}");
    for evil in [
        "//evil.example",
        "https:evil.example",
        "%5C%5Cevil.example",
        "https://www.shop.example%40evil.example",
    ] {
        assert_eq!(place("/f/contact", &format!("a=1&_next={evil}"), &[]).await, "", "{evil}");
        assert_eq!(running.events().last().unwrap().flags, ["return_url_refused"], "{evil}");
    }
}

/// Reads the form of an error page as a browser would send it again.
fn again(page: &str) -> String {
    let value = |tag: &str, name: &str| {
        let (_, tail) = tag.split_once(&format!(" {name}=\""))?;
        let text = tail.split('"').next()?;
        let pairs = [
            ("&lt;", "<"),
            ("&gt;", ">"),
            ("&quot;", "\""),
            ("&#39;", "'"),
            ("&#13;", "\r"),
            ("&amp;", "&"),
        ];
        Some(pairs.iter().fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain)))
    };
    let (_, form) = page.split_once("<form method=\"post\"").unwrap();
    let mut body = form_urlencoded::Serializer::new(String::new());
    for tag in form.split('<').skip(1) {
        let name = value(tag, "name");
        match (tag.split(' ').next(), name) {
            (Some("input"), Some(name)) => {
                body.append_pair(&name, &value(tag, "value").unwrap_or_default());
            }
            (Some("textarea"), Some(name)) => {
                let text = value(&format!(" x=\"{}\"", tag.split_once(">\n").unwrap().1), "x");
                body.append_pair(&name, &text.unwrap());
            }
            _ => {}
        }
    }
    body.finish()
}

#[tokio::test]
async fn what_was_typed_comes_back_whole_and_can_be_sent_again() {
    let running = start(|_| {}).await;
    running.log_says(Some(Outcome::Refused));
    let message = "Zwei\r\nZeilen mit <b>\"&'</b> und ünïcode";
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("name", "Jane \"<script>alert(1)</script>\" Roe"),
            ("email", "jane@example.com"),
            ("message", message),
            ("password", "hunter2hunter2"),
            ("number", "4111 1111 1111 1111"),
            ("g-recaptcha-response", "03AGdBq25token"),
            ("retURL", "/thanks"),
            ("opt_in", ""),
            ("oid", "00D3X0000000qjL"),
            ("00N1\"><img src=x>", "x y"),
        ])
        .finish();
    let answer = running
        .post(
            "/f/contact",
            URLENCODED,
            body.as_bytes(),
            &["accept: text/html", "accept-language: de"],
        )
        .await;
    let page = answer.text();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(page.contains("Ihre Nachricht wurde nicht gesendet") && page.contains("log_full"));
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<b>"), "{page}");
    for secret in ["hunter2", "4111", "03AGdBq25token"] {
        assert!(!page.contains(secret), "{secret} in {page}");
    }
    let policy = answer.header("content-security-policy").unwrap();
    assert!(
        policy.contains("form-action 'self' https://www.shop.example http://localhost:8082;"),
        "{policy}"
    );

    running.log_says(Some(Outcome::Durable));
    let sent = again(page);
    let answer =
        running.post("/f/contact", URLENCODED, sent.as_bytes(), &["accept: text/html"]).await;
    assert_eq!(answer.header("location"), Some("https://www.shop.example/thanks"));
    let event = running.event();
    let fields: Vec<_> = event
        .form
        .as_ref()
        .unwrap()
        .fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose()))
        .collect();
    for field in [
        ("name", "Jane \"<script>alert(1)</script>\" Roe"),
        ("email", "jane@example.com"),
        ("message", message),
        ("opt_in", ""),
        ("oid", "00D3X0000000qjL"),
        ("00N1\"><img src=x>", "x y"),
        ("password", ""),
    ] {
        assert!(fields.contains(&field), "{field:?} not in {fields:?}");
    }
}

#[tokio::test]
async fn nothing_typed_is_lost_over_the_limit_or_over_a_cap() {
    let running = start(|config| {
        config.limits.address_burst = 1;
        config.limits.address_per_minute = 1;
    })
    .await;
    let html = &["accept: text/html"];
    let post =
        async |body: &str| running.post("/f/contact", URLENCODED, body.as_bytes(), html).await;
    assert_eq!(post("a=1").await.status, 200);
    let limited = post("message=my+long+story").await;
    assert_eq!(limited.status, 429);
    assert!(
        limited.text().contains("value=\"my long story\"")
            && limited.text().contains("rate_address")
    );
    for _ in 0..12 {
        post("message=flood").await;
    }
    let far = post("message=flood+on").await;
    assert!(far.status == 429 && !far.text().contains("flood"), "far over it is not worth a page");

    let running = start(|_| {}).await;
    let long = format!("email=jane%40example.com&message={}", "word+".repeat(4_000));
    let answer = running.post("/f/contact", URLENCODED, long.as_bytes(), html).await;
    assert_eq!(answer.status, 413);
    assert!(
        answer.text().contains("jane@example.com")
            && answer.text().contains(&"word ".repeat(4_000))
    );
    let multipart = "--B\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\n \r\n--B--\r\n";
    let kind = "multipart/form-data; boundary=B";
    let answer = running.post("/f/contact", kind, multipart.as_bytes(), html).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("enctype=\"multipart/form-data\""), "{}", answer.text());
}

#[tokio::test]
async fn a_refusal_can_be_looked_up_by_its_reference() {
    let running = start(|_| {}).await;
    let json = &["accept: application/json"];
    let answer = running.post("/f/contact", URLENCODED, b"", json).await;
    let reference = answer.header("leadtrail-refusal").unwrap().to_owned();
    let said: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&said["error"], &said["reference"]), (&"empty".into(), &reference.as_str().into()));
    assert_eq!(verify_refusal(&running.edge.keys, &reference).unwrap().code, "empty");
    let path = format!("/receipt/{reference}");
    let found = running.get(&path, json).await;
    let found: serde_json::Value = serde_json::from_slice(&found.body).unwrap();
    assert_eq!((&found["status"], &found["error"]), (&"refused".into(), &"empty".into()));
    let page = running.get(&path, &["accept: text/html", "accept-language: pl"]).await;
    assert!(page.text().contains("Nie otrzymano") && page.text().contains("<code>empty</code>"));
    let forged = format!("{}A{}", &path[..12], &path[13..]);
    assert_eq!(running.get(&forged, json).await.status, 404);
    for (method, path) in [("POST", "/f/none"), ("GET", "/f/contact"), ("GET", "/none")] {
        let answer = running.ask(method, path, json).await;
        assert_eq!(answer.header("leadtrail-refusal"), None, "{path}: always the same answer");
    }
    let image = running.get("/o/forged.gif", &[]).await;
    assert_eq!((image.status, image.header("leadtrail-refusal")), (404, None));
}

/// The reports in the log.
fn reports(running: &Running) -> Vec<Report> {
    let Journal::Memory(records, _) = &*running.edge.journal else { unreachable!() };
    let records = records.lock().unwrap();
    let reports = records.iter().filter(|record| is_report(&record.payload));
    reports.map(|record| Report::from_record(&record.payload).unwrap()).collect()
}

#[tokio::test]
async fn refusals_go_to_the_log_once_whatever_the_log_says_in_between() {
    let running = start(|_| {}).await;
    let typed = b"email=jane%40example.com&message=&age=44";
    let large = format!("{}&x={}", std::str::from_utf8(typed).unwrap(), "y".repeat(17_000));
    for _ in 0..2 {
        running.post("/f/contact", URLENCODED, large.as_bytes(), &[]).await;
    }
    running.post("/f/jane@example.com", URLENCODED, typed, &[]).await;
    running.get("/o/forged.gif", &[]).await;
    running.raw(b"nonsense\r\n\r\n").await;
    eventually("the nonsense is counted", || {
        running.counted("leadtrail_requests_refused_total", "reason=\"bad_http\"") == 1
    })
    .await;
    running.log_says(Some(Outcome::Refused));
    assert!(!refusals::send(&running.edge).await, "the log is full");
    running.log_says(Some(Outcome::Durable));
    running.post("/f/contact", URLENCODED, b"", &[]).await;
    assert!(refusals::send(&running.edge).await && refusals::send(&running.edge).await);
    let reports = reports(&running);
    assert_eq!(reports.iter().map(|report| report.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(reports[0].life, reports[1].life);
    let mut counts: Vec<_> = reports
        .iter()
        .flat_map(|report| &report.counts)
        .map(|one| {
            (one.door.as_str(), one.site.as_str(), one.form.as_str(), one.code.as_str(), one.count)
        })
        .collect();
    counts.sort_unstable();
    let expected = [
        ("form", "", "", "not_found", 1),
        ("form", "shop", "contact", "empty", 1),
        ("form", "shop", "contact", "value_too_long", 2),
        ("open", "", "", "not_found", 1),
        ("other", "", "", "bad_http", 1),
    ];
    assert_eq!(counts, expected);
    let all = format!("{reports:?}");
    assert!(all.contains("email=email(16) (7)=empty(0) age=number(2) x=word(17000)"), "{all}");
    assert!(!all.contains("jane"), "{all}");
}
