//! What is new: ranges of the log that are stored and not settled.
//!
//! In: the positions and the stored batches behind which nothing waits. Out: a [`Plan`] of bounded work. Refuses: nothing. Promises:
//! a range is taken only when it follows the one before without a gap, so that nothing stored later is passed over; where
//! batches overlap (a border that was drawn twice), each record is taken once.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clickhouse::Row;
use serde::{Deserialize, Serialize};

/// How many batches of a partition one look reads; the statement says so too. Four minutes of small batches.
pub(super) const BATCHES_MAX: usize = 1_000;

/// How far before a position a batch may begin that ends after it: batches hold at most 50,000 records (DESIGN.md).
const OVERLAP_MAX: u64 = 50_000;

/// One partition of one life of the log.
pub(super) type Partition = (u64, u16);

/// How far settling has come in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub(super) struct Position {
    pub log_epoch: u64,
    pub log_partition: u16,
    pub next_offset: u64,
}

/// A stored batch.
#[derive(Clone, Copy, Debug, Row, Deserialize)]
pub(super) struct Batch {
    pub log_epoch: u64,
    pub log_partition: u16,
    pub from_offset: u64,
    pub end_offset: u64,
    pub record_count: u32,
}

/// A stretch of a partition that one run settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub partition: Partition,
    pub from: u64,
    pub end: u64,
}

/// What one run does.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// What is new; one range a partition.
    pub ranges: Vec<Range>,
    /// Where every known partition stands after the run.
    pub ends: BTreeMap<Partition, u64>,
    /// Where they stood before it.
    pub starts: BTreeMap<Partition, u64>,
    /// Records in the ranges.
    pub records: u64,
    /// True when more could be settled at once.
    pub more: bool,
    /// Partitions whose next batch doesn't follow: something before it isn't stored yet.
    pub gaps: Vec<Range>,
    /// Records of all batches that lie behind the positions, as far as one look reads.
    pub unsettled: u64,
}

/// The batches of one partition, in order, and how many of them are taken.
struct Queue<'a> {
    batches: &'a [Batch],
    from: u64,
    end: u64,
}

impl Queue<'_> {
    /// Takes the batch that follows; gives its number of records.
    fn take(&mut self) -> Option<u64> {
        let following =
            self.batches.iter().take_while(|batch| batch.from_offset <= self.end).count();
        // Where two begin at or before the end, the one that reaches further holds the other's rest.
        let next = self.batches[..following]
            .iter()
            .max_by_key(|batch| (batch.end_offset, batch.from_offset));
        self.batches = &self.batches[following..];
        let next = next.filter(|batch| batch.end_offset > self.end)?;
        self.end = next.end_offset;
        Some(u64::from(next.record_count))
    }

    fn gap(&self, partition: Partition) -> Option<Range> {
        let next = self.batches.first()?;
        (next.from_offset > self.end).then_some(Range {
            partition,
            from: self.end,
            end: next.from_offset,
        })
    }
}

impl Plan {
    /// Takes batches from each partition in turn until `records_max` is reached. `batches` are sorted by partition and offset.
    pub(super) fn new(positions: &[Position], batches: &[Batch], records_max: u64) -> Self {
        let known = |position: &Position| {
            ((position.log_epoch, position.log_partition), position.next_offset)
        };
        let starts: BTreeMap<_, _> = positions.iter().map(known).collect();
        let mut plan = Self { ends: starts.clone(), starts, ..Self::default() };
        plan.unsettled = batches.iter().map(|batch| u64::from(batch.record_count)).sum();
        let partition_of = |batch: &Batch| (batch.log_epoch, batch.log_partition);
        let mut queues: Vec<(Partition, Queue<'_>)> = batches
            .chunk_by(|one, next| partition_of(one) == partition_of(next))
            .map(|batches| {
                plan.more |= batches.len() >= BATCHES_MAX;
                let partition = partition_of(&batches[0]);
                let start = plan.ends.get(&partition).copied().unwrap_or(batches[0].from_offset);
                (partition, Queue { batches, from: start, end: start })
            })
            .collect();
        let mut taken = true;
        while taken && plan.records < records_max {
            taken = false;
            for (_, queue) in &mut queues {
                if plan.records >= records_max {
                    break;
                }
                if let Some(records) = queue.take() {
                    plan.records += records;
                    taken = true;
                }
            }
        }
        for (partition, queue) in queues {
            plan.gaps.extend(queue.gap(partition));
            plan.more |= queue.batches.first().is_some_and(|next| next.from_offset <= queue.end);
            if queue.end > queue.from {
                plan.ranges.push(Range { partition, from: queue.from, end: queue.end });
                plan.ends.insert(partition, queue.end);
            }
        }
        plan.more &= !plan.ranges.is_empty();
        plan
    }

    /// Of a run that takes no range: all stays where it stands.
    pub(super) fn standing(&self) -> Self {
        Self { ends: self.starts.clone(), starts: self.starts.clone(), ..Self::default() }
    }

    /// The condition that picks the rows of the new ranges.
    pub(super) fn new_rows(&self) -> String {
        any(self.ranges.iter().map(|Range { partition: (epoch, partition), from, end }| {
            format!(
                "(log_epoch = {epoch} AND log_partition = {partition} AND log_offset >= {from} AND log_offset < {end})"
            )
        }))
    }
}

/// The condition that picks the batches which lie behind the positions.
pub(super) fn settled(positions: &[Position]) -> String {
    any(positions.iter().map(|Position { log_epoch, log_partition, next_offset }| {
        let far_behind = next_offset.saturating_sub(OVERLAP_MAX);
        format!(
            "(log_epoch = {log_epoch} AND log_partition = {log_partition} AND (from_offset < {far_behind} OR to_offset <= {next_offset}))"
        )
    }))
}

fn any(conditions: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    for condition in conditions {
        let or = if text.is_empty() { "" } else { " OR " };
        let _ = write!(text, "{or}{condition}");
    }
    if text.is_empty() { "0".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn batch(partition: u16, from_offset: u64, end_offset: u64) -> Batch {
        let record_count = u32::try_from(end_offset - from_offset).unwrap();
        Batch { log_epoch: 1, log_partition: partition, from_offset, end_offset, record_count }
    }

    fn position(partition: u16, next_offset: u64) -> Position {
        Position { log_epoch: 1, log_partition: partition, next_offset }
    }

    fn spans(plan: &Plan) -> Vec<(u16, u64, u64)> {
        plan.ranges.iter().map(|range| (range.partition.1, range.from, range.end)).collect()
    }

    #[test]
    fn batches_are_chained_from_the_position_and_a_gap_stops_the_chain() {
        let batches = [batch(0, 10, 20), batch(0, 20, 25), batch(0, 30, 40), batch(1, 5, 6)];
        let plan = Plan::new(&[position(0, 10)], &batches, 1_000);
        assert_eq!(spans(&plan), [(0, 10, 25), (1, 5, 6)]);
        assert_eq!((plan.records, plan.unsettled, plan.more), (16, 26, false));
        assert_eq!(plan.gaps, [Range { partition: (1, 0), from: 25, end: 30 }]);
        assert_eq!(plan.ends, BTreeMap::from([((1, 0), 25), ((1, 1), 6)]));
    }

    #[test]
    fn work_is_bounded_and_shared_among_partitions() {
        let batches = [batch(0, 0, 10), batch(0, 10, 20), batch(1, 0, 10), batch(1, 10, 20)];
        let plan = Plan::new(&[], &batches, 15);
        assert_eq!(spans(&plan), [(0, 0, 10), (1, 0, 10)]);
        assert!(plan.more);
    }

    #[test]
    fn a_border_that_was_drawn_twice_is_walked_once() {
        let batches = [batch(0, 0, 10), batch(0, 5, 30), batch(0, 10, 20), batch(0, 20, 22)];
        let plan = Plan::new(&[position(0, 10)], &batches, 1_000);
        assert_eq!(spans(&plan), [(0, 10, 30)]);
        assert!(!plan.more && plan.gaps.is_empty());
    }

    #[test]
    fn nothing_new_is_no_work() {
        let plan = Plan::new(&[position(0, 10)], &[], 1_000);
        assert!(plan.ranges.is_empty() && !plan.more);
        assert_eq!(settled(&[]), "0");
        assert_eq!(Plan::default().new_rows(), "0");
    }

    proptest! {
        #[test]
        fn every_record_before_a_gap_is_taken_exactly_once(
            sizes in prop::collection::vec(1u64..20, 0..40), missing in 0usize..60, records_max in 1u64..50,
        ) {
            let mut batches = Vec::new();
            let (mut at, mut whole) = (3, None);
            for (index, size) in sizes.iter().enumerate() {
                if index == missing {
                    whole = Some(at);
                } else {
                    batches.push(batch(0, at, at + size));
                }
                at += size;
            }
            let whole = whole.filter(|_| missing != 0).unwrap_or(at);
            let mut positions: Vec<Position> = Vec::new();
            let mut covered = batches.first().map_or(3, |first| first.from_offset);
            loop {
                let done = positions.first().map_or(0, |position| position.next_offset);
                let open: Vec<_> = batches.iter().copied().filter(|batch| batch.end_offset > done).collect();
                let plan = Plan::new(&positions, &open, records_max);
                let Some(range) = plan.ranges.first() else { break };
                prop_assert_eq!(range.from, covered);
                prop_assert!(range.end > range.from);
                covered = range.end;
                positions = vec![position(0, covered)];
            }
            if !batches.is_empty() {
                prop_assert_eq!(covered, whole);
            }
        }
    }
}
