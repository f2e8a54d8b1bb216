//! Walking over the log, a batch at a time.
//!
//! In: a [`Log`] and what of it is wanted. Out: batches of one partition each, bounded like the consumer's so that each insert is one block for each table partition. Refuses:
//! nothing. Promises: memory is one batch and one read, whatever the log holds.

use std::time::{Duration, Instant};

use crate::consume::assignment::Entry;
use crate::consume::batch::{Batch, Bounds, Gatherer};
use crate::consume::{received_ms, table_partition};
use crate::replay::log::{Log, LogError, Part};

/// A batch: with its rows at most some 200 MB.
const BOUNDS: Bounds = Bounds { rows: 20_000, bytes: 16 << 20, age: Duration::MAX };

/// What of the log is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope {
    /// One partition only.
    pub partition: Option<u16>,
    /// From this offset on.
    pub from_offset: Option<u64>,
    /// Up to this offset, exclusive.
    pub to_offset: Option<u64>,
    /// Received from this time on, in milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// Received before this time.
    pub to_ms: Option<i64>,
}

impl Scope {
    /// The stretch of a partition that is wanted.
    fn span(&self, part: &Part) -> (u64, u64) {
        let wanted = self.partition.is_none_or(|partition| partition == part.partition);
        let from = self.from_offset.unwrap_or(0).max(part.start);
        let to = self.to_offset.unwrap_or(u64::MAX).min(part.committed);
        if wanted && from < to { (from, to) } else { (0, 0) }
    }

    /// Whether an entry is wanted; one without a time is, unless times are asked for.
    fn takes(&self, entry: &Entry) -> bool {
        if self.from_ms.is_none() && self.to_ms.is_none() {
            return true;
        }
        received_ms(entry).is_some_and(|ms| {
            self.from_ms.is_none_or(|from| ms >= from) && self.to_ms.is_none_or(|to| ms < to)
        })
    }
}

/// A walk under way.
pub struct Walk {
    log: Log,
    scope: Scope,
    left: Vec<(Part, u64, u64)>,
    /// Read and not yet given out, in reverse.
    waiting: Vec<Entry>,
    read: u64,
    total: u64,
    told: Instant,
}

impl Walk {
    /// Over what the scope wants.
    pub fn new(log: Log, scope: Scope) -> Self {
        let spans = log.parts.iter().map(|part| {
            let (from, to) = scope.span(part);
            (*part, from, to)
        });
        let mut left: Vec<_> = spans.filter(|(_, from, to)| from < to).collect();
        left.reverse();
        let total = left.iter().map(|(_, from, to)| to - from).sum();
        let told = Instant::now();
        Self { log, scope, left, waiting: Vec::new(), read: 0, total, told }
    }

    /// Offsets that the whole walk covers.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Says how far it is, every few seconds.
    pub fn tell(&mut self) {
        const EVERY: Duration = Duration::from_secs(5);
        if self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            super::complain(&format!("{} of {} records read", self.read, self.total));
        }
    }

    /// The next batch and its partition; `None` at the end. Empty batches are given too: their range was read. Blocks on the log.
    pub fn next_batch(&mut self) -> Result<Option<(Part, Batch)>, LogError> {
        let Some((part, mut from, to)) = self.left.pop() else { return Ok(None) };
        let mut gatherer = Gatherer::new(from, BOUNDS);
        let begun = from;
        let mut full = false;
        while !full && from < to {
            if self.waiting.is_empty() {
                let (mut entries, next) = self.log.read(part.partition, from, to)?;
                if entries.is_empty() {
                    from = next;
                    continue;
                }
                entries.reverse();
                self.waiting = entries;
            }
            while let Some(entry) = self.waiting.pop() {
                let next = entry.next();
                if self.scope.takes(&entry) {
                    let month = table_partition(&entry);
                    if let Err(entry) = gatherer.push(entry, month, Instant::now()) {
                        self.waiting.push(entry);
                        full = true;
                        break;
                    }
                }
                from = next;
            }
        }
        let mut batch = gatherer.finish();
        batch.to = from;
        self.read += from - begun;
        if from < to {
            self.left.push((part, from, to));
        } else {
            self.waiting.clear();
        }
        Ok(Some((part, batch)))
    }
}
