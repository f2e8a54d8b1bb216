//! What can be asked.
//!
//! In: texts from a command line or a URL. Out: a [`Question`], complete and bounded. Refuses: an unknown report, period, zone,
//! site or format, and a limit out of bounds, each as a [`BadQuestion`] that holds the nearest good one. Promises: what was
//! typed is never part of a statement; it travels beside it as a bound value.

use std::fmt;

use jiff::Timestamp;

use super::period::Period;
use crate::check::redact;
use crate::config::{self, nearest};

/// Characters of a wrong word that are repeated in the refusal: enough to recognise it.
const TYPED_CHARACTERS_MAX: usize = 40;

/// The most rows that one answer holds: a page or file that a person can still use, some megabytes at most.
pub const ROWS_MAX: u32 = 10_000;

/// A report's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportName {
    /// Ads by click-through and conversion rate.
    Ads,
    /// Affiliates by what they bring.
    Affiliates,
    /// Conversions with their history, newest first.
    Conversions,
    /// Offers by what they bring and cost.
    Offers,
    /// Leads, newest first.
    Leads,
    /// What came of the messages of each postback.
    Postbacks,
    /// Signs of fraud.
    Fraud,
    /// What the edges refused.
    Refusals,
}

impl ReportName {
    /// All reports, in the order in which the page shows them.
    pub const ALL: [Self; 8] = [
        Self::Ads,
        Self::Affiliates,
        Self::Offers,
        Self::Conversions,
        Self::Leads,
        Self::Postbacks,
        Self::Fraud,
        Self::Refusals,
    ];

    /// As it is typed and as it stands in URLs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ads => "ads",
            Self::Affiliates => "affiliates",
            Self::Conversions => "conversions",
            Self::Offers => "offers",
            Self::Leads => "leads",
            Self::Postbacks => "postbacks",
            Self::Fraud => "fraud",
            Self::Refusals => "refusals",
        }
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Result<Self, BadQuestion> {
        Self::ALL.into_iter().find(|report| report.name() == text).ok_or_else(|| {
            BadQuestion::unknown("report", text, Self::ALL.iter().map(|report| report.name()))
        })
    }

    /// Rows when nobody says how many.
    pub const fn default_limit(self) -> u32 {
        match self {
            Self::Conversions | Self::Leads => 50,
            _ => 1_000,
        }
    }
}

/// A question as it was typed; an empty text means «not given».
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// `today`, `30d`, …
    pub period: &'a str,
    /// The first day.
    pub from: &'a str,
    /// The last day.
    pub to: &'a str,
    /// A zone's name, `Europe/Berlin`.
    pub zone: &'a str,
    /// A site's name.
    pub site: &'a str,
    /// How many rows.
    pub limit: &'a str,
}

/// What many clicks and conversions together are held to: the thresholds of `[fraud]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "config/leadtrail.toml documents each key")]
pub struct FraudLimits {
    pub clicks_min: u64,
    pub clicks_per_conversion_max: u64,
    pub address_conversions_max: u64,
    pub address_clicks_max: u64,
}

impl From<&config::Fraud> for FraudLimits {
    fn from(config: &config::Fraud) -> Self {
        Self {
            clicks_min: config.clicks_min,
            clicks_per_conversion_max: config.clicks_per_conversion_max,
            address_conversions_max: config.address_conversions_max,
            address_clicks_max: config.address_clicks_max,
        }
    }
}

/// What the installation knows that a question needs.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The names of the registered sites.
    pub sites: &'a [String],
    /// How long a click earns a conversion, where the offer says nothing else (`settle.click_window_days`).
    pub click_window_days: u32,
    /// What many events together are held to.
    pub fraud: FraudLimits,
    /// The time now.
    pub now: Timestamp,
}

/// A question that can be answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Which report.
    pub report: ReportName,
    /// About which time.
    pub period: Period,
    /// About which site; `None`: all of them together.
    pub site: Option<String>,
    /// The most rows, at most [`ROWS_MAX`].
    pub limit: u32,
    /// Words for the header: how long a click earns a conversion.
    pub click_window_days: u32,
    /// What many events together are held to.
    pub fraud: FraudLimits,
}

impl Question {
    /// Reads what was typed.
    pub fn parse(
        report: ReportName,
        asked: &Asked<'_>,
        known: &Known<'_>,
    ) -> Result<Self, BadQuestion> {
        let period = Period::parse(asked.period, asked.from, asked.to, asked.zone, known.now)?;
        let site = match asked.site {
            "" => None,
            name if known.sites.iter().any(|site| site == name) => Some(name.to_owned()),
            name => {
                let sites = known.sites.iter().map(String::as_str);
                return Err(BadQuestion::unknown("site", name, sites));
            }
        };
        let limit = match asked.limit {
            "" => report.default_limit(),
            text => text.parse().ok().filter(|limit| (1..=ROWS_MAX).contains(limit)).ok_or_else(
                || {
                    let default = report.default_limit();
                    let what = format!("`limit` must be a number from 1 to {ROWS_MAX}");
                    BadQuestion { what, nearest: vec![("limit", default.to_string())] }
                },
            )?,
        };
        let Known { click_window_days, fraud, .. } = *known;
        Ok(Self { report, period, site, limit, click_window_days, fraud })
    }
}

/// Why a question has no answer, and the nearest one that has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct BadQuestion {
    /// What is wrong.
    pub what: String,
    /// What to ask instead: parameters with the values they should have; an empty value means to leave it out.
    pub nearest: Vec<(&'static str, String)>,
}

impl BadQuestion {
    /// An unknown word where only `known` ones are good.
    pub fn unknown<'a>(
        key: &'static str,
        typed: &str,
        known: impl Iterator<Item = &'a str>,
    ) -> Self {
        let typed = told(typed);
        let near = nearest(&typed, known).to_owned();
        Self { what: format!("unknown {key} `{typed}`"), nearest: vec![(key, near)] }
    }
}

/// What somebody typed, as a message may tell it: cut, and without what looks like a mail address, for messages end in tickets.
pub fn told(typed: &str) -> String {
    if redact::looks_like_email(typed) {
        return redact::REDACTED.to_owned();
    }
    typed.chars().take(TYPED_CHARACTERS_MAX).collect()
}

impl fmt::Display for BadQuestion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}; did you mean", self.what)?;
        for (key, value) in &self.nearest {
            match (*key, value.as_str()) {
                ("report", value) => write!(formatter, " `{value}`")?,
                (key, "") => write!(formatter, " no --{key}")?,
                (key, value) => write!(formatter, " --{key} {value}")?,
            }
        }
        formatter.write_str("?")
    }
}
