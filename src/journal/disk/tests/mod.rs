//! The disk journal against a real file system, with a device in between that can be told to fail
//! or to hang.

mod crash;
mod faults;
mod full;
mod model;
mod retention;
mod spill;
mod survey;
mod syncing;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::device::{Device, Kernel};
use super::{DiskJournal, DiskReader, Entry, Options, Ticket};
use crate::cases::cases;

/// Longest wait for anything; only reached when a test fails.
const DEADLINE: Duration = Duration::from_secs(20);

/// What the next calls do.
#[derive(Default)]
struct Script {
    /// So many fsyncs fail.
    syncs_to_fail: u32,
    /// So many writes fail, with this error, after half of their bytes.
    writes_to_fail: u32,
    write_error: Option<io::ErrorKind>,
    /// Fsyncs wait while this is set.
    hang_syncs: bool,
    /// Fsyncs that wait now.
    hanging: u32,
    free_bytes: Option<u64>,
}

/// What a power cut leaves for certain: contents as of each file's last fsync, and names as of the
/// directory's.
#[derive(Clone, Debug, Default)]
struct Durable {
    contents: BTreeMap<String, Vec<u8>>,
    names: BTreeSet<String>,
    /// Bytes that a failed fsync left clean and unwritten: a later fsync says yes and skips them.
    forgotten: BTreeMap<String, BTreeSet<usize>>,
}

impl Durable {
    fn sync(&mut self, name: String, mut content: Vec<u8>) {
        for position in self.forgotten.get(&name).into_iter().flatten() {
            content.get_mut(*position).into_iter().for_each(|byte| *byte = 0);
        }
        self.contents.remove(&format!("{name}.new"));
        self.contents.insert(name, content);
    }

    fn fail_sync(&mut self, name: String, content: &[u8]) {
        let durable = self.contents.get(&name).map_or(0, Vec::len);
        self.forgotten.entry(name).or_default().extend(durable..content.len());
    }

    fn write(&mut self, name: &str, positions: std::ops::Range<usize>) {
        if let Some(forgotten) = self.forgotten.get_mut(name) {
            forgotten.retain(|position| !positions.contains(position));
        }
    }
}

fn name_of(file: &File) -> String {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// The kernel, with failures by script.
#[derive(Default)]
pub(super) struct Faulty {
    script: Mutex<Script>,
    changed: Condvar,
    durable: Mutex<Durable>,
}

impl Faulty {
    fn set(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
        self.changed.notify_all();
    }

    fn heal(&self) {
        self.set(|script| *script = Script { hanging: script.hanging, ..Script::default() });
    }

    /// Returns once an fsync waits to be let go.
    fn wait_until_hanging(&self) {
        let script = self.script.lock().unwrap();
        let waited =
            self.changed.wait_timeout_while(script, DEADLINE, |script| script.hanging == 0);
        assert!(!waited.unwrap().1.timed_out(), "no fsync came");
    }
}

impl Device for Faulty {
    fn write(&self, file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
        let mut script = self.script.lock().unwrap();
        if script.writes_to_fail > 0 && !bytes.is_empty() {
            script.writes_to_fail -= 1;
            Kernel.write(file, &bytes[..bytes.len() / 2], position)?;
            return Err(script.write_error.unwrap_or(io::ErrorKind::StorageFull).into());
        }
        drop(script);
        let start = usize::try_from(position).unwrap();
        self.durable.lock().unwrap().write(&name_of(file), start..start + bytes.len());
        Kernel.write(file, bytes, position)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let mut script = self.script.lock().unwrap();
        script.hanging += 1;
        self.changed.notify_all();
        script = self.changed.wait_while(script, |script| script.hang_syncs).unwrap();
        script.hanging -= 1;
        let content = || super::scan::read(file, 0, usize::MAX).map(|content| content.to_vec());
        if script.syncs_to_fail > 0 {
            script.syncs_to_fail -= 1;
            self.durable.lock().unwrap().fail_sync(name_of(file), &content()?);
            return Err(io::Error::other("told to fail"));
        }
        drop(script);
        Kernel.sync(file)?;
        self.durable.lock().unwrap().sync(name_of(file), content()?);
        Ok(())
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        Kernel.sync_directory(directory)?;
        let mut durable = self.durable.lock().unwrap();
        durable.names = segment_names(directory);
        for name in durable.names.clone() {
            // Its content was synced before it got its name.
            if let Some(content) = durable.contents.remove(&format!("{name}.new")) {
                durable.contents.insert(name, content);
            }
        }
        Ok(())
    }

    fn free_bytes(&self, directory: &Path) -> io::Result<u64> {
        match self.script.lock().unwrap().free_bytes {
            Some(bytes) => Ok(bytes),
            None => Kernel.free_bytes(directory),
        }
    }
}

fn small() -> Options {
    Options {
        segment_bytes_max: 4096,
        buffer_bytes_max: 2048,
        bytes_max: 1 << 20,
        free_bytes_min: 0,
        keep: Duration::MAX,
    }
}

/// Names of the segments in a folder, finished or not.
fn segment_names(directory: &Path) -> BTreeSet<String> {
    let names = std::fs::read_dir(directory).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned());
    names.filter(|name| name.contains(".seg")).collect()
}

fn open_faulty(directory: &Path, options: Options) -> (DiskJournal, Arc<Faulty>) {
    open_durable(directory, options, Durable::default())
}

/// Opens a journal on a disk of which this much survives a power cut.
fn open_durable(
    directory: &Path,
    options: Options,
    durable: Durable,
) -> (DiskJournal, Arc<Faulty>) {
    let device = Arc::new(Faulty { durable: Mutex::new(durable), ..Faulty::default() });
    let journal = DiskJournal::open_on(directory, options, Arc::clone(&device) as _).unwrap();
    (journal, device)
}

/// Appends until the buffer has room.
fn append(journal: &DiskJournal, payload: &[u8]) -> Ticket {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match journal.append(payload) {
            Ok(ticket) => return ticket,
            Err(super::AppendError::Busy) if Instant::now() < deadline => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Everything from `from` on, a few entries at a time.
fn read_all(directory: &Path, from: u64) -> Vec<Entry> {
    let mut reader = DiskReader::open(directory).unwrap();
    let mut entries = Vec::new();
    let mut next = from;
    loop {
        let read = reader.read(next, 7, 3000).unwrap();
        let Some(last) = read.last() else { return entries };
        next = last.next_offset();
        entries.extend(read);
    }
}

/// One word per entry: the payload as text, `void`, or `damage`, with counts where there is more
/// than one.
fn words(entries: &[Entry]) -> Vec<String> {
    let word = |entry: &Entry| match entry {
        Entry::Record { payload, .. } => String::from_utf8_lossy(payload).into_owned(),
        Entry::Void { count, .. } => format!("void {count}"),
        Entry::Damaged(damage) => format!("damage {} {:?}", damage.count, damage.reason),
    };
    entries.iter().map(word).collect()
}

/// Polls a condition until it holds.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "still not so: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
