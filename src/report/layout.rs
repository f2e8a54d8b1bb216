//! How each report is laid out: its columns, from left to right, and a row's cells.
//!
//! In: a report's rows. Out: a [`Table`]. Refuses: nothing. Promises: as many cells a row as there are columns.

use jiff::Timestamp;

use super::answer::{
    AdRow, AffiliateRow, ConversionRow, FraudRow, LeadRow, PostbackRow, Rate, RefusalRow, Sums,
};
use super::table::{Cell, Column, NO_AD, NOT_SETTLED, Personal, Table};
use crate::check::redact;

/// A kind of money in a row: the column's key, its title, and how to get it.
type MoneyColumn<T> = (&'static str, &'static str, fn(&T) -> &Sums);

/// Appends a column for each kind of money and currency that the totals know.
fn money_columns<T>(columns: &mut Vec<Column>, kinds: &[MoneyColumn<T>], totals: &T) {
    for (key, title, sums) in kinds {
        columns.extend(sums(totals).0.keys().map(|currency| Column::money(key, title, currency)));
    }
}

/// Appends the cells for those columns.
fn money_cells<T>(cells: &mut Vec<Cell>, kinds: &[MoneyColumn<T>], totals: &T, row: &T) {
    for (_, _, sums) in kinds {
        let currencies = sums(totals).0.keys();
        cells.extend(currencies.map(|name| Cell::Money(sums(row).0.get(name).copied())));
    }
}

pub(super) fn ads(rows: &[AdRow], totals: &AdRow) -> Table {
    const MONEY: &[MoneyColumn<AdRow>] =
        &[("amount", "amount", |row| &row.amount), ("pending", "pending", |row| &row.pending)];
    let mut columns = vec![
        Column::new("campaign", "campaign"),
        Column::new("ad", "ad"),
        Column::new("impressions", "impressions"),
        Column::new("click_throughs", "click-throughs"),
        Column::new("click_through_rate", "click-through rate"),
        Column::new("leads", "leads"),
        Column::new("conversions", "conversions"),
        Column::new("conversion_rate", "conversion rate by period"),
    ];
    money_columns(&mut columns, MONEY, totals);
    let cells = |row: &AdRow, campaign: &str, ad: &str| {
        let mut cells = vec![
            Cell::Text(campaign.to_owned()),
            Cell::Text(ad.to_owned()),
            Cell::Count(row.impressions),
            Cell::Count(row.click_throughs),
            Cell::Rate(Rate::of(row.click_throughs, row.impressions)),
            Cell::Count(row.leads),
            Cell::Count(row.conversions),
            Cell::Rate(Rate::of(row.conversions, row.click_throughs)),
        ];
        money_cells(&mut cells, MONEY, totals, row);
        cells
    };
    let named = |row: &AdRow| {
        let ad = match (row.settled, row.ad.as_str()) {
            (false, _) => NOT_SETTLED,
            (true, "") => NO_AD,
            (true, ad) => ad,
        };
        cells(row, &row.campaign, ad)
    };
    Table {
        columns,
        money_keys: &["amount", "pending"],
        rows: rows.iter().map(named).collect(),
        totals: Some(cells(totals, "total", "")),
    }
}

/// The columns of `conversions`, after the time.
const CONVERSION_COLUMNS: [(&str, &str); 27] = [
    ("site", "site"),
    ("type", "type"),
    ("postback", "postback"),
    ("transaction", "transaction"),
    ("goal", "goal"),
    ("status", "status"),
    ("verdict", "verdict"),
    ("amount", "amount"),
    ("currency", "currency"),
    ("refunded", "refunded"),
    ("amount_base", "in base currency"),
    ("base_currency", "base currency"),
    ("rate", "rate"),
    ("rate_date", "rate of"),
    ("rate_source", "rate from"),
    ("affiliate", "affiliate"),
    ("offer", "offer"),
    ("evidence", "evidence"),
    ("state", "state"),
    ("locked_at", "locked at"),
    ("payout", "payout"),
    ("payout_currency", "payout currency"),
    ("taken_back", "taken back"),
    ("rule", "rule"),
    ("considered", "considered"),
    ("disputes", "disputes"),
    ("history", "history"),
];

pub(super) fn conversions(rows: &[ConversionRow]) -> Table {
    let named = CONVERSION_COLUMNS.map(|(key, title)| Column::new(key, title));
    let cells = |row: &ConversionRow| {
        let texts = row.cells.iter().cloned().map(Cell::Text);
        std::iter::once(Cell::Time(row.at)).chain(texts).collect()
    };
    Table {
        columns: std::iter::once(Column::new("time", "time")).chain(named).collect(),
        money_keys: &[],
        rows: rows.iter().map(cells).collect(),
        totals: None,
    }
}

/// By affiliate and offer, or by offer alone.
pub(super) fn affiliates(
    rows: &[AffiliateRow],
    totals: &AffiliateRow,
    has_affiliate: bool,
) -> Table {
    const MONEY: &[MoneyColumn<AffiliateRow>] = &[
        ("amount", "approved", |row| &row.amount),
        ("pending", "pending", |row| &row.pending),
        ("reversed", "reversed", |row| &row.reversed),
        ("payout_provisional", "payout (provisional)", |row| &row.payout_provisional),
        ("payout_locked", "payout (locked)", |row| &row.payout_locked),
        ("taken_back", "taken back", |row| &row.taken_back),
        ("earnings_per_click", "earnings per click", |row| &row.per_click),
    ];
    let mut columns = vec![
        Column::new("affiliate", "affiliate"),
        Column::new("offer", "offer"),
        Column::new("clicks", "clicks"),
        Column::new("leads", "leads"),
        Column::new("conversions", "conversions"),
        Column::new("conversion_rate", "conversion rate by period"),
        Column::new("median_minutes", "median minutes from click"),
        Column::new("disputes", "disputes"),
    ];
    if !has_affiliate {
        columns.remove(0);
    }
    money_columns(&mut columns, MONEY, totals);
    let cells = |row: &AffiliateRow, affiliate: &str| {
        let mut cells = vec![
            Cell::Text(affiliate.to_owned()),
            Cell::Text(if has_affiliate || !row.offer.is_empty() {
                row.offer.clone()
            } else {
                affiliate.to_owned()
            }),
            Cell::Count(row.clicks),
            Cell::Count(row.leads),
            Cell::Count(row.conversions),
            Cell::Rate(Rate::of(row.conversions, row.clicks)),
            row.median_minutes.map_or_else(|| Cell::Text(String::new()), Cell::Count),
            Cell::Count(row.disputes),
        ];
        if !has_affiliate {
            cells.remove(0);
        }
        money_cells(&mut cells, MONEY, totals, row);
        cells
    };
    Table {
        columns,
        money_keys: &[
            "amount",
            "pending",
            "reversed",
            "payout_provisional",
            "payout_locked",
            "taken_back",
            "earnings_per_click",
        ],
        rows: rows.iter().map(|row| cells(row, &row.affiliate)).collect(),
        totals: Some(cells(totals, "total")),
    }
}

pub(super) fn leads(rows: &[LeadRow], personal: Personal) -> Table {
    const COLUMNS: [&str; 18] = [
        "time",
        "site",
        "form",
        "name",
        "email",
        "phone",
        "source",
        "page",
        "channel",
        "campaign",
        "ad",
        "affiliate",
        "link",
        "click",
        "basis",
        "country",
        "verdict",
        "count",
    ];
    let text = |value: &str| Cell::Text(value.to_owned());
    let cells = |lead: &LeadRow| {
        let (name, email, phone, source) = match personal {
            Personal::Masked => (
                lead.name.masked(),
                lead.email.masked(),
                lead.phone.masked(),
                redact::free_text(&lead.source),
            ),
            Personal::Shown => (
                lead.name.expose().to_owned(),
                lead.email.expose().to_owned(),
                lead.phone.expose().to_owned(),
                lead.source.as_str(),
            ),
        };
        vec![
            Cell::Time(lead.at),
            text(&lead.site),
            text(&lead.form),
            Cell::Text(name),
            Cell::Text(email),
            Cell::Text(phone),
            text(source),
            text(&lead.page),
            text(&lead.channel),
            text(&lead.campaign),
            text(&lead.ad),
            text(&lead.affiliate),
            text(&lead.link),
            text(joined_words(&lead.basis)),
            text(basis_words(&lead.basis)),
            text(&lead.country),
            text(&lead.verdict),
            Cell::Count(lead.count),
        ]
    };
    Table {
        columns: COLUMNS.map(|key| Column::new(key, key)).into(),
        money_keys: &[],
        rows: rows.iter().map(cells).collect(),
        totals: None,
    }
}

pub(super) fn postbacks(rows: &[PostbackRow], totals: &PostbackRow) -> Table {
    const COLUMNS: [(&str, &str); 14] = [
        ("postback", "postback"),
        ("site", "site"),
        ("reason", "reason"),
        ("parameter", "parameter"),
        ("accepted", "accepted"),
        ("updates", "updates"),
        ("flagged", "flagged"),
        ("refused", "refused"),
        ("duplicates", "duplicates"),
        ("no_click", "without a click"),
        ("after_click_s", "after the click"),
        ("lag_s", "until receipt"),
        ("last", "last"),
        ("sample", "sample"),
    ];
    let text = |value: &str| Cell::Text(value.to_owned());
    let cells = |row: &PostbackRow| {
        vec![
            text(&row.postback),
            text(&row.site),
            text(&row.reason),
            text(&row.parameter),
            Cell::Count(row.accepted),
            Cell::Count(row.updates),
            Cell::Count(row.flagged),
            Cell::Count(row.refused),
            Cell::Count(row.duplicates),
            Cell::Count(row.no_click),
            Cell::Duration(row.after_click_ms),
            Cell::Duration(row.lag_ms),
            row.last.map_or(Cell::Text(String::new()), Cell::Time),
            text(&row.sample),
        ]
    };
    let mut sums = cells(totals);
    sums[0] = text("total");
    Table {
        columns: COLUMNS.map(|(key, title)| Column::new(key, title)).into(),
        money_keys: &[],
        rows: rows.iter().map(cells).collect(),
        totals: Some(sums),
    }
}

pub(super) fn fraud(rows: &[FraudRow]) -> Table {
    const COLUMNS: [&str; 8] =
        ["affiliate", "offer", "site", "sign", "count", "threshold", "first", "last"];
    let text = |value: &str| Cell::Text(value.to_owned());
    let time = |at: Option<Timestamp>| at.map_or(Cell::Text(String::new()), Cell::Time);
    let cells = |row: &FraudRow| {
        vec![
            text(&row.affiliate),
            text(&row.offer),
            text(&row.site),
            text(&row.sign),
            Cell::Count(row.count),
            Cell::Count(row.threshold),
            time(row.first),
            time(row.last),
        ]
    };
    Table {
        columns: COLUMNS.map(|key| Column::new(key, key)).into(),
        money_keys: &[],
        rows: rows.iter().map(cells).collect(),
        totals: None,
    }
}

pub(super) fn refusals(rows: &[RefusalRow], total: u64) -> Table {
    const COLUMNS: [&str; 9] =
        ["site", "form", "door", "code", "parameter", "refused", "first", "last", "sample"];
    let text = |value: &str| Cell::Text(value.to_owned());
    let time = |at: Option<Timestamp>| at.map_or(Cell::Text(String::new()), Cell::Time);
    let cells = |row: &RefusalRow| {
        vec![
            text(&row.site),
            text(&row.form),
            text(&row.door),
            text(&row.code),
            text(&row.parameter),
            Cell::Count(row.refused),
            time(row.first),
            time(row.last),
            text(&row.sample),
        ]
    };
    let mut totals = cells(&RefusalRow { refused: total, ..RefusalRow::default() });
    totals[0] = text("total");
    Table {
        columns: COLUMNS.map(|key| Column::new(key, key)).into(),
        money_keys: &[],
        rows: rows.iter().map(cells).collect(),
        totals: Some(totals),
    }
}

/// Whether the click was found, for people.
fn joined_words(basis: &str) -> &str {
    match basis {
        "" => "not settled yet",
        "none" => "no",
        _ => "yes",
    }
}

/// How the click was found, for people.
fn basis_words(basis: &str) -> &str {
    match basis {
        "none" => "",
        "click_id" => "click id",
        "daily_hash" => "daily hash",
        other => other,
    }
}
