//! The log in Kafka, as the consumer sees it: a group's share of the partitions.
//!
//! In: a topic and a group. Out: [`Assignment`]s as partitions come, and their end as they go. Refuses: to go on where the log
//! doesn't hold what the committed offset says (there is no automatic reset); the partition stops and the reason names the range.
//! Promises: a partition is given back only when its worker has let go, or after a deadline; polling never pauses, so a slow
//! warehouse doesn't cost the membership; a topic that was made anew is read from its beginning under a new epoch.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, mpsc as std_mpsc};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, watch};

use crate::config::Kafka;
use crate::consume::assignment::{
    Assignment, Border, Entry, KeepError, Keeper as AnyKeeper, RECORDS_WAITING_MAX, fingerprint,
};
use crate::consume::health::Health;
use crate::journal::kafka_client::{RESENT_HEADER, client_config};

/// How long one request to the brokers may take.
const REQUEST: Duration = Duration::from_secs(5);

/// How long a worker has to let go of a revoked partition: longer than one insert takes, shorter than `max.poll.interval.ms`.
const RELEASE: Duration = Duration::from_secs(40);

/// How often committed offsets are asked for before the membership is given up.
const ATTEMPTS: u32 = 5;

/// After this long a stopped partition is looked at again: a broker that has just come back may have told us an old end.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// One turn of the loop.
const POLL: Duration = Duration::from_millis(50);

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

/// A partition that the group gave us.
struct Held {
    border: Border,
    /// The offset before the border, whose record must have the border's fingerprint; `None` once that is settled.
    verify: Option<u64>,
    entries: Option<mpsc::Sender<Entry>>,
    /// An entry that the worker had no room for; the partition is paused meanwhile.
    stash: Option<Entry>,
    revoke: Option<watch::Sender<bool>>,
    released: Option<std_mpsc::Receiver<()>>,
}

/// What the rebalance callback and the loop share; both run in the loop's thread.
struct Context {
    topic: String,
    held: Mutex<HashMap<i32, Held>>,
    failure: Mutex<Option<LogError>>,
    /// When a stopped partition is to be looked at again.
    look_again: Mutex<Option<Instant>>,
    health: Arc<Health>,
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
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
            held.insert(
                partition,
                Held { border, verify, entries: None, stash: None, revoke: None, released: None },
            );
            self.health.assigned(partition, border.from);
        }
        drop(held);
        consumer.assign(&begin).map_err(|source| LogError::Client { action: "assign", source })
    }

    /// Tells every worker to let go and waits until they did.
    fn let_go(&self) {
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

fn set_offset(list: &mut TopicPartitionList, topic: &str, partition: i32, offset: u64) {
    let offset = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
    if let Err(error) = list.add_partition_offset(topic, partition, offset) {
        tracing::error!(partition, %error, "librdkafka refuses an offset");
    }
}

fn new_border(low: u64, partition: i32) -> Result<Border, LogError> {
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

fn out_of_range(offset: u64, low: u64, high: u64) -> String {
    format!(
        "the next offset to read is {offset}, but the log holds [{low}, {high}); records may have been removed before they were read. \
         If the topic was made anew on purpose, delete the group's offset of this partition and restart the consumer"
    )
}

fn committed(
    consumer: &BaseConsumer<Context>,
    asked: &TopicPartitionList,
) -> Result<TopicPartitionList, LogError> {
    retry("ask for committed offsets", || consumer.committed_offsets(asked.clone(), REQUEST))
}

fn watermarks(
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

/// Reads the topic as a member of the group until `stop`; runs in a thread of its own.
pub fn read(
    settings: &Kafka,
    health: Arc<Health>,
    spawn: &Spawn,
    stop: &watch::Receiver<bool>,
) -> Result<(), LogError> {
    let context = Context {
        topic: settings.topic.clone(),
        held: Mutex::new(HashMap::new()),
        failure: Mutex::new(None),
        look_again: Mutex::new(None),
        health,
    };
    let consumer: BaseConsumer<Context> = consumer_config(settings)
        .create_with_context(context)
        .map_err(|source| LogError::Client { action: "create", source })?;
    consumer
        .subscribe(&[&settings.topic])
        .map_err(|source| LogError::Client { action: "subscribe", source })?;
    let reader = Reader { consumer: Arc::new(consumer), topic: &settings.topic, spawn };
    let outcome = reader.turn_until(stop);
    reader.consumer.context().let_go();
    outcome
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
            self.flush_stashes();
            match self.consumer.poll(POLL) {
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
        let keeper =
            Keeper { consumer: self.consumer.clone(), topic: self.topic.to_owned(), partition };
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
        let resent = message
            .headers()
            .is_some_and(|headers| headers.iter().any(|header| header.key == RESENT_HEADER));
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

/// Keeps borders in the group's committed offsets.
#[derive(Clone)]
pub struct Keeper {
    consumer: Arc<BaseConsumer<Context>>,
    topic: String,
    partition: i32,
}

impl Keeper {
    /// Commits a border; the coordinator refuses one from a member that was replaced.
    pub async fn keep(&self, border: Border) -> Result<(), KeepError> {
        let keeper = self.clone();
        let task = tokio::task::spawn_blocking(move || keeper.commit(border));
        task.await.map_err(|error| KeepError::Later(error.to_string()))?
    }

    fn commit(&self, border: Border) -> Result<(), KeepError> {
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(&self.topic, self.partition);
        let offset = Offset::Offset(i64::try_from(border.from).unwrap_or(i64::MAX));
        element.set_offset(offset).map_err(|error| KeepError::Later(error.to_string()))?;
        element.set_metadata(border.metadata());
        self.consumer.commit(&list, CommitMode::Sync).map_err(|error| {
            match error.rdkafka_error_code() {
                Some(
                    RDKafkaErrorCode::IllegalGeneration
                    | RDKafkaErrorCode::UnknownMemberId
                    | RDKafkaErrorCode::FencedInstanceId
                    | RDKafkaErrorCode::AssignmentLost
                    | RDKafkaErrorCode::UnknownTopicOrPartition,
                ) => KeepError::Lost(error.to_string()),
                _ => KeepError::Later(error.to_string()),
            }
        })
    }
}
