//! Refusals, counted: by minute, site, form or postback, door, code and parameter, with the shape of one of each.
//!
//! In: each refusal. Out: once an interval, and when the edge stops, a [`Report`] in the log. Refuses: nothing. Promises: memory is
//! bounded: beyond [`KINDS_MAX`] kinds the rest counts without site and form; a report that the log didn't take, or didn't
//! confirm, is sent again as it is, so that its counts are there once. An edge that is killed takes with it what it counted since its
//! last report: who was refused has been told so, and `/metrics` has the counts up to the last scrape.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::check::Refusal;
use crate::ids::now_millis;
use crate::journal::{Outcome, Patience, Record};
use crate::receive::Edge;
use crate::receive::tally::Door;
use crate::refusals::{Count, Report, VERSION};
use crate::stop::Stop;

/// Kinds that are told apart between two reports: hundreds of forms with what is usually wrong with them. A report of so many, and of
/// the some hundred without site and form, stays below the megabyte that Kafka takes as one record.
const KINDS_MAX: usize = 512;

/// How long a report waits for the log: as long as a form.
const WAIT: Duration = Duration::from_secs(10);

const MINUTE_MS: i64 = 60_000;

/// What was refused: where it is known, whose form it was, and the shape of what was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Whose site.
    pub site: String,
    /// Which form, or which postback.
    pub form: String,
    /// Of a postback: the parameter that it is about.
    pub parameter: String,
    /// Without values; see [`crate::receive::shape`].
    pub sample: String,
}

#[derive(PartialEq, Eq, Hash)]
struct Kind {
    minute: i64,
    site: String,
    form: String,
    door: Door,
    refusal: Refusal,
    parameter: String,
}

impl Kind {
    /// What stands for all beyond [`KINDS_MAX`].
    fn rest(minute: i64, door: Door, refusal: Refusal) -> Self {
        let none = String::new;
        Self { minute, site: none(), form: none(), door, refusal, parameter: none() }
    }
}

#[derive(Default)]
struct State {
    counting: HashMap<Kind, (u64, String)>,
    /// The minute that stands for all beyond [`KINDS_MAX`], so that they stay few however long the log is away.
    rest_minute: Option<i64>,
    /// A report that is not known to be in the log.
    pending: Option<Report>,
    number: u32,
}

/// The counts of one edge since its last report.
pub struct Refusals {
    life: u64,
    state: Mutex<State>,
    /// One report at a time.
    sending: tokio::sync::Mutex<()>,
}

impl Refusals {
    /// For one start of an edge.
    ///
    /// # Errors
    /// When the system gives no random number.
    pub fn new() -> Result<Self, getrandom::Error> {
        let life = getrandom::u64()?;
        Ok(Self { life, state: Mutex::default(), sending: tokio::sync::Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// Counts one.
    pub fn count(&self, door: Door, refusal: Refusal, about: About, now_ms: i64) {
        let minute = now_ms.div_euclid(MINUTE_MS);
        let About { site, form, parameter, sample } = about;
        let mut kind = Kind { minute, site, form, door, refusal, parameter };
        let mut state = self.lock();
        if state.counting.len() >= KINDS_MAX && !state.counting.contains_key(&kind) {
            let minute = *state.rest_minute.get_or_insert(minute);
            kind = Kind::rest(minute, door, refusal);
        }
        let (count, kept) = state.counting.entry(kind).or_default();
        *count += 1;
        if kept.is_empty() {
            *kept = sample;
        }
    }

    /// The report to be sent: one that is pending, else a new one of what was counted.
    fn report(&self, edge: &Edge) -> Option<Report> {
        let mut state = self.lock();
        if state.pending.is_none() && !state.counting.is_empty() {
            state.number += 1;
            state.rest_minute = None;
            let counted = std::mem::take(&mut state.counting);
            let counts = counted.into_iter().map(|(kind, (count, sample))| Count {
                minute: kind.minute,
                site: kind.site,
                form: kind.form,
                door: kind.door.word().to_owned(),
                code: kind.refusal.code().to_owned(),
                parameter: kind.parameter,
                count,
                sample,
            });
            let id = edge.minter.mint(now_millis());
            let (life, number) = (self.life, state.number);
            state.pending = Some(Report { v: VERSION, id, life, number, counts: counts.collect() });
        }
        state.pending.clone()
    }
}

/// Sends what was counted; true when nothing is left.
pub async fn send(edge: &Edge) -> bool {
    let refusals = &edge.refusals;
    let _one = refusals.sending.lock().await;
    while let Some(report) = refusals.report(edge) {
        let (id, payload) = (report.id, report.to_record());
        let record = Record { id, key: id.to_bytes(), payload };
        let append = edge.journal.append(record, Patience::Durable);
        if !matches!(tokio::time::timeout(WAIT, append).await, Ok(Outcome::Durable)) {
            return false;
        }
        refusals.lock().pending = None;
    }
    true
}

/// Sends a report once an interval, until the stop.
pub async fn run(edge: Arc<Edge>, stop: Stop) {
    let interval = Duration::from_secs(edge.settings.refusals_interval_s.max(1));
    loop {
        tokio::select! {
            () = stop.stopped() => return,
            () = tokio::time::sleep(interval) => {}
        }
        if !send(&edge).await {
            tracing::warn!("the log did not take the counts of refusals; they are sent again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(form: &str, sample: &str) -> About {
        About {
            site: "shop".to_owned(),
            form: form.to_owned(),
            sample: sample.to_owned(),
            ..About::default()
        }
    }

    #[test]
    fn kinds_are_told_apart_up_to_a_bound_and_every_refusal_counts() {
        let refusals = Refusals::new().unwrap();
        for number in 0..2 * KINDS_MAX {
            let about = about(&format!("form-{number}"), "");
            // Two minutes, and the log away all the time.
            let now_ms = if number % 2 == 0 { 0 } else { MINUTE_MS };
            refusals.count(Door::Form, Refusal::Empty, about, now_ms);
        }
        let state = refusals.lock();
        assert_eq!(state.counting.len(), KINDS_MAX + 1);
        let counted: u64 = state.counting.values().map(|(count, _)| count).sum();
        assert_eq!(counted, 2 * KINDS_MAX as u64);
        let rest = Kind::rest(0, Door::Form, Refusal::Empty);
        assert_eq!(state.counting[&rest].0, KINDS_MAX as u64);
    }

    #[test]
    fn one_kind_keeps_the_first_shape_that_is_known() {
        let refusals = Refusals::new().unwrap();
        for sample in ["", "urlencoded 3 B: a=word(1)", "another"] {
            refusals.count(Door::Form, Refusal::Empty, about("contact", sample), 5 * MINUTE_MS + 7);
        }
        let state = refusals.lock();
        let (kind, (count, sample)) = state.counting.iter().next().unwrap();
        assert_eq!((kind.minute, *count), (5, 3));
        assert_eq!(sample, "urlencoded 3 B: a=word(1)");
    }
}
