//! The registry as a table: what a signed click id's numbers mean, and what an offer pays.
//!
//! In: a [`Registry`] and the default window. Out: rows under a fingerprint of them all, and the windows that occur. Refuses: nothing.
//! Promises: the same registry has the same fingerprint, and a changed one another, so that two processes with different
//! registries never mix them.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Serialize;

use crate::money::Amount;
use crate::registry::{Offer, Registry};
use crate::settle::allot::{Pay, Rule};

/// Milliseconds of a minute.
const MINUTE_MS: i64 = 60_000;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// A row of `settle_registry`.
#[derive(Clone, Debug, Default, Row, Serialize)]
pub(super) struct TermsRow {
    fingerprint: u64,
    /// 1 link, 2 offer, 3 affiliate, 4 coupon.
    kind: i8,
    number: u32,
    name: String,
    site: String,
    campaign: String,
    ad: String,
    creative: String,
    placement: String,
    mailing: String,
    window_ms: i64,
    has_amount: u8,
    /// In ten-thousandths, like `payout`.
    amount: i64,
    payout: i64,
    currency: String,
    /// Of a coupon, like `offer`.
    affiliate: String,
    offer: String,
    /// In ten-thousandths of a per cent.
    payout_percent: i64,
    lock_after_ms: i64,
    has_rule: u8,
}

/// What a run reads besides the facts.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// Names the rows.
    pub fingerprint: u64,
    /// How long a click earns a conversion, where the offer says nothing else.
    pub window_ms: i64,
    /// How soon the same submission is a repeat.
    pub repeat_window_ms: i64,
    /// Every length of window that occurs, longest first.
    pub windows_ms: Vec<i64>,
    /// The offers that pay by tiers or caps.
    pub rules: BTreeMap<String, Rule>,
    /// Of base amounts; empty: none.
    pub base_currency: String,
    /// How many days back a rate still counts.
    pub rate_days: u16,
    /// The rows, by kind and number.
    pub rows: Vec<TermsRow>,
}

impl Terms {
    /// Reads the registry.
    pub(super) fn of(
        registry: &Registry,
        click_window_days: u32,
        repeat_window_minutes: u32,
    ) -> Self {
        let repeat_window_ms = i64::from(repeat_window_minutes) * MINUTE_MS;
        let window_ms = i64::from(click_window_days) * DAY_MS;
        let mut rows: Vec<TermsRow> = Vec::new();
        rows.extend(registry.links().map(|link| TermsRow {
            kind: 1,
            number: link.number,
            name: link.name.clone(),
            site: link.site.clone(),
            campaign: link.campaign.clone(),
            ad: link.ad.clone(),
            creative: link.creative.clone(),
            placement: link.placement.clone(),
            mailing: link.mailing.clone(),
            ..TermsRow::default()
        }));
        rows.extend(registry.offers().map(|offer| TermsRow {
            kind: 2,
            number: offer.number,
            name: offer.name.clone(),
            site: offer.site.clone(),
            window_ms: offer.window_days.map_or(window_ms, |days| i64::from(days) * DAY_MS),
            has_amount: u8::from(offer.amount.is_some()),
            amount: offer.amount.map_or(0, Amount::scaled),
            payout: offer.payout.map_or(0, Amount::scaled),
            currency: offer.currency.map_or_else(String::new, |code| code.as_str().to_owned()),
            payout_percent: offer.payout_percent.map_or(0, Amount::scaled),
            lock_after_ms: i64::from(offer.lock_after_days.unwrap_or(0)) * DAY_MS,
            has_rule: u8::from(offer.has_rule()),
            ..TermsRow::default()
        }));
        rows.extend(coupons(registry));
        rows.extend(registry.affiliates().map(|affiliate| TermsRow {
            kind: 3,
            number: affiliate.number,
            name: affiliate.name.clone(),
            ..TermsRow::default()
        }));
        rows.sort_by_key(|row| (row.kind, row.number));
        let fingerprint = fingerprint(&rows);
        rows.iter_mut().for_each(|row| row.fingerprint = fingerprint);
        let mut windows_ms: Vec<i64> =
            rows.iter().filter(|row| row.kind == 2).map(|row| row.window_ms).collect();
        windows_ms.push(window_ms);
        windows_ms.sort_unstable_by(|one, other| other.cmp(one));
        windows_ms.dedup();
        let ruled = registry.offers().filter(|offer| offer.has_rule());
        let rules = ruled.map(|offer| (offer.name.clone(), rule(offer))).collect();
        let (base_currency, rate_days) = (String::new(), 0);
        Self {
            fingerprint,
            window_ms,
            repeat_window_ms,
            windows_ms,
            rules,
            base_currency,
            rate_days,
            rows,
        }
    }

    /// The longest window.
    pub(super) fn window_ms_max(&self) -> i64 {
        self.windows_ms.first().copied().unwrap_or(self.window_ms)
    }
}

/// The coupons of all offers, numbered in the order of their names.
fn coupons(registry: &Registry) -> Vec<TermsRow> {
    let mut all: Vec<(&Offer, &String, &String)> = registry
        .offers()
        .flat_map(|offer| offer.coupons.iter().map(|(code, owner)| (&**offer, code, owner)))
        .collect();
    all.sort_by_key(|(offer, code, _)| (&offer.site, *code));
    let rows = (1..).zip(all).map(|(number, (offer, code, owner))| TermsRow {
        kind: 4,
        number,
        // As the statement compares: people type coupons in either case.
        name: code.to_uppercase(),
        site: offer.site.clone(),
        affiliate: owner.clone(),
        offer: offer.name.clone(),
        ..TermsRow::default()
    });
    rows.collect()
}

fn rule(offer: &Offer) -> Rule {
    let pay = |payout: Option<Amount>, percent: Option<Amount>| match percent {
        Some(percent) => Pay::Percent(percent),
        None => Pay::Fixed(payout.unwrap_or_default()),
    };
    let mut tiers = vec![(1, pay(offer.payout, offer.payout_percent))];
    tiers.extend(offer.tiers.iter().map(|tier| (tier.from, pay(tier.payout, tier.payout_percent))));
    Rule {
        tiers,
        cap_day: offer.payout_cap_day,
        cap_month: offer.payout_cap_month,
        currency: offer.currency.map_or_else(String::new, |code| code.as_str().to_owned()),
    }
}

fn fingerprint(rows: &[TermsRow]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for row in rows {
        // Debug text is the whole row, names quoted: equal for equal rows, and for no others.
        hasher.update(format!("{row:?}\n").as_bytes());
    }
    let hash = hasher.finalize();
    let (first, _) = hash.as_bytes().split_first_chunk::<8>().expect("a hash has 32 bytes");
    u64::from_be_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_registry_has_another_fingerprint() {
        let demo = Registry::load("").unwrap();
        let terms = Terms::of(&demo, 30, 60);
        assert_eq!(terms.fingerprint, Terms::of(&Registry::load("").unwrap(), 30, 60).fingerprint);
        assert_eq!(terms.windows_ms, [30 * DAY_MS]);
        let text = include_str!("../../config/sites.toml")
            .replace("payout = \"8.00\"", "payout = \"8.01\"");
        let other = Terms::of(&Registry::parse(&text, "test").unwrap(), 30, 60);
        assert_ne!(terms.fingerprint, other.fingerprint);
    }

    #[test]
    fn every_length_of_window_is_known_and_the_longest_comes_first() {
        let text = "[[site]]\nname = \"s\"\nvisitor = \"none\"\n\
            [[offer]]\nnumber = 1\nname = \"a\"\nsite = \"s\"\ndestination = \"http://a.example/\"\nwindow_days = 7\n\
            [[offer]]\nnumber = 2\nname = \"b\"\nsite = \"s\"\ndestination = \"http://a.example/\"\n";
        let terms = Terms::of(&Registry::parse(text, "test").unwrap(), 30, 60);
        assert_eq!(terms.windows_ms, [30 * DAY_MS, 7 * DAY_MS]);
        assert_eq!(terms.window_ms_max(), 30 * DAY_MS);
    }
}
