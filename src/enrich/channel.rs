//! By which channel a touch came, and who sent it.
//!
//! In: what the link's registry entry says, the click ids and UTM parameters of the address, the referrer. Out: a
//! [`Channel`], the source and the rule that decided. Refuses, at load only: rules that cannot be read or contradict each
//! other. Promises: the rules are data (`config/channels.toml`, compiled in, replaceable by a file), tried in the order
//! that is written there; the same touch gets the same channel.

use serde::Deserialize;

use super::channel_rules::ClickIdRule;
pub use super::channel_rules::{CHANNELS_TOML, ChannelError, Channels, REFERRERS_TOML};
use super::referrer::{Known, Page, lower, without_mirror};

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

impl Channels {
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
            let Some(number) = self.click_ids.get(&parameter.to_ascii_lowercase()) else {
                continue;
            };
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
}

fn same_site(left: &str, right: &str) -> bool {
    let (left, right) = (lower(left), lower(right));
    without_mirror(&left).unwrap_or(&left) == without_mirror(&right).unwrap_or(&right)
}

#[cfg(test)]
#[path = "channel_tests.rs"]
mod tests;
