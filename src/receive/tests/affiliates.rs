//! Affiliate clicks: networks' own addresses, deep links, caps, countries.

use super::*;
use crate::check::clicks::Profiles;
use crate::tokens::verify_click;

/// The offer has macros and passes sub ids on; each network's example names it as that network would.
const NETWORKS: &str = r#"
[[offer]]
number = 301
name = "passing"
site = "shop"
destination = "https://www.shop.example/land?tid={click_id}&s1={sub1}&fixed=1"
pass = { who = "affiliate", s2 = "sub2", theirs = "external_click_id", banner = "creative", ad = "ad" }
"#;

/// What an example's address must name.
fn network(profile: &str) -> String {
    let ids = match profile {
        "everflow" => {
            "offers = { \"2CTPL\" = \"passing\" }\naffiliates = { \"9JZ1CT\" = \"blogger\" }"
        }
        "voluum" => {
            "offers = { \"3d1f3b4f-2c55-4b6e-9a39-0f2f1d0a7c11\" = \"passing\" }\naffiliate = \"blogger\""
        }
        "redtrack" => {
            "offers = { \"6537c1a0e6d4b10001d5a1b2\" = \"passing\" }\naffiliate = \"blogger\""
        }
        "keitaro" => "offers = { \"spring-keitaro\" = \"passing\" }\naffiliate = \"blogger\"",
        "binom" => "offers = { \"8a1b2c3d4e5f6a7b8c9d\" = \"passing\" }\naffiliate = \"blogger\"",
        _ => "offers = { \"12\" = \"passing\" }\naffiliates = { \"1042\" = \"blogger\" }",
    };
    format!("[[network]]\nname = \"{profile}\"\nhosts = [\"{profile}.go\"]\n{ids}\n")
}

#[tokio::test]
async fn each_profiles_documented_address_is_followed_recorded_and_told_to_the_destination() {
    let profiles = Profiles::load("").unwrap();
    let theirs = || profiles.all().filter(|profile| !profile.paths.is_empty());
    let sites =
        [SITES, NETWORKS].concat() + &theirs().map(|one| network(&one.name)).collect::<String>();
    let running = start_with(&sites, |_| {}).await;
    assert_eq!(theirs().count(), 10);
    for profile in theirs() {
        let name = &profile.name;
        let request = format!(
            "GET {}&gclid=G-1&sub9={{x}} HTTP/1.1\r\nhost: {name}.go\r\nconnection: close\r\n\r\n",
            profile.file.example
        );
        let answer = super::Answer::parse(&running.raw(request.as_bytes()).await);
        assert_eq!(answer.status, 302, "{name}: {}", answer.head);
        let location = answer.header("location").unwrap();
        assert!(
            location.starts_with("https://www.shop.example/land?fixed=1&"),
            "{name}: {location}"
        );
        let told = |parameter| query_value(location, parameter).unwrap_or_default();
        assert_eq!((&*told("s1"), &*told("s2")), ("top", "banner 7"), "{name}");
        assert_eq!((&*told("who"), &*told("theirs")), ("blogger", "ext-1"), "{name}: {location}");
        assert_eq!(told("gclid"), "G-1", "{name}");
        let event = running.events().pop().unwrap();
        let claim = verify_click(&running.edge.keys, &told("tid")).unwrap();
        assert_eq!((claim.id, claim.offer, claim.affiliate), (event.id, 301, 1), "{name}");
        assert_eq!(event.origin.external_click, "ext-1", "{name}");
        let subs: Vec<_> =
            event.origin.sub_ids.iter().map(|(sub, value)| (&**sub, &**value)).collect();
        assert_eq!(subs[..2], [("sub1", "top"), ("sub2", "banner 7")], "{name}");
        assert_eq!((&*event.promotion.affiliate, &*event.promotion.offer), ("blogger", "passing"));
        assert!(event.flags.iter().any(|flag| flag == "macro_unexpanded"), "{name}");
        for banner in ["file_id=44", "creative_id=44", "a_bid=44"] {
            if profile.file.example.contains(banner)
                && profile.meaning(banner.split('=').next().unwrap()).is_some()
            {
                assert_eq!((&*event.promotion.creative, &*told("banner")), ("44", "44"), "{name}");
            }
        }
        if matches!(&**name, "cake" | "post_affiliate_pro") {
            assert!(
                !event.promotion.creative.is_empty(),
                "{name}: the banner is the creative, too"
            );
        }
        if name == "impact" {
            assert_eq!((&*event.promotion.ad, &*told("ad")), ("44", "44"));
        }
        let other = running.get(&profile.file.example, &[]).await;
        assert_eq!(other.status, 404, "{name}: at another host there is nothing");
    }
}

#[tokio::test]
async fn a_deep_link_leads_to_the_offers_hosts_or_the_offers_own_page() {
    let offer = "[[offer]]\nnumber = 302\nname = \"deep\"\nsite = \"shop\"\ndestination = \"https://www.shop.example/home?utm_source=net\"\n\
        deep_hosts = [\"www.shop.example\", \"*.cdn.example\"]\n";
    let running = start_with(&[SITES, offer].concat(), |_| {}).await;
    for (to, location) in [
        ("%2Fshoes%3Fsize%3D42", "https://www.shop.example/shoes?size=42&b=2&utm_source=net&lt="),
        ("https%3A%2F%2Fa.cdn.example%2Fx%23top", "https://a.cdn.example/x?b=2&utm_source=net&lt="),
        (
            "https://www.shop.example/y?utm_source=theirs",
            "https://www.shop.example/y?utm_source=theirs&b=2&lt=",
        ),
    ] {
        let answer = running.get(&format!("/a/blogger/deep?to={to}&b=2"), &[]).await;
        let found = answer.header("location").unwrap();
        assert!(found.starts_with(location), "{to}: {found}");
        let event = running.events().pop().unwrap();
        assert_eq!(event.origin.utm_source, "net", "the registry's value wins in what is recorded");
        assert!(event.flags.is_empty(), "{to}: {:?}", event.flags);
    }
    for to in [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "https://www.shop.example@evil.example/",
        "https://www.shop.example.evil.example/",
        "javascript:alert(1)",
        "https:evil.example",
        "/%09/evil.example",
        "https://cdn.example/",
        "https://www.shop.example:444/",
        "/x?lt=forged",
    ] {
        let encoded: String = form_urlencoded::byte_serialize(to.as_bytes()).collect();
        let answer = running.get(&format!("/a/blogger/deep?to={encoded}"), &[]).await;
        let found = answer.header("location").unwrap();
        assert!(found.starts_with("https://www.shop.example/"), "{to}: {found}");
        let fell_back = found.starts_with("https://www.shop.example/home?utm_source=net&lt=");
        assert!(fell_back || to == "/%09/evil.example", "{to}: {found}");
        if fell_back {
            assert_eq!(running.events().pop().unwrap().flags, ["deep_link_refused"], "{to}");
        }
    }
}

#[tokio::test]
async fn each_networks_own_word_for_a_deep_link_is_understood() {
    let words = [
        ("affise", "path=%2Fdeep"),
        ("affise", "redirect=https%3A%2F%2Fwww.shop.example%2Fdeep"),
        ("cake", "ckmrdr=https%3A%2F%2Fwww.shop.example%2Fdeep"),
        ("everflow", "url=https%3A%2F%2Fwww.shop.example%2Fdeep"),
        ("impact", "u=https%3A%2F%2Fwww.shop.example%2Fdeep"),
        ("post_affiliate_pro", "desturl=https://www.shop.example/deep"),
        ("tune", "url=https%3A%2F%2Fwww.shop.example%2Fdeep"),
    ];
    let names: std::collections::BTreeSet<_> = words.iter().map(|(name, _)| *name).collect();
    let entries: String = names.into_iter().map(network).collect();
    let running = start_with(&[SITES, NETWORKS, &entries].concat(), |_| {}).await;
    let profiles = Profiles::load("").unwrap();
    for (name, word) in words {
        let example = &profiles.get(name).unwrap().file.example;
        for (asked, leads_to) in [
            (word.to_owned(), "https://www.shop.example/deep?"),
            (word.replace("www.shop.example", "evil.example"), "https://www.shop.example/"),
        ] {
            let path = format!("{example}&{asked}");
            let request =
                format!("GET {path} HTTP/1.1\r\nhost: {name}.go\r\nconnection: close\r\n\r\n");
            let answer = super::Answer::parse(&running.raw(request.as_bytes()).await);
            let location = answer.header("location").unwrap();
            assert!(location.starts_with(leads_to), "{name}: {asked}: {location}");
            let passed = location.contains("evil") || location.contains("%2Fdeep");
            assert!(!passed, "{name}: what was read is not passed on: {location}");
        }
    }
}

#[tokio::test]
async fn whoever_is_not_for_the_offer_goes_to_the_fallback_and_is_recorded_with_the_reason() {
    let offers = "[[offer]]\nnumber = 303\nname = \"british\"\nsite = \"shop\"\ndestination = \"https://www.shop.example/gb\"\n\
        countries = [\"GB\"]\nfallback = \"https://www.shop.example/others\"\n\
        [[offer]]\nnumber = 304\nname = \"full\"\nsite = \"shop\"\ndestination = \"https://www.shop.example/few\"\n\
        cap_day = 3\naffiliate_cap_day = 2\nfallback = \"https://www.shop.example/others\"\n";
    let running = start_with(&[SITES, offers].concat(), |config| {
        config.edge.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await;
    for (address, path, flags) in [
        ("2.125.160.216", "/gb", &[][..]),
        ("216.160.83.56", "/others", &["fallback", "country_not_allowed"][..]),
        ("10.0.0.1", "/others", &["fallback", "country_unknown"][..]),
    ] {
        let line = format!("x-forwarded-for: {address}");
        let answer = running.get("/a/blogger/british", &[&line]).await;
        let location = answer.header("location").unwrap();
        assert!(location.starts_with(&format!("https://www.shop.example{path}?lt=")), "{location}");
        let event = running.events().pop().unwrap();
        assert_eq!(event.flags, flags, "{address}");
        assert_eq!((&*event.promotion.affiliate, &*event.promotion.offer), ("blogger", "british"));
        let claim =
            verify_click(&running.edge.keys, &query_value(location, "lt").unwrap()).unwrap();
        let earns = flags.is_empty();
        assert_eq!((claim.offer, claim.affiliate), if earns { (303, 1) } else { (0, 0) });
    }
    let mut gone = Vec::new();
    for (affiliate, line) in [
        ("blogger", "purpose: prefetch"),
        ("blogger", "x: y"),
        ("blogger", "x: y"),
        ("blogger", "x: y"),
        ("stranger", "x: y"),
        ("stranger", "x: y"),
    ] {
        let answer = running.get(&format!("/a/{affiliate}/full"), &[line]).await;
        gone.push(answer.header("location").unwrap().contains("/few?"));
    }
    assert_eq!(gone, [true, true, true, false, true, false], "two of each, three of all");
    assert_eq!(running.events().pop().unwrap().flags, ["fallback", "cap_reached"]);
}

#[test]
fn an_offer_that_cannot_be_right_says_so() {
    let wrong = |lines: &str| {
        let offer = format!(
            "[[offer]]\nnumber = 9\nname = \"o\"\nsite = \"shop\"\ndestination = \"https://www.shop.example/?a={{sub1}}\"\n{lines}\n"
        );
        let parsed = Registry::parse(&[SITES, &offer].concat(), "test");
        parsed.map_or_else(|error| error.to_string(), |_| String::new())
    };
    assert_eq!(wrong(""), "");
    for (lines, words) in [
        ("cap_day = 5", "need a fallback"),
        ("countries = [\"Germany\"]", "two capital letters"),
        ("pass = { s = \"sub21\" }", "nothing is called `sub21`"),
        ("pass = { lt = \"sub1\" }", "gets our click id"),
        ("deep_hosts = [\"HTTPS://x\"]", "deep host"),
        ("cap_dya = 5", "did you mean `cap_day`"),
    ] {
        let said = wrong(lines);
        assert!(said.contains(words), "{lines}: {said}");
    }
}
