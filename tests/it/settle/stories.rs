//! Ledgers worked out by hand: who is paid, how much and why, story by story.

use clickhouse::Row;
use serde::Deserialize;
use serde_json::json;

use super::facts::*;
use super::world::*;

/// A line of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Row, Deserialize)]
struct Line {
    seq: u32,
    payee: String,
    evidence: String,
    state: String,
    status: String,
    amount: String,
    payout: String,
    currency: String,
    rule: String,
    taken_back: String,
}

/// The lines of all conversions that are no repeats.
async fn ledger(world: &World) -> Vec<Line> {
    let sql = "SELECT conversion_seq AS seq, toString(affiliate) AS payee, toString(evidence) AS evidence, toString(state) AS state, \
        toString(status) AS status, toString(amount) AS amount, toString(payout) AS payout, toString(payout_currency) AS currency, \
        toString(rule) AS rule, toString(taken_back) AS taken_back \
        FROM payout_attribution FINAL WHERE evidence != 'repeat' ORDER BY seq";
    world.admin().query(sql).fetch_all().await.unwrap()
}

/// What stands in one line, in few words: `payee evidence state status amount payout currency rule -taken_back`.
fn words(line: &Line) -> String {
    let Line { payee, evidence, state, status, amount, payout, currency, rule, taken_back, .. } =
        line;
    [payee, evidence, state, status, amount, payout, currency, rule, taken_back]
        .map(|word| if word.is_empty() { "-" } else { word.as_str() })
        .join(" ")
}

pub(super) async fn told(world: &mut World, facts: Vec<Fact>) -> Vec<String> {
    world.store(facts).await;
    world.settle().await;
    ledger(world).await.iter().map(words).collect()
}

pub(super) fn noon() -> i64 {
    yesterday() + 12 * HOUR
}

/// A click of the cookie 1, `hours` before noon.
pub(super) fn visit(seq: u32, hours: i64, affiliate: &'static str, offer: &'static str) -> Click {
    let click = affiliate_click(seq, noon() - hours * HOUR, affiliate, offer);
    Click { who: Who::Cookie(1), ..click }
}

/// A message of the transaction about the cookie 1, `minutes` after noon.
pub(super) fn report(
    seq: u32,
    minutes: i64,
    transaction: &'static str,
    status: &'static str,
    amount: i64,
) -> Conversion {
    let amount = (amount != 0).then_some(amount);
    let told = Told { transaction, status, amount, mode: "ignore" };
    let ends = matches!(status, "rejected" | "reversed");
    let kind = if ends { "conversion_status" } else { "purchase" };
    Conversion {
        kind,
        who: Who::Cookie(1),
        told: Some(told),
        ..sale(seq, noon() + minutes * 60_000)
    }
}

#[tokio::test]
async fn story_refund_after_the_lock() {
    let mut world = World::new().await;
    let start =
        vec![visit(1, 2, "blogger", "summer").into(), report(11, 0, "t1", "approved", 40).into()];
    let line = "blogger last_affiliate_click_cookie locked approved 40 5 USD fixed 0";
    assert_eq!(told(&mut world, start).await, [line]);
    // The payout stands in the ledger, and beside it that it was taken back.
    let line = "blogger last_affiliate_click_cookie locked reversed 40 5 USD fixed 5";
    assert_eq!(told(&mut world, vec![report(12, 60, "t1", "reversed", -40).into()]).await, [line]);
}

#[tokio::test]
async fn story_rejected_before_the_lock() {
    let mut world = World::new().await;
    let start =
        vec![visit(1, 2, "blogger", "summer").into(), report(11, 0, "t1", "pending", 40).into()];
    let line = "blogger last_affiliate_click_cookie provisional pending 40 5 USD fixed 0";
    assert_eq!(told(&mut world, start).await, [line]);
    let line = "blogger last_affiliate_click_cookie provisional rejected 40 0 - - 0";
    assert_eq!(told(&mut world, vec![report(12, 60, "t1", "rejected", 0).into()]).await, [line]);
}

#[tokio::test]
async fn story_two_affiliates() {
    let mut world = World::new().await;
    let facts = vec![
        visit(1, 20, "blogger", "summer").into(),
        visit(2, 3, "dealsite", "summer").into(),
        report(11, 0, "t1", "pending", 40).into(),
    ];
    let line = "dealsite last_affiliate_click_cookie provisional pending 40 5 USD fixed 0";
    assert_eq!(told(&mut world, facts).await, [line]);
}

#[tokio::test]
async fn story_coupon_against_click() {
    let mut world = World::new().await;
    let named = visit(1, 20, "dealsite", "summer");
    let coupon = |conversion| Conversion { coupon: "blog10", ..conversion };
    let facts = vec![
        named.clone().into(),
        visit(2, 3, "dealsite", "summer").into(),
        // The coupon, typed in small letters, is stronger than the last click: 12.5 % of 40 and not 5 dollars.
        coupon(report(11, 0, "t1", "pending", 40)).into(),
        // A click that is named by its signed id is stronger than the coupon.
        coupon(Conversion { named: named.named(), ..report(12, 1, "t2", "pending", 40) }).into(),
    ];
    let lines = [
        "blogger coupon provisional pending 40 5 EUR percent 0",
        "dealsite click_id provisional pending 40 5 USD fixed 0",
    ];
    assert_eq!(told(&mut world, facts).await, lines);
    let proof = "SELECT arrayStringConcat(arrayMap(one -> concat(one.evidence, ' ', one.affiliate, ' ', one.verdict), proof), ', ') \
        FROM payout_attribution FINAL WHERE conversion_seq = 12";
    let proof: String = world.admin().query(proof).fetch_one().await.unwrap();
    assert_eq!(
        proof,
        "click_id dealsite counts, coupon blogger counts, last_affiliate_click_cookie dealsite counts"
    );
}

#[tokio::test]
async fn story_network_click_id() {
    let mut world = World::new().await;
    let click = Click { network: "NET-77", who: Who::Nobody, ..visit(1, 5, "blogger", "summer") };
    let report = Conversion {
        network: "NET-77",
        who: Who::Nobody,
        coupon: "DEAL5",
        ..report(11, 0, "t1", "pending", 40)
    };
    // The click comes after the postback: until then the coupon is all there is.
    let line = "dealsite coupon provisional pending 40 5 USD fixed 0";
    assert_eq!(told(&mut world, vec![report.into()]).await, [line]);
    let line = "blogger network_click_id provisional pending 40 5 USD fixed 0";
    assert_eq!(told(&mut world, vec![click.into()]).await, [line]);
}

#[tokio::test]
async fn story_late_click() {
    let mut world = World::new().await;
    let line = "- none provisional pending 40 0 - - 0";
    assert_eq!(told(&mut world, vec![report(11, 0, "t1", "pending", 40).into()]).await, [line]);
    let line = "blogger last_affiliate_click_cookie provisional pending 40 5 USD fixed 0";
    assert_eq!(told(&mut world, vec![visit(1, 2, "blogger", "summer").into()]).await, [line]);
}

#[tokio::test]
async fn story_click_outside_the_window() {
    let mut world = World::new().await;
    let facts =
        vec![visit(1, 25, "blogger", "spring").into(), report(11, 0, "t1", "pending", 40).into()];
    let line = "- none provisional pending 40 0 - - 0";
    assert_eq!(told(&mut world, facts).await, [line]);
    // A named one is told in the proof.
    let named = visit(1, 25, "blogger", "spring").named();
    let report = Conversion { named, ..report(12, 1, "t2", "pending", 40) };
    told(&mut world, vec![report.into()]).await;
    let proof = "SELECT proof[1].verdict FROM payout_attribution FINAL WHERE conversion_seq = 12";
    let verdict: String = world.admin().query(proof).fetch_one().await.unwrap();
    assert_eq!(verdict, "outside the window");
}

#[tokio::test]
async fn story_duplicate_modes() {
    let mut world = World::new().await;
    let mut facts: Vec<Fact> = vec![visit(1, 2, "blogger", "share").into()];
    for (place, mode) in ["ignore", "update", "add", "replace"].into_iter().enumerate() {
        let transaction = ["a", "b", "c", "d"][place];
        for (step, amount) in [(0, 80), (1, 40)] {
            let seq = 11 + 2 * place as u32 + step;
            let first = report(seq, i64::from(step), transaction, "pending", amount);
            let told = first.told.map(|told| Told { mode, ..told });
            facts.push(Conversion { told, ..first }.into());
        }
    }
    // 12.5 % of 80, of 40, of 80 + 40, of 40.
    let lines = [("80", "10"), ("40", "5"), ("120", "15"), ("40", "5")].map(|(amount, payout)| {
        format!("blogger last_affiliate_click_cookie provisional pending {amount} {payout} EUR percent 0")
    });
    assert_eq!(told(&mut world, facts).await, lines);
}

#[tokio::test]
async fn story_an_amount_that_grows_after_the_lock() {
    let mut world = World::new().await;
    let update = |conversion: Conversion| {
        let told = conversion.told.map(|told| Told { mode: "update", ..told });
        Conversion { told, ..conversion }
    };
    let facts = vec![
        visit(1, 2, "blogger", "share").into(),
        update(report(11, 0, "t1", "approved", 80)).into(),
        update(report(12, 5, "t1", "approved", 800)).into(),
    ];
    let line = "blogger last_affiliate_click_cookie locked approved 800 10 EUR percent 0";
    assert_eq!(told(&mut world, facts).await, [line]);
}

#[tokio::test]
async fn story_rebill() {
    let mut world = World::new().await;
    let facts = vec![
        visit(1, 2, "blogger", "summer").into(),
        report(11, 0, "t1", "approved", 40).into(),
        report(12, 1, "t1", "approved", 40).into(),
        report(13, 60, "t1-rebill", "approved", 40).into(),
    ];
    // The same transaction again is no sale; the rebill has an id of its own and is one.
    let line = "blogger last_affiliate_click_cookie locked approved 40 5 USD fixed 0";
    assert_eq!(told(&mut world, facts).await, [line, line]);
}

#[tokio::test]
async fn story_reversal_with_the_id_of_the_original() {
    let mut world = World::new().await;
    let facts = vec![
        visit(1, 2, "blogger", "share").into(),
        report(11, 0, "t1", "approved", 80).into(),
        report(12, 30, "t1", "reversed", 0).into(),
    ];
    let line = "blogger last_affiliate_click_cookie locked reversed 80 10 EUR percent 10";
    assert_eq!(told(&mut world, facts).await, [line]);
}

#[tokio::test]
async fn story_currency_without_rate() {
    let mut world = World::new().await;
    let day = yesterday() / DAY;
    let rate = |currency: &str, days_before: i64, rate: &str| json!({"base": "EUR", "currency": currency, "date": day - days_before, "rate": rate, "source": "test", "imported": 1});
    // Francs of three days ago count, crowns of six don't.
    world
        .insert(
            "exchange_rates",
            &[rate("CHF", 3, "0.93"), rate("SEK", 6, "11.5"), rate("USD", 0, "1.0823")],
        )
        .await;
    let money = |seq, transaction, currency| Conversion {
        currency,
        ..report(seq, 0, transaction, "pending", 40)
    };
    let facts = vec![
        visit(1, 2, "blogger", "summer").into(),
        money(11, "t1", "CHF").into(),
        money(12, "t2", "SEK").into(),
        money(13, "t3", "EUR").into(),
    ];
    told(&mut world, facts).await;
    let sql = "SELECT toString(rate), toUInt32(rate_date) AS day, ifNull(toString(amount_base), 'none'), ifNull(toString(payout_base), 'none') \
        FROM payout_attribution FINAL ORDER BY conversion_seq";
    let rows: Vec<(String, u32, String, String)> =
        world.admin().query(sql).fetch_all().await.unwrap();
    let day = u32::try_from(day).unwrap();
    // 40 / 0.93 = 43.01075…; 5 / 1.0823 = 4.61979…, both rounded at the fourth place.
    let row = |rate: &str, day, amount: &str| {
        (rate.to_owned(), day, amount.to_owned(), "4.6198".to_owned())
    };
    assert_eq!(rows, [row("0.93", day - 3, "43.0108"), row("0", 0, "none"), row("1", day, "40")]);
}

#[tokio::test]
async fn story_cap_reached() {
    let mut world = World::new().await;
    let order = |seq, minutes, transaction| report(seq, minutes, transaction, "pending", 10);
    let paid = "blogger last_affiliate_click_cookie locked pending 10 5 EUR fixed 0";
    let capped = "blogger last_affiliate_click_cookie locked pending 10 0 - cap_day 0";
    // The third of the day is told first.
    let facts = vec![visit(1, 2, "blogger", "capped").into(), order(13, 20, "t3").into()];
    assert_eq!(told(&mut world, facts).await, [paid]);
    let facts = vec![order(11, 0, "t1").into(), order(12, 10, "t2").into()];
    assert_eq!(told(&mut world, facts).await, [paid, paid, capped]);
    // One that happened before them and was reported after them goes behind.
    let late = Conversion { lag: HOUR, ..order(14, -10, "t4") };
    assert_eq!(told(&mut world, vec![late.into()]).await, [paid, paid, capped, capped]);
    // The first is rejected before it locks: its place is free for what comes after that.
    let rejected = "blogger last_affiliate_click_cookie locked rejected 10 0 - - 0";
    let facts = vec![report(15, 90, "t1", "rejected", 0).into(), order(16, 100, "t5").into()];
    assert_eq!(told(&mut world, facts).await, [rejected, paid, capped, capped, paid]);
}

#[tokio::test]
async fn story_tier_crossed() {
    let mut world = World::new().await;
    let mut facts: Vec<Fact> = vec![visit(1, 2, "blogger", "steps").into()];
    for (place, transaction) in ["t1", "t2", "t3", "t4"].into_iter().enumerate() {
        facts.push(report(11 + place as u32, place as i64, transaction, "approved", 10).into());
    }
    let line = |payout, tier| {
        format!("blogger last_affiliate_click_cookie locked approved 10 {payout} EUR tier {tier} 0")
    };
    assert_eq!(told(&mut world, facts).await, [line(5, 1), line(5, 1), line(7, 2), line(7, 2)]);
}

#[tokio::test]
async fn story_forged_pixel() {
    let mut world = World::new().await;
    let click = visit(1, 2, "blogger", "spring");
    let pixel = |seq, order| Conversion { named: click.named(), order, ..sale(seq, noon()) };
    // The pixel claims 12.50 francs; what it is worth is the offer's own amount, once for the click, whatever order it names.
    let facts = vec![click.clone().into(), pixel(11, "o-1").into(), pixel(12, "o-2").into()];
    let line = "blogger click_id provisional - 79.9 8 EUR fixed 0";
    assert_eq!(told(&mut world, facts).await, [line]);
}

#[tokio::test]
async fn story_dispute() {
    let mut world = World::new().await;
    let coupon = |conversion| Conversion { coupon: "DEAL5", ..conversion };
    let facts = vec![
        visit(1, 2, "blogger", "summer").into(),
        report(11, 0, "t1", "approved", 40).into(),
        report(12, 0, "t2", "pending", 40).into(),
    ];
    told(&mut world, facts).await;
    // Stronger evidence: after the approval of t1, and while t2 is open.
    let facts = vec![
        coupon(report(13, 30, "t1", "approved", 40)).into(),
        coupon(report(14, 30, "t2", "pending", 40)).into(),
    ];
    let lines = [
        "blogger last_affiliate_click_cookie locked approved 40 5 USD fixed 0",
        "dealsite coupon provisional pending 40 5 USD fixed 0",
    ];
    assert_eq!(told(&mut world, facts).await, lines);
    let sql = "SELECT conversion_seq, arrayStringConcat(arrayMap(one -> concat(one.evidence, ' ', one.affiliate), disputes), ', ') \
        FROM payout_attribution FINAL WHERE evidence != 'repeat' ORDER BY conversion_seq";
    let disputes: Vec<(u32, String)> = world.admin().query(sql).fetch_all().await.unwrap();
    assert_eq!(disputes, [(11, "coupon dealsite".to_owned()), (12, String::new())]);
}

#[tokio::test]
async fn all_stories_at_once_give_the_same_ledger_in_any_order_and_from_any_partition() {
    let mut facts: Vec<Fact> = vec![
        visit(1, 20, "blogger", "capped").into(),
        visit(2, 3, "dealsite", "summer").into(),
        Click { network: "NET-77", who: Who::Nobody, ..visit(3, 5, "blogger", "capped") }.into(),
    ];
    let named = visit(1, 20, "blogger", "capped").named();
    for (place, transaction) in ["t1", "t2", "t3", "t4", "t5", "t6"].into_iter().enumerate() {
        let (seq, minutes) = (20 + 10 * place as u32, 7 * place as i64 % 20);
        let way = |conversion: Conversion| match place % 3 {
            0 => Conversion { named, ..conversion },
            1 => Conversion { network: "NET-77", ..conversion },
            _ => Conversion { coupon: "BLOG10", ..conversion },
        };
        facts.push(way(report(seq, minutes, transaction, "pending", 10)).into());
        facts.push(report(seq + 1, minutes + 3, transaction, "approved", 12).into());
        let coupon = Conversion {
            coupon: "deal5",
            ..report(seq + 2, minutes + 5, transaction, "pending", 9)
        };
        facts.push(coupon.into());
        if place % 2 == 0 {
            facts.push(
                report(seq + 3, minutes + 4 * place as i64, transaction, "reversed", 0).into(),
            );
        }
    }
    let everything = "SELECT arrayStringConcat(groupArray(toString((conversion_seq, affiliate, offer, evidence, state, status, amount, payout, \
        rule, taken_back, lock_time, end_time, proof, disputes))), '\\n') \
        FROM (SELECT * FROM payout_attribution FINAL ORDER BY conversion_seq)";
    let mut expected = String::new();
    let mut state = u64::from(std::process::id()) | 1 << 40;
    println!("seed {state}");
    for turn in 0..4 {
        let mut world = World::with(settings(if turn == 0 { 100_000 } else { 3 })).await;
        for rest in facts.chunks(if turn == 0 { 100 } else { 4 }) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            world.store_in((state >> 60) as usize % 2, rest).await;
            if state >> 63 == 0 {
                world.settle().await;
            }
        }
        world.settle().await;
        let found: String = world.admin().query(everything).fetch_one().await.unwrap();
        if turn == 0 {
            expected = found;
            assert!(expected.contains("cap_day") && expected.contains("coupon"), "{expected}");
        } else {
            assert_eq!(found, expected, "turn {turn}");
        }
        for index in (1..facts.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            facts.swap(index, (state >> 33) as usize % (index + 1));
        }
    }
}
