//! An answer as columns and cells: what every format is made from.
//!
//! In: an [`Answer`]. Out: a [`Table`]. Refuses: nothing. Promises: personal values are masked unless the caller is entitled to
//! them; each currency has a column of its own.

use jiff::Timestamp;

use super::answer::{Answer, Rate, Rows, Sum};
use super::layout::{ads, affiliates, conversions, fraud, leads, postbacks, refusals};

/// What stands for hits that belong to no ad.
pub const NO_AD: &str = "(no ad)";

/// What stands for conversions that settling has not seen.
pub const NOT_SETTLED: &str = "(not settled yet)";

/// Whether personal values are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Personal {
    /// Enough to tell two people apart, not enough to reach one.
    Masked,
    /// As they were typed; for those entitled to it.
    Shown,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A number of things.
    Count(u64),
    /// A part of a whole.
    Rate(Rate),
    /// Money in the column's currency; `None` where there is none.
    Money(Option<Sum>),
    /// An instant.
    Time(Timestamp),
    /// How long, in milliseconds; `None` where there is nothing to measure.
    Duration(Option<u64>),
}

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name in files.
    pub key: &'static str,
    /// The currency of a money column.
    pub currency: Option<String>,
    /// As people read it.
    pub title: String,
}

impl Column {
    pub(super) fn new(key: &'static str, title: &str) -> Self {
        Self { key, currency: None, title: title.to_owned() }
    }

    pub(super) fn money(key: &'static str, title: &str, currency: &str) -> Self {
        let name = if currency.is_empty() { "(no currency)" } else { currency };
        Self { key, currency: Some(currency.to_owned()), title: format!("{title} {name}") }
    }

    /// Its name in flat files: `amount_EUR`.
    pub fn flat_key(&self) -> String {
        match self.currency.as_deref() {
            None => self.key.to_owned(),
            Some("") => format!("{}_none", self.key),
            Some(currency) => format!("{}_{currency}", self.key),
        }
    }
}

/// Columns, rows and, where they add up, totals.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// From left to right.
    pub columns: Vec<Column>,
    /// The keys of all money columns, those without a currency in this answer included.
    pub money_keys: &'static [&'static str],
    /// As many cells a row as there are columns.
    pub rows: Vec<Vec<Cell>>,
    /// The totals of all rows, shown or not.
    pub totals: Option<Vec<Cell>>,
}

impl Table {
    /// Lays an answer out.
    pub fn new(answer: &Answer, personal: Personal) -> Self {
        match &answer.rows {
            Rows::Ads(rows, totals) => ads(rows, totals),
            Rows::Affiliates(rows, totals) => affiliates(rows, totals, true),
            Rows::Offers(rows, totals) => affiliates(rows, totals, false),
            Rows::Conversions(rows) => conversions(rows),
            Rows::Leads(rows) => leads(rows, personal),
            Rows::Postbacks(rows, totals) => postbacks(rows, totals),
            Rows::Fraud(rows) => fraud(rows),
            Rows::Refusals(rows, total) => refusals(rows, *total),
        }
    }
}
