//! Rows by hand: the tables that the reports read, filled with what a test says.

use std::sync::atomic::{AtomicU64, Ordering};

use clickhouse::Client;
use jiff::Timestamp;
use leadtrail::report::Question;
use leadtrail::report::question::{Asked, FraudLimits, Known, ReportName};
use leadtrail::store::schema::{Dialect, apply};

use crate::env::warehouse::{Database, Warehouse};

/// Noon of the day that most facts lie on.
pub const NOON: &str = "2026-11-11 12:00:00";

/// That day.
pub const DAY: &str = "2026-11-11";

/// What many clicks are held to.
pub const FRAUD: FraudLimits = FraudLimits {
    clicks_min: 5,
    clicks_per_conversion_max: 4,
    address_conversions_max: 2,
    address_clicks_max: 3,
};

/// The sites that questions may name.
pub fn sites() -> Vec<String> {
    vec!["demo".to_owned(), "other".to_owned()]
}

/// A database with the schema in it.
pub async fn tables() -> Database {
    let database = Warehouse::shared().database().await;
    let dialect = Dialect { database: database.name.clone(), cluster: String::new() };
    apply(&database.admin, &dialect).await.unwrap();
    database
}

/// Keeps what was stored twice from being merged before it is read.
pub async fn stop_merges(client: &Client) {
    for table in ["events", "conversions", "leads", "conversion_clicks", "payout_attribution"] {
        client.query_raw(&format!("SYSTEM STOP MERGES {table}")).execute().await.unwrap();
    }
}

/// Inserts rows, `(…), (…)`, into some columns of a table; also when they are the same as those of an earlier insert.
pub async fn insert(client: &Client, table: &str, columns: &str, rows: &str) {
    static TOKEN: AtomicU64 = AtomicU64::new(0);
    let statement = format!("INSERT INTO {table} ({columns}) VALUES {rows}");
    let token = TOKEN.fetch_add(1, Ordering::Relaxed).to_string();
    let insert = client.query_raw(&statement).with_setting("insert_deduplication_token", token);
    insert.execute().await.unwrap();
}

/// One number from the warehouse.
pub async fn number(client: &Client, query: &str) -> u64 {
    client.query_raw(query).fetch_one::<u64>().await.unwrap()
}

/// A touch: `(site, day and time, sequence, type, campaign, ad, affiliate, offer, verdict)`.
pub type Touch<'a> = (&'a str, &'a str, u32, &'a str, &'a str, &'a str, &'a str, &'a str, &'a str);

/// Inserts touches into `events`.
pub async fn touches(client: &Client, touches: &[Touch<'_>]) {
    let rows: Vec<String> = touches
        .iter()
        .map(|(site, at, sequence, kind, campaign, ad, affiliate, offer, verdict)| {
            format!(
                "('{site}', {sequence}, '{at}', {sequence}, 1, '{kind}', '{campaign}', '{ad}', '{affiliate}', '{offer}', \
                 '{verdict}')"
            )
        })
        .collect();
    let columns = "site, visitor, event_time, id_seq, id_node, event_type, campaign, ad, affiliate, offer, traffic_class";
    insert(client, "events", columns, &rows.join(", ")).await;
}

/// A lead or conversion: `(sequence, type, amount, currency, status, verdict)`; on the site `demo` at [`NOON`].
pub type Fact<'a> = (u32, &'a str, &'a str, &'a str, &'a str, &'a str);

/// Inserts leads and conversions into `conversions`.
pub async fn conversions(client: &Client, at: &str, facts: &[Fact<'_>]) {
    let rows: Vec<String> = facts
        .iter()
        .map(|(sequence, kind, amount, currency, status, verdict)| {
            format!(
                "('demo', '{kind}', '{at}', {sequence}, {sequence}, 2, {amount}, '{currency}', '{status}', '{verdict}')"
            )
        })
        .collect();
    let columns = "site, event_type, event_time, visitor, id_seq, id_node, amount, currency, status, traffic_class";
    insert(client, "conversions", columns, &rows.join(", ")).await;
}

/// What settling found: `(sequence, type, basis, campaign, ad, affiliate, counted, version)`.
pub type Joined<'a> = (u32, &'a str, &'a str, &'a str, &'a str, &'a str, u8, u64);

/// Inserts into `conversion_clicks`.
pub async fn joined(client: &Client, at: &str, joined: &[Joined<'_>]) {
    let rows: Vec<String> = joined
        .iter()
        .map(|(sequence, kind, basis, campaign, ad, affiliate, counted, version)| {
            format!(
                "('demo', '{at}', {sequence}, 2, '{kind}', '{basis}', 'paid', '{campaign}', '{ad}', '{affiliate}', {counted}, \
                 {version})"
            )
        })
        .collect();
    let columns = "site, conversion_time, conversion_seq, conversion_node, event_type, basis, channel, campaign, ad, \
                   affiliate, counted, version";
    insert(client, "conversion_clicks", columns, &rows.join(", ")).await;
}

/// The question about these days, of all sites, in UTC.
pub fn days(report: ReportName, from: &str, to: &str) -> Question {
    let asked = Asked { from, to, ..Asked::default() };
    let sites = sites();
    let now = Timestamp::now();
    let known = Known { sites: &sites, click_window_days: 30, fraud: FRAUD, now };
    Question::parse(report, &asked, &known).unwrap()
}
