//! `leadtrail replay`: what the log, the dead letters or the quarantine hold is put where it belongs, if it isn't there.
//!
//! In: what to replay, by time, reason, partition or offset. Out: missing rows in ClickHouse, counts on standard output, progress on standard error, and an exit code:
//! 0 everything is where it belongs, 1 something still can't be stored, 2 it could not be done. Refuses: a second replay beside it on one machine. Promises: rows are made by the consumer's
//! own code and inserted only where they are missing, so running it twice changes nothing; nothing behind the committed position is touched.

pub mod dead_letters;
mod keyed;
pub mod log;
pub mod mend;
pub mod resettle;
pub mod walk;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

use crate::consume::Pipeline;
use crate::consume::assignment::Border;
use crate::quarantine::{Which, rejudge};
use crate::report::text::plain;
use crate::service::Installation;
use crate::stop::Stop;

use self::log::Log;
use self::mend::{Act, Look, Mender};
use self::resettle::Mended;
use self::walk::{Scope, Walk};

/// The lock of those who mend, in `data_dir`.
const LOCK: &str = "replay.lock";

/// What to replay.
#[derive(Clone, Debug, Subcommand)]
pub enum ReplayCommand {
    /// Put rows that the log has and the warehouse hasn't into their tables.
    Log(LogArguments),
    /// Try to store dead letters again; those that are stored are removed from the dead letters.
    DeadLetters(DeadArguments),
    /// Judge what is held as spam by today's rules, and release what they would not hold.
    Quarantine(QuarantineArguments),
}

/// Which part of the log.
#[derive(Clone, Debug, Args)]
pub struct LogArguments {
    /// One partition only
    #[arg(long)]
    pub partition: Option<u16>,
    /// Received from this day or instant on: 2026-11-25, 2026-11-25T16:40:00Z
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Received before the end of this day, or before this instant
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// From this offset on
    #[arg(long, value_name = "OFFSET")]
    pub from_offset: Option<u64>,
    /// Up to this offset, exclusive
    #[arg(long, value_name = "OFFSET")]
    pub to_offset: Option<u64>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Which dead letters.
#[derive(Clone, Debug, Args)]
pub struct DeadArguments {
    /// For this reason only: unreadable, refused_by_warehouse, impossible_time, damaged_in_log
    #[arg(long, default_value = "", hide_default_value = true)]
    pub reason: String,
    /// One partition only
    #[arg(long)]
    pub partition: Option<u16>,
    /// Written from this day or instant on
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Written before the end of this day, or before this instant
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Which held submissions.
#[derive(Clone, Debug, Args)]
pub struct QuarantineArguments {
    /// Which ones
    #[command(flatten)]
    pub which: Which,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The ops listener of a running `up` or `serve` [default: ops.listen]
    #[arg(long, value_name = "ADDRESS")]
    pub ops: Option<SocketAddr>,
}

/// Says something about the work itself, apart from the answer.
pub(crate) fn complain(words: &str) {
    let _ = writeln!(std::io::stderr().lock(), "leadtrail: {}", plain(words));
}

/// Says a line of the answer.
pub(crate) fn say(words: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{}", plain(words));
}

/// One who mends at a time on this machine: two could both find a row missing. Over several machines the tables collapse what both send.
pub(crate) fn lock(data_dir: &Path) -> Result<File> {
    let path = data_dir.join(LOCK);
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.with_context(|| format!("cannot open {path:?}"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another replay or `audit --heal` runs ({path:?} is locked); wait for its end")
        }
        Err(TryLockError::Error(error)) => Err(error).context("cannot lock the replay's file"),
    }
}

/// A day, or an instant. `is_end`: a day means its end.
pub(crate) fn time_ms(key: &str, text: Option<&str>, is_end: bool) -> Result<Option<i64>> {
    let Some(text) = text else { return Ok(None) };
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(Some(instant.as_millisecond()));
    }
    let day: Date = text.parse().ok().with_context(|| {
        format!(
            "--{key} {text:?} is neither a day (2026-11-25) nor an instant (2026-11-25T16:40:00Z)"
        )
    })?;
    let day = if is_end { day.tomorrow().unwrap_or(day) } else { day };
    let midnight = Offset::UTC.to_timestamp(day.at(0, 0, 0, 0));
    Ok(Some(midnight.context("that day is out of range")?.as_millisecond()))
}

/// Runs the command.
pub async fn run(
    command: &ReplayCommand,
    installation: &Installation,
    pipeline: &Pipeline,
    stop: &Stop,
) -> Result<ExitCode> {
    let _lock = lock(&installation.config.data_dir)?;
    match command {
        ReplayCommand::Log(arguments) => replay_log(arguments, installation, pipeline, stop).await,
        ReplayCommand::DeadLetters(arguments) => {
            dead_letters::replay(arguments, pipeline, stop).await
        }
        ReplayCommand::Quarantine(arguments) => {
            let ops = arguments.ops.unwrap_or(installation.config.ops.listen);
            rejudge::run(&arguments.which, pipeline, ops, arguments.dry_run).await
        }
    }
}

async fn replay_log(
    arguments: &LogArguments,
    installation: &Installation,
    pipeline: &Pipeline,
    stop: &Stop,
) -> Result<ExitCode> {
    let scope = Scope {
        partition: arguments.partition,
        from_offset: arguments.from_offset,
        to_offset: arguments.to_offset,
        from_ms: time_ms("from", arguments.from.as_deref(), false)?,
        to_ms: time_ms("to", arguments.to.as_deref(), true)?,
    };
    let log = tokio::task::block_in_place(|| Log::open(&installation.config))?;
    let name = log.name.clone();
    let mut walk = Walk::new(log, scope);
    let run = getrandom::u64().context("no random bits")?;
    let act = if arguments.dry_run { Act::Look } else { Act::Insert };
    let (mut totals, mut mended, mut records) = (Totals::default(), Mended::default(), 0);
    while let Some((part, batch)) = tokio::task::block_in_place(|| walk.next_batch())? {
        if stop.is_stopped() {
            bail!("stopped; run it again, and it goes on: what is stored is not stored twice");
        }
        walk.tell();
        if batch.entries.is_empty() {
            continue;
        }
        records += batch.entries.len();
        let border = Border { epoch: part.epoch, from: batch.from, to: batch.to, fingerprint: 0 };
        let mut rows = pipeline.rows(part.partition, border, &batch, true).await?;
        let mender = Mender::new(pipeline, run, (part.epoch, part.partition));
        let looks = mender.mend(&batch, &mut rows, act).await?;
        totals.add(&looks);
        if act == Act::Insert {
            mended.note((part.epoch, part.partition), &looks);
            mended.resettle(&pipeline.warehouse, run).await?;
        }
    }
    let would = if arguments.dry_run { "would be " } else { "" };
    totals.print(would);
    say(&format!("{records} records of {name} looked at; {} rows {would}added", totals.rows()));
    Ok(ExitCode::SUCCESS)
}

/// Rows by table.
#[derive(Debug, Default)]
pub(crate) struct Totals(BTreeMap<&'static str, u64>);

impl Totals {
    pub(crate) fn add(&mut self, looks: &[Look]) {
        for look in looks.iter().filter(|look| look.missing_rows > 0) {
            *self.0.entry(look.table).or_default() += look.missing_rows;
        }
    }

    pub(crate) fn rows(&self) -> u64 {
        self.0.values().sum()
    }

    pub(crate) fn print(&self, would: &str) {
        for (table, rows) in &self.0 {
            say(&format!("{table:<18}{rows} rows {would}added"));
        }
    }
}
