//! The settle log on Kafka: a topic with one partition, whose offsets are versions.
//!
//! In: the wish for an offset. Out: the offset of a record that is on every replica. Refuses: to wait for longer than [`ANSWER_MAX`].
//! Promises: each offset is given once and each is higher than the ones before. A record that nobody waits for any more may still
//! arrive; its offset is never used.
//!
//! After a record that did not arrive the next goes with another client: as `journal/kafka/line.rs` has seen, one may stand still for as long as its
//! process runs, though the brokers are there. Fault round `hang-broker`, seed 11301: 4,107 rows that nobody settled.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;

use crate::config::Kafka;
use crate::ids::now_millis;
use crate::journal::kafka_client::{client_config, log};
use crate::settle::versions::VersionError;

/// How long a record may take to be on every replica.
const DELIVERY: Duration = Duration::from_secs(10);

/// How long its report is waited for: librdkafka looks for late records once a second, and has to come to it.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// The topic and the client that appends to it.
pub(super) struct Log {
    topic: String,
    config: ClientConfig,
    producer: Mutex<Arc<ThreadedProducer<Delivery>>>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Log").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// Passes each record's fate on.
struct Delivery;

impl ClientContext for Delivery {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }
}

impl ProducerContext for Delivery {
    type DeliveryOpaque = Box<Option<oneshot::Sender<Result<u64, String>>>>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Self::DeliveryOpaque) {
        let fate = match result {
            // A record that librdkafka only infers to be there has none.
            Ok(message) => {
                u64::try_from(message.offset()).map_err(|_| "the broker gave no offset".to_owned())
            }
            Err((error, _)) => Err(error.to_string()),
        };
        if let Some(waiting) = *waiting {
            // Whoever waited has given up meanwhile; the number is then simply not used.
            let _ = waiting.send(fate);
        }
    }
}

fn failed(action: &'static str, reason: &impl ToString) -> VersionError {
    VersionError::Log { action, reason: reason.to_string() }
}

impl Log {
    /// # Errors
    /// When librdkafka refuses its settings.
    pub(super) fn open(settings: &Kafka) -> Result<Self, VersionError> {
        let mut config = client_config(settings);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("message.timeout.ms", DELIVERY.as_millis().to_string());
        let producer = config
            .create_with_context(Delivery)
            .map_err(|error| failed("making the producer", &error))?;
        let producer = Mutex::new(Arc::new(producer));
        Ok(Self { topic: settings.settle_topic.clone(), config, producer })
    }

    /// Appends so many records; gives the offset of the last.
    ///
    /// # Errors
    /// When it isn't there within [`ANSWER_MAX`].
    pub(super) async fn append(&self, count: u64) -> Result<u64, VersionError> {
        let appended = self.append_with(&self.producer(), count).await;
        appended.map_err(|reason| {
            self.renew();
            failed("appending a record", &reason)
        })
    }

    fn producer(&self) -> Arc<ThreadedProducer<Delivery>> {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn append_with(
        &self,
        producer: &ThreadedProducer<Delivery>,
        count: u64,
    ) -> Result<u64, String> {
        let payload = format!("{{\"v\":1,\"at\":{}}}", now_millis());
        let record = |waiting| {
            BaseRecord::<[u8], str, _>::with_opaque_to(&self.topic, Box::new(waiting))
                .partition(0)
                .payload(payload.as_str())
        };
        for _ in 1..count {
            producer.send(record(None)).map_err(|(error, _)| error.to_string())?;
        }
        let (sender, receiver) = oneshot::channel();
        producer.send(record(Some(sender))).map_err(|(error, _)| error.to_string())?;
        match tokio::time::timeout(ANSWER_MAX, receiver).await {
            Ok(Ok(fate)) => fate,
            Ok(Err(_)) | Err(_) => Err("no delivery report came".to_owned()),
        }
    }

    /// Puts another client in the place of this one.
    fn renew(&self) {
        let fresh = match self.config.create_with_context(Delivery) {
            Ok(fresh) => Arc::new(fresh),
            Err(error) => {
                tracing::error!(%error, "settle log: no other producer can be made; the old one goes on");
                return;
            }
        };
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *producer, fresh);
        drop(producer);
        // Where it hangs, nobody waits for it.
        let ended = std::thread::Builder::new().name("settle-producer-end".to_owned());
        if let Err(error) = ended.spawn(move || drop(old)) {
            tracing::error!(%error, "settle log: no thread to end the old producer");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use rdkafka::mocking::MockCluster;

    fn log_at(brokers: &str) -> Log {
        let mut settings = Config::load(None, std::iter::empty()).unwrap().kafka;
        settings.brokers = brokers.to_owned();
        Log::open(&settings).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_record_that_did_not_arrive_costs_its_client() {
        let log = log_at("127.0.0.1:1");
        let first = log.producer();
        let error = log.append(1).await.unwrap_err().to_string();
        assert!(error.starts_with("settle log: appending a record failed"), "{error}");
        assert!(!Arc::ptr_eq(&first, &log.producer()));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_client_whose_records_arrive_stays_and_each_offset_is_higher() {
        let stand_in = MockCluster::new(1).unwrap();
        let log = log_at(&stand_in.bootstrap_servers());
        stand_in.create_topic(&log.topic, 1, 1).unwrap();
        let first = log.producer();
        let offsets = [log.append(1).await.unwrap(), log.append(5).await.unwrap()];
        assert_eq!(offsets, [0, 5]);
        assert!(Arc::ptr_eq(&first, &log.producer()));
    }
}
