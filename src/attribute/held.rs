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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::attribute::meaning::Meaning;
    use crate::check::dialects::Dialects;
    use crate::config::Config;
    use crate::decision;
    use crate::enrich::Enricher;
    use crate::enrich::spam::Judge;
    use crate::event::{Event, EventType, FormPost, tests::sample};
    use crate::ids::EventId;
    use crate::keys::Keys;
    use crate::personal::PersonalText;
    use crate::registry::Registry;

    struct Bench {
        enricher: Enricher,
        judge: Judge,
        keys: Keys,
        meaning: Meaning,
        offset: u64,
        rows: Rows,
    }

    impl Bench {
        fn new() -> Self {
            let config = Config::load(None, std::iter::empty()).unwrap();
            let registry = Arc::new(Registry::load("").unwrap());
            let dialects = Arc::new(Dialects::built_in());
            Self {
                enricher: Enricher::open(&config.enrich).unwrap(),
                judge: Judge::new(&config.spam),
                keys: Keys::open(tempfile::tempdir().unwrap().path()).unwrap(),
                meaning: Meaning::open(&config.forms, dialects, registry).unwrap(),
                offset: 0,
                rows: Rows::default(),
            }
        }

        fn add(&mut self, event: Event, held_before: Option<bool>) {
            let place = Place { epoch: 1, partition: 0, offset: self.offset };
            let Self { keys, judge, meaning, enricher, rows, .. } = self;
            let basis = Basis { place, keys, judge, meaning };
            rows.add(enricher.enrich(event), basis, held_before);
            self.offset += 1;
        }

        /// Rows of leads, conversions, quarantine and events.
        fn counts(&self) -> [usize; 4] {
            let rows = &self.rows;
            [rows.leads.len(), rows.conversions.len(), rows.quarantine.len(), rows.events.len()]
        }
    }

    fn lead(trap: &str) -> Event {
        let id = EventId::from_parts(1_790_000_000_000, 7, 9);
        let mut event = sample(EventType::Lead, id);
        event.client.agent =
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".into();
        let fields = [("email", "jane@example.com"), ("_gotcha", trap)];
        let fields =
            fields.iter().map(|(name, value)| ((*name).to_owned(), PersonalText::new(*value)));
        event.form = Some(FormPost {
            form: "contact".into(),
            fields: fields.collect(),
            ..FormPost::default()
        });
        event
    }

    #[test]
    fn a_held_lead_is_kept_whole_and_counted_nowhere() {
        let mut bench = Bench::new();
        bench.add(lead("x"), None);
        assert_eq!(bench.counts(), [0, 0, 1, 1]);
        let (held, event) = (&bench.rows.quarantine[0], &bench.rows.events[0]);
        assert_eq!((held.state, held.score, held.version), ("held", 100, 1));
        assert_eq!(Event::from_record(&held.payload).unwrap(), lead("x"));
        assert_eq!(event.flags.0, [QUARANTINED]);
        assert_eq!(event.traffic_class, TrafficClass::Suspect as i8);
        assert_eq!(event.email_key, Key16::default(), "it identifies nobody");
        bench.add(lead(""), None);
        assert_eq!(bench.counts(), [1, 1, 1, 2]);
    }

    #[test]
    fn complaints_and_requests_for_help_are_scored_like_leads() {
        for kind in [EventType::Complaint, EventType::ServiceContact] {
            let mut bench = Bench::new();
            bench.add(Event { event_type: kind, ..lead("x") }, None);
            assert_eq!(bench.counts(), [0, 0, 1, 1]);
            assert!(bench.rows.service_contacts.is_empty());
            assert_eq!(bench.rows.quarantine[0].reasons.0, ["honeypot"]);
            bench.add(Event { event_type: kind, ..lead("") }, None);
            assert_eq!((bench.rows.service_contacts.len(), bench.counts()), (1, [0, 0, 1, 2]));
        }
    }

    #[test]
    fn what_an_earlier_attempt_judged_stands() {
        let mut bench = Bench::new();
        bench.add(lead("x"), Some(false));
        assert_eq!(bench.counts(), [1, 1, 0, 1]);
        assert_eq!(bench.rows.leads[0].spam_reasons.0, ["honeypot"]);
        bench.add(lead(""), Some(true));
        assert_eq!(bench.counts(), [1, 1, 1, 2]);
    }

    #[test]
    fn a_release_gives_the_lead_that_it_would_have_been_and_a_drop_gives_none() {
        let mut bench = Bench::new();
        let decide = |act: Act| Decision {
            act,
            id: lead("x").id,
            event_time: lead("x").event_time,
            form: "contact".into(),
            score: 100,
            reasons: vec!["honeypot".into()],
            ruleset: 1,
            event: None,
        };
        for (offset, act) in [(40, Act::Release), (41, Act::Drop)] {
            let place = Place { epoch: 1, partition: 0, offset };
            let mut event = decision::event("demo".into(), decide(act), 1_790_000_900_000);
            let decision = event.decision.take().unwrap();
            let Bench { keys, judge, meaning, rows, enricher, .. } = &mut bench;
            let released = (act == Act::Release).then(|| enricher.enrich(lead("x")));
            let basis = Basis { place, keys, judge, meaning };
            let enriched = enricher.enrich(event);
            rows.add_decision(enriched, &decision, released, basis);
        }
        assert_eq!(bench.counts(), [1, 1, 2, 2]);
        let lead_row = &bench.rows.leads[0];
        assert_eq!(lead_row.event_time, Millis(1_790_000_000_000), "its first time");
        assert_eq!((lead_row.log_offset, lead_row.id_seq, lead_row.id_node), (40, 7, 9));
        assert_eq!(lead_row.traffic_class, "human");
        assert_eq!(bench.rows.conversions[0].log_offset, 40, "settling sees it as new");
        let states: Vec<_> = bench
            .rows
            .quarantine
            .iter()
            .map(|row| (row.state, row.version, row.payload.len()))
            .collect();
        assert_eq!(states, [("released", 3, 0), ("dropped", 2, 0)]);
        let events: Vec<_> =
            bench.rows.events.iter().map(|row| (row.event_type, row.status.as_str())).collect();
        assert_eq!(events, [(8, "released"), (8, "dropped")]);
    }
}
