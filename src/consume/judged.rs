//! Judged: what an earlier attempt at the same batch took for spam.
//!
//! In: a border that was left open. Out: for each stored event of it, whether it was held. Refuses: nothing. Promises: a submission ends either in
//! `leads` or in `quarantine`, also when the rules or weights changed between the crash and the recovery: `events` is
//! written first, and its flag is the verdict. Where that row was lost and is to be mended, the narrower tables tell.

use std::collections::HashMap;

use clickhouse::Row;
use serde::Deserialize;

use crate::attribute::QUARANTINED;
use crate::consume::assignment::Border;
use crate::store::{StoreError, Warehouse};

#[derive(Row, Deserialize)]
struct Stored {
    log_offset: u64,
    held: u8,
}

const EARLIER: &str = include_str!("judged.sql");

/// What stands in the tables already.
#[derive(Debug, Default)]
pub struct Earlier(HashMap<u64, bool>);

impl Earlier {
    /// Whether the record at this offset was held; `None` when it isn't stored.
    pub fn held(&self, offset: u64) -> Option<bool> {
        self.0.get(&offset).copied()
    }
}

/// Asks the tables.
pub async fn earlier(
    warehouse: &Warehouse,
    partition: u16,
    border: Border,
) -> Result<Earlier, StoreError> {
    let mut query = warehouse.client().query(EARLIER).bind(QUARANTINED);
    for _table in 0..4 {
        query = query.bind(border.epoch).bind(partition).bind(border.from).bind(border.to);
    }
    let rows: Vec<Stored> = warehouse.ask("looking what was judged spam", query).await?;
    Ok(Earlier(rows.into_iter().map(|row| (row.log_offset, row.held == 1)).collect()))
}
