//! Questions to the brokers about offsets, each asked a few times.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::LogError;
use super::group::Context;
use crate::consume::assignment::Border;

/// How long one request to the brokers may take.
pub(super) const REQUEST: Duration = Duration::from_secs(5);

/// How often committed offsets are asked for before the membership is given up.
const ATTEMPTS: u32 = 5;

pub(super) fn set_offset(list: &mut TopicPartitionList, topic: &str, partition: i32, offset: u64) {
    let offset = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
    if let Err(error) = list.add_partition_offset(topic, partition, offset) {
        tracing::error!(partition, %error, "librdkafka refuses an offset");
    }
}

pub(super) fn new_border(low: u64, partition: i32) -> Result<Border, LogError> {
    let border = Border::first(low).map_err(|error| LogError::Assign {
        partition,
        reason: format!("no random bits: {error}"),
    })?;
    tracing::info!(
        partition,
        epoch = format!("{:016x}", border.epoch),
        from = low,
        "no committed position: a new epoch begins"
    );
    Ok(border)
}

pub(super) fn out_of_range(offset: u64, low: u64, high: u64) -> String {
    format!(
        "the next offset to read is {offset}, but the log holds [{low}, {high}); records may have been removed before they were read. \
         If the topic was made anew on purpose, delete the group's offset of this partition and restart the consumer"
    )
}

pub(super) fn committed(
    consumer: &BaseConsumer<Context>,
    asked: &TopicPartitionList,
) -> Result<TopicPartitionList, LogError> {
    retry("ask for committed offsets", || consumer.committed_offsets(asked.clone(), REQUEST))
}

pub(super) fn watermarks(
    consumer: &BaseConsumer<Context>,
    topic: &str,
    partition: i32,
) -> Result<(u64, u64), LogError> {
    let (low, high) =
        retry("ask for watermarks", || consumer.fetch_watermarks(topic, partition, REQUEST))?;
    Ok((u64::try_from(low).unwrap_or(0), u64::try_from(high).unwrap_or(0)))
}

fn retry<T>(
    action: &'static str,
    request: impl Fn() -> Result<T, KafkaError>,
) -> Result<T, LogError> {
    let mut attempt = 1;
    loop {
        match request() {
            Ok(answer) => return Ok(answer),
            Err(error) if attempt < ATTEMPTS => {
                tracing::warn!(action, %error, attempt, "trying again");
            }
            Err(source) => return Err(LogError::Client { action, source }),
        }
        attempt += 1;
    }
}
