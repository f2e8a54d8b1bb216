//! Answers for programs and spreadsheets.
//!
//! In: an [`Answer`]. Out: CSV or JSON. Refuses: nothing. Promises: the same numbers as the table; money as exact decimals, never
//! as floats; a text cell can't become a formula when the file is opened in a spreadsheet.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::answer::{Answer, Rate};
use super::table::{Cell, Column, Personal, Table};
use super::words;

/// What a spreadsheet takes for the beginning of a formula.
const FORMULA_STARTS: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\n'];

/// One line for the columns, then one for each row. No totals: a spreadsheet would add them in. The last three columns say what
/// the file is about, so that it can still be told apart when its name is lost.
pub fn csv(answer: &Answer, personal: Personal) -> String {
    let table = Table::new(answer, personal);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let about = [
        answer.question.period.dates(),
        answer.question.period.zone_name().to_owned(),
        answer.freshness.newest_batch.map_or(String::new(), |at| local(answer, at)),
    ];
    let keys = table.columns.iter().map(Column::flat_key);
    let about_keys = ["period", "zone", "data_up_to"].map(str::to_owned);
    let in_memory = "a Vec takes every write, and rows are as long as the columns";
    writer.write_record(keys.chain(about_keys)).expect(in_memory);
    for row in &table.rows {
        let cells = row.iter().map(|cell| csv_cell(answer, cell));
        writer.write_record(cells.chain(about.iter().cloned())).expect(in_memory);
    }
    String::from_utf8(writer.into_inner().expect(in_memory)).expect("only text was written")
}

fn csv_cell(answer: &Answer, cell: &Cell) -> String {
    match cell {
        Cell::Text(text) if text.starts_with(FORMULA_STARTS) => format!("'{text}"),
        Cell::Text(text) => text.clone(),
        Cell::Count(count) => count.to_string(),
        Cell::Rate(Rate(None)) | Cell::Money(None) => String::new(),
        Cell::Rate(Rate(Some(rate))) => format!("{}.{:04}", rate / 10_000, rate % 10_000),
        Cell::Money(Some(sum)) => sum.to_string(),
        Cell::Time(at) => local(answer, *at),
        Cell::Duration(None) => String::new(),
        Cell::Duration(Some(ms)) => format!("{}.{:03}", ms / 1_000, ms % 1_000),
    }
}

fn local(answer: &Answer, at: jiff::Timestamp) -> String {
    answer.question.period.local(at).strftime("%F %T").to_string()
}

/// One object: what was asked, what the figures mean, rows and totals.
pub fn json(answer: &Answer, personal: Personal) -> String {
    let mut text =
        serde_json::to_string_pretty(&Document { answer, table: &Table::new(answer, personal) })
            .expect("keys are strings and values are plain");
    text.push('\n');
    text
}

struct Document<'a> {
    answer: &'a Answer,
    table: &'a Table,
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { answer, table } = self;
        let question = &answer.question;
        let freshness = &answer.freshness;
        let time = |at: Option<jiff::Timestamp>| at.map(|at| at.to_string());
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("report", question.report.name())?;
        map.serialize_entry(
            "period",
            question.period.preset.map_or("dates", |preset| preset.name()),
        )?;
        map.serialize_entry("from", &question.period.from.to_string())?;
        map.serialize_entry("before", &question.period.to.to_string())?;
        map.serialize_entry("zone", question.period.zone_name())?;
        map.serialize_entry("site", &question.site)?;
        map.serialize_entry("about", &words::header(answer))?;
        map.serialize_entry("data_up_to", &time(freshness.newest_batch))?;
        map.serialize_entry("newest_event", &time(freshness.newest_event))?;
        map.serialize_entry("records_unsettled", &freshness.records_unsettled)?;
        map.serialize_entry("unsettled_since", &time(freshness.unsettled_since))?;
        map.serialize_entry("not_human", &answer.left_out.not_human)?;
        map.serialize_entry("repeats", &answer.left_out.repeats)?;
        map.serialize_entry("row_count", &answer.row_count)?;
        let object = |cells, named| Object { table, cells, named };
        let rows: Vec<_> = table.rows.iter().map(|cells| object(cells, true)).collect();
        map.serialize_entry("rows", &rows)?;
        if let Some(cells) = &table.totals {
            map.serialize_entry("totals", &object(cells, false))?;
        }
        map.end()
    }
}

/// A row as an object; money is one object a kind, by currency, also when it is empty.
struct Object<'a> {
    table: &'a Table,
    cells: &'a [Cell],
    /// False for totals: they are nobody's, so they have no texts.
    named: bool,
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let pairs = || self.table.columns.iter().zip(self.cells);
        for (column, cell) in pairs().filter(|(column, _)| column.currency.is_none()) {
            if matches!(cell, Cell::Text(_)) && !self.named {
                continue;
            }
            map.serialize_entry(column.key, &Value(cell))?;
        }
        for key in self.table.money_keys {
            let sums: std::collections::BTreeMap<&str, String> = pairs()
                .filter(|(column, _)| column.key == *key)
                .filter_map(|(column, cell)| match cell {
                    Cell::Money(Some(sum)) => Some((column.currency.as_deref()?, sum.to_string())),
                    _ => None,
                })
                .collect();
            map.serialize_entry(key, &sums)?;
        }
        map.end()
    }
}

struct Value<'a>(&'a Cell);

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Cell::Text(text) => serializer.serialize_str(text),
            Cell::Count(count) => serializer.serialize_u64(*count),
            // Ten-thousandths are exact enough to be read back: the shortest decimal that a float prints has four places.
            Cell::Rate(Rate(rate)) => rate.map(|rate| rate as f64 / 10_000.0).serialize(serializer),
            Cell::Money(sum) => sum.map(|sum| sum.to_string()).serialize(serializer),
            Cell::Time(at) => serializer.collect_str(at),
            Cell::Duration(ms) => ms.map(|ms| ms as f64 / 1_000.0).serialize(serializer),
        }
    }
}
