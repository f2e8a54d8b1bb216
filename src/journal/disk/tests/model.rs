//! Random lives of a journal against a plain list: appends, crashes, cuts and flipped bits.

use super::*;
use proptest::prelude::*;
use std::fs;

/// One thing that happens to a journal.
#[derive(Clone, Debug)]
enum Act {
    /// Records of these sizes are appended; when told so, the last one's fsync is awaited.
    Append { sizes: Vec<usize>, wait: bool },
    /// The journal is closed and opened again.
    Reopen,
    /// The process is killed: what is in the files now is what there is.
    Crash,
    /// The power fails: of what was not synced an arbitrary part is gone.
    PowerCut { keep: prop::sample::Index },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let append = (prop::collection::vec(0..700usize, 1..12), any::<bool>());
    let act = prop_oneof![
        6 => append.prop_map(|(sizes, wait)| Act::Append { sizes, wait }),
        1 => Just(Act::Reopen),
        1 => Just(Act::Crash),
        1 => any::<prop::sample::Index>().prop_map(|keep| Act::PowerCut { keep }),
    ];
    prop::collection::vec(act, 1..25)
}

/// A journal, and what it must hold.
struct Life {
    _folder: tempfile::TempDir,
    directory: std::path::PathBuf,
    copies: u32,
    journal: Option<DiskJournal>,
    records: Vec<Vec<u8>>,
    /// So many of them were told «synced».
    synced: usize,
}

impl Life {
    fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("0");
        let journal = DiskJournal::open(&directory, small()).unwrap();
        let records = Vec::new();
        Self { _folder: folder, directory, copies: 0, journal: Some(journal), records, synced: 0 }
    }

    async fn act(&mut self, act: &Act) {
        match act {
            Act::Append { sizes, wait } => self.append(sizes, *wait).await,
            Act::Reopen => {
                self.journal = None;
                self.reopen();
                assert_eq!(read_all(&self.directory, 0).len(), self.records.len());
            }
            Act::Crash => self.crash(|_, _| {}),
            Act::PowerCut { keep } => self.crash(|directory, synced_bytes| {
                let last = last_segment(directory);
                let length = fs::metadata(&last).unwrap().len();
                let unsynced = length.saturating_sub(synced_bytes);
                let keep = keep.index(usize::try_from(unsynced).unwrap() + 1) as u64;
                let file = fs::OpenOptions::new().write(true).open(&last).unwrap();
                file.set_len(length - unsynced + keep).unwrap();
            }),
        }
        self.check();
    }

    async fn append(&mut self, sizes: &[usize], wait: bool) {
        let journal = self.journal.as_ref().unwrap();
        let mut last = None;
        for size in sizes {
            let mut payload = self.records.len().to_le_bytes().to_vec();
            payload.resize(8 + size, b'.');
            let ticket = append(journal, &payload);
            assert_eq!(ticket.offset(), self.records.len() as u64);
            self.records.push(payload);
            last = Some(ticket);
        }
        if let Some(ticket) = last.filter(|_| wait) {
            journal.synced(&ticket).await.unwrap();
            self.synced = self.records.len();
        }
    }

    /// Copies the files as they are, as kill -9 would leave them, and goes on with the copy.
    fn crash(&mut self, harm: impl FnOnce(&Path, u64)) {
        self.copies += 1;
        let copy = self.directory.with_file_name(self.copies.to_string());
        fs::create_dir(&copy).unwrap();
        // The position first: it is always behind the records.
        for name in ["journal.id", "synced"] {
            fs::copy(self.directory.join(name), copy.join(name)).unwrap();
        }
        let synced = DiskReader::open(&copy).unwrap().end().unwrap();
        for entry in fs::read_dir(&self.directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name().to_str().is_some_and(|name| name.ends_with(".seg")) {
                fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
            }
        }
        if crate::journal::disk::segment::list(&copy).unwrap().is_empty() {
            assert_eq!(synced, 0);
        } else {
            harm(&copy, self.synced_bytes(&copy, synced));
        }
        self.journal = None;
        self.directory = copy;
        self.reopen();
    }

    /// Bytes of the last segment that hold synced records.
    fn synced_bytes(&self, directory: &Path, synced: u64) -> u64 {
        let first = *crate::journal::disk::segment::list(directory).unwrap().last().unwrap();
        if synced <= first {
            return 0;
        }
        let records =
            &self.records[usize::try_from(first).unwrap()..usize::try_from(synced).unwrap()];
        let frames = records.iter().map(|record| record.len() as u64 + 17).sum::<u64>();
        crate::journal::disk::segment::SEGMENT_HEADER_BYTES as u64 + frames
    }

    fn reopen(&mut self) {
        let journal = DiskJournal::open(&self.directory, small()).unwrap();
        assert_eq!(journal.recovery().damaged_records, 0);
        let end = usize::try_from(journal.stats().synced_end).unwrap();
        assert!(end >= self.synced, "{end} left of {} synced", self.synced);
        self.records.truncate(end);
        self.synced = end;
        self.journal = Some(journal);
    }

    /// Each record is what was appended, in order, and nothing that was told «synced» is missing.
    fn check(&self) {
        let entries = read_all(&self.directory, 0);
        assert!(entries.len() >= self.synced, "{} read of {} synced", entries.len(), self.synced);
        for (index, entry) in entries.iter().enumerate() {
            let Entry::Record { offset, payload } = entry else { panic!("{entry:?}") };
            assert_eq!(*offset, index as u64);
            assert_eq!(*payload, self.records[index]);
        }
    }
}

fn last_segment(directory: &Path) -> std::path::PathBuf {
    let first = *crate::journal::disk::segment::list(directory).unwrap().last().unwrap();
    crate::journal::disk::segment::path(directory, first)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn what_was_synced_survives_any_life(acts in acts()) {
        let mut life = Life::begin();
        runtime().block_on(async {
            for act in &acts {
                life.act(act).await;
            }
        });
    }

    #[test]
    fn harm_is_reported_and_never_read_as_a_record(
        sizes in prop::collection::vec(0..700usize, 1..40),
        harms in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1..=255u8), 1..5),
    ) {
        let mut life = Life::begin();
        runtime().block_on(life.append(&sizes, true));
        life.journal = None;
        for (segment, position, bits) in &harms {
            let firsts = crate::journal::disk::segment::list(&life.directory).unwrap();
            let path = crate::journal::disk::segment::path(&life.directory, *segment.get(&firsts));
            let mut bytes = fs::read(&path).unwrap();
            let position = position.index(bytes.len());
            bytes[position] ^= bits;
            fs::write(&path, bytes).unwrap();
        }
        let journal = DiskJournal::open(&life.directory, small()).unwrap();
        let next = append(&journal, b"next");
        prop_assert_eq!(next.offset(), sizes.len() as u64);
        runtime().block_on(journal.synced(&next)).unwrap();
        life.records.push(b"next".to_vec());
        let mut expected = 0;
        let mut missing = 0;
        for entry in read_all(&life.directory, 0) {
            match &entry {
                Entry::Record { offset, payload } => {
                    prop_assert_eq!(*offset, expected);
                    prop_assert_eq!(payload, &life.records[usize::try_from(expected).unwrap()]);
                }
                Entry::Damaged(damage) => {
                    prop_assert_eq!(damage.first_offset, expected);
                    missing += damage.count;
                }
                Entry::Void { .. } => prop_assert!(false, "{:?}", entry),
            }
            expected = entry.next_offset();
        }
        prop_assert_eq!(expected, life.records.len() as u64);
        prop_assert!(missing <= harms.len() as u64, "{missing} records lost to {} harms", harms.len());
    }
}
