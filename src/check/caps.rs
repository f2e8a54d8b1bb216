//! Caps: how many clicks of a day and a month an offer takes, of all and of each affiliate.
//!
//! In: a click that is about to go to a capped offer. Out: whether there is room; if so it is counted. Refuses: nothing. Promises: within one edge no
//! click goes over a cap, for looking and counting are one act. Counts live in memory and in a file that is written each second
//! and at the stop, so a click waits for nobody; a killed edge forgets what came since the file was last written, one second's clicks at most. The count
//! that is paid by is the warehouse's, and it is exact.
//!
//! Each edge counts its own clicks, as each has its own rate limits. Of N edges that are told so (`edge.edges`) each takes its part of a cap,
//! rounded up: together they pass it by N - 1 clicks at most, whatever is away. Counts of the warehouse were not taken for this: they come seconds
//! later, and not at all while it is away, and then a cap would be passed by everything that came meanwhile.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::registry::Offer;
use crate::stop::Stop;

/// How often the file is written, if anything was counted.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// The file's name, in the data folder.
const FILE: &str = "caps.json";

/// Clicks of one offer, of all affiliates (0) or one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    offer: u32,
    affiliate: u32,
    /// Days since 1970, UTC.
    day: i64,
    of_day: u64,
    /// Months since the year 0, UTC.
    month: i64,
    of_month: u64,
}

impl Count {
    /// Forgets what is of another day or month.
    fn turn(&mut self, (day, month): (i64, i64)) {
        if self.day != day {
            (self.day, self.of_day) = (day, 0);
        }
        if self.month != month {
            (self.month, self.of_month) = (month, 0);
        }
    }

    fn has_room(&self, day: Option<u64>, month: Option<u64>) -> bool {
        day.is_none_or(|cap| self.of_day < cap) && month.is_none_or(|cap| self.of_month < cap)
    }

    fn add(&mut self) {
        self.of_day += 1;
        self.of_month += 1;
    }
}

#[derive(Default)]
struct Counts {
    by_key: HashMap<(u32, u32), Count>,
    changed: bool,
}

/// All counts of capped offers.
pub struct Caps {
    counts: Mutex<Counts>,
    path: Option<PathBuf>,
    /// Among how many edges a cap is shared.
    edges: u64,
}

impl Caps {
    /// Counts in memory alone.
    pub fn in_memory() -> Self {
        Self { counts: Mutex::default(), path: None, edges: 1 }
    }

    /// Goes on with what the file in `folder` says; begins at nothing where there is none. `edges` share the caps.
    ///
    /// # Errors
    /// When there is a file and it can't be read.
    pub fn open(folder: &Path, edges: u32) -> io::Result<Self> {
        let path = folder.join(FILE);
        let known: Vec<Count> = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let by_key = known.into_iter().map(|count| ((count.offer, count.affiliate), count));
        let counts = Counts { by_key: by_key.collect(), changed: false };
        Ok(Self { counts: Mutex::new(counts), path: Some(path), edges: u64::from(edges.max(1)) })
    }

    /// Counts a click if there is room for it. `counts`: false for who only looks ahead; such a one takes no room.
    pub fn take(&self, offer: &Offer, affiliate: u32, now_ms: i64, counts: bool) -> bool {
        let period = period(now_ms);
        let mut held = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at = |affiliate| {
            let new = Count { offer: offer.number, affiliate, ..Count::default() };
            let count = held.by_key.entry((offer.number, affiliate)).or_insert(new);
            count.turn(period);
            *count
        };
        let (mut all, mut one) = (at(0), at(affiliate));
        let part = |cap: Option<u64>| cap.map(|cap| cap.div_ceil(self.edges));
        let room = all.has_room(part(offer.cap_day), part(offer.cap_month))
            && one.has_room(part(offer.affiliate_cap_day), part(offer.affiliate_cap_month));
        if room && counts {
            all.add();
            one.add();
            held.by_key.insert((offer.number, 0), all);
            held.by_key.insert((offer.number, affiliate), one);
            held.changed = true;
        }
        room
    }

    /// Writes the file, if anything was counted since. The old one stands until the new one is whole.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let counts: Vec<Count> = {
            let mut held = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            if !std::mem::take(&mut held.changed) {
                return Ok(());
            }
            held.by_key.values().copied().collect()
        };
        let beside = path.with_extension("json.new");
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(&serde_json::to_vec(&counts)?)?;
        std::fs::rename(&beside, path)
    }

    /// Writes the file each second until the stop, and once more then.
    pub async fn keep(self: std::sync::Arc<Self>, stop: Stop) {
        let mut told = false;
        loop {
            let last = tokio::select! {
                () = stop.stopped() => true,
                () = tokio::time::sleep(WRITE_EVERY) => false,
            };
            let caps = self.clone();
            let written = tokio::task::spawn_blocking(move || caps.write()).await;
            match written {
                Ok(Ok(())) => told = false,
                Ok(Err(error)) if !told => {
                    told = true;
                    self.counts.lock().unwrap_or_else(PoisonError::into_inner).changed = true;
                    tracing::warn!(%error, "counts of caps can't be written; a restart would begin at the last that were");
                }
                Ok(Err(_)) | Err(_) => {
                    self.counts.lock().unwrap_or_else(PoisonError::into_inner).changed = true;
                }
            }
            if last {
                return;
            }
        }
    }
}

/// The day and the month of a time, UTC.
fn period(now_ms: i64) -> (i64, i64) {
    let time = jiff::Timestamp::from_millisecond(now_ms).unwrap_or_default();
    let date = jiff::tz::Offset::UTC.to_datetime(time);
    (now_ms.div_euclid(86_400_000), i64::from(date.year()) * 12 + i64::from(date.month()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-30 23:59:59.999 UTC.
    const LAST_OF_NOVEMBER: i64 = 1_796_083_199_999;

    fn offer(lines: &str) -> Offer {
        let text = format!(
            "number = 3\nname = \"o\"\nsite = \"s\"\ndestination = \"https://a.example/\"\n{lines}"
        );
        toml::from_str(&text).unwrap()
    }

    fn taken(caps: &Caps, offer: &Offer, affiliate: u32, now_ms: i64, times: u32) -> u32 {
        (0..times).map(|_| u32::from(caps.take(offer, affiliate, now_ms, true))).sum()
    }

    #[test]
    fn no_click_goes_over_a_cap_of_the_day_the_month_or_the_affiliate() {
        let offer = offer("cap_day = 5\ncap_month = 8\naffiliate_cap_day = 3\n");
        let caps = Caps::in_memory();
        let now = LAST_OF_NOVEMBER - 86_400_000;
        assert_eq!(taken(&caps, &offer, 1, now, 9), 3, "the affiliate's");
        assert_eq!(taken(&caps, &offer, 2, now, 9), 2, "the offer's, of the day");
        assert_eq!(taken(&caps, &offer, 2, LAST_OF_NOVEMBER, 9), 3, "eight in a month");
        assert_eq!(taken(&caps, &offer, 1, LAST_OF_NOVEMBER, 9), 0);
        assert_eq!(taken(&caps, &offer, 1, LAST_OF_NOVEMBER + 1, 9), 3, "a new month");
        assert!(caps.take(&offer, 9, LAST_OF_NOVEMBER + 1, false), "who looks ahead takes no room");
        assert_eq!(taken(&caps, &offer, 9, LAST_OF_NOVEMBER + 1, 9), 2);
    }

    #[test]
    fn counts_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let offer = offer("cap_day = 4\n");
        let caps = Caps::open(folder.path(), 1).unwrap();
        assert_eq!(taken(&caps, &offer, 1, LAST_OF_NOVEMBER, 3), 3);
        caps.write().unwrap();
        let again = Caps::open(folder.path(), 1).unwrap();
        assert_eq!(taken(&again, &offer, 2, LAST_OF_NOVEMBER, 3), 1);
        std::fs::write(folder.path().join(FILE), b"[{").unwrap();
        assert!(
            Caps::open(folder.path(), 1).is_err(),
            "a damaged file is told, not taken for none"
        );
    }

    #[test]
    fn edges_that_share_a_cap_pass_it_by_fewer_clicks_than_there_are_edges() {
        for (cap, edges) in [(1, 3), (5, 3), (6, 3), (1_000, 7)] {
            let offer = offer(&format!("cap_day = {cap}\n"));
            let folder = tempfile::tempdir().unwrap();
            let sum: u32 = (0..edges)
                .map(|_| {
                    let caps = Caps::open(folder.path(), edges).unwrap();
                    taken(&caps, &offer, 1, LAST_OF_NOVEMBER, 2_000)
                })
                .sum();
            assert!((cap..cap + edges).contains(&sum), "{sum} of {cap} by {edges} edges");
        }
    }

    #[test]
    fn many_threads_together_take_no_more_than_the_cap() {
        let offer = offer("cap_month = 1000\n");
        let caps = Caps::in_memory();
        let sum = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|affiliate| {
                    scope.spawn({
                        let (caps, offer) = (&caps, &offer);
                        move || taken(caps, offer, affiliate + 1, LAST_OF_NOVEMBER, 400)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u32>()
        });
        assert_eq!(sum, 1000);
    }
}
