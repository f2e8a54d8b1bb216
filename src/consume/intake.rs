//! The intake: the log's entries become batches.
//!
//! In: what the log's thread hands out, and where to begin. Out: the next batch within its bounds, or exactly the one whose borders an earlier
//! owner kept. Refuses: entries before the beginning, which the log may hand out again. Promises: however the entries come, and whoever
//! asks, the same borders give the same batch, and a batch begins where the last one ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use crate::consume::assignment::Entry;
use crate::consume::batch::{Batch, Bounds, Gatherer};
use crate::consume::health::Health;
use crate::consume::{received_ms, table_partition};

/// An idle partition's border is closed after this long, so that its next owner need not look.
const CLOSE_AFTER: Duration = Duration::from_secs(1);

/// The entries of one partition in this consumer's hands.
pub struct Intake {
    partition: u16,
    entries: mpsc::Receiver<Entry>,
    revoked: watch::Receiver<bool>,
    health: Arc<Health>,
    /// The first entry of the batch after the last one.
    pending: Option<Entry>,
}

impl Intake {
    /// Takes what `entries` hands out, until it ends or `revoked` is true.
    pub fn new(
        partition: u16,
        entries: mpsc::Receiver<Entry>,
        revoked: watch::Receiver<bool>,
        health: Arc<Health>,
    ) -> Self {
        Self { partition, entries, revoked, health, pending: None }
    }

    /// The batch from offset `from` on; empty when nothing came for a while; `None` when it's time to go.
    pub async fn batch(&mut self, from: u64, bounds: Bounds) -> Option<Batch> {
        let mut gatherer = Gatherer::new(from, bounds);
        while !gatherer.is_full() {
            match self.next(gatherer.due()).await {
                Next::Gone => return None,
                Next::Late => break,
                Next::Entry(entry) if entry.offset() < from => {}
                Next::Entry(entry) => {
                    if gatherer.is_empty() {
                        self.note_waiting(&entry);
                    }
                    let month = table_partition(&entry);
                    if let Err(entry) = gatherer.push(entry, month, Instant::now()) {
                        self.pending = Some(entry);
                        break;
                    }
                }
            }
        }
        Some(gatherer.finish())
    }

    /// Exactly the entries from `from` and before `to`: the batch that an earlier owner fixed. `None` when it's time to go.
    pub async fn exactly(&mut self, from: u64, to: u64) -> Option<Batch> {
        let mut batch = Batch { from, to, entries: Vec::new() };
        // Entries up to `to` are in the log, for their border was made from them; the last may lie below `to - 1` only by damage.
        loop {
            if batch.entries.last().is_some_and(|entry| entry.next() >= to) {
                return Some(batch);
            }
            match self.next(None).await {
                Next::Gone => return None,
                Next::Late => {}
                Next::Entry(entry) if entry.offset() < from => {}
                Next::Entry(entry) if entry.offset() >= to => {
                    self.pending = Some(entry);
                    return Some(batch);
                }
                Next::Entry(entry) => {
                    self.note_waiting(&entry);
                    batch.entries.push(entry);
                }
            }
        }
    }

    /// When the event was received that waits for the next batch.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.pending.as_ref().and_then(received_ms)
    }

    fn note_waiting(&self, entry: &Entry) {
        if let Some(received_ms) = received_ms(entry) {
            self.health.waiting(self.partition, received_ms);
        }
    }

    /// The next entry; gone when the partition is taken away or the log's thread has ended.
    async fn next(&mut self, until: Option<Instant>) -> Next {
        if let Some(entry) = self.pending.take() {
            return Next::Entry(entry);
        }
        let deadline = until.unwrap_or_else(|| Instant::now() + CLOSE_AFTER);
        tokio::select! {
            biased;
            _ = self.revoked.wait_for(|revoked| *revoked) => Next::Gone,
            entry = self.entries.recv() => entry.map_or(Next::Gone, Next::Entry),
            () = tokio::time::sleep_until(deadline.into()) => Next::Late,
        }
    }
}

enum Next {
    Entry(Entry),
    Late,
    Gone,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::runtime::{Builder, Runtime};

    /// A part of the log: what lies there, and how long it is.
    #[derive(Clone, Debug)]
    enum Part {
        Record { bytes: usize, month: u8, resent: bool },
        Void(u64),
        Damaged(u64),
    }

    fn part() -> impl Strategy<Value = Part> {
        prop_oneof![
            8 => (0usize..200, 0u8..40, any::<bool>())
                .prop_map(|(bytes, month, resent)| Part::Record { bytes, month, resent }),
            1 => (1u64..5).prop_map(Part::Void),
            1 => (1u64..5).prop_map(Part::Damaged),
        ]
    }

    fn log(begin: u64, parts: &[Part]) -> Vec<Entry> {
        let mut offset = begin;
        let entries = parts.iter().map(|part| {
            let entry = match part {
                Part::Record { bytes, month, resent } => {
                    let time = 1_500_000_000_000u64 + u64::from(*month) * 2_700_000_000;
                    let payload = format!("\"event_time\":{time},{}", "x".repeat(*bytes));
                    Entry::Record { offset, payload: payload.into_bytes(), resent: *resent }
                }
                Part::Void(length) => Entry::Void { offset, next: offset + length },
                Part::Damaged(length) => Entry::Damaged {
                    offset,
                    next: offset + length,
                    detail: "torn".to_owned(),
                    raw: vec![7; 3],
                },
            };
            offset = entry.next();
            entry
        });
        entries.collect()
    }

    /// An owner, whose log hands out what lies from `offset` on, and as much again of what came before as it likes.
    struct Owner {
        intake: Intake,
        to_come: Vec<Entry>,
        send: mpsc::Sender<Entry>,
        _revoke: watch::Sender<bool>,
    }

    impl Owner {
        fn takes_up(log: &[Entry], offset: u64, again: usize) -> Self {
            let first = log.iter().position(|entry| entry.offset() >= offset).unwrap_or(log.len());
            let mut to_come = log[first.saturating_sub(again)..].to_vec();
            to_come.reverse();
            let (send, entries) = mpsc::channel(1_000);
            let (_revoke, revoked) = watch::channel(false);
            let intake = Intake::new(0, entries, revoked, Arc::default());
            Self { intake, to_come, send, _revoke }
        }

        /// So many more come.
        fn receives(&mut self, count: usize) {
            for entry in
                self.to_come.split_off(self.to_come.len().saturating_sub(count)).into_iter().rev()
            {
                self.send.try_send(entry).unwrap();
            }
        }

        /// A batch of what has come; a bound of age that is over already closes it where the next one hasn't.
        fn gathers(&mut self, runtime: &Runtime, from: u64, bounds: Bounds) -> Option<Batch> {
            let gathered = async {
                // An owner with nothing to gather would wait for a second.
                let batch = self.intake.batch(from, bounds);
                tokio::time::timeout(Duration::from_millis(20), batch).await.ok()?
            };
            runtime.block_on(gathered).filter(|batch| !batch.entries.is_empty())
        }
    }

    #[test]
    fn a_border_whose_last_record_is_gone_ends_there_and_the_next_record_is_in_the_next_batch() {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let mut log = log(10, &[const { Part::Record { bytes: 5, month: 0, resent: false } }; 5]);
        let gone = log.remove(2);
        let mut owner = Owner::takes_up(&log, 10, 0);
        owner.receives(4);
        let rebuilt = runtime.block_on(owner.intake.exactly(10, gone.next())).unwrap();
        assert_eq!((rebuilt.to, &rebuilt.entries[..]), (13, &log[..2]));
        let bounds = Bounds { rows: 9, bytes: 9_000, age: Duration::ZERO };
        assert_eq!(owner.gathers(&runtime, 13, bounds).unwrap().entries, log[2..]);
    }

    proptest! {
        // What fails is told as it came: making it smaller takes longer than reading it.
        #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 50, ..ProptestConfig::default() })]

        #[test]
        fn borders_are_rebuilt_equal_by_whoever_takes_them_up_and_nothing_is_left_out_or_taken_twice(
            begin in 0u64..1 << 40,
            parts in prop::collection::vec(part(), 1..150),
            acts in prop::collection::vec((1usize..60, 0usize..4, any::<bool>(), 1usize..50, 1usize..4_000), 1..40),
        ) {
            let runtime = Builder::new_current_thread().enable_time().build().unwrap();
            let log = log(begin, &parts);
            let (mut position, mut stored) = (begin, Vec::new());
            let mut owner = Owner::takes_up(&log, begin, 0);
            for (count, again, dies, rows, bytes) in acts.into_iter().cycle().take(400) {
                let bounds = Bounds { rows, bytes, age: Duration::ZERO };
                owner.receives(count);
                if position < log.last().unwrap().next() && let Some(kept) = owner.gathers(&runtime, position, bounds) {
                    prop_assert_eq!(kept.from, position);
                    prop_assert_eq!(Some(kept.to), kept.entries.last().map(Entry::next));
                    prop_assert!(kept.entries.len() == 1 || kept.entries.iter().map(Entry::bytes).sum::<usize>() <= bytes);
                    if dies {
                        // Its border was kept, and rows were sent or not: the next owner finishes just this batch.
                        owner = Owner::takes_up(&log, position, again);
                        owner.receives(again + kept.entries.len() + count % 3);
                        let rebuilt = runtime.block_on(owner.intake.exactly(kept.from, kept.to)).unwrap();
                        prop_assert_eq!((rebuilt.from, rebuilt.to, &rebuilt.entries), (kept.from, kept.to, &kept.entries));
                    }
                    position = kept.to;
                    stored.extend(kept.entries);
                } else if dies {
                    // It died with nothing kept.
                    owner = Owner::takes_up(&log, position, again);
                }
            }
            prop_assert_eq!(&stored[..], &log[..stored.len()]);
            prop_assert!(stored.len() == log.len() || position < log.last().unwrap().next());
        }
    }
}
