//! The log: where an event becomes durable.
//!
//! In: an event's record. Out: an [`Outcome`]. Refuses: when neither Kafka nor the disk can take it. Promises: what is answered
//! as durable is on Kafka (`acks=all`, idempotent producer) or fsynced in the journal, and reaches the consumer.

pub mod command;
pub mod disk;
mod gauges;
pub mod kafka;
pub mod kafka_client;
pub mod kafka_unowned;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::config::{Config, Home};
use crate::event::Event;
use crate::ids::EventId;
use crate::journal::disk::{DiskJournal, Options};
use crate::journal::kafka::KafkaLog;

pub use crate::journal::gauges::{Backlog, Gauges};

/// What a redirect still waits for write(2) once its patience is over: it returns within microseconds unless the disk hangs.
const WRITE_GRACE: Duration = Duration::from_millis(5);

/// Left free on the journal's file system, so that an installation on one disk doesn't choke its warehouse.
const FREE_BYTES_MIN: u64 = 256 << 20;

/// An event that waits longer than this for its fsync makes the edge not ready.
const UNSYNCED_MAX: Duration = Duration::from_secs(10);

/// One event as the log takes it.
#[derive(Clone, Debug)]
pub struct Record {
    /// The event's id.
    pub id: EventId,
    /// The log key; see [`Event::log_key`].
    pub key: [u8; 16],
    /// The event as JSON.
    pub payload: Vec<u8>,
}

impl From<&Event> for Record {
    fn from(event: &Event) -> Self {
        Self { id: event.id, key: event.log_key(), payload: event.to_record() }
    }
}

/// How long the sender can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Until the event is durable.
    Durable,
    /// This long; then it is enough that the event is written, though not yet fsynced.
    Written(Duration),
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// On Kafka, or fsynced: a receipt may be given.
    Durable,
    /// In the journal by write(2): safe from a killed process, not yet from a power cut.
    Written,
    /// Taken, and not yet written when the sender's patience was over: it most likely will be, but that is no promise.
    Late,
    /// Nowhere: the disk is full or failing. The sender is told to try again.
    Refused,
}

/// Why the log can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The journal's folder.
    #[error(transparent)]
    Disk(#[from] disk::OpenError),
    /// The Kafka client; a broker that is away is no error.
    #[error("cannot make the kafka producer: {0}; look at the [kafka] section")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// The log's two homes.
pub enum Journal {
    /// The journal is the whole log.
    Disk(DiskLog),
    /// Kafka is the log, the journal its spill.
    Kafka(KafkaLog),
    /// For unit tests of the edge: records in memory, and the outcome that every append has (`None`: it never ends).
    #[cfg(test)]
    Memory(std::sync::Mutex<Vec<Record>>, std::sync::Mutex<Option<Outcome>>),
}

impl Journal {
    /// Opens the configured home. Blocks while the journal's last segment is read.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        Self::open_at(config, &config.journal_dir())
    }

    /// The same with another folder: for a second producer on this machine.
    pub fn open_at(config: &Config, directory: &Path) -> Result<Self, OpenError> {
        let options = options(config);
        Ok(match config.log.home {
            Home::Disk => Self::Disk(DiskLog::open(directory, options)?),
            Home::Kafka => Self::Kafka(KafkaLog::open(&config.kafka, directory, options)?),
        })
    }

    /// Makes an event durable, or says that it can't.
    pub async fn append(&self, record: Record, patience: Patience) -> Outcome {
        match self {
            Self::Disk(log) => log.append(&record.payload, patience).await,
            Self::Kafka(log) => log.append(&record, patience).await,
            #[cfg(test)]
            Self::Memory(records, outcome) => {
                let outcome = *outcome.lock().unwrap();
                let Some(outcome) = outcome else { return std::future::pending().await };
                if outcome != Outcome::Refused {
                    records.lock().unwrap().push(record);
                }
                outcome
            }
        }
    }

    /// `Err` names why events may not become durable.
    pub fn ready(&self) -> Result<(), String> {
        match self {
            Self::Disk(log) => log.ready(),
            Self::Kafka(log) => log.ready(),
            #[cfg(test)]
            Self::Memory(..) => Ok(()),
        }
    }

    /// What waits for Kafka.
    pub fn backlog(&self) -> Backlog {
        match self {
            Self::Disk(_) => Backlog::default(),
            Self::Kafka(log) => log.backlog(),
            #[cfg(test)]
            Self::Memory(..) => Backlog::default(),
        }
    }

    /// Waits until what was taken is where it belongs, at most for `deadline`. Blocks. What remains is in the journal.
    pub fn close(&self, deadline: Duration) {
        match self {
            Self::Disk(log) => log.journal.close(),
            Self::Kafka(log) => log.close(deadline),
            #[cfg(test)]
            Self::Memory(..) => {}
        }
    }
}

fn options(config: &Config) -> Options {
    Options {
        segment_bytes_max: config.journal.segment_bytes,
        bytes_max: config.journal.bytes_max,
        free_bytes_min: FREE_BYTES_MIN,
        keep: Duration::from_secs(config.journal.keep_hours * 3600),
        ..Options::default()
    }
}

/// The journal as the whole log.
pub struct DiskLog {
    journal: DiskJournal,
    refusing: AtomicBool,
}

impl DiskLog {
    fn open(directory: &Path, options: Options) -> Result<Self, disk::OpenError> {
        let journal = DiskJournal::open(directory, options)?;
        Ok(Self { journal, refusing: AtomicBool::new(false) })
    }

    async fn append(&self, payload: &[u8], patience: Patience) -> Outcome {
        let outcome = match self.journal.append(payload) {
            Ok(ticket) => {
                patiently(patience, self.journal.synced(&ticket), self.journal.written(&ticket))
                    .await
            }
            Err(error) => {
                if !self.refusing.load(Ordering::Relaxed) {
                    tracing::error!(%error, "the journal refuses events");
                }
                Outcome::Refused
            }
        };
        let refused = matches!(outcome, Outcome::Refused | Outcome::Late);
        if self.refusing.load(Ordering::Relaxed) != refused {
            self.refusing.store(refused, Ordering::Relaxed);
        }
        outcome
    }

    /// Asks the journal itself: an edge that was taken out of traffic must be able to come back without one.
    fn ready(&self) -> Result<(), String> {
        let stats = self.journal.stats();
        // Not the last append's outcome: a full disk is tried again every second, and refuses each time.
        if let Some(error) = stats.refusal() {
            return Err(format!("the journal refuses events: {error}"));
        }
        match stats.unsynced_age.filter(|age| *age > UNSYNCED_MAX) {
            Some(age) => {
                Err(format!("the oldest event waits for its fsync for {} s", age.as_secs()))
            }
            None => Ok(()),
        }
    }
}

/// Waits for the fsync as long as the sender's patience lasts, then for the write.
async fn patiently<E>(
    patience: Patience,
    synced: impl Future<Output = Result<(), E>>,
    written: impl Future<Output = Result<(), E>>,
) -> Outcome {
    let wait = match patience {
        Patience::Durable => return synced.await.map_or(Outcome::Refused, |()| Outcome::Durable),
        Patience::Written(wait) => wait,
    };
    match tokio::time::timeout(wait, synced).await {
        Ok(Ok(())) => Outcome::Durable,
        Ok(Err(_)) => Outcome::Refused,
        Err(_) => match tokio::time::timeout(WRITE_GRACE, written).await {
            Ok(Ok(())) => Outcome::Written,
            Ok(Err(_)) => Outcome::Refused,
            Err(_) => Outcome::Late,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_journal_is_not_ready_however_often_it_tries_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = DiskLog::open(folder.path(), Options::default()).expect("a journal");
        assert_eq!(log.ready(), Ok(()));
        drop(log);
        // The disk never has as much free as is wanted.
        let full = Options { free_bytes_min: u64::MAX, ..Options::default() };
        let log = DiskLog::open(folder.path(), full).expect("a journal");
        // Upkeep lets it try again every second; readiness must not flap with that.
        let end = std::time::Instant::now() + Duration::from_millis(1_500);
        while std::time::Instant::now() < end {
            let word = log.ready().expect_err("full");
            assert!(word.contains("the journal is full"), "{word}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
