//! The last batch of a log that was lost: begun, never closed, and nobody can send it again.
//!
//! In: the warehouse, the present log, and which lives of the log an operator knows to be gone. Out: one finding for each such batch. Refuses: nothing. Promises: settling takes what
//! stands of it only when the operator says that its log is gone: it could be another machine's, and alive.

use clickhouse::Row;
use serde::Deserialize;

use crate::audit::findings::{Finding, Sort};
use crate::ids::now_millis;
use crate::replay::log::Part;
use crate::store::native::Millis;
use crate::store::rows::IngestBatchRow;
use crate::store::{StoreError, Warehouse};

const TAILS: &str = include_str!("tails.sql");

/// What is to be done about one.
const OPEN: &str = "begun by a log that isn't here: settling waits for it. If that log is gone for good, \
                    `leadtrail audit --heal --gone-epoch EPOCH` lets what stands be settled";

/// What stands of a batch that was not closed.
#[derive(Row, Deserialize)]
pub struct Tail {
    epoch: u64,
    partition: u16,
    from_offset: u64,
    to_offset: u64,
    records: u64,
    first_ms: i64,
    last_ms: i64,
}

/// Those of every log but the present one, whose consumer closes its own.
pub async fn of_other_logs(warehouse: &Warehouse, parts: &[Part]) -> Result<Vec<Tail>, StoreError> {
    let mut tails: Vec<Tail> = warehouse
        .ask("looking for batches that were begun and not closed", warehouse.client().query(TAILS))
        .await?;
    tails.retain(|tail| parts.iter().all(|part| part.epoch != tail.epoch));
    Ok(tails)
}

impl Tail {
    /// Which partition.
    pub fn partition(&self) -> u16 {
        self.partition
    }

    /// Records it as all there is, when its log is among those that are gone.
    pub async fn settle(
        &self,
        warehouse: &Warehouse,
        gone: &[u64],
        run: u64,
    ) -> Result<Finding, StoreError> {
        let healed = gone.contains(&self.epoch);
        if healed {
            let row = IngestBatchRow {
                log_epoch: self.epoch,
                log_partition: self.partition,
                from_offset: self.from_offset,
                to_offset: self.to_offset,
                records: u32::try_from(self.records).unwrap_or(u32::MAX),
                dead: 0,
                at: Millis(now_millis()),
            };
            let token = format!(
                "gone/{run:016x}/{:016x}/{}/{}/ingest_batches",
                self.epoch, self.partition, self.from_offset
            );
            warehouse.insert("ingest_batches", [&row].into_iter(), &token).await?;
        }
        Ok(Finding {
            sort: Sort::Unrecorded,
            table: "ingest_batches",
            epoch: self.epoch,
            partition: self.partition,
            from: self.from_offset,
            to: self.to_offset,
            rows: self.records,
            received_ms: Some((self.first_ms, self.last_ms)),
            healed,
            remark: if healed { "" } else { OPEN },
        })
    }
}
