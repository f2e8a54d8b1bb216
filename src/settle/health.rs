//! Health of settling, for `/ready` and `/metrics`.
//!
//! In: what runs did. Out: whether settling gets on, and numbers. Refuses: nothing. Promises: a process that stands by is healthy;
//! one that leads is not when its runs fail, none comes to its end, or a batch that must come first is missing for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::ids::now_millis;
use crate::settle::{RunReport, SettleError};
use crate::telemetry;

/// Runs that fail for this long are not healthy.
const FAILING_MS: i64 = 30_000;

/// Runs that go on failing are told again after this long, for the reason may be another.
const TELL_AGAIN_MS: i64 = 60_000;

/// A leader whose last run ended this long ago is stuck: a run covers a second's work, and each statement has its time limit.
const STUCK_MS: i64 = 300_000;

/// A batch that is missing for this long while later ones are stored is not on its way any more.
const GAP_MS: i64 = 120_000;

/// From a run with a handful of records up to one that is far too slow.
const RUN_SECONDS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0];

/// How settling is getting on.
#[derive(Debug)]
pub struct Health {
    leads: AtomicBool,
    gaps: AtomicU64,
    unsettled: AtomicU64,
    version: AtomicU64,
    caught_up_at_ms: AtomicI64,
    /// When a run last succeeded, or this process began to lead; 0: never yet.
    ran_at_ms: AtomicI64,
    succeeded_at_ms: AtomicI64,
    failing_since_ms: AtomicI64,
    /// When the log last said that runs fail; 0: not in this row of failures.
    told_at_ms: AtomicI64,
    gap_since_ms: AtomicI64,
    runs: Family<[(&'static str, &'static str); 1], Counter>,
    run: Histogram,
    records: Counter,
    conversions: Counter,
    read_rows: Counter,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            leads: AtomicBool::default(),
            gaps: AtomicU64::default(),
            unsettled: AtomicU64::default(),
            version: AtomicU64::default(),
            caught_up_at_ms: AtomicI64::default(),
            ran_at_ms: AtomicI64::default(),
            succeeded_at_ms: AtomicI64::default(),
            failing_since_ms: AtomicI64::default(),
            told_at_ms: AtomicI64::default(),
            gap_since_ms: AtomicI64::default(),
            runs: Family::default(),
            run: Histogram::new(RUN_SECONDS),
            records: Counter::default(),
            conversions: Counter::default(),
            read_rows: Counter::default(),
        }
    }
}

impl Health {
    /// Registers its metrics.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        telemetry::SETTLE_RUNS.register(registry, self.runs.clone());
        for outcome in ["settled", "nothing_new", "failed"] {
            drop(self.runs_of(outcome));
        }
        telemetry::SETTLE_RUN.register(registry, self.run.clone());
        telemetry::SETTLE_RECORDS.register(registry, self.records.clone());
        telemetry::SETTLE_CONVERSIONS.register(registry, self.conversions.clone());
        telemetry::SETTLE_READ_ROWS.register(registry, self.read_rows.clone());
        registry.register_collector(Box::new(Gauges(self.clone())));
    }

    /// True while this process settles; a standby is healthy too.
    pub fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }

    /// Runs that settled something, the log records that they covered, the conversions that they settled.
    pub fn totals(&self) -> (u64, u64, u64) {
        (self.runs_of("settled").get(), self.records.get(), self.conversions.get())
    }

    /// Says what the conversions of this process cost, when it stops.
    pub(super) fn tell_cost(&self) {
        let (runs, records, conversions) = self.totals();
        if conversions == 0 {
            return;
        }
        let read_rows = self.read_rows.get();
        let read_rows_per_conversion = read_rows / conversions;
        tracing::info!(
            runs,
            records,
            conversions,
            read_rows,
            read_rows_per_conversion,
            "settle: what this process settled"
        );
    }

    /// Partitions that wait for an earlier batch.
    pub fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }

    /// When there was last nothing left to settle, in milliseconds since 1970; 0: never yet.
    pub fn caught_up_at_ms(&self) -> i64 {
        self.caught_up_at_ms.load(Ordering::Relaxed)
    }

    /// Since when no run succeeds, in milliseconds since 1970.
    pub fn failing_since_ms(&self) -> Option<i64> {
        since(&self.failing_since_ms)
    }

    /// `Err` says what keeps this process from settling.
    pub fn ready(&self) -> Result<(), String> {
        self.ready_at(now_millis())
    }

    fn ready_at(&self, now_ms: i64) -> Result<(), String> {
        let passed = |time: &AtomicI64, limit_ms: i64| {
            since(time).map(|since| now_ms - since).filter(|passed| *passed > limit_ms)
        };
        if let Some(ms) = passed(&self.failing_since_ms, FAILING_MS) {
            return Err(format!("settling has failed for {} s", ms / 1000));
        }
        if !self.leads() {
            return Ok(());
        }
        if let Some(ms) = passed(&self.ran_at_ms, STUCK_MS) {
            return Err(format!("no run has come to its end for {} s", ms / 1000));
        }
        if let Some(ms) = passed(&self.gap_since_ms, GAP_MS) {
            return Err(format!(
                "{} partitions wait for a batch that has been missing for {} s while later ones are stored; what comes after it is not settled",
                self.gaps.load(Ordering::Relaxed),
                ms / 1000
            ));
        }
        Ok(())
    }

    fn runs_of(&self, outcome: &'static str) -> Counter {
        self.runs.get_or_create_owned(&[("outcome", outcome)])
    }

    /// This process leads, or stands by.
    pub(super) fn leading(&self, leads: bool) {
        if self.leads.swap(leads, Ordering::Relaxed) != leads {
            self.ran_at_ms.store(now_millis(), Ordering::Relaxed);
            self.gap_since_ms.store(0, Ordering::Relaxed);
            if !leads {
                self.failing_since_ms.store(0, Ordering::Relaxed);
            }
        }
    }

    /// A run came to its end.
    pub(super) fn ran(&self, report: &RunReport, took: Duration) {
        let now = now_millis();
        match report.version {
            Some(version) => {
                self.runs_of("settled").inc();
                self.run.observe(took.as_secs_f64());
                self.version.store(version, Ordering::Relaxed);
            }
            None => drop(self.runs_of("nothing_new").inc()),
        }
        self.records.inc_by(report.records);
        self.conversions.inc_by(report.conversions);
        self.read_rows.inc_by(report.read_rows);
        let unsettled = report.unsettled.saturating_sub(report.records);
        self.unsettled.store(unsettled, Ordering::Relaxed);
        self.note_gaps(u64::try_from(report.gaps).unwrap_or(u64::MAX), now);
        if !report.more {
            self.caught_up_at_ms.store(now, Ordering::Relaxed);
        }
        self.ran_at_ms.store(now, Ordering::Relaxed);
        self.succeeded_at_ms.store(now, Ordering::Relaxed);
        if self.failing_since_ms.swap(0, Ordering::Relaxed) != 0 {
            self.told_at_ms.store(0, Ordering::Relaxed);
            tracing::info!("settle: runs succeed again");
        }
    }

    fn note_gaps(&self, gaps: u64, now_ms: i64) {
        if self.gaps.swap(gaps, Ordering::Relaxed) != gaps {
            tracing::warn!(partitions = gaps, "settle: partitions that wait for an earlier batch");
        }
        match gaps {
            0 => self.gap_since_ms.store(0, Ordering::Relaxed),
            _ => set_once(&self.gap_since_ms, now_ms),
        }
    }

    /// A run failed.
    pub(super) fn failed(&self, error: &SettleError) {
        self.runs_of("failed").inc();
        let now = now_millis();
        if since(&self.told_at_ms).is_none_or(|told| now - told >= TELL_AGAIN_MS) {
            self.told_at_ms.store(now, Ordering::Relaxed);
            tracing::warn!(%error, "settle: runs fail");
        }
        set_once(&self.failing_since_ms, now);
    }
}

fn since(time: &AtomicI64) -> Option<i64> {
    Some(time.load(Ordering::Relaxed)).filter(|since| *since != 0)
}

/// Only the loop writes, so there is nobody to race with.
fn set_once(time: &AtomicI64, now_ms: i64) {
    if time.load(Ordering::Relaxed) == 0 {
        time.store(now_ms, Ordering::Relaxed);
    }
}

/// The gauges, asked at a scrape.
#[derive(Debug)]
struct Gauges(Arc<Health>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let succeeded = self.0.succeeded_at_ms.load(Ordering::Relaxed) as f64 / 1000.0;
        for (metric, number) in [
            (telemetry::SETTLE_UNSETTLED, count(&self.0.unsettled)),
            (telemetry::SETTLE_GAPS, count(&self.0.gaps)),
            (telemetry::SETTLE_VERSION, count(&self.0.version)),
            (telemetry::SETTLE_LEADS, f64::from(u8::from(self.0.leads()))),
            (telemetry::SETTLE_SUCCESS, succeeded),
        ] {
            metric.write_gauge(&mut encoder, [(String::new(), number)])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: i64) -> i64 {
        now_millis() + seconds * 1000
    }

    fn error() -> SettleError {
        SettleError::Warehouse { action: "a test", reason: "no answer".into() }
    }

    #[test]
    fn runs_that_fail_are_told_until_one_succeeds() {
        let health = Health::default();
        health.leading(true);
        health.failed(&error());
        assert_eq!(health.ready_at(seconds(29)), Ok(()));
        assert!(health.ready_at(seconds(32)).unwrap_err().starts_with("settling has failed for 3"));
        health.ran(&RunReport::default(), Duration::ZERO);
        assert_eq!(health.ready_at(seconds(32)), Ok(()));
    }

    #[test]
    fn a_leader_whose_run_never_ends_is_told_and_a_standby_is_well() {
        let health = Health::default();
        health.leading(true);
        assert_eq!(health.ready_at(seconds(299)), Ok(()));
        assert!(health.ready_at(seconds(302)).unwrap_err().starts_with("no run has come"));
        health.leading(false);
        assert_eq!(health.ready_at(seconds(9_999)), Ok(()));
        health.leading(true);
        health.ran(&RunReport::default(), Duration::ZERO);
        assert_eq!(health.ready_at(seconds(299)), Ok(()));
    }

    #[test]
    fn a_batch_that_never_comes_is_told_until_it_does() {
        let health = Health::default();
        health.leading(true);
        health.ran(&RunReport { gaps: 2, ..RunReport::default() }, Duration::ZERO);
        assert_eq!(health.ready_at(seconds(119)), Ok(()));
        assert!(health.ready_at(seconds(122)).unwrap_err().starts_with("2 partitions wait"));
        health.ran(&RunReport::default(), Duration::ZERO);
        assert_eq!(health.ready_at(seconds(122)), Ok(()));
    }

    #[test]
    fn runs_are_counted_under_the_names_that_are_documented() {
        let (mut registry, health) = (Registry::default(), Arc::new(Health::default()));
        health.register(&mut registry);
        health.leading(true);
        let report = RunReport {
            version: Some(9),
            records: 40,
            unsettled: 45,
            conversions: 3,
            read_rows: 1_200,
            ..RunReport::default()
        };
        health.ran(&report, Duration::from_millis(80));
        health.failed(&error());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "leadtrail_settle_runs_total{outcome=\"settled\"} 1\n",
            "leadtrail_settle_runs_total{outcome=\"failed\"} 1\n",
            "leadtrail_settle_run_seconds_bucket{le=\"0.1\"} 1\n",
            "leadtrail_settle_settled_records_total 40\n",
            "leadtrail_settle_conversions_total 3\n",
            "leadtrail_settle_read_rows_total 1200\n",
            "leadtrail_settle_unsettled_records 5",
            "leadtrail_settle_version 9",
            "leadtrail_settle_leads 1",
            "leadtrail_settle_last_success_timestamp_seconds 1",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
