//! The rows of every table, counted without FINAL. In: the warehouse. Out: how many are too many, and how many are missing
//! beside their event. Promises: while merges are held no row is dropped, so what is doubled can be counted.

use std::time::{Duration, Instant};

use clickhouse::{Client, Row};
use serde::Deserialize;

/// Tables that the consumer writes.
const TABLES: [&str; 7] = [
    "events",
    "leads",
    "service_contacts",
    "conversions",
    "touch_keys",
    "dead_letters",
    "ingest_batches",
];

/// Settling looks every half second. After twenty kills it never ran: a session (15 s) has to end, and then all of the round is
/// settled at once, over tables whose merges are held.
const SETTLED_WITHIN: Duration = Duration::from_secs(180);

/// What is wrong with the rows; each 0 when all is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Row, Deserialize)]
pub struct RowFaults {
    /// Rows of events too many.
    pub events_doubled: i64,
    /// Rows of the other tables too many.
    pub others_doubled: i64,
    /// Log positions that are both an event and a dead letter, or in two batches.
    pub positions_doubled: i64,
    /// Conversions less than events that are one (negative: more).
    pub conversions_missing: i64,
    /// Leads less than form events.
    pub leads_missing: i64,
    /// Touch keys less than clicks.
    pub keys_missing: i64,
}

impl RowFaults {
    /// Whether all is well.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// One event's identity in any table.
const KEY: &str = "(event_time, received_lag_ms, id_seq, id_node)";

/// Lets no merge begin, also over a restart of the engine.
pub async fn hold_merges(client: &Client) -> clickhouse::error::Result<()> {
    alter(
        client,
        "MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1, \
         parts_to_delay_insert = 100000, parts_to_throw_insert = 100000",
    )
    .await
}

/// Lets merges run again.
pub async fn release_merges(client: &Client) -> clickhouse::error::Result<()> {
    alter(
        client,
        "RESET SETTING max_bytes_to_merge_at_max_space_in_pool, max_bytes_to_merge_at_min_space_in_pool, \
         parts_to_delay_insert, parts_to_throw_insert",
    )
    .await
}

async fn alter(client: &Client, what: &str) -> clickhouse::error::Result<()> {
    for table in TABLES {
        client.query(&format!("ALTER TABLE {table} {what}")).execute().await?;
    }
    Ok(())
}

/// Counts. What is missing is counted among events that were received since `since`, if it is given.
pub async fn row_faults(
    client: &Client,
    since: Option<Instant>,
) -> clickhouse::error::Result<RowFaults> {
    let since_ms = since.map_or(0, |since| {
        jiff::Timestamp::now().as_millisecond() - since.elapsed().as_millis() as i64
    });
    let extra = |table: &str, key: &str| format!("(SELECT count() - uniqExact{key} FROM {table})");
    let positions = "(log_epoch, log_partition, log_offset)";
    let batches = "(log_epoch, log_partition, from_offset)";
    let distinct = |table: &str, condition: &str| {
        format!(
            "(SELECT uniqExact{KEY} FROM {table} WHERE {condition} \
             AND toUnixTimestamp64Milli(event_time) + received_lag_ms >= {since_ms})"
        )
    };
    let sql = format!(
        "SELECT assumeNotNull(toInt64({})) AS events_doubled, \
         assumeNotNull(toInt64({} + {} + {} + {})) AS others_doubled, \
         assumeNotNull(toInt64({} + (SELECT count() FROM dead_letters WHERE {positions} IN (SELECT {positions} FROM events)))) AS positions_doubled, \
         assumeNotNull(toInt64({}) - toInt64({})) AS conversions_missing, \
         assumeNotNull(toInt64({}) - toInt64({})) AS leads_missing, \
         assumeNotNull(toInt64({}) - toInt64({})) AS keys_missing",
        extra("events", KEY),
        extra("leads", KEY),
        extra("conversions", KEY),
        extra("touch_keys", &KEY.replace('(', "(kind, key, ")),
        extra("dead_letters", positions),
        extra("ingest_batches", batches),
        distinct("events", "event_type IN ('lead', 'purchase', 'conversion')"),
        distinct("conversions", "1"),
        distinct("events", "event_type = 'lead'"),
        distinct("leads", "1"),
        distinct("events", "event_type = 'click'"),
        distinct("touch_keys", "kind = 'click_id'"),
    );
    client.query(&sql).fetch_one().await
}

/// Conversions that are still not settled when [`SETTLED_WITHIN`] is over.
pub async fn unsettled(client: &Client) -> clickhouse::error::Result<i64> {
    let sql = format!(
        "SELECT assumeNotNull(toInt64((SELECT uniqExact{KEY} FROM conversions)) - \
         toInt64((SELECT count() FROM conversion_clicks FINAL)))"
    );
    let deadline = Instant::now() + SETTLED_WITHIN;
    loop {
        let unsettled = client.query(&sql).fetch_one().await?;
        if unsettled == 0 || Instant::now() > deadline {
            return Ok(unsettled);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
