//! The rules, each as a story.

use super::facts::*;
use super::world::*;

fn facts<const N: usize>(facts: [Fact; N]) -> [Fact; N] {
    facts
}

#[tokio::test]
async fn a_named_click_earns_the_conversion_before_its_row_arrives_and_its_row_completes_it() {
    let mut world = World::new().await;
    let noon = yesterday() + 12 * HOUR;
    let ad = click(1, noon);
    let promoted = affiliate_click(2, noon, "blogger", "summer");
    let first = Conversion { named: ad.named(), ..sale(11, noon + 1_000) };
    let second = Conversion { named: promoted.named(), ..sale(12, noon + 1_000) };
    world.store([first.into(), second.into()]).await;
    world.settle().await;
    let told = world.outcome(11).await;
    assert_eq!(
        (told.basis.as_str(), told.seen, told.click, told.click_time),
        ("click_id", 0, 1, noon)
    );
    assert_eq!(
        (told.link.as_str(), told.ad.as_str(), told.evidence.as_str()),
        ("ad-link", "boots", "none")
    );
    let told = world.outcome(12).await;
    assert_eq!((told.affiliate.as_str(), told.offer.as_str(), told.seen), ("blogger", "summer", 0));
    assert_eq!(
        (told.evidence.as_str(), told.payee.as_str(), told.payout.as_str()),
        ("click_id", "blogger", "5")
    );

    // The row says more than the id: here, that the link was another name's by then.
    world.store([Click { link: "renamed", ..ad }.into(), promoted.into()]).await;
    world.settle().await;
    let seen = world.outcome(11).await;
    assert_eq!((seen.basis.as_str(), seen.seen, seen.link.as_str()), ("click_id", 1, "renamed"));
    assert_eq!(
        (world.outcome(12).await.seen, world.outcome(12).await.payee.as_str()),
        (1, "blogger")
    );
}

#[tokio::test]
async fn a_named_click_that_is_too_old_or_later_is_as_if_it_were_not_named() {
    let mut world = World::new().await;
    let noon = yesterday() + 12 * HOUR;
    let old = click(1, noon - 2 * DAY - 1);
    let on_time = click(2, noon - 2 * DAY);
    let later = click(3, noon + 1);
    let fresh = Click { who: Who::Cookie(1), ..click(4, noon - HOUR) };
    let naming = |seq, click: &Click| Conversion {
        named: click.named(),
        who: Who::Cookie(1),
        ..sale(seq, noon)
    };
    let conversions = [naming(11, &old), naming(12, &on_time), naming(13, &later)];
    let nobody = Conversion { named: old.named(), ..sale(14, noon) };
    world.store([old.into(), on_time.into(), later.into(), fresh.into()]).await;
    world.store(conversions.map(Fact::from)).await;
    world.store([nobody.into()]).await;
    world.settle().await;
    assert_eq!(world.joined(11).await, ("cookie".to_owned(), 4));
    assert_eq!(world.joined(12).await, ("click_id".to_owned(), 2));
    assert_eq!(world.joined(13).await, ("cookie".to_owned(), 4));
    assert_eq!(world.joined(14).await, ("none".to_owned(), 0));
}

#[tokio::test]
async fn the_last_click_of_the_cookie_wins_and_ties_go_to_the_highest_id() {
    let mut world = World::new().await;
    let noon = yesterday() + 12 * HOUR;
    let me = Who::Cookie(1);
    let mine = |seq, time| Click { who: me, ..click(seq, time) };
    world.store([mine(1, noon - HOUR).into(), mine(3, noon).into(), mine(2, noon).into()]).await;
    world
        .store([mine(4, noon + 1).into(), Click { who: Who::Cookie(2), ..click(5, noon) }.into()])
        .await;
    world.store([Conversion { who: me, ..sale(11, noon) }.into()]).await;
    world.store([Conversion { who: me, ..sale(12, noon - HOUR - 1) }.into()]).await;
    world.settle().await;
    assert_eq!(world.joined(11).await, ("cookie".to_owned(), 3));
    assert_eq!(world.joined(12).await, ("none".to_owned(), 0), "a click after it does not count");

    // A late click of the same visitor takes over what lies behind it, and only that.
    world.store([mine(6, noon - 2 * HOUR).into()]).await;
    world.settle().await;
    assert_eq!(world.joined(11).await, ("cookie".to_owned(), 3));
    assert_eq!(world.joined(12).await, ("cookie".to_owned(), 6));
}

#[tokio::test]
async fn a_short_window_that_is_over_does_not_hide_an_older_click_with_a_longer_one() {
    let mut world = World::new().await;
    let noon = yesterday() + 12 * HOUR;
    let me = Who::Cookie(1);
    let long = Click { who: me, ..affiliate_click(1, noon - 47 * HOUR, "dealsite", "summer") };
    let short = Click { who: me, ..affiliate_click(2, noon - 25 * HOUR, "blogger", "spring") };
    world.store([long.into(), short.into(), Conversion { who: me, ..sale(11, noon) }.into()]).await;
    world.store([Conversion { who: me, ..sale(12, noon - 2 * HOUR) }.into()]).await;
    world.settle().await;
    let outcome = world.outcome(11).await;
    assert_eq!(
        (outcome.click, outcome.payee.as_str(), outcome.payout.as_str()),
        (1, "dealsite", "5")
    );
    let outcome = world.outcome(12).await;
    assert_eq!(
        (outcome.click, outcome.payee.as_str(), outcome.payout.as_str()),
        (2, "blogger", "8")
    );
}

#[tokio::test]
async fn a_days_hash_joins_only_while_one_visitor_has_it() {
    let mut world = World::new().await;
    let noon = yesterday() + 12 * HOUR;
    let hashed = |seq, time, who| Click { who, hash: 55, ..click(seq, time) };
    let ask = |seq, time, who| Conversion { who, hash: 55, ..sale(seq, time) };
    let conversions = [
        ask(11, noon, Who::Hash(55)),
        ask(12, noon, Who::Cookie(9)),
        ask(13, noon + DAY, Who::Hash(55)),
        ask(14, noon - 2 * HOUR, Who::Hash(55)),
    ];
    world
        .store([
            hashed(1, noon - HOUR, Who::Cookie(1)).into(),
            hashed(2, noon + HOUR, Who::Cookie(1)).into(),
        ])
        .await;
    world.store(conversions.map(Fact::from)).await;
    world.settle().await;
    assert_eq!(world.joined(11).await, ("daily_hash".to_owned(), 1));
    assert_eq!(world.joined(12).await, ("daily_hash".to_owned(), 1), "its own cookie has no click");
    assert_eq!(world.joined(13).await, ("none".to_owned(), 0), "the next day's hash is another");
    assert_eq!(world.joined(14).await, ("none".to_owned(), 0), "the clicks came after it");

    // A second visitor with the same hash, later that day: now nobody knows whose conversion it was.
    world.store([hashed(3, noon + 2 * HOUR, Who::Cookie(2)).into()]).await;
    world.settle().await;
    assert_eq!(world.joined(11).await, ("none".to_owned(), 0));
    assert_eq!(world.joined(12).await, ("none".to_owned(), 0));
}

#[tokio::test]
async fn machines_clicks_are_no_touches_but_a_named_click_counts_whatever_it_is() {
    let mut world = World::new().await;
    let noon = yesterday() + 12 * HOUR;
    let me = Who::Cookie(1);
    let bot = Click { who: me, hash: 55, class: "bot", ..click(2, noon) };
    let suspect = Click { who: me, hash: 55, class: "suspect", ..click(1, noon - HOUR) };
    let other_bot = Click { who: Who::Cookie(2), hash: 55, class: "scanner", ..click(3, noon) };
    let named = Conversion { named: bot.named(), ..sale(13, noon) };
    world.store([bot.into(), suspect.into(), other_bot.into()]).await;
    let by_cookie = Conversion { who: me, ..sale(11, noon) };
    let by_hash = Conversion { who: Who::Hash(55), hash: 55, ..sale(12, noon) };
    world.store([by_cookie.into(), by_hash.into(), named.into()]).await;
    world.settle().await;
    assert_eq!(world.joined(11).await, ("cookie".to_owned(), 1));
    assert_eq!(
        world.joined(12).await,
        ("daily_hash".to_owned(), 1),
        "a machine does not make it ambiguous"
    );
    assert_eq!(world.joined(13).await, ("click_id".to_owned(), 2));
}

#[tokio::test]
async fn sites_never_mix() {
    let mut world = World::new().await;
    let noon = yesterday() + 12 * HOUR;
    let club = |click: Click| Click { site: "club", link: "club-link", ..click };
    let seen = club(Click { who: Who::Cookie(1), hash: 55, ..click(1, noon) });
    let unseen = club(click(2, noon));
    let named = Conversion { named: seen.named(), who: Who::Cookie(1), hash: 55, ..sale(11, noon) };
    let told = Conversion { named: unseen.named(), ..sale(12, noon) };
    let at_home = Conversion { named: unseen.named(), site: "club", ..sale(13, noon) };
    world.store(facts([seen.into(), named.into(), told.into(), at_home.into()])).await;
    world.settle().await;
    assert_eq!(world.joined(11).await, ("none".to_owned(), 0));
    assert_eq!(
        world.joined(12).await,
        ("none".to_owned(), 0),
        "the registry knows whose link it was"
    );
    assert_eq!(world.joined(13).await, ("click_id".to_owned(), 2));
}

#[tokio::test]
async fn a_click_and_an_order_count_once_for_each_goal_and_leads_always() {
    let mut world = World::new().await;
    let noon = yesterday() + 12 * HOUR;
    let me = Who::Cookie(1);
    let mine = |seq, second: i64| Conversion { who: me, ..sale(seq, noon + second * 1_000) };
    let unknown = |seq, second: i64| sale(seq, noon + second * 1_000);
    let conversions = [
        mine(11, 1),
        mine(12, 2),
        Conversion { goal: "signup", kind: "conversion", ..mine(13, 3) },
        Conversion { kind: "lead", ..mine(14, 4) },
        Conversion { kind: "lead", ..mine(15, 5) },
        unknown(16, 6),
        unknown(17, 7),
        Conversion { order: "o-1", ..unknown(18, 8) },
        Conversion { order: "o-1", ..unknown(19, 9) },
        Conversion { order: "o-1", goal: "upsell", ..unknown(20, 10) },
        Conversion { order: "o-1", ..mine(21, 11) },
        Conversion { order: "o-1", site: "club", ..unknown(22, 12) },
    ];
    world.store([Click { who: me, ..click(1, noon) }.into()]).await;
    world.store(conversions.map(Fact::from)).await;
    world.settle().await;
    let repeats: Vec<_> = world
        .outcomes()
        .await
        .into_iter()
        .filter(|outcome| outcome.counted == 0)
        .map(|outcome| (outcome.seq, outcome.repeat_of))
        .collect();
    let expected = [(12, "click"), (19, "order"), (21, "both")];
    assert_eq!(repeats, expected.map(|(seq, of)| (seq, of.to_owned())));
}

#[tokio::test]
async fn the_same_submission_again_is_a_repeat_whatever_the_order_and_the_batches() {
    let mut world = World::new().await;
    let noon = yesterday() + 12 * HOUR;
    let lead = |seq, minute: i64, submission| Conversion {
        kind: "lead",
        submission,
        ..sale(seq, noon + minute * 60_000)
    };
    // The last of a chain comes first, then one that is too late for it, then what connects them.
    world.store([lead(13, 90, 5).into(), lead(15, 200, 5).into(), lead(19, 0, 0).into()]).await;
    world.settle().await;
    assert_eq!(world.counted().await, [1, 1, 1]);
    world.store([lead(11, 0, 5).into(), lead(18, 1, 0).into(), lead(16, 1, 6).into()]).await;
    world.settle().await;
    assert_eq!(world.outcome(13).await.repeat_of, "none", "90 minutes later is another lead");
    let elsewhere = Conversion { site: "club", ..lead(17, 1, 5) };
    let machine = Conversion { class: "bot", ..lead(14, 50, 5) };
    world.store([lead(12, 60, 5).into(), elsewhere.into(), machine.into()]).await;
    world.settle().await;
    let repeats: Vec<_> = world
        .outcomes()
        .await
        .into_iter()
        .filter(|outcome| outcome.counted == 0)
        .map(|outcome| (outcome.seq, outcome.repeat_of, outcome.evidence))
        .collect();
    let expected = [12, 13].map(|seq| (seq, "submission".to_owned(), "repeat".to_owned()));
    assert_eq!(repeats, expected);
    // Stored twice, it doesn't repeat itself.
    world.store([lead(15, 200, 5).into()]).await;
    world.settle().await;
    assert_eq!(world.outcome(15).await.counted, 1);
}

#[tokio::test]
async fn an_earlier_conversion_that_comes_late_takes_the_count_over() {
    let mut world = World::new().await;
    let noon = yesterday() + 12 * HOUR;
    let of_order = |seq, time| Conversion { order: "o-1", ..sale(seq, time) };
    world.store([of_order(12, noon).into(), of_order(13, noon + 2).into()]).await;
    world.settle().await;
    assert_eq!(world.counted().await, [1, 0]);
    let untouched = world.version(13).await;
    world.store([of_order(11, noon - 1).into(), of_order(14, noon + 1).into()]).await;
    world.settle().await;
    assert_eq!(world.counted().await, [1, 0, 0, 0]);
    assert_eq!(world.outcome(12).await.evidence, "repeat");
    assert_eq!(world.version(13).await, untouched, "nothing changed for it");
}

#[tokio::test]
async fn a_late_click_that_takes_a_conversion_away_frees_its_repeat() {
    let mut world = World::new().await;
    let noon = yesterday() + 12 * HOUR;
    let me = Who::Cookie(1);
    let mine = |seq, time| Conversion { who: me, ..sale(seq, time) };
    let promoted = affiliate_click(1, noon - HOUR, "blogger", "summer");
    let named = Conversion { named: promoted.named(), ..sale(13, noon + 20) };
    world.store([Click { who: me, ..promoted }.into(), mine(11, noon).into(), named.into()]).await;
    world.store([mine(12, noon + 10).into()]).await;
    world.settle().await;
    assert_eq!(world.counted().await, [1, 0, 0]);
    assert_eq!(world.outcome(12).await.payout, "0");
    // It came before all three, but 13 names its click: 11 and 12 move to the new click together.
    world.store([Click { who: me, ..click(2, noon - 1) }.into()]).await;
    world.settle().await;
    assert_eq!(world.counted().await, [1, 0, 1]);
    let freed = world.outcome(13).await;
    assert_eq!(
        (freed.evidence.as_str(), freed.payout.as_str(), freed.payout_currency.as_str()),
        ("click_id", "5", "USD")
    );
    // Between 11 and 12: they part, so both count.
    world.store([Click { who: me, ..click(3, noon + 5) }.into()]).await;
    world.settle().await;
    assert_eq!(world.counted().await, [1, 1, 1]);
}

#[tokio::test]
async fn the_payout_goes_by_the_strongest_evidence_and_leads_and_repeats_earn_nothing() {
    let mut world = World::new().await;
    let noon = yesterday() + 12 * HOUR;
    let me = Who::Cookie(1);
    let named = affiliate_click(1, noon - 3 * HOUR, "blogger", "spring");
    let of_cookie = Click { who: me, ..affiliate_click(2, noon - 2 * HOUR, "dealsite", "summer") };
    let of_hash = Click {
        who: Who::Cookie(8),
        hash: 55,
        ..affiliate_click(3, noon - HOUR, "blogger", "spring")
    };
    let last_ad = Click { who: me, ..click(4, noon - HOUR) };
    let ad = click(5, noon - HOUR);
    let conversions = [
        Conversion { named: named.named(), who: me, hash: 55, ..sale(11, noon) },
        Conversion { named: named.named(), ..sale(12, noon + 1) },
        Conversion { named: ad.named(), who: me, ..sale(13, noon) },
        Conversion { who: Who::Hash(55), hash: 55, ..sale(14, noon) },
        Conversion { named: named.named(), kind: "lead", ..sale(15, noon) },
        Conversion { named: ad.named(), kind: "conversion", goal: "signup", ..sale(16, noon) },
    ];
    world.store([named, of_cookie, of_hash, last_ad, ad].map(Fact::from)).await;
    world.store(conversions.map(Fact::from)).await;
    world.settle().await;
    let ledger: Vec<_> = world
        .outcomes()
        .await
        .into_iter()
        .map(|row| {
            let money =
                format!("{} {} / {} {}", row.amount, row.currency, row.payout, row.payout_currency);
            (row.seq, row.evidence, row.payee, row.payee_click, money)
        })
        .collect();
    let expected = [
        (11, "click_id", "blogger", 1, "79.9 EUR / 8 EUR"),
        (12, "repeat", "blogger", 1, "79.9 EUR / 0 "),
        (13, "last_affiliate_click_cookie", "dealsite", 2, "12.5 CHF / 5 USD"),
        (14, "last_affiliate_click_daily_hash", "blogger", 3, "79.9 EUR / 8 EUR"),
        (15, "click_id", "blogger", 1, "0  / 0 "),
        (16, "none", "", 0, "12.5 CHF / 0 "),
    ];
    let expected = expected.map(|(seq, evidence, payee, click, money)| {
        (seq, evidence.to_owned(), payee.to_owned(), click, money.to_owned())
    });
    assert_eq!(ledger, expected);
    assert_eq!(
        world.outcome(13).await.click,
        5,
        "the ad has the conversion, the affiliate the payout"
    );
    assert_eq!(world.outcome(12).await.found_by, "click_id");
}
