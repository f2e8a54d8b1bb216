//! What networks report in messages: one conversion out of many, its history, and nobody paid twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clickhouse::Row;
use serde::Deserialize;

use super::facts::*;
use super::world::*;

/// How long random histories are tried.
const TIME: Duration = Duration::from_secs(12);

/// Histories that are tried at least.
const HISTORIES_MIN: u64 = 3;

/// What the ledger says of a conversion that counts.
#[derive(Clone, Debug, PartialEq, Row, Deserialize)]
struct Ledger {
    seq: u32,
    status: String,
    amount: String,
    refunded: String,
    messages: u32,
    payout: String,
}

async fn ledger(world: &World) -> Vec<Ledger> {
    let sql = "SELECT conversion_seq AS seq, toString(p.status) AS status, toString(p.amount) AS amount, toString(p.refunded) AS refunded, \
        p.messages AS messages, toString(p.payout - p.taken_back) AS payout \
        FROM (SELECT * FROM payout_attribution FINAL) AS p \
        INNER JOIN (SELECT * FROM conversion_clicks FINAL WHERE counted) AS c USING (site, conversion_time, conversion_seq, conversion_node) \
        ORDER BY seq";
    world.admin().query(sql).fetch_all::<Ledger>().await.unwrap()
}

fn row(seq: u32, status: &str, amount: i64, refunded: i64, messages: u32, payout: i64) -> Ledger {
    Ledger {
        seq,
        status: status.to_owned(),
        amount: amount.to_string(),
        refunded: refunded.to_string(),
        messages,
        payout: payout.to_string(),
    }
}

/// A message after a click of `blogger` for `summer`, which pays 5.
fn message(seq: u32, time: i64, told: Told) -> Conversion {
    let click = affiliate_click(1, yesterday(), "blogger", "summer");
    let says_more = matches!(told.status, "rejected" | "reversed" | "paid" | "invalid")
        || told.amount.is_some_and(|amount| amount < 0);
    let kind = if says_more { "conversion_status" } else { "purchase" };
    Conversion { kind, named: click.named(), told: Some(told), ..sale(seq, time) }
}

fn told(transaction: &'static str, status: &'static str, amount: Option<i64>) -> Told {
    Told { transaction, status, amount, mode: "ignore" }
}

#[tokio::test]
async fn a_conversion_goes_its_way_through_its_messages_and_pays_once() {
    let mut world = World::new().await;
    let noon = yesterday() + 12 * HOUR;
    world.store([message(11, noon, told("t1", "pending", None)).into()]).await;
    world.settle().await;
    assert_eq!(ledger(&world).await, [row(11, "pending", 0, 0, 1, 5)]);
    // The approval brings the amount; the second one is a repeat, whatever it says.
    world.store([message(12, noon + 1_000, told("t1", "approved", Some(16))).into()]).await;
    world.store([message(13, noon + 2_000, told("t1", "approved", Some(99))).into()]).await;
    world.settle().await;
    assert_eq!(ledger(&world).await, [row(11, "approved", 16, 0, 3, 5)]);
    // What comes late and says less changes nothing but the history.
    world.store([message(14, noon + 3_000, told("t1", "pending", Some(1))).into()]).await;
    world.settle().await;
    assert_eq!(ledger(&world).await, [row(11, "approved", 16, 0, 4, 5)]);
    world.store([message(15, noon + 4_000, told("t1", "reversed", Some(-16))).into()]).await;
    world.settle().await;
    assert_eq!(ledger(&world).await, [row(11, "reversed", 16, 16, 5, 0)]);
    // Nothing comes back from there.
    world.store([message(16, noon + 5_000, told("t1", "approved", Some(16))).into()]).await;
    world.settle().await;
    assert_eq!(ledger(&world).await, [row(11, "reversed", 16, 16, 6, 0)]);
}

#[tokio::test]
async fn each_mode_says_what_a_second_message_is_worth() {
    let mut world = World::new().await;
    let noon = yesterday() + 12 * HOUR;
    let mut facts: Vec<Fact> = Vec::new();
    for (place, (mode, second)) in [
        ("ignore", Some(7)),
        ("update", Some(7)),
        ("update", None),
        ("add", Some(7)),
        ("replace", Some(7)),
        ("replace", None),
    ]
    .into_iter()
    .enumerate()
    {
        let transaction = ["a", "b", "c", "d", "e", "f"][place];
        let seq = 10 + 2 * place as u32;
        for (step, amount) in [(0, Some(10)), (1, second)] {
            let told = Told { mode, ..told(transaction, "approved", amount) };
            facts.push(message(seq + step, noon + i64::from(step), told).into());
        }
    }
    world.store(facts).await;
    world.settle().await;
    let worth: Vec<String> = ledger(&world).await.into_iter().map(|row| row.amount).collect();
    assert_eq!(worth, ["10", "7", "10", "17", "7", "0"]);
}

#[tokio::test]
async fn a_rejection_without_a_conversion_is_none_until_its_conversion_comes() {
    let mut world = World::new().await;
    let noon = yesterday() + 12 * HOUR;
    world.store([message(12, noon + 1_000, told("t1", "rejected", None)).into()]).await;
    world.settle().await;
    assert_eq!(ledger(&world).await, []);
    world.store([message(11, noon, told("t1", "pending", Some(3))).into()]).await;
    world.settle().await;
    assert_eq!(ledger(&world).await, [row(11, "rejected", 3, 0, 2, 0)]);
}

#[tokio::test]
async fn zero_is_a_conversion_and_a_test_is_none_that_pays() {
    let mut world = World::new().await;
    let noon = yesterday() + 12 * HOUR;
    world
        .store([
            message(11, noon, told("t1", "approved", Some(0))).into(),
            message(12, noon, told("t2", "test", Some(9))).into(),
        ])
        .await;
    world.settle().await;
    let found = ledger(&world).await;
    assert_eq!(found[0], row(11, "approved", 0, 0, 1, 5));
    assert_eq!((found[1].status.as_str(), found[1].payout.as_str()), ("test", "0"));
}

/// A second reading of the rules, over messages in the order of their time.
fn model(messages: &[Conversion]) -> Vec<Ledger> {
    let mut groups: BTreeMap<&str, Vec<&Conversion>> = BTreeMap::new();
    let mut sorted: Vec<&Conversion> = messages.iter().collect();
    sorted.sort_by_key(|one| (one.time, one.seq));
    for one in sorted {
        groups.entry(one.told.unwrap().transaction).or_default().push(one);
    }
    let mut rows: Vec<Ledger> = groups.values().filter_map(|group| fold(group)).collect();
    rows.sort_by_key(|row| row.seq);
    rows
}

fn fold(group: &[&Conversion]) -> Option<Ledger> {
    let all = || group.iter().map(|one| one.told.unwrap());
    let claims: Vec<Told> = group
        .iter()
        .filter(|one| one.kind != "conversion_status")
        .map(|one| one.told.unwrap())
        .collect();
    let counted = group.iter().find(|one| one.kind != "conversion_status")?;
    let ended =
        all().map(|told| told.status).find(|status| ["rejected", "reversed"].contains(status));
    let has = |word: &str| all().any(|told| told.status == word);
    let furthest = ["paid", "approved", "pending"].into_iter().find(|word| has(word)).unwrap();
    let status = ended.unwrap_or(furthest);
    let said = |word: &str| {
        claims
            .iter()
            .find(|told| told.status == word && told.amount.is_some())
            .and_then(|told| told.amount)
    };
    let amount = match group.last()?.told?.mode {
        "ignore" => said("approved").or(said("pending")),
        "update" => claims.iter().rev().find_map(|told| told.amount),
        "add" => Some(claims.iter().filter_map(|told| told.amount).sum()),
        _ => claims.last().and_then(|told| told.amount),
    };
    let amount = amount.unwrap_or(0);
    let negative = || all().filter_map(|told| told.amount).filter(|amount| *amount < 0);
    let taken = match group.last()?.told?.mode {
        "add" => -negative().sum::<i64>(),
        _ => -negative().min().unwrap_or(0),
    };
    let refunded = if status == "reversed" && taken == 0 { amount } else { taken.min(amount) };
    let payout = if ended.is_some() { 0 } else { 5 };
    Some(row(counted.seq, status, amount, refunded, group.len() as u32, payout))
}

/// A random source that a seed repeats: an xorshift.
fn roll(state: &mut u64, sides: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % sides
}

#[tokio::test]
async fn the_ledger_is_the_same_in_any_order_of_messages_and_any_batches() {
    let begun = Instant::now();
    let seed = u64::from(std::process::id()) | 1 << 32;
    println!("seed {seed}");
    let mut state = seed;
    let mut histories = 0;
    while histories < HISTORIES_MIN || begun.elapsed() < TIME {
        histories += 1;
        let noon = yesterday() + 6 * HOUR;
        let mut messages: Vec<Conversion> = Vec::new();
        for seq in 100..140 {
            let dice = &mut state;
            let place = roll(dice, 12) as usize;
            let transaction = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"][place];
            let status = ["pending", "approved", "approved", "paid", "rejected", "reversed"]
                [roll(dice, 6) as usize];
            let amount = match (status, roll(dice, 4)) {
                (_, 0) | ("rejected" | "paid", _) => None,
                ("reversed", _) => Some(-(1 + roll(dice, 9) as i64)),
                (_, _) => Some(roll(dice, 20) as i64),
            };
            let mode = ["ignore", "update", "add", "replace"][place % 4];
            let time = noon + roll(dice, 20) as i64 * 60_000;
            messages.push(message(seq, time, Told { transaction, status, amount, mode }));
        }
        let expected = model(&messages);
        let mut world = World::with(settings(1 + roll(&mut state, 10))).await;
        for index in (1..messages.len()).rev() {
            messages.swap(index, roll(&mut state, index as u64 + 1) as usize);
        }
        let mut rest = messages.as_slice();
        while !rest.is_empty() {
            let size = (1 + roll(&mut state, 20) as usize).min(rest.len());
            let (batch, tail) = rest.split_at(size);
            let facts: Vec<Fact> = batch.iter().cloned().map(Fact::from).collect();
            world.store_in(roll(&mut state, 2) as usize, &facts).await;
            if roll(&mut state, 3) == 0 {
                world.settle().await;
            }
            rest = tail;
        }
        world.settle().await;
        assert_eq!(ledger(&world).await, expected, "seed {seed}, history {histories}");
    }
}
