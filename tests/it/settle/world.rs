//! A small world: clicks and conversions as they happened, stored as the consumer stores them, and what settling made of them.

use std::time::Duration;

use clickhouse::{Client, Row};
use leadtrail::registry::Registry;
use leadtrail::settle::{Counter, RunReport, Settings, Settler, Versions};
use leadtrail::stop;
use leadtrail::store::schema::{self, Dialect};
use serde::Deserialize;
use serde_json::{Value, json};

use super::facts::{Fact, conversion_row, event, network_keys, touch_keys};
use crate::env::warehouse::{Database, Warehouse};

/// The default window of these tests; offer `spring` has one day, `summer` none of its own.
pub const WINDOW_DAYS: u32 = 2;

/// How soon the same submission is a repeat.
pub const REPEAT_MINUTES: u32 = 60;

const EPOCH: u64 = 0xFEED_0000_0000_0001;

pub const SITES: &str = r#"
[[site]]
name = "shop"
visitor = "cookie"
[[site]]
name = "club"
visitor = "cookie"
[[link]]
number = 1
name = "ad-link"
site = "shop"
destination = "http://shop.example/"
campaign = "autumn"
ad = "boots"
creative = "blue"
placement = "top"
[[link]]
number = 2
name = "club-link"
site = "club"
destination = "http://club.example/"
[[affiliate]]
number = 1
name = "blogger"
[[affiliate]]
number = 2
name = "dealsite"
[[offer]]
number = 1
name = "spring"
site = "shop"
destination = "http://shop.example/"
amount = "79.90"
payout = "8.00"
currency = "EUR"
window_days = 1
[[offer]]
number = 2
name = "summer"
site = "shop"
destination = "http://shop.example/"
payout = "5.00"
currency = "USD"
coupons = { "DEAL5" = "dealsite" }
[[offer]]
number = 3
name = "share"
site = "shop"
destination = "http://shop.example/"
payout_percent = "12.5"
coupons = { "Blog10" = "blogger" }
[[offer]]
number = 4
name = "steps"
site = "shop"
destination = "http://shop.example/"
payout = "5.00"
currency = "EUR"
tiers = [{ from = 3, payout = "7.00" }]
[[offer]]
number = 5
name = "capped"
site = "shop"
destination = "http://shop.example/"
payout = "5.00"
currency = "EUR"
payout_cap_day = 2
lock_after_days = 1
[[offer]]
number = 6
name = "lasting"
site = "shop"
destination = "http://shop.example/"
payout_percent = "10"
lock_after_days = 1
"#;

/// What settling made of a conversion, from both tables.
#[derive(Clone, Debug, Default, PartialEq, Row, Deserialize)]
pub struct Outcome {
    pub seq: u32,
    pub basis: String,
    pub seen: u8,
    pub click: u32,
    pub click_time: i64,
    pub link: String,
    pub ad: String,
    pub affiliate: String,
    pub offer: String,
    pub repeat_of: String,
    pub counted: u8,
    pub evidence: String,
    pub found_by: String,
    pub payee: String,
    pub payee_offer: String,
    pub payee_click: u32,
    pub amount: String,
    pub currency: String,
    pub payout: String,
    pub payout_currency: String,
}

const OUTCOMES: &str = "SELECT conversion_seq AS seq, toString(basis) AS basis, click_seen AS seen, click_seq AS click, \
     toUnixTimestamp64Milli(c.click_time) AS click_time, toString(c.link) AS link, toString(c.ad) AS ad, toString(c.affiliate) AS affiliate, \
     toString(c.offer) AS offer, toString(c.repeat_of) AS repeat_of, counted, toString(p.evidence) AS evidence, \
     toString(p.found_by) AS found_by, toString(p.affiliate) AS payee, toString(p.offer) AS payee_offer, p.click_seq AS payee_click, \
     toString(p.amount) AS amount, toString(p.currency) AS currency, toString(p.payout) AS payout, toString(p.payout_currency) AS payout_currency \
     FROM (SELECT * FROM conversion_clicks FINAL) AS c FULL JOIN (SELECT * FROM payout_attribution FINAL) AS p \
     USING (site, conversion_time, conversion_seq, conversion_node) ORDER BY seq";

/// A warehouse with one settler.
pub struct World {
    pub database: Database,
    pub settler: Settler,
    pub versions: Versions,
    offsets: [u64; 2],
    folder: tempfile::TempDir,
    _stopper: stop::Stopper,
}

pub fn settings(records_max: u64) -> Settings {
    Settings {
        interval: Duration::from_millis(10),
        click_window_days: WINDOW_DAYS,
        repeat_window_minutes: REPEAT_MINUTES,
        base_currency: "EUR".to_owned(),
        rate_days: 5,
        timeout: Duration::from_secs(30),
        records_max,
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(settings(100_000)).await
    }

    pub async fn with(settings: Settings) -> Self {
        let database = Warehouse::shared().database().await;
        let dialect = Dialect { database: database.name.clone(), cluster: String::new() };
        schema::apply(&database.admin, &dialect).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (stopper, stop) = stop::channel();
        let mut versions = Versions::Counter(Counter::open(folder.path()).unwrap());
        assert!(versions.lead(&stop).await.unwrap());
        // As the program runs it: with the rights of the consumer, no more.
        let client = database.client(&database.access.ingest);
        let registry = Registry::parse(SITES, "test").unwrap();
        let settler = Settler::new(client, &registry, settings);
        Self { database, settler, versions, offsets: [0; 2], folder, _stopper: stopper }
    }

    /// Where its versions are counted.
    pub fn counter(&self) -> std::path::PathBuf {
        self.folder.path().join("settle.counter")
    }

    pub fn admin(&self) -> &Client {
        &self.database.admin
    }

    /// Stores a batch in partition 0.
    pub async fn store(&mut self, facts: impl IntoIterator<Item = Fact>) {
        let facts: Vec<Fact> = facts.into_iter().collect();
        self.store_in(0, &facts).await;
    }

    /// Stores a batch as the consumer does: rows first, the batch last.
    pub async fn store_in(&mut self, partition: usize, facts: &[Fact]) {
        let from = self.offsets[partition];
        let (mut events, mut conversions, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for (offset, fact) in (from..).zip(facts) {
            let place =
                json!({"log_epoch": EPOCH, "log_partition": partition, "log_offset": offset});
            match fact {
                Fact::Click(click) => {
                    events.push(with(event(click), &place));
                    keys.extend(network_keys(click).into_iter().map(|row| with(row, &place)));
                    keys.extend(touch_keys(click).into_iter().map(|row| with(row, &place)));
                }
                Fact::Conversion(conversion) => {
                    conversions.push(with(conversion_row(conversion), &place));
                }
            }
        }
        let end = from + facts.len() as u64;
        self.offsets[partition] = end;
        for (table, rows) in
            [("events", events), ("conversions", conversions), ("touch_keys", keys)]
        {
            self.insert(table, &rows).await;
        }
        let batch = json!({"log_epoch": EPOCH, "log_partition": partition, "from_offset": from, "to_offset": end,
            "records": facts.len(), "dead": 0, "at": 0});
        self.insert("ingest_batches", &[batch]).await;
    }

    pub async fn insert(&self, table: &str, rows: &[Value]) {
        if rows.is_empty() {
            return;
        }
        let text: Vec<String> = rows.iter().map(Value::to_string).collect();
        let sql = format!("INSERT INTO {table} FORMAT JSONEachRow");
        let mut insert = self.admin().insert_formatted_with(sql).with_setting("async_insert", "0");
        insert.send(text.join("\n").into_bytes().into()).await.unwrap();
        insert.end().await.unwrap();
    }

    /// Settles until nothing is left; gives the reports of the runs that did something.
    pub async fn settle(&mut self) -> Vec<RunReport> {
        let mut reports = Vec::new();
        loop {
            let report = match self.settler.run_once(&mut self.versions).await {
                // A zombie's statement ended one of ours: the run is done again.
                Err(error) if error.to_string().contains("QUERY_WAS_CANCELLED") => continue,
                report => report.unwrap(),
            };
            if report.version.is_some() {
                reports.push(report);
            }
            if !report.more {
                return reports;
            }
            assert!(reports.len() < 1_000, "settling doesn't come to an end");
        }
    }

    pub async fn outcomes(&self) -> Vec<Outcome> {
        self.admin().query(OUTCOMES).fetch_all().await.unwrap()
    }

    /// What became of one conversion.
    pub async fn outcome(&self, seq: u32) -> Outcome {
        let all = self.outcomes().await;
        all.into_iter().find(|outcome| outcome.seq == seq).expect("the conversion is settled")
    }

    /// Basis and click of one conversion.
    pub async fn joined(&self, seq: u32) -> (String, u32) {
        let outcome = self.outcome(seq).await;
        (outcome.basis, outcome.click)
    }

    /// For each conversion whether it counts, in the order of their numbers.
    pub async fn counted(&self) -> Vec<u8> {
        self.outcomes().await.iter().map(|outcome| outcome.counted).collect()
    }

    pub async fn number(&self, sql: &str) -> u64 {
        self.admin().query(sql).fetch_one().await.unwrap()
    }

    /// The version of a conversion's row, the same in both tables.
    pub async fn version(&self, seq: u32) -> u64 {
        let mut versions = [0; 2];
        for (table, version) in
            ["conversion_clicks", "payout_attribution"].iter().zip(&mut versions)
        {
            let sql = format!("SELECT version FROM {table} FINAL WHERE conversion_seq = {seq}");
            *version = self.number(&sql).await;
        }
        assert_eq!(versions[0], versions[1], "both rows are of one run");
        versions[0]
    }
}

fn with(mut row: Value, more: &Value) -> Value {
    let fields = row.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    row
}
