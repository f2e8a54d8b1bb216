//! Following: the edge's book, kept as new as the file.
//!
//! In: the file of links. Out: [`Links`], which requests read. Refuses: nothing: what doesn't fit is told in the log lines and left out.
//! Promises: a change is seen within [`LOOK_EVERY`](super::followed::LOOK_EVERY) and the time it takes to read it; a request waits for some hundred changes at most,
//! never for a whole import; a file that can't be read leaves what was known.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use super::book::Book;
use super::file::{FileError, Reader, Seen};
use super::followed::Follow;
use super::record::Change;

/// Changes that are taken in while requests wait: some 0.1 ms.
const CHANGES_AT_ONCE: usize = 128;

/// The book that requests read.
#[derive(Default)]
pub struct Links(RwLock<Book>);

impl Links {
    /// Asks the book. Don't take long: changes wait meanwhile.
    pub fn read<T>(&self, ask: impl FnOnce(&Book) -> T) -> T {
        ask(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut Book)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Takes in some changes.
    pub fn apply(&self, changes: &[Change<'_>]) {
        self.write(|book| changes.iter().for_each(|change| apply(book, change)));
    }
}

fn apply(book: &mut Book, change: &Change<'_>) {
    if let Err(error) = book.apply(change) {
        tracing::error!(%error, "a change of the links is left out");
    }
}

/// Takes a line in, or says what is wrong with it.
fn parse(line: &[u8]) -> Option<Change<'_>> {
    match serde_json::from_slice(line) {
        Ok(change) => Some(change),
        Err(error) => {
            let column = error.column();
            tracing::error!(
                column,
                "a change of the links is none that this version reads; upgrade leadtrail"
            );
            None
        }
    }
}

/// Reads the file into a book of its own.
///
/// # Errors
/// When the file can't be read.
pub fn load(path: PathBuf) -> Result<Book, FileError> {
    let mut reader = Reader::new(path);
    match reader.look()? {
        Seen::Another(end) | Seen::More(end) => read_whole(&mut reader, end),
        Seen::Nothing => Ok(Book::default()),
    }
}

fn read_whole(reader: &mut Reader, end: u64) -> Result<Book, FileError> {
    let mut book = Book::default();
    book.reserve(usize::try_from(reader.found).unwrap_or(0));
    reader.read(end, |line| {
        if let Some(change) = parse(line) {
            apply(&mut book, &change);
        }
    })?;
    Ok(book)
}

/// Keeps [`Links`] as new as the file.
pub struct Follower {
    links: Arc<Links>,
    reader: Reader,
}

impl Follower {
    /// Nothing is read yet.
    pub fn new(links: Arc<Links>, path: PathBuf) -> Self {
        Self { links, reader: Reader::new(path) }
    }

    /// What requests read.
    pub fn links(&self) -> Arc<Links> {
        self.links.clone()
    }
}

impl Follow for Follower {
    const WHAT: &'static str = "links";

    fn catch_up(&mut self) -> Result<usize, FileError> {
        let mut count = 0;
        match self.reader.look()? {
            Seen::Nothing => {}
            // Built aside and put in place whole: a link that stands in both is never missing in between.
            Seen::Another(end) => {
                count = usize::try_from(self.reader.found).unwrap_or(usize::MAX);
                let book = read_whole(&mut self.reader, end)?;
                self.links.write(|known| *known = book);
            }
            Seen::More(end) => {
                let links = self.links.clone();
                let mut waiting: Vec<Vec<u8>> = Vec::with_capacity(CHANGES_AT_ONCE);
                let take_in = |waiting: &mut Vec<Vec<u8>>| {
                    let changes: Vec<_> = waiting.iter().filter_map(|line| parse(line)).collect();
                    links.apply(&changes);
                    drop(changes);
                    waiting.clear();
                };
                self.reader.read(end, |line| {
                    count += 1;
                    waiting.push(line.to_vec());
                    if waiting.len() == CHANGES_AT_ONCE {
                        take_in(&mut waiting);
                    }
                })?;
                take_in(&mut waiting);
            }
        }
        Ok(count)
    }
}
