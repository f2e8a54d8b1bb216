//! A click profile's file: `config/dialects/clicks/{name}.toml`.
//!
//! In: TOML. Out: [`File`]. Refuses: an unknown key or role, naming file, line and the nearest valid one. Promises: everything that differs between
//! networks and trackers stands in these files; one that isn't there yet needs a file, no code.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::config::ConfigError;
use crate::registry::checks::explain;

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

/// Reads a profile's text; `source` names it in errors.
///
/// # Errors
/// With file, line and the nearest valid word.
pub fn parse(text: &str, source: &str) -> Result<File, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::Wrong(explain(&error, text, source)))
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

/// The texts of all profiles, by name, with where they come from: the built-in ones, and those of a folder over them.
///
/// # Errors
/// When the folder or a file of it can't be read.
pub fn texts(folder: &str) -> Result<BTreeMap<String, (String, String)>, ConfigError> {
    let built_in = |(name, text): &(&str, &str)| {
        let source = format!("built-in config/dialects/clicks/{name}.toml");
        ((*name).to_owned(), ((*text).to_owned(), source))
    };
    let mut texts: BTreeMap<_, _> = FILES.iter().map(built_in).collect();
    if folder.is_empty() {
        return Ok(texts);
    }
    let folder = Path::new(folder).join("clicks");
    let unreadable = |path: &Path, source| ConfigError::Read { path: path.to_owned(), source };
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(texts),
        Err(error) => return Err(unreadable(&folder, error)),
    };
    for entry in entries {
        let path = entry.map_err(|error| unreadable(&folder, error))?.path();
        let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        if path.extension().is_some_and(|ending| ending == "toml") {
            let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
            texts.insert(name.to_owned(), (text, path.display().to_string()));
        }
    }
    Ok(texts)
}
