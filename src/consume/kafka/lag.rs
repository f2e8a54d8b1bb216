//! How far behind the partitions are, how long the topic keeps what they have not read, and whether anybody has them.
//!
//! In: the consumer's partitions. Out: each partition's end and the topic's retention, to [`Health`], and the end to [`standstill`]; a failure where
//! the topic is given to nobody ([`kafka_unowned`]). Refuses: nothing; brokers that don't answer leave the last figures. Promises: runs beside the reading, which neither waits for it nor stops it; asks the
//! brokers rather than what was fetched, so that a partition that is paused is seen to fall behind.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::group::Context;
use super::{LogError, lock, standstill};
use crate::config::Kafka;
use crate::consume::health::Health;
use crate::journal::{kafka_client, kafka_unowned};

/// How often the partitions' ends are asked for.
pub(super) const EVERY: Duration = Duration::from_secs(2);

/// How long one answer may take: a stop waits for it.
const ANSWER: Duration = Duration::from_secs(2);

/// How often the topic's retention is asked for: somebody may change it.
const RETENTION_EVERY: Duration = Duration::from_secs(60);

/// One turn, after which the end is looked for.
const TURN: Duration = Duration::from_millis(100);

/// Asks until `ended`.
pub(super) fn watch(
    consumer: &BaseConsumer<Context>,
    settings: &Kafka,
    health: &Health,
    runtime: &tokio::runtime::Handle,
    ended: &AtomicBool,
) {
    let (mut ask_at, mut retention_at) = (Instant::now(), Instant::now());
    let mut unowned = kafka_unowned::Watch::of(&settings.group, &settings.topic, ANSWER);
    while !ended.load(Ordering::Relaxed) {
        let now = Instant::now();
        if now >= ask_at {
            ask_at = now + EVERY;
            ask_ends(consumer, settings, health, ended);
        }
        if now >= retention_at {
            retention_at = now + RETENTION_EVERY;
            match runtime.block_on(kafka_client::retention(settings, ANSWER)) {
                Ok(age) => health.log_keeps(age),
                Err(error) => tracing::debug!(%error, "the topic's retention can't be asked for"),
            }
        }
        if unowned.finds_it(consumer, || lock(&consumer.context().held).is_empty()) {
            let topic = settings.topic.clone();
            lock(&consumer.context().failure).get_or_insert(LogError::Unowned { topic });
        }
        std::thread::sleep(TURN);
    }
}

fn ask_ends(
    consumer: &BaseConsumer<Context>,
    settings: &Kafka,
    health: &Health,
    ended: &AtomicBool,
) {
    let partitions: Vec<i32> = lock(&consumer.context().held).keys().copied().collect();
    for partition in partitions {
        if ended.load(Ordering::Relaxed) {
            return;
        }
        let end = match consumer.fetch_watermarks(&settings.topic, partition, ANSWER) {
            Ok((_, end)) => {
                let end = u64::try_from(end).unwrap_or(0);
                health.log_end(partition, end);
                Some(end)
            }
            Err(error) => {
                tracing::debug!(partition, %error, "a partition's end can't be asked for");
                None
            }
        };
        if let Some(held) = lock(&consumer.context().held).get_mut(&partition) {
            standstill::end_was_asked(held, end);
        }
    }
}
