//! The receipts file: what the generator knows, kept so that it can be held against the warehouse
//! later, after any fault. In: each request's end. Out: one line each, appended within 100 ms by a
//! thread of its own. Text, so that `grep` reads it:
//!
//! ```text
//! leadtrail-load 1 <run> <planned> <start, ms since 1970>
//! durable     click  <run>-17  0190…-uuid  302
//! refused     form   <run>-18  -           429
//! end 60000
//! ```
//!
//! A file without its `end` line is from a generator that died: what it does not tell of is unknown.
//! Refuses to write over a file, and to read what is not such a file; a torn last line is left out.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use uuid::Uuid;

use crate::mix::Kind;
use crate::outcome::{Finished, Outcome};
use crate::requests::tag;
use crate::schedule::COUNT_MAX;

const MAGIC: &str = "leadtrail-load 1 ";
/// Blocks on their way to the disk. A disk that is slower than this for long ends the run.
const BLOCKS_MAX: usize = 64;
/// What may wait in memory when the disk does not keep up: some 600,000 lines.
const PENDING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why receipts cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptsError {
    /// The file is there already, or cannot be made.
    #[error("the receipts file {0} cannot be made; choose a new name with --receipts")]
    Create(PathBuf, #[source] std::io::Error),
    /// The disk is full or gone.
    #[error("the receipts file {0} cannot be written; the run is worth nothing without it")]
    Write(PathBuf, #[source] std::io::Error),
    /// The disk is too slow.
    #[error("the disk under {0} does not keep up with the receipts; use another or a lower --rate")]
    TooSlow(PathBuf),
    /// No such file.
    #[error("the receipts file {0} cannot be read")]
    Read(PathBuf, #[source] std::io::Error),
    /// Something else than a receipts file.
    #[error("line {line} of {path} is not of a receipts file of this version")]
    Format {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
}

/// Appends to a new receipts file.
pub struct ReceiptsWriter {
    path: PathBuf,
    run: String,
    pending: Vec<u8>,
    blocks: Option<SyncSender<Vec<u8>>>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl ReceiptsWriter {
    /// Starts a file for `run`, which has `planned` requests and begins at `start_ms`.
    ///
    /// # Errors
    /// When the file exists or cannot be made.
    pub fn create(
        path: &Path,
        run: &str,
        planned: u64,
        start_ms: u64,
    ) -> Result<Self, ReceiptsError> {
        let mut file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(path)
            .map_err(|error| ReceiptsError::Create(path.to_owned(), error))?;
        let (blocks, written) = sync_channel::<Vec<u8>>(BLOCKS_MAX);
        let thread = std::thread::spawn(move || {
            written.iter().try_for_each(|block| file.write_all(&block))?;
            file.sync_all()
        });
        let pending = format!("{MAGIC}{run} {planned} {start_ms}\n").into_bytes();
        let (blocks, thread) = (Some(blocks), Some(thread));
        Ok(Self { path: path.to_owned(), run: run.to_owned(), pending, blocks, thread })
    }

    /// Notes one request's end.
    pub fn note(&mut self, finished: &Finished) {
        let outcome = finished.outcome();
        let tag = tag(&self.run, finished.number);
        let (name, kind) = (outcome.name(), finished.kind);
        let status = finished.result.map_or(0, |answer| answer.status);
        let written = match outcome {
            Outcome::Durable(id) => writeln!(self.pending, "{name} {kind} {tag} {id} {status}"),
            _ => writeln!(self.pending, "{name} {kind} {tag} - {status}"),
        };
        written.expect("writing to memory does not fail");
    }

    /// Hands what was noted to the writing thread, without waiting.
    ///
    /// # Errors
    /// When the disk failed or is far behind.
    pub fn flush(&mut self) -> Result<(), ReceiptsError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let Some(blocks) = &self.blocks else { return Ok(()) };
        match blocks.try_send(std::mem::take(&mut self.pending)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(block)) if block.len() < PENDING_BYTES_MAX => {
                self.pending = block;
                Ok(())
            }
            Err(TrySendError::Full(_)) => Err(ReceiptsError::TooSlow(self.path.clone())),
            Err(TrySendError::Disconnected(_)) => self.join(),
        }
    }

    /// Writes the `end` line and waits until all is on the disk; what is noted later is lost.
    ///
    /// # Errors
    /// When the disk failed.
    pub fn finish(&mut self, count: u64) -> Result<(), ReceiptsError> {
        writeln!(self.pending, "end {count}").expect("writing to memory does not fail");
        if let Some(blocks) = self.blocks.take() {
            // An error here is the thread's error, which `join` gives.
            let _ = blocks.send(std::mem::take(&mut self.pending));
        }
        self.join()
    }

    fn join(&mut self) -> Result<(), ReceiptsError> {
        self.blocks = None;
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let result = thread.join().unwrap_or_else(|_| Err(std::io::Error::other("it panicked")));
        result.map_err(|error| ReceiptsError::Write(self.path.clone(), error))
    }
}

/// What is known of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What was sent.
    pub kind: Kind,
    /// What became of it.
    pub outcome: Outcome,
}

/// A receipts file, read.
#[derive(Debug, PartialEq, Eq)]
pub struct Ledger {
    /// The run's name.
    pub run: String,
    /// When it began, ms since 1970.
    pub start_ms: u64,
    /// Whether the generator came to its end; if not, what has no entry is unknown, not unsent.
    pub complete: bool,
    /// By number; as many as were planned.
    pub entries: Vec<Option<Entry>>,
}

impl Ledger {
    /// Reads a receipts file.
    ///
    /// # Errors
    /// When it cannot be read, or is something else.
    pub fn read(path: &Path) -> Result<Self, ReceiptsError> {
        let read = |error| ReceiptsError::Read(path.to_owned(), error);
        let mut text = String::new();
        std::io::Read::read_to_string(&mut File::open(path).map_err(read)?, &mut text)
            .map_err(read)?;
        Self::parse(&text).map_err(|line| ReceiptsError::Format { path: path.to_owned(), line })
    }

    /// The run's requests whose receipt promises a row.
    pub fn durable(&self) -> impl Iterator<Item = (u64, Kind, Uuid)> {
        self.entries.iter().zip(0..).filter_map(|(entry, number)| match entry {
            Some(Entry { kind, outcome: Outcome::Durable(id) }) => Some((number, *kind, *id)),
            _ => None,
        })
    }

    fn parse(text: &str) -> Result<Self, usize> {
        // What follows the last line end is a line that was torn by a kill.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let mut lines = whole.lines().zip(1..);
        let head = lines.next().and_then(|(head, _)| head.strip_prefix(MAGIC)).ok_or(1_usize)?;
        let [run, planned, start_ms] = words(head).ok_or(1_usize)?;
        let planned: u64 = planned.parse().map_err(|_| 1_usize)?;
        if planned > COUNT_MAX {
            return Err(1);
        }
        let mut ledger = Self {
            run: run.to_owned(),
            start_ms: start_ms.parse().map_err(|_| 1_usize)?,
            complete: false,
            entries: vec![None; planned as usize],
        };
        for (line, number) in lines {
            if line.starts_with("end ") {
                ledger.complete = true;
                continue;
            }
            let (place, entry) = ledger.entry(line).ok_or(number)?;
            let slot = ledger.entries.get_mut(place).ok_or(number)?;
            // Twice the same number would make the arithmetic lie.
            if slot.replace(entry).is_some() {
                return Err(number);
            }
        }
        Ok(ledger)
    }

    fn entry(&self, line: &str) -> Option<(usize, Entry)> {
        let [outcome, kind, tag, id, _status] = words(line)?;
        let outcome = match outcome {
            "durable" => Outcome::Durable(id.parse().ok()?),
            "unconfirmed" => Outcome::Unconfirmed,
            "refused" => Outcome::Refused,
            "unknown" => Outcome::Unknown,
            "unsent" => Outcome::Unsent,
            _ => return None,
        };
        let number = number_in(&self.run, tag)?;
        Some((usize::try_from(number).ok()?, Entry { kind: kind.parse().ok()?, outcome }))
    }
}

/// The number in a tag of `run`; `None` for any other text.
pub fn number_in(run: &str, text: &str) -> Option<u64> {
    let number: u64 = text.strip_prefix(run)?.strip_prefix('-')?.parse().ok()?;
    (tag(run, number) == text).then_some(number)
}

fn words<const COUNT: usize>(line: &str) -> Option<[&str; COUNT]> {
    let mut words = line.split(' ');
    let mut found = [""; COUNT];
    for slot in &mut found {
        *slot = words.next()?;
    }
    words.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Answer, Trouble};
    use std::time::Instant;

    fn finished(number: u64, result: Result<Answer, Trouble>) -> Finished {
        let now = Instant::now();
        Finished { number, kind: Kind::Form, planned: now, sent: Some(now), ended: now, result }
    }

    fn entry(outcome: Outcome) -> Option<Entry> {
        Some(Entry { kind: Kind::Form, outcome })
    }

    #[test]
    fn what_is_noted_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("receipts");
        let mut writer = ReceiptsWriter::create(&path, "run", 6, 1234).unwrap();
        let id = Uuid::from_u128(99);
        writer
            .note(&finished(3, Ok(Answer { status: 302, receipt: Some(id), retry_after: false })));
        writer.flush().unwrap();
        writer.note(&finished(0, Ok(Answer { status: 200, receipt: None, retry_after: false })));
        writer.note(&finished(1, Ok(Answer { status: 429, receipt: None, retry_after: false })));
        writer.note(&finished(2, Err(Trouble::TimedOut)));
        writer.note(&finished(4, Err(Trouble::Unsent)));
        writer.finish(5).unwrap();
        let ledger = Ledger::read(&path).unwrap();
        assert_eq!((ledger.run.as_str(), ledger.start_ms, ledger.complete), ("run", 1234, true));
        assert_eq!(
            ledger.entries,
            [
                entry(Outcome::Unconfirmed),
                entry(Outcome::Refused),
                entry(Outcome::Unknown),
                entry(Outcome::Durable(id)),
                entry(Outcome::Unsent),
                None
            ]
        );
        assert_eq!(ledger.durable().collect::<Vec<_>>(), [(3, Kind::Form, id)]);
        assert!(
            matches!(ReceiptsWriter::create(&path, "run", 6, 1), Err(ReceiptsError::Create(..))),
            "an old file must not be written over"
        );
    }

    #[test]
    fn a_file_cut_anywhere_is_read_up_to_its_last_whole_line() {
        let text = "leadtrail-load 1 r 3 5\nrefused form r-0 - 429\nunknown form r-2 - 0\nend 3\n";
        for length in text.find('\n').unwrap() + 1..=text.len() {
            let ledger = Ledger::parse(&text[..length]).unwrap();
            let lines = text[..length].matches('\n').count();
            assert_eq!(ledger.complete, lines == 4);
            let wanted = lines.min(3) - 1;
            assert_eq!(ledger.entries.iter().flatten().count(), wanted, "{length} bytes");
        }
    }

    #[test]
    fn other_files_are_refused_with_the_line() {
        assert_eq!(Ledger::parse("hello\n"), Err(1));
        assert_eq!(Ledger::parse(""), Err(1));
        assert_eq!(Ledger::parse("leadtrail-load 1 r x 5\n"), Err(1));
        assert_eq!(Ledger::parse("leadtrail-load 1 r 99999999999 5\n"), Err(1));
        let bad = ["refused form r-9 - 429", "lost form r-0 - 0", "refused form s-0 - 429", "x"];
        for line in bad {
            assert_eq!(Ledger::parse(&format!("leadtrail-load 1 r 3 5\n{line}\n")), Err(2));
        }
        let twice = "leadtrail-load 1 r 3 5\nunknown form r-0 - 0\nunknown form r-0 - 0\n";
        assert_eq!(Ledger::parse(twice), Err(3));
    }

    #[test]
    fn only_the_runs_own_tags_have_a_number() {
        assert_eq!(number_in("ab", "ab-17"), Some(17));
        for other in ["ab-", "ab-017", "ab-+1", "abc-1", "ab1", "xab-1", "ab-1x"] {
            assert_eq!(number_in("ab", other), None, "{other}");
        }
    }
}
