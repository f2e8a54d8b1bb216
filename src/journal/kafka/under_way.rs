//! Records under way, and what their reports change.
//!
//! In: a record that goes out, a copy that goes into the spill, a delivery report. Promises: a copy and its report never miss each
//! other, whichever comes first; only a report with an offset strikes a record.
//!
//! librdkafka also calls delivered what it merely infers: a record whose request failed, when a later one of its partition was taken, and
//! one that the broker calls a duplicate. But a broker that has just become a partition's leader, and knows nothing of the producer yet,
//! takes the second request after it refused the first. The first record is then on no broker, and its retry is a duplicate. Such a report has
//! no offset: whether the record is there nobody knows, so it goes again, marked.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::oneshot;

use super::ages::Ages;
use super::lock;
use super::refused::Refused;
use crate::journal::disk::{AppendError, SpillJournal, Ticket};

/// What a report changes.
pub(super) enum State {
    /// The sender waits. Dropped without a word when nobody knows whether the record is there.
    Waiting(oneshot::Sender<bool>),
    /// The spill holds a copy at these offsets: one, or a damaged stretch.
    Spilled(Range<u64>),
    /// The report has come, or nobody cares any more.
    Done,
}

/// A record under way.
pub(super) struct Pending {
    pub(super) state: Mutex<State>,
    pub(super) second: usize,
}

/// What senders, reports and the drain share.
pub(super) struct Shared {
    pub(super) spill: SpillJournal,
    /// Offsets in the spill whose record is under way: the drain leaves them alone.
    pub(super) under_way: Mutex<HashSet<u64>>,
    pub(super) ages: Ages,
    pub(super) refused: Refused,
    pub(super) start: Instant,
    pub(super) in_flight: AtomicI64,
    /// When a report last came, or the first record went out after a silence; milliseconds since `start`.
    pub(super) progress_ms: AtomicI64,
    /// Since when the brokers have answered without a break; -1 while they are away.
    pub(super) back_since_ms: AtomicI64,
    pub(super) stop: AtomicBool,
    pub(super) refusing: AtomicBool,
    /// Offsets in the spill whose record may be on Kafka, though nobody was told: see [`Fate::Unknown`].
    /// Each is in the spill, so there are no more than it can have pending.
    pub(super) doubtful: Mutex<HashSet<u64>>,
}

impl Shared {
    pub(super) fn now_ms(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// How long no report has come while records are under way; 0 when none is.
    pub(super) fn silent_ms(&self) -> i64 {
        if self.in_flight.load(Ordering::Relaxed) <= 0 {
            return 0;
        }
        self.now_ms() - self.progress_ms.load(Ordering::Relaxed)
    }

    /// What is under way is marked when it goes again, and waits as what an earlier process left does.
    pub(super) fn doubt_what_is_under_way(&self) {
        let under_way = lock(&self.under_way);
        lock(&self.doubtful).extend(under_way.iter());
        self.back_since_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// Takes a record into the spill of which nobody knows whether it is there.
    pub(super) fn spill_doubtful(&self, framed: &[u8]) -> Result<Ticket, AppendError> {
        // Under the lock, so that the drain doesn't send it before it is marked.
        let mut doubtful = lock(&self.doubtful);
        let ticket = self.spill.append(framed)?;
        doubtful.insert(ticket.offset());
        Ok(ticket)
    }

    /// Whether the record at this offset in the spill may be on Kafka already.
    pub(super) fn may_be_there(&self, offset: u64) -> bool {
        offset < self.spill.recovered_below() || lock(&self.doubtful).contains(&offset)
    }

    pub(super) fn went_out(&self) {
        if self.in_flight.fetch_add(1, Ordering::Relaxed) == 0 {
            self.progress_ms.store(self.now_ms(), Ordering::Relaxed);
        }
    }

    pub(super) fn came_back(&self, delivered: bool) {
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
    pub(super) fn spill_copy(&self, framed: &[u8], pending: &Pending) -> Option<Ticket> {
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
    pub(super) fn finish_spilled(&self, offsets: Range<u64>, fate: Fate) {
        let first = offsets.start;
        match fate {
            Fate::Delivered => {
                self.spill.strike_all(offsets);
                lock(&self.doubtful).remove(&first);
            }
            Fate::Unknown => {
                lock(&self.doubtful).insert(first);
            }
            Fate::Refused => {}
        }
        lock(&self.under_way).remove(&first);
    }
}

/// What a report says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// A broker holds it.
    Delivered,
    /// It may be there: it was given up with its producer, or librdkafka only infers it.
    Unknown,
    /// It is not there.
    Refused,
}

impl Fate {
    fn of(result: &DeliveryResult<'_>) -> Self {
        match result {
            Ok(message) if message.offset() >= 0 => Self::Delivered,
            Ok(_) => Self::Unknown,
            Err((error, _)) if is_purged(error) => Self::Unknown,
            Err(_) => Self::Refused,
        }
    }
}

fn is_purged(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{PurgeInflight, PurgeQueue};
    matches!(error.rdkafka_error_code(), Some(PurgeInflight | PurgeQueue))
}

/// The producer's reports.
pub(super) struct Context(pub(super) Arc<Shared>);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        crate::journal::kafka_client::log(level, facility, message);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Arc<Pending>;

    fn delivery(&self, result: &DeliveryResult<'_>, pending: Arc<Pending>) {
        match result {
            Ok(_) => self.0.refused.delivered(),
            Err((error, _)) if is_purged(error) => {}
            Err((error, _)) => self.0.refused.note(error, self.0.now_ms()),
        }
        // Whatever a broker answered, it is there.
        self.0.came_back(result.is_ok());
        self.0.ages.end(pending.second);
        let fate = Fate::of(result);
        // Let go of the state before the list is locked: `spill_copy` takes them in the other order.
        let state = std::mem::replace(&mut *lock(&pending.state), State::Done);
        match state {
            // Whether it is there nobody knows, so nothing is said.
            State::Waiting(_) if fate == Fate::Unknown => {}
            // A sender that gave up is no longer there to be told.
            State::Waiting(sender) => drop(sender.send(fate == Fate::Delivered)),
            State::Spilled(offsets) => self.0.finish_spilled(offsets, fate),
            State::Done => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::ids::EventId;
    use crate::journal::disk::Options;
    use crate::journal::kafka::{KafkaLog, Outcome, Patience, Record};
    use rdkafka::config::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    use rdkafka::message::Headers as _;
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
    use rdkafka::{Offset, TopicPartitionList};
    use std::time::Duration;

    fn record(number: u32) -> Record {
        Record {
            id: EventId::from_parts(1_790_000_000_000, number, 1),
            key: [7; 16],
            payload: format!("number {number}").into_bytes(),
        }
    }

    /// The topic's records, and whether each is marked as sent again.
    fn on(brokers: &str, topic: &str, count: usize) -> Vec<(String, bool)> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "reads")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut found = Vec::new();
        while found.len() < count {
            assert!(Instant::now() < deadline, "{found:?}");
            let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
            let text = String::from_utf8(message.payload().unwrap().to_vec()).unwrap();
            found.push((text, message.headers().unwrap().count() > 1));
        }
        found
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_librdkafka_only_infers_to_be_delivered_is_sent_again_and_marked() {
        // The brokers refuse the first request and take the second, which was under way already; the sender of the first either waits
        // or has its copy in the spill.
        for patience in [Patience::Durable, Patience::Written(Duration::from_millis(1))] {
            let stand_in = MockCluster::new(1).unwrap();
            let mut settings = Config::load(None, std::iter::empty()).unwrap().kafka;
            settings.brokers = stand_in.bootstrap_servers();
            settings.answer_deadline_ms = 60_000;
            stand_in.create_topic(&settings.topic, 1, 1).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let log =
                Arc::new(KafkaLog::open(&settings, folder.path(), Options::default()).unwrap());
            let append = |number, patience| {
                let log = log.clone();
                tokio::spawn(async move { log.append(&record(number), patience).await })
            };
            assert_eq!(append(0, Patience::Durable).await.unwrap(), Outcome::Durable);
            let shared = &log.sender.shared;
            let until = async |what: &str, condition: &dyn Fn() -> bool| {
                let deadline = Instant::now() + Duration::from_secs(60);
                while !condition() {
                    assert!(Instant::now() < deadline, "{what}");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            until("the first to be there", &|| shared.in_flight.load(Ordering::Relaxed) == 0).await;

            let refused = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION];
            stand_in.request_errors(RDKafkaApiKey::Produce, &refused);
            stand_in.broker_round_trip_time(1, Duration::from_secs(1)).unwrap();
            let first = append(1, patience);
            tokio::time::sleep(Duration::from_millis(300)).await;
            let second = append(2, Patience::Durable);
            assert_eq!(second.await.unwrap(), Outcome::Durable);
            assert_ne!(first.await.unwrap(), Outcome::Refused);
            stand_in.broker_round_trip_time(1, Duration::ZERO).unwrap();
            until("both reported", &|| shared.in_flight.load(Ordering::Relaxed) == 0).await;
            assert_eq!(shared.spill.pending().records, 1, "the first, in doubt");
            until("the spill drained", &|| shared.spill.pending().records == 0).await;
            let there = on(&settings.brokers, &settings.topic, 3);
            let expected = [("number 0", false), ("number 2", false), ("number 1", true)];
            assert_eq!(there, expected.map(|(text, marked)| (text.to_owned(), marked)));
            assert!(lock(&shared.doubtful).is_empty());
        }
    }
}
