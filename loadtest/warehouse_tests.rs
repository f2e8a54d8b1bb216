//! The questions to the warehouse, asked of the real ClickHouse engine: each test starts one of its own, with the program that cargo built
//! beside this one.

use std::time::{Duration, Instant};

use clap::Parser as _;
use clickhouse::Client;
use leadtrail::store::engine::{Engine, EngineSettings};
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use uuid::Uuid;

use crate::fake_edge::{FakeEdge, Faults};
use crate::faults::env::part;
use crate::mix::Kind;
use crate::options::{Command, Options};
use crate::outcome::Outcome;
use crate::queryable::queryable;
use crate::receipts::{Entry, Ledger};
use crate::reconcile::{Fault, Reconciliation};
use crate::requests::tag;
use crate::run::{new_run_name, now_ms, reconcile, run};
use crate::warehouse::{Patience, Warehouse, WarehouseError, reconcile_with};

const SOON: Patience = Patience { wait: Duration::from_secs(2), quiet: Duration::from_millis(500) };

const DATABASE: &str = "leadtrail_load";

struct TestWarehouse {
    engine: Engine,
    _folder: TempDir,
    client: Client,
    warehouse: Warehouse,
    ledger: Ledger,
}

impl TestWarehouse {
    /// A database with the two tables, and a ledger of `durable` receipts.
    async fn new(durable: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let library = part("LEADTRAIL_ENGINE__LIBRARY", "engine");
        let mut settings = EngineSettings::new(library, folder.path());
        // From `deps` up to where cargo puts the programs.
        let ours = std::env::current_exe().unwrap();
        settings.program = ours.parent().unwrap().parent().unwrap().join("leadtrail");
        settings.databases.push(DATABASE.to_owned());
        let engine = Engine::start(settings).await.unwrap();
        let access = engine.access();
        let (user, password) = (&access.admin.user, access.admin.password.expose());
        let client =
            Client::default().with_url(&access.url).with_user(user).with_password(password);
        let run = new_run_name().unwrap();
        let this = Self {
            warehouse: Warehouse::new(&access.url, DATABASE, user, password),
            client,
            engine,
            _folder: folder,
            ledger: Ledger {
                run,
                start_ms: now_ms(),
                complete: true,
                entries: (0..durable)
                    .map(|number| {
                        let outcome = Outcome::Durable(Self::id(number));
                        Some(Entry { kind: Kind::Click, outcome })
                    })
                    .collect(),
            },
        };
        this.execute("CREATE DATABASE {db}").await;
        // As the schema has it: a log of merges for Replacing, and an id that is computed.
        this.execute(
            "CREATE TABLE {db}.events (number UInt64, event_time DateTime64(3, 'UTC'), \
             sub_ids Map(LowCardinality(String), String), event_id UUID ALIAS \
             toUUID(concat('01900000-0000-7000-8000-', leftPad(lower(hex(number)), 12, '0')))) \
             ENGINE = ReplacingMergeTree ORDER BY number",
        )
        .await;
        this.execute(
            "CREATE TABLE {db}.dead_letters (event_id UUID) ENGINE = MergeTree ORDER BY ()",
        )
        .await;
        this
    }

    fn id(number: u64) -> Uuid {
        Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(number))
    }

    async fn execute(&self, sql: &str) {
        self.client.query(&sql.replace("{db}", DATABASE)).execute().await.unwrap();
    }

    async fn store(&self, number: u64, tag: &str) {
        self.execute(&format!(
            "INSERT INTO {{db}}.events VALUES ({number}, now64(3), map('sub1', '{tag}', 'sub2', 'x'))"
        ))
        .await;
    }

    async fn store_all_but(&self, left_out: u64) {
        self.execute(&format!(
            "INSERT INTO {{db}}.events SELECT number, now64(3), \
             map('sub1', concat('{}-', toString(number))) FROM numbers({}) WHERE number != {left_out}",
            self.ledger.run,
            self.ledger.entries.len()
        ))
        .await;
    }

    async fn reconcile(&self, patience: Patience) -> Reconciliation {
        reconcile_with(&self.warehouse, &self.ledger, patience).await.unwrap()
    }

    /// How a command line names it.
    fn words(&self) -> [String; 8] {
        let login = &self.engine.access().admin;
        let (url, password) = (&self.engine.access().url, login.password.expose());
        let words = ["--clickhouse", url, "--database", DATABASE, "--user", &login.user];
        let [a, b, c, d, e, f] = words.map(str::to_owned);
        [a, b, c, d, e, f, "--password".to_owned(), password.to_owned()]
    }

    async fn end(self) {
        self.engine.stop().await.unwrap();
    }
}

fn counts(result: &Reconciliation) -> [usize; 4] {
    Fault::ALL.map(|fault| result.count(fault))
}

#[tokio::test]
async fn a_row_that_comes_late_is_waited_for() {
    let test = TestWarehouse::new(5_000).await;
    test.store_all_but(17).await;
    let late = async {
        // Late by this much; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        test.store(17, &tag(&test.ledger.run, 17)).await;
    };
    let patience = Patience { wait: Duration::from_secs(30), ..SOON };
    let (result, ()) = tokio::join!(test.reconcile(patience), late);
    assert_eq!(counts(&result), [0, 0, 0, 0]);
    assert_eq!((result.durable, result.stored, result.dead), (5_000, 5_000, 0));
    test.end().await;
}

#[tokio::test]
async fn each_fault_is_found_in_the_rows() {
    let test = TestWarehouse::new(5_000).await;
    let run = test.ledger.run.clone();
    test.store_all_but(0).await;
    let start = Instant::now();
    assert_eq!(counts(&test.reconcile(SOON).await), [1, 0, 0, 0], "lost");
    assert!(start.elapsed() >= SOON.wait, "nothing is lost before the deadline");
    test.execute(&format!("INSERT INTO {{db}}.dead_letters VALUES ('{}')", TestWarehouse::id(0)))
        .await;
    let result = test.reconcile(SOON).await;
    assert_eq!((counts(&result), result.dead), ([0, 0, 0, 0], 1));
    test.store(4, &tag(&run, 4)).await;
    test.store(9_000, &tag(&run, 9_000)).await;
    test.store(9_001, "other-run-1").await;
    assert_eq!(counts(&test.reconcile(SOON).await), [0, 1, 1, 0], "doubled and unexpected");
    test.end().await;
}

#[tokio::test]
async fn a_row_without_its_tag_is_found_by_its_id() {
    let test = TestWarehouse::new(3_000).await;
    test.execute("INSERT INTO {db}.events SELECT number, now64(3), map() FROM numbers(3000)").await;
    let result = test.reconcile(SOON).await;
    assert_eq!(counts(&result), [0, 0, 0, 3_000], "in two questions by id");
    test.end().await;
}

#[tokio::test]
async fn doubles_that_a_merge_dropped_are_told() {
    let test = TestWarehouse::new(3).await;
    test.store_all_but(9).await;
    assert_eq!(test.warehouse.rows_merged_away(&test.ledger).await.unwrap(), 0);
    test.store(1, &tag(&test.ledger.run, 1)).await;
    test.execute("OPTIMIZE TABLE {db}.events FINAL").await;
    assert_eq!(counts(&test.reconcile(SOON).await), [0, 0, 0, 0], "it can no longer be counted");
    assert_eq!(test.warehouse.rows_merged_away(&test.ledger).await.unwrap(), 1);
    test.end().await;
}

#[tokio::test]
async fn only_the_stored_tags_are_queryable() {
    let test = TestWarehouse::new(3).await;
    test.store_all_but(1).await;
    let tags: Vec<String> = (0..3).map(|number| tag(&test.ledger.run, number)).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let mut found = test.warehouse.tags_stored(&tags, test.ledger.start_ms - 1_000).await.unwrap();
    found.sort();
    assert_eq!(found, [tags[0], tags[2]]);
    let later = now_ms() + 3_600_000;
    assert!(test.warehouse.tags_stored(&tags, later).await.unwrap().is_empty());
    test.end().await;
}

#[test]
fn run_reconciles_what_the_edge_made_durable() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let test = TestWarehouse::new(0).await;
        let faults = Faults { refuse_every: 7, without_receipt_every: 5, ..Faults::default() };
        let edge = FakeEdge::start(faults).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("receipts");
        let target = format!("http://{}", edge.address);
        let named = test.words();
        let warehouse = [&named.each_ref().map(String::as_str)[..], &["--wait", "20s"]].concat();
        let load = ["--rate", "300", "--seconds", "1", "--target", &target, "--receipts"];
        let words = [&["leadtrail-load", "run"], &load[..], &[path.to_str().unwrap()], &warehouse];
        let Command::Run(options) = Options::parse_from(words.concat()).command else {
            panic!("not run")
        };
        let consumer = async {
            let all_seen = async {
                while edge.seen.lock().unwrap().requests < 300 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), all_seen).await.expect("300 requests");
            let durable = edge.seen.lock().unwrap().durable.clone();
            for (tag, id) in durable {
                test.store((id.as_u128() & 0xFFFF) as u64, &tag).await;
            }
        };
        let (well, ()) = tokio::join!(run(options), consumer);
        assert!(well.unwrap());
        // Now one that was refused turns up, and one that was promised is stored twice.
        let (refused, twice) = {
            let seen = edge.seen.lock().unwrap();
            let (tag, id) = seen.durable.iter().next().unwrap();
            (seen.refused[0].clone(), (tag.clone(), (id.as_u128() & 0xFFFF) as u64))
        };
        test.store(9_999, &refused).await;
        test.store(twice.1, &twice.0).await;
        let words = [
            &["leadtrail-load", "reconcile", "--receipts", path.to_str().unwrap()],
            &warehouse[..],
        ];
        let Command::Reconcile(options) = Options::parse_from(words.concat()).command else {
            panic!("not reconcile")
        };
        assert!(!reconcile(options).await.unwrap());
        let problems = std::fs::read_to_string(folder.path().join("receipts.problems")).unwrap();
        let mut lines = problems.lines();
        assert!(lines.next().unwrap().starts_with(&format!("doubled {}", twice.0)), "{problems}");
        assert!(lines.next().unwrap().starts_with(&format!("unexpected {refused}")), "{problems}");
        assert_eq!(lines.next(), None);
        test.end().await;
    });
}

#[test]
fn queryable_finds_what_a_consumer_stores() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let test = TestWarehouse::new(0).await;
        let edge = FakeEdge::start(Faults::default()).await;
        let target = format!("http://{}", edge.address);
        let load = ["--rate", "200", "--seconds", "1", "--samples", "50", "--target", &target];
        let named = test.words();
        let warehouse = [&named.each_ref().map(String::as_str)[..], &["--wait", "20s"]].concat();
        let words = [&["leadtrail-load", "queryable"], &load[..], &warehouse].concat();
        let Command::Queryable(options) = Options::parse_from(words).command else {
            panic!("not queryable")
        };
        let consumer = async {
            let mut stored = std::collections::HashSet::new();
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let durable = edge.seen.lock().unwrap().durable.clone();
                for (tag, id) in durable {
                    if stored.insert(id) {
                        test.store((id.as_u128() & 0xFFFF) as u64, &tag).await;
                    }
                }
            }
        };
        let well = tokio::select! {
            well = queryable(options) => well.unwrap(),
            () = consumer => unreachable!("it never ends"),
        };
        assert!(well);
        test.end().await;
    });
}

#[tokio::test]
async fn a_warehouse_that_is_away_is_an_error_not_a_loss() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let warehouse = Warehouse::new(&url, "leadtrail", "default", "");
    let ledger = Ledger { run: "r".into(), start_ms: 0, complete: true, entries: vec![None] };
    let now = Patience { wait: Duration::ZERO, quiet: Duration::ZERO };
    let result = reconcile_with(&warehouse, &ledger, now).await;
    assert!(matches!(result, Err(WarehouseError::Query { .. })));
}
