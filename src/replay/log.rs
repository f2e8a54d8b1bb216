//! The log as a reader beside the consumer sees it: what is there, and how far it is committed.
//!
//! In: the configured home. Out: its [`Part`]s with their epochs and committed positions, and their entries. Refuses: a log that was made anew and that
//! the consumer has not taken up yet. Promises: takes no lock, joins no group and commits nothing; reads nothing behind the
//! committed position, so the consumer's own work is never looked at half-done.

use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::types::RDKafkaErrorCode;

use crate::config::{Config, Home};
use crate::consume::assignment::{Border, Entry, fingerprint};
use crate::consume::disk::{convert, position};
use crate::journal::disk::{DiskReader, ReadError};
use crate::journal::kafka_client::{RESENT_HEADER, client_config, poll};

/// How long one request to the brokers may take, and how long a record that must be there is waited for.
const REQUEST: Duration = Duration::from_secs(10);
const RECORD_WAIT_MAX: Duration = Duration::from_secs(30);

/// One turn of the client.
const POLL: Duration = Duration::from_millis(100);

/// Entries and bytes of one read.
const READ_ENTRIES: usize = 2048;
const READ_BYTES: usize = 4 << 20;

/// One partition of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its number; the journal has only 0.
    pub partition: u16,
    /// Which life of the log.
    pub epoch: u64,
    /// The first offset that is still there.
    pub start: u64,
    /// Everything below it is stored or dead-lettered.
    pub committed: u64,
}

/// Why the log can't be read.
#[derive(Debug, thiserror::Error)]
#[error("the log: cannot {action}: {reason}")]
pub struct LogError {
    action: &'static str,
    reason: String,
}

fn failed<E: ToString>(action: &'static str) -> impl Fn(E) -> LogError {
    move |reason| LogError { action, reason: reason.to_string() }
}

/// The log, opened for reading.
pub struct Log {
    home: Reader,
    /// Its partitions, as of the opening.
    pub parts: Vec<Part>,
    /// What to call it.
    pub name: String,
}

enum Reader {
    Disk(DiskReader),
    Kafka { consumer: BaseConsumer, topic: String, at: Option<(u16, u64)> },
}

impl Log {
    /// Opens the configured home. Blocks.
    pub fn open(config: &Config) -> Result<Self, LogError> {
        match config.log.home {
            Home::Disk => Self::open_disk(&config.journal_dir()),
            Home::Kafka => Self::open_kafka(config),
        }
    }

    fn open_disk(directory: &Path) -> Result<Self, LogError> {
        let reader = DiskReader::open(directory).map_err(failed("open the journal"))?;
        let position = position(directory).map_err(failed("read the position"))?;
        let start = reader.start().map_err(failed("look at the journal"))?;
        let ours = format!("{:?}", reader.journal_id());
        let part = |border: Border| Part {
            partition: 0,
            epoch: border.epoch,
            start: start.min(border.from),
            committed: border.from,
        };
        let parts = match position {
            Some((journal, border)) if journal == ours => vec![part(border)],
            // Nobody has consumed this journal yet.
            _ => Vec::new(),
        };
        let name = format!("journal {}", directory.display());
        Ok(Self { home: Reader::Disk(reader), parts, name })
    }

    fn open_kafka(config: &Config) -> Result<Self, LogError> {
        let settings = &config.kafka;
        let consumer: BaseConsumer = client_config(settings)
            .set("group.id", &settings.group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .create()
            .map_err(failed("make a kafka client"))?;
        let topic = settings.topic.clone();
        let metadata = consumer
            .fetch_metadata(Some(&topic), REQUEST)
            .map_err(failed("ask the brokers for the topic"))?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let mut asked = TopicPartitionList::new();
        partitions.for_each(|partition| {
            asked.add_partition(&topic, partition.id());
        });
        let committed = consumer
            .committed_offsets(asked, REQUEST)
            .map_err(failed("ask for committed offsets"))?;
        let home = Reader::Kafka { consumer, topic: topic.clone(), at: None };
        let mut log = Self { home, parts: Vec::new(), name: format!("kafka topic {topic}") };
        for element in committed.elements() {
            let Offset::Offset(offset) = element.offset() else { continue };
            let from = u64::try_from(offset).unwrap_or(0);
            let border = Border::parse(from, element.metadata()).ok_or_else(|| {
                failed("read the committed position")("its metadata is another program's")
            })?;
            let partition = u16::try_from(element.partition()).unwrap_or(u16::MAX);
            let (low, high) = log.watermarks(partition)?;
            log.same(partition, border, low, high)?;
            let start = low.min(border.from);
            log.parts.push(Part { partition, epoch: border.epoch, start, committed: from });
        }
        Ok(log)
    }

    fn watermarks(&self, partition: u16) -> Result<(u64, u64), LogError> {
        let Reader::Kafka { consumer, topic, .. } = &self.home else { return Ok((0, 0)) };
        let (low, high) = consumer
            .fetch_watermarks(topic, i32::from(partition), REQUEST)
            .map_err(failed("ask for watermarks"))?;
        Ok((u64::try_from(low).unwrap_or(0), u64::try_from(high).unwrap_or(0)))
    }

    /// Makes sure that the topic is still the one whose offsets were committed.
    fn same(
        &mut self,
        partition: u16,
        border: Border,
        low: u64,
        high: u64,
    ) -> Result<(), LogError> {
        let anew = || {
            failed("take up the topic")(format!(
                "partition {partition} was made anew and the consumer has not taken it up yet; run this again when it has"
            ))
        };
        if border.from > high {
            return Err(anew());
        }
        if border.fingerprint == 0 || border.from <= low {
            return Ok(());
        }
        let (entries, _) = self.read(partition, border.from - 1, border.from)?;
        match entries.first() {
            Some(Entry::Record { payload, .. }) if fingerprint(payload) != border.fingerprint => {
                Err(anew())
            }
            _ => Ok(()),
        }
    }

    /// Entries of [`from`, `to`), and where to read on. What was removed from the log meanwhile is passed over. Blocks.
    pub fn read(
        &mut self,
        partition: u16,
        from: u64,
        to: u64,
    ) -> Result<(Vec<Entry>, u64), LogError> {
        match &mut self.home {
            Reader::Disk(reader) => match reader.read(from, READ_ENTRIES, READ_BYTES) {
                Ok(entries) => {
                    let entries: Vec<Entry> = entries
                        .into_iter()
                        .map(convert)
                        .take_while(|entry| entry.offset() < to)
                        .collect();
                    let next = entries.last().map_or(to, Entry::next);
                    Ok((entries, next))
                }
                Err(ReadError::OutOfRange { start, .. }) if start > from => {
                    Ok((Vec::new(), start.min(to)))
                }
                Err(error) => Err(failed("read the journal")(error)),
            },
            Reader::Kafka { consumer, topic, at } => {
                if *at != Some((partition, from)) {
                    assign(consumer, topic, partition, from)?;
                }
                *at = None;
                let (entries, next) = read_kafka(consumer, topic, partition, from, to)?;
                *at = (next < to).then_some((partition, next));
                Ok((entries, next))
            }
        }
    }
}

fn assign(consumer: &BaseConsumer, topic: &str, partition: u16, from: u64) -> Result<(), LogError> {
    let mut list = TopicPartitionList::new();
    let offset = Offset::Offset(i64::try_from(from).unwrap_or(i64::MAX));
    list.add_partition_offset(topic, i32::from(partition), offset)
        .and_then(|()| consumer.assign(&list))
        .map_err(failed("assign a partition"))
}

fn read_kafka(
    consumer: &BaseConsumer,
    topic: &str,
    partition: u16,
    from: u64,
    to: u64,
) -> Result<(Vec<Entry>, u64), LogError> {
    let (mut entries, mut bytes, mut next) = (Vec::new(), 0, from);
    let mut deadline = Instant::now() + RECORD_WAIT_MAX;
    while next < to && entries.len() < READ_ENTRIES && bytes < READ_BYTES {
        match poll(consumer, POLL) {
            None if Instant::now() < deadline => {}
            None => {
                let waited = format!("no record within {} s", RECORD_WAIT_MAX.as_secs());
                return Err(failed("read the topic")(waited));
            }
            Some(Ok(message)) => {
                let offset = u64::try_from(message.offset()).unwrap_or(0);
                if offset >= to {
                    return Ok((entries, to));
                }
                let payload = message.payload().unwrap_or_default().to_vec();
                let resent = message.headers().is_some_and(|headers| {
                    headers.iter().any(|header| header.key == RESENT_HEADER)
                });
                bytes += payload.len();
                next = offset + 1;
                entries.push(Entry::Record { offset, payload, resent });
                deadline = Instant::now() + RECORD_WAIT_MAX;
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok((entries, to)),
            Some(Err(error)) if is_gone(&error) => {
                let (low, _) = consumer
                    .fetch_watermarks(topic, i32::from(partition), REQUEST)
                    .map_err(failed("ask for watermarks"))?;
                let low = u64::try_from(low).unwrap_or(0);
                if low <= next {
                    return Err(failed("read the topic")(error));
                }
                // Its retention removed what was to be read.
                return Ok((entries, low.min(to)));
            }
            Some(Err(error)) => tracing::debug!(%error, "kafka; librdkafka goes on trying"),
        }
    }
    Ok((entries, next))
}

fn is_gone(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
    )
}
