//! Idempotency: what came under which `Idempotency-Key`, kept on the disk.
//!
//! In: a key, and a hash of what came with it. Out: whether it is the first time, and else when that was and whether it was brought to its end. Refuses: the same key with
//! something else, and the same key while it is under way. Promises: a key is durable before the first event that came with it, so that after a kill -9 the same request gives the same
//! ids: the ids hold the time of the first receipt from here, and the rest is a hash of API key, `Idempotency-Key` and place. What was brought to its end is not written to the log again; what
//! may have been cut off is, under the same ids and with the flag `sent_again`, by which the consumer looks whether it is stored ([`crate::consume`]).
//!
//! A key is remembered for [`REMEMBERED_MS`], and at most [`KEYS_MAX`] of them, the oldest forgotten first. The file belongs to one app process. Several apps behind one address don't know each other's keys: there
//! events that say their `time` still have the same place in every table, whichever app takes them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::check::Refusal;
use crate::ids::EventId;
use crate::keys::Keys;
use crate::links::file::{FileError, Reader, Seen, Writer};

/// A week, as DESIGN.md has it: longer than any sender goes on trying.
pub const REMEMBERED_MS: i64 = 7 * 86_400_000;

/// So many of a week: 100 MB of memory at the most. Who sends more sends them in batches, each under one key.
pub const KEYS_MAX: usize = 1_000_000;

/// Lines that share one fsync.
const LINES_MAX: usize = 1_024;

/// The file is written anew when so many of its lines are over, and more than half.
const OVER_MIN: usize = 100_000;

/// An API key and its sender's `Idempotency-Key`, as a keyed hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(u128);

/// A hash of what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Print(u128);

fn half(hash: &blake3::Hash) -> u128 {
    u128::from_be_bytes(*hash.as_bytes().first_chunk().expect("32 bytes hold 16"))
}

impl Token {
    /// Of a key's id and its sender's word.
    pub fn of(keys: &Keys, key: &str, own: &[u8]) -> Self {
        let mut hasher = keys.submission_hasher();
        hasher.update(b"idempotency\0").update(key.as_bytes()).update(&[0]).update(own);
        Self(half(&hasher.finalize()))
    }

    /// The id of the event at this place in the request that came first at this time.
    pub fn event_id(self, keys: &Keys, index: u32, at_ms: i64) -> EventId {
        let mut hasher = keys.submission_hasher();
        hasher.update(b"event\0").update(&self.0.to_be_bytes()).update(&index.to_be_bytes());
        let hash = half(&hasher.finalize());
        let (sequence, node) = ((hash >> 32) as u32, hash as u32);
        EventId::from_parts(u64::try_from(at_ms).unwrap_or(0), sequence, node)
    }
}

impl Print {
    /// Of a body.
    pub fn of(body: &[u8]) -> Self {
        Self(half(&blake3::hash(body)))
    }
}

/// A line of the file.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    token: Token,
    print: Print,
    at_ms: i64,
    #[serde(default)]
    done: bool,
}

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It never came before.
    First,
    /// It did.
    Again {
        /// When first, milliseconds since 1970.
        at_ms: i64,
        /// True when every event of it was taken or refused for good.
        is_done: bool,
    },
}

#[derive(Default)]
struct Known {
    lines: HashMap<Token, Line>,
    /// From the oldest to the newest.
    order: VecDeque<Token>,
    under_way: HashSet<Token>,
}

impl Known {
    fn take(&mut self, line: Line) {
        if self.lines.insert(line.token, line).is_none() {
            self.order.push_back(line.token);
        }
    }

    fn forget(&mut self, now_ms: i64, keys_max: usize) {
        while let Some(oldest) = self.order.front() {
            let at_ms = self.lines.get(oldest).map_or(0, |line| line.at_ms);
            if self.order.len() <= keys_max && now_ms - at_ms < REMEMBERED_MS {
                return;
            }
            self.lines.remove(oldest);
            self.order.pop_front();
        }
    }
}

/// A line and whoever waits until it is durable.
type Waiting = (Line, Option<oneshot::Sender<bool>>);

/// The keys of a week.
#[derive(Clone)]
pub struct Memory {
    known: Arc<Mutex<Known>>,
    writing: std::sync::mpsc::SyncSender<Waiting>,
}

/// The turn of one request: while it lives, the same key waits.
pub struct Turn {
    memory: Memory,
    line: Line,
}

impl Memory {
    /// Opens the file in the data folder, and starts the thread that writes it.
    ///
    /// # Errors
    /// When another app has it, or it can't be read.
    pub fn open(data_dir: &Path, now_ms: i64) -> Result<Self, FileError> {
        let path = data_dir.join("idempotency").join("keys.jsonl");
        let mut writer = Writer::open(path.clone())?;
        let (mut known, mut lines) = (Known::default(), 0);
        let mut reader = Reader::new(path.clone());
        if let Seen::Another(end) | Seen::More(end) = reader.look()? {
            reader.read(end, |text| {
                lines += 1;
                if let Ok(line) = serde_json::from_slice::<Line>(text) {
                    known.take(line);
                }
            })?;
        }
        known.forget(now_ms, KEYS_MAX);
        if lines > OVER_MIN && lines > 2 * known.lines.len() {
            let mut batch = writer.begin_anew()?;
            for token in &known.order {
                batch.put_line(to_json(&known.lines[token]))?;
            }
            batch.commit(0)?;
        }
        let (writing, written) = std::sync::mpsc::sync_channel::<Waiting>(LINES_MAX);
        std::thread::Builder::new()
            .name("idempotency".to_owned())
            .spawn(move || write(&mut writer, &written))
            .map_err(|source| FileError::System { action: "start a thread for", path, source })?;
        Ok(Self { known: Arc::new(Mutex::new(known)), writing })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a request up. When this returns, its key is durable.
    ///
    /// # Errors
    /// As in the module's documentation; [`Refusal::LogFull`] when the key can't be kept.
    pub async fn begin(
        &self,
        token: Token,
        print: Print,
        now_ms: i64,
    ) -> Result<(Begun, Turn), Refusal> {
        let earlier = {
            let mut known = self.lock();
            known.forget(now_ms, KEYS_MAX);
            let earlier = known.lines.get(&token).copied();
            if earlier.is_some_and(|line| line.print != print) {
                return Err(Refusal::IdempotencyConflict);
            }
            if !known.under_way.insert(token) {
                return Err(Refusal::IdempotencyBusy);
            }
            earlier
        };
        let line = earlier.unwrap_or(Line { token, print, at_ms: now_ms, done: false });
        let turn = Turn { memory: self.clone(), line };
        if let Some(line) = earlier {
            return Ok((Begun::Again { at_ms: line.at_ms, is_done: line.done }, turn));
        }
        if !self.keep(line).await {
            return Err(Refusal::LogFull);
        }
        Ok((Begun::First, turn))
    }

    /// Has a line written; true when it is durable.
    async fn keep(&self, line: Line) -> bool {
        let (told, durable) = oneshot::channel();
        let writing = self.writing.clone();
        let sent = tokio::task::spawn_blocking(move || writing.send((line, Some(told))).is_ok());
        if !sent.await.unwrap_or(false) || !durable.await.unwrap_or(false) {
            return false;
        }
        self.lock().take(line);
        true
    }
}

impl Turn {
    /// Every event was taken, or refused for good: the same again is answered without the log. Lost in a kill -9 at most, which costs a second look.
    pub async fn done(mut self) {
        self.line.done = true;
        self.memory.lock().take(self.line);
        let (line, writing) = (self.line, self.memory.writing.clone());
        // Nobody waits for it: it shares the fsync of whoever comes next.
        let _ = tokio::task::spawn_blocking(move || writing.send((line, None)).is_ok()).await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.memory.lock().under_way.remove(&self.line.token);
    }
}

fn to_json(line: &Line) -> Vec<u8> {
    serde_json::to_vec(line).expect("numbers are always JSON")
}

/// Writes lines until nobody sends any more, those that wait at the same time with one fsync.
fn write(writer: &mut Writer, lines: &std::sync::mpsc::Receiver<Waiting>) {
    while let Ok(first) = lines.recv() {
        let mut group = vec![first];
        group.extend(lines.try_iter().take(LINES_MAX - 1));
        let written = writer.begin().and_then(|mut batch| {
            group.iter().try_for_each(|(line, _)| batch.put_line(to_json(line)))?;
            batch.commit(0)
        });
        if let Err(error) = &written {
            tracing::error!(%error, "idempotency keys can't be kept; requests that have one are refused");
        }
        for told in group.into_iter().filter_map(|(_, told)| told) {
            let _ = told.send(written.is_ok());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn token(number: u128) -> Token {
        Token(number)
    }

    #[tokio::test]
    async fn a_key_is_known_after_a_restart_with_its_first_time_and_whether_it_was_done() {
        let folder = tempfile::tempdir().unwrap();
        let print = Print::of(b"[1]");
        let memory = Memory::open(folder.path(), 1_000).unwrap();
        let (begun, turn) = memory.begin(token(1), print, 1_000).await.unwrap();
        assert_eq!(begun, Begun::First);
        let again = memory.begin(token(1), print, 1_001).await;
        assert_eq!(again.err(), Some(Refusal::IdempotencyBusy));
        let other = memory.begin(token(1), Print::of(b"[2]"), 1_002).await;
        assert_eq!(other.err(), Some(Refusal::IdempotencyConflict));
        drop(turn);
        drop(memory);
        let memory = reopen(folder.path()).await;
        let (begun, turn) = memory.begin(token(1), print, 2_000).await.unwrap();
        assert_eq!(begun, Begun::Again { at_ms: 1_000, is_done: false });
        turn.done().await;
        // The mark is written with whoever comes next.
        drop(memory.begin(token(2), print, 2_001).await.unwrap());
        drop(memory);
        let memory = reopen(folder.path()).await;
        let (begun, _turn) = memory.begin(token(1), print, 3_000).await.unwrap();
        assert_eq!(begun, Begun::Again { at_ms: 1_000, is_done: true });
    }

    /// The thread of the one before lets the lock go when it has seen that nobody sends any more.
    async fn reopen(folder: &Path) -> Memory {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            match Memory::open(folder, 2_000) {
                Ok(memory) => return memory,
                Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
            }
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn a_key_is_forgotten_after_a_week_or_when_there_are_too_many() {
        let mut known = Known::default();
        let line =
            |number, at_ms| Line { token: token(number), print: Print(0), at_ms, done: false };
        for number in 0..10 {
            known.take(line(number, i64::try_from(number).unwrap() * DAY_MS));
        }
        known.forget(9 * DAY_MS, 100);
        assert_eq!(known.order.front(), Some(&token(3)), "a week and no longer");
        known.forget(9 * DAY_MS, 2);
        assert_eq!((known.order.len(), known.lines.len()), (2, 2));
        assert_eq!(known.order.front(), Some(&token(8)));
    }
}
