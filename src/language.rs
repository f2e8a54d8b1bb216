//! Languages: those that our own pages speak, and which of them a visitor reads.
//!
//! In: `Accept-Language`, and what form and site are set to. Out: a [`Language`]. Refuses: nothing. Promises: the visitor's own
//! wish comes first, then the form's language, then the site's, then English.

use serde::Deserialize;

/// A language that our pages speak. The order is that of their texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are those of the languages, by ISO 639-1")]
pub enum Language {
    #[default]
    En,
    Bn,
    Pl,
    Ur,
    De,
    Fr,
    Es,
    Pt,
}

/// Ranges of one header that are looked at; browsers send at most some ten.
const RANGES_MAX: usize = 16;

impl Language {
    /// All of them, in the order of declaration.
    pub const ALL: [Self; 8] =
        [Self::En, Self::Bn, Self::Pl, Self::Ur, Self::De, Self::Fr, Self::Es, Self::Pt];

    /// Its tag.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Bn => "bn",
            Self::Pl => "pl",
            Self::Ur => "ur",
            Self::De => "de",
            Self::Fr => "fr",
            Self::Es => "es",
            Self::Pt => "pt",
        }
    }

    /// Which language to answer in. `own` are the form's and the site's, where they are set.
    pub fn choose(accept_language: &str, own: [Option<Self>; 2]) -> Self {
        let own = || own.into_iter().flatten().next().unwrap_or_default();
        Self::wished(accept_language).unwrap_or_else(own)
    }

    /// The most welcome of ours, the first of equals.
    fn wished(accept_language: &str) -> Option<Self> {
        let mut best = (0, None);
        for range in accept_language.split(',').take(RANGES_MAX) {
            let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
            let language = tag.trim().split('-').next().unwrap_or("");
            let known = Self::ALL.into_iter().find(|own| own.tag().eq_ignore_ascii_case(language));
            let quality = quality(parameters);
            if known.is_some() && quality > best.0 {
                best = (quality, known);
            }
        }
        best.1
    }
}

/// `q=0.8` as 800, up to three places. What is no quality counts as full.
fn quality(parameters: &str) -> u32 {
    let Some(text) = parameters.trim().strip_prefix("q=") else { return 1_000 };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole != "0" {
        return 1_000;
    }
    let digits = fraction.bytes().map_while(|digit| char::from(digit).to_digit(10));
    digits.chain([0; 3]).take(3).fold(0, |sum, digit| sum * 10 + digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_visitors_wish_comes_first_then_the_forms_then_the_sites() {
        let (form, site) = (Some(Language::Pl), Some(Language::De));
        for (header, own, expected) in [
            ("ur-PK,ur;q=0.9,en;q=0.8", [form, site], Language::Ur),
            ("it,fr;q=0.5,es;q=0.7", [form, site], Language::Es),
            ("de;q=0,en;q=0.001", [form, site], Language::En),
            ("PT-br", [None, None], Language::Pt),
            ("it, *", [form, site], Language::Pl),
            ("", [None, site], Language::De),
            ("tlh", [None, None], Language::En),
        ] {
            assert_eq!(Language::choose(header, own), expected, "{header}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(header in ".{0,60}") {
            Language::choose(&header, [None, None]);
        }
    }
}
