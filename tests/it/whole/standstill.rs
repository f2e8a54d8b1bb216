//! Clients of Kafka that stand still though the brokers are there: another takes their place, and nothing is lost or doubled.

use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::{
    BROWSER, SOON, broker_behind_a_line, counted, expect_number, expect_number_within,
    nothing_is_doubled,
};
use crate::env::broker::Broker;
use crate::env::program::Installation;
use crate::env::proxy::{FETCH, PRODUCE};
use crate::env::wait_for;
use crate::env::warehouse::Warehouse;

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_stands_still_is_replaced_and_each_event_is_stored_once() {
    let (broker, line) = broker_behind_a_line().await;
    let database = Warehouse::shared().database().await;
    let mut installation = Installation::new("standstill");
    installation.use_warehouse(&database);
    installation.use_kafka(&line.address, "standstill");
    // So long that librdkafka doesn't give its connections up by itself.
    installation.set("KAFKA__PROPERTIES", "socket.timeout.ms=300000");
    assert!(installation.run(&["schema", "apply"]).status.success());
    let mut edge = installation.ready(&["serve"]).await;
    installation.set("KAFKA__BROKERS", &broker.address());
    let mut consumer = installation.start(&["consume"]);
    let mut sent = 0;
    let mut post = |count: u64| {
        for _ in 0..count {
            let body = format!("email=a%40b.example&message=number+{sent}");
            let reply = installation.post("/f/contact", super::URLENCODED, &body, BROWSER);
            assert_eq!(reply.status, 200, "form {sent}: {}", reply.text());
            sent += 1;
        }
        sent
    };
    expect_number(&database.admin, "SELECT uniqExact(event_id) FROM events", post(5)).await;

    line.swallow_answers();
    let all = post(20);
    assert!(counted(&installation, "leadtrail_spill_records ") > 0.0, "Kafka says nothing");
    wait_for("another producer", Duration::from_secs(150), || {
        installation.logs().contains("another one took its place")
    })
    .await;
    wait_for("an empty spill", Duration::from_secs(150), || {
        counted(&installation, "leadtrail_spill_records ") == 0.0
    })
    .await;
    expect_number(&database.admin, "SELECT uniqExact(event_id) FROM events", all).await;
    nothing_is_doubled(&database.admin).await;
    expect_number(&database.admin, "SELECT uniqExact(event_id) FROM events", post(5)).await;
    assert_eq!(counted(&installation, "leadtrail_spill_records "), 0.0, "they went to Kafka");
    assert!(consumer.stop().success() && edge.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_whose_fetches_are_never_answered_joins_anew_and_each_event_is_stored_once() {
    let (broker, line) = broker_behind_a_line().await;
    let database = Warehouse::shared().database().await;
    let mut installation = Installation::new("unread");
    installation.use_warehouse(&database);
    installation.use_kafka(&broker.address(), "unread");
    installation.set("KAFKA__PARTITIONS", "1");
    assert!(installation.run(&["schema", "apply"]).status.success());
    let mut edge = installation.ready(&["serve"]).await;
    installation.set("KAFKA__BROKERS", &line.address);
    // So long that librdkafka doesn't give the fetch up by itself.
    installation.set("KAFKA__PROPERTIES", "socket.timeout.ms=300000");
    let mut consumer = installation.start(&["consume"]);
    let post = |count: u64| {
        for number in 0..count {
            let body = format!("email=a%40b.example&message=number+{number}");
            let reply = installation.post("/f/contact", super::URLENCODED, &body, BROWSER);
            assert_eq!(reply.status, 200, "form {number}: {}", reply.text());
        }
    };
    post(5);
    expect_number(&database.admin, "SELECT uniqExact(event_id) FROM events", 5).await;

    line.swallow_requests(FETCH);
    post(20);
    wait_for("another client", Duration::from_secs(150), || {
        installation.logs().contains("and none came for 60 s; joining the group with a new client")
    })
    .await;
    expect_number(&database.admin, "SELECT uniqExact(event_id) FROM events", 25).await;
    nothing_is_doubled(&database.admin).await;
    assert!(consumer.stop().success() && edge.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settle_log_whose_records_get_lost_is_appended_to_again_and_what_waits_is_settled() {
    let (broker, line) = broker_behind_a_line().await;
    let database = Warehouse::shared().database().await;
    let mut installation = Installation::new("settle-log");
    installation.use_warehouse(&database);
    installation.use_kafka(&broker.address(), "settle-log");
    assert!(installation.run(&["schema", "apply"]).status.success());
    let mut edge = installation.ready(&["serve"]).await;
    let mut consumer = installation.start(&["consume"]);
    installation.set("KAFKA__BROKERS", &line.address);
    // So long that librdkafka doesn't give its connection up by itself.
    installation.set("KAFKA__PROPERTIES", "socket.timeout.ms=300000");
    let mut settle = installation.start(&["settle"]);
    let post = |name: &str| {
        let body = format!("email={name}%40b.example&message=hello");
        let reply = installation.post("/f/contact", super::URLENCODED, &body, BROWSER);
        assert_eq!(reply.status, 200, "{}", reply.text());
    };
    let settled = "SELECT uniqExact(conversion_seq, conversion_node) FROM conversion_clicks";
    post("first");
    expect_number(&database.admin, settled, 1).await;

    line.swallow_requests(PRODUCE);
    post("second");
    expect_number(&database.admin, "SELECT uniqExact(event_id) FROM events", 2).await;
    expect_number(&database.admin, settled, 2).await;
    assert!(
        installation.logs().contains("settle log: appending a record failed"),
        "it stood still"
    );
    post("third");
    expect_number(&database.admin, settled, 3).await;
    assert!(settle.stop().success() && consumer.stop().success() && edge.stop().success());
}

/// The state of a consumer group, as its coordinator tells it.
fn state(brokers: &str, group: &str) -> String {
    let asks: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let groups = asks.fetch_group_list(Some(group), Duration::from_secs(5));
    groups.map_or_else(
        |_| String::new(),
        |all| all.groups().first().map_or_else(String::new, |group| group.state().to_owned()),
    )
}

/// Deletes a group's topic just when its only member, on a slow line, shares the partitions out.
async fn give_to_nobody(broker: &Broker, group: &str, topic: &str) {
    // For some two seconds; where this look comes too late, the topic goes while it is read.
    wait_for("the group's only member, who shares the partitions out", SOON, || {
        ["CompletingRebalance", "Stable"].contains(&&*state(&broker.address(), group))
    })
    .await;
    broker.delete_topic(topic).await;
    wait_for("a member without a partition", Duration::from_secs(60), || {
        state(&broker.address(), group) == "Stable"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_joined_while_its_topic_was_gone_takes_it_up_when_it_is_back() {
    let (broker, line) = broker_behind_a_line().await;
    let database = Warehouse::shared().database().await;
    let mut installation = Installation::new("joined");
    installation.use_warehouse(&database);
    installation.use_kafka(&broker.address(), "joined");
    installation.set("KAFKA__PARTITIONS", "1");
    assert!(installation.run(&["schema", "apply"]).status.success());
    let mut edge = installation.ready(&["serve"]).await;
    installation.set("KAFKA__BROKERS", &line.address);
    line.slow(Duration::from_millis(500));
    let mut consumer = installation.start(&["consume"]);
    give_to_nobody(&broker, "joined", "joined.events").await;
    line.slow(Duration::ZERO);
    broker.create_topic("joined.events", 1).await;
    for number in 0..5 {
        let body = format!("email=a%40b.example&message=number+{number}");
        let reply = installation.post("/f/contact", super::URLENCODED, &body, BROWSER);
        assert_eq!(reply.status, 200, "form {number}: {}", reply.text());
    }
    let stored = "SELECT uniqExact(event_id) FROM events";
    expect_number_within(Duration::from_secs(150), &database.admin, stored, 5).await;
    nothing_is_doubled(&database.admin).await;
    assert!(consumer.stop().success() && edge.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn settling_that_joined_while_its_log_was_gone_goes_on_when_it_is_back() {
    let (broker, line) = broker_behind_a_line().await;
    let database = Warehouse::shared().database().await;
    let mut installation = Installation::new("elected");
    installation.use_warehouse(&database);
    installation.use_kafka(&broker.address(), "elected");
    assert!(installation.run(&["schema", "apply"]).status.success());
    let mut edge = installation.ready(&["serve"]).await;
    let mut consumer = installation.start(&["consume"]);
    let reply = installation.post("/f/contact", super::URLENCODED, "email=a%40b.example", BROWSER);
    assert_eq!(reply.status, 200, "{}", reply.text());
    expect_number(&database.admin, "SELECT uniqExact(event_id) FROM events", 1).await;
    installation.set("KAFKA__BROKERS", &line.address);
    line.slow(Duration::from_millis(500));
    let mut settle = installation.start(&["settle"]);
    give_to_nobody(&broker, "elected-settle", "elected.settle").await;
    line.slow(Duration::ZERO);
    broker.create_topic("elected.settle", 1).await;
    let settled = "SELECT uniqExact(conversion_seq, conversion_node) FROM conversion_clicks";
    expect_number_within(Duration::from_secs(150), &database.admin, settled, 1).await;
    assert!(settle.stop().success() && consumer.stop().success() && edge.stop().success());
}
