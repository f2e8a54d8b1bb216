//! The system calls of the journal that can fail while it runs, in one place, so that tests can
//! make them fail.
//!
//! In: an open file. Out: what the kernel says. Promises: a write that succeeds has written
//! everything.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::error::JournalError;

/// What the journal asks of the operating system.
pub(super) trait Device: Send + Sync + 'static {
    /// Writes all of `bytes` at `position`.
    fn write(&self, file: &File, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Makes a file's content and length durable.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
    /// Free bytes of the file system, as far as this user may have them.
    fn free_bytes(&self, directory: &Path) -> io::Result<u64>;
}

/// The kernel itself.
pub(super) struct Kernel;

impl Device for Kernel {
    fn write(&self, file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
        file.write_all_at(bytes, position)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        super::directory::sync(directory)
    }

    fn free_bytes(&self, directory: &Path) -> io::Result<u64> {
        let space = rustix::fs::statvfs(directory)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

/// Whether an error means «no space» or «broken».
pub(super) fn judge(error: &io::Error) -> JournalError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            JournalError::Full
        }
        _ => JournalError::Failed,
    }
}
