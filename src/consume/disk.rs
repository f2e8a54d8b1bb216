//! The log in the journal, as its one consumer sees it: partition 0.
//!
//! In: the journal's folder. Out: one [`Assignment`]. Refuses: a second consumer (the lock), and to go on where the journal
//! doesn't hold what the position says. Promises: the position is fsynced before the rows that it announces are sent; a journal
//! that was wiped has another id, and is read from its beginning under a new epoch.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc as std_mpsc};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use crate::consume::assignment::{
    Assignment, Border, Entry, KeepError, Keeper as AnyKeeper, RECORDS_WAITING_MAX,
};
use crate::consume::health::Health;
use crate::consume::resent::is_marked;
use crate::journal::disk::{DiskReader, Entry as DiskEntry, OpenError, ReadError};

/// The position's file, beside the segments.
const POSITION: &str = "position";

/// The consumer's lock.
const LOCK: &str = "CONSUMER";

/// Entries and bytes of one read.
const READ_ENTRIES: usize = 1024;
const READ_BYTES: usize = 4 << 20;

/// How long one wait for more lasts before `stop` is looked at.
const WAIT: Duration = Duration::from_millis(200);

/// How long a worker has to let go at a stop: longer than one insert takes.
const RELEASE: Duration = Duration::from_secs(40);

/// How often the journal's end and the room it takes are looked at, for the lag.
const LOOK: Duration = Duration::from_secs(1);

/// The journal to read.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its folder.
    pub directory: PathBuf,
    /// How long it keeps what is consumed.
    pub keep: Duration,
    /// Bytes that it may take.
    pub bytes_max: u64,
}

/// Why the journal can't be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Nobody works on what is read.
    #[error("nobody works on the journal any more; taking it up again")]
    Abandoned,
    /// Somebody else consumes it.
    #[error(
        "another consumer has the journal {0:?}; stop it first, or use Kafka to share the work"
    )]
    Locked(PathBuf),
    /// A file beside it can't be used.
    #[error("cannot {action} {path:?}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The position's file is damaged.
    #[error(
        "the position file {0:?} is damaged; move it away to read the journal again from its beginning under a new epoch"
    )]
    Position(PathBuf),
    /// The journal doesn't hold the position.
    #[error(
        "the next offset to read is {offset}, but the journal holds [{start}, {end}); it was changed by hand, or its tail was lost in a power cut"
    )]
    OutOfRange {
        /// The position.
        offset: u64,
        /// The journal's oldest offset.
        start: u64,
        /// Its end.
        end: u64,
    },
    /// No random bits.
    #[error("no random bits for an epoch: {0}")]
    Random(#[from] getrandom::Error),
}

fn file_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LogError {
    move |source| LogError::File { action, path: path.to_owned(), source }
}

/// Reads the journal until `stop`; runs in a thread of its own.
pub fn read(
    source: &Source,
    health: &Arc<Health>,
    spawn: &(dyn Fn(Assignment) + Send + Sync),
    stop: &watch::Receiver<bool>,
) -> Result<(), LogError> {
    let directory = source.directory.as_path();
    let lock = lock(directory)?;
    let mut reader = DiskReader::open(directory)?;
    let border = take_up(directory, &reader)?;
    tracing::info!(
        epoch = format!("{:016x}", border.epoch),
        from = border.from,
        to = border.to,
        "journal taken up"
    );
    health.assigned(0, border.from);
    health.log_keeps(Some(source.keep));
    let (entries, receiver) = mpsc::channel(RECORDS_WAITING_MAX);
    let (revoke, revoked) = watch::channel(false);
    let (released, release) = std_mpsc::channel();
    let keeper = Keeper(Arc::new(Mutex::new(State {
        directory: directory.to_owned(),
        journal: format!("{:?}", reader.journal_id()),
        publisher: DiskReader::open(directory)?,
        _lock: lock,
    })));
    spawn(Assignment {
        partition: 0,
        border,
        entries: receiver,
        keeper: AnyKeeper::Disk(keeper),
        revoked,
        released,
    });
    let outcome = pump(&mut reader, border.from, &entries, (source, health), stop);
    // The worker may have ended already, with nobody left to tell.
    let _ = revoke.send(true);
    drop(entries);
    if release.recv_timeout(RELEASE) == Err(std_mpsc::RecvTimeoutError::Timeout) {
        tracing::warn!(
            "the worker did not let go in time; its border and token protect what it still does"
        );
    }
    health.released(0);
    outcome
}

/// Moves entries from the journal to the worker.
fn pump(
    reader: &mut DiskReader,
    mut offset: u64,
    entries: &mpsc::Sender<Entry>,
    (source, health): (&Source, &Health),
    stop: &watch::Receiver<bool>,
) -> Result<(), LogError> {
    let mut look_at = Instant::now();
    while !*stop.borrow() {
        if entries.is_closed() {
            return Err(LogError::Abandoned);
        }
        if Instant::now() >= look_at {
            look_at = Instant::now() + LOOK;
            look(reader, source, health, offset)?;
        }
        if entries.capacity() < READ_ENTRIES {
            // The worker is behind: it empties thousands of entries at a time.
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        if !reader.wait(offset, WAIT)? {
            continue;
        }
        for entry in reader.read(offset, READ_ENTRIES, READ_BYTES)? {
            offset = entry.next_offset();
            if entries.blocking_send(convert(entry)).is_err() {
                return Err(LogError::Abandoned);
            }
        }
    }
    Ok(())
}

/// Tells how much of the journal is not stored yet.
fn look(reader: &DiskReader, source: &Source, health: &Health, read: u64) -> Result<(), LogError> {
    let end = reader.end()?;
    health.log_end(0, end);
    let stored = health.partitions().get(&0).map_or(read, |health| health.position);
    let bytes = if stored < end { reader.bytes_from(stored)? } else { 0 };
    health.log_holds(bytes, source.bytes_max);
    Ok(())
}

pub(crate) fn convert(entry: DiskEntry) -> Entry {
    let next = entry.next_offset();
    match entry {
        DiskEntry::Record { offset, payload, .. } => {
            let resent = is_marked(&payload);
            Entry::Record { offset, payload: payload.to_vec(), resent }
        }
        DiskEntry::Void { first_offset, .. } => Entry::Void { offset: first_offset, next },
        DiskEntry::Damaged(damage) => Entry::Damaged {
            offset: damage.first_offset,
            next,
            detail: format!("{:?}", damage.reason),
            raw: damage.raw.to_vec(),
        },
    }
}

fn lock(directory: &Path) -> Result<File, LogError> {
    let path = directory.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(file_error("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::Locked(directory.to_owned())),
        Err(TryLockError::Error(source)) => Err(file_error("lock", &path)(source)),
    }
}

/// Where to begin: the position, if it is this journal's; else the journal's beginning, under a new epoch.
fn take_up(directory: &Path, reader: &DiskReader) -> Result<Border, LogError> {
    let journal = format!("{:?}", reader.journal_id());
    let (start, end) = (reader.start()?, reader.end()?);
    match read_position(directory)? {
        Some((known, border)) if known == journal => {
            if border.from < start || border.to > end {
                return Err(LogError::OutOfRange { offset: border.from, start, end });
            }
            Ok(border)
        }
        other => {
            if other.is_some() {
                tracing::warn!(
                    "the journal was made anew: reading it from its beginning under a new epoch"
                );
            }
            let border = Border::first(start)?;
            write_position(directory, &journal, border)?;
            Ok(border)
        }
    }
}

/// The journal's id and border that the position file holds.
pub fn position(directory: &Path) -> Result<Option<(String, Border)>, LogError> {
    read_position(directory)
}

fn read_position(directory: &Path) -> Result<Option<(String, Border)>, LogError> {
    let path = directory.join(POSITION);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(file_error("read", &path)(error)),
    };
    parse_position(&text).map(Some).ok_or(LogError::Position(path))
}

/// Three lines: the journal's id, the offset, the border's metadata.
fn parse_position(text: &str) -> Option<(String, Border)> {
    let mut lines = text.lines();
    let journal = lines.next()?.to_owned();
    let from = lines.next()?.parse().ok()?;
    let border = Border::parse(from, lines.next()?)?;
    lines.next().is_none().then_some((journal, border))
}

/// Replaces the position as a whole, durably: after a power cut either the old or the new one is there.
fn write_position(directory: &Path, journal: &str, border: Border) -> Result<(), LogError> {
    let path = directory.join(POSITION);
    let temporary = directory.join("position.new");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(file_error("create", &temporary))?;
    let text = format!("{journal}\n{}\n{}\n", border.from, border.metadata());
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_data())
        .map_err(file_error("write", &temporary))?;
    std::fs::rename(&temporary, &path)
        .and_then(|()| File::open(directory)?.sync_all())
        .map_err(file_error("replace", &path))
}

struct State {
    directory: PathBuf,
    journal: String,
    publisher: DiskReader,
    _lock: File,
}

/// Keeps borders in the journal's position file, and holds the consumer's lock as long as it lives.
#[derive(Clone)]
pub struct Keeper(Arc<Mutex<State>>);

impl Keeper {
    /// Writes a border durably, and tells the journal what it needs not keep for us.
    pub async fn keep(&self, border: Border) -> Result<(), KeepError> {
        let keeper = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let mut state = keeper.0.lock().unwrap_or_else(|poison| poison.into_inner());
            write_position(&state.directory, &state.journal, border)
                .and_then(|()| Ok(state.publisher.publish_consumed(border.from)?))
        });
        let outcome = task.await.map_err(|error| KeepError::Later(error.to_string()))?;
        outcome.map_err(|error| KeepError::Later(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_back_and_a_damaged_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let border = Border { epoch: 7, from: 10, to: 20, fingerprint: 3 };
        write_position(folder.path(), "journal-a", border).unwrap();
        assert_eq!(read_position(folder.path()).unwrap(), Some(("journal-a".to_owned(), border)));
        std::fs::write(folder.path().join(POSITION), "journal-a\n10\n").unwrap();
        assert!(matches!(read_position(folder.path()), Err(LogError::Position(_))));
    }

    #[test]
    fn a_second_consumer_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        assert!(matches!(lock(folder.path()), Err(LogError::Locked(_))));
        drop(first);
        assert!(lock(folder.path()).is_ok());
    }
}
