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
    /// Rows of `events`.
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
    rows: usize,
    bytes: usize,
    months: Vec<i32>,
    first_at: Option<Instant>,
}

impl Gatherer {
    /// Begins a batch at offset `from`.
    pub fn new(from: u64, bounds: Bounds) -> Self {
        let batch = Batch { from, to: from, entries: Vec::new() };
        Self { bounds, batch, rows: 0, bytes: 0, months: Vec::new(), first_at: None }
    }

    /// Takes an entry; gives it back when the batch has no room for it. `month` is the table partition that it falls in.
    pub fn push(&mut self, entry: Entry, month: i32, now: Instant) -> Result<(), Entry> {
        let new_month = !self.months.contains(&month);
        let rows = rows_of(&entry);
        let full = (self.rows + rows > self.bounds.rows && !self.batch.entries.is_empty())
            || (self.bytes + entry.bytes() > self.bounds.bytes && !self.batch.entries.is_empty())
            || (new_month && self.months.len() >= TABLE_PARTITIONS_MAX);
        if full {
            return Err(entry);
        }
        if new_month {
            self.months.push(month);
        }
        self.rows += rows;
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
        self.rows >= self.bounds.rows || self.bytes >= self.bounds.bytes
    }

    /// Closes the batch.
    pub fn finish(self) -> Batch {
        self.batch
    }
}

/// How many rows of `events` an entry gives, without reading the whole record: ads that were shown together are one record
/// ([`crate::event::Event::unfold`]).
fn rows_of(entry: &Entry) -> usize {
    const IMPRESSION: &[u8] = b"\"type\":\"impression\"";
    const OTHERS: &[u8] = b"\"others\":[";
    const SHOWN: &[u8] = b"{\"promotion\":{";
    // The type stands right behind version and id: 62 bytes.
    const HEAD_BYTES: usize = 100;
    let Entry::Record { payload, .. } = entry else { return 1 };
    let head = &payload[..payload.len().min(HEAD_BYTES)];
    if !head.windows(IMPRESSION.len()).any(|window| window == IMPRESSION) {
        return 1;
    }
    let Some(at) = payload.windows(OTHERS.len()).position(|window| window == OTHERS) else {
        return 1;
    };
    1 + payload[at..].windows(SHOWN.len()).filter(|window| *window == SHOWN).count()
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
    fn ads_that_were_shown_together_count_as_many_rows() {
        use crate::event::{EventType, Shown, tests::sample};
        let mut event =
            sample(EventType::Impression, crate::ids::EventId::from_parts(1_790_000_000_000, 1, 2));
        event.others = vec![Shown::default(); 2];
        let payload = event.to_record();
        let entry = |offset| Entry::Record { offset, payload: payload.clone(), resent: false };
        assert_eq!(rows_of(&entry(0)), event.clone().unfold().count());
        let mut gatherer = Gatherer::new(0, Bounds { bytes: 1 << 20, rows: 4, ..BOUNDS });
        assert!(gatherer.push(entry(0), 0, Instant::now()).is_ok());
        assert!(gatherer.push(entry(1), 0, Instant::now()).is_err(), "six rows are over four");
        let ids: Vec<_> = event.unfold().map(|event| event.id.sequence()).collect();
        assert_eq!(ids, [1, 2, 3]);
    }

    #[test]
    fn damage_is_passed_over_whole() {
        let mut gatherer = Gatherer::new(4, BOUNDS);
        let damage = Entry::Damaged { offset: 4, next: 9, detail: "torn".into(), raw: Vec::new() };
        gatherer.push(damage, 0, Instant::now()).unwrap();
        assert_eq!(gatherer.finish().to, 9);
    }
}
