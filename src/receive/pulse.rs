//! The pulse: how long what arrives waits for its turn.
//!
//! In: the edge's runtime. Out: the wait, as a number that every request may read. Refuses: nothing itself; the doors ask it. Promises: a process that
//! slept, or was stopped for a while, is not taken for one that has too much to do.
//!
//! A thread of its own gives the runtime a task that does nothing, and measures until it has run. A task from outside goes to the end of the
//! queue that all of the edge's threads share, where work waits that came faster than it was done; a timer inside of the runtime would
//! not tell: it is woken into the place that comes next.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use tokio::runtime::Handle;

use crate::stop::Stop;
use crate::telemetry;

/// Between two looks. Cheap enough never to be seen, and soon enough for a recovery within two seconds.
const EVERY: Duration = Duration::from_millis(100);

/// How much longer than `edge.lag_max_ms` what nobody sends again may wait: most people have left by then.
const PATIENCE: u64 = 10;

/// How much a request is worth waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// Only counted: an impression, an open, a look at a form.
    Counted,
    /// A lead, a conversion, a postback.
    Kept,
}

/// The edge's pulse.
#[derive(Debug)]
pub struct Pulse {
    lag_ms: AtomicU64,
    lag_max_ms: u64,
}

impl Pulse {
    /// A pulse that is not taken yet; `lag_max_ms` is what a request of little worth may wait.
    pub fn new(lag_max_ms: u64) -> Self {
        Self { lag_ms: AtomicU64::new(0), lag_max_ms }
    }

    /// Whether so much is waiting that a request of this worth had better come again.
    pub fn is_too_late_for(&self, worth: Worth) -> bool {
        let lag_ms = self.lag_ms.load(Ordering::Relaxed);
        match worth {
            Worth::Counted => lag_ms > self.lag_max_ms,
            Worth::Kept => lag_ms > self.lag_max_ms.saturating_mul(PATIENCE),
        }
    }

    /// The wait at the last looks, in seconds.
    fn lag_s(&self) -> f64 {
        Duration::from_millis(self.lag_ms.load(Ordering::Relaxed)).as_secs_f64()
    }

    /// Takes it until the stop, on a thread of its own.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn watch(self: Arc<Self>, runtime: Handle, stop: Stop) -> io::Result<()> {
        let look = move || {
            let mut before = Duration::ZERO;
            while !stop.is_stopped() {
                std::thread::sleep(EVERY);
                // A runtime that has ended drops the task, and with it the sender.
                let Some(lag) = turn(&runtime) else { return };
                self.keep(before, lag);
                before = lag;
            }
        };
        std::thread::Builder::new().name("edge-pulse".to_owned()).spawn(look).map(drop)
    }

    /// One late turn may be a process that slept; two of them are a queue.
    fn keep(&self, before: Duration, lag: Duration) {
        let both = u64::try_from(before.min(lag).as_millis()).unwrap_or(u64::MAX);
        self.lag_ms.store(both, Ordering::Relaxed);
    }

    /// Pretends a wait.
    #[cfg(test)]
    pub fn pretend(&self, lag: Duration) {
        self.keep(lag, lag);
    }
}

/// The wait as a metric.
#[derive(Debug)]
pub struct Gauge(pub Arc<Pulse>);

impl Collector for Gauge {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        telemetry::LAG_EDGE.write_gauge(&mut encoder, [(String::new(), self.0.lag_s())])
    }
}

/// How long a task waits until it runs.
fn turn(runtime: &Handle) -> Option<Duration> {
    let (tell, told) = mpsc::sync_channel(1);
    let begun = Instant::now();
    runtime.spawn(async move { tell.send(()) });
    told.recv().ok()?;
    Some(begun.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::runtime::Builder;

    #[test]
    fn what_is_only_counted_goes_first_and_a_single_late_turn_is_none() {
        let pulse = Pulse::new(1_000);
        let late = Duration::from_millis(1_500);
        for (before, lag, counted, kept) in [
            (Duration::ZERO, late, false, false),
            (late, Duration::ZERO, false, false),
            (late, late, true, false),
            (late * 10, late * 10, true, true),
            (Duration::from_secs(1), Duration::from_secs(1), false, false),
        ] {
            pulse.keep(before, lag);
            let seen = [Worth::Counted, Worth::Kept].map(|worth| pulse.is_too_late_for(worth));
            assert_eq!(seen, [counted, kept], "{before:?} {lag:?}");
        }
    }

    #[test]
    fn a_runtime_with_more_work_than_it_can_do_is_seen_to_be_late_and_an_ended_one_is_left() {
        let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
        assert!(turn(runtime.handle()).unwrap() < Duration::from_secs(5));
        let busy = Duration::from_millis(30);
        for _ in 0..10 {
            runtime.spawn(async move { std::thread::sleep(busy) });
        }
        // Ten pieces of work came before.
        assert!(turn(runtime.handle()).unwrap() >= busy * 8);
        let handle = runtime.handle().clone();
        runtime.shutdown_background();
        assert_eq!(turn(&handle), None);
    }
}
