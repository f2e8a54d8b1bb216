//! The warehouse held against the log: holes are found, healed and gone; dead letters and held submissions are replayed; a journal says how it is.

use std::os::unix::fs::FileExt as _;

use super::{BROWSER, URLENCODED, expect_number, installation, nothing_is_doubled, number, text};
use crate::env::broker::Broker;
use crate::env::program::Installation;
use crate::env::warehouse::{Database, Warehouse};

/// Runs a command, expects its exit code, gives what it printed.
fn said(installation: &Installation, arguments: &[&str], code: i32) -> String {
    let output = installation.run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {words}{errors}");
    words
}

/// Sends so many forms and one click; gives how many events that are.
fn send(installation: &Installation, forms: u64) -> u64 {
    assert_eq!(installation.get("/c/summer-ad", BROWSER).status, 302);
    for number in 0..forms {
        let body = format!("email=p{number}%40b.example&message=Number+{number}");
        let from = format!("{BROWSER}X-Forwarded-For: 203.0.{number}.7\r\n");
        assert_eq!(installation.post("/f/contact", URLENCODED, &body, &from).status, 200);
    }
    forms + 1
}

/// Every value of every row of every fact table, as one number a table.
async fn contents(database: &Database) -> Vec<String> {
    let mut all = Vec::new();
    for table in ["events", "leads", "conversions", "touch_keys", "quarantine", "dead_letters"] {
        let sql = format!(
            "SELECT concat('{table} ', toString(count()), ' ', toString(sum(cityHash64(*)))) FROM {table}"
        );
        all.push(text(&database.admin, &sql).await);
    }
    all
}

async fn execute(database: &Database, statements: &[&str]) {
    for statement in statements {
        let sql = format!("{statement} SETTINGS mutations_sync = 2");
        database.admin.query(&sql).execute().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_is_found_by_range_healed_byte_by_byte_and_twice_healed_is_once() {
    let (installation, database) = installation("audit").await;
    let client = &database.admin;
    let mut program = installation.ready(&["up"]).await;
    let mut sent = send(&installation, 20);
    installation.post("/f/contact", URLENCODED, "email=a%40b.example&_honey=1", BROWSER);
    sent += 1;
    expect_number(client, "SELECT count() FROM events", sent).await;
    expect_number(client, "SELECT uniqExact(conversion_seq) FROM conversion_clicks", 20).await;
    let words = said(&installation, &["audit"], 0);
    assert!(words.contains("nothing is missing, nothing is doubled"), "{words}");
    let before = contents(&database).await;

    execute(
        &database,
        &[
            "ALTER TABLE events DELETE WHERE log_offset >= 5 AND log_offset < 10",
            "ALTER TABLE leads DELETE WHERE log_offset >= 7 AND log_offset < 9",
            "ALTER TABLE conversions DELETE WHERE log_offset >= 7 AND log_offset < 9",
            "ALTER TABLE touch_keys DELETE WHERE kind = 'click_id'",
            "ALTER TABLE quarantine DELETE WHERE 1",
        ],
    )
    .await;
    // What settling made of two of them is gone as well: it has to look at them again.
    let settled = "SELECT uniqExact(conversion_seq) FROM conversion_clicks";
    execute(&database, &["ALTER TABLE conversion_clicks DELETE WHERE (conversion_time, conversion_seq) NOT IN (SELECT event_time, id_seq FROM conversions)"]).await;
    expect_number(client, settled, 18).await;

    let words = said(&installation, &["audit"], 1);
    let found = |table: &str, range: &str, rows: u64| {
        let is_it = |line: &str| {
            line.starts_with("missing")
                && line.contains(&format!(" {table} "))
                && line.contains(&format!("{range}: {rows} rows, 20"))
        };
        assert!(words.lines().any(is_it), "{table} {range}: {words}");
    };
    found("events", "[5, 10)", 5);
    found("leads", "[7, 9)", 2);
    found("conversions", "[7, 9)", 2);
    found("touch_keys", "[0, 1)", 1);
    found("quarantine", "[21, 22)", 1);
    let json = said(&installation, &["audit", "--json", "--partition", "0"], 1);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["open"], &json["healed"]), (&5.into(), &0.into()), "{json}");
    assert!(!words.contains("b.example"), "{words}");

    let words = said(&installation, &["replay", "log", "--dry-run"], 0);
    assert!(words.contains("11 rows would be added"), "{words}");
    let words = said(&installation, &["audit", "--heal"], 0);
    assert!(words.contains("5 ranges healed, nothing is left"), "{words}");
    assert_eq!(contents(&database).await, before, "a healed row is the row that was there");
    expect_number(client, settled, 20).await;
    let words = said(&installation, &["audit", "--heal"], 0);
    assert!(words.contains("nothing is missing, nothing is doubled"), "{words}");
    let words = said(&installation, &["replay", "log"], 0);
    assert!(words.contains("0 rows added"), "{words}");
    assert_eq!(contents(&database).await, before);
    nothing_is_doubled(client).await;

    // Doubled rows are told, and not touched.
    execute(&database, &["INSERT INTO leads SELECT * FROM leads WHERE log_offset = 7"]).await;
    execute(&database, &["INSERT INTO events SELECT * FROM events WHERE log_offset = 3"]).await;
    let words = said(&installation, &["audit", "--heal"], 1);
    let doubled = |table: &str| {
        words
            .lines()
            .any(|line| line.starts_with("doubled") && line.contains(&format!(" {table} ")))
    };
    assert!(doubled("leads") && doubled("events"), "{words}");
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_not_recorded_is_told_and_recorded_and_what_the_log_lost_is_named() {
    let (mut installation, database) = installation("unrecorded").await;
    installation.set("CONSUMER__BATCH_ROWS_MAX", "5");
    let client = &database.admin;
    let mut program = installation.ready(&["up"]).await;
    let sent = send(&installation, 19);
    expect_number(client, "SELECT count() FROM events", sent).await;
    expect_number(client, "SELECT toUInt64(max(to_offset)) FROM ingest_batches", sent).await;
    let covering = "SELECT toUInt64(min(from_offset)) FROM ingest_batches WHERE from_offset > 3";
    let from = number(client, covering).await;
    let delete = format!("ALTER TABLE ingest_batches DELETE WHERE from_offset = {from}");
    execute(&database, &[&delete]).await;
    let words = said(&installation, &["audit"], 1);
    assert!(
        words.contains("unrecorded ingest_batches") && words.contains(&format!("[{from}, ")),
        "{words}"
    );
    let words = said(&installation, &["audit", "--heal"], 0);
    assert!(words.contains("1 ranges healed"), "{words}");
    said(&installation, &["audit"], 0);

    // A life of the log that is over: what is missing in it can't come back, and that is said.
    let gone = "INSERT INTO ingest_batches SELECT 77, 0, number * 10, number * 10 + 10, 10, 0, now64(3) FROM numbers(4) WHERE number != 2";
    client.query(gone).execute().await.unwrap();
    let words = said(&installation, &["audit", "--heal"], 1);
    assert!(words.contains("[20, 30)") && words.contains("can't be healed from here"), "{words}");

    // The journal underneath: sound beside its writer, and not when a bit has changed.
    let words = said(&installation, &["journal", "check"], 0);
    assert!(
        words.contains(&format!(" {sent} records")) && words.ends_with("verified: sound\n"),
        "{words}"
    );
    let words = said(&installation, &["journal", "stat"], 0);
    assert!(
        words.contains("writer    running") && words.contains("waiting   0 records"),
        "{words}"
    );
    let words = installation.run(&["journal", "drain"]);
    assert_eq!(words.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&words.stderr).contains("the journal is the log itself"));
    program.stop();
    let segment = installation.data().join("journal/00000000000000000000.seg");
    let file = std::fs::File::options().write(true).open(&segment).unwrap();
    file.write_all_at(&[0xff; 4], 600).unwrap();
    let words = said(&installation, &["journal", "check"], 1);
    assert!(
        words.contains("00000000000000000000.seg: changed bits at byte ")
            && words.contains("1 acknowledged records lost; all of them were consumed"),
        "{words}"
    );
}

/// An installation on the shared broker, with topics of its own.
async fn on_kafka(name: &str) -> (Installation, Database) {
    let broker = Broker::shared().await;
    let database = Warehouse::shared().database().await;
    let mut installation = Installation::new(name);
    installation.use_warehouse(&database);
    installation.use_kafka(&broker.address(), name);
    installation.set("KAFKA__PARTITIONS", "2");
    (installation, database)
}

/// Changes a constraint of `leads`, and of the twin that checks rows.
async fn constraint(database: &Database, change: &str) {
    for statement in [
        &format!("ALTER TABLE leads {change}")[..],
        "CREATE OR REPLACE TABLE leads_check AS leads ENGINE = Null",
    ] {
        database.admin.query(statement).execute().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_kafka_too_and_dead_letters_come_back_when_the_schema_is_mended() {
    let (installation, database) = on_kafka("audit").await;
    let client = &database.admin;
    let mut program = installation.ready(&["up"]).await;
    let sent = send(&installation, 15);
    expect_number(client, "SELECT count() FROM events", sent).await;
    // Somebody's constraint refuses what this form brings.
    constraint(&database, "ADD CONSTRAINT nobody CHECK message != 'Refused'").await;
    for sender in 0..3 {
        let body = format!("email=r{sender}%40b.example&message=Refused");
        assert_eq!(installation.post("/f/contact", URLENCODED, &body, BROWSER).status, 200);
    }
    expect_number(client, "SELECT count() FROM dead_letters", 3).await;
    expect_number(client, "SELECT count() FROM events", sent + 3).await;
    expect_number(client, "SELECT count() FROM leads", 15).await;
    // What is in the dead letters is accounted for. Records may still be under way: they are not asked for.
    said(&installation, &["audit"], 0);
    let again = said(&installation, &["replay", "dead-letters"], 1);
    assert!(again.contains("refused_by_warehouse: 0 dead letters stored"), "{again}");
    constraint(&database, "DROP CONSTRAINT nobody").await;
    let words = said(&installation, &["replay", "dead-letters", "--reason", "unreadable"], 0);
    assert!(words.contains("no dead letter matches"), "{words}");
    let words = said(&installation, &["replay", "dead-letters", "--dry-run"], 0);
    assert!(words.contains("3 dead letters would be stored"), "{words}");
    assert_eq!(number(client, "SELECT count() FROM dead_letters").await, 3);
    let words = said(&installation, &["replay", "dead-letters"], 0);
    assert!(words.contains("3 dead letters stored and removed"), "{words}");
    assert_eq!(number(client, "SELECT count() FROM dead_letters").await, 0);
    assert_eq!(number(client, "SELECT count() FROM leads").await, 18);
    let words = said(&installation, &["replay", "dead-letters"], 0);
    assert!(words.contains("no dead letter matches"), "{words}");
    let before = contents(&database).await;

    execute(
        &database,
        &["ALTER TABLE events DELETE WHERE log_offset < 4", "ALTER TABLE leads DELETE WHERE 1"],
    )
    .await;
    let words = said(&installation, &["audit"], 1);
    for partition in [0, 1] {
        let line = format!("partition {partition} epoch ");
        assert!(
            words.lines().any(|text| text.starts_with("missing") && text.contains(&line)),
            "{words}"
        );
    }
    said(&installation, &["audit", "--heal"], 0);
    assert_eq!(contents(&database).await, before, "healed rows are those that were there");
    said(&installation, &["audit"], 0);
    nothing_is_doubled(client).await;
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_todays_rules_would_not_hold_is_released_and_twice_is_once() {
    let (mut installation, database) = installation("rejudge").await;
    let client = &database.admin;
    let mut program = installation.ready(&["up"]).await;
    installation.post("/f/contact", URLENCODED, "email=a%40b.example&_honey=1", BROWSER);
    expect_number(client, "SELECT count() FROM quarantine FINAL WHERE state = 'held'", 1).await;
    let words = said(&installation, &["replay", "quarantine"], 0);
    assert!(words.contains("0 released, 1 stay held"), "{words}");
    installation.set("SPAM__HOLD_SCORE", "101");
    let words = said(&installation, &["replay", "quarantine", "--dry-run"], 0);
    assert!(words.contains("1 would be released, 0 stay held"), "{words}");
    let words = said(&installation, &["replay", "quarantine"], 0);
    assert!(words.contains("1 released"), "{words}");
    expect_number(client, "SELECT count() FROM leads", 1).await;
    let words = said(&installation, &["replay", "quarantine"], 0);
    assert!(words.contains("0 released, 0 stay held"), "{words}");
    said(&installation, &["audit"], 0);
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphaned_spill_is_drained_into_kafka_and_each_of_its_events_is_stored_once() {
    let (mut installation, database) = on_kafka("drain").await;
    let broker = Broker::shared().await.address();
    assert!(installation.run(&["schema", "apply"]).status.success());
    // No broker is there: everything goes to the spill.
    installation.set("KAFKA__BROKERS", &format!("127.0.0.1:{}", crate::env::free_port()));
    let mut edge = installation.ready(&["serve"]).await;
    let sent = send(&installation, 12);
    edge.kill9();
    let words = said(&installation, &["journal", "stat"], 0);
    assert!(words.contains(&format!("pending   {sent} records")), "{words}");
    installation.set("KAFKA__BROKERS", &broker);
    let words = said(&installation, &["journal", "drain"], 0);
    assert!(words.contains(&format!("{sent} delivered")) && words.contains(", 0 left"), "{words}");
    let words = said(&installation, &["journal", "drain"], 0);
    assert!(words.contains("0 records to drain"), "{words}");
    said(&installation, &["journal", "check"], 0);
    let mut consumer = installation.ready(&["consume"]).await;
    expect_number(&database.admin, "SELECT count() FROM events", sent).await;
    said(&installation, &["audit"], 0);
    nothing_is_doubled(&database.admin).await;
    consumer.stop();
}
