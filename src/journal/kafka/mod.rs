//! The log in Kafka, with the journal as its spill.
//!
//! In: a record. Out: an [`Outcome`]. Refuses: when Kafka doesn't take it in time and the spill can't either. Promises: a record is
//! produced once by this process: the idempotent producer keeps trying for ever, and the spill holds a copy of what it has not
//! finished, struck when the late report comes. Only what an earlier process left, or a producer that stood still (`still.rs`), is sent
//! again, marked `resent`, and only once the brokers have been back for 30 s, so that the consumer can look those few up.
//!
//! ```text
//!   append --- brokers in order ---> produce --- report in time ----------------------> Durable
//!      |                               '-------- no report by the deadline: copy ----> spill -> Durable
//!      '--- queue full or brokers away ----------------------------------------------> spill -> Durable
//!                                                                                        |
//!   drain thread: what is in the spill and not under way is produced once they are back <'   (report: struck)
//! ```

mod ages;
mod drain;
mod line;
mod refused;
mod still;
mod under_way;

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::oneshot;

use self::ages::Ages;
use self::line::Line;
use self::refused::Refused;
use self::under_way::{Pending, Shared, State};
use crate::config::Kafka;
use crate::journal::disk::{AppendError, Options, SpillJournal, Ticket};
use crate::journal::kafka_client::{RESENT_HEADER, VERSION_HEADER, client_config};
use crate::journal::{Backlog, OpenError, Outcome, Patience, Record, patiently};

/// Records in librdkafka's queue: with them go as many copies in the spill at most.
const QUEUE_RECORDS_MAX: usize = 100_000;

/// How long a record waits for its report when the spill can't take it: the answer is then a refusal.
const LAST_RESORT: Duration = Duration::from_secs(5);

/// An event that is undelivered for this long makes the edge not ready.
const UNDELIVERED_MAX: Duration = Duration::from_secs(10);

/// Bytes of the key in front of a spilled record.
pub const KEY_BYTES: usize = 16;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}

/// Kafka as the log's home.
pub struct KafkaLog {
    sender: Arc<Sender>,
    deadline: Duration,
    drain: Mutex<Option<JoinHandle<()>>>,
}

struct Sender {
    line: Line,
    topic: String,
    shared: Arc<Shared>,
    away_after: Duration,
}

impl KafkaLog {
    /// Opens the spill and makes the producer. Brokers that are away are no error: events go to the spill meanwhile.
    pub fn open(settings: &Kafka, spill: &Path, options: Options) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared {
            spill: SpillJournal::open(spill, options)?,
            under_way: Mutex::new(HashSet::new()),
            ages: Ages::new(),
            refused: Refused::new(),
            start: Instant::now(),
            in_flight: AtomicI64::new(0),
            progress_ms: AtomicI64::new(0),
            back_since_ms: AtomicI64::new(-1),
            stop: AtomicBool::new(false),
            refusing: AtomicBool::new(false),
            doubtful: Mutex::new(HashSet::new()),
        });
        let mut config = client_config(settings);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // For ever: the record is only given up with the process, and then the spill has it.
            .set("message.timeout.ms", "0")
            .set("linger.ms", settings.linger_ms.to_string())
            .set("compression.type", "lz4")
            .set("queue.buffering.max.messages", QUEUE_RECORDS_MAX.to_string())
            .set("queue.buffering.max.kbytes", "262144")
            .set("partitioner", "murmur2_random");
        let line = Line::open(config, client_config(settings), &settings.topic, shared.clone())?;
        let deadline = Duration::from_millis(settings.answer_deadline_ms);
        let sender =
            Arc::new(Sender { line, topic: settings.topic.clone(), shared, away_after: deadline });
        let drain = std::thread::Builder::new().name("spill-drain".to_owned()).spawn({
            let sender = sender.clone();
            move || sender.drain()
        })?;
        Ok(Self { sender, deadline, drain: Mutex::new(Some(drain)) })
    }

    /// Makes a record durable, on Kafka or in the spill.
    pub async fn append(&self, record: &Record, patience: Patience) -> Outcome {
        let outcome = self.sender.append(record, patience, self.deadline).await;
        let refused = matches!(outcome, Outcome::Refused | Outcome::Late);
        if self.sender.shared.refusing.load(Ordering::Relaxed) != refused {
            self.sender.shared.refusing.store(refused, Ordering::Relaxed);
        }
        outcome
    }

    /// `Err` when the oldest event under way is too old, when the brokers refuse all records, or when the spill does.
    pub fn ready(&self) -> Result<(), String> {
        let shared = &self.sender.shared;
        let age = shared.ages.oldest_seconds();
        if age >= UNDELIVERED_MAX.as_secs() {
            return Err(format!(
                "kafka: the oldest undelivered event is {age} s old; events go to the spill"
            ));
        }
        if let Some((ms, why)) = shared.refused.going_on(shared.now_ms())
            && ms >= UNDELIVERED_MAX.as_millis() as i64
        {
            let seconds = ms / 1000;
            return Err(format!(
                "kafka: the brokers have refused all records for {seconds} s ({why}); events go to the spill"
            ));
        }
        if shared.refusing.load(Ordering::Relaxed) {
            return Err(
                "kafka is away and the spill did not take the last event in time".to_owned()
            );
        }
        Ok(())
    }

    /// What the brokers have not confirmed.
    pub fn backlog(&self) -> Backlog {
        let spill = &self.sender.shared.spill;
        let (pending, stats) = (spill.pending(), spill.stats());
        let spilled_s = pending.oldest_age.map_or(0, |age| age.as_secs());
        Backlog {
            records: pending.records,
            bytes: stats.bytes,
            bytes_max: stats.bytes_max,
            oldest_s: spilled_s.max(self.sender.shared.ages.oldest_seconds()),
        }
    }

    /// Gives the producer `deadline` to finish, and stops the drain. What remains is in the spill.
    pub fn close(&self, deadline: Duration) {
        self.sender.shared.stop.store(true, Ordering::Relaxed);
        if let Some(drain) = lock(&self.drain).take()
            && drain.join().is_err()
        {
            tracing::error!("the spill's drain panicked");
        }
        self.sender.line.flush(deadline);
    }
}

impl Sender {
    /// True when records are under way and none has come back for a while.
    fn away(&self) -> bool {
        let shared = &self.shared;
        let away =
            shared.silent_ms() > i64::try_from(self.away_after.as_millis()).unwrap_or(i64::MAX);
        if away {
            shared.back_since_ms.store(-1, Ordering::Relaxed);
        }
        away
    }

    fn produce(
        &self,
        key: &[u8],
        payload: &[u8],
        resent: bool,
        state: State,
    ) -> Result<Arc<Pending>, KafkaError> {
        let pending =
            Arc::new(Pending { state: Mutex::new(state), second: self.shared.ages.begin() });
        let mut headers = OwnedHeaders::new_with_capacity(2)
            .insert(Header { key: VERSION_HEADER, value: Some("1") });
        if resent {
            headers = headers.insert(Header { key: RESENT_HEADER, value: Some("1") });
        }
        self.shared.went_out();
        let record = BaseRecord::with_opaque_to(&self.topic, pending.clone())
            .key(key)
            .payload(payload)
            .headers(headers);
        match self.line.send(record) {
            Ok(()) => Ok(pending),
            Err(error) => {
                self.shared.came_back(false);
                self.shared.ages.end(pending.second);
                Err(error)
            }
        }
    }

    async fn append(&self, record: &Record, patience: Patience, deadline: Duration) -> Outcome {
        if self.away() {
            return self.spill_only(record, patience).await;
        }
        let (sender, mut report) = oneshot::channel();
        let pending = match self.produce(
            &record.key,
            &record.payload,
            false,
            State::Waiting(sender),
        ) {
            Ok(pending) => pending,
            Err(error) => {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    tracing::warn!(%error, "kafka does not take a record; it goes to the spill");
                }
                return self.spill_only(record, patience).await;
            }
        };
        let wait = match patience {
            Patience::Durable => deadline,
            Patience::Written(wait) => wait.min(deadline),
        };
        match tokio::time::timeout(wait, &mut report).await {
            Ok(Ok(true)) => return Outcome::Durable,
            Ok(Ok(false)) => return self.spill_only(record, patience).await,
            Ok(Err(_)) => {
                let taken = self.shared.spill_doubtful(&frame(record));
                return self.spilled(taken, patience).await;
            }
            Err(_) => {}
        }
        if let Some(ticket) = self.shared.spill_copy(&frame(record), &pending) {
            let spill = &self.shared.spill;
            let rest = match patience {
                Patience::Durable => Patience::Durable,
                // The redirect's patience is over.
                Patience::Written(_) => Patience::Written(Duration::ZERO),
            };
            return patiently(rest, spill.synced(&ticket), spill.written(&ticket)).await;
        }
        // The report came just now, or the spill can't take the copy: then only the report can save the event.
        let wait = if patience == Patience::Durable { LAST_RESORT } else { Duration::ZERO };
        match tokio::time::timeout(wait, report).await {
            Ok(Ok(true)) => Outcome::Durable,
            _ => Outcome::Refused,
        }
    }

    async fn spill_only(&self, record: &Record, patience: Patience) -> Outcome {
        self.spilled(self.shared.spill.append(&frame(record)), patience).await
    }

    async fn spilled(&self, taken: Result<Ticket, AppendError>, patience: Patience) -> Outcome {
        let spill = &self.shared.spill;
        match taken {
            Ok(ticket) => patiently(patience, spill.synced(&ticket), spill.written(&ticket)).await,
            Err(error) => {
                if !self.shared.refusing.load(Ordering::Relaxed) {
                    tracing::error!(%error, "kafka is away and the spill refuses events");
                }
                Outcome::Refused
            }
        }
    }
}

/// A record as the spill holds it: the key, then the payload.
fn frame(record: &Record) -> Vec<u8> {
    [&record.key[..], &record.payload].concat()
}
