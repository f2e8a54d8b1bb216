//! Which records of a spill are still to be delivered.
//!
//! In: records as they are appended or found, and strikes. Out: what is pending, how much and how
//! old, and strike records for the log. Promises: an offset is pending from its record until its
//! strike; memory is 4 bytes for each record of a block of 4,096 that still has a pending one (a
//! million pending in a row: 4 MB), and time marks of 160 kB at most.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

const BLOCK_RECORDS: u64 = 4096;

/// Marks are a second apart; when there are more than this, every other one goes, and old ages get
/// coarser.
const MARKS_MAX: usize = 10_000;
const MARK_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of a run in a strike record: its first offset and its count.
const RUN_BYTES: usize = 16;

/// How much waits to be delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Records.
    pub records: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Age of the oldest one, to the second, rounded up.
    pub oldest_age: Option<Duration>,
}

/// The pending records of a spill, by offset.
#[derive(Debug, Default)]
pub(super) struct Index {
    blocks: BTreeMap<u64, Block>,
    records: u64,
    bytes: u64,
    /// From this offset on records were appended at this time or later.
    marks: VecDeque<(u64, Instant)>,
}

/// So many offsets in a row.
#[derive(Debug)]
struct Block {
    /// Payload bytes and one for each pending offset, zero for all others.
    lengths: Box<[u32]>,
    pending: u32,
}

impl Index {
    pub(super) fn insert(&mut self, offset: u64, payload_bytes: usize) {
        let block = self.blocks.entry(offset / BLOCK_RECORDS).or_insert_with(|| Block {
            lengths: vec![0; BLOCK_RECORDS as usize].into(),
            pending: 0,
        });
        let length = u32::try_from(payload_bytes + 1).expect("payloads are far below 4 GiB");
        let before = std::mem::replace(&mut block.lengths[place(offset)], length);
        assert_eq!(before, 0, "an offset is given once");
        block.pending += 1;
        self.records += 1;
        self.bytes += payload_bytes as u64;
    }

    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Strikes one offset; says whether it was pending.
    pub(super) fn strike(&mut self, offset: u64) -> bool {
        let Some(block) = self.blocks.get_mut(&(offset / BLOCK_RECORDS)) else { return false };
        let length = std::mem::take(&mut block.lengths[place(offset)]);
        if length == 0 {
            return false;
        }
        block.pending -= 1;
        if block.pending == 0 {
            self.blocks.remove(&(offset / BLOCK_RECORDS));
        }
        self.records -= 1;
        self.bytes -= u64::from(length - 1);
        true
    }

    /// The first pending offset that is not below `from`.
    pub(super) fn next(&self, from: u64) -> Option<u64> {
        self.blocks.range(from / BLOCK_RECORDS..).find_map(|(number, block)| {
            let first = number * BLOCK_RECORDS;
            let skipped = usize::try_from(from.saturating_sub(first)).expect("a block is small");
            let index = block.lengths.iter().skip(skipped).position(|length| *length > 0)?;
            Some(first + (skipped + index) as u64)
        })
    }

    /// Notes that records from `offset` on are not older than `at`.
    pub(super) fn mark(&mut self, offset: u64, at: Instant) {
        if self
            .marks
            .back()
            .is_some_and(|(_, last)| at.saturating_duration_since(*last) < MARK_INTERVAL)
        {
            return;
        }
        let oldest = self.next(0).unwrap_or(offset);
        while self.marks.get(1).is_some_and(|(first, _)| *first <= oldest) {
            self.marks.pop_front();
        }
        if self.marks.len() >= MARKS_MAX {
            let mut number = 0;
            self.marks.retain(|_| {
                number += 1;
                number % 2 == 1
            });
        }
        self.marks.push_back((offset, at));
    }

    pub(super) fn pending(&self) -> Pending {
        let oldest_age = self.next(0).and_then(|oldest| {
            let after = self.marks.partition_point(|(offset, _)| *offset <= oldest);
            self.marks.get(after.saturating_sub(1)).map(|(_, at)| at.elapsed())
        });
        Pending { records: self.records, bytes: self.bytes, oldest_age }
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset % BLOCK_RECORDS).expect("a block is small")
}

/// Which strikes of the log strike what, by blocks of offsets: a strike record is needed as long as
/// the records that it strikes are there. In order, as deliveries come, this is a few pairs of
/// blocks for each block of records.
#[derive(Debug, Default)]
pub(super) struct Targets(BTreeSet<(u64, u64)>);

impl Targets {
    /// Notes the strike record at `offset`, with this payload.
    pub(super) fn insert(&mut self, offset: u64, payload: &[u8]) {
        for run in decode(payload).filter(|run| !run.is_empty()) {
            let blocks = run.start / BLOCK_RECORDS..=(run.end - 1) / BLOCK_RECORDS;
            self.0.extend(blocks.map(|block| (offset / BLOCK_RECORDS, block)));
        }
    }

    /// Whether a strike in the segment may strike a record of one of the others.
    pub(super) fn reach(&self, segment: Range<u64>, others: &[(u64, u64)]) -> bool {
        let from = (segment.start / BLOCK_RECORDS, 0);
        let to = (segment.end / BLOCK_RECORDS, u64::MAX);
        self.0.range(from..=to).any(|(_, block)| {
            let targets = block * BLOCK_RECORDS..(block + 1) * BLOCK_RECORDS;
            others.iter().any(|(first, end)| *first < targets.end && targets.start < *end)
        })
    }

    /// Forgets the strikes of a segment that is gone. What lies in a block that it shared with
    /// another stays.
    pub(super) fn forget(&mut self, segment: Range<u64>) {
        let from = segment.start.div_ceil(BLOCK_RECORDS);
        let to = segment.end / BLOCK_RECORDS;
        self.0.retain(|(block, _)| !(from..to).contains(block));
    }
}

/// The payload of a strike record: runs of offsets, each as first offset and count.
pub(super) fn encode(mut offsets: Vec<u64>) -> Vec<u8> {
    offsets.sort_unstable();
    offsets.dedup();
    let mut payload = Vec::new();
    for run in offsets.chunk_by(|left, right| left + 1 == *right) {
        payload.extend_from_slice(&run[0].to_le_bytes());
        payload.extend_from_slice(&(run.len() as u64).to_le_bytes());
    }
    payload
}

/// The runs of a strike record's payload.
pub(super) fn decode(payload: &[u8]) -> impl Iterator<Item = Range<u64>> + '_ {
    payload.chunks_exact(RUN_BYTES).map(|run| {
        let number =
            |bytes: &[u8]| bytes.iter().rev().fold(0, |high, byte| high << 8 | u64::from(*byte));
        let (first, count) = run.split_at(8);
        number(first)..number(first).saturating_add(number(count))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::cases;
    use proptest::prelude::*;

    #[test]
    fn the_age_is_that_of_the_oldest_pending_record() {
        let mut index = Index::default();
        let now = Instant::now();
        let ago = |seconds| now.checked_sub(Duration::from_secs(seconds)).unwrap();
        for (offset, seconds) in [(0, 50), (1, 40), (2, 40), (3, 30)] {
            index.mark(offset, ago(seconds));
            index.insert(offset, 10);
        }
        let age = |index: &Index| index.pending().oldest_age.map(|age| age.as_secs());
        assert_eq!(age(&index), Some(50));
        assert!(index.strike(0) && index.strike(1));
        assert_eq!(age(&index), Some(40));
        assert!(index.strike(2) && !index.strike(2));
        assert_eq!(age(&index), Some(30));
        assert!(index.strike(3));
        assert_eq!(index.pending(), Pending::default());
    }

    #[test]
    fn time_marks_stay_bounded_and_never_make_a_record_younger() {
        let mut index = Index::default();
        let start = Instant::now().checked_sub(Duration::from_hours(24)).unwrap();
        for second in 0..40_000 {
            index.mark(second, start + Duration::from_secs(second));
            index.insert(second, 0);
        }
        assert!(index.marks.len() <= MARKS_MAX);
        for struck in 0..20_000 {
            index.strike(struck);
        }
        let true_age = (start + Duration::from_secs(20_000)).elapsed();
        assert!(index.pending().oldest_age.unwrap() + Duration::from_secs(1) > true_age);
    }

    #[test]
    fn runs_are_kept_as_runs() {
        let payload = encode(vec![9, 3, 4, 5, 3, 11]);
        assert_eq!(payload.len(), 3 * RUN_BYTES);
        assert_eq!(decode(&payload).collect::<Vec<_>>(), [3..6, 9..10, 11..12]);
    }

    #[test]
    fn a_strike_reaches_the_segments_of_its_records_only() {
        let mut targets = Targets::default();
        let strikes = encode((50_000..51_000).chain([200_000]).collect());
        targets.insert(300_000, &strikes);
        let (older, hit, newer) = ((0, 40_000), (40_000, 60_000), (60_000, 190_000));
        let segment = 290_000..310_000;
        assert!(targets.reach(segment.clone(), &[older, hit, newer]));
        assert!(!targets.reach(segment.clone(), &[older, newer]));
        assert!(!targets.reach(100_000..200_000, &[older, hit, newer]));
        targets.forget(segment.clone());
        assert!(!targets.reach(segment, &[hit]));
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn the_index_is_a_map(acts in prop::collection::vec((any::<bool>(), 0..20_000u64, 0..99usize), 0..300)) {
            let mut index = Index::default();
            let mut map = BTreeMap::new();
            for (insert, offset, bytes) in acts {
                if insert && !map.contains_key(&offset) {
                    index.insert(offset, bytes);
                    map.insert(offset, bytes as u64);
                } else {
                    prop_assert_eq!(index.strike(offset), map.remove(&offset).is_some());
                }
                let pending = index.pending();
                prop_assert_eq!((pending.records, pending.bytes), (map.len() as u64, map.values().sum()));
                let next = map.range(offset..).next().map(|(offset, _)| *offset);
                prop_assert_eq!(index.next(offset), next);
            }
        }

        #[test]
        fn what_is_struck_is_read_back(offsets in prop::collection::vec(any::<u32>(), 0..200)) {
            let mut expected: Vec<u64> = offsets.iter().map(|offset| u64::from(*offset)).collect();
            let payload = encode(expected.clone());
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(decode(&payload).flatten().collect::<Vec<_>>(), expected);
        }
    }
}
