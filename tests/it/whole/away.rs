//! What a redirect does while what it could wait for is away: it goes, and what was not recorded is counted with its reason.

use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::{BROWSER, SOON, expect_number, expect_number_within, nothing_is_doubled};
use crate::env::broker::{Broker, Door};
use crate::env::program::Installation;
use crate::env::proxy::{FETCH, PRODUCE, Proxy};
use crate::env::warehouse::Warehouse;
use crate::env::{free_port, wait_for};

/// A redirect waits 20 ms for the log; the rest is a debug build's on a busy machine.
const GOES_WITHIN: Duration = Duration::from_millis(1_500);

/// A Kafka that answers, but later than a redirect waits.
const SLOW: Duration = Duration::from_millis(400);

/// Redirects of every kind, one after the other.
fn all_go(installation: &Installation, signed: &str, while_away: &str) -> u64 {
    let paths = ["/c/summer-ad", "/c/summer-ad", "/a/blogger/spring", signed];
    for path in paths {
        let begun = Instant::now();
        let reply = installation.get(path, BROWSER);
        assert_eq!(reply.status, 302, "{path} while {while_away}");
        let took = begun.elapsed();
        assert!(took < GOES_WITHIN, "{path} took {took:?} while {while_away}");
    }
    paths.len() as u64
}

/// A counter's sum over all its labels.
fn sum(metrics: &str, name: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap() as u64).sum()
}

/// One counter's value.
fn counted(installation: &Installation, line: &str) -> f64 {
    let metrics = installation.metrics();
    let found = metrics.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok());
    found.unwrap_or(0.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_redirect_goes_while_each_dependency_is_away_in_turn() {
    let listens = free_port();
    let line = Proxy::before(&format!("127.0.0.1:{listens}"));
    let named = line.address.rsplit_once(':').unwrap().1.parse().unwrap();
    let broker = Broker::with_doors(vec![Door { listens, named }]).await;
    let database = Warehouse::shared().database().await;
    let wire = Proxy::before(database.access.url.strip_prefix("http://").unwrap());
    let mut installation = Installation::new("away");
    installation.use_warehouse(&database);
    installation.use_kafka(&line.address, "away");
    installation.set("WAREHOUSE__URL", &format!("http://{}", wire.address));
    installation.set("EDGE__REDIRECT_WAIT_MS", "20");
    let mut program = installation.ready(&["up"]).await;
    let signed = installation.run(&["link", "sign", "--to", "http://localhost:8082/shoes"]);
    let signed = String::from_utf8(signed.stdout).unwrap();
    let signed =
        signed.trim().strip_prefix(&format!("http://127.0.0.1:{}", installation.edge)).unwrap();

    let mut sent = all_go(&installation, signed, "all is well");
    line.slow(SLOW);
    sent += all_go(&installation, signed, "Kafka is slow");
    line.slow(Duration::ZERO);
    broker.stop_signal().await;
    sent += all_go(&installation, signed, "Kafka hangs");
    broker.cont();
    wire.cut();
    sent += all_go(&installation, signed, "ClickHouse is away");
    broker.kill9();
    sent += all_go(&installation, signed, "both are away");
    wire.mend();
    sent += all_go(&installation, signed, "Kafka is down");
    // On a busy machine a write takes longer than a redirect waits; it is done all the same.
    let reason = "leadtrail_requests_unrecorded_total{kind=\"click\",reason=\"log_slow\"}";
    let late = counted(&installation, reason) as u64;
    let metrics = installation.metrics();
    let unrecorded = sum(&metrics, "leadtrail_requests_unrecorded_total");
    assert_eq!(unrecorded, late, "all of it is in the spill");
    assert_eq!(sum(&metrics, "leadtrail_requests_accepted_total") + late, sent);
    broker.restart().await;
    // A member of the group that had no broker to say goodbye to is waited for 45 s by the one that comes back.
    let stored = "SELECT uniqExact(event_id) FROM events";
    expect_number_within(Duration::from_secs(150), &database.admin, stored, sent).await;
    nothing_is_doubled(&database.admin).await;
    assert!(program.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_that_the_full_disk_or_a_limit_kept_from_the_log_goes_and_is_counted_with_its_reason()
 {
    let database = Warehouse::shared().database().await;
    let mut installation = Installation::new("unrecorded");
    installation.use_warehouse(&database);
    installation.set("JOURNAL__SEGMENT_BYTES", "17000000");
    installation.set("JOURNAL__BYTES_MAX", "34000000");
    installation.set("LIMITS__FORM_BURST", "1000000");
    installation.set("LIMITS__ADDRESS_BURST", "5000");
    installation.set("LIMITS__ADDRESS_PER_MINUTE", "1");
    assert!(installation.run(&["schema", "apply"]).status.success());
    let mut edge = installation.ready(&["serve"]).await;
    let body = format!("email=a%40b.example&message={}", "x".repeat(15_000));
    let from = |address: &str| format!("{BROWSER}X-Forwarded-For: {address}\r\n");
    while installation.post("/f/contact", super::URLENCODED, &body, &from("203.0.113.1")).status
        == 200
    {}
    // A click is small and may still find room: sent until one doesn't.
    let reason = "leadtrail_requests_unrecorded_total{kind=\"click\",reason=\"log_full\"}";
    for _ in 0..3_000 {
        assert_eq!(
            installation.get("/c/summer-ad", &from("203.0.114.1")).status,
            302,
            "on a full disk"
        );
        if counted(&installation, reason) > 0.0 {
            break;
        }
    }
    assert!(
        counted(&installation, reason) > 0.0,
        "a click that the full journal did not take is counted"
    );
    assert!(
        installation.metrics().contains("leadtrail_ready{check=\"journal\"} 0"),
        "what refuses every form is not ready"
    );
    edge.stop();

    // With more room it is ready again.
    installation.set("JOURNAL__BYTES_MAX", "68000000");
    installation.set("LIMITS__ADDRESS_BURST", "2");
    let mut edge = installation.ready(&["serve"]).await;
    for _ in 0..25 {
        assert_eq!(
            installation.get("/c/summer-ad", &from("203.0.115.1")).status,
            302,
            "far over the limit"
        );
    }
    let over = counted(
        &installation,
        "leadtrail_requests_unrecorded_total{kind=\"click\",reason=\"over_limit\"}",
    );
    assert!(over >= 5.0, "{over} of 25 were over ten times the limit");
    edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_stands_still_is_replaced_and_each_event_is_stored_once() {
    let listens = free_port();
    let line = Proxy::before(&format!("127.0.0.1:{listens}"));
    let named = line.address.rsplit_once(':').unwrap().1.parse().unwrap();
    let broker = Broker::with_doors(vec![Door { listens, named }]).await;
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
    let listens = free_port();
    let line = Proxy::before(&format!("127.0.0.1:{listens}"));
    let named = line.address.rsplit_once(':').unwrap().1.parse().unwrap();
    let broker = Broker::with_doors(vec![Door { listens, named }]).await;
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
    let listens = free_port();
    let line = Proxy::before(&format!("127.0.0.1:{listens}"));
    let named = line.address.rsplit_once(':').unwrap().1.parse().unwrap();
    let broker = Broker::with_doors(vec![Door { listens, named }]).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_joined_while_its_topic_was_gone_takes_it_up_when_it_is_back() {
    let listens = free_port();
    let line = Proxy::before(&format!("127.0.0.1:{listens}"));
    let named = line.address.rsplit_once(':').unwrap().1.parse().unwrap();
    let broker = Broker::with_doors(vec![Door { listens, named }]).await;
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
    // For some two seconds; where this look comes too late, the topic goes while it is read.
    wait_for("the group's only member, who shares the partitions out", SOON, || {
        ["CompletingRebalance", "Stable"].contains(&&*state(&broker.address(), "joined"))
    })
    .await;
    broker.delete_topic("joined.events").await;
    wait_for("a member without a partition", Duration::from_secs(60), || {
        state(&broker.address(), "joined") == "Stable"
    })
    .await;
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
