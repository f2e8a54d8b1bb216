//! One order through several doors, and what a lock holds: stories worked out by hand.

use super::facts::*;
use super::stories::{noon, report, told, visit};
use super::world::*;

/// What a pixel of the cookie 1 says of an order, `seconds` after noon.
fn pixel(seq: u32, seconds: i64, order: &'static str) -> Conversion {
    Conversion { order, who: Who::Cookie(1), ..sale(seq, noon() + seconds * 1_000) }
}

/// A message of somebody's server, who knows no browser.
fn server(mut conversion: Conversion) -> Conversion {
    conversion.who = Who::Nobody;
    conversion
}

fn api(conversion: Conversion) -> Conversion {
    Conversion { by_api: true, ..server(conversion) }
}

const ONCE: &str = "blogger last_affiliate_click_cookie locked approved 40 5 USD fixed 0";

#[tokio::test]
async fn story_one_order_by_pixel_and_by_the_shops_server() {
    let mut world = World::new().await;
    // The pixel knows the browser, the server knows what it cost: together they are one conversion.
    let facts = vec![visit(1, 2, "blogger", "summer").into(), pixel(11, 1, "A-1").into()];
    let line = "blogger last_affiliate_click_cookie provisional - 12.5 5 USD fixed 0";
    assert_eq!(told(&mut world, facts).await, [line]);
    let orders = vec![api(report(12, 1, "A-1", "approved", 40)).into()];
    assert_eq!(told(&mut world, orders).await, [ONCE]);
    assert_eq!(world.counted().await, [0, 1], "the server's word");
    // The server first, approved at once, then the pixel: a day long evidence is waited for, and no longer.
    let orders = ["A-2", "A-3"].map(|order| {
        api(report(if order == "A-2" { 21 } else { 31 }, 1, order, "approved", 40)).into()
    });
    let nobody = "- none locked approved 40 0 - - 0";
    assert_eq!(told(&mut world, orders.into()).await, [ONCE, nobody, nobody]);
    let again = visit(2, -30, "blogger", "summer");
    let pixels =
        vec![pixel(22, 90, "A-2").into(), again.into(), pixel(32, 31 * 3_600, "A-3").into()];
    assert_eq!(told(&mut world, pixels).await, [ONCE, ONCE, nobody]);
    let disputes =
        "SELECT sum(length(disputes)) FROM payout_attribution FINAL WHERE conversion_seq = 31";
    assert_eq!(world.number(disputes).await, 1, "what came after the lock");
    // A network that reports the order too is one message more.
    let network = vec![server(report(13, 5, "A-1", "approved", 40)).into()];
    assert_eq!(told(&mut world, network).await, [ONCE, ONCE, nobody]);
    assert_eq!(world.counted().await.iter().map(|one| u32::from(*one)).sum::<u32>(), 3);
}

#[tokio::test]
async fn story_another_order_site_or_goal_is_another_conversion() {
    let mut world = World::new().await;
    let goal = Conversion { goal: "signup", kind: "conversion", ..pixel(12, 2, "A-1") };
    let offer = Conversion { said_offer: "summer", ..server(report(13, 3, "A-1", "pending", 7)) };
    let facts = vec![
        Conversion { said_offer: "spring", ..pixel(11, 1, "A-1") }.into(),
        goal.into(),
        offer.into(),
        Conversion { site: "club", ..api(report(14, 4, "A-1", "pending", 8)) }.into(),
        api(report(15, 5, "A-2", "pending", 9)).into(),
        pixel(16, 6, "").into(),
    ];
    assert_eq!(told(&mut world, facts).await.len(), 6);
}

#[tokio::test]
async fn story_a_pixel_that_names_somebody_elses_order() {
    let mut world = World::new().await;
    let click = visit(1, 2, "blogger", "summer");
    let forged = Conversion { named: click.named(), ..pixel(11, 1, "A-1") };
    let coupon = Conversion { coupon: "DEAL5", ..api(report(12, 2, "A-1", "pending", 40)) };
    // A browser's evidence never beats a server's, however strong it is.
    let line = "dealsite coupon provisional pending 40 5 USD fixed 0";
    assert_eq!(told(&mut world, vec![click.into(), forged.into(), coupon.into()]).await, [line]);
}

#[tokio::test]
async fn story_a_rejection_of_an_order_that_only_a_pixel_claimed() {
    let mut world = World::new().await;
    let facts = vec![
        visit(1, 2, "blogger", "summer").into(),
        pixel(11, 1, "A-1").into(),
        api(report(12, 60, "A-1", "rejected", 0)).into(),
    ];
    let line = "blogger last_affiliate_click_cookie provisional rejected 12.5 0 - - 0";
    assert_eq!(told(&mut world, facts).await, [line]);
}

#[tokio::test]
async fn story_a_second_visitor_with_the_days_hash_before_and_after_the_lock() {
    let mut world = World::new().await;
    let of = |seq, hours, hash| Click {
        who: Who::Hash(hash),
        hash,
        ..visit(seq, hours, "blogger", "summer")
    };
    let order =
        |seq, order, hash| Conversion { who: Who::Hash(hash), hash, ..pixel(seq, 1, order) };
    let facts = vec![
        of(1, 2, 71).into(),
        of(2, 2, 72).into(),
        order(11, "A-1", 71).into(),
        order(12, "A-2", 72).into(),
        api(report(13, 1, "A-1", "approved", 40)).into(),
        api(report(14, 1, "A-2", "pending", 40)).into(),
    ];
    let locked = "blogger last_affiliate_click_daily_hash locked approved 40 5 USD fixed 0";
    let open = "blogger last_affiliate_click_daily_hash provisional pending 40 5 USD fixed 0";
    assert_eq!(told(&mut world, facts).await, [locked, open]);
    // Another browser turns up with each of the hashes: what is open is nobody's, what is locked stays.
    let other =
        |seq, hash| Click { who: Who::Cookie(9), hash, ..visit(seq, -2, "dealsite", "summer") };
    let lines = [locked, "- none provisional pending 40 0 - - 0"];
    assert_eq!(told(&mut world, vec![other(3, 71).into(), other(4, 72).into()]).await, lines);
}

#[tokio::test]
async fn story_what_is_invalid_after_the_lock_is_taken_back() {
    let mut world = World::new().await;
    let invalid = Conversion { kind: "conversion_status", ..report(12, 60, "t1", "invalid", 0) };
    let facts = vec![
        visit(1, 2, "blogger", "summer").into(),
        report(11, 0, "t1", "approved", 40).into(),
        invalid.into(),
    ];
    let line = "blogger last_affiliate_click_cookie locked invalid 40 5 USD fixed 5";
    assert_eq!(told(&mut world, facts).await, [line]);
}

#[tokio::test]
async fn story_an_amount_that_grows_after_the_days_of_the_lock() {
    let mut world = World::new().await;
    let update = |conversion: Conversion| {
        let told = conversion.told.map(|told| Told { mode: "update", ..told });
        Conversion { told, ..conversion }
    };
    let facts = vec![
        visit(1, 49, "blogger", "lasting").into(),
        update(report(11, -48 * 60, "t1", "pending", 80)).into(),
        update(report(12, -23 * 60, "t1", "pending", 800)).into(),
    ];
    // Ten per cent of what was known a day after it.
    let line = "blogger last_affiliate_click_cookie locked pending 800 8 EUR percent 0";
    assert_eq!(told(&mut world, facts).await, [line]);
}

#[tokio::test]
async fn story_a_winner_that_changes_leaves_its_place_of_the_cap_to_those_who_come_later() {
    let mut world = World::new().await;
    let order = |seq, minutes, transaction| report(seq, minutes, transaction, "pending", 10);
    let facts = vec![
        visit(1, 2, "blogger", "capped").into(),
        order(11, 0, "t1").into(),
        order(12, 10, "t2").into(),
        order(13, 20, "t3").into(),
    ];
    let paid = "blogger last_affiliate_click_cookie locked pending 10 5 EUR fixed 0";
    let capped = "blogger last_affiliate_click_cookie locked pending 10 0 - cap_day 0";
    assert_eq!(told(&mut world, facts).await, [paid, paid, capped]);
    // The coupon comes before the lock: t1 is another's. What was decided while it held its place stays.
    let coupon = Conversion { coupon: "DEAL5", ..order(14, 30, "t1") };
    let other = "dealsite coupon provisional pending 10 5 USD fixed 0";
    assert_eq!(told(&mut world, vec![coupon.into()]).await, [other, paid, capped]);
    let later = vec![order(15, 40, "t4").into(), order(16, 50, "t5").into()];
    assert_eq!(told(&mut world, later).await, [other, paid, capped, paid, capped]);
}

#[tokio::test]
async fn story_a_pixel_is_worth_what_the_offer_of_the_final_winner_says() {
    let mut world = World::new().await;
    let by = |network, cookie, click: Click| {
        let click = Click { who: Who::Cookie(cookie), ..click };
        Click { network, ..click }
    };
    let claim = |seq, order, network, coupon| Conversion {
        network,
        coupon,
        who: Who::Nobody,
        ..pixel(seq, 1, order)
    };
    let facts = vec![
        by("NET-1", 21, visit(1, 3, "blogger", "spring")).into(),
        by("NET-2", 22, visit(2, 3, "blogger", "spring")).into(),
        by("NET-3", 23, visit(3, 3, "blogger", "spring")).into(),
        claim(11, "A-1", "NET-1", "").into(),
        claim(12, "A-2", "NET-2", "BLOG10").into(),
        claim(13, "A-3", "NET-3", "").into(),
    ];
    let line = "blogger network_click_id provisional - 79.9 8 EUR fixed 0";
    assert_eq!(told(&mut world, facts).await, [line; 3]);
    // A second visitor turns out to have two of the ids, and the shop's server says of the third order what it costs.
    let other = |seq, network, cookie| by(network, cookie, visit(seq, -1, "dealsite", "summer"));
    let facts = vec![
        other(4, "NET-1", 31).into(),
        other(5, "NET-2", 32).into(),
        api(report(14, 5, "A-3", "pending", 40)).into(),
    ];
    // Of 12.50 francs, which are all that is known of A-2 now, 12.5 % are 1.5625.
    let lines = [
        "- none provisional - 12.5 0 - - 0",
        "blogger coupon provisional - 12.5 1.5625 CHF percent 0",
        "blogger network_click_id provisional pending 40 8 EUR fixed 0",
    ];
    assert_eq!(told(&mut world, facts).await, lines);
    // A server that says no amount, and whose evidence names another offer's affiliate: the pixel's row isn't read again.
    let facts = vec![
        by("NET-4", 24, visit(6, 3, "blogger", "spring")).into(),
        claim(15, "A-4", "NET-4", "").into(),
    ];
    let [.., fourth] = &told(&mut world, facts).await[..] else { panic!("a line") };
    assert_eq!(fourth, "blogger network_click_id provisional - 79.9 8 EUR fixed 0");
    let coupon = Conversion {
        coupon: "DEAL5",
        kind: "conversion_status",
        ..report(16, 9, "A-4", "approved", 0)
    };
    let [.., fourth] = &told(&mut world, vec![api(coupon).into()]).await[..] else {
        panic!("a line")
    };
    assert_eq!(fourth, "dealsite coupon locked approved 12.5 5 USD fixed 0");
}

/// How many orders of arrival are tried at once, each with a copy of the story of its own.
const ORDERS: u32 = 1_000;

/// One order by all doors, with everything that can be said of it: the copy `number`.
fn copy(number: u32) -> Vec<Fact> {
    fn name(text: String) -> &'static str {
        Box::leak(text.into_boxed_str())
    }
    let seq = |place: u32| number * 100 + place;
    let (first, second) = (name(format!("A-{number}")), name(format!("B-{number}")));
    let (third, fourth) = (name(format!("C-{number}")), name(format!("D-{number}")));
    let network = name(format!("NET-{number}"));
    let shared = name(format!("SHARED-{number}"));
    let (cookie, hash) = (Who::Cookie(u64::from(number) + 10), u64::from(number) + 10);
    let by = |click: Click| Click { who: cookie, ..click };
    let browser = |conversion| Conversion { who: cookie, hash, ..conversion };
    let coupon = |conversion| Conversion { coupon: "DEAL5", ..conversion };
    let rejected = |place, minutes, order| api(report(seq(place), minutes, order, "rejected", 0));
    vec![
        by(visit(seq(1), 20, "blogger", "summer")).into(),
        Click { hash, who: Who::Hash(hash), ..visit(seq(2), 3, "dealsite", "share") }.into(),
        Click { hash, ..by(visit(seq(3), -1, "blogger", "share")) }.into(),
        Click { network, who: Who::Nobody, ..visit(seq(4), 5, "blogger", "lasting") }.into(),
        browser(pixel(seq(11), 1, first)).into(),
        browser(pixel(seq(12), 30, first)).into(),
        api(report(seq(13), 2, first, "pending", 30)).into(),
        coupon(api(report(seq(14), 9, first, "approved", 40))).into(),
        server(Conversion { network, ..report(seq(15), 20, first, "pending", 35) }).into(),
        api(report(seq(16), 80, first, "reversed", -40)).into(),
        Conversion { who: Who::Hash(hash), hash, ..pixel(seq(17), 3, second) }.into(),
        server(report(seq(18), 5, second, "approved", 25)).into(),
        coupon(api(report(seq(19), 40, second, "pending", 26))).into(),
        rejected(20, 90, second).into(),
        // What only a browser claims, by evidence that a second visitor takes away: of one nothing stays, of the other a share of
        // what it claimed.
        Click { network: shared, ..by(visit(seq(5), 6, "blogger", "spring")) }.into(),
        Click { network: shared, who: Who::Hash(hash), ..visit(seq(6), -2, "dealsite", "summer") }
            .into(),
        Conversion { network: shared, who: Who::Nobody, ..pixel(seq(21), 6, third) }.into(),
        Conversion {
            network: shared,
            who: Who::Nobody,
            coupon: "BLOG10",
            ..pixel(seq(22), 7, fourth)
        }
        .into(),
        // Of the second pixel of an order nothing is read anew when the first one goes before it.
        Conversion { who: Who::Nobody, ..pixel(seq(23), 4, fourth) }.into(),
    ]
}

#[tokio::test]
async fn a_thousand_random_orders_give_the_same_ledger() {
    let mut world = World::with(settings(4_000)).await;
    let mut state = u64::from(std::process::id()) | 1 << 40;
    println!("seed {state}");
    let mut roll = |sides: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % sides
    };
    // Each copy's facts come in an order of their own, in some of eight rounds.
    let mut rounds: Vec<Vec<(u64, Fact)>> = vec![Vec::new(); 8];
    for number in 0..ORDERS {
        for fact in copy(number) {
            rounds[usize::try_from(roll(8)).unwrap()].push((roll(1 << 30), fact));
        }
    }
    for mut round in rounds {
        round.sort_by_key(|(place, _)| *place);
        let facts: Vec<Fact> = round.into_iter().map(|(_, fact)| fact).collect();
        let (one, other) = facts.split_at(facts.len() / 2);
        world.store_in(0, one).await;
        world.store_in(1, other).await;
        world.settle().await;
    }
    let lines = "SELECT arrayStringConcat(groupUniqArray(lines), '\\n---\\n') FROM (SELECT arrayStringConcat(arraySort(groupArray( \
        toString((conversion_seq % 100, affiliate, offer, evidence, state, status, amount, refunded, messages, payout, rule, taken_back, \
        lock_time, end_time, won_time, held, proof, disputes)))), '\\n') AS lines \
        FROM payout_attribution FINAL GROUP BY intDiv(conversion_seq, 100))";
    let found: String = world.admin().query(lines).fetch_one().await.unwrap();
    let ledgers: Vec<&str> = found.split("\n---\n").collect();
    assert_eq!(ledgers.len(), 1, "{}\n\n{}", ledgers[0], ledgers[1]);
    let paid = "SELECT count() FROM payout_attribution FINAL WHERE evidence != 'repeat'";
    assert_eq!(world.number(paid).await, u64::from(4 * ORDERS), "four orders each:\n{found}");
    println!("{found}");
}
