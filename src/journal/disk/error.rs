//! What can go wrong with the disk journal, one enum for each moment: opening, appending, waiting,
//! reading.

use std::io;
use std::path::{Path, PathBuf};

use super::directory::JournalId;

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process writes this journal.
    #[error(
        "cannot write the journal {directory:?}: {} holds its lock; stop it, or give this process another directory",
        .holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Locked {
        /// The journal's directory.
        directory: PathBuf,
        /// The process id written in the lock, when it could be read.
        holder: Option<u32>,
    },
    /// There are segments and no `journal.id`.
    #[error(
        "cannot open the journal {directory:?}: it has segments but no journal.id; restore that file, or move the \
         segments away"
    )]
    IdentityMissing {
        /// The journal's directory.
        directory: PathBuf,
    },
    /// `journal.id` is damaged.
    #[error(
        "cannot open the journal: {path:?} is damaged; restore it from a copy, or move the journal away"
    )]
    IdentityUnreadable {
        /// The damaged file.
        path: PathBuf,
    },
    /// There is no journal in the directory (yet).
    #[error(
        "cannot read the journal {directory:?}: no journal.id there; start the process that writes it first"
    )]
    Absent {
        /// The directory that was looked into.
        directory: PathBuf,
    },
    /// The options contradict each other.
    #[error("cannot open the journal: {0}")]
    Options(&'static str),
    /// The system refused.
    #[error("cannot {what} ({path:?}): {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a record was not taken. The caller keeps it and refuses (503), or tries elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The payload is larger than a record may be.
    #[error("record not journalled: its payload is larger than the journal takes")]
    TooLarge,
    /// The buffer is full: the disk is slower than the records come.
    #[error("record not journalled: the disk does not keep up; try again in a second")]
    Busy,
    /// The byte budget or the disk is full, and nothing that is consumed is left to delete.
    #[error(
        "record not journalled: the journal is full; let the consumer catch up, or give it more disk"
    )]
    Full,
    /// The disk fails; the journal tries again every second.
    #[error("record not journalled: the disk fails; see the log for the system's error")]
    Failed,
    /// The journal is closed.
    #[error("record not journalled: the journal is closed")]
    Closed,
}

/// Why a record that was taken did not become durable. It was not acknowledged, so its caller must
/// refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The disk was full when the record was written.
    #[error("record not durable: the disk is full")]
    Full,
    /// The write or the fsync failed.
    #[error("record not durable: the disk failed; see the log for the system's error")]
    Failed,
}

/// Why reading stops.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The offset is not, or no longer, in the journal. Never resolved by starting elsewhere on
    /// one's own account.
    #[error("offset {wanted} is not in the journal {directory:?}, which holds {start} up to {end}")]
    OutOfRange {
        /// The journal's directory.
        directory: PathBuf,
        /// The offset that was asked for.
        wanted: u64,
        /// The oldest offset there is.
        start: u64,
        /// The end of what can be read.
        end: u64,
    },
    /// The journal was removed, or replaced by a new one, while it was read.
    #[error(
        "the journal {directory:?} is no longer {expected}; open it again, and take its offsets for new ones"
    )]
    Replaced {
        /// The journal's directory.
        directory: PathBuf,
        /// The identity it had.
        expected: JournalId,
    },
    /// The system refused.
    #[error("cannot {what} ({path:?}): {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Says what was tried, and on which file.
pub(super) trait At<T, E> {
    fn at(self, what: &'static str, path: &Path) -> Result<T, E>;
}

impl<T> At<T, OpenError> for io::Result<T> {
    fn at(self, what: &'static str, path: &Path) -> Result<T, OpenError> {
        self.map_err(|source| OpenError::Io { what, path: path.into(), source })
    }
}

impl<T> At<T, ReadError> for io::Result<T> {
    fn at(self, what: &'static str, path: &Path) -> Result<T, ReadError> {
        self.map_err(|source| ReadError::Io { what, path: path.into(), source })
    }
}
