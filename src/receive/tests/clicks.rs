//! Clicks and affiliate clicks, from outside.

use super::*;
use crate::event::{EventType, SourceKind, VisitorBasis};
use crate::tokens::verify_click;

#[tokio::test]
async fn a_click_is_recorded_marked_and_sent_on() {
    let running = start(|_| {}).await;
    let query = "utm_source=theirs&utm_campaign=c%20x&gclid=Q-1&sub1=s&email=jane%40example.com&colour=blue&lt=old";
    let lines = [
        "referer: https://news.example/story?id=7",
        "sec-fetch-dest: document",
        "user-agent: Mozilla/5.0 Test",
    ];
    let answer = running.get(&format!("/c/summer?{query}"), &lines).await;
    assert_eq!(answer.status, 302);
    let location = answer.header("location").unwrap();
    let expected = "https://www.shop.example/shoes?utm_source=newsday&utm_medium=cpc&utm_campaign=c+x&gclid=Q-1&colour=blue&lt=";
    assert!(location.starts_with(expected) && location.ends_with("#sizes"), "{location}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-robots-tag"), Some("noindex"));
    let event = running.event();
    let claim = verify_click(&running.edge.keys, &query_value(location, "lt").unwrap()).unwrap();
    assert_eq!((claim.id, claim.link, claim.offer, claim.affiliate), (event.id, 7, 0, 0));
    assert_eq!((event.event_type, event.source), (EventType::Click, SourceKind::Redirect));
    let origin = &event.origin;
    let utm =
        (origin.utm_source.as_str(), origin.utm_medium.as_str(), origin.utm_campaign.as_str());
    assert_eq!(utm, ("newsday", "cpc", "c x"));
    assert_eq!(
        (origin.referrer_host.as_str(), origin.referrer_path.as_str()),
        ("news.example", "/story")
    );
    assert_eq!(
        (origin.landing_host.as_str(), origin.landing_path.as_str()),
        ("www.shop.example", "/shoes")
    );
    assert_eq!(origin.sub_ids, [("sub1".to_owned(), "s".to_owned())]);
    assert_eq!(event.promotion.ad, "summer-shoes");
    assert_eq!(event.promotion.price_shown.unwrap().to_string(), "79.90");
    assert_eq!(event.client.fetch_dest, "document");
    assert_eq!(event.flags, ["personal_in_url"]);
    assert!(answer.header("leadtrail-receipt").is_some());
}

#[tokio::test]
async fn the_first_click_sets_the_cookie_and_later_ones_keep_it() {
    let running = start(|_| {}).await;
    let first = running.get("/c/summer", &[]).await;
    let cookie = first.header("set-cookie").unwrap();
    assert!(cookie.ends_with("; Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    let again = running.get("/c/summer", &[&format!("cookie: a=b; {pair}")]).await;
    assert_eq!(again.header("set-cookie"), None);
    let events = running.events();
    assert_eq!(events[0].visitor, events[1].visitor);
    assert_eq!(pair, format!("lt_v={}", events[0].visitor));
    assert!(
        events
            .iter()
            .all(|event| event.visitor_basis == VisitorBasis::Cookie && !event.day_hash.is_none())
    );
    let secure = start(|config| config.edge.public_url = "https://track.example".into()).await;
    let answer = secure.get("/c/summer", &[]).await;
    assert!(answer.header("set-cookie").unwrap().ends_with("HttpOnly; Secure; SameSite=None"));
}

#[tokio::test]
async fn who_must_not_be_marked_is_not() {
    let running = start(|_| {}).await;
    for (method, line) in [
        ("GET", "sec-gpc: 1"),
        ("GET", "sec-purpose: prefetch;prerender"),
        ("GET", "x-moz: Prefetch"),
        ("HEAD", "accept: */*"),
    ] {
        let answer = running.ask(method, "/c/summer", &[line]).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (302, None), "{method} {line}");
    }
    let events = running.events();
    assert!(events[0].client.gpc);
    assert_eq!(events[1].client.purpose, "prefetch;prerender");
    assert_eq!(events[3].client.method, "HEAD");
    assert!(events.iter().all(|event| event.visitor_basis == VisitorBasis::DailyHash));
    let quiet = running.get("/c/still", &[]).await;
    assert_eq!((quiet.status, quiet.header("set-cookie")), (302, None));
    let event = running.events().pop().unwrap();
    assert!(event.visitor.is_none() && event.day_hash.is_none());
}

#[tokio::test]
async fn the_cookie_crosses_sites_where_a_proxy_of_ours_says_that_the_browser_speaks_https() {
    for (trusted, line, crosses) in [
        ("127.0.0.1/32", "x-forwarded-proto: https", true),
        ("127.0.0.1/32", "x-forwarded-proto: HTTPS, http", true),
        ("127.0.0.1/32", "forwarded: for=203.0.113.7;proto=https", true),
        ("127.0.0.1/32", "forwarded: for=203.0.113.7; Proto=\"https\", for=10.0.0.1", true),
        ("127.0.0.1/32", "x-forwarded-proto: http, https", false),
        ("127.0.0.1/32", "x-forwarded-proto: http", false),
        ("127.0.0.1/32", "x: y", false),
        ("10.0.0.0/8", "x-forwarded-proto: https", false),
    ] {
        let running = start(|config| {
            config.edge.trusted_proxies = vec![trusted.parse().unwrap()];
            if line.starts_with("forwarded") {
                config.edge.proxy_header = crate::config::ProxyHeader::Forwarded;
            }
        })
        .await;
        let answer = running.get("/c/summer", &[line]).await;
        let cookie = answer.header("set-cookie").unwrap();
        let ends = if crosses { "; Secure; SameSite=None" } else { "HttpOnly; SameSite=Lax" };
        assert!(cookie.ends_with(ends), "{trusted} {line}: {cookie}");
    }
}

#[tokio::test]
async fn an_affiliate_click_carries_its_numbers() {
    let running = start(|_| {}).await;
    let answer = running.get("/a/blogger/spring?cid=forged&aff_sub2=t&x=1", &[]).await;
    let location = answer.header("location").unwrap();
    assert!(location.starts_with("https://www.shop.example/spring?x=1&cid="), "{location}");
    let claim = verify_click(&running.edge.keys, &query_value(location, "cid").unwrap()).unwrap();
    assert_eq!((claim.link, claim.offer, claim.affiliate), (0, 300, 1));
    let event = running.event();
    assert_eq!(
        (event.promotion.affiliate.as_str(), event.promotion.offer.as_str()),
        ("blogger", "spring")
    );
    assert_eq!(event.origin.sub_ids, [("sub2".to_owned(), "t".to_owned())]);
    for path in ["/a/stranger/spring", "/a/nobody/spring", "/a/blogger/none", "/c/none"] {
        let answer = running.get(path, &["accept: application/json"]).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.text().starts_with("{\"error\":\"not_found\""));
    }
    assert_eq!(running.events().len(), 1);
}

#[tokio::test]
async fn a_redirect_goes_whatever_the_log_says() {
    let running = start(|_| {}).await;
    running.log_says(Some(Outcome::Written));
    let written = running.get("/c/summer", &[]).await;
    assert_eq!((written.status, written.header("leadtrail-receipt")), (302, None));
    running.log_says(Some(Outcome::Refused));
    let lost = running.get("/c/summer", &[]).await;
    assert_eq!((lost.status, lost.header("leadtrail-receipt")), (302, None));
    assert_eq!(running.events().len(), 1);
    assert_eq!(running.counted("leadtrail_requests_accepted_total", "kind=\"click\""), 1);
    running.log_says(Some(Outcome::Late));
    let late = running.get("/c/summer", &[]).await;
    assert_eq!((late.status, late.header("leadtrail-receipt")), (302, None));
    for reason in ["log_full", "log_slow"] {
        let reason = format!("kind=\"click\",reason=\"{reason}\"");
        assert_eq!(running.counted("leadtrail_requests_unrecorded_total", &reason), 1);
    }
}

#[tokio::test]
async fn over_the_limit_a_click_goes_flagged_and_far_over_it_unrecorded() {
    let running = start(|config| {
        config.limits.address_burst = 2;
        config.limits.address_per_minute = 1;
    })
    .await;
    for _ in 0..25 {
        assert_eq!(running.get("/c/summer", &[]).await.status, 302);
    }
    let events = running.events();
    // The burst of 2, then nine times as many with a flag.
    assert_eq!(events.len(), 20);
    assert!(events[..2].iter().all(|event| event.flags.is_empty()));
    assert!(events[2..].iter().all(|event| event.flags == ["over_limit"]));
    let reason = "kind=\"click\",reason=\"over_limit\"";
    assert_eq!(running.counted("leadtrail_requests_unrecorded_total", reason), 5);
}

#[tokio::test]
async fn only_a_trusted_proxy_is_believed() {
    let line = "x-forwarded-for: 203.0.113.7, 198.51.100.9";
    let running = start(|_| {}).await;
    running.get("/c/summer", &[line]).await;
    assert_eq!(running.event().client.network.unwrap().address().to_string(), "127.0.0.0");
    let behind = start(|config| {
        config.edge.trusted_proxies =
            vec!["127.0.0.0/8".parse().unwrap(), "198.51.100.0/24".parse().unwrap()];
    })
    .await;
    behind.get("/c/summer", &[line]).await;
    assert_eq!(behind.event().client.network.unwrap().address().to_string(), "203.0.113.0");
}

#[tokio::test]
async fn a_form_on_the_same_browser_and_day_has_the_clicks_hash() {
    let running = start(|_| {}).await;
    let agent = ["user-agent: Mozilla/5.0 A", "accept-language: de,en;q=0.5"];
    running.get("/c/summer", &agent).await;
    running.post("/f/contact", "application/x-www-form-urlencoded", b"a=1", &agent).await;
    running
        .post("/f/contact", "application/x-www-form-urlencoded", b"a=1", &["user-agent: other"])
        .await;
    let events = running.events();
    assert_eq!(events[0].day_hash, events[1].day_hash);
    assert_ne!(events[0].day_hash, events[2].day_hash);
    assert_eq!(events[1].visitor, crate::ids::VisitorId::from_day_hash(events[0].day_hash));
}

#[tokio::test]
async fn an_affiliate_link_that_a_page_embeds_is_flagged_and_leads_on() {
    let running = start(|_| {}).await;
    let path = "/a/blogger/spring";
    for headers in [
        &["sec-fetch-dest: image", "sec-fetch-mode: no-cors"][..],
        &["sec-fetch-dest: document", "sec-fetch-mode: navigate"],
        &["sec-fetch-dest: document", "sec-fetch-mode: navigate", "sec-fetch-user: ?1"],
        &["sec-fetch-dest: document", "sec-fetch-mode: navigate", "sec-purpose: prefetch"],
    ] {
        assert_eq!(running.get(path, headers).await.status, 302);
    }
    // A link of our own earns nobody a payout.
    assert_eq!(running.get("/c/summer", &["sec-fetch-dest: image"]).await.status, 302);
    let flags: Vec<_> = running.events().into_iter().map(|event| event.flags).collect();
    let none: [String; 0] = [];
    assert_eq!(flags[0], ["click_embedded"]);
    assert_eq!(flags[1], ["click_not_activated"]);
    assert!(flags[2..].iter().all(|flags| *flags == none), "{flags:?}");
}

#[tokio::test]
async fn a_site_that_asks_for_consent_sets_and_reads_the_cookie_with_it_alone() {
    let sites = SITES
        .replace("visitor = \"cookie\"", "visitor = \"cookie\"\nconsent_cookie = \"consent=yes\"");
    let running = start_with(&sites, |_| {}).await;
    let ours = "lt_v=0123456789abcdef0123456789abcdef";
    for (cookies, sets, basis) in [
        ("a=b".to_owned(), false, VisitorBasis::DailyHash),
        ("consent=no".to_owned(), false, VisitorBasis::DailyHash),
        ("consent=yes".to_owned(), true, VisitorBasis::Cookie),
        (format!("{ours}; consent=yes"), false, VisitorBasis::Cookie),
        (format!("consent=no; {ours}"), false, VisitorBasis::DailyHash),
    ] {
        let answer = running.get("/c/summer", &[&format!("cookie: {cookies}")]).await;
        assert_eq!(answer.header("set-cookie").is_some(), sets, "{cookies}");
        assert_eq!(running.events().pop().unwrap().visitor_basis, basis, "{cookies}");
    }
}
