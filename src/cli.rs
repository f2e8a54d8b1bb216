//! The command line: what can be asked of the one binary.
//!
//! In: arguments. Out: a [`Command`]. Refuses: what clap refuses, with the nearest word. Promises: `--help` of each command begins
//! with what it does and how it is used.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::access::arguments::{KeyCommand, UserCommand};
use crate::audit::AuditArguments;
use crate::deliver::command::WebhookCommand;
use crate::journal::command::JournalCommand;
use crate::links::arguments::LinkCommand;
use crate::quarantine::QuarantineCommand;
use crate::reconcile::command::ReconcileArguments;
use crate::replay::ReplayCommand;
use crate::report::command::ReportArguments;
use crate::sql_shell::SqlArguments;
use crate::store::engine::ChildArguments;

/// Lead capture and click tracking: from forms, links and pixels to what brings customers.
#[derive(Debug, Parser)]
#[command(name = "leadtrail", version, max_term_width = 100)]
pub struct Arguments {
    /// The configuration file; without it the built-in defaults and the environment count.
    #[arg(long, short, global = true)]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything on this machine: edge, consumer, settle, the embedded engine, the report page.
    Up(UpArguments),
    /// Run the edge alone: take requests and make them durable.
    Serve,
    /// Run the consumer alone: from the log into ClickHouse.
    Consume,
    /// Run settling alone: which click earned which conversion.
    Settle(SettleArguments),
    /// Run the report page alone.
    App,
    /// Make or check the tables.
    #[command(subcommand)]
    Schema(SchemaCommand),
    /// Answer a question: ads, affiliates, offers, conversions, leads, postbacks, fraud, refusals.
    Report(ReportArguments),
    /// Compare a network's own report with what we have, row by row.
    Reconcile(ReconcileArguments),
    /// Look at what was held as spam, and decide about it.
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// See where new leads go, and send again what did not get there.
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// Hold the warehouse against the log: missing and doubled ranges; exit code 0, 1 or 2.
    Audit(AuditArguments),
    /// Put what the log, the dead letters or the quarantine hold where it belongs.
    #[command(subcommand)]
    Replay(ReplayCommand),
    /// Look at the journal or spill on this disk, or empty a spill into Kafka.
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Ask ClickHouse in SQL, as the analyst.
    Sql(SqlArguments),
    /// Make, change, sign and switch off links.
    #[command(subcommand)]
    Link(LinkCommand),
    /// Make, list and revoke API keys.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Make users who sign in to the app page, and let them in no more.
    #[command(subcommand)]
    User(UserCommand),
    /// Ask what forms mean.
    #[command(subcommand)]
    Form(FormCommand),
    /// Try out what networks report.
    #[command(subcommand)]
    Postback(PostbackCommand),
    /// Bring in daily exchange rates, and list them.
    #[command(subcommand)]
    Rates(RatesCommand),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// The embedded engine's own process.
    #[command(hide = true)]
    ClickhouseEngine(ChildArguments),
}

/// How to run everything.
#[derive(Debug, Args)]
pub struct UpArguments {
    /// Serve the demo shop besides.
    #[arg(long)]
    pub demo: bool,
}

/// How to settle.
#[derive(Debug, Args)]
pub struct SettleArguments {
    /// Settle what there is and end.
    #[arg(long)]
    pub once: bool,
}

/// What to do with the tables.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum SchemaCommand {
    /// Make what is missing. Running it again changes nothing.
    Apply,
    /// Say whether the database is of this program's version.
    Check,
}

/// What to ask of forms.
#[derive(Debug, Subcommand)]
pub enum FormCommand {
    /// Say what one raw HTTP request on standard input (head, empty line, body) would become, and why. Nothing is recorded.
    Explain {
        /// Show personal values; they are masked otherwise.
        #[arg(long)]
        show_values: bool,
    },
    /// Propose a mapping for names without a meaning, from the shapes of what has arrived; no value is printed.
    Suggest {
        /// The form, as in sites.toml.
        form: String,
        /// Look back so many days.
        #[arg(long, default_value_t = 90)]
        days: u32,
    },
}

/// What to do with postbacks.
#[derive(Debug, Subcommand)]
pub enum PostbackCommand {
    /// Say what a request from standard input would become, and why. Nothing is recorded.
    Explain {
        /// Read it by this profile, installed or not.
        #[arg(long)]
        profile: Option<String>,
    },
    /// List the profiles.
    Profiles,
}

/// What to do with exchange rates.
#[derive(Debug, Subcommand)]
pub enum RatesCommand {
    /// Take a file as the European Central Bank publishes it: Date,USD,JPY,… or date,currency,rate. All of it or nothing.
    Import {
        /// The file.
        file: std::path::PathBuf,
    },
    /// Say which currencies have rates, and since when.
    List,
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether configuration and sites are right.
    Check,
    /// Print the built-in file, which documents each key.
    Defaults,
    /// List the dialects of other systems' forms: paths, ids, controls, aliases.
    Dialects {
        /// All of one.
        #[arg(long)]
        dialect: Option<String>,
    },
}
