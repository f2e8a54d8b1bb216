//! A small world: clicks and conversions as they happened, stored as the consumer stores them, and what settling made of them.

use std::time::Duration;

use clickhouse::{Client, Row};
use leadtrail::ids::EventId;
use leadtrail::registry::Registry;
use leadtrail::settle::{Counter, RunReport, Settings, Settler, Versions};
use leadtrail::stop;
use leadtrail::store::schema::{self, Dialect};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::env::warehouse::{Database, Warehouse};

pub const HOUR: i64 = 3_600_000;
pub const DAY: i64 = 24 * HOUR;

/// The default window of these tests; offer `spring` has one day, `summer` none of its own.
pub const WINDOW_DAYS: u32 = 2;

const EPOCH: u64 = 0xFEED_0000_0000_0001;
const NODE: u32 = 7;

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
"#;

/// Yesterday at 00:00 UTC: rows about a day's hash are deleted four days after the click.
pub fn yesterday() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap() / DAY * DAY - DAY
}

/// How a browser is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Who {
    #[default]
    Nobody,
    Cookie(u64),
    Hash(u64),
}

impl Who {
    pub fn visitor(self) -> u128 {
        match self {
            Self::Nobody => 0,
            Self::Cookie(number) => (1 << 100) + u128::from(number),
            Self::Hash(hash) => u128::from(hash),
        }
    }

    fn basis(self) -> &'static str {
        match self {
            Self::Nobody => "none",
            Self::Cookie(_) => "cookie",
            Self::Hash(_) => "daily_hash",
        }
    }
}

/// A click. Its id holds the time of receipt, `time + lag`.
#[derive(Clone, Debug, Default)]
pub struct Click {
    pub seq: u32,
    pub time: i64,
    pub lag: i64,
    pub site: &'static str,
    pub who: Who,
    pub hash: u64,
    pub class: &'static str,
    pub link: &'static str,
    pub affiliate: &'static str,
    pub offer: &'static str,
}

impl Click {
    pub fn id(&self) -> EventId {
        EventId::from_parts(u64::try_from(self.time + self.lag).unwrap(), self.seq, NODE)
    }

    /// As a signed click id tells it.
    pub fn named(&self) -> Named {
        let number = |names: &[&str], name: &str| {
            names.iter().position(|known| *known == name).map_or(0, |index| index as u32 + 1)
        };
        Named {
            id: self.id().as_u128(),
            link: number(&["ad-link", "club-link"], self.link),
            offer: number(&["spring", "summer"], self.offer),
            affiliate: number(&["blogger", "dealsite"], self.affiliate),
        }
    }
}

/// What a conversion says of its click.
#[derive(Clone, Copy, Debug, Default)]
pub struct Named {
    pub id: u128,
    pub link: u32,
    pub offer: u32,
    pub affiliate: u32,
}

/// A lead or conversion.
#[derive(Clone, Debug, Default)]
pub struct Conversion {
    pub seq: u32,
    pub time: i64,
    pub site: &'static str,
    pub kind: &'static str,
    pub who: Who,
    pub hash: u64,
    pub named: Named,
    pub order: &'static str,
    pub goal: &'static str,
}

impl Conversion {
    pub fn is_lead(&self) -> bool {
        self.kind == "lead"
    }
}

/// A click on `ad-link` in `shop` by a human.
pub fn click(seq: u32, time: i64) -> Click {
    Click { seq, time, site: "shop", class: "human", link: "ad-link", ..Click::default() }
}

/// The same by an affiliate's link.
pub fn affiliate_click(seq: u32, time: i64, affiliate: &'static str, offer: &'static str) -> Click {
    Click { affiliate, offer, link: "", ..click(seq, time) }
}

/// A sale that a pixel in `shop` reports.
pub fn sale(seq: u32, time: i64) -> Conversion {
    Conversion { seq, time, site: "shop", kind: "purchase", ..Conversion::default() }
}

/// Something that was stored.
#[derive(Clone, Debug)]
pub enum Fact {
    Click(Click),
    Conversion(Conversion),
}

impl From<Click> for Fact {
    fn from(click: Click) -> Self {
        Self::Click(click)
    }
}

impl From<Conversion> for Fact {
    fn from(conversion: Conversion) -> Self {
        Self::Conversion(conversion)
    }
}

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
    _folder: tempfile::TempDir,
    _stopper: stop::Stopper,
}

pub fn settings(records_max: u64) -> Settings {
    Settings {
        interval: Duration::from_millis(10),
        click_window_days: WINDOW_DAYS,
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
        Self { database, settler, versions, offsets: [0; 2], _folder: folder, _stopper: stopper }
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

    async fn insert(&self, table: &str, rows: &[Value]) {
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
            let report = self.settler.run_once(&mut self.versions).await.unwrap();
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

fn time(millis: i64) -> String {
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}

fn event(click: &Click) -> Value {
    json!({
        "site": click.site, "visitor": click.who.visitor().to_string(), "event_time": time(click.time), "id_seq": click.seq,
        "id_node": NODE, "event_type": "click", "received_lag_ms": click.lag, "source_kind": "redirect",
        "visitor_basis": click.who.basis(), "day_hash": click.hash, "link": click.link,
        "ad": if click.link == "ad-link" { "boots" } else { "" }, "affiliate": click.affiliate, "offer": click.offer,
        "traffic_class": click.class, "ivt": "none",
    })
}

fn touch_keys(click: &Click) -> Vec<Value> {
    let row = |kind: &str, key: u128| {
        json!({
            "site": click.site, "kind": kind, "key": key.to_string(), "event_time": time(click.time), "id_seq": click.seq,
            "id_node": NODE, "received_lag_ms": click.lag, "visitor": click.who.visitor().to_string(),
        })
    };
    let mut rows = vec![row("click_id", click.id().as_u128())];
    if click.hash != 0 {
        rows.push(row("day_hash", u128::from(click.hash)));
    }
    rows
}

fn conversion_row(conversion: &Conversion) -> Value {
    json!({
        "site": conversion.site, "event_type": conversion.kind, "event_time": time(conversion.time),
        "visitor": conversion.who.visitor().to_string(), "id_seq": conversion.seq, "id_node": NODE, "received_lag_ms": 0,
        "source_kind": if conversion.is_lead() { "web_form" } else { "pixel" }, "visitor_basis": conversion.who.basis(),
        "day_hash": conversion.hash, "parent_click": conversion.named.id.to_string(), "parent_link": conversion.named.link,
        "parent_offer": conversion.named.offer, "parent_affiliate": conversion.named.affiliate,
        "amount": if conversion.is_lead() { "0" } else { "12.50" }, "currency": if conversion.is_lead() { "" } else { "CHF" },
        "order_id": conversion.order, "goal": conversion.goal, "traffic_class": "human",
    })
}
