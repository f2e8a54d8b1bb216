//! The line to the brokers: the producer, and another one in its place when it stands still.
//!
//! In: records. Out: the same, handed to librdkafka. Refuses: what librdkafka refuses. Promises: when a producer is replaced, each of its
//! records is reported as not delivered, so that the spill has it again; whether it was delivered nobody knows, so the drain marks it.
//!
//! librdkafka tries for ever and mostly comes through. Once in some two hundred restarts of a broker it did not: the broker was back,
//! and not one record went out for minutes, until the process ended. This is that start, without the end of
//! the process.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, PurgeConfig, ThreadedProducer};

use super::under_way::{Context, Pending, Shared};

/// A client that asks whether the brokers are there has this long.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// A replaced producer has this long to report its records.
const END_MAX: Duration = Duration::from_secs(60);

/// The producer.
pub(super) struct Line {
    config: ClientConfig,
    /// For a client that knows nothing yet.
    plain: ClientConfig,
    topic: String,
    shared: Arc<Shared>,
    producer: RwLock<Arc<ThreadedProducer<Context>>>,
}

impl Line {
    /// `config` is the producer's, `plain` what every client begins with.
    pub(super) fn open(
        config: ClientConfig,
        plain: ClientConfig,
        topic: &str,
        shared: Arc<Shared>,
    ) -> KafkaResult<Self> {
        let producer = config.create_with_context(Context(shared.clone()))?;
        let producer = RwLock::new(Arc::new(producer));
        Ok(Self { config, plain, topic: topic.to_owned(), shared, producer })
    }

    fn producer(&self) -> Arc<ThreadedProducer<Context>> {
        self.producer.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Hands a record over.
    pub(super) fn send<'a>(
        &self,
        record: BaseRecord<'a, [u8], [u8], Arc<Pending>>,
    ) -> Result<(), KafkaError> {
        // Under the lock, so that none goes to a producer that was given up.
        let producer = self.producer.read().unwrap_or_else(PoisonError::into_inner);
        producer.send(record).map_err(|(error, _)| error)
    }

    /// Whether the producer itself learns of the topic.
    pub(super) fn knows_the_topic(&self) -> bool {
        self.producer().client().fetch_metadata(Some(&self.topic), ANSWER_MAX).is_ok()
    }

    /// Whether a client that is made just now is told a leader for each partition.
    pub(super) fn brokers_are_there(&self) -> bool {
        let Ok(client) = self.plain.create::<BaseProducer>() else { return false };
        let Ok(metadata) = client.client().fetch_metadata(Some(&self.topic), ANSWER_MAX) else {
            return false;
        };
        metadata.topics().iter().any(|topic| {
            let led = |leader| leader >= 0;
            topic.error().is_none()
                && !topic.partitions().is_empty()
                && topic.partitions().iter().all(|partition| led(partition.leader()))
        })
    }

    /// Why the producer has given up for good, if it has.
    pub(super) fn fatal_error(&self) -> Option<String> {
        self.producer().client().fatal_error().map(|(_, why)| why)
    }

    /// Puts a new producer in the place of this one. What the old one held is the spill's; some of it may have gone out, so that
    /// it is marked when it goes again.
    ///
    /// # Errors
    /// When there can't be another; the old one goes on.
    pub(super) fn renew(&self) -> KafkaResult<()> {
        let fresh = Arc::new(self.config.create_with_context(Context(self.shared.clone()))?);
        let mut producer = self.producer.write().unwrap_or_else(PoisonError::into_inner);
        self.shared.doubt_what_is_under_way();
        let old = std::mem::replace(&mut *producer, fresh);
        drop(producer);
        // Where it hangs, nobody waits for it.
        let ended = std::thread::Builder::new().name("kafka-producer-end".to_owned());
        if let Err(error) = ended.spawn(move || end(&old)) {
            tracing::error!(%error, "no thread to end the producer that stood still");
        }
        Ok(())
    }

    /// Gives the producer `deadline` to finish.
    pub(super) fn flush(&self, deadline: Duration) {
        let producer = self.producer();
        if let Err(error) = producer.flush(deadline) {
            let left = producer.in_flight_count();
            tracing::warn!(%error, left, "kafka did not take everything in time; the spill keeps it for the next start");
        }
    }
}

/// Gives up what a producer holds, and tells each record's sender.
fn end(old: &ThreadedProducer<Context>) {
    old.purge(PurgeConfig::default().queue().inflight());
    if old.flush(END_MAX).is_err() {
        let left = old.in_flight_count();
        tracing::error!(
            left,
            "a producer that stood still can't be ended; start the edge again, and the spill goes out"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::ids::EventId;
    use crate::journal::disk::Options;
    use crate::journal::kafka::{KafkaLog, Outcome, Patience, Record, lock};
    use std::time::Instant;

    /// A log whose broker is not there: what it takes stays in the producer's queue.
    fn log(folder: &std::path::Path, answer_deadline_ms: u64) -> KafkaLog {
        let mut settings = Config::load(None, std::iter::empty()).unwrap().kafka;
        settings.brokers = "127.0.0.1:1".to_owned();
        settings.answer_deadline_ms = answer_deadline_ms;
        KafkaLog::open(&settings, folder, Options::default()).unwrap()
    }

    fn record(number: u32) -> Record {
        Record {
            id: EventId::from_parts(1_790_000_000_000, number, 1),
            key: [7; 16],
            payload: b"{}".to_vec(),
        }
    }

    async fn until(what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !condition() {
            assert!(Instant::now() < deadline, "{what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_replaced_producer_held_is_in_the_spill_and_marked_whether_copied_or_waiting() {
        let folder = tempfile::tempdir().unwrap();
        // The first is copied at its deadline; the second still waits when its producer goes.
        let copied = log(&folder.path().join("copied"), 1);
        assert_eq!(copied.append(&record(1), Patience::Durable).await, Outcome::Durable);
        let waits = Arc::new(log(&folder.path().join("waits"), 60_000));
        let waiting = tokio::spawn({
            let waits = waits.clone();
            async move { waits.append(&record(2), Patience::Durable).await }
        });
        let in_flight =
            |log: &KafkaLog| log.sender.shared.in_flight.load(std::sync::atomic::Ordering::Relaxed);
        until("a record under way", || in_flight(&waits) == 1).await;
        for log in [&copied, &*waits] {
            log.sender.line.renew().unwrap();
            until("all of it given up", || in_flight(log) == 0).await;
        }
        assert_eq!(waiting.await.unwrap(), Outcome::Durable, "from the spill");
        for log in [&copied, &*waits] {
            let shared = &log.sender.shared;
            assert!(shared.may_be_there(0), "it may have gone out");
            assert!(lock(&shared.under_way).is_empty() && shared.spill.pending().records == 1);
            assert!(shared.refused.going_on(i64::MAX).is_none(), "nobody refused it");
        }
        let shared = &copied.sender.shared;
        let ticket = shared.spill.append(b"later").unwrap();
        assert!(!shared.may_be_there(ticket.offset()), "what came later went nowhere yet");
    }
}
