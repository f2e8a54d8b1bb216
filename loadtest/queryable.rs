//! `queryable`: how long from the answer until the event is in a query's result. In: a load, of which
//! some events a second are watched. Out: p50, p99 and maximum over the watched ones. Each figure is an
//! upper bound: it ends when the query that found the event had answered.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::generator::{Generator, Observer};
use crate::histogram::Histogram;
use crate::options::QueryableOptions;
use crate::outcome::{Finished, Outcome};
use crate::requests::{Requests, tag};
use crate::run::{lateness_warning, new_run_name, now_ms};
use crate::schedule::Schedule;
use crate::site::mix_for;
use crate::tally::{Tally, milliseconds};
use crate::warehouse::Warehouse;

/// Tags in one query; older ones go first.
const LOOK_TAGS_MAX: usize = 500;
/// Watched events that are not found yet; further ones are not watched (and the run says so).
const WATCHED_MAX: usize = 20_000;

/// Events whose row is awaited, in the order of their answers.
#[derive(Default)]
struct Watched {
    waiting: VecDeque<(String, Instant)>,
    not_watched: u64,
    found: Histogram,
}

impl Watched {
    /// Takes up to [`LOOK_TAGS_MAX`] of those that wait longest.
    fn oldest(&self) -> Vec<String> {
        self.waiting.iter().take(LOOK_TAGS_MAX).map(|(tag, _)| tag.clone()).collect()
    }

    /// Notes that `tags` were seen at `now`.
    fn found(&mut self, tags: &[String], now: Instant) {
        let mut answered: HashMap<&str, Instant> = HashMap::new();
        for (tag, at) in &self.waiting {
            answered.insert(tag, *at);
        }
        // A tag that is stored twice is found once.
        let found: HashMap<&str, Instant> = tags
            .iter()
            .filter_map(|tag| answered.get(tag.as_str()).map(|at| (tag.as_str(), *at)))
            .collect();
        for at in found.values() {
            self.found.record(now.saturating_duration_since(*at));
        }
        self.waiting.retain(|(tag, _)| !found.contains_key(tag.as_str()));
    }
}

struct Sampler {
    tally: Tally,
    run: String,
    /// One request in this many is watched.
    every: u64,
    watched: Rc<RefCell<Watched>>,
}

impl Observer for Sampler {
    fn finished(&mut self, finished: &Finished) {
        self.tally.count(finished);
        let durable = matches!(finished.outcome(), Outcome::Durable(_));
        if durable && finished.number.is_multiple_of(self.every) {
            let mut watched = self.watched.borrow_mut();
            if watched.waiting.len() < WATCHED_MAX {
                watched.waiting.push_back((tag(&self.run, finished.number), finished.ended));
            } else {
                watched.not_watched += 1;
            }
        }
    }
}

/// Sends and watches; true when every watched event was found.
///
/// # Errors
/// When the load cannot be made.
pub async fn queryable(options: QueryableOptions) -> anyhow::Result<bool> {
    let site = options.load.site()?;
    let mix = mix_for(options.mix.as_ref(), &site)?;
    let schedule = Schedule::new(options.rate, options.seconds)?;
    let warehouse = options.warehouse.warehouse()?;
    let (run, start_ms) = (new_run_name()?, now_ms());
    let watched = Rc::new(RefCell::new(Watched::default()));
    let sampler = Rc::new(RefCell::new(Sampler {
        tally: Tally::default(),
        run: run.clone(),
        every: u64::from(options.rate / options.samples).max(1),
        watched: Rc::clone(&watched),
    }));
    let requests = Rc::new(Requests { site, mix, seed: options.load.seed, run });
    let observer = Rc::<RefCell<Sampler>>::clone(&sampler);
    let generator = Generator::connect(options.load.load(), requests, observer).await?;

    let all_answered = Cell::new(None);
    let look = Look {
        warehouse: &warehouse,
        watched: &watched,
        // The edge's clock is this machine's; a second covers its reading it before we did.
        start_ms: start_ms.saturating_sub(1_000),
        every: Duration::from_millis(options.look_ms.into()),
        all_answered: &all_answered,
        wait: options.wait,
    };
    let stop = Cell::new(false);
    let fire = async {
        let fired = generator.fire(schedule, 0, &stop).await;
        all_answered.set(Some(Instant::now()));
        fired
    };
    let (fired, looks) = tokio::join!(fire, look.until_all_are_found());
    let fired = fired?;
    let watched = watched.borrow();
    print!("{}", sampler.borrow().tally.text());
    print!("{}", lateness_warning(fired.lateness.quantile_ms(0.99)));
    print!("{}", result_text(&watched, &looks));
    Ok(watched.waiting.is_empty() && watched.found.count() > 0)
}

/// How the watched events are looked for.
struct Look<'a> {
    warehouse: &'a Warehouse,
    watched: &'a RefCell<Watched>,
    start_ms: u64,
    every: Duration,
    all_answered: &'a Cell<Option<Instant>>,
    wait: Duration,
}

/// What the looking itself took.
#[derive(Default)]
struct Looks {
    took: Histogram,
    failed: u64,
    last_error: Option<String>,
}

impl Look<'_> {
    /// Asks again and again; ends when all are found, or `wait` after the last answer.
    async fn until_all_are_found(&self) -> Looks {
        let mut looks = Looks::default();
        loop {
            let tags = self.watched.borrow().oldest();
            match self.all_answered.get() {
                Some(_) if tags.is_empty() => return looks,
                Some(since) if since.elapsed() > self.wait => return looks,
                _ => {}
            }
            if !tags.is_empty() {
                let asked = Instant::now();
                let names: Vec<&str> = tags.iter().map(String::as_str).collect();
                match self.warehouse.tags_stored(&names, self.start_ms).await {
                    Ok(found) => {
                        looks.took.record(asked.elapsed());
                        self.watched.borrow_mut().found(&found, Instant::now());
                    }
                    Err(error) => {
                        looks.failed += 1;
                        looks.last_error = Some(format!("{:#}", anyhow::Error::from(error)));
                    }
                }
            }
            tokio::time::sleep(self.every).await;
        }
    }
}

fn result_text(watched: &Watched, looks: &Looks) -> String {
    let mut text = format!(
        "answer to queryable, {} events: p50 {} p99 {} max {} ms\n\
         looked {} times, one look took p50 {} p99 {} ms (part of each figure)\n",
        watched.found.count(),
        milliseconds(watched.found.quantile_ms(0.5)),
        milliseconds(watched.found.quantile_ms(0.99)),
        milliseconds(watched.found.max_ms()),
        looks.took.count(),
        milliseconds(looks.took.quantile_ms(0.5)),
        milliseconds(looks.took.quantile_ms(0.99)),
    );
    if watched.found.count() == 0 {
        text += "WARNING: no event was found: there is no figure\n";
    }
    if !watched.waiting.is_empty() {
        text += &format!("WARNING: {} watched events were never found\n", watched.waiting.len());
    }
    if watched.not_watched > 0 {
        text += &format!("{} events were not watched: too many wait\n", watched.not_watched);
    }
    if let Some(error) = &looks.last_error {
        text += &format!("{} looks failed, the last: {error}\n", looks.failed);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_found_event_counts_once_with_its_own_wait() {
        let start = Instant::now();
        let mut watched = Watched::default();
        for number in 0..3 {
            let at = start + Duration::from_millis(10 * number);
            watched.waiting.push_back((format!("r-{number}"), at));
        }
        let tags = |tags: &[&str]| tags.iter().map(|&tag| tag.to_owned()).collect::<Vec<_>>();
        let now = start + Duration::from_millis(100);
        watched.found(&tags(&["r-1", "r-1", "r-9"]), now);
        assert_eq!((watched.found.count(), watched.found.max_ms()), (1, Some(90.0)));
        assert_eq!(watched.oldest(), tags(&["r-0", "r-2"]));
        watched.found(&tags(&["r-0", "r-2"]), now);
        assert_eq!((watched.found.count(), watched.found.max_ms()), (3, Some(100.0)));
        assert!(watched.waiting.is_empty());
    }

    #[test]
    fn no_event_found_is_told_as_such() {
        let text = result_text(&Watched::default(), &Looks::default());
        assert!(text.contains("no event was found"), "{text}");
    }
}
