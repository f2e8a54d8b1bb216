//! The line to the brokers: the producer, and another one in its place when it stands still.
//!
//! In: records. Out: the same, handed to librdkafka. Refuses: what librdkafka refuses. Promises: when a producer is replaced, each of its
//! records is reported as not delivered, so that the spill has it again; whether it was delivered nobody knows, so the drain marks it.
//!
//! librdkafka tries for ever and mostly comes through. Twice in some hundred outages it did not: the broker was back, its metadata
//! told the leaders, and not one record went out for minutes, until the process was started again. This is that start, without the end of
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
