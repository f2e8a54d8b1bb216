//! What is there after a crash, a cut, or a flipped bit.

use super::*;
use crate::journal::disk::frame::FRAME_HEADER_BYTES;
use crate::journal::disk::{Recovery, segment};
use std::fs;

const HEADER: u64 = segment::SEGMENT_HEADER_BYTES as u64;

/// A closed journal of one segment that holds these records.
async fn journal_of(payloads: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(folder.path(), small()).unwrap();
    for payload in payloads {
        journal.synced(&append(&journal, payload.as_bytes())).await.unwrap();
    }
    folder
}

fn position_of(payloads_before: &[&str]) -> u64 {
    let bytes = payloads_before.iter().map(|payload| FRAME_HEADER_BYTES + payload.len());
    HEADER + bytes.sum::<usize>() as u64
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// As after a power cut: the position that readers were told is not on disk.
fn forget_synced(directory: &Path) {
    fs::remove_file(directory.join("synced")).unwrap();
}

fn flip(path: &Path, position: u64) {
    change(path, |bytes| bytes[usize::try_from(position).unwrap()] ^= 4);
}

#[tokio::test]
async fn a_torn_tail_is_cut_at_start() {
    for cut in 1..(FRAME_HEADER_BYTES + 4) {
        let folder = journal_of(&["one", "two", "torn"]).await;
        forget_synced(folder.path());
        let path = segment::path(folder.path(), 0);
        change(&path, |bytes| bytes.truncate(bytes.len() - cut));
        let journal = DiskJournal::open(folder.path(), small()).unwrap();
        let left = (FRAME_HEADER_BYTES + 4 - cut) as u64;
        assert_eq!(journal.recovery(), Recovery { cut_bytes: left, damaged_records: 0 });
        let next = append(&journal, b"next");
        journal.synced(&next).await.unwrap();
        assert_eq!(next.offset(), 2);
        assert_eq!(words(&read_all(folder.path(), 0)), ["one", "two", "next"]);
    }
}

#[tokio::test]
async fn zeros_after_the_last_record_are_cut_at_start() {
    let folder = journal_of(&["one"]).await;
    let path = segment::path(folder.path(), 0);
    change(&path, |bytes| bytes.resize(bytes.len() + 1000, 0));
    let journal = DiskJournal::open(folder.path(), small()).unwrap();
    assert_eq!(journal.recovery(), Recovery { cut_bytes: 1000, damaged_records: 0 });
    assert_eq!(fs::metadata(&path).unwrap().len(), position_of(&["one"]));
}

#[tokio::test]
async fn a_bad_record_in_the_middle_is_reported_with_its_bytes_and_reading_goes_on() {
    let folder = journal_of(&["one", "two", "three"]).await;
    let position = position_of(&["one"]);
    flip(&segment::path(folder.path(), 0), position + FRAME_HEADER_BYTES as u64);
    let journal = DiskJournal::open(folder.path(), small()).unwrap();
    assert_eq!(journal.recovery(), Recovery { cut_bytes: 0, damaged_records: 1 });
    let entries = read_all(folder.path(), 0);
    assert_eq!(words(&entries), ["one", "damage 1 Checksum", "three"]);
    let Entry::Damaged(damage) = &entries[1] else { panic!("no damage") };
    assert_eq!((damage.first_offset, damage.segment, damage.position), (1, 0, position));
    assert_eq!(&damage.raw[FRAME_HEADER_BYTES..], b"pwo");
    // From inside and from behind the damage, too.
    assert_eq!(words(&read_all(folder.path(), 1)), ["damage 1 Checksum", "three"]);
    assert_eq!(words(&read_all(folder.path(), 2)), ["three"]);
}

#[tokio::test]
async fn a_damaged_tail_that_was_synced_is_reported_and_its_offsets_are_not_given_again() {
    let folder = journal_of(&["one", "two"]).await;
    let path = segment::path(folder.path(), 0);
    flip(&path, position_of(&["one"]));
    let length = fs::metadata(&path).unwrap().len();
    let journal = DiskJournal::open(folder.path(), small()).unwrap();
    assert_eq!(journal.recovery(), Recovery { cut_bytes: 0, damaged_records: 1 });
    assert_eq!(fs::metadata(&path).unwrap().len(), length, "the evidence is kept");
    let read = words(&read_all(folder.path(), 0));
    assert!(read[0] == "one" && read[1].starts_with("damage 1"), "{read:?}");
    let next = append(&journal, b"next");
    journal.synced(&next).await.unwrap();
    assert_eq!(next.offset(), 2);
    let read = words(&read_all(folder.path(), 0));
    assert!(read.len() == 3 && read[1].starts_with("damage 1") && read[2] == "next", "{read:?}");
}

#[tokio::test]
async fn damage_that_a_reader_meets_while_the_journal_grows_is_passed_once() {
    let folder = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(folder.path(), small()).unwrap();
    let mut reader = DiskReader::open(folder.path()).unwrap();
    journal.synced(&append(&journal, b"one")).await.unwrap();
    journal.synced(&append(&journal, b"two")).await.unwrap();
    flip(&segment::path(folder.path(), 0), position_of(&["one"]) + 1);
    let read = words(&reader.read(0, 10, 1000).unwrap());
    assert!(read.len() == 2 && read[1].starts_with("damage 1"), "{read:?}");
    journal.synced(&append(&journal, b"three")).await.unwrap();
    assert_eq!(words(&reader.read(2, 10, 1000).unwrap()), ["three"]);
}

#[tokio::test]
async fn a_missing_segment_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(folder.path(), small()).unwrap();
    while journal.stats().segments < 4 {
        journal.synced(&append(&journal, &[b'x'; 500])).await.unwrap();
    }
    let firsts = segment::list(folder.path()).unwrap();
    fs::remove_file(segment::path(folder.path(), firsts[1])).unwrap();
    let lost = firsts[2] - firsts[1];
    let entries = read_all(folder.path(), 0);
    let damaged: Vec<_> =
        entries.iter().filter(|entry| matches!(entry, Entry::Damaged(_))).collect();
    assert!(matches!(damaged[..], [Entry::Damaged(damage)] if damage.count == lost), "{damaged:?}");
    assert_eq!(entries.last().map(Entry::next_offset), Some(journal.stats().synced_end));
}

#[tokio::test]
async fn a_segment_that_was_only_just_created_is_no_hindrance() {
    for bytes in [0, 20, HEADER] {
        let folder = journal_of(&["one"]).await;
        let path = segment::path(folder.path(), 1);
        fs::write(&path, vec![0; usize::try_from(bytes).unwrap()]).unwrap();
        let journal = DiskJournal::open(folder.path(), small()).unwrap();
        journal.synced(&append(&journal, b"two")).await.unwrap();
        assert_eq!(words(&read_all(folder.path(), 0)), ["one", "two"], "{bytes} bytes");
    }
}

#[tokio::test]
async fn a_damaged_header_loses_no_record() {
    let folder = journal_of(&["one", "two"]).await;
    flip(&segment::path(folder.path(), 0), 9);
    let journal = DiskJournal::open(folder.path(), small()).unwrap();
    journal.synced(&append(&journal, b"three")).await.unwrap();
    assert_eq!(words(&read_all(folder.path(), 0)), ["one", "two", "three"]);
}

#[tokio::test]
async fn an_unfinished_repair_leaves_the_old_segment_as_it_was() {
    let folder = journal_of(&["one", "two"]).await;
    fs::write(segment::unfinished_path(folder.path(), 1), b"half").unwrap();
    let _journal = DiskJournal::open(folder.path(), small()).unwrap();
    assert_eq!(words(&read_all(folder.path(), 0)), ["one", "two"]);
    assert!(!segment::unfinished_path(folder.path(), 1).exists());
}

#[tokio::test]
async fn a_segment_ends_where_the_next_one_begins() {
    let folder = journal_of(&["one", "two", "three"]).await;
    let other = tempfile::tempdir().unwrap();
    // The same journal, whose last records were moved to a fresh segment, and the cut of the old
    // one did not last.
    for name in ["journal.id", "synced", "00000000000000000000.seg"] {
        fs::copy(folder.path().join(name), other.path().join(name)).unwrap();
    }
    let (journal, device) = open_faulty(other.path(), small());
    device.set(|script| script.syncs_to_fail = 1);
    let refused = append(&journal, b"refused");
    assert!(journal.synced(&refused).await.is_err());
    eventually("the journal takes records again", || journal.stats().refusing.is_none()).await;
    drop(journal);
    let path = segment::path(other.path(), 0);
    let begun =
        crate::journal::disk::Seal::new(&DiskReader::open(other.path()).unwrap().journal_id().0)
            .begin(crate::journal::disk::Kind::Record, b"refused");
    change(&path, |bytes| {
        crate::journal::disk::frame::encode(
            bytes,
            begun,
            3,
            crate::journal::disk::Kind::Record,
            b"refused",
        );
    });
    let _journal = DiskJournal::open(other.path(), small()).unwrap();
    assert_eq!(words(&read_all(other.path(), 0)), ["one", "two", "three", "void 1"]);
}
