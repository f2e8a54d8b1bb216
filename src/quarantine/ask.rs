//! Asking: rows of `quarantine`.
//!
//! In: a filter. Out: [`Held`] rows, newest first. Refuses: a period that is none. Promises: values are bound, never written into the statement.

use clickhouse::Row;
use jiff::Timestamp;
use serde::Deserialize;

use crate::event::Event;
use crate::quarantine::Which;
use crate::report::period::{Period, Preset};
use crate::report::question::BadQuestion;
use crate::store::{StoreError, Warehouse};

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
