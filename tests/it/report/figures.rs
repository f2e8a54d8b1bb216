//! What the reports count, and what they don't.

use clickhouse::Client;
use leadtrail::report::answer::{AdRow, AffiliateRow, Answer, LeftOut, Rows, Sum, Sums};
use leadtrail::report::question::{Question, ReportName};
use leadtrail::report::{ReportError, answer};

use super::facts::{
    DAY, NOON, conversions, days, insert, joined, number, stop_merges, tables, touches,
};

fn sums(pairs: &[(&str, i128)]) -> Sums {
    Sums(pairs.iter().map(|(currency, scaled)| ((*currency).to_owned(), Sum(*scaled))).collect())
}

async fn ads(client: &Client, question: &Question) -> (Answer, Vec<AdRow>, AdRow) {
    let answer = answer(client, question).await.unwrap();
    let Rows::Ads(rows, totals) = answer.rows.clone() else { panic!("{answer:?}") };
    (answer, rows, totals)
}

/// Two ads, an affiliate's click, bots, another site, the day before.
async fn some_touches(client: &Client) {
    let ad = |sequence, kind, ad: &'static str, verdict| {
        let campaign = if ad.is_empty() { "" } else { "summer" };
        ("demo", NOON, sequence, kind, campaign, ad, "", "", verdict)
    };
    let mut rows = vec![
        ad(1, "impression", "shoes", "human"),
        ad(2, "impression", "shoes", "human"),
        ad(3, "impression", "shoes", "human"),
        ad(4, "impression", "shoes", "human"),
        ad(5, "impression", "shoes", "bot"),
        ad(6, "impression", "boots", "human"),
        ad(11, "click", "shoes", "human"),
        ad(12, "click", "shoes", "human"),
        ad(13, "click", "shoes", "human"),
        ad(14, "click", "shoes", "scanner"),
        ad(15, "click", "shoes", "suspect"),
        ad(31, "email_open", "shoes", "human"),
        ad(32, "form_view", "", "human"),
    ];
    rows.push(("demo", NOON, 16, "click", "", "", "blogger", "spring", "human"));
    rows.push(("other", NOON, 17, "click", "summer", "shoes", "", "", "human"));
    rows.push(("demo", "2026-11-10 23:59:59.999", 18, "click", "summer", "shoes", "", "", "human"));
    rows.push(("demo", "2026-11-12 00:00:00", 19, "click", "summer", "shoes", "", "", "human"));
    touches(client, &rows).await;
}

async fn some_conversions(client: &Client) {
    conversions(
        client,
        NOON,
        &[
            (1, "lead", "0", "", "", "human"),
            (2, "purchase", "79.90", "EUR", "pending", "human"),
            (3, "purchase", "10.5000", "USD", "approved", "human"),
            (4, "purchase", "79.90", "EUR", "pending", "human"),
            (5, "lead", "0", "", "", "human"),
            (6, "lead", "0", "", "", "human"),
            (7, "lead", "0", "", "", "bot"),
            (8, "conversion", "0.0001", "EUR", "approved", "human"),
        ],
    )
    .await;
    joined(
        client,
        NOON,
        &[
            (1, "lead", "click_id", "summer", "shoes", "", 1, 5),
            (2, "purchase", "cookie", "summer", "shoes", "", 1, 5),
            (3, "purchase", "click_id", "summer", "shoes", "", 1, 5),
            // The same order again.
            (4, "purchase", "cookie", "summer", "shoes", "", 0, 5),
            (5, "lead", "none", "", "", "", 1, 5),
            (7, "lead", "cookie", "summer", "shoes", "", 1, 5),
            // An ad that has no impression and no click in the period.
            (8, "conversion", "click_id", "autumn", "hats", "", 1, 5),
        ],
    )
    .await;
}

#[tokio::test]
async fn ads_count_what_was_shown_clicked_and_earned() {
    let database = tables().await;
    let client = &database.admin;
    some_touches(client).await;
    some_conversions(client).await;
    let mut question = days(ReportName::Ads, DAY, DAY);
    question.site = Some("demo".to_owned());
    let (answer, rows, totals) = ads(client, &question).await;

    let expected = [
        AdRow {
            campaign: "summer".to_owned(),
            ad: "shoes".to_owned(),
            settled: true,
            impressions: 4,
            click_throughs: 3,
            leads: 1,
            conversions: 2,
            amount: sums(&[("USD", 105_000)]),
            pending: sums(&[("EUR", 799_000)]),
        },
        // No ad: the affiliate's click, and the lead without a click.
        AdRow { settled: true, click_throughs: 1, leads: 1, ..AdRow::default() },
        AdRow {
            campaign: "summer".to_owned(),
            ad: "boots".to_owned(),
            settled: true,
            impressions: 1,
            ..AdRow::default()
        },
        AdRow {
            campaign: "autumn".to_owned(),
            ad: "hats".to_owned(),
            settled: true,
            conversions: 1,
            amount: sums(&[("EUR", 1)]),
            ..AdRow::default()
        },
        // Not settled yet.
        AdRow { settled: false, leads: 1, ..AdRow::default() },
    ];
    assert_eq!(rows, expected);
    assert_eq!((totals.impressions, totals.click_throughs), (5, 4));
    assert_eq!((totals.leads, totals.conversions), (3, 3));
    assert_eq!(totals.amount, sums(&[("EUR", 1), ("USD", 105_000)]));
    assert_eq!(totals.pending, sums(&[("EUR", 799_000)]));
    // A bot's impression, a scanner's and a suspect click, a bot's lead; one repeated order.
    assert_eq!(answer.left_out, LeftOut { not_human: 4, repeats: 1 });
    assert_eq!(answer.row_count, 5);
}

#[tokio::test]
async fn the_totals_of_ads_are_the_counts_of_the_tables() {
    let database = tables().await;
    let client = &database.admin;
    some_touches(client).await;
    some_conversions(client).await;
    let (_, rows, totals) = ads(client, &days(ReportName::Ads, "2026-01-01", "2026-12-31")).await;
    let human = |kind: &str| {
        format!(
            "SELECT count() FROM events FINAL WHERE event_type = '{kind}' AND traffic_class = 'human'"
        )
    };
    assert_eq!(totals.impressions, number(client, &human("impression")).await);
    assert_eq!(totals.click_throughs, number(client, &human("click")).await);
    let repeats =
        number(client, "SELECT count() FROM conversion_clicks FINAL WHERE NOT counted").await;
    let human =
        number(client, "SELECT count() FROM conversions FINAL WHERE traffic_class = 'human'").await;
    assert_eq!((human, repeats), (7, 1));
    assert_eq!(totals.leads + totals.conversions, human - repeats);
    let sum = |count: fn(&AdRow) -> u64| rows.iter().map(count).sum::<u64>();
    assert_eq!(sum(|row| row.impressions), totals.impressions);
    assert_eq!(sum(|row| row.click_throughs), totals.click_throughs);
    assert_eq!(sum(|row| row.leads), totals.leads);
    assert_eq!(sum(|row| row.conversions), totals.conversions);
}

#[tokio::test]
async fn a_record_that_was_stored_twice_counts_once() {
    let database = tables().await;
    let client = &database.admin;
    stop_merges(client).await;
    let question = days(ReportName::Ads, DAY, DAY);
    some_touches(client).await;
    some_conversions(client).await;
    let once = ads(client, &question).await;
    some_touches(client).await;
    some_conversions(client).await;
    assert_eq!(
        number(client, "SELECT count() FROM conversions").await,
        16,
        "both copies are there"
    );
    assert_eq!(ads(client, &question).await, once);
}

#[tokio::test]
async fn a_conversion_that_is_settled_anew_moves_to_its_new_ad() {
    let database = tables().await;
    let client = &database.admin;
    stop_merges(client).await;
    conversions(client, NOON, &[(1, "lead", "0", "", "", "human")]).await;
    joined(client, NOON, &[(1, "lead", "cookie", "summer", "shoes", "", 1, 9)]).await;
    joined(client, NOON, &[(1, "lead", "click_id", "winter", "boots", "", 1, 10)]).await;
    // A zombie's row: written later, of a lower version.
    joined(client, NOON, &[(1, "lead", "none", "", "", "", 1, 3)]).await;
    let (_, rows, _) = ads(client, &days(ReportName::Ads, DAY, DAY)).await;
    let seen: Vec<_> = rows.iter().map(|row| (row.ad.as_str(), row.leads)).collect();
    assert_eq!(seen, [("boots", 1)]);
}

#[tokio::test]
async fn sums_beyond_one_amount_stay_exact() {
    let database = tables().await;
    let client = &database.admin;
    let largest = "99999999999999.9999";
    let facts: Vec<_> = (0..20)
        .map(|sequence| (sequence, "purchase", largest, "EUR", "pending", "human"))
        .collect();
    conversions(client, NOON, &facts).await;
    let (_, _, totals) = ads(client, &days(ReportName::Ads, DAY, DAY)).await;
    assert_eq!(totals.pending.0["EUR"].to_string(), "1999999999999999.998");
}

#[tokio::test]
async fn rows_beyond_the_limit_are_in_the_totals() {
    let database = tables().await;
    let client = &database.admin;
    some_touches(client).await;
    some_conversions(client).await;
    let mut question = days(ReportName::Ads, DAY, DAY);
    let (_, all, totals) = ads(client, &question).await;
    question.limit = 2;
    let (answer, rows, same_totals) = ads(client, &question).await;
    assert_eq!((rows.as_slice(), answer.row_count), (&all[..2], all.len() as u64));
    assert_eq!(same_totals, totals);
}

/// Inserts payouts: `(sequence, type, state, affiliate, evidence, amount, currency, payout, its currency, version)`.
async fn payouts(client: &Client, rows: &[&str]) {
    let columns = "site, conversion_time, conversion_seq, event_type, state, affiliate, evidence, amount, currency, \
                   payout, payout_currency, version, conversion_node, offer";
    let rows: Vec<String> =
        rows.iter().map(|row| format!("('demo', '{NOON}', {row}, 2, 'spring')")).collect();
    insert(client, "payout_attribution", columns, &rows.join(", ")).await;
}

async fn some_payouts(client: &Client) {
    let rows = [
        "1, 'lead', 'provisional', 'blogger', 'click_id', 0, '', 0, '', 5",
        // Sold in euros, paid in francs.
        "2, 'purchase', 'provisional', 'blogger', 'last_affiliate_click_cookie', 79.90, 'EUR', 8, 'CHF', 5",
        "3, 'purchase', 'locked', 'dealsite', 'click_id', 10.5, 'USD', 1.25, 'USD', 5",
        // A repeat wins nothing, even where it names an affiliate.
        "4, 'purchase', 'provisional', 'blogger', 'repeat', 79.90, 'EUR', 0, '', 5",
        // Nobody wins.
        "5, 'lead', 'provisional', '', 'none', 0, '', 0, '', 5",
        // A bot's lead.
        "7, 'lead', 'provisional', 'blogger', 'click_id', 0, '', 0, '', 5",
    ];
    payouts(client, &rows).await;
}

async fn affiliates(client: &Client) -> (Answer, Vec<AffiliateRow>, AffiliateRow) {
    let answer = answer(client, &days(ReportName::Affiliates, DAY, DAY)).await.unwrap();
    let Rows::Affiliates(rows, totals) = answer.rows.clone() else { panic!("{answer:?}") };
    (answer, rows, totals)
}

#[tokio::test]
async fn affiliates_get_what_the_payout_ledger_gives_them() {
    let database = tables().await;
    let client = &database.admin;
    stop_merges(client).await;
    // Everything twice, as after a redelivery.
    for _ in 0..2 {
        some_touches(client).await;
        some_conversions(client).await;
        some_payouts(client).await;
    }
    let (answer, rows, totals) = affiliates(client).await;
    let blogger = AffiliateRow {
        affiliate: "blogger".to_owned(),
        offer: "spring".to_owned(),
        clicks: 1,
        leads: 1,
        conversions: 1,
        amount: Sums::default(),
        pending: sums(&[("EUR", 799_000)]),
        payout_provisional: sums(&[("CHF", 80_000)]),
        payout_locked: Sums::default(),
        per_click: sums(&[("CHF", 80_000)]),
        ..AffiliateRow::default()
    };
    let dealsite = AffiliateRow {
        affiliate: "dealsite".to_owned(),
        offer: "spring".to_owned(),
        conversions: 1,
        amount: sums(&[("USD", 105_000)]),
        payout_locked: sums(&[("USD", 12_500)]),
        ..AffiliateRow::default()
    };
    assert_eq!(rows, [blogger, dealsite]);
    assert_eq!((totals.clicks, totals.leads, totals.conversions), (1, 1, 2));
    assert_eq!(totals.payout_provisional, sums(&[("CHF", 80_000)]));
    assert_eq!(answer.left_out, LeftOut { not_human: 1, repeats: 1 });
}

#[tokio::test]
async fn a_payout_that_is_settled_anew_is_gone_from_its_old_affiliate() {
    let database = tables().await;
    let client = &database.admin;
    stop_merges(client).await;
    conversions(client, NOON, &[(2, "purchase", "79.90", "EUR", "pending", "human")]).await;
    let won = "2, 'purchase', 'provisional', 'blogger', 'click_id', 79.90, 'EUR', 8, 'EUR', 5";
    payouts(client, &[won]).await;
    assert_eq!(affiliates(client).await.1.len(), 1);
    payouts(client, &["2, 'purchase', 'provisional', '', 'none', 79.90, 'EUR', 0, '', 6"]).await;
    assert_eq!(affiliates(client).await.1, []);
}

#[tokio::test]
async fn a_question_about_nothing_is_answered_with_nothing() {
    let database = tables().await;
    for report in ReportName::ALL {
        let answer = answer(&database.admin, &days(report, DAY, DAY)).await.unwrap();
        assert!(answer.is_empty(), "{answer:?}");
        assert_eq!(answer.freshness.newest_batch, None);
    }
}

#[tokio::test]
async fn what_is_asked_can_not_become_sql() {
    let database = tables().await;
    let client = &database.admin;
    some_touches(client).await;
    let mut question = days(ReportName::Ads, DAY, DAY);
    question.site = Some("' OR 1 = 1 -- \\' \u{1F600}".to_owned());
    let (answer, rows, _) = ads(client, &question).await;
    assert!(rows.is_empty(), "{answer:?}");
}

#[tokio::test]
async fn a_warehouse_that_is_away_is_told_apart_from_one_that_refuses() {
    let port = crate::env::free_port();
    let nobody = Client::default().with_url(format!("http://127.0.0.1:{port}"));
    let question = days(ReportName::Ads, DAY, DAY);
    let error = answer(&nobody, &question).await.unwrap_err();
    assert!(matches!(error, ReportError::Unreachable { .. }), "{error}");
    let database = crate::env::warehouse::Warehouse::shared().database().await;
    let error = answer(&database.admin, &question).await.unwrap_err();
    assert!(matches!(error, ReportError::Refused { .. }), "{error}");
}
