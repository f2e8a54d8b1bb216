//! `leadtrail audit`: does the warehouse hold what the log says, once?
//!
//! In: the log up to the positions that are committed when it starts, and the warehouse. Out: missing, doubled and unrecorded ranges by partition and minute, on standard output, and
//! an exit code: 0 sound (or healed), 1 something is wrong, 2 it could not be looked at. Refuses: nothing. Promises: rows are made by the consumer's own code and looked for in
//! every table, streaming, so memory is one batch; a running consumer gives no false alarm; without `--heal` it reads only, and healing adds rows and removes none.

mod batches;
mod findings;
mod tails;

use std::collections::HashMap;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::consume::assignment::{Border, Entry};
use crate::consume::batch::Batch;
use crate::consume::{Pipeline, received_ms};
use crate::ids::now_millis;
use crate::replay::log::{Log, Part};
use crate::replay::mend::{Act, Look, Mender};
use crate::replay::resettle::Mended;
use crate::replay::walk::{Scope, Walk};
use crate::replay::{self, say};
use crate::service::Installation;
use crate::stop::Stop;
use crate::store::StoreError;
use crate::store::native::Millis;
use crate::store::rows::IngestBatchRow;

use self::batches::Gap;
use self::findings::{Finding, Findings, Sort};

/// What is to be done about doubled rows.
const DOUBLED: &str = "reports count it once (FINAL); `OPTIMIZE TABLE … FINAL` as an administrator merges it; never removed here";

/// Why a gap can't be healed.
const GONE: &str = "the log no longer holds it: it can't be healed from here";

/// What can be asked of an audit.
#[derive(Clone, Debug, Args)]
pub struct AuditArguments {
    /// Send what is missing from the log again, where the log still has it
    #[arg(long)]
    pub heal: bool,
    /// With --heal: this earlier life of the log, as an audit names it, is gone for good; what stands of its last batch is all there is
    #[arg(long, value_name = "EPOCH", requires = "heal", value_parser = epoch)]
    pub gone_epoch: Vec<u64>,
    /// One partition only
    #[arg(long)]
    pub partition: Option<u16>,
    /// What was received from this day or instant on: 2026-11-25, 2026-11-25T16:40:00Z
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// What was received before the end of this day, or before this instant
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// One JSON object instead of lines
    #[arg(long)]
    pub json: bool,
}

/// A life of the log, as findings name it.
fn epoch(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16).map_err(|_| {
        format!("{text:?} is no epoch: 16 hexadecimal digits, as `leadtrail audit` prints them")
    })
}

/// An audit under way.
struct Audit<'a> {
    pipeline: &'a Pipeline,
    act: Act,
    run: u64,
    gaps: Vec<Gap>,
    findings: Findings,
    mended: Mended,
    records: u64,
}

/// Audits.
pub async fn run(
    arguments: &AuditArguments,
    installation: &Installation,
    pipeline: &Pipeline,
    stop: &Stop,
) -> Result<ExitCode> {
    let _lock = match arguments.heal {
        true => Some(replay::lock(&installation.config.data_dir)?),
        false => None,
    };
    let scope = Scope {
        partition: arguments.partition,
        from_ms: replay::time_ms("from", arguments.from.as_deref(), false)?,
        to_ms: replay::time_ms("to", arguments.to.as_deref(), true)?,
        ..Scope::default()
    };
    // Its committed positions are taken first: what the consumer stores later is not asked for.
    let log = tokio::task::block_in_place(|| Log::open(&installation.config))?;
    let (name, parts) = (log.name.clone(), log.parts.clone());
    let wanted = |gap: &Gap| arguments.partition.is_none_or(|only| only == gap.partition);
    let mut gaps = batches::gaps(&pipeline.warehouse, &parts).await?;
    gaps.retain(wanted);
    let mut audit = Audit {
        pipeline,
        act: if arguments.heal { Act::Insert } else { Act::Look },
        run: getrandom::u64().context("no random bits")?,
        gaps,
        findings: Findings::default(),
        mended: Mended::default(),
        records: 0,
    };
    let is_whole = scope.from_ms.is_none() && scope.to_ms.is_none();
    let mut walk = Walk::new(log, scope);
    while let Some((part, batch)) = tokio::task::block_in_place(|| walk.next_batch())? {
        if stop.is_stopped() {
            bail!("stopped before its end: nothing is proven");
        }
        walk.tell();
        audit.batch(&part, &batch, is_whole).await?;
    }
    audit.unreachable(&parts);
    for tail in tails::of_other_logs(&pipeline.warehouse, &parts).await? {
        if arguments.partition.is_none_or(|only| only == tail.partition()) {
            let settled = tail.settle(&pipeline.warehouse, &arguments.gone_epoch, audit.run);
            audit.findings.push(settled.await?);
        }
    }
    audit.findings.finish();
    for day in batches::days(&pipeline.warehouse).await? {
        for twins in batches::twins(&pipeline.warehouse, &day).await? {
            if arguments.partition.is_none_or(|only| only == twins.partition) {
                audit.findings.push(twins);
            }
        }
    }
    audit.print(&name, &parts, arguments.json);
    Ok(if audit.findings.open_count() == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

impl Audit<'_> {
    async fn batch(&mut self, part: &Part, batch: &Batch, is_whole: bool) -> Result<()> {
        let border = Border { epoch: part.epoch, from: batch.from, to: batch.to, fingerprint: 0 };
        let mut rows = self.pipeline.rows(part.partition, border, batch, true).await?;
        let mender = Mender::new(self.pipeline, self.run, (part.epoch, part.partition));
        let looks = mender.mend(batch, &mut rows, self.act).await?;
        self.records += batch.entries.len() as u64;
        let healed = self.act == Act::Insert;
        if healed {
            self.mended.note((part.epoch, part.partition), &looks);
            self.mended.resettle(&self.pipeline.warehouse, self.run).await?;
        }
        for look in &looks {
            self.look(part, batch, look, healed);
        }
        // A batch that was read by time doesn't show all of its range.
        self.record(part, batch, rows.dead.len(), is_whole).await?;
        Ok(())
    }

    /// Ranges of one table's missing and doubled rows.
    fn look(&mut self, part: &Part, batch: &Batch, look: &Look, healed: bool) {
        let times: HashMap<u64, i64> = match look.missing.is_empty() && look.doubled.is_empty() {
            true => HashMap::new(),
            false => times(batch),
        };
        let at = |sort, offset: u64, healed, remark| Finding {
            sort,
            table: look.table,
            epoch: part.epoch,
            partition: part.partition,
            from: offset,
            to: offset + 1,
            rows: 1,
            received_ms: times.get(&offset).map(|ms| (*ms, *ms)),
            healed,
            remark,
        };
        for offset in &look.expected {
            if look.missing.contains(offset) {
                let remark =
                    if healed { "" } else { "in the log: `leadtrail audit --heal` sends it" };
                self.findings.extend(at(Sort::Missing, *offset, healed, remark));
            } else {
                self.findings.close(Sort::Missing, look.table);
            }
            // Those of `events` are looked for day by day.
            if look.doubled.contains(offset) && look.table != "events" {
                self.findings.extend(at(Sort::Doubled, *offset, false, DOUBLED));
            } else {
                self.findings.close(Sort::Doubled, look.table);
            }
        }
    }

    /// Gaps between recorded batches that this batch shows: their rows were looked for, so they can be recorded.
    async fn record(
        &mut self,
        part: &Part,
        batch: &Batch,
        dead: usize,
        is_whole: bool,
    ) -> Result<(), StoreError> {
        let here = |gap: &&Gap| {
            (gap.epoch, gap.partition) == (part.epoch, part.partition)
                && gap.from < batch.to
                && batch.from < gap.to
        };
        let gaps: Vec<Gap> = self.gaps.iter().filter(here).copied().collect();
        for gap in gaps {
            let (from, to) = (gap.from.max(batch.from), gap.to.min(batch.to));
            let healed = self.act == Act::Insert && is_whole;
            if healed {
                self.record_batch(part, batch, (from, to), dead).await?;
            }
            let remark = if healed {
                ""
            } else {
                "settling waits for it: `leadtrail audit --heal` records it"
            };
            let inside = |entry: &&Entry| (from..to).contains(&entry.offset());
            let times = batch.entries.iter().filter(inside).filter_map(received_ms);
            let bounds = times.fold(None, |bounds: Option<(i64, i64)>, ms| {
                Some(bounds.map_or((ms, ms), |(first, last)| (first.min(ms), last.max(ms))))
            });
            self.findings.extend(Finding {
                sort: Sort::Unrecorded,
                table: "ingest_batches",
                epoch: part.epoch,
                partition: part.partition,
                from,
                to,
                rows: to - from,
                received_ms: bounds,
                healed,
                remark,
            });
            if to == gap.to {
                self.findings.close(Sort::Unrecorded, "ingest_batches");
            }
        }
        Ok(())
    }

    async fn record_batch(
        &self,
        part: &Part,
        batch: &Batch,
        (from, to): (u64, u64),
        dead: usize,
    ) -> Result<(), StoreError> {
        let inside = |entry: &&Entry| (from..to).contains(&entry.offset());
        let records = batch.entries.iter().filter(inside).count();
        let row = IngestBatchRow {
            log_epoch: part.epoch,
            log_partition: part.partition,
            from_offset: from,
            to_offset: to,
            records: u32::try_from(records).unwrap_or(u32::MAX),
            dead: u32::try_from(dead).unwrap_or(u32::MAX),
            at: Millis(now_millis()),
        };
        let token =
            format!("replay/{:016x}/{}/{from}/{to}/ingest_batches", self.run, part.partition);
        self.pipeline.warehouse.insert("ingest_batches", [&row].into_iter(), &token).await
    }

    /// Gaps, or parts of them, that the log no longer shows.
    fn unreachable(&mut self, parts: &[Part]) {
        for gap in &self.gaps {
            let present = parts
                .iter()
                .find(|part| (part.epoch, part.partition) == (gap.epoch, gap.partition));
            let to = present.map_or(gap.to, |part| gap.to.min(part.start));
            if gap.from < to {
                self.findings.push(Finding {
                    sort: Sort::Unrecorded,
                    table: "ingest_batches",
                    epoch: gap.epoch,
                    partition: gap.partition,
                    from: gap.from,
                    to,
                    rows: to - gap.from,
                    received_ms: None,
                    healed: false,
                    remark: GONE,
                });
            }
        }
    }

    fn print(&self, name: &str, parts: &[Part], json: bool) {
        let open = self.findings.open_count();
        let healed = self.findings.listed.len() as u64 + self.findings.further - open;
        if json {
            let part = |part: &Part| {
                json!({"partition": part.partition, "epoch": format!("{:016x}", part.epoch),
                       "from_offset": part.start, "to_offset": part.committed})
            };
            let findings: Vec<Value> = self.findings.listed.iter().map(Finding::json).collect();
            let object = json!({
                "log": name, "partitions": parts.iter().map(part).collect::<Vec<_>>(), "records": self.records,
                "open": open, "healed": healed, "findings": findings, "not_listed": self.findings.further,
            });
            return say(&object.to_string());
        }
        for part in parts {
            say(&format!(
                "partition {} epoch {:016x}: offsets [{}, {}) looked at",
                part.partition, part.epoch, part.start, part.committed
            ));
        }
        self.findings.listed.iter().for_each(|finding| say(&finding.line()));
        if self.findings.further > 0 {
            say(&format!("… and {} ranges more", self.findings.further));
        }
        let verdict = match (open, healed) {
            (0, 0) => "nothing is missing, nothing is doubled".to_owned(),
            (0, healed) => format!("{healed} ranges healed, nothing is left"),
            (open, 0) => format!("{open} ranges are not as they should be"),
            (open, healed) => format!("{healed} ranges healed, {open} are not as they should be"),
        };
        say(&format!("{name}: {} records held against the warehouse: {verdict}", self.records));
    }
}

/// When the batch's records were received, by offset.
fn times(batch: &Batch) -> HashMap<u64, i64> {
    let time = |entry: &Entry| Some((entry.offset(), received_ms(entry)?));
    batch.entries.iter().filter_map(time).collect()
}
