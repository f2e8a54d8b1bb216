//! `leadtrail reconcile`: a network's own report against what we have.
//!
//! In: a file (or standard input), a postback or site, a period. Out: gaps on standard output, words on standard error; exit code 0 when
//! all agrees, 1 when there are gaps, 2 for a bad question or file, 3 when the warehouse is away. Refuses: what `columns` and
//! `ours` refuse. Promises: rows are told as they are read.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, IsTerminal as _, Read};
use std::process::ExitCode;
use std::sync::Arc;

use clickhouse::Client;
use jiff::Timestamp;

use super::ReconcileError;
use super::columns::{Column, Named};
use super::compare::{Cause, Ours, compare, why_missing, zone_shift_minutes};
use super::ours::{self, Asked, Conversions, LOOK_UP_MAX};
use super::table::Table;
use super::theirs::{DayOrder, Style, Theirs};
use super::write::Writer;
use crate::check::flags::Flags;
use crate::check::postbacks::money::{Decimal, Unit};
use crate::check::postbacks::status::StatusMap;
use crate::check::postbacks::{Profile, stored_id};
use crate::keys::Keys;
use crate::report::command::Format;
use crate::report::period::Period;
use crate::report::question::BadQuestion;

/// Rows that we don't have, and whose transactions are remembered: beyond it the file is of something else.
const MISSING_MAX: usize = 1_000_000;

/// How far around the period a row that is missing in it is looked for.
const AROUND_MS: i64 = 45 * 86_400_000;

/// How the file writes decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DecimalSign {
    /// `1,234.50`
    Point,
    /// `1.234,50`
    Comma,
}

/// What `leadtrail reconcile` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  leadtrail reconcile november.csv --postback awin --from 2026-11-01 --to 2026-11-30 --zone Europe/London\n  leadtrail reconcile report.csv --postback cj --column amount=\"Sale Amount\" --format csv > gaps.csv",
    after_help = "Exit code: 0 all agrees, 1 gaps, 2 bad question or file, 3 warehouse unreachable."
)]
pub struct ReconcileArguments {
    /// The network's report, as CSV in any encoding; - for standard input
    #[arg(value_name = "FILE")]
    pub file: String,
    /// Whose report it is: a postback of sites.toml; without it all conversions of the site, by order number
    #[arg(long, default_value = "", hide_default_value = true)]
    pub postback: String,
    /// One site only
    #[arg(long, default_value = "", hide_default_value = true)]
    pub site: String,
    /// today, 24h, 7d, 30d (default), 90d, month or all
    #[arg(long, default_value = "", hide_default_value = true)]
    pub period: String,
    /// First day, 2026-11-01; instead of a period
    #[arg(long, default_value = "", hide_default_value = true, value_name = "DAY")]
    pub from: String,
    /// Last day, inclusive; today unless given
    #[arg(long, default_value = "", hide_default_value = true, value_name = "DAY")]
    pub to: String,
    /// Whose days and clock the report has, Europe/Berlin for example; UTC unless given
    #[arg(long, default_value = "", hide_default_value = true)]
    pub zone: String,
    /// What a column says, role=NAME; roles: transaction, status, amount, currency, time (repeat it for more)
    #[arg(long, value_name = "ROLE=NAME")]
    pub column: Vec<Named>,
    /// The sign between columns; found out unless given
    #[arg(long)]
    pub delimiter: Option<char>,
    /// The sign before decimals; found out unless given, and 1,234 is then refused
    #[arg(long)]
    pub decimal: Option<DecimalSign>,
    /// Whole numbers count cents
    #[arg(long)]
    pub minor: bool,
    /// The order of days with slashes; needed where no number is over 12
    #[arg(long)]
    pub days: Option<DayOrder>,
    /// table, csv or json; a table on a terminal, else csv
    #[arg(long, default_value = "", hide_default_value = true)]
    pub format: String,
}

/// What the installation knows.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The names of the postbacks, with their profiles.
    pub postbacks: &'a [(String, Arc<Profile>)],
    /// The names of the sites.
    pub sites: &'a [String],
    /// For transactions that are kept as their hash.
    pub keys: &'a Keys,
}

/// Compares and prints. `client` is called when the question is good.
pub async fn run<Fail: std::fmt::Display>(
    arguments: &ReconcileArguments,
    known: Known<'_>,
    client: impl FnOnce() -> Result<Client, Fail>,
) -> ExitCode {
    let question = match Question::parse(arguments, known) {
        Ok(question) => question,
        Err(bad) => return complain(2, &bad),
    };
    let client = match client() {
        Ok(client) => client,
        Err(error) => return complain(3, &error),
    };
    match question.answer(arguments, known, &client).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(ReconcileError::File(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::from(1)
        }
        Err(error @ ReconcileError::Warehouse(_)) => complain(3, &error),
        Err(error) => complain(2, &error),
    }
}

#[expect(clippy::print_stderr, reason = "the words of a command")]
fn complain(code: u8, error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("leadtrail: {}", crate::report::text::plain(&error.to_string()));
    ExitCode::from(code)
}

/// A question that can be answered.
struct Question {
    period: Period,
    format: Format,
    style: Style,
    profile: Option<Arc<Profile>>,
    statuses: StatusMap,
}

impl Question {
    fn parse(arguments: &ReconcileArguments, known: Known<'_>) -> Result<Self, BadQuestion> {
        let ReconcileArguments { period, from, to, zone, .. } = arguments;
        let period = Period::parse(period, from, to, zone, Timestamp::now())?;
        let profile = match arguments.postback.as_str() {
            "" => None,
            name => match known.postbacks.iter().find(|(own, _)| own == name) {
                Some((_, profile)) => Some(profile.clone()),
                None => {
                    let names = known.postbacks.iter().map(|(name, _)| name.as_str());
                    return Err(BadQuestion::unknown("postback", name, names));
                }
            },
        };
        if !arguments.site.is_empty() && !known.sites.contains(&arguments.site) {
            let names = known.sites.iter().map(String::as_str);
            return Err(BadQuestion::unknown("site", &arguments.site, names));
        }
        let format = match arguments.format.as_str() {
            "" if io::stdout().is_terminal() => Format::Table,
            "" => Format::Csv,
            name => Format::parse(name)?,
        };
        let decimal = match arguments.decimal {
            Some(DecimalSign::Point) => Decimal::Point,
            Some(DecimalSign::Comma) => Decimal::Comma,
            None => Decimal::Either,
        };
        let unit = if arguments.minor { Unit::Minor } else { Unit::Major };
        let zone = period.zone.clone();
        let style = Style { decimal, unit, day_order: arguments.days, zone };
        let statuses = profile.as_ref().map_or_else(StatusMap::default, |one| one.status.clone());
        Ok(Self { period, format, style, profile, statuses })
    }

    async fn answer(
        &self,
        arguments: &ReconcileArguments,
        known: Known<'_>,
        client: &Client,
    ) -> Result<bool, ReconcileError> {
        let source: Box<dyn Read> = match arguments.file.as_str() {
            "-" => Box::new(io::stdin().lock()),
            path => Box::new(std::fs::File::open(path).map_err(|error| {
                io::Error::new(error.kind(), format!("cannot open {path:?}: {error}"))
            })?),
        };
        let mut table =
            Table::open(source, arguments.delimiter, &arguments.column, self.profile.as_deref())?;
        let asked = Asked {
            postback: &arguments.postback,
            site: &arguments.site,
            from_ms: self.period.from.as_millisecond(),
            to_ms: self.period.to.as_millisecond(),
        };
        let conversions = Conversions::read(client, asked).await?;
        let about = format!(
            "{} against {}, {} ({}): {}",
            arguments.file,
            if asked.postback.is_empty() { "all conversions" } else { asked.postback },
            self.period.dates(),
            self.period.zone_name(),
            table.columns.words(&table.header)
        );
        let writer = Writer::new(io::BufWriter::new(io::stdout().lock()), self.format, &about)?;
        let mut run = Run {
            question: self,
            asked,
            client,
            keys: known.keys,
            conversions,
            writer,
            missing: Vec::new(),
            seen_missing: HashSet::new(),
            refused: ours::refused(client, around(asked)).await?,
            shifts: BTreeMap::new(),
        };
        while let Some(row) = table.next(&self.style)? {
            run.row(row).await?;
        }
        run.end().await
    }
}

fn around(asked: Asked<'_>) -> Asked<'_> {
    let (from_ms, to_ms) =
        (asked.from_ms.saturating_sub(AROUND_MS), asked.to_ms.saturating_add(AROUND_MS));
    Asked { from_ms, to_ms, ..asked }
}

/// A comparison under way.
struct Run<'a, W: io::Write> {
    question: &'a Question,
    asked: Asked<'a>,
    client: &'a Client,
    keys: &'a Keys,
    conversions: Conversions,
    writer: Writer<W>,
    /// Rows that are not in the period's conversions, until they are looked up.
    missing: Vec<(String, Theirs)>,
    seen_missing: HashSet<u64>,
    refused: super::compare::RefusedByTime,
    /// Minutes that the two clocks are apart, and how often.
    shifts: BTreeMap<i64, u64>,
}

impl<W: io::Write> Run<'_, W> {
    async fn row(&mut self, row: Result<Theirs, (u64, Column)>) -> Result<(), ReconcileError> {
        let theirs = match row {
            Ok(theirs) => theirs,
            Err((line, column)) => {
                self.writer.count(Cause::Unreadable);
                let detail = format!("line {line}: the {} can't be read", column.word());
                return Ok(self.writer.gap((Cause::Unreadable, &detail), "", None, None)?);
            }
        };
        let stored = stored_id(self.keys, &theirs.transaction, &mut Flags::default());
        if self.conversions.get_mut(&stored).is_some() {
            return self.met(&stored, &theirs);
        }
        let hash = self.conversions.hash(&stored);
        if !self.seen_missing.insert(hash) {
            return self.twice(&stored, &theirs, None);
        }
        if self.seen_missing.len() > MISSING_MAX {
            let what = format!(
                "more than {MISSING_MAX} rows that are not here: is it the right --postback and period?"
            );
            return Err(ReconcileError::Table { line: theirs.line, what });
        }
        self.missing.push((stored, theirs));
        if self.missing.len() >= LOOK_UP_MAX {
            self.look_up().await?;
        }
        Ok(())
    }

    fn twice(
        &mut self,
        stored: &str,
        theirs: &Theirs,
        ours: Option<Ours>,
    ) -> Result<(), ReconcileError> {
        self.writer.count(Cause::TwiceThere);
        self.writer.sum(Some(theirs), None);
        Ok(self.writer.gap((Cause::TwiceThere, ""), stored, Some(theirs), ours.as_ref())?)
    }

    fn met(&mut self, stored: &str, theirs: &Theirs) -> Result<(), ReconcileError> {
        let Some(ours) = self.conversions.get_mut(stored) else { return Ok(()) };
        if std::mem::replace(&mut ours.met, true) {
            let ours = *ours;
            return self.twice(stored, theirs, Some(ours));
        }
        let ours = *ours;
        if let Some(minutes) = theirs.when.and_then(|when| zone_shift_minutes(when, &ours)) {
            *self.shifts.entry(minutes).or_default() += 1;
        }
        self.writer.sum(Some(theirs), Some(&ours));
        let gaps = compare(theirs, &ours, &self.question.statuses);
        if gaps.is_empty() {
            self.writer.count(Cause::Same);
        }
        for (cause, detail) in gaps {
            self.writer.count(cause);
            self.writer.gap((cause, &detail), stored, Some(theirs), Some(&ours))?;
        }
        Ok(())
    }

    /// Looks up what is not in the period: it may be of another day.
    async fn look_up(&mut self) -> Result<(), ReconcileError> {
        let missing = std::mem::take(&mut self.missing);
        let keys: Vec<&str> = missing.iter().map(|(stored, _)| stored.as_str()).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let found = ours::look_up(self.client, around(self.asked), &keys).await?;
        let (from_ms, to_ms) = (self.asked.from_ms, self.asked.to_ms);
        for (stored, theirs) in &missing {
            if let Some(ours) = found.get(stored) {
                self.writer.sum(Some(theirs), Some(ours));
                let shift = theirs.when.and_then(|when| zone_shift_minutes(when, ours));
                let detail = match shift {
                    Some(minutes) => format!("{minutes:+} minutes apart: another zone's clock?"),
                    None => String::new(),
                };
                self.writer.count(Cause::OutsidePeriod);
                let told = (Cause::OutsidePeriod, detail.as_str());
                self.writer.gap(told, stored, Some(theirs), Some(ours))?;
                continue;
            }
            if theirs.when.is_some_and(|when| !(from_ms..to_ms).contains(&when.at_ms)) {
                self.writer.count(Cause::NotAsked);
                continue;
            }
            self.writer.sum(Some(theirs), None);
            let (cause, detail) = why_missing(theirs.when, &self.refused);
            self.writer.count(cause);
            self.writer.gap((cause, &detail), stored, Some(theirs), None)?;
        }
        Ok(())
    }

    async fn end(mut self) -> Result<bool, ReconcileError> {
        self.look_up().await?;
        let writer = &mut self.writer;
        let tell = |key: &str, ours: &Ours| {
            writer.count(Cause::MissingThere);
            writer.sum(None, Some(ours));
            writer.gap((Cause::MissingThere, ""), key, None, Some(ours))
        };
        self.conversions.unmet(self.client, self.asked, tell).await?;
        let mut notes = Vec::new();
        if let Some((minutes, rows)) = self.shifts.iter().max_by_key(|(_, rows)| **rows) {
            notes.push(format!(
                "{rows} rows are {minutes:+} minutes apart: the report may be by another zone's clock (--zone)"
            ));
        }
        if self.question.format == Format::Csv {
            for (cause, count) in &self.writer.counts {
                note(&format!("{}: {count}", cause.word()));
            }
            notes.iter().for_each(|line| note(line));
        }
        Ok(self.writer.end(&notes)?)
    }
}

#[expect(clippy::print_stderr, reason = "the words beside a file")]
fn note(line: &str) {
    eprintln!("{}", crate::report::text::plain(line));
}
