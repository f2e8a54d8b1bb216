//! The list of leads, and how new every answer says it is.

use clickhouse::Client;
use leadtrail::ids::EventId;
use leadtrail::report::answer;
use leadtrail::report::answer::{Answer, LeadRow, Rows};
use leadtrail::report::question::{Question, ReportName};

use super::facts::{DAY, days, insert, joined, stop_merges, tables};

async fn some_leads(client: &Client) {
    let columns = "site, event_time, id_seq, id_node, form, email, phone, mobile, first_name, last_name, full_name, country, \
                   traffic_class";
    let rows = "('demo', '2026-11-11 10:00:00', 1, 2, 'contact', 'jane.roe@example.com', '+49 170 1234567', '', 'Jane', 'Roe', '', \
                'DE', 'human'), \
                ('demo', '2026-11-11 11:00:00', 2, 2, 'contact', 'max@example.org', '', '0660 1', '', '', 'Max Moe', 'AT', 'bot'), \
                ('other', '2026-11-11 09:00:00', 3, 2, 'contact', '', '', '', '', '', '', '', 'human'), \
                ('demo', '2026-11-10 09:00:00', 4, 2, 'contact', 'old@example.org', '', '', '', '', '', '', 'human')";
    insert(client, "leads", columns, rows).await;
    joined(
        client,
        "2026-11-11 10:00:00",
        &[(1, "lead", "click_id", "summer", "shoes", "blogger", 1, 1)],
    )
    .await;
    let columns = "site, event_time, id_seq, id_node, event_type, utm_source, referrer_host, landing_host, landing_path";
    let rows = "('demo', '2026-11-11 10:00:00', 1, 2, 'lead', '', '', 'www.shop.example', '/contact'), \
                ('demo', '2026-11-11 11:00:00', 2, 2, 'lead', '', 'search.example', '', ''), \
                ('demo', '2026-11-11 09:30:00', 1048577, 9, 'click', 'newsday', '', '', '')";
    insert(client, "events", columns, rows).await;
    // The click that the first one names, by its id as the edge makes it.
    let id = EventId::from_parts(1_794_389_400_000, 1_048_577, 9).as_u128();
    let columns = "site, kind, key, event_time, id_seq, id_node";
    let row = format!("('demo', 'click_id', {id}, '2026-11-11 09:30:00', 1048577, 9)");
    insert(client, "touch_keys", columns, &row).await;
    let columns = "site, conversion_time, conversion_seq, conversion_node, event_type, basis, click_time, click_seq, click_node, link, channel, \
                   campaign, ad, affiliate, counted, version";
    let row = "('demo', '2026-11-11 10:00:00', 1, 2, 'lead', 'click_id', '2026-11-11 09:30:00', 1048577, 9, 'summer-ad', 'paid', 'summer', \
               'shoes', 'blogger', 1, 2)";
    insert(client, "conversion_clicks", columns, row).await;
}

async fn leads(client: &Client, question: &Question) -> (Answer, Vec<LeadRow>) {
    let answer = answer(client, question).await.unwrap();
    let Rows::Leads(rows) = answer.rows.clone() else { panic!("{answer:?}") };
    (answer, rows)
}

#[tokio::test]
async fn leads_come_newest_first_with_the_click_before_them() {
    let database = tables().await;
    let client = &database.admin;
    stop_merges(client).await;
    some_leads(client).await;
    some_leads(client).await;
    let mut question = days(ReportName::Leads, DAY, DAY);
    // As many as there are, and fewer than are stored.
    question.limit = 3;
    let (answer, rows) = leads(client, &question).await;
    let seen: Vec<_> = rows
        .iter()
        .map(|lead| {
            (lead.at.to_string(), lead.site.as_str(), lead.ad.as_str(), lead.basis.as_str())
        })
        .collect();
    let expected = [
        ("2026-11-11T11:00:00Z".to_owned(), "demo", "", ""),
        ("2026-11-11T10:00:00Z".to_owned(), "demo", "shoes", "click_id"),
        ("2026-11-11T09:00:00Z".to_owned(), "other", "", ""),
    ];
    assert_eq!(seen, expected);
    assert_eq!(answer.row_count, 3);
    let jane = &rows[1];
    assert_eq!(jane.name.expose(), "Jane Roe");
    assert_eq!(jane.email.expose(), "jane.roe@example.com");
    assert_eq!((jane.channel.as_str(), jane.campaign.as_str()), ("paid", "summer"));
    assert_eq!((jane.affiliate.as_str(), jane.country.as_str()), ("blogger", "DE"));
    assert_eq!((jane.page.as_str(), jane.source.as_str()), ("www.shop.example/contact", "newsday"));
    assert_eq!((jane.link.as_str(), jane.phone.expose()), ("summer-ad", "+49 170 1234567"));
    assert_eq!((rows[0].source.as_str(), rows[0].phone.expose()), ("search.example", "0660 1"));
    assert_eq!(rows[0].name.expose(), "Max Moe");
    assert_eq!(rows[0].verdict, "bot");
    assert!(!format!("{answer:?}").contains("jane"), "no personal value is printed by accident");
}

#[tokio::test]
async fn the_same_submission_again_is_one_lead_with_a_count() {
    let database = tables().await;
    let client = &database.admin;
    // (sequence, minute, key, what settling says: 1 counts, 0 repeats, 2 not settled yet)
    let sent = [
        (1, 0, 5, 1),
        (2, 1, 5, 0),
        (3, 2, 5, 0),
        (4, 3, 0, 1),
        (5, 4, 0, 1),
        (6, 5, 5, 1),
        (7, 6, 5, 0),
        (8, 7, 5, 2),
    ];
    for (sequence, minute, key, settled) in sent {
        let at = format!("2026-11-11 12:{minute:02}:00");
        let row = format!("('demo', '{at}', {sequence}, 2, 'contact', 'human', {key})");
        let columns = "site, event_time, id_seq, id_node, form, traffic_class, submission_key";
        insert(client, "leads", columns, &row).await;
        if settled < 2 {
            joined(client, &at, &[(sequence, "lead", "none", "", "", "", settled, 1)]).await;
        }
    }
    let mut question = days(ReportName::Leads, DAY, DAY);
    let counts = |rows: &[LeadRow]| -> Vec<(i64, u64)> {
        rows.iter().map(|lead| (lead.at.as_second() / 60 % 60, lead.count)).collect()
    };
    let (answer, rows) = leads(client, &question).await;
    assert_eq!(counts(&rows), [(7, 1), (5, 2), (4, 1), (3, 1), (0, 3)]);
    assert_eq!(answer.row_count, 5);
    // A page of few holds as many leads that count, whatever came between.
    question.limit = 2;
    let (answer, rows) = leads(client, &question).await;
    assert_eq!((counts(&rows), answer.row_count), (vec![(7, 1), (5, 2)], 5));
}

#[tokio::test]
async fn the_newest_leads_are_on_the_page_when_there_are_more() {
    let database = tables().await;
    let client = &database.admin;
    // Ten leads a second, in the same millisecond each time, so that the page ends amid equals.
    let fill = "INSERT INTO leads (site, event_time, id_seq, id_node, form) \
                SELECT 'demo', toDateTime64('2026-11-11 12:00:00', 3, 'UTC') + intDiv(number, 10), number, 1, 'contact' \
                FROM numbers(1000)";
    client.query_raw(fill).execute().await.unwrap();
    let mut question = days(ReportName::Leads, DAY, DAY);
    question.limit = 25;
    let (answer, rows) = leads(client, &question).await;
    assert_eq!((rows.len(), answer.row_count), (25, 1000));
    let seconds: Vec<_> = rows.iter().map(|lead| lead.at.as_second() % 60).collect();
    // 12:01:39, 12:01:38 and half of 12:01:37.
    assert_eq!(seconds, [[39; 10].as_slice(), &[38; 10], &[37; 5]].concat());
}

#[tokio::test]
async fn freshness_says_what_settling_still_has_to_do() {
    let database = tables().await;
    let client = &database.admin;
    let columns = "log_epoch, log_partition, from_offset, to_offset, records, dead, at";
    let rows = "(7, 0, 1000, 1100, 100, 0, '2026-11-11 12:00:00'), (7, 0, 1100, 1150, 50, 0, '2026-11-11 12:00:05'), \
                (7, 1, 0, 10, 10, 0, '2026-11-11 12:00:03'), (9, 0, 500, 507, 7, 0, '2026-11-11 12:00:04')";
    insert(client, "ingest_batches", columns, rows).await;
    insert(client, "ingest_batches", columns, rows).await;
    let positions = "(7, 0, 1100, 1), (7, 1, 10, 2), (7, 0, 1000, 0)";
    let columns = "log_epoch, log_partition, next_offset, version";
    insert(client, "settle_positions", columns, positions).await;
    let question = days(ReportName::Ads, DAY, DAY);
    let fresh = answer(client, &question).await.unwrap().freshness;
    // 50 records of (7, 0) and the 7 of an epoch that settling has never seen.
    assert_eq!(fresh.records_unsettled, 57);
    assert_eq!(fresh.newest_batch.unwrap().to_string(), "2026-11-11T12:00:05Z");
    assert_eq!(fresh.unsettled_since.unwrap().to_string(), "2026-11-11T12:00:04Z");
    insert(client, "settle_positions", columns, "(7, 0, 1150, 3), (9, 0, 507, 3)").await;
    let fresh = answer(client, &question).await.unwrap().freshness;
    assert_eq!((fresh.records_unsettled, fresh.unsettled_since), (0, None));
}

#[tokio::test]
async fn refusals_are_added_up_once_though_a_report_was_stored_twice() {
    let database = tables().await;
    let client = &database.admin;
    stop_merges(client).await;
    let columns = "minute, site, form, door, code, life, report, count, sample, log_offset";
    let rows = "('2026-11-11 10:00:00', 'demo', 'contact', 'form', 'empty', 1, 1, 3, '', 5), \
                ('2026-11-11 10:01:00', 'demo', 'contact', 'form', 'empty', 1, 1, 2, 'json 2 B:', 5), \
                ('2026-11-11 10:01:00', 'demo', 'contact', 'form', 'empty', 2, 1, 1, '', 9), \
                ('2026-11-11 10:01:00', '', '', 'open', 'not_found', 1, 2, 4, '', 7), \
                ('2026-11-12 00:00:00', 'demo', 'contact', 'form', 'empty', 1, 9, 99, '', 11)";
    insert(client, "refusals", columns, rows).await;
    insert(client, "refusals", columns, rows).await;
    let mut question = days(ReportName::Refusals, DAY, DAY);
    let answered = answer(client, &question).await.unwrap();
    let Rows::Refusals(rows, total) = answered.rows else { panic!("{answered:?}") };
    let seen: Vec<_> = rows
        .iter()
        .map(|row| {
            (row.code.as_str(), row.refused, row.sample.as_str(), row.last.unwrap().to_string())
        })
        .collect();
    let expected = [
        ("empty", 6, "json 2 B:", "2026-11-11T10:01:00Z".to_owned()),
        ("not_found", 4, "", "2026-11-11T10:01:00Z".to_owned()),
    ];
    assert_eq!(seen, expected);
    assert_eq!((total, answered.row_count), (10, 2));
    question.site = Some("demo".to_owned());
    let answered = answer(client, &question).await.unwrap();
    assert!(matches!(answered.rows, Rows::Refusals(rows, 6) if rows.len() == 1));
}
