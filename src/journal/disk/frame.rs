//! One record on disk: how it is framed, checked, and found again behind damage.
//!
//! In: payloads of at most [`PAYLOAD_BYTES_MAX`] bytes, or bytes of a segment. Out: frames, or what
//! is wrong with them. Refuses: a length, a kind or a checksum that cannot be. Promises: a frame
//! that parses was written by the journal with this identity and is unchanged.
//!
//! ```text
//! length u32 | checksum u32 | offset u64 | kind u8 | payload     (little endian)
//! ```
//! The checksum starts from the journal's random identity. So bytes of another journal never parse,
//! and neither does a frame that somebody hid in a form field in the hope that a search behind
//! damage would find it.

use crc32fast::Hasher;

/// Largest payload of one record, in bytes. A body is capped well below this at the edge; the bound
/// keeps a damaged length from asking for more memory than this.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// Bytes in front of each payload.
pub(super) const FRAME_HEADER_BYTES: usize = 17;

/// Bytes of a frame that says which offsets were refused: the header and a count.
pub(super) const VOID_FRAME_BYTES: usize = FRAME_HEADER_BYTES + 8;

/// Bytes of the largest frame.
pub(super) const FRAME_BYTES_MAX: usize = FRAME_HEADER_BYTES + PAYLOAD_BYTES_MAX;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Somebody's payload.
    Record = 1,
    /// Offsets whose records need no sending any more (see `strikes`).
    Strike = 2,
    /// A count: so many offsets from here on were refused, and hold nothing.
    Void = 3,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Record, Self::Strike, Self::Void].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The length is larger than any record can be.
    Length,
    /// The kind is none that we know.
    Kind,
    /// The checksum differs: bits have changed, or the frame is another journal's.
    Checksum,
    /// The frame is whole, but its offset is not the one that belongs here.
    Offset,
    /// The segment ends inside the frame.
    Torn,
    /// The segment ends cleanly, but records are missing before the next one.
    Missing,
}

/// Where the checksums of one journal start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seal(u32);

impl Seal {
    pub(super) fn new(identity: &[u8; 16]) -> Self {
        Self(crc32fast::hash(identity))
    }

    /// Checksum of anything that is no frame: a header, a position.
    pub(super) fn of(self, bytes: &[u8]) -> u32 {
        let mut hasher = Hasher::new_with_initial(self.0);
        hasher.update(bytes);
        hasher.finalize()
    }

    /// Hashes the payload first, so that `append` can do it before it takes its lock, when the
    /// offset is not known.
    pub(super) fn begin(self, kind: Kind, payload: &[u8]) -> Hasher {
        let mut hasher = Hasher::new_with_initial(self.0);
        hasher.update(payload);
        hasher.update(&[kind as u8]);
        hasher
    }
}

fn finish(mut begun: Hasher, length: u32, offset: u64) -> u32 {
    begun.update(&length.to_le_bytes());
    begun.update(&offset.to_le_bytes());
    begun.finalize()
}

/// Appends one frame to `buffer`; `begun` is [`Seal::begin`] of the same kind and payload.
pub(super) fn encode(buffer: &mut Vec<u8>, begun: Hasher, offset: u64, kind: Kind, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("payloads are checked against the maximum");
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&finish(begun, length, offset).to_le_bytes());
    buffer.extend_from_slice(&offset.to_le_bytes());
    buffer.push(kind as u8);
    buffer.extend_from_slice(payload);
}

/// The frame that says: `count` offsets from `first` on were refused.
pub(super) fn encode_void(seal: Seal, first: u64, count: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(VOID_FRAME_BYTES);
    let payload = count.to_le_bytes();
    encode(&mut bytes, seal.begin(Kind::Void, &payload), first, Kind::Void, &payload);
    bytes
}

/// A frame's header and where its payload lies behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) offset: u64,
    pub(super) kind: Kind,
    pub(super) payload_bytes: usize,
    /// How many offsets the frame stands for: one, or the count of a void.
    pub(super) count: u64,
}

impl Frame {
    pub(super) fn bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.payload_bytes
    }

    pub(super) fn next_offset(&self) -> u64 {
        self.offset.saturating_add(self.count)
    }
}

/// What the bytes at some position turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Frame(Frame),
    /// More bytes are needed, so many from the frame's start.
    Short(usize),
    Bad(Reason),
}

/// Reads the frame at the start of `bytes`.
pub(super) fn parse(seal: Seal, bytes: &[u8]) -> Parsed {
    let Some(header) = bytes.first_chunk::<FRAME_HEADER_BYTES>() else {
        return Parsed::Short(FRAME_HEADER_BYTES);
    };
    let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    let checksum = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    let mut offset = [0; 8];
    offset.copy_from_slice(&header[8..16]);
    let offset = u64::from_le_bytes(offset);
    let payload_bytes = length as usize;
    if payload_bytes > PAYLOAD_BYTES_MAX {
        return Parsed::Bad(Reason::Length);
    }
    let Some(kind) = Kind::from_byte(header[16]) else {
        return Parsed::Bad(Reason::Kind);
    };
    let end = FRAME_HEADER_BYTES + payload_bytes;
    let Some(payload) = bytes.get(FRAME_HEADER_BYTES..end) else {
        return Parsed::Short(end);
    };
    if finish(seal.begin(kind, payload), length, offset) != checksum {
        return Parsed::Bad(Reason::Checksum);
    }
    let count = match (kind, payload.first_chunk::<8>()) {
        (Kind::Void, Some(count)) => u64::from_le_bytes(*count),
        (Kind::Void, None) => return Parsed::Bad(Reason::Kind),
        (Kind::Record | Kind::Strike, _) => 1,
    };
    Parsed::Frame(Frame { offset, kind, payload_bytes, count })
}

/// Position and header of the first whole frame in `bytes` whose offset is `offset_min` or later,
/// starting in the first `starts` bytes.
pub(super) fn find(
    seal: Seal,
    bytes: &[u8],
    starts: usize,
    offset_min: u64,
) -> Option<(usize, Frame)> {
    (0..starts.min(bytes.len())).find_map(|position| match parse(seal, &bytes[position..]) {
        Parsed::Frame(frame) if frame.offset >= offset_min => Some((position, frame)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::cases;
    use proptest::prelude::*;

    fn framed(seal: Seal, offset: u64, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(&mut bytes, seal.begin(Kind::Record, payload), offset, Kind::Record, payload);
        bytes
    }

    #[test]
    fn a_void_frame_stands_for_its_count() {
        let seal = Seal::new(&[7; 16]);
        let bytes = encode_void(seal, 40, 9);
        assert_eq!(bytes.len(), VOID_FRAME_BYTES);
        let Parsed::Frame(frame) = parse(seal, &bytes) else { panic!("no frame") };
        assert_eq!((frame.offset, frame.next_offset(), frame.kind), (40, 49, Kind::Void));
    }

    #[test]
    fn a_frame_of_another_journal_does_not_parse() {
        let bytes = framed(Seal::new(&[1; 16]), 3, b"theirs");
        assert_eq!(parse(Seal::new(&[2; 16]), &bytes), Parsed::Bad(Reason::Checksum));
    }

    #[test]
    fn an_earlier_frame_is_not_found_behind_damage() {
        let seal = Seal::new(&[1; 16]);
        let mut bytes = framed(seal, 3, b"old");
        let old = bytes.len();
        bytes.extend(framed(seal, 9, b"new"));
        let found =
            find(seal, &bytes, bytes.len(), 5).map(|(position, frame)| (position, frame.offset));
        assert_eq!(found, Some((old, 9)));
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn what_was_framed_parses_to_the_same(
            payload in proptest::collection::vec(any::<u8>(), 0..2000),
            offset: u64,
        ) {
            let seal = Seal::new(&[9; 16]);
            let bytes = framed(seal, offset, &payload);
            let expected = Frame { offset, kind: Kind::Record, payload_bytes: payload.len(), count: 1 };
            prop_assert_eq!(parse(seal, &bytes), Parsed::Frame(expected));
            for cut in 0..bytes.len() {
                prop_assert!(matches!(parse(seal, &bytes[..cut]), Parsed::Short(_)));
            }
        }

        #[test]
        fn any_flipped_bit_is_noticed(
            payload in proptest::collection::vec(any::<u8>(), 0..300),
            at in any::<proptest::sample::Index>(),
            bit in 0..8u32,
        ) {
            let seal = Seal::new(&[9; 16]);
            let mut bytes = framed(seal, 5, &payload);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(!matches!(parse(seal, &bytes), Parsed::Frame(_)));
        }

        #[test]
        fn arbitrary_bytes_never_parse(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(!matches!(parse(Seal::new(&[9; 16]), &bytes), Parsed::Frame(_)));
        }
    }
}
