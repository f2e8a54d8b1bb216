//! The rules of channels as they are written, and ready to be asked.
//!
//! In: `config/channels.toml` or a file in its place, and `config/referrers.toml`. Out: [`Channels`]. Refuses: what cannot
//! be read, an unknown key or channel, one word with two meanings; each by its name and place. Promises: what loads has
//! exactly one meaning for each word.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::channel::Channel;
use super::referrer::{OwnSite, ReferrerLists, Sites};

/// The rules compiled in.
pub const CHANNELS_TOML: &str = include_str!("../../config/channels.toml");

/// The lists of sites compiled in.
pub const REFERRERS_TOML: &str = include_str!("../../config/referrers.toml");

/// A file of rules longer than this is none: ours has 12 kB.
const RULES_BYTES_MAX: u64 = 1 << 20;

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// Missing, or no permission.
    #[error(
        "cannot read channel rules {path:?}; set enrich.channels_file to \"\" for those compiled in"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Far too long.
    #[error("channel rules {path:?} have more than {RULES_BYTES_MAX} bytes; is it the right file?")]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// Broken TOML, an unknown key or channel; says where.
    #[error("cannot read {what}: {source}")]
    Syntax {
        /// `channel rules` or `referrer lists`.
        what: &'static str,
        /// With line, column and what was expected.
        source: Box<toml::de::Error>,
    },
    /// One word that would mean two things.
    #[error("the {what} \"{name}\" is in channel rules twice; keep one")]
    Twice {
        /// `click id`, `utm_medium`, `utm_source` or `site`.
        what: &'static str,
        /// The word.
        name: String,
    },
    /// A rule without an effect.
    #[error("the utm_medium rule with \"{name}\" needs either a channel or ignore = true")]
    NoChannel {
        /// Its first word.
        name: String,
    },
    /// Only engines have paths, and need them.
    #[error("the site \"{site}\" needs paths if its channel is organic_search, and none otherwise")]
    Paths {
        /// Its name.
        site: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesFile {
    result_paths: Vec<String>,
    click_id: Vec<ClickIdRule>,
    medium: Vec<MediumRule>,
    source: Vec<SourceRule>,
    site: Vec<OwnSite>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClickIdRule {
    pub(super) parameters: Vec<String>,
    pub(super) channel: Channel,
    #[serde(default)]
    pub(super) or: Vec<Channel>,
    #[serde(default)]
    pub(super) hint: bool,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MediumRule {
    words: Vec<String>,
    channel: Option<Channel>,
    search: Option<Channel>,
    social: Option<Channel>,
    assistant: Option<Channel>,
    #[serde(default)]
    ignore: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceRule {
    names: Vec<String>,
    channel: Channel,
}

/// The rules, ready to be asked.
pub struct Channels {
    pub(super) click_id_rules: Vec<ClickIdRule>,
    pub(super) click_ids: HashMap<String, usize>,
    medium_rules: Vec<MediumRule>,
    mediums: HashMap<String, usize>,
    /// Longest first.
    medium_beginnings: Vec<(String, usize)>,
    pub(super) sources: HashMap<String, Channel>,
    pub(super) sites: Sites,
}

impl Channels {
    /// The rules compiled in.
    pub fn built_in() -> Self {
        Self::load(CHANNELS_TOML, REFERRERS_TOML).expect("a test loads the rules")
    }

    /// The rules of a file, with the lists of sites compiled in.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub fn open(path: &Path) -> Result<Self, ChannelError> {
        let failed = |source| ChannelError::Read { path: path.to_owned(), source };
        if fs::metadata(path).map_err(failed)?.len() > RULES_BYTES_MAX {
            return Err(ChannelError::TooLong { path: path.to_owned() });
        }
        Self::load(&fs::read_to_string(path).map_err(failed)?, REFERRERS_TOML)
    }

    /// The rules and lists of two TOML texts.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub fn load(channels: &str, referrers: &str) -> Result<Self, ChannelError> {
        let syntax = |what| move |source| ChannelError::Syntax { what, source: Box::new(source) };
        let file: RulesFile = toml::from_str(channels).map_err(syntax("channel rules"))?;
        let lists: ReferrerLists = toml::from_str(referrers).map_err(syntax("referrer lists"))?;
        let mut rules = Self {
            click_id_rules: file.click_id,
            click_ids: HashMap::new(),
            medium_rules: file.medium,
            mediums: HashMap::new(),
            medium_beginnings: Vec::new(),
            sources: HashMap::new(),
            sites: Sites::new(&lists, file.site, file.result_paths)?,
        };
        for (number, rule) in rules.click_id_rules.iter().enumerate() {
            for parameter in &rule.parameters {
                once(&mut rules.click_ids, "click id", parameter.to_ascii_lowercase(), number)?;
            }
        }
        let mut beginnings = HashMap::new();
        for (number, rule) in rules.medium_rules.iter().enumerate() {
            if rule.channel.is_some() == rule.ignore {
                let name = rule.words.first().cloned().unwrap_or_default();
                return Err(ChannelError::NoChannel { name });
            }
            for word in &rule.words {
                let (known, word) = match word.strip_suffix('*') {
                    Some(beginning) => (&mut beginnings, beginning),
                    None => (&mut rules.mediums, word.as_str()),
                };
                once(known, "utm_medium", squeezed(word), number)?;
            }
        }
        rules.medium_beginnings.extend(beginnings);
        rules.medium_beginnings.sort_by(|(left, _), (right, _)| {
            right.len().cmp(&left.len()).then_with(|| left.cmp(right))
        });
        for rule in &file.source {
            for name in &rule.names {
                once(&mut rules.sources, "utm_source", name.to_lowercase(), rule.channel)?;
            }
        }
        Ok(rules)
    }

    /// The rule for a medium as it was written.
    pub(super) fn medium(&self, utm_medium: &str) -> Option<&MediumRule> {
        if utm_medium.is_empty() {
            return None;
        }
        let word = squeezed(utm_medium);
        let beginning = || {
            let found = self.medium_beginnings.iter().find(|(known, _)| word.starts_with(known));
            found.map(|(_, number)| number)
        };
        let number = self.mediums.get(&word).or_else(beginning)?;
        Some(&self.medium_rules[*number])
    }
}

impl MediumRule {
    /// What the medium means where the source is of this unpaid channel.
    pub(super) fn channel_for(&self, source: Option<Channel>) -> Option<Channel> {
        let instead = match source {
            Some(Channel::OrganicSearch) => self.search,
            Some(Channel::OrganicSocial) => self.social,
            Some(Channel::Assistant) => self.assistant,
            _ => None,
        };
        instead.or(self.channel)
    }
}

/// Lower case, without what separates words.
fn squeezed(word: &str) -> String {
    word.chars()
        .filter(|character| !character.is_whitespace() && !matches!(character, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

fn once<T>(
    known: &mut HashMap<String, T>,
    what: &'static str,
    name: String,
    value: T,
) -> Result<(), ChannelError> {
    if known.contains_key(&name) {
        return Err(ChannelError::Twice { what, name });
    }
    known.insert(name, value);
    Ok(())
}
