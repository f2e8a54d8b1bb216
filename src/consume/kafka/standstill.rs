//! Partitions of ours that stand still: a new membership costs a second or two, and a partition that nobody reads costs its records.
//!
//! In: what is held, and each partition's end as the brokers say it. Out: a reason to make the membership anew. Refuses: nothing.
//! Promises: a partition whose worker ended without a rebalance, or that has records of which none comes, is taken up by a new client,
//! whatever the reason. One that has nothing to come, that is paused because its worker has enough, or whose brokers are away, is left.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::group::Held;
use super::{LogError, lag};

/// How long a partition may be held without a worker. librdkafka takes partitions away as soon as a commit says that they are lost.
pub(super) const ABANDONED_MAX: Duration = Duration::from_secs(5);

/// How often the brokers may say that there is more before one record has to come. Answers are counted and not time: a program that was
/// stopped for a minute has waited for nothing. As long as librdkafka itself gives a fetch (`socket.timeout.ms`), which it may need on a
/// thin line.
const TOLD_OF_MORE_MAX: u32 = 30;

/// How long that is at least.
pub(super) const fn unread_max() -> Duration {
    Duration::from_secs(lag::EVERY.as_secs() * TOLD_OF_MORE_MAX as u64)
}

/// The partition's end was asked for; `None` when nobody answered.
pub(super) fn end_was_asked(held: &mut Held, end: Option<u64>) {
    let is_paused = held.stash.is_some();
    match end {
        Some(end) if end > held.next && !is_paused => held.told_of_more += 1,
        _ => held.told_of_more = 0,
    }
}

/// Refuses to go on with a partition that stands still.
pub(super) fn find(held: &mut HashMap<i32, Held>, now: Instant) -> Result<(), LogError> {
    for (partition, held) in held {
        let partition = *partition;
        if held.entries.as_ref().is_some_and(mpsc::Sender::is_closed) {
            let since = *held.abandoned_since.get_or_insert(now);
            if now.duration_since(since) >= ABANDONED_MAX {
                return Err(LogError::Abandoned { partition });
            }
        }
        if held.told_of_more >= TOLD_OF_MORE_MAX {
            return Err(LogError::Unread { partition, next: held.next });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consume::assignment::{Border, Entry};

    const PARTITION: i32 = 3;

    /// One partition whose next record is that at offset 10.
    fn held() -> HashMap<i32, Held> {
        HashMap::from([(PARTITION, Held::new(Border::first(10).unwrap(), None, true))])
    }

    fn told(all: &mut HashMap<i32, Held>, times: u32, end: Option<u64>) -> Result<(), LogError> {
        for _ in 0..times {
            end_was_asked(all.get_mut(&PARTITION).unwrap(), end);
        }
        find(all, Instant::now())
    }

    #[test]
    fn a_partition_that_has_records_of_which_none_comes_costs_the_membership() {
        let mut all = held();
        assert!(told(&mut all, TOLD_OF_MORE_MAX - 1, Some(11)).is_ok());
        let refused = told(&mut all, 1, Some(11)).unwrap_err().to_string();
        assert!(
            refused.contains("partition 3 has records from offset 10 on")
                && refused.contains("60 s"),
            "{refused}"
        );
    }

    #[test]
    fn one_that_is_read_to_its_end_or_gets_records_or_no_answer_is_left() {
        let mut all = held();
        assert!(told(&mut all, 999, Some(10)).is_ok(), "at its end");
        for offset in 10..20 {
            assert!(told(&mut all, TOLD_OF_MORE_MAX - 1, Some(99)).is_ok());
            all.get_mut(&PARTITION).unwrap().came(offset);
            assert!(told(&mut all, 0, None).is_ok(), "slow is not still");
        }
        for _ in 0..10 {
            assert!(told(&mut all, TOLD_OF_MORE_MAX - 1, Some(99)).is_ok());
            assert!(told(&mut all, 1, None).is_ok(), "brokers that are away");
        }
    }

    #[test]
    fn one_that_is_paused_because_its_worker_has_enough_is_left() {
        let mut all = held();
        let entry = Entry::Void { offset: 10, next: 11 };
        all.get_mut(&PARTITION).unwrap().stash = Some(entry);
        assert!(told(&mut all, 999, Some(99)).is_ok());
    }

    #[test]
    fn a_partition_whose_worker_ended_without_a_rebalance_costs_the_membership() {
        let mut all = held();
        let (entries, worker) = mpsc::channel(1);
        all.get_mut(&PARTITION).unwrap().entries = Some(entries);
        let begun = Instant::now();
        assert!(find(&mut all, begun + ABANDONED_MAX).is_ok(), "it works");
        drop(worker);
        let ended = begun + Duration::from_secs(60);
        assert!(find(&mut all, ended).is_ok(), "a rebalance may follow");
        assert!(find(&mut all, ended + ABANDONED_MAX - Duration::from_millis(1)).is_ok());
        let refused = find(&mut all, ended + ABANDONED_MAX).unwrap_err();
        assert!(matches!(refused, LogError::Abandoned { partition: PARTITION }), "{refused}");
    }
}
