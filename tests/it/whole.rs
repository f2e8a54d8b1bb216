//! The whole way of an event through the real program, on the real engines, seen from outside: HTTP in, rows and reports out.

mod affiliates;
mod audit;
mod away;
mod cases;
mod events;
mod faults;
mod interleavings;
mod kafka;
mod ledger;
mod links;
mod meaning;
mod people;
mod personal;
mod postbacks;
mod quarantine;
mod readiness;
mod readme;
mod replies;
mod sharing;
mod standstill;
mod story;

use std::time::{Duration, Instant};

use clickhouse::Client;

use crate::env::broker::{Broker, Door};
use crate::env::program::Installation;
use crate::env::proxy::Proxy;
use crate::env::warehouse::{Database, Warehouse};
use crate::env::{POLL_INTERVAL, free_port};

/// Rows are there well within this time, also in a debug build on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// A browser's agent: what it sends counts as a person.
const BROWSER: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36\r\nAccept-Language: en\r\nAccept: text/html\r\n";

const URLENCODED: &str = "application/x-www-form-urlencoded";

async fn installation(purpose: &str) -> (Installation, Database) {
    let database = Warehouse::shared().database().await;
    let mut installation = Installation::new(purpose);
    installation.use_warehouse(&database);
    (installation, database)
}

async fn number(client: &Client, sql: &str) -> u64 {
    client.query(sql).fetch_one::<u64>().await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

async fn text(client: &Client, sql: &str) -> String {
    client.query(sql).fetch_one::<String>().await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Waits until the question's answer is this number; what it was instead is told.
async fn expect_number(client: &Client, sql: &str, expected: u64) {
    expect_number_within(SOON, client, sql, expected).await;
}

/// A broker, and a wire that can be slowed and cut before one further listener of it.
async fn broker_behind_a_line() -> (Broker, Proxy) {
    let listens = free_port();
    let line = Proxy::before(&format!("127.0.0.1:{listens}"));
    let named = line.address.rsplit_once(':').unwrap().1.parse().unwrap();
    (Broker::with_doors(vec![Door { listens, named }]).await, line)
}

/// One counter's value, by the beginning of its line.
fn counted(installation: &Installation, line: &str) -> f64 {
    let metrics = installation.metrics();
    let found = metrics.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok());
    found.unwrap_or(0.0)
}

async fn expect_number_within(deadline: Duration, client: &Client, sql: &str, expected: u64) {
    let give_up = Instant::now() + deadline;
    loop {
        let found = client.query(sql).fetch_one::<u64>().await;
        match &found {
            Ok(found) if *found == expected => return,
            _ if Instant::now() >= give_up => {
                panic!("waited {deadline:?} in vain for {expected} from {sql}: {found:?}")
            }
            _ => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

/// Every row of every fact table stands there once, without `FINAL`'s help.
async fn nothing_is_doubled(client: &Client) {
    for (table, key) in [
        ("events", "(site, visitor, event_time, id_seq, id_node)"),
        ("leads", "(site, event_time, id_seq, id_node)"),
        ("service_contacts", "(site, event_time, id_seq, id_node)"),
        ("conversions", "(site, event_time, id_seq, id_node)"),
        ("touch_keys", "(site, kind, key, id_seq, id_node)"),
    ] {
        let doubled =
            number(client, &format!("SELECT toUInt64(count() - uniqExact({key})) FROM {table}"))
                .await;
        assert_eq!(doubled, 0, "{table} holds rows twice");
    }
}
