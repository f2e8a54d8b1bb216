//! Origin: where a visitor came from, as a query, a form's fields and the `Referer` say it.
//!
//! In: names and values one by one. Out: an [`Origin`] with campaign values, ad click ids and sub ids; the click id of ours that
//! came with them. Promises: the first value of a name wins, so that whoever is asked first (the registry) decides;
//! names are stored in their canonical spelling, values raw but cut and redacted.

use url::Url;

use crate::check::flags::{Flag, Flags};
use crate::check::fraud;
use crate::check::names::{Name, Utm};
use crate::check::redact;
use crate::check::unexpanded::{holds_macro, is_unexpanded};
use crate::event::Origin;
use crate::keys::Keys;
use crate::tokens::{ClickClaim, verify_click};

/// Campaign values are cut here: longer ones are no names.
const UTM_BYTES_MAX: usize = 2_048;

/// Ad click ids have grown from 26 to 100 and more (DOMAIN.md 2.5). None is cut below this, the longest URL that we send (DOMAIN.md 6).
const CLICK_ID_BYTES_MAX: usize = 8_192;

/// Names of creatives and placements are words.
const WORD_BYTES_MAX: usize = 128;

/// A macro's name is a word; what is longer is cut.
const MACRO_BYTES_MAX: usize = 80;

/// Sub ids are an affiliate's own: other systems give them 50 to 255.
const SUB_ID_BYTES_MAX: usize = 512;

/// Paths are cut here.
const PATH_BYTES_MAX: usize = 512;

/// A host has at most 253 characters.
const HOST_BYTES_MAX: usize = 253;

/// Collects an [`Origin`].
#[derive(Clone, Debug, Default)]
pub struct Trail {
    /// What has been collected.
    pub origin: Origin,
    /// The first click id of ours, unverified.
    pub click_id: Option<String>,
    /// What was odd.
    pub flags: Flags,
}

impl Trail {
    /// Looks at a parameter of a link or page; says what it is.
    pub fn take_parameter(&mut self, name: &str, value: &str) -> Name {
        let name = Name::of(name);
        match name {
            Name::Referral(known) => {
                if !self.is_macro(known, value) {
                    self.click_id_of_others(known, value);
                }
            }
            Name::Word(known) => self.tag(known, value),
            Name::Other if holds_macro(value) => self.flags.set(Flag::MacroUnexpanded),
            _ => {
                self.take(name, value);
            }
        }
        name
    }

    /// A sub id that a network calls by a name of its own.
    pub fn take_sub(&mut self, known: &'static str, value: &str) {
        self.take(Name::SubId(known), value);
    }

    /// The network's own id of this click, for what it reports later.
    pub fn external_click(&mut self, name: &str, value: &str) {
        if self.origin.external_click.is_empty() && !value.is_empty() && !self.is_macro(name, value)
        {
            self.origin.external_click = self.id_of_others(value).to_owned();
        }
    }

    /// Looks at a form's field; true when it is one of ours and none of the form's own.
    pub fn take_field(&mut self, name: &str, value: &str) -> bool {
        self.take(Name::of(name), value)
    }

    fn take(&mut self, name: Name, value: &str) -> bool {
        let known = match name {
            Name::Utm(utm) => utm.name(),
            Name::SubId(known) | Name::AdClickId(known) => known,
            _ => "",
        };
        if !known.is_empty() && self.is_macro(known, value) {
            return true;
        }
        match name {
            Name::ClickId if self.click_id.is_none() && !value.is_empty() => {
                self.click_id = Some(value.to_owned());
            }
            Name::Utm(utm) => {
                let slot = slot(&mut self.origin, utm);
                if slot.is_empty() && !value.is_empty() {
                    *slot = redact::value(value, UTM_BYTES_MAX, &mut self.flags);
                }
            }
            Name::SubId(known) if is_new(&self.origin.sub_ids, known, value) => {
                // Often another tracker's click id, so a token is no secret here.
                let value =
                    redact::cut(self.id_of_others(value), SUB_ID_BYTES_MAX, &mut self.flags);
                self.origin.sub_ids.push((known.to_owned(), value.to_owned()));
            }
            Name::AdClickId(known) => self.click_id_of_others(known, value),
            Name::Tag(known) => self.tag(known, value),
            Name::ClickId | Name::SubId(_) => {}
            Name::Referral(_) | Name::Word(_) | Name::Personal | Name::Other => return false,
        }
        true
    }

    /// True for a template's macro that nobody has filled in: kept beside, under the parameter's name, never as its value.
    fn is_macro(&mut self, known: &str, value: &str) -> bool {
        let unexpanded = is_unexpanded(value, &[]);
        if unexpanded {
            self.flags.set(Flag::MacroUnexpanded);
            if is_new(&self.origin.macros, known, value) {
                let text = redact::value(value, MACRO_BYTES_MAX, &mut self.flags);
                self.origin.macros.push((known.to_owned(), text));
            }
        }
        unexpanded
    }

    /// A word for a column of its own, such as the creative's; empty for a macro that nobody filled in.
    pub fn word(&mut self, name: &str, value: &str) -> String {
        if self.is_macro(name, value) {
            return String::new();
        }
        redact::value(value, WORD_BYTES_MAX, &mut self.flags)
    }

    /// Keeps a campaign value under this name.
    pub fn tag(&mut self, known: &str, value: &str) {
        if !self.is_macro(known, value) && is_new(&self.origin.tags, known, value) {
            let value = redact::value(value, UTM_BYTES_MAX, &mut self.flags);
            self.origin.tags.push((known.to_owned(), value));
        }
    }

    /// Click ids look like tokens because they are: only an e-mail address is kept out of them.
    fn click_id_of_others(&mut self, known: &'static str, value: &str) {
        if !is_new(&self.origin.click_ids, known, value) {
            return;
        }
        let value = self.id_of_others(value).to_owned();
        self.origin.click_ids.push((known.to_owned(), value));
    }

    fn id_of_others<'v>(&mut self, value: &'v str) -> &'v str {
        if redact::looks_like_email(value) {
            self.flags.set(Flag::PersonalInUrl);
            return redact::REDACTED;
        }
        redact::cut(value, CLICK_ID_BYTES_MAX, &mut self.flags)
    }

    /// The `Referer` of a click or impression: the place where the link or ad stands.
    pub fn referrer(&mut self, referer: &str) {
        let (host, path) = self.place(referer);
        (self.origin.referrer_host, self.origin.referrer_path) = (host, path);
    }

    /// The page that a form or pixel stands on: its `Referer`, whose query may know our click and the campaign.
    pub fn page(&mut self, referer: &str) {
        (self.origin.landing_host, self.origin.landing_path) = self.place(referer);
        let Some((_, query)) = referer.split_once('?') else { return };
        let query = query.split('#').next().unwrap_or("");
        for pair in crate::receive::pairs::pairs(query.as_bytes()) {
            self.take_parameter(&pair.name, &pair.value);
        }
    }

    /// Where a redirect leads, and the campaign that its URL names.
    pub fn destination(&mut self, url: &Url) {
        self.destination_parts(url.host_str().unwrap_or(""), url.path(), url.query());
    }

    /// The same, of a URL that was taken apart.
    pub fn destination_parts(&mut self, host: &str, path: &str, query: Option<&str>) {
        host.clone_into(&mut self.origin.landing_host);
        self.origin.landing_path = redact::path(path, PATH_BYTES_MAX, &mut self.flags);
        for pair in crate::receive::pairs::pairs(query.unwrap_or("").as_bytes()) {
            self.take_parameter(&pair.name, &pair.value);
        }
    }

    fn place(&mut self, url: &str) -> (String, String) {
        let Some((host, path)) = split_url(url) else { return <_>::default() };
        let mut host = host.to_owned();
        host.make_ascii_lowercase();
        (host, redact::path(path, PATH_BYTES_MAX, &mut self.flags))
    }

    /// The click that this says it follows, if our keys signed it.
    pub fn parent(&mut self, keys: &Keys) -> Option<ClickClaim> {
        let click_id = self.click_id.as_deref()?;
        let claim = verify_click(keys, click_id);
        if claim.is_none() {
            self.flags.set(fraud::of_unsigned(click_id));
        }
        claim
    }
}

fn is_new(had: &[(String, String)], known: &str, value: &str) -> bool {
    !value.is_empty() && !had.iter().any(|(name, _)| name == known)
}

fn slot(origin: &mut Origin, utm: Utm) -> &mut String {
    match utm {
        Utm::Source => &mut origin.utm_source,
        Utm::Medium => &mut origin.utm_medium,
        Utm::Campaign => &mut origin.utm_campaign,
        Utm::Term => &mut origin.utm_term,
        Utm::Content => &mut origin.utm_content,
    }
}

/// Host (without user and port) and path (without query) of an absolute URL, as far as this needs no full parser.
fn split_url(url: &str) -> Option<(&str, &str)> {
    // Byte by byte: every request has a referrer, and the searches for strings are made for longer texts.
    let bytes = url.as_bytes();
    let find = |from: usize, wanted: fn(u8) -> bool| {
        bytes[from..].iter().position(|byte| wanted(*byte)).map_or(bytes.len(), |at| from + at)
    };
    let scheme = find(0, |byte| !(byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)));
    let start = scheme + 3;
    if scheme == 0 || bytes.get(scheme..start)? != b"://" {
        return None;
    }
    let path_start = find(start, |byte| matches!(byte, b'/' | b'?' | b'#'));
    let path_end = find(path_start, |byte| matches!(byte, b'?' | b'#'));
    let authority = &url[start..path_start];
    let host_port = authority.rfind('@').map_or(authority, |at| &authority[at + 1..]);
    let host = match host_port.strip_prefix('[') {
        Some(six) => &six[..six.find(']').unwrap_or(0)],
        None => &host_port[..host_port.find(':').unwrap_or(host_port.len())],
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    let known = !host.is_empty() && host.len() <= HOST_BYTES_MAX && host.bytes().all(plain);
    known.then(|| (host, &url[path_start..path_end]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_value_of_a_name_wins() {
        let mut trail = Trail::default();
        for (name, value) in [
            ("utm_source", "registry"),
            ("UTM_Source", "stranger"),
            ("gclid", ""),
            ("gclid", "Cj0KCQ"),
            ("gclid", "second"),
            ("sccid", "s"),
            ("ref", "blog"),
            ("sub_id_2", "first"),
            ("sub2", "second"),
        ] {
            assert!(!matches!(trail.take_parameter(name, value), Name::Other | Name::Personal));
        }
        assert_eq!(trail.take_parameter("other", "x"), Name::Other);
        assert_eq!(trail.origin.sub_ids, [("sub2".to_owned(), "first".to_owned())]);
        assert_eq!(trail.origin.utm_source, "registry");
        let ids: Vec<_> = trail.origin.click_ids.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(ids, ["gclid", "ScCid", "ref"]);
    }

    #[test]
    fn a_form_may_have_a_field_called_ref() {
        let mut trail = Trail::default();
        assert!(!trail.take_field("ref", "order 7") && !trail.take_field("email", "x"));
        assert!(trail.take_field("gclid", "g") && trail.take_field("lt", ""));
    }

    #[test]
    fn a_referrer_is_stored_without_query_user_and_port() {
        let mut trail = Trail::default();
        trail.referrer("https://jane:pw@News.Example:8443/a/b?email=jane@example.com#x");
        assert_eq!(trail.origin.referrer_host, "news.example");
        assert_eq!(trail.origin.referrer_path, "/a/b");
        assert_eq!(
            split_url("android-app://com.google.android.gm/"),
            Some(("com.google.android.gm", "/"))
        );
        assert_eq!(split_url("http://[2001:db8::1]:80/x"), Some(("2001:db8::1", "/x")));
        assert_eq!(split_url("about:blank"), None);
        assert_eq!(split_url("http://ex ample/"), None);
    }

    #[test]
    fn a_pages_query_knows_the_click_and_the_campaign() {
        let mut trail = Trail::default();
        trail.take_field("utm_source", "field");
        trail.page("https://shop.example/thanks?lt=abc&utm_source=page&utm_medium=cpc#top");
        assert_eq!(trail.click_id.as_deref(), Some("abc"));
        assert_eq!(
            (trail.origin.utm_source.as_str(), trail.origin.utm_medium.as_str()),
            ("field", "cpc")
        );
        assert_eq!(trail.origin.landing_host, "shop.example");
    }

    #[test]
    fn personal_values_are_left_out_and_flagged() {
        let mut trail = Trail::default();
        trail.take_parameter("utm_content", "jane@example.com");
        trail.take_parameter("fbclid", "jane@example.com");
        let long = "a1".repeat(6_000);
        trail.take_parameter("gclid", &long);
        assert_eq!(trail.origin.utm_content, "redacted");
        assert_eq!(trail.origin.click_ids[0].1, "redacted");
        assert_eq!(trail.origin.click_ids[1].1.len(), CLICK_ID_BYTES_MAX);
        assert_eq!(trail.flags.words(), ["personal_in_url", "cut"]);
    }

    #[test]
    fn a_macro_that_nobody_filled_in_is_kept_beside_and_never_as_a_value() {
        let mut trail = Trail::default();
        for (name, value) in [
            ("utm_id", "120210"),
            ("mtm_campaign", "Spring Sale"),
            ("hsa_cam", "{campaignid}"),
            ("utm_content", "{{ad.id}}"),
            ("ttclid", "__CLICKID__"),
            ("sub1", "[CLICK_ID]"),
            ("keyword", "%%keyword%%"),
            ("irclickid", "${CLICK}"),
            ("unknown", "x-{placement}"),
        ] {
            trail.take_parameter(name, value);
        }
        trail.external_click("clickid", "{clickid}");
        trail.external_click("clickid", "w7Q-1");
        let origin = &trail.origin;
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(origin.tags, [pair("utm_id", "120210"), pair("mtm_campaign", "Spring Sale")]);
        assert!(origin.click_ids.is_empty() && origin.sub_ids.is_empty());
        assert_eq!((origin.utm_content.as_str(), origin.external_click.as_str()), ("", "w7Q-1"));
        assert_eq!(origin.macros.len(), 7);
        assert_eq!(origin.macros[1], pair("utm_content", "{{ad.id}}"));
        assert_eq!(trail.flags.words(), ["macro_unexpanded"]);
        assert!(trail.take_field("utm_source_platform", "x") && !trail.take_field("keyword", "x"));
    }

    proptest! {
        #[test]
        fn no_parameter_or_referrer_makes_it_panic(name in ".{0,12}", value in ".{0,40}", url in ".{0,60}") {
            let mut trail = Trail::default();
            trail.take_parameter(&name, &value);
            trail.referrer(&url);
            trail.page(&format!("https://{url}"));
            prop_assert!(!trail.origin.referrer_host.contains(['@', '/', '?']));
        }
    }
}
