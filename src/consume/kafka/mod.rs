//! The log in Kafka, as the consumer sees it: a group's share of the partitions.
//!
//! In: a topic and a group. Out: [`Assignment`]s as partitions come, and their end as they go. Refuses: to go on where the log
//! doesn't hold what the committed offset says (there is no automatic reset); the partition stops and the reason names the range.
//! Promises: a partition is given back only when its worker has let go, or after a deadline; polling never pauses, so a slow
//! warehouse doesn't cost the membership; a topic that was made anew is read from its beginning under a new epoch; no partition that is
//! ours stands still for ever, for want of a worker or of answers.

mod group;
mod keeper;
mod lag;
mod offsets;
mod standstill;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc as std_mpsc};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, watch};

pub use keeper::Keeper;

use self::group::{Context, Held};
use self::offsets::{REQUEST, committed, new_border, watermarks};
use crate::config::Kafka;
use crate::consume::assignment::{
    Assignment, Entry, Keeper as AnyKeeper, RECORDS_WAITING_MAX, fingerprint,
};
use crate::consume::health::Health;
use crate::consume::resent::is_marked;
use crate::journal::kafka_client::{RESENT_HEADER, client_config, poll};

/// One turn of the loop.
const POLL: Duration = Duration::from_millis(50);

/// How long leaving the group may take before the client is left behind.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// Why the consumer has to be made anew.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The client could not be made or failed for good.
    #[error("kafka consumer: {action} failed: {source}")]
    Client {
        /// What was tried.
        action: &'static str,
        /// What librdkafka said.
        source: KafkaError,
    },
    /// A border was not taken: the client may be stuck with it.
    #[error(
        "kafka consumer: no answer to a commit of partition {partition} within {} s; joining the group with a new client",
        waited.as_secs()
    )]
    Silent {
        /// Whose border.
        partition: i32,
        /// How long its answer was waited for.
        waited: Duration,
    },
    /// What was committed is gone, and the topic with it.
    #[error(
        "kafka consumer: the committed offset of partition {partition} is gone: the topic was deleted; looking what there is now"
    )]
    Gone {
        /// Which.
        partition: i32,
    },
    /// A partition is ours and nobody works on it.
    #[error(
        "kafka consumer: partition {partition} was given up and no rebalance came within {} s; joining the group with a new client",
        standstill::ABANDONED_MAX.as_secs()
    )]
    Abandoned {
        /// Which.
        partition: i32,
    },
    /// Records wait in a partition of ours and none of them comes.
    #[error(
        "kafka consumer: partition {partition} has records from offset {next} on, and none came for {} s; joining the group with a new client",
        standstill::unread_max().as_secs()
    )]
    Unread {
        /// Which.
        partition: i32,
        /// The offset that was waited for.
        next: u64,
    },
    /// Nobody in the group was given the topic.
    #[error(
        "kafka consumer: the group has members, and none of them was given a partition of topic {topic}; joining the group with a new client"
    )]
    Unowned {
        /// Which.
        topic: String,
    },
    /// A partition could not be taken up.
    #[error("kafka consumer: cannot take up partition {partition}: {reason}")]
    Assign {
        /// Which.
        partition: i32,
        /// Why.
        reason: String,
    },
}

/// What hands an assignment to its worker.
pub type Spawn = Box<dyn Fn(Assignment) + Send + Sync>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}

/// Reads the topic as a member of the group until `stop`; runs in a thread of its own.
pub fn read(
    settings: &Kafka,
    health: &Arc<Health>,
    spawn: &Spawn,
    stop: &watch::Receiver<bool>,
) -> Result<(), LogError> {
    let runtime = tokio::runtime::Handle::current();
    let context = Context {
        topic: settings.topic.clone(),
        held: Mutex::new(HashMap::new()),
        failure: Mutex::new(None),
        look_again: Mutex::new(None),
        health: health.clone(),
    };
    let consumer: BaseConsumer<Context> = consumer_config(settings)
        .create_with_context(context)
        .map_err(|source| LogError::Client { action: "create", source })?;
    consumer
        .subscribe(&[&settings.topic])
        .map_err(|source| LogError::Client { action: "subscribe", source })?;
    let reader = Reader { consumer: Arc::new(consumer), topic: &settings.topic, spawn };
    let ended = AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| lag::watch(&reader.consumer, settings, health, &runtime, &ended));
        let outcome = reader.turn_until(stop);
        reader.consumer.context().let_go();
        ended.store(true, Ordering::Relaxed);
        outcome
    });
    close(reader.consumer);
    outcome
}

/// Leaves the group. A client that is stuck with a request is left behind: it must not join again, and its thread ends with it.
fn close(consumer: Arc<BaseConsumer<Context>>) {
    consumer.unsubscribe();
    let (closed, closing) = std_mpsc::channel::<()>();
    let named = std::thread::Builder::new().name("kafka-close".to_owned());
    let spawned = named.spawn(move || {
        drop(consumer);
        drop(closed);
    });
    let Ok(_) = spawned else { return };
    if closing.recv_timeout(CLOSE_MAX) == Err(std_mpsc::RecvTimeoutError::Timeout) {
        tracing::warn!("kafka: the old client does not close; it is left behind");
    }
}

fn consumer_config(settings: &Kafka) -> ClientConfig {
    let mut config = client_config(settings);
    config
        .set("group.id", &settings.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "false")
        // A topic that was made anew is noticed within this time.
        .set("topic.metadata.refresh.interval.ms", "5000")
        .set("fetch.wait.max.ms", "100")
        .set("queued.max.messages.kbytes", "16384");
    config
}

struct Reader<'a> {
    consumer: Arc<BaseConsumer<Context>>,
    topic: &'a str,
    spawn: &'a Spawn,
}

impl Reader<'_> {
    fn turn_until(&self, stop: &watch::Receiver<bool>) -> Result<(), LogError> {
        let context = self.consumer.context();
        while !*stop.borrow() {
            self.start_workers();
            standstill::find(&mut lock(&context.held), Instant::now())?;
            self.flush_stashes();
            match poll(&self.consumer, POLL) {
                None => {}
                Some(Ok(message)) => self.route(&message),
                Some(Err(error)) => self.judge(error)?,
            }
            if let Some(error) = lock(&context.failure).take() {
                return Err(error);
            }
            if lock(&context.look_again).is_some_and(|at| Instant::now() >= at) {
                return Err(LogError::Assign {
                    partition: -1,
                    reason: "looking at the stopped partitions again".to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Starts a worker for each partition that needs no look at the record before its border.
    fn start_workers(&self) {
        let mut held = lock(&self.consumer.context().held);
        for (partition, held) in held.iter_mut().filter(|(_, held)| held.verify.is_none()) {
            if held.entries.is_none() {
                self.start_worker(*partition, held);
            }
        }
    }

    fn start_worker(&self, partition: i32, held: &mut Held) {
        let (entries, receiver) = mpsc::channel(RECORDS_WAITING_MAX);
        let (revoke, revoked) = watch::channel(false);
        let (released, release) = std_mpsc::channel();
        held.entries = Some(entries);
        held.revoke = Some(revoke);
        held.released = Some(release);
        let keeper = Keeper {
            consumer: self.consumer.clone(),
            topic: self.topic.to_owned(),
            partition,
            holds_offset: Arc::new(AtomicBool::new(held.has_offset)),
        };
        (self.spawn)(Assignment {
            partition: u16::try_from(partition).unwrap_or(u16::MAX),
            border: held.border,
            entries: receiver,
            keeper: AnyKeeper::Kafka(keeper),
            revoked,
            released,
        });
    }

    /// Hands a message to its partition's worker, or checks with it that the log is still the one we know.
    fn route(&self, message: &BorrowedMessage<'_>) {
        let partition = message.partition();
        let mut all = lock(&self.consumer.context().held);
        let Some(held) = all.get_mut(&partition) else { return };
        let offset = u64::try_from(message.offset()).unwrap_or(0);
        held.came(offset);
        let payload = message.payload().unwrap_or_default();
        if let Some(before) = held.verify {
            held.verify = None;
            if offset == before && fingerprint(payload) != held.border.fingerprint {
                self.begin_anew(partition, held);
                return;
            }
            self.start_worker(partition, held);
            if offset == before {
                return;
            }
        }
        // The first message may come in the poll in which the partition came: dropped, it would be missing behind a kept border.
        if held.entries.is_none() {
            self.start_worker(partition, held);
        }
        let resent = message
            .headers()
            .is_some_and(|headers| headers.iter().any(|header| header.key == RESENT_HEADER))
            || is_marked(payload);
        let entry = Entry::Record { offset, payload: payload.to_vec(), resent };
        self.hand_over(partition, held, entry);
    }

    /// Gives an entry to the worker; when there's no room, keeps it and pauses the partition.
    fn hand_over(&self, partition: i32, held: &mut Held, entry: Entry) {
        let Some(entries) = &held.entries else { return };
        if let Err(mpsc::error::TrySendError::Full(entry)) = entries.try_send(entry) {
            // Messages that were fetched already are dropped by the pause; `resume` goes on behind the last one we were given.
            held.stash = Some(entry);
            let mut list = TopicPartitionList::new();
            list.add_partition(self.topic, partition);
            if let Err(error) = self.consumer.pause(&list) {
                tracing::warn!(partition, %error, "cannot pause");
            }
        }
    }

    fn flush_stashes(&self) {
        let mut all = lock(&self.consumer.context().held);
        for (partition, held) in all.iter_mut() {
            let (Some(entry), Some(entries)) = (held.stash.take(), &held.entries) else { continue };
            // Room for one would only pause again at once.
            if entries.capacity() < RECORDS_WAITING_MAX / 2 && !entries.is_closed() {
                held.stash = Some(entry);
                continue;
            }
            let _ = entries.try_send(entry);
            let mut list = TopicPartitionList::new();
            list.add_partition(self.topic, *partition);
            if let Err(error) = self.consumer.resume(&list) {
                tracing::warn!(partition, %error, "cannot resume");
            }
        }
    }

    fn seek(&self, partition: i32, offset: u64) {
        let offset = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
        if let Err(error) = self.consumer.seek(self.topic, partition, offset, REQUEST) {
            *lock(&self.consumer.context().failure) =
                Some(LogError::Client { action: "seek", source: error });
        }
    }

    /// The record before the border isn't the one that we stored: the topic was made anew. All of it is unread.
    fn begin_anew(&self, partition: i32, held: &mut Held) {
        let begin = watermarks(&self.consumer, self.topic, partition)
            .and_then(|(low, _)| new_border(low, partition));
        match begin {
            Ok(border) => {
                tracing::warn!(
                    partition,
                    "the topic was made anew: reading it from its beginning under a new epoch"
                );
                held.border = border;
                held.next = border.from;
                self.seek(partition, border.from);
                self.start_worker(partition, held);
            }
            Err(error) => *lock(&self.consumer.context().failure) = Some(error),
        }
    }

    /// What an error of the client means.
    fn judge(&self, error: KafkaError) -> Result<(), LogError> {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                self.stop_out_of_range();
                Ok(())
            }
            Some(
                RDKafkaErrorCode::Fatal
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::PollExceeded,
            ) => Err(LogError::Client { action: "poll", source: error }),
            _ => {
                tracing::warn!(%error, "kafka; librdkafka goes on trying");
                Ok(())
            }
        }
    }

    /// Some partition's next offset isn't in the log. Where the group's committed offset is gone too, the topic was made anew and a
    /// fresh membership takes it up from its beginning; else the partition stops and says so.
    fn stop_out_of_range(&self) {
        let context = self.consumer.context();
        let mut list = TopicPartitionList::new();
        lock(&context.held).keys().for_each(|partition| {
            list.add_partition(self.topic, *partition);
        });
        let anew = committed(&self.consumer, &list).map(|offsets| {
            offsets.elements().iter().any(|element| !matches!(element.offset(), Offset::Offset(_)))
        });
        *lock(&context.failure) = Some(LogError::Assign {
            partition: -1,
            reason: match anew {
                Ok(true) => "the topic was made anew; taking it up again".to_owned(),
                Ok(false) => {
                    "an offset is out of range; looking again at what the log holds".to_owned()
                }
                Err(error) => error.to_string(),
            },
        });
    }
}
