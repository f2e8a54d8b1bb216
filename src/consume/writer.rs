//! The writer: one batch into its tables, under the rules that make it exactly once.
//!
//! In: a batch whose border was just kept. Out: `Ok` when every table and `ingest_batches` hold it. Refuses: to send an insert
//! more than ten seconds after the border was kept, so that a process that slept can't insert late; a partition that is to be given back
//! meanwhile waits so long (`RELEASE`), and no batch is left half-way by a stop. Promises: rows that ClickHouse
//! refuses go to the dead letters first, the others under the batch's token; what is there already is not inserted again.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use clickhouse::Row as ClientRow;
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;

use crate::attribute::Rows;
use crate::consume::Pipeline;
use crate::consume::assignment::Border;
use crate::consume::batch::Batch;
use crate::consume::refused;
use crate::ids::now_millis;
use crate::store::StoreError;
use crate::store::native::{Millis, Row};
use crate::store::rows::{DeadLetterRow, IngestBatchRow};

/// How long after its border was kept an insert may still be sent, by the clock that goes on while the machine sleeps. A group
/// takes a silent consumer's partitions away after 45 s at the earliest (Kafka's default), so a late insert can't meet a new owner's look.
const SEND_WITHIN: Duration = Duration::from_secs(10);

/// Why a batch isn't stored yet.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Its border grew too old: keep it again, and look.
    #[error("its border was kept more than 10 s ago")]
    TooLate,
    /// The warehouse.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Milliseconds of the clock that goes on while the machine sleeps.
fn boot_millis() -> i64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

/// Writes one batch, as often as it takes.
pub struct BatchWriter<'a> {
    pipeline: &'a Pipeline,
    partition: u16,
    border: Border,
    batch: &'a Batch,
    rows: Option<Rows>,
}

impl<'a> BatchWriter<'a> {
    /// For a batch of a partition.
    pub fn new(pipeline: &'a Pipeline, partition: u16, border: Border, batch: &'a Batch) -> Self {
        Self { pipeline, partition, border, batch, rows: None }
    }

    /// One attempt, right after the border was kept. `must_look`: some of it may be there already.
    pub async fn write(&mut self, must_look: bool) -> Result<(), WriteError> {
        let attempt = Attempt {
            pipeline: self.pipeline,
            partition: self.partition,
            border: self.border,
            send_until: boot_millis() + SEND_WITHIN.as_millis() as i64,
            must_look,
        };
        let rows = match self.rows.take() {
            Some(rows) => self.rows.insert(rows),
            None => self.rows.insert(
                self.pipeline.rows(self.partition, self.border, self.batch, must_look).await?,
            ),
        };
        let outcome = attempt.tables(rows).await;
        if let Err(WriteError::Store(StoreError::Rows { table, reason })) = outcome {
            let bad = refused::find(&self.pipeline.warehouse, table, rows).await?;
            rows.bury(table, &bad, &reason, self.batch, now_millis());
            tracing::error!(
                partition = self.partition,
                table,
                records = bad.len(),
                reason,
                "the warehouse refuses records; they go to the dead letters"
            );
            attempt.dead_letters(&rows.dead).await?;
            // The border may have grown old while the bad rows were looked for.
            return Err(WriteError::TooLate);
        }
        outcome?;
        attempt.record(self.batch, rows.dead.len()).await?;
        self.pipeline.metrics.stored(self.batch, rows);
        Ok(())
    }
}

/// One attempt under one kept border.
struct Attempt<'a> {
    pipeline: &'a Pipeline,
    partition: u16,
    border: Border,
    send_until: i64,
    must_look: bool,
}

#[derive(ClientRow, Deserialize)]
struct Offset {
    log_offset: u64,
}

impl Attempt<'_> {
    fn token(&self, table: &str) -> String {
        let Border { epoch, from, to, .. } = self.border;
        format!("{epoch:016x}/{}/{from}/{to}/{table}", self.partition)
    }

    /// Every table but the last. `events` goes first: it has every constraint that the others have, so a record that it takes
    /// is not refused half-way.
    async fn tables(&self, rows: &Rows) -> Result<(), WriteError> {
        self.dead_letters(&rows.dead).await?;
        self.insert("events", &rows.events).await?;
        tokio::try_join!(
            self.insert("leads", &rows.leads),
            self.insert("service_contacts", &rows.service_contacts),
            self.insert("quarantine", &rows.quarantine),
            self.insert("conversions", &rows.conversions),
            self.insert("touch_keys", &rows.touch_keys),
            self.insert("refusals", &rows.refusals),
        )?;
        Ok(())
    }

    /// Inserts the rows that the table doesn't hold yet.
    async fn insert<R: Row>(&self, table: &'static str, rows: &[R]) -> Result<(), WriteError> {
        if rows.is_empty() {
            return Ok(());
        }
        if !self.must_look {
            let all: Vec<&R> = rows.iter().collect();
            return self.send(table, &all, &self.token(table)).await;
        }
        let Some(missing) = self.missing(table, rows).await? else { return Ok(()) };
        let mut token = self.token(table);
        if missing.len() < rows.len() {
            // Under the batch's own token the server would take this part for the whole and drop it.
            token = format!("{token}/missing/{:08x}", checksum(&missing));
        }
        self.send(table, &missing, &token).await?;
        // A server writes a token before the rows it stands for. One that was killed in between says `Ok` to the token and has no
        // rows; so whoever had to look looks again, and what is still missing goes under a token that was never used.
        let Some(missing) = self.missing(table, rows).await? else { return Ok(()) };
        tracing::warn!(
            table,
            rows = missing.len(),
            "the warehouse knows the token and not the rows; sending them again"
        );
        self.send(table, &missing, &format!("{token}/again/{}", now_millis())).await
    }

    /// The rows that the table doesn't hold; `None` when it holds all.
    async fn missing<'r, R: Row>(
        &self,
        table: &str,
        rows: &'r [R],
    ) -> Result<Option<Vec<&'r R>>, WriteError> {
        let held = self.held(table).await?;
        let missing: Vec<&R> =
            rows.iter().filter(|row| !held.contains(&row.log_offset())).collect();
        Ok((!missing.is_empty()).then_some(missing))
    }

    /// Which offsets of the range a table holds.
    async fn held(&self, table: &str) -> Result<HashSet<u64>, WriteError> {
        let sql = format!(
            "SELECT DISTINCT log_offset FROM {table} WHERE log_epoch = ? AND log_partition = ? AND log_offset >= ? AND log_offset < ?"
        );
        let query = self.pipeline.warehouse.client().query(&sql);
        let query = query
            .bind(self.border.epoch)
            .bind(self.partition)
            .bind(self.border.from)
            .bind(self.border.to);
        let rows: Vec<Offset> =
            self.pipeline.warehouse.ask("looking which rows are there", query).await?;
        Ok(rows.into_iter().map(|row| row.log_offset).collect())
    }

    async fn dead_letters(&self, rows: &[DeadLetterRow]) -> Result<(), WriteError> {
        if rows.is_empty() {
            return Ok(());
        }
        // Those found while writing join those found while reading: the set, and with it the token, may have grown.
        let held = self.held("dead_letters").await?;
        let missing: Vec<&DeadLetterRow> =
            rows.iter().filter(|row| !held.contains(&row.log_offset)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let token = format!("{}/{}", self.token("dead_letters"), rows.len());
        self.send("dead_letters", &missing, &token).await
    }

    /// True when an earlier attempt came to its end and nobody heard of it.
    async fn is_recorded(&self) -> Result<bool, WriteError> {
        let sql = "SELECT toUInt64(count()) FROM ingest_batches \
                   WHERE log_epoch = ? AND log_partition = ? AND from_offset = ? AND to_offset = ?";
        let query = self.pipeline.warehouse.client().query(sql);
        let query = query.bind(self.border.epoch).bind(self.partition);
        let query = query.bind(self.border.from).bind(self.border.to);
        let found: Vec<u64> = self.pipeline.warehouse.ask("looking for the batch", query).await?;
        Ok(found.first().is_some_and(|count| *count > 0))
    }

    /// Says that the range is complete. Written last.
    async fn record(&self, batch: &Batch, dead: usize) -> Result<(), WriteError> {
        if self.must_look && self.is_recorded().await? {
            return Ok(());
        }
        let row = IngestBatchRow {
            log_epoch: self.border.epoch,
            log_partition: self.partition,
            from_offset: self.border.from,
            to_offset: self.border.to,
            records: u32::try_from(batch.entries.len()).unwrap_or(u32::MAX),
            dead: u32::try_from(dead).unwrap_or(u32::MAX),
            at: Millis(now_millis()),
        };
        self.send("ingest_batches", &[&row], &self.token("ingest_batches")).await
    }

    /// Sends one insert. After an error nobody knows whether the rows are there: the token would tell a server that lives on, but
    /// one that was killed may have forgotten its tokens. So the whole batch is taken up anew, with a look.
    async fn send<R: Row>(
        &self,
        table: &'static str,
        rows: &[&R],
        token: &str,
    ) -> Result<(), WriteError> {
        if boot_millis() >= self.send_until {
            return Err(WriteError::TooLate);
        }
        let begun = Instant::now();
        self.pipeline.warehouse.insert(table, rows.iter().copied(), token).await?;
        self.pipeline.metrics.inserted(table, begun.elapsed().as_secs_f64());
        Ok(())
    }
}

/// Tells one part of a batch from another.
fn checksum<R: Row>(rows: &[&R]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    rows.iter().for_each(|row| hasher.update(&row.log_offset().to_le_bytes()));
    hasher.finalize()
}
