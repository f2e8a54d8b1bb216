//! What was mended behind settling's back is settled again.
//!
//! In: where rows were mended. Out: settling's position, put back there. Refuses: nothing. Promises: a run that is under way does not overwrite it (see `settle/sql/positions.sql`); settling
//! again what is settled changes nothing, for its result depends on the events alone.

use std::collections::BTreeMap;

use crate::store::{StoreError, Warehouse, short};

const BACK: &str = include_str!("resettle.sql");

/// The first mended offset of each partition of each life of the log.
#[derive(Debug, Default)]
pub struct Mended(BTreeMap<(u64, u16), u64>);

impl Mended {
    /// Notes that rows which settling reads were put there.
    pub fn note(&mut self, partition: (u64, u16), offset: u64) {
        let first = self.0.entry(partition).or_insert(offset);
        *first = offset.min(*first);
    }

    /// Puts the positions back. `run`: random, so that no server takes the insert for an earlier one.
    pub async fn resettle(&self, warehouse: &Warehouse, run: u64) -> Result<(), StoreError> {
        for ((epoch, partition), offset) in &self.0 {
            let query = warehouse
                .client()
                .query(BACK)
                .with_setting(
                    "insert_deduplication_token",
                    format!("replay/{run:016x}/{epoch}/{partition}"),
                )
                .param("epoch", *epoch)
                .param("partition", *partition)
                .param("offset", *offset);
            query.execute().await.map_err(|error| StoreError::Transient {
                action: "putting settling's position back".to_owned(),
                reason: short(&error),
            })?;
        }
        Ok(())
    }
}
