//! What the appenders and the two threads of the journal share.
//!
//! In: records, and what the threads did with them. Out: offsets, and work for the threads.
//! Refuses: what does not fit the buffer, the byte budget or the disk. Promises: the state's mutex
//! is held for a copy of one record at most, never over a system call; whoever needs both locks
//! takes the tail's (see `write`) first.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::Options;
use super::batch::{Batch, Ticket};
use super::device::Device;
use super::directory::JournalId;
use super::error::AppendError;
use super::frame::{self, FRAME_HEADER_BYTES, Kind, PAYLOAD_BYTES_MAX, Seal};
use super::write::Tail;

/// A buffer that grew beyond this in a burst is given back, so that an idle journal is small. In
/// bytes.
const SPARE_BYTES_MAX: usize = 1 << 20;

/// Strikes may go so many bytes over the budget: they are what empties a full spill.
const STRIKE_RESERVE_BYTES: u64 = 1 << 20;

/// Everything that the journal's handle and its threads hold in common.
pub(super) struct Shared {
    pub(super) directory: PathBuf,
    pub(super) identity: JournalId,
    pub(super) seal: Seal,
    pub(super) options: Options,
    pub(super) device: Arc<dyn Device>,
    pub(super) synced_file: File,
    /// Wakes the sync thread: something was appended or written.
    pub(super) sync_wake: Condvar,
    /// Wakes the writer thread: somebody waits for write(2) while an fsync runs, or space is short.
    pub(super) write_wake: Condvar,
    pub(super) state: Mutex<State>,
    pub(super) tail: Mutex<Tail>,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the journal's state")
    }

    pub(super) fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().expect("no thread panics while it holds the journal's tail")
    }

    pub(super) fn append(&self, kind: Kind, payload: &[u8]) -> Result<Ticket, AppendError> {
        let frame_bytes = FRAME_HEADER_BYTES + payload.len();
        if payload.len() > PAYLOAD_BYTES_MAX || frame_bytes > self.options.buffer_bytes_max {
            return Err(AppendError::TooLarge);
        }
        let begun = self.seal.begin(kind, payload);
        let mut state = self.state();
        self.admit(&mut state, kind, frame_bytes)?;
        let offset = state.next_offset;
        frame::encode(&mut state.filling.buffer, begun, offset, kind, payload);
        state.next_offset += 1;
        if state.sync_idle {
            state.sync_idle = false;
            self.sync_wake.notify_one();
        } else if state.filling.buffer.len() >= self.options.buffer_bytes_max / 2 {
            self.want_write(&mut state);
        }
        Ok(Ticket { batch: Arc::clone(&state.filling.batch), offset })
    }

    fn admit(&self, state: &mut State, kind: Kind, bytes: usize) -> Result<(), AppendError> {
        if state.closing {
            return Err(AppendError::Closed);
        }
        if state.repairing {
            return Err(AppendError::Failed);
        }
        if let Some(refusal) = state.refusing {
            return Err(refusal);
        }
        let buffered = state.filling.buffer.len() + bytes;
        if buffered > self.options.buffer_bytes_max {
            return Err(AppendError::Busy);
        }
        let reserve = if kind == Kind::Strike { STRIKE_RESERVE_BYTES } else { 0 };
        if state.used_bytes + buffered as u64 > state.used_bytes_max + reserve {
            if !state.upkeep_wanted {
                state.upkeep_wanted = true;
                self.write_wake.notify_one();
            }
            return Err(AppendError::Full);
        }
        Ok(())
    }

    /// Logs that the disk fails: once a minute, as it is tried every second.
    pub(super) fn log_failure(&self, what: &'static str, error: &io::Error) {
        const LOG_INTERVAL: Duration = Duration::from_mins(1);
        let mut state = self.state();
        if state.failure_logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            state.failure_logged = Some(Instant::now());
            drop(state);
            tracing::error!(%error, journal = %self.directory.display(), "journal: {what}");
        }
    }

    /// Notes that somebody waits for write(2) of what is being filled. While no fsync runs the sync
    /// thread is about to write anyway.
    pub(super) fn want_write(&self, state: &mut State) {
        if !state.filling.wanted {
            state.filling.wanted = true;
            if state.syncing {
                self.write_wake.notify_one();
            }
        }
    }
}

/// Guarded by [`Shared::state`].
pub(super) struct State {
    pub(super) filling: Filling,
    spare: Vec<u8>,
    /// The offset of the next record.
    pub(super) next_offset: u64,
    pub(super) written_end: u64,
    pub(super) synced_end: u64,
    /// What is written and not yet synced, in the order of offsets.
    pub(super) dirty: VecDeque<Dirty>,
    /// All segments by their first offset.
    pub(super) segments: BTreeMap<u64, Segment>,
    /// Bytes of all segments.
    pub(super) used_bytes: u64,
    /// The byte budget, or less when the disk has less.
    pub(super) used_bytes_max: u64,
    /// Everything below was consumed, as far as the consumer has told.
    pub(super) consumed: u64,
    /// Set after a failed write, until the writer thread finds it worth trying again.
    pub(super) refusing: Option<AppendError>,
    /// An fsync failed, and its segment's unsynced records are not safe elsewhere yet.
    pub(super) repairing: bool,
    /// The sync thread sleeps until something is appended.
    pub(super) sync_idle: bool,
    /// The sync thread is busy with an fsync, or pauses between two.
    pub(super) syncing: bool,
    pub(super) upkeep_wanted: bool,
    pub(super) closing: bool,
    /// The journal closed while an fsync could not be made good: nothing may be published any more.
    pub(super) is_broken: bool,
    failure_logged: Option<Instant>,
    pub(super) counts: Counts,
}

/// A segment on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) bytes: u64,
    /// The offset after its last record. Of a segment from an earlier process it may say more, up
    /// to the next one's first.
    pub(super) end: u64,
}

/// Counters of one process life.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) refused: u64,
    pub(super) lost_written: u64,
    pub(super) fsyncs: u64,
    pub(super) fsyncs_failed: u64,
    pub(super) fsync_last: Duration,
    pub(super) segments_evicted: u64,
}

/// The batch that is being appended to.
pub(super) struct Filling {
    pub(super) batch: Arc<Batch>,
    pub(super) buffer: Vec<u8>,
    /// Offset of the first record in the buffer.
    first: u64,
    /// Somebody waits for its write(2).
    pub(super) wanted: bool,
}

/// A batch taken to be written: offsets `first` up to `end`.
pub(super) struct Filled {
    pub(super) batch: Arc<Batch>,
    pub(super) buffer: Vec<u8>,
    pub(super) first: u64,
    pub(super) end: u64,
}

/// A file with bytes that are written and not synced.
pub(super) struct Dirty {
    pub(super) file: Arc<File>,
    /// First offset of the segment, which is its name.
    pub(super) segment: u64,
    /// The segment's name is not yet durable in its directory.
    pub(super) is_new: bool,
    pub(super) batches: VecDeque<Written>,
}

/// A batch's place in its segment. It begins with a void frame when refused offsets precede it.
#[derive(Clone)]
pub(super) struct Written {
    pub(super) batch: Arc<Batch>,
    pub(super) first: u64,
    pub(super) end: u64,
    pub(super) position: u64,
    pub(super) bytes: u64,
    pub(super) at: Instant,
}

impl State {
    pub(super) fn new(next_offset: u64, segments: BTreeMap<u64, Segment>) -> Self {
        Self {
            filling: Filling {
                batch: Arc::default(),
                buffer: Vec::new(),
                first: next_offset,
                wanted: false,
            },
            spare: Vec::new(),
            next_offset,
            written_end: next_offset,
            synced_end: next_offset,
            dirty: VecDeque::new(),
            used_bytes: segments.values().map(|segment| segment.bytes).sum(),
            segments,
            used_bytes_max: 0,
            consumed: 0,
            refusing: None,
            repairing: false,
            sync_idle: false,
            syncing: false,
            upkeep_wanted: false,
            closing: false,
            is_broken: false,
            failure_logged: None,
            counts: Counts::default(),
        }
    }

    /// Takes what was appended, if anything was.
    pub(super) fn take_filling(&mut self) -> Option<Filled> {
        if self.filling.buffer.is_empty() {
            return None;
        }
        let buffer = std::mem::replace(&mut self.filling.buffer, std::mem::take(&mut self.spare));
        let batch = std::mem::take(&mut self.filling.batch);
        let first = std::mem::replace(&mut self.filling.first, self.next_offset);
        self.filling.wanted = false;
        Some(Filled { batch, buffer, first, end: self.next_offset })
    }

    /// Gives a written batch's buffer back for the next one.
    pub(super) fn recycle(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= SPARE_BYTES_MAX {
            buffer.clear();
            self.spare = buffer;
        }
    }

    /// Notes how large a segment is now.
    pub(super) fn set_segment(&mut self, first: u64, segment: Segment) {
        let before = self.segments.insert(first, segment).map_or(0, |before| before.bytes);
        self.used_bytes = self.used_bytes + segment.bytes - before;
    }

    /// Notes where a segment of an earlier process really ends.
    pub(super) fn set_segment_end(&mut self, first: u64, end: u64) {
        if let Some(segment) = self.segments.get_mut(&first) {
            segment.end = end;
        }
    }

    /// Forgets a segment that was deleted.
    pub(super) fn forget_segment(&mut self, first: u64) {
        self.used_bytes -= self.segments.remove(&first).map_or(0, |segment| segment.bytes);
    }

    /// All segments but the newest, oldest first, as first offset and end.
    pub(super) fn sealed(&self) -> Vec<(u64, u64)> {
        let mut sealed: Vec<_> =
            self.segments.iter().map(|(first, segment)| (*first, segment.end)).collect();
        sealed.pop();
        sealed
    }
}
