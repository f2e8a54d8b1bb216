//! The disk journal beside two libraries that could take its place: redb and fjall.
//!
//! In: nothing, or `--seconds N` for each run. Out: Markdown tables on standard output, for
//! loadtest/RESULTS.md. Promises: every store gets the same records, the same waiters and the same
//! group commit: whatever waits becomes durable together, at the journal's own pace, on a thread
//! that is not the runtime's. «nothing» is the generator alone.
//!
//! Run with `cargo bench --bench journal_bench`. Everything lies in a folder under `target`, which
//! is removed.

mod libraries;

use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use leadtrail::journal::disk::{DiskJournal, DiskReader, Options, SpillJournal};

use libraries::{Fjall, Grouped, Redb};

const RECORD_BYTES: usize = 600;
/// As many as keep-alive connections in the numbers of the design.
const APPENDERS_PACED: u32 = 256;
/// Enough that the stores and not the pauses between commits are the limit.
const APPENDERS_CLOSED: u32 = 2048;
/// The journal's pace: commits start so far apart, and the second when the last one covered more
/// than so many.
const COMMIT_INTERVAL: Duration = Duration::from_millis(1);
const COMMIT_INTERVAL_BUSY: Duration = Duration::from_millis(3);
const BUSY_RECORDS: usize = 8;
const RESTART_RECORDS: u64 = 1_700_000;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--seconds").skip(1);
    let seconds =
        arguments.next().map_or(Ok(5), |seconds| seconds.parse()).context("--seconds N")?;
    let run = Duration::from_secs(seconds);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build()?;
    println!("Records of {RECORD_BYTES} bytes, {seconds} s a run.\n");
    println!(
        "| store | load | durable/s | wait p50 | p99 | CPU µs/record | disk bytes/record | read back, records/s |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for load in [Load::Paced(1000), Load::Paced(10_000), Load::Closed] {
        if load != Load::Closed {
            measure(&runtime, "nothing", load, run, |_| Ok(Nothing))?;
        }
        measure(&runtime, "own journal", load, run, Own::open)?;
        measure(&runtime, "redb 4.5.0", load, run, |path| Grouped::open(Redb::open(path)?))?;
        measure(&runtime, "fjall 3.1.13", load, run, |path| Grouped::open(Fjall::open(path)?))?;
    }
    restart(&runtime)
}

/// How records come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    /// At a fixed rate a second.
    Paced(u32),
    /// Each appender appends again as soon as its record is durable.
    Closed,
}

impl Load {
    fn appenders(self) -> u32 {
        match self {
            Self::Paced(_) => APPENDERS_PACED,
            Self::Closed => APPENDERS_CLOSED,
        }
    }
}

/// Something that makes records durable.
trait Store: Send + Sync + 'static {
    /// Returns when the record is durable.
    fn append(&self, payload: &[u8]) -> impl Future<Output = ()> + Send;
    /// Reads every record; gives their number.
    fn read_all(&self) -> Result<u64>;
}

fn measure<S: Store>(
    runtime: &tokio::runtime::Runtime,
    name: &str,
    load: Load,
    run: Duration,
    open: impl FnOnce(&Path) -> Result<S>,
) -> Result<()> {
    let folder = tempfile::tempdir_in("target")?;
    let store = Arc::new(open(folder.path())?);
    let cpu_before = cpu();
    let started = Instant::now();
    let deadline = started + run;
    let mut waits: Vec<u32> = runtime.block_on(async {
        let appenders: Vec<_> = (0..load.appenders())
            .map(|appender| {
                tokio::spawn(append_until(Arc::clone(&store), load, appender, deadline))
            })
            .collect();
        let mut waits = Vec::new();
        for appender in appenders {
            waits.extend(appender.await.expect("no appender panics"));
        }
        waits
    });
    let seconds = started.elapsed().as_secs_f64();
    let records = waits.len() as u64;
    let cpu_us = (cpu() - cpu_before).as_secs_f64() * 1e6 / records as f64;
    waits.sort_unstable();
    let milliseconds = |part: f64| f64::from(waits[(waits.len() as f64 * part) as usize]) / 1000.0;
    let disk_bytes = bytes_in(folder.path())? / records;
    let reading = Instant::now();
    let read = store.read_all()?;
    let read_rate = read as f64 / reading.elapsed().as_secs_f64();
    ensure!(read == records || name == "nothing", "{name} gave {read} of {records} records back");
    let load = match load {
        Load::Paced(rate) => format!("{rate}/s, {APPENDERS_PACED} appenders"),
        Load::Closed => format!("closed loop, {APPENDERS_CLOSED} appenders"),
    };
    println!(
        "| {name} | {load} | {:.0} | {:.2} ms | {:.2} ms | {cpu_us:.1} | {disk_bytes} | {read_rate:.0} |",
        records as f64 / seconds,
        milliseconds(0.5),
        milliseconds(0.99),
    );
    Ok(())
}

/// One appender; gives the wait of each of its records, in microseconds.
async fn append_until(
    store: Arc<impl Store>,
    load: Load,
    appender: u32,
    deadline: Instant,
) -> Vec<u32> {
    let payload: Vec<u8> = (0..RECORD_BYTES).map(|index| b'a' + (index % 26) as u8).collect();
    let interval = match load {
        Load::Paced(rate) => Duration::from_secs(1) * APPENDERS_PACED / rate,
        Load::Closed => Duration::ZERO,
    };
    let mut planned = Instant::now() + interval * appender / load.appenders();
    let mut waits = Vec::new();
    while Instant::now() < deadline {
        if load != Load::Closed {
            tokio::time::sleep_until(planned.into()).await;
            planned += interval;
        }
        let started = Instant::now();
        store.append(&payload).await;
        waits.push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    waits
}

/// User and system time of all threads of this process.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Bytes that the files of a folder take on disk.
fn bytes_in(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_in(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}

/// Resident memory of this process.
fn rss_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.context("VmRSS in /proc/self/status")?.parse().context("VmRSS is a number")
}

/// How long the journal takes to open again, with a gigabyte in it.
fn restart(runtime: &tokio::runtime::Runtime) -> Result<()> {
    let folder = tempfile::tempdir_in("target")?;
    let journal = DiskJournal::open(folder.path(), Options::default())?;
    let payload = [b'x'; RECORD_BYTES];
    let mut last = None;
    while journal.stats().appended_end < RESTART_RECORDS {
        match journal.append(&payload) {
            Ok(ticket) => last = Some(ticket),
            Err(_busy) => std::thread::sleep(COMMIT_INTERVAL),
        }
    }
    let last = last.context("records were appended")?;
    runtime.block_on(journal.synced(&last))?;
    let bytes = journal.stats().bytes;
    drop(journal);
    let started = Instant::now();
    let journal = DiskJournal::open(folder.path(), Options::default())?;
    let ready = started.elapsed();
    ensure!(journal.stats().synced_end == RESTART_RECORDS, "records are missing after the restart");
    drop(journal);
    let rss_before = rss_kib()?;
    let started = Instant::now();
    let spill = SpillJournal::open(folder.path(), Options::default())?;
    let spill_ready = started.elapsed();
    let pending = spill.pending().records;
    println!(
        "\nRestart with {} MB in the page cache: ready after {} ms; as a spill with {pending} \
         records pending after {} ms, with {} KiB more memory.",
        bytes >> 20,
        ready.as_millis(),
        spill_ready.as_millis(),
        rss_kib()?.saturating_sub(rss_before),
    );
    Ok(())
}

struct Nothing;

impl Store for Nothing {
    async fn append(&self, _payload: &[u8]) {}

    fn read_all(&self) -> Result<u64> {
        Ok(0)
    }
}

struct Own {
    journal: DiskJournal,
}

impl Own {
    fn open(path: &Path) -> Result<Self> {
        let options = Options { bytes_max: 64 << 30, ..Options::default() };
        Ok(Self { journal: DiskJournal::open(path, options)? })
    }
}

impl Store for Own {
    async fn append(&self, payload: &[u8]) {
        let ticket =
            self.journal.append(payload).expect("the buffer holds a record of each appender");
        self.journal.synced(&ticket).await.expect("the disk works");
    }

    fn read_all(&self) -> Result<u64> {
        let mut reader = DiskReader::open(self.journal.directory())?;
        let mut next = 0;
        loop {
            let entries = reader.read(next, 10_000, 16 << 20)?;
            let Some(last) = entries.last() else { return Ok(next) };
            next = last.next_offset();
        }
    }
}
