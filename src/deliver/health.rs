//! Health of delivering, for `/ready` and `/metrics`.
//!
//! In: what attempts came to, what waits. Out: numbers, and whether the deliverer itself gets on. Refuses: nothing. Promises: a receiver that is
//! down is told by the metrics and its alerts, and doesn't make this process unready: it is not this process that is ill.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::deliver::outcome::Outcome;
use crate::ids::now_millis;
use crate::store::StoreError;
use crate::telemetry;

/// Steps that fail for this long are not healthy.
const FAILING_MS: i64 = 60_000;

/// From a lead that is there at once up to one that waited for its receiver.
const AFTER_SECONDS: [f64; 11] =
    [0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 600.0, 3_600.0, 86_400.0, 259_200.0];

/// What is known of one endpoint.
#[derive(Debug, Default)]
pub struct Gauge {
    /// Its name.
    pub name: String,
    /// Not delivered yet, as far as memory holds them.
    pub pending: AtomicU64,
    /// Since when the oldest waits; 0: none does.
    pub oldest_since_ms: AtomicI64,
    /// Nothing is sent to it.
    pub disabled: AtomicBool,
}

/// How delivering is getting on.
#[derive(Debug)]
pub struct Health {
    gauges: Vec<Arc<Gauge>>,
    attempts: Family<[(&'static str, String); 2], Counter>,
    given_up: Family<[(&'static str, String); 1], Counter>,
    after: Histogram,
    failing_since_ms: AtomicI64,
}

impl Health {
    /// For the endpoints of these names.
    pub fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let gauge = |name: &str| Arc::new(Gauge { name: name.to_owned(), ..Gauge::default() });
        Self {
            gauges: names.map(gauge).collect(),
            attempts: Family::default(),
            given_up: Family::default(),
            after: Histogram::new(AFTER_SECONDS),
            failing_since_ms: AtomicI64::new(0),
        }
    }

    /// Registers its metrics.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        telemetry::DELIVER_ATTEMPTS.register(registry, self.attempts.clone());
        telemetry::DELIVER_GIVEN_UP.register(registry, self.given_up.clone());
        telemetry::DELIVER_AFTER.register(registry, self.after.clone());
        for gauge in &self.gauges {
            // So that a rate has a beginning.
            drop(self.attempts_of(&gauge.name, "delivered"));
            drop(self.given_up_of(&gauge.name));
        }
        registry.register_collector(Box::new(Gauges(self.clone())));
    }

    /// The gauges, in the order of the endpoints.
    pub fn gauges(&self) -> &[Arc<Gauge>] {
        &self.gauges
    }

    fn attempts_of(&self, endpoint: &str, outcome: &'static str) -> Counter {
        let labels = [("endpoint", endpoint.to_owned()), ("outcome", outcome.to_owned())];
        self.attempts.get_or_create_owned(&labels)
    }

    fn given_up_of(&self, endpoint: &str) -> Counter {
        self.given_up.get_or_create_owned(&[("endpoint", endpoint.to_owned())])
    }

    /// An attempt was made, for a lead that was received then.
    pub fn attempted(&self, endpoint: &str, outcome: Outcome, received_ms: i64) {
        self.attempts_of(endpoint, outcome.word()).inc();
        if matches!(outcome, Outcome::Delivered { .. }) {
            self.after.observe((now_millis() - received_ms).max(0) as f64 / 1_000.0);
        }
    }

    /// A delivery was given up.
    pub fn gave_up(&self, endpoint: &str) {
        self.given_up_of(endpoint).inc();
    }

    /// A step of the deliverer's own came to its end.
    pub fn stepped(&self) {
        if self.failing_since_ms.swap(0, Ordering::Relaxed) != 0 {
            tracing::info!("deliver: steps succeed again");
        }
    }

    /// One failed.
    pub fn failed(&self, error: &StoreError) {
        if self.failing_since_ms.load(Ordering::Relaxed) == 0 {
            tracing::warn!(%error, "deliver: steps fail");
            self.failing_since_ms.store(now_millis(), Ordering::Relaxed);
        }
    }

    /// `Err` says what keeps it from delivering.
    pub fn ready(&self) -> Result<(), String> {
        self.ready_at(now_millis())
    }

    fn ready_at(&self, now_ms: i64) -> Result<(), String> {
        let since = self.failing_since_ms.load(Ordering::Relaxed);
        let failing_ms = now_ms - since;
        if since == 0 || failing_ms <= FAILING_MS {
            return Ok(());
        }
        let seconds = failing_ms / 1_000;
        Err(format!("new leads could not be read for {seconds} s; they are sent when they can"))
    }
}

/// The gauges, asked at a scrape.
#[derive(Debug)]
struct Gauges(Arc<Health>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let now_ms = now_millis();
        let pending = |gauge: &Gauge| gauge.pending.load(Ordering::Relaxed) as f64;
        let oldest = |gauge: &Gauge| match gauge.oldest_since_ms.load(Ordering::Relaxed) {
            0 => 0.0,
            since_ms => (now_ms - since_ms).max(0) as f64 / 1_000.0,
        };
        let disabled = |gauge: &Gauge| f64::from(u8::from(gauge.disabled.load(Ordering::Relaxed)));
        let all = |ask: &dyn Fn(&Gauge) -> f64| -> Vec<(String, f64)> {
            self.0.gauges.iter().map(|gauge| (gauge.name.clone(), ask(gauge))).collect()
        };
        telemetry::DELIVER_PENDING.write_gauge(&mut encoder, all(&pending))?;
        telemetry::DELIVER_OLDEST.write_gauge(&mut encoder, all(&oldest))?;
        telemetry::DELIVER_DISABLED.write_gauge(&mut encoder, all(&disabled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::outcome::Reason;

    #[test]
    fn attempts_are_counted_under_the_names_that_are_documented() {
        let (mut registry, health) =
            (Registry::default(), Arc::new(Health::new(["crm"].into_iter())));
        health.register(&mut registry);
        health.attempted("crm", Outcome::Delivered { status: 200 }, now_millis() - 700);
        health.attempted("crm", Outcome::failed(Reason::Timeout), 0);
        health.gave_up("crm");
        health.gauges()[0].pending.store(3, Ordering::Relaxed);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "leadtrail_deliver_attempts_total{endpoint=\"crm\",outcome=\"delivered\"} 1\n",
            "leadtrail_deliver_attempts_total{endpoint=\"crm\",outcome=\"timeout\"} 1\n",
            "leadtrail_deliver_given_up_total{endpoint=\"crm\"} 1\n",
            "leadtrail_deliver_delivered_after_seconds_bucket{le=\"1.0\"} 1\n",
            "leadtrail_deliver_pending{endpoint=\"crm\"} 3",
            "leadtrail_deliver_disabled{endpoint=\"crm\"} 0",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }

    #[test]
    fn a_deliverer_that_cannot_read_is_told_until_it_can() {
        let health = Health::new(std::iter::empty());
        health.failed(&StoreError::Transient { action: "a test".into(), reason: "away".into() });
        assert_eq!(health.ready_at(now_millis() + 50_000), Ok(()));
        assert!(health.ready_at(now_millis() + 70_000).is_err());
        health.stepped();
        assert_eq!(health.ready_at(now_millis() + 70_000), Ok(()));
    }
}
