//! Who is told what when: written, synced, refused.

use super::*;
use crate::journal::disk::{AppendError, JournalError, OpenError, ReadError};

#[tokio::test]
async fn what_is_synced_is_read_back_in_order_by_any_reader() {
    let folder = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(folder.path(), small()).unwrap();
    let payloads: Vec<String> = (0..200).map(|number| format!("record {number}")).collect();
    let tickets: Vec<Ticket> =
        payloads.iter().map(|payload| append(&journal, payload.as_bytes())).collect();
    for (number, ticket) in tickets.iter().enumerate() {
        journal.synced(ticket).await.unwrap();
        assert_eq!(ticket.offset(), number as u64);
    }
    assert!(journal.stats().segments > 1, "the test should span segments");
    assert_eq!(words(&read_all(folder.path(), 0)), payloads);
    assert_eq!(words(&read_all(folder.path(), 117)), payloads[117..]);
    drop(journal);
    let journal = DiskJournal::open(folder.path(), small()).unwrap();
    assert_eq!(append(&journal, b"next").offset(), 200);
}

#[tokio::test]
async fn a_second_writer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(folder.path(), small()).unwrap();
    let error = DiskJournal::open(folder.path(), small()).unwrap_err();
    let us = std::process::id();
    assert!(matches!(error, OpenError::Locked { holder: Some(pid), .. } if pid == us), "{error}");
    drop(journal);
    DiskJournal::open(folder.path(), small()).unwrap();
}

#[tokio::test]
async fn a_hanging_fsync_holds_up_neither_writing_nor_a_new_segment_and_hides_both_from_readers() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, device) = open_faulty(folder.path(), small());
    device.set(|script| script.hang_syncs = true);
    let mut last = append(&journal, b"0");
    device.wait_until_hanging();
    for number in 1..40 {
        last = append(&journal, format!("{number:0>500}").as_bytes());
        journal.written(&last).await.unwrap();
    }
    assert!(journal.stats().segments > 1, "the test should span segments");
    assert_eq!(DiskReader::open(folder.path()).unwrap().end().unwrap(), 0);
    assert!(read_all(folder.path(), 0).is_empty());
    device.set(|script| script.hang_syncs = false);
    journal.synced(&last).await.unwrap();
    assert_eq!(read_all(folder.path(), 0).len(), 40);
}

#[tokio::test]
async fn a_full_buffer_is_busy_and_drains() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, device) = open_faulty(folder.path(), small());
    // The tail's lock stands for a write(2) that hangs.
    let hanging = journal.shared.tail();
    let mut taken = 0;
    let refusal = loop {
        match journal.append(&[b'x'; 100]) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refusal, AppendError::Busy);
    assert_eq!(taken, 2048 / 117);
    drop(hanging);
    let last = append(&journal, b"after");
    journal.synced(&last).await.unwrap();
    assert_eq!(read_all(folder.path(), 0).len(), taken + 1);
    drop(device);
}

#[tokio::test]
async fn a_failed_fsync_refuses_its_waiters_and_leaves_a_void() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, device) = open_faulty(folder.path(), small());
    journal.synced(&append(&journal, b"before")).await.unwrap();
    device.set(|script| script.syncs_to_fail = 1);
    let refused = append(&journal, b"refused");
    assert_eq!(journal.synced(&refused).await, Err(JournalError::Failed));
    assert_eq!(journal.written(&refused).await, Err(JournalError::Failed));
    eventually("the journal takes records again", || journal.stats().refusing.is_none()).await;
    journal.synced(&append(&journal, b"after")).await.unwrap();
    let expected = ["before", "void 1", "after"];
    assert_eq!(words(&read_all(folder.path(), 0)), expected);
    let stats = journal.stats();
    assert_eq!((stats.fsyncs_failed, stats.records_refused, stats.records_lost), (1, 1, 0));
    drop(journal);
    let journal = DiskJournal::open(folder.path(), small()).unwrap();
    assert_eq!(words(&read_all(folder.path(), 0)), expected);
    assert_eq!(append(&journal, b"").offset(), 3);
}

#[tokio::test]
async fn a_failed_fsync_of_the_very_first_records_replaces_their_segment() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, device) = open_faulty(folder.path(), small());
    let mut reader = DiskReader::open(folder.path()).unwrap();
    device.set(|script| (script.hang_syncs, script.syncs_to_fail) = (true, 1));
    let told = append(&journal, b"told");
    journal.written(&told).await.unwrap();
    device.set(|script| script.hang_syncs = false);
    journal.synced(&told).await.unwrap();
    assert_eq!(words(&reader.read(0, 10, 1000).unwrap()), ["told"]);
}

#[tokio::test]
async fn what_was_told_written_is_carried_over_a_failed_fsync() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, device) = open_faulty(folder.path(), small());
    let mut reader = DiskReader::open(folder.path()).unwrap();
    journal.synced(&append(&journal, b"before")).await.unwrap();
    assert_eq!(words(&reader.read(0, 10, 1000).unwrap()), ["before"]);
    device.set(|script| (script.hang_syncs, script.syncs_to_fail) = (true, 1));
    let first = append(&journal, b"told");
    journal.written(&first).await.unwrap();
    device.wait_until_hanging();
    let second = append(&journal, b"untold");
    device.set(|script| script.hang_syncs = false);
    journal.synced(&first).await.unwrap();
    journal.synced(&second).await.unwrap();
    // This reader has the old segment open: it must find its way into the one that replaced its
    // end.
    assert_eq!(words(&reader.read(1, 10, 1000).unwrap()), ["told", "untold"]);
    assert_eq!(words(&read_all(folder.path(), 0)), ["before", "told", "untold"]);
    assert_eq!(journal.stats().records_lost, 0);
}

#[tokio::test]
async fn a_disk_that_fails_again_is_tried_again_and_refuses_in_between() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, device) = open_faulty(folder.path(), small());
    // The first fsync, and the fresh segment's.
    device.set(|script| (script.hang_syncs, script.syncs_to_fail) = (true, 2));
    let told = append(&journal, b"told");
    journal.written(&told).await.unwrap();
    device.set(|script| script.hang_syncs = false);
    eventually("it refuses", || journal.append(b"x").err() == Some(AppendError::Failed)).await;
    journal.synced(&told).await.unwrap();
    eventually("it takes records again", || journal.stats().refusing.is_none()).await;
    journal.synced(&append(&journal, b"after")).await.unwrap();
    let read = words(&read_all(folder.path(), 0));
    assert_eq!(
        (read.first().map(String::as_str), read.last().map(String::as_str)),
        (Some("told"), Some("after"))
    );
}

#[tokio::test]
async fn closing_on_a_broken_disk_leaves_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, device) = open_faulty(folder.path(), small());
    device.set(|script| (script.hang_syncs, script.syncs_to_fail) = (true, u32::MAX));
    let told = append(&journal, b"told");
    journal.written(&told).await.unwrap();
    device.set(|script| script.hang_syncs = false);
    eventually("it refuses", || journal.stats().refusing.is_some()).await;
    journal.close();
    assert_eq!(journal.synced(&told).await, Err(JournalError::Failed));
    assert_eq!(journal.append(b"x").map(|ticket| ticket.offset()), Err(AppendError::Closed));
    drop(journal);
    let _journal = DiskJournal::open(folder.path(), small()).unwrap();
    assert_eq!(words(&read_all(folder.path(), 0)), ["told"]);
}

#[tokio::test]
async fn closing_writes_what_was_appended() {
    let folder = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(folder.path(), small()).unwrap();
    let ticket = append(&journal, b"last");
    journal.close();
    journal.synced(&ticket).await.unwrap();
    assert_eq!(words(&read_all(folder.path(), 0)), ["last"]);
}

#[tokio::test]
async fn a_reader_notices_a_wiped_journal() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("journal");
    let journal = DiskJournal::open(&directory, small()).unwrap();
    journal.synced(&append(&journal, b"old")).await.unwrap();
    let mut reader = DiskReader::open(&directory).unwrap();
    assert_eq!(reader.read(0, 10, 1000).unwrap().len(), 1);
    drop(journal);
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(matches!(reader.read(1, 10, 1000), Err(ReadError::Replaced { .. })));
    let journal = DiskJournal::open(&directory, small()).unwrap();
    journal.synced(&append(&journal, b"new")).await.unwrap();
    assert!(matches!(reader.read(1, 10, 1000), Err(ReadError::Replaced { .. })));
    assert_ne!(DiskReader::open(&directory).unwrap().journal_id(), reader.journal_id());
}

#[tokio::test]
async fn offsets_outside_the_journal_are_named_not_guessed() {
    let folder = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(folder.path(), small()).unwrap();
    journal.synced(&append(&journal, b"only")).await.unwrap();
    let mut reader = DiskReader::open(folder.path()).unwrap();
    assert_eq!(reader.read(0, 10, 1000).unwrap().len(), 1);
    let error = reader.read(5, 10, 1000).unwrap_err();
    assert!(matches!(error, ReadError::OutOfRange { wanted: 5, start: 0, end: 1, .. }), "{error}");
}

#[tokio::test]
async fn a_waiting_reader_is_told_of_what_another_thread_synced() {
    let folder = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(folder.path(), small()).unwrap();
    let reader = DiskReader::open(folder.path()).unwrap();
    assert!(!reader.wait(0, Duration::from_millis(5)).unwrap());
    let waiter = std::thread::spawn(move || reader.wait(0, DEADLINE).unwrap());
    journal.synced(&append(&journal, b"x")).await.unwrap();
    assert!(waiter.join().unwrap());
}

#[tokio::test]
async fn a_reader_that_follows_a_failing_writer_sees_each_offset_once_and_nothing_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, device) = open_faulty(folder.path(), small());
    let mut reader = DiskReader::open(folder.path()).unwrap();
    let follower = std::thread::spawn(move || {
        let mut entries: Vec<Entry> = Vec::new();
        while !matches!(entries.last(), Some(Entry::Record { payload, .. }) if *payload == b"end"[..])
        {
            let next = entries.last().map_or(0, Entry::next_offset);
            assert!(reader.wait(next, DEADLINE).unwrap(), "nothing came after offset {next}");
            entries.extend(reader.read(next, 50, 5000).unwrap());
        }
        entries
    });
    let mut appended = Vec::new();
    for number in 0..2000 {
        if number % 100 == 50 {
            device.set(|script| script.syncs_to_fail = 1);
        }
        let payload = format!("{number:0>50}");
        let ticket = append_patiently(&journal, payload.as_bytes()).await;
        let told = if number % 7 == 0 { journal.synced(&ticket).await } else { Ok(()) };
        appended.push((ticket, payload, told));
    }
    loop {
        let last = append_patiently(&journal, b"end").await;
        if journal.synced(&last).await.is_ok() {
            break;
        }
    }
    let entries = follower.join().unwrap();
    let ends = entries.iter().map(Entry::next_offset);
    let starts = entries.iter().map(|entry| entry.offsets().start);
    assert!(std::iter::once(0).chain(ends).zip(starts).all(|(end, start)| end == start));
    let mut refused = 0;
    for (ticket, payload, told) in appended {
        let outcome = journal.synced(&ticket).await;
        assert!(told.is_ok() || outcome.is_err(), "first {told:?}, then {outcome:?}");
        let offset = ticket.offset();
        let read = entries.iter().find_map(|entry| match entry {
            Entry::Record { offset: at, payload } if *at == offset => Some(payload.as_ref()),
            _ => None,
        });
        assert_eq!(read, outcome.is_ok().then_some(payload.as_bytes()), "offset {offset}");
        refused += u32::from(outcome.is_err());
    }
    assert!(refused > 0, "the test should refuse some");
}

/// Appends as soon as the journal takes records.
async fn append_patiently(journal: &DiskJournal, payload: &[u8]) -> Ticket {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match journal.append(payload) {
            Ok(ticket) => return ticket,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn too_large_a_payload_is_refused_and_the_largest_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(folder.path(), Options::default()).unwrap();
    let mut payload = vec![b'x'; crate::journal::disk::PAYLOAD_BYTES_MAX + 1];
    assert_eq!(journal.append(&payload).map(|_| ()), Err(AppendError::TooLarge));
    payload.pop();
    journal.synced(&append(&journal, &payload)).await.unwrap();
    let read = DiskReader::open(folder.path()).unwrap().read(0, 1, 1).unwrap();
    assert!(matches!(&read[..], [Entry::Record { payload: read, .. }] if *read == payload));
}
