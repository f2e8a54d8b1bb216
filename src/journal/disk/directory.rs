//! A journal's directory: its modes, its lock, its identity, and the two positions that processes
//! tell each other.
//!
//! In: a path. Out: a directory of mode 0700 that holds `LOCK`, `journal.id`, `synced`, `consumed`
//! and segments. Refuses: a second writer, and segments without their identity. Promises: an
//! emptied or new directory gets a new identity, so that a reader never takes its offsets for the
//! old ones; the identity is on disk before any segment is.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::{At, OpenError};
use super::frame::Seal;
use super::segment;

/// Which journal this is: 128 random bits, drawn when the journal is created.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct JournalId(pub(super) [u8; 16]);

impl std::fmt::Display for JournalId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl std::fmt::Debug for JournalId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "JournalId({self})")
    }
}

pub(super) const LOCK: &str = "LOCK";
const IDENTITY: &str = "journal.id";
const IDENTITY_NEW: &str = "journal.id.new";
const IDENTITY_MAGIC: &[u8; 8] = b"LEADLOG1";

/// Creates the directory if need be, and makes its name durable.
pub(super) fn prepare(directory: &Path) -> Result<(), OpenError> {
    let missing: Vec<&Path> = directory.ancestors().take_while(|path| !path.is_dir()).collect();
    if !missing.is_empty() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .at("create the journal directory", directory)?;
    }
    for created in missing {
        let parent = created.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        sync(parent).at("fsync the folder above the journal", parent)?;
    }
    Ok(())
}

/// Takes the writer's lock; it lasts as long as the file is open.
pub(super) fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join(LOCK);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .at("open the journal's lock", &path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            (&file)
                .take(20)
                .read_to_string(&mut holder)
                .at("read the holder of the lock", &path)?;
            let holder = holder.trim().parse().ok();
            return Err(OpenError::Locked { directory: directory.into(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(error).at("lock the journal", &path),
    }
    // For people only, and at a fixed width: it must not need space on a disk that is full.
    let _ = file.write_all_at(format!("{:<19}\n", std::process::id()).as_bytes(), 0);
    Ok(file)
}

/// The journal's identity; a directory that has neither identity nor segments gets a new one.
pub(super) fn identity(directory: &Path) -> Result<JournalId, OpenError> {
    if let Some(identity) = read_identity(directory)? {
        return Ok(identity);
    }
    if !segment::list(directory).at("list the journal", directory)?.is_empty() {
        return Err(OpenError::IdentityMissing { directory: directory.into() });
    }
    let mut identity = [0; 16];
    getrandom::fill(&mut identity).map_err(|error| OpenError::Io {
        what: "draw a random identity for the journal",
        path: directory.into(),
        source: io::Error::other(error.to_string()),
    })?;
    let unfinished = directory.join(IDENTITY_NEW);
    let mut bytes = IDENTITY_MAGIC.to_vec();
    bytes.extend_from_slice(&identity);
    bytes.extend_from_slice(&Seal::new(&identity).of(&bytes).to_le_bytes());
    fs::remove_file(&unfinished)
        .or_else(|error| (error.kind() == io::ErrorKind::NotFound).then_some(()).ok_or(error))
        .at("remove an unfinished identity", &unfinished)?;
    let mut file = segment::create(&unfinished).at("create the journal's identity", &unfinished)?;
    file.write_all(&bytes).at("write the journal's identity", &unfinished)?;
    file.sync_all().at("fsync the journal's identity", &unfinished)?;
    let path = directory.join(IDENTITY);
    fs::rename(&unfinished, &path).at("put the journal's identity in place", &path)?;
    sync(directory).at("fsync the journal directory", directory)?;
    Ok(JournalId(identity))
}

/// The identity that the directory holds, if it holds one.
pub(super) fn read_identity(directory: &Path) -> Result<Option<JournalId>, OpenError> {
    let path = directory.join(IDENTITY);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at("read the journal's identity", &path),
    };
    let decoded = bytes.strip_prefix(IDENTITY_MAGIC).and_then(|rest| {
        let (identity, checksum) = rest.split_first_chunk::<16>()?;
        let expected = Seal::new(identity).of(&bytes[..24]).to_le_bytes();
        (checksum == expected).then_some(JournalId(*identity))
    });
    decoded.map(Some).ok_or(OpenError::IdentityUnreadable { path })
}

/// Makes names in a directory durable.
pub(super) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Which of the two positions.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark {
    /// Everything below it has been fsynced; told by the writer.
    Synced,
    /// Everything below it is no longer needed; told by the consumer.
    Consumed,
}

impl Mark {
    fn path(self, directory: &Path) -> PathBuf {
        directory.join(match self {
            Self::Synced => "synced",
            Self::Consumed => "consumed",
        })
    }
}

/// Reads a position: an offset and its checksum. Nothing when it was never written;
/// [`io::ErrorKind::InvalidData`] when its checksum fails, because the file is another journal's or
/// damaged.
///
/// The file is opened anew each time, so that a journal that was removed and created again is
/// noticed.
pub(super) fn read_mark(directory: &Path, mark: Mark, seal: Seal) -> io::Result<Option<u64>> {
    /// A read may meet a write half-way; it is over within microseconds.
    const TRIES_MAX: u32 = 5;
    let file = match File::open(mark.path(directory)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    for _ in 0..TRIES_MAX {
        let mut bytes = [0; 12];
        match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let (offset, checksum) = bytes.split_first_chunk::<8>().expect("twelve bytes hold eight");
        if seal.of(offset).to_le_bytes() == *checksum {
            return Ok(Some(u64::from_le_bytes(*offset)));
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the position's checksum is wrong"))
}

/// Opens a position's file for [`write_mark`], creating it if need be.
pub(super) fn open_mark(directory: &Path, mark: Mark) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).open(mark.path(directory))
}

/// Writes a position. It is not fsynced: it only ever says less than what is true.
pub(super) fn write_mark(file: &File, offset: u64, seal: Seal) -> io::Result<()> {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&offset.to_le_bytes());
    let checksum = seal.of(&bytes[..8]);
    bytes[8..].copy_from_slice(&checksum.to_le_bytes());
    file.write_all_at(&bytes, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_second_writer_is_refused_and_told_who_holds_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let _held = lock(folder.path()).unwrap();
        let error = lock(folder.path()).unwrap_err();
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    }

    #[test]
    fn an_identity_stays_and_an_emptied_directory_gets_another() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("a/b");
        prepare(&directory).unwrap();
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        let first = identity(&directory).unwrap();
        assert_eq!(identity(&directory).unwrap(), first);
        fs::remove_dir_all(&directory).unwrap();
        prepare(&directory).unwrap();
        assert_ne!(identity(&directory).unwrap(), first);
    }

    #[test]
    fn segments_without_their_identity_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        segment::create(&segment::path(folder.path(), 0)).unwrap();
        assert!(matches!(identity(folder.path()), Err(OpenError::IdentityMissing { .. })));
        fs::write(folder.path().join(IDENTITY), b"LEADLOG1 but short").unwrap();
        assert!(matches!(identity(folder.path()), Err(OpenError::IdentityUnreadable { .. })));
    }

    #[test]
    fn a_position_of_another_journal_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (Seal::new(&[1; 16]), Seal::new(&[2; 16]));
        assert_eq!(read_mark(folder.path(), Mark::Synced, ours).unwrap(), None);
        let file = open_mark(folder.path(), Mark::Synced).unwrap();
        assert_eq!(read_mark(folder.path(), Mark::Synced, ours).unwrap(), None);
        write_mark(&file, 77, theirs).unwrap();
        let error = read_mark(folder.path(), Mark::Synced, ours).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        write_mark(&file, 78, ours).unwrap();
        assert_eq!(read_mark(folder.path(), Mark::Synced, ours).unwrap(), Some(78));
    }
}
