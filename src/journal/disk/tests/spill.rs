//! Records that wait for their delivery: pending until struck, across restarts and deletions.

use super::*;
use crate::journal::disk::{SpillJournal, segment};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn open(directory: &Path) -> SpillJournal {
    SpillJournal::open(directory, small()).unwrap()
}

async fn add(spill: &SpillJournal, payload: &[u8]) -> u64 {
    let deadline = Instant::now() + DEADLINE;
    let ticket = loop {
        match spill.append(payload) {
            Ok(ticket) => break ticket,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    spill.synced(&ticket).await.unwrap();
    ticket.offset()
}

/// Adds records of one byte; gives the first one's offset.
async fn add_many(spill: &SpillJournal, count: u64) -> u64 {
    let first = add(spill, b"x").await;
    for _ in 2..count {
        while spill.append(b"x").is_err() {
            tokio::task::yield_now().await;
        }
    }
    add(spill, b"x").await;
    first
}

/// Offsets and payloads of all that is pending, asked for a few at a time.
fn pending(spill: &SpillJournal) -> BTreeMap<u64, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut next = 0;
    loop {
        let entries = spill.next_pending(next, 3).unwrap();
        let Some(last) = entries.last() else { return found };
        next = last.next_offset();
        for entry in entries {
            let Entry::Record { offset, payload } = entry else { panic!("{entry:?}") };
            found.insert(offset, payload.to_vec());
        }
    }
}

#[tokio::test]
async fn a_record_is_pending_until_it_is_struck_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let spill = open(folder.path());
    for payload in ["a", "bb", "ccc", "dddd"] {
        add(&spill, payload.as_bytes()).await;
    }
    spill.strike(1);
    spill.strike(1);
    spill.strike(77);
    let now = spill.pending();
    assert_eq!((now.records, now.bytes), (3, 8));
    assert!(now.oldest_age.is_some());
    drop(spill);
    let spill = open(folder.path());
    assert_eq!(pending(&spill).into_keys().collect::<Vec<_>>(), [0, 2, 3]);
    let recovered = spill.recovered_below();
    assert_eq!(spill.pending().bytes, 8);
    assert!(add(&spill, b"new").await >= recovered);
    assert!(pending(&spill).keys().filter(|offset| **offset < recovered).count() == 3);
}

#[tokio::test]
async fn a_segment_without_pending_records_goes_whatever_is_pending_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let spill = open(folder.path());
    let stuck = 42;
    // Strikes are told apart by blocks of 4,096 offsets, here a fifth of all segments.
    add_many(&spill, 20_000).await;
    spill.strike_all(0..stuck);
    spill.strike_all(stuck + 1..20_000);
    let most = spill.stats().segments / 3;
    assert!(most > 10, "the test should span segments");
    eventually("only the stuck record's segment and the block with its strikes are left", || {
        spill.stats().segments <= most
    })
    .await;
    assert_eq!(pending(&spill).into_keys().collect::<Vec<_>>(), [stuck]);
    drop(spill);
    let spill = open(folder.path());
    assert_eq!(pending(&spill).into_keys().collect::<Vec<_>>(), [stuck]);
    let first = add_many(&spill, 20_000).await;
    spill.strike_all(first..first + 20_000);
    eventually("later segments come and go although the stuck record's stays", || {
        spill.stats().segments <= 2 * most
    })
    .await;
    drop(spill);
    assert_eq!(pending(&open(folder.path())).into_keys().collect::<Vec<_>>(), [stuck]);
}

#[tokio::test]
async fn a_refused_record_is_not_pending_once_it_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, device) = open_faulty(folder.path(), small());
    drop(journal);
    let spill = SpillJournal::open_on(folder.path(), small(), Arc::clone(&device) as _).unwrap();
    device.set(|script| script.writes_to_fail = 1);
    let ticket = spill.append(b"refused").unwrap();
    assert!(spill.synced(&ticket).await.is_err());
    eventually("it tries again", || spill.stats().refusing.is_none()).await;
    let offset = add(&spill, b"taken").await;
    assert_eq!(pending(&spill).into_keys().collect::<Vec<_>>(), [offset]);
    assert_eq!(spill.pending().records, 1);
}

#[tokio::test]
async fn a_damaged_record_is_given_out_as_damage_until_it_is_struck() {
    let folder = tempfile::tempdir().unwrap();
    let spill = open(folder.path());
    for payload in ["one", "two", "three"] {
        add(&spill, payload.as_bytes()).await;
    }
    drop(spill);
    let path = segment::path(folder.path(), 0);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[segment::SEGMENT_HEADER_BYTES + 20 + 17] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let spill = open(folder.path());
    let entries = spill.next_pending(0, 10).unwrap();
    assert_eq!(words(&entries), ["one", "damage 1 Checksum", "three"]);
    for entry in entries {
        spill.strike_all(entry.offsets());
    }
    assert_eq!(spill.pending().records, 0);
    drop(spill);
    assert_eq!(open(folder.path()).pending().records, 0);
}

#[derive(Clone, Debug)]
enum Act {
    Add(usize),
    Strike(prop::sample::Index),
    Reopen,
}

proptest! {
    #![proptest_config(cases(30))]

    #[test]
    fn what_is_pending_is_what_was_added_and_not_struck(
        acts in prop::collection::vec(prop_oneof![
            6 => (0..700usize).prop_map(Act::Add),
            6 => any::<prop::sample::Index>().prop_map(Act::Strike),
            1 => Just(Act::Reopen),
        ], 1..80),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut spill = open(folder.path());
        let mut model = BTreeMap::new();
        for act in acts {
            match act {
                Act::Add(size) => {
                    let payload = vec![b'.'; size];
                    let offset = runtime.block_on(add(&spill, &payload));
                    prop_assert!(model.insert(offset, payload).is_none());
                }
                Act::Strike(which) if !model.is_empty() => {
                    let offset = *which.get(&model.keys().copied().collect::<Vec<_>>());
                    spill.strike(offset);
                    model.remove(&offset);
                }
                Act::Strike(_) => {}
                Act::Reopen => {
                    spill.delete_done();
                    drop(spill);
                    spill = open(folder.path());
                }
            }
            prop_assert_eq!(&pending(&spill), &model);
            let total = spill.pending();
            let bytes = model.values().map(|payload| payload.len() as u64).sum::<u64>();
            prop_assert_eq!((total.records, total.bytes), (model.len() as u64, bytes));
        }
    }
}
