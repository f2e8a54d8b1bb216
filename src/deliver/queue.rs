//! One endpoint's queue in memory: what is due, and what rests.
//!
//! In: deliveries from the table, outcomes of attempts. Out: which to try now, and when to look again. Refuses: more than [`QUEUE_MAX`]
//! deliveries: those wait in the table. Promises: a delivery is in hand once at most; one that fails by itself waits by itself, longer
//! each time; when attempts fail one after the other the endpoint rests and is then tried with one, the longest untried first, so that
//! neither a dead receiver is flooded nor a bad lead holds the others; a success makes the rest due at once.

use std::collections::{BTreeMap, HashSet};

use crate::deliver::outcome::{Outcome, Reason};

/// Deliveries in memory for each endpoint: a hundred bytes each. Beyond it the table is read again when half of them are done.
pub const QUEUE_MAX: usize = 10_000;

/// So many failures in a row, each as its fault, and the endpoint rests.
const FAILURES_BEFORE_REST: u32 = 3;

/// Which lead. The order is that of the table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// When it came, in milliseconds.
    pub event_time_ms: i64,
    /// The counter of its id.
    pub id_seq: u32,
    /// The node of its id.
    pub id_node: u32,
    /// Whose site.
    pub site: String,
}

/// A lead on its way to one endpoint. Nothing personal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Which lead.
    pub key: Key,
    /// From its own time to its receipt.
    pub received_lag_ms: i64,
    /// Which form.
    pub form: String,
    /// Attempts so far.
    pub attempts: u32,
    /// When it was first due.
    pub since_ms: i64,
    /// Of its row in the table.
    pub version: u32,
}

/// How long is waited.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Before the second attempt; twice as long before each further one.
    pub first_ms: i64,
    /// Never longer than this.
    pub longest_ms: i64,
    /// The endpoint's rest is never longer than this, so that it is used again soon after it is back.
    pub rest_longest_ms: i64,
}

impl Patience {
    /// The pause after so many failures, a fifth more or less, so that many don't come back at the same moment.
    fn pause_ms(first_ms: i64, longest_ms: i64, failures: u32) -> i64 {
        let doubled = first_ms.saturating_mul(1 << failures.saturating_sub(1).min(30));
        let pause = doubled.min(longest_ms);
        let jitter = i64::from(getrandom::u32().unwrap_or(0) % 401) - 200;
        pause + pause * jitter / 1_000
    }
}

/// The deliveries of one endpoint.
#[derive(Debug)]
pub struct Queue {
    patience: Patience,
    /// By the time at which it is due, then in the order of arrival.
    due: BTreeMap<(i64, u64), Delivery>,
    /// Everything in `due` or in hand.
    known: HashSet<Key>,
    arrivals: u64,
    /// Failures in a row that are the endpoint's.
    failures: u32,
    rests_until_ms: i64,
    disabled: bool,
    /// The table holds more than fits, or something went wrong: it must be read.
    wants_load: bool,
    /// While the table is read: what was finished meanwhile and may come back in the answer.
    finished_meanwhile: Option<HashSet<Key>>,
}

impl Queue {
    /// An empty one that wants to be loaded.
    pub fn new(patience: Patience) -> Self {
        Self {
            patience,
            due: BTreeMap::new(),
            known: HashSet::new(),
            arrivals: 0,
            failures: 0,
            rests_until_ms: 0,
            disabled: false,
            wants_load: true,
            finished_meanwhile: None,
        }
    }

    /// Adds a new delivery, due at once.
    pub fn push(&mut self, delivery: Delivery, now_ms: i64) {
        if self.known.len() >= QUEUE_MAX {
            self.wants_load = true;
        } else if self.known.insert(delivery.key.clone()) {
            self.insert(now_ms, delivery);
        }
    }

    fn insert(&mut self, at_ms: i64, delivery: Delivery) {
        self.arrivals += 1;
        self.due.insert((at_ms, self.arrivals), delivery);
    }

    /// True when the table should be read now.
    pub fn wants_load(&self) -> bool {
        self.wants_load && self.known.len() <= QUEUE_MAX / 2
    }

    /// The table's state is not what memory says.
    pub fn doubt(&mut self) {
        self.wants_load = true;
    }

    /// The table is going to be read.
    pub fn begin_load(&mut self) {
        self.wants_load = false;
        self.finished_meanwhile = Some(HashSet::new());
    }

    /// What the table holds; `None` when it could not be read. `whole`: nothing was left out.
    pub fn end_load(&mut self, found: Option<(Vec<Delivery>, bool)>, now_ms: i64) {
        let meanwhile = self.finished_meanwhile.take().unwrap_or_default();
        let Some((deliveries, whole)) = found else {
            self.wants_load = true;
            return;
        };
        for delivery in deliveries {
            if !meanwhile.contains(&delivery.key) {
                self.push(delivery, now_ms);
            }
        }
        self.wants_load |= !whole;
    }

    /// Switches it off or on. On: everything is due.
    pub fn set_disabled(&mut self, disabled: bool, now_ms: i64) {
        if self.disabled && !disabled {
            self.recovered(now_ms);
        }
        self.disabled = disabled;
    }

    /// True when nothing is sent.
    pub fn is_disabled(&self) -> bool {
        self.disabled
    }

    /// Takes what is to be tried now: up to `max`, but one alone while the receiver is in doubt.
    pub fn take(&mut self, now_ms: i64, max: usize) -> Vec<Delivery> {
        if self.disabled || now_ms < self.rests_until_ms {
            return Vec::new();
        }
        let max = if self.failures >= FAILURES_BEFORE_REST { 1 } else { max };
        let mut taken = Vec::new();
        while taken.len() < max {
            let Some(first) = self.due.first_entry() else { break };
            if first.key().0 > now_ms {
                break;
            }
            taken.push(first.remove());
        }
        taken
    }

    /// Takes what is older than it may be, where nothing is sent because the endpoint is disabled.
    pub fn take_expired(&mut self, since_before_ms: i64, max: usize) -> Vec<Delivery> {
        if !self.disabled {
            return Vec::new();
        }
        let expired = self.due.iter().filter(|(_, delivery)| delivery.since_ms <= since_before_ms);
        let places: Vec<(i64, u64)> = expired.map(|(place, _)| *place).take(max).collect();
        let taken: Vec<Delivery> =
            places.into_iter().filter_map(|place| self.due.remove(&place)).collect();
        taken
    }

    /// Puts back what was not tried, for this reason of our own: soon again.
    pub fn put_back(&mut self, deliveries: Vec<Delivery>, now_ms: i64) {
        for delivery in deliveries {
            if self.known.contains(&delivery.key) {
                self.insert(now_ms + self.patience.first_ms, delivery);
            }
        }
    }

    /// When there may be something to take; `None`: when something is pushed.
    pub fn next_at_ms(&self) -> Option<i64> {
        let first = self.due.first_key_value()?.0.0;
        (!self.disabled).then_some(first.max(self.rests_until_ms))
    }

    /// An attempt's outcome, for the endpoint as a whole. To be told before the deliveries of its batch are given back.
    pub fn note(&mut self, outcome: Outcome, now_ms: i64) {
        match outcome {
            Outcome::Delivered { .. } => {
                if self.failures > 0 {
                    self.recovered(now_ms);
                }
            }
            Outcome::Failed { reason, wait_ms, .. } if reason.is_endpoints() => {
                self.failures = self.failures.saturating_add(1);
                let rests = self.failures.saturating_sub(FAILURES_BEFORE_REST - 1);
                if rests > 0 {
                    let Patience { first_ms, rest_longest_ms, .. } = self.patience;
                    let pause = Patience::pause_ms(first_ms, rest_longest_ms, rests);
                    self.rests_until_ms = now_ms + pause.max(wait_ms.min(self.patience.longest_ms));
                }
            }
            Outcome::Failed { .. } => {}
        }
    }

    fn recovered(&mut self, now_ms: i64) {
        self.failures = 0;
        self.rests_until_ms = 0;
        let waiting = std::mem::take(&mut self.due);
        self.due = waiting
            .into_iter()
            .map(|((at_ms, arrival), delivery)| ((at_ms.min(now_ms), arrival), delivery))
            .collect();
    }

    /// It is done with, whatever came of it.
    pub fn finish(&mut self, key: &Key) {
        self.known.remove(key);
        if let Some(meanwhile) = &mut self.finished_meanwhile {
            meanwhile.insert(key.clone());
        }
    }

    /// It goes back, to be tried again.
    pub fn again(&mut self, delivery: Delivery, reason: Reason, wait_ms: i64, now_ms: i64) {
        let Patience { first_ms, longest_ms, rest_longest_ms } = self.patience;
        // Where the fault is the endpoint's, its rest is the pause that counts.
        let longest_ms = if reason.is_endpoints() { rest_longest_ms } else { longest_ms };
        let pause = Patience::pause_ms(first_ms, longest_ms, delivery.attempts);
        // After a reset the table is read again: what was in hand before comes back from there.
        if self.known.contains(&delivery.key) {
            self.insert(now_ms + pause.max(wait_ms.min(self.patience.longest_ms)), delivery);
        }
    }

    /// How many are not done, as far as memory holds them.
    pub fn pending(&self) -> usize {
        self.known.len()
    }

    /// Since when the oldest one in memory waits.
    pub fn oldest_since_ms(&self) -> Option<i64> {
        self.due.values().map(|delivery| delivery.since_ms).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { first_ms: 1_000, longest_ms: 3_600_000, rest_longest_ms: 60_000 };

    fn delivery(number: u32) -> Delivery {
        let key = Key { event_time_ms: 0, id_seq: number, id_node: 1, site: "shop".into() };
        let form = "contact".into();
        Delivery { key, received_lag_ms: 0, form, attempts: 0, since_ms: 0, version: 0 }
    }

    fn queue(count: u32) -> Queue {
        let mut queue = Queue::new(PATIENCE);
        queue.begin_load();
        queue.end_load(Some(((0..count).map(delivery).collect(), true)), 0);
        queue
    }

    fn failed(reason: Reason) -> Outcome {
        Outcome::failed(reason)
    }

    /// Fails what was taken.
    fn fail(queue: &mut Queue, taken: Vec<Delivery>, reason: Reason, now_ms: i64) {
        for mut delivery in taken {
            delivery.attempts += 1;
            queue.note(failed(reason), now_ms);
            queue.again(delivery, reason, 0, now_ms);
        }
    }

    fn numbers(taken: &[Delivery]) -> Vec<u32> {
        taken.iter().map(|delivery| delivery.key.id_seq).collect()
    }

    #[test]
    fn a_dead_receiver_is_asked_with_one_ever_more_seldom_and_gets_all_when_it_is_back() {
        let mut queue = queue(100);
        let taken = queue.take(0, 4);
        fail(&mut queue, taken, Reason::Unreachable, 0);
        let (mut now, mut asked) = (0, Vec::new());
        while now < 3_600_000 {
            now = queue.next_at_ms().unwrap().max(now);
            let taken = queue.take(now, 4);
            assert_eq!(taken.len(), 1, "one at a time");
            asked.push(taken[0].key.id_seq);
            fail(&mut queue, taken, Reason::Unreachable, now);
        }
        assert!((50..100).contains(&asked.len()), "{} attempts in an hour", asked.len());
        assert_ne!(asked[0], asked[1], "a bad one would hold the others");
        now += 80_000;
        let taken = queue.take(now, 4);
        queue.note(Outcome::Delivered { status: 200 }, now);
        taken.iter().for_each(|one| queue.finish(&one.key));
        let mut done = taken.len();
        loop {
            let taken = queue.take(now, 4);
            if taken.is_empty() {
                break;
            }
            taken.iter().for_each(|one| queue.finish(&one.key));
            done += taken.len();
        }
        assert_eq!((done, queue.pending()), (100, 0));
    }

    #[test]
    fn a_lead_that_is_refused_waits_alone() {
        let mut queue = queue(6);
        let taken = queue.take(0, 4);
        fail(&mut queue, taken, Reason::Refused, 0);
        assert_eq!(numbers(&queue.take(0, 4)), [4, 5], "the others go on");
        assert!(queue.take(700, 4).is_empty());
        assert_eq!(queue.take(1_300, 4).len(), 4);
    }

    #[test]
    fn a_receiver_is_obeyed_when_it_says_how_long() {
        let mut queue = queue(1);
        let mut taken = queue.take(0, 1);
        taken[0].attempts = 1;
        queue.again(taken.remove(0), Reason::Busy, 30_000, 0);
        assert_eq!(queue.next_at_ms(), Some(30_000));
    }

    #[test]
    fn a_delivery_is_in_hand_once_also_when_the_table_is_read_meanwhile() {
        let mut queue = queue(2);
        let taken = queue.take(0, 4);
        queue.doubt();
        assert!(queue.wants_load());
        queue.begin_load();
        // The table was read while the first was still pending in it.
        queue.finish(&taken[0].key);
        queue.end_load(Some(((0..3).map(delivery).collect(), true)), 0);
        assert_eq!(numbers(&queue.take(0, 4)), [2]);
        queue.finish(&taken[1].key);
        assert_eq!(queue.pending(), 1);
    }

    #[test]
    fn memory_is_bounded_and_the_rest_is_read_when_half_is_done() {
        let mut queue = queue(0);
        let count = u32::try_from(QUEUE_MAX).unwrap() + 5;
        (0..count).for_each(|number| queue.push(delivery(number), 0));
        assert_eq!(queue.pending(), QUEUE_MAX);
        assert!(!queue.wants_load(), "not before there is room");
        let taken = queue.take(0, QUEUE_MAX / 2);
        taken.iter().for_each(|one| queue.finish(&one.key));
        assert!(queue.wants_load());
    }

    #[test]
    fn a_disabled_endpoint_is_sent_nothing_and_gives_up_only_what_is_too_old() {
        let mut queue = queue(2);
        queue.set_disabled(true, 0);
        queue.push(Delivery { since_ms: 500, ..delivery(9) }, 500);
        assert!(queue.take(10_000, 4).is_empty() && queue.next_at_ms().is_none());
        assert_eq!(numbers(&queue.take_expired(100, 9)), [0, 1]);
        queue.set_disabled(false, 10_000);
        assert_eq!(numbers(&queue.take(10_000, 4)), [9]);
    }
}
