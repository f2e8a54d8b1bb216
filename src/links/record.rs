//! Records: one change of the links, as it is kept.
//!
//! In: a command's wish, or a line of JSON. Out: a [`Change`]. Refuses: unknown keys. Promises: a link's record is the whole link, so the
//! latest record of a key is all that counts, and a compacted topic keeps just that.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::money::{Amount, Currency};

/// How the browser is sent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// What nearly everybody wants.
    #[default]
    #[serde(rename = "302")]
    Found,
    /// The method stays.
    #[serde(rename = "307")]
    Temporary,
    /// A page that refreshes itself: the destination sees no referrer.
    #[serde(rename = "meta")]
    Meta,
}

impl Kind {
    /// The words that a command takes.
    pub const WORDS: [&'static str; 3] = ["302", "307", "meta"];

    /// Reads one of them.
    pub fn parse(word: &str) -> Option<Self> {
        let place = Self::WORDS.iter().position(|known| *known == word)?;
        Some([Self::Found, Self::Temporary, Self::Meta][place])
    }

    /// The word.
    pub fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

/// A destination and its share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Way<'a> {
    /// As [`crate::check::landing::accept`] wrote it.
    #[serde(borrow)]
    pub url: Cow<'a, str>,
    /// Against the others' weights.
    pub weight: u16,
}

/// A registered link.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are those of sites.toml")]
pub struct Link<'a> {
    /// In click ids, for ever.
    pub number: u32,
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    #[serde(borrow)]
    pub site: Cow<'a, str>,
    /// At least one.
    #[serde(borrow)]
    pub to: Vec<Way<'a>>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub campaign: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub ad: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub creative: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub placement: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub mailing: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub product: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub price_variant: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    #[serde(default)]
    pub kind: Kind,
    /// From when on it is over, milliseconds since 1970; 0: never.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub expires_ms: i64,
    /// Where it leads once it is over; empty: to a page of ours.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub fallback: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub retired: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Link<'_> {
    /// True when it leads to its fallback only.
    pub fn is_over(&self, now_ms: i64) -> bool {
        self.retired || (self.expires_ms != 0 && now_ms >= self.expires_ms)
    }

    /// The same, owning its texts.
    pub fn into_owned(self) -> Link<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Link {
            number: self.number,
            name: own(self.name),
            site: own(self.site),
            to: self.to.into_iter().map(|way| Way { url: own(way.url), ..way }).collect(),
            campaign: own(self.campaign),
            ad: own(self.ad),
            creative: own(self.creative),
            placement: own(self.placement),
            mailing: own(self.mailing),
            product: own(self.product),
            price_variant: own(self.price_variant),
            price: self.price,
            currency: self.currency,
            kind: self.kind,
            expires_ms: self.expires_ms,
            fallback: own(self.fallback),
            retired: self.retired,
        }
    }
}

/// What a kill-switch stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Switch {
    /// A link, of the store or of sites.toml, by name.
    Link,
    /// A destination's host and all below it.
    Host,
    /// An affiliate, by name.
    Affiliate,
    /// A recipient of mails, by the keyed hash: no open or click is kept under its name.
    Recipient,
}

impl Switch {
    /// As it is shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Host => "host",
            Self::Affiliate => "affiliate",
            Self::Recipient => "recipient",
        }
    }
}

/// A kill-switch, on or off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "a switch, what it is for, and its position")]
pub struct Kill<'a> {
    pub what: Switch,
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    pub on: bool,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every change is a link, and few are held at a time"
)]
pub enum Change<'a> {
    /// A link, whole.
    #[serde(borrow)]
    Link(Link<'a>),
    /// A kill-switch.
    #[serde(borrow)]
    Kill(Kill<'a>),
}

impl Change<'_> {
    /// What it is about: the latest of a key counts.
    pub fn key(&self) -> String {
        match self {
            Self::Link(link) => format!("link/{}", link.name),
            Self::Kill(kill) => format!("kill/{}/{}", kill.what.word(), kill.name),
        }
    }

    /// One line of JSON, without its end.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are always JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_small_readable_and_read_back_equal() {
        let link = Link {
            number: 7,
            name: "summer".into(),
            site: "shop".into(),
            to: vec![Way { url: "https://shop.example/a".into(), weight: 1 }],
            ..Link::default()
        };
        let change = Change::Link(link);
        let json = change.to_json();
        assert_eq!(
            String::from_utf8_lossy(&json),
            r#"{"link":{"number":7,"name":"summer","site":"shop","to":[{"url":"https://shop.example/a","weight":1}],"kind":"302"}}"#
        );
        assert_eq!(serde_json::from_slice::<Change<'_>>(&json).unwrap(), change);
        assert_eq!(change.key(), "link/summer");
        assert!(serde_json::from_slice::<Change<'_>>(br#"{"link":{"number":7,"new":1}}"#).is_err());
    }
}
