//! The Kafka client's settings, its words, and the topics.
//!
//! In: the `[kafka]` section. Out: a librdkafka configuration, and topics that exist. Refuses: nothing. Promises: librdkafka's own
//! words come through `tracing`, never to stderr by themselves.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaErrorCode;

use crate::config::Kafka;

/// The header of a record that was sent again after a crash: its original may be in the log already.
pub const RESENT_HEADER: &str = "resent";

/// The header that tells the record's schema version.
pub const VERSION_HEADER: &str = "v";

/// Between two looks for a message: little beside a batch's age, and two hundred looks a second cost nothing that can be measured.
const NAP: Duration = Duration::from_millis(5);

/// How long one request about topics may take.
const REQUEST: Duration = Duration::from_secs(10);

/// What every client of ours begins with.
pub fn client_config(settings: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &settings.brokers).set("client.id", "leadtrail");
    // A broker that comes back is found again quickly.
    config.set("reconnect.backoff.ms", "100").set("reconnect.backoff.max.ms", "2000");
    for property in &settings.properties {
        if let Some((name, value)) = property.split_once('=') {
            config.set(name.trim(), value.trim());
        }
    }
    config
}

/// Waits for a message, by a clock that nobody sets. librdkafka waits until a time of day: set the machine's clock back by an hour, and who waits just then
/// waits an hour. So it is never let wait here; and its own main thread, on whose timers the membership of a group hangs, is woken by a question to it.
pub fn poll<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    wait: Duration,
) -> Option<KafkaResult<BorrowedMessage<'_>>> {
    let until = Instant::now() + wait;
    loop {
        if let Some(polled) = consumer.poll(Duration::ZERO) {
            return Some(polled);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // The answer does not matter.
            let _ = consumer.assignment();
            return None;
        }
        std::thread::sleep(left.min(NAP));
    }
}

/// Passes librdkafka's words on.
pub fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, "librdkafka: {message}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
            tracing::warn!(facility, "librdkafka: {message}");
        }
        _ => tracing::debug!(facility, "librdkafka: {message}"),
    }
}

/// Makes the topics that don't exist. The events' topic keeps a week, like the journal; the settle log is tiny and kept for ever. Records have the
/// brokers' time: by an edge's clock that goes wrong, brokers would refuse what is an hour ahead, and delete at once what is a week behind.
pub async fn ensure_topics(settings: &Kafka) -> Result<(), KafkaError> {
    let admin: AdminClient<DefaultClientContext> = client_config(settings).create()?;
    let replication = || TopicReplication::Fixed(settings.replication);
    let in_sync = if settings.replication >= 3 { "2" } else { "1" };
    let events = NewTopic::new(&settings.topic, settings.partitions, replication())
        .set("min.insync.replicas", in_sync)
        .set("message.timestamp.type", "LogAppendTime")
        .set("retention.ms", "604800000");
    let settle = NewTopic::new(&settings.settle_topic, 1, replication())
        .set("min.insync.replicas", in_sync)
        .set("message.timestamp.type", "LogAppendTime")
        .set("retention.ms", "-1");
    // Small segments and quick compaction: a salt's tombstone should take effect within the hour.
    let shared = NewTopic::new(&settings.shared_topic, 1, replication())
        .set("min.insync.replicas", in_sync)
        .set("message.timestamp.type", "LogAppendTime")
        .set("cleanup.policy", "compact")
        .set("segment.ms", "600000")
        .set("max.compaction.lag.ms", "600000")
        .set("min.cleanable.dirty.ratio", "0.01")
        .set("delete.retention.ms", "600000");
    let links = NewTopic::new(&settings.links_topic, 1, replication())
        .set("min.insync.replicas", in_sync)
        .set("message.timestamp.type", "LogAppendTime")
        .set("cleanup.policy", "compact");
    let access = NewTopic::new(&settings.access_topic, 1, replication())
        .set("min.insync.replicas", in_sync)
        .set("message.timestamp.type", "LogAppendTime")
        .set("cleanup.policy", "compact");
    let options =
        AdminOptions::new().operation_timeout(Some(REQUEST)).request_timeout(Some(REQUEST));
    for outcome in admin.create_topics(&[events, settle, shared, links, access], &options).await? {
        match outcome {
            Ok(name) => tracing::info!(topic = name, "topic made"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                tracing::error!(topic = name, %code, "topic could not be made");
                return Err(KafkaError::AdminOp(code));
            }
        }
    }
    Ok(())
}

/// How long the events' topic keeps its records; `None`: for ever.
pub async fn retention(
    settings: &Kafka,
    answer_max: Duration,
) -> Result<Option<Duration>, KafkaError> {
    let admin: AdminClient<DefaultClientContext> = client_config(settings).create()?;
    let options = AdminOptions::new().request_timeout(Some(answer_max));
    let asked = [ResourceSpecifier::Topic(&settings.topic)];
    let mut retention = None;
    for answer in admin.describe_configs(&asked, &options).await? {
        let topic = answer.map_err(KafkaError::AdminOp)?;
        let entry = topic.entries.iter().find(|entry| entry.name == "retention.ms");
        // -1 is for ever.
        let ms = entry.and_then(|entry| entry.value.as_ref()?.parse::<u64>().ok());
        retention = ms.map(Duration::from_millis);
    }
    Ok(retention)
}

/// Says whether the topic exists, or why that can't be told.
pub fn topic_exists(settings: &Kafka) -> Result<bool, KafkaError> {
    let consumer: BaseConsumer = client_config(settings).create()?;
    let metadata = consumer.fetch_metadata(Some(&settings.topic), REQUEST)?;
    Ok(metadata
        .topics()
        .iter()
        .any(|topic| topic.error().is_none() && !topic.partitions().is_empty()))
}
