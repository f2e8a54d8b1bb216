//! The sync thread: what was written becomes durable, and those who wait for it are told.
//!
//! In: written batches. Out: fsynced ones, the `synced` position for readers, and woken waiters.
//! Promises: one fsync covers everything written before it started (group commit); an fsync that
//! failed is never asked again (see `repair`); nobody is told «synced» before fdatasync has
//! returned, and for a new segment the fsync of its directory too.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::directory;
use super::state::{Shared, Written};

/// Fsyncs start at least so far apart. A lone record does not wait for it; at 1,000 records a
/// second it adds half a millisecond.
const SYNC_INTERVAL: Duration = Duration::from_millis(1);

/// The distance while each fsync covers more than [`BUSY_RECORDS`]. One fsync costs about 85 µs of
/// CPU on a virtual disk (measured, loadtest/RESULTS.md): at 10,000 records a second that is 8.5 µs
/// a record at 1 ms, and 2.8 at 3 ms.
const SYNC_INTERVAL_BUSY: Duration = Duration::from_millis(3);

const BUSY_RECORDS: u64 = 8;

/// What one fsync covers.
struct Job {
    file: Arc<File>,
    is_new: bool,
    batches: usize,
}

impl Shared {
    /// The sync thread.
    pub(super) fn run_sync(&self) {
        let mut next_at = Instant::now();
        while self.wait_for_work() {
            self.pause_until(next_at);
            let started = Instant::now();
            let before = self.state().synced_end;
            self.write_filling();
            while let Some(job) = self.next_job() {
                self.sync(&job);
            }
            let is_busy = self.state().synced_end - before > BUSY_RECORDS;
            next_at = started + if is_busy { SYNC_INTERVAL_BUSY } else { SYNC_INTERVAL };
        }
    }

    /// Sleeps until there is something to write or sync; says no when the journal closes and all is
    /// done, or can not be done.
    fn wait_for_work(&self) -> bool {
        let mut state = self.state();
        if state.is_broken {
            return false;
        }
        while state.filling.buffer.is_empty() && state.dirty.is_empty() {
            if state.closing {
                return false;
            }
            state.sync_idle = true;
            state = self
                .sync_wake
                .wait(state)
                .expect("no thread panics while it holds the journal's state");
        }
        state.sync_idle = false;
        true
    }

    /// Keeps the distance between two fsyncs; write(2) is not held up by it.
    fn pause_until(&self, next_at: Instant) {
        let left = next_at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        if self.begin_syncing() {
            self.write_filling();
        }
        std::thread::sleep(left);
        self.state().syncing = false;
    }

    /// From here on the writer thread writes what somebody waits for; says whether somebody does
    /// already.
    fn begin_syncing(&self) -> bool {
        let mut state = self.state();
        state.syncing = true;
        state.filling.wanted
    }

    fn next_job(&self) -> Option<Job> {
        if self.begin_syncing() {
            self.write_filling();
        }
        let mut state = self.state();
        let job = state.dirty.front().filter(|_| !state.is_broken).map(|dirty| Job {
            file: Arc::clone(&dirty.file),
            is_new: dirty.is_new,
            batches: dirty.batches.len(),
        });
        state.syncing = job.is_some();
        job
    }

    fn sync(&self, job: &Job) {
        let started = Instant::now();
        let synced = self.device.sync(&job.file).and_then(|()| match job.is_new {
            true => self.device.sync_directory(&self.directory),
            false => Ok(()),
        });
        let mut state = self.state();
        state.counts.fsyncs += 1;
        state.counts.fsync_last = started.elapsed();
        drop(state);
        match synced {
            Ok(()) => self.publish(job.batches),
            Err(error) => self.repair(&error),
        }
    }

    /// Tells readers and waiters that the oldest `count` batches of the oldest dirty file are
    /// durable.
    fn publish(&self, count: usize) {
        let mut state = self.state();
        let dirty = state.dirty.front_mut().expect("only the sync thread removes dirty files");
        dirty.is_new = false;
        let batches: Vec<Written> = dirty.batches.drain(..count).collect();
        if dirty.batches.is_empty() {
            state.dirty.pop_front();
        }
        drop(state);
        self.tell_synced(&batches);
    }

    /// Publishes the end of `batches`, then wakes who waits for them.
    pub(super) fn tell_synced(&self, batches: &[Written]) {
        let Some(last) = batches.last() else { return };
        self.state().synced_end = last.end;
        if let Err(error) = directory::write_mark(&self.synced_file, last.end, self.seal) {
            // The records are durable all the same; readers learn of them with the next fsync or
            // the next start.
            tracing::warn!(
                %error,
                journal = %self.directory.display(),
                "cannot tell the journal's readers how far they may read"
            );
        }
        for written in batches {
            written.batch.set_synced();
        }
    }
}
