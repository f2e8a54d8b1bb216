//! Requests that are due and wait for a free connection. In: numbers, in the order of the schedule.
//! Out: the oldest, to whichever connection has been free the longest. Bounded in length, and in time
//! by whoever calls [`Queue::take_older_than`]. For one thread only.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Instant;

use tokio::sync::Notify;

/// Ten seconds of the highest rate would be more: then the run has failed anyway. 4 MB.
const WAITING_MAX: usize = 262_144;

/// One request of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its place in the schedule.
    pub number: u64,
    /// When it is due.
    pub at: Instant,
}

/// The queue.
#[derive(Default)]
pub struct Queue {
    waiting: RefCell<VecDeque<Planned>>,
    closed: Cell<bool>,
    changed: Notify,
}

impl Queue {
    /// Adds one, or gives it back when the queue is full.
    pub fn push(&self, planned: Planned) -> Result<(), Planned> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= WAITING_MAX {
            return Err(planned);
        }
        waiting.push_back(planned);
        self.changed.notify_one();
        Ok(())
    }

    /// Takes the oldest; waits while there is none; `None` once the queue is closed. May be dropped
    /// while it waits. Those who wait are served in turn.
    pub async fn take(&self) -> Option<Planned> {
        loop {
            if self.closed.get() {
                return None;
            }
            let oldest = self.waiting.borrow_mut().pop_front();
            if oldest.is_some() {
                return oldest;
            }
            self.changed.notified().await;
        }
    }

    /// Takes the oldest if it was due before `limit`.
    pub fn take_older_than(&self, limit: Instant) -> Option<Planned> {
        self.waiting.borrow_mut().pop_front_if(|oldest| oldest.at < limit)
    }

    /// Ends every [`Queue::take`].
    pub fn close(&self) {
        self.closed.set(true);
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn planned(number: u64, at: Instant) -> Planned {
        Planned { number, at }
    }

    #[tokio::test]
    async fn the_oldest_comes_first_and_close_ends_the_wait() {
        let (queue, now) = (Queue::default(), Instant::now());
        queue.push(planned(1, now)).unwrap();
        queue.push(planned(2, now)).unwrap();
        assert_eq!(queue.take().await, Some(planned(1, now)));
        assert_eq!(queue.take().await, Some(planned(2, now)));
        let (taken, ()) = tokio::join!(queue.take(), async { queue.close() });
        assert_eq!(taken, None);
    }

    #[tokio::test]
    async fn one_who_waits_is_woken() {
        let (queue, now) = (Queue::default(), Instant::now());
        let (taken, pushed) = tokio::join!(queue.take(), async { queue.push(planned(5, now)) });
        assert_eq!((taken, pushed), (Some(planned(5, now)), Ok(())));
    }

    #[test]
    fn only_what_is_old_is_taken_out() {
        let (queue, now) = (Queue::default(), Instant::now());
        queue.push(planned(1, now)).unwrap();
        queue.push(planned(2, now + Duration::from_secs(1))).unwrap();
        let limit = now + Duration::from_millis(1);
        assert_eq!(queue.take_older_than(limit), Some(planned(1, now)));
        assert_eq!(queue.take_older_than(limit), None);
    }

    #[test]
    fn a_full_queue_gives_back() {
        let (queue, now) = (Queue::default(), Instant::now());
        for number in 0..WAITING_MAX as u64 {
            queue.push(planned(number, now)).unwrap();
        }
        assert_eq!(queue.push(planned(7, now)), Err(planned(7, now)));
    }
}
