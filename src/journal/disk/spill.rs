//! The disk journal as the spill beside Kafka: records wait here until their delivery strikes them.
//!
//! In: records, and strikes of delivered ones. Out: what is pending, in order, also after a
//! restart. Refuses: what the journal refuses, and more than [`PENDING_RECORDS_MAX`] pending
//! records. Promises: a record stays pending until it is struck; a strike may be lost in a crash,
//! and then its record comes again (its copy carries the header `resent`), but a record never is; a
//! segment with nothing pending in it is deleted at once, whatever is pending elsewhere.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::device::{Device, Kernel};
use super::error::{At, ReadError};
use super::frame::Kind;
use super::recovery::open_scan;
use super::scan::{self, Item};
use super::segment::{self, Header, SEGMENT_HEADER_BYTES};
use super::strikes::{self, Index, Pending, Targets};
use super::{
    AppendError, DiskJournal, DiskReader, Entry, JournalError, JournalId, OpenError, Options,
    Recovery, Stats, Ticket,
};

/// Pending records at most: their index takes 40 MB then. The byte budget is reached first unless
/// records are tiny.
pub const PENDING_RECORDS_MAX: u64 = 10_000_000;

/// Strikes are written in groups of so many, or at a strike after so long, else by the spill's
/// thread.
const STRIKES_PER_RECORD: usize = 1000;
const STRIKE_INTERVAL: Duration = Duration::from_millis(100);

/// Strikes that could not be written wait; beyond this they are dropped, and their records would be
/// sent again.
const STRIKES_WAITING_MAX: usize = 1_000_000;

/// How often the last strikes are written and segments without pending records are looked for.
const TIDY_INTERVAL: Duration = Duration::from_millis(if cfg!(test) { 30 } else { 1000 });

/// A journal whose records are struck one by one.
#[derive(Debug)]
pub struct SpillJournal {
    inner: Arc<Inner>,
    tidying: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Inner {
    journal: DiskJournal,
    recovered_below: u64,
    state: Mutex<State>,
    reader: Mutex<DiskReader>,
    closing: Condvar,
}

#[derive(Debug)]
struct State {
    index: Index,
    /// Struck here, and not yet in the log.
    waiting: Vec<u64>,
    flushed_at: Instant,
    targets: Targets,
    is_closing: bool,
}

impl SpillJournal {
    /// Opens or creates the spill in `directory`. Reads all of its segments, to find what is
    /// pending.
    pub fn open(directory: &Path, options: Options) -> Result<Self, OpenError> {
        Self::open_on(directory, options, Arc::new(Kernel))
    }

    pub(super) fn open_on(
        directory: &Path,
        options: Options,
        device: Arc<dyn Device>,
    ) -> Result<Self, OpenError> {
        let journal = DiskJournal::open_on(directory, options, device)?;
        let reader = DiskReader::open(directory)?;
        let state = State::rebuild(&journal)?;
        let recovered_below = journal.stats().appended_end;
        let (state, reader) = (Mutex::new(state), Mutex::new(reader));
        let closing = Condvar::new();
        let inner = Arc::new(Inner { journal, recovered_below, state, reader, closing });
        let tidying = std::thread::Builder::new().name("journal-spill".into()).spawn({
            let inner = Arc::clone(&inner);
            move || inner.run_tidying()
        });
        let tidying = tidying.at("start a thread of the spill", directory)?;
        Ok(Self { inner, tidying: Some(tidying) })
    }

    /// Which journal this is.
    pub fn journal_id(&self) -> JournalId {
        self.inner.journal.journal_id()
    }

    /// What was found wrong at the start.
    pub fn recovery(&self) -> Recovery {
        self.inner.journal.recovery()
    }

    /// How the journal underneath stands.
    pub fn stats(&self) -> Stats {
        self.inner.journal.stats()
    }

    /// Takes a record, as [`DiskJournal::append`] does; it is pending from now on.
    ///
    /// If it is refused later, its ticket's waiters are told, and it is no longer pending once it
    /// was looked for.
    pub fn append(&self, payload: &[u8]) -> Result<Ticket, AppendError> {
        // The lock spans both, so that no look at what is pending can miss an offset below one that
        // it saw.
        let mut state = self.inner.state();
        if state.index.records() >= PENDING_RECORDS_MAX {
            return Err(AppendError::Full);
        }
        let ticket = self.inner.journal.append(payload)?;
        state.index.mark(ticket.offset(), Instant::now());
        state.index.insert(ticket.offset(), payload.len());
        Ok(ticket)
    }

    /// See [`DiskJournal::written`].
    pub async fn written(&self, ticket: &Ticket) -> Result<(), JournalError> {
        self.inner.journal.written(ticket).await
    }

    /// See [`DiskJournal::synced`].
    pub async fn synced(&self, ticket: &Ticket) -> Result<(), JournalError> {
        self.inner.journal.synced(ticket).await
    }

    /// Strikes a record: it was delivered, or refused, and is not to be sent. Returns at once;
    /// offsets that are not pending are ignored.
    pub fn strike(&self, offset: u64) {
        self.strike_all(offset..offset + 1);
    }

    /// Strikes all pending records of a range, such as [`Entry::offsets`].
    pub fn strike_all(&self, offsets: Range<u64>) {
        let mut state = self.inner.state();
        let mut next = offsets.start;
        while let Some(offset) = state.index.next(next).filter(|offset| *offset < offsets.end) {
            state.index.strike(offset);
            state.waiting.push(offset);
            next = offset + 1;
        }
        let is_due = state.flushed_at.elapsed() >= STRIKE_INTERVAL;
        if is_due || state.waiting.len() >= STRIKES_PER_RECORD {
            self.inner.flush(&mut state);
        }
    }

    /// True while the record at this offset is pending.
    pub fn is_pending(&self, offset: u64) -> bool {
        self.inner.state().index.next(offset) == Some(offset)
    }

    /// How much is pending.
    pub fn pending(&self) -> Pending {
        self.inner.state().index.pending()
    }

    /// Records below this offset were left by an earlier process. It may have delivered some of
    /// them without striking them, so they are sent with the header `resent`.
    pub fn recovered_below(&self) -> u64 {
        self.inner.recovered_below
    }

    /// The next pending entries from offset `from` on that are synced, at most `records_max`:
    /// records to deliver, and damage for the dead letters. They stay pending until struck. Blocks
    /// on the disk.
    pub fn next_pending(&self, from: u64, records_max: usize) -> Result<Vec<Entry>, ReadError> {
        self.inner.next_pending(from, records_max)
    }

    /// Deletes at once what the spill's thread would delete within a second.
    #[cfg(test)]
    pub(super) fn delete_done(&self) {
        self.inner.delete_done();
    }
}

impl Drop for SpillJournal {
    fn drop(&mut self) {
        self.inner.state().is_closing = true;
        self.inner.closing.notify_all();
        if let Some(thread) = self.tidying.take() {
            // A panic in there was printed by its own thread; the journal itself closes in any
            // case.
            let _ = thread.join();
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the spill's state")
    }

    fn next_pending(&self, from: u64, records_max: usize) -> Result<Vec<Entry>, ReadError> {
        /// Payload bytes that one call gives at most, beside one more record.
        const BYTES_MAX: usize = 4 << 20;
        let mut reader = self.reader.lock().expect("no thread panics while it reads the spill");
        let end = reader.end()?;
        let mut found = Vec::new();
        let mut bytes = 0;
        let mut next = self.state().index.next(from);
        while let Some(offset) = next.filter(|offset| *offset < end) {
            let entries = reader.read(offset, records_max - found.len(), BYTES_MAX - bytes)?;
            let mut state = self.state();
            for entry in entries {
                let offsets = entry.offsets();
                next = state.index.next(offsets.end);
                if state.index.next(offsets.start).is_none_or(|pending| pending >= offsets.end) {
                    continue;
                }
                match &entry {
                    Entry::Record { payload, .. } => bytes += payload.len(),
                    Entry::Damaged(damage) => bytes += damage.raw.len(),
                    Entry::Void { .. } => {
                        // Refused after it was taken: its waiters know, and there is nothing to
                        // send.
                        offsets.for_each(|offset| {
                            state.index.strike(offset);
                        });
                        continue;
                    }
                }
                found.push(entry);
            }
            if found.len() >= records_max || bytes >= BYTES_MAX {
                return Ok(found);
            }
        }
        Ok(found)
    }

    /// Gives the waiting strikes to the log. If it does not take them, they wait.
    fn flush(&self, state: &mut State) {
        state.flushed_at = Instant::now();
        while !state.waiting.is_empty() {
            let from = state.waiting.len().saturating_sub(STRIKES_PER_RECORD);
            let offsets = state.waiting.split_off(from);
            let payload = strikes::encode(offsets.clone());
            match self.journal.shared.append(Kind::Strike, &payload) {
                Ok(ticket) => state.targets.insert(ticket.offset(), &payload),
                Err(_refused) => {
                    state.waiting.extend(offsets);
                    state.waiting.truncate(STRIKES_WAITING_MAX);
                    return;
                }
            }
        }
    }

    /// The thread that writes late strikes and deletes what is done.
    fn run_tidying(&self) {
        loop {
            let state = self.state();
            let waited =
                self.closing.wait_timeout_while(state, TIDY_INTERVAL, |state| !state.is_closing);
            let mut state = waited.expect("no thread panics while it holds the spill's state").0;
            self.flush(&mut state);
            let is_closing = state.is_closing;
            drop(state);
            self.delete_done();
            if is_closing {
                return;
            }
        }
    }

    /// Deletes each sealed segment that has nothing pending and whose strikes nobody needs.
    fn delete_done(&self) {
        let shared = &self.journal.shared;
        let (mut segments, synced_end) = {
            let state = shared.state();
            (state.sealed(), state.synced_end)
        };
        let mut index = 0;
        while index < segments.len() {
            let (first, end) = segments[index];
            let is_done = end <= synced_end && self.state().is_done(first..end, &segments[..index]);
            if is_done {
                shared.delete_segment(first);
                self.state().targets.forget(first..end);
                segments.remove(index);
            } else {
                index += 1;
            }
        }
    }
}

impl State {
    /// Whether a segment can go: nothing in it is pending, and no older segment would look pending
    /// without its strikes.
    fn is_done(&self, segment: Range<u64>, older: &[(u64, u64)]) -> bool {
        if self.index.next(segment.start).is_some_and(|offset| offset < segment.end) {
            return false;
        }
        !self.targets.reach(segment, older)
    }

    /// Finds what is pending in the segments of a journal that was just opened.
    fn rebuild(journal: &DiskJournal) -> Result<Self, OpenError> {
        let mut state = Self {
            index: Index::default(),
            waiting: Vec::new(),
            flushed_at: Instant::now(),
            targets: Targets::default(),
            is_closing: false,
        };
        let (sealed, last, end) = {
            let shared = journal.shared.state();
            (shared.sealed(), shared.segments.keys().next_back().copied(), shared.next_offset)
        };
        for (first, end) in sealed {
            state.rebuild_segment(journal, first, end, false)?;
        }
        if let Some(first) = last {
            state.rebuild_segment(journal, first, end, true)?;
        }
        Ok(state)
    }

    fn rebuild_segment(
        &mut self,
        journal: &DiskJournal,
        first: u64,
        end: u64,
        is_last: bool,
    ) -> Result<(), OpenError> {
        let path = segment::path(journal.directory(), first);
        let what = "look for pending records in a journal segment";
        let file = File::open(&path).at(what, &path)?;
        self.index.mark(first, created(&file, journal, first).at(what, &path)?);
        let (_, mut scan) = open_scan(file, &journal.journal_id(), first).at(what, &path)?;
        while scan.expected() < end {
            match scan.step().at(what, &path)? {
                Item::Frame { frame, payload } => match frame.kind {
                    Kind::Record => self.index.insert(frame.offset, payload.len()),
                    Kind::Void => {}
                    Kind::Strike => self.rebuild_strikes(frame.offset, &payload),
                },
                // What cannot be read may be pending: it is given out as damage, unless a later
                // strike covers it.
                Item::Damage { first, count, .. } => {
                    (first..(first + count).min(end))
                        .for_each(|offset| self.index.insert(offset, 0));
                }
                // How many records were there cannot be known, as the next segments may have been
                // deleted.
                Item::End if !is_last => break,
                Item::Tail { .. } | Item::End => {
                    self.index.insert(scan.expected(), 0);
                    break;
                }
            }
        }
        journal.shared.state().set_segment_end(first, scan.expected().min(end));
        Ok(())
    }

    fn rebuild_strikes(&mut self, offset: u64, payload: &[u8]) {
        self.targets.insert(offset, payload);
        for struck in strikes::decode(payload).flatten() {
            self.index.strike(struck);
        }
    }
}

/// When a segment was created, as far as its header can be read and the clock can be trusted.
fn created(file: &File, journal: &DiskJournal, first: u64) -> std::io::Result<Instant> {
    let now = Instant::now();
    let header = scan::read(file, 0, SEGMENT_HEADER_BYTES)?;
    let shared = &journal.shared;
    let header = Header::decode(&header, shared.seal, &shared.identity.0, first);
    Ok(header
        .and_then(|header| {
            let created = UNIX_EPOCH + Duration::from_millis(header.created_ms);
            now.checked_sub(SystemTime::now().duration_since(created).ok()?)
        })
        .unwrap_or(now))
}
