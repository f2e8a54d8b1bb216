//! Who may settle, and the version of what it writes.
//!
//! In: a place that processes share: a file on one machine, a topic of one partition on Kafka. Out: leave to settle, and a number
//! that is higher than every number given before. Refuses: a number to a process that doesn't lead. Promises: where two processes
//! settle all the same (one was asleep), the one that took its number later wins every row.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::settle::election::Election;
use crate::stop::Stop;

/// How often a standby looks whether the leader is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The counter's file: 20 digits, the most that 64 bits have, and a line end; one sector, written in place.
const DIGITS: usize = 20;

/// Why no version could be given.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// The counter's file could not be used.
    #[error("settle counter {path:?}: {action} failed: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody put another file in its place: the lock on ours protects nothing.
    #[error("settle counter {0:?} was replaced while it was locked; restart settle")]
    Replaced(PathBuf),
    /// The settle log can't be reached or refuses.
    #[error("settle log: {action} failed: {reason}; trying again")]
    Log {
        /// What was tried.
        action: &'static str,
        /// What librdkafka said.
        reason: String,
    },
    /// The settle log was made anew and its offsets are behind what is settled already.
    #[error(
        "settle log: its offset {offset} is behind version {floor} in the warehouse (was the topic made anew?); filling it up"
    )]
    Behind {
        /// What the log gave.
        offset: u64,
        /// What must be passed.
        floor: u64,
    },
    /// Another process leads.
    #[error("another process settles now")]
    Lost,
}

/// Where versions come from.
#[derive(Debug)]
pub enum Versions {
    /// A counter file on this machine.
    Counter(Counter),
    /// Kafka.
    Election(Election),
}

impl Versions {
    /// Waits until this process may settle; false when a stop came first.
    ///
    /// # Errors
    /// When the file can't be locked.
    pub async fn lead(&mut self, stop: &Stop) -> Result<bool, VersionError> {
        loop {
            let leads = match self {
                Self::Counter(counter) => counter.try_lock()?,
                Self::Election(election) => election.leads(),
            };
            if leads {
                return Ok(true);
            }
            tokio::select! {
                () = stop.stopped() => return Ok(false),
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// True while this process may write.
    pub fn leads(&self) -> bool {
        match self {
            Self::Counter(counter) => counter.locked,
            Self::Election(election) => election.leads(),
        }
    }

    /// A version higher than every one before and than `floor`, the highest in the warehouse. It is durable before it is given.
    ///
    /// # Errors
    /// When this process doesn't lead, or the number can't be made durable.
    pub async fn next(&mut self, floor: u64) -> Result<u64, VersionError> {
        match self {
            Self::Counter(counter) => counter.next(floor).await,
            Self::Election(election) => election.next(floor).await,
        }
    }
}

/// A counter in a file that one process holds locked.
#[derive(Debug)]
pub struct Counter {
    path: PathBuf,
    file: Arc<File>,
    locked: bool,
}

impl Counter {
    /// Opens `settle.counter` in this folder, or makes it. The lock is taken by [`Versions::lead`] and held until the process ends.
    ///
    /// # Errors
    /// When the file can't be opened.
    pub fn open(folder: &Path) -> Result<Self, VersionError> {
        let path = folder.join("settle.counter");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| VersionError::File {
                path: path.clone(),
                action: "opening",
                source,
            })?;
        Ok(Self { path, file: Arc::new(file), locked: false })
    }

    fn try_lock(&mut self) -> Result<bool, VersionError> {
        if !self.locked {
            match self.file.try_lock() {
                Ok(()) => self.locked = true,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => {
                    return Err(VersionError::File {
                        path: self.path.clone(),
                        action: "locking",
                        source,
                    });
                }
            }
        }
        Ok(self.locked)
    }

    async fn next(&self, floor: u64) -> Result<u64, VersionError> {
        if !self.locked {
            return Err(VersionError::Lost);
        }
        let (path, file) = (self.path.clone(), self.file.clone());
        let counted = tokio::task::spawn_blocking(move || count(&path, &file, floor));
        counted.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }
}

/// Writes and gives the next number.
fn count(path: &Path, file: &File, floor: u64) -> Result<u64, VersionError> {
    let failed = |action: &'static str| {
        move |source| VersionError::File { path: path.to_owned(), action, source }
    };
    let ours = file.metadata().map_err(failed("looking at it"))?;
    let named = std::fs::metadata(path).map_err(failed("looking at it"))?;
    if (ours.dev(), ours.ino()) != (named.dev(), named.ino()) {
        return Err(VersionError::Replaced(path.to_owned()));
    }
    let mut text = [b' '; DIGITS];
    let read = file.read_at(&mut text, 0).map_err(failed("reading"))?;
    // A file that was cut or is new counts from what the warehouse holds.
    let last = std::str::from_utf8(&text[..read])
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0);
    let next = floor.max(last) + 1;
    file.write_all_at(format!("{next:0DIGITS$}\n").as_bytes(), 0).map_err(failed("writing"))?;
    file.sync_data().map_err(failed("fsync"))?;
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn open(folder: &Path) -> Versions {
        Versions::Counter(Counter::open(folder).unwrap())
    }

    #[tokio::test]
    async fn numbers_only_rise_across_processes_and_above_the_warehouse() {
        let folder = tempfile::tempdir().unwrap();
        let (_stopper, stop) = crate::stop::channel();
        let mut first = open(folder.path());
        assert!(first.lead(&stop).await.unwrap());
        assert_eq!(first.next(0).await.unwrap(), 1);
        assert_eq!(first.next(0).await.unwrap(), 2);
        assert_eq!(first.next(40).await.unwrap(), 41);
        drop(first);
        let mut second = open(folder.path());
        assert!(second.lead(&stop).await.unwrap());
        assert_eq!(second.next(7).await.unwrap(), 42);
        let path = folder.path().join("settle.counter");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read(&path).unwrap(), b"00000000000000000042\n");
    }

    #[tokio::test]
    async fn a_second_process_waits_and_takes_over() {
        let folder = tempfile::tempdir().unwrap();
        let (_stopper, stop) = crate::stop::channel();
        let mut leader = open(folder.path());
        let mut standby = open(folder.path());
        assert!(leader.lead(&stop).await.unwrap());
        assert!(!standby.leads());
        assert!(matches!(standby.next(0).await, Err(VersionError::Lost)));
        let waiting = tokio::spawn(async move { (standby.lead(&stop).await.unwrap(), standby) });
        assert!(!waiting.is_finished());
        drop(leader);
        let (leads, mut standby) = waiting.await.unwrap();
        assert!(leads && standby.next(0).await.unwrap() == 1);
    }

    #[tokio::test]
    async fn a_stop_ends_the_wait() {
        let folder = tempfile::tempdir().unwrap();
        let (stopper, stop) = crate::stop::channel();
        let mut leader = open(folder.path());
        assert!(leader.lead(&stop).await.unwrap());
        stopper.stop();
        assert!(!open(folder.path()).lead(&stop).await.unwrap());
    }

    #[tokio::test]
    async fn a_cut_file_counts_from_the_warehouse_and_a_replaced_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (_stopper, stop) = crate::stop::channel();
        let path = folder.path().join("settle.counter");
        std::fs::write(&path, b"\0\0\0").unwrap();
        let mut versions = open(folder.path());
        assert!(versions.lead(&stop).await.unwrap());
        assert_eq!(versions.next(9).await.unwrap(), 10);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, b"").unwrap();
        assert!(matches!(versions.next(9).await, Err(VersionError::Replaced(_))));
    }
}
