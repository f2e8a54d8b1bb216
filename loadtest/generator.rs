//! The open loop. In: a target, a schedule, the requests, somebody who is told each end. Out: how late
//! the generator itself was, and how long it took. Promises: each planned request is told exactly once,
//! as answered, in trouble, or never sent; and all connections stand before the first is due.
//!
//! Everything runs on one thread (no locks, no wake-ups between cores), since the generator shares
//! the machine with the service that it measures.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::click_pool::ClickPool;
use crate::dice::Dice;
use crate::histogram::Histogram;
use crate::lane;
use crate::mix::Kind;
use crate::outcome::{Answer, Finished, Trouble};
use crate::queue::{Planned, Queue};
use crate::requests::Requests;
use crate::schedule::{Alarm, Schedule};

/// Connections on loopback stand within milliseconds; a service that is starting may take longer.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// Enough for a timeout to fire after its moment on a busy machine.
const DRAIN_GRACE: Duration = Duration::from_secs(5);
/// Seeds the choice of clicks apart from the requests.
const CLICK_SEED: u64 = 0xC11C;

/// Told the end of each request, in the order in which they end.
pub trait Observer {
    /// One request is over.
    fn finished(&mut self, finished: &Finished);
}

/// Where to and how.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The service; loopback.
    pub target: SocketAddr,
    /// Keep-alive connections.
    pub connections: usize,
    /// How long a request may wait for a connection, and then for its answer.
    pub timeout: Duration,
}

/// Why there was no load.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Nobody listens.
    #[error("{connected} of {wanted} connections to {target} stood within 5 s; is it running?")]
    NotConnected {
        /// How many stood.
        connected: usize,
        /// How many were wanted.
        wanted: usize,
        /// The service.
        target: SocketAddr,
    },
    /// The clock of the schedule.
    #[error("the kernel's timer for the schedule failed")]
    Timer(#[from] std::io::Error),
}

/// What one schedule came to.
pub struct Fired {
    /// Requests that were due (fewer than planned when it was stopped).
    pub count: u64,
    /// From the first planned moment to the last end.
    pub elapsed: Duration,
    /// How long after its moment the generator took up each request.
    pub lateness: Histogram,
}

/// What all connections share.
pub struct Shared {
    pub(crate) target: SocketAddr,
    pub(crate) timeout: Duration,
    pub(crate) queue: Queue,
    requests: Rc<Requests>,
    clicks: RefCell<ClickPool>,
    observer: Rc<RefCell<dyn Observer>>,
    ended: Cell<u64>,
    standing: Cell<usize>,
    stop: Cell<bool>,
    progress: Notify,
}

impl Shared {
    pub(crate) fn stopped(&self) -> bool {
        self.stop.get()
    }

    pub(crate) fn connection_stands(&self) {
        self.standing.set(self.standing.get() + 1);
        self.progress.notify_one();
    }

    pub(crate) fn connection_ended(&self) {
        self.standing.set(self.standing.get() - 1);
    }

    /// Waits until `count` requests have ended since the connections were opened.
    async fn ended(&self, count: u64) {
        while self.ended.get() < count {
            self.progress.notified().await;
        }
    }

    pub(crate) fn write(&self, number: u64, out: &mut Vec<u8>) -> Kind {
        self.requests.write(number, &mut self.clicks.borrow_mut(), out)
    }

    pub(crate) fn keep_click(&self, location: &[u8], number: u64) {
        self.clicks.borrow_mut().put(location, &mut Dice::of(CLICK_SEED, number));
    }

    pub(crate) fn finish(
        &self,
        planned: Planned,
        kind: Kind,
        (sent, ended): (Option<Instant>, Instant),
        result: Result<Answer, Trouble>,
    ) {
        let Planned { number, at } = planned;
        let finished = Finished { number, kind, planned: at, sent, ended, result };
        self.observer.borrow_mut().finished(&finished);
        self.ended.set(self.ended.get() + 1);
        self.progress.notify_one();
    }

    fn give_up(&self, planned: Planned) {
        let kind = self.requests.kind(planned.number);
        self.finish(planned, kind, (None, Instant::now()), Err(Trouble::Unsent));
    }
}

/// Open connections, ready to fire. Must live inside a `LocalSet`.
pub struct Generator {
    shared: Rc<Shared>,
    lanes: Vec<JoinHandle<()>>,
}

impl Generator {
    /// Opens the connections.
    ///
    /// # Errors
    /// When not all of them stand within 5 s.
    pub async fn connect(
        load: Load,
        requests: Rc<Requests>,
        observer: Rc<RefCell<dyn Observer>>,
    ) -> Result<Self, LoadError> {
        let shared = Rc::new(Shared {
            target: load.target,
            timeout: load.timeout,
            queue: Queue::default(),
            requests,
            clicks: RefCell::default(),
            observer,
            ended: Cell::new(0),
            standing: Cell::new(0),
            stop: Cell::new(false),
            progress: Notify::new(),
        });
        let lanes = (0..load.connections)
            .map(|_| tokio::task::spawn_local(lane::work(Rc::clone(&shared))))
            .collect();
        let generator = Self { shared, lanes };
        let shared = &generator.shared;
        let all_stand = async {
            while shared.standing.get() < load.connections {
                shared.progress.notified().await;
            }
        };
        tokio::time::timeout(CONNECT_WAIT, all_stand).await.map_err(|_elapsed| {
            LoadError::NotConnected {
                connected: shared.standing.get(),
                wanted: load.connections,
                target: load.target,
            }
        })?;
        Ok(generator)
    }

    /// Sends one schedule, numbered from `first`; ends when every request has ended. When `stop` is set
    /// it plans no more and ends early.
    ///
    /// # Errors
    /// When the kernel's timer fails.
    pub async fn fire(
        &self,
        schedule: Schedule,
        first: u64,
        stop: &Cell<bool>,
    ) -> Result<Fired, LoadError> {
        let shared = &self.shared;
        let ended_before = shared.ended.get();
        let mut lateness = Histogram::default();
        let alarm = Alarm::new()?;
        let start = Instant::now();
        let mut fired = 0;
        while fired < schedule.count() && !stop.get() {
            let now = alarm.sleep_until(start + schedule.planned(fired)).await?;
            while fired < schedule.count() && start + schedule.planned(fired) <= now {
                let at = start + schedule.planned(fired);
                lateness.record(now - at);
                let planned = Planned { number: first + fired, at };
                if let Err(planned) = shared.queue.push(planned) {
                    shared.give_up(planned);
                }
                fired += 1;
            }
            self.expire(now);
        }
        self.drain(ended_before + fired).await;
        Ok(Fired { count: fired, elapsed: start.elapsed(), lateness })
    }

    /// Gives up what has waited too long for a connection.
    fn expire(&self, now: Instant) {
        let limit = now.checked_sub(self.shared.timeout);
        while let Some(planned) = limit.and_then(|limit| self.shared.queue.take_older_than(limit)) {
            self.shared.give_up(planned);
        }
    }

    /// Waits until `count` requests have ended; what is still queued after one timeout is given up.
    async fn drain(&self, count: u64) {
        let shared = &self.shared;
        if tokio::time::timeout(shared.timeout, shared.ended(count)).await.is_ok() {
            return;
        }
        while let Some(planned) = shared.queue.take_older_than(Instant::now()) {
            shared.give_up(planned);
        }
        let answers = tokio::time::timeout(shared.timeout + DRAIN_GRACE, shared.ended(count)).await;
        assert!(answers.is_ok(), "every request on a connection ends within its timeout");
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        self.shared.stop.set(true);
        self.shared.queue.close();
        self.lanes.iter().for_each(JoinHandle::abort);
    }
}
