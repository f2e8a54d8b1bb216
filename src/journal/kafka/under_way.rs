//! Records under way, and what their reports change.
//!
//! In: a record that goes out, a copy that goes into the spill, a delivery report. Promises: a copy and its report never miss each
//! other, whichever comes first.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::oneshot;

use super::ages::Ages;
use super::lock;
use super::refused::Refused;
use crate::journal::disk::{AppendError, SpillJournal, Ticket};

/// What a report changes.
pub(super) enum State {
    /// The sender waits. Dropped without a word when the record was given up with its producer.
    Waiting(oneshot::Sender<bool>),
    /// The spill holds a copy at these offsets: one, or a damaged stretch.
    Spilled(Range<u64>),
    /// The report has come, or nobody cares any more.
    Done,
}

/// A record under way.
pub(super) struct Pending {
    pub(super) state: Mutex<State>,
    pub(super) second: usize,
}

/// What senders, reports and the drain share.
pub(super) struct Shared {
    pub(super) spill: SpillJournal,
    /// Offsets in the spill whose record is under way: the drain leaves them alone.
    pub(super) under_way: Mutex<HashSet<u64>>,
    pub(super) ages: Ages,
    pub(super) refused: Refused,
    pub(super) start: Instant,
    pub(super) in_flight: AtomicI64,
    /// When a report last came, or the first record went out after a silence; milliseconds since `start`.
    pub(super) progress_ms: AtomicI64,
    /// Since when the brokers have answered without a break; -1 while they are away.
    pub(super) back_since_ms: AtomicI64,
    pub(super) stop: AtomicBool,
    pub(super) refusing: AtomicBool,
    /// Offsets in the spill whose record was under way with a producer that was given up: it may be on Kafka, though nobody was told.
    /// Each is in the spill, so there are no more than it can have pending.
    pub(super) doubtful: Mutex<HashSet<u64>>,
}

impl Shared {
    pub(super) fn now_ms(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// How long no report has come while records are under way; 0 when none is.
    pub(super) fn silent_ms(&self) -> i64 {
        if self.in_flight.load(Ordering::Relaxed) <= 0 {
            return 0;
        }
        self.now_ms() - self.progress_ms.load(Ordering::Relaxed)
    }

    /// What is under way is marked when it goes again, and waits as what an earlier process left does.
    pub(super) fn doubt_what_is_under_way(&self) {
        let under_way = lock(&self.under_way);
        lock(&self.doubtful).extend(under_way.iter());
        self.back_since_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// Takes a record into the spill that a producer was given up with.
    pub(super) fn spill_doubtful(&self, framed: &[u8]) -> Result<Ticket, AppendError> {
        // Under the lock, so that the drain doesn't send it before it is marked.
        let mut doubtful = lock(&self.doubtful);
        let ticket = self.spill.append(framed)?;
        doubtful.insert(ticket.offset());
        Ok(ticket)
    }

    /// Whether the record at this offset in the spill may be on Kafka already.
    pub(super) fn may_be_there(&self, offset: u64) -> bool {
        offset < self.spill.recovered_below() || lock(&self.doubtful).contains(&offset)
    }

    pub(super) fn went_out(&self) {
        if self.in_flight.fetch_add(1, Ordering::Relaxed) == 0 {
            self.progress_ms.store(self.now_ms(), Ordering::Relaxed);
        }
    }

    pub(super) fn came_back(&self, delivered: bool) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        if delivered {
            let now = self.now_ms();
            self.progress_ms.store(now, Ordering::Relaxed);
            if self.back_since_ms.load(Ordering::Relaxed) < 0 {
                self.back_since_ms.store(now, Ordering::Relaxed);
            }
        }
    }

    /// Takes a copy into the spill and marks it as under way in one step, so that the drain can't come between.
    pub(super) fn spill_copy(&self, framed: &[u8], pending: &Pending) -> Option<Ticket> {
        let mut under_way = lock(&self.under_way);
        let mut state = lock(&pending.state);
        if matches!(*state, State::Done) {
            return None;
        }
        let ticket = self.spill.append(framed).ok()?;
        under_way.insert(ticket.offset());
        *state = State::Spilled(ticket.offset()..ticket.offset() + 1);
        Some(ticket)
    }

    /// Strikes what was delivered; what wasn't is the drain's again.
    pub(super) fn finish_spilled(&self, offsets: Range<u64>, delivered: bool) {
        let first = offsets.start;
        if delivered {
            self.spill.strike_all(offsets);
            lock(&self.doubtful).remove(&first);
        }
        lock(&self.under_way).remove(&first);
    }
}

fn is_purged(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{PurgeInflight, PurgeQueue};
    matches!(error.rdkafka_error_code(), Some(PurgeInflight | PurgeQueue))
}

/// The producer's reports.
pub(super) struct Context(pub(super) Arc<Shared>);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        crate::journal::kafka_client::log(level, facility, message);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Arc<Pending>;

    fn delivery(&self, result: &DeliveryResult<'_>, pending: Arc<Pending>) {
        let delivered = result.is_ok();
        match result {
            Ok(_) => self.0.refused.delivered(),
            Err((error, _)) if is_purged(error) => {}
            Err((error, _)) => self.0.refused.note(error, self.0.now_ms()),
        }
        self.0.came_back(delivered);
        self.0.ages.end(pending.second);
        // Let go of the state before the list is locked: `spill_copy` takes them in the other order.
        let state = std::mem::replace(&mut *lock(&pending.state), State::Done);
        match state {
            // Given up by us, with the producer: whether it went out nobody knows, so nothing is said.
            State::Waiting(_) if matches!(result, Err((error, _)) if is_purged(error)) => {}
            // A sender that gave up is no longer there to be told.
            State::Waiting(sender) => drop(sender.send(delivered)),
            State::Spilled(offsets) => self.0.finish_spilled(offsets, delivered),
            State::Done => {}
        }
    }
}
