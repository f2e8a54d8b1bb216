//! From rows to [`allot`] and back: who shares a tier or cap, and what each is left.
//!
//! In: the rows of `sharing.sql`. Out: rows of `settle_allotted`: all of the run, and those of others that change. Refuses: nothing.
//! Promises: each affiliate, offer and month is worked out by itself.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use crate::settle::allot::{Member, allot};
use crate::settle::terms::Terms;

/// A row of `sharing.sql`.
#[derive(Clone, Debug, Row, Deserialize)]
pub(super) struct Sharing {
    affiliate: String,
    offer: String,
    site: String,
    month: u32,
    time_ms: i64,
    seq: u32,
    node: u32,
    known_ms: i64,
    end_ms: i64,
    /// In ten-thousandths, like `payout`.
    amount: i64,
    currency: String,
    pays: u8,
    is_mine: u8,
    /// Of another who held the conversion for a while: it takes a place, and has no row of its own.
    is_ghost: u8,
    payout: i64,
    payout_currency: String,
    rule: String,
}

/// A row of `settle_allotted`.
#[derive(Clone, Debug, Row, Serialize)]
pub(super) struct AllottedRow {
    version: u64,
    site: String,
    conversion_time: i64,
    conversion_seq: u32,
    conversion_node: u32,
    payout: i64,
    payout_currency: String,
    rule: String,
}

/// Whether a row is the run's own, and the row.
pub(super) fn allotted(
    version: u64,
    sharing: &[Sharing],
    terms: &Terms,
) -> Vec<(bool, AllottedRow)> {
    let mut months: BTreeMap<(&str, &str, u32), Vec<&Sharing>> = BTreeMap::new();
    for row in sharing {
        months.entry((&row.affiliate, &row.offer, row.month)).or_default().push(row);
    }
    let mut rows = Vec::new();
    for ((_, offer, _), of_month) in months {
        let Some(rule) = terms.rules.get(offer) else {
            continue;
        };
        let members: Vec<Member> = of_month.iter().map(|row| member(row)).collect();
        for (row, share) in of_month.into_iter().zip(allot(rule, &members)) {
            if row.is_ghost != 0 {
                continue;
            }
            let is_mine = row.is_mine != 0;
            let stands = row.payout == share.payout
                && row.payout_currency == share.currency
                && row.rule == share.rule;
            if is_mine || !stands {
                let row = AllottedRow {
                    version,
                    site: row.site.clone(),
                    conversion_time: row.time_ms,
                    conversion_seq: row.seq,
                    conversion_node: row.node,
                    payout: share.payout,
                    payout_currency: share.currency,
                    rule: share.rule,
                };
                rows.push((is_mine, row));
            }
        }
    }
    rows
}

fn member(row: &Sharing) -> Member {
    Member {
        time_ms: row.time_ms,
        known_ms: row.known_ms,
        end_ms: row.end_ms,
        id: (row.seq, row.node, row.site.clone()),
        amount: row.amount,
        currency: row.currency.clone(),
        pays: row.pays != 0,
    }
}
