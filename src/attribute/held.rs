//! Held: the rows of submissions that were judged spam, and of what a person decided about them.
//!
//! In: an event with its judgement, or a decision. Out: rows of `quarantine`; on a release also the submission's own rows, with its
//! own time and the place of the decision in the log, by which settling finds it as something new. Refuses: nothing.
//! Promises: a held submission is in no table that a report counts; a decision twice, or a replay, changes nothing, for released beats
//! dropped, dropped beats held, and leads collapse by their own id.

use crate::attribute::{Basis, Place, Rows, event_row, lead};
use crate::decision::{Act, Decision};
use crate::enrich::Enriched;
use crate::enrich::spam::{Judgement, RULESET};
use crate::enrich::verdict::TrafficClass;
use crate::store::native::{Key16, Millis, Texts};
use crate::store::rows::QuarantineRow;

/// The flag in `events` of a submission that was held.
pub const QUARANTINED: &str = "quarantined";

/// `quarantine.version` of each state.
mod version {
    pub const HELD: u8 = 1;
    pub const DROPPED: u8 = 2;
    pub const RELEASED: u8 = 3;
}

fn words(reasons: &[&'static str]) -> Texts {
    Texts(reasons.iter().map(|reason| (*reason).to_owned()).collect())
}

impl Rows {
    /// Adds the row of a held submission, and marks the event: no report that counts people shall count it.
    pub(super) fn hold(&mut self, enriched: &mut Enriched, judgement: Judgement, place: Place) {
        let event = &mut enriched.event;
        let row = QuarantineRow {
            site: event.site.clone(),
            event_time: Millis(event.event_time),
            id_seq: event.id.sequence(),
            id_node: event.id.node(),
            received_lag_ms: event.id.millis() - event.event_time,
            form: event.form.as_ref().map_or_else(String::new, |form| form.form.clone()),
            state: "held",
            score: judgement.score,
            reasons: words(&judgement.reasons),
            ruleset: RULESET,
            payload: event.to_record(),
            at: Millis(event.id.millis()),
            version: version::HELD,
            log_epoch: place.epoch,
            log_partition: place.partition,
            log_offset: place.offset,
        };
        self.quarantine.push(row);
        event.flags.push(QUARANTINED.to_owned());
        let verdict = &mut enriched.verdict;
        if matches!(verdict.class, TrafficClass::Human | TrafficClass::ProxyOpen) {
            verdict.class = TrafficClass::Suspect;
        }
        verdict.score = verdict.score.max(judgement.score);
        verdict.reasons.extend(judgement.reasons);
    }

    /// Adds the rows of a decision, and on a release those of the submission.
    pub fn add_decision(
        &mut self,
        enriched: Enriched,
        decision: &Decision,
        released: Option<Enriched>,
        basis: Basis<'_>,
    ) {
        let Basis { place, judge, .. } = basis;
        let event = &enriched.event;
        self.quarantine.push(QuarantineRow {
            site: event.site.clone(),
            event_time: Millis(decision.event_time),
            id_seq: decision.id.sequence(),
            id_node: decision.id.node(),
            received_lag_ms: decision.id.millis() - decision.event_time,
            form: decision.form.clone(),
            state: decision.act.state(),
            score: decision.score,
            reasons: Texts(decision.reasons.clone()),
            ruleset: decision.ruleset,
            payload: Vec::new(),
            at: Millis(event.event_time),
            version: match decision.act {
                Act::Release => version::RELEASED,
                Act::Drop => version::DROPPED,
            },
            log_epoch: place.epoch,
            log_partition: place.partition,
            log_offset: place.offset,
        });
        if let Some(submission) = released {
            let lead = lead::of(&submission, basis);
            let judgement = lead
                .as_ref()
                .map_or_else(Judgement::default, |lead| lead.judge(&submission.event, judge));
            self.add_facts(&submission, lead, judgement, place);
        }
        let mut row = event_row(enriched, place, Key16::default(), Key16::default());
        row.form.clone_from(&decision.form);
        decision.act.state().clone_into(&mut row.status);
        self.events.push(row);
    }
}
