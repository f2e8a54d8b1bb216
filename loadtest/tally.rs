//! The figures of a run. In: each request's end. Out: one row a kind: counts by status and by what is
//! known of the event, and the latency of accepted requests from their planned moment.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

use crate::histogram::Histogram;
use crate::mix::Kind;
use crate::outcome::{Finished, Outcome, Trouble};

/// The figures of one kind.
#[derive(Clone, Default)]
pub struct KindTally {
    /// Requests that were due.
    pub planned: u64,
    /// Answers of 2xx, 3xx, 4xx and 5xx.
    pub by_class: [u64; 4],
    /// Accepted, with a receipt.
    pub durable: u64,
    /// Accepted, without a receipt.
    pub unconfirmed: u64,
    /// Answered with 4xx or 5xx.
    pub refused: u64,
    /// Sent, without an answer that could be read.
    pub unknown: u64,
    /// Never sent.
    pub unsent: u64,
    /// From the planned moment to the whole answer, of what was accepted.
    pub latency: Histogram,
}

impl KindTally {
    /// Requests that the edge took.
    pub fn accepted(&self) -> u64 {
        self.durable + self.unconfirmed
    }

    fn count(&mut self, finished: &Finished) {
        self.planned += 1;
        match finished.outcome() {
            Outcome::Durable(_) => self.durable += 1,
            Outcome::Unconfirmed => self.unconfirmed += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Unknown => self.unknown += 1,
            Outcome::Unsent => self.unsent += 1,
        }
        if let Ok(answer) = finished.result {
            let class = (usize::from(answer.status) / 100).clamp(2, 5) - 2;
            self.by_class[class] += 1;
            if answer.accepted() {
                self.latency.record(finished.ended.duration_since(finished.planned));
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        self.planned += other.planned;
        self.by_class.iter_mut().zip(other.by_class).for_each(|(mine, theirs)| *mine += theirs);
        self.durable += other.durable;
        self.unconfirmed += other.unconfirmed;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.unsent += other.unsent;
        self.latency.merge(&other.latency);
    }

    fn row(&self, name: &str) -> Vec<String> {
        let mut row = vec![name.to_owned(), (self.planned - self.unsent).to_string()];
        row.extend(self.by_class.iter().map(u64::to_string));
        let outcomes = [self.durable, self.unconfirmed, self.refused, self.unknown, self.unsent];
        row.extend(outcomes.iter().map(u64::to_string));
        let shares = [0.5, 0.9, 0.99, 0.999];
        row.extend(shares.iter().map(|&share| milliseconds(self.latency.quantile_ms(share))));
        row.push(milliseconds(self.latency.max_ms()));
        row
    }
}

/// The figures of a run.
#[derive(Default)]
pub struct Tally {
    kinds: BTreeMap<Kind, KindTally>,
    refusals: BTreeMap<u16, u64>,
    mute: u64,
    troubles: BTreeMap<Trouble, u64>,
}

impl Tally {
    /// Counts one request.
    pub fn count(&mut self, finished: &Finished) {
        self.kinds.entry(finished.kind).or_default().count(finished);
        match finished.result {
            Ok(answer) if !answer.accepted() => {
                *self.refusals.entry(answer.status).or_default() += 1;
                self.mute += u64::from(answer.is_mute());
            }
            Ok(_) => {}
            Err(trouble) => *self.troubles.entry(trouble).or_default() += 1,
        }
    }

    /// All kinds together.
    pub fn total(&self) -> KindTally {
        let mut total = KindTally::default();
        self.kinds.values().for_each(|kind| total.merge(kind));
        total
    }

    /// Answers that say yes to something that must be durable, without a receipt: by the contract
    /// only a redirect may go unconfirmed.
    pub fn without_receipt(&self) -> u64 {
        let must = self.kinds.iter().filter(|(kind, _)| !kind.may_be_unconfirmed());
        must.map(|(_, tally)| tally.unconfirmed).sum()
    }

    /// Answers of 429 and 503 that do not say when to come again.
    pub fn mute(&self) -> u64 {
        self.mute
    }

    /// Refusals by status.
    pub fn refusals(&self) -> &BTreeMap<u16, u64> {
        &self.refusals
    }

    /// The figures of one kind.
    pub fn of(&self, kind: Kind) -> KindTally {
        self.kinds.get(&kind).cloned().unwrap_or_default()
    }

    /// The table, and below it why requests were refused or have no answer.
    pub fn text(&self) -> String {
        let head = [
            "kind",
            "sent",
            "2xx",
            "3xx",
            "4xx",
            "5xx",
            "durable",
            "unconfirmed",
            "refused",
            "unknown",
            "unsent",
            "p50 ms",
            "p90",
            "p99",
            "p99.9",
            "max",
        ];
        let mut rows: Vec<Vec<String>> =
            self.kinds.iter().map(|(kind, tally)| tally.row(kind.name())).collect();
        rows.push(self.total().row("all"));
        let mut text = table(&head, rows);
        for (status, count) in &self.refusals {
            writeln!(text, "answered {status}: {count}").expect("a string takes any text");
        }
        for (trouble, count) in &self.troubles {
            writeln!(text, "{}: {count}", trouble.text()).expect("a string takes any text");
        }
        text
    }
}

/// A Markdown table: names to the left, figures to the right.
pub fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(head.to_vec()).add_rows(rows);
    table.column_iter_mut().skip(1).for_each(|column| {
        column.set_cell_alignment(CellAlignment::Right);
    });
    format!("{table}\n")
}

/// A latency for a table: two decimals below 10 ms, else one; `-` for none.
pub fn milliseconds(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value < 10.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Answer;
    use std::time::{Duration, Instant};
    use uuid::Uuid;

    fn finished(kind: Kind, latency_ms: u64, result: Result<Answer, Trouble>) -> Finished {
        let planned = Instant::now();
        let ended = planned + Duration::from_millis(latency_ms);
        Finished { number: 0, kind, planned, sent: Some(planned), ended, result }
    }

    #[test]
    fn each_end_is_counted_once_and_only_accepted_ones_have_a_latency() {
        let mut tally = Tally::default();
        let id = Some(Uuid::from_u128(1));
        let answer = |status, receipt| Ok(Answer { status, receipt, retry_after: status == 503 });
        tally.count(&finished(Kind::Click, 4, answer(302, id)));
        tally.count(&finished(Kind::Click, 6, answer(302, None)));
        tally.count(&finished(Kind::Form, 2, answer(200, None)));
        tally.count(&finished(Kind::Form, 900, answer(503, None)));
        tally.count(&finished(Kind::Form, 900, Err(Trouble::Broken)));
        tally.count(&finished(Kind::Form, 900, Err(Trouble::Unsent)));
        let total = tally.total();
        assert_eq!((total.planned, total.accepted(), total.durable), (6, 3, 1));
        assert_eq!((total.unconfirmed, total.refused, total.unknown, total.unsent), (2, 1, 1, 1));
        assert_eq!(total.by_class, [1, 2, 0, 1]);
        assert_eq!((total.latency.count(), total.latency.max_ms()), (3, Some(6.0)));
        tally.count(&finished(Kind::Form, 2, answer(429, None)));
        assert_eq!((tally.mute(), tally.refusals()[&429]), (1, 1), "429 without Retry-After");
        assert_eq!(tally.without_receipt(), 1, "a click may go unconfirmed, a form may not");
        let text = tally.text();
        assert!(text.contains("answered 503: 1\n"), "{text}");
        assert!(text.contains("the connection broke before the answer: 1\n"), "{text}");
    }
}
