//! The election and the settle log, on a real broker.

use std::time::Duration;

use leadtrail::config::{Config, Kafka};
use leadtrail::settle::{Election, VersionError, Versions};
use leadtrail::stop;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;

use crate::env::broker::Broker;
use crate::env::{wait_for, wait_for_async};

const DEADLINE: Duration = Duration::from_secs(60);

/// A settle log of its own for a test.
async fn settings(topic: &str) -> Kafka {
    let broker = Broker::shared().await;
    broker.create_topic(topic, 1).await;
    let variables = [
        ("LEADTRAIL_KAFKA__BROKERS", broker.address()),
        ("LEADTRAIL_KAFKA__SETTLE_TOPIC", topic.to_owned()),
        ("LEADTRAIL_KAFKA__GROUP", topic.to_owned()),
    ];
    let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value));
    Config::load(None, variables).unwrap().kafka
}

fn join(settings: &Kafka) -> Versions {
    Versions::Election(Election::join(settings).unwrap())
}

/// Payload of the record at this offset.
fn record(settings: &Kafka, offset: u64) -> String {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &settings.brokers)
        .set("group.id", "reader")
        .create()
        .unwrap();
    let mut list = rdkafka::TopicPartitionList::new();
    let at = rdkafka::Offset::Offset(i64::try_from(offset).unwrap());
    list.add_partition_offset(&settings.settle_topic, 0, at).unwrap();
    consumer.assign(&list).unwrap();
    let record = consumer.poll(DEADLINE).unwrap().unwrap();
    assert_eq!(u64::try_from(record.offset()).unwrap(), offset);
    String::from_utf8(record.payload().unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn one_of_two_leads_and_the_other_takes_over_with_higher_versions() {
    let settings = settings("settle-two").await;
    let (_stopper, stop) = stop::channel();
    let mut first = join(&settings);
    assert!(first.lead(&stop).await.unwrap());
    let earlier = first.next(0).await.unwrap();
    assert_eq!(first.next(0).await.unwrap(), earlier + 1);
    assert!(record(&settings, earlier + 1).starts_with(r#"{"v":1,"at":"#));

    // The group may give the partition to either of the two, never to both.
    let second = join(&settings);
    let mut both = false;
    wait_for("a rebalance with one leader", DEADLINE, || {
        both |= first.leads() && second.leads();
        first.leads() || second.leads()
    })
    .await;
    let settled_until = std::time::Instant::now() + Duration::from_secs(4);
    wait_for("the second to have joined", DEADLINE, || {
        both |= first.leads() && second.leads();
        std::time::Instant::now() > settled_until && (first.leads() || second.leads())
    })
    .await;
    assert!(!both, "two leaders");
    let (mut leader, mut standby) = if first.leads() { (first, second) } else { (second, first) };
    assert!(matches!(standby.next(0).await, Err(VersionError::Lost)));
    let last = leader.next(0).await.unwrap();
    drop(leader);
    assert!(standby.lead(&stop).await.unwrap());
    assert!(standby.next(0).await.unwrap() > last);
}

#[tokio::test]
async fn a_settle_log_that_was_made_anew_is_filled_up_past_the_warehouse() {
    let settings = settings("settle-anew").await;
    let (_stopper, stop) = stop::channel();
    let mut versions = join(&settings);
    assert!(versions.lead(&stop).await.unwrap());
    let version = versions.next(2_000).await.unwrap();
    assert!(version > 2_000);
    assert_eq!(versions.next(2_000).await.unwrap(), version + 1);
    let far = versions.next(10_000_000).await;
    assert!(matches!(far, Err(VersionError::Behind { floor: 10_000_000, .. })), "{far:?}");
    let more = versions.next(0).await.unwrap();
    assert!(more > version + 50_000, "it goes on where it was: {more}");
}

#[tokio::test]
async fn a_broker_that_is_away_ends_leadership_and_holds_up_no_stop() {
    let broker = Broker::own().await;
    broker.create_topic("settle-away", 1).await;
    let variables = [
        ("LEADTRAIL_KAFKA__BROKERS", broker.address()),
        ("LEADTRAIL_KAFKA__SETTLE_TOPIC", "settle-away".to_owned()),
    ];
    let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value));
    let settings = Config::load(None, variables).unwrap().kafka;
    let (_stopper, stop) = stop::channel();
    let mut versions = join(&settings);
    assert!(versions.lead(&stop).await.unwrap());
    let before = versions.next(0).await.unwrap();
    broker.stop_signal().await;
    let refused = versions.next(0).await.unwrap_err();
    assert!(matches!(refused, VersionError::Log { .. } | VersionError::Lost), "{refused}");
    wait_for("leadership to end", DEADLINE, || !versions.leads()).await;
    broker.cont();
    wait_for_async("leadership to come back", DEADLINE, async || {
        versions.leads() && versions.next(0).await.is_ok_and(|version| version > before)
    })
    .await;

    // A stop must not wait for a broker that is gone.
    broker.kill9();
    let began = std::time::Instant::now();
    drop(versions);
    assert!(began.elapsed() < Duration::from_secs(5), "leaving took {:?}", began.elapsed());
}
