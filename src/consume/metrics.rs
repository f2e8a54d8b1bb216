//! Metrics of the consumer.
//!
//! In: what workers and the writer did. Out: counters and histograms in the process' registry, and each partition's lag at the
//! moment of a scrape. Promises: labels come from closed sets; a batch that was taken up anew counts once, when it is stored.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::attribute::Rows;
use crate::consume::batch::Batch;
use crate::consume::health::Health;
use crate::ids::now_millis;
use crate::telemetry;

/// From a batch's own age up to an outage of hours.
const STORED_AFTER_SECONDS: [f64; 13] =
    [0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 3600.0, 86_400.0];

/// From a small batch on an idle server up to the time limit of a statement.
const INSERT_SECONDS: [f64; 11] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// The tables that a batch may have rows in.
const TABLES: [&str; 8] = [
    "events",
    "leads",
    "service_contacts",
    "quarantine",
    "conversions",
    "touch_keys",
    "refusals",
    "dead_letters",
];

/// Why a record goes to the dead letters.
const DEAD_LETTER_REASONS: [&str; 4] =
    ["unreadable", "damaged_in_log", "impossible_time", "refused_by_warehouse"];

type Labelled<M> = Family<[(&'static str, &'static str); 1], M, fn() -> M>;

/// Why a batch was taken up anew.
#[derive(Clone, Copy, Debug)]
pub enum Retry {
    /// The warehouse failed.
    Warehouse,
    /// The border could not be kept.
    Border,
    /// The border grew too old, or rows were found that the warehouse refuses.
    TooLate,
}

impl Retry {
    fn word(self) -> &'static str {
        match self {
            Self::Warehouse => "warehouse",
            Self::Border => "border",
            Self::TooLate => "too_late",
        }
    }
}

/// The consumer's counters.
pub struct Metrics {
    batches: Counter,
    read_bytes: Counter,
    rows: Labelled<Counter>,
    dead_letters: Labelled<Counter>,
    retries: Labelled<Counter>,
    borders: Labelled<Counter>,
    stored_after: Histogram,
    insert: Labelled<Histogram>,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &mut Registry, health: Arc<Health>) -> Self {
        let counters = || Labelled::<Counter>::new_with_constructor(Counter::default);
        let this = Self {
            batches: Counter::default(),
            read_bytes: Counter::default(),
            rows: counters(),
            dead_letters: counters(),
            retries: counters(),
            borders: counters(),
            stored_after: Histogram::new(STORED_AFTER_SECONDS),
            insert: Family::new_with_constructor(|| Histogram::new(INSERT_SECONDS)),
        };
        telemetry::BATCHES.register(registry, this.batches.clone());
        telemetry::READ_BYTES.register(registry, this.read_bytes.clone());
        telemetry::ROWS.register(registry, this.rows.clone());
        telemetry::DEAD_LETTERS.register(registry, this.dead_letters.clone());
        telemetry::RETRIES.register(registry, this.retries.clone());
        telemetry::BORDERS.register(registry, this.borders.clone());
        telemetry::STORED_AFTER.register(registry, this.stored_after.clone());
        telemetry::INSERT.register(registry, this.insert.clone());
        registry.register_collector(Box::new(Lag(health)));
        this.begin_at_zero();
        this
    }

    /// What never happened is 0 and not absent, so that an alert sees the first time.
    fn begin_at_zero(&self) {
        for table in TABLES {
            drop(self.rows.get_or_create(&[("table", table)]));
            drop(self.insert.get_or_create(&[("table", table)]));
        }
        for reason in DEAD_LETTER_REASONS {
            drop(self.dead_letters.get_or_create(&[("reason", reason)]));
        }
        for retry in [Retry::Warehouse, Retry::Border, Retry::TooLate] {
            drop(self.retries.get_or_create(&[("reason", retry.word())]));
        }
        for how in ["opened", "recovered"] {
            drop(self.borders.get_or_create(&[("how", how)]));
        }
    }

    /// A batch is in ClickHouse, with these rows.
    pub fn stored(&self, batch: &Batch, rows: &Rows) {
        let now = now_millis();
        self.batches.inc();
        self.read_bytes.inc_by(batch.entries.iter().map(|entry| entry.bytes() as u64).sum());
        let counts = [
            rows.events.len(),
            rows.leads.len(),
            rows.service_contacts.len(),
            rows.quarantine.len(),
            rows.conversions.len(),
            rows.touch_keys.len(),
            rows.refusals.len(),
            rows.dead.len(),
        ];
        for (table, count) in TABLES.into_iter().zip(counts) {
            self.rows.get_or_create(&[("table", table)]).inc_by(count as u64);
        }
        for letter in &rows.dead {
            self.dead_letters.get_or_create(&[("reason", letter.reason)]).inc();
        }
        for event in &rows.events {
            let waited_ms = now - (event.event_time.0 + event.received_lag_ms);
            self.stored_after.observe(waited_ms.max(0) as f64 / 1000.0);
        }
    }

    /// A batch is taken up anew.
    pub fn retried(&self, why: Retry) {
        self.retries.get_or_create(&[("reason", why.word())]).inc();
    }

    /// A border was opened by this process, or `recovered` from an owner that left it open.
    pub fn border(&self, recovered: bool) {
        let how = if recovered { "recovered" } else { "opened" };
        self.borders.get_or_create(&[("how", how)]).inc();
    }

    /// An insert into `table` succeeded.
    pub fn inserted(&self, table: &'static str, seconds: f64) {
        self.insert.get_or_create(&[("table", table)]).observe(seconds);
    }
}

/// The lag of each partition, asked at a scrape.
#[derive(Debug)]
struct Lag(Arc<Health>);

impl Collector for Lag {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let (partitions, now) = (self.0.partitions(), now_millis());
        let records = partitions
            .iter()
            .map(|(partition, health)| (partition.to_string(), health.lag_records() as f64));
        telemetry::LAG.write_gauge(&mut encoder, records)?;
        let ages = partitions
            .iter()
            .map(|(partition, health)| (partition.to_string(), health.lag_ms(now) as f64 / 1000.0));
        telemetry::LAG_AGE.write_gauge(&mut encoder, ages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consume::assignment::Entry;

    #[test]
    fn what_was_done_is_counted_under_the_names_that_are_documented() {
        let (mut registry, health) = (Registry::default(), Arc::new(Health::default()));
        let metrics = Metrics::new(&mut registry, health.clone());
        let payload = b"{}".to_vec();
        let entries = vec![Entry::Record { offset: 7, payload, resent: false }];
        let mut rows = Rows::default();
        let place = crate::attribute::Place { epoch: 1, partition: 0, offset: 7 };
        rows.add_dead(place, 0, "unreadable", String::new(), Vec::new(), 0);
        metrics.border(true);
        metrics.retried(Retry::Warehouse);
        metrics.inserted("events", 0.004);
        metrics.stored(&Batch { from: 7, to: 8, entries }, &rows);
        health.assigned(3, 8);
        health.log_end(3, 10);
        health.waiting(3, now_millis() - 5_000);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "leadtrail_consumer_batches_total 1\n",
            "leadtrail_consumer_read_bytes_total 2\n",
            "leadtrail_consumer_rows_total{table=\"dead_letters\"} 1\n",
            "leadtrail_consumer_dead_letters_total{reason=\"unreadable\"} 1\n",
            "leadtrail_consumer_retries_total{reason=\"warehouse\"} 1\n",
            "leadtrail_consumer_borders_total{how=\"recovered\"} 1\n",
            "leadtrail_consumer_insert_seconds_bucket{le=\"0.005\",table=\"events\"} 1\n",
            "# UNIT leadtrail_consumer_lag_seconds seconds\n",
            "leadtrail_consumer_lag_records{partition=\"3\"} 2",
            "leadtrail_consumer_lag_seconds{partition=\"3\"} 5",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
