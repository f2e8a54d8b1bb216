//! Reading one segment frame by frame, in sequence, over damage.
//!
//! In: a segment file and the offset that must come first. Out: frames in sequence, and for what is
//! not in sequence where it begins and where reading can go on. Refuses nothing: damage is data.
//! Promises: a frame is given only when its checksum and its offset hold, and memory stays below
//! two of the largest frames.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::{Bytes, BytesMut};

use super::frame::{self, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Frame, Parsed, Reason, Seal};

/// How much is read at once: enough for hundreds of records, small enough to live on in a record
/// that keeps its chunk.
const CHUNK_BYTES: usize = 256 << 10;

/// What comes next in a segment.
#[derive(Debug)]
pub(super) enum Item {
    /// The frame that belongs here.
    Frame { frame: Frame, payload: Bytes },
    /// From `position` on `bytes` bytes are unreadable, and `count` offsets from `first` on with
    /// them.
    Damage { first: u64, count: u64, position: u64, bytes: u64, reason: Reason },
    /// Nothing readable follows; from here on the rest is not a frame.
    Tail { reason: Reason },
    /// The segment ends, cleanly.
    End,
}

/// A walk over one segment.
#[derive(Debug)]
pub(super) struct Scan {
    file: File,
    seal: Seal,
    position: u64,
    expected: u64,
    chunk: Bytes,
    chunk_position: u64,
}

impl Scan {
    /// Starts at a byte position, where the frame of offset `expected` should begin.
    pub(super) fn new(file: File, seal: Seal, position: u64, expected: u64) -> Self {
        Self { file, seal, position, expected, chunk: Bytes::new(), chunk_position: 0 }
    }

    /// The byte position of the next frame.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The offset of the next frame.
    pub(super) fn expected(&self) -> u64 {
        self.expected
    }

    /// Where the walk stands, for [`rewind`](Self::rewind): byte position and expected offset.
    pub(super) fn mark(&self) -> (u64, u64) {
        (self.position, self.expected)
    }

    /// Goes back to where [`mark`](Self::mark) was taken.
    pub(super) fn rewind(&mut self, (position, expected): (u64, u64)) {
        self.position = position;
        self.expected = expected;
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn into_file(self) -> File {
        self.file
    }

    /// Drops what was read ahead: a writer may have cut it off since.
    pub(super) fn forget(&mut self) {
        self.chunk = Bytes::new();
    }

    /// What comes next. After [`Item::Tail`] and [`Item::End`] the walk stays where it is.
    pub(super) fn step(&mut self) -> io::Result<Item> {
        let reason = match self.parse()? {
            None => return Ok(Item::End),
            Some(Parsed::Frame(frame)) if frame.offset == self.expected => {
                let start = self.chunk_index() + FRAME_HEADER_BYTES;
                let payload = self.chunk.slice(start..start + frame.payload_bytes);
                self.position += frame.bytes() as u64;
                self.expected = frame.next_offset();
                return Ok(Item::Frame { frame, payload });
            }
            Some(Parsed::Frame(frame)) if frame.offset > self.expected => {
                return Ok(self.jump(self.position, frame, Reason::Offset));
            }
            Some(Parsed::Frame(_)) => Reason::Offset,
            Some(Parsed::Short(_)) => Reason::Torn,
            Some(Parsed::Bad(reason)) => reason,
        };
        match self.find()? {
            Some((position, frame)) if frame.offset == self.expected => {
                // Bytes between two frames that follow each other: no record is missing.
                self.position = position;
                self.step()
            }
            Some((position, frame)) => Ok(self.jump(position, frame, reason)),
            None => Ok(Item::Tail { reason }),
        }
    }

    fn jump(&mut self, position: u64, frame: Frame, reason: Reason) -> Item {
        let item = Item::Damage {
            first: self.expected,
            count: frame.offset - self.expected,
            position: self.position,
            bytes: position - self.position,
            reason,
        };
        self.position = position;
        self.expected = frame.offset;
        item
    }

    fn chunk_index(&self) -> usize {
        usize::try_from(self.position - self.chunk_position).expect("a chunk fits memory")
    }

    /// What stands at the position; nothing at the end of the file.
    fn parse(&mut self) -> io::Result<Option<Parsed>> {
        let ahead = self.chunk_position..self.chunk_position + self.chunk.len() as u64;
        if !ahead.contains(&self.position) {
            self.fill(CHUNK_BYTES)?;
        }
        for _ in 0..2 {
            let bytes = &self.chunk[self.chunk_index()..];
            if bytes.is_empty() {
                return Ok(None);
            }
            match frame::parse(self.seal, bytes) {
                Parsed::Short(needed) => self.fill(needed.max(CHUNK_BYTES))?,
                parsed => return Ok(Some(parsed)),
            }
        }
        Ok(Some(frame::parse(self.seal, &self.chunk)))
    }

    fn fill(&mut self, bytes_max: usize) -> io::Result<()> {
        self.chunk = read(&self.file, self.position, bytes_max)?;
        self.chunk_position = self.position;
        Ok(())
    }

    /// The next frame behind the position that may follow: whole, and with an offset not yet seen.
    fn find(&self) -> io::Result<Option<(u64, Frame)>> {
        let mut from = self.position + 1;
        loop {
            // Each start in the first half has room for the largest frame.
            let window = read(&self.file, from, 2 * FRAME_BYTES_MAX)?;
            if window.is_empty() {
                return Ok(None);
            }
            let found = frame::find(self.seal, &window, FRAME_BYTES_MAX, self.expected);
            if let Some((index, frame)) = found {
                return Ok(Some((from + index as u64, frame)));
            }
            from += FRAME_BYTES_MAX as u64;
        }
    }
}

/// Up to `bytes_max` bytes from `position`, fewer only at the end of the file.
pub(super) fn read(file: &File, position: u64, bytes_max: usize) -> io::Result<Bytes> {
    let left = file.metadata()?.len().saturating_sub(position);
    let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(bytes_max);
    let mut bytes = BytesMut::zeroed(wanted);
    let mut filled = 0;
    while filled < wanted {
        match file.read_at(&mut bytes[filled..], position + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::disk::frame::{Kind, encode, encode_void};
    use std::io::Write;

    const SEAL_OF: [u8; 16] = [5; 16];

    fn framed(offset: u64, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let begun = Seal::new(&SEAL_OF).begin(Kind::Record, payload);
        encode(&mut bytes, begun, offset, Kind::Record, payload);
        bytes
    }

    /// One word per item: offsets of frames, and first offset and count of damage.
    fn walk(bytes: &[u8], expected: u64) -> Vec<String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let mut scan = Scan::new(file, Seal::new(&SEAL_OF), 0, expected);
        let mut seen = Vec::new();
        loop {
            match scan.step().unwrap() {
                Item::Frame { frame, .. } => seen.push(frame.offset.to_string()),
                Item::Damage { first, count, reason, .. } => {
                    seen.push(format!("{first}+{count} {reason:?}"));
                }
                Item::Tail { reason } => {
                    seen.push(format!("tail {reason:?}"));
                    return seen;
                }
                Item::End => return seen,
            }
        }
    }

    #[test]
    fn frames_come_in_sequence() {
        let bytes =
            [framed(4, b"a"), encode_void(Seal::new(&SEAL_OF), 5, 3), framed(8, b"")].concat();
        assert_eq!(walk(&bytes, 4), ["4", "5", "8"]);
    }

    #[test]
    fn a_bad_frame_in_the_middle_is_jumped_over() {
        let mut bytes = [framed(0, b"first"), framed(1, b"second"), framed(2, b"third")].concat();
        let second = framed(0, b"first").len();
        bytes[second + FRAME_HEADER_BYTES] ^= 1;
        assert_eq!(walk(&bytes, 0), ["0", "1+1 Checksum", "2"]);
        bytes[second + 3] = 0xff;
        assert_eq!(walk(&bytes, 0), ["0", "1+1 Length", "2"]);
    }

    #[test]
    fn a_frame_out_of_sequence_is_a_gap_and_an_old_one_is_skipped() {
        assert_eq!(walk(&[framed(0, b""), framed(3, b"")].concat(), 0), ["0", "1+2 Offset", "3"]);
        let replayed = [framed(0, b""), framed(1, b""), framed(0, b""), framed(2, b"")].concat();
        assert_eq!(walk(&replayed, 0), ["0", "1", "2"]);
    }

    #[test]
    fn a_torn_frame_is_the_tail() {
        let bytes = [framed(0, b"whole"), framed(1, b"torn")].concat();
        assert_eq!(walk(&bytes[..bytes.len() - 1], 0), ["0", "tail Torn"]);
        assert_eq!(walk(&[framed(0, b"whole"), vec![0; 5000]].concat(), 0), ["0", "tail Kind"]);
    }

    #[test]
    fn frames_larger_than_a_chunk_and_damage_wider_than_a_window_are_read() {
        let large = vec![b'x'; frame::PAYLOAD_BYTES_MAX];
        let hole = vec![0xff; 3 * FRAME_BYTES_MAX];
        let bytes = [framed(0, &large), framed(1, b"small"), hole, framed(9, &large)].concat();
        assert_eq!(walk(&bytes, 0), ["0", "1", "2+7 Length", "9"]);
    }

    #[test]
    fn a_frame_hidden_in_a_payload_is_not_found() {
        let mut forged = Vec::new();
        let begun = Seal::new(&[6; 16]).begin(Kind::Record, b"evil");
        encode(&mut forged, begun, 2, Kind::Record, b"evil");
        let mut bytes = framed(0, &forged);
        bytes[0] ^= 0x40;
        bytes.extend(framed(1, b"honest"));
        assert_eq!(walk(&bytes, 0), ["0+1 Torn", "1"]);
    }
}
