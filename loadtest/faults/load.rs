//! The load of one round. In: an edge, a rate, a seed. Out: receipts in a file, and when each request ended. Promises: what it
//! says of the longest refusal counts from the planned moments, so a stall is seen whole.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::faults::options::FaultsOptions;
use crate::generator::{Generator, Load, Observer};
use crate::options::{Command, Options};
use crate::outcome::{Finished, Outcome};
use crate::receipts::ReceiptsWriter;
use crate::requests::Requests;
use crate::run::{fire_and_flush, new_run_name, now_ms};
use crate::schedule::Schedule;
use crate::site::mix_for;
use crate::tally::Tally;

/// A request that waits longer is given up; an edge that waits for the last resort answers within 5 s.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Without opens: they keep no tag, so a doubled one could not be told by its request.
const MIX: &str = "click=30,impression=36,form=12,json=8,multipart=2,affiliate=7,pixel=5";

/// What a round's load came to.
pub struct Loaded {
    /// Counts and latencies.
    pub tally: Tally,
    /// By number: when it was to be sent, when it ended, whether it got a receipt.
    pub ends: Vec<Option<End>>,
    receipts: ReceiptsWriter,
}

/// The end of one request.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// When it was to be sent.
    pub planned: Instant,
    /// When it was sent, if it was.
    pub sent: Option<Instant>,
    /// When its answer was read.
    pub at: Instant,
    /// Whether it got a receipt; `None` for a redirect that went without one, as it may.
    pub durable: Option<bool>,
}

impl Observer for Loaded {
    fn finished(&mut self, finished: &Finished) {
        self.tally.count(finished);
        self.receipts.note(finished);
        let end = End {
            planned: finished.planned,
            sent: finished.sent,
            at: finished.ended,
            durable: match finished.outcome() {
                Outcome::Durable(_) => Some(true),
                Outcome::Unconfirmed => None,
                Outcome::Refused | Outcome::Unknown | Outcome::Unsent => Some(false),
            },
        };
        let number = usize::try_from(finished.number).unwrap_or(usize::MAX);
        if let Some(slot) = self.ends.get_mut(number) {
            *slot = Some(end);
        }
    }
}

impl Loaded {
    /// The longest time in which no planned request got a receipt.
    pub fn longest_refusal(&self) -> Duration {
        longest_refusal(self.ends.iter().flatten())
    }

    /// The longest that a receipt took.
    pub fn longest_wait(&self) -> Duration {
        let durable = self.ends.iter().flatten().filter(|end| end.durable == Some(true));
        durable.map(|end| end.at - end.planned).max().unwrap_or_default()
    }

    /// Whether request `number` was answered before `moment`.
    pub fn ended_before(&self, number: u64, moment: Instant) -> bool {
        let end = usize::try_from(number).ok().and_then(|number| *self.ends.get(number)?);
        end.is_some_and(|end| end.at < moment)
    }
}

fn longest_refusal<'a>(ends: impl Iterator<Item = &'a End>) -> Duration {
    let (mut longest, mut since) = (Duration::ZERO, None);
    for (end, durable) in ends.filter_map(|end| Some((end, end.durable?))) {
        let begin = *since.get_or_insert(end.planned);
        longest = longest.max(end.planned - begin);
        if durable {
            since = None;
        }
    }
    longest
}

/// Further fields of each form that hold a mailbox where none belongs: of unknown meaning, a sub id, a campaign, a click id, a landing page's query.
const ASTRAY: [&str; 5] = [
    "shoe_size=astray@example.org",
    "sub2=astray@example.org",
    "utm_source=astray@example.org",
    "gclid=astray@example.org",
    "landing_page=https://shop.example/?mail=astray%40example.org&utm_term=astray@example.org",
];

/// Sends the default mix to the edge and writes the receipts.
pub async fn load(
    edge: &str,
    options: &FaultsOptions,
    seconds: u32,
    seed: u64,
    receipts: &Path,
) -> anyhow::Result<Loaded> {
    let mut words = vec!["leadtrail-load", "run", "--target", edge, "--mix", MIX];
    words.extend(ASTRAY.iter().flat_map(|field| ["--field", field]));
    let Command::Run(run) = <Options as clap::Parser>::try_parse_from(words)?.command else {
        unreachable!("the words say run")
    };
    let site = run.load.site()?;
    let mix = mix_for(run.mix.as_ref(), &site)?;
    let schedule = Schedule::new(options.rate, seconds)?;
    let name = new_run_name()?;
    let writer = ReceiptsWriter::create(receipts, &name, schedule.count(), now_ms())?;
    let ends = vec![None; usize::try_from(schedule.count())?];
    let loaded = Rc::new(RefCell::new(Loaded { tally: Tally::default(), ends, receipts: writer }));
    let requests = Rc::new(Requests { site, mix, seed, run: name });
    let load = Load {
        target: run.load.target.address,
        connections: options.connections.into(),
        timeout: TIMEOUT,
    };
    let generator =
        Generator::connect(load, requests, Rc::<RefCell<Loaded>>::clone(&loaded)).await?;
    let flush = || loaded.borrow_mut().receipts.flush();
    let fired = fire_and_flush(&generator, schedule, flush).await?;
    loaded.borrow_mut().receipts.finish(fired.count)?;
    drop(generator);
    // Aborted tasks let go of their share when they are next polled.
    while Rc::strong_count(&loaded) > 1 {
        tokio::task::yield_now().await;
    }
    Ok(Rc::into_inner(loaded).expect("the count was looked at").into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_refusal_lasts_until_the_next_request_that_is_accepted() {
        let start = Instant::now();
        let end = |second: u64, durable| {
            let planned = start + Duration::from_secs(second);
            End { planned, sent: Some(planned), at: planned, durable }
        };
        let (yes, no) = (Some(true), Some(false));
        let ends = [end(0, yes), end(1, no), end(2, no), end(3, None), end(4, yes), end(5, no)];
        assert_eq!(longest_refusal(ends.iter()), Duration::from_secs(3));
        assert_eq!(longest_refusal(ends[..1].iter()), Duration::ZERO);
        assert_eq!(longest_refusal([].iter()), Duration::ZERO);
    }
}
