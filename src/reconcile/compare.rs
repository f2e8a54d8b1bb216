//! Comparing: one of their rows against what we have of the same transaction.
//!
//! In: [`Theirs`], [`Ours`], the profile's words for a status. Out: the [`Cause`]s of the gaps between them. Refuses: nothing. Promises:
//! what the file doesn't say is no gap; a cause says where to look.

use std::collections::BTreeMap;

use super::theirs::{Theirs, When};
use crate::check::postbacks::Status;
use crate::check::postbacks::status::{StatusMap, Why};
use crate::money::{Amount, Currency};

/// Why a row of theirs and one of ours differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Both say the same.
    Same,
    /// Theirs earns, waits or is lost, and ours isn't.
    StatusDiffers,
    /// The money differs, in one currency.
    AmountDiffers,
    /// The currencies differ.
    CurrencyDiffers,
    /// The transaction stands in the file before.
    TwiceThere,
    /// We have it, at a time outside the period: another zone's days, or it came late.
    OutsidePeriod,
    /// We don't have it, and the postback was refused around that time.
    RefusedThen,
    /// We don't have it, and nothing was refused around that time.
    NeverArrived,
    /// We have it, the file doesn't.
    MissingThere,
    /// The row says no transaction, or an amount that is none.
    Unreadable,
    /// Theirs lies outside the period, so it is compared with nothing.
    NotAsked,
}

impl Cause {
    /// As it stands in files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::StatusDiffers => "status_differs",
            Self::AmountDiffers => "amount_differs",
            Self::CurrencyDiffers => "currency_differs",
            Self::TwiceThere => "twice_there",
            Self::OutsidePeriod => "outside_period",
            Self::RefusedThen => "refused_around_then",
            Self::NeverArrived => "never_arrived",
            Self::MissingThere => "missing_there",
            Self::Unreadable => "unreadable",
            Self::NotAsked => "not_asked",
        }
    }

    /// True for what is to be looked into.
    pub fn is_gap(self) -> bool {
        !matches!(self, Self::Same | Self::NotAsked)
    }
}

/// What we have of a transaction.
#[derive(Clone, Copy, Debug)]
pub struct Ours {
    pub at_ms: i64,
    pub status: &'static str,
    pub amount: Amount,
    /// What was taken back of it.
    pub refunded: Amount,
    pub currency: Option<Currency>,
    /// True once a row of theirs met it.
    pub met: bool,
}

/// What a status is worth: paid and approved earn alike, and so does what is lost for whatever reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Earns,
    Waits,
    Lost,
}

fn standing(status: &str) -> Standing {
    match status {
        "approved" | "paid" => Standing::Earns,
        "rejected" | "reversed" | "invalid" | "ignored" => Standing::Lost,
        _ => Standing::Waits,
    }
}

/// Their word in our words: by the profile, else by what reports usually say.
pub fn status_of(word: &str, map: &StatusMap) -> Option<&'static str> {
    if let (status, Why::Mapped) = map.read(word, std::iter::empty()) {
        return Some(status.word());
    }
    let usual = match word.to_ascii_lowercase().as_str() {
        "approved" | "confirmed" | "accepted" | "validated" | "valid" | "locked" | "closed"
        | "sale" | "active" => Status::Approved,
        "paid" | "paid out" => Status::Paid,
        "pending" | "open" | "new" | "hold" | "on hold" | "waiting" | "extended" | "lead" => {
            Status::Pending
        }
        "rejected" | "declined" | "denied" | "cancelled" | "canceled" | "void" | "voided" => {
            Status::Rejected
        }
        "reversed" | "refunded" | "refund" | "chargeback" | "returned" => Status::Reversed,
        "invalid" | "trash" | "fraud" => Status::Invalid,
        _ => return None,
    };
    Some(usual.word())
}

/// The gaps between the two; none when they agree.
pub fn compare(theirs: &Theirs, ours: &Ours, map: &StatusMap) -> Vec<(Cause, String)> {
    let mut gaps = Vec::new();
    let mut lost = standing(ours.status) == Standing::Lost;
    if !theirs.status.is_empty() {
        match status_of(&theirs.status, map) {
            Some(status) if standing(status) == standing(ours.status) => {}
            Some(status) => {
                lost |= standing(status) == Standing::Lost;
                gaps.push((Cause::StatusDiffers, format!("theirs means {status}")));
            }
            None => gaps.push((Cause::StatusDiffers, "their word is not known".to_owned())),
        }
    }
    if let (Some(their), Some(our)) = (theirs.currency, ours.currency)
        && their != our
    {
        gaps.push((Cause::CurrencyDiffers, String::new()));
        return gaps;
    }
    if let Some(amount) = theirs.amount {
        let (scaled, whole) = (amount.scaled(), ours.amount.scaled());
        let left = whole.saturating_sub(ours.refunded.scaled());
        // What is lost is written as nothing, as what it was, or as what it takes away.
        let agrees =
            scaled == whole || scaled == left || (lost && (scaled == 0 || scaled == -whole));
        if !agrees {
            let by = Amount::from_scaled(scaled.saturating_sub(left));
            gaps.push((Cause::AmountDiffers, format!("by {by}")));
        }
    }
    gaps
}

/// How far apart the two say it happened, where that is hours of another zone: whole half hours, up to fourteen.
pub fn zone_shift_minutes(theirs: When, ours: &Ours) -> Option<i64> {
    const HALF_HOUR_MS: i64 = 1_800_000;
    const SLACK_MS: i64 = 120_000;
    let apart = theirs.at_ms - ours.at_ms;
    let half_hours = (apart as f64 / HALF_HOUR_MS as f64).round() as i64;
    let whole = (apart - half_hours * HALF_HOUR_MS).abs() <= SLACK_MS;
    (!theirs.is_day && whole && half_hours != 0 && half_hours.abs() <= 28)
        .then_some(half_hours * 30)
}

/// What was refused, by second of its minute: code, parameter, how many.
pub type RefusedByTime = BTreeMap<i64, Vec<(String, String, u64)>>;

/// Why a row is not here: refused within two minutes of its time (or on its day), or never sent.
pub fn why_missing(when: Option<When>, refused: &RefusedByTime) -> (Cause, String) {
    let Some(when) = when else { return (Cause::NeverArrived, String::new()) };
    let at = when.at_ms.div_euclid(1_000);
    let range = if when.is_day { at..=at + 86_399 } else { at - 180..=at + 120 };
    let mut told = BTreeMap::<(&str, &str), u64>::new();
    for (code, parameter, count) in refused.range(range).flat_map(|(_, list)| list) {
        *told.entry((code, parameter)).or_default() += count;
    }
    if told.is_empty() {
        return (Cause::NeverArrived, String::new());
    }
    let words = told.iter().map(|((code, parameter), count)| {
        let about = if parameter.is_empty() { String::new() } else { format!(" ({parameter})") };
        format!("{code}{about} x {count}")
    });
    (Cause::RefusedThen, words.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn theirs(status: &str, amount: &str, currency: &str) -> Theirs {
        Theirs {
            line: 2,
            transaction: "A-1".to_owned(),
            status: status.to_owned(),
            amount: Amount::parse(amount).ok(),
            currency: Currency::parse(currency),
            when: None,
        }
    }

    fn ours(status: &'static str, amount: &str, refunded: &str) -> Ours {
        Ours {
            at_ms: 0,
            status,
            amount: Amount::parse(amount).unwrap(),
            refunded: Amount::parse(refunded).unwrap(),
            currency: Currency::parse("EUR"),
            met: false,
        }
    }

    fn causes(theirs: &Theirs, ours: &Ours) -> Vec<Cause> {
        let gaps = compare(theirs, ours, &StatusMap::default());
        gaps.into_iter().map(|(cause, _)| cause).collect()
    }

    #[test]
    fn each_gap_has_its_cause() {
        let approved = ours("approved", "12.50", "0");
        assert!(causes(&theirs("Confirmed", "12.50", "EUR"), &approved).is_empty());
        assert!(causes(&theirs("paid", "12.5", ""), &approved).is_empty(), "paid earns alike");
        assert!(causes(&theirs("", "", ""), &approved).is_empty(), "nothing said, no gap");
        assert_eq!(causes(&theirs("pending", "12.50", "EUR"), &approved), [Cause::StatusDiffers]);
        assert_eq!(causes(&theirs("approved", "12.51", "EUR"), &approved), [Cause::AmountDiffers]);
        assert_eq!(
            causes(&theirs("approved", "12.50", "USD"), &approved),
            [Cause::CurrencyDiffers]
        );
        assert_eq!(causes(&theirs("foo", "", ""), &approved), [Cause::StatusDiffers]);
        let both = causes(&theirs("pending", "1", "EUR"), &approved);
        assert_eq!(both, [Cause::StatusDiffers, Cause::AmountDiffers]);
    }

    #[test]
    fn what_is_taken_back_may_be_written_in_three_ways() {
        for amount in ["12.50", "0", "-12.50"] {
            let reversed = ours("reversed", "12.50", "12.50");
            assert!(causes(&theirs("refunded", amount, "EUR"), &reversed).is_empty(), "{amount}");
        }
        let part = ours("approved", "12.50", "2.50");
        assert!(causes(&theirs("approved", "10", "EUR"), &part).is_empty());
        assert_eq!(causes(&theirs("approved", "0", "EUR"), &part), [Cause::AmountDiffers]);
    }

    #[test]
    fn another_zones_clock_is_told_from_another_time() {
        let shift = |minutes: i64, is_day| {
            let ours = ours("approved", "1", "0");
            zone_shift_minutes(When { at_ms: minutes * 60_000, is_day }, &ours)
        };
        assert_eq!((shift(120, false), shift(-330, false)), (Some(120), Some(-330)));
        assert_eq!((shift(0, false), shift(17, false), shift(120, true)), (None, None, None));
    }

    #[test]
    fn a_row_that_is_missing_may_have_been_refused() {
        let refused: RefusedByTime =
            [(60_000, vec![("macro_unexpanded".to_owned(), "payout".to_owned(), 3)])].into();
        let at = |seconds: i64, is_day| Some(When { at_ms: seconds * 1_000, is_day });
        let (cause, detail) = why_missing(at(60_055, false), &refused);
        assert_eq!((cause, detail.as_str()), (Cause::RefusedThen, "macro_unexpanded (payout) x 3"));
        assert_eq!(why_missing(at(0, true), &refused).0, Cause::RefusedThen);
        assert_eq!(why_missing(at(70_000, false), &refused).0, Cause::NeverArrived);
        assert_eq!(why_missing(None, &refused).0, Cause::NeverArrived);
    }
}
