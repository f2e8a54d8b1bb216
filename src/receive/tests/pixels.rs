//! Opens, impressions, form views and conversion pixels, from outside.

use super::*;
use crate::event::{EventType, SourceKind};
use crate::receive::reply::GIF;
use crate::tokens::{ClickClaim, sign_click, sign_mail};

fn is_pixel(answer: &Answer, status: u16) -> bool {
    answer.status == status
        && answer.body == GIF
        && answer.header("content-type") == Some("image/gif")
        && answer.header("cache-control") == Some("no-store")
}

#[tokio::test]
async fn an_open_names_its_mailing() {
    let running = start(|_| {}).await;
    let token = sign_mail(&running.edge.keys, 4, "customer-1");
    let answer = running.get(&format!("/o/{token}.gif"), &["user-agent: Mozilla/5.0"]).await;
    assert!(is_pixel(&answer, 200), "{answer:?}");
    assert!(answer.header("leadtrail-receipt").is_some() && answer.header("set-cookie").is_none());
    let event = running.event();
    assert_eq!((event.event_type, event.source), (EventType::EmailOpen, SourceKind::Pixel));
    assert_eq!(
        (event.promotion.mailing.as_str(), event.promotion.campaign.as_str()),
        ("spring-mail", "spring")
    );
    let unregistered = sign_mail(&running.edge.keys, 5, "customer-1");
    for path in ["/o/forged.gif".to_owned(), format!("/o/{unregistered}.gif"), "/o/.gif".to_owned()]
    {
        assert!(is_pixel(&running.get(&path, &[]).await, 404), "{path}");
    }
    assert_eq!(
        running.get(&format!("/o/{token}"), &[]).await.status,
        404,
        "without .gif it is no door"
    );
    let head = running.ask("HEAD", &format!("/o/{token}.gif"), &[]).await;
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, Some("43")));
    assert_eq!(running.events().last().unwrap().client.method, "HEAD");
}

#[tokio::test]
async fn an_impression_says_what_its_click_would_say() {
    let running = start(|_| {}).await;
    let page = "referer: https://news.example/front";
    let answer = running.get("/i.gif?ad=summer-shoes&utm_source=x&utm_term=y", &[page]).await;
    assert!(is_pixel(&answer, 200));
    running.get("/i.gif?ad=summer-shoes&price=59.90&currency=chf&placement=side", &[]).await;
    running.get("/i.gif?ad=summer-shoes&price=cheap&currency=francs", &[]).await;
    let events = running.events();
    assert_eq!(events[0].event_type, EventType::Impression);
    let (promotion, origin) = (&events[0].promotion, &events[0].origin);
    assert_eq!((promotion.link.as_str(), promotion.placement.as_str()), ("summer", "top"));
    assert_eq!(promotion.price_shown.unwrap().to_string(), "79.90");
    assert_eq!((origin.utm_source.as_str(), origin.utm_term.as_str()), ("newsday", "y"));
    assert_eq!(origin.referrer_host, "news.example");
    assert_eq!(events[1].promotion.price_shown.unwrap().to_string(), "59.90");
    assert_eq!(
        (events[1].price_currency.unwrap().as_str(), events[1].promotion.placement.as_str()),
        ("CHF", "side")
    );
    assert_eq!((events[2].promotion.price_shown, events[2].price_currency), (None, None));
    assert_eq!(events[2].flags, ["currency_unreadable", "price_unreadable"]);
    for path in ["/i.gif", "/i.gif?ad=none", "/i.gif?form=none"] {
        assert!(is_pixel(&running.get(path, &[]).await, 404), "{path}");
    }
}

#[tokio::test]
async fn a_form_view_names_its_form() {
    let running = start(|_| {}).await;
    let page = "referer: https://www.shop.example/contact?utm_source=mail";
    assert!(is_pixel(&running.get("/i.gif?form=contact", &[page]).await, 200));
    let event = running.event();
    assert_eq!(
        (event.event_type, event.form.unwrap().form.as_str()),
        (EventType::FormView, "contact")
    );
    assert_eq!(
        (event.origin.landing_path.as_str(), event.origin.utm_source.as_str()),
        ("/contact", "mail")
    );
}

#[tokio::test]
async fn a_conversion_follows_its_click_and_stays_pending() {
    let running = start(|_| {}).await;
    let id = running.edge.minter.mint(now_millis());
    let click =
        |link, offer| sign_click(&running.edge.keys, &ClickClaim { id, link, offer, affiliate: 1 });
    let by_link =
        format!("/x.gif?goal=sale&amount=120.50&currency=EUR&order=A-7&lt={}", click(7, 0));
    assert!(is_pixel(&running.get(&by_link, &[]).await, 200));
    let by_offer = format!("/x.gif?goal=sale&amount=9999&currency=USD&lt={}", click(0, 300));
    assert!(is_pixel(&running.get(&by_offer, &[]).await, 200));
    let elsewhere = "/x.gif?goal=signup&site=quiet&lt=forged";
    assert!(is_pixel(&running.get(elsewhere, &[]).await, 200));
    let events = running.events();
    let worth = events[0].worth.as_ref().unwrap();
    assert_eq!((events[0].event_type, events[0].site.as_str()), (EventType::Purchase, "shop"));
    assert_eq!(
        (worth.amount.unwrap().to_string().as_str(), worth.order_id.as_str()),
        ("120.50", "A-7")
    );
    assert_eq!((worth.status.as_str(), events[0].parent_click.unwrap().id), ("pending", id));
    let worth = events[1].worth.as_ref().unwrap();
    assert_eq!(worth.amount.unwrap().to_string(), "49.90", "the offer's own");
    assert_eq!(
        (worth.currency.unwrap().as_str(), events[1].promotion.offer.as_str()),
        ("EUR", "spring")
    );
    assert_eq!(events[1].flags, ["amount_of_offer"]);
    assert_eq!((events[2].event_type, events[2].site.as_str()), (EventType::Conversion, "quiet"));
    assert_eq!(events[2].flags, ["click_id_not_ours"]);
    // Three sites: one that nothing tells is not guessed.
    for path in ["/x.gif?goal=sale", "/x.gif?site=none", "/x.gif?site=shop&offer=none"] {
        assert!(is_pixel(&running.get(path, &[]).await, 404), "{path}");
    }
}

#[tokio::test]
async fn a_pixel_that_is_not_durable_says_503_with_the_gif() {
    let running = start(|_| {}).await;
    running.log_says(Some(Outcome::Refused));
    let answer = running.get("/i.gif?ad=summer-shoes", &[]).await;
    assert!(is_pixel(&answer, 503));
    assert_eq!(
        (answer.header("leadtrail-receipt"), answer.header("retry-after")),
        (None, Some("5"))
    );
    running.log_says(None);
    let hanging = running.get("/i.gif?ad=summer-shoes", &[]).await;
    assert!(is_pixel(&hanging, 503));
    let reason = "kind=\"impression\",reason=\"log_slow\"";
    assert_eq!(running.counted("leadtrail_requests_refused_total", reason), 1);
}

#[tokio::test]
async fn far_over_the_limit_a_pixel_is_a_gif_and_nothing_else() {
    let running = start(|config| {
        config.limits.address_burst = 1;
        config.limits.address_per_minute = 1;
    })
    .await;
    for _ in 0..12 {
        assert!(is_pixel(&running.get("/i.gif?ad=summer-shoes", &[]).await, 200));
    }
    assert_eq!(running.events().len(), 10);
    assert_eq!(running.counted("leadtrail_requests_unrecorded_total", "kind=\"impression\""), 2);
}
