//! How the embedded engine ends and comes back: killed, stopped, hung, orphaned; what it keeps.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use leadtrail::store::engine::{Access, Engine, EngineError, read_access};
use rustix::process::{Pid, Signal, kill_process};

use super::{fill, number, text};
use crate::env::warehouse::{client, settings};
use crate::env::{self, wait_for, wait_for_async};

/// Longer than a start, a stop and a restart together take on a machine that does three other things.
const DEADLINE: Duration = Duration::from_secs(60);

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

/// A process that has ended and that nobody has waited for yet counts as ended.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn a_killed_engine_comes_back_with_its_data_at_the_same_address() {
    let engine = Engine::start(settings(env::folder("killed"))).await.unwrap();
    let admin = client(engine.access(), &engine.access().admin);
    fill(&admin, 10_000).await;
    for _ in 0..2 {
        let before = engine.pid().unwrap();
        signal(before, Signal::KILL);
        wait_for("the next engine", DEADLINE, || engine.pid().is_some_and(|pid| pid != before))
            .await;
        assert_eq!(number(&admin, "SELECT count() FROM leadtrail.kept").await.unwrap(), 10_000);
    }
    engine.stop().await.unwrap();
}

/// The answer to an insert can be lost with the engine; then the insert is sent again under its token. What an encrypted
/// disk appends to a file stays in the process, and with it went the token.
#[tokio::test]
async fn an_insert_sent_again_after_a_kill_doubles_nothing() {
    let engine = Engine::start(settings(env::folder("tokens"))).await.unwrap();
    let access = engine.access();
    let admin = client(access, &access.admin);
    admin.query("CREATE DATABASE leadtrail ENGINE = Atomic").execute().await.unwrap();
    let create = "CREATE TABLE leadtrail.once (n UInt64, salt UInt64) ENGINE = MergeTree ORDER BY n
        SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1";
    admin.query(create).execute().await.unwrap();
    // Other bytes each time, so that only the token can tell that it is the same batch.
    let insert = "INSERT INTO leadtrail.once SELECT number, rand64() FROM numbers(100)";
    let ingest = client(access, &access.ingest).with_setting("insert_deduplication_token", "a");
    for _ in 0..3 {
        wait_for_async("the insert", DEADLINE, async || {
            ingest.query(insert).execute().await.is_ok()
        })
        .await;
        let before = engine.pid().unwrap();
        signal(before, Signal::KILL);
        wait_for("the next engine", DEADLINE, || engine.pid().is_some_and(|pid| pid != before))
            .await;
    }
    assert_eq!(number(&admin, "SELECT count() FROM leadtrail.once").await.unwrap(), 100);
    let disks = "SELECT arrayStringConcat(groupUniqArray(disk_name)) FROM system.parts WHERE table = 'once'";
    assert_eq!(text(&admin, disks).await.unwrap(), "sealed");
    engine.stop().await.unwrap();
}

/// The disk is left as a kill leaves it between the record of the token and the part's last renaming.
#[tokio::test]
async fn an_insert_whose_kill_left_its_token_and_not_its_rows_is_taken_again() {
    let folder = env::folder("unfinished");
    let engine = Engine::start(settings(&folder)).await.unwrap();
    let access = engine.access().clone();
    let admin = client(&access, &access.admin);
    admin.query("CREATE DATABASE leadtrail ENGINE = Atomic").execute().await.unwrap();
    let create = "CREATE TABLE leadtrail.once (n UInt64) ENGINE = MergeTree ORDER BY n
        SETTINGS non_replicated_deduplication_window = 1000";
    admin.query(create).execute().await.unwrap();
    let insert = "INSERT INTO leadtrail.once SELECT number FROM numbers(100)";
    let insert_under = |token: &str| {
        let ingest = client(&access, &access.ingest);
        ingest.with_setting("insert_deduplication_token", token).query(insert).execute()
    };
    insert_under("whole").await.unwrap();
    insert_under("cut").await.unwrap();
    let path = "SELECT path FROM system.parts WHERE table = 'once' ORDER BY name DESC LIMIT 1";
    let part = PathBuf::from(text(&admin, path).await.unwrap().trim_end_matches('/'));
    engine.stop().await.unwrap();
    let name = part.file_name().unwrap().to_str().unwrap();
    std::fs::rename(&part, part.with_file_name(format!("tmp_insert_{name}"))).unwrap();

    let engine = Engine::start(settings(&folder)).await.unwrap();
    let count = "SELECT count() FROM leadtrail.once";
    assert_eq!(number(&admin, count).await.unwrap(), 100);
    insert_under("whole").await.unwrap();
    assert_eq!(number(&admin, count).await.unwrap(), 100, "the first is there, and stays once");
    insert_under("cut").await.unwrap();
    assert_eq!(number(&admin, count).await.unwrap(), 200);
    engine.stop().await.unwrap();
}

#[tokio::test]
async fn passwords_port_data_and_query_log_are_kept_over_a_stop() {
    let folder = env::folder("stopped");
    let engine = Engine::start(settings(&folder)).await.unwrap();
    let first = engine.access().clone();
    assert_eq!(read_access(&folder).unwrap(), first);
    fill(&client(&first, &first.admin), 1000).await;
    let pid = engine.pid().unwrap();
    engine.stop().await.unwrap();
    assert!(!is_alive(pid));

    let engine = Engine::start(settings(&folder)).await.unwrap();
    assert_eq!(engine.access(), &first);
    let admin = client(&first, &first.admin);
    assert_eq!(number(&admin, "SELECT count() FROM leadtrail.kept").await.unwrap(), 1000);
    admin.query("SYSTEM FLUSH LOGS").execute().await.unwrap();
    let logged =
        "SELECT count() FROM system.query_log WHERE query LIKE 'CREATE TABLE leadtrail.kept%'";
    assert!(number(&admin, logged).await.unwrap() > 0);
    engine.stop().await.unwrap();
}

#[tokio::test]
async fn an_engine_that_hangs_is_ended_at_the_deadline() {
    let folder = env::folder("hung");
    let engine = Engine::start(settings(&folder)).await.unwrap();
    let pid = engine.pid().unwrap();
    signal(pid, Signal::STOP);
    let error = engine.stop().await.unwrap_err();
    assert!(matches!(error, EngineError::StoppedByForce { .. }), "{error}");
    assert!(!is_alive(pid));
    Engine::start(settings(&folder)).await.unwrap().stop().await.unwrap();
}

/// Plays both parts: the parent to be killed is this same test, started once more.
#[tokio::test]
async fn an_engine_ends_with_a_parent_that_was_killed() {
    const ROLE: &str = "LEADTRAIL_TEST_ENGINE_PARENT";
    if let Some(folder) = std::env::var_os(ROLE) {
        let engine = Engine::start(settings(folder)).await.unwrap();
        fill(&client(engine.access(), &engine.access().admin), 5000).await;
        println!("engine {}", engine.pid().unwrap());
        std::future::pending::<()>().await;
    }
    let folder = env::folder("orphan");
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "engine::ends::an_engine_ends_with_a_parent_that_was_killed",
            "--nocapture",
        ])
        .env(ROLE, &folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let pid = lines.find_map(|line| line.unwrap().strip_prefix("engine ")?.parse().ok());
    let pid: u32 = pid.expect("the parent says its engine's number");
    assert!(is_alive(pid));
    parent.kill().unwrap();
    parent.wait().unwrap();

    // At once, while the old engine may still be ending.
    let engine = Engine::start(settings(&folder)).await.unwrap();
    wait_for("the old engine's end", DEADLINE, || !is_alive(pid)).await;
    let access: &Access = engine.access();
    let admin = client(access, &access.admin);
    wait_for_async("the rows", DEADLINE, async || {
        number(&admin, "SELECT count() FROM leadtrail.kept").await.is_ok_and(|rows| rows == 5000)
    })
    .await;
    engine.stop().await.unwrap();
}
