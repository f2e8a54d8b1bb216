//! Theirs: one row of the network's report.
//!
//! In: a row, its columns, how the file writes numbers and days. Out: [`Theirs`]. Refuses: a row without a transaction, or with an amount that is
//! none. Promises: money is read exactly or not at all; a day that could be two is not guessed.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use super::columns::{Column, Columns};
use crate::check::postbacks::money::{self, Convention, Decimal, Unit};
use crate::money::{Amount, Currency};

/// In which order a day's numbers stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DayOrder {
    /// `2026-11-25`.
    Ymd,
    /// `25/11/2026`.
    Dmy,
    /// `11/25/2026`.
    Mdy,
}

/// How the file writes what it says.
#[derive(Clone, Debug)]
pub struct Style {
    /// The sign before decimals.
    pub decimal: Decimal,
    /// What a whole number counts.
    pub unit: Unit,
    /// For days with slashes that could be two.
    pub day_order: Option<DayOrder>,
    /// Whose clock, where a time doesn't say.
    pub zone: TimeZone,
}

/// When it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    /// Milliseconds since 1970; of a day alone its begin.
    pub at_ms: i64,
    /// True for a day alone.
    pub is_day: bool,
}

/// A row, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Theirs {
    /// The line in the file, from 1.
    pub line: u64,
    /// As it was written.
    pub transaction: String,
    /// Their word.
    pub status: String,
    pub amount: Option<Amount>,
    pub currency: Option<Currency>,
    pub when: Option<When>,
}

/// Reads a row.
///
/// # Errors
/// With the column that can't be read.
pub fn read(
    line: u64,
    row: &csv::StringRecord,
    columns: &Columns,
    style: &Style,
) -> Result<Theirs, Column> {
    // Spreadsheets write `="00123"` so that the zeros stay.
    let transaction =
        columns.get(row, Column::Transaction).trim_start_matches('=').trim_matches(['"', '\'']);
    if transaction.is_empty() {
        return Err(Column::Transaction);
    }
    let text = columns.get(row, Column::Amount);
    let (amount, of_amount) = if text.is_empty() {
        (None, None)
    } else {
        let (amount, currency) = worth(text, columns.get(row, Column::Currency), style);
        (Some(amount.ok_or(Column::Amount)?), currency)
    };
    let currency = Currency::parse(columns.get(row, Column::Currency)).or(of_amount);
    let when = when(columns.get(row, Column::Time), style);
    let status = columns.get(row, Column::Status).to_owned();
    Ok(Theirs { line, transaction: transaction.to_owned(), status, amount, currency, when })
}

/// `1.234,50 €`, `(12.00)`, `EUR 12.5`, `-3`: the number, and the currency that stands beside it.
fn worth(text: &str, currency: &str, style: &Style) -> (Option<Amount>, Option<Currency>) {
    let in_brackets = text.starts_with('(') && text.ends_with(')');
    let is_number = |sign: char| sign.is_ascii_digit() || matches!(sign, '.' | ',' | '-' | '+');
    let beside: String = text
        .chars()
        .filter(|sign| {
            !is_number(*sign) && !sign.is_whitespace() && !matches!(sign, '(' | ')' | '\'')
        })
        .collect();
    let own = match beside.as_str() {
        "€" => Currency::parse("EUR"),
        "£" => Currency::parse("GBP"),
        "zł" => Currency::parse("PLN"),
        // Many countries have a dollar.
        letters => Currency::parse(letters),
    };
    if own.is_none() && beside.chars().any(char::is_alphanumeric) && beside != "US$" {
        return (None, None);
    }
    let number: String = text.chars().filter(|sign| is_number(*sign)).collect();
    let convention = Convention { decimal: style.decimal, unit: style.unit };
    let read = money::amount(&number, convention, Currency::parse(currency).or(own)).ok();
    let read = read.map(|amount| if in_brackets { negated(amount) } else { amount });
    (read, own)
}

fn negated(amount: Amount) -> Amount {
    Amount::from_scaled(-amount.scaled())
}

/// A time with or without a zone, or a day.
fn when(text: &str, style: &Style) -> Option<When> {
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Some(When { at_ms: instant.as_millisecond(), is_day: false });
    }
    if text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(When { at_ms: text.parse::<i64>().ok()? * 1_000, is_day: false });
    }
    let (day, time) = text.split_once(['T', ' ']).unwrap_or((text, ""));
    let day = civil_day(day.trim_end_matches(','), style.day_order)?;
    let time = time.trim();
    let clock = if time.is_empty() { Time::midnight() } else { civil_time(time)? };
    let zoned = DateTime::from_parts(day, clock).to_zoned(style.zone.clone()).ok()?;
    Some(When { at_ms: zoned.timestamp().as_millisecond(), is_day: time.is_empty() })
}

fn civil_day(text: &str, order: Option<DayOrder>) -> Option<Date> {
    let mut parts = text.split(['-', '/', '.']).map(str::parse::<i16>);
    let (a, b, c) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    if parts.next().is_some() {
        return None;
    }
    let full = |year: i16| if (0..100).contains(&year) { 2000 + year } else { year };
    let first_is_year = text.find(|sign: char| !sign.is_ascii_digit()) == Some(4);
    let order = match order {
        _ if first_is_year => DayOrder::Ymd,
        Some(order) => order,
        // Points mean the day first; with slashes only a number over 12 tells.
        None if text.contains('.') || a > 12 => DayOrder::Dmy,
        None if b > 12 => DayOrder::Mdy,
        None => return None,
    };
    let (year, month, day) = match order {
        DayOrder::Ymd => (a, b, c),
        DayOrder::Dmy => (c, b, a),
        DayOrder::Mdy => (c, a, b),
    };
    Date::new(full(year), i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

fn civil_time(text: &str) -> Option<Time> {
    let upper = text.to_ascii_uppercase();
    let (clock, shift) = match (upper.strip_suffix("AM"), upper.strip_suffix("PM")) {
        (Some(clock), _) => (clock, Some(0)),
        (_, Some(clock)) => (clock, Some(12)),
        _ => (upper.trim_end_matches(" UTC"), None),
    };
    let mut parts = clock.trim().split(':');
    let hour: i8 = parts.next()?.trim().parse().ok()?;
    let minute: i8 = parts.next()?.parse().ok()?;
    let second = parts.next().unwrap_or("0").split(['.', ',']).next()?.parse().ok()?;
    let hour = shift.map_or(hour, |shift| hour % 12 + shift);
    Time::new(hour, minute, second, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn style() -> Style {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        Style { decimal: Decimal::Either, unit: Unit::Major, day_order: None, zone }
    }

    #[test]
    fn money_is_read_as_spreadsheets_write_it() {
        let read = |text: &str| {
            let (amount, currency) = worth(text, "", &style());
            let currency = currency.map_or(String::new(), |code| format!(" {}", code.as_str()));
            amount.map(|amount| format!("{amount}{currency}"))
        };
        for (text, expected) in [
            ("12.50", "12.50"),
            ("1.234,50 €", "1234.50 EUR"),
            ("EUR 12,5", "12.50 EUR"),
            ("$1,234.50", "1234.50"),
            ("(3.00)", "-3.00"),
            ("-3", "-3.00"),
            ("1 234,50 zł", "1234.50 PLN"),
            ("0", "0.00"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["1,234", "n/a", "12.5.0", "{amount}", "1e3"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn days_are_read_in_every_order_and_not_guessed() {
        let at = |text: &str, order| {
            let found = when(text, &Style { day_order: order, ..style() });
            found.map(|found| jiff::Timestamp::from_millisecond(found.at_ms).unwrap().to_string())
        };
        let noon = Some("2026-11-25T12:00:00Z".to_owned());
        for text in [
            "2026-11-25T13:00:00+01:00",
            "2026-11-25 13:00:00",
            "25.11.2026 13:00",
            "25/11/2026 1:00 PM",
            "11/25/26, 01:00:00 pm",
            "1795608000",
        ] {
            assert_eq!(at(text, None), noon, "{text}");
        }
        assert_eq!(at("03/04/2026", None), None, "two days");
        assert_eq!(at("03/04/2026", Some(DayOrder::Dmy)).unwrap(), "2026-04-02T22:00:00Z");
        assert_eq!(at("03/04/2026", Some(DayOrder::Mdy)).unwrap(), "2026-03-03T23:00:00Z");
        assert_eq!(at("soon", None), None);
    }

    proptest! {
        #[test]
        fn no_cell_makes_it_fall(text in "\\PC{0,24}") {
            let _ = (when(&text, &style()), worth(&text, "", &style()));
        }

        #[test]
        fn what_was_written_is_read_back(scaled in -999_999_999_999_i64..999_999_999_999) {
            let amount = Amount::from_scaled(scaled);
            prop_assert_eq!(worth(&amount.to_string(), "", &style()).0, Some(amount));
        }
    }
}
