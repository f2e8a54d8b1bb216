//! Return URLs: where a form may send the browser afterwards.
//!
//! In: what a form's hidden field, or its action's query, asks for, and the page that it stands on. Out: a URL on one of the
//! site's own origins, parsed once and serialised again. Refuses: everything else. Promises: no form of ours is an open
//! redirect: the parsed origin is compared with the list, whole, so that neither user names, ports, look-alike letters nor
//! anything else that a parser makes of a text can lead elsewhere.

use url::Url;

use crate::registry::Site;

/// The spellings of the field (DOMAIN.md 2.2, quirk 15), in lower case without blanks, `-`, `_` and brackets.
const NAMES: &[&str] = &[
    "returl",
    "returnurl",
    "returnuri",
    "returnto",
    "redirect",
    "redirecturl",
    "redirecturi",
    "redirectto",
    "successlocation",
    "successurl",
    "successpage",
    "successredirect",
    "thankyouurl",
    "thankyoupage",
    "thanksurl",
    "confirmationurl",
    "followupurl",
    "mauticformreturn",
];

/// Words that mean something only when they begin with an underscore: without it they are anybody's field.
const UNDERSCORED: &[&str] = &["_next", "_after", "_redirect", "_return"];

/// What pages send when their own field was never filled (quirk 17), and the switches of those for which `redirect` is one: no page is called so.
const NOTHING: &[&str] = &[
    "null",
    "undefined",
    "none",
    "-none-",
    "nil",
    "nan",
    "#",
    "false",
    "true",
    "yes",
    "no",
    "on",
    "off",
    "0",
    "1",
    "y",
    "n",
];

/// Longer ones are refused: the same limit as for a redirect's destination (DOMAIN.md 6).
const BYTES_MAX: usize = 8 * 1024;

/// The longest spelling: longer names are none.
const NAME_BYTES_MAX: usize = 24;

/// What a return URL comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing was asked for.
    Nothing,
    /// To send the browser there.
    Allowed(Url),
    /// Something else was asked for: it is not followed.
    Refused,
}

/// True for a field that holds a return URL.
pub fn is_name(name: &str) -> bool {
    if name.len() > NAME_BYTES_MAX {
        return false;
    }
    if name.starts_with('_') && UNDERSCORED.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return true;
    }
    let mut plain = [0; NAME_BYTES_MAX];
    let mut length = 0;
    for byte in name.bytes().filter(|byte| !b" -_[]".contains(byte)) {
        plain[length] = byte.to_ascii_lowercase();
        length += 1;
    }
    NAMES.iter().any(|known| known.as_bytes() == &plain[..length])
}

/// Judges what is asked for. `wanted` was decoded once, as every field is, and is not decoded again. What is relative is
/// taken from `page`, the `Referer`, if that is the site's own, else from the first origin.
pub fn judge(site: &Site, wanted: &str, page: &str) -> Wish {
    let wanted = wanted.trim();
    if wanted.is_empty() || NOTHING.iter().any(|nothing| nothing.eq_ignore_ascii_case(wanted)) {
        return Wish::Nothing;
    }
    resolve(site, wanted, page).map_or(Wish::Refused, Wish::Allowed)
}

fn resolve(site: &Site, wanted: &str, page: &str) -> Option<Url> {
    // The parser drops tabs and line ends and reads a backslash as a slash: a URL that needs this is a trick.
    let trick = |character: char| character.is_control() || character == '\\';
    if wanted.len() > BYTES_MAX || wanted.contains(trick) {
        return None;
    }
    let url = match Url::parse(wanted) {
        Ok(url) => url,
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            let here = Url::parse(page).ok().filter(|page| is_allowed(site, page));
            let base = match here {
                Some(page) => page,
                None => Url::parse(site.origins.first()?).ok()?,
            };
            base.join(wanted).ok()?
        }
        Err(_) => return None,
    };
    // A serialised URL may be longer than what was asked for: each strange byte becomes three.
    (is_allowed(site, &url) && url.as_str().len() <= BYTES_MAX).then_some(url)
}

fn is_allowed(site: &Site, url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && site.returns_to(&url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;
    use proptest::prelude::*;
    use std::sync::Arc;

    const SITES: &str = "[[site]]\nname = \"shop\"\nvisitor = \"cookie\"\n\
        origins = [\"https://www.shop.example\", \"http://localhost:8082\", \"https://xn--bcher-kva.example\"]\n\
        return_origins = [\"https://thanks.example\"]\n";

    fn site() -> Arc<Site> {
        Registry::parse(SITES, "test").unwrap().site("shop").unwrap().clone()
    }

    fn goes(wanted: &str, page: &str) -> Option<String> {
        match judge(&site(), wanted, page) {
            Wish::Allowed(url) => Some(url.into()),
            Wish::Nothing | Wish::Refused => None,
        }
    }

    #[test]
    fn every_spelling_of_the_field_is_known() {
        for name in [
            "retURL",
            "returnURL",
            "return_url",
            "redirect",
            "redirect_url",
            "Redirect-To",
            "_next",
            "_Next",
            "success_location",
            "mauticform[return]",
            "returnUrl",
            "redirectUri",
            "_redirect",
            "thank_you_url",
        ] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "next",
            "return",
            "after",
            "url",
            "mauticform[returned]",
            "redirecting",
            "",
            "retURL".repeat(9).as_str(),
        ] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn own_pages_are_allowed() {
        for (wanted, expected) in [
            ("/thanks?x=1#top", "https://www.shop.example/thanks?x=1#top"),
            ("https://www.shop.example:443/a", "https://www.shop.example/a"),
            ("HTTPS://WWW.SHOP.EXAMPLE", "https://www.shop.example/"),
            (" http://localhost:8082/ok ", "http://localhost:8082/ok"),
            ("//www.shop.example/ok", "https://www.shop.example/ok"),
            ("https://thanks.example/x", "https://thanks.example/x"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
            ("thanks.html", "https://www.shop.example/thanks.html"),
            // A URL inside the query stays as encoded as it came.
            (
                "https://www.shop.example/t?next=https%3A%2F%2Fevil.example%2F%0d%0a",
                "https://www.shop.example/t?next=https%3A%2F%2Fevil.example%2F%0d%0a",
            ),
        ] {
            assert_eq!(goes(wanted, "").as_deref(), Some(expected), "{wanted}");
        }
    }

    #[test]
    fn what_is_relative_is_taken_from_the_page_if_that_is_the_sites_own() {
        let page = "http://localhost:8082/de/kontakt?x=1";
        assert_eq!(
            goes("danke.html", page).as_deref(),
            Some("http://localhost:8082/de/danke.html")
        );
        assert_eq!(goes("?ok=1", page).as_deref(), Some("http://localhost:8082/de/kontakt?ok=1"));
        assert_eq!(goes("/ok", page).as_deref(), Some("http://localhost:8082/ok"));
        let foreign = "https://evil.example/x/";
        assert_eq!(
            goes("danke.html", foreign).as_deref(),
            Some("https://www.shop.example/danke.html")
        );
    }

    #[test]
    fn what_was_never_filled_in_asks_for_nothing() {
        for wanted in
            ["", "  ", "null", "NULL", "undefined", "#", "yes", "1", "true", "On", "0", "false"]
        {
            assert_eq!(judge(&site(), wanted, ""), Wish::Nothing, "{wanted}");
        }
    }

    #[test]
    fn nothing_else_is_allowed() {
        for wanted in [
            "//evil.example/",
            "///evil.example/",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "https://evil.example/",
            "https://www.shop.example.evil.example/",
            "https://www.shop.example%2eevil.example/",
            "https://www.shop.example。evil.example/",
            "https://www.ѕhop.example/",
            "https://www.shop.example./",
            "javascript:alert(1)",
            "https://www.shop.example@evil.example/",
            "https://www.shop.example%40evil.example/",
            "https://user@www.shop.example/",
            "http://www.shop.example/",
            "https://www.shop.example:8443/",
            "data:text/html,x",
            "http://localhost:80822/",
            "https:/\u{7}/x",
            "https:evil.example",
            "blob:https://www.shop.example/x",
            "view-source:https://www.shop.example/",
            "https://[::1]/",
        ] {
            assert_eq!(judge(&site(), wanted, ""), Wish::Refused, "{wanted:?}");
        }
        assert_eq!(judge(&site(), &format!("/{}", "é".repeat(3_000)), ""), Wish::Refused);
    }

    proptest! {
        #[test]
        fn whatever_is_asked_the_browser_stays_at_home(
            wanted in "(https?:|javascript:|)[/\\\\@]{0,3}(www\\.shop\\.example|localhost:8082|evil\\.example|thanks\\.example|)[@:/.\\\\?#%a-z\\t\u{3002}\u{ff0e}]{0,20}",
            page in "(https?://)?(www\\.shop\\.example|evil\\.example)[@:/.?a-z]{0,9}",
        ) {
            if let Wish::Allowed(url) = judge(&site(), &wanted, &page) {
                // What a browser makes of the header: the same parser, and the text is plain ASCII.
                let again = Url::parse(url.as_str()).unwrap();
                prop_assert!(site().returns_to(&again.origin().ascii_serialization()));
                prop_assert!(again.username().is_empty());
                prop_assert!(url.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }

        #[test]
        fn any_text_at_all_leads_home_or_nowhere(wanted in any::<String>(), page in any::<String>()) {
            if let Wish::Allowed(url) = judge(&site(), &wanted, &page) {
                prop_assert!(site().returns_to(&url.origin().ascii_serialization()));
            }
        }
    }
}
