//! What one round came to. In: figures. Out: one line of `name=value`, and whether all is well.

use std::fmt;
use std::time::Duration;

use crate::faults::tables::RowFaults;

/// The figures of a round.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Receipts.
    pub durable: u64,
    /// Receipts whose event is stored.
    pub stored: u64,
    /// Receipts whose event is a dead letter.
    pub dead: u64,
    /// Receipts whose event is nowhere.
    pub lost: usize,
    /// Receipts from before the log was destroyed, whose event is nowhere.
    pub wiped: usize,
    /// Receipts whose record's bits were changed in the log, and how many records those were.
    pub spoiled: (usize, u64),
    /// Ids or requests that are stored more than once.
    pub doubled: usize,
    /// Stored, though refused or never sent.
    pub unexpected: usize,
    /// Stored with another's tag.
    pub mistagged: usize,
    /// What the tables' rows say.
    pub rows: RowFaults,
    /// Conversions that are not settled.
    pub unsettled: i64,
    /// Processes that ended unasked.
    pub ended: usize,
    /// Places outside the personal tables that hold a personal value.
    pub personal: usize,
    /// Refused, without an answer, never sent.
    pub not_taken: (u64, u64, u64),
    /// Redirects without a receipt, and how many of them are stored.
    pub unconfirmed: (u64, u64),
    /// The longest time in which no planned request got a receipt.
    pub refusal: Duration,
    /// The longest that a receipt took.
    pub wait: Duration,
    /// From the end of fault and load until all was there.
    pub drained: Duration,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_well(&self) -> bool {
        self.durable > 0
            && self.lost
                + self.doubled
                + self.unexpected
                + self.mistagged
                + self.ended
                + self.personal
                == 0
            && self.unsettled == 0
            && self.rows.is_none()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = &self.rows;
        write!(
            formatter,
            "durable={} stored={} dead={} lost={} doubled={} unexpected={} mistagged={} wiped={} spoiled={}/{} rows_doubled={} rows_missing={} unsettled={} ended={} personal={} \
             refused={} unknown={} unsent={} unconfirmed_stored={}/{} refusal_s={:.1} wait_s={:.1} drain_s={:.1}",
            self.durable,
            self.stored,
            self.dead,
            self.lost,
            self.doubled,
            self.unexpected,
            self.mistagged,
            self.wiped,
            self.spoiled.0,
            self.spoiled.1,
            rows.events_doubled + rows.others_doubled + rows.positions_doubled,
            rows.conversions_missing.abs() + rows.leads_missing.abs() + rows.keys_missing.abs(),
            self.unsettled,
            self.ended,
            self.personal,
            self.not_taken.0,
            self.not_taken.1,
            self.not_taken.2,
            self.unconfirmed.1,
            self.unconfirmed.0,
            self.refusal.as_secs_f64(),
            self.wait.as_secs_f64(),
            self.drained.as_secs_f64(),
        )
    }
}
