//! What networks report, and what looks like fraud: every figure is known beforehand.

use leadtrail::report::answer;
use leadtrail::report::answer::{FraudRow, PostbackRow, Rows};
use leadtrail::report::question::ReportName;

use super::facts::{DAY, NOON, days, insert, tables};

const FACT: &str = "site, event_type, event_time, id_seq, id_node, received_lag_ms, source_kind, source_profile, flags, odd, signals, offer";

const SETTLED: &str = "site, conversion_time, conversion_seq, conversion_node, event_type, limited, basis, click_time, click_seq, click_node, \
     affiliate, offer, counted, version";

fn short(row: &PostbackRow) -> (String, [u64; 6]) {
    let PostbackRow { postback, reason, parameter, .. } = row;
    let figures =
        [row.accepted, row.updates, row.flagged, row.refused, row.duplicates, row.no_click];
    (format!("{postback} {reason} {parameter}").trim().to_owned(), figures)
}

#[tokio::test]
async fn a_postbacks_messages_are_told_apart_by_what_came_of_them() {
    let database = tables().await;
    let client = &database.admin;
    let fact = |sequence: u32, kind: &str, lag: u32, flags: &str, odd: &str| {
        format!(
            "('demo', '{kind}', '{NOON}', {sequence}, 1, {lag}, 's2s', 'net', {flags}, {odd}, [], 'spring')"
        )
    };
    let odd = "['macro_unexpanded', 'status_unknown']";
    let rows = [
        fact(1, "purchase", 100, "[]", "map()"),
        fact(
            2,
            "purchase",
            300,
            odd,
            "map('payout', 'macro_unexpanded', 'state', 'status_unknown')",
        ),
        fact(3, "purchase", 500, "['click_id_not_ours']", "map()"),
        fact(4, "conversion_status", 700, "[]", "map()"),
        fact(5, "purchase", 900, "[]", "map()"),
    ];
    insert(client, "conversions", FACT, &rows.join(", ")).await;
    let settled = |sequence: u32, kind: &str, basis: &str, minute: u32, counted: u8| {
        format!(
            "('demo', '{NOON}', {sequence}, 1, '{kind}', 2, '{basis}', '{DAY} 11:{minute}:00', 1, 1, 'blogger', 'spring', {counted}, 7)"
        )
    };
    // The fifth is not settled yet.
    let rows = [
        settled(1, "purchase", "click_id", 50, 1),
        settled(2, "purchase", "click_id", 30, 0),
        settled(3, "purchase", "none", 59, 1),
        settled(4, "conversion_status", "none", 59, 0),
    ];
    insert(client, "conversion_clicks", SETTLED, &rows.join(", ")).await;
    let refused = format!(
        "('{DAY} 12:00:00', 'demo', 'net', 'postback', 'postback_incomplete', 'subid or tid', 1, 1, 4, 'parameters 9 B: sub=word(3)'), \
         ('{DAY} 12:01:00', 'demo', 'net', 'postback', 'secret_wrong', '', 1, 1, 2, ''), \
         ('{DAY} 12:01:00', 'demo', 'contact', 'form', 'empty', '', 1, 1, 9, '')"
    );
    let columns = "minute, site, form, door, code, parameter, life, report, count, sample";
    insert(client, "refusals", columns, &refused).await;

    let found = answer(client, &days(ReportName::Postbacks, DAY, DAY)).await.unwrap();
    let Rows::Postbacks(rows, totals) = &found.rows else { panic!("{found:?}") };
    let expected = [
        ("net", [5, 1, 2, 6, 1, 1]),
        ("net postback_incomplete subid or tid", [0, 0, 0, 4, 0, 0]),
        ("net secret_wrong", [0, 0, 0, 2, 0, 0]),
        ("net click_id_not_ours", [0, 0, 1, 0, 0, 0]),
        ("net macro_unexpanded payout", [0, 0, 1, 0, 0, 0]),
        ("net status_unknown state", [0, 0, 1, 0, 0, 0]),
    ];
    let expected: Vec<_> = expected.map(|(name, figures)| (name.to_owned(), figures)).into();
    assert_eq!(rows.iter().map(short).collect::<Vec<_>>(), expected);
    assert_eq!(short(totals).1, [5, 1, 2, 6, 1, 1]);
    assert_eq!(found.row_count, 6);
    assert_eq!(rows[0].lag_ms, Some(500), "the median of five");
    let lags = [Some(1_800_000), Some(600_000)];
    assert!(lags.contains(&rows[0].after_click_ms), "{:?}", rows[0].after_click_ms);
    assert_eq!(rows[1].sample, "parameters 9 B: sub=word(3)");
}

#[tokio::test]
async fn signs_of_fraud_trip_where_they_are_and_nowhere_else() {
    let database = tables().await;
    let client = &database.admin;
    let mut clicks = Vec::new();
    let mut click = |affiliate: &str, network: &str, flags: &str| {
        let sequence = clicks.len() + 1;
        clicks.push(format!(
            "('demo', {sequence}, '{NOON}', {sequence}, 1, 'click', 'human', '{affiliate}', 'spring', '{network}', {flags})"
        ));
    };
    // Nine clicks, two of them embedded, four from one network; one conversion: 9 > 4 x 1.
    for number in 0..9 {
        let network = if number < 4 { "203.0.113.0" } else { "198.51.100.0" };
        let network = if number > 6 { "192.0.2.0" } else { network };
        click("blogger", network, if number < 2 { "['click_embedded']" } else { "[]" });
    }
    // Three clicks from one network with three conversions: too many of these, and none of the other signs.
    for _ in 0..3 {
        click("dealsite", "203.0.113.0", "[]");
    }
    // As many clicks as are judged, of four networks and with two conversions.
    for number in 0..5 {
        click("honest", &format!("198.51.{number}.0"), "[]");
    }
    let columns = "site, visitor, event_time, id_seq, id_node, event_type, traffic_class, affiliate, offer, ip_net, flags";
    insert(client, "events", columns, &clicks.join(", ")).await;
    // A bot's clicks count for nothing.
    let bots: Vec<String> = (0..9)
        .map(|number| format!("('demo', 0, '{NOON}', {}, 2, 'click', 'bot', 'honest', 'spring', '203.0.113.0', [])", number))
        .collect();
    insert(client, "events", columns, &bots.join(", ")).await;
    let settled = |sequence: u32, affiliate: &str, click: u32| {
        format!(
            "('demo', '{NOON}', {sequence}, 3, 'purchase', 2, 'click_id', '{NOON}', {click}, 1, '{affiliate}', 'spring', 1, 7)"
        )
    };
    let rows = [
        settled(1, "blogger", 1),
        settled(2, "dealsite", 10),
        settled(3, "dealsite", 11),
        settled(4, "dealsite", 12),
        settled(5, "honest", 13),
        settled(6, "honest", 14),
    ];
    insert(client, "conversion_clicks", SETTLED, &rows.join(", ")).await;
    let fact = |sequence: u32, signals: &str| {
        format!(
            "('demo', 'purchase', '{NOON}', {sequence}, 3, 0, 's2s', 'net', [], map(), {signals}, 'spring')"
        )
    };
    let rows = [fact(2, "['conversion_too_soon']"), fact(5, "[]"), fact(9, "['click_id_forged']")];
    insert(client, "conversions", FACT, &rows.join(", ")).await;

    let found = answer(client, &days(ReportName::Fraud, DAY, DAY)).await.unwrap();
    let Rows::Fraud(rows) = &found.rows else { panic!("{found:?}") };
    let told = |row: &FraudRow| (row.affiliate.clone(), row.sign.clone(), row.count, row.threshold);
    let expected = [
        ("blogger", "clicks_without_conversions", 9, 4),
        ("blogger", "one_address_clicks", 4, 3),
        ("dealsite", "one_address_conversions", 3, 2),
        ("blogger", "click_embedded", 2, 0),
        ("", "click_id_forged", 1, 0),
        ("blogger", "conversion_of_embedded_click", 1, 0),
        ("dealsite", "conversion_too_soon", 1, 0),
    ];
    let expected: Vec<_> = expected
        .map(|(who, sign, count, over)| (who.to_owned(), sign.to_owned(), count, over))
        .into();
    assert_eq!(rows.iter().map(told).collect::<Vec<_>>(), expected);
}
