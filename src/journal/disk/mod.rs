//! The disk journal: an append-only log in segment files, made durable by group fsync.
//!
//! In: payloads of up to 1 MiB. Out: contiguous offsets, and the word «written» (write(2) returned,
//! so kill -9 does not matter) or «synced» (fdatasync returned, so a power cut does not either).
//! Refuses: what does not fit the buffer, the byte budget or the disk, at once; what could not be
//! written or synced, as soon as that is known. Promises:
//! - **Nothing acknowledged is lost.** What was told «synced» is on disk and readable, or reported
//!   as damage with its bytes. What was told «written» outlives every crash of a process, and a
//!   failed fsync too as long as the kernel still has it.
//! - **Offsets are for ever.** They count records from 0, are never given twice and never jump: a
//!   refused record leaves a void.
//! - **Readers see only what is synced**, in order, from this or another process, without a lock.
//! - **A writer never waits for the disk** in `append`; a hanging fsync does not hold up write(2).
//!
//! # On disk
//! A directory (mode 0700) of files (mode 0600), all numbers little endian:
//!
//! | file | what |
//! |---|---|
//! | `LOCK` | flock of the one writer, whose process id it names |
//! | `journal.id` | 128 random bits, drawn when the journal is created: a wiped journal is another journal |
//! | `00000000000000000042.seg` | a header and the frames from offset 42 on, up to the next segment's offset |
//! | `synced` | offset below which all is durable, written after each fsync |
//! | `consumed` | offset below which the consumer needs nothing any more |
//!
//! # The parts
//! `frame` frames one record, `segment` names files, `scan` walks over damage; `state`, `write` and
//! `sync` are the way of a record from `append` to «synced», `repair` what follows a failed fsync,
//! `recovery` what follows a crash, `retain` what is deleted when; `reader` reads; `survey` looks at all of it
//! from outside; `spill` and `strikes` are the layer above for records that wait for Kafka.

mod batch;
mod device;
mod directory;
mod error;
mod frame;
mod reader;
mod recovery;
mod repair;
mod retain;
mod scan;
mod segment;
mod spill;
mod state;
mod strikes;
mod survey;
mod sync;
mod write;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

pub use batch::Ticket;
pub use directory::JournalId;
pub use error::{AppendError, JournalError, OpenError, ReadError};
pub use frame::{PAYLOAD_BYTES_MAX, Reason};
pub use reader::{Damage, DiskReader, Entry};
pub use recovery::Recovery;
pub use spill::{PENDING_RECORDS_MAX, SpillJournal};
pub use strikes::Pending;
pub use survey::{DamageSort, Finding, SegmentSurvey, Survey};

use device::{Device, Kernel};
use directory::Mark;
use error::At;
use frame::{FRAME_BYTES_MAX, Kind, Seal, VOID_FRAME_BYTES};
use segment::SEGMENT_HEADER_BYTES;
use state::{Shared, State};
use write::Tail;

/// How a journal is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// A segment is closed before it grows beyond this, in bytes. Only the last one is scanned at
    /// start, and only whole segments are deleted.
    pub segment_bytes_max: u64,
    /// Records that wait for write(2), in bytes. Must fit a segment, as a batch never spans two.
    pub buffer_bytes_max: usize,
    /// All segments together, in bytes. Beyond it appending is refused, unless consumed segments
    /// can go.
    pub bytes_max: u64,
    /// So much of the file system is left free, in bytes.
    pub free_bytes_min: u64,
    /// How long consumed segments are kept for replay and audit, counted from their last write.
    pub keep: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes_max: 64 << 20,
            // 2.7 s of 10,000 records of 600 bytes a second.
            buffer_bytes_max: 16 << 20,
            bytes_max: 8 << 30,
            free_bytes_min: 256 << 20,
            keep: Duration::from_hours(7 * 24),
        }
    }
}

impl Options {
    fn check(&self) -> Result<(), OpenError> {
        let overhead = SEGMENT_HEADER_BYTES + VOID_FRAME_BYTES;
        if (self.buffer_bytes_max + overhead) as u64 > self.segment_bytes_max {
            return Err(OpenError::Options("its buffer must be smaller than a segment"));
        }
        if self.bytes_max < 2 * self.segment_bytes_max {
            return Err(OpenError::Options("its byte budget must hold two segments"));
        }
        Ok(())
    }
}

/// The one writer of a journal.
///
/// Dropping it writes and fsyncs what is left and joins its threads, so drop it where blocking is
/// allowed.
pub struct DiskJournal {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    recovery: Recovery,
    _lock: File,
}

impl DiskJournal {
    /// Opens the journal in `directory`, or creates it, and recovers what an earlier process left.
    ///
    /// Blocks for as long as reading the last segment takes.
    pub fn open(directory: &Path, options: Options) -> Result<Self, OpenError> {
        Self::open_on(directory, options, Arc::new(Kernel))
    }

    fn open_on(
        directory: &Path,
        options: Options,
        device: Arc<dyn Device>,
    ) -> Result<Self, OpenError> {
        options.check()?;
        directory::prepare(directory)?;
        let lock = directory::lock(directory)?;
        let identity = directory::identity(directory)?;
        let seal = Seal::new(&identity.0);
        let recovered = recovery::recover(directory, &identity, &*device)?;
        let synced_file = directory::open_mark(directory, Mark::Synced)
            .and_then(|file| {
                directory::write_mark(&file, recovered.next_offset, seal)?;
                file.sync_all()?;
                Ok(file)
            })
            .at("write the journal's synced position", directory)?;
        let mut state = State::new(recovered.next_offset, recovered.segments);
        state.consumed = recovered.consumed;
        let shared = Arc::new(Shared {
            directory: directory.into(),
            identity,
            seal,
            options,
            device,
            synced_file,
            sync_wake: Condvar::new(),
            write_wake: Condvar::new(),
            state: Mutex::new(state),
            tail: Mutex::new(Tail { active: recovered.active, void: None }),
        });
        shared.upkeep();
        let journal =
            Self { shared, threads: Mutex::default(), recovery: recovered.recovery, _lock: lock };
        journal.start("journal-sync", Shared::run_sync)?;
        journal.start("journal-write", Shared::run_writer)?;
        Ok(journal)
    }

    fn start(&self, name: &str, run: impl Fn(&Shared) + Send + 'static) -> Result<(), OpenError> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || run(&shared));
        let thread = thread.at("start a thread of the journal", &self.shared.directory)?;
        self.threads().push(thread);
        Ok(())
    }

    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().expect("nothing panics while it holds the journal's threads")
    }

    /// Which journal this is.
    pub fn journal_id(&self) -> JournalId {
        self.shared.identity
    }

    /// Where this journal is.
    pub fn directory(&self) -> &PathBuf {
        &self.shared.directory
    }

    /// What was found wrong at the start.
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// Takes a record: copies it into the buffer and returns at once. It is not durable before
    /// [`written`](Self::written) or [`synced`](Self::synced) says so.
    pub fn append(&self, payload: &[u8]) -> Result<Ticket, AppendError> {
        self.shared.append(Kind::Record, payload)
    }

    /// Waits for write(2): from then on the record outlives any crash of this process. Not a power
    /// cut.
    ///
    /// Cancel-safe. Where only [`synced`](Self::synced) is awaited, nothing else is paid for.
    pub async fn written(&self, ticket: &Ticket) -> Result<(), JournalError> {
        if ticket.batch.is_filling() {
            let mut state = self.shared.state();
            if Arc::ptr_eq(&state.filling.batch, &ticket.batch) {
                self.shared.want_write(&mut state);
            }
        }
        ticket.written().await
    }

    /// Waits for fdatasync: from then on the record outlives a power cut, and readers see it.
    /// Cancel-safe.
    pub async fn synced(&self, ticket: &Ticket) -> Result<(), JournalError> {
        ticket.synced().await
    }

    /// Tells that everything below `offset` is consumed. A consumer in another process uses
    /// [`DiskReader::publish_consumed`]; the larger of the two counts.
    pub fn set_consumed(&self, offset: u64) {
        let mut state = self.shared.state();
        state.consumed = state.consumed.max(offset.min(state.synced_end));
    }

    /// How it stands, for metrics and readiness.
    pub fn stats(&self) -> Stats {
        let state = self.shared.state();
        let unsynced = state.dirty.front().and_then(|dirty| dirty.batches.front());
        Stats {
            appended_end: state.next_offset,
            written_end: state.written_end,
            synced_end: state.synced_end,
            consumed_end: state.consumed,
            bytes: state.used_bytes,
            bytes_max: state.used_bytes_max,
            segments: state.segments.len(),
            refusing: state.repairing.then_some(AppendError::Failed).or(state.refusing),
            unsynced_age: unsynced.map(|written| written.at.elapsed()),
            fsyncs: state.counts.fsyncs,
            fsyncs_failed: state.counts.fsyncs_failed,
            fsync_last: state.counts.fsync_last,
            records_refused: state.counts.refused,
            records_lost: state.counts.lost_written,
            segments_evicted: state.counts.segments_evicted,
        }
    }

    /// Refuses further records, writes and fsyncs what is left, and joins the threads. Blocks.
    pub fn close(&self) {
        self.shared.state().closing = true;
        self.shared.sync_wake.notify_all();
        self.shared.write_wake.notify_all();
        for thread in self.threads().drain(..) {
            // A panic in there was printed by its own thread; nothing is acknowledged after it.
            let _ = thread.join();
        }
        self.shared.abandon_rest();
    }
}

impl Drop for DiskJournal {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for DiskJournal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (directory, identity) = (&self.shared.directory, self.shared.identity);
        formatter
            .debug_struct("DiskJournal")
            .field("directory", directory)
            .field("identity", &identity)
            .finish_non_exhaustive()
    }
}

/// How a journal stands. Counters count from the start of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// The next record's offset.
    pub appended_end: u64,
    /// Everything below has been given to write(2), or was refused.
    pub written_end: u64,
    /// Everything below is durable, or was refused.
    pub synced_end: u64,
    /// Everything below is consumed, as far as the consumer has told.
    pub consumed_end: u64,
    /// Bytes of all segments.
    pub bytes: u64,
    /// Bytes that the segments may have as things stand: the budget, or less when the disk has
    /// less.
    pub bytes_max: u64,
    /// Number of segments.
    pub segments: usize,
    /// Set while appending is refused because the disk is full or fails.
    pub refusing: Option<AppendError>,
    /// Time since the oldest unsynced batch was written: large when an fsync hangs.
    pub unsynced_age: Option<Duration>,
    /// Fsyncs of segments, failed ones included.
    pub fsyncs: u64,
    /// Fsyncs that failed.
    pub fsyncs_failed: u64,
    /// How long the last fsync took.
    pub fsync_last: Duration,
    /// Records that were taken and then refused, because a write or an fsync failed.
    pub records_refused: u64,
    /// Records told «written» that a failed fsync took with it.
    pub records_lost: u64,
    /// Consumed segments deleted before their time, for want of space.
    pub segments_evicted: u64,
}

impl Stats {
    /// Why a record of any size would be refused now, if it would. For readiness: unlike the last
    /// append's outcome it changes by itself when there is room again.
    pub fn refusal(&self) -> Option<AppendError> {
        let has_room = self.bytes + FRAME_BYTES_MAX as u64 <= self.bytes_max;
        self.refusing.or((!has_room).then_some(AppendError::Full))
    }
}
