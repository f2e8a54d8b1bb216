//! Several edges on one Kafka: they refuse each other's strangers, and hash one browser alike.

use std::fs;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::{BROWSER, SOON, URLENCODED};
use crate::env::broker::Broker;
use crate::env::program::Installation;
use crate::env::wait_for;

/// Every browser's address, as a trusted proxy tells it.
const ADDRESS: &str = "X-Forwarded-For: 203.0.113.77\r\n";

fn edge(broker: &Broker, name: &str, purpose: &str) -> Installation {
    let mut installation = Installation::new(purpose);
    installation.use_kafka(&broker.address(), name);
    installation
}

/// All records of a topic: key and value.
fn records(broker: &Broker, topic: &str, partitions: i32) -> Vec<(String, Option<String>)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.address())
        .set("group.id", "looker")
        .create()
        .unwrap();
    let (mut begin, mut left) = (TopicPartitionList::new(), 0);
    for partition in 0..partitions {
        begin.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        left += consumer.fetch_watermarks(topic, partition, Duration::from_secs(20)).unwrap().1;
    }
    consumer.assign(&begin).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut found = Vec::new();
    while left > 0 {
        let message = consumer.poll(Duration::from_secs(20)).expect("a record").unwrap();
        found.push((text(message.key().unwrap()), message.payload().map(text)));
        left -= 1;
    }
    found
}

fn produce(broker: &Broker, topic: &str, key: &str, value: &str) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", broker.address()).create().unwrap();
    producer.send(BaseRecord::to(topic).partition(0).key(key).payload(value)).unwrap();
    producer.flush(Duration::from_secs(20)).unwrap();
}

fn copy_keys(from: &Installation, to: &Installation) {
    let (from, to) = (from.data().join("keys"), to.data().join("keys"));
    fs::create_dir_all(&to).unwrap();
    for name in ["signing.key", "pseudonym.key"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

fn salts(installation: &Installation) -> Vec<(String, String)> {
    let mut salts: Vec<(String, String)> = fs::read_dir(installation.data().join("keys"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("salt-"))
        .map(|path| {
            (
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                fs::read_to_string(path).unwrap(),
            )
        })
        .collect();
    salts.sort();
    salts
}

#[tokio::test(flavor = "multi_thread")]
async fn two_edges_with_copied_keys_hash_one_browser_alike_and_a_stranger_is_refused() {
    let broker = Broker::shared().await;
    let (one, two, stranger) = (
        edge(broker, "share", "share-one"),
        edge(broker, "share", "share-two"),
        edge(broker, "share", "share-stranger"),
    );
    let mut first = one.ready(&["serve"]).await;
    copy_keys(&one, &two);
    let mut second = two.ready(&["serve"]).await;
    assert!(two.readiness().contains("keys: ok\n"));

    for installation in [&one, &two] {
        let reply = installation.get("/c/summer-ad", &format!("{BROWSER}{ADDRESS}"));
        assert!(reply.header("leadtrail-receipt").is_some());
    }
    let hashes: Vec<String> = records(broker, "share.events", 4)
        .into_iter()
        .map(|(_, value)| {
            let event: serde_json::Value = serde_json::from_str(&value.unwrap()).unwrap();
            event["day_hash"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(hashes.len() == 2 && hashes[0] == hashes[1], "{hashes:?}");
    assert_eq!(salts(&one), salts(&two));
    assert_eq!(salts(&one).len(), 2, "today's and tomorrow's");

    // What lies in the topic opens nothing for who can only read it.
    let shared = records(broker, "share.shared", 1);
    for (_, salt) in salts(&one) {
        assert!(shared.iter().all(|(_, value)| !value.as_ref().unwrap().contains(salt.trim())));
    }

    let refused = stranger.run(&["serve"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("Copy the files signing.key and pseudonym.key"), "{said}");
    first.stop();
    second.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_salt_whose_days_are_over_gets_a_tombstone() {
    let broker = Broker::shared().await;
    broker.create_topic("old-salt.shared", 1).await;
    produce(broker, "old-salt.shared", "salt-20000-a", "anything");
    let installation = edge(broker, "old-salt", "old-salt");
    let mut program = installation.ready(&["serve"]).await;
    wait_for("the tombstone", SOON, || {
        records(broker, "old-salt.shared", 1).contains(&("salt-20000-a".to_owned(), None))
    })
    .await;
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_whose_brokers_are_away_starts_and_takes_leads() {
    let mut installation = Installation::new("nobody-there");
    installation.use_kafka(&format!("127.0.0.1:{}", crate::env::free_port()), "nobody-there");
    let mut program = installation.ready(&["serve"]).await;
    let form = installation.post("/f/contact", URLENCODED, "email=a%40b.example", BROWSER);
    assert!(form.status == 200 && form.header("leadtrail-receipt").is_some());
    program.stop();
}
