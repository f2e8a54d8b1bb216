//! Progress: bounded runs, runs that are cut off, rows that stand twice, rows that need no new version.

use leadtrail::settle::{SettleError, VersionError};

use super::facts::*;
use super::world::*;

#[tokio::test]
async fn nothing_new_takes_no_version_and_writes_nothing() {
    let mut world = World::new().await;
    assert!(world.settle().await.is_empty());
    let noon = yesterday() + 12 * HOUR;
    world.store([sale(11, noon).into()]).await;
    let reports = world.settle().await;
    assert_eq!(reports.len(), 1);
    assert_eq!((reports[0].version, reports[0].records, reports[0].conversions), (Some(1), 1, 1));
    assert!(world.settle().await.is_empty());
    world.store([click(1, noon).into()]).await;
    let reports = world.settle().await;
    assert_eq!((reports[0].version, reports[0].conversions), (Some(2), 0));
    assert_eq!(world.version(11).await, 1, "no click of its trail came");
}

#[tokio::test]
async fn a_conversion_that_nothing_new_can_reach_is_not_written_again() {
    let mut world = World::new().await;
    let noon = yesterday() + 12 * HOUR;
    let by = |who, hash, seq| Conversion { who, hash, ..sale(seq, noon) };
    world.store([by(Who::Cookie(1), 5, 11).into(), by(Who::Cookie(2), 6, 12).into()]).await;
    world.store([Conversion { site: "club", ..by(Who::Cookie(1), 5, 13) }.into()]).await;
    world.settle().await;
    let before = world.version(12).await;
    let late = Click { who: Who::Cookie(1), hash: 5, ..click(1, noon - 1) };
    let too_late = Click { who: Who::Cookie(2), hash: 6, ..click(2, noon + DAY) };
    let too_old = Click { who: Who::Cookie(2), hash: 6, ..click(3, noon - 2 * DAY - 1) };
    world.store([late.into(), too_late.into(), too_old.into()]).await;
    let reports = world.settle().await;
    assert_eq!(reports[0].conversions, 1);
    assert!(world.version(11).await > before);
    assert_eq!((world.version(12).await, world.version(13).await), (before, before));
}

#[tokio::test]
async fn work_is_bounded_and_the_next_run_goes_on_at_once() {
    let mut world = World::with(settings(2)).await;
    let noon = yesterday() + 12 * HOUR;
    let mine = |seq| Conversion { who: Who::Cookie(1), ..sale(seq, noon) };
    for seq in 11..16 {
        world.store([mine(seq).into()]).await;
    }
    world.store_in(1, &[Click { who: Who::Cookie(1), ..click(1, noon) }.into()]).await;
    let reports = world.settle().await;
    let records: Vec<u64> = reports.iter().map(|report| report.records).collect();
    assert_eq!(records, [2, 2, 2]);
    assert_eq!(world.joined(11).await, ("cookie".to_owned(), 1));
    assert_eq!(world.counted().await, [1, 0, 0, 0, 0]);
    assert_eq!(world.number("SELECT sum(next_offset) FROM settle_positions FINAL").await, 6);
}

#[tokio::test]
async fn what_is_stored_behind_a_gap_waits_for_the_gap() {
    let mut world = World::new().await;
    let noon = yesterday() + 12 * HOUR;
    world.store([sale(11, noon).into()]).await;
    world.store([sale(12, noon).into()]).await;
    world.store([sale(13, noon).into()]).await;
    world
        .admin()
        .query("ALTER TABLE ingest_batches UPDATE dead = 9 WHERE 0")
        .execute()
        .await
        .unwrap();
    let hide = "DELETE FROM ingest_batches WHERE from_offset = 1";
    world.admin().query(hide).execute().await.unwrap();
    let reports = world.settle().await;
    assert_eq!((reports.len(), reports[0].records, reports[0].gaps), (1, 1, 1));
    assert_eq!(world.settler.health().gaps(), 1);
    let mend = "INSERT INTO ingest_batches SELECT log_epoch, log_partition, 1, 2, 1, 0, at FROM ingest_batches WHERE from_offset = 0";
    world.admin().query(mend).with_setting("insert_deduplicate", "0").execute().await.unwrap();
    world.settle().await;
    assert_eq!(world.outcomes().await.len(), 3);
    assert_eq!(world.settler.health().gaps(), 0);
}

#[tokio::test]
async fn a_run_that_is_cut_off_anywhere_is_done_again_with_the_same_result() {
    let noon = yesterday() + 12 * HOUR;
    let me = Who::Cookie(1);
    let mine = |seq, time| Conversion { who: me, ..sale(seq, time) };
    let before = || -> Vec<Fact> {
        let promoted = Click { who: me, ..affiliate_click(1, noon - HOUR, "blogger", "summer") };
        let named = Conversion { named: promoted.named(), ..sale(13, noon + 20) };
        vec![promoted.into(), mine(11, noon).into(), mine(12, noon + 10).into(), named.into()]
    };
    // It moves 11 and 12 to another click, so that 13 counts; and 14 takes the order that 15 had.
    let after = || -> Vec<Fact> {
        let order = |seq, time| Conversion { order: "o-1", ..sale(seq, time) };
        vec![
            Click { who: me, ..click(2, noon - 1) }.into(),
            order(14, noon).into(),
            order(15, noon + 1).into(),
        ]
    };
    let mut whole = World::new().await;
    whole.store(before()).await;
    whole.settle().await;
    whole.store(after()).await;
    whole.settle().await;
    let expected = whole.outcomes().await;
    assert_eq!(whole.counted().await, [1, 0, 1, 1, 0]);

    // Each table in turn refuses its rows, some or all.
    let cuts = [
        ("settle_conversions", "id_seq != 12"),
        ("settle_rows", "step != 'joined' OR conversion_seq != 12"),
        ("settle_rows", "step != 'ready' OR conversion_seq != 14"),
        ("payout_attribution", "conversion_seq != 15"),
        ("conversion_clicks", "conversion_seq != 13"),
        ("conversion_clicks", "conversion_seq != 12"),
        ("settle_positions", "next_offset < 5"),
    ];
    for (table, check) in cuts {
        let mut world = World::new().await;
        world.store(before()).await;
        world.settle().await;
        world.store(after()).await;
        let admin = world.admin().clone();
        let refuse = format!("ALTER TABLE {table} ADD CONSTRAINT cut CHECK {check}");
        admin.query(&refuse).execute().await.unwrap();
        let error = world.settler.run_once(&mut world.versions).await.unwrap_err();
        assert!(matches!(error, SettleError::Warehouse { .. }), "{error}");
        assert!(error.to_string().contains("VIOLATED_CONSTRAINT"), "{error}");
        admin.query(&format!("ALTER TABLE {table} DROP CONSTRAINT cut")).execute().await.unwrap();
        world.settle().await;
        assert_eq!(world.outcomes().await, expected, "cut at {table}: {check}");
        assert!(world.version(11).await >= 3, "the repetition has a higher version");
    }
}

#[tokio::test]
async fn rows_that_stand_twice_are_settled_once() {
    let mut world = World::new().await;
    for table in ["events", "conversions", "touch_keys"] {
        world.admin().query(&format!("SYSTEM STOP MERGES {table}")).execute().await.unwrap();
    }
    let noon = yesterday() + 12 * HOUR;
    let mine = Click { who: Who::Cookie(1), hash: 55, ..click(1, noon) };
    let sale = Conversion { who: Who::Hash(55), hash: 55, ..sale(11, noon) };
    for _ in 0..2 {
        world.store([mine.clone().into(), sale.clone().into()]).await;
    }
    assert_eq!(world.number("SELECT count() FROM conversions").await, 2);
    world.settle().await;
    assert_eq!(world.number("SELECT count() FROM conversion_clicks").await, 1);
    assert_eq!(world.joined(11).await, ("daily_hash".to_owned(), 1));
    assert_eq!(world.counted().await, [1]);
}

#[tokio::test]
async fn a_lost_counter_goes_on_above_what_the_warehouse_holds() {
    let mut world = World::new().await;
    let noon = yesterday() + 12 * HOUR;
    world
        .admin()
        .query("INSERT INTO settle_positions VALUES (1, 0, 5, 41)")
        .execute()
        .await
        .unwrap();
    world.store([sale(11, noon).into()]).await;
    world.settle().await;
    assert_eq!(world.version(11).await, 42);
}

#[tokio::test]
async fn a_process_that_does_not_lead_writes_nothing() {
    let mut world = World::new().await;
    world.store([sale(11, yesterday()).into()]).await;
    let folder = tempfile::tempdir().unwrap();
    let mut standby = leadtrail::settle::Versions::Counter(
        leadtrail::settle::Counter::open(folder.path()).unwrap(),
    );
    let error = world.settler.run_once(&mut standby).await.unwrap_err();
    assert!(matches!(error, SettleError::Version(VersionError::Lost)), "{error}");
    assert_eq!(world.number("SELECT count() FROM settle_positions").await, 0);
}

#[tokio::test]
async fn the_loop_settles_what_comes_until_the_stop() {
    let mut world = World::new().await;
    let (stopper, stop) = leadtrail::stop::channel();
    let folder = tempfile::tempdir().unwrap();
    let counter = leadtrail::settle::Counter::open(folder.path()).unwrap();
    let mut versions = leadtrail::settle::Versions::Counter(counter);
    let client = world.database.client(&world.database.access.ingest);
    let registry = leadtrail::registry::Registry::parse(SITES, "test").unwrap();
    let settler = leadtrail::settle::Settler::new(client, &registry, settings(100_000));
    let health = settler.health();
    let running = tokio::spawn(async move {
        leadtrail::settle::run_loop(&settler, &mut versions, &stop).await;
    });
    let deadline = std::time::Duration::from_secs(20);
    for seq in [11, 12] {
        world.store([sale(seq, yesterday()).into()]).await;
        let settled = u64::from(seq - 10);
        crate::env::wait_for("the sale to be settled", deadline, || health.totals().2 == settled)
            .await;
    }
    assert!(health.leads() && health.failing_since_ms().is_none() && health.caught_up_at_ms() > 0);
    stopper.stop();
    running.await.unwrap();
    assert!(!health.leads());
    assert_eq!(world.counted().await, [1, 1]);
}
