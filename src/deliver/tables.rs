//! The tables of the deliverer.
//!
//! In: deliveries, positions, names of endpoints. Out: rows in the warehouse; what stands there. Refuses: nothing. Promises: each statement
//! has a time limit; values go to the server as typed parameters, but for conditions on log positions, which are whole numbers of ours;
//! the first row of a delivery has version 0, so that writing it twice changes nothing.

use std::time::Duration;

use clickhouse::query::Query;
use clickhouse::{Row, RowOwned, RowRead};
use serde::{Deserialize, Serialize};

use crate::deliver::endpoints::Endpoint;
use crate::deliver::lead::Lead;
use crate::deliver::outcome::Reason;
use crate::deliver::positions::{Partition, Positions, Range};
use crate::deliver::queue::{Delivery, Key, QUEUE_MAX};
use crate::store::{StoreError, Warehouse, short};

const NEW: &str = include_str!("sql/new.sql");
const PENDING: &str = include_str!("sql/pending.sql");
const LEADS: &str = include_str!("sql/leads.sql");
const SWITCH: &str = include_str!("sql/switch.sql");
const BEGIN: &str = include_str!("sql/begin.sql");
const SETTLED: &str = "SELECT log_epoch, log_partition, next_offset FROM settle_positions FINAL";
const POSITIONS: &str = "SELECT toString(endpoint) AS name, log_epoch, log_partition, next_offset FROM delivery_positions FINAL";
const SWITCHES: &str = "SELECT toString(endpoint) AS name, toString(state) AS state, version FROM delivery_endpoints FINAL";
const DELIVERED_SINCE: &str = "SELECT count() FROM deliveries FINAL WHERE endpoint = {endpoint:String} AND state = 'delivered' \
     AND at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')";

/// For one statement: far more than any of them takes, and soon enough to say that the warehouse is away.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is tried again.
    Pending,
    /// The receiver has it.
    Delivered,
    /// It was given up.
    Failed,
}

/// A row of `deliveries`.
#[derive(Clone, Debug, Row, Serialize)]
pub struct DeliveryRow {
    endpoint: String,
    site: String,
    event_time: i64,
    id_seq: u32,
    id_node: u32,
    received_lag_ms: i64,
    form: String,
    state: i8,
    attempts: u32,
    reason: &'static str,
    status: u16,
    since: i64,
    at: i64,
    version: u32,
}

impl DeliveryRow {
    /// How a delivery stands now.
    pub fn new(
        endpoint: &str,
        delivery: &Delivery,
        (state, reason, status): (State, Option<Reason>, u16),
        now_ms: i64,
    ) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            site: delivery.key.site.clone(),
            event_time: delivery.key.event_time_ms,
            id_seq: delivery.key.id_seq,
            id_node: delivery.key.id_node,
            received_lag_ms: delivery.received_lag_ms,
            form: delivery.form.clone(),
            state: match state {
                State::Pending => 1,
                State::Delivered => 2,
                State::Failed => 3,
            },
            attempts: delivery.attempts,
            reason: reason.map_or("", Reason::word),
            status,
            since: delivery.since_ms,
            at: now_ms,
            version: delivery.version,
        }
    }
}

/// A row of `delivery_positions`.
#[derive(Clone, Debug, Row, Serialize)]
struct PositionRow {
    endpoint: String,
    log_epoch: u64,
    log_partition: u16,
    next_offset: u64,
}

#[derive(Row, Deserialize)]
struct NewRow {
    site_name: String,
    event_time_ms: i64,
    id_seq: u32,
    id_node: u32,
    lag_ms: i64,
    form_name: String,
}

#[derive(Row, Deserialize)]
struct PendingRow {
    site_name: String,
    event_time_ms: i64,
    id_seq: u32,
    id_node: u32,
    received_lag_ms: i64,
    form_name: String,
    attempts: u32,
    since_ms: i64,
    version: u32,
}

/// Whether an endpoint is used.
#[derive(Clone, Debug, Row, Deserialize)]
pub struct Switch {
    /// The endpoint.
    pub name: String,
    /// `enabled` or `disabled`.
    pub state: String,
    /// Changes with each change, and with each `webhook retry`.
    pub version: u32,
}

/// A warehouse that knows the statements.
#[derive(Clone)]
pub struct Tables {
    warehouse: Warehouse,
}

impl Tables {
    /// With this warehouse.
    pub fn new(warehouse: Warehouse) -> Self {
        Self { warehouse }
    }

    /// How far settling has come in each partition.
    pub async fn settled(&self) -> Result<Vec<(Partition, u64)>, StoreError> {
        let rows: Vec<(u64, u16, u64)> =
            self.ask("reading what is settled", self.query(SETTLED)).await?;
        Ok(rows.into_iter().map(|(epoch, part, next)| ((epoch, part), next)).collect())
    }

    /// How far each endpoint has come.
    pub async fn positions(&self) -> Result<Positions, StoreError> {
        let rows: Vec<(String, u64, u16, u64)> =
            self.ask("reading delivery positions", self.query(POSITIONS)).await?;
        Ok(rows
            .into_iter()
            .map(|(name, epoch, part, next)| ((name, (epoch, part)), next))
            .collect())
    }

    /// Writes how far they have come.
    pub async fn write_positions(&self, positions: &Positions) -> Result<(), StoreError> {
        let rows: Vec<PositionRow> = positions
            .iter()
            .map(|((name, partition), next)| PositionRow {
                endpoint: name.clone(),
                log_epoch: partition.0,
                log_partition: partition.1,
                next_offset: *next,
            })
            .collect();
        self.insert("delivery_positions", &rows).await
    }

    /// Which endpoints were ever used, and whether they are.
    pub async fn switches(&self) -> Result<Vec<Switch>, StoreError> {
        self.ask("reading the endpoints' states", self.query(SWITCHES)).await
    }

    /// Lets a new endpoint begin after what is settled.
    pub async fn begin(&self, endpoint: &str) -> Result<(), StoreError> {
        let query = self.query(BEGIN).param("endpoint", endpoint);
        self.execute("beginning an endpoint", query).await?;
        self.switch(endpoint, true, "").await
    }

    /// Enables or disables an endpoint.
    pub async fn switch(&self, endpoint: &str, on: bool, reason: &str) -> Result<(), StoreError> {
        let query = self
            .query(SWITCH)
            .param("endpoint", endpoint)
            .param("state", if on { "enabled" } else { "disabled" })
            .param("reason", reason);
        self.execute("switching an endpoint", query).await
    }

    /// The leads and service contacts of these ranges that are for this endpoint; what repeats another within `repeat_ms` is none.
    pub async fn new_leads(
        &self,
        endpoint: &Endpoint,
        ranges: &[Range],
        repeat_ms: i64,
        now_ms: i64,
    ) -> Result<Vec<Delivery>, StoreError> {
        let sql = NEW.replace("{new_rows}", &Range::condition(ranges));
        let kinds: Vec<&str> = endpoint.kinds.iter().map(|kind| kind.word()).collect();
        let query = self
            .query(&sql)
            .param("endpoint", &endpoint.name)
            .param("forms", &endpoint.forms)
            .param("kinds", kinds)
            .param("repeat_ms", repeat_ms);
        let rows: Vec<NewRow> = self.ask("reading new leads", query).await?;
        let delivery = |row: NewRow| Delivery {
            key: Key {
                event_time_ms: row.event_time_ms,
                id_seq: row.id_seq,
                id_node: row.id_node,
                site: row.site_name,
            },
            received_lag_ms: row.lag_ms,
            form: row.form_name,
            attempts: 0,
            since_ms: now_ms,
            version: 0,
        };
        Ok(rows.into_iter().map(delivery).collect())
    }

    /// What an endpoint has not got yet, and whether that is all.
    pub async fn pending(&self, endpoint: &str) -> Result<(Vec<Delivery>, bool), StoreError> {
        let limit = u32::try_from(QUEUE_MAX).unwrap_or(u32::MAX);
        let query = self.query(PENDING).param("endpoint", endpoint).param("limit", limit);
        let rows: Vec<PendingRow> = self.ask("reading pending deliveries", query).await?;
        let whole = rows.len() < QUEUE_MAX;
        let delivery = |row: PendingRow| Delivery {
            key: Key {
                event_time_ms: row.event_time_ms,
                id_seq: row.id_seq,
                id_node: row.id_node,
                site: row.site_name,
            },
            received_lag_ms: row.received_lag_ms,
            form: row.form_name,
            attempts: row.attempts,
            since_ms: row.since_ms,
            version: row.version,
        };
        Ok((rows.into_iter().map(delivery).collect(), whole))
    }

    /// These leads, whole.
    pub async fn leads(&self, deliveries: &[Delivery]) -> Result<Vec<Lead>, StoreError> {
        let keys = || deliveries.iter().map(|delivery| &delivery.key);
        let query = self
            .query(LEADS)
            .param("sites", keys().map(|key| key.site.as_str()).collect::<Vec<_>>())
            .param("times_ms", keys().map(|key| key.event_time_ms).collect::<Vec<_>>())
            .param("seqs", keys().map(|key| key.id_seq).collect::<Vec<_>>())
            .param("nodes", keys().map(|key| key.id_node).collect::<Vec<_>>());
        self.ask("reading leads to deliver", query).await
    }

    /// True when anything was delivered there since then.
    pub async fn delivered_since(&self, endpoint: &str, since_ms: i64) -> Result<bool, StoreError> {
        let query =
            self.query(DELIVERED_SINCE).param("endpoint", endpoint).param("since_ms", since_ms);
        let counts: Vec<u64> = self.ask("reading deliveries", query).await?;
        Ok(counts.first().is_some_and(|count| *count > 0))
    }

    /// Writes how deliveries stand.
    pub async fn record(&self, rows: &[DeliveryRow]) -> Result<(), StoreError> {
        self.insert("deliveries", rows).await
    }

    fn query(&self, sql: &str) -> Query {
        self.warehouse
            .client()
            .query_raw(sql)
            .with_setting("max_execution_time", TIMEOUT.as_secs().to_string())
            .with_setting("enable_analyzer", "1")
            .with_setting("join_use_nulls", "0")
    }

    async fn ask<T: RowOwned + RowRead>(
        &self,
        action: &str,
        query: Query,
    ) -> Result<Vec<T>, StoreError> {
        self.warehouse.ask(action, query).await
    }

    async fn execute(&self, action: &str, query: Query) -> Result<(), StoreError> {
        let failed = |reason: String| StoreError::Transient { action: action.to_owned(), reason };
        let query = query.with_setting("async_insert", "0");
        match tokio::time::timeout(TIMEOUT, query.execute()).await {
            Ok(done) => done.map_err(|error| failed(short(&error))),
            Err(_) => Err(failed(format!("no answer within {} s", TIMEOUT.as_secs()))),
        }
    }

    async fn insert<R>(&self, table: &str, rows: &[R]) -> Result<(), StoreError>
    where
        R: Serialize + for<'a> Row<Value<'a> = R> + clickhouse::RowOwned + clickhouse::RowWrite,
    {
        if rows.is_empty() {
            return Ok(());
        }
        let written = async {
            let mut insert = self
                .warehouse
                .client()
                .insert::<R>(table)
                .await?
                .with_timeouts(Some(TIMEOUT), Some(TIMEOUT))
                .with_setting("async_insert", "0")
                // Rows replace each other by version: a block like an earlier one may be meant.
                .with_setting("insert_deduplicate", "0");
            for row in rows {
                insert.write(row).await?;
            }
            insert.end().await
        };
        written.await.map_err(|error| StoreError::Transient {
            action: format!("an insert into {table}"),
            reason: short(&error),
        })
    }
}
