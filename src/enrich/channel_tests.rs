//! The order of the rules, the words of marketers, and files that contradict themselves.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn channels() -> &'static Channels {
    static SHARED: OnceLock<Channels> = OnceLock::new();
    SHARED.get_or_init(Channels::built_in)
}

fn utm(source: &str, medium: &str) -> Channel {
    let touch = Touch { utm_source: source, utm_medium: medium, ..Touch::default() };
    channels().classify(&touch).channel
}

fn clicked(ids: &[(&str, &str)], source: &str, medium: &str) -> Channel {
    let ids: Vec<(String, String)> =
        ids.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let touch =
        Touch { click_ids: &ids, utm_source: source, utm_medium: medium, ..Touch::default() };
    channels().classify(&touch).channel
}

#[test]
fn what_the_registry_says_wins_then_click_id_then_utm_then_referrer() {
    let ids = [("gclid".to_owned(), "Cj0KCQ".to_owned())];
    let mut touch = Touch {
        registered: Some(Channel::Display),
        affiliate: true,
        from_email_link: true,
        click_ids: &ids,
        utm_source: "newsletter",
        utm_medium: "email",
        referrer_host: "www.facebook.com",
        page_host: "shop.example",
        ..Touch::default()
    };
    let decided = |touch: &Touch<'_>| {
        let found = channels().classify(touch);
        (found.channel, found.decided_by)
    };
    assert_eq!(decided(&touch), (Channel::Display, DecidedBy::Registry));
    touch.registered = None;
    assert_eq!(decided(&touch), (Channel::Affiliate, DecidedBy::Registry));
    touch.affiliate = false;
    assert_eq!(decided(&touch), (Channel::Email, DecidedBy::Registry));
    touch.from_email_link = false;
    assert_eq!(decided(&touch), (Channel::PaidSearch, DecidedBy::ClickId));
    touch.click_ids = &[];
    assert_eq!(decided(&touch), (Channel::Email, DecidedBy::Utm));
    (touch.utm_source, touch.utm_medium) = ("", "");
    assert_eq!(decided(&touch), (Channel::OrganicSocial, DecidedBy::Referrer));
    touch.referrer_host = "WWW.shop.example";
    assert_eq!(decided(&touch), (Channel::Internal, DecidedBy::Referrer));
    touch.referrer_host = "";
    assert_eq!(decided(&touch), (Channel::Direct, DecidedBy::Nothing));
}

#[test]
fn a_medium_is_read_as_marketers_write_it() {
    for (source, medium, channel) in [
        ("google", "cpc", Channel::PaidSearch),
        ("some-engine", "PPC", Channel::PaidSearch),
        ("facebook", "cpc", Channel::PaidSocial),
        ("fb", "Paid Social", Channel::PaidSocial),
        ("anything", "paid_social", Channel::PaidSocial),
        ("ig", "paid", Channel::PaidSocial),
        ("bing", "paid", Channel::PaidSearch),
        ("somewhere", "paid", Channel::Other),
        ("somewhere", "cpm", Channel::Display),
        ("somewhere", "banner-300x250", Channel::Display),
        ("news", "E-Mail", Channel::Email),
        ("news", " newsletter ", Channel::Email),
        ("partner", "affiliates", Channel::Affiliate),
        ("google", "organic", Channel::OrganicSearch),
        ("linkedin", "organic", Channel::OrganicSocial),
        ("linkedin", "social", Channel::OrganicSocial),
        ("chatgpt.com", "", Channel::Assistant),
        ("chatgpt.com", "referral", Channel::Assistant),
        ("m.facebook.com", "", Channel::OrganicSocial),
        ("blog.example", "referral", Channel::Referral),
        ("x", "qr-code", Channel::Other),
        ("google", "(none)", Channel::OrganicSearch),
        ("flyer", "summer", Channel::Other),
        ("", "", Channel::Direct),
    ] {
        assert_eq!(utm(source, medium), channel, "source {source:?}, medium {medium:?}");
    }
}

#[test]
fn unknown_words_do_not_hide_a_known_referrer() {
    let mut touch = Touch {
        utm_source: "spring",
        utm_medium: "story",
        referrer_host: "l.instagram.com",
        ..Touch::default()
    };
    assert_eq!(channels().classify(&touch).channel, Channel::OrganicSocial);
    touch.referrer_host = "";
    assert_eq!(channels().classify(&touch).channel, Channel::Other);
}

#[test]
fn a_click_id_tells_the_platform_and_the_medium_its_placement() {
    assert_eq!(clicked(&[("gclid", "a")], "", ""), Channel::PaidSearch);
    assert_eq!(clicked(&[("GCLID", "a")], "google", "display"), Channel::Display);
    assert_eq!(clicked(&[("gclid", "a")], "news", "email"), Channel::PaidSearch);
    assert_eq!(clicked(&[("fbclid", "a")], "", ""), Channel::OrganicSocial, "on unpaid links too");
    assert_eq!(clicked(&[("fbclid", "a")], "fb", "cpc"), Channel::PaidSocial);
    assert_eq!(clicked(&[("fbclid", "a")], "", "paid"), Channel::PaidSocial);
    assert_eq!(clicked(&[("fbclid", "a")], "news", "email"), Channel::OrganicSocial);
    assert_eq!(clicked(&[("ScCid", "a")], "", ""), Channel::PaidSocial);
    assert_eq!(clicked(&[("srsltid", "a")], "", ""), Channel::OrganicSearch);
    assert_eq!(clicked(&[("mc_cid", "a")], "", ""), Channel::Email);
    assert_eq!(clicked(&[("awc", "1_2")], "", ""), Channel::Affiliate);
}

#[test]
fn of_several_click_ids_the_last_appended_counts() {
    assert_eq!(clicked(&[("gclid", "a"), ("fbclid", "b")], "", ""), Channel::OrganicSocial);
    assert_eq!(clicked(&[("fbclid", "b"), ("gclid", "a")], "", ""), Channel::PaidSearch);
    assert_eq!(clicked(&[("gclid", "a"), ("srsltid", "b")], "", ""), Channel::PaidSearch, "a hint");
    assert_eq!(clicked(&[("srsltid", "b"), ("gclid", "a")], "", ""), Channel::PaidSearch);
}

#[test]
fn an_empty_click_id_and_an_unfilled_macro_prove_nothing() {
    for value in ["", "{gclid}", "{{gclid}}", "[gclid]"] {
        assert_eq!(clicked(&[("gclid", value)], "", ""), Channel::Direct, "{value}");
    }
    assert_eq!(clicked(&[("unknown_id", "a")], "", ""), Channel::Direct);
}

/// With the query all agree; an engine whose query was dropped and that shows results at its root can't be told.
#[test]
fn constructed_referrers_have_their_medium_and_source() {
    let mut without_query = 0;
    for line in include_str!("../../tests/fixtures/referrers/cases.jsonl").lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let url = url::Url::parse(row["referrer"].as_str().unwrap()).ok();
        let page = url::Url::parse(row["page"].as_str().unwrap()).unwrap();
        let mut touch = Touch {
            referrer_host: url.as_ref().and_then(|url| url.host_str()).unwrap_or(""),
            referrer_path: url.as_ref().map_or("", |url| url.path()),
            referrer_query: url.as_ref().map(|url| url.query().unwrap_or("")),
            page_host: page.host_str().unwrap(),
            ..Touch::default()
        };
        let agrees = |touch: &Touch<'_>| {
            let found = channels().classify(touch);
            let medium = match found.channel {
                Channel::OrganicSearch => "search",
                Channel::OrganicSocial => "social",
                Channel::Assistant => "ai",
                channel => channel.as_str(),
            };
            let right = |value: &Value| value == medium;
            let accepted = row["accept_medium"].as_array().is_some_and(|all| all.iter().any(right));
            let source = row["expect"]["source"].as_str();
            (right(&row["expect"]["medium"]) || accepted)
                && source.is_none_or(|source| source == found.source)
        };
        assert!(agrees(&touch), "{line}");
        touch.referrer_query = None;
        without_query += usize::from(agrees(&touch));
    }
    assert!(without_query >= 45, "{without_query} of 50 without the query");
}

#[test]
fn rules_that_contradict_themselves_are_refused_by_name() {
    let with = |rules: &str| {
        let Err(error) = Channels::load(&format!("{CHANNELS_TOML}\n{rules}"), REFERRERS_TOML)
        else {
            panic!("accepted {rules}");
        };
        error.to_string()
    };
    let twice = with("[[click_id]]\nparameters = [\"GCLID\"]\nchannel = \"display\"");
    assert!(twice.contains("click id \"gclid\""), "{twice}");
    let medium = with("[[medium]]\nwords = [\"e-mail*\"]\nchannel = \"other\"");
    assert!(medium.contains("utm_medium \"email\""), "{medium}");
    let empty = with("[[medium]]\nwords = [\"story\"]");
    assert!(empty.contains("\"story\""), "{empty}");
    let engine =
        with("[[site]]\nname = \"Mine\"\nhosts = [\"s.example\"]\nchannel = \"organic_search\"");
    assert!(engine.contains("\"Mine\" needs paths"), "{engine}");
    let unknown = with("[[source]]\nnames = [\"a\"]\nchannel = \"serch\"");
    assert!(unknown.contains("serch") && unknown.contains("organic_search"), "{unknown}");
    let key = with("[[source]]\nname = [\"a\"]\nchannel = \"email\"");
    assert!(key.contains("line") && key.contains("names"), "{key}");
}

#[test]
fn rules_may_come_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("channels.toml");
    let own = "[[site]]\nname = \"Ours\"\nhosts = [\"facebook.com\"]\nchannel = \"referral\"";
    std::fs::write(&file, format!("{CHANNELS_TOML}\n{own}")).unwrap();
    let rules = Channels::open(&file).unwrap();
    let touch = Touch { referrer_host: "facebook.com", ..Touch::default() };
    let found = rules.classify(&touch);
    assert_eq!((found.channel, found.source), (Channel::Referral, "Ours"));
    assert!(matches!(
        Channels::open(&directory.path().join("missing.toml")),
        Err(ChannelError::Read { .. })
    ));
}

#[test]
fn a_channels_name_is_the_same_in_tables_and_in_configuration() {
    #[derive(Deserialize)]
    struct One {
        channel: Channel,
    }
    for channel in [
        Channel::PaidSearch,
        Channel::PaidSocial,
        Channel::Display,
        Channel::Email,
        Channel::Affiliate,
        Channel::OrganicSearch,
        Channel::OrganicSocial,
        Channel::Assistant,
        Channel::Referral,
        Channel::Direct,
        Channel::Internal,
        Channel::Other,
    ] {
        let read: One = toml::from_str(&format!("channel = \"{}\"", channel.as_str())).unwrap();
        assert_eq!(read.channel, channel);
    }
}

proptest! {
    #[test]
    fn any_touch_is_classified_in_bounded_time(
        texts in prop::collection::vec(any::<String>(), 6),
        ids in prop::collection::vec((any::<String>(), any::<String>()), 0..8),
        dots in "[a-z.{}/]{0,200}",
    ) {
        let started = Instant::now();
        for host in [texts[0].as_str(), &dots] {
            let touch = Touch {
                click_ids: &ids,
                utm_source: &texts[1],
                utm_medium: &texts[2],
                utm_campaign: &texts[3],
                referrer_host: host,
                referrer_path: &texts[4],
                referrer_query: Some(&texts[5]),
                ..Touch::default()
            };
            let found = channels().classify(&touch);
            prop_assert_eq!(found, channels().classify(&touch));
        }
        prop_assert!(started.elapsed() < Duration::from_secs(1));
    }
}
