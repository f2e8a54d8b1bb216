//! What breaks: the broker hangs, the engine dies, the journal is full or gone.

use std::time::{Duration, Instant};

use super::{BROWSER, URLENCODED, expect_number, installation, nothing_is_doubled, number};
use crate::env::broker::Broker;
use crate::env::program::Installation;
use crate::env::proxy::Proxy;
use crate::env::warehouse::Warehouse;

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_broker_costs_no_event_and_no_redirect_its_time() {
    let broker = Broker::own().await;
    let database = Warehouse::shared().database().await;
    let mut installation = Installation::new("hang");
    installation.use_warehouse(&database);
    installation.use_kafka(&broker.address(), "hang");
    installation.set("EDGE__REDIRECT_WAIT_MS", "20");
    let mut program = installation.ready(&["up"]).await;
    installation.get("/c/summer-ad", BROWSER);
    broker.stop_signal().await;
    let mut answered = 1;
    for _ in 0..10 {
        let begun = Instant::now();
        assert_eq!(installation.get("/c/summer-ad", BROWSER).status, 302);
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
        let form = installation.post("/f/contact", URLENCODED, "email=a%40b.example", BROWSER);
        assert_eq!(form.status, 200);
        assert!(form.header("leadtrail-receipt").is_some());
        answered += 2;
    }
    // What an earlier process left in the spill is sent again with a mark, and looked up before it is stored.
    program.kill9();
    broker.cont();
    let mut program = installation.ready(&["up"]).await;
    expect_number(&database.admin, "SELECT uniqExact(event_id) FROM events", answered).await;
    nothing_is_doubled(&database.admin).await;
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_is_killed_and_every_answered_event_is_stored_once() {
    let installation = Installation::new("engine-kill");
    let mut program = installation.ready(&["up"]).await;
    let access =
        leadtrail::store::engine::read_access(&installation.data().join("engine")).unwrap();
    let client = crate::env::warehouse::client(&access, &access.admin).with_database("leadtrail");
    let mut answered = 0;
    for round in 0..60 {
        assert_eq!(
            installation.post("/f/contact", URLENCODED, "email=a%40b.example", BROWSER).status,
            200
        );
        answered += 1;
        if round % 20 == 10 {
            kill_engine_of(&installation);
        }
    }
    expect_number(&client, "SELECT uniqExact(event_id) FROM events", answered).await;
    expect_number(&client, "SELECT count() FROM leads", answered).await;
    nothing_is_doubled(&client).await;
    assert!(program.stop().success());
}

/// Kills the engine whose command line names this installation's folder.
pub(super) fn kill_engine_of(installation: &Installation) {
    let folder = installation.data().join("engine").display().to_string();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains("clickhouse-engine") && line.contains(&folder) {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_takes_no_answered_event_with_it() {
    let (installation, database) = installation("kill").await;
    let mut answered = 0;
    for _ in 0..3 {
        let mut program = installation.ready(&["up"]).await;
        for _ in 0..15 {
            assert_eq!(
                installation.post("/f/contact", URLENCODED, "email=a%40b.example", BROWSER).status,
                200
            );
            answered += 1;
        }
        program.kill9();
    }
    let mut program = installation.ready(&["up"]).await;
    expect_number(&database.admin, "SELECT uniqExact(event_id) FROM events", answered).await;
    nothing_is_doubled(&database.admin).await;
    assert!(program.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_journal_begins_a_new_epoch_and_doubles_nothing() {
    let (installation, database) = installation("wiped").await;
    let mut program = installation.ready(&["up"]).await;
    installation.post("/f/contact", URLENCODED, "email=a%40b.example", BROWSER);
    expect_number(&database.admin, "SELECT count() FROM events", 1).await;
    assert!(program.stop().success());
    std::fs::remove_dir_all(installation.data().join("journal")).unwrap();
    let mut program = installation.ready(&["up"]).await;
    installation.post("/f/contact", URLENCODED, "email=a%40b.example", BROWSER);
    expect_number(&database.admin, "SELECT count() FROM events", 2).await;
    assert_eq!(number(&database.admin, "SELECT uniqExact(log_epoch) FROM events").await, 2);

    // Had the first journal gone in the midst of a batch, nobody could close it: an operator says so.
    let first = "SELECT argMin(log_epoch, event_time) FROM events";
    let epoch = format!("{:016x}", number(&database.admin, first).await);
    let forget = format!(
        "ALTER TABLE ingest_batches DELETE WHERE log_epoch = reinterpretAsUInt64(reverse(unhex('{epoch}'))) \
         SETTINGS mutations_sync = 2"
    );
    database.admin.query(&forget).execute().await.unwrap();
    let audit = |words: &[&str]| {
        let output = installation.run(words);
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = audit(&["audit", "--heal"]);
    assert!(code == 1 && said.contains(&epoch) && said.contains("--gone-epoch"), "{said}");
    let (code, said) = audit(&["audit", "--heal", "--gone-epoch", &epoch]);
    assert!(code == 0 && said.contains("1 ranges healed"), "{said}");
    assert_eq!(audit(&["audit"]).0, 0);
    let batches = "SELECT count() FROM ingest_batches WHERE from_offset = 0 AND to_offset = 1";
    assert_eq!(number(&database.admin, batches).await, 2);
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_journal_refuses_forms_and_lets_redirects_go() {
    let (mut installation, database) = installation("full").await;
    installation.set("JOURNAL__SEGMENT_BYTES", "17000000");
    installation.set("JOURNAL__BYTES_MAX", "34000000");
    installation.set("LIMITS__FORM_BURST", "1000000");
    installation.set("LIMITS__ADDRESS_BURST", "1000000");
    assert!(installation.run(&["schema", "apply"]).status.success());
    let mut edge = installation.ready(&["serve"]).await;
    let body = format!("email=a%40b.example&message={}", "x".repeat(15_000));
    let mut answered = 0;
    let refused = loop {
        let reply = installation.post("/f/contact", URLENCODED, &body, BROWSER);
        if reply.status != 200 {
            break reply;
        }
        answered += 1;
        assert!(answered < 5_000, "the journal takes more than its budget");
    };
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());
    assert_eq!(
        installation.get("/c/summer-ad", BROWSER).status,
        302,
        "a redirect goes all the same"
    );
    // Room comes back with the consumer: what it has read may go before anything is refused.
    let mut consumer = installation.ready(&["consume"]).await;
    // The same text a thousand times is held as spam: what counts here is that all of it is stored.
    let stored = "SELECT count() FROM events WHERE event_type = 'lead'";
    expect_number(&database.admin, stored, answered).await;
    crate::env::wait_for("the journal to take events again", super::SOON, || {
        installation.post("/f/contact", URLENCODED, &body, BROWSER).status == 200
    })
    .await;
    nothing_is_doubled(&database.admin).await;
    consumer.stop();
    edge.stop();
}

/// A stop comes while the batch's first table is written and its last is not: each piece takes a second on its way to the
/// warehouse. The batch is finished, so that whoever wipes the journal or makes the topic anew afterwards leaves no half of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_polite_stop_finishes_the_batch_that_is_under_way() {
    for home in ["disk", "kafka"] {
        let database = Warehouse::shared().database().await;
        let wire = Proxy::before(database.access.url.strip_prefix("http://").unwrap());
        let mut installation = Installation::new(&format!("stop-{home}"));
        installation.use_warehouse(&database);
        installation.set("WAREHOUSE__URL", &format!("http://{}", wire.address));
        if home == "kafka" {
            installation.use_kafka(&Broker::shared().await.address(), "half");
        }
        let mut program = installation.ready(&["up"]).await;
        wire.slow(Duration::from_secs(1));
        installation.post("/f/contact", URLENCODED, "email=a%40b.example", BROWSER);
        expect_number(&database.admin, "SELECT count() FROM events", 1).await;
        let whole = "SELECT count() FROM ingest_batches";
        assert_eq!(number(&database.admin, whole).await, 0, "{home}: not under way any more");
        assert!(program.stop().success());
        assert_eq!(number(&database.admin, "SELECT count() FROM leads").await, 1, "{home}");
        assert_eq!(number(&database.admin, whole).await, 1, "{home}: half a batch was left");
    }
}
