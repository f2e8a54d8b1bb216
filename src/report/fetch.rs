//! Questions put to ClickHouse.
//!
//! In: a [`Question`] and a client whose database is the warehouse's. Out: an [`Answer`]. Refuses: a query that runs longer or
//! takes more memory than the limits below. Promises: a statement is one of the files under `sql/`, unchanged; what was asked
//! travels beside it as bound values; money arrives as whole ten-thousandths.

use std::time::Duration;

use clickhouse::{Client, Row};
use jiff::Timestamp;
use serde::Deserialize;

use super::ReportError;
use super::answer::{Answer, Freshness};
use super::question::{Question, ReportName};
use super::records::{ads, affiliates, conversions, fraud, leads, postbacks, refusals};

const ADS: &str = include_str!("sql/ads.sql");
const AFFILIATES: &str = include_str!("sql/affiliates.sql");
const CONVERSIONS: &str = include_str!("sql/conversions.sql");
const LEADS: &str = include_str!("sql/leads.sql");
const POSTBACKS: &str = include_str!("sql/postbacks.sql");
const FRAUD: &str = include_str!("sql/fraud.sql");
const REFUSALS: &str = include_str!("sql/refusals.sql");
const FRESHNESS: &str = include_str!("sql/freshness.sql");

/// How long ClickHouse may work on one query. DESIGN.md wants 3 s for the longest at 100 million events; the rest is for
/// machines that do other things as well.
const EXECUTION_SECONDS_MAX: u64 = 20;

/// Memory for one query: DESIGN.md has 2 GB.
const MEMORY_BYTES_MAX: u64 = 1_900_000_000;

/// How long we wait for ClickHouse, its own limit included: it checks between blocks only.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(EXECUTION_SECONDS_MAX + 10);

/// The settings that every query is sent with.
const SETTINGS: [(&str, u64); 2] =
    [("max_execution_time", EXECUTION_SECONDS_MAX), ("max_memory_usage", MEMORY_BYTES_MAX)];

/// Answers a question.
///
/// `client` names the database, and its user may read it and set the limits (not `readonly=1`).
pub async fn answer(client: &Client, question: &Question) -> Result<Answer, ReportError> {
    let rows = async {
        match question.report {
            ReportName::Ads => ads(client, question).await,
            ReportName::Affiliates | ReportName::Offers => affiliates(client, question).await,
            ReportName::Conversions => conversions(client, question).await,
            ReportName::Leads => leads(client, question).await,
            ReportName::Postbacks => postbacks(client, question).await,
            ReportName::Fraud => fraud(client, question).await,
            ReportName::Refusals => refusals(client, question).await,
        }
    };
    let both = async { tokio::try_join!(rows, freshness(client)) };
    let ((row_count, left_out, rows), freshness) = tokio::time::timeout(ANSWER_TIMEOUT, both)
        .await
        .map_err(|_| ReportError::Slow { report: question.report.name() })?
        .map_err(|error| ReportError::new(question.report.name(), error))?;
    Ok(Answer { question: question.clone(), freshness, left_out, row_count, rows })
}

/// The statement that answers a question, with the values that are bound to it and the limits it runs under.
pub fn explain(question: &Question) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for (name, value) in values(question) {
        let _ = writeln!(text, "-- {{{name}}} = {value:?}");
    }
    let period = &question.period;
    let _ =
        writeln!(text, "-- from {} up to {}", period.local(period.from), period.local(period.to));
    for (name, value) in SETTINGS {
        let _ = writeln!(text, "-- SETTINGS {name} = {value}");
    }
    text.push_str(statement(question.report));
    text
}

fn statement(report: ReportName) -> &'static str {
    match report {
        ReportName::Ads => ADS,
        ReportName::Affiliates | ReportName::Offers => AFFILIATES,
        ReportName::Conversions => CONVERSIONS,
        ReportName::Leads => LEADS,
        ReportName::Postbacks => POSTBACKS,
        ReportName::Fraud => FRAUD,
        ReportName::Refusals => REFUSALS,
    }
}

/// The bound values, as the statements name them.
fn values(question: &Question) -> Vec<(&'static str, String)> {
    let mut values = vec![
        ("from_ms", question.period.from.as_millisecond().to_string()),
        ("to_ms", question.period.to.as_millisecond().to_string()),
        ("site", question.site.clone().unwrap_or_default()),
        ("limit", question.limit.to_string()),
        ("by_offer", u8::from(question.report == ReportName::Offers).to_string()),
    ];
    if question.report == ReportName::Fraud {
        let limits = question.fraud;
        values.extend([
            ("clicks_min", limits.clicks_min.to_string()),
            ("clicks_per_conversion_max", limits.clicks_per_conversion_max.to_string()),
            ("address_conversions_max", limits.address_conversions_max.to_string()),
            ("address_clicks_max", limits.address_clicks_max.to_string()),
        ]);
    }
    values
}

/// The rows of the question's own statement.
pub(super) async fn fetch<T>(
    client: &Client,
    question: &Question,
) -> Result<Vec<T>, clickhouse::error::Error>
where
    T: clickhouse::RowOwned + clickhouse::RowRead,
{
    let mut query = client.query_raw(statement(question.report));
    for (name, value) in SETTINGS {
        query = query.with_setting(name, value.to_string());
    }
    for (name, value) in values(question) {
        query = query.param(name, value);
    }
    query.fetch_all::<T>().await
}

#[derive(Row, Deserialize)]
struct FreshnessRecord {
    newest_batch: i64,
    newest_event: i64,
    records_unsettled: u64,
    unsettled_since: i64,
}

async fn freshness(client: &Client) -> Result<Freshness, clickhouse::error::Error> {
    let mut query = client.query_raw(FRESHNESS);
    for (name, value) in SETTINGS {
        query = query.with_setting(name, value.to_string());
    }
    let record = query.fetch_one::<FreshnessRecord>().await?;
    Ok(Freshness {
        newest_batch: instant(record.newest_batch),
        newest_event: instant(record.newest_event),
        records_unsettled: record.records_unsettled,
        unsettled_since: instant(record.unsettled_since),
    })
}

/// Milliseconds since 1970; 0, which ClickHouse gives for «none», is no instant.
pub(super) fn instant(millis: i64) -> Option<Timestamp> {
    (millis != 0).then(|| Timestamp::from_millisecond(millis).ok()).flatten()
}
