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
    assert_eq!(events[1].flags, ["amount_of_offer", "conversion_too_soon"]);
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

#[tokio::test]
async fn ads_that_are_shown_together_are_recorded_all_or_none_each_with_an_id_of_its_own() {
    let running = start(|_| {}).await;
    let two = "[[link]]\nnumber = 9\nname = \"autumn\"\nsite = \"shop\"\ndestination = \"https://www.shop.example/b\"\n\
        ad = \"boots\"\nprice = \"99.00\"\ncurrency = \"EUR\"\n";
    let foreign = "[[link]]\nnumber = 10\nname = \"f\"\nsite = \"quiet\"\ndestination = \"https://quiet.example/b\"\nad = \"quiet-ad\"\n";
    drop(running);
    let running = start_with(&[SITES, two, foreign].concat(), |_| {}).await;
    let path =
        "/i.gif?ads=summer-shoes,boots&prices=9.90,&placements=top,side&utm_source=page&keyword=x";
    assert_eq!(running.get(path, &[]).await.status, 200);
    let event = running.event();
    let said: Vec<_> = event
        .clone()
        .unfold()
        .map(|one| {
            let promotion = one.promotion;
            (promotion.ad, promotion.placement, promotion.price_shown.unwrap().to_string(), one.id)
        })
        .collect();
    assert_eq!(said.len(), 2);
    assert_eq!((&*said[0].0, &*said[0].1, &*said[0].2), ("summer-shoes", "top", "9.90"));
    assert_eq!((&*said[1].0, &*said[1].1, &*said[1].2), ("boots", "side", "99.00"));
    assert_eq!(said[1].3, said[0].3.later(1));
    assert_eq!(event.origin.utm_source, "page", "the page's own, for they share no link");
    // The next id is none of theirs.
    running.get("/i.gif?ad=boots", &[]).await;
    assert_eq!(running.events()[1].id.sequence(), said[1].3.sequence() + 1);
    let many = format!("/i.gif?ads={}", vec!["boots"; 51].join(","));
    for (path, status) in [
        ("/i.gif?ads=boots,nothing", 404),
        ("/i.gif?ads=boots,quiet-ad", 404),
        ("/i.gif?ads=,boots", 404),
        (&*many, 413),
    ] {
        let answer = running.get(path, &[]).await;
        assert_eq!((answer.status, &answer.body[..6]), (status, &b"GIF89a"[..]), "{path}");
    }
    assert_eq!(running.events().len(), 2, "a batch with one wrong ad is recorded not at all");
}

#[tokio::test]
async fn what_is_odd_about_one_ad_is_not_said_of_those_beside_it() {
    let two = "[[link]]\nnumber = 9\nname = \"autumn\"\nsite = \"shop\"\ndestination = \"https://www.shop.example/b\"\nad = \"boots\"\n";
    let running = start_with(&[SITES, two].concat(), |_| {}).await;
    let path = "/i.gif?ads=summer-shoes,boots,boots&prices=9.90,cheap,&keyword={keyword}";
    assert_eq!(running.get(path, &[]).await.status, 200);
    let flags: Vec<_> = running.event().unfold().map(|event| event.flags).collect();
    let (all, odd) = ("macro_unexpanded", "price_unreadable");
    assert_eq!(flags[0], [all]);
    assert_eq!(flags[2], [all]);
    let mut of_second = flags[1].clone();
    of_second.sort();
    assert_eq!(of_second, [all, odd]);
}

#[tokio::test]
async fn an_open_of_which_only_the_number_is_kept_keeps_nothing_of_its_address_either() {
    for (mode, kept) in [("individual", true), ("aggregate", false)] {
        let sites = SITES.replace(
            "campaign = \"spring\"\n\n",
            &format!("campaign = \"spring\"\nopens = \"{mode}\"\n\n"),
        );
        let running = start_with(&sites, |_| {}).await;
        let token = crate::tokens::sign_mail(&running.edge.keys, 4, "customer-42");
        let path = format!("/o/{token}.gif?utm_content=customer-42&gclid=g1&utm_id=7");
        running.get(&path, &["referer: https://mail.example/inbox/42"]).await;
        let origin = running.event().origin;
        assert_eq!(origin.utm_content == "customer-42", kept, "{mode}");
        assert_eq!(!origin.click_ids.is_empty() && !origin.tags.is_empty(), kept, "{mode}");
        assert_eq!(!origin.referrer_host.is_empty(), kept, "{mode}");
    }
}

#[tokio::test]
async fn who_has_withdrawn_consent_is_no_more_named_in_opens_and_clicks_and_others_are() {
    use crate::links::kills::recipient_name;
    use crate::links::record::{Change, Kill, Switch};
    use crate::links::token::{self, LinkClaim};
    let sites = SITES
        .replace("campaign = \"spring\"\n\n", "campaign = \"spring\"\nopens = \"individual\"\n\n");
    let running = start_with(&sites, |_| {}).await;
    let keys = &running.edge.keys;
    let recipient = |reference| crate::tokens::recipient(keys, reference);
    let switch = |on| {
        let name = recipient_name(recipient("customer-42")).into();
        running.edge.links.apply(&[Change::Kill(Kill { what: Switch::Recipient, name, on })]);
    };
    for (on, reference, named) in [
        (false, "customer-42", true),
        (true, "customer-42", false),
        (true, "customer-43", true),
        (false, "customer-42", true),
    ] {
        switch(on);
        let before = running.events().len();
        let open = crate::tokens::sign_mail(keys, 4, reference);
        assert!(is_pixel(&running.get(&format!("/o/{open}.gif"), &[]).await, 200));
        let claim = LinkClaim {
            site: "shop".into(),
            destination: "https://www.shop.example/x".into(),
            mailing: 4,
            recipient: recipient(reference),
            ..LinkClaim::default()
        };
        let answer = running.get(&format!("/r/{}", token::sign(keys, &claim)), &[]).await;
        assert_eq!(answer.status, 302);
        let events = &running.events()[before..];
        assert_eq!(events.len(), 2);
        for event in events {
            let expected = if named { recipient(reference) } else { 0 };
            assert_eq!(event.recipient.0, expected, "{on} {reference} {:?}", event.event_type);
        }
        assert_eq!(events[0].day_hash.is_none(), !named, "of an open nothing is left");
    }
}

#[tokio::test]
async fn what_is_kept_of_an_open_is_what_the_mailings_mode_says() {
    for (mode, recorded, whose) in
        [("individual", 1, true), ("aggregate", 1, false), ("off", 0, false), ("", 1, false)]
    {
        let line = if mode.is_empty() { String::new() } else { format!("opens = \"{mode}\"\n") };
        let sites =
            SITES.replace("campaign = \"spring\"\n\n", &format!("campaign = \"spring\"\n{line}\n"));
        let running = start_with(&sites, |_| {}).await;
        let token = crate::tokens::sign_mail(&running.edge.keys, 4, "customer-42");
        let answer = running
            .get(&format!("/o/{token}.gif"), &["cookie: lt_v=0123456789abcdef0123456789abcdef"])
            .await;
        assert_eq!((answer.status, answer.body.len()), (200, 43), "{mode}");
        let events = running.events();
        assert_eq!(events.len(), recorded, "{mode}");
        let known = crate::tokens::recipient(&running.edge.keys, "customer-42");
        for event in events {
            assert_eq!(event.promotion.mailing, "spring-mail");
            assert_eq!(event.recipient.0, if whose { known } else { 0 }, "{mode}");
            assert_eq!(
                (event.visitor.is_none(), event.day_hash.is_none()),
                (!whose, !whose),
                "{mode}"
            );
        }
        let off = running.counted("leadtrail_requests_unrecorded_total", "reason=\"opens_off\"");
        assert_eq!(off, u64::from(mode == "off"));
    }
}

#[tokio::test]
async fn what_looks_ahead_or_only_asks_for_the_head_is_answered_and_marked_and_gets_no_cookie() {
    let running = start(|_| {}).await;
    for (method, line, word) in [
        ("HEAD", "x: y", "HEAD"),
        ("GET", "sec-purpose: prefetch;prerender", "prefetch;prerender"),
        ("GET", "purpose: prefetch", "prefetch"),
        ("GET", "x-purpose: preview", "preview"),
        ("GET", "x-moz: prefetch", "prefetch"),
    ] {
        let answer = running
            .ask(
                method,
                "/c/summer",
                &[
                    line,
                    "sec-fetch-mode: navigate",
                    "sec-fetch-site: cross-site",
                    "sec-fetch-user: ?1",
                ],
            )
            .await;
        assert_eq!((answer.status, answer.header("set-cookie")), (302, None), "{line}");
        let client = running.events().pop().unwrap().client;
        assert!(client.purpose == word || client.method == word, "{line}: {client:?}");
        assert_eq!(
            (&*client.fetch_mode, &*client.fetch_site, client.fetch_user),
            ("navigate", "cross-site", true)
        );
    }
}

#[tokio::test]
async fn a_frame_records_what_the_pixel_does_and_holds_nothing() {
    let running = start(|_| {}).await;
    let answer =
        running.get("/x.html?goal=sale&amount=12.50&currency=EUR&order=A-9&site=shop", &[]).await;
    assert_eq!((answer.status, answer.text()), (200, "<!doctype html><title></title>"));
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let policy = answer.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'") && policy.ends_with("frame-ancestors *"),
        "{policy}"
    );
    assert!(answer.header("leadtrail-receipt").is_some() && answer.header("set-cookie").is_none());
    let event = running.event();
    let worth = event.worth.unwrap();
    assert_eq!((event.event_type, event.source), (EventType::Purchase, SourceKind::Pixel));
    assert_eq!((worth.order_id.as_str(), worth.status.as_str()), ("A-9", "pending"));
    // What isn't recorded is not called a success, in a frame either.
    assert_eq!(running.get("/x.html?goal=sale&site=nobody", &[]).await.status, 404);
    running.log_says(Some(Outcome::Refused));
    let answer = running.get("/x.html?goal=sale&site=shop", &[]).await;
    assert_eq!((answer.status, answer.header("leadtrail-receipt")), (503, None));
}
