//! Refused rows: which of a batch's rows does ClickHouse refuse?
//!
//! In: rows of an insert that was refused. Out: the offsets of the bad ones. Refuses: nothing. Promises: writes nothing, for it
//! asks a twin of the table with `ENGINE = Null`, which checks types and constraints; takes about log2(rows) inserts a bad row.

use std::collections::HashSet;

use crate::attribute::Rows;
use crate::store::native::Row;
use crate::store::{StoreError, Warehouse};

/// Finds the offsets of the rows that `table` refuses.
pub async fn find(
    warehouse: &Warehouse,
    table: &str,
    rows: &Rows,
) -> Result<HashSet<u64>, StoreError> {
    match table {
        "leads" => search(warehouse, "leads_check", &rows.leads).await,
        "service_contacts" => {
            search(warehouse, "service_contacts_check", &rows.service_contacts).await
        }
        "refusals" => search(warehouse, "refusals_check", &rows.refusals).await,
        "quarantine" => search(warehouse, "quarantine_check", &rows.quarantine).await,
        "conversions" => search(warehouse, "conversions_check", &rows.conversions).await,
        "touch_keys" => search(warehouse, "touch_keys_check", &rows.touch_keys).await,
        _ => search(warehouse, "events_check", &rows.events).await,
    }
}

async fn search<R: Row>(
    warehouse: &Warehouse,
    check_table: &str,
    rows: &[R],
) -> Result<HashSet<u64>, StoreError> {
    let mut bad = HashSet::new();
    let mut open = vec![rows];
    while let Some(part) = open.pop() {
        // A Null table has no window of tokens, so the token says nothing here.
        match warehouse.insert(check_table, part.iter(), "check").await {
            Ok(()) => {}
            Err(StoreError::Rows { .. }) if part.len() == 1 => {
                bad.insert(part[0].log_offset());
            }
            Err(StoreError::Rows { .. }) => {
                let (left, right) = part.split_at(part.len() / 2);
                open.push(right);
                open.push(left);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(bad)
}
