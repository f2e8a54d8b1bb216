//! The sync thread: what was written becomes durable, and those who wait for it are told.
//!
//! In: written batches. Out: fsynced ones, the `synced` position for readers, and woken waiters. Promises: one fsync
//! covers everything written before it started (group commit); an fsync that failed is never asked again (see `repair`);
//! nobody is told «synced» before fdatasync has returned, and for a new segment the fsync of its directory too.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::directory;
use super::state::{Shared, Written};

/// Fsyncs start at least so far apart. Under load this gathers records into fewer writes and wake-ups; loadtest/RESULTS.md
/// has what it costs in waiting and saves in CPU. A lone record does not wait for it.
const SYNC_INTERVAL_MIN: Duration = Duration::from_millis(1);

/// What one fsync covers.
struct Job {
    file: Arc<File>,
    is_new: bool,
    batches: usize,
}

impl Shared {
    /// The sync thread.
    pub(super) fn run_sync(&self) {
        let mut started: Option<Instant> = None;
        while self.wait_for_work() {
            self.pause(started);
            started = Some(Instant::now());
            self.write_filling();
            while let Some(job) = self.next_job() {
                self.sync(&job);
            }
        }
    }

    /// Sleeps until there is something to write or sync; says no when the journal closes and all is done.
    fn wait_for_work(&self) -> bool {
        let mut state = self.state();
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
    fn pause(&self, started: Option<Instant>) {
        let Some(left) = started.and_then(|at| SYNC_INTERVAL_MIN.checked_sub(at.elapsed())) else {
            return;
        };
        if self.begin_syncing() {
            self.write_filling();
        }
        std::thread::sleep(left);
        self.state().syncing = false;
    }

    /// From here on the writer thread writes what somebody waits for; says whether somebody does already.
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
        let job = state.dirty.front().map(|dirty| Job {
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

    /// Tells readers and waiters that the oldest `count` batches of the oldest dirty file are durable.
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
            // The records are durable all the same; readers learn of them with the next fsync or the next start.
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
