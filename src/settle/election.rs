//! The election on Kafka: who owns the settle log's one partition in a consumer group settles, and takes its versions from the log.
//!
//! In: the `[kafka]` section. Out: whether this process leads, and versions. Refuses: to lead while the group may already have
//! given the partition to another. Promises: a settle log that is there has an owner; of two processes at most one leads, but for one that was asleep (a stopped
//! process, a suspended machine): it is told so by the clock before the broker can tell it, and what it still had under way has
//! a lower version.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rustix::time::{ClockId, clock_gettime};

use crate::config::Kafka;
use crate::journal::kafka_client::{client_config, log, poll};
use crate::journal::kafka_unowned::Watch;
use crate::settle::log::Log;
use crate::settle::versions::VersionError;

/// The group gives the partition to another after this long without a word from us.
const SESSION: Duration = Duration::from_secs(15);

/// One turn of the membership's thread.
const TURN: Duration = Duration::from_millis(100);

/// A thread that has not turned for this long slept, and its process with it: it doesn't lead until it turns again.
const FRESH: Duration = Duration::from_secs(4);

/// After such a sleep the group has this long to tell us that the partition went to another: three heartbeats.
const DOUBT: Duration = Duration::from_secs(10);

/// How long each of two questions about the group may take: both together well below [`FRESH`].
const ANSWER: Duration = Duration::from_secs(1);

/// Records that fill up a settle log which was made anew, at one go: a second's work, under the client's queue of 100,000.
const FILL_MAX: u64 = 50_000;

/// This process' place in the election. Dropping it leaves the group.
pub struct Election {
    log: Log,
    seat: Arc<Seat>,
    member: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Election {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Election").field("log", &self.log).finish_non_exhaustive()
    }
}

/// What the membership's thread and the rest share. Times are milliseconds since boot, sleep included.
#[derive(Debug, Default)]
struct Seat {
    assigned: AtomicBool,
    turned_at: AtomicU64,
    doubted_until: AtomicU64,
    ended: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Seat {
    fn leads(&self, now: u64) -> bool {
        self.assigned.load(Ordering::Acquire)
            && now.saturating_sub(self.turned_at.load(Ordering::Acquire)) < millis(FRESH)
            && now >= self.doubted_until.load(Ordering::Acquire)
    }

    /// One turn of the thread. After a sleep the seat is in doubt: the group may have passed it on meanwhile.
    fn turn(&self, now: u64) {
        let before = self.turned_at.load(Ordering::Acquire);
        if before != 0 && now.saturating_sub(before) >= millis(FRESH) {
            // Doubt first: whoever sees the fresh turn must see the doubt.
            self.doubted_until.store(now + millis(DOUBT), Ordering::Release);
            tracing::warn!(
                slept_ms = now - before,
                "settle: this process slept; waiting to hear whether it still leads"
            );
        }
        self.turned_at.store(now, Ordering::Release);
    }

    fn assign(&self, assigned: bool) {
        if self.assigned.swap(assigned, Ordering::AcqRel) != assigned {
            tracing::info!(leads = assigned, "settle: election");
        }
        if assigned {
            // A fresh assignment is the group's own word.
            self.doubted_until.store(0, Ordering::Release);
        }
    }

    fn failure(&self) -> MutexGuard<'_, Option<String>> {
        self.failure.lock().unwrap_or_else(|poison| poison.into_inner())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since boot, the time of a suspended machine included.
fn since_boot() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000
        + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

/// The membership's callbacks; they run in its thread.
struct Member(Arc<Seat>);

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if !matches!(rebalance, Rebalance::Assign(_)) {
            self.0.assign(false);
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Assign(partitions) = rebalance else { return };
        // The records say nothing; owning them does.
        if let Err(error) = consumer.pause(partitions) {
            tracing::debug!(%error, "settle: the settle log is read though nobody needs it");
        }
        if owns_first(partitions) {
            self.0.assign(true);
        }
    }
}

fn owns_first(partitions: &TopicPartitionList) -> bool {
    partitions.elements().iter().any(|element| element.partition() == 0)
}

impl Election {
    /// Joins the group `<group>-settle`. The topic must exist.
    ///
    /// # Errors
    /// When librdkafka refuses its settings, or the thread can't be started.
    pub fn join(settings: &Kafka) -> Result<Self, VersionError> {
        let failed = |action: &'static str| {
            move |error: KafkaError| VersionError::Log { action, reason: error.to_string() }
        };
        let log = Log::open(settings)?;
        let seat = Arc::new(Seat::default());
        let consumer = member(settings, &seat).map_err(failed("making the consumer"))?;
        let (settings, shared) = (settings.clone(), seat.clone());
        let member = std::thread::Builder::new()
            .name("settle-election".to_owned())
            .spawn(move || take_part(&settings, consumer, &shared))
            .map_err(|error| VersionError::Log {
                action: "starting the election's thread",
                reason: error.to_string(),
            })?;
        Ok(Self { log, seat, member: Some(member) })
    }

    /// True while this process owns the partition and was not asleep.
    pub(super) fn leads(&self) -> bool {
        self.seat.leads(since_boot())
    }

    /// Appends a record and gives its offset.
    pub(super) async fn next(&self, floor: u64) -> Result<u64, VersionError> {
        if !self.leads() {
            return match self.seat.failure().clone() {
                Some(reason) => {
                    Err(VersionError::Log { action: "taking part in the election", reason })
                }
                None => Err(VersionError::Lost),
            };
        }
        let offset = self.log.append(1).await?;
        if offset > floor {
            return Ok(offset);
        }
        // The first record of all has offset 0 and lands here too: versions begin at 1.
        let offset = self.log.append((floor - offset + 1).min(FILL_MAX)).await?;
        if offset > floor { Ok(offset) } else { Err(VersionError::Behind { offset, floor }) }
    }
}

impl Drop for Election {
    fn drop(&mut self) {
        self.seat.ended.store(true, Ordering::Release);
        if let Some(member) = self.member.take() {
            // The thread leaves the group, so that a standby needn't wait for the session to end.
            if member.join().is_err() {
                tracing::error!("settle: the election's thread had failed");
            }
        }
    }
}

fn group(settings: &Kafka) -> String {
    format!("{}-settle", settings.group)
}

fn member(settings: &Kafka, seat: &Arc<Seat>) -> KafkaResult<BaseConsumer<Member>> {
    let consumer: BaseConsumer<Member> = client_config(settings)
        .set("group.id", group(settings))
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "latest")
        .set("partition.assignment.strategy", "range")
        .set("session.timeout.ms", millis(SESSION).to_string())
        .create_with_context(Member(seat.clone()))?;
    consumer.subscribe(&[&settings.settle_topic])?;
    Ok(consumer)
}

/// The membership's life: turn after turn until the end. The turns answer the group's callbacks.
fn take_part(settings: &Kafka, mut consumer: BaseConsumer<Member>, seat: &Arc<Seat>) {
    let topic = settings.settle_topic.as_str();
    let mut unowned = Watch::of(&group(settings), topic, ANSWER);
    while !seat.ended.load(Ordering::Acquire) {
        match poll(&consumer, TURN) {
            None | Some(Ok(_)) => *seat.failure() = None,
            Some(Err(error)) => {
                let reason = error.to_string();
                let mut failure = seat.failure();
                if failure.as_ref() != Some(&reason) {
                    tracing::warn!(reason, "settle: election");
                }
                *failure = Some(reason);
            }
        }
        if unowned.finds_it(&consumer, || !seat.assigned.load(Ordering::Acquire)) {
            tracing::warn!(
                topic,
                "settle: nobody in the group was given the settle log; joining with a new client"
            );
            match member(settings, seat) {
                Ok(fresh) => {
                    consumer = fresh;
                    unowned = Watch::of(&group(settings), topic, ANSWER);
                }
                Err(error) => {
                    tracing::error!(%error, "settle: no new client can be made; trying again");
                }
            }
        }
        seat.turn(since_boot());
    }
    seat.assign(false);
    consumer.unsubscribe();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_slept_does_not_lead_until_the_group_had_its_say() {
        let seat = Seat::default();
        seat.turn(1_000);
        assert!(!seat.leads(1_000), "no partition yet");
        seat.assign(true);
        assert!(seat.leads(1_100));
        let asleep = 1_000 + millis(FRESH);
        assert!(!seat.leads(asleep), "awake before its thread turned");
        seat.turn(asleep + 1);
        assert!(!seat.leads(asleep + 1), "the group may have passed the seat on");
        let later = asleep + 1 + millis(DOUBT);
        for now in (asleep + 1..=later).step_by(100) {
            seat.turn(now);
        }
        seat.turn(later);
        assert!(seat.leads(later), "the group left it the seat");
        seat.assign(false);
        assert!(!seat.leads(later));
    }

    #[test]
    fn a_new_assignment_ends_the_doubt() {
        let seat = Seat::default();
        seat.turn(1_000);
        seat.turn(100_000);
        seat.assign(true);
        assert!(seat.leads(100_100));
    }
}
