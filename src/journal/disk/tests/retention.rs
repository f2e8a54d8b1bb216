//! What is deleted, and when: never what is not consumed.

use super::*;
use crate::journal::disk::{AppendError, segment};

/// Fills a journal until appending is refused; gives the refusal.
async fn fill(journal: &DiskJournal) -> AppendError {
    loop {
        match journal.append(&[b'x'; 400]) {
            Ok(ticket) => journal.synced(&ticket).await.unwrap(),
            Err(refusal) => return refusal,
        }
    }
}

fn budget(bytes_max: u64, keep: Duration) -> Options {
    Options { bytes_max, keep, ..small() }
}

#[tokio::test]
async fn what_is_not_consumed_is_never_deleted_and_full_means_refuse() {
    let folder = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(folder.path(), budget(40_000, Duration::ZERO)).unwrap();
    assert_eq!(fill(&journal).await, AppendError::Full);
    journal.shared.upkeep();
    let stats = journal.stats();
    assert!(stats.bytes <= 40_000 && stats.bytes > 39_000, "{stats:?}");
    assert_eq!(stats.refusal(), Some(AppendError::Full));
    assert_eq!(read_all(folder.path(), 0).len() as u64, stats.appended_end);
}

#[tokio::test]
async fn what_is_consumed_and_old_is_deleted_by_whole_segments() {
    let folder = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(folder.path(), budget(40_000, Duration::ZERO)).unwrap();
    fill(&journal).await;
    let end = journal.stats().synced_end;
    let firsts = segment::list(folder.path()).unwrap();
    let kept = *firsts.iter().rfind(|first| **first <= end / 2).unwrap();
    let mut reader = DiskReader::open(folder.path()).unwrap();
    reader.publish_consumed(end / 2).unwrap();
    eventually("the oldest segments go", || reader.start().unwrap() == kept).await;
    assert!(kept > 0, "the test should span segments");
    assert_eq!(read_all(folder.path(), kept).len() as u64, end - kept);
    assert_eq!(journal.stats().segments_evicted, 0);
    eventually("room again", || journal.append(b"x").is_ok()).await;
    eventually("only the active segment stays", || {
        journal.set_consumed(u64::MAX);
        journal.stats().segments == 1
    })
    .await;
    let (start, end) = (reader.start().unwrap(), reader.end().unwrap());
    assert_eq!(read_all(folder.path(), start).len() as u64, end - start);
}

#[tokio::test]
async fn what_is_consumed_but_young_is_kept_until_space_runs_out() {
    let folder = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(folder.path(), budget(40_000, Duration::MAX)).unwrap();
    while journal.stats().bytes < 20_000 {
        let ticket = append(&journal, &[b'x'; 400]);
        journal.synced(&ticket).await.unwrap();
    }
    journal.set_consumed(journal.stats().synced_end);
    journal.shared.upkeep();
    assert_eq!(DiskReader::open(folder.path()).unwrap().start().unwrap(), 0);
    let consumed = journal.stats().synced_end;
    // The consumed ones go while it fills; it is full when only others are left.
    assert_eq!(fill(&journal).await, AppendError::Full);
    eventually("the consumed segments are gone", || {
        DiskReader::open(folder.path()).unwrap().start().unwrap() > 0
    })
    .await;
    let stats = journal.stats();
    assert!(stats.segments_evicted > 0);
    let start = DiskReader::open(folder.path()).unwrap().start().unwrap();
    assert!(start <= consumed, "{start} of {consumed}");
    assert_eq!(read_all(folder.path(), start).len() as u64, stats.synced_end - start);
}

#[tokio::test]
async fn a_disk_without_room_is_full_before_it_fails() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { free_bytes_min: 1 << 20, ..small() };
    let (journal, device) = open_faulty(folder.path(), options);
    device.set(|script| script.free_bytes = Some((1 << 20) + 1000));
    journal.shared.upkeep();
    assert_eq!(fill(&journal).await, AppendError::Full);
    assert_eq!(journal.stats().records_refused, 0);
    device.set(|script| script.free_bytes = None);
    eventually("room again", || journal.append(b"x").is_ok()).await;
}

#[tokio::test]
async fn the_consumed_position_outlives_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(folder.path(), small()).unwrap();
    journal.synced(&append(&journal, b"x")).await.unwrap();
    let mut reader = DiskReader::open(folder.path()).unwrap();
    assert_eq!(reader.consumed().unwrap(), None);
    reader.publish_consumed(1).unwrap();
    drop(journal);
    let journal = DiskJournal::open(folder.path(), small()).unwrap();
    assert_eq!(journal.stats().consumed_end, 1);
    assert_eq!(reader.consumed().unwrap(), Some(1));
}
