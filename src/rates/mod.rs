//! Exchange rates: what one unit of the base currency was worth in others, day by day.
//!
//! In: a file as the European Central Bank publishes it: wide (`Date,USD,JPY,…`, a row a day) or long (`date,currency,rate`), with
//! commas, semicolons or tabs. Out: [`Rate`]s. Refuses: a line that is no rate, by its number; the whole file then, so that nothing
//! of it is stored. Promises: decimals are read exactly, to the eighth place; `N/A` and empty cells are no rates.

pub mod command;

use jiff::civil::Date;

use crate::money::Currency;

/// Decimal places that are kept: the ECB writes five.
const PLACES: usize = 8;

/// Digits before the point that the column has room for.
const WHOLE_DIGITS_MAX: usize = 10;

/// Rates in one file: 60 years of 100 currencies have fewer.
const RATES_MAX: usize = 2_000_000;

/// A currency's rate on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Of which day.
    pub date: Date,
    /// Of which currency.
    pub currency: Currency,
    /// Units of it for one of the base, in hundred-millionths.
    pub scaled: i64,
}

/// Why a file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct BadRates {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

/// Reads a file.
///
/// # Errors
/// At the first line that is no rate.
pub fn parse(text: &str) -> Result<Vec<Rate>, BadRates> {
    let text = text.trim_start_matches('\u{feff}');
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let bad = |line: usize, what: String| BadRates { line, what };
    let Some((line, head)) = lines.next() else {
        return Err(bad(1, "the file is empty".to_owned()));
    };
    let separator = [';', '\t'].into_iter().find(|mark| head.contains(*mark)).unwrap_or(',');
    let cells = |line: &'_ str| -> Vec<String> {
        line.split(separator).map(|cell| cell.trim().trim_matches('"').to_owned()).collect()
    };
    let head = cells(head);
    let place = |name: &str| head.iter().position(|cell| cell.eq_ignore_ascii_case(name));
    let Some(date) = place("date") else {
        return Err(bad(line, "no column `date`; the first line names the columns".to_owned()));
    };
    let columns = match (place("currency"), place("rate")) {
        (Some(currency), Some(rate)) => Columns::Long { currency, rate },
        (None, None) => Columns::wide(&head, date).map_err(|what| bad(line, what))?,
        _ => return Err(bad(line, "`currency` and `rate` go together".to_owned())),
    };
    let mut rates = Vec::new();
    for (line, text) in lines {
        let cells = cells(text);
        let day = cells.get(date).map_or("", String::as_str);
        let day: Date =
            day.parse().map_err(|_| bad(line, format!("`{day}` is no day such as 2026-11-25")))?;
        columns.read(day, &cells, &mut rates).map_err(|what| bad(line, what))?;
        if rates.len() > RATES_MAX {
            return Err(bad(line, format!("more than {RATES_MAX} rates; split the file")));
        }
    }
    Ok(rates)
}

/// Where a file has what.
enum Columns {
    Long { currency: usize, rate: usize },
    Wide(Vec<(usize, Currency)>),
}

impl Columns {
    fn wide(head: &[String], date: usize) -> Result<Self, String> {
        let named =
            head.iter().enumerate().filter(|(place, cell)| *place != date && !cell.is_empty());
        let read = named.map(|(place, cell)| match Currency::parse(cell) {
            Some(currency) => Ok((place, currency)),
            None => Err(format!("column `{cell}` is no currency of three letters")),
        });
        Ok(Self::Wide(read.collect::<Result<_, _>>()?))
    }

    fn read(&self, date: Date, cells: &[String], rates: &mut Vec<Rate>) -> Result<(), String> {
        let cell = |place: usize| cells.get(place).map_or("", String::as_str);
        let mut push = |currency: Currency, text: &str| {
            if text.is_empty() || text.eq_ignore_ascii_case("N/A") {
                return Ok(());
            }
            let scaled = scaled(text).ok_or_else(|| {
                format!("`{text}` is no rate: a decimal above 0 with a point and at most {PLACES} places")
            })?;
            rates.push(Rate { date, currency, scaled });
            Ok(())
        };
        match self {
            Self::Long { currency, rate } => {
                let code = cell(*currency);
                let code =
                    Currency::parse(code).ok_or_else(|| format!("`{code}` is no currency"))?;
                push(code, cell(*rate))
            }
            Self::Wide(columns) => {
                columns.iter().try_for_each(|(place, code)| push(*code, cell(*place)))
            }
        }
    }
}

/// A decimal above 0, in hundred-millionths; `None` when it is anything else.
fn scaled(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let fraction = fraction.trim_end_matches('0');
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > PLACES {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    if whole.len() > WHOLE_DIGITS_MAX {
        return None;
    }
    format!("0{whole}{fraction:0<PLACES$}").parse().ok().filter(|scaled| *scaled > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String, i64)> {
        let rates = parse(text).unwrap().into_iter();
        let words =
            |rate: Rate| (rate.date.to_string(), rate.currency.as_str().to_owned(), rate.scaled);
        rates.map(words).collect()
    }

    #[test]
    fn the_wide_file_of_the_central_bank_is_read_with_its_gaps() {
        let text = "Date,USD,JPY,CYP,\n2026-11-25,1.0823,163.25,N/A,\n2026-11-24,1.08,,N/A,\n";
        let usd = |day: &str, scaled| (day.to_owned(), "USD".to_owned(), scaled);
        let jpy = ("2026-11-25".to_owned(), "JPY".to_owned(), 16_325_000_000);
        assert_eq!(
            read(text),
            [usd("2026-11-25", 108_230_000), jpy, usd("2026-11-24", 108_000_000)]
        );
    }

    #[test]
    fn the_long_file_is_read_with_semicolons_and_other_columns() {
        let text = "\u{feff}currency;date;rate;note\nchf;2026-11-25;0.93;x\n";
        assert_eq!(read(text), [("2026-11-25".to_owned(), "CHF".to_owned(), 93_000_000)]);
    }

    #[test]
    fn a_wrong_line_refuses_the_file_and_is_named() {
        let line = |text: &str| parse(text).unwrap_err().line;
        assert_eq!(line(""), 1);
        assert_eq!(line("day,USD\n"), 1);
        assert_eq!(line("date,USD\n2026-11-25,1.08\n24.11.2026,1.08\n"), 3);
        for wrong in ["0", "-1", "1e3", "1.123456789", "12345678901"] {
            assert_eq!(
                line(&format!("date,currency,rate\n2026-11-25,USD,{wrong}\n")),
                2,
                "{wrong}"
            );
        }
    }
}
