//! What each report's statement gives, as rows.
//!
//! In: a client and a [`Question`]. Out: [`Found`]. Refuses: rows of another shape than the statement's. Promises: a report that adds up
//! has its totals from ClickHouse, over all rows, shown or not.

use std::collections::BTreeMap;

use clickhouse::{Client, Row};
use jiff::Timestamp;
use serde::Deserialize;

use super::answer::{
    AdRow, AffiliateRow, ConversionRow, FraudRow, LeadRow, LeftOut, PostbackRow, RefusalRow, Rows,
    Sums,
};
use super::fetch::{fetch, instant};
use super::question::{Question, ReportName};
use crate::personal::{Email, PersonalText, Phone};

/// What a report's own query gives: how many rows there are, what is in none, and the rows.
pub(super) type Found = (u64, LeftOut, Rows);

#[derive(Row, Deserialize)]
struct AdRecord {
    is_total: u8,
    campaign: String,
    ad: String,
    settled: u8,
    impressions: u64,
    clicks: u64,
    leads: u64,
    conversions: u64,
    confirmed: Vec<(String, i128)>,
    pending: Vec<(String, i128)>,
    not_human: u64,
    repeats: u64,
    row_count: u64,
}

pub(super) async fn ads(
    client: &Client,
    question: &Question,
) -> Result<Found, clickhouse::error::Error> {
    let mut totals = AdRow::default();
    let (mut row_count, mut left_out) = (0, LeftOut::default());
    let mut rows = Vec::new();
    for record in fetch::<AdRecord>(client, question).await? {
        let row = AdRow {
            campaign: record.campaign,
            ad: record.ad,
            settled: record.settled != 0,
            impressions: record.impressions,
            click_throughs: record.clicks,
            leads: record.leads,
            conversions: record.conversions,
            amount: Sums::new(record.confirmed),
            pending: Sums::new(record.pending),
        };
        if record.is_total == 0 {
            rows.push(row);
            continue;
        }
        totals = row;
        row_count = record.row_count;
        left_out = LeftOut { not_human: record.not_human, repeats: record.repeats };
    }
    Ok((row_count, left_out, Rows::Ads(rows, totals)))
}

#[derive(Row, Deserialize)]
struct AffiliateRecord {
    is_total: u8,
    affiliate: String,
    offer: String,
    clicks: u64,
    leads: u64,
    conversions: u64,
    confirmed: Vec<(String, i128)>,
    pending: Vec<(String, i128)>,
    reversed: Vec<(String, i128)>,
    payout_provisional: Vec<(String, i128)>,
    payout_locked: Vec<(String, i128)>,
    taken_back: Vec<(String, i128)>,
    median_ms: i64,
    disputes: u64,
    not_human: u64,
    repeats: u64,
    row_count: u64,
}

pub(super) async fn affiliates(
    client: &Client,
    question: &Question,
) -> Result<Found, clickhouse::error::Error> {
    let mut totals = AffiliateRow::default();
    let (mut row_count, mut left_out) = (0, LeftOut::default());
    let mut rows = Vec::new();
    for record in fetch::<AffiliateRecord>(client, question).await? {
        let (provisional, locked) = (record.payout_provisional, record.payout_locked);
        let per_click = per_click(&[&provisional, &locked], &record.taken_back, record.clicks);
        let row = AffiliateRow {
            affiliate: record.affiliate,
            offer: record.offer,
            clicks: record.clicks,
            leads: record.leads,
            conversions: record.conversions,
            amount: Sums::new(record.confirmed),
            pending: Sums::new(record.pending),
            payout_provisional: Sums::new(provisional),
            reversed: Sums::new(record.reversed),
            payout_locked: Sums::new(locked),
            taken_back: Sums::new(record.taken_back),
            per_click,
            median_minutes: u64::try_from(record.median_ms).ok().map(|wait| wait / 60_000),
            disputes: record.disputes,
        };
        if record.is_total == 0 {
            rows.push(row);
            continue;
        }
        totals = row;
        row_count = record.row_count;
        left_out = LeftOut { not_human: record.not_human, repeats: record.repeats };
    }
    let rows = match question.report {
        ReportName::Offers => Rows::Offers(rows, totals),
        _ => Rows::Affiliates(rows, totals),
    };
    Ok((row_count, left_out, rows))
}

/// Payouts less what was taken back, by click, rounded half up at the fourth decimal place; nothing without clicks.
fn per_click(payouts: &[&Vec<(String, i128)>], taken_back: &[(String, i128)], clicks: u64) -> Sums {
    let mut sums: BTreeMap<String, i128> = BTreeMap::new();
    for (currency, amount) in payouts.iter().copied().flatten() {
        *sums.entry(currency.clone()).or_default() += amount;
    }
    for (currency, amount) in taken_back {
        *sums.entry(currency.clone()).or_default() -= amount;
    }
    let clicks = i128::from(clicks);
    let each = sums.into_iter().filter(|_| clicks > 0);
    Sums::new(
        each.map(|(currency, sum)| (currency, (2 * sum + clicks).div_euclid(2 * clicks))).collect(),
    )
}

#[derive(Row, Deserialize)]
struct ConversionRecord {
    at: i64,
    cells: Vec<String>,
    row_count: u64,
}

pub(super) async fn conversions(
    client: &Client,
    question: &Question,
) -> Result<Found, clickhouse::error::Error> {
    let records = fetch::<ConversionRecord>(client, question).await?;
    let row_count = records.first().map_or(0, |record| record.row_count);
    let rows = records.into_iter().map(|record| ConversionRow {
        at: instant(record.at).unwrap_or(Timestamp::UNIX_EPOCH),
        cells: record.cells,
    });
    Ok((row_count, LeftOut::default(), Rows::Conversions(rows.collect())))
}

#[derive(Row, Deserialize)]
struct LeadRecord {
    at: i64,
    site: String,
    form: String,
    full_name: String,
    first_name: String,
    last_name: String,
    email: String,
    phone: String,
    source: String,
    page: String,
    channel: String,
    campaign: String,
    ad: String,
    affiliate: String,
    link: String,
    basis: String,
    country: String,
    verdict: String,
    count: u64,
    row_count: u64,
}

pub(super) async fn leads(
    client: &Client,
    question: &Question,
) -> Result<Found, clickhouse::error::Error> {
    let records = fetch::<LeadRecord>(client, question).await?;
    let row_count = records.first().map_or(0, |record| record.row_count);
    let rows = records.into_iter().map(|record| {
        let name = if record.full_name.is_empty() {
            format!("{} {}", record.first_name, record.last_name).trim().to_owned()
        } else {
            record.full_name
        };
        LeadRow {
            at: instant(record.at).unwrap_or(Timestamp::UNIX_EPOCH),
            site: record.site,
            form: record.form,
            name: PersonalText::new(name),
            email: Email::new(record.email),
            phone: Phone::new(record.phone),
            source: record.source,
            page: record.page,
            channel: record.channel,
            campaign: record.campaign,
            ad: record.ad,
            affiliate: record.affiliate,
            link: record.link,
            basis: record.basis,
            country: record.country,
            verdict: record.verdict,
            count: record.count,
        }
    });
    Ok((row_count, LeftOut::default(), Rows::Leads(rows.collect())))
}

#[derive(Row, Deserialize)]
struct PostbackRecord {
    is_total: u8,
    postback: String,
    site: String,
    reason: String,
    parameter: String,
    accepted: u64,
    updates: u64,
    flagged: u64,
    duplicates: u64,
    no_click: u64,
    refused: u64,
    after_click_ms: i64,
    lag_ms: i64,
    last: i64,
    newest_sample: String,
    row_count: u64,
}

pub(super) async fn postbacks(
    client: &Client,
    question: &Question,
) -> Result<Found, clickhouse::error::Error> {
    let (mut row_count, mut totals, mut rows) = (0, PostbackRow::default(), Vec::new());
    for record in fetch::<PostbackRecord>(client, question).await? {
        let row = PostbackRow {
            postback: record.postback,
            site: record.site,
            reason: record.reason,
            parameter: record.parameter,
            accepted: record.accepted,
            updates: record.updates,
            flagged: record.flagged,
            duplicates: record.duplicates,
            no_click: record.no_click,
            refused: record.refused,
            after_click_ms: u64::try_from(record.after_click_ms).ok(),
            lag_ms: u64::try_from(record.lag_ms).ok(),
            last: instant(record.last),
            sample: record.newest_sample,
        };
        if record.is_total == 0 {
            rows.push(row);
        } else {
            // A total is nobody's, and one shape of many says nothing.
            (row_count, totals) = (record.row_count, PostbackRow { sample: String::new(), ..row });
        }
    }
    if rows.is_empty() {
        row_count = 0;
    }
    Ok((row_count, LeftOut::default(), Rows::Postbacks(rows, totals)))
}

#[derive(Row, Deserialize)]
struct FraudRecord {
    site: String,
    affiliate: String,
    offer: String,
    sign: String,
    found: u64,
    threshold: u64,
    first: i64,
    last: i64,
    row_count: u64,
}

pub(super) async fn fraud(
    client: &Client,
    question: &Question,
) -> Result<Found, clickhouse::error::Error> {
    let records = fetch::<FraudRecord>(client, question).await?;
    let row_count = records.first().map_or(0, |record| record.row_count);
    let rows = records.into_iter().map(|record| FraudRow {
        site: record.site,
        affiliate: record.affiliate,
        offer: record.offer,
        sign: record.sign,
        count: record.found,
        threshold: record.threshold,
        first: instant(record.first),
        last: instant(record.last),
    });
    Ok((row_count, LeftOut::default(), Rows::Fraud(rows.collect())))
}

#[derive(Row, Deserialize)]
struct RefusalRecord {
    is_total: u8,
    site: String,
    form: String,
    door: String,
    code: String,
    parameter: String,
    refused: u64,
    first_minute: i64,
    last_minute: i64,
    newest_sample: String,
    row_count: u64,
}

pub(super) async fn refusals(
    client: &Client,
    question: &Question,
) -> Result<Found, clickhouse::error::Error> {
    let (mut row_count, mut total, mut rows) = (0, 0, Vec::new());
    for record in fetch::<RefusalRecord>(client, question).await? {
        if record.is_total != 0 {
            (row_count, total) = (record.row_count, record.refused);
            continue;
        }
        rows.push(RefusalRow {
            site: record.site,
            form: record.form,
            door: record.door,
            code: record.code,
            parameter: record.parameter,
            refused: record.refused,
            first: instant(record.first_minute),
            last: instant(record.last_minute),
            sample: record.newest_sample,
        });
    }
    Ok((row_count, LeftOut::default(), Rows::Refusals(rows, total)))
}
