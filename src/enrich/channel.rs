//! By which channel a touch came, and who sent it.
//!
//! In: what the link's registry entry says, the click ids and UTM parameters of the address, the referrer. Out: a
//! [`Channel`], the source and the rule that decided. Refuses, at load only: rules that cannot be read or contradict each
//! other. Promises: the rules are data (`config/channels.toml`, compiled in, replaceable by a file), tried in the order
//! that is written there; the same touch gets the same channel.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::referrer::{Known, OwnSite, Page, ReferrerLists, Sites, without_mirror};

/// The rules compiled in.
pub const CHANNELS_TOML: &str = include_str!("../../config/channels.toml");

/// The lists of sites compiled in.
pub const REFERRERS_TOML: &str = include_str!("../../config/referrers.toml");

/// A file of rules longer than this is none: ours has 12 kB.
const RULES_BYTES_MAX: u64 = 1 << 20;

/// A channel. The names are those of the `events.channel` column and of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// Ads beside search results.
    PaidSearch,
    /// Ads in social networks.
    PaidSocial,
    /// Banners, native ads and videos on other sites.
    Display,
    /// A link in a mail.
    Email,
    /// A partner's link.
    Affiliate,
    /// Search results without ads.
    OrganicSearch,
    /// Posts in social networks.
    OrganicSocial,
    /// An AI assistant's answer.
    Assistant,
    /// A link on another site.
    Referral,
    /// Nothing says where from: typed, a bookmark, or an application that says nothing.
    Direct,
    /// From a page of the same host: not the beginning of a visit.
    Internal,
    /// Tagged, with words that no rule knows.
    Other,
}

impl Channel {
    /// The name in tables, reports and configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PaidSearch => "paid_search",
            Self::PaidSocial => "paid_social",
            Self::Display => "display",
            Self::Email => "email",
            Self::Affiliate => "affiliate",
            Self::OrganicSearch => "organic_search",
            Self::OrganicSocial => "organic_social",
            Self::Assistant => "assistant",
            Self::Referral => "referral",
            Self::Direct => "direct",
            Self::Internal => "internal",
            Self::Other => "other",
        }
    }
}

/// What decided, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecidedBy {
    /// The link's registry entry, or that it is an affiliate's or a mail's link.
    Registry,
    /// A click id.
    ClickId,
    /// `utm_medium`, `utm_source`, or that there are some with unknown words.
    Utm,
    /// The referrer.
    Referrer,
    /// Nothing was there.
    Nothing,
}

/// What is known of how a visitor came. Empty is not there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Touch<'a> {
    /// The channel that the link's registry entry states.
    pub registered: Option<Channel>,
    /// The link is an affiliate's.
    pub affiliate: bool,
    /// The link is one from a mail of ours.
    pub from_email_link: bool,
    /// Click ids by parameter, in the order of the address.
    pub click_ids: &'a [(String, String)],
    /// Decoded, as it came.
    pub utm_source: &'a str,
    /// Decoded, as it came.
    pub utm_medium: &'a str,
    /// Decoded, as it came.
    pub utm_campaign: &'a str,
    /// Without port and user; of an `android-app:` referrer the application's name.
    pub referrer_host: &'a str,
    /// With its leading slash.
    pub referrer_path: &'a str,
    /// `None` where it was not kept: then an engine is known by its path.
    pub referrer_query: Option<&'a str>,
    /// The host of the page itself.
    pub page_host: &'a str,
}

/// Where a touch belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classified<'a> {
    /// The channel.
    pub channel: Channel,
    /// The site's name in the lists, the referrer's host, `utm_source` as it came or the click id's parameter: whatever
    /// decided. Empty where that has no name.
    pub source: &'a str,
    /// What decided.
    pub decided_by: DecidedBy,
}

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// Missing, or no permission.
    #[error("cannot read channel rules {path:?}; set enrich.channels_file to \"\" for those compiled in")]
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
struct ClickIdRule {
    parameters: Vec<String>,
    channel: Channel,
    #[serde(default)]
    or: Vec<Channel>,
    #[serde(default)]
    hint: bool,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct MediumRule {
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
    click_id_rules: Vec<ClickIdRule>,
    click_ids: HashMap<String, usize>,
    medium_rules: Vec<MediumRule>,
    mediums: HashMap<String, usize>,
    /// Longest first.
    medium_beginnings: Vec<(String, usize)>,
    sources: HashMap<String, Channel>,
    sites: Sites,
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
            sites: Sites::new(lists, file.site, file.result_paths)?,
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

    /// Where the touch belongs.
    pub fn classify<'a>(&'a self, touch: &Touch<'a>) -> Classified<'a> {
        let registered = match touch.registered {
            Some(channel) => Some(channel),
            None if touch.affiliate => Some(Channel::Affiliate),
            None if touch.from_email_link => Some(Channel::Email),
            None => None,
        };
        if let Some(channel) = registered {
            let decided_by = DecidedBy::Registry;
            return Classified { channel, source: touch.utm_source, decided_by };
        }
        let source = self.source(touch.utm_source);
        if let Some(by_click_id) = self.by_click_id(touch, source) {
            return by_click_id;
        }
        if let Some(channel) = self.by_utm(touch.utm_medium, source) {
            let decided_by = DecidedBy::Utm;
            return Classified { channel, source: touch.utm_source, decided_by };
        }
        let by_referrer = self.by_referrer(touch);
        // Tags with unknown words don't hide a referrer that is known, but they are no direct visit.
        let tagged = [touch.utm_source, touch.utm_medium, touch.utm_campaign]
            .iter()
            .any(|value| !value.trim().is_empty());
        if tagged && matches!(by_referrer.channel, Channel::Direct | Channel::Internal) {
            return Classified {
                channel: Channel::Other,
                source: touch.utm_source,
                decided_by: DecidedBy::Utm,
            };
        }
        by_referrer
    }

    fn by_click_id<'a>(
        &'a self,
        touch: &Touch<'a>,
        source: Option<Channel>,
    ) -> Option<Classified<'a>> {
        let mut found: Option<(&ClickIdRule, &str)> = None;
        for (parameter, value) in touch.click_ids {
            if value.is_empty() || value.contains(['{', '}', '[', ']']) {
                continue;
            }
            let Some(number) = self.click_ids.get(&parameter.to_ascii_lowercase()) else { continue };
            let rule = &self.click_id_rules[*number];
            if found.is_none_or(|(before, _)| before.hint || !rule.hint) {
                found = Some((rule, parameter));
            }
        }
        let (rule, parameter) = found?;
        // The id tells the platform; the medium may tell the placement on it.
        let platform = source.or(match rule.channel {
            Channel::PaidSearch | Channel::OrganicSearch => Some(Channel::OrganicSearch),
            Channel::PaidSocial | Channel::OrganicSocial => Some(Channel::OrganicSocial),
            _ => None,
        });
        let placed = self
            .medium(touch.utm_medium)
            .and_then(|medium| medium.channel_for(platform))
            .filter(|channel| rule.or.contains(channel));
        Some(Classified {
            channel: placed.unwrap_or(rule.channel),
            source: parameter,
            decided_by: DecidedBy::ClickId,
        })
    }

    fn by_utm(&self, medium: &str, source: Option<Channel>) -> Option<Channel> {
        self.medium(medium).and_then(|rule| rule.channel_for(source)).or(source)
    }

    fn by_referrer<'a>(&'a self, touch: &Touch<'a>) -> Classified<'a> {
        let host = touch.referrer_host;
        let (channel, source, decided_by) = if host.is_empty() {
            (Channel::Direct, "", DecidedBy::Nothing)
        } else if same_site(host, touch.page_host) {
            (Channel::Internal, "", DecidedBy::Referrer)
        } else {
            let page = Page { host, path: touch.referrer_path, query: touch.referrer_query };
            match self.sites.find(&page) {
                Some(Known { name, channel }) => (channel, name, DecidedBy::Referrer),
                None => (Channel::Referral, host, DecidedBy::Referrer),
            }
        };
        Classified { channel, source, decided_by }
    }

    /// The unpaid channel that a source stands for.
    fn source(&self, utm_source: &str) -> Option<Channel> {
        let name = utm_source.trim();
        if name.is_empty() {
            return None;
        }
        let name = name.to_lowercase();
        self.sources.get(&name).copied().or_else(|| {
            let host = name.contains('.').then(|| self.sites.find_host(&name));
            host.flatten().map(|known| known.channel)
        })
    }

    fn medium(&self, utm_medium: &str) -> Option<&MediumRule> {
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
    fn channel_for(&self, source: Option<Channel>) -> Option<Channel> {
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

fn same_site(left: &str, right: &str) -> bool {
    let bare = |host| without_mirror(host).unwrap_or(host);
    bare(left).eq_ignore_ascii_case(bare(right))
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

#[cfg(test)]
#[path = "channel_tests.rs"]
mod tests;
