//! The table: a file's rows, one after another.
//!
//! In: bytes. Out: the header, and [`Theirs`] row by row. Refuses: a file without a header among its first lines, and what is no CSV. Promises: one
//! row is held at a time; empty rows and rows of totals are passed over.

use std::io::{self, BufReader, Read};

use super::ReconcileError;
use super::columns::{Column, Columns, Named};
use super::decode::{Decoded, delimiter};
use super::theirs::{self, Style, Theirs};
use crate::check::postbacks::Profile;

/// Lines among which the header is looked for: reports begin with their title and period.
const HEADER_LINES_MAX: usize = 20;

/// A row, or the line and the column of it that can't be read.
pub type Line = Result<Theirs, (u64, Column)>;

/// The file, row by row.
pub struct Table {
    reader: csv::Reader<BufReader<Decoded<Box<dyn Read>>>>,
    /// The names of its columns.
    pub header: Vec<String>,
    /// What they say.
    pub columns: Columns,
    record: csv::StringRecord,
}

impl Table {
    /// Finds encoding, delimiter and header.
    ///
    /// # Errors
    /// When no line is a header, or a named column isn't there.
    pub fn open(
        source: Box<dyn Read>,
        sign: Option<char>,
        named: &[Named],
        profile: Option<&Profile>,
    ) -> Result<Self, ReconcileError> {
        let mut text = BufReader::with_capacity(64 * 1024, Decoded::new(source)?);
        let sign = match sign {
            Some(sign) => {
                u8::try_from(sign).map_err(|_| io::Error::other("--delimiter is one ASCII sign"))?
            }
            None => delimiter(&mut text)?,
        };
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(sign)
            .has_headers(false)
            .flexible(true)
            .from_reader(text);
        let (mut record, mut seen) = (csv::StringRecord::new(), String::new());
        for _ in 0..HEADER_LINES_MAX {
            if !reader.read_record(&mut record).map_err(|error| bad_table(&error))? {
                break;
            }
            let header: Vec<String> = record.iter().map(|name| name.trim().to_owned()).collect();
            if let Some(columns) = Columns::of(&header, named, profile) {
                for one in named {
                    if !columns.has(one.column) {
                        let names = header.iter().map(String::as_str);
                        let near = crate::config::nearest(&one.name, names);
                        let what = format!("no column `{}`; did you mean `{near}`?", one.name);
                        return Err(ReconcileError::Table {
                            line: record.position().map_or(1, |at| at.line()),
                            what,
                        });
                    }
                }
                return Ok(Self { reader, header, columns, record });
            }
            if seen.is_empty() {
                seen = header.join(", ").chars().take(400).collect();
            }
        }
        Err(ReconcileError::NoTransaction { lines: HEADER_LINES_MAX, seen })
    }

    /// The next row; an error inside is a row that says nothing, with its line.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn next(&mut self, style: &Style) -> Result<Option<Line>, ReconcileError> {
        loop {
            if !self.reader.read_record(&mut self.record).map_err(|error| bad_table(&error))? {
                return Ok(None);
            }
            if self.record.iter().all(|cell| cell.trim().is_empty())
                || is_totals(&self.record, &self.columns)
            {
                continue;
            }
            let line = self.record.position().map_or(0, csv::Position::line);
            let read = theirs::read(line, &self.record, &self.columns, style);
            return Ok(Some(read.map_err(|column| (line, column))));
        }
    }
}

/// How reports call their totals.
const TOTALS: &[&str] = &[
    "total",
    "totals",
    "grand total",
    "subtotal",
    "sum",
    "summe",
    "gesamt",
    "gesamtsumme",
    "somme",
    "suma",
    "razem",
    "totale",
    "totaal",
];

/// True for a line of totals: it is called so, and has neither a transaction nor a day of its own.
fn is_totals(record: &csv::StringRecord, columns: &Columns) -> bool {
    let says = |cell: &str| {
        let word = cell.trim().trim_end_matches(':').trim_end().to_lowercase();
        TOTALS.contains(&word.as_str())
    };
    let says_nothing = |column| {
        let cell = columns.get(record, column);
        cell.is_empty() || says(cell)
    };
    record.iter().any(says) && says_nothing(Column::Transaction) && says_nothing(Column::Time)
}

fn bad_table(error: &csv::Error) -> ReconcileError {
    let line = error.position().map_or(0, csv::Position::line);
    ReconcileError::Table { line, what: "this is no CSV that can be read".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::postbacks::money::{Decimal, Unit};

    fn transactions(file: &'static str) -> Vec<String> {
        let mut table = Table::open(Box::new(file.as_bytes()), None, &[], None).unwrap();
        let style = Style {
            decimal: Decimal::Point,
            unit: Unit::Major,
            day_order: None,
            zone: jiff::tz::TimeZone::UTC,
        };
        let mut read = Vec::new();
        while let Some(line) = table.next(&style).unwrap() {
            read.push(line.map_or_else(|(line, _)| format!("line {line}"), |row| row.transaction));
        }
        read
    }

    #[test]
    fn lines_of_totals_are_no_transactions_and_a_transaction_of_that_name_is_one() {
        let named = "Order ID;Date;Amount\nA-1;2026-11-20;5\nTotal;;5\n";
        assert_eq!(transactions(named), ["A-1"]);
        let beside = "Date,Order ID,Amount\n2026-11-20,A-1,5\nGrand Total:,,5\n,,\n";
        assert_eq!(transactions(beside), ["A-1"]);
        let own = "Date,Order ID,Amount\n2026-11-20,TOTAL,5\n2026-11-20,,5\n";
        assert_eq!(transactions(own), ["TOTAL", "line 3"]);
    }
}
