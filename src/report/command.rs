//! `leadtrail report`: a question from the command line, an answer on standard output.
//!
//! In: arguments, the registered sites, a client for the warehouse. Out: figures on standard output, words on standard error,
//! and an exit code: 0 rows, 1 none, 2 bad question, 3 warehouse unreachable. Refuses: what `question` refuses. Promises:
//! nothing is asked of the warehouse before the whole question is known to be good.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clickhouse::Client;
use jiff::Timestamp;

use super::question::{Asked, BadQuestion, FraudLimits, Known, Question, ReportName};
use super::table::Personal;
use super::{answer, explain, export, text};

/// There are rows.
const FOUND: u8 = 0;
/// There are none.
const NONE: u8 = 1;
/// The question has no answer.
const BAD: u8 = 2;
/// ClickHouse could not be reached, or refused.
const UNREACHABLE: u8 = 3;

/// How to write an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns for people.
    Table,
    /// Comma-separated values.
    Csv,
    /// One JSON object.
    Json,
}

impl Format {
    /// Reads a format's name.
    pub fn parse(text: &str) -> Result<Self, BadQuestion> {
        match text {
            "table" => Ok(Self::Table),
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            _ => Err(BadQuestion::unknown("format", text, ["table", "csv", "json"].into_iter())),
        }
    }
}

/// What `leadtrail report` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(
    about = "Print a report: ads, affiliates, offers, conversions, leads, postbacks, fraud or refusals",
    before_help = "Examples:\n  leadtrail report ads --period 7d\n  leadtrail report leads --from 2026-11-01 --to 2026-11-15 --format csv > leads.csv",
    after_help = "Exit code: 0 rows, 1 none, 2 bad question, 3 warehouse unreachable."
)]
pub struct ReportArguments {
    /// ads, affiliates, offers, conversions, leads, postbacks, fraud or refusals
    #[arg(value_name = "REPORT")]
    pub report: String,
    /// today, 24h, 7d, 30d (default), 90d, month or all
    #[arg(long, default_value = "", hide_default_value = true)]
    pub period: String,
    /// First day, 2026-11-01; instead of a period
    #[arg(long, default_value = "", hide_default_value = true, value_name = "DAY")]
    pub from: String,
    /// Last day, inclusive; today unless given
    #[arg(long, default_value = "", hide_default_value = true, value_name = "DAY")]
    pub to: String,
    /// Whose days and clock, Europe/Berlin for example; UTC unless given
    #[arg(long, default_value = "", hide_default_value = true)]
    pub zone: String,
    /// One site only
    #[arg(long, default_value = "", hide_default_value = true)]
    pub site: String,
    /// At most so many rows: 50 leads, 1000 ads or affiliates unless given
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ROWS")]
    pub limit: String,
    /// table, csv or json; a table on a terminal, else csv
    #[arg(long, default_value = "", hide_default_value = true)]
    pub format: String,
    /// Show names, e-mail addresses and telephone numbers of leads as they were typed
    #[arg(long)]
    pub personal: bool,
    /// Print the SQL and the values bound to it, and ask nothing
    #[arg(long)]
    pub explain: bool,
}

impl ReportArguments {
    /// What was asked, and how to write the answer. `terminal` says what standard output is.
    pub fn question(
        &self,
        sites: &[String],
        (click_window_days, fraud): (u32, FraudLimits),
        terminal: bool,
    ) -> Result<(Question, Format), BadQuestion> {
        let report = ReportName::parse(&self.report)?;
        let format = match self.format.as_str() {
            "" if terminal => Format::Table,
            "" => Format::Csv,
            name => Format::parse(name)?,
        };
        let asked = Asked {
            period: &self.period,
            from: &self.from,
            to: &self.to,
            zone: &self.zone,
            site: &self.site,
            limit: &self.limit,
        };
        let known = Known { sites, click_window_days, fraud, now: Timestamp::now() };
        Ok((Question::parse(report, &asked, &known)?, format))
    }
}

/// Asks and prints. `client` is called only when the question is good; what it says when it fails is printed with exit code 3.
pub async fn run<Fail: std::fmt::Display>(
    arguments: &ReportArguments,
    sites: &[String],
    terms: (u32, FraudLimits),
    client: impl FnOnce() -> Result<Client, Fail>,
) -> ExitCode {
    let terminal = std::io::stdout().is_terminal();
    let (question, format) = match arguments.question(sites, terms, terminal) {
        Ok(good) => good,
        Err(bad) => return complain(BAD, &bad),
    };
    if arguments.explain {
        return print(&explain(&question), FOUND);
    }
    let client = match client() {
        Ok(client) => client,
        Err(error) => return complain(UNREACHABLE, &error),
    };
    let answer = match answer(&client, &question).await {
        Ok(answer) => answer,
        Err(error) => return complain(UNREACHABLE, &error),
    };
    let personal = if arguments.personal { Personal::Shown } else { Personal::Masked };
    let text = match format {
        Format::Table => text::render(&answer, personal, width(terminal)),
        Format::Csv => {
            for line in super::words::header(&answer) {
                eprintln!("{}", text::plain(&line));
            }
            export::csv(&answer, personal)
        }
        Format::Json => export::json(&answer, personal),
    };
    print(&text, if answer.is_empty() { NONE } else { FOUND })
}

/// The terminal's columns.
fn width(terminal: bool) -> Option<u16> {
    let size = terminal.then(|| rustix::termios::tcgetwinsize(std::io::stdout()).ok()).flatten()?;
    (size.ws_col > 0).then_some(size.ws_col)
}

fn complain(code: u8, error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("leadtrail: {}", text::plain(&error.to_string()));
    ExitCode::from(code)
}

/// Prints to standard output; a reader that has seen enough (`| head`) is no error.
fn print(text: &str, code: u8) -> ExitCode {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => ExitCode::from(code),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::from(code),
        Err(error) => complain(UNREACHABLE, &format!("cannot write the report: {error}")),
    }
}
