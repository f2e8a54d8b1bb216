//! `leadtrail webhook`: where new leads go, what did not get there, and trying it again.
//!
//! In: arguments, the configured endpoints, the tables. Out: a table or JSON on standard output, rows that a running deliverer sees. Exit code as of
//! `report`: 0 rows, 1 none, 2 bad question, 3 unreachable. Refuses: an endpoint that was never configured, an id that is none. Promises: nothing
//! personal is printed, nor a URL's path, nor a secret but a new one that was asked for.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Subcommand;
use clickhouse::Row;
use clickhouse::query::Query;
use comfy_table::{Table, TableStyle};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::nearest;
use crate::deliver::endpoints::Endpoint;
use crate::deliver::secret;
use crate::deliver::tables::Tables;
use crate::ids::EventId;
use crate::report::text::plain;
use crate::store::{StoreError, Warehouse, short};

const LIST: &str = include_str!("sql/list.sql");
const WAITING: &str = include_str!("sql/waiting.sql");
const RETRY: &str = include_str!("sql/retry.sql");
const RETRIED: &str = "SELECT count() FROM deliveries FINAL WHERE endpoint = {endpoint:String} \
     AND if(empty({ids:Array(String)}), state = 'failed', state != 'pending' AND has({ids:Array(String)}, toString(event_id)))";

/// Ids that one command takes: what a person pastes.
const IDS_MAX: usize = 1_000;

/// What can be asked about the delivery of new leads.
#[derive(Clone, Debug, Subcommand)]
pub enum WebhookCommand {
    /// List the endpoints (webhooks and mailboxes): state, what is pending or failed, the last error.
    List {
        /// List the deliveries that are pending or failed instead, one by one.
        #[arg(long)]
        waiting: bool,
        /// One endpoint only.
        #[arg(long, default_value = "", hide_default_value = true)]
        endpoint: String,
        /// At most so many deliveries.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// One JSON array instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Send again what was given up, and use an endpoint again that was disabled.
    Retry {
        /// The endpoint's name.
        endpoint: String,
        /// Only these leads, by id as `list --waiting` prints it; also such that were delivered.
        #[arg(long = "id", value_name = "ID")]
        ids: Vec<String>,
    },
    /// Print a new secret, to be given to a webhook's receiver and put into its secret_file.
    Secret,
}

#[derive(Row, Deserialize)]
struct EndpointRow {
    name: String,
    state: String,
    disabled_for: String,
    delivered: u64,
    pending: u64,
    failed: u64,
    oldest_ms: i64,
    last_reason: String,
    last_status: u16,
    last_ms: i64,
}

#[derive(Row, Deserialize)]
struct WaitingRow {
    id: String,
    name: String,
    site_name: String,
    form_name: String,
    state_name: String,
    attempts: u32,
    last_reason: String,
    last_status: u16,
    since_ms: i64,
    row_count: u64,
}

enum CommandError {
    Bad(String),
    Store(StoreError),
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Runs the command. `warehouse` is asked for only where it is needed.
pub async fn run(
    command: &WebhookCommand,
    endpoints: &[Endpoint],
    warehouse: impl FnOnce() -> anyhow::Result<Warehouse>,
) -> anyhow::Result<ExitCode> {
    if matches!(command, WebhookCommand::Secret) {
        let fresh = secret::fresh().map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
        print(&format!("{fresh}\n"));
        return Ok(ExitCode::SUCCESS);
    }
    let warehouse = warehouse()?;
    let outcome = match command {
        WebhookCommand::List { waiting: false, endpoint, json, .. } => {
            list(&warehouse, endpoints, endpoint, *json).await
        }
        WebhookCommand::List { endpoint, limit, json, .. } => {
            waiting(&warehouse, endpoint, *limit, *json).await
        }
        WebhookCommand::Retry { endpoint, ids } => retry(&warehouse, endpoint, ids).await,
        WebhookCommand::Secret => Ok(true),
    };
    Ok(match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(CommandError::Bad(words)) => {
            complain(&words);
            ExitCode::from(2)
        }
        Err(CommandError::Store(error)) => {
            complain(&error.to_string());
            ExitCode::from(3)
        }
    })
}

fn print(text: &str) {
    // A reader that has seen enough (`| head`) is no error.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

fn complain(words: &str) {
    let _ = writeln!(std::io::stderr().lock(), "leadtrail: {}", plain(words));
}

fn time(ms: i64) -> String {
    if ms == 0 {
        return String::new();
    }
    let time = Timestamp::from_millisecond(ms).unwrap_or_default();
    time.strftime("%F %H:%M:%SZ").to_string()
}

/// `server_error 503`.
fn error_words(reason: &str, status: u16) -> String {
    match status {
        0 => reason.to_owned(),
        status => format!("{reason} {status}"),
    }
}

fn query(warehouse: &Warehouse, sql: &str) -> Query {
    warehouse.client().query_raw(sql).with_setting("enable_analyzer", "1")
}

async fn list(
    warehouse: &Warehouse,
    endpoints: &[Endpoint],
    only: &str,
    json: bool,
) -> Result<bool, CommandError> {
    let mut rows: Vec<EndpointRow> =
        warehouse.ask("reading the endpoints", query(warehouse, LIST)).await?;
    rows.retain(|row| only.is_empty() || row.name == only);
    let described: Vec<Described<'_>> = rows
        .iter()
        .map(|row| Described { row, endpoint: endpoints.iter().find(|one| one.name == row.name) })
        .collect();
    if json {
        let values: Vec<Value> = described.iter().map(Described::value).collect();
        print(&format!("{}\n", Value::from(values)));
    } else if described.is_empty() {
        complain(
            "no endpoint has been used yet; deliver.file names them, and a running `up` or `settle` begins with them",
        );
    } else {
        let mut table = Table::new();
        table.load_style(TableStyle::new());
        table.set_header([
            "endpoint",
            "kind",
            "host",
            "forms",
            "state",
            "delivered",
            "pending",
            "oldest",
            "failed",
            "last error",
            "at",
        ]);
        for one in &described {
            table.add_row(one.cells());
        }
        print(&format!("{table}\n"));
    }
    Ok(!described.is_empty())
}

/// A row with what the configuration says of it.
struct Described<'a> {
    row: &'a EndpointRow,
    endpoint: Option<&'a Endpoint>,
}

impl Described<'_> {
    fn state(&self) -> String {
        match (self.endpoint, self.row.state.as_str()) {
            (None, _) => "not configured".to_owned(),
            (Some(_), "disabled") => format!("disabled: {}", self.row.disabled_for),
            (Some(_), state) => state.to_owned(),
        }
    }

    fn kind(&self) -> &str {
        self.endpoint.map_or("", |endpoint| endpoint.way.kind())
    }

    fn host(&self) -> &str {
        self.endpoint.map_or("", |endpoint| endpoint.way.host())
    }

    fn forms(&self) -> String {
        match self.endpoint {
            None => String::new(),
            Some(endpoint) if endpoint.forms.is_empty() => "all".to_owned(),
            Some(endpoint) => endpoint.forms.join(" "),
        }
    }

    fn cells(&self) -> [String; 11] {
        let row = self.row;
        [
            plain(&row.name),
            self.kind().to_owned(),
            plain(self.host()),
            plain(&self.forms()),
            self.state(),
            row.delivered.to_string(),
            row.pending.to_string(),
            if row.pending > 0 { time(row.oldest_ms) } else { String::new() },
            row.failed.to_string(),
            error_words(&row.last_reason, row.last_status),
            if row.last_reason.is_empty() { String::new() } else { time(row.last_ms) },
        ]
    }

    fn value(&self) -> Value {
        let row = self.row;
        json!({
            "endpoint": row.name, "kind": self.kind(), "host": self.host(), "forms": self.forms(), "state": self.state(),
            "delivered": row.delivered, "pending": row.pending, "failed": row.failed,
            "oldest": if row.pending > 0 { time(row.oldest_ms).into() } else { Value::Null },
            "last_error": error_words(&row.last_reason, row.last_status),
        })
    }
}

async fn waiting(
    warehouse: &Warehouse,
    endpoint: &str,
    limit: u32,
    json: bool,
) -> Result<bool, CommandError> {
    let query = query(warehouse, WAITING).param("endpoint", endpoint).param("limit", limit);
    let rows: Vec<WaitingRow> = warehouse.ask("reading deliveries", query).await?;
    if json {
        let value = |row: &WaitingRow| {
            json!({
                "id": row.id, "endpoint": row.name, "site": row.site_name, "form": row.form_name, "state": row.state_name,
                "attempts": row.attempts, "last_error": error_words(&row.last_reason, row.last_status), "since": time(row.since_ms),
            })
        };
        print(&format!("{}\n", Value::from(rows.iter().map(value).collect::<Vec<_>>())));
        return Ok(!rows.is_empty());
    }
    let Some(first) = rows.first() else {
        complain("nothing is pending or failed");
        return Ok(false);
    };
    let row_count = first.row_count;
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    table.set_header([
        "id",
        "endpoint",
        "site",
        "form",
        "state",
        "attempts",
        "last error",
        "since",
    ]);
    for row in &rows {
        table.add_row([
            row.id.clone(),
            plain(&row.name),
            plain(&row.site_name),
            plain(&row.form_name),
            row.state_name.clone(),
            row.attempts.to_string(),
            error_words(&row.last_reason, row.last_status),
            time(row.since_ms),
        ]);
    }
    print(&format!("{table}\n"));
    if row_count > rows.len() as u64 {
        complain(&format!("{} of {row_count} shown; --limit shows more", rows.len()));
    }
    Ok(true)
}

async fn retry(
    warehouse: &Warehouse,
    endpoint: &str,
    ids: &[String],
) -> Result<bool, CommandError> {
    let ids = checked(ids)?;
    let tables = Tables::new(warehouse.clone());
    let switches = tables.switches().await?;
    if !switches.iter().any(|switch| switch.name == endpoint) {
        let near = nearest(endpoint, switches.iter().map(|switch| switch.name.as_str()));
        let hint =
            if near.is_empty() { String::new() } else { format!("; did you mean `{near}`?") };
        return Err(CommandError::Bad(format!("no endpoint `{}`{hint}", plain(endpoint))));
    }
    let bound = |sql: &str| query(warehouse, sql).param("endpoint", endpoint).param("ids", &ids);
    let counts: Vec<u64> = warehouse.ask("counting deliveries", bound(RETRIED)).await?;
    let count = counts.first().copied().unwrap_or(0);
    if count > 0 {
        let written = bound(RETRY).with_setting("async_insert", "0").execute().await;
        written.map_err(|error| StoreError::Transient {
            action: "making deliveries pending again".to_owned(),
            reason: short(&error),
        })?;
    }
    // Last: the running deliverer sees it, and reads the table again.
    tables.switch(endpoint, true, "").await?;
    print(&format!("{endpoint} is enabled; {count} deliveries are pending again\n"));
    Ok(count > 0)
}

fn checked(ids: &[String]) -> Result<Vec<String>, CommandError> {
    if ids.len() > IDS_MAX {
        return Err(CommandError::Bad(format!("at most {IDS_MAX} ids at once")));
    }
    let one = |text: &String| {
        let uuid = uuid::Uuid::parse_str(text.trim()).ok();
        let ours = uuid.filter(|uuid| EventId::from_bytes(*uuid.as_bytes()).is_some());
        ours.map(|uuid| uuid.to_string()).ok_or_else(|| {
            CommandError::Bad(
                "that is no id; `leadtrail webhook list --waiting` prints them".to_owned(),
            )
        })
    };
    ids.iter().map(one).collect()
}
