//! Links of the store and signed links, from outside.

use super::*;
use crate::event::EventType;
use crate::links::record::{Change, Kill, Kind, Link, Switch, Way};
use crate::links::token::{self, LinkClaim};
use crate::tokens::verify_click;

fn link(number: u32, name: &'static str, url: &'static str) -> Link<'static> {
    Link {
        number,
        name: name.into(),
        site: "shop".into(),
        to: vec![Way { url: url.into(), weight: 1 }],
        ..Link::default()
    }
}

fn apply(running: &Running, change: Change<'static>) {
    running.edge.links.apply(&[change]);
}

fn kill(running: &Running, what: Switch, name: &'static str, on: bool) {
    apply(running, Change::Kill(Kill { what, name: name.into(), on }));
}

#[tokio::test]
async fn a_link_made_while_the_edge_runs_is_followed_and_recorded_as_it_is_then() {
    let running = start(|_| {}).await;
    assert_eq!(running.get("/c/sale", &[]).await.status, 404);
    let first = Link {
        campaign: "autumn".into(),
        ad: "sale-ad".into(),
        price: crate::money::Amount::parse("9.90").ok(),
        currency: crate::money::Currency::parse("EUR"),
        ..link(1_000_000, "sale", "https://www.shop.example/sale?utm_source=own#x")
    };
    apply(&running, Change::Link(first.clone()));
    let answer = running.get("/c/sale?utm_source=theirs&a=b", &[]).await;
    assert_eq!(answer.status, 302);
    let location = answer.header("location").unwrap();
    assert!(
        location.starts_with("https://www.shop.example/sale?utm_source=own&a=b&lt="),
        "{location}"
    );
    let claim = verify_click(&running.edge.keys, &query_value(location, "lt").unwrap()).unwrap();
    apply(&running, Change::Link(Link { campaign: "winter".into(), ..first }));
    running.get("/c/sale", &[]).await;
    let seen = running.get("/i.gif?ad=sale-ad", &[]).await;
    assert_eq!(seen.status, 200);
    let events = running.events();
    assert_eq!((claim.id, claim.link), (events[0].id, 1_000_000));
    assert_eq!(events[0].promotion.campaign, "autumn");
    assert_eq!(events[0].promotion.price_shown.unwrap().to_string(), "9.90");
    assert_eq!(events[0].origin.landing_path, "/sale");
    assert_eq!(events[0].origin.utm_source, "own");
    assert_eq!(events[1].promotion.campaign, "winter");
    assert_eq!(events[2].event_type, EventType::Impression);
    assert_eq!(events[2].promotion.link, "sale");
    // A conversion that names the click is of the link's site, though there are several.
    let lt = query_value(location, "lt").unwrap();
    assert_eq!(running.get(&format!("/x.gif?goal=sale&lt={lt}"), &[]).await.status, 200);
    assert_eq!(running.events()[3].site, "shop");
}

#[tokio::test]
async fn a_link_that_is_over_leads_to_its_fallback_or_to_a_polite_page() {
    let running = start(|_| {}).await;
    let over = Link { expires_ms: 1, ..link(1_000_001, "over", "https://www.shop.example/a") };
    let fallback = Link {
        name: "kept".into(),
        number: 1_000_002,
        retired: true,
        fallback: "https://www.shop.example/home".into(),
        ..over.clone()
    };
    apply(&running, Change::Link(over));
    apply(&running, Change::Link(fallback));
    let page = running.get("/c/over", &["accept-language: de"]).await;
    assert_eq!(page.status, 410);
    assert!(page.text().contains("führt nirgendwohin"), "{}", page.text());
    assert_eq!(page.header("location"), None);
    let answer = running.get("/c/kept", &[]).await;
    assert!(answer.header("location").unwrap().starts_with("https://www.shop.example/home?lt="));
    assert_eq!(running.event().flags, ["fallback"]);
    let unknown = running.get("/c/never", &[]).await;
    assert!(unknown.status == 404 && unknown.text().contains("There is no such link"));
    assert_eq!(running.counted("leadtrail_requests_refused_total", "reason=\"gone\""), 1);
}

#[tokio::test]
async fn a_link_is_sent_on_by_its_kind() {
    let running = start(|_| {}).await;
    let url = "https://www.shop.example/it's?a=1&b=2";
    apply(&running, Change::Link(Link { kind: Kind::Temporary, ..link(1_000_003, "t", url) }));
    apply(&running, Change::Link(Link { kind: Kind::Meta, ..link(1_000_004, "m", url) }));
    assert_eq!(running.get("/c/t", &[]).await.status, 307);
    let page = running.get("/c/m", &[]).await;
    assert_eq!((page.status, page.header("referrer-policy")), (200, Some("no-referrer")));
    let text = page.text();
    assert!(
        text.contains("content=\"0;url=https://www.shop.example/it&#39;s?a=1&amp;b=2&amp;lt="),
        "{text}"
    );
}

#[tokio::test]
async fn a_split_sends_a_visitor_to_one_place_always() {
    let running = start(|_| {}).await;
    let way = |url: &'static str, weight| Way { url: url.into(), weight };
    let to = vec![way("https://www.shop.example/a", 1), way("https://www.shop.example/b", 1)];
    apply(
        &running,
        Change::Link(Link { to, ..link(1_000_005, "split", "https://www.shop.example/") }),
    );
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..24 {
        let first = running.get("/c/split", &[]).await;
        let cookie = first.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let path = |answer: &Answer| answer.header("location").unwrap()[..26].to_owned();
        for _ in 0..3 {
            let again = running.get("/c/split", &[&format!("cookie: {cookie}")]).await;
            assert_eq!(path(&again), path(&first));
        }
        seen.insert(path(&first));
    }
    assert_eq!(seen.len(), 2, "both are used");
}

#[tokio::test]
async fn what_is_switched_off_leads_nowhere_and_back_on_it_does() {
    let running = start(|_| {}).await;
    apply(&running, Change::Link(link(1_000_006, "sale", "https://www.shop.example/sale")));
    let claim = LinkClaim {
        site: "shop".into(),
        destination: "https://www.shop.example/x".into(),
        ..LinkClaim::default()
    };
    let signed = format!("/r/{}", token::sign(&running.edge.keys, &claim));
    for (what, name, paths) in [
        (Switch::Link, "sale", &["/c/sale"][..]),
        (Switch::Link, "summer", &["/c/summer"]),
        (Switch::Affiliate, "blogger", &["/a/blogger/spring"]),
        (Switch::Host, "shop.example", &["/c/sale", "/c/summer", "/a/blogger/spring", &signed]),
    ] {
        for (on, status) in [(true, 410), (false, 302)] {
            kill(&running, what, name, on);
            for path in paths {
                assert_eq!(running.get(path, &[]).await.status, status, "{path} {name} {on}");
            }
        }
    }
}

#[tokio::test]
async fn a_signed_link_leads_where_it_says_while_its_site_admits_that() {
    let running = start(|_| {}).await;
    let keys = &running.edge.keys;
    let claim = LinkClaim {
        site: "shop".into(),
        mailing: 4,
        recipient: 77,
        destination: "https://www.shop.example/letter?a=1".into(),
        ..LinkClaim::default()
    };
    let path = |claim: &LinkClaim| format!("/r/{}", token::sign(keys, claim));
    let answer = running.get(&path(&claim), &[]).await;
    let location = answer.header("location").unwrap();
    assert!(location.starts_with("https://www.shop.example/letter?a=1&lt="), "{location}");
    let event = running.event();
    assert_eq!((event.promotion.mailing.as_str(), event.recipient.0), ("spring-mail", 77));
    assert_eq!(event.promotion.campaign, "spring");
    // One that stands for a registered link follows it.
    let of_link = LinkClaim { link: 7, destination: String::new(), ..claim.clone() };
    let answer = running.get(&path(&of_link), &[]).await;
    assert!(answer.header("location").unwrap().starts_with("https://www.shop.example/shoes?"));
    assert_eq!(running.events()[1].promotion.ad, "summer-shoes");
    for (status, claim) in [
        (410, LinkClaim { expires_ms: 60_000, ..claim.clone() }),
        (410, LinkClaim { destination: "https://evil.example/".into(), ..claim.clone() }),
        (410, LinkClaim { site: "gone".into(), ..claim.clone() }),
        (410, LinkClaim { link: 99, ..claim.clone() }),
        (302, LinkClaim { expires_ms: now_millis() + 120_000, ..claim }),
    ] {
        assert_eq!(running.get(&path(&claim), &[]).await.status, status, "{claim:?}");
    }
}
