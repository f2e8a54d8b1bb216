//! When each request is to be sent. In: a rate and a time. Out: the planned moment of request n, and a
//! clock that wakes the sender for it. Refuses more than the caps. The schedule never waits for
//! answers (open loop): latency is counted from the planned moment, so a stall is seen whole.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Above this the generator itself would be the limit on one core.
pub const RATE_MAX: u32 = 100_000;
/// An hour: longer runs are what a soak test is for.
pub const SECONDS_MAX: u32 = 3_600;
/// One record of 32 bytes each is held to reconcile: 160 MB.
pub const COUNT_MAX: u64 = 5_000_000;
/// Waking more often costs more CPU than it adds truth: at most this late, for every target alike.
const SLEEP_MIN: Duration = Duration::from_micros(200);

/// A fixed rate over a fixed time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    rate: u32,
    count: u64,
}

/// Why a schedule is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScheduleError {
    /// Rate out of 1..=[`RATE_MAX`].
    #[error("a rate of {0} requests/s is outside 1..={RATE_MAX}; choose another --rate")]
    Rate(u32),
    /// Time out of 1..=[`SECONDS_MAX`].
    #[error("{0} seconds is outside 1..={SECONDS_MAX}; choose another --seconds")]
    Seconds(u32),
    /// More than [`COUNT_MAX`] requests.
    #[error("{0} requests are more than {COUNT_MAX}; lower --rate or --seconds")]
    Count(u64),
}

impl Schedule {
    /// `rate` requests a second for `seconds`.
    ///
    /// # Errors
    /// When a cap is exceeded.
    pub fn new(rate: u32, seconds: u32) -> Result<Self, ScheduleError> {
        let count = u64::from(rate) * u64::from(seconds);
        if rate == 0 || rate > RATE_MAX {
            Err(ScheduleError::Rate(rate))
        } else if seconds == 0 || seconds > SECONDS_MAX {
            Err(ScheduleError::Seconds(seconds))
        } else if count > COUNT_MAX {
            Err(ScheduleError::Count(count))
        } else {
            Ok(Self { rate, count })
        }
    }

    /// How many requests there are.
    pub fn count(self) -> u64 {
        self.count
    }

    /// When request `number` (from 0) is due, counted from the start.
    pub fn planned(self, number: u64) -> Duration {
        Duration::from_nanos(number * 1_000_000_000 / u64::from(self.rate))
    }
}

/// A timer of the kernel: tokio's own are coarse (1 ms), which would be added to every latency.
pub struct Alarm {
    timer: AsyncFd<OwnedFd>,
}

impl Alarm {
    /// An alarm that is not set.
    ///
    /// # Errors
    /// When the kernel has no timer to give.
    pub fn new() -> std::io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe for all types alike; an OwnedFd that is never swapped keeps what it asks for"
        )]
        let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
        Ok(Self { timer })
    }

    /// Sleeps until `moment`, and at least 200 us; gives the time after that.
    ///
    /// # Errors
    /// When the timer cannot be set.
    pub async fn sleep_until(&self, moment: Instant) -> std::io::Result<Instant> {
        let rest = moment.saturating_duration_since(Instant::now()).max(SLEEP_MIN);
        let once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec {
            tv_sec: i64::try_from(rest.as_secs()).map_err(std::io::Error::other)?,
            tv_nsec: i64::from(rest.subsec_nanos()),
        };
        let setting = Itimerspec { it_interval: once, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &setting)?;
        // Setting it again resets it, so it need not be read: one system call less.
        self.timer.readable().await?.clear_ready();
        Ok(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_evenly_planned_and_never_drift() {
        let schedule = Schedule::new(3, 2).unwrap();
        assert_eq!(schedule.count(), 6);
        assert_eq!(schedule.planned(0), Duration::ZERO);
        assert_eq!(schedule.planned(1), Duration::from_nanos(333_333_333));
        assert_eq!(schedule.planned(3), Duration::from_secs(1));
        let long = Schedule::new(1_000, SECONDS_MAX).unwrap();
        assert_eq!(long.planned(long.count()), Duration::from_secs(u64::from(SECONDS_MAX)));
    }

    #[test]
    fn a_second_holds_exactly_the_rate() {
        for rate in [1, 7, 999, 2_000, 10_000, RATE_MAX] {
            let schedule = Schedule::new(rate, 3).unwrap();
            let second = |number| schedule.planned(number).as_secs();
            let in_second_1 = (0..schedule.count()).filter(|&number| second(number) == 1).count();
            assert_eq!(in_second_1, rate as usize);
        }
    }

    #[test]
    fn the_caps_are_kept() {
        assert_eq!(Schedule::new(0, 1), Err(ScheduleError::Rate(0)));
        assert_eq!(Schedule::new(RATE_MAX + 1, 1), Err(ScheduleError::Rate(RATE_MAX + 1)));
        assert_eq!(Schedule::new(1, 0), Err(ScheduleError::Seconds(0)));
        assert_eq!(Schedule::new(1, SECONDS_MAX + 1), Err(ScheduleError::Seconds(3_601)));
        assert_eq!(Schedule::new(RATE_MAX, 51), Err(ScheduleError::Count(5_100_000)));
    }

    #[tokio::test]
    async fn the_alarm_rings_at_its_moment_and_not_before() {
        let alarm = Alarm::new().unwrap();
        for millis in [1, 3, 2] {
            let moment = Instant::now() + Duration::from_millis(millis);
            assert!(alarm.sleep_until(moment).await.unwrap() >= moment);
        }
        let past = Instant::now();
        assert!(alarm.sleep_until(past).await.unwrap() >= past + SLEEP_MIN);
    }
}
