//! What was mended behind settling's back is settled again.
//!
//! In: where rows were mended. Out: settling's position, put back there. Refuses: nothing. Promises: a run that is under way does not
//! overwrite it (see `settle/sql/positions.sql`); settling again what is settled changes nothing, for its result depends on the events alone.

use std::collections::BTreeMap;

use crate::ids::now_millis;
use crate::replay::mend::Look;
use crate::store::{StoreError, Warehouse, short};

const BACK: &str = include_str!("resettle.sql");

/// The first mended offset of each partition of each life of the log.
#[derive(Debug, Default)]
pub struct Mended(BTreeMap<(u64, u16), u64>);

fn is_settled(look: &Look) -> bool {
    matches!(look.table, "conversions" | "touch_keys")
}

impl Mended {
    /// Notes the rows that settling reads and that were missing.
    pub fn note(&mut self, partition: (u64, u16), looks: &[Look]) {
        for look in looks.iter().filter(|look| is_settled(look)) {
            self.note_first(partition, look.missing.first().copied());
        }
    }

    /// Notes all rows that settling reads, missing or not: an attempt that was cut off may have put them there.
    pub fn note_all(&mut self, partition: (u64, u16), looks: &[Look]) {
        for look in looks.iter().filter(|look| is_settled(look)) {
            self.note_first(partition, look.expected.first().copied());
        }
    }

    fn note_first(&mut self, partition: (u64, u16), offset: Option<u64>) {
        if let Some(offset) = offset {
            let first = self.0.entry(partition).or_insert(offset);
            *first = offset.min(*first);
        }
    }

    /// Puts the positions back, and forgets them. To be called after each batch, so that whoever is cut off leaves one batch at most.
    /// `run`: random, so that no server takes the insert for an earlier one.
    pub async fn resettle(&mut self, warehouse: &Warehouse, run: u64) -> Result<(), StoreError> {
        for ((epoch, partition), offset) in std::mem::take(&mut self.0) {
            let token = format!("replay/{run:016x}/{epoch}/{partition}/{offset}/{}", now_millis());
            let query = warehouse
                .client()
                .query(BACK)
                .with_setting("insert_deduplication_token", token)
                .param("epoch", epoch)
                .param("partition", partition)
                .param("offset", offset);
            query.execute().await.map_err(|error| StoreError::Transient {
                action: "putting settling's position back".to_owned(),
                reason: short(&error),
            })?;
        }
        Ok(())
    }
}
