//! Refusal reports: what one edge refused, counted by minute, as the log holds it.
//!
//! In: counts of one edge. Out: one line of JSON that begins with `{"refusals":`, so that it is told from an event by its first
//! bytes. Refuses: a version that this program doesn't know. Promises: a report holds no personal value, and the same report read
//! twice gives the same rows, for its keys name the edge's life and the report's number.
//!
//! It is no [`crate::event::Event`]: nothing happened to a visitor, one report stands for many requests, and no figure of events may
//! grow by it. It travels in the same log, so that the counts are in ClickHouse exactly once and need no way of their own.

use serde::{Deserialize, Serialize};

use crate::event::Unreadable;
use crate::ids::EventId;

/// The version of a report's shape.
pub const VERSION: u8 = 1;

/// How every report begins; no event does.
const BEGINNING: &[u8] = b"{\"refusals\":";

/// What one edge refused since its last report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`VERSION`]. Stands first: see [`is_report`].
    #[serde(rename = "refusals")]
    pub v: u8,
    /// The record's id.
    pub id: EventId,
    /// 64 random bits for each start of an edge.
    pub life: u64,
    /// The report's number in this life, from 1.
    pub number: u32,
    /// At least one.
    pub counts: Vec<Count>,
}

/// Refusals of one kind in one minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// Whole minutes since 1970.
    pub minute: i64,
    /// Whose site; empty where that isn't known.
    pub site: String,
    /// Which form, or which postback; empty where that isn't known.
    pub form: String,
    /// By which door.
    pub door: String,
    /// Why: a code of `check`.
    pub code: String,
    /// Of a postback: the parameter that it is about, by the network's own name; empty where it is about none.
    #[serde(default)]
    pub parameter: String,
    /// How many.
    pub count: u64,
    /// The shape of one of them, without values.
    pub sample: String,
}

/// True for a record that is a report.
pub fn is_report(record: &[u8]) -> bool {
    record.starts_with(BEGINNING)
}

impl Report {
    /// The record's bytes: one line of JSON.
    pub fn to_record(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and texts are always JSON")
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When it is no report of this version; says where, never what stood there.
    pub fn from_record(bytes: &[u8]) -> Result<Self, Unreadable> {
        let report: Self =
            serde_json::from_slice(bytes).map_err(|error| Unreadable::shape(&error))?;
        if report.v == VERSION { Ok(report) } else { Err(Unreadable::Version(report.v)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventType, tests::sample};

    #[test]
    fn a_report_is_read_back_equal_and_is_told_from_an_event() {
        let count = Count {
            minute: 29_833_333,
            site: "shop".into(),
            form: "contact".into(),
            door: "form".into(),
            code: "empty".into(),
            parameter: "subid".into(),
            count: 3,
            sample: String::new(),
        };
        let id = EventId::from_parts(1_790_000_000_000, 1, 2);
        let report = Report { v: VERSION, id, life: u64::MAX, number: 7, counts: vec![count] };
        let record = report.to_record();
        assert!(is_report(&record));
        assert_eq!(Report::from_record(&record).unwrap(), report);
        assert!(Event::from_record(&record).is_err());
        assert!(!is_report(&sample(EventType::Lead, id).to_record()));
        let newer = Report { v: 9, ..report };
        assert!(matches!(Report::from_record(&newer.to_record()), Err(Unreadable::Version(9))));
        assert!(Report::from_record(b"{\"refusals\":1}").is_err());
    }
}
