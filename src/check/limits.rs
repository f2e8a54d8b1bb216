//! Limits: how many requests all together, one site, one network, and one form may send.
//!
//! In: a network's key, a site's or form's name. Out: a [`Standing`]. Refuses: nothing by itself; the doors decide what it means.
//! Promises: memory is fixed at the start, whatever arrives; no lock and no allocation on a request's way.
//!
//! The counting is governor's GCRA. Its own keyed stores are maps that a flood of addresses makes grow; [`Cells`] is a fixed array
//! instead, read as a count-min sketch with conservative update: a key has two cells (by a keyed hash, so that nobody
//! can aim at another's), and is limited only when both say so.
//!
//! What collisions cost, with C = 131,072 cells: A networks that are over their limit fill a share p = 1 - e^(-2A/C) of the
//! cells, and another network is limited wrongly with probability p²: 1,000 attackers at once 0.02 %, 10,000 2 %. A
//! flood of addresses that each send little raises cells by at most its rate / C each: at 600 a minute (10/s) for each network, it takes about
//! C x 10/s = 1.3 M requests a second before innocents are limited, which is far beyond what one edge serves.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};

use crate::config;
use crate::personal::ClientIp;

/// Cells for networks: 1 MiB for each of the two thresholds. The arithmetic above is why not fewer.
const ADDRESS_CELLS: usize = 1 << 17;

/// Cells for sites, and for forms: a registry has tens of them, so that two meeting in both cells is out of the question.
const NAME_CELLS: usize = 1 << 12;

/// Beyond this many times the limit, clicks and pixels go unrecorded: the log is not to be filled by one network.
pub const FAR_FACTOR: u32 = 10;

/// How a sender stands to its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Within.
    Within,
    /// Over; comes to an end after so many whole seconds, at least 1.
    Over {
        /// For `Retry-After`.
        retry_after_s: u32,
    },
    /// More than [`FAR_FACTOR`] times over.
    Far {
        /// For `Retry-After`.
        retry_after_s: u32,
    },
}

/// Which limit. An API key's will be one more, counted like a form: by the hash of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// What one edge process takes from everybody.
    Global,
    /// What one site's doors take.
    Site,
    /// What one network (/24 of IPv4, /64 of IPv6) may send.
    Address,
    /// What one form takes.
    Form,
}

/// How a sender stands to one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whose limit it is.
    pub policy: Policy,
    /// How it stands to it.
    pub level: Level,
    /// How many more would pass right now.
    pub remaining: u32,
    /// Seconds until as many as ever would pass again; when over, until the next one does.
    pub reset_s: u32,
}

impl Standing {
    /// True when one more passed.
    pub fn is_within(&self) -> bool {
        self.level == Level::Within
    }

    /// True when so many came that pixels and clicks go unrecorded.
    pub fn is_far_over(&self) -> bool {
        matches!(self.level, Level::Far { .. })
    }
}

/// The fixed array of arrival times that stands in for a map.
struct Cells {
    cells: Box<[AtomicU64]>,
    seed: RandomState,
}

impl Cells {
    /// `count` must be a power of two.
    fn new(count: usize) -> Self {
        assert!(count.is_power_of_two(), "cells are found by masking a hash");
        let cells = (0..count).map(|_| AtomicU64::new(0)).collect();
        Self { cells, seed: RandomState::new() }
    }

    fn pair(&self, key: u64) -> (&AtomicU64, &AtomicU64) {
        let hash = self.seed.hash_one(key);
        let mask = self.cells.len() - 1;
        (&self.cells[hash as usize & mask], &self.cells[(hash >> 32) as usize & mask])
    }
}

impl StateStore for Cells {
    type Key = u64;

    /// Judges by the lower of the two cells, moves it by compare-and-swap, then lifts the other to at least the same. Threads that race
    /// on one key may each pass once more than the limit says; none can make it stricter.
    fn measure_and_replace<T, F, E>(&self, key: &u64, judge: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (first, second) = self.pair(*key);
        loop {
            let (one, two) = (first.load(Ordering::Relaxed), second.load(Ordering::Relaxed));
            let (low, other, seen) =
                if one <= two { (first, second, one) } else { (second, first, two) };
            let (answer, next) = judge((seen != 0).then(|| seen.into()))?;
            let next = next.as_u64();
            if low.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                other.fetch_max(next, Ordering::Relaxed);
                return Ok(answer);
            }
        }
    }
}

type Limiter = RateLimiter<u64, Cells, MonotonicClock, StateInformationMiddleware>;

/// One limit with its tenfold.
struct Meter {
    policy: Policy,
    near: Limiter,
    /// Counts only what is over `near`, at nine times its rate: together ten times.
    far: Limiter,
    burst: u32,
    /// Nanoseconds after which one more passes.
    step_ns: u64,
}

impl Meter {
    fn new(policy: Policy, per_minute: u32, burst: u32, cells: usize) -> Self {
        let limiter = |factor: u32| {
            let number = |value: u32| {
                NonZeroU32::new(value.saturating_mul(factor)).unwrap_or(NonZeroU32::MIN)
            };
            let quota = Quota::per_minute(number(per_minute)).allow_burst(number(burst));
            RateLimiter::new(quota, Cells::new(cells), MonotonicClock)
        };
        let step_ns = 60_000_000_000 / u64::from(per_minute.max(1));
        Self { policy, near: limiter(1), far: limiter(FAR_FACTOR - 1), burst, step_ns }
    }

    fn standing(&self, key: u64) -> Standing {
        let policy = self.policy;
        let not_until = match self.near.check_key(&key) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity().min(self.burst);
                let reset_ns = u64::from(self.burst - remaining) * self.step_ns;
                let reset_s = u32::try_from(reset_ns.div_ceil(1_000_000_000)).unwrap_or(u32::MAX);
                return Standing { policy, level: Level::Within, remaining, reset_s };
            }
            Err(not_until) => not_until,
        };
        let wait: Duration = not_until.wait_time_from(self.near.clock().now());
        let retry_after_s = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        let level = match self.far.check_key(&key) {
            Ok(_) => Level::Over { retry_after_s },
            Err(_) => Level::Far { retry_after_s },
        };
        Standing { policy, level, remaining: 0, reset_s: retry_after_s }
    }
}

/// Notices what comes more often than a number of times, by key, in fixed memory. As with [`Limits`] two keys can share cells, so what
/// it says is a hint.
pub struct Frequency(Limiter);

impl Frequency {
    /// More than `count` times within about an hour.
    pub fn per_hour(count: u32) -> Self {
        Self::of(Quota::per_hour, count)
    }

    /// More than `count` times within about a minute.
    pub fn per_minute(count: u32) -> Self {
        Self::of(Quota::per_minute, count)
    }

    fn of(quota: fn(NonZeroU32) -> Quota, count: u32) -> Self {
        let count = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let cells = Cells::new(ADDRESS_CELLS);
        Self(RateLimiter::new(quota(count), cells, MonotonicClock))
    }

    /// Counts one more of this key.
    pub fn is_over(&self, key: u64) -> bool {
        self.0.check_key(&key).is_err()
    }
}

/// The limits of one edge process.
pub struct Limits {
    everybody: Meter,
    sites: Meter,
    addresses: Meter,
    forms: Meter,
    names: RandomState,
}

impl Limits {
    /// After the `[limits]` section.
    pub fn new(config: &config::Limits) -> Self {
        let meter = |policy, per_minute, burst, cells| Meter::new(policy, per_minute, burst, cells);
        Self {
            everybody: meter(Policy::Global, config.global_per_minute, config.global_burst, 2),
            sites: meter(Policy::Site, config.site_per_minute, config.site_burst, NAME_CELLS),
            addresses: meter(
                Policy::Address,
                config.address_per_minute,
                config.address_burst,
                ADDRESS_CELLS,
            ),
            forms: meter(Policy::Form, config.form_per_minute, config.form_burst, NAME_CELLS),
            names: RandomState::new(),
        }
    }

    /// Counts one request from this client's network, then against what everybody may send together: a network that is over its
    /// own limit must not use up the others'. Gives the first that is over, else the network's.
    pub fn client(&self, client: ClientIp) -> Standing {
        let own = self.addresses.standing(client.limit_key());
        if !own.is_within() {
            return own;
        }
        let all = self.everybody.standing(0);
        if all.is_within() { own } else { all }
    }

    /// Counts one event of this site.
    pub fn site(&self, name: &str) -> Standing {
        self.sites.standing(self.names.hash_one(name))
    }

    /// Counts one post to this form.
    pub fn form(&self, name: &str) -> Standing {
        self.forms.standing(self.names.hash_one(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(address_per_minute: u32, address_burst: u32) -> Limits {
        Limits::new(&config::Limits {
            address_per_minute,
            address_burst,
            form_per_minute: 60,
            form_burst: 2,
            site_per_minute: 60_000_000,
            site_burst: 60_000_000,
            global_per_minute: 60_000_000,
            global_burst: 60_000_000,
            key_per_minute: 60,
            key_burst: 60,
        })
    }

    fn client(number: u32) -> ClientIp {
        ClientIp::new(std::net::Ipv4Addr::from(number << 8).into())
    }

    #[test]
    fn a_network_passes_its_burst_then_is_over_then_far_over() {
        let limits = limits(1, 20);
        let levels: Vec<_> = (0..300).map(|_| limits.client(client(7)).level).collect();
        assert!(levels[..20].iter().all(|level| *level == Level::Within));
        assert!(levels[20..200].iter().all(|level| matches!(level, Level::Over { .. })));
        assert!(levels[200..].iter().all(|level| matches!(level, Level::Far { .. })));
        let Level::Far { retry_after_s } = levels[299] else { panic!("far over") };
        assert!(
            (1..=61).contains(&retry_after_s),
            "{retry_after_s} s until the next of one a minute"
        );
        assert_eq!(
            limits.client(client(8)).level,
            Level::Within,
            "another network is not concerned"
        );
        // The host part doesn't count: it is the network that is limited.
        let neighbour = ClientIp::new(std::net::Ipv4Addr::from((7 << 8) + 99).into());
        assert!(matches!(limits.client(neighbour).level, Level::Far { .. }));
    }

    #[test]
    fn a_form_is_limited_whoever_posts() {
        let limits = limits(600, 200);
        assert_eq!(limits.form("contact").level, Level::Within);
        assert_eq!(limits.form("contact").level, Level::Within);
        assert!(matches!(limits.form("contact").level, Level::Over { retry_after_s: 1..=2 }));
        assert_eq!(limits.form("other").level, Level::Within);
    }

    #[test]
    fn a_flood_of_addresses_takes_no_memory_and_limits_no_innocent() {
        let limits = limits(600, 200);
        // A million networks within a second or so: 15 requests a cell, against a burst of 200.
        for number in 0..1_000_000 {
            assert_eq!(limits.client(client(number)).level, Level::Within, "network {number}");
        }
        let Meter { near, far, .. } = limits.addresses;
        let cells = near.into_state_store().cells.len() + far.into_state_store().cells.len();
        assert!(
            cells * size_of::<AtomicU64>() <= 4 << 20,
            "as much as at the start: {cells} cells"
        );
    }

    #[test]
    fn attackers_far_over_their_limit_hardly_touch_others() {
        let limits = limits(1, 5);
        for attacker in 0..1_000 {
            for _ in 0..50 {
                limits.client(client(attacker));
            }
        }
        let wronged = (1_000..101_000)
            .filter(|number| limits.client(client(*number)).level != Level::Within)
            .count();
        // 0.02 % expected of the attack alone, that is 23; the innocents' own first requests lift cells too.
        assert!(wronged < 300, "{wronged} of 100,000 wrongly limited");
    }

    #[test]
    fn racing_threads_pass_hardly_more_than_the_limit() {
        let limits = limits(1, 1_000);
        let passed: usize = std::thread::scope(|scope| {
            let count =
                || (0..5_000).filter(|_| limits.client(client(3)).level == Level::Within).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!((1_000..1_100).contains(&passed), "{passed} passed of a burst of 1,000");
    }

    #[test]
    fn a_site_and_everybody_together_have_limits_of_their_own() {
        let limits = Limits::new(&config::Limits {
            address_per_minute: 60,
            address_burst: 4,
            form_per_minute: 60,
            form_burst: 60,
            site_per_minute: 60,
            site_burst: 1,
            global_per_minute: 60,
            global_burst: 6,
            key_per_minute: 60,
            key_burst: 60,
        });
        assert!(limits.site("shop").is_within());
        assert_eq!(limits.site("shop").policy, Policy::Site);
        assert!(!limits.site("shop").is_within() && limits.site("other").is_within());
        // Five of the first network: four pass, and the fifth, over its own limit, doesn't count against everybody.
        let levels: Vec<_> = (0..5).map(|_| limits.client(client(1))).collect();
        assert!(levels[..4].iter().all(Standing::is_within));
        assert_eq!((levels[4].policy, levels[4].is_within()), (Policy::Address, false));
        assert!(limits.client(client(2)).is_within() && limits.client(client(3)).is_within());
        let refused = limits.client(client(4));
        assert_eq!((refused.policy, refused.is_within()), (Policy::Global, false));
    }

    #[test]
    fn a_standing_says_how_many_more_pass_and_when() {
        let limits = limits(60, 10);
        let first = limits.client(client(1));
        assert_eq!((first.remaining, first.reset_s), (9, 1));
        for _ in 0..9 {
            limits.client(client(1));
        }
        let over = limits.client(client(1));
        assert_eq!((over.remaining, over.is_within()), (0, false));
        assert!((1..=2).contains(&over.reset_s), "{over:?}");
    }
}
