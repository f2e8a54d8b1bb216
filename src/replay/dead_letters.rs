//! Replaying dead letters: what could not be read or stored then, and can be now.
//!
//! In: a filter. Out: rows where they are missing, and the end of the dead letters that are stored. Refuses: nothing. Promises: a dead letter is removed only after every
//! table has its rows; what still can't be read or is refused stays as it is; a record whose twin is stored is not stored again.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clickhouse::Row;
use serde::Deserialize;

use super::{DeadArguments, Totals, say, time_ms};
use crate::consume::Pipeline;
use crate::consume::assignment::{Border, Entry};
use crate::consume::batch::Batch;
use crate::replay::mend::{Act, Mender};
use crate::replay::resettle::Mended;
use crate::stop::Stop;
use crate::store::{StoreError, short};

const LIST: &str = include_str!("dead_letters.sql");

/// A dead letter; personal, so without `Debug`.
#[derive(Row, Deserialize)]
struct Dead {
    log_epoch: u64,
    log_partition: u16,
    log_offset: u64,
    reason: String,
    payload: String,
}

/// Where reading stands.
type Place = (u64, u16, u64);

/// What came of them, by reason.
#[derive(Debug, Default)]
struct Tally(BTreeMap<String, (u64, u64)>);

impl Tally {
    fn note(&mut self, reason: &str, is_stored: bool) {
        let (stored, left) = self.0.entry(reason.to_owned()).or_default();
        if is_stored { *stored += 1 } else { *left += 1 }
    }

    fn left(&self) -> u64 {
        self.0.values().map(|(_, left)| left).sum()
    }
}

/// Replays those that match.
pub async fn replay(
    arguments: &DeadArguments,
    pipeline: &Pipeline,
    stop: &Stop,
) -> Result<ExitCode> {
    let from_ms = time_ms("from", arguments.from.as_deref(), false)?.unwrap_or(0);
    let to_ms = time_ms("to", arguments.to.as_deref(), true)?.unwrap_or(i64::MAX);
    let run = getrandom::u64().context("no random bits")?;
    let (mut tally, mut totals, mut mended) =
        (Tally::default(), Totals::default(), Mended::default());
    let mut after: Option<Place> = None;
    loop {
        if stop.is_stopped() {
            bail!("stopped; run it again, and it goes on: what is stored is not stored twice");
        }
        let page = list(pipeline, arguments, (from_ms, to_ms), after).await?;
        let Some(last) = page.last() else { break };
        after = Some((last.log_epoch, last.log_partition, last.log_offset));
        let same = |one: &Dead, next: &Dead| {
            (one.log_epoch, one.log_partition) == (next.log_epoch, next.log_partition)
        };
        for letters in page.chunk_by(same) {
            let partition = (letters[0].log_epoch, letters[0].log_partition);
            let mut looked = store(pipeline, run, partition, letters, arguments.dry_run).await?;
            totals.add(&looked.looks);
            mended.note_all(partition, &looked.looks);
            looked.stored.sort_unstable();
            for letter in letters {
                let is_stored = looked.stored.binary_search(&letter.log_offset).is_ok();
                tally.note(&letter.reason, is_stored);
            }
            if arguments.dry_run {
                continue;
            }
            if !looked.stored.is_empty() {
                // Before they go: who is cut off here, does both again.
                mended.resettle(&pipeline.warehouse, run).await?;
                remove(pipeline, partition, &looked.stored).await?;
            }
        }
    }
    print(&tally, &totals, arguments.dry_run);
    Ok(if tally.left() > 0 { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn print(tally: &Tally, totals: &Totals, dry_run: bool) {
    let would = if dry_run { "would be " } else { "" };
    totals.print(would);
    for (reason, (stored, left)) in &tally.0 {
        say(&format!(
            "{reason}: {stored} dead letters {would}stored and removed from the dead letters, {left} stay"
        ));
    }
    if tally.0.is_empty() {
        say("no dead letter matches");
    }
}

async fn list(
    pipeline: &Pipeline,
    arguments: &DeadArguments,
    (from_ms, to_ms): (i64, i64),
    after: Option<Place>,
) -> Result<Vec<Dead>, StoreError> {
    let (epoch, partition, offset) = after.unwrap_or_default();
    let query = pipeline
        .warehouse
        .client()
        .query(LIST)
        .param("is_first", u8::from(after.is_none()))
        .param("epoch", epoch)
        .param("partition", partition)
        .param("offset", offset)
        .param("reason", arguments.reason.as_str())
        .param("only_partition", arguments.partition.map_or(-1, i32::from))
        .param("from_ms", from_ms)
        .param("to_ms", to_ms);
    pipeline.warehouse.ask("reading the dead letters", query).await
}

struct Looked {
    looks: Vec<super::mend::Look>,
    /// Offsets whose rows are all there now, or would be.
    stored: Vec<u64>,
}

/// Stores what can be read and is not refused.
async fn store(
    pipeline: &Pipeline,
    run: u64,
    partition: (u64, u16),
    letters: &[Dead],
    dry_run: bool,
) -> Result<Looked> {
    let (from, to) = (letters[0].log_offset, letters[letters.len() - 1].log_offset + 1);
    let mut batch = Batch { from, to, entries: Vec::new() };
    for letter in letters {
        let payload = STANDARD.decode(&letter.payload).context("the warehouse's base64")?;
        // It may have been stored from another place since: as if it had been sent again.
        batch.entries.push(Entry::Record { offset: letter.log_offset, payload, resent: true });
    }
    let border = Border { epoch: partition.0, from, to, fingerprint: 0 };
    let mut rows = pipeline.rows(partition.1, border, &batch, true).await?;
    let act = if dry_run { Act::Look } else { Act::Insert };
    let mender = Mender::new(pipeline, run, partition).of_dead_letters();
    let looks = mender.mend(&batch, &mut rows, act).await?;
    let dead: Vec<u64> = rows.dead.iter().map(|row| row.log_offset).collect();
    let offsets = letters.iter().map(|letter| letter.log_offset);
    let stored = offsets.filter(|offset| !dead.contains(offset)).collect();
    Ok(Looked { looks, stored })
}

/// Removes dead letters whose records are stored. The parts are rewritten before it ends, so that nothing of what was typed stays on the disk.
async fn remove(
    pipeline: &Pipeline,
    (epoch, partition): (u64, u16),
    offsets: &[u64],
) -> Result<(), StoreError> {
    let sql = "ALTER TABLE dead_letters DELETE WHERE log_epoch = ? AND log_partition = ? AND log_offset IN ? SETTINGS mutations_sync = 1";
    let query = pipeline.warehouse.client().query(sql).bind(epoch).bind(partition).bind(offsets);
    query.execute().await.map_err(|error| StoreError::Transient {
        action: "removing dead letters that are stored".to_owned(),
        reason: short(&error),
    })
}
