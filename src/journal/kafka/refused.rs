//! What the brokers refuse: a broker that answers and says no, for a record's time, its size, a right or a full disk.
//!
//! In: reports. Out: since when nothing but refusals has come, and why; when to try again. Refuses: nothing. Promises: one line in the log a second at
//! most, and one try a second, however many records are refused: they lie in the spill, and to send them again at once would only be refused again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use rdkafka::error::KafkaError;

use super::lock;

/// How long the drain waits after a refusal, and how often refusals are told.
const AGAIN_MS: i64 = 1_000;

/// No refusal since the last delivery.
const NONE: i64 = -1;

/// Counts refusals. Times are milliseconds since the log was opened.
pub(super) struct Refused {
    since_ms: AtomicI64,
    last_ms: AtomicI64,
    told_ms: AtomicI64,
    untold: AtomicU64,
    why: Mutex<String>,
}

impl Refused {
    pub(super) fn new() -> Self {
        Self {
            since_ms: AtomicI64::new(NONE),
            last_ms: AtomicI64::new(-AGAIN_MS),
            told_ms: AtomicI64::new(-AGAIN_MS),
            untold: AtomicU64::new(0),
            why: Mutex::new(String::new()),
        }
    }

    /// A record was refused.
    pub(super) fn note(&self, error: &KafkaError, now_ms: i64) {
        // Fails when refusals go on: the first one counts.
        let _ = self.since_ms.compare_exchange(NONE, now_ms, Ordering::Relaxed, Ordering::Relaxed);
        self.last_ms.store(now_ms, Ordering::Relaxed);
        let untold = self.untold.fetch_add(1, Ordering::Relaxed) + 1;
        let told_ms = self.told_ms.load(Ordering::Relaxed);
        if now_ms - told_ms < AGAIN_MS {
            return;
        }
        // Reports come from one thread, so that no other tells the same.
        self.told_ms.store(now_ms, Ordering::Relaxed);
        self.untold.store(0, Ordering::Relaxed);
        *lock(&self.why) = error.to_string();
        tracing::warn!(%error, records = untold, "kafka refuses records; the spill keeps them");
    }

    /// A record was taken.
    pub(super) fn delivered(&self) {
        if self.since_ms.load(Ordering::Relaxed) != NONE {
            self.since_ms.store(NONE, Ordering::Relaxed);
        }
    }

    /// True right after a refusal: what lies in the spill should wait.
    pub(super) fn is_recent(&self, now_ms: i64) -> bool {
        now_ms - self.last_ms.load(Ordering::Relaxed) < AGAIN_MS
    }

    /// For how long nothing but refusals has come, and why.
    pub(super) fn going_on(&self, now_ms: i64) -> Option<(i64, String)> {
        let since_ms = self.since_ms.load(Ordering::Relaxed);
        (since_ms != NONE).then(|| (now_ms - since_ms, lock(&self.why).clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::types::RDKafkaErrorCode;

    #[test]
    fn refusals_go_on_until_a_record_is_taken_and_are_tried_again_after_a_second() {
        let refused = Refused::new();
        assert!(!refused.is_recent(0) && refused.going_on(0).is_none());
        let error = KafkaError::MessageProduction(RDKafkaErrorCode::InvalidTimestamp);
        for now_ms in [500, 600, 4_000] {
            refused.note(&error, now_ms);
        }
        assert!(refused.is_recent(4_999) && !refused.is_recent(5_000));
        let (ms, why) = refused.going_on(10_500).unwrap();
        assert_eq!(ms, 10_000);
        assert!(why.contains("InvalidTimestamp"), "{why}");
        refused.delivered();
        assert!(refused.going_on(10_500).is_none());
    }
}
