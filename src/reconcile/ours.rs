//! Ours: what the warehouse has of the conversions that a report speaks of.
//!
//! In: a client, whose conversions and which time. Out: [`Ours`] by transaction, and what was refused. Refuses: more conversions than memory
//! is meant for, with what to ask instead. Promises: rows are read as they come; a transaction is kept as its hash.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use clickhouse::{Client, Row};
use serde::Deserialize;

use super::ReconcileError;
use super::compare::{Ours, RefusedByTime};
use crate::money::{Amount, Currency};

/// Conversions of one comparison: some 200 MB.
pub const CONVERSIONS_MAX: usize = 2_000_000;

/// Transactions in one look-up: they travel in an address, of which the server takes a megabyte.
pub const LOOK_UP_MAX: usize = 500;

/// All of them. A slice: an array would travel as a tuple.
const NO_KEYS: &[&str] = &[];

/// For one query.
const EXECUTION_SECONDS_MAX: &str = "120";

const OURS: &str = include_str!("sql/ours.sql");
const REFUSED: &str = include_str!("sql/refused.sql");

/// Which conversions.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// As in `/postback/{name}`; empty: from everywhere.
    pub postback: &'a str,
    /// Whose; empty: everybody's.
    pub site: &'a str,
    /// From this millisecond on.
    pub from_ms: i64,
    /// Before this one.
    pub to_ms: i64,
}

#[derive(Row, Deserialize)]
struct OursRow {
    key: String,
    at_ms: i64,
    status: String,
    amount: i128,
    refunded: i128,
    currency: String,
}

/// Our conversions, by the hash of their transaction.
pub struct Conversions {
    by_hash: HashMap<u64, Ours>,
    hasher: RandomState,
}

impl Conversions {
    /// Reads those that are asked for.
    ///
    /// # Errors
    /// When the warehouse doesn't answer, or has too many.
    pub async fn read(client: &Client, asked: Asked<'_>) -> Result<Self, ReconcileError> {
        let mut all = Self { by_hash: HashMap::new(), hasher: RandomState::new() };
        let mut rows = query(client, OURS, asked).param("keys", NO_KEYS).fetch::<OursRow>()?;
        while let Some(row) = rows.next().await? {
            if all.by_hash.len() >= CONVERSIONS_MAX {
                return Err(ReconcileError::TooMany);
            }
            let hash = all.hasher.hash_one(&row.key);
            all.by_hash.insert(hash, ours(&row));
        }
        Ok(all)
    }

    /// The one of this transaction.
    pub fn get_mut(&mut self, transaction: &str) -> Option<&mut Ours> {
        self.by_hash.get_mut(&self.hasher.hash_one(transaction))
    }

    /// The hash under which a transaction is kept.
    pub fn hash(&self, transaction: &str) -> u64 {
        self.hasher.hash_one(transaction)
    }

    /// Those that no row of theirs met, in the order of their transaction.
    ///
    /// # Errors
    /// When the warehouse doesn't answer.
    pub async fn unmet(
        &self,
        client: &Client,
        asked: Asked<'_>,
        mut tell: impl FnMut(&str, &Ours) -> std::io::Result<()>,
    ) -> Result<(), ReconcileError> {
        let mut rows = query(client, OURS, asked).param("keys", NO_KEYS).fetch::<OursRow>()?;
        while let Some(row) = rows.next().await? {
            let known = self.by_hash.get(&self.hasher.hash_one(&row.key));
            // What came after the first look is not judged.
            if let Some(ours) = known.filter(|ours| !ours.met) {
                tell(&row.key, ours)?;
            }
        }
        Ok(())
    }
}

/// Looks some transactions up, whenever they were.
///
/// # Errors
/// When the warehouse doesn't answer.
pub async fn look_up(
    client: &Client,
    asked: Asked<'_>,
    transactions: &[&str],
) -> Result<HashMap<String, Ours>, ReconcileError> {
    let found =
        query(client, OURS, asked).param("keys", transactions).fetch_all::<OursRow>().await?;
    Ok(found.into_iter().map(|row| (row.key.clone(), ours(&row))).collect())
}

#[derive(Row, Deserialize)]
struct RefusedRow {
    at_s: i64,
    code: String,
    parameter: String,
    requests: u64,
}

/// What was refused in the period.
///
/// # Errors
/// When the warehouse doesn't answer.
pub async fn refused(client: &Client, asked: Asked<'_>) -> Result<RefusedByTime, ReconcileError> {
    let mut by_time = RefusedByTime::new();
    for row in query(client, REFUSED, asked).fetch_all::<RefusedRow>().await? {
        by_time.entry(row.at_s).or_default().push((row.code, row.parameter, row.requests));
    }
    Ok(by_time)
}

fn query(client: &Client, sql: &str, asked: Asked<'_>) -> clickhouse::query::Query {
    client
        .query_raw(sql)
        .with_setting("max_execution_time", EXECUTION_SECONDS_MAX)
        .param("postback", asked.postback)
        .param("site", asked.site)
        .param("from_ms", asked.from_ms)
        .param("to_ms", asked.to_ms)
}

fn ours(row: &OursRow) -> Ours {
    let amount = |scaled: i128| Amount::from_scaled(i64::try_from(scaled).unwrap_or(i64::MAX));
    const STATUSES: [&str; 8] =
        ["pending", "approved", "paid", "rejected", "reversed", "invalid", "ignored", "test"];
    let known = STATUSES.into_iter().find(|status| *status == row.status);
    Ours {
        at_ms: row.at_ms,
        status: known.unwrap_or("pending"),
        amount: amount(row.amount),
        refunded: amount(row.refunded),
        currency: Currency::parse(&row.currency),
        met: false,
    }
}
