//! What a question is answered with: typed rows, and a header that says what they mean.
//!
//! In: rows as ClickHouse gave them (`fetch`). Out: an [`Answer`]. Refuses: nothing. Promises: every format is made from this one
//! value (through [`crate::report::table`]), so a page, a file and a terminal show the same numbers; money of two currencies is
//! never added, and no figure passes through a float.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

use super::question::Question;
use crate::money::Amount;
use crate::personal::{Email, PersonalText, Phone};

/// A report's figures with all that is needed to read them.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What was asked.
    pub question: Question,
    /// How new the figures are.
    pub freshness: Freshness,
    /// What was looked at and not counted.
    pub left_out: LeftOut,
    /// Rows that there are, of which [`Answer::rows`] holds the first.
    pub row_count: u64,
    /// The rows.
    pub rows: Rows,
}

impl Answer {
    /// True when nothing was found.
    pub fn is_empty(&self) -> bool {
        self.row_count == 0
    }
}

/// The rows of one report.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// Most clicked first, and the totals of all rows, shown or not.
    Ads(Vec<AdRow>, AdRow),
    /// Most clicked first, and the totals of all rows, shown or not.
    Affiliates(Vec<AffiliateRow>, AffiliateRow),
    /// The offers, with nobody's name in the rows, and the totals.
    Offers(Vec<AffiliateRow>, AffiliateRow),
    /// The conversions.
    Conversions(Vec<ConversionRow>),
    /// Newest first.
    Leads(Vec<LeadRow>),
    /// By postback, its own row first; and the totals of all rows, shown or not.
    Postbacks(Vec<PostbackRow>, PostbackRow),
    /// Most often first.
    Fraud(Vec<FraudRow>),
    /// Most often first, and how many all together.
    Refusals(Vec<RefusalRow>, u64),
}

/// An ad and what it did in the period.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdRow {
    /// The ad's campaign; empty: none.
    pub campaign: String,
    /// The ad; empty: what belongs to no ad.
    pub ad: String,
    /// False for what settling has not joined to a click yet; it may still find its ad.
    pub settled: bool,
    /// Shown to a human.
    pub impressions: u64,
    /// Clicked by a human.
    pub click_throughs: u64,
    /// Submissions that ask for contact.
    pub leads: u64,
    /// Purchases and other conversions.
    pub conversions: u64,
    /// Money that is not pending.
    pub amount: Sums,
    /// Money that was only claimed so far, by a browser for example.
    pub pending: Sums,
}

/// An affiliate's offer and what it brought in the period.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AffiliateRow {
    /// Who sent the visitors.
    pub affiliate: String,
    /// To which offer.
    pub offer: String,
    /// Clicks by a human.
    pub clicks: u64,
    /// Leads whose payout it wins.
    pub leads: u64,
    /// Purchases and other conversions whose payout it wins.
    pub conversions: u64,
    /// What those are worth, where it is not pending.
    pub amount: Sums,
    /// What those are worth, where it was only claimed so far.
    pub pending: Sums,
    /// What was rejected or taken back of them.
    pub reversed: Sums,
    /// What it would be paid, as long as nothing changes.
    pub payout_provisional: Sums,
    /// What it is paid.
    pub payout_locked: Sums,
    /// What reversals and refunds took of its payouts.
    pub taken_back: Sums,
    /// Payouts less what was taken back, by click.
    pub per_click: Sums,
    /// Half of its conversions came sooner after their click; `None` without one.
    pub median_minutes: Option<u64>,
    /// Evidence for others that came after a lock.
    pub disputes: u64,
}

/// A conversion with its history.
#[derive(Clone, Debug, PartialEq)]
pub struct ConversionRow {
    /// When it happened.
    pub at: Timestamp,
    /// As `table.rs` names them.
    pub cells: Vec<String>,
}

/// A lead. `Debug` shows no personal value.
#[derive(Clone, Debug, PartialEq)]
pub struct LeadRow {
    /// When it was submitted.
    pub at: Timestamp,
    /// Whose site.
    pub site: String,
    /// By which form.
    pub form: String,
    /// The name that was typed.
    pub name: PersonalText,
    /// The e-mail address that was typed.
    pub email: Email,
    /// The telephone number that was typed; the mobile one, where there is no other.
    pub phone: Phone,
    /// Who sent the visitor, as campaign, form or referrer says.
    pub source: String,
    /// The page that the form stands on, as far as the browser said.
    pub page: String,
    /// The channel of the click before it.
    pub channel: String,
    /// The campaign of the click before it.
    pub campaign: String,
    /// The ad of the click before it.
    pub ad: String,
    /// The affiliate of the click before it.
    pub affiliate: String,
    /// The link that was clicked.
    pub link: String,
    /// How that click was found; `none`: there is none; empty: not looked for yet.
    pub basis: String,
    /// Where it came from, two letters.
    pub country: String,
    /// Human, bot, …
    pub verdict: String,
    /// How often the same submission came.
    pub count: u64,
}

/// What came of a postback's messages, or of those with one flag or refusal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PostbackRow {
    /// As in `/postback/{name}`; empty: unknown.
    pub postback: String,
    /// Whose site.
    pub site: String,
    /// A flag or a refusal's code; empty: all of its messages.
    pub reason: String,
    /// The parameter that the reason is about.
    pub parameter: String,
    /// Messages that are in the log.
    pub accepted: u64,
    /// Those of them that say what became of a conversion.
    pub updates: u64,
    /// Those of them that carry a flag.
    pub flagged: u64,
    /// Those of them that claim a conversion that was claimed before.
    pub duplicates: u64,
    /// Those of them whose click is not known.
    pub no_click: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// The median from click to conversion, milliseconds.
    pub after_click_ms: Option<u64>,
    /// The median from conversion to receipt, milliseconds.
    pub lag_ms: Option<u64>,
    /// When the last one was.
    pub last: Option<Timestamp>,
    /// The shape of a late refused one, without values.
    pub sample: String,
}

/// A sign of fraud.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it all")]
pub struct FraudRow {
    pub site: String,
    /// Whose clicks; empty: nobody's.
    pub affiliate: String,
    pub offer: String,
    /// Which sign.
    pub sign: String,
    /// How many clicks or conversions show it.
    pub count: u64,
    /// More than so many was too many; 0: one is enough.
    pub threshold: u64,
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
}

/// Requests that were refused, of one kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RefusalRow {
    /// Whose site; empty: unknown.
    pub site: String,
    /// Which form or postback; empty: unknown.
    pub form: String,
    /// By which door.
    pub door: String,
    /// The reason's code.
    pub code: String,
    /// Of a postback: the parameter that it is about.
    pub parameter: String,
    /// How many.
    pub refused: u64,
    /// The first minute with one.
    pub first: Option<Timestamp>,
    /// The last minute with one.
    pub last: Option<Timestamp>,
    /// The shape of a late one, without values.
    pub sample: String,
}

/// How new an answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// When the newest stored batch was stored; `None`: nothing was stored yet.
    pub newest_batch: Option<Timestamp>,
    /// When the newest event happened.
    pub newest_event: Option<Timestamp>,
    /// Stored records that settling has not seen.
    pub records_unsettled: u64,
    /// Since when the oldest of them has been waiting.
    pub unsettled_since: Option<Timestamp>,
}

/// What fell into the period and is in no figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Hits that were judged not human: bots, scanners, prefetches, tests, and what is suspect.
    pub not_human: u64,
    /// Conversions reported again: one counts per click and goal, and per order.
    pub repeats: u64,
}

/// Money by currency, each in ten-thousandths of its unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums(pub BTreeMap<String, Sum>);

impl Sums {
    /// From what ClickHouse gives for `Map(String, Decimal(38, 4))`. Nothing in some currency is no money in it.
    pub fn new(pairs: Vec<(String, i128)>) -> Self {
        let some = pairs.into_iter().filter(|(_, scaled)| *scaled != 0);
        Self(some.map(|(currency, scaled)| (currency, Sum(scaled))).collect())
    }
}

/// Amounts added up: more room than one [`Amount`] has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(pub i128);

impl fmt::Display for Sum {
    /// As [`Amount`] shows itself.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(small) = i64::try_from(self.0) {
            return Amount::from_scaled(small).fmt(formatter);
        }
        let scale = u128::from(crate::money::SCALE.unsigned_abs());
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) = (self.0.unsigned_abs() / scale, self.0.unsigned_abs() % scale);
        let digits = format!("{fraction:04}");
        write!(formatter, "{sign}{whole}.{:0<2}", digits.trim_end_matches('0'))
    }
}

/// A part of a whole, in ten-thousandths, rounded half up; `None` where there is no whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub Option<u64>);

impl Rate {
    /// `part` of `whole`. It may be more than one: a sale today may follow a click of last month.
    pub fn of(part: u64, whole: u64) -> Self {
        let (part, whole) = (u128::from(part), u128::from(whole));
        let rounded = (part * 20_000 + whole).checked_div(2 * whole);
        Self(rounded.map(|rate| u64::try_from(rate).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Rate {
    /// `3.25 %`, or a dash.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(rate) => write!(formatter, "{}.{:02} %", rate / 100, rate % 100),
            None => formatter.write_str("–"),
        }
    }
}
