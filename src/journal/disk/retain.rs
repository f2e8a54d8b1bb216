//! Which segments may go, and how much may still come.
//!
//! In: the consumer's position and the free space. Out: deleted segments and the byte budget for
//! appending. Refuses: to delete anything that is not consumed. Promises: what is consumed is kept
//! for `keep`, unless the budget or the disk runs out; then the oldest consumed segments go first,
//! before any new record is refused (no lead lost comes before replaying), and each such deletion
//! is counted and logged.

use std::io;
use std::time::{Duration, SystemTime};

use super::directory::{self, Mark};
use super::segment;
use super::state::Shared;

impl Shared {
    /// Looks at space and positions, deletes what may go, and lets a refusing journal try again.
    pub(super) fn upkeep(&self) {
        match directory::read_mark(&self.directory, Mark::Consumed, self.seal) {
            Ok(Some(consumed)) => {
                let mut state = self.state();
                state.consumed = state.consumed.max(consumed);
            }
            Ok(None) => {}
            // Damaged by a power cut; the consumer writes it anew with its next batch.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
            Err(error) => self.warn("read how far the journal is consumed", &error),
        }
        self.delete_consumed();
        let free_bytes = self.free_bytes();
        let mut state = self.state();
        state.upkeep_wanted = false;
        let room = free_bytes.saturating_sub(self.options.free_bytes_min);
        state.used_bytes_max = self.options.bytes_max.min(state.used_bytes.saturating_add(room));
        // If the disk still refuses, the next batch is refused as the last one was.
        state.refusing = None;
    }

    /// Deletes a sealed segment, whatever is in it. Its name may come back after a power cut, and
    /// then it is deleted again; not waiting for the disk here keeps the writer thread free for
    /// write(2).
    pub(super) fn delete_segment(&self, first: u64) {
        match std::fs::remove_file(segment::path(&self.directory, first)) {
            Ok(()) => self.state().forget_segment(first),
            Err(error) => self.warn("delete a journal segment", &error),
        }
    }

    fn delete_consumed(&self) {
        let state = self.state();
        let sealed = state.sealed();
        let below = state.consumed.min(state.synced_end);
        drop(state);
        for (first, _) in sealed.into_iter().take_while(|(_, end)| *end <= below) {
            let is_old = self.age(first).is_some_and(|age| age >= self.options.keep);
            if !is_old {
                if !self.is_short_of_space() {
                    return;
                }
                self.state().counts.segments_evicted += 1;
                tracing::warn!(
                    segment = first,
                    journal = %self.directory.display(),
                    "journal short of space: a consumed segment is deleted before its time and cannot be replayed"
                );
            }
            self.delete_segment(first);
        }
    }

    /// Whether the next segment may not fit any more.
    fn is_short_of_space(&self) -> bool {
        let headroom = self.options.segment_bytes_max.min(self.options.bytes_max / 4);
        let used_bytes = self.state().used_bytes;
        used_bytes + headroom > self.options.bytes_max
            || self.free_bytes() < self.options.free_bytes_min.saturating_add(headroom)
    }

    fn free_bytes(&self) -> u64 {
        // Where it cannot be known, the disk itself will say when it is full.
        self.device.free_bytes(&self.directory).unwrap_or(u64::MAX)
    }

    /// Time since the last write to a segment; none when the clock was set back since.
    fn age(&self, first: u64) -> Option<Duration> {
        let modified =
            std::fs::metadata(segment::path(&self.directory, first)).ok()?.modified().ok()?;
        Some(SystemTime::now().duration_since(modified).unwrap_or(Duration::ZERO))
    }

    fn warn(&self, what: &'static str, error: &io::Error) {
        tracing::warn!(%error, journal = %self.directory.display(), "cannot {what}; trying again in a second");
    }
}
