//! A disk that is full: by script, and for real on a small file system.

use super::*;
use crate::journal::disk::{AppendError, JournalError};
use std::io::Write;
use std::process::Command;

#[tokio::test]
async fn a_failed_write_refuses_its_batch_leaves_nothing_half_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, device) = open_faulty(folder.path(), small());
    journal.synced(&append(&journal, b"before")).await.unwrap();
    device.set(|script| script.writes_to_fail = 1);
    let refused = append(&journal, b"refused");
    assert_eq!(journal.synced(&refused).await, Err(JournalError::Full));
    assert_eq!(journal.stats().refusal(), Some(AppendError::Full));
    eventually("it tries again", || journal.stats().refusing.is_none()).await;
    journal.synced(&append(&journal, b"after")).await.unwrap();
    assert_eq!(words(&read_all(folder.path(), 0)), ["before", "void 1", "after"]);
}

#[tokio::test]
async fn a_segment_that_cannot_be_begun_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, device) = open_faulty(folder.path(), small());
    device.set(|script| {
        (script.writes_to_fail, script.write_error) = (1, Some(io::ErrorKind::PermissionDenied));
    });
    let refused = append(&journal, b"refused");
    assert_eq!(journal.written(&refused).await, Err(JournalError::Failed));
    eventually("it tries again", || journal.stats().refusing.is_none()).await;
    journal.synced(&append(&journal, b"after")).await.unwrap();
    assert_eq!(words(&read_all(folder.path(), 0)), ["void 1", "after"]);
}

/// A file system of a few pages, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(bytes: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=700"), "none"])
            .arg(folder.path())
            .status()
            .expect("mount(8) runs: this test needs a small file system");
        assert!(
            mounted.success(),
            "cannot mount a tmpfs, so a full disk cannot be tried; run the tests as root, or in `unshare -rm`"
        );
        Self(folder)
    }
}

/// Takes all space that is left.
fn fill_up(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    let written =
        std::iter::repeat_with(|| file.write_all(&[0; 4096])).take(1000).find_map(Result::err);
    assert_eq!(written.map(|error| error.kind()), Some(io::ErrorKind::StorageFull));
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_loses_nothing_acknowledged_and_is_used_again_when_there_is_room() {
    let disk = SmallDisk::mount(256 << 10);
    let directory = disk.0.path().join("journal");
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![0; 100 << 10]).unwrap();
    let options = Options { segment_bytes_max: 64 << 10, buffer_bytes_max: 32 << 10, ..small() };
    let journal = DiskJournal::open(&directory, options).unwrap();
    // The journal believes in a larger disk, as it does when another program fills it within a
    // second.
    let believe = || journal.shared.state().used_bytes_max = u64::MAX;

    let mut acknowledged = Vec::new();
    let mut refused = 0;
    let mut number = 0;
    let deadline = Instant::now() + DEADLINE;
    while refused < 20 {
        assert!(Instant::now() < deadline, "the disk never got full");
        believe();
        number += 1;
        let payload = format!("{number:0>1500}");
        let Ok(ticket) = journal.append(payload.as_bytes()) else { continue };
        match journal.synced(&ticket).await {
            Ok(()) => acknowledged.push((ticket.offset(), payload)),
            Err(error) => {
                assert_eq!(error, JournalError::Full);
                refused += 1;
                std::fs::remove_file(&ballast).ok();
            }
        }
    }
    assert!(acknowledged.len() > 100, "{} acknowledged", acknowledged.len());
    drop(journal);
    // Not one more page is needed to start again and to read everything.
    fill_up(&ballast);
    let _journal = DiskJournal::open(&directory, small()).unwrap();
    let read = read_all(&directory, 0);
    for (offset, payload) in acknowledged {
        let found = read.iter().any(|entry| {
            matches!(entry, Entry::Record { offset: at, payload: read } if *at == offset && read == payload.as_bytes())
        });
        assert!(found, "offset {offset} was acknowledged and is gone");
    }
    assert!(read.iter().all(|entry| !matches!(entry, Entry::Damaged(_))), "{:?}", words(&read));
}
