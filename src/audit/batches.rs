//! The chain of recorded batches, and events that stand twice: what the warehouse tells of itself, also where the log is gone.
//!
//! In: the warehouse, and how far each partition is committed. Out: gaps between batches, and doubled events by minute. Refuses: nothing. Promises: a day at a time, so memory is bounded; nothing
//! behind a committed position is called a gap.

use clickhouse::Row;
use serde::Deserialize;

use crate::audit::findings::{Finding, Sort};
use crate::replay::log::Part;
use crate::store::{StoreError, Warehouse};

const BATCHES: &str = include_str!("batches.sql");
const TWINS: &str = include_str!("twins.sql");

/// Offsets of one partition that no recorded batch covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Which life of the log.
    pub epoch: u64,
    /// Which partition.
    pub partition: u16,
    /// The first offset.
    pub from: u64,
    /// The first offset after it.
    pub to: u64,
}

#[derive(Row, Deserialize)]
struct Found {
    log_epoch: u64,
    log_partition: u16,
    gap_from: u64,
    gap_to: u64,
    is_first: u8,
}

/// The gaps of the past, and of the present up to what is committed.
pub async fn gaps(warehouse: &Warehouse, parts: &[Part]) -> Result<Vec<Gap>, StoreError> {
    let found: Vec<Found> = warehouse
        .ask("looking for gaps between batches", warehouse.client().query(BATCHES))
        .await?;
    let mut gaps = Vec::new();
    for part in parts {
        let is_known = found
            .iter()
            .any(|gap| (gap.log_epoch, gap.log_partition) == (part.epoch, part.partition));
        if !is_known && part.start < part.committed {
            let Part { partition, epoch, start, committed } = *part;
            gaps.push(Gap { epoch, partition, from: start, to: committed });
        }
    }
    for gap in found {
        let Found { log_epoch: epoch, log_partition: partition, gap_from, gap_to, is_first } = gap;
        let present = parts.iter().find(|part| (part.epoch, part.partition) == (epoch, partition));
        let (from, to) = match (present, is_first == 1) {
            (Some(part), true) => (part.start, gap_to.min(part.committed)),
            (Some(part), false) => (gap_from, gap_to.min(part.committed)),
            // Where an earlier life began and how far it was committed, nobody knows any more.
            (None, true) => continue,
            (None, false) if gap_to == u64::MAX => continue,
            (None, false) => (gap_from, gap_to),
        };
        if from < to {
            gaps.push(Gap { epoch, partition, from, to });
        }
    }
    Ok(gaps)
}

#[derive(Row, Deserialize)]
struct Twins {
    minute_ms: i64,
    epoch: u64,
    partition: u16,
    from_offset: u64,
    to_offset: u64,
    extra_rows: u64,
}

/// The days that have events.
pub async fn days(warehouse: &Warehouse) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT toString(toDate(event_time)) AS day FROM events GROUP BY day ORDER BY day";
    warehouse.ask("looking which days have events", warehouse.client().query(sql)).await
}

/// Events of a day that stand more than once.
pub async fn twins(warehouse: &Warehouse, day: &str) -> Result<Vec<Finding>, StoreError> {
    let query = warehouse.client().query(TWINS).param("day", day);
    let found: Vec<Twins> = warehouse.ask("looking for events that stand twice", query).await?;
    let finding = |twins: Twins| Finding {
        sort: Sort::Doubled,
        table: "events",
        epoch: twins.epoch,
        partition: twins.partition,
        from: twins.from_offset,
        to: twins.to_offset,
        rows: twins.extra_rows,
        received_ms: Some((twins.minute_ms, twins.minute_ms)),
        healed: false,
        remark: super::DOUBLED,
    };
    Ok(found.into_iter().map(finding).collect())
}
