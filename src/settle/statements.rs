//! The statements of a run.
//!
//! In: a version, a plan, the registry's terms. Out: rows in the warehouse; what stands there. Refuses: to write when another
//! process leads. Promises: each statement has a time limit; values go to the server as typed parameters, but for the
//! conditions on log positions, which are whole numbers that this program wrote.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clickhouse::query::Query;

use clickhouse::{Client, QuerySummary, RowOwned, RowRead};
use tokio::sync::OnceCell;

use crate::settle::SettleError;
use crate::settle::pick::Picked;
use crate::settle::ranges::{Batch, Plan, Position, settled};
use crate::settle::sharing::{AllottedRow, Sharing, allotted};
use crate::settle::terms::{Terms, TermsRow};
use crate::settle::versions::Versions;
use crate::store::short;

const POSITIONS: &str = "SELECT log_epoch, log_partition, next_offset FROM settle_positions FINAL ORDER BY log_epoch, log_partition";
const BEGUN: &str = include_str!("sql/begun.sql");
const UNFINISHED: &str = "SELECT toUInt8(assumeNotNull((SELECT max(version) FROM settle_rows WHERE version < {version:UInt64})) \
     > assumeNotNull((SELECT max(version) FROM settle_positions)))";
const BATCHES: &str = include_str!("sql/batches.sql");
const GROUPS: &str = include_str!("sql/groups.sql");
const JOIN: &str = include_str!("sql/join.sql");
const BEFORE: &str = include_str!("sql/before.sql");
const OTHERS: &str = include_str!("sql/others.sql");
const READY: &str = include_str!("sql/ready.sql");
const MEMBERS: &str = include_str!("sql/members.sql");
const PAYOUT: &str = include_str!("sql/payout.sql");
const SHARING: &str = include_str!("sql/sharing.sql");
const WRITTEN: &str = include_str!("sql/written.sql");
const RERATED: &str = include_str!("sql/rerated.sql");
const NEWEST_RATES: &str = "SELECT max(imported) FROM exchange_rates WHERE base = {base:String}";
const CLICKS: &str = include_str!("sql/clicks.sql");
const POSITIONS_WRITTEN: &str = include_str!("sql/positions.sql");
const COUNT_TERMS: &str =
    "SELECT uniqExact(kind, number) FROM settle_registry WHERE fingerprint = {registry:UInt64}";
const HIGHEST_VERSION: &str = "SELECT max(version) FROM (SELECT version FROM settle_positions UNION ALL SELECT version FROM conversion_clicks \
     UNION ALL SELECT version FROM payout_attribution UNION ALL SELECT version FROM settle_conversions \
     UNION ALL SELECT version FROM settle_rows)";

/// A run that slept before one of its statements may have been overtaken meanwhile, and that statement still comes. Its version loses where the later run wrote too; but
/// what the later one, which knew more, left as it stands, the sleeper would change. So what others read is written only while no later run has begun.
const NOT_OVERTAKEN: &str = "{version:UInt64} >= (SELECT max(version) FROM (SELECT version FROM settle_rows UNION ALL SELECT version FROM settle_positions))";

/// What the statements rely on, whatever the server's profile says.
const SEMANTICS: [(&str, &str); 5] = [
    ("enable_analyzer", "1"),
    ("join_use_nulls", "0"),
    ("aggregate_functions_null_for_empty", "0"),
    ("prefer_column_name_to_alias", "0"),
    ("wait_end_of_query", "1"),
];

/// A client that knows the statements.
pub(super) struct Statements {
    client: Client,
    timeout: Duration,
    /// Rows that the warehouse says it read for all statements since somebody asked.
    read_rows: AtomicU64,
    writer: OnceCell<String>,
}

impl Statements {
    pub(super) fn new(client: Client, timeout: Duration) -> Self {
        Self { client, timeout, read_rows: AtomicU64::new(0), writer: OnceCell::new() }
    }

    /// Rows that the warehouse read since the last time that this was asked.
    pub(super) fn take_read_rows(&self) -> u64 {
        self.read_rows.swap(0, Ordering::Relaxed)
    }

    /// Of a statement that is done: `wait_end_of_query` makes its summary whole.
    fn note_read(&self, summary: Option<&QuerySummary>) {
        let read = summary.and_then(QuerySummary::read_rows).unwrap_or(0);
        self.read_rows.fetch_add(read, Ordering::Relaxed);
    }

    /// How far settling has come.
    pub(super) async fn positions(&self) -> Result<Vec<Position>, SettleError> {
        self.ask("reading positions", self.query(POSITIONS)).await
    }

    /// What is stored behind the positions.
    pub(super) async fn batches(&self, positions: &[Position]) -> Result<Vec<Batch>, SettleError> {
        let sql = BATCHES.replace("{settled}", &settled(positions));
        self.ask("reading stored batches", self.query(&sql)).await
    }

    /// The highest version that stands in the warehouse; 0 when it is new.
    pub(super) async fn highest_version(&self) -> Result<u64, SettleError> {
        self.ask_one("reading the highest version", self.query(HIGHEST_VERSION)).await
    }

    /// Writes the registry's rows, unless they stand there.
    pub(super) async fn write_terms(&self, terms: &Terms) -> Result<(), SettleError> {
        let action = "writing the registry";
        let standing: u64 = self
            .ask_one(action, self.query(COUNT_TERMS).param("registry", terms.fingerprint))
            .await?;
        if usize::try_from(standing) == Ok(terms.rows.len()) {
            return Ok(());
        }
        let written = async {
            let mut insert = self
                .client
                .insert::<TermsRow>("settle_registry")
                .await?
                .with_timeouts(Some(self.timeout), Some(self.timeout))
                .with_setting("async_insert", "0")
                .with_setting(
                    "insert_deduplication_token",
                    format!("settle/registry/{}", terms.fingerprint),
                );
            for row in &terms.rows {
                insert.write(row).await?;
            }
            insert.end().await
        };
        written.await.map_err(|error| failed(action, &error))
    }

    /// Says that the run has begun. Gives whether one before it did not come to its end.
    pub(super) async fn begin(
        &self,
        version: u64,
        versions: &Versions,
    ) -> Result<bool, SettleError> {
        self.write("beginning", version, self.query(BEGUN).param("version", version), versions)
            .await?;
        let query = self.query(UNFINISHED).param("version", version);
        Ok(self.ask_one::<u8>("looking for an unfinished run", query).await? > 0)
    }

    /// Finds their clicks.
    pub(super) async fn join(
        &self,
        version: u64,
        picked: &Picked,
        terms: &Terms,
        versions: &Versions,
    ) -> Result<(), SettleError> {
        if picked.of_shops > 0 {
            let query = self.query(GROUPS).param("version", version);
            self.write("finding orders of several doors", version, query, versions).await?;
        }
        let query = self
            .query(JOIN)
            .param("version", version)
            .param("registry", terms.fingerprint)
            .param("first_ms", picked.first_ms)
            .param("last_ms", picked.last_ms)
            .param("window_ms", terms.window_ms)
            .param("repeat_window_ms", terms.repeat_window_ms)
            .param("window_ms_max", terms.window_ms_max())
            .param("windows_ms", &terms.windows_ms);
        self.write("joining clicks", version, query, versions).await
    }

    /// Finds who repeats whom.
    pub(super) async fn find_repeats(
        &self,
        version: u64,
        picked: &Picked,
        terms: &Terms,
        versions: &Versions,
    ) -> Result<(), SettleError> {
        if picked.limited > 0 {
            let query = self.query(BEFORE).param("version", version);
            self.write("reading how they stood", version, query, versions).await?;
            let query = self
                .query(OTHERS)
                .param("version", version)
                .param("first_ms", picked.first_ms)
                .param("window_ms_max", terms.window_ms_max());
            self.write("reading whom they meet", version, query, versions).await?;
        }
        let query = self.query(READY).param("version", version);
        self.write("finding repeats", version, query, versions).await
    }

    /// Writes the payout ledger, before the clicks' rows: what stands in `conversion_clicks` tells the next run which groups a
    /// conversion was in, so a run that is cut off here is done again from the same start.
    pub(super) async fn write_payouts(
        &self,
        version: u64,
        picked: &Picked,
        terms: &Terms,
        versions: &Versions,
    ) -> Result<(), SettleError> {
        if picked.limited > 0 {
            let query = self.query(MEMBERS).param("version", version);
            self.write("gathering messages", version, query, versions).await?;
        }
        let query =
            self.query(PAYOUT).param("version", version).param("registry", terms.fingerprint);
        self.write("working out payouts", version, query, versions).await?;
        if !terms.rules.is_empty() {
            let changed = self.allot(version, picked, terms, versions).await?;
            if changed {
                self.write_chosen(version, true, "writing others' payouts", terms, versions)
                    .await?;
            }
        }
        self.write_chosen(version, false, "writing payouts", terms, versions).await
    }

    /// The number of the last import of rates; 0: none.
    pub(super) async fn newest_rates(&self, terms: &Terms) -> Result<u64, SettleError> {
        let query = self.query(NEWEST_RATES).param("base", &terms.base_currency);
        self.ask_one("looking for new rates", query).await
    }

    /// Writes those payouts again whose rate is another by imports after `seen`, before the run works out its own.
    pub(super) async fn rate_again(
        &self,
        version: u64,
        seen: u64,
        terms: &Terms,
        versions: &Versions,
    ) -> Result<(), SettleError> {
        let query = self
            .query(RERATED)
            .param("version", version)
            .param("seen", seen)
            .param("base", &terms.base_currency)
            .param("rate_days", terms.rate_days);
        self.write("finding payouts with other rates", version, query, versions).await?;
        self.write_chosen(version, false, "writing other rates", terms, versions).await
    }

    /// What tiers and caps leave of the payouts of the run and of those that share them. True if there is anything of others.
    async fn allot(
        &self,
        version: u64,
        picked: &Picked,
        terms: &Terms,
        versions: &Versions,
    ) -> Result<bool, SettleError> {
        let offers: Vec<&str> = terms.rules.keys().map(String::as_str).collect();
        let query = self
            .query(SHARING)
            .param("version", version)
            .param("offers", offers)
            .param("first_ms", picked.first_ms)
            .param("last_ms", picked.last_ms);
        let sharing: Vec<Sharing> = self.ask("reading who shares a tier or cap", query).await?;
        let rows = allotted(version, &sharing, terms);
        let others = rows.iter().any(|(is_mine, _)| !is_mine);
        let action = "writing what tiers and caps leave";
        if !versions.leads() {
            return Err(SettleError::Overtaken { before: action });
        }
        let written = async {
            let mut insert = self
                .client
                .insert::<AllottedRow>("settle_allotted")
                .await?
                .with_timeouts(Some(self.timeout), Some(self.timeout))
                .with_setting("async_insert", "0")
                .with_setting("insert_deduplication_token", format!("settle/{version}/allotted"));
            for (_, row) in &rows {
                insert.write(row).await?;
            }
            insert.end().await
        };
        if !rows.is_empty() {
            written.await.map_err(|error| failed(action, &error))?;
        }
        Ok(others)
    }

    async fn write_chosen(
        &self,
        version: u64,
        others: bool,
        action: &'static str,
        terms: &Terms,
        versions: &Versions,
    ) -> Result<(), SettleError> {
        let query = self
            .query(&output(WRITTEN))
            .param("version", version)
            .param("others", u8::from(others))
            .param("base", &terms.base_currency)
            .param("rate_days", terms.rate_days);
        self.write(action, version, query, versions).await
    }

    /// Writes the conversions with their clicks: those whose click was looked for, or those that only change their place among
    /// repeats.
    pub(super) async fn write_clicks(
        &self,
        version: u64,
        rejoined: bool,
        versions: &Versions,
    ) -> Result<(), SettleError> {
        let action = if rejoined { "writing clicks" } else { "writing changed repeats" };
        let query = self
            .query(&output(CLICKS))
            .param("version", version)
            .param("rejoined", u8::from(rejoined));
        self.write(action, version, query, versions).await
    }

    /// Writes where settling has come: the last step.
    pub(super) async fn write_positions(
        &self,
        version: u64,
        plan: &Plan,
        versions: &Versions,
    ) -> Result<(), SettleError> {
        let start = |partition| plan.starts.get(partition).copied().unwrap_or(0);
        let starts: Vec<u64> = plan.ends.keys().map(start).collect();
        let query = with_ends(self.query(&output(POSITIONS_WRITTEN)), plan);
        let query = query.param("start_offsets", starts).param("version", version);
        self.write("writing positions", version, query, versions).await
    }

    pub(super) fn query(&self, sql: &str) -> Query {
        let limit = self.timeout.as_secs().max(1).to_string();
        let query = self.client.query_raw(sql).with_setting("max_execution_time", limit);
        SEMANTICS.iter().fold(query, |query, (name, value)| query.with_setting(*name, *value))
    }

    pub(super) async fn write(
        &self,
        action: &'static str,
        version: u64,
        query: Query,
        versions: &Versions,
    ) -> Result<(), SettleError> {
        if !versions.leads() {
            return Err(SettleError::Overtaken { before: action });
        }
        let query = query
            .with_setting("async_insert", "0")
            .with_setting("query_id", self.writer().await?)
            .with_setting("replace_running_query", "1")
            .with_setting("insert_deduplication_token", format!("settle/{version}/{action}"));
        let executed = async {
            let mut answer = query.fetch_bytes("Null")?;
            answer.collect().await?;
            self.note_read(answer.summary());
            Ok(())
        };
        match tokio::time::timeout(self.timeout, executed).await {
            Ok(outcome) => outcome.map_err(|error| failed(action, &error)),
            Err(_) => Err(self.too_late(action)),
        }
    }

    /// The one name under which settling writes to this database: the server ends what still runs under it, so that what a killed process had under way is over
    /// before the next one reads.
    async fn writer(&self) -> Result<&str, SettleError> {
        let named = self.writer.get_or_try_init(|| async {
            let query = self.query("SELECT currentDatabase()");
            let database: String = self.ask_one("asking for the database's name", query).await?;
            Ok(format!("settle-{database}"))
        });
        named.await.map(String::as_str)
    }

    pub(super) async fn ask<T: RowOwned + RowRead>(
        &self,
        action: &'static str,
        query: Query,
    ) -> Result<Vec<T>, SettleError> {
        let fetched = async {
            let mut cursor = query.fetch::<T>()?;
            let mut rows = Vec::new();
            while let Some(row) = cursor.next().await? {
                rows.push(row);
            }
            self.note_read(cursor.summary());
            Ok(rows)
        };
        match tokio::time::timeout(self.timeout, fetched).await {
            Ok(outcome) => outcome.map_err(|error| failed(action, &error)),
            Err(_) => Err(self.too_late(action)),
        }
    }

    pub(super) async fn ask_one<T: RowOwned + RowRead>(
        &self,
        action: &'static str,
        query: Query,
    ) -> Result<T, SettleError> {
        let rows = self.ask::<T>(action, query).await?;
        rows.into_iter()
            .next()
            .ok_or(SettleError::Warehouse { action, reason: "no row came".to_owned() })
    }

    fn too_late(&self, action: &'static str) -> SettleError {
        let reason = format!("no answer within {} s", self.timeout.as_secs());
        SettleError::Warehouse { action, reason }
    }
}

/// A statement that writes what others read.
fn output(sql: &str) -> String {
    sql.replace("{not_overtaken}", NOT_OVERTAKEN)
}

fn failed(action: &'static str, error: &clickhouse::error::Error) -> SettleError {
    SettleError::Warehouse { action, reason: short(error) }
}

pub(super) fn with_ends(query: Query, plan: &Plan) -> Query {
    let epochs: Vec<u64> = plan.ends.keys().map(|(epoch, _)| *epoch).collect();
    let partitions: Vec<u16> = plan.ends.keys().map(|(_, partition)| *partition).collect();
    let offsets: Vec<u64> = plan.ends.values().copied().collect();
    query
        .param("end_epochs", epochs)
        .param("end_partitions", partitions)
        .param("end_offsets", offsets)
}
