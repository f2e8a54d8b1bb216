//! What is seen of an edge from outside while it is overloaded. In: its process and ports. Out: its memory, how `/live` answers, how a
//! form from a new visitor is answered. Promises: ten looks of each kind a second, whether the ones before are answered or not.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, JoinSet};

use crate::faults::ask;
use crate::flood::memory;

const EVERY: Duration = Duration::from_millis(100);

/// As many looks of a kind are a second's.
const LOOKS_PER_S: usize = 10;

/// A form that is answered within this time is answered as ever.
const AS_EVER: Duration = Duration::from_millis(500);

/// One try.
#[derive(Clone, Copy, Debug)]
struct Try {
    at: Instant,
    took: Duration,
    status: u16,
}

/// What was seen.
#[derive(Default)]
pub struct Seen {
    /// The most memory that the process ever held.
    pub peak_kb: u64,
    resident_before_kb: u64,
    resident_after_kb: u64,
    live: Vec<Try>,
    forms: Vec<Try>,
}

/// Looking.
pub struct Watch {
    pid: u32,
    before_kb: u64,
    stop: Arc<AtomicBool>,
    live: JoinHandle<Vec<Try>>,
    forms: JoinHandle<Vec<Try>>,
}

impl Watch {
    /// Begins.
    pub fn begin(pid: u32, edge_port: u16, ops_port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let before_kb = memory(pid).map_or(0, |memory| memory.resident_kb);
        let live = tokio::spawn(tries(stop.clone(), move |_| ask::get(ops_port, "/live")));
        let forms = tokio::spawn(tries(stop.clone(), move |number| async move {
            let email = format!("watch{number}@example.org");
            ask::post(edge_port, "/f/contact", &[("name", "Jane Watch"), ("email", &email)]).await
        }));
        Self { pid, before_kb, stop, live, forms }
    }

    /// Ends.
    pub async fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let memory = memory(self.pid).ok();
        Seen {
            peak_kb: memory.as_ref().map_or(0, |memory| memory.peak_kb),
            resident_before_kb: self.before_kb,
            resident_after_kb: memory.map_or(0, |memory| memory.resident_kb),
            live: self.live.await.unwrap_or_default(),
            forms: self.forms.await.unwrap_or_default(),
        }
    }
}

/// Asks at fixed moments; each answer comes within [`ask`]'s own limit, so that only so many wait.
async fn tries<Asking>(stop: Arc<AtomicBool>, ask: impl Fn(u64) -> Asking) -> Vec<Try>
where
    Asking: Future<Output = anyhow::Result<ask::Answer>> + Send + 'static,
{
    let (mut asked, mut moments) = (JoinSet::new(), tokio::time::interval(EVERY));
    while !stop.load(Ordering::Relaxed) {
        moments.tick().await;
        let (at, asking) = (Instant::now(), ask(asked.len() as u64));
        // 0: no answer at all.
        asked.spawn(async move {
            let status = asking.await.map_or(0, |answer| answer.status);
            Try { at, took: at.elapsed(), status }
        });
    }
    let mut tries = asked.join_all().await;
    tries.sort_by_key(|one| one.at);
    tries
}

impl Seen {
    /// From `ended` until forms are answered as ever, for a second.
    pub fn recovery(&self, ended: Instant) -> Option<Duration> {
        let is_well = |form: &Try| form.status == 200 && form.took <= AS_EVER;
        let mut seconds = self.forms.windows(LOOKS_PER_S).filter(|looks| looks[0].at >= ended);
        let well = seconds.find(|looks| looks.iter().all(is_well))?;
        Some(well[0].at - ended)
    }

    /// Whether `/live` was answered every time.
    pub fn is_alive(&self) -> bool {
        !self.live.is_empty() && self.live.iter().all(|look| look.status == 200)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest =
            |tries: &[Try]| tries.iter().map(|one| one.took.as_millis()).max().unwrap_or(0);
        let count =
            |tries: &[Try], status: u16| tries.iter().filter(|one| one.status == status).count();
        write!(
            formatter,
            "live={}/{} live_longest_ms={} new_visitors={} answered_200={} longest_ms={} rss_before_kb={} rss_after_kb={} rss_peak_kb={}",
            count(&self.live, 200),
            self.live.len(),
            longest(&self.live),
            self.forms.len(),
            count(&self.forms, 200),
            longest(&self.forms),
            self.resident_before_kb,
            self.resident_after_kb,
            self.peak_kb,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_well_again_when_a_whole_second_is() {
        let begun = Instant::now();
        let look = |number: u32, took_ms, status| Try {
            at: begun + EVERY * number,
            took: Duration::from_millis(took_ms),
            status,
        };
        let forms = (0..40).map(|number| match number {
            0..5 => look(number, 2_000, 200),
            8 => look(number, 1, 503),
            _ => look(number, 20, 200),
        });
        let seen = Seen { forms: forms.collect(), ..Seen::default() };
        assert_eq!(seen.recovery(begun), Some(EVERY * 9));
        assert_eq!(seen.recovery(begun + EVERY * 12), Some(Duration::ZERO));
        assert_eq!(seen.recovery(begun + EVERY * 35), None, "too short a look");
    }
}
