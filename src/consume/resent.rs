//! Resent records: which of them are stored already?
//!
//! In: a batch. Out: the ids of its resent records that ClickHouse holds. A record is resent by its header, or by its event's flag `sent_again`. Refuses: nothing. Promises: costs nothing when no record
//! is marked, which is always but after a crash during an outage of Kafka (DESIGN.md, "Durable answers") or in the middle of a shop's request.

use std::collections::HashSet;
use std::sync::LazyLock;

use clickhouse::Row;
use memchr::memmem;
use serde::Deserialize;

use crate::consume::assignment::Entry;
use crate::consume::batch::Batch;
use crate::event::Event;
use crate::ids::EventId;
use crate::store::{StoreError, Warehouse};

/// What the record of an event holds that a shop sent again ([`crate::receive::api`]).
static SENT_AGAIN: LazyLock<memmem::Finder<'static>> =
    LazyLock::new(|| memmem::Finder::new("\"sent_again\""));

/// True for a record whose event may stand in the log before it: one with the flag. A form's field of that very word is taken for one too, which costs a look.
pub fn is_marked(payload: &[u8]) -> bool {
    SENT_AGAIN.find(payload).is_some()
}

/// Ids of one question.
const IDS_MAX: usize = 1000;

#[derive(Row, Deserialize)]
struct Held {
    sent_millis: i64,
    id_seq: u32,
    id_node: u32,
}

/// The resent ids that are stored, or dead-lettered, from another place in the log than this batch.
pub async fn stored(
    warehouse: &Warehouse,
    batch: &Batch,
    epoch: u64,
    partition: u16,
) -> Result<HashSet<EventId>, StoreError> {
    let events: Vec<Event> = batch
        .entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Record { payload, resent: true, .. } => Event::from_record(payload).ok(),
            _ => None,
        })
        .collect();
    let mut found = HashSet::new();
    for part in events.chunks(IDS_MAX) {
        // By the sort key, so that the look is cheap; rows of this very batch don't count, they are looked for by offset.
        let sql = "SELECT toUnixTimestamp64Milli(event_time) + received_lag_ms AS sent_millis, id_seq, id_node FROM events \
                   WHERE site IN ? AND visitor IN (SELECT arrayJoin(arrayMap(text -> toUInt128(text), ?))) \
                   AND event_time IN (SELECT arrayJoin(arrayMap(millis -> fromUnixTimestamp64Milli(millis, 'UTC'), ?))) \
                   AND id_seq IN ? AND id_node IN ? \
                   AND NOT (log_epoch = ? AND log_partition = ? AND log_offset >= ? AND log_offset < ?)";
        let query = warehouse
            .client()
            .query(sql)
            .bind(distinct(part.iter().map(|event| event.site.as_str())))
            .bind(distinct(part.iter().map(|event| event.visitor.as_u128().to_string())))
            .bind(distinct(part.iter().map(|event| event.event_time)))
            .bind(distinct(part.iter().map(|event| event.id.sequence())))
            .bind(distinct(part.iter().map(|event| event.id.node())))
            .bind(epoch)
            .bind(partition)
            .bind(batch.from)
            .bind(batch.to);
        for held in warehouse.ask::<Held>("looking for resent records", query).await? {
            let millis = u64::try_from(held.sent_millis).unwrap_or(0);
            found.insert(EventId::from_parts(millis, held.id_seq, held.id_node));
        }
    }
    Ok(found)
}

/// The ids of the batch's own records, where any record of it is marked as resent: a twin may stand beside its original.
pub fn originals(batch: &Batch) -> HashSet<EventId> {
    let any = batch.entries.iter().any(|entry| matches!(entry, Entry::Record { resent: true, .. }));
    let originals = batch.entries.iter().filter(|_| any).filter_map(|entry| match entry {
        Entry::Record { payload, resent: false, .. } => Event::from_record(payload).ok(),
        _ => None,
    });
    originals.map(|event| event.id).collect()
}

fn distinct<T: std::hash::Hash + Eq>(values: impl Iterator<Item = T>) -> Vec<T> {
    values.collect::<HashSet<T>>().into_iter().collect()
}
