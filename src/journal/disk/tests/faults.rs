//! Random lives on a disk that fails, hangs and fills up.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Act {
    /// Records of these sizes are appended, and what is asked of the last one.
    Append {
        sizes: Vec<usize>,
        ask: Ask,
    },
    FailSyncs(u32),
    FailWrites(u32),
    Hang,
    Resume,
    /// The process is killed, and the files are as they are.
    Crash,
    /// The power fails.
    PowerCut(Cut),
}

/// What a power cut does to what was not fsynced.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// So much of each file's unsynced end is there, in 255ths.
    kept: u8,
    /// What is kept of it is zeros: the length reached the disk before the bytes did.
    as_zeros: bool,
    /// Names that were not fsynced are there.
    keeps_names: bool,
    /// The position that readers are told is lost.
    loses_mark: bool,
}

#[derive(Clone, Copy, Debug)]
enum Ask {
    Nothing,
    Written,
    Synced,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let ask = prop_oneof![Just(Ask::Nothing), Just(Ask::Written), Just(Ask::Synced)];
    let append = (prop::collection::vec(0..600usize, 1..8), ask);
    let cut = any::<(u8, bool, bool, bool)>();
    let cut = cut.prop_map(|(kept, as_zeros, keeps_names, loses_mark)| Cut {
        kept,
        as_zeros,
        keeps_names,
        loses_mark,
    });
    let act = prop_oneof![
        8 => append.prop_map(|(sizes, ask)| Act::Append { sizes, ask }),
        2 => (1..4u32).prop_map(Act::FailSyncs),
        1 => (1..4u32).prop_map(Act::FailWrites),
        1 => Just(Act::Hang),
        2 => Just(Act::Resume),
        1 => Just(Act::Crash),
        1 => cut.prop_map(Act::PowerCut),
    ];
    prop::collection::vec(act, 1..30)
}

/// What somebody was told of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Written,
    Synced,
    Refused,
}

struct Life {
    _folder: tempfile::TempDir,
    directory: std::path::PathBuf,
    journal: DiskJournal,
    device: Arc<Faulty>,
    /// What was appended at each offset, and what was told of it.
    records: BTreeMap<u64, (Vec<u8>, Told)>,
    tickets: Vec<Ticket>,
    reader: DiskReader,
    /// What the reader was given, in order.
    seen: Vec<Entry>,
    crashes: u32,
    had_power_cut: bool,
    is_hanging: bool,
}

impl Life {
    fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("0");
        let (journal, device) = open_faulty(&directory, small());
        let reader = DiskReader::open(&directory).unwrap();
        Self {
            _folder: folder,
            directory,
            journal,
            device,
            records: BTreeMap::new(),
            tickets: Vec::new(),
            reader,
            seen: Vec::new(),
            crashes: 0,
            had_power_cut: false,
            is_hanging: false,
        }
    }

    async fn act(&mut self, act: Act) {
        match act {
            Act::Append { sizes, ask } => self.append(&sizes, ask).await,
            Act::FailSyncs(count) => self.device.set(|script| script.syncs_to_fail = count),
            Act::FailWrites(count) => self.device.set(|script| script.writes_to_fail = count),
            Act::Hang => self.hang(true),
            Act::Resume => self.hang(false),
            Act::Crash => self.crash(None),
            Act::PowerCut(cut) => self.crash(Some(cut)),
        }
        self.read_on();
    }

    /// Reads what is new, with a reader that lives as long as the process.
    fn read_on(&mut self) {
        let next = self.seen.last().map_or(0, Entry::next_offset);
        self.seen.extend(self.reader.read(next, 5, 2000).unwrap());
    }

    fn hang(&mut self, hang: bool) {
        self.is_hanging = hang;
        self.device.set(|script| script.hang_syncs = hang);
    }

    async fn append(&mut self, sizes: &[usize], ask: Ask) {
        let mut last = None;
        for size in sizes {
            let Ok(ticket) = self.journal.append(&vec![b'x'; *size]) else { continue };
            let before = self.records.insert(ticket.offset(), (vec![b'x'; *size], Told::Nothing));
            assert!(before.is_none_or(|(_, told)| told != Told::Synced), "an offset given twice");
            self.tickets.push(ticket.clone());
            last = Some(ticket);
        }
        let Some(ticket) = last else { return };
        let told = match ask {
            Ask::Written => in_time(self.journal.written(&ticket)).await.map(|()| Told::Written),
            Ask::Synced if !self.is_hanging => {
                in_time(self.journal.synced(&ticket)).await.map(|()| Told::Synced)
            }
            Ask::Synced | Ask::Nothing => Ok(Told::Nothing),
        };
        self.records.get_mut(&ticket.offset()).unwrap().1 = told.unwrap_or(Told::Refused);
    }

    /// Goes on with a copy of the files. What was refused before the crash may show up after it.
    fn crash(&mut self, cut: Option<Cut>) {
        self.crashes += 1;
        self.had_power_cut |= cut.is_some();
        let copy = self.directory.with_file_name(self.crashes.to_string());
        // No write and no sync is under way while these are held; a repair may still put its
        // segment in place, and then the copy is made again, so that it is of one moment.
        let tail = self.journal.shared.tail();
        let script = self.device.script.lock().unwrap();
        while copy_files(&self.directory, &copy).is_none() {
            std::fs::remove_dir_all(&copy).unwrap();
        }
        // After the copy: an fsync that ends meanwhile may only add to it.
        let mut durable = self.device.durable.lock().unwrap().clone();
        drop(script);
        drop(tail);
        // The old one may have to close on a disk that still fails.
        self.hang(false);
        if let Some(cut) = cut {
            durable = cut_power(&copy, &durable, cut);
        }
        // What is not in its place yet is removed at the next start.
        durable.contents.retain(|name, _| !copy.join(name).exists() || !name.ends_with(".new"));
        (self.journal, self.device) = open_durable(&copy, small(), durable);
        self.reader = DiskReader::open(&copy).unwrap();
        self.directory = copy;
        self.tickets.clear();
        let end = self.journal.stats().appended_end;
        let lost: Vec<_> = self.records.split_off(&end).into_values().collect();
        let may_be_lost = |told: Told| match told {
            Told::Nothing | Told::Refused => true,
            Told::Written => cut.is_some(),
            Told::Synced => false,
        };
        assert!(lost.iter().all(|(_, told)| may_be_lost(*told)), "{cut:?} took {lost:?}");
        for (_, told) in self.records.values_mut().filter(|(_, told)| may_be_lost(*told)) {
            *told = Told::Nothing;
        }
    }

    /// Lets the disk work again, and compares everything with what was told.
    async fn settle(&mut self) {
        self.device.heal();
        self.is_hanging = false;
        for ticket in std::mem::take(&mut self.tickets) {
            let outcome = in_time(self.journal.synced(&ticket)).await;
            let told = &mut self.records.get_mut(&ticket.offset()).unwrap().1;
            assert!(outcome.is_ok() || !matches!(told, Told::Written | Told::Synced), "{told:?}");
            *told = outcome.map_or(Told::Refused, |()| Told::Synced);
        }
        eventually("it takes records", || self.journal.stats().refusing.is_none()).await;
        self.append(&[3], Ask::Synced).await;
        assert_eq!(self.journal.stats().records_lost, 0);

        let mut expected = 0;
        let entries = read_all(&self.directory, 0);
        for (seen, entry) in self.seen.iter().zip(&entries) {
            assert!(
                seen == entry,
                "a reader was given {:?}, not {:?}",
                seen.offsets(),
                entry.offsets()
            );
        }
        for entry in entries {
            assert_eq!(entry.offsets().start, expected);
            expected = entry.next_offset();
            match &entry {
                Entry::Record { offset, payload } => {
                    let (appended, told) = &self.records[offset];
                    assert!(payload == appended, "offset {offset} is another record");
                    assert_ne!(*told, Told::Refused, "offset {offset} was refused");
                }
                // Only a power cut damages, and only what it may take.
                Entry::Void { .. } | Entry::Damaged(_) => {
                    for (offset, (_, told)) in self.records.range(entry.offsets()) {
                        let is_right = matches!(told, Told::Refused | Told::Nothing);
                        assert!(is_right, "offset {offset} was told {told:?}: {entry:?}");
                    }
                    assert!(self.had_power_cut || matches!(entry, Entry::Void { .. }), "{entry:?}");
                }
            }
        }
        assert_eq!(Some(expected - 1), self.records.keys().next_back().copied());
    }
}

/// Copies a folder of files; none when they changed meanwhile.
fn copy_files(from: &Path, to: &Path) -> Option<()> {
    let files = || {
        let entries = std::fs::read_dir(from).unwrap().map(Result::unwrap);
        let sizes = entries.map(|entry| Some((entry.file_name(), entry.metadata().ok()?.len())));
        sizes.collect::<Option<BTreeMap<_, _>>>()
    };
    std::fs::create_dir(to).unwrap();
    let before = files()?;
    for name in before.keys() {
        std::fs::copy(from.join(name), to.join(name)).ok()?;
    }
    (files()? == before).then_some(())
}

/// Makes a copy of the files what a power cut leaves of them.
fn cut_power(directory: &Path, durable: &Durable, cut: Cut) -> Durable {
    let current = segment_names(directory);
    let mut left = Durable::default();
    for name in current.union(&durable.names) {
        let path = directory.join(name);
        let now = std::fs::read(&path).unwrap_or_default();
        std::fs::remove_file(&path).ok();
        if !cut.keeps_names && !durable.names.contains(name) {
            continue;
        }
        let mut content = durable.contents.get(name).cloned().unwrap_or_default();
        if let Some(unsynced) = now.strip_prefix(&content[..]) {
            let kept = &unsynced[..unsynced.len() * usize::from(cut.kept) / 255];
            let byte = |byte: &u8| if cut.as_zeros { 0 } else { *byte };
            content.extend(kept.iter().map(byte));
        }
        std::fs::write(&path, &content).unwrap();
        left.contents.insert(name.clone(), content);
        left.names.insert(name.clone());
    }
    if cut.loses_mark {
        std::fs::remove_file(directory.join("synced")).unwrap();
    }
    left
}

async fn in_time<T>(told: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, told).await.expect("somebody is left waiting")
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn nobody_is_told_wrong_on_a_failing_disk(acts in acts()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut life = Life::begin();
            for act in acts {
                life.act(act).await;
            }
            life.settle().await;
        });
    }
}
