//! Who may read and do what in the embedded engine.

use std::path::{Path, PathBuf};

use clickhouse::Client;
use leadtrail::store::engine::{Engine, Login, PERSONAL_TABLES, Sandbox, Secret};

use super::{number, refusal, text};
use crate::env;
use crate::env::warehouse::{Warehouse, client, settings};

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
async fn an_analyst_has_no_other_way_out_and_no_more_than_its_share() {
    let warehouse = Warehouse::shared();
    let access = warehouse.access();
    let database = warehouse.database().await;
    let analyst = database.client(access.analyst.as_ref().unwrap());
    database
        .admin
        .query("CREATE TABLE events (n UInt64) ENGINE = MergeTree ORDER BY n")
        .execute()
        .await
        .unwrap();
    let open = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = open.local_addr().unwrap().port();
    for query in [
        // Out over the network.
        &format!("SELECT * FROM remoteSecure('127.0.0.1:{port}', 'system', 'one')"),
        &format!(
            "SELECT * FROM urlCluster('default', 'http://127.0.0.1:{port}/', 'CSV', 'a String')"
        ),
        &format!("SELECT * FROM mysql('127.0.0.1:{port}', 'd', 't', 'u', 'p')"),
        &format!("SELECT * FROM postgresql('127.0.0.1:{port}', 'd', 't', 'u', 'p')"),
        &format!("SELECT * FROM redis('127.0.0.1:{port}', 'k', 'k String')"),
        &format!("SELECT * FROM hdfs('hdfs://127.0.0.1:{port}/x', 'CSV', 'a String')"),
        "SELECT * FROM cluster('default', system.one)",
        // Out to files and programs.
        "SELECT * FROM executable('id', 'LineAsString', 'a String')",
        "SELECT * FROM sqlite('/etc/passwd', 't')",
        "INSERT INTO FUNCTION file('/tmp/out.csv', 'CSV', 'a String') VALUES ('x')",
        "BACKUP TABLE events TO File('/tmp/backup')",
        // More rights, and the state of the server.
        "CREATE USER mallory",
        "GRANT SELECT ON *.* TO analyst",
        "CREATE FUNCTION mine AS x -> x",
        "CREATE NAMED COLLECTION mine AS a = 1",
        "CREATE DICTIONARY mine (n UInt64) PRIMARY KEY n SOURCE(CLICKHOUSE(TABLE 'events')) LAYOUT(FLAT()) LIFETIME(0)",
        "KILL QUERY WHERE 1",
        "OPTIMIZE TABLE events FINAL",
        "TRUNCATE TABLE events",
        "RENAME TABLE events TO others",
        "SYSTEM DROP MARK CACHE",
        "SELECT * FROM system.users",
    ] {
        let refusal = refusal(&analyst, query).await;
        let refused = [
            "CLUSTER_DOESNT_EXIST",
            "ACCESS_DENIED",
            "UNKNOWN_FUNCTION",
            "UNKNOWN_TABLE_FUNCTION",
            "READONLY",
        ];
        assert!(refused.iter().any(|code| refusal.contains(code)), "{query}: {refusal}");
    }
    open.set_nonblocking(true).unwrap();
    assert!(open.accept().is_err(), "nobody called");
    // More rows than an answer may have; and no limit is the analyst's own to lift.
    let rows = refusal(&analyst, "SELECT number FROM numbers(1000001)").await;
    assert!(rows.contains("TOO_MANY_ROWS_OR_BYTES"), "{rows}");
    for setting in [
        "max_execution_time = 0",
        "max_memory_usage = 0",
        "max_result_rows = 0",
        "readonly = 0",
        "max_concurrent_queries_for_user = 0",
        "allow_ddl = 1",
        "allow_introspection_functions = 1",
    ] {
        let query = format!("SELECT 1 SETTINGS {setting}");
        let refusal = refusal(&analyst, &query).await;
        let refused = refusal.contains("READONLY") || refusal.contains("QUERY_IS_PROHIBITED");
        assert!(refused, "{query}: {refusal}");
    }
    let memory =
        refusal(&analyst, "SELECT length(groupArray(repeat('x', 1000000))) FROM numbers(10000)")
            .await;
    assert!(memory.contains("MEMORY_LIMIT_EXCEEDED"), "{memory}");
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

#[test]
fn a_secret_shows_a_mask() {
    let secret: Secret = serde_json::from_str("\"hunter2\"").unwrap();
    assert_eq!(format!("{secret:?}"), "***");
}
