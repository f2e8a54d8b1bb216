//! The end of the log: from the buffer to the active segment with write(2), and the writer thread.
//!
//! In: filled batches. Out: written ones, in the order of their offsets, in segments that a batch
//! never spans. Refuses: a whole batch when its write fails; the offsets it had are declared void
//! in front of the next batch. Promises: a failed write leaves nothing behind that a reader could
//! take for a record.
//!
//! Normally the sync thread writes what it is about to sync. The writer thread writes while an
//! fsync hangs, so that those who only need write(2) go on; besides, it looks after space once a
//! second.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::device::judge;
use super::error::{AppendError, JournalError};
use super::frame;
use super::segment::{self, Header, SEGMENT_HEADER_BYTES};
use super::state::{Dirty, Filled, Segment, Shared, Written};

/// How often space, the consumer's position and a refusing disk are looked at.
const UPKEEP_INTERVAL: Duration = Duration::from_millis(if cfg!(test) { 30 } else { 1000 });

/// How often they are looked at when appends are refused for want of space.
const UPKEEP_INTERVAL_MIN: Duration = Duration::from_millis(if cfg!(test) { 3 } else { 100 });

/// Where the next batch goes. Guarded by [`Shared::tail`], which is held during write(2).
pub(super) struct Tail {
    pub(super) active: Option<Active>,
    /// Refused offsets that no segment declares void yet: first and count.
    pub(super) void: Option<(u64, u64)>,
}

/// The segment that is written to.
pub(super) struct Active {
    pub(super) file: Arc<File>,
    pub(super) segment: u64,
    pub(super) bytes: u64,
    pub(super) is_new: bool,
}

impl Shared {
    /// Writes what was appended so far, if anything.
    pub(super) fn write_filling(&self) {
        let mut tail = self.tail();
        let Some(filled) = self.state().take_filling() else { return };
        match self.write(&mut tail, &filled) {
            Ok(written) => self.note_written(&mut tail, written, filled.buffer),
            Err(error) => self.refuse_filled(&mut tail, &filled, &error),
        }
    }

    fn write(&self, tail: &mut Tail, filled: &Filled) -> io::Result<Written> {
        let void = tail.void.map(|(first, count)| frame::encode_void(self.seal, first, count));
        let first = tail.void.map_or(filled.first, |(first, _)| first);
        let void_bytes = void.as_ref().map_or(0, Vec::len) as u64;
        let bytes = void_bytes + filled.buffer.len() as u64;
        if tail.active.as_ref().is_some_and(|active| {
            active.bytes + bytes > self.options.segment_bytes_max
                && active.bytes > SEGMENT_HEADER_BYTES as u64
        }) {
            tail.active = None;
        }
        let active = match &mut tail.active {
            Some(active) => active,
            empty => empty.insert(self.create_segment(first)?),
        };
        let position = active.bytes;
        let write = || {
            self.device.write(&active.file, void.as_deref().unwrap_or_default(), position)?;
            self.device.write(&active.file, &filled.buffer, position + void_bytes)
        };
        if let Err(error) = write() {
            // What was written in part must not be read. If it cannot be cut off, a new segment
            // takes over at the same offset, which ends this one before it.
            if active.file.set_len(position).is_err() {
                tail.active = None;
            }
            return Err(error);
        }
        active.bytes += bytes;
        tail.void = None;
        let batch = Arc::clone(&filled.batch);
        Ok(Written { batch, first, end: filled.end, position, bytes, at: Instant::now() })
    }

    fn create_segment(&self, first: u64) -> io::Result<Active> {
        let path = segment::path(&self.directory, first);
        let file = match segment::create(&path) {
            // Left by a try that failed: it holds nothing, or refused records that could not be cut
            // off.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                std::fs::remove_file(&path)?;
                segment::create(&path)?
            }
            created => created?,
        };
        let header = Header::now(first).encode(self.seal, &self.identity.0);
        if let Err(error) = self.device.write(&file, &header, 0) {
            // Left behind it would stand in the way of the next try.
            std::fs::remove_file(&path)?;
            return Err(error);
        }
        let bytes = SEGMENT_HEADER_BYTES as u64;
        self.state().set_segment(first, Segment { bytes, end: first });
        Ok(Active { file: Arc::new(file), segment: first, bytes, is_new: true })
    }

    fn note_written(&self, tail: &mut Tail, written: Written, buffer: Vec<u8>) {
        let active = tail.active.as_mut().expect("a batch was just written to the active segment");
        let is_new = std::mem::take(&mut active.is_new);
        let batch = Arc::clone(&written.batch);
        batch.note_written();
        let mut state = self.state();
        state.recycle(buffer);
        state.written_end = written.end;
        state.set_segment(active.segment, Segment { bytes: active.bytes, end: written.end });
        match state.dirty.back_mut() {
            Some(dirty) if dirty.segment == active.segment => dirty.batches.push_back(written),
            _ => state.dirty.push_back(Dirty {
                file: Arc::clone(&active.file),
                segment: active.segment,
                is_new,
                batches: [written].into(),
            }),
        }
        if state.sync_idle {
            state.sync_idle = false;
            self.sync_wake.notify_one();
        }
        drop(state);
        batch.tell_written();
    }

    fn refuse_filled(&self, tail: &mut Tail, filled: &Filled, error: &io::Error) {
        let reason = judge(error);
        let count = filled.end - filled.first;
        tail.void = Some(match tail.void {
            Some((first, before)) => (first, before + count),
            None => (filled.first, count),
        });
        let mut state = self.state();
        state.counts.refused += count;
        let refusal = match reason {
            JournalError::Full => AppendError::Full,
            JournalError::Failed => AppendError::Failed,
        };
        state.refusing = Some(refusal);
        drop(state);
        self.log_failure("cannot write the journal; its records are refused", error);
        refuse(&filled.batch, reason);
    }

    /// The writer thread.
    pub(super) fn run_writer(&self) {
        let mut upkept = Instant::now();
        loop {
            let mut state = self.state();
            let (wanted, due) = loop {
                let interval =
                    if state.upkeep_wanted { UPKEEP_INTERVAL_MIN } else { UPKEEP_INTERVAL };
                let left = interval.saturating_sub(upkept.elapsed());
                let wanted = state.filling.wanted && state.syncing;
                if wanted || left.is_zero() || state.closing {
                    break (wanted, left.is_zero());
                }
                let waited = self.write_wake.wait_timeout(state, left);
                state = waited.expect("no thread panics while it holds the journal's state").0;
            };
            let closing = state.closing;
            drop(state);
            if wanted {
                self.write_filling();
            }
            if due {
                self.upkeep();
                upkept = Instant::now();
            }
            if closing {
                return;
            }
        }
    }
}

fn refuse(batch: &Batch, reason: JournalError) {
    let refused = batch.refuse(reason);
    assert!(refused, "nobody can have been told that a batch is written whose write failed");
}
