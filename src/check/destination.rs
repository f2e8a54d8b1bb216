//! Destinations: where a redirect leads.
//!
//! In: a destination from the registry and the incoming query. Out: the URL for `Location`. Refuses: parameters that the destination
//! has already, that are ours, or that name a person; an incoming query that would make the URL too long. Promises: scheme,
//! host, port, path and fragment are the registry's, whatever the query says: only encoded parameters are added.

use std::borrow::Cow;

use form_urlencoded::byte_serialize;
use url::{Position, Url};

use crate::check::flags::{Flag, Flags};
use crate::check::origin::Taken;
use crate::check::redact::looks_like_email;

/// The longest URL that is sent (DOMAIN.md 6).
const BYTES_MAX: usize = 8 * 1024;

/// Parameters that name a person: they stay out of URLs that we make (DOMAIN.md 2.1, 2.5).
const PERSONAL: &[&str] = &[
    "email",
    "e-mail",
    "e_mail",
    "mail",
    "emailaddress",
    "email_address",
    "email-address",
    "your-email",
    "user_email",
    "phone",
    "telephone",
    "tel",
    "mobile",
    "cell",
    "fax",
    "phone_number",
    "phonenumber",
    "name",
    "full_name",
    "fullname",
    "your-name",
    "first_name",
    "firstname",
    "fname",
    "given-name",
    "last_name",
    "lastname",
    "lname",
    "surname",
    "family-name",
    "street",
    "address",
    "address1",
    "zip",
    "postcode",
    "postal_code",
    "birthday",
    "birthdate",
    "dob",
    "ssn",
    "iban",
    "password",
    "passwd",
    "pwd",
    "mc_eid",
    "_kx",
    "mkt_tok",
    "vero_id",
];

/// A destination being built.
#[derive(Debug)]
pub struct Destination<'a> {
    url: &'a Url,
    click_parameter: &'a str,
    own: Vec<Cow<'a, str>>,
    passed: String,
}

impl<'a> Destination<'a> {
    /// Starts from the registry's URL. `click_parameter` is the name under which the destination gets our click id;
    /// `see` is shown each parameter that the URL has of its own.
    pub fn new(url: &'a Url, click_parameter: &'a str, mut see: impl FnMut(&str, &str)) -> Self {
        let mut own = Vec::new();
        for (name, value) in url.query_pairs() {
            see(&name, &value);
            own.push(name);
        }
        Self { url, click_parameter, own, passed: String::new() }
    }

    /// Passes one incoming parameter on, unless there is a reason not to.
    pub fn pass(&mut self, name: &str, value: &str, taken: Taken, flags: &mut Flags) {
        let ours = matches!(taken, Taken::ClickId | Taken::SubId) || name == self.click_parameter;
        if ours || name.is_empty() || self.own.iter().any(|own| own == name) {
            return;
        }
        if PERSONAL.iter().any(|personal| personal.eq_ignore_ascii_case(name))
            || looks_like_email(value)
            || looks_like_email(name)
        {
            flags.set(Flag::PersonalInUrl);
            return;
        }
        // What is over the limit is not sent anyway (see `finish`), so it need not be collected either.
        if self.passed.len() <= BYTES_MAX {
            push_pair(&mut self.passed, name, value);
        }
    }

    /// The URL, with our click id as its last parameter.
    pub fn finish(self, click_id: &str) -> String {
        let base = &self.url[..Position::AfterQuery];
        let fragment = self.url.fragment();
        let fixed = base.len()
            + fragment.map_or(0, |fragment| fragment.len() + 1)
            + self.click_parameter.len()
            + click_id.len()
            + 3;
        let passed = if fixed + self.passed.len() <= BYTES_MAX { self.passed.as_str() } else { "" };
        let mut text = String::with_capacity(fixed + passed.len());
        text.push_str(base);
        match self.url.query() {
            None => text.push('?'),
            Some("") => {}
            Some(_) => text.push('&'),
        }
        text.push_str(passed);
        push_pair(&mut text, self.click_parameter, click_id);
        // Each passed pair begins what follows it; ours is the last.
        text.pop();
        if let Some(fragment) = fragment {
            text.push('#');
            text.push_str(fragment);
        }
        text
    }
}

/// Writes `name=value&`.
fn push_pair(text: &mut String, name: &str, value: &str) {
    text.extend(byte_serialize(name.as_bytes()));
    text.push('=');
    text.extend(byte_serialize(value.as_bytes()));
    text.push('&');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::origin::Trail;
    use crate::receive::pairs::pairs;
    use proptest::prelude::*;

    fn follow(url: &Url, parameter: &str, query: &str) -> (String, Vec<String>) {
        let mut trail = Trail::default();
        let mut destination = Destination::new(url, parameter, |_, _| {});
        let mut flags = Flags::default();
        for pair in pairs(query.as_bytes()) {
            let taken = trail.take_parameter(&pair.name, &pair.value);
            destination.pass(&pair.name, &pair.value, taken, &mut flags);
        }
        (destination.finish("CLICK-ID_1"), flags.words())
    }

    fn to(url: &str, query: &str) -> String {
        follow(&Url::parse(url).unwrap(), "lt", query).0
    }

    #[test]
    fn the_query_is_passed_on_and_the_registry_wins() {
        assert_eq!(to("https://shop.example/a", ""), "https://shop.example/a?lt=CLICK-ID_1");
        assert_eq!(
            to("https://shop.example/a?", "b=1"),
            "https://shop.example/a?b=1&lt=CLICK-ID_1"
        );
        assert_eq!(
            to(
                "https://shop.example/a?utm_source=own&x=1#top",
                "utm_source=theirs&gclid=Q&y=%26%3D%20z&y=2"
            ),
            "https://shop.example/a?utm_source=own&x=1&gclid=Q&y=%26%3D+z&y=2&lt=CLICK-ID_1#top"
        );
    }

    #[test]
    fn ours_and_personal_parameters_are_not_passed_on() {
        let query =
            "lt=forged&sub1=s&aff_sub2=t&Email=a&first_name=Jane&q=jane%40example.com&=x&keep=1";
        let (url, flags) = follow(&Url::parse("https://shop.example/").unwrap(), "lt", query);
        assert_eq!(url, "https://shop.example/?keep=1&lt=CLICK-ID_1");
        assert_eq!(flags, ["personal_in_url"]);
        let (url, _) = follow(&Url::parse("https://shop.example/").unwrap(), "cid", "cid=forged");
        assert_eq!(url, "https://shop.example/?cid=CLICK-ID_1");
    }

    #[test]
    fn a_query_that_is_too_long_is_left_out_whole() {
        let query = format!("a={}&b=1", "x".repeat(9_000));
        assert_eq!(to("https://shop.example/", &query), "https://shop.example/?lt=CLICK-ID_1");
        let fits = format!("a={}", "x".repeat(8_000));
        assert!(to("https://shop.example/", &fits).len() > 8_000);
    }

    proptest! {
        #[test]
        fn no_redirect_leaves_the_registrys_host(
            query in "(([a-z@#/?:\\\\%&=+. \\r\\n\\t\u{0}-\u{1f}]|//evil\\.example|%0d%0a|%00|é){0,20}[&=]){0,6}",
            base in prop::sample::select(vec![
                "https://shop.example", "https://shop.example/p?a=1", "http://shop.example:8082/p/#f", "https://shop.example/?#",
            ]),
        ) {
            let base = Url::parse(base).unwrap();
            let (text, _) = follow(&base, "lt", &query);
            prop_assert!(text.len() <= BYTES_MAX);
            prop_assert!(text.bytes().all(|byte| (0x21..0x7f).contains(&byte)), "{text:?}");
            let url = Url::parse(&text).unwrap();
            prop_assert_eq!(url.as_str(), text.as_str(), "serialised again, it is the same");
            prop_assert_eq!(&url[..Position::AfterPath], &base[..Position::AfterPath]);
            prop_assert_eq!(url.fragment(), base.fragment());
            let ours = url.query_pairs().filter(|(name, _)| name == "lt").count();
            prop_assert_eq!(ours, 1);
        }
    }
}
