//! What `journal check` says of whole, cut, flipped and living journals.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use super::{append, read_all};
use crate::journal::disk::{DamageSort, DiskJournal, Finding, Options, SpillJournal, Survey};

fn small() -> Options {
    Options {
        segment_bytes_max: 4096,
        buffer_bytes_max: 2048,
        bytes_max: 1 << 20,
        free_bytes_min: 0,
        ..Options::default()
    }
}

/// A journal of 60 records of 100 bytes in more than one segment, closed.
async fn written() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(folder.path(), small()).unwrap();
    for _ in 0..60 {
        journal.synced(&append(&journal, &[b'x'; 83])).await.unwrap();
    }
    folder
}

fn survey(folder: &tempfile::TempDir) -> Survey {
    Survey::of(folder.path(), false).unwrap()
}

fn flip(path: &PathBuf, position: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, position).unwrap();
    file.write_all_at(&[byte[0] ^ 1], position).unwrap();
}

fn cut(path: &PathBuf, bytes: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - bytes).unwrap();
}

fn sorts(survey: &Survey) -> Vec<(DamageSort, u64, u64)> {
    let sort = |finding: &Finding| (finding.damage, finding.first_offset, finding.lost);
    survey.findings.iter().map(sort).collect()
}

#[tokio::test]
async fn a_whole_journal_is_sound_and_every_record_is_counted() {
    let folder = written().await;
    let survey = survey(&folder);
    assert!(survey.is_sound() && survey.findings.is_empty(), "{survey:?}");
    assert!(!survey.is_written && survey.segments.len() > 1, "{survey:?}");
    assert_eq!(survey.segments.iter().map(|segment| segment.records).sum::<u64>(), 60);
    assert_eq!(survey.synced, Some(60));
}

#[tokio::test]
async fn a_flipped_bit_is_told_with_its_file_offset_and_loss() {
    let folder = written().await;
    let (first, last) = {
        let segments = survey(&folder).segments;
        (segments[0].clone(), segments.last().unwrap().clone())
    };
    // The third frame of the first segment: a header of 48 bytes, frames of 100.
    flip(&first.path, 48 + 200 + 50);
    let found = survey(&folder);
    assert_eq!(sorts(&found), [(DamageSort::Changed, 2, 1)]);
    let Finding { path, position, bytes, .. } = &found.findings[0];
    assert_eq!((path, *position, *bytes), (&first.path, 248, 100));
    assert!(!found.is_sound() && found.lost() == 1);
    // In the last frame nothing readable follows, and still it is no torn tail.
    flip(&last.path, last.bytes - 10);
    let both = sorts(&survey(&folder));
    assert_eq!(both, [(DamageSort::Changed, 2, 1), (DamageSort::Changed, 59, 1)]);
    assert_eq!(read_all(folder.path(), 0).len(), 60, "the survey changes nothing");
}

#[tokio::test]
async fn a_torn_tail_is_no_loss_and_a_cut_segment_is() {
    let folder = written().await;
    let segments = survey(&folder).segments;
    let last = segments.last().unwrap();
    // Half a frame that nobody was told of, as a crash leaves it; then zeros.
    let file = OpenOptions::new().append(true).open(&last.path).unwrap();
    std::io::Write::write_all(&mut &file, &[83, 0, 0, 0, 1, 2, 3]).unwrap();
    let found = survey(&folder);
    assert_eq!(sorts(&found), [(DamageSort::TornTail, 60, 0)]);
    assert!(found.is_sound() && found.findings[0].bytes == 7);
    cut(&last.path, 7 + 100 + 30);
    assert_eq!(sorts(&survey(&folder)), [(DamageSort::Truncated, 58, 2)]);
    cut(&segments[0].path, 100);
    let end = segments[0].end;
    assert_eq!(
        sorts(&survey(&folder)),
        [(DamageSort::Truncated, end - 1, 1), (DamageSort::Truncated, 58, 2)]
    );
    flip(&segments[0].path, 20);
    assert_eq!(sorts(&survey(&folder))[0].0, DamageSort::Header);
}

#[tokio::test]
async fn a_running_writer_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(folder.path(), small()).unwrap();
    assert!(survey(&folder).is_written);
    let writing = async {
        for _ in 0..300 {
            journal.synced(&append(&journal, &[b'x'; 83])).await.unwrap();
        }
    };
    let path = folder.path().to_owned();
    let looking = tokio::task::spawn_blocking(move || {
        for _ in 0..100 {
            let found = Survey::of(&path, false).unwrap();
            assert!(found.findings.is_empty(), "{found:?}");
        }
    });
    let ((), looked) = tokio::join!(writing, looking);
    looked.unwrap();
}

#[tokio::test]
async fn a_spill_tells_what_is_to_be_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let spill = SpillJournal::open(folder.path(), small()).unwrap();
    for _ in 0..10 {
        let ticket = spill.append(&[b'x'; 83]).unwrap();
        spill.synced(&ticket).await.unwrap();
    }
    spill.strike_all(0..4);
    drop(spill);
    let found = Survey::of(folder.path(), true).unwrap();
    let (pending, first) = found.pending.unwrap();
    assert_eq!((pending.records, pending.bytes, first), (6, 6 * 83, Some(4)));
    assert!(found.is_sound(), "{found:?}");
    assert_eq!(found.segments.iter().map(|segment| segment.records).sum::<u64>(), 10);
}
