//! Answers for a terminal.
//!
//! In: an [`Answer`], a width. Out: a header, a table with numbers to the right, totals. Refuses: nothing. Promises: what people
//! typed into forms can't steer the terminal: control characters are shown as marks.

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, TableStyle};

use super::answer::Answer;
use super::period::Period;
use super::table::{Cell, Personal, Table};
use super::words;

/// A table with its header. `width` is the terminal's; `None`: as wide as it needs.
pub fn render(answer: &Answer, personal: Personal, width: Option<u16>) -> String {
    let table = Table::new(answer, personal);
    let mut text = String::new();
    for line in words::header(answer) {
        text.push_str(&plain(&line));
        text.push('\n');
    }
    text.push('\n');
    if answer.is_empty() {
        text.push_str(words::nothing_found(answer));
        text.push('\n');
        return text;
    }
    for line in drawn(&table, &answer.question.period, width).lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    if let Some(line) = words::rows_cut(answer, table.rows.len()) {
        text.push_str(&format!("\n{line}\n"));
    }
    text
}

fn drawn(table: &Table, period: &Period, width: Option<u16>) -> comfy_table::Table {
    let mut drawn = comfy_table::Table::new();
    let line = LineStyle::none().fill('─').junction('─');
    drawn.load_style(TableStyle::new().header_separator(line));
    if let Some(width) = width {
        drawn.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    drawn.set_header(table.columns.iter().map(|column| plain(&column.title)));
    for row in table.rows.iter().chain(&table.totals) {
        drawn.add_row(row.iter().map(|cell| plain(&cell_text(cell, period))));
    }
    for (index, column) in drawn.column_iter_mut().enumerate() {
        let numeric = table.rows.first().and_then(|row| row.get(index)).is_some_and(is_numeric);
        if numeric {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    drawn
}

/// True for what stands to the right.
pub fn is_numeric(cell: &Cell) -> bool {
    matches!(cell, Cell::Count(_) | Cell::Rate(_) | Cell::Money(_) | Cell::Duration(_))
}

/// A cell for people: rates in percent, times on the period's clock.
pub fn cell_text(cell: &Cell, period: &Period) -> String {
    match cell {
        Cell::Text(text) => text.clone(),
        Cell::Count(count) => count.to_string(),
        Cell::Rate(rate) => rate.to_string(),
        Cell::Money(sum) => sum.map(|sum| sum.to_string()).unwrap_or_default(),
        Cell::Time(at) => period.local(*at).strftime("%F %T").to_string(),
        Cell::Duration(ms) => ms.map_or_else(|| "–".to_owned(), long),
    }
}

/// A time that passed: `0.4 s`, `12 s`, `3 min`, `5 h 20 min`, `2 d 4 h`.
fn long(ms: u64) -> String {
    let (seconds, minutes, hours) = (ms / 1_000, ms / 60_000, ms / 3_600_000);
    match ms {
        0..10_000 => format!("{seconds}.{} s", ms % 1_000 / 100),
        10_000..120_000 => format!("{seconds} s"),
        120_000..7_200_000 => format!("{minutes} min"),
        7_200_000..172_800_000 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{} d {} h", hours / 24, hours % 24),
    }
}

/// The text with marks for what steers a terminal: control characters, and those that turn the direction of writing.
pub fn plain(text: &str) -> String {
    let steers = |character: char| {
        character.is_control()
            || matches!(character, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|character| if steers(character) { '\u{FFFD}' } else { character }).collect()
}
