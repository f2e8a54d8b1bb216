//! How old the oldest record under way is.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// Counts records under way by the second in which they were produced, so that the oldest one's age is known without a list.
/// A record older than the ring's 68 minutes counts as younger than it is; by then the alarm has long been raised.
pub(super) struct Ages {
    ring: Vec<AtomicU32>,
    start: Instant,
}

impl Ages {
    const SECONDS: usize = 4096;

    pub(super) fn new() -> Self {
        Self {
            ring: (0..Self::SECONDS).map(|_| AtomicU32::new(0)).collect(),
            start: Instant::now(),
        }
    }

    pub(super) fn begin(&self) -> usize {
        let second = self.start.elapsed().as_secs() as usize % Self::SECONDS;
        self.ring[second].fetch_add(1, Ordering::Relaxed);
        second
    }

    pub(super) fn end(&self, second: usize) {
        self.ring[second].fetch_sub(1, Ordering::Relaxed);
    }

    /// Seconds that the oldest record has been under way; 0 when there is none.
    pub(super) fn oldest_seconds(&self) -> u64 {
        let now = self.start.elapsed().as_secs() as usize;
        (1..Self::SECONDS.min(now + 1))
            .rev()
            .find(|age| self.ring[(now - age) % Self::SECONDS].load(Ordering::Relaxed) > 0)
            .unwrap_or(0) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_record_under_way_is_known_by_its_age() {
        let mut ages = Ages::new();
        assert_eq!(ages.oldest_seconds(), 0);
        let second = ages.begin();
        ages.start -= Duration::from_secs(12);
        assert_eq!(ages.oldest_seconds(), 12);
        ages.end(second);
        assert_eq!(ages.oldest_seconds(), 0);
    }
}
