//! The broker itself keeps what the tests stand on: its promises under kill -9, SIGSTOP and with topics.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::broker::Broker;

const READY_MAX: Duration = Duration::from_secs(90);

fn offset_after_last(address: &str, topic: &str) -> i64 {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", address).create().unwrap();
    consumer.fetch_watermarks(topic, 0, READY_MAX).unwrap().1
}

fn send(address: &str, topic: &str, count: usize) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("enable.idempotence", "true")
        .create()
        .unwrap();
    for number in 0..count {
        let key = number.to_string();
        producer.send(BaseRecord::to(topic).key(&key).payload("record")).map_err(drop).unwrap();
    }
    producer.flush(READY_MAX).unwrap();
}

#[tokio::test]
async fn a_killed_broker_keeps_what_it_acknowledged_and_comes_back_at_its_address() {
    let broker = Broker::own().await;
    broker.create_topic("kept", 1).await;
    send(&broker.address(), "kept", 1000);
    broker.kill9();
    let address = broker.address();
    assert!(std::net::TcpStream::connect(&address).is_err());
    broker.restart().await;
    assert_eq!(offset_after_last(&address, "kept"), 1000);
}

#[tokio::test]
async fn a_stopped_broker_answers_nothing_until_it_goes_on() {
    let broker = Broker::own().await;
    broker.stop_signal().await;
    assert!(broker.leaders().await.is_none());
    assert!(std::net::TcpStream::connect(broker.address()).is_ok(), "its port is open still");
    broker.cont();
    broker.wait_until_ready().await;
}

#[tokio::test]
async fn a_topic_of_the_shared_broker_is_made_and_deleted() {
    let broker = Broker::shared().await;
    broker.create_topic("made-and-deleted", 3).await;
    broker.delete_topic("made-and-deleted").await;
    let topics = broker.leaders().await.unwrap();
    assert!(topics.iter().all(|(topic, _)| topic != "made-and-deleted"));
}
