//! How hosts and paths meet the lists.

use super::*;
use crate::enrich::channel::{CHANNELS_TOML, Channels, Classified, REFERRERS_TOML, Touch};

fn found(host: &str, path: &str, query: Option<&str>) -> (String, Channel) {
    let channels = Channels::load(CHANNELS_TOML, REFERRERS_TOML).unwrap();
    let touch = Touch {
        referrer_host: host,
        referrer_path: path,
        referrer_query: query,
        ..Touch::default()
    };
    let Classified { channel, source, .. } = channels.classify(&touch);
    (source.to_owned(), channel)
}

#[test]
fn labels_are_compared_whole() {
    for (host, name, channel) in [
        ("www.google.com", "Google", Channel::OrganicSearch),
        ("google.co.uk", "Google", Channel::OrganicSearch),
        ("www.google.com.br", "Google", Channel::OrganicSearch),
        ("WWW.Google.DE.", "Google", Channel::OrganicSearch),
        ("notgoogle.com", "notgoogle.com", Channel::Referral),
        ("google.com.evil.example", "google.com.evil.example", Channel::Referral),
        ("google.example", "google.example", Channel::Referral),
        ("docs.google.com", "docs.google.com", Channel::Referral),
        ("de.bing.com", "Bing", Channel::OrganicSearch),
        ("lm.facebook.com", "Facebook", Channel::OrganicSocial),
        ("myfacebook.com", "myfacebook.com", Channel::Referral),
        ("old.reddit.com", "reddit", Channel::OrganicSocial),
        ("com.linkedin.android", "LinkedIn", Channel::OrganicSocial),
        ("com.google.android.googlequicksearchbox", "Google", Channel::OrganicSearch),
        ("gemini.google.com", "Gemini", Channel::Assistant),
        ("mail.google.com", "Gmail", Channel::Email),
        ("search.brave.com", "Brave", Channel::OrganicSearch),
        ("eur01.safelinks.protection.outlook.com", "Mail security", Channel::Email),
    ] {
        assert_eq!(found(host, "/", None), (name.to_owned(), channel), "{host}");
    }
}

#[test]
fn the_longest_path_wins() {
    assert_eq!(found("x.com", "/i/grok", None).1, Channel::Assistant);
    assert_eq!(found("x.com", "/i/grok/share", None).1, Channel::Assistant);
    assert_eq!(found("x.com", "/i/groking", None).1, Channel::OrganicSocial);
    assert_eq!(found("google.com", "/imgres", None).0, "Google Images");
    assert_eq!(found("www.bing.com", "/chat", None).1, Channel::Assistant);
}

#[test]
fn who_is_in_two_lists_is_an_assistant() {
    assert_eq!(found("chatgpt.com", "/", None), ("ChatGPT".into(), Channel::Assistant));
    assert_eq!(found("www.perplexity.ai", "/", None).1, Channel::Assistant);
}

#[test]
fn an_engine_counts_on_its_pages_of_results_only() {
    assert_eq!(found("www.cnn.com", "/2026/article", Some("")).1, Channel::Referral);
    assert_eq!(found("www.cnn.com", "/search", Some("query=crm")).1, Channel::OrganicSearch);
    assert_eq!(found("www.cnn.com", "/search", Some("query=")).1, Channel::Referral);
    assert_eq!(found("www.google.com", "/maps", Some("")).1, Channel::Referral);
    assert_eq!(found("www.bing.com", "/search", Some("q=crm")).1, Channel::OrganicSearch);
    assert_eq!(found("www.bing.com", "/search", None).1, Channel::OrganicSearch, "no query kept");
    assert_eq!(found("www.cnn.com", "/2026/article", None).1, Channel::Referral);
    assert_eq!(found("www.bing.com", "/searching", None).1, Channel::Referral);
}

#[test]
fn hosts_of_any_shape_are_looked_up() {
    for host in ["", ".", "..", "com", "www.", "m.", "\u{130}.com", "a.b.c.d.e.f.g.h.i.j.k.l.m"] {
        found(host, "", None);
        found(host, "\u{fffd}", Some("\u{fffd}=%zz&=&"));
    }
}
