//! The embedded engine on a disk that refuses its writes.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use leadtrail::store::engine::{Engine, EngineSettings};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{number, text};
use crate::env;
use crate::env::wait_for;
use crate::env::warehouse::{client, settings};

/// A start, and a pause before it, on a machine that does three other things.
const DEADLINE: Duration = Duration::from_secs(60);

/// The engine's own program, started without the signal that would end it at the limit: the limit is then what a full disk is to it.
fn without_the_signal(folder: &Path, program: &Path) -> EngineSettings {
    std::fs::create_dir_all(folder).unwrap();
    let wrapper = folder.join("engine.sh");
    let script = format!("#!/bin/sh\ntrap '' XFSZ\nexec '{}' \"$@\"\n", program.display());
    std::fs::write(&wrapper, script).unwrap();
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
    EngineSettings { program: wrapper, ..settings(folder.join("engine")) }
}

/// The library goes on after a failed write, answers OK and shows rows whose files are empty.
#[tokio::test]
async fn an_insert_that_the_disk_refuses_is_not_answered_and_leaves_nothing_broken() {
    let folder = env::folder("refused-write");
    let program = settings(folder.clone()).program;
    let engine = Engine::start(without_the_signal(&folder, &program)).await.unwrap();
    let access = engine.access();
    let admin = client(access, &access.admin);
    admin.query("CREATE DATABASE leadtrail ENGINE = Atomic").execute().await.unwrap();
    let table = "CREATE TABLE leadtrail.kept (n UInt64, s String) ENGINE = MergeTree ORDER BY n";
    admin.query(table).execute().await.unwrap();
    let insert = |rows: u32| {
        let sql = format!(
            "INSERT INTO leadtrail.kept SELECT number, randomString(1000) FROM numbers({rows})"
        );
        client(access, &access.ingest).query(&sql).execute()
    };
    insert(10).await.unwrap();

    let before = engine.pid().unwrap();
    let pid = Pid::from_raw(before.cast_signed());
    let limit = Rlimit { current: Some(100_000), maximum: None };
    prlimit(pid, Resource::Fsize, limit).unwrap();
    assert!(
        insert(1_000).await.is_err(),
        "a part of 1 MB was taken, where no file may have 100 kB"
    );

    wait_for("the next engine", DEADLINE, || engine.pid().is_some_and(|pid| pid != before)).await;
    let whole = "SELECT toString(count()) || ' ' || toString(sum(length(s))) FROM leadtrail.kept";
    assert_eq!(text(&admin, whole).await.unwrap(), "10 10000");
    insert(1_000).await.unwrap();
    assert_eq!(number(&admin, "SELECT count() FROM leadtrail.kept").await.unwrap(), 1_010);
    engine.stop().await.unwrap();
}
