//! Reading the warehouse. In: a ledger, or tags. Out: the rows that ClickHouse holds of them, streamed,
//! each stored row by itself (no FINAL). Writes nothing. Waits with a deadline for a consumer that is
//! still behind, and through a warehouse that is away meanwhile.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use clickhouse::sql::Identifier;
use clickhouse::{Client, Row};
use serde::Deserialize;
use uuid::Uuid;

use crate::receipts::Ledger;
use crate::reconcile::{Fault, Holdings, Reconciliation, Stored, missing, reconcile};

/// How often a waiting reconciliation looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Ids in one query: 40 bytes each, far below ClickHouse's 256 KiB for the text of a query.
const IDS_PER_QUERY: usize = 2_000;
/// Events are stamped at the edge; clocks on one machine agree, but a partition border may lie between.
const CLOCK_SLACK_MS: u64 = 86_400_000;

/// Why the warehouse could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum WarehouseError {
    /// The question failed.
    #[error("asking ClickHouse for {what} failed; check --clickhouse, --database, --user")]
    Query {
        /// What was asked.
        what: &'static str,
        /// ClickHouse's or the network's answer.
        source: clickhouse::error::Error,
    },
    /// No answer to the whole question in time.
    #[error("ClickHouse did not answer for {what} within {seconds} s")]
    TooSlow {
        /// What was asked.
        what: &'static str,
        /// The limit.
        seconds: u64,
    },
}

/// One question may take this long: 5 million rows on two busy cores are read within it.
const QUERY_TIMEOUT: Duration = Duration::from_secs(60);

/// A ClickHouse that holds `events` and `dead_letters`.
#[derive(Clone)]
pub struct Warehouse {
    client: Client,
    database: String,
}

#[derive(Row, Deserialize)]
struct EventRow {
    /// Big endian, so that it is the UUID's own order of bytes.
    id: [u8; 16],
    tag: String,
}

#[derive(Row, Deserialize)]
struct TagRow {
    tag: String,
}

#[derive(Row, Deserialize)]
struct IdRow {
    id: [u8; 16],
}

#[derive(Row, Deserialize)]
struct CountRow {
    counted: u64,
}

impl Warehouse {
    /// A warehouse at `url`; nothing is asked yet.
    pub fn new(url: &str, database: &str, user: &str, password: &str) -> Self {
        let client = Client::default().with_url(url).with_user(user).with_password(password);
        Self { client, database: database.to_owned() }
    }

    /// Those of `tags` that can be queried. Looks at rows from `start_ms` on only.
    ///
    /// # Errors
    /// When ClickHouse cannot be asked.
    pub async fn tags_stored(
        &self,
        tags: &[&str],
        start_ms: u64,
    ) -> Result<Vec<String>, WarehouseError> {
        let query = self
            .client
            .query(
                "SELECT sub_ids['sub1'] AS tag FROM ?.events \
                 WHERE event_time >= fromUnixTimestamp64Milli(toInt64(?)) AND tag IN ?",
            )
            .bind(Identifier(&self.database))
            .bind(start_ms)
            .bind(tags);
        let mut found = Vec::new();
        read::<TagRow>("new events", query, |row| found.push(row.tag)).await?;
        Ok(found)
    }

    /// Rows of the run so far, and all dead letters: a cheap look whether to look closer.
    async fn count(&self, ledger: &Ledger) -> Result<(u64, u64), WarehouseError> {
        let events = self
            .client
            .query(
                "SELECT count() AS counted FROM ?.events WHERE \
                 event_time >= fromUnixTimestamp64Milli(toInt64(?)) AND startsWith(sub_ids['sub1'], ?)",
            )
            .bind(Identifier(&self.database))
            .bind(ledger.start_ms.saturating_sub(CLOCK_SLACK_MS))
            .bind(format!("{}-", ledger.run));
        let dead = self
            .client
            .query("SELECT count() AS counted FROM ?.dead_letters")
            .bind(Identifier(&self.database));
        let (mut counted_events, mut counted_dead) = (0, 0);
        read::<CountRow>("the count of events", events, |row| counted_events = row.counted).await?;
        read::<CountRow>("the count of dead letters", dead, |row| counted_dead = row.counted)
            .await?;
        Ok((counted_events, counted_dead))
    }

    /// Every row with a tag of the run, whenever it was, and the dead letters among its receipts.
    async fn holdings(&self, ledger: &Ledger) -> Result<Holdings, WarehouseError> {
        let mut holdings = Holdings::default();
        let events = self
            .client
            .query(
                "SELECT UUIDToNum(event_id) AS id, sub_ids['sub1'] AS tag FROM ?.events \
                 WHERE startsWith(tag, ?)",
            )
            .bind(Identifier(&self.database))
            .bind(format!("{}-", ledger.run));
        let keep = |row: EventRow| {
            holdings.stored.push(Stored { id: Uuid::from_bytes(row.id), tag: row.tag });
        };
        read("the events of the run", events, keep).await?;
        let promised: HashSet<Uuid> = ledger.durable().map(|(_, _, id)| id).collect();
        let dead = self
            .client
            .query("SELECT UUIDToNum(event_id) AS id FROM ?.dead_letters")
            .bind(Identifier(&self.database));
        let keep = |row: IdRow| holdings.dead.extend(promised.get(&Uuid::from_bytes(row.id)));
        read("the dead letters", dead, keep).await?;
        Ok(holdings)
    }

    /// Rows with one of `ids`, whatever their tag.
    async fn by_id(&self, ids: &[Uuid]) -> Result<Vec<Stored>, WarehouseError> {
        let mut stored = Vec::new();
        for some in ids.chunks(IDS_PER_QUERY) {
            let texts: Vec<String> = some.iter().map(Uuid::to_string).collect();
            let query = self
                .client
                .query(
                    "SELECT UUIDToNum(event_id) AS id, sub_ids['sub1'] AS tag FROM ?.events \
                     WHERE event_id IN (SELECT toUUID(arrayJoin(?)))",
                )
                .bind(Identifier(&self.database))
                .bind(texts);
            let keep =
                |row: EventRow| stored.push(Stored { id: Uuid::from_bytes(row.id), tag: row.tag });
            read("events by id", query, keep).await?;
        }
        Ok(stored)
    }

    /// Rows that merges dropped from `events` since the run began: doubles that `ReplacingMergeTree`
    /// swallowed before they could be counted (or rows that an erasure took). Needs `system.part_log`.
    ///
    /// # Errors
    /// When the log does not exist or this user may not read it.
    pub async fn rows_merged_away(&self, ledger: &Ledger) -> Result<u64, WarehouseError> {
        // Without the right to flush, the log is some seconds behind: better than nothing.
        let _ = self.client.query("SYSTEM FLUSH LOGS").execute().await;
        let query = self
            .client
            .query(
                "SELECT toUInt64(sum(read_rows - rows)) AS counted FROM system.part_log \
                 WHERE database = ? AND table = 'events' AND event_type = 'MergeParts' \
                 AND error = 0 AND read_rows > rows AND event_time >= toDateTime(toInt64(?))",
            )
            .bind(&self.database)
            .bind(ledger.start_ms / 1000);
        let mut merged = 0;
        read::<CountRow>("the log of merges", query, |row| merged = row.counted).await?;
        Ok(merged)
    }
}

/// Streams the rows of one question to `keep`.
async fn read<T>(
    what: &'static str,
    query: clickhouse::query::Query,
    mut keep: impl FnMut(T),
) -> Result<(), WarehouseError>
where
    T: clickhouse::RowOwned + clickhouse::RowRead,
{
    let rows = async {
        let mut cursor = query.fetch::<T>()?;
        while let Some(row) = cursor.next().await? {
            keep(row);
        }
        Ok(())
    };
    match tokio::time::timeout(QUERY_TIMEOUT, rows).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(source)) => Err(WarehouseError::Query { what, source }),
        Err(_elapsed) => Err(WarehouseError::TooSlow { what, seconds: QUERY_TIMEOUT.as_secs() }),
    }
}

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Nothing is called lost before this has passed.
    pub wait: Duration,
    /// Nothing may change for this long before all is called well: a double may come late.
    pub quiet: Duration,
}

/// Waits until every receipt is found and nothing changes any more, or until patience ends; then
/// tells how the run and the warehouse differ.
///
/// # Errors
/// When the warehouse cannot be asked at the end.
pub async fn reconcile_with(
    warehouse: &Warehouse,
    ledger: &Ledger,
    patience: Patience,
) -> Result<Reconciliation, WarehouseError> {
    let deadline = Instant::now() + patience.wait;
    let promised = ledger.durable().count() as u64;
    let (mut last, mut told) = (None, false);
    let mut quiet_since = Instant::now();
    while Instant::now() < deadline {
        let count = match warehouse.count(ledger).await {
            Ok(count) => Some(count),
            // A warehouse that is away may come back before the deadline; the last look tells.
            Err(error) => {
                if last.is_some() || !told {
                    eprintln!("waiting: {:#}", anyhow::Error::from(error));
                    told = true;
                }
                None
            }
        };
        if count != last || count.is_none() {
            (last, quiet_since) = (count, Instant::now());
        }
        let enough = count.is_some_and(|(events, dead)| events + dead >= promised);
        if enough && quiet_since.elapsed() >= patience.quiet {
            if let Ok(holdings) = warehouse.holdings(ledger).await {
                let result = reconcile(ledger, &holdings);
                if result.count(Fault::Lost) == 0 {
                    return Ok(result);
                }
            }
            quiet_since = Instant::now();
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let mut holdings = warehouse.holdings(ledger).await?;
    let missing = missing(ledger, &holdings.stored);
    holdings.stored.extend(warehouse.by_id(&missing).await?);
    Ok(reconcile(ledger, &holdings))
}
