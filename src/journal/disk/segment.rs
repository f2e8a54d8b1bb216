//! A segment file: its name, its header, and which of them a directory holds.
//!
//! In: the offset of a segment's first record. Out: a file called by that offset (twenty digits and
//! `.seg`) that starts with a header. Refuses: headers of another journal, another version, or
//! another offset than the name's. Promises: names sort as offsets do; files are created with mode
//! 0600.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::frame::Seal;

/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER_BYTES: usize = 48;

const MAGIC: &[u8; 8] = b"LEADSEG1";
const SUFFIX: &str = ".seg";
const UNFINISHED_SUFFIX: &str = ".seg.new";

/// What a segment says of itself: `magic 8 | identity 16 | first offset u64 | created ms u64 | zero
/// u32 | checksum u32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) first: u64,
    /// When the segment was created, in milliseconds since 1970 by the machine's clock.
    pub(super) created_ms: u64,
}

impl Header {
    pub(super) fn now(first: u64) -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { first, created_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX) }
    }

    pub(super) fn encode(&self, seal: Seal, identity: &[u8; 16]) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..24].copy_from_slice(identity);
        bytes[24..32].copy_from_slice(&self.first.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.created_ms.to_le_bytes());
        let checksum = seal.of(&bytes[..44]);
        bytes[44..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header at the start of `bytes`, or nothing when it is not this journal's or not
    /// `first`'s.
    pub(super) fn decode(
        bytes: &[u8],
        seal: Seal,
        identity: &[u8; 16],
        first: u64,
    ) -> Option<Self> {
        let bytes = bytes.first_chunk::<SEGMENT_HEADER_BYTES>()?;
        let mut created_ms = [0; 8];
        created_ms.copy_from_slice(&bytes[32..40]);
        let header = Self { first, created_ms: u64::from_le_bytes(created_ms) };
        (header.encode(seal, identity) == *bytes).then_some(header)
    }
}

/// The path of the segment that starts at `first`.
pub(super) fn path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:020}{SUFFIX}"))
}

/// The path under which a segment is put together before it takes its place.
pub(super) fn unfinished_path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:020}{UNFINISHED_SUFFIX}"))
}

/// First offsets of all segments of a directory, ascending.
pub(super) fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let mut firsts = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        firsts.extend(name.to_str().and_then(|name| parse_name(name, SUFFIX)));
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// Removes what a crash left of segments that were not finished: their records are still where they
/// came from.
pub(super) fn remove_unfinished(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.ends_with(UNFINISHED_SUFFIX)) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Creates a file that must not exist yet, for reading and writing by its owner alone.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

fn parse_name(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_its_offset_back() {
        for first in [0, 7, u64::MAX] {
            let path = path(Path::new("d"), first);
            let name = path.file_name().and_then(|name| name.to_str()).unwrap();
            assert_eq!(parse_name(name, SUFFIX), Some(first));
        }
        for other in ["1.seg", "0000000000000000000x.seg", "00000000000000000001.seg.new", "LOCK"] {
            assert_eq!(parse_name(other, SUFFIX), None, "{other}");
        }
    }

    #[test]
    fn a_header_is_only_its_own_journals_and_its_own_offsets() {
        let (ours, theirs) = ([1; 16], [2; 16]);
        let header = Header { first: 12, created_ms: 99 };
        let bytes = header.encode(Seal::new(&ours), &ours);
        assert_eq!(Header::decode(&bytes, Seal::new(&ours), &ours, 12), Some(header));
        assert_eq!(Header::decode(&bytes, Seal::new(&ours), &ours, 13), None);
        assert_eq!(Header::decode(&bytes, Seal::new(&theirs), &theirs, 12), None);
        assert_eq!(Header::decode(&bytes[..40], Seal::new(&ours), &ours, 12), None);
    }
}
