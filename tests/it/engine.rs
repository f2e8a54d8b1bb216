//! The embedded engine: the real library, the real child process, the real sandbox.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clickhouse::Client;
use leadtrail::store::engine::{
    Access, Engine, EngineError, Login, PERSONAL_TABLES, Sandbox, Secret, read_access,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::env::warehouse::{Warehouse, client, settings};
use crate::env::{self, wait_for, wait_for_async};

/// Longer than a start, a stop and a restart together take on a machine that does three other things.
const DEADLINE: Duration = Duration::from_secs(60);

async fn number(client: &Client, query: &str) -> Result<u64, clickhouse::error::Error> {
    client.query(query).fetch_one::<u64>().await
}

async fn text(client: &Client, query: &str) -> Result<String, clickhouse::error::Error> {
    client.query(query).fetch_one::<String>().await
}

/// Runs the statement as a text, without a row type of our own, and gives the server's refusal.
async fn refusal(client: &Client, query: &str) -> String {
    match client.query(query).execute().await {
        Ok(()) => panic!("not refused: {query}"),
        Err(error) => error.to_string(),
    }
}

async fn fill(admin: &Client, rows: u64) {
    admin.query("CREATE DATABASE IF NOT EXISTS leadtrail ENGINE = Atomic").execute().await.unwrap();
    let table = "CREATE TABLE leadtrail.kept (n UInt64) ENGINE = MergeTree ORDER BY n";
    admin.query(table).execute().await.unwrap();
    let insert = format!("INSERT INTO leadtrail.kept SELECT number FROM numbers({rows})");
    admin.query(&insert).execute().await.unwrap();
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

/// A process that has ended and that nobody has waited for yet counts as ended.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn it_lets_in_its_three_users_and_nobody_else() {
    let access = Warehouse::shared().access();
    let analyst = access.analyst.clone().expect("this kernel has landlock");
    for login in [&access.admin, &access.ingest, &analyst] {
        let user = text(&client(access, login), "SELECT currentUser()").await.unwrap();
        assert_eq!(user, login.user);
    }
    let other_password = Login { user: "admin".to_owned(), password: analyst.password };
    assert!(number(&client(access, &other_password), "SELECT 1").await.is_err());
    // `default` has no password, and can't have one.
    let default = Client::default().with_url(&access.url).with_user("default");
    for query in ["SELECT 1", "SYSTEM STOP LISTEN HTTP"] {
        assert!(refusal(&default, query).await.contains("session count"), "{query}");
    }
}

#[tokio::test]
async fn half_sent_requests_do_not_end_it() {
    let engine = Engine::start(settings(env::folder("hostile"))).await.unwrap();
    let (pid, address) = (engine.pid(), engine.access().url.replace("http://", ""));
    let beginnings: [&[u8]; 10] = [
        b"",
        b"G",
        b"GET",
        b"GET /",
        b"GET / HTTP/1.1\r\nHost",
        b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\nSELECT",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        &[0xff; 4096],
        b"GET /?query=SELECT%201 HTTP/9.9\r\n\r\n\r\n\r\n",
    ];
    for round in 0..200 {
        let mut stream = TcpStream::connect(&address).unwrap();
        // It may hang up first, which is its right.
        let _ = stream.write_all(beginnings[round % beginnings.len()]);
    }
    let admin = client(engine.access(), &engine.access().admin);
    assert_eq!(number(&admin, "SELECT toUInt64(2)").await.unwrap(), 2);
    assert_eq!(engine.pid(), pid);
    engine.stop().await.unwrap();
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
async fn an_analyst_reads_everything_but_what_is_personal() {
    let access = Warehouse::shared().access();
    let database = Warehouse::shared().database().await;
    let analyst = database.client(access.analyst.as_ref().unwrap());
    let ingest = database.client(&access.ingest);
    for table in PERSONAL_TABLES.iter().chain(&["events"]) {
        let create = format!(
            "CREATE TABLE {table} (id UInt64, email String) ENGINE = MergeTree ORDER BY id"
        );
        ingest.query(&create).execute().await.unwrap();
        let insert =
            format!("INSERT INTO {table} SELECT number, 'jane@example.com' FROM numbers(100)");
        ingest.query(&insert).execute().await.unwrap();
    }
    assert_eq!(number(&analyst, "SELECT count() FROM events").await.unwrap(), 100);
    for table in PERSONAL_TABLES {
        for query in [
            format!("SELECT email FROM {table}"),
            format!("SELECT count() FROM {table}"),
            format!("SELECT * FROM events JOIN {table} USING id"),
            format!("SELECT * FROM view(SELECT * FROM {table})"),
            format!("SELECT * FROM mergeTreeIndex(currentDatabase(), {table})"),
            format!("DESCRIBE {table}"),
        ] {
            assert!(refusal(&analyst, &query).await.contains("ACCESS_DENIED"), "{query}");
        }
    }
    let tables = "SELECT count() FROM system.tables WHERE database = currentDatabase()";
    assert_eq!(number(&analyst, tables).await.unwrap(), 1);
    let merged = "SELECT count() FROM merge(currentDatabase(), '.*')";
    assert_eq!(number(&analyst, merged).await.unwrap(), 100);
}

/// The scalar function `file()` of this build asks for no grant.
#[tokio::test]
async fn the_files_of_a_personal_table_tell_nothing() {
    let access = Warehouse::shared().access();
    let database = Warehouse::shared().database().await;
    let analyst = database.client(access.analyst.as_ref().unwrap());
    let create =
        "CREATE TABLE leads (id UInt64, email String CODEC(NONE)) ENGINE = MergeTree ORDER BY id";
    database.admin.query(create).execute().await.unwrap();
    let insert = "INSERT INTO leads SELECT number, 'jane@example.com' FROM numbers(100)";
    database.admin.query(insert).execute().await.unwrap();
    let path =
        "SELECT path FROM system.parts WHERE database = currentDatabase() AND table = 'leads'";
    let path = text(&database.admin, path).await.unwrap();
    let column = format!("SELECT position(file('{path}data.bin'), 'jane')");
    let (length, found) = (column.replace("position(", "length(").replace(", 'jane'", ""), column);
    assert!(number(&analyst, &length).await.unwrap() > 100, "the file can be read");
    assert_eq!(number(&analyst, &found).await.unwrap(), 0, "and means nothing");
}

#[tokio::test]
async fn an_analyst_changes_nothing_and_reaches_no_file_and_no_network() {
    let warehouse = Warehouse::shared();
    let access = warehouse.access();
    let database = warehouse.database().await;
    let analyst = database.client(access.analyst.as_ref().unwrap());
    let create = "CREATE TABLE events (n UInt64) ENGINE = MergeTree ORDER BY n";
    for statement in [create, "SYSTEM FLUSH LOGS"] {
        database.admin.query(statement).execute().await.unwrap();
    }
    for query in [
        "INSERT INTO events VALUES (1)",
        "CREATE TABLE mine (n UInt64) ENGINE = Memory",
        "CREATE TEMPORARY TABLE mine (n UInt64)",
        "ALTER TABLE events DELETE WHERE 1",
        "DROP TABLE events",
        "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
        "SELECT * FROM remote('127.0.0.1', 'system', 'one')",
        "SELECT * FROM s3('http://127.0.0.1:1/bucket/x.csv', 'CSV', 'a String')",
        "SELECT * FROM file('/etc/passwd', 'LineAsString', 'a String')",
        "SELECT * FROM system.query_log",
        "SELECT * FROM system.processes",
        "SYSTEM SHUTDOWN",
        "SYSTEM STOP LISTEN HTTP",
    ] {
        let refusal = refusal(&analyst, query).await;
        assert!(refusal.contains("ACCESS_DENIED"), "{query}: {refusal}");
    }
    assert!(refusal(&analyst, "SET max_execution_time = 0").await.contains("READONLY"));
    assert_eq!(access.sandbox, Sandbox::Full);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for path in ["/etc/passwd", "/proc/1/cmdline", "/proc/self/root/etc/passwd"]
        .map(PathBuf::from)
        .into_iter()
        .chain([folder.join("Cargo.toml")])
    {
        // The admin neither: it is the process that may not.
        for user in [&analyst, &database.admin] {
            let query = format!("SELECT file('{}')", path.display());
            let refusal = refusal(user, &query).await;
            assert!(
                refusal.contains("CANNOT_") && !refusal.contains("root:"),
                "{path:?}: {refusal}"
            );
        }
    }
    assert_eq!(text(&analyst, "SELECT file('/proc/self/mem')").await.unwrap(), "");
    // A port that is open, so that only the sandbox can refuse it.
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = elsewhere.local_addr().unwrap();
    let query = format!("SELECT * FROM url('http://{address}/', 'LineAsString', 'a String')");
    let refusal = refusal(&database.admin, &format!("{query} SETTINGS http_max_tries = 1")).await;
    assert!(refusal.contains("ermission denied"), "{refusal}");
}

#[tokio::test]
async fn passwords_and_key_are_out_of_reach_of_sql() {
    let folder = env::folder("secrets");
    let engine = Engine::start(settings(&folder)).await.unwrap();
    let admin = client(engine.access(), &engine.access().admin);
    for name in ["access.json", "data.key"] {
        let path = folder.join(name).canonicalize().unwrap();
        let query = format!("SELECT file('{}')", path.display());
        assert!(refusal(&admin, &query).await.contains("CANNOT_OPEN_FILE"), "{name}");
    }
    let environment = text(&admin, "SELECT file('/proc/self/environ')").await.unwrap();
    assert_eq!(environment, "");
    engine.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_engine_on_one_folder_is_refused_and_the_first_goes_on() {
    let folder = env::folder("twice");
    let first = Engine::start(settings(&folder)).await.unwrap();
    let error = Engine::start(settings(&folder)).await.unwrap_err();
    assert!(matches!(error, EngineError::Held { .. }), "{error}");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    let admin = client(first.access(), &first.access().admin);
    assert_eq!(number(&admin, "SELECT toUInt64(1)").await.unwrap(), 1);
    first.stop().await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_reported_with_its_holder_and_the_key_to_change() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = settings(env::folder("port"));
    settings.http_port = listener.local_addr().unwrap().port();
    let error = Engine::start(settings).await.unwrap_err().to_string();
    for part in [&format!("process {}", std::process::id()), "engine.http_port"] {
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn what_cannot_start_says_why_and_what_to_do() {
    let mut missing = settings(env::folder("missing"));
    missing.library = "/nowhere/libchdb.so".into();
    let error = Engine::start(missing).await.unwrap_err().to_string();
    assert!(error.contains("deploy/parts/fetch up"), "{error}");

    // A library that is none: what the child says reaches the error.
    let mut wrong = settings(env::folder("wrong"));
    wrong.library = wrong.program.clone();
    let error = Engine::start(wrong).await.unwrap_err();
    assert!(matches!(error, EngineError::EndedEarly { .. }), "{error}");
    assert!(error.to_string().contains("cannot load the engine"), "{error}");

    let folder = env::folder("keyless");
    let engine = Engine::start(settings(&folder)).await.unwrap();
    fill(&client(engine.access(), &engine.access().admin), 1).await;
    engine.stop().await.unwrap();
    std::fs::remove_file(folder.join("data.key")).unwrap();
    let error = Engine::start(settings(&folder)).await.unwrap_err();
    assert!(matches!(error, EngineError::DataKey { state: "missing", .. }), "{error}");
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
        .args(["--exact", "engine::an_engine_ends_with_a_parent_that_was_killed", "--nocapture"])
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

#[test]
fn a_secret_shows_a_mask() {
    let secret: Secret = serde_json::from_str("\"hunter2\"").unwrap();
    assert_eq!(format!("{secret:?}"), "***");
}
