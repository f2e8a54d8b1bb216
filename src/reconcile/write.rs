//! Writing: gaps as they are found, totals at the end.
//!
//! In: gaps and counts. Out: a table, CSV or JSON, row by row. Refuses: nothing. Promises: a text cell can't become a formula; control
//! characters don't reach a terminal.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::compare::{Cause, Ours};
use super::theirs::Theirs;
use crate::report::command::Format;
use crate::report::text::plain;

/// The columns, in order.
const COLUMNS: [&str; 11] = [
    "line",
    "transaction",
    "cause",
    "detail",
    "their_status",
    "our_status",
    "their_amount",
    "our_amount",
    "their_currency",
    "our_currency",
    "our_time",
];

/// Money by currency, theirs and ours.
type Sums = BTreeMap<String, (i128, i128)>;

/// Writes to `out`.
pub struct Writer<W: Write> {
    out: W,
    format: Format,
    rows: u64,
    /// By cause.
    pub counts: BTreeMap<Cause, u64>,
    sums: Sums,
}

impl<W: Write> Writer<W> {
    /// Begins. `about` says what is compared.
    ///
    /// # Errors
    /// When `out` takes nothing.
    pub fn new(mut out: W, format: Format, about: &str) -> io::Result<Self> {
        match format {
            Format::Table => writeln!(out, "{}\n", plain(about))?,
            Format::Csv => writeln!(out, "{}", COLUMNS.join(","))?,
            Format::Json => {
                writeln!(out, "{{\"about\": {}, \"gaps\": [", serde_json::Value::from(about))?;
            }
        }
        Ok(Self { out, format, rows: 0, counts: BTreeMap::new(), sums: Sums::new() })
    }

    /// Counts a row of theirs and what it met.
    pub fn sum(&mut self, theirs: Option<&Theirs>, ours: Option<&Ours>) {
        let currency = theirs.and_then(|one| one.currency).or(ours.and_then(|one| one.currency));
        let name = currency.map_or_else(String::new, |code| code.as_str().to_owned());
        let sums = self.sums.entry(name).or_default();
        if let Some(amount) = theirs.and_then(|one| one.amount) {
            sums.0 += i128::from(amount.scaled());
        }
        if let Some(ours) = ours {
            sums.1 += i128::from(ours.amount.scaled()) - i128::from(ours.refunded.scaled());
        }
    }

    /// One gap.
    ///
    /// # Errors
    /// When `out` takes nothing.
    pub fn gap(
        &mut self,
        (cause, detail): (Cause, &str),
        transaction: &str,
        theirs: Option<&Theirs>,
        ours: Option<&Ours>,
    ) -> io::Result<()> {
        let currency = |code: Option<crate::money::Currency>| {
            code.map_or_else(String::new, |code| code.as_str().to_owned())
        };
        let time = ours.and_then(|one| jiff::Timestamp::from_millisecond(one.at_ms).ok());
        let cells = [
            theirs.map_or_else(String::new, |one| one.line.to_string()),
            transaction.to_owned(),
            cause.word().to_owned(),
            detail.to_owned(),
            theirs.map_or_else(String::new, |one| one.status.clone()),
            ours.map_or_else(String::new, |one| one.status.to_owned()),
            theirs.and_then(|one| one.amount).map_or_else(String::new, |one| one.to_string()),
            ours.map_or_else(String::new, |one| one.amount.to_string()),
            currency(theirs.and_then(|one| one.currency)),
            currency(ours.and_then(|one| one.currency)),
            time.map_or_else(String::new, |at| at.to_string()),
        ];
        self.row(&cells)
    }

    fn row(&mut self, cells: &[String; COLUMNS.len()]) -> io::Result<()> {
        self.rows += 1;
        match self.format {
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(&mut self.out);
                let numbers = [0, 6, 7];
                let guarded = cells.iter().enumerate().map(|(place, cell)| {
                    if !numbers.contains(&place)
                        && cell.starts_with(['=', '+', '-', '@', '\t', '\r'])
                    {
                        format!("'{cell}")
                    } else {
                        cell.clone()
                    }
                });
                writer.write_record(guarded).map_err(io::Error::other)?;
                writer.flush()
            }
            Format::Json => {
                let pairs = COLUMNS.iter().zip(cells).filter(|(_, cell)| !cell.is_empty());
                let object: serde_json::Map<String, serde_json::Value> =
                    pairs.map(|(name, cell)| ((*name).to_owned(), cell.as_str().into())).collect();
                let comma = if self.rows > 1 { "," } else { " " };
                writeln!(self.out, "{comma} {}", serde_json::Value::Object(object))
            }
            Format::Table => {
                let [line, transaction, cause, detail, rest @ ..] = cells;
                let [their_status, our_status, their_amount, our_amount, their_code, our_code, _] =
                    rest;
                let side = |status: &str, amount: &str, code: &str| {
                    let words = [status, amount, code].into_iter().filter(|word| !word.is_empty());
                    words.collect::<Vec<_>>().join(" ")
                };
                let text = format!(
                    "{line:>6}  {transaction:<24}  {cause:<19}  theirs: {:<28}  ours: {:<28}  {detail}",
                    side(their_status, their_amount, their_code),
                    side(our_status, our_amount, our_code),
                );
                writeln!(self.out, "{}", plain(text.trim_end()))
            }
        }
    }

    /// Ends with the totals; true when there was no gap.
    ///
    /// # Errors
    /// When `out` takes nothing.
    pub fn end(mut self, notes: &[String]) -> io::Result<bool> {
        let gaps = self.counts.iter().filter(|(cause, _)| cause.is_gap());
        let agrees = gaps.map(|(_, count)| count).sum::<u64>() == 0;
        let money = |scaled: i128| crate::report::answer::Sum(scaled).to_string();
        match self.format {
            Format::Table => {
                writeln!(self.out)?;
                for (cause, count) in &self.counts {
                    writeln!(self.out, "{:<20} {count}", cause.word())?;
                }
                for (code, (theirs, ours)) in self.sums.iter().filter(|(_, sums)| **sums != (0, 0))
                {
                    let code = if code.is_empty() { "(no currency)" } else { code };
                    let (theirs, ours, apart) =
                        (money(*theirs), money(*ours), money(theirs - ours));
                    writeln!(self.out, "{code:<20} theirs {theirs}, ours {ours}, apart {apart}")?;
                }
                for note in notes {
                    writeln!(self.out, "{}", plain(note))?;
                }
            }
            Format::Csv => {}
            Format::Json => {
                let counts: BTreeMap<&str, u64> =
                    self.counts.iter().map(|(cause, count)| (cause.word(), *count)).collect();
                let sums: BTreeMap<&str, serde_json::Value> = self
                    .sums
                    .iter()
                    .map(|(code, (theirs, ours))| {
                        let pair =
                            serde_json::json!({ "theirs": money(*theirs), "ours": money(*ours) });
                        (code.as_str(), pair)
                    })
                    .collect();
                let totals = serde_json::json!({ "rows": counts, "money": sums, "notes": notes });
                writeln!(self.out, "], \"totals\": {totals}, \"agrees\": {agrees}}}")?;
            }
        }
        self.out.flush()?;
        Ok(agrees)
    }

    /// Counts one row.
    pub fn count(&mut self, cause: Cause) {
        *self.counts.entry(cause).or_default() += 1;
    }
}
