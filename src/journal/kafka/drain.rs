//! The drain: produces what is in the spill and not under way, once the brokers are back.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::still::StandingStill;
use super::under_way::State;
use super::{KEY_BYTES, Sender, lock};
use crate::journal::disk::Entry;

/// What an earlier process left, or a producer that stood still, waits this long after the brokers came back: its own produce may still be on its way.
const RESEND_AFTER: Duration = Duration::from_secs(30);

/// Records that the drain has under way at most.
const DRAIN_UNDER_WAY_MAX: usize = 20_000;

/// Records of one turn of the drain.
const DRAIN_TURN: usize = 5_000;

/// Wait between turns of the drain: while nothing is to be done, and while more waits behind what was just produced.
const DRAIN_WAIT: Duration = Duration::from_millis(100);
const DRAIN_WAIT_SHORT: Duration = Duration::from_millis(10);

impl Sender {
    /// Produces what is in the spill and not under way, for as long as the process lives.
    pub(super) fn drain(&self) {
        let mut next = 0;
        let mut wait = DRAIN_WAIT;
        let mut still = StandingStill::default();
        while !self.shared.stop.load(Ordering::Relaxed) {
            std::thread::sleep(wait);
            wait = DRAIN_WAIT;
            still.look(&self.line, &self.shared);
            if self.away() || self.shared.spill.pending().records == 0 {
                next = 0;
                continue;
            }
            if self.shared.refused.is_recent(self.shared.now_ms()) {
                continue;
            }
            self.see_whether_back();
            next = self.drain_turn(next);
            if next > 0 && !lock(&self.shared.under_way).is_empty() {
                wait = DRAIN_WAIT_SHORT;
            }
        }
    }

    /// Without traffic no report tells that the brokers are there: then their metadata does.
    fn see_whether_back(&self) {
        if self.shared.back_since_ms.load(Ordering::Relaxed) >= 0 {
            return;
        }
        if self.line.knows_the_topic() && !self.away() {
            self.shared.back_since_ms.store(self.shared.now_ms(), Ordering::Relaxed);
        }
    }

    /// One turn from offset `next` on; returns where the following one begins, 0 when all were seen.
    fn drain_turn(&self, next: u64) -> u64 {
        let room =
            DRAIN_UNDER_WAY_MAX.saturating_sub(lock(&self.shared.under_way).len()).min(DRAIN_TURN);
        if room == 0 {
            return next;
        }
        let items = match self.shared.spill.next_pending(next, room) {
            Ok(items) => items,
            Err(error) => {
                tracing::error!(%error, "the spill can't be read");
                return 0;
            }
        };
        let back_ms = self.shared.back_since_ms.load(Ordering::Relaxed);
        let resend =
            back_ms >= 0 && self.shared.now_ms() - back_ms >= RESEND_AFTER.as_millis() as i64;
        let mut seen = 0;
        for entry in items {
            let offsets = entry.offsets();
            seen = offsets.end;
            let resent = self.shared.may_be_there(offsets.start);
            if resent && !resend {
                continue;
            }
            if !self.produce_spilled(&entry, resent) {
                return offsets.start;
            }
        }
        seen
    }

    /// Produces one spilled record unless it is under way; false when the queue is full. What is damaged is produced as it is: the
    /// consumer puts it into the dead letters.
    fn produce_spilled(&self, entry: &Entry, resent: bool) -> bool {
        let offsets = entry.offsets();
        let offset = offsets.start;
        let (key, payload) = match entry {
            Entry::Record { payload, .. } => payload.split_at(KEY_BYTES.min(payload.len())),
            Entry::Damaged(damage) => (&[][..], &damage.raw[..]),
            Entry::Void { .. } => return true,
        };
        {
            let mut under_way = lock(&self.shared.under_way);
            // It may have been struck since it was listed: strikes come before `under_way` forgets.
            if !self.shared.spill.is_pending(offset) || !under_way.insert(offset) {
                return true;
            }
        }
        match self.produce(key, payload, resent, State::Spilled(offsets)) {
            Ok(_) => true,
            Err(_) => {
                lock(&self.shared.under_way).remove(&offset);
                false
            }
        }
    }
}
