//! What `/ready` and `/metrics` tell of a running installation: each condition is made so, seen, and mended.

use std::os::unix::fs::PermissionsExt as _;

use leadtrail::telemetry::{METRICS, Shown};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use super::{BROWSER, SOON, URLENCODED, expect_number};
use crate::env::broker::Broker;
use crate::env::program::Installation;
use crate::env::proxy::Proxy;
use crate::env::wait_for;
use crate::env::warehouse::Warehouse;

/// Half of it is over soon; the broker looks for what it may delete every five minutes.
const RETENTION_MS: &str = "8000";

async fn topic_with_short_retention(broker: &Broker, name: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", broker.address()).create().unwrap();
    let topic =
        NewTopic::new(name, 1, TopicReplication::Fixed(1)).set("retention.ms", RETENTION_MS);
    for made in admin.create_topics([&topic], &AdminOptions::new()).await.unwrap() {
        made.unwrap();
    }
}

/// The value of a metric's line, by the line's beginning.
fn value(metrics: &str, line: &str) -> Option<f64> {
    metrics.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warehouse_that_is_away_and_a_lag_of_half_the_retention_are_told_until_they_are_mended() {
    let broker = Broker::shared().await;
    topic_with_short_retention(broker, "ready.events").await;
    let database = Warehouse::shared().database().await;
    let wire = Proxy::before(database.access.url.strip_prefix("http://").unwrap());
    let mut installation = Installation::new("ready");
    installation.use_warehouse(&database);
    installation.use_kafka(&broker.address(), "ready");
    installation.set("WAREHOUSE__URL", &format!("http://{}", wire.address));
    let mut program = installation.ready(&["up"]).await;
    let all_well = installation.readiness();
    for check in ["journal", "log", "partitions", "storing", "retention", "warehouse", "settle"] {
        assert!(all_well.contains(&format!("{check}: ok\n")), "{check} in {all_well}");
    }

    wire.cut();
    let form = || installation.post("/f/contact", URLENCODED, "email=a%40b.example", BROWSER);
    assert_eq!(form().status, 200, "the edge takes events while the warehouse is away");
    wait_for("both conditions", SOON, || {
        let said = installation.readiness();
        said.contains("retention: partition 0: its first record that is not stored is ")
            && said.contains("warehouse: no answer for ")
    })
    .await;
    let metrics = installation.metrics();
    for check in ["retention", "warehouse"] {
        let line = format!("leadtrail_ready{{check=\"{check}\"}}");
        assert_eq!(value(&metrics, &line), Some(0.0), "{metrics}");
    }
    assert!(value(&metrics, "leadtrail_consumer_lag_seconds{partition=\"0\"}").unwrap() > 4.0);
    assert_eq!(value(&metrics, "leadtrail_consumer_lag_records{partition=\"0\"}"), Some(1.0));
    assert!(value(&metrics, "leadtrail_consumer_retries_total{reason=\"warehouse\"}") > Some(0.0));

    wire.mend();
    expect_number(&database.admin, "SELECT count() FROM events", 1).await;
    wait_for("all conditions to be well again", SOON, || installation.readiness() == all_well)
        .await;
    wait_for("the lag to be gone", SOON, || {
        let metrics = installation.metrics();
        value(&metrics, "leadtrail_consumer_lag_records{partition=\"0\"}") == Some(0.0)
            && value(&metrics, "leadtrail_consumer_lag_seconds{partition=\"0\"}") == Some(0.0)
    })
    .await;
    program.stop();
}

/// A deliverer has figures for each endpoint; this one can't be reached, which is as good.
fn name_an_endpoint(installation: &mut Installation) {
    let (secret, file) =
        (installation.folder.join("secret"), installation.folder.join("deliver.toml"));
    std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let endpoint = format!(
        "[[webhook]]\nname = \"crm\"\nurl = \"https://127.0.0.1:1/leads\"\nsecret_file = \"{}\"\n",
        secret.display()
    );
    std::fs::write(&file, endpoint).unwrap();
    installation.set("DELIVER__FILE", &file.display().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_metric_is_scraped_with_its_help_and_type() {
    let mut installation = Installation::new("metrics");
    name_an_endpoint(&mut installation);
    let mut program = installation.ready(&["up"]).await;
    let form = installation.post("/f/contact", URLENCODED, "email=a%40b.example", BROWSER);
    assert_eq!(form.status, 200);
    wait_for("the form to be stored and settled", SOON, || {
        let metrics = installation.metrics();
        value(&metrics, "leadtrail_consumer_rows_total{table=\"leads\"}") == Some(1.0)
            && value(&metrics, "leadtrail_consumer_stored_after_seconds_count") == Some(1.0)
            && value(&metrics, "leadtrail_settle_conversions_total") == Some(1.0)
            && value(&metrics, "leadtrail_settle_unsettled_records") == Some(0.0)
    })
    .await;
    let metrics = installation.metrics();
    for metric in METRICS {
        let name = metric.name;
        assert!(metrics.contains(&format!("# HELP {name} {}", metric.help)), "{name}\n{metrics}");
        assert!(metrics.contains(&format!("# TYPE {name} ")), "{name}");
    }
    assert!(METRICS.iter().any(|metric| metric.shown == Shown::Engine));
    assert_eq!(value(&metrics, "leadtrail_engine_up"), Some(1.0));
    assert_eq!(value(&metrics, "leadtrail_consumer_borders_total{how=\"opened\"}"), Some(1.0));
    program.stop();
}
