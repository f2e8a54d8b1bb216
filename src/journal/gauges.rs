//! How the spill stands, as metrics. In: the log, asked at a scrape. Out: four gauges. Promises: with the journal as home, where nothing
//! is ever undelivered, all of them are 0.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use crate::journal::Journal;
use crate::telemetry;

/// What waits for Kafka.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Backlog {
    /// Events in the spill that Kafka has not confirmed.
    pub records: u64,
    /// Bytes that the spill holds on the disk, those of delivered events too until their segment goes.
    pub bytes: u64,
    /// Bytes that it may hold as things stand.
    pub bytes_max: u64,
    /// Seconds that the oldest undelivered event has waited, in the spill or under way.
    pub oldest_s: u64,
}

/// The backlog as metrics.
pub struct Gauges(pub Arc<Journal>);

impl fmt::Debug for Gauges {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Gauges")
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let backlog = self.0.backlog();
        for (metric, value) in [
            (&telemetry::SPILLED, backlog.records),
            (&telemetry::SPILL_BYTES, backlog.bytes),
            (&telemetry::SPILL_LIMIT, backlog.bytes_max),
            (&telemetry::UNDELIVERED, backlog.oldest_s),
        ] {
            metric.write_gauge(&mut encoder, [(String::new(), value as f64)])?;
        }
        Ok(())
    }
}
