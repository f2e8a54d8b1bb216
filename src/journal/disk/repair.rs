//! After a failed fsync.
//!
//! In: a segment of which the kernel could not say that it is on disk. Out: the same offsets in a
//! fresh segment that takes over where the last good fsync ended. Refuses: the batches that nobody
//! was told of. Promises: no fsync of the same file is ever asked again, because Linux marks the
//! pages clean after the failure and would say yes; what somebody was told is written (a redirect
//! that went out on write(2)) is read back, checked, and carried over, so that it becomes durable
//! late rather than never.
//!
//! The fresh segment is put together under another name, fsynced, and renamed into place before the
//! old one is cut: kill -9 at any moment leaves either of the two whole. A refused record may be
//! read after such a crash, as any record may that was not acknowledged; never the other way round.

use std::fs::File;
use std::io;
use std::time::Duration;

use super::error::JournalError;
use super::frame::{self, Parsed};
use super::scan;
use super::segment::{self, Header, SEGMENT_HEADER_BYTES};
use super::state::{Dirty, Segment, Shared, Written};

/// How long a disk that fails again is left alone.
const REPAIR_INTERVAL: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 1000 });

impl Shared {
    /// Replaces what is unsynced in the oldest dirty file. Returns when that is done, or when the
    /// journal closes on a disk that still fails.
    pub(super) fn repair(&self, error: &io::Error) {
        self.log_failure("fsync failed; unsynced records are refused or moved elsewhere", error);
        let dirty = self.seal_oldest();
        let mut refused = 0;
        for written in &dirty.batches {
            if written.batch.refuse(JournalError::Failed) {
                refused += written.end - written.first;
            }
        }
        self.state().counts.refused += refused;
        while let Err(error) = self.replace(&dirty) {
            self.log_failure("cannot put a fresh segment in place; trying every second", &error);
            if self.wait_or_close() {
                let mut state = self.state();
                state.dirty.push_front(dirty);
                state.is_broken = true;
                return;
            }
        }
        self.state().repairing = false;
    }

    /// Takes the oldest dirty file off the list; nothing is written to it from here on.
    fn seal_oldest(&self) -> Dirty {
        let mut tail = self.tail();
        let mut state = self.state();
        let dirty = state.dirty.pop_front().expect("an fsync that failed was a dirty file's");
        if tail.active.as_ref().is_some_and(|active| active.segment == dirty.segment) {
            tail.active = None;
        }
        state.repairing = true;
        state.counts.fsyncs_failed += 1;
        dirty
    }

    fn replace(&self, dirty: &Dirty) -> io::Result<()> {
        let oldest = dirty.batches.front().expect("a dirty file has unsynced batches");
        let newest = dirty.batches.back().expect("a dirty file has unsynced batches");
        let (first, position) = (oldest.first, oldest.position);
        let path = segment::unfinished_path(&self.directory, first);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = segment::create(&path)?;
        let header = Header::now(first).encode(self.seal, &self.identity.0);
        self.device.write(&file, &header, 0)?;
        let mut bytes = SEGMENT_HEADER_BYTES as u64;
        for written in &dirty.batches {
            let carried = self.carry(&dirty.file, written);
            self.device.write(&file, &carried, bytes)?;
            bytes += carried.len() as u64;
        }
        self.device.sync(&file)?;
        std::fs::rename(&path, segment::path(&self.directory, first))?;
        self.device.sync_directory(&self.directory)?;
        // A reader that has the old file open must find its end where the fresh one begins.
        dirty.file.set_len(position)?;

        let mut state = self.state();
        if dirty.segment != first {
            state.set_segment(dirty.segment, Segment { bytes: position, end: first });
        }
        state.set_segment(first, Segment { bytes, end: newest.end });
        drop(state);
        let batches: Vec<Written> = dirty.batches.iter().cloned().collect();
        self.tell_synced(&batches);
        Ok(())
    }

    /// The bytes that stand for a batch in the fresh segment: its frames, or a void of its offsets.
    fn carry(&self, file: &File, written: &Written) -> Vec<u8> {
        let count = written.end - written.first;
        if !written.batch.refuse(JournalError::Failed) {
            match self.read_back(file, written) {
                Some(bytes) => return bytes,
                None => {
                    // The one way to lose what write(2) took without a power cut: the disk failed
                    // and the kernel forgot.
                    tracing::error!(
                        first_offset = written.first,
                        count,
                        journal = %self.directory.display(),
                        "records that were written but not synced are lost with their segment"
                    );
                    self.state().counts.lost_written += count;
                    written.batch.abandon();
                }
            }
        }
        frame::encode_void(self.seal, written.first, count)
    }

    /// A batch's frames as the page cache still has them, if every one of them is unchanged.
    fn read_back(&self, file: &File, written: &Written) -> Option<Vec<u8>> {
        let length = usize::try_from(written.bytes).ok()?;
        let bytes = scan::read(file, written.position, length).ok()?;
        let mut expected = written.first;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match frame::parse(self.seal, rest) {
                Parsed::Frame(frame) if frame.offset == expected => {
                    expected = frame.next_offset();
                    rest = &rest[frame.bytes()..];
                }
                _ => return None,
            }
        }
        (expected == written.end).then(|| bytes.to_vec())
    }

    fn wait_or_close(&self) -> bool {
        let state = self.state();
        let waited =
            self.sync_wake.wait_timeout_while(state, REPAIR_INTERVAL, |state| !state.closing);
        waited.expect("no thread panics while it holds the journal's state").0.closing
    }

    /// Refuses what the threads left when they ended on a broken disk, so that nobody is left
    /// waiting. What can still be read is found at the next start.
    pub(super) fn abandon_rest(&self) {
        let mut state = self.state();
        let dirty = std::mem::take(&mut state.dirty);
        let filled = state.take_filling();
        drop(state);
        for written in dirty.iter().flat_map(|dirty| &dirty.batches) {
            written.batch.abandon();
        }
        if let Some(filled) = filled {
            filled.batch.abandon();
        }
    }
}
