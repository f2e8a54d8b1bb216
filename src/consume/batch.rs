//! Batches: a run of log entries with fixed borders.
//!
//! In: entries, in the log's order. Out: a [`Batch`] of at most 50,000 rows, 64 MB and 24 table partitions, so that each insert
//! is one block for each table partition (DESIGN.md, "Borders first"). Refuses: nothing. Promises: a batch's borders never
//! change once they are kept; the same borders always give the same batch.

use std::time::{Duration, Instant};

use crate::consume::assignment::Entry;

/// Table partitions (months) that one insert may touch.
pub const TABLE_PARTITIONS_MAX: usize = 24;

/// What a batch may hold at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Entries.
    pub rows: usize,
    /// Bytes of payload.
    pub bytes: usize,
    /// How long the first entry waits for company.
    pub age: Duration,
}

/// Entries [`from`, `to`) of one partition.
#[derive(Debug, Default)]
pub struct Batch {
    /// The first offset.
    pub from: u64,
    /// The first offset after the batch.
    pub to: u64,
    /// What the log holds there.
    pub entries: Vec<Entry>,
}

/// Collects entries until a bound is reached.
pub struct Gatherer {
    bounds: Bounds,
    batch: Batch,
    bytes: usize,
    months: Vec<i32>,
    first_at: Option<Instant>,
}

impl Gatherer {
    /// Begins a batch at offset `from`.
    pub fn new(from: u64, bounds: Bounds) -> Self {
        let batch = Batch { from, to: from, entries: Vec::new() };
        Self { bounds, batch, bytes: 0, months: Vec::new(), first_at: None }
    }

    /// Takes an entry; gives it back when the batch has no room for it. `month` is the table partition that it falls in.
    pub fn push(&mut self, entry: Entry, month: i32, now: Instant) -> Result<(), Entry> {
        let new_month = !self.months.contains(&month);
        let full = self.batch.entries.len() >= self.bounds.rows
            || (self.bytes + entry.bytes() > self.bounds.bytes && !self.batch.entries.is_empty())
            || (new_month && self.months.len() >= TABLE_PARTITIONS_MAX);
        if full {
            return Err(entry);
        }
        if new_month {
            self.months.push(month);
        }
        self.bytes += entry.bytes();
        self.batch.to = entry.next();
        self.batch.entries.push(entry);
        self.first_at.get_or_insert(now);
        Ok(())
    }

    /// When the batch is to be closed for its age; `None` while it is empty.
    pub fn due(&self) -> Option<Instant> {
        self.first_at.map(|at| at + self.bounds.age)
    }

    /// True when nothing was taken yet.
    pub fn is_empty(&self) -> bool {
        self.batch.entries.is_empty()
    }

    /// True when no further entry would be taken.
    pub fn is_full(&self) -> bool {
        self.batch.entries.len() >= self.bounds.rows || self.bytes >= self.bounds.bytes
    }

    /// Closes the batch.
    pub fn finish(self) -> Batch {
        self.batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { rows: 3, bytes: 100, age: Duration::from_millis(250) };

    fn record(offset: u64, bytes: usize) -> Entry {
        Entry::Record { offset, payload: vec![0; bytes], resent: false }
    }

    #[test]
    fn a_batch_closes_by_rows_bytes_and_table_partitions() {
        let now = Instant::now();
        let mut rows = Gatherer::new(7, BOUNDS);
        assert!((7..10).all(|offset| rows.push(record(offset, 1), 0, now).is_ok()));
        assert!(rows.is_full() && rows.push(record(10, 1), 0, now).is_err());
        let batch = rows.finish();
        assert_eq!((batch.from, batch.to, batch.entries.len()), (7, 10, 3));

        let mut bytes = Gatherer::new(0, BOUNDS);
        assert!(bytes.push(record(0, 200), 0, now).is_ok(), "one entry always fits");
        assert!(bytes.push(record(1, 1), 0, now).is_err());

        let mut months = Gatherer::new(0, Bounds { rows: 100, ..BOUNDS });
        for month in 0..TABLE_PARTITIONS_MAX {
            assert!(months.push(record(month as u64, 1), month as i32, now).is_ok());
        }
        assert!(months.push(record(24, 1), 999, now).is_err());
        assert!(months.push(record(24, 1), 5, now).is_ok(), "a month it has already");
    }

    #[test]
    fn damage_is_passed_over_whole() {
        let mut gatherer = Gatherer::new(4, BOUNDS);
        let damage = Entry::Damaged { offset: 4, next: 9, detail: "torn".into(), raw: Vec::new() };
        gatherer.push(damage, 0, Instant::now()).unwrap();
        assert_eq!(gatherer.finish().to, 9);
    }
}
