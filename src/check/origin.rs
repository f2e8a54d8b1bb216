//! Origin: where a visitor came from, as a query, a form's fields and the `Referer` say it.
//!
//! In: names and values one by one. Out: an [`Origin`] with campaign values, ad click ids and sub ids; the click id of ours that
//! came with them. Promises: the first value of a name wins, so that whoever is asked first (the registry) decides;
//! names are stored in their canonical spelling, values raw but cut and redacted.

use crate::check::flags::{Flag, Flags};
use crate::check::redact;
use crate::event::Origin;
use crate::keys::Keys;
use crate::tokens::{ClickClaim, verify_click};

/// The parameter that carries our own click id.
pub const CLICK_ID: &str = "lt";

/// Campaign values are cut here: longer ones are no names.
const UTM_BYTES_MAX: usize = 512;

/// Ad click ids have grown from 26 to 100 and more (DOMAIN.md 2.5); none is cut below this.
const CLICK_ID_BYTES_MAX: usize = 1_024;

/// Sub ids are an affiliate's own: other systems give them 50 to 255.
const SUB_ID_BYTES_MAX: usize = 512;

/// Paths are cut here.
const PATH_BYTES_MAX: usize = 512;

/// A host has at most 253 characters.
const HOST_BYTES_MAX: usize = 253;

/// Click ids of ad platforms and affiliate networks (DOMAIN.md 2.5): unmistakable, so a form's field of that name is one.
const AD_CLICK_IDS: &[&str] = &[
    "gclid",
    "gclsrc",
    "gbraid",
    "wbraid",
    "dclid",
    "gad_source",
    "gad_campaignid",
    "srsltid",
    "fbclid",
    "msclkid",
    "ttclid",
    "li_fat_id",
    "twclid",
    "rdt_cid",
    "ScCid",
    "epik",
    "qclid",
    "yclid",
    "ymclid",
    "tblci",
    "dicbo",
    "obclid",
    "vmcid",
    "ko_click_id",
    "irclickid",
    "cjevent",
    "awc",
    "sscid",
    "ranSiteID",
    "tduid",
    "clickref",
    "admitad_uid",
    "dub_id",
    "mc_cid",
];

/// Parameters of referral tools: plain words, so they count in a link's query only, never in a form's fields.
const REFERRAL_IDS: &[&str] = &[
    "via", "ref", "aff", "fpr", "tap_a", "tap_s", "rfsn", "ps_xid", "gspk", "mpid", "_hsenc",
    "_hsmi",
];

/// What other systems call the first sub ids.
const SUB_ALIASES: &[(&str, &str)] = &[
    ("subid", "sub1"),
    ("sub_id", "sub1"),
    ("aff_sub", "sub1"),
    ("aff_sub2", "sub2"),
    ("aff_sub3", "sub3"),
    ("aff_sub4", "sub4"),
    ("aff_sub5", "sub5"),
];

const SUBS: &[&str] = &[
    "sub1", "sub2", "sub3", "sub4", "sub5", "sub6", "sub7", "sub8", "sub9", "sub10", "sub11",
    "sub12", "sub13", "sub14", "sub15", "sub16", "sub17", "sub18", "sub19", "sub20",
];

/// What a parameter turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Our click id.
    ClickId,
    /// A campaign value or an ad click id: kept, and passed on to destinations.
    Campaign,
    /// A sub id: kept, and passed on to nobody.
    SubId,
    /// None of ours.
    No,
}

/// Collects an [`Origin`].
#[derive(Debug, Default)]
pub struct Trail {
    /// What has been collected.
    pub origin: Origin,
    /// The first click id of ours, unverified.
    pub click_id: Option<String>,
    /// What was odd.
    pub flags: Flags,
}

impl Trail {
    /// Looks at a parameter of a link or page.
    pub fn take_parameter(&mut self, name: &str, value: &str) -> Taken {
        match self.take_field(name, value) {
            Taken::No => match find(REFERRAL_IDS, name) {
                Some(known) => self.click_id_of_others(known, value),
                None => Taken::No,
            },
            taken => taken,
        }
    }

    /// Looks at a form's field: like a parameter, but plain words are left to the form.
    pub fn take_field(&mut self, name: &str, value: &str) -> Taken {
        if name == CLICK_ID {
            if self.click_id.is_none() && !value.is_empty() {
                self.click_id = Some(value.to_owned());
            }
            return Taken::ClickId;
        }
        if let Some(slot) = utm(&mut self.origin, name) {
            if slot.is_empty() && !value.is_empty() {
                *slot = redact::value(value, UTM_BYTES_MAX, &mut self.flags);
            }
            return Taken::Campaign;
        }
        if let Some(known) = sub_id(name) {
            if !value.is_empty() && !self.origin.sub_ids.iter().any(|(had, _)| had == known) {
                let value = redact::value(value, SUB_ID_BYTES_MAX, &mut self.flags);
                self.origin.sub_ids.push((known.to_owned(), value));
            }
            return Taken::SubId;
        }
        match find(AD_CLICK_IDS, name) {
            Some(known) => self.click_id_of_others(known, value),
            None => Taken::No,
        }
    }

    /// Click ids look like tokens because they are: only an e-mail address is kept out of them.
    fn click_id_of_others(&mut self, known: &'static str, value: &str) -> Taken {
        if !value.is_empty() && !self.origin.click_ids.iter().any(|(had, _)| had == known) {
            let value = if redact::looks_like_email(value) {
                self.flags.set(Flag::PersonalInUrl);
                redact::REDACTED
            } else {
                redact::cut(value, CLICK_ID_BYTES_MAX, &mut self.flags)
            };
            self.origin.click_ids.push((known.to_owned(), value.to_owned()));
        }
        Taken::Campaign
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

    /// Where a redirect leads.
    pub fn destination(&mut self, host: &str, path: &str) {
        host.clone_into(&mut self.origin.landing_host);
        self.origin.landing_path = redact::path(path, PATH_BYTES_MAX, &mut self.flags);
    }

    fn place(&mut self, url: &str) -> (String, String) {
        let Some((host, path)) = split_url(url) else { return <_>::default() };
        (host.to_ascii_lowercase(), redact::path(path, PATH_BYTES_MAX, &mut self.flags))
    }

    /// The click that this says it follows, if our keys signed it.
    pub fn parent(&mut self, keys: &Keys) -> Option<ClickClaim> {
        let claim = verify_click(keys, self.click_id.as_deref()?);
        if claim.is_none() {
            self.flags.set(Flag::ClickIdNotOurs);
        }
        claim
    }
}

fn find(known: &[&'static str], name: &str) -> Option<&'static str> {
    known.iter().find(|known| known.eq_ignore_ascii_case(name)).copied()
}

fn utm<'a>(origin: &'a mut Origin, name: &str) -> Option<&'a mut String> {
    if !name.get(..4)?.eq_ignore_ascii_case("utm_") {
        return None;
    }
    let is = |rest: &str| name[4..].eq_ignore_ascii_case(rest);
    match name.len() {
        10 if is("source") => Some(&mut origin.utm_source),
        10 if is("medium") => Some(&mut origin.utm_medium),
        12 if is("campaign") => Some(&mut origin.utm_campaign),
        8 if is("term") => Some(&mut origin.utm_term),
        11 if is("content") => Some(&mut origin.utm_content),
        _ => None,
    }
}

/// The canonical name of a sub id: `sub1` to `sub20`, from Keitaro's `sub_id_1` and a few others.
fn sub_id(name: &str) -> Option<&'static str> {
    if let Some((_, known)) = SUB_ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name))
    {
        return Some(known);
    }
    if !name.get(..3)?.eq_ignore_ascii_case("sub") {
        return None;
    }
    let digits = match name.get(..7) {
        Some(head) if head.eq_ignore_ascii_case("sub_id_") => &name[7..],
        _ => &name[3..],
    };
    let number: usize =
        (digits.len() <= 2 && !digits.starts_with(['0', '+'])).then(|| digits.parse().ok())??;
    SUBS.get(number.checked_sub(1)?).copied()
}

/// Host (without user and port) and path (without query) of an absolute URL, as far as this needs no full parser.
fn split_url(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
        return None;
    }
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let rest = &rest[..end];
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host_port.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or(""),
        None => host_port.split(':').next().unwrap_or(""),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    (!host.is_empty() && host.len() <= HOST_BYTES_MAX && host.bytes().all(plain))
        .then_some((host, path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_value_of_a_name_wins() {
        let mut trail = Trail::default();
        assert_eq!(trail.take_parameter("utm_source", "registry"), Taken::Campaign);
        assert_eq!(trail.take_parameter("UTM_Source", "stranger"), Taken::Campaign);
        assert_eq!(trail.take_parameter("gclid", ""), Taken::Campaign);
        assert_eq!(trail.take_parameter("gclid", "Cj0KCQ"), Taken::Campaign);
        assert_eq!(trail.take_parameter("sccid", "s"), Taken::Campaign);
        assert_eq!(trail.take_parameter("ref", "blog"), Taken::Campaign);
        assert_eq!(trail.take_parameter("other", "x"), Taken::No);
        assert_eq!(trail.origin.utm_source, "registry");
        let ids: Vec<_> = trail.origin.click_ids.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(ids, ["gclid", "ScCid", "ref"]);
    }

    #[test]
    fn a_form_may_have_a_field_called_ref() {
        let mut trail = Trail::default();
        assert_eq!(trail.take_field("ref", "order 7"), Taken::No);
        assert_eq!(trail.take_field("gclid", "g"), Taken::Campaign);
    }

    #[test]
    fn sub_ids_are_known_by_several_names() {
        for (name, known) in [
            ("sub1", Some("sub1")),
            ("Sub20", Some("sub20")),
            ("sub21", None),
            ("sub0", None),
            ("sub01", None),
            ("sub", None),
            ("sub_id_3", Some("sub3")),
            ("subid", Some("sub1")),
            ("aff_sub5", Some("sub5")),
            ("subject", None),
            ("süb1", None),
            ("sub+1", None),
        ] {
            assert_eq!(sub_id(name), known, "{name}");
        }
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
        let long = "a1".repeat(600);
        trail.take_parameter("gclid", &long);
        assert_eq!(trail.origin.utm_content, "redacted");
        assert_eq!(trail.origin.click_ids[0].1, "redacted");
        assert_eq!(trail.origin.click_ids[1].1.len(), CLICK_ID_BYTES_MAX);
        assert_eq!(trail.flags.words(), ["personal_in_url", "cut"]);
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
