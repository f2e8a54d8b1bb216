//! A topic of what commands make: compacted, one record a key, and each process' mirror of it. Links have one, keys and users another.
//!
//! In: changes, in transactions. Out: the same, committed ones only, in a file that the process follows. Refuses: nothing by itself. Promises: a
//! batch counts whole or not at all; of two commands at once the later one fences the earlier one off before it reads; an edge that
//! starts while the brokers are away has its mirror.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::book::Book;
use super::file::{FileError, Reader, Writer};
use super::record::Change;
use crate::config::Kafka;
use crate::journal::kafka_client::{client_config, poll};
use crate::stop::Stop;

/// How long brokers have for one request of a command.
const REQUEST: Duration = Duration::from_secs(30);

/// How long a transaction may be open: an import of millions, and no longer than brokers admit by default.
const TRANSACTION_MS: &str = "600000";

/// How long the whole topic may take to be read.
const READ_MAX: Duration = Duration::from_secs(120);

/// One wait for a record.
const POLL: Duration = Duration::from_millis(100);

/// Changes that the mirror takes with one fsync.
const MIRROR_CHANGES: usize = 10_000;

/// The pause before the mirror is taken up anew.
const PAUSE: Duration = Duration::from_secs(1);

/// Which of the topics.
#[derive(Clone, Copy, Debug)]
pub struct Ledger {
    topic: fn(&Kafka) -> &str,
    word: &'static str,
}

/// Registered links and kill-switches.
pub const LINKS: Ledger = Ledger { topic: |settings| &settings.links_topic, word: "links" };

/// Keys and users.
pub const ACCESS: Ledger = Ledger { topic: |settings| &settings.access_topic, word: "access" };

fn consumer(settings: &Kafka, ledger: Ledger, from: Offset) -> Result<BaseConsumer, KafkaError> {
    let consumer: BaseConsumer = client_config(settings)
        // Without a group: every process reads all of it.
        .set("group.id", format!("{}-{}", settings.group, ledger.word))
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        // Changes should arrive at once, and are few.
        .set("fetch.wait.max.ms", "100")
        .create()?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset((ledger.topic)(settings), 0, from)?;
    consumer.assign(&list)?;
    Ok(consumer)
}

/// Reads the links to their end.
///
/// # Errors
/// When the brokers don't give them.
pub fn load(settings: &Kafka) -> Result<Book, KafkaError> {
    let mut book = Book::default();
    read(settings, LINKS, |line| {
        let Ok(change) = serde_json::from_slice::<Change<'_>>(line) else {
            tracing::error!("a record of the links is none");
            return;
        };
        if let Err(error) = book.apply(&change) {
            tracing::error!(%error, "a change of the links is left out");
        }
    })?;
    Ok(book)
}

/// Reads a topic to its end.
///
/// # Errors
/// When the brokers don't give it.
pub fn read(
    settings: &Kafka,
    ledger: Ledger,
    mut each: impl FnMut(&[u8]),
) -> Result<(), KafkaError> {
    let consumer = consumer(settings, ledger, Offset::Beginning)?;
    let deadline = Instant::now() + READ_MAX;
    while Instant::now() < deadline {
        let message = match poll(&consumer, POLL) {
            None => continue,
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
            Some(message) => message?,
        };
        if let Some(line) = message.payload() {
            each(line);
        }
    }
    Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
}

/// Writes the topic.
pub struct Topic {
    producer: BaseProducer,
    name: String,
}

impl Topic {
    /// Fences off whoever wrote before; read only after that.
    ///
    /// # Errors
    /// When the brokers don't answer.
    pub fn open(settings: &Kafka, ledger: Ledger) -> Result<Self, KafkaError> {
        let producer: BaseProducer = client_config(settings)
            .set("acks", "all")
            .set("transactional.id", format!("{}-{}", settings.group, ledger.word))
            .set("transaction.timeout.ms", TRANSACTION_MS)
            // With more under way, a broker that has just become the leader may refuse the first request and take the second, and librdkafka
            // then infers that the first is there: see `journal/kafka/under_way.rs`. Here its records would miss from a commit that succeeds.
            .set("max.in.flight.requests.per.connection", "1")
            .create()?;
        producer.init_transactions(REQUEST)?;
        Ok(Self { producer, name: (ledger.topic)(settings).to_owned() })
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// When the producer can't.
    pub fn begin(&mut self) -> Result<Batch<'_>, KafkaError> {
        self.producer.begin_transaction()?;
        Ok(Batch { topic: self, open: true })
    }
}

/// A transaction. Dropped without a commit, it is aborted.
pub struct Batch<'a> {
    topic: &'a Topic,
    open: bool,
}

impl Batch<'_> {
    /// Adds a change.
    ///
    /// # Errors
    /// When it can't be sent.
    pub fn put(&mut self, change: &Change<'_>) -> Result<(), KafkaError> {
        self.put_record(&change.key(), &change.to_json())
    }

    /// Adds a record: the latest of a key counts.
    ///
    /// # Errors
    /// When it can't be sent.
    pub fn put_record(&mut self, key: &str, json: &[u8]) -> Result<(), KafkaError> {
        let record = BaseRecord::<str, [u8]>::to(&self.topic.name).partition(0);
        let mut record = record.key(key).payload(json);
        let deadline = Instant::now() + REQUEST;
        loop {
            match self.topic.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if Instant::now() < deadline =>
                {
                    record = back;
                    self.topic.producer.poll(POLL);
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// Makes them count.
    ///
    /// # Errors
    /// When the brokers don't confirm; then it was aborted, or will be.
    pub fn commit(mut self) -> Result<(), KafkaError> {
        self.topic.producer.flush(REQUEST)?;
        self.topic.producer.commit_transaction(REQUEST)?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if self.open
            && let Err(error) = self.topic.producer.abort_transaction(REQUEST)
        {
            tracing::warn!(%error, "the changes were given up; kafka will notice by itself");
        }
    }
}

/// Mirrors a topic into this process' file until the stop. `level` turns true once the end was reached. Blocks: give it a thread.
pub fn mirror(settings: &Kafka, ledger: Ledger, path: &Path, level: &Arc<AtomicBool>, stop: &Stop) {
    let mut told = String::new();
    while !stop.is_stopped() {
        if let Err(error) = mirror_once(settings, ledger, path.to_owned(), level, stop) {
            let words = error.to_string();
            if words != told {
                let topic = (ledger.topic)(settings);
                tracing::warn!(%error, topic, "the topic can't be followed; what is known stays");
                told = words;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum MirrorError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

fn mirror_once(
    settings: &Kafka,
    ledger: Ledger,
    path: PathBuf,
    level: &AtomicBool,
    stop: &Stop,
) -> Result<(), MirrorError> {
    let mut writer = Writer::open(path.clone())?;
    let mut reader = Reader::new(path);
    reader.look()?;
    let mut next = reader.commit.next;
    let watch = consumer(settings, ledger, Offset::Beginning)?;
    let (low, high) = watch.fetch_watermarks((ledger.topic)(settings), 0, REQUEST)?;
    drop(watch);
    // A topic that is shorter than what we have of it was made anew.
    let mut anew = next == 0 || next > high || next < low;
    let from = if anew { Offset::Beginning } else { Offset::Offset(next) };
    let consumer = consumer(settings, ledger, from)?;
    let mut lines: Vec<Vec<u8>> = Vec::new();
    while !stop.is_stopped() {
        let at_end = match poll(&consumer, POLL) {
            None => false,
            Some(Err(KafkaError::PartitionEOF(_))) => true,
            Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OffsetOutOfRange))) => {
                // Taken up from the beginning the next time.
                writer.begin_anew()?.commit(0)?;
                return Ok(());
            }
            Some(message) => {
                let message = message?;
                next = message.offset() + 1;
                lines.extend(message.payload().map(<[u8]>::to_vec));
                false
            }
        };
        if (at_end && (anew || !lines.is_empty())) || lines.len() >= MIRROR_CHANGES {
            let mut batch = if anew { writer.begin_anew()? } else { writer.begin()? };
            lines.drain(..).try_for_each(|line| batch.put_line(line))?;
            batch.commit(next)?;
            anew = false;
        }
        if at_end {
            level.store(true, Ordering::Release);
        }
    }
    Ok(())
}
