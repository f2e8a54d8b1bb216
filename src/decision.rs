//! A decision: what a person made of a submission that was held as spam.
//!
//! In: a row of `quarantine` and what is to become of it. Out: an [`Event`] that says so, to be written to the log. Refuses:
//! nothing. Promises: a release carries the whole submission, so that the log alone says what happened: a replay from zero gives the same leads, whatever
//! the tables held and whatever the rules say by then.

use serde::{Deserialize, Serialize};

use crate::event::{Event, EventType, SCHEMA_VERSION, SourceKind};
use crate::ids::{EventId, RecipientKey};

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// It is an ordinary lead, with its first time.
    Release,
    /// It is spam: what was typed is deleted.
    Drop,
}

impl Act {
    /// As `events.status` and `quarantine.state` say it.
    pub fn state(self) -> &'static str {
        match self {
            Self::Release => "released",
            Self::Drop => "dropped",
        }
    }
}

/// A decision as the log holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// What becomes of it.
    pub act: Act,
    /// The submission's own id, with the time of its receipt.
    pub id: EventId,
    /// The submission's own time.
    pub event_time: i64,
    /// Its form.
    pub form: String,
    /// What it scored when it was held.
    pub score: u8,
    /// Why, in closed words.
    pub reasons: Vec<String>,
    /// By which version of the rules.
    pub ruleset: u16,
    /// The submission itself, when it is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Box<Event>>,
}

/// The event that carries a decision on a submission of this site. Its id and time are given where it is recorded.
pub fn event(site: String, decision: Decision, now_ms: i64) -> Event {
    let released = decision.event.as_deref();
    Event {
        v: SCHEMA_VERSION,
        id: EventId::from_parts(u64::try_from(now_ms).unwrap_or(0), 0, 0),
        event_type: EventType::LeadStage,
        source: SourceKind::Manual,
        site,
        event_time: now_ms,
        claimed_time: None,
        visitor: released.map_or(crate::ids::VisitorId::NONE, |event| event.visitor),
        visitor_basis: released.map_or_else(Default::default, |event| event.visitor_basis),
        day_hash: crate::ids::DayHash(0),
        submission_key: Default::default(),
        parent_click: None,
        promotion: Default::default(),
        price_currency: None,
        origin: Default::default(),
        client: Default::default(),
        form: None,
        worth: None,
        partner: None,
        others: Vec::new(),
        flags: Vec::new(),
        recipient: RecipientKey::default(),
        decision: Some(decision),
    }
}
