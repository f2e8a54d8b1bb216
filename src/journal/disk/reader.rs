//! Reading the log by offset, from the process that writes it or from another one.
//!
//! In: an offset. Out: what is there, in sequence, up to what is synced: records, voids, and damage
//! with the bytes that are left of it. Refuses: offsets that are not in the journal, and a journal
//! that was replaced meanwhile. Promises: each offset below the synced end is given exactly once in
//! a pass, as one of the three; nothing that might still be refused is given.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::directory::{self, JournalId, Mark};
use super::error::{At, OpenError, ReadError};
use super::frame::{FRAME_BYTES_MAX, Kind, Reason, Seal};
use super::recovery::open_scan;
use super::scan::{self, Item, Scan};
use super::segment;

/// Pauses between two looks at the synced position while nothing comes: short at first, for an
/// event should be queryable within a second; then long enough to cost nothing.
const POLL_MIN: Duration = Duration::from_millis(1);
const POLL_MAX: Duration = Duration::from_millis(20);

/// What a journal holds at one offset, or at several in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A record.
    Record {
        /// Its offset.
        offset: u64,
        /// Its payload, as it was appended.
        payload: Bytes,
    },
    /// Offsets without a record: refused ones, or the journal's own bookkeeping. Nothing is
    /// missing.
    Void {
        /// The first of them.
        first_offset: u64,
        /// How many they are.
        count: u64,
    },
    /// Offsets whose records cannot be read any more: for the dead letters.
    Damaged(Damage),
}

/// A stretch of a journal that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The first offset that cannot be read.
    pub first_offset: u64,
    /// How many offsets cannot be read.
    pub count: u64,
    /// The segment's first offset, which is its file's name.
    pub segment: u64,
    /// Where in the segment the unreadable bytes begin.
    pub position: u64,
    /// What is wrong there.
    pub reason: Reason,
    /// The unreadable bytes, 1 MiB of them at most. They hold personal data.
    pub raw: Bytes,
}

impl Entry {
    /// The offsets that this entry stands for.
    pub fn offsets(&self) -> Range<u64> {
        match self {
            Self::Record { offset, .. } => *offset..offset + 1,
            Self::Void { first_offset, count } => *first_offset..first_offset + count,
            Self::Damaged(damage) => damage.first_offset..damage.first_offset + damage.count,
        }
    }

    /// The offset to read from after this entry.
    pub fn next_offset(&self) -> u64 {
        self.offsets().end
    }
}

/// Reads one journal. Blocks on the disk, so it belongs on a thread of its own.
#[derive(Debug)]
pub struct DiskReader {
    directory: PathBuf,
    identity: JournalId,
    seal: Seal,
    consumed_file: Option<File>,
    cursor: Option<Cursor>,
}

/// Where reading stands: in which segment, and at which offset.
#[derive(Debug)]
struct Cursor {
    scan: Scan,
    segment: u64,
    /// First offset of the next segment, when there was one as this one was opened. What lies
    /// beyond it in this one was refused, or moved there.
    bound: Option<u64>,
    offset: u64,
}

impl DiskReader {
    /// Opens the journal for reading; it takes no lock.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let identity = directory::read_identity(directory)?
            .ok_or_else(|| OpenError::Absent { directory: directory.into() })?;
        let seal = Seal::new(&identity.0);
        Ok(Self { directory: directory.into(), identity, seal, consumed_file: None, cursor: None })
    }

    /// Which journal this is. A consumer keeps it with its position: positions of another journal
    /// mean nothing here.
    pub fn journal_id(&self) -> JournalId {
        self.identity
    }

    /// The oldest offset that is still there; the end, when nothing is.
    pub fn start(&self) -> Result<u64, ReadError> {
        let firsts = self.segments()?;
        firsts.first().map_or_else(|| self.end(), |first| Ok(*first))
    }

    /// The offset below which everything is synced.
    pub fn end(&self) -> Result<u64, ReadError> {
        match directory::read_mark(&self.directory, Mark::Synced, self.seal) {
            Ok(Some(end)) => Ok(end),
            // Gone, or another journal's.
            Ok(None) | Err(_) if !self.is_same() => Err(ReadError::Replaced {
                directory: self.directory.clone(),
                expected: self.identity,
            }),
            // Created, and not opened for the first time yet.
            Ok(None) => Ok(0),
            Err(error) => Err(error).at("read the journal's synced position", &self.directory),
        }
    }

    /// Bytes of the segments that hold `offset` and what comes after it: what can't be given up while `offset` is not consumed.
    pub fn bytes_from(&self, offset: u64) -> Result<u64, ReadError> {
        let firsts = self.segments()?;
        let begin = firsts.iter().rposition(|first| *first <= offset).unwrap_or(0);
        let mut bytes = 0;
        for first in &firsts[begin..] {
            // One that was deleted since it was listed holds nothing any more.
            bytes += std::fs::metadata(self.path(*first)).map_or(0, |metadata| metadata.len());
        }
        Ok(bytes)
    }

    /// How far the consumer has told that it needs nothing any more, if it ever did.
    pub fn consumed(&self) -> Result<Option<u64>, ReadError> {
        match directory::read_mark(&self.directory, Mark::Consumed, self.seal) {
            // Damaged by a power cut: as if it had not been told yet.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            consumed => consumed.at("read the journal's consumed position", &self.directory),
        }
    }

    /// Tells the writer that everything below `offset` is safe elsewhere, so that its segments may
    /// go in time.
    pub fn publish_consumed(&mut self, offset: u64) -> Result<(), ReadError> {
        let file = match self.consumed_file.take() {
            Some(file) => file,
            None => directory::open_mark(&self.directory, Mark::Consumed)
                .at("open the journal's consumed position", &self.directory)?,
        };
        directory::write_mark(&file, offset, self.seal)
            .at("write the journal's consumed position", &self.directory)?;
        self.consumed_file = Some(file);
        Ok(())
    }

    /// Entries from offset `from` on: at most `records_max` of them, and no further one after
    /// `bytes_max` bytes of payload. Empty when nothing more is synced. Reading on where the last
    /// call ended costs no search.
    pub fn read(
        &mut self,
        from: u64,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, ReadError> {
        let end = self.end()?;
        if from == end {
            return Ok(Vec::new());
        }
        if from > end {
            return Err(self.out_of_range(from, self.start()?, end));
        }
        let is_ahead = |cursor: &Cursor| {
            cursor.offset <= from && cursor.bound.is_none_or(|bound| from < bound)
        };
        let mut cursor = match self.cursor.take().filter(is_ahead) {
            Some(mut cursor) => {
                cursor.scan.forget();
                self.advance(&mut cursor, from)?;
                cursor
            }
            None => self.locate(from, end)?,
        };
        let mut entries = Vec::new();
        let mut bytes = 0;
        while cursor.offset < end && entries.len() < records_max && bytes < bytes_max.max(1) {
            let Some(entry) = self.next(&mut cursor, end)? else {
                if cursor.scan.expected() > cursor.offset {
                    cursor = self.locate(cursor.offset, end)?;
                }
                continue;
            };
            if let Entry::Record { payload, .. } = &entry {
                bytes += payload.len();
            }
            cursor.offset = entry.next_offset();
            entries.push(entry);
            if cursor.scan.expected() > cursor.offset {
                // The walk has jumped over damage to what is not to be read here, or not yet.
                return Ok(entries);
            }
        }
        self.cursor = Some(cursor);
        Ok(entries)
    }

    /// Waits until something is synced at offset `from`, at most for `timeout`; says whether it is.
    pub fn wait(&self, from: u64, timeout: Duration) -> Result<bool, ReadError> {
        let deadline = Instant::now() + timeout;
        let mut pause = POLL_MIN;
        loop {
            if self.end()? > from {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(POLL_MAX);
        }
    }

    /// The next entry, or nothing when the cursor has moved on without one.
    fn next(&self, cursor: &mut Cursor, end: u64) -> Result<Option<Entry>, ReadError> {
        if cursor.bound.is_some_and(|bound| bound <= cursor.offset) {
            *cursor = self.locate(cursor.offset, end)?;
        }
        let position = cursor.scan.position();
        let item = cursor.scan.step().at("read a journal segment", &self.path(cursor.segment))?;
        match item {
            Item::Frame { frame, payload } => {
                let first_offset = cursor.offset;
                Ok(match frame.kind {
                    _ if frame.next_offset() <= first_offset => None,
                    Kind::Record => Some(Entry::Record { offset: frame.offset, payload }),
                    Kind::Strike | Kind::Void => {
                        let count = frame.next_offset() - first_offset;
                        Some(Entry::Void { first_offset, count })
                    }
                })
            }
            Item::Damage { first, count, position, bytes, reason } => {
                // Frames behind damage may belong to the next segment's offsets already.
                let next = self.next_segment(cursor.segment)?.unwrap_or(end);
                let until = (first + count).min(next).min(end);
                self.damage(cursor, until, position, bytes, reason)
            }
            Item::Tail { reason } => self.leave(cursor, end, position, reason),
            Item::End => self.leave(cursor, end, position, Reason::Missing),
        }
    }

    /// Moves to the next segment; what is missing in between is damage.
    fn leave(
        &self,
        cursor: &mut Cursor,
        end: u64,
        position: u64,
        reason: Reason,
    ) -> Result<Option<Entry>, ReadError> {
        let next = self.next_segment(cursor.segment)?;
        if next.is_none_or(|next| next > cursor.offset) && !self.is_replaced(cursor)? {
            let until = next.unwrap_or(end).min(end);
            return self.damage(cursor, until, position, u64::MAX, reason);
        }
        *cursor = self.locate(cursor.offset, end)?;
        Ok(None)
    }

    /// The entry for everything from the cursor's offset up to `until`, if that is anything.
    fn damage(
        &self,
        cursor: &Cursor,
        until: u64,
        position: u64,
        bytes: u64,
        reason: Reason,
    ) -> Result<Option<Entry>, ReadError> {
        if until <= cursor.offset {
            return Ok(None);
        }
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(FRAME_BYTES_MAX);
        let raw = scan::read(cursor.scan.file(), position, bytes)
            .at("read a damaged journal segment", &self.path(cursor.segment))?;
        Ok(Some(Entry::Damaged(Damage {
            first_offset: cursor.offset,
            count: until - cursor.offset,
            segment: cursor.segment,
            position,
            reason,
            raw,
        })))
    }

    /// A cursor at `offset`: in the last segment that starts at or before it, scanned up to there.
    fn locate(&self, offset: u64, end: u64) -> Result<Cursor, ReadError> {
        /// Segments may be deleted or replaced between listing and opening; more often than this it
        /// is no accident.
        const TRIES_MAX: u32 = 10;
        let mut tries = 0;
        let (file, segment, bound) = loop {
            tries += 1;
            let firsts = self.segments()?;
            let segment = firsts.iter().copied().rfind(|first| *first <= offset);
            let Some(segment) = segment else {
                let start = firsts.first().copied().unwrap_or(end);
                return Err(self.out_of_range(offset, start, end));
            };
            let path = self.path(segment);
            match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && tries < TRIES_MAX => {}
                opened => {
                    let bound = firsts.iter().copied().find(|first| *first > segment);
                    break (opened.at("open a journal segment", &path)?, segment, bound);
                }
            }
        };
        let (_, scan) = open_scan(file, &self.identity, segment)
            .at("read a journal segment", &self.path(segment))?;
        let mut cursor = Cursor { scan, segment, bound, offset: segment };
        self.advance(&mut cursor, offset)?;
        Ok(cursor)
    }

    /// Moves on to `offset`, as far as the segment reaches.
    fn advance(&self, cursor: &mut Cursor, offset: u64) -> Result<(), ReadError> {
        let scan = &mut cursor.scan;
        while scan.expected() < offset {
            let before = scan.mark();
            let item = scan.step().at("read a journal segment", &self.path(cursor.segment))?;
            if scan.expected() > offset {
                // Inside a void or a damage: that is read again, from `offset` on.
                scan.rewind(before);
                break;
            }
            if matches!(item, Item::Tail { .. } | Item::End) {
                break;
            }
        }
        cursor.offset = offset;
        Ok(())
    }

    fn out_of_range(&self, wanted: u64, start: u64, end: u64) -> ReadError {
        ReadError::OutOfRange { directory: self.directory.clone(), wanted, start, end }
    }

    fn segments(&self) -> Result<Vec<u64>, ReadError> {
        segment::list(&self.directory).at("list the journal", &self.directory)
    }

    fn next_segment(&self, segment: u64) -> Result<Option<u64>, ReadError> {
        Ok(self.segments()?.into_iter().find(|first| *first > segment))
    }

    fn path(&self, segment: u64) -> PathBuf {
        segment::path(&self.directory, segment)
    }

    fn is_same(&self) -> bool {
        matches!(directory::read_identity(&self.directory), Ok(Some(id)) if id == self.identity)
    }

    /// Whether the cursor's file no longer bears its name: after a failed fsync of a segment's
    /// first records.
    fn is_replaced(&self, cursor: &Cursor) -> Result<bool, ReadError> {
        let path = self.path(cursor.segment);
        let inode = |metadata: std::fs::Metadata| metadata.ino();
        let ours =
            cursor.scan.file().metadata().map(inode).at("look at a journal segment", &path)?;
        match std::fs::metadata(&path).map(inode) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            theirs => Ok(theirs.at("look at a journal segment", &path)? != ours),
        }
    }
}
