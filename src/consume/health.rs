//! Health: how the consumer is getting on, for `/ready` and `/metrics`.
//!
//! In: what workers and readers report. Out: conditions of readiness and numbers. Refuses: nothing. Promises: a partition that
//! stopped stays named until it is taken up again; each condition is told apart, so that an alert can say what to do.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::ids::now_millis;

/// A batch that can't be stored for this long is not healthy.
const STUCK_MS: i64 = 30_000;

/// A partition with records to store that moves nowhere for this long is not healthy. Longer than one statement may take.
const STALLED_MS: i64 = 60_000;

/// A warehouse that doesn't answer for this long is not healthy; an engine that was killed is back before.
const WAREHOUSE_AWAY_MS: i64 = 10_000;

/// One partition.
#[derive(Clone, Debug, Default)]
pub struct PartitionHealth {
    /// The next offset to store.
    pub position: u64,
    /// The log's end, as last heard.
    pub end: u64,
    /// When the first record that isn't stored yet was received.
    pub oldest_received_ms: Option<i64>,
    /// Since when there is something to store and nothing was.
    lagging_since_ms: Option<i64>,
    /// Since when a batch can't be stored.
    stuck_since_ms: Option<i64>,
    /// Why it stopped.
    stopped: Option<String>,
}

impl PartitionHealth {
    /// Records that are in the log and not stored.
    pub fn lag_records(&self) -> u64 {
        self.end.saturating_sub(self.position)
    }

    /// Age of the first record that isn't stored; 0 when all are.
    pub fn lag_ms(&self, now_ms: i64) -> i64 {
        self.oldest_received_ms.map_or(0, |received| (now_ms - received).max(0))
    }
}

/// What the log gives up, and when: what a lag is held against.
#[derive(Clone, Copy, Debug, Default)]
struct Retention {
    /// Records older than this may go, or are kept longer than was promised.
    age: Option<Duration>,
    /// Bytes of records that are not stored, and the log's room for them.
    bytes: Option<(u64, u64)>,
}

/// Every partition in this process' hands, and what it needs besides.
#[derive(Debug, Default)]
pub struct Health {
    partitions: Mutex<BTreeMap<i32, PartitionHealth>>,
    failure: Mutex<Option<String>>,
    retention: Mutex<Retention>,
    /// Since when the warehouse doesn't answer, and its last word.
    warehouse: Mutex<Option<(i64, String)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}

impl Health {
    fn change(&self, partition: i32, change: impl FnOnce(&mut PartitionHealth)) {
        change(lock(&self.partitions).entry(partition).or_default());
    }

    /// A partition was taken up at `position`.
    pub fn assigned(&self, partition: i32, position: u64) {
        let fresh = PartitionHealth { position, ..PartitionHealth::default() };
        self.change(partition, |health| *health = fresh);
    }

    /// The log could not be read at all; cleared when a partition makes progress.
    pub fn failed(&self, reason: String) {
        *lock(&self.failure) = Some(reason);
    }

    /// A partition was given back.
    pub fn released(&self, partition: i32) {
        lock(&self.partitions).remove(&partition);
    }

    /// A partition can't go on, and why.
    pub fn stopped(&self, partition: i32, reason: String) {
        tracing::error!(partition, reason, "partition stopped");
        self.change(partition, |health| health.stopped = Some(reason));
    }

    /// The log's end, as just heard. A partition that was given back meanwhile is passed over.
    pub fn log_end(&self, partition: i32, end: u64) {
        self.log_end_at(partition, end, now_millis());
    }

    fn log_end_at(&self, partition: i32, end: u64, now_ms: i64) {
        if let Some(health) = lock(&self.partitions).get_mut(&partition) {
            health.end = end;
            if health.lag_records() > 0 {
                health.lagging_since_ms.get_or_insert(now_ms);
            } else {
                health.lagging_since_ms = None;
            }
        }
    }

    /// How long the log keeps its records; `None`: for ever.
    pub fn log_keeps(&self, age: Option<Duration>) {
        lock(&self.retention).age = age;
    }

    /// Bytes of records that aren't stored, and the room that the log has for them.
    pub fn log_holds(&self, bytes: u64, bytes_max: u64) {
        lock(&self.retention).bytes = Some((bytes, bytes_max));
    }

    /// A record that isn't stored yet was received at this time; the first one counts.
    pub fn waiting(&self, partition: u16, received_ms: i64) {
        self.change(i32::from(partition), |health| {
            health.oldest_received_ms.get_or_insert(received_ms);
        });
    }

    /// Everything before `position` is stored; behind it waits what was received at `oldest`, if anything is known to wait.
    pub fn progress(&self, partition: u16, position: u64, oldest: Option<i64>) {
        self.change(i32::from(partition), |health| {
            health.position = position;
            health.oldest_received_ms = oldest;
            health.lagging_since_ms = None;
            health.stuck_since_ms = None;
        });
        *lock(&self.failure) = None;
    }

    /// A batch could not be stored this time.
    pub fn stuck(&self, partition: u16) {
        self.change(i32::from(partition), |health| {
            health.stuck_since_ms.get_or_insert_with(now_millis);
        });
    }

    /// Whether the warehouse has just answered.
    pub fn warehouse_answered(&self, answer: Result<(), String>) {
        let mut away = lock(&self.warehouse);
        *away = answer
            .err()
            .map(|word| (away.as_ref().map_or(now_millis(), |(since, _)| *since), word));
    }

    /// What each partition is doing.
    pub fn partitions(&self) -> BTreeMap<i32, PartitionHealth> {
        lock(&self.partitions).clone()
    }

    /// `Err` when the log can't be read.
    pub fn reads(&self) -> Result<(), String> {
        lock(&self.failure)
            .as_ref()
            .map_or(Ok(()), |reason| Err(format!("the log can't be read: {reason}")))
    }

    /// `Err` names a partition that stopped, or that moves nowhere although there is something to store.
    pub fn advances(&self) -> Result<(), String> {
        self.advances_at(now_millis())
    }

    fn advances_at(&self, now_ms: i64) -> Result<(), String> {
        for (partition, health) in lock(&self.partitions).iter() {
            if let Some(reason) = &health.stopped {
                return Err(format!("partition {partition} stopped: {reason}"));
            }
            if let Some(seconds) = longer_than(STALLED_MS, health.lagging_since_ms, now_ms) {
                let records = health.lag_records();
                return Err(format!(
                    "partition {partition} has not moved for {seconds} s although {records} records wait; is the broker or the disk hanging?"
                ));
            }
        }
        Ok(())
    }

    /// `Err` names a partition whose batch can't be stored.
    pub fn stores(&self) -> Result<(), String> {
        self.stores_at(now_millis())
    }

    fn stores_at(&self, now_ms: i64) -> Result<(), String> {
        for (partition, health) in lock(&self.partitions).iter() {
            if let Some(seconds) = longer_than(STUCK_MS, health.stuck_since_ms, now_ms) {
                return Err(format!(
                    "partition {partition} could not store its batch for {seconds} s"
                ));
            }
        }
        Ok(())
    }

    /// `Err` when what isn't stored yet is half-way to be given up by the log, or to fill it.
    pub fn keeps_up(&self) -> Result<(), String> {
        self.keeps_up_at(now_millis())
    }

    fn keeps_up_at(&self, now_ms: i64) -> Result<(), String> {
        let Retention { age, bytes } = *lock(&self.retention);
        let age_ms = age.map_or(i64::MAX, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        for (partition, health) in lock(&self.partitions).iter() {
            let lag_ms = health.lag_ms(now_ms);
            if lag_ms > age_ms / 2 {
                return Err(format!(
                    "partition {partition}: its first record that is not stored is {} s old, more than half of the {} s that the log keeps; \
                     make the log keep more, or the consumer faster",
                    lag_ms / 1000,
                    age_ms / 1000
                ));
            }
        }
        match bytes {
            Some((held, bytes_max)) if held > bytes_max / 2 => Err(format!(
                "{held} bytes of the journal are not stored, more than half of its {bytes_max}; when it is full the edge refuses events"
            )),
            _ => Ok(()),
        }
    }

    /// `Err` when the warehouse is away.
    pub fn warehouse_is_there(&self) -> Result<(), String> {
        self.warehouse_is_there_at(now_millis())
    }

    fn warehouse_is_there_at(&self, now_ms: i64) -> Result<(), String> {
        match lock(&self.warehouse).as_ref() {
            Some((since, word)) if now_ms - since > WAREHOUSE_AWAY_MS => Err(format!(
                "no answer for {} s; events wait in the log. {word}",
                (now_ms - since) / 1000
            )),
            _ => Ok(()),
        }
    }
}

/// Seconds since `since`, when that is longer ago than `limit_ms`.
fn longer_than(limit_ms: i64, since: Option<i64>, now_ms: i64) -> Option<i64> {
    since
        .map(|since| now_ms - since)
        .filter(|passed| *passed > limit_ms)
        .map(|passed| passed / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Result<(), String> = Ok(());

    fn seconds(seconds: i64) -> i64 {
        now_millis() + seconds * 1000
    }

    #[test]
    fn a_partition_that_can_not_store_its_batch_is_not_ready_until_it_does() {
        let health = Health::default();
        health.assigned(0, 5);
        health.stuck(0);
        assert_eq!(health.stores_at(seconds(29)), OK);
        assert!(health.stores_at(seconds(32)).unwrap_err().contains("partition 0 could not store"));
        health.progress(0, 9, None);
        assert_eq!(health.stores_at(seconds(99)), OK);
    }

    #[test]
    fn a_partition_that_stopped_is_named_until_it_is_taken_up_again() {
        let health = Health::default();
        health.stopped(1, "out of range".into());
        assert_eq!(health.advances(), Err("partition 1 stopped: out of range".to_owned()));
        health.assigned(1, 3);
        assert_eq!(health.advances(), OK);
    }

    #[test]
    fn a_partition_that_moves_nowhere_while_records_wait_is_not_ready_until_it_moves() {
        let health = Health::default();
        health.assigned(0, 5);
        health.log_end_at(0, 5, seconds(0));
        assert_eq!(health.advances_at(seconds(9_999)), OK, "idle for hours is well");
        health.log_end_at(0, 8, seconds(0));
        health.log_end_at(0, 9, seconds(55));
        assert_eq!(health.advances_at(seconds(59)), OK);
        let stalled = health.advances_at(seconds(62)).unwrap_err();
        assert!(
            stalled.starts_with("partition 0 has not moved for 6") && stalled.contains("4 records"),
            "{stalled}"
        );
        health.progress(0, 7, None);
        health.log_end_at(0, 9, seconds(62));
        assert_eq!(health.advances_at(seconds(119)), OK, "slow is not stalled");
        health.progress(0, 9, None);
        health.log_end_at(0, 9, seconds(120));
        assert_eq!(health.advances_at(seconds(9_999)), OK);
    }

    #[test]
    fn a_lag_of_half_the_logs_retention_is_not_ready_until_it_is_stored() {
        let health = Health::default();
        health.assigned(0, 5);
        health.log_keeps(Some(Duration::from_secs(1000)));
        health.waiting(0, seconds(0));
        health.waiting(0, seconds(300));
        assert_eq!(health.keeps_up_at(seconds(499)), OK);
        assert!(health.keeps_up_at(seconds(502)).unwrap_err().contains("half of the 1000 s"));
        health.progress(0, 9, Some(seconds(300)));
        assert_eq!(health.keeps_up_at(seconds(502)), OK);
        health.log_keeps(None);
        assert_eq!(health.keeps_up_at(seconds(999_999)), OK, "a log for ever loses nothing");
        health.log_holds(51, 100);
        assert!(health.keeps_up().unwrap_err().starts_with("51 bytes of the journal"));
        health.log_holds(50, 100);
        assert_eq!(health.keeps_up(), OK);
    }

    #[test]
    fn a_warehouse_that_does_not_answer_is_told_until_it_does() {
        let health = Health::default();
        health.warehouse_answered(Err("refused".into()));
        assert_eq!(health.warehouse_is_there_at(seconds(9)), OK);
        health.warehouse_answered(Err("still refused".into()));
        let away = health.warehouse_is_there_at(seconds(12)).unwrap_err();
        assert!(away.starts_with("no answer for 1") && away.ends_with("still refused"), "{away}");
        health.warehouse_answered(Ok(()));
        assert_eq!(health.warehouse_is_there_at(seconds(99)), OK);
    }

    #[test]
    fn a_log_that_can_not_be_read_is_told_until_a_partition_moves() {
        let health = Health::default();
        health.failed("no permission".into());
        assert_eq!(health.reads(), Err("the log can't be read: no permission".to_owned()));
        health.progress(0, 1, None);
        assert_eq!(health.reads(), OK);
    }
}
