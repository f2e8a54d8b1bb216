//! Consume: the log becomes batches with fixed borders, and batches become rows.
//!
//! In: a log's home. Out: rows in ClickHouse, each record's exactly once. Refuses: records that can't be read, to the dead
//! letters. Promises: what is below a kept border is stored or dead-lettered; an error never ends the consumer, it waits and
//! goes on.

pub mod assignment;
pub mod batch;
pub mod disk;
pub mod health;
mod intake;
mod judged;
pub mod kafka;
pub mod metrics;
pub(crate) mod refused;
mod resent;
mod worker;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::attribute::meaning::Meaning;
use crate::attribute::{Basis, Place, Rows, time_is_possible};
use crate::config::{Config, Home};
use crate::consume::assignment::{Assignment, Border, Entry};
use crate::consume::batch::{Batch, Bounds};
use crate::consume::health::Health;
use crate::consume::judged::Earlier;
use crate::consume::metrics::Metrics;
use crate::enrich::Enricher;
use crate::enrich::spam::Judge;
use crate::event::Event;
use crate::ids::now_millis;
use crate::keys::Keys;
use crate::refusals::{self, Report};
use crate::store::{StoreError, Warehouse};

/// Waits before a log's home is taken up anew after an error.
const AGAIN: Duration = Duration::from_secs(1);

/// How often the warehouse is asked whether it is there: what has nothing to store should know it too.
const PING: Duration = Duration::from_secs(3);

/// How long an answer to that may take.
const PING_MAX: Duration = Duration::from_secs(5);

/// What every worker needs.
pub struct Pipeline {
    /// Where rows go.
    pub warehouse: Warehouse,
    /// What is known about places, agents, channels and robots.
    pub enricher: Enricher,
    /// What is spam.
    pub judge: Judge,
    /// What a form's fields mean.
    pub meaning: Meaning,
    /// For the keyed hashes of personal values.
    pub keys: Arc<Keys>,
    /// How it is getting on.
    pub health: Arc<Health>,
    /// What it has done.
    pub metrics: Metrics,
}

impl Pipeline {
    /// The rows of a batch. Records that were sent again after a crash are left out where they are stored already. `must_look`: some
    /// rows may be there already; what was judged spam then stays so, whatever the rules and weights are by now.
    pub(crate) async fn rows(
        &self,
        partition: u16,
        border: Border,
        batch: &Batch,
        must_look: bool,
    ) -> Result<Rows, StoreError> {
        let epoch = border.epoch;
        let earlier = match must_look {
            true => judged::earlier(&self.warehouse, partition, border).await?,
            false => Earlier::default(),
        };
        let stored = resent::stored(&self.warehouse, batch, epoch, partition).await?;
        let now = now_millis();
        let mut rows = Rows::default();
        let mut resent_here = resent::originals(batch);
        for entry in &batch.entries {
            let place = Place { epoch, partition, offset: entry.offset() };
            match entry {
                Entry::Void { .. } => {}
                Entry::Damaged { detail, raw, .. } => {
                    rows.add_dead(place, 0, "damaged_in_log", detail.clone(), raw.clone(), now);
                }
                Entry::Record { payload, .. } if refusals::is_report(payload) => {
                    match Report::from_record(payload) {
                        Ok(report) => rows.add_refusals(report, place),
                        Err(error) => {
                            let (why, raw) = (error.to_string(), payload.clone());
                            rows.add_dead(place, 0, "unreadable", why, raw, now);
                        }
                    }
                }
                Entry::Record { payload, resent, .. } => match Event::from_record(payload) {
                    Ok(event)
                        if *resent
                            && (stored.contains(&event.id) || !resent_here.insert(event.id)) => {}
                    Ok(event) if !time_is_possible(&event) => {
                        let detail = "event_time is not one that the edge gives".to_owned();
                        rows.add_dead(
                            place,
                            event.id.as_u128(),
                            "impossible_time",
                            detail,
                            payload.clone(),
                            now,
                        );
                    }
                    Ok(event) => {
                        let held_before = earlier.held(place.offset);
                        for event in event.unfold() {
                            self.add(&mut rows, event, place, held_before);
                        }
                    }
                    Err(error) => rows.add_dead(
                        place,
                        0,
                        "unreadable",
                        error.to_string(),
                        payload.clone(),
                        now,
                    ),
                },
            }
        }
        Ok(rows)
    }
}

impl Pipeline {
    /// Whether today's rules and weights would hold this submission.
    pub(crate) fn would_hold(&self, event: Event) -> bool {
        let mut rows = Rows::default();
        self.add(&mut rows, event, Place { epoch: 0, partition: 0, offset: 0 }, None);
        !rows.quarantine.is_empty()
    }

    /// Adds the rows of one event. A decision that releases a submission adds the submission's rows too.
    fn add(&self, rows: &mut Rows, mut event: Event, place: Place, held_before: Option<bool>) {
        let decision = event.decision.take();
        let enriched = self.enricher.enrich(event);
        let (keys, judge, meaning) = (&self.keys, &self.judge, &self.meaning);
        let basis = Basis { place, keys, judge, meaning };
        match decision {
            None => rows.add(enriched, basis, held_before),
            Some(mut decision) => {
                let released = decision.event.take().map(|event| self.enricher.enrich(*event));
                rows.add_decision(enriched, &decision, released, basis);
            }
        }
    }
}

/// A number for the table partition that an entry falls in.
pub(crate) fn table_partition(entry: &Entry) -> i32 {
    let Entry::Record { payload, .. } = entry else { return 0 };
    event_time(payload).map_or(0, month)
}

/// The event's time without reading the whole record: the first `"event_time":` of a record that `Event::to_record` wrote. A
/// wrong guess costs nothing but a batch that closes early.
fn event_time(payload: &[u8]) -> Option<i64> {
    const KEY: &[u8] = b"\"event_time\":";
    let at = payload.windows(KEY.len()).take(400).position(|window| window == KEY)? + KEY.len();
    let digits: &[u8] = &payload[at..];
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

/// When an entry's event was received.
pub(crate) fn received_ms(entry: &Entry) -> Option<i64> {
    let Entry::Record { payload, .. } = entry else { return None };
    crate::event::received_ms(payload)
}

/// The calendar month of a time in UTC, as a number: the table partition.
fn month(millis: i64) -> i32 {
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
    let date = jiff::tz::Offset::UTC.to_datetime(time);
    i32::from(date.year()) * 12 + i32::from(date.month())
}

/// Consumes the configured log until `stop`.
pub async fn run(config: &Config, pipeline: Arc<Pipeline>, stop: watch::Receiver<bool>) {
    let bounds = Bounds {
        rows: config.consumer.batch_rows_max,
        bytes: config.consumer.batch_bytes_max,
        age: Duration::from_millis(config.consumer.batch_age_ms),
    };
    let home = config.log.home;
    let journal = disk::Source {
        directory: config.journal_dir(),
        keep: Duration::from_secs(config.journal.keep_hours * 3600),
        bytes_max: config.journal.bytes_max,
    };
    let settings = config.kafka.clone();
    tokio::spawn(watch_warehouse(pipeline.clone(), stop.clone()));
    let runtime = tokio::runtime::Handle::current();
    let health = pipeline.health.clone();
    let spawn_worker = move |assignment: Assignment| {
        let worker = worker::Worker::new(pipeline.clone(), assignment, bounds);
        runtime.spawn(worker.run());
    };
    let reading = tokio::task::spawn_blocking(move || {
        let spawn: kafka::Spawn = Box::new(spawn_worker);
        while !*stop.borrow() {
            let outcome = match home {
                Home::Disk => disk::read(&journal, &health, spawn.as_ref(), &stop)
                    .map_err(|error| error.to_string()),
                Home::Kafka => kafka::read(&settings, &health, &spawn, &stop)
                    .map_err(|error| error.to_string()),
            };
            match outcome {
                Ok(()) => break,
                Err(reason) => {
                    tracing::warn!(reason, "the log is taken up anew");
                    health.failed(reason);
                    std::thread::sleep(AGAIN);
                }
            }
        }
    });
    if let Err(error) = reading.await {
        tracing::error!(%error, "the log's thread ended");
    }
}

/// Asks the warehouse every few seconds whether it is there, until `stop`.
async fn watch_warehouse(pipeline: Arc<Pipeline>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let answer = match tokio::time::timeout(PING_MAX, pipeline.warehouse.ping()).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err(format!("a ping had no answer within {} s", PING_MAX.as_secs())),
        };
        pipeline.health.warehouse_answered(answer);
        // Ends early at the stop; a stopper that is gone is one too.
        let _ = tokio::time::timeout(PING, stop.wait_for(|stopped| *stopped)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventType, tests::sample};
    use crate::ids::EventId;

    #[test]
    fn an_events_time_is_found_without_reading_the_record() {
        let event = sample(EventType::Click, EventId::from_parts(1_790_000_000_123, 1, 1));
        assert_eq!(event_time(&event.to_record()), Some(1_790_000_000_123));
        assert_eq!(event_time(b"\xff\"event_time\":"), None);
        let entry = |payload| Entry::Record { offset: 0, payload, resent: false };
        assert_eq!(received_ms(&entry(event.to_record())), Some(1_790_000_000_123));
        assert_eq!(received_ms(&entry(b"{\"v\":1,\"id\":\"\xff".to_vec())), None);
    }

    #[test]
    fn times_of_two_calendar_months_never_share_a_number() {
        let (january, february) = (1_769_903_999_999, 1_769_904_000_000);
        assert_eq!(month(february), month(january) + 1);
    }
}
