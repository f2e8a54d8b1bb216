//! Health: how the consumer is getting on, for `/ready` and `/metrics`.
//!
//! In: what workers and readers report. Out: numbers and reasons. Refuses: nothing. Promises: a partition that stopped stays
//! named until it is taken up again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::ids::now_millis;

/// A partition that makes no progress for this long, though it tries to store a batch, is not healthy.
pub const STUCK_MS: i64 = 30_000;

/// One partition.
#[derive(Clone, Debug, Default)]
pub struct PartitionHealth {
    /// The next offset.
    pub position: u64,
    /// When a batch was last stored, or there was none to store.
    pub progressed_at_ms: i64,
    /// Since when a batch can't be stored.
    pub stuck_since_ms: Option<i64>,
    /// Why it stopped.
    pub stopped: Option<String>,
}

/// Every partition in this process' hands.
#[derive(Debug, Default)]
pub struct Health {
    partitions: Mutex<BTreeMap<i32, PartitionHealth>>,
    failure: Mutex<Option<String>>,
    stored: AtomicU64,
    dead: AtomicU64,
}

impl Health {
    fn change(&self, partition: i32, change: impl FnOnce(&mut PartitionHealth)) {
        change(self.lock().entry(partition).or_default());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, PartitionHealth>> {
        self.partitions.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// A partition was taken up at `position`.
    pub fn assigned(&self, partition: i32, position: u64) {
        let fresh = PartitionHealth {
            position,
            progressed_at_ms: now_millis(),
            ..PartitionHealth::default()
        };
        self.change(partition, |health| *health = fresh);
    }

    /// The log could not be read at all; cleared when a partition makes progress.
    pub fn failed(&self, reason: String) {
        *self.failure.lock().unwrap_or_else(|poison| poison.into_inner()) = Some(reason);
    }

    /// A partition was given back.
    pub fn released(&self, partition: i32) {
        self.lock().remove(&partition);
    }

    /// A partition can't go on, and why.
    pub fn stopped(&self, partition: i32, reason: String) {
        tracing::error!(partition, reason, "partition stopped");
        self.change(partition, |health| health.stopped = Some(reason));
    }

    /// Everything before `position` is stored.
    pub fn progress(&self, partition: u16, position: u64, now_ms: i64) {
        self.change(i32::from(partition), |health| {
            health.position = position;
            health.progressed_at_ms = now_ms;
            health.stuck_since_ms = None;
        });
        *self.failure.lock().unwrap_or_else(|poison| poison.into_inner()) = None;
    }

    /// A batch could not be stored this time.
    pub fn stuck(&self, partition: u16) {
        self.change(i32::from(partition), |health| {
            health.stuck_since_ms.get_or_insert_with(now_millis);
        });
    }

    /// A batch is in ClickHouse.
    pub fn stored(&self, rows: usize, dead: usize) {
        self.stored.fetch_add(rows as u64, Ordering::Relaxed);
        self.dead.fetch_add(dead as u64, Ordering::Relaxed);
    }

    /// Events stored and dead-lettered by this process.
    pub fn totals(&self) -> (u64, u64) {
        (self.stored.load(Ordering::Relaxed), self.dead.load(Ordering::Relaxed))
    }

    /// What each partition is doing.
    pub fn partitions(&self) -> BTreeMap<i32, PartitionHealth> {
        self.lock().clone()
    }

    /// `Err` names what is wrong.
    pub fn ready(&self) -> Result<(), String> {
        let failure = self.failure.lock().unwrap_or_else(|poison| poison.into_inner()).clone();
        if let Some(reason) = failure {
            return Err(format!("the log can't be read: {reason}"));
        }
        let now = now_millis();
        for (partition, health) in self.lock().iter() {
            if let Some(reason) = &health.stopped {
                return Err(format!("partition {partition} stopped: {reason}"));
            }
            if let Some(since) = health.stuck_since_ms.filter(|since| now - since > STUCK_MS) {
                let seconds = (now - since) / 1000;
                return Err(format!(
                    "partition {partition} could not store its batch for {seconds} s"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_can_not_store_its_batch_is_not_ready_until_it_does() {
        let health = Health::default();
        health.assigned(0, 5);
        assert_eq!(health.ready(), Ok(()));
        health.change(0, |health| health.stuck_since_ms = Some(now_millis() - STUCK_MS - 1000));
        assert!(health.ready().unwrap_err().contains("partition 0"));
        health.progress(0, 9, now_millis());
        assert_eq!(health.ready(), Ok(()));
        health.stopped(1, "out of range".into());
        assert!(health.ready().is_err());
    }
}
