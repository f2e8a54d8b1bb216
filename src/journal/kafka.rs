//! The log in Kafka, with the journal as its spill.
//!
//! In: a record. Out: an [`Outcome`]. Refuses: when Kafka doesn't take it in time and the spill can't either. Promises: a record is
//! produced once by this process: the idempotent producer keeps trying for ever, and the spill holds a copy of what it has not
//! finished, struck when the late report comes. Only what an earlier process left is sent again, marked `resent`, and only once the
//! brokers have been back for 30 s, so that the consumer can look those few up.
//!
//! ```text
//!   append --- brokers in order ---> produce --- report in time ----------------------> Durable
//!      |                               '-------- no report by the deadline: copy ----> spill -> Durable
//!      '--- queue full or brokers away ----------------------------------------------> spill -> Durable
//!                                                                                        |
//!   drain thread: what is in the spill and not under way is produced once they are back <'   (report: struck)
//! ```

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::oneshot;

use crate::config::Kafka;
use crate::journal::disk::{Entry, Options, SpillJournal};
use crate::journal::kafka_client::{RESENT_HEADER, VERSION_HEADER, client_config};
use crate::journal::{OpenError, Outcome, Patience, Record, patiently};

/// Records in librdkafka's queue: with them go as many copies in the spill at most.
const QUEUE_RECORDS_MAX: usize = 100_000;

/// How long a record waits for its report when the spill can't take it: the answer is then a refusal.
const LAST_RESORT: Duration = Duration::from_secs(5);

/// What an earlier process left waits this long after the brokers came back: its own produce may still be on its way.
const RESEND_AFTER: Duration = Duration::from_secs(30);

/// An event that is undelivered for this long makes the edge not ready.
const UNDELIVERED_MAX: Duration = Duration::from_secs(10);

/// Records that the drain has under way at most.
const DRAIN_UNDER_WAY_MAX: usize = 20_000;

/// Records of one turn of the drain.
const DRAIN_TURN: usize = 5_000;

/// Wait between turns of the drain.
const DRAIN_WAIT: Duration = Duration::from_millis(100);

/// Bytes of the key in front of a spilled record.
const KEY_BYTES: usize = 16;

/// What a report changes.
enum State {
    /// The sender waits.
    Waiting(oneshot::Sender<bool>),
    /// The spill holds a copy at these offsets: one, or a damaged stretch.
    Spilled(Range<u64>),
    /// The report has come, or nobody cares any more.
    Done,
}

/// A record under way.
struct Pending {
    state: Mutex<State>,
    second: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}

/// Counts records under way by the second in which they were produced, so that the oldest one's age is known without a list.
/// A record older than the ring's 68 minutes counts as younger than it is; by then the alarm has long been raised.
struct Ages {
    ring: Vec<AtomicU32>,
    start: Instant,
}

impl Ages {
    const SECONDS: usize = 4096;

    fn new() -> Self {
        Self {
            ring: (0..Self::SECONDS).map(|_| AtomicU32::new(0)).collect(),
            start: Instant::now(),
        }
    }

    fn begin(&self) -> usize {
        let second = self.start.elapsed().as_secs() as usize % Self::SECONDS;
        self.ring[second].fetch_add(1, Ordering::Relaxed);
        second
    }

    fn end(&self, second: usize) {
        self.ring[second].fetch_sub(1, Ordering::Relaxed);
    }

    /// Seconds that the oldest record has been under way; 0 when there is none.
    fn oldest_seconds(&self) -> u64 {
        let now = self.start.elapsed().as_secs() as usize;
        (1..Self::SECONDS.min(now + 1))
            .rev()
            .find(|age| self.ring[(now - age) % Self::SECONDS].load(Ordering::Relaxed) > 0)
            .unwrap_or(0) as u64
    }
}

/// What senders, reports and the drain share.
struct Shared {
    spill: SpillJournal,
    /// Offsets in the spill whose record is under way: the drain leaves them alone.
    under_way: Mutex<HashSet<u64>>,
    ages: Ages,
    start: Instant,
    in_flight: AtomicI64,
    /// When a report last came, or the first record went out after a silence; milliseconds since `start`.
    progress_ms: AtomicI64,
    /// Since when the brokers have answered without a break; -1 while they are away.
    back_since_ms: AtomicI64,
    stop: AtomicBool,
    refusing: AtomicBool,
}

impl Shared {
    fn now_ms(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    fn went_out(&self) {
        if self.in_flight.fetch_add(1, Ordering::Relaxed) == 0 {
            self.progress_ms.store(self.now_ms(), Ordering::Relaxed);
        }
    }

    fn came_back(&self, delivered: bool) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        if delivered {
            let now = self.now_ms();
            self.progress_ms.store(now, Ordering::Relaxed);
            if self.back_since_ms.load(Ordering::Relaxed) < 0 {
                self.back_since_ms.store(now, Ordering::Relaxed);
            }
        }
    }

    /// Takes a copy into the spill and marks it as under way in one step, so that the drain can't come between.
    fn spill_copy(&self, framed: &[u8], pending: &Pending) -> Option<crate::journal::disk::Ticket> {
        let mut under_way = lock(&self.under_way);
        let mut state = lock(&pending.state);
        if matches!(*state, State::Done) {
            return None;
        }
        let ticket = self.spill.append(framed).ok()?;
        under_way.insert(ticket.offset());
        *state = State::Spilled(ticket.offset()..ticket.offset() + 1);
        Some(ticket)
    }

    /// Strikes what was delivered; what wasn't is the drain's again.
    fn finish_spilled(&self, offsets: Range<u64>, delivered: bool) {
        let first = offsets.start;
        if delivered {
            self.spill.strike_all(offsets);
        }
        lock(&self.under_way).remove(&first);
    }
}

/// The producer's reports.
struct Context(Arc<Shared>);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        crate::journal::kafka_client::log(level, facility, message);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Arc<Pending>;

    fn delivery(&self, result: &DeliveryResult<'_>, pending: Arc<Pending>) {
        let delivered = result.is_ok();
        if let Err((error, _)) = result {
            tracing::warn!(%error, "kafka did not take a record; the spill keeps it");
        }
        self.0.came_back(delivered);
        self.0.ages.end(pending.second);
        // Let go of the state before the list is locked: `spill_copy` takes them in the other order.
        let state = std::mem::replace(&mut *lock(&pending.state), State::Done);
        match state {
            // A sender that gave up is no longer there to be told.
            State::Waiting(sender) => drop(sender.send(delivered)),
            State::Spilled(offsets) => self.0.finish_spilled(offsets, delivered),
            State::Done => {}
        }
    }
}

/// Kafka as the log's home.
pub struct KafkaLog {
    sender: Arc<Sender>,
    deadline: Duration,
    drain: Mutex<Option<JoinHandle<()>>>,
}

struct Sender {
    producer: ThreadedProducer<Context>,
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
            start: Instant::now(),
            in_flight: AtomicI64::new(0),
            progress_ms: AtomicI64::new(0),
            back_since_ms: AtomicI64::new(-1),
            stop: AtomicBool::new(false),
            refusing: AtomicBool::new(false),
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
        let producer = config.create_with_context(Context(shared.clone()))?;
        let deadline = Duration::from_millis(settings.answer_deadline_ms);
        let sender = Arc::new(Sender {
            producer,
            topic: settings.topic.clone(),
            shared,
            away_after: deadline,
        });
        let drain = std::thread::Builder::new().name("spill-drain".to_owned()).spawn({
            let sender = sender.clone();
            move || sender.drain()
        })?;
        Ok(Self { sender, deadline, drain: Mutex::new(Some(drain)) })
    }

    /// Makes a record durable, on Kafka or in the spill.
    pub async fn append(&self, record: &Record, patience: Patience) -> Outcome {
        let outcome = self.sender.append(record, patience, self.deadline).await;
        let refused = outcome == Outcome::Refused;
        if self.sender.shared.refusing.load(Ordering::Relaxed) != refused {
            self.sender.shared.refusing.store(refused, Ordering::Relaxed);
        }
        outcome
    }

    /// `Err` when the oldest event under way is too old, or the spill refuses.
    pub fn ready(&self) -> Result<(), String> {
        let shared = &self.sender.shared;
        let age = shared.ages.oldest_seconds();
        if age >= UNDELIVERED_MAX.as_secs() {
            return Err(format!(
                "kafka: the oldest undelivered event is {age} s old; events go to the spill"
            ));
        }
        if shared.refusing.load(Ordering::Relaxed) {
            return Err("kafka is away and the spill refused the last event".to_owned());
        }
        Ok(())
    }

    /// Seconds that the oldest event has been undelivered, and records in the spill.
    pub fn backlog(&self) -> (u64, u64) {
        (self.sender.shared.ages.oldest_seconds(), self.sender.shared.spill.pending().records)
    }

    /// Gives the producer `deadline` to finish, and stops the drain. What remains is in the spill.
    pub fn close(&self, deadline: Duration) {
        self.sender.shared.stop.store(true, Ordering::Relaxed);
        if let Some(drain) = lock(&self.drain).take()
            && drain.join().is_err()
        {
            tracing::error!("the spill's drain panicked");
        }
        if let Err(error) = self.sender.producer.flush(deadline) {
            let left = self.sender.producer.in_flight_count();
            tracing::warn!(%error, left, "kafka did not take everything in time; the spill keeps it for the next start");
        }
    }
}

impl Sender {
    /// True when records are under way and none has come back for a while.
    fn away(&self) -> bool {
        let shared = &self.shared;
        let silent = shared.now_ms() - shared.progress_ms.load(Ordering::Relaxed);
        let away = shared.in_flight.load(Ordering::Relaxed) > 0
            && silent > i64::try_from(self.away_after.as_millis()).unwrap_or(i64::MAX);
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
        match self.producer.send(record) {
            Ok(()) => Ok(pending),
            Err((error, _)) => {
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
            Ok(_) => return self.spill_only(record, patience).await,
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
        let spill = &self.shared.spill;
        match spill.append(&frame(record)) {
            Ok(ticket) => patiently(patience, spill.synced(&ticket), spill.written(&ticket)).await,
            Err(error) => {
                if !self.shared.refusing.load(Ordering::Relaxed) {
                    tracing::error!(%error, "kafka is away and the spill refuses events");
                }
                Outcome::Refused
            }
        }
    }

    /// Produces what is in the spill and not under way, for as long as the process lives.
    fn drain(&self) {
        let mut next = 0;
        while !self.shared.stop.load(Ordering::Relaxed) {
            std::thread::sleep(DRAIN_WAIT);
            if self.away() || self.shared.spill.pending().records == 0 {
                next = 0;
                continue;
            }
            self.see_whether_back();
            next = self.drain_turn(next);
        }
    }

    /// Without traffic no report tells that the brokers are there: then their metadata does.
    fn see_whether_back(&self) {
        if self.shared.back_since_ms.load(Ordering::Relaxed) >= 0 {
            return;
        }
        let answer =
            self.producer.client().fetch_metadata(Some(&self.topic), Duration::from_secs(2));
        if answer.is_ok() && !self.away() {
            self.shared.back_since_ms.store(self.shared.now_ms(), Ordering::Relaxed);
        }
    }

    /// One turn from offset `next` on; returns where the following one begins, 0 when all were seen.
    fn drain_turn(&self, next: u64) -> u64 {
        let room =
            DRAIN_UNDER_WAY_MAX.saturating_sub(lock(&self.shared.under_way).len()).min(DRAIN_TURN);
        if room == 0 {
            return next;
        }
        let items = match self.shared.spill.next_pending(next, room) {
            Ok(items) => items,
            Err(error) => {
                tracing::error!(%error, "the spill can't be read");
                return 0;
            }
        };
        let back_ms = self.shared.back_since_ms.load(Ordering::Relaxed);
        let resend =
            back_ms >= 0 && self.shared.now_ms() - back_ms >= RESEND_AFTER.as_millis() as i64;
        let mut seen = 0;
        for entry in items {
            let offsets = entry.offsets();
            seen = offsets.end;
            let resent = offsets.start < self.shared.spill.recovered_below();
            if resent && !resend {
                continue;
            }
            if !self.produce_spilled(&entry, resent) {
                return offsets.start;
            }
        }
        seen
    }

    /// Produces one spilled record unless it is under way; false when the queue is full. What is damaged is produced as it is: the
    /// consumer puts it into the dead letters.
    fn produce_spilled(&self, entry: &Entry, resent: bool) -> bool {
        let offsets = entry.offsets();
        let offset = offsets.start;
        let (key, payload) = match entry {
            Entry::Record { payload, .. } => payload.split_at(KEY_BYTES.min(payload.len())),
            Entry::Damaged(damage) => (&[][..], &damage.raw[..]),
            Entry::Void { .. } => return true,
        };
        {
            let mut under_way = lock(&self.shared.under_way);
            // It may have been struck since it was listed: strikes come before `under_way` forgets.
            if !self.shared.spill.is_pending(offset) || !under_way.insert(offset) {
                return true;
            }
        }
        match self.produce(key, payload, resent, State::Spilled(offsets)) {
            Ok(_) => true,
            Err(_) => {
                lock(&self.shared.under_way).remove(&offset);
                false
            }
        }
    }
}

/// A record as the spill holds it: the key, then the payload.
fn frame(record: &Record) -> Vec<u8> {
    [&record.key[..], &record.payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_record_under_way_is_known_by_its_age() {
        let mut ages = Ages::new();
        assert_eq!(ages.oldest_seconds(), 0);
        let second = ages.begin();
        ages.start -= Duration::from_secs(12);
        assert_eq!(ages.oldest_seconds(), 12);
        ages.end(second);
        assert_eq!(ages.oldest_seconds(), 0);
    }
}
