//! Return URLs: where a form may send the browser afterwards.
//!
//! In: what a form's hidden field asks for. Out: a URL on one of the site's own origins, parsed once and serialised again.
//! Refuses: everything else. Promises: no form of ours is an open redirect.

use url::Url;

use crate::registry::Site;

/// The spellings of the field, in any case (DOMAIN.md 2.2).
const NAMES: &[&str] =
    &["returl", "returnurl", "return_url", "redirect", "redirect_url", "_next", "success_location"];

/// Longer ones are refused: the same limit as for a redirect's destination (DOMAIN.md 6).
const BYTES_MAX: usize = 8 * 1024;

/// True for a field that holds a return URL.
pub fn is_name(name: &str) -> bool {
    NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The URL to send the browser to, if `wanted` is on one of the site's origins: absolute, or a path on the first of them.
pub fn allowed(site: &Site, wanted: &str) -> Option<Url> {
    let wanted = wanted.trim();
    // The parser drops tabs and line ends and reads a backslash as a slash: a URL that needs this is a trick.
    let trick = |character: char| character.is_control() || character == '\\';
    if wanted.is_empty() || wanted.len() > BYTES_MAX || wanted.contains(trick) {
        return None;
    }
    let url = if wanted.starts_with('/') && !wanted.starts_with("//") {
        Url::parse(site.origins.first()?).ok()?.join(wanted).ok()?
    } else {
        Url::parse(wanted).ok()?
    };
    let plain = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none();
    (plain && site.owns_origin(&url.origin().ascii_serialization())).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::VisitorMode;
    use proptest::prelude::*;

    fn site() -> Site {
        Site {
            name: "shop".into(),
            origins: vec!["https://www.shop.example".into(), "http://localhost:8082".into()],
            thank_you: String::new(),
            visitor: VisitorMode::Cookie,
        }
    }

    #[test]
    fn own_pages_are_allowed() {
        for (wanted, goes) in [
            ("/thanks?x=1#top", "https://www.shop.example/thanks?x=1#top"),
            ("https://www.shop.example:443/a", "https://www.shop.example/a"),
            ("HTTPS://WWW.SHOP.EXAMPLE", "https://www.shop.example/"),
            (" http://localhost:8082/ok ", "http://localhost:8082/ok"),
        ] {
            assert_eq!(allowed(&site(), wanted).map(String::from).as_deref(), Some(goes));
        }
    }

    #[test]
    fn nothing_else_is() {
        for wanted in [
            "",
            "thanks",
            "//evil.example/",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "https://evil.example/",
            "https://www.shop.example.evil.example/",
            "javascript:alert(1)",
            "https://www.shop.example@evil.example/",
            "https://user@www.shop.example/",
            "http://www.shop.example/",
            "https://www.shop.example:8443/",
            "data:text/html,x",
            "http://localhost:80822/",
            "https:/\u{7}/x",
        ] {
            assert_eq!(allowed(&site(), wanted), None, "{wanted:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_the_browser_stays_at_home(
            wanted in "(https?:)?[/\\\\]{0,3}(www\\.shop\\.example|localhost:8082|evil\\.example)?[@:/.\\\\?#%a-z\\t]{0,20}",
        ) {
            if let Some(url) = allowed(&site(), &wanted) {
                let again = Url::parse(url.as_str()).unwrap();
                prop_assert!(site().owns_origin(&again.origin().ascii_serialization()));
                prop_assert!(again.username().is_empty());
            }
        }
    }
}
