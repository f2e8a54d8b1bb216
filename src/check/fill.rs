//! Fills: what an offer's destination gets of a click besides our click id.
//!
//! In: a word of `sites.toml`, as `pass` or as a macro of the destination. Out: a [`Fill`], and a click's value for it. Refuses: a word that is none.
//! Promises: only what the click's own record keeps is given out, so a value that looks like a person never is.

use super::names::SUBS;
use crate::event::{Origin, Promotion};

/// What is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fill {
    /// The affiliate's name.
    Affiliate,
    /// The offer's name.
    Offer,
    /// The network's own id of the click.
    ExternalClickId,
    /// The ad.
    Ad,
    /// The creative.
    Creative,
    /// The placement.
    Placement,
    /// A sub id.
    Sub(&'static str),
    /// A text of the registry's.
    Text(String),
}

const WORDS: [(&str, Fill); 6] = [
    ("affiliate", Fill::Affiliate),
    ("offer", Fill::Offer),
    ("external_click_id", Fill::ExternalClickId),
    ("ad", Fill::Ad),
    ("creative", Fill::Creative),
    ("placement", Fill::Placement),
];

impl Fill {
    /// All words.
    pub fn words() -> impl Iterator<Item = &'static str> {
        WORDS.into_iter().map(|(word, _)| word).chain(SUBS).chain(["click_id"])
    }

    /// Reads a word.
    pub fn parse(word: &str) -> Option<Self> {
        let known = WORDS.into_iter().find(|(known, _)| *known == word).map(|(_, fill)| fill);
        known.or_else(|| SUBS.into_iter().find(|sub| *sub == word).map(Self::Sub))
    }

    /// What this click says there; empty for nothing.
    pub fn value<'a>(&'a self, promotion: &'a Promotion, origin: &'a Origin) -> &'a str {
        match self {
            Self::Affiliate => &promotion.affiliate,
            Self::Offer => &promotion.offer,
            Self::ExternalClickId => &origin.external_click,
            Self::Ad => &promotion.ad,
            Self::Creative => &promotion.creative,
            Self::Placement => &promotion.placement,
            Self::Sub(sub) => {
                let found = origin.sub_ids.iter().find(|(name, _)| name == sub);
                found.map_or("", |(_, value)| value)
            }
            Self::Text(text) => text,
        }
    }
}
