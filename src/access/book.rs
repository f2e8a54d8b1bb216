//! The book: every key and user, in memory.
//!
//! In: changes. Out: who is admitted, and how a key stands to its limit. Refuses: keys and users beyond [`ENTRIES_MAX`]. Promises: an unknown id, a wrong secret and a revoked key are told
//! apart by nobody: one answer, and the same work.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::record::{Change, Key, User};
use super::secret::Presented;

/// Keys and users of one installation: an operator makes them one by one.
pub const ENTRIES_MAX: usize = 10_000;

/// What stands in for the hash of a key that doesn't exist, so that the same work is done.
const NOBODY: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

type Limiter = RateLimiter<NotKeyed, InMemoryState, MonotonicClock, NoOpMiddleware<Instant>>;

/// The limit of keys that have none of their own.
#[derive(Clone, Copy, Debug)]
pub struct KeyLimit {
    /// Events a minute.
    pub per_minute: u32,
    /// So many at once.
    pub burst: u32,
}

/// A key and its limit.
#[derive(Clone)]
pub struct Admission {
    /// The key.
    pub key: Arc<Key>,
    limiter: Arc<Limiter>,
}

impl Admission {
    /// Counts so many events; `Err` says in how many seconds they would pass.
    ///
    /// # Errors
    /// When they are more than the key may send now.
    pub fn count(&self, events: u32) -> Result<(), u32> {
        let Some(events) = NonZeroU32::new(events) else { return Ok(()) };
        match self.limiter.check_n(events) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => {
                let wait: Duration = not_until.wait_time_from(self.limiter.clock().now());
                Err(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1))
            }
            // A batch is never larger than the burst (config); a minute is an answer all the same.
            Err(_) => Err(60),
        }
    }
}

/// Keys and users, by id and name.
#[derive(Default)]
pub struct Book {
    keys: BTreeMap<String, Key>,
    users: BTreeMap<String, User>,
}

impl Book {
    /// Takes a change in; false when there is no room.
    pub fn apply(&mut self, change: Change) -> bool {
        let known = match &change {
            Change::Key(key) => self.keys.contains_key(&key.id),
            Change::User(user) => self.users.contains_key(&user.name),
        };
        if !known && self.keys.len() + self.users.len() >= ENTRIES_MAX {
            return false;
        }
        match change {
            Change::Key(key) => drop(self.keys.insert(key.id.clone(), key)),
            Change::User(user) => drop(self.users.insert(user.name.clone(), user)),
        }
        true
    }

    /// Every key, by id.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.values()
    }

    /// Every user, by name.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    /// The user of this name.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    /// The key of this id.
    pub fn key(&self, id: &str) -> Option<&Key> {
        self.keys.get(id)
    }
}

/// The book that requests read.
pub struct Access {
    book: RwLock<Book>,
    limiters: RwLock<BTreeMap<String, (KeyLimit, Arc<Limiter>)>>,
    limit: KeyLimit,
}

impl Access {
    /// Nobody is in it yet.
    pub fn new(limit: KeyLimit) -> Self {
        Self { book: RwLock::default(), limiters: RwLock::default(), limit }
    }

    /// Asks the book.
    pub fn read<T>(&self, ask: impl FnOnce(&Book) -> T) -> T {
        ask(&self.book.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the book.
    pub fn write(&self, change: impl FnOnce(&mut Book)) {
        change(&mut self.book.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// The key that a request presents, if it is admitted.
    pub fn admit(&self, text: &str) -> Option<Admission> {
        let presented = Presented::parse(text)?;
        let found = self.read(|book| book.key(presented.id).cloned());
        let kept = found.as_ref().map_or(NOBODY, |key| key.hash.as_str());
        let key = presented.is(kept).then_some(found).flatten();
        let key = key.filter(|key| key.revoked_ms.is_none())?;
        let limiter = self.limiter(&key);
        Some(Admission { key: Arc::new(key), limiter })
    }

    fn limiter(&self, key: &Key) -> Arc<Limiter> {
        let limit =
            KeyLimit { per_minute: key.per_minute.unwrap_or(self.limit.per_minute), ..self.limit };
        let known = self.limiters.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, limiter)) = known.get(&key.id)
            && of.per_minute == limit.per_minute
        {
            return limiter.clone();
        }
        drop(known);
        let number = |value: u32| NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_minute(number(limit.per_minute)).allow_burst(number(limit.burst));
        let limiter = Arc::new(Limiter::direct_with_clock(quota, MonotonicClock));
        let mut all = self.limiters.write().unwrap_or_else(PoisonError::into_inner);
        all.entry(key.id.clone()).insert_entry((limit, limiter)).get().1.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::record::Role;
    use crate::access::secret;

    fn access() -> Access {
        Access::new(KeyLimit { per_minute: 60, burst: 10 })
    }

    fn key(fresh: &secret::Fresh) -> Key {
        Key {
            id: fresh.id.clone(),
            name: "shop".into(),
            role: Role::Shop,
            sites: Vec::new(),
            hash: fresh.hash.clone(),
            per_minute: None,
            made_ms: 1,
            revoked_ms: None,
        }
    }

    #[test]
    fn a_revoked_key_an_unknown_one_and_a_wrong_secret_are_the_same_nobody() {
        let (access, fresh) = (access(), secret::make().unwrap());
        assert!(access.admit(&fresh.text).is_none(), "unknown");
        access.write(|book| assert!(book.apply(Change::Key(key(&fresh)))));
        assert_eq!(access.admit(&fresh.text).unwrap().key.name, "shop");
        let other = secret::make().unwrap();
        let wrong = format!("ltk_{}_{}", fresh.id, other.text.rsplit_once('_').unwrap().1);
        // The secret part may itself hold an underscore; then this is no key at all, and nobody either.
        assert!(access.admit(&wrong).is_none());
        let revoked = Key { revoked_ms: Some(2), ..key(&fresh) };
        access.write(|book| assert!(book.apply(Change::Key(revoked))));
        assert!(access.admit(&fresh.text).is_none());
    }

    #[test]
    fn each_key_has_a_limit_of_its_own() {
        let access = access();
        let (one, other) = (secret::make().unwrap(), secret::make().unwrap());
        for fresh in [&one, &other] {
            access.write(|book| assert!(book.apply(Change::Key(key(fresh)))));
        }
        let mine = access.admit(&one.text).unwrap();
        assert_eq!(mine.count(10), Ok(()));
        assert!(matches!(mine.count(5), Err(5..=6)), "{:?}", mine.count(5));
        assert!(matches!(access.admit(&one.text).unwrap().count(1), Err(1..=2)), "the same key");
        assert_eq!(access.admit(&other.text).unwrap().count(10), Ok(()));
        assert_eq!(mine.count(0), Ok(()));
    }

    #[test]
    fn a_full_book_takes_no_more_and_goes_on_changing_what_it_has() {
        let mut book = Book::default();
        let fresh = secret::make().unwrap();
        for number in 0..ENTRIES_MAX {
            assert!(book.apply(Change::Key(Key { id: number.to_string(), ..key(&fresh) })));
        }
        assert!(!book.apply(Change::Key(Key { id: "more".into(), ..key(&fresh) })));
        let revoked = Key { id: "7".into(), revoked_ms: Some(1), ..key(&fresh) };
        assert!(book.apply(Change::Key(revoked)));
        assert_eq!(book.key("7").unwrap().revoked_ms, Some(1));
    }
}
