//! What a journal holds when it is opened.
//!
//! In: a directory that a process left, perhaps in the middle of a write. Out: the next offset, the
//! segment to go on with, and what was found wrong. Refuses nothing that can be read. Promises: a
//! torn tail is cut; damage that touches records known to be durable is kept for the reader to
//! report; offsets that were ever synced or consumed are not given again; everything readable is
//! fsynced before it is said to be durable. Only the last segment is scanned.
//!
//! What was not known to be synced is written once more, over itself, before that fsync: the
//! process before may have died of a failed one, after which Linux takes the pages for clean and an
//! fsync alone would say yes without writing them.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::device::Device;
use super::directory::{self, JournalId, Mark};
use super::error::{At, OpenError};
use super::frame::Seal;
use super::scan::{self, Item, Scan};
use super::segment::{self, Header, SEGMENT_HEADER_BYTES};
use super::state::Segment;
use super::write::Active;

/// What was found wrong when the journal was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes of a torn tail that were cut off: records that were never acknowledged as synced.
    pub cut_bytes: u64,
    /// Offsets in the last segment that cannot be read any more. Readers get them as damage.
    pub damaged_records: u64,
}

/// Where to go on.
pub(super) struct Recovered {
    pub(super) next_offset: u64,
    pub(super) consumed: u64,
    pub(super) active: Option<Active>,
    pub(super) segments: BTreeMap<u64, Segment>,
    pub(super) recovery: Recovery,
    /// From this byte on the last segment may hold what was never synced.
    unsynced_from: u64,
}

/// Looks through the directory, whose lock is held.
pub(super) fn recover(
    directory: &Path,
    identity: &JournalId,
    device: &dyn Device,
) -> Result<Recovered, OpenError> {
    let seal = Seal::new(&identity.0);
    segment::remove_unfinished(directory).at("remove unfinished segments", directory)?;
    // A power cut may leave a position unreadable; it is then as if it had not been written yet.
    let mark = |mark| match directory::read_mark(directory, mark, seal) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(0),
        position => {
            position.map(Option::unwrap_or_default).at("read a position of the journal", directory)
        }
    };
    let (synced, consumed) = (mark(Mark::Synced)?, mark(Mark::Consumed)?);
    let mut recovered = Recovered {
        next_offset: synced.max(consumed),
        consumed,
        active: None,
        segments: BTreeMap::new(),
        recovery: Recovery::default(),
        unsynced_from: 0,
    };
    let mut firsts = segment::list(directory).at("list the journal", directory)?;
    while let Some(last) = firsts.last().copied() {
        if recover_last(directory, identity, last, synced, &mut recovered)? {
            break;
        }
        firsts.pop();
    }
    for (index, first) in firsts.iter().enumerate() {
        let path = segment::path(directory, *first);
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.at("open a journal segment", &path)?;
        let next = firsts.get(index + 1).copied();
        let end = next.unwrap_or(recovered.next_offset);
        if end > synced {
            let from = if next.is_some() { 0 } else { recovered.unsynced_from };
            rewrite(device, &file, from).at("write a journal segment again", &path)?;
            device.sync(&file).at("fsync a journal segment", &path)?;
        }
        let bytes = file.metadata().at("look at a journal segment", &path)?.len();
        recovered.segments.insert(*first, Segment { bytes, end });
    }
    device.sync_directory(directory).at("fsync the journal directory", directory)?;
    Ok(recovered)
}

/// Scans the last segment and cuts its torn tail; says whether the segment is still there.
fn recover_last(
    directory: &Path,
    identity: &JournalId,
    first: u64,
    synced: u64,
    recovered: &mut Recovered,
) -> Result<bool, OpenError> {
    let path = segment::path(directory, first);
    let file = OpenOptions::new().read(true).write(true).open(&path);
    let file = file.at("open the last journal segment", &path)?;
    let length = file.metadata().at("look at the last journal segment", &path)?.len();
    let (has_header, mut scan) =
        open_scan(file, identity, first).at("read the last journal segment", &path)?;
    recovered.unsynced_from = 0;
    loop {
        if first < synced && scan.expected() <= synced {
            recovered.unsynced_from = scan.position();
        }
        match scan.step().at("read the last journal segment", &path)? {
            Item::Frame { .. } => {}
            Item::Damage { count, .. } => recovered.recovery.damaged_records += count,
            Item::Tail { .. } | Item::End => break,
        }
    }
    let (end, position) = (scan.expected(), scan.position());
    if recovered.next_offset > end {
        // Records known to be durable are missing: nothing is cut, so that the reader can show what
        // is left of them.
        recovered.recovery.damaged_records += recovered.next_offset - end;
        return Ok(true);
    }
    recovered.recovery.cut_bytes += length - position;
    if position == 0 {
        // Not even a header: the crash came while the segment was created. The one before it is the
        // last then.
        std::fs::remove_file(&path).at("remove an empty journal segment", &path)?;
        return Ok(false);
    }
    recovered.next_offset = end;
    let file = scan.into_file();
    if position < length {
        file.set_len(position).at("cut the torn tail of the journal", &path)?;
    }
    if has_header {
        recovered.active =
            Some(Active { file: Arc::new(file), segment: first, bytes: position, is_new: false });
    }
    Ok(true)
}

/// Writes a file's bytes over themselves, so that the kernel has to write them to the disk.
fn rewrite(device: &dyn Device, file: &File, mut position: u64) -> io::Result<()> {
    const CHUNK_BYTES: usize = 1 << 20;
    loop {
        let bytes = scan::read(file, position, CHUNK_BYTES)?;
        if bytes.is_empty() {
            return Ok(());
        }
        device.write(file, &bytes, position)?;
        position += bytes.len() as u64;
    }
}

/// A walk over a segment, and whether its header is good. Without a header the search for frames
/// starts at byte 0.
pub(super) fn open_scan(file: File, identity: &JournalId, first: u64) -> io::Result<(bool, Scan)> {
    let seal = Seal::new(&identity.0);
    let header = scan::read(&file, 0, SEGMENT_HEADER_BYTES)?;
    let has_header = Header::decode(&header, seal, &identity.0, first).is_some();
    let position = if has_header { SEGMENT_HEADER_BYTES as u64 } else { 0 };
    Ok((has_header, Scan::new(file, seal, position, first)))
}
