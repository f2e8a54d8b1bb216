//! Pages: the frame of every page of ours that people see.
//!
//! In: texts and a body. Out: a whole page as a reply. Refuses: nothing. Promises: no script can run and nothing is loaded, by a
//! policy that admits one style sheet by its hash; what came from a stranger goes through [`escape`] or does not go in; a page
//! prints well and reads from right to left where its language does.

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::{
    CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::texts::Texts;
use super::{ROBOTS, Reply, plain};
use crate::registry::{Registry, Site};

const STYLE: &str = include_str!("page.css");

static STYLE_HASH: LazyLock<String> = LazyLock::new(|| STANDARD.encode(Sha256::digest(STYLE)));

const NO_REFERRER: (HeaderName, HeaderValue) =
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer"));

/// What the pages of one site have in common.
pub struct Frame {
    /// The site's title, escaped.
    title: String,
    /// Nothing may be sent from the page.
    reading: HeaderValue,
    /// A form may be sent to us, and lead on to the site's own pages.
    sending: HeaderValue,
}

/// The frames of all sites, made once at the start.
pub struct Frames {
    by_site: HashMap<String, Frame>,
    /// For pages that belong to no site.
    pub nobody: Frame,
}

impl Frames {
    /// One for each site.
    pub fn new(registry: &Registry) -> Self {
        let frame = |site: &Site| {
            let title = if site.title.is_empty() { &site.name } else { &site.title };
            let homes: Vec<String> = homes(site).collect();
            Frame::new(title, &site.origins, &homes)
        };
        let by_site = registry.sites().map(|site| (site.name.clone(), frame(site))).collect();
        Self { by_site, nobody: Frame::new("", &[], &[]) }
    }

    /// A site's frame.
    pub fn of(&self, site: &Site) -> &Frame {
        self.by_site.get(&site.name).unwrap_or(&self.nobody)
    }
}

/// Where a form of the site may lead: browsers hold redirects after a form to `form-action` too.
fn homes(site: &Site) -> impl Iterator<Item = String> {
    let thank_you = Url::parse(&site.thank_you).ok().map(|url| url.origin().ascii_serialization());
    site.origins.iter().chain(&site.return_origins).cloned().chain(thank_you)
}

impl Frame {
    /// `parents` may show the page in a frame; `homes` may be reached by sending its form.
    fn new(title: &str, parents: &[String], homes: &[String]) -> Self {
        let policy = |form_action: &str| {
            let text = format!(
                "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action {form_action}; \
                 frame-ancestors 'self' {}",
                *STYLE_HASH,
                parents.join(" ")
            );
            HeaderValue::try_from(text.trim_end()).expect("origins are visible ASCII, as checked")
        };
        let mut escaped = String::new();
        escape(title, &mut escaped);
        let sending = policy(format!("'self' {}", homes.join(" ")).trim_end());
        Self { title: escaped, reading: policy("'none'"), sending }
    }
}

/// What may be done with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is read.
    Reading,
    /// It holds a form.
    Sending,
}

/// A whole page. `body` is HTML.
pub fn page(
    status: StatusCode,
    texts: &Texts,
    frame: &Frame,
    (title, body): (&str, &str),
    used: Use,
) -> Reply {
    let site = ["<p class=\"site\">", &frame.title, "</p>\n"];
    let text = [
        "<!doctype html>\n<html lang=\"",
        &texts.language,
        "\" dir=\"",
        &texts.direction,
        "\">\n<head><meta charset=\"utf-8\"><title>",
        title,
        "</title><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><style>",
        STYLE,
        "</style></head>\n<body><main>\n",
        &if frame.title.is_empty() { String::new() } else { site.concat() },
        "<h1>",
        title,
        "</h1>\n",
        body,
        "</main></body></html>\n",
    ]
    .concat();
    let mut reply = plain(status, text, "text/html; charset=utf-8");
    let headers = reply.headers_mut();
    let policy = if used == Use::Sending { &frame.sending } else { &frame.reading };
    headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
    headers.insert(NO_REFERRER.0, NO_REFERRER.1);
    headers.insert(ROBOTS, HeaderValue::from_static("noindex"));
    if let Ok(language) = HeaderValue::try_from(&texts.language) {
        headers.insert(CONTENT_LANGUAGE, language);
    }
    reply
}

/// Appends text so that a browser reads exactly this text, between tags and in a quoted attribute alike. Control characters
/// that HTML doesn't take become U+FFFD.
pub fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // A parser would read a bare carriage return as a line feed.
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(character),
            control if control.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
}

/// An instant as a page shows it: whole seconds in UTC, for nobody knows the visitor's clock.
pub fn time(millis: i64) -> String {
    let instant = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
    let utc = jiff::tz::Offset::UTC.to_datetime(instant);
    format!("<time datetime=\"{utc:.0}Z\">{} {} UTC</time>", utc.date(), hours(utc))
}

fn hours(utc: jiff::civil::DateTime) -> String {
    format!("{:02}:{:02}:{:02}", utc.hour(), utc.minute(), utc.second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_time_is_shown_in_utc() {
        let expected = "<time datetime=\"2026-09-21T14:13:20Z\">2026-09-21 14:13:20 UTC</time>";
        assert_eq!(time(1_790_000_000_000), expected);
    }

    #[test]
    fn the_policy_names_the_style_sheet_and_the_sites_own_places() {
        let frame = Frame::new(
            "Shoes & <Boots>",
            &["https://www.shop.example".to_owned()],
            &["https://www.shop.example".to_owned(), "https://thanks.example".to_owned()],
        );
        let policy = frame.sending.to_str().unwrap();
        assert!(
            policy.contains("form-action 'self' https://www.shop.example https://thanks.example; ")
        );
        assert!(policy.ends_with("frame-ancestors 'self' https://www.shop.example"), "{policy}");
        assert!(frame.reading.to_str().unwrap().contains("form-action 'none'; "));
        assert_eq!(frame.title, "Shoes &amp; &lt;Boots&gt;");
        let nobody = Frame::new("", &[], &[]);
        assert!(nobody.reading.to_str().unwrap().ends_with("frame-ancestors 'self'"));
    }

    proptest! {
        #[test]
        fn escaped_text_holds_no_markup(text in any::<String>()) {
            let mut escaped = String::new();
            escape(&text, &mut escaped);
            let markup = ['<', '>', '"', '\'', '\0', '\r', '\u{1b}'];
            prop_assert!(!escaped.contains(markup));
            let plain = escaped.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"")
                .replace("&#39;", "'").replace("&#13;", "\r").replace("&amp;", "&");
            let kept = |character: char| character.is_control() && !"\t\n\r".contains(character);
            prop_assert_eq!(plain, text.replace(kept, "\u{fffd}"));
        }
    }
}
