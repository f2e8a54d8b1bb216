//! Telemetry: the log lines of the process, and the name of every metric.
//!
//! In: `LEADTRAIL_LOG` (`info`, `debug`, `leadtrail::receive=trace`, …; default `info`). Out: lines on standard error, plain on a
//! terminal and JSON otherwise; names and help texts for the registries of the stages. Promises: no per-request line above
//! debug; labels come from closed enums only.

use std::io::IsTerminal;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use tracing_subscriber::EnvFilter;

/// The environment variable that filters the log.
pub const FILTER_VARIABLE: &str = "LEADTRAIL_LOG";

/// Which process shows a metric. `leadtrail up` shows all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Every process with an ops listener.
    Everywhere,
    /// The edge.
    Edge,
    /// The consumer.
    Consumer,
    /// Settle.
    Settle,
    /// `leadtrail up` with the embedded engine.
    Engine,
}

/// What kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Only grows, within one process life.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

/// A metric: its name (without the `_total` that counters get), what it counts, and where.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// As it is scraped; ends in its unit, where it has one.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What kind of number it is.
    pub sort: Sort,
    /// Which process shows it.
    pub shown: Shown,
}

impl Metric {
    /// The name without its unit, and the unit: the registry puts them together again.
    fn parts(&self) -> (&'static str, Option<Unit>) {
        let ends = [
            ("_seconds", Unit::Seconds),
            ("_bytes", Unit::Bytes),
            ("_records", Unit::Other("records".to_owned())),
        ];
        let found =
            ends.into_iter().find_map(|(end, unit)| Some((self.name.strip_suffix(end)?, unit)));
        found.map_or((self.name, None), |(name, unit)| (name, Some(unit)))
    }

    /// Registers what counts it.
    pub fn register(
        &self,
        registry: &mut Registry,
        counter: impl prometheus_client::registry::Metric,
    ) {
        match self.parts() {
            (name, Some(unit)) => registry.register_with_unit(name, self.help, unit, counter),
            (name, None) => registry.register(name, self.help, counter),
        }
    }

    /// Writes a gauge's values at the moment of a scrape, each with its label's value (`""`: no label).
    pub fn write_gauge(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        values: impl IntoIterator<Item = (String, f64)>,
    ) -> std::fmt::Result {
        let (name, unit) = self.parts();
        let mut metric =
            encoder.encode_descriptor(name, self.help, unit.as_ref(), MetricType::Gauge)?;
        for (value, number) in values {
            match self.labels.first() {
                Some(label) => {
                    let labels = [(*label, value)];
                    metric.encode_family(&labels)?.encode_gauge(&number)?;
                }
                None => metric.encode_gauge(&number)?,
            }
        }
        Ok(())
    }

    /// Writes a counter that somebody else keeps.
    pub fn write_counter(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        count: u64,
    ) -> std::fmt::Result {
        let (name, unit) = self.parts();
        let mut metric =
            encoder.encode_descriptor(name, self.help, unit.as_ref(), MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&count, None)
    }
}

/// Declares the metrics, and the list that the tests read.
macro_rules! metrics {
    ($($constant:ident $shown:ident $sort:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: Metric = Metric {
            name: $name, help: $help, labels: &[$($label),*], sort: Sort::$sort, shown: Shown::$shown,
        };)*

        /// All metrics.
        pub const METRICS: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    READY Everywhere Gauge "leadtrail_ready" ["check"]
        "1 while the check of /ready passes, 0 while it fails";

    RECEIVED Edge Counter "leadtrail_requests_received" ["kind"]
        "Requests that arrived; the sum of accepted, refused, unrecorded, answered and abandoned, but for those under way";
    ACCEPTED Edge Counter "leadtrail_requests_accepted" ["kind"]
        "Events that the log took";
    REFUSED Edge Counter "leadtrail_requests_refused" ["kind", "reason"]
        "Requests that were refused, by reason code";
    UNRECORDED Edge Counter "leadtrail_requests_unrecorded" ["kind", "reason"]
        "Redirects and pixels that were answered although their event was not recorded";
    ANSWERED Edge Counter "leadtrail_requests_answered" ["kind"]
        "Requests that carry no event (receipts, preflights, robots)";
    ABANDONED Edge Counter "leadtrail_requests_abandoned" ["kind"]
        "Requests whose client left before the answer; the log may hold their event";
    CONNECTIONS Edge Gauge "leadtrail_connections_open" []
        "Connections to the edge that are open";
    LAG_EDGE Edge Gauge "leadtrail_edge_lag_seconds" []
        "How long what arrives waits for its turn; beyond edge.lag_max_ms impressions and opens get 503";
    SPILLED Edge Gauge "leadtrail_spill_records" []
        "Events in the spill that Kafka has not confirmed: they are safe, and go when the brokers are back";
    SPILL_BYTES Edge Gauge "leadtrail_spill_bytes" []
        "Bytes that the spill holds on the disk; what is delivered goes a segment at a time";
    SPILL_LIMIT Edge Gauge "leadtrail_spill_limit_bytes" []
        "Bytes that the spill may hold as things stand: journal.bytes_max, or less where the disk has less";
    UNDELIVERED Edge Gauge "leadtrail_spill_oldest_seconds" []
        "How long the oldest event that Kafka has not confirmed has waited; all of the spill's are 0 with the journal as home";

    BATCHES Consumer Counter "leadtrail_consumer_batches" []
        "Batches that are stored, whole";
    ROWS Consumer Counter "leadtrail_consumer_rows" ["table"]
        "Rows that are stored";
    READ_BYTES Consumer Counter "leadtrail_consumer_read_bytes" []
        "Bytes of the log's records in stored batches";
    DEAD_LETTERS Consumer Counter "leadtrail_consumer_dead_letters" ["reason"]
        "Records that went to the dead letters";
    RETRIES Consumer Counter "leadtrail_consumer_retries" ["reason"]
        "Batches that were taken up anew: the warehouse failed, the border could not be kept, or it grew too old";
    BORDERS Consumer Counter "leadtrail_consumer_borders" ["how"]
        "Borders of batches: opened by this process, or recovered from an owner that left one open";
    STORED_AFTER Consumer Histogram "leadtrail_consumer_stored_after_seconds" []
        "From an event's receipt until its batch is stored";
    INSERT Consumer Histogram "leadtrail_consumer_insert_seconds" ["table"]
        "One insert into ClickHouse that succeeded";
    LAG Consumer Gauge "leadtrail_consumer_lag_records" ["partition"]
        "Records of the partition that are in the log and not stored yet";
    LAG_AGE Consumer Gauge "leadtrail_consumer_lag_seconds" ["partition"]
        "Age of the partition's first record that is not stored yet, from its receipt; 0 when all are stored";

    SETTLE_RUNS Settle Counter "leadtrail_settle_runs" ["outcome"]
        "Runs: that settled something, that found nothing new, that failed";
    SETTLE_RUN Settle Histogram "leadtrail_settle_run_seconds" []
        "A run that settled something";
    SETTLE_RECORDS Settle Counter "leadtrail_settle_settled_records" []
        "Log records that runs covered";
    SETTLE_CONVERSIONS Settle Counter "leadtrail_settle_conversions" []
        "Conversions whose click was looked for, older ones that a new click can reach included";
    SETTLE_READ_ROWS Settle Counter "leadtrail_settle_read_rows" []
        "Rows that the warehouse read for settling, by its own count; divided by the conversions, what one costs";
    SETTLE_UNSETTLED Settle Gauge "leadtrail_settle_unsettled_records" []
        "Stored records that no run had covered at the last look";
    SETTLE_GAPS Settle Gauge "leadtrail_settle_gaps" []
        "Partitions where a later batch is stored and the one before it isn't";
    SETTLE_VERSION Settle Gauge "leadtrail_settle_version" []
        "Version of the last run of this process that wrote rows";
    SETTLE_LEADS Settle Gauge "leadtrail_settle_leads" []
        "1 while this process settles, 0 while it stands by";
    SETTLE_SUCCESS Settle Gauge "leadtrail_settle_last_success_timestamp_seconds" []
        "When a run of this process last succeeded, in seconds since 1970; 0: never yet";

    DELIVER_ATTEMPTS Settle Counter "leadtrail_deliver_attempts" ["endpoint", "outcome"]
        "Attempts to deliver a lead, by what came of them: delivered, or why not";
    DELIVER_AFTER Settle Histogram "leadtrail_deliver_delivered_after_seconds" []
        "From a lead's receipt until an endpoint had it";
    DELIVER_PENDING Settle Gauge "leadtrail_deliver_pending" ["endpoint"]
        "Leads that the endpoint has not got yet, as far as memory holds them (10,000)";
    DELIVER_OLDEST Settle Gauge "leadtrail_deliver_oldest_seconds" ["endpoint"]
        "How long the endpoint's oldest pending lead has been due; 0: none is";
    DELIVER_GIVEN_UP Settle Counter "leadtrail_deliver_given_up" ["endpoint"]
        "Deliveries that were given up";
    DELIVER_DISABLED Settle Gauge "leadtrail_deliver_disabled" ["endpoint"]
        "1 while nothing is sent to the endpoint: it answered 410, or took nothing until its leads were given up";

    ENGINE_UP Engine Gauge "leadtrail_engine_up" []
        "1 while the embedded engine's process runs";
    ENGINE_RESTARTS Engine Counter "leadtrail_engine_restarts" []
        "How often the embedded engine ended unasked and was started again";
}

/// Sets up the log of this process. Called once, by `main`.
///
/// # Errors
/// When `LEADTRAIL_LOG` can't be read; says where.
pub fn start() -> Result<(), String> {
    let text = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .parse(&text)
        .map_err(|error| {
            format!("cannot read {FILTER_VARIABLE}: {error}; try {FILTER_VARIABLE}=info")
        })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let done = if std::io::stderr().is_terminal() {
        lines.with_target(false).try_init()
    } else {
        lines.with_ansi(false).json().flatten_event(true).try_init()
    };
    done.map_err(|error| format!("cannot set up the log: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_names_are_unique_and_plain() {
        let names: std::collections::HashSet<_> =
            METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        assert!(METRICS.iter().all(|metric| {
            metric.name.starts_with("leadtrail_")
                && metric.name.bytes().all(plain)
                && !metric.help.is_empty()
        }));
    }
}
