//! `leadtrail journal`: is it whole, how does it stand, and how does an orphaned spill get into Kafka.
//!
//! In: a journal's directory, the configured one unless another is named. Out: lines on standard output, and an exit code: 0 sound,
//! 1 something is lost or left, 2 the question could not be answered. Refuses: to drain what another process writes, and what is no spill. Promises: `check` and
//! `stat` read only, beside a running writer too; no payload is printed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};

use crate::config::{Config, Home};
use crate::consume::disk::position;
use crate::event::received_ms;
use crate::ids::now_millis;
use crate::journal::disk::{DiskReader, Entry, Survey};
use crate::journal::kafka::{KEY_BYTES, KafkaLog};
use crate::journal::options;
use crate::say::say;

/// How often the drain tells how far it is.
const PROGRESS: Duration = Duration::from_secs(1);

/// Without a record delivered for so long the drain gives up: what an earlier process left waits 30 s for brokers that have just come back.
const NO_PROGRESS_MAX: Duration = Duration::from_secs(90);

/// What the producer has at the end.
const CLOSE_MAX: Duration = Duration::from_secs(30);

/// What can be asked of a journal.
#[derive(Clone, Debug, Subcommand)]
pub enum JournalCommand {
    /// Verify every checksum; the writer may run.
    Check(Which),
    /// Say what it holds and how far it is consumed.
    Stat(Which),
    /// Push a spill that no edge empties into Kafka.
    Drain(Which),
}

/// Which journal.
#[derive(Clone, Debug, Args)]
pub struct Which {
    /// Its directory [default: the configured journal or spill]
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// It is a spill beside Kafka, whatever the configuration's `log.home` says
    #[arg(long)]
    pub spill: bool,
}

impl Which {
    fn of(&self, config: &Config) -> (PathBuf, bool) {
        let directory = self.directory.clone().unwrap_or_else(|| config.journal_dir());
        (directory, self.spill || config.log.home == Home::Kafka)
    }
}

/// Runs the command.
pub fn run(command: &JournalCommand, config: &Config) -> anyhow::Result<ExitCode> {
    match command {
        JournalCommand::Check(which) => {
            let (directory, is_spill) = which.of(config);
            check(&directory, is_spill)
        }
        JournalCommand::Stat(which) => {
            let (directory, is_spill) = which.of(config);
            stat(&directory, is_spill)
        }
        JournalCommand::Drain(which) => {
            let (directory, _) = which.of(config);
            drain(&directory, config)
        }
    }
}

fn check(directory: &Path, is_spill: bool) -> anyhow::Result<ExitCode> {
    let survey = Survey::of(directory, is_spill)?;
    let consumed = survey.consumed.unwrap_or(0);
    for finding in &survey.findings {
        let end = finding.first_offset + finding.lost;
        let stored = if finding.lost > 0 && end <= consumed && !is_spill {
            "; all of them were consumed before"
        } else {
            ""
        };
        say(&format!(
            "{}: {} at byte {} ({} bytes), offset {}: {} acknowledged records lost{stored}",
            finding.path.display(),
            finding.damage.words(),
            finding.position,
            finding.bytes,
            finding.first_offset,
            finding.lost
        ));
    }
    if survey.finding_count > survey.findings.len() as u64 {
        say(&format!("… and {} more", survey.finding_count - survey.findings.len() as u64));
    }
    let records: u64 = survey.segments.iter().map(|segment| segment.records).sum();
    let bytes: u64 = survey.segments.iter().map(|segment| segment.bytes).sum();
    let lost = survey.lost();
    let verdict = match (survey.findings.is_empty(), survey.is_sound()) {
        (true, _) => "sound".to_owned(),
        (false, true) => {
            "sound; a crash left a torn tail, which the next start cuts: nothing acknowledged is in it"
                .to_owned()
        }
        _ => format!(
            "damaged, {lost} acknowledged records lost; the rest is read past the damage, what is unreadable goes to the dead letters"
        ),
    };
    say(&format!(
        "{}: {} segments, {records} records, {bytes} bytes verified: {verdict}",
        directory.display(),
        survey.segments.len()
    ));
    Ok(if survey.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// How long ago, in words.
fn age(then_ms: i64) -> String {
    let seconds = (now_millis() - then_ms).max(0) / 1000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

/// When the record at an offset was received; `skip`: bytes of a spill's key in front of it.
fn received_at(directory: &Path, offset: u64, skip: usize) -> Option<i64> {
    let mut reader = DiskReader::open(directory).ok()?;
    // The first entries may be voids, or damage.
    let entries = reader.read(offset, 100, 1 << 20).ok()?;
    entries.iter().find_map(|entry| match entry {
        Entry::Record { payload, .. } => received_ms(payload.get(skip..)?),
        _ => None,
    })
}

fn stat(directory: &Path, is_spill: bool) -> anyhow::Result<ExitCode> {
    let reader = DiskReader::open(directory)?;
    let survey = Survey::of(directory, is_spill)?;
    let (start, end) = (reader.start()?, reader.end()?);
    let bytes: u64 = survey.segments.iter().map(|segment| segment.bytes).sum();
    say(&format!("journal   {} ({})", reader.journal_id(), directory.display()));
    say(&format!("writer    {}", if survey.is_written { "running" } else { "none" }));
    say(&format!("segments  {}, {bytes} bytes", survey.segments.len()));
    for segment in &survey.segments {
        let created = match segment.created_ms {
            0 => "created at an unknown time".to_owned(),
            ms => format!("created {} ago", age(i64::try_from(ms).unwrap_or(0))),
        };
        let name = segment.path.file_name().unwrap_or_default().to_string_lossy();
        say(&format!(
            "          {name}: [{}, {}), {} records, {} bytes, {created}",
            segment.first, segment.end, segment.records, segment.bytes
        ));
    }
    say(&format!("positions [{start}, {end})"));
    if let Some((pending, first)) = survey.pending {
        let oldest = first.and_then(|first| received_at(directory, first, KEY_BYTES));
        let oldest = oldest.map_or_else(String::new, |ms| format!(", the oldest {} old", age(ms)));
        say(&format!("pending   {} records, {} bytes{oldest}", pending.records, pending.bytes));
        return Ok(ExitCode::SUCCESS);
    }
    match position(directory)? {
        Some((journal, border)) if journal == format!("{:?}", reader.journal_id()) => {
            let open = match border.to > border.from {
                true => format!(", the batch up to {} is under way", border.to),
                false => String::new(),
            };
            say(&format!("epoch     {:016x}", border.epoch));
            say(&format!("consumed  below {}{open}", border.from));
            let left = end.saturating_sub(border.from);
            let oldest = if left > 0 { received_at(directory, border.from, 0) } else { None };
            let oldest =
                oldest.map_or_else(String::new, |ms| format!(", the oldest {} old", age(ms)));
            say(&format!("waiting   {left} records{oldest}"));
        }
        Some(_) => {
            say("consumed  nothing yet: the position belongs to a journal that was here before");
        }
        None => say("consumed  nothing yet"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Nothing to do, and what to do instead.
fn refuse_drain(words: &str) -> anyhow::Result<ExitCode> {
    anyhow::bail!("{words}")
}

fn drain(directory: &Path, config: &Config) -> anyhow::Result<ExitCode> {
    if config.log.home == Home::Disk {
        return refuse_drain(
            "log.home is \"disk\": the journal is the log itself, and no spill. `leadtrail up` or `leadtrail consume` empties it into \
             ClickHouse; `leadtrail journal stat` says how much waits. To drain an orphaned spill, set log.home and kafka.brokers",
        );
    }
    let survey = Survey::of(directory, true)?;
    let first = survey.pending.and_then(|(_, first)| first);
    if first.is_some_and(|first| received_at(directory, first, 0).is_some()) {
        return refuse_drain(
            "this journal holds whole records without a key: it was the log of a single machine, and no spill. Run `leadtrail consume` \
             with log.home = \"disk\" on it instead",
        );
    }
    let log = KafkaLog::open(&config.kafka, directory, options(config))?;
    let (begun, mut told) = (Instant::now(), Instant::now());
    let total = log.backlog().records;
    say(&format!("{total} records to drain from {}", directory.display()));
    if total > 0 {
        say(
            "what another process left is sent 30 s after the brokers are there, marked, so that the consumer stores nothing twice",
        );
    }
    let (mut left, mut progress) = (total, Instant::now());
    let mut first_sent = None;
    while left > 0 && progress.elapsed() < NO_PROGRESS_MAX {
        std::thread::sleep(Duration::from_millis(50));
        let now = log.backlog().records;
        if now < left {
            (left, progress) = (now, Instant::now());
            first_sent.get_or_insert(Instant::now());
        }
        if told.elapsed() >= PROGRESS && left < total {
            told = Instant::now();
            say(&format!("{} of {total} delivered", total - left));
        }
    }
    log.close(CLOSE_MAX);
    let left = log.backlog().records;
    let seconds = first_sent.unwrap_or(begun).elapsed().as_secs_f64();
    say(&format!("{} delivered in {seconds:.1} s, {left} left", total - left));
    if left > 0 {
        say(
            "the brokers took nothing for a while; what is left stays here, run it again when they are back",
        );
        return Ok(ExitCode::from(1));
    }
    Ok(ExitCode::SUCCESS)
}
