//! Asking: rows of `quarantine`.
//!
//! In: a filter. Out: [`Held`] rows, newest first. Refuses: a period that is none. Promises: values are bound, never written into the statement.

use clickhouse::Row;
use jiff::Timestamp;
use serde::Deserialize;

use crate::event::Event;
use crate::ids::EventId;
use crate::quarantine::Which;
use crate::report::period::{Period, Preset};
use crate::report::question::BadQuestion;
use crate::store::{StoreError, Warehouse, short};

const LIST: &str = include_str!("list.sql");

/// Which rows.
#[derive(Debug)]
pub struct Filter<'a> {
    period: Period,
    site: &'a str,
    form: &'a str,
    reason: &'a str,
    state: &'a str,
    id: &'a str,
    limit: u32,
}

impl<'a> Filter<'a> {
    /// As it was typed.
    pub fn new(which: &'a Which, limit: u32) -> Result<Self, BadQuestion> {
        let Which { site, form, reason, state, period, from, to, .. } = which;
        let period = Period::parse(period, from, to, "", Timestamp::now())?;
        Ok(Self { period, site, form, reason, state, id: "", limit })
    }

    /// The one of this id.
    pub fn of_id(id: &'a str) -> Self {
        let zone = jiff::tz::TimeZone::UTC;
        let period = Period::of_preset(Preset::All, zone, Timestamp::now());
        Self { period, site: "", form: "", reason: "", state: "all", id, limit: 1 }
    }
}

/// One submission. Has no `Debug`: the payload is personal.
#[derive(Row, Deserialize)]
pub struct Held {
    /// The event's id.
    pub id: String,
    /// Whose site.
    pub site: String,
    /// Which form.
    pub form: String,
    /// `held`, `released` or `dropped`.
    pub state: String,
    /// When it came.
    pub event_time_ms: i64,
    /// When it was held or decided.
    pub at_ms: i64,
    /// What it scored.
    pub score: u8,
    /// Why.
    pub reasons: Vec<String>,
    /// By which rules.
    pub ruleset: u16,
    payload: String,
    /// How many match, the limit aside.
    pub row_count: u64,
}

impl Held {
    /// The submission itself, while it is held.
    pub fn event(&self) -> Option<Event> {
        Event::from_record(self.payload.as_bytes()).ok()
    }
}

/// Deletes the held rows of these submissions, which were decided about: the row of the decision has no payload, and hides them already.
/// The parts are rewritten before it ends, so that nothing of what was typed stays on the disk.
pub async fn forget(warehouse: &Warehouse, ids: &[EventId]) -> Result<(), StoreError> {
    // Whole numbers only, so they may be written into the statement.
    let rows: Vec<String> = ids
        .iter()
        .map(|id| format!("({}, {}, {})", id.sequence(), id.node(), id.millis()))
        .collect();
    let sql = format!(
        "ALTER TABLE quarantine DELETE WHERE version = 1 AND \
         (id_seq, id_node, toUnixTimestamp64Milli(event_time) + received_lag_ms) IN ({}) SETTINGS mutations_sync = 1",
        rows.join(", ")
    );
    let done = warehouse.client().query(&sql).execute().await;
    done.map_err(|error| StoreError::Transient {
        action: "deleting what was decided about".to_owned(),
        reason: short(&error),
    })
}

/// Asks.
pub async fn held(warehouse: &Warehouse, filter: &Filter<'_>) -> Result<Vec<Held>, StoreError> {
    let query = warehouse
        .client()
        .query(&LIST.replace('?', "??"))
        .param("from_ms", filter.period.from.as_millisecond())
        .param("to_ms", filter.period.to.as_millisecond())
        .param("site", filter.site)
        .param("form", filter.form)
        .param("reason", filter.reason)
        .param("state", filter.state)
        .param("id", filter.id)
        .param("limit", filter.limit);
    warehouse.ask("reading the quarantine", query).await
}
