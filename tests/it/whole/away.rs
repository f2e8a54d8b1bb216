//! What a redirect does while what it could wait for is away: it goes, and what was not recorded is counted with its reason.

use std::time::{Duration, Instant};

use super::{BROWSER, broker_behind_a_line, counted, expect_number_within, nothing_is_doubled};
use crate::env::program::Installation;
use crate::env::proxy::Proxy;
use crate::env::warehouse::Warehouse;

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

/// A counter's sum over all its labels that have this one among them.
fn sum(metrics: &str, name: &str, label: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    let lines = lines.filter(|line| line.contains(label));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap() as u64).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_redirect_goes_while_each_dependency_is_away_in_turn() {
    let (broker, line) = broker_behind_a_line().await;
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
    let metrics = installation.metrics();
    let unrecorded = sum(&metrics, "leadtrail_requests_unrecorded_total", "");
    let late = sum(&metrics, "leadtrail_requests_unrecorded_total", "reason=\"log_slow\"");
    assert_eq!(unrecorded, late, "all of it is in the spill: {metrics}");
    assert_eq!(sum(&metrics, "leadtrail_requests_accepted_total", "") + late, sent);
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
