//! `leadtrail quarantine`: what was held as spam, and what becomes of it.
//!
//! In: arguments, the warehouse, a running process with the log. Out: a list or one submission on standard output, decisions in the log, and an
//! exit code as of `report`: 0 rows, 1 none, 2 bad question, 3 unreachable. Refuses: an id that is none, deciding about everything by accident.
//! Promises: personal values are masked unless `--personal` is given; a decision is durable when it is told as done, and making it twice changes nothing.

mod ask;
mod print;
pub mod rejudge;
pub mod send;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::config::nearest;
use crate::decision::{self, Act, Decision};
use crate::event::Event;
use crate::ids::{EventId, now_millis};
use crate::keys::Keys;
use crate::quarantine::ask::{Filter, Held};
use crate::report::question::BadQuestion;
use crate::store::{StoreError, Warehouse};

/// The states of a submission, and all of them.
const STATES: [&str; 4] = ["held", "released", "dropped", "all"];

/// Rows of a list unless a number is given.
const LIMIT_USUAL: u32 = 50;

/// Submissions that one command reads: each can be 64 KiB and more.
const LIMIT_MAX: u32 = 1_000;

/// What can be asked of the quarantine.
#[derive(Clone, Debug, Subcommand)]
pub enum QuarantineCommand {
    /// List what is held, newest first.
    List {
        /// Which ones.
        #[command(flatten)]
        which: Which,
        /// One JSON array instead of a table.
        #[arg(long)]
        json: bool,
        /// Show e-mail addresses as they were typed.
        #[arg(long)]
        personal: bool,
    },
    /// Show one submission with its fields, and why it was held.
    Show {
        /// Its id, as `list` prints it.
        id: String,
        /// One JSON object instead of lines.
        #[arg(long)]
        json: bool,
        /// Show values as they were typed.
        #[arg(long)]
        personal: bool,
    },
    /// Make ordinary leads of them, with their first time.
    Release(Decide),
    /// Delete what was typed: it was spam.
    Drop(Decide),
}

/// Which submissions.
#[derive(Clone, Debug, Default, Args)]
pub struct Which {
    /// One site only
    #[arg(long, default_value = "", hide_default_value = true)]
    pub site: String,
    /// One form only
    #[arg(long, default_value = "", hide_default_value = true)]
    pub form: String,
    /// Held for this reason: honeypot, links, disposable_mail, …
    #[arg(long, default_value = "", hide_default_value = true)]
    pub reason: String,
    /// held (default), released, dropped or all
    #[arg(long, default_value = "held", hide_default_value = true)]
    pub state: String,
    /// today, 24h, 7d, 30d (default), 90d, month or all
    #[arg(long, default_value = "", hide_default_value = true)]
    pub period: String,
    /// First day, 2026-11-01; instead of a period
    #[arg(long, default_value = "", hide_default_value = true, value_name = "DAY")]
    pub from: String,
    /// Last day, inclusive; today unless given
    #[arg(long, default_value = "", hide_default_value = true, value_name = "DAY")]
    pub to: String,
    /// At most so many: 50 unless given, 1000 at most
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..=i64::from(LIMIT_MAX)))]
    pub limit: Option<u32>,
}

/// About which submissions to decide.
#[derive(Clone, Debug, Args)]
pub struct Decide {
    /// Their ids, as `list` prints them
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    pub ids: Vec<String>,
    /// All that match, up to 1000 at once
    #[arg(long)]
    pub all: bool,
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

/// Why it can't be done.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// The question has no answer.
    #[error("{0}")]
    Bad(String),
    /// The warehouse.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process that writes the log.
    #[error(transparent)]
    Send(#[from] send::SendError),
}

impl From<BadQuestion> for QuarantineError {
    fn from(bad: BadQuestion) -> Self {
        Self::Bad(bad.to_string())
    }
}

impl QuarantineError {
    fn code(&self) -> u8 {
        if matches!(self, Self::Bad(_)) { 2 } else { 3 }
    }
}

/// Runs the command.
pub async fn run(
    command: &QuarantineCommand,
    warehouse: &Warehouse,
    keys: &Keys,
    ops: SocketAddr,
) -> ExitCode {
    let outcome = match command {
        QuarantineCommand::List { which, json, personal } => {
            list(warehouse, which, *json, *personal).await
        }
        QuarantineCommand::Show { id, json, personal } => {
            show(warehouse, id, *json, *personal).await
        }
        QuarantineCommand::Release(decide) => {
            decide_on(warehouse, keys, ops, Act::Release, decide).await
        }
        QuarantineCommand::Drop(decide) => decide_on(warehouse, keys, ops, Act::Drop, decide).await,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            print::complain(&error.to_string());
            ExitCode::from(error.code())
        }
    }
}

impl Which {
    fn filter(&self, limit: u32) -> Result<Filter<'_>, QuarantineError> {
        if !STATES.contains(&self.state.as_str()) {
            let near = nearest(&self.state, STATES.into_iter());
            return Err(BadQuestion::unknown("state", &self.state, [near].into_iter()).into());
        }
        Filter::new(self, self.limit.unwrap_or(limit)).map_err(Into::into)
    }
}

async fn list(
    warehouse: &Warehouse,
    which: &Which,
    json: bool,
    personal: bool,
) -> Result<bool, QuarantineError> {
    let held = ask::held(warehouse, &which.filter(LIMIT_USUAL)?).await?;
    print::list(&held, json, personal);
    Ok(!held.is_empty())
}

/// The submission of this id, whatever its state.
async fn find(warehouse: &Warehouse, id: &str) -> Result<Held, QuarantineError> {
    let bad = |why: &str| {
        let id: String = id.chars().filter(|character| !character.is_control()).take(40).collect();
        QuarantineError::Bad(format!("{why} `{id}`; `leadtrail quarantine list` prints ids"))
    };
    let uuid = uuid::Uuid::parse_str(id.trim()).map_err(|_| bad("no id:"))?;
    EventId::from_bytes(*uuid.as_bytes()).ok_or_else(|| bad("no id of ours:"))?;
    let held = ask::held(warehouse, &Filter::of_id(&uuid.to_string())).await?;
    held.into_iter().next().ok_or_else(|| bad("nothing in quarantine with the id"))
}

async fn show(
    warehouse: &Warehouse,
    id: &str,
    json: bool,
    personal: bool,
) -> Result<bool, QuarantineError> {
    print::show(&find(warehouse, id).await?, json, personal);
    Ok(true)
}

async fn decide_on(
    warehouse: &Warehouse,
    keys: &Keys,
    ops: SocketAddr,
    act: Act,
    decide: &Decide,
) -> Result<bool, QuarantineError> {
    let mut found = Vec::new();
    for id in &decide.ids {
        found.push(find(warehouse, id).await?);
    }
    if decide.all {
        if decide.which.state != "held" {
            return Err(QuarantineError::Bad("only what is held can be decided about".to_owned()));
        }
        found = ask::held(warehouse, &decide.which.filter(LIMIT_MAX)?).await?;
    }
    let row_count = found.first().map_or(0, |held| held.row_count);
    let mut done = Vec::new();
    for held in &found {
        if held.state != "held" {
            print::already(held);
            continue;
        }
        let Some(event) = held.event() else {
            return Err(QuarantineError::Bad(format!(
                "the record of {} can't be read by this program; upgrade it",
                held.id
            )));
        };
        let id = event.id;
        if !decide.dry_run {
            let order = order(act, held, event);
            send::order(decide.ops.unwrap_or(ops), keys, &order)?;
        }
        print::decided(act, held, decide.dry_run);
        done.push(id);
    }
    print::total(act, done.len(), row_count, decide);
    if !decide.dry_run && !done.is_empty() {
        ask::forget(warehouse, &done).await?;
    }
    Ok(!done.is_empty())
}

/// The event that says so.
fn order(act: Act, held: &Held, event: Event) -> Event {
    let site = event.site.clone();
    let decision = Decision {
        act,
        id: event.id,
        event_time: event.event_time,
        form: held.form.clone(),
        score: held.score,
        reasons: held.reasons.clone(),
        ruleset: held.ruleset,
        event: (act == Act::Release).then(|| Box::new(event)),
    };
    decision::event(site, decision, now_millis())
}
