//! Following: the book that requests read, kept as new as the home.
//!
//! In: the file of keys and users. Out: [`Access`]. Refuses: nothing: what can't be read is told in the log lines and left out. Promises: a change is seen within
//! [`LOOK_EVERY`]; a file that can't be read leaves what was known.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::book::{Access, Book, ENTRIES_MAX};
use super::record::Change;
use crate::links::file::{FileError, Reader, Seen};
use crate::stop::Stop;

/// How often the file is looked at: a `stat`, so it may be often.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);

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

    /// Takes in what is new. Blocks. True when something was.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn catch_up(&mut self) -> Result<bool, FileError> {
        let (end, anew) = match self.reader.look()? {
            Seen::Nothing => return Ok(false),
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
        Ok(true)
    }

    /// Follows until the stop.
    pub async fn follow(mut self, stop: Stop) {
        let mut told = String::new();
        loop {
            tokio::select! {
                () = stop.stopped() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let look = tokio::task::spawn_blocking(move || (self.catch_up(), self));
            let Ok((outcome, follower)) = look.await else {
                tracing::error!("following the keys panicked; what is known stays");
                return;
            };
            self = follower;
            match outcome {
                Ok(false) => {}
                Ok(true) => {
                    told.clear();
                    tracing::info!("keys and users changed");
                }
                Err(error) if error.to_string() != told => {
                    told = error.to_string();
                    tracing::error!(%error, "keys and users can't be read; what was known stays");
                }
                Err(_) => {}
            }
        }
    }
}
