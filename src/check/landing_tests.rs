//! Addresses as marketers write them, and as attackers do.

use std::sync::LazyLock;

use super::*;
use crate::registry::Registry;
use proptest::prelude::*;

static SITE: LazyLock<Site> = LazyLock::new(|| {
    let text = "[[site]]\nname = \"shop\"\nvisitor = \"none\"\nlink_schemes = [\"shopapp\"]\n\
        link_hosts = [\"www.shop.example\", \"*.cdn.example\", \"localhost:8082\", \"xn--bcher-kva.example\"]\n";
    let registry = Registry::parse(text, "test").unwrap();
    Site::clone(registry.site("shop").unwrap())
});

#[test]
fn an_address_is_written_as_browsers_read_it() {
    for (text, written) in [
        ("https://www.shop.example", "https://www.shop.example/"),
        ("HTTPS://WWW.Shop.Example/A b".trim_end_matches(" b"), "https://www.shop.example/A"),
        ("https://www.shop.example:443/a?b=c#d", "https://www.shop.example/a?b=c#d"),
        ("https://www.shop.example/ä?ö=1", "https://www.shop.example/%C3%A4?%C3%B6=1"),
        ("http://localhost:8082/x/../y", "http://localhost:8082/y"),
        ("https://a.b.cdn.example/x", "https://a.b.cdn.example/x"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("shopapp://product/7?a=b", "shopapp://product/7?a=b"),
    ] {
        assert_eq!(accept(text, &SITE).as_deref(), Ok(written), "{text}");
    }
}

#[test]
fn no_trick_leads_to_another_host() {
    for text in [
        "",
        "/relative",
        "//evil.example/",
        "https:/evil.example/",
        "https:evil.example",
        "https:///evil.example/",
        "https://evil.example/",
        "https://www.shop.example.evil.example/",
        "https://evilcdn.example/",
        "https://cdn.example/",
        "https://www.shop.example@evil.example/",
        "https://evil.example\\@www.shop.example/",
        "https://www.shop.example\\evil.example/",
        "https://www.shop.example:8443/",
        "https://www.shop.example./",
        "https://www.shop.example%2eevil.example/",
        "https://%77ww.shop.example/",
        "https://user:pw@www.shop.example/",
        "https://@www.shop.example/",
        "https://www.shop.example//evil.example/",
        "https://www.sh\u{043e}p.example/",
        "https://b\u{00fc}cher.example/",
        "https://www\u{3002}shop.example/",
        "https://www.shop.example\t/",
        " https://www.shop.example/",
        "https://www.shop.example/\r\nSet-Cookie: a=b",
        "https://www.shop.example/\u{0}",
        "ht\ntps://www.shop.example/",
        "javascript://www.shop.example/%0aalert(1)",
        "data://www.shop.example/",
        "intent://www.shop.example/#Intent;end",
        "otherapp://x/",
        "shopapp:evil",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://[::1]/",
        "http://169.254.169.254/",
    ] {
        assert!(accept(text, &SITE).is_err(), "{text:?}");
    }
}

#[test]
fn an_address_that_names_a_person_is_told() {
    assert!(is_personal("https://a.example/?email=x"));
    assert!(is_personal("https://a.example/?q=jane%40example.com"));
    assert!(is_personal("https://a.example/jane@example.com"));
    assert!(!is_personal("https://a.example/?email=&q=1&utm_source=mail"));
}

proptest! {
    #![proptest_config(crate::cases::cases(10_000))]
    #[test]
    fn what_is_accepted_is_on_a_listed_host_by_the_url_standard(
        scheme in "(https?|shopapp|javascript|data|HTTPS|file|ht\ttp)?",
        joint in "(://|:/|:|:///|//|:\\\\|:/\\\\)?",
        user in "([a-z:%@\\\\]{0,4}@|evil\\.example[/\\\\?#@%]{0,2})?",
        host in "(www\\.shop\\.example|a\\.cdn\\.example|evil\\.example|localhost:8082|[a-z.%@:\\[\\]0-9]{0,9})",
        tail in "([/\\\\?#@:%.]{0,3}(evil\\.example|www\\.shop\\.example|\u{0}|\r\n|é|[a-z])?){0,3}",
    ) {
        if let Ok(written) = accept(&format!("{scheme}{joint}{user}{host}{tail}"), &SITE) {
            let url = Url::parse(&written).unwrap();
            prop_assert_eq!(url.as_str(), &written);
            let host = url.host_str().unwrap_or("");
            let listed = url.scheme() == "shopapp" || ["www.shop.example", "localhost"].contains(&host) || host.ends_with(".cdn.example");
            prop_assert!(listed && url.username().is_empty() && url.password().is_none(), "{}", written);
            prop_assert!(written.bytes().all(|byte| (0x21..0x7f).contains(&byte)));
        }
    }
}
