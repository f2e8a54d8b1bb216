//! A click profile's file: `config/dialects/clicks/{name}.toml`.
//!
//! In: TOML. Out: [`File`]. Refuses: an unknown key or role, naming file, line and the nearest valid one. Promises: everything that differs between
//! networks and trackers stands in these files; one that isn't there yet needs a file, no code.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What a parameter is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Which offer.
    Offer,
    /// Who sends.
    Affiliate,
    /// The network's own id of this click.
    ClickId,
    /// A page of the offer's hosts, instead of its destination.
    DeepLink,
    /// As reports show it.
    Ad,
    /// As reports show it.
    Creative,
    /// A creative that also tells the offer, where nothing else does: networks give each banner to one offer.
    Banner,
    /// As reports show it.
    Placement,
}

impl Role {
    /// As the files have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Affiliate => "affiliate",
            Self::ClickId => "click_id",
            Self::DeepLink => "deep_link",
            Self::Ad => "ad",
            Self::Creative => "creative",
            Self::Banner => "banner",
            Self::Placement => "placement",
        }
    }
}

/// A profile, as its file has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "README.md lists them")]
pub struct File {
    pub network: String,
    /// Where the facts come from.
    pub source: String,
    /// True where the network's own page was read.
    #[serde(default)]
    pub verified: bool,
    /// Its own click paths. A segment in braces is `{offer}`, `{affiliate}`, `{ad}`, `{creative}`, `{placement}` or `{any}`.
    #[serde(default)]
    pub paths: Vec<String>,
    #[serde(default)]
    pub parameters: BTreeMap<Role, Vec<String>>,
    /// Their names of sub ids, in order: `sub1`, `sub2`, …
    #[serde(default)]
    pub subs: Vec<String>,
    /// Further parameters that are kept under their own names, and passed on.
    #[serde(default)]
    pub keep: Vec<String>,
    /// A documented click address, with its macros filled in. Tests send it.
    #[serde(default)]
    pub example: String,
}

/// Declares the built-in files.
macro_rules! files {
    ($($name:literal)*) => {
        /// Name and text of the built-in profiles: the files of `config/dialects/clicks` (a test holds the list to the folder).
        pub const FILES: &[(&str, &str)] = &[$((
            $name,
            include_str!(concat!("../../../config/dialects/clicks/", $name, ".toml")),
        )),*];
    };
}

files! {
    "affise"
    "binom"
    "cake"
    "everflow"
    "impact"
    "keitaro"
    "leadtrail"
    "post_affiliate_pro"
    "redtrack"
    "tune"
    "voluum"
}
