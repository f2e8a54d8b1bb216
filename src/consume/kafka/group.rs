//! The group's side: what happens when partitions come and go.
//!
//! In: librdkafka's rebalances. Out: for each partition where to begin, and the record that proves that the log is still the one we
//! know. Refuses: an offset that the log doesn't hold, or that another program committed. Promises: a partition is let go when its
//! worker has let go, or after a deadline.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc as std_mpsc};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, watch};

use super::offsets::{committed, new_border, out_of_range, set_offset, watermarks};
use super::{LogError, lock};
use crate::consume::assignment::{Border, Entry};
use crate::consume::health::Health;

/// How long a worker has to let go of a revoked partition: longer than one insert takes, shorter than `max.poll.interval.ms`.
const RELEASE: Duration = Duration::from_secs(40);

/// After this long a stopped partition is looked at again: a broker that has just come back may have told us an old end.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// A partition that the group gave us.
pub(super) struct Held {
    pub(super) border: Border,
    /// The offset before the border, whose record must have the border's fingerprint; `None` once that is settled.
    pub(super) verify: Option<u64>,
    pub(super) entries: Option<mpsc::Sender<Entry>>,
    /// An entry that the worker had no room for; the partition is paused meanwhile.
    pub(super) stash: Option<Entry>,
    pub(super) revoke: Option<watch::Sender<bool>>,
    pub(super) released: Option<std_mpsc::Receiver<()>>,
    /// Whether the group has an offset of it.
    pub(super) has_offset: bool,
    /// The next offset to come.
    pub(super) next: u64,
    /// When its worker was first seen to have ended.
    pub(super) abandoned_since: Option<Instant>,
    /// How often the brokers said, since the last record came, that there are more.
    pub(super) told_of_more: u32,
}

impl Held {
    /// A partition that nobody works on yet.
    pub(super) fn new(border: Border, verify: Option<u64>, has_offset: bool) -> Self {
        Self {
            border,
            verify,
            entries: None,
            stash: None,
            revoke: None,
            released: None,
            has_offset,
            next: verify.unwrap_or(border.from),
            abandoned_since: None,
            told_of_more: 0,
        }
    }

    /// The record at this offset came.
    pub(super) fn came(&mut self, offset: u64) {
        self.next = offset + 1;
        self.told_of_more = 0;
    }
}

/// What the rebalance callback and the loop share; both run in the loop's thread.
pub(super) struct Context {
    pub(super) topic: String,
    pub(super) held: Mutex<HashMap<i32, Held>>,
    pub(super) failure: Mutex<Option<LogError>>,
    /// When a stopped partition is to be looked at again.
    pub(super) look_again: Mutex<Option<Instant>>,
    pub(super) health: Arc<Health>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        crate::journal::kafka_client::log(level, facility, message);
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        error: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let outcome = if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assign(consumer, list)
        } else {
            self.let_go();
            consumer.unassign().map_err(|source| LogError::Client { action: "unassign", source })
        };
        if let Err(error) = outcome {
            *lock(&self.failure) = Some(error);
        }
    }
}

impl Context {
    /// Finds out where each partition is to begin, and begins there.
    fn assign(
        &self,
        consumer: &BaseConsumer<Self>,
        list: &TopicPartitionList,
    ) -> Result<(), LogError> {
        let mut asked = TopicPartitionList::new();
        for element in list.elements() {
            asked.add_partition(element.topic(), element.partition());
        }
        let committed = committed(consumer, &asked)?;
        let mut begin = TopicPartitionList::new();
        let mut held = lock(&self.held);
        for element in committed.elements() {
            let partition = element.partition();
            let (low, high) = watermarks(consumer, &self.topic, partition)?;
            let border = match element.offset() {
                Offset::Offset(offset) => {
                    let from = u64::try_from(offset).unwrap_or(0);
                    Border::parse(from, element.metadata()).ok_or_else(|| LogError::Assign {
                        partition,
                        reason: format!("offset {offset} was committed by another program (its metadata isn't ours); use a group of Leadtrail's own"),
                    })?
                }
                _ => new_border(low, partition)?,
            };
            if border.from < low || border.from > high {
                self.health.stopped(partition, out_of_range(border.from, low, high));
                lock(&self.look_again).get_or_insert(Instant::now() + LOOK_AGAIN);
                continue;
            }
            let verify = (border.fingerprint != 0 && border.from > low).then(|| border.from - 1);
            tracing::info!(
                partition,
                epoch = format!("{:016x}", border.epoch),
                from = border.from,
                to = border.to,
                "partition taken up"
            );
            set_offset(&mut begin, &self.topic, partition, verify.unwrap_or(border.from));
            let has_offset = matches!(element.offset(), Offset::Offset(_));
            held.insert(partition, Held::new(border, verify, has_offset));
            self.health.assigned(partition, border.from);
        }
        drop(held);
        consumer.assign(&begin).map_err(|source| LogError::Client { action: "assign", source })
    }

    /// Tells every worker to let go and waits until they did.
    pub(super) fn let_go(&self) {
        let all: Vec<(i32, Held)> = lock(&self.held).drain().collect();
        for (_, held) in &all {
            if let Some(revoke) = &held.revoke {
                // The worker may have ended already, with nobody left to tell.
                let _ = revoke.send(true);
            }
        }
        let deadline = Instant::now() + RELEASE;
        for (partition, held) in all {
            drop(held.entries);
            if let Some(released) = held.released {
                let left = deadline.saturating_duration_since(Instant::now());
                if released.recv_timeout(left) == Err(std_mpsc::RecvTimeoutError::Timeout) {
                    tracing::warn!(
                        partition,
                        "the worker did not let go in time; its border and token protect what it still does"
                    );
                }
            }
            self.health.released(partition);
        }
    }
}
