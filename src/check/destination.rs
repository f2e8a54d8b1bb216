//! Destinations: where a redirect leads.
//!
//! In: a destination from the registry and the incoming query. Out: the URL for `Location`. Refuses: parameters that the destination
//! has already, that are ours, or that name a person; an incoming query that would make the URL too long. Promises: scheme,
//! host, port, path and fragment are the registry's, whatever the query says: only encoded parameters are added.

use form_urlencoded::byte_serialize;
use url::Url;

use crate::check::flags::{Flag, Flags};
use crate::check::names::Name;
use crate::check::redact::looks_like_email;
use crate::receive::pairs::pairs;

/// The longest URL that is sent (DOMAIN.md 6).
const BYTES_MAX: usize = 8 * 1024;

/// Room for our click id and a few parameters, so that the text is allocated once.
const PASSED_BYTES_USUAL: usize = 192;

/// A destination of the registry, taken apart once.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Everything before the fragment, with what a first parameter of ours has to follow.
    base: String,
    /// With its `#`; empty when there is none.
    fragment: String,
    /// Names of the parameters that it has of its own.
    own: Vec<String>,
    /// The name under which the destination gets our click id.
    click_parameter: String,
}

impl Destination {
    /// Takes the registry's URL apart.
    pub fn new(url: &Url, click_parameter: &str) -> Self {
        Self::of_text(url.as_str(), click_parameter)
    }

    /// Takes a URL apart that the URL parser has written.
    pub fn of_text(url: &str, click_parameter: &str) -> Self {
        let (before, fragment) = url.split_at(url.find('#').unwrap_or(url.len()));
        let query = before.split_once('?').map(|(_, query)| query);
        let joint = match query {
            None => "?",
            Some("") => "",
            Some(_) => "&",
        };
        let own = pairs(query.unwrap_or("").as_bytes()).map(|pair| pair.name.into_owned());
        Self {
            base: [before, joint].concat(),
            fragment: fragment.to_owned(),
            own: own.collect(),
            click_parameter: click_parameter.to_owned(),
        }
    }

    /// Keeps a parameter for [`Passage::fill`]: an incoming one of that name is not passed on.
    #[must_use]
    pub fn reserve(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.own.extend(names);
        self
    }

    /// Begins one visitor's URL.
    pub fn begin(&self) -> Passage<'_> {
        let mut text =
            String::with_capacity(self.base.len() + self.fragment.len() + PASSED_BYTES_USUAL);
        text.push_str(&self.base);
        Passage { destination: self, text }
    }
}

/// One visitor's URL, being built.
pub struct Passage<'a> {
    destination: &'a Destination,
    text: String,
}

impl Passage<'_> {
    /// Passes one incoming parameter on, unless there is a reason not to. `known` is what its name means.
    pub fn pass(&mut self, name: &str, value: &str, known: Name, flags: &mut Flags) {
        let Destination { own, click_parameter, .. } = self.destination;
        let ours = matches!(known, Name::ClickId | Name::SubId(_)) || name == click_parameter;
        if ours || name.is_empty() || own.iter().any(|own| own == name) {
            return;
        }
        if known == Name::Personal || looks_like_email(value) || looks_like_email(name) {
            flags.set(Flag::PersonalInUrl);
            return;
        }
        // What is over the limit is not sent anyway (see `finish`), so it need not be collected either.
        if self.text.len() <= BYTES_MAX {
            push_pair(&mut self.text, name, value);
        }
    }

    /// Adds a parameter of the registry's.
    pub fn fill(&mut self, name: &str, value: &str) {
        if !value.is_empty() && self.text.len() <= BYTES_MAX {
            push_pair(&mut self.text, name, value);
        }
    }

    /// The URL, with our click id as its last parameter.
    pub fn finish(mut self, click_id: &str) -> String {
        let Destination { base, fragment, click_parameter, .. } = self.destination;
        let ending = click_parameter.len() + 1 + click_id.len() + fragment.len();
        if self.text.len() + ending > BYTES_MAX {
            self.text.truncate(base.len());
        }
        push_pair(&mut self.text, click_parameter, click_id);
        // Each pair ends with what the next one needs; ours is the last.
        self.text.pop();
        self.text.push_str(fragment);
        self.text
    }
}

/// Writes `name=value&`.
fn push_pair(text: &mut String, name: &str, value: &str) {
    push_encoded(text, name);
    text.push('=');
    push_encoded(text, value);
    text.push('&');
}

/// Most parameters need no encoding, and to see that is quicker than to encode.
fn push_encoded(text: &mut String, part: &str) {
    if part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"*-._".contains(&byte)) {
        text.push_str(part);
    } else {
        text.extend(byte_serialize(part.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use url::Position;

    fn follow(url: &Url, parameter: &str, query: &str) -> (String, Vec<String>) {
        let destination = Destination::new(url, parameter);
        let mut passage = destination.begin();
        let mut flags = Flags::default();
        for pair in pairs(query.as_bytes()) {
            passage.pass(&pair.name, &pair.value, Name::of(&pair.name), &mut flags);
        }
        (passage.finish("CLICK-ID_1"), flags.words())
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
