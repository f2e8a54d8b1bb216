//! Mending: what of a batch is missing in which table, and putting it there.
//!
//! In: a stretch of the log and the rows that the consumer's own code makes of it. Out: for each table the offsets whose rows are
//! missing or doubled; when told to, the missing rows are inserted. Refuses: nothing. Promises: what stands in a table, at its own place or as a twin, is not
//! inserted again, so mending twice changes nothing; what is in the dead letters stays there, unless it is what is replayed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use clickhouse::Row as ClientRow;
use serde::Deserialize;

use crate::attribute::Rows;
use crate::consume::batch::Batch;
use crate::consume::{Pipeline, refused};
use crate::ids::now_millis;
use crate::replay::keyed::{Key, Keyed};
use crate::store::StoreError;
use crate::store::native::Row;
use crate::store::rows::{DeadLetterRow, EventRow};

/// Keys of one question.
const KEYS_MAX: usize = 500;

/// How often a batch is tried when the warehouse fails: it may be restarting.
const ATTEMPTS: u32 = 6;

/// The first wait between attempts; each is twice as long.
const WAIT: Duration = Duration::from_millis(500);

/// Rows that a table holds for an offset.
#[derive(ClientRow, Deserialize)]
struct Held {
    log_offset: u64,
    row_count: u64,
    distinct_count: u64,
}

#[derive(ClientRow, Deserialize)]
struct Dead {
    log_offset: u64,
    refused_by: String,
}

/// What was found of one table.
#[derive(Debug, Default)]
pub struct Look {
    /// The table.
    pub table: &'static str,
    /// The offsets that should have rows there, in order.
    pub expected: Vec<u64>,
    /// Those that have none, or too few.
    pub missing: BTreeSet<u64>,
    /// Which rows these are; not told of `dead_letters`.
    keys: HashSet<Key>,
    /// How many rows are missing.
    pub missing_rows: u64,
    /// Those whose rows stand there more than once.
    pub doubled: BTreeSet<u64>,
}

impl Look {
    /// Those of the rows that are missing.
    fn of<'r, R: Keyed>(&self, rows: &'r [R]) -> Vec<&'r R> {
        let is_missing =
            |row: &&R| self.missing.contains(&row.log_offset()) && self.keys.contains(&row.key());
        rows.iter().filter(is_missing).collect()
    }
}

/// What to do with what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Look only.
    Look,
    /// Insert what is missing.
    Insert,
}

/// Looks at batches of one partition and mends them.
pub struct Mender<'a> {
    pipeline: &'a Pipeline,
    /// Random: tokens of this run are no other's. One that was used before would let the server drop rows that are gone since.
    run: u64,
    epoch: u64,
    partition: u16,
    /// Whether a dead letter excuses a missing row.
    dead_letters_excuse: bool,
}

impl<'a> Mender<'a> {
    /// For a partition of one life of the log.
    pub fn new(pipeline: &'a Pipeline, run: u64, (epoch, partition): (u64, u16)) -> Self {
        Self { pipeline, run, epoch, partition, dead_letters_excuse: true }
    }

    /// For records that come from the dead letters themselves.
    #[must_use]
    pub fn of_dead_letters(self) -> Self {
        Self { dead_letters_excuse: false, ..self }
    }

    /// Looks, and inserts what is missing when it is told to. What the warehouse refuses goes to the dead letters, as the consumer does it.
    pub async fn mend(
        &self,
        batch: &Batch,
        rows: &mut Rows,
        act: Act,
    ) -> Result<Vec<Look>, StoreError> {
        let (mut attempt, mut wait) = (1, WAIT);
        let mut first = None;
        loop {
            match self.tables(batch, rows, act, attempt).await {
                // What an attempt before this one found is what was missing.
                Ok(looks) => return Ok(first.unwrap_or(looks)),
                Err((looks, StoreError::Rows { table, reason })) => {
                    first = first.or(looks);
                    let bad = refused::find(&self.pipeline.warehouse, table, rows).await?;
                    if bad.is_empty() || attempt >= ATTEMPTS {
                        // The twin that checks has not the constraints of its table: nobody can say which rows are meant.
                        return Err(StoreError::Rows { table, reason });
                    }
                    rows.bury(table, &bad, &reason, batch, now_millis());
                }
                Err((_, error)) if attempt >= ATTEMPTS => return Err(error),
                Err((looks, error)) => {
                    first = first.or(looks);
                    tracing::warn!(%error, attempt, "mending again");
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
            }
            attempt += 1;
        }
    }

    async fn tables(
        &self,
        batch: &Batch,
        rows: &Rows,
        act: Act,
        attempt: u32,
    ) -> Result<Vec<Look>, (Option<Vec<Look>>, StoreError)> {
        let alone = |error| (None, error);
        let span = (batch.from, batch.to);
        let dead = self.dead(span).await.map_err(alone)?;
        let mut looks = vec![self.dead_letters(span, rows, &dead).await.map_err(alone)?];
        macro_rules! look {
            ($($field:ident),*) => { $(looks.push(self.look(span, &rows.$field, &dead).await.map_err(alone)?);)* };
        }
        look!(events, leads, service_contacts, quarantine, conversions, touch_keys, refusals);
        if act == Act::Look || looks.iter().all(|look| look.missing.is_empty()) {
            return Ok(looks);
        }
        let is_missing = |row: &&DeadLetterRow| looks[0].missing.contains(&row.log_offset);
        let dead = rows.dead.iter().filter(is_missing).collect();
        let mut sent = self.send::<DeadLetterRow>(span, dead, attempt).await;
        macro_rules! send {
            ($($place:literal $field:ident),*) => { $(
                if sent.is_ok() {
                    let missing = looks[$place].of(&rows.$field);
                    sent = self.send(span, missing, attempt).await;
                }
            )* };
        }
        send!(1 events, 2 leads, 3 service_contacts, 4 quarantine, 5 conversions, 6 touch_keys, 7 refusals);
        match sent {
            Ok(()) => Ok(looks),
            Err(error) => Err((Some(looks), error)),
        }
    }

    /// Which of the rows are missing or doubled.
    async fn look<R: Keyed>(
        &self,
        span: (u64, u64),
        rows: &[R],
        dead: &HashMap<u64, String>,
    ) -> Result<Look, StoreError> {
        let mut look = Look { table: R::TABLE, ..Look::default() };
        if rows.is_empty() {
            return Ok(look);
        }
        let held = self.held::<R>(span).await?;
        let mut wanted: HashMap<u64, u64> = HashMap::new();
        for row in rows {
            *wanted.entry(row.log_offset()).or_default() += 1;
        }
        look.expected = wanted.keys().copied().collect();
        look.expected.sort_unstable();
        let excused = |offset: &u64| {
            self.dead_letters_excuse
                && dead
                    .get(offset)
                    .is_some_and(|by| by.is_empty() || by == "events" || by == R::TABLE)
        };
        let distinct = |offset: &u64| held.get(offset).map_or(0, |(_, distinct)| *distinct);
        let candidates: Vec<&R> = rows
            .iter()
            .filter(|row| distinct(&row.log_offset()) < wanted[&row.log_offset()])
            .filter(|row| !excused(&row.log_offset()))
            .collect();
        let found = self.found(&candidates).await?;
        for row in candidates.iter().filter(|row| !found.contains(&row.key())) {
            look.missing.insert(row.log_offset());
            look.keys.insert(row.key());
            look.missing_rows += 1;
        }
        let doubled = held.iter().filter(|(_, (rows, distinct))| rows > distinct);
        look.doubled = doubled.map(|(offset, _)| *offset).collect();
        Ok(look)
    }

    /// Dead letters that should be there: not where the event is stored, for another program read it.
    async fn dead_letters(
        &self,
        span: (u64, u64),
        rows: &Rows,
        dead: &HashMap<u64, String>,
    ) -> Result<Look, StoreError> {
        if rows.dead.is_empty() {
            return Ok(Look { table: "dead_letters", ..Look::default() });
        }
        let events = self.held::<EventRow>(span).await?;
        let expected: BTreeSet<u64> = rows.dead.iter().map(|row| row.log_offset).collect();
        let is_missing = |offset: &&u64| !dead.contains_key(offset) && !events.contains_key(offset);
        let missing: BTreeSet<u64> = expected.iter().filter(is_missing).copied().collect();
        let missing_rows = missing.len() as u64;
        let expected = expected.into_iter().collect();
        let doubled = BTreeSet::new();
        let keys = HashSet::new();
        Ok(Look { table: "dead_letters", expected, missing, keys, missing_rows, doubled })
    }

    /// Rows and distinct rows of each offset of the span.
    async fn held<R: Keyed>(
        &self,
        (from, to): (u64, u64),
    ) -> Result<HashMap<u64, (u64, u64)>, StoreError> {
        let sql = format!(
            "SELECT log_offset, count() AS row_count, uniqExact({}) AS distinct_count FROM {} \
             WHERE log_epoch = ? AND log_partition = ? AND log_offset >= ? AND log_offset < ? GROUP BY log_offset",
            R::DISTINCT,
            R::TABLE
        );
        let query = self.pipeline.warehouse.client().query(&sql);
        let query = query.bind(self.epoch).bind(self.partition).bind(from).bind(to);
        let rows: Vec<Held> =
            self.pipeline.warehouse.ask("looking which rows are there", query).await?;
        let pair = |held: Held| (held.log_offset, (held.row_count, held.distinct_count));
        Ok(rows.into_iter().map(pair).collect())
    }

    /// The dead letters of the span, and which table refused each; empty where none did.
    async fn dead(&self, (from, to): (u64, u64)) -> Result<HashMap<u64, String>, StoreError> {
        let sql = "SELECT log_offset, any(if(reason = 'refused_by_warehouse', splitByString(': ', detail)[1], '')) AS refused_by \
                   FROM dead_letters WHERE log_epoch = ? AND log_partition = ? AND log_offset >= ? AND log_offset < ? GROUP BY log_offset";
        let query = self.pipeline.warehouse.client().query(sql);
        let query = query.bind(self.epoch).bind(self.partition).bind(from).bind(to);
        let rows: Vec<Dead> =
            self.pipeline.warehouse.ask("looking for dead letters", query).await?;
        Ok(rows.into_iter().map(|dead| (dead.log_offset, dead.refused_by)).collect())
    }

    /// The keys that the table holds, wherever their rows came from.
    async fn found<R: Keyed>(&self, rows: &[&R]) -> Result<HashSet<Key>, StoreError> {
        let mut found = HashSet::new();
        for part in rows.chunks(KEYS_MAX) {
            let keys: Vec<Key> = part.iter().map(|row| row.key()).collect();
            let visitors = part.iter().map(|row| row.visitor().to_string());
            let query = self.pipeline.warehouse.client().query(R::FIND);
            let query = query
                .param("times", distinct(keys.iter().map(|key| key.time_ms)))
                .param("sequences", distinct(keys.iter().map(|key| key.sequence)))
                .param("nodes", distinct(keys.iter().map(|key| key.node)))
                .param("extras", distinct(keys.iter().map(|key| key.extra)))
                .param("visitors", distinct(visitors))
                .param("sites", distinct(part.iter().map(|row| row.site().to_owned())));
            let held: Vec<Key> =
                self.pipeline.warehouse.ask("looking for rows by their ids", query).await?;
            found.extend(held);
        }
        Ok(found)
    }

    /// Inserts missing rows of one table.
    async fn send<R: Row>(
        &self,
        (from, to): (u64, u64),
        missing: Vec<&R>,
        attempt: u32,
    ) -> Result<(), StoreError> {
        if missing.is_empty() {
            return Ok(());
        }
        let (run, partition) = (self.run, self.partition);
        let token = format!("replay/{run:016x}/{partition}/{from}/{to}/{}/{attempt}", R::TABLE);
        self.pipeline.warehouse.insert(R::TABLE, missing.into_iter(), &token).await
    }
}

fn distinct<T: std::hash::Hash + Eq>(values: impl Iterator<Item = T>) -> Vec<T> {
    values.collect::<HashSet<T>>().into_iter().collect()
}
