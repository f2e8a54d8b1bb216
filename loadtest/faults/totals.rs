//! What a log of rounds comes to. In: its lines. Out: which rounds it has, and one line for each scenario and home. Refuses
//! nothing: a line of another shape is passed over. Promises: a round that went wrong is counted as one.

use std::collections::BTreeMap;
use std::fmt;

/// The figures that must be 0 in a good round.
const WRONG: [&str; 7] =
    ["lost", "doubled", "unexpected", "mistagged", "rows_doubled", "rows_missing", "personal"];

/// One line's figures by name.
struct Line<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Line<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let words = text.split(' ').filter_map(|word| word.split_once('='));
        let line = Self(words.collect());
        line.0.contains_key("scenario").then_some(line)
    }

    fn word(&self, name: &str) -> &'a str {
        self.0.get(name).copied().unwrap_or_default()
    }

    fn number(&self, name: &str) -> u64 {
        self.word(name).parse().unwrap_or(0)
    }
}

/// Whether the log has this round.
pub fn has(log: &str, round: &[(&str, String)]) -> bool {
    log.lines()
        .filter_map(Line::of)
        .any(|line| round.iter().all(|(name, value)| line.word(name) == value))
}

/// The sums of a log.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Totals(BTreeMap<(String, String), Total>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Total {
    rounds: u64,
    strikes: u64,
    failed: u64,
    durable: u64,
    wrong: [u64; WRONG.len()],
}

impl Totals {
    /// Adds up a log.
    pub fn of(log: &str) -> Self {
        let mut totals = Self::default();
        for line in log.lines().filter_map(Line::of) {
            let key = (line.word("home").to_owned(), line.word("scenario").to_owned());
            let total = totals.0.entry(key).or_default();
            total.rounds += 1;
            total.strikes += line.number("strikes").max(1);
            total.failed += u64::from(line.0.contains_key("error"));
            total.durable += line.number("durable");
            for (sum, name) in total.wrong.iter_mut().zip(WRONG) {
                *sum += line.number(name);
            }
        }
        totals
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "| home | fault | rounds | strikes | failed | durable | {} |",
            WRONG.join(" | ")
        )?;
        writeln!(formatter, "{}", "|---".repeat(6 + WRONG.len()) + "|")?;
        for ((home, scenario), total) in &self.0 {
            let wrong: Vec<String> = total.wrong.iter().map(u64::to_string).collect();
            let Total { rounds, strikes, failed, durable, .. } = total;
            writeln!(
                formatter,
                "| {home} | {scenario} | {rounds} | {strikes} | {failed} | {durable} | {} |",
                wrong.join(" | ")
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "date=2026-11-25T10:00:00Z commit=abc scenario=kill9-edge home=disk seed=1 round=1 strikes=2 rate=500 durable=10 stored=9 lost=1 doubled=0\n\
                       any other line\n\
                       date=2026-11-25T10:01:00Z commit=abc scenario=kill9-edge home=disk seed=1 round=2 strikes=1 rate=500 error=\"no part got ready\"\n";

    #[test]
    fn a_round_is_found_by_what_makes_it_up() {
        let round =
            |number: &str| [("scenario", "kill9-edge".to_owned()), ("round", number.to_owned())];
        assert!(has(LOG, &round("2")));
        assert!(!has(LOG, &round("3")));
    }

    #[test]
    fn a_log_adds_up_with_its_failures() {
        let text = Totals::of(LOG).to_string();
        let last = text.lines().last().unwrap();
        assert_eq!(last, "| disk | kill9-edge | 2 | 3 | 1 | 10 | 1 | 0 | 0 | 0 | 0 | 0 | 0 |");
    }
}
