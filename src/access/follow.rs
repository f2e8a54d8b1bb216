//! Following: the book that requests read, kept as new as the home.
//!
//! In: the file of keys and users. Out: [`Access`]. Refuses: nothing: what can't be read is told in the log lines and left out. Promises: a change is seen within
//! [`LOOK_EVERY`](crate::links::followed::LOOK_EVERY); a file that can't be read leaves what was known.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::book::{Access, Book, ENTRIES_MAX};
use super::record::Change;
use crate::links::file::{FileError, Reader, Seen};
use crate::links::followed::Follow;

/// The file's place in the data folder.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("access").join("access.jsonl")
}

/// Takes a line in, or says what is wrong.
pub fn apply(book: &mut Book, line: &[u8]) {
    match serde_json::from_slice::<Change>(line) {
        Ok(change) => {
            if !book.apply(change) {
                tracing::error!(ENTRIES_MAX, "there is no room for more keys and users");
            }
        }
        Err(error) => {
            let column = error.column();
            tracing::error!(
                column,
                "a record of the keys is none that this version reads; upgrade leadtrail"
            );
        }
    }
}

/// Keeps [`Access`] as new as the file.
pub struct Follower {
    access: Arc<Access>,
    reader: Reader,
}

impl Follower {
    /// Nothing is read yet.
    pub fn new(access: Arc<Access>, path: PathBuf) -> Self {
        Self { access, reader: Reader::new(path) }
    }
}

impl Follow for Follower {
    const WHAT: &'static str = "keys and users";

    fn catch_up(&mut self) -> Result<usize, FileError> {
        let (end, anew) = match self.reader.look()? {
            Seen::Nothing => return Ok(0),
            Seen::More(end) => (end, false),
            Seen::Another(end) => (end, true),
        };
        let mut lines: Vec<Vec<u8>> = Vec::new();
        self.reader.read(end, |line| lines.push(line.to_vec()))?;
        self.access.write(|book| {
            if anew {
                *book = Book::default();
            }
            lines.iter().for_each(|line| apply(book, line));
        });
        Ok(lines.len())
    }
}
