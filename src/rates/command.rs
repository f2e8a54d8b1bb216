//! `leadtrail rates`: daily rates come in from a file, and can be looked at.
//!
//! In: a file, the base currency, a client that may write. Out: rows of `exchange_rates`, and words. Refuses: a file of another
//! base, and a second rate for a day that differs from the one that stands. Promises: all of a file or nothing; the same file again
//! changes nothing. Rates are kept beside the facts, not in the log: a replay reads them where they are.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail};
use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use crate::rates::{Rate, parse};

/// What is told of differing rates before the rest is a number.
const TOLD_MAX: usize = 5;

#[derive(Row, Serialize)]
struct RateRow<'a> {
    base: &'a str,
    currency: &'a str,
    /// Days since 1970.
    date: u16,
    rate: i64,
    source: &'a str,
    imported: u64,
}

#[derive(Row, Deserialize)]
struct Standing {
    currency: String,
    date: u16,
    rate: i64,
}

#[derive(Row, Deserialize)]
struct Listed {
    currency: String,
    first: String,
    last: String,
    days: u64,
    rate: String,
    source: String,
}

/// Stores what a file says; gives the words to print.
///
/// # Errors
/// When the file is refused, or the warehouse did not do it.
pub async fn import(client: &Client, base: &str, text: &str, source: &str) -> Result<String> {
    if base.is_empty() {
        bail!("rates: there is no base currency; set settle.base_currency");
    }
    let rates = parse(text).with_context(|| format!("rates: {source} was not imported"))?;
    if let Some(own) =
        rates.iter().find(|rate| rate.currency.as_str() == base && rate.scaled != 100_000_000)
    {
        bail!(
            "rates: {source} has {base} at another rate than 1 on {}, so its base isn't {base}; take a file of rates for one {base}",
            own.date
        );
    }
    let standing: Vec<Standing> = client
        .query("SELECT toString(currency) AS currency, toUInt16(date) AS date, toInt64(rate * 100000000) AS rate FROM exchange_rates FINAL WHERE base = ?")
        .bind(base)
        .fetch_all()
        .await
        .context("rates: reading what is there failed")?;
    let newest: u64 = client.query("SELECT max(imported) FROM exchange_rates").fetch_one().await?;
    let mut known: HashMap<(String, u16), i64> =
        standing.into_iter().map(|one| ((one.currency, one.date), one.rate)).collect();
    let (mut fresh, mut differing) = (Vec::new(), Vec::new());
    for rate in rates.iter().filter(|rate| rate.currency.as_str() != base) {
        let key = (rate.currency.as_str().to_owned(), day(rate)?);
        match known.get(&key) {
            Some(same) if *same == rate.scaled => {}
            Some(_) => differing.push(format!("{} of {}", rate.currency.as_str(), rate.date)),
            None => {
                known.insert(key, rate.scaled);
                fresh.push(rate);
            }
        }
    }
    if !differing.is_empty() {
        let told = differing.iter().take(TOLD_MAX).cloned().collect::<Vec<_>>().join(", ");
        bail!(
            "rates: {source} was not imported: {} rates differ from those that stand and were used ({told}); a rate is never changed",
            differing.len()
        );
    }
    store(client, base, source, newest + 1, &fresh).await?;
    Ok(format!("{} rates imported, {} were there already", fresh.len(), rates.len() - fresh.len()))
}

async fn store(
    client: &Client,
    base: &str,
    source: &str,
    imported: u64,
    rates: &[&Rate],
) -> Result<()> {
    if rates.is_empty() {
        return Ok(());
    }
    let mut insert =
        client.insert::<RateRow<'_>>("exchange_rates").await?.with_setting("async_insert", "0");
    for rate in rates {
        let row = RateRow {
            base,
            currency: rate.currency.as_str(),
            date: day(rate)?,
            rate: rate.scaled,
            source,
            imported,
        };
        insert.write(&row).await?;
    }
    insert.end().await.context("rates: storing failed")
}

fn day(rate: &Rate) -> Result<u16> {
    let days = (rate.date - jiff::civil::date(1970, 1, 1)).get_days();
    u16::try_from(days)
        .with_context(|| format!("rates: {} is before 1970 or after 2149", rate.date))
}

/// What is there, as lines.
///
/// # Errors
/// When the warehouse does not answer.
pub async fn list(client: &Client, base: &str) -> Result<String> {
    let sql = "SELECT toString(currency) AS currency, toString(min(date)) AS first, toString(max(date)) AS last, count() AS days, \
        toString(argMax(rate, date)) AS rate, toString(argMax(source, date)) AS source \
        FROM exchange_rates FINAL WHERE base = ? GROUP BY currency ORDER BY currency";
    let rows: Vec<Listed> =
        client.query(sql).bind(base).fetch_all().await.context("rates: reading failed")?;
    if rows.is_empty() {
        return Ok(format!(
            "no rates for {base} yet; import a file: leadtrail rates import eurofxref-hist.csv\n"
        ));
    }
    let line = |row: &Listed| {
        let Listed { currency, first, last, days, rate, source } = row;
        format!(
            "{currency}  {first} to {last}  {days} days  1 {base} = {rate} {currency} on the last ({source})\n"
        )
    };
    Ok(rows.iter().map(line).collect())
}
