//! A file of what commands make, such as links: changes, line by line, each batch ended by a line that makes it count.
//!
//! In: batches of changes. Out: the same, to whoever reads. Refuses: a second writer; lines whose check sum is wrong. Promises: a batch
//! counts whole or not at all, whatever dies in the middle; what [`Batch::commit`] confirmed is fsynced; a reader holds one line in
//! memory, never a batch.
//!
//! ```text
//!   {"link":{"number":1000000,"name":"summer", …}}
//!   {"kill":{"what":"host","name":"evil.example","on":true}}
//!   {"commit":{"changes":2,"crc":3735928559,"next":0}}
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::record::Change;

/// A change holds at most a link with some destinations: what is longer was not written by us.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// What a commit line begins with: no change does.
const COMMIT: &[u8] = b"{\"commit\":";

/// Why the file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system said no.
    #[error("cannot {action} {path:?}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another command or edge writes.
    #[error("another command is writing {0:?}; try again when it is done")]
    Busy(PathBuf),
    /// Bytes that we did not write.
    #[error("{path:?} is damaged at byte {at}; restore it from a backup, or cut it there")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where the batch begins that can't be read.
        at: u64,
    },
}

fn system(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError::System { action, path: path.to_owned(), source }
}

/// The end of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// How many lines it has.
    pub changes: u64,
    /// Of those lines.
    pub crc: u32,
    /// Where to go on in the topic that the file mirrors; 0 where it mirrors none.
    pub next: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum End {
    Commit(Commit),
}

/// The file's place in the data folder.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("links").join("links.jsonl")
}

/// Follows a file.
pub struct Reader {
    path: PathBuf,
    open: Option<(File, u64)>,
    /// The end of the last whole batch.
    at: u64,
    /// The last commit that was read.
    pub commit: Commit,
    /// How many changes the last look found.
    pub found: u64,
}

/// What a look at the file brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing new.
    Nothing,
    /// More of the same file, up to here.
    More(u64),
    /// Another file: what was read before is over.
    Another(u64),
}

impl Reader {
    /// Begins at the beginning. The file need not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, open: None, at: 0, commit: Commit::default(), found: 0 }
    }

    /// Looks for whole batches that are new. Call [`Reader::read`] with what it says.
    ///
    /// # Errors
    /// When the file can't be read, or holds a batch whose check sum is wrong.
    pub fn look(&mut self) -> Result<Seen, FileError> {
        let Some(metadata) = self.metadata()? else { return Ok(Seen::Nothing) };
        let another = self.open.as_ref().is_none_or(|(_, inode)| *inode != metadata.ino());
        if !another && metadata.len() == self.at {
            return Ok(Seen::Nothing);
        }
        if another {
            let file = File::open(&self.path).map_err(system("open", &self.path))?;
            let inode = file.metadata().map_err(system("look at", &self.path))?.ino();
            self.at = 0;
            self.commit = Commit::default();
            self.open = Some((file, inode));
        }
        let end = self.whole_batches()?;
        Ok(match (another, end == self.at) {
            (true, _) => Seen::Another(end),
            (false, true) => Seen::Nothing,
            (false, false) => Seen::More(end),
        })
    }

    /// Gives the changes up to `end`, one by one.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn read(&mut self, end: u64, mut each: impl FnMut(&[u8])) -> Result<(), FileError> {
        let mut lines = self.lines()?.take(end - self.at);
        let mut line = Vec::new();
        while next_line(&mut lines, &mut line).map_err(system("read", &self.path))? {
            if !line.starts_with(COMMIT) {
                each(&line);
            }
            line.clear();
        }
        self.at = end;
        Ok(())
    }

    fn metadata(&self) -> Result<Option<fs::Metadata>, FileError> {
        match fs::metadata(&self.path) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(system("look at", &self.path)(error)),
        }
    }

    fn lines(&self) -> Result<BufReader<&File>, FileError> {
        let Some((file, _)) = &self.open else {
            return Err(system("read", &self.path)(io::ErrorKind::NotFound.into()));
        };
        let mut file = file;
        file.seek(SeekFrom::Start(self.at)).map_err(system("read", &self.path))?;
        Ok(BufReader::with_capacity(256 << 10, file))
    }

    /// The end of the last whole batch, which may be where we are. A batch that has no end yet is left alone.
    fn whole_batches(&mut self) -> Result<u64, FileError> {
        let mut end = self.at;
        let mut position = self.at;
        let mut commit = self.commit;
        let (mut crc, mut changes, mut all) = (crc32fast::Hasher::new(), 0, 0);
        let damaged = |at| FileError::Damaged { path: self.path.clone(), at };
        let mut lines = self.lines()?;
        let mut line = Vec::new();
        while next_line(&mut lines, &mut line).map_err(system("read", &self.path))? {
            position += line.len() as u64;
            if !line.ends_with(b"\n") {
                break;
            }
            if line.starts_with(COMMIT) {
                let found = serde_json::from_slice::<End>(&line);
                let Ok(End::Commit(found)) = found else {
                    return Err(damaged(end));
                };
                if found.crc != std::mem::take(&mut crc).finalize() || found.changes != changes {
                    return Err(damaged(end));
                }
                all += changes;
                (end, changes, commit) = (position, 0, found);
            } else {
                crc.update(&line);
                changes += 1;
            }
            line.clear();
        }
        (self.commit, self.found) = (commit, all);
        Ok(end)
    }
}

fn next_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    Ok(lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', line)? > 0)
}

/// The one writer of a file.
pub struct Writer {
    path: PathBuf,
    /// The end of the last whole batch, once it is known: nobody else writes.
    end: Option<u64>,
    _lock: File,
}

impl Writer {
    /// Takes the lock.
    ///
    /// # Errors
    /// When another has it.
    pub fn open(path: PathBuf) -> Result<Self, FileError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(system("create the folder", folder))?;
        let lock = folder.join("LOCK");
        let file = private().truncate(false).open(&lock).map_err(system("open", &lock))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path, end: None, _lock: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(FileError::Busy(path)),
            Err(error) => Err(system("lock", &lock)(error.into())),
        }
    }

    /// Begins a batch after the last one that is whole; what a writer that died left behind it goes.
    ///
    /// # Errors
    /// When the file can't be written or is damaged.
    pub fn begin(&mut self) -> Result<Batch<'_>, FileError> {
        let end = match self.end {
            Some(end) => end,
            None => match Reader::new(self.path.clone()).look()? {
                Seen::Another(end) | Seen::More(end) => end,
                Seen::Nothing => 0,
            },
        };
        let path = self.path.clone();
        let open = private().truncate(false).open(&path);
        let file = open.map_err(system("open", &path))?;
        Batch::at(self, path, file, end)
    }

    /// Begins a file that takes the place of this one when it is committed.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn begin_anew(&mut self) -> Result<Batch<'_>, FileError> {
        let path = self.path.with_extension("new");
        let open = private().truncate(true).open(&path);
        let file = open.map_err(system("create", &path))?;
        Batch::at(self, path, file, 0)
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

/// Lines that count once they are committed. Dropped without, they go.
pub struct Batch<'a> {
    writer: &'a mut Writer,
    /// The writer's own, or the one that will take its place.
    path: PathBuf,
    file: BufWriter<File>,
    begin: u64,
    crc: crc32fast::Hasher,
    changes: u64,
    done: bool,
}

impl<'a> Batch<'a> {
    fn at(
        writer: &'a mut Writer,
        path: PathBuf,
        mut file: File,
        begin: u64,
    ) -> Result<Self, FileError> {
        file.set_len(begin)
            .and_then(|()| file.seek(SeekFrom::Start(begin)))
            .map_err(system("cut", &path))?;
        let file = BufWriter::with_capacity(256 << 10, file);
        let (crc, changes, done) = (crc32fast::Hasher::new(), 0, false);
        Ok(Self { writer, path, file, begin, crc, changes, done })
    }

    /// Adds a change.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn put(&mut self, change: &Change<'_>) -> Result<(), FileError> {
        self.put_line(change.to_json())
    }

    /// Adds a change that is JSON already.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn put_line(&mut self, mut line: Vec<u8>) -> Result<(), FileError> {
        line.push(b'\n');
        self.crc.update(&line);
        self.changes += 1;
        self.file.write_all(&line).map_err(system("write", &self.path))
    }

    /// Makes it count. `next` is where to go on in a topic.
    ///
    /// # Errors
    /// When it can't be written; then it doesn't count.
    pub fn commit(mut self, next: i64) -> Result<(), FileError> {
        let crc = std::mem::take(&mut self.crc).finalize();
        let end = End::Commit(Commit { changes: self.changes, crc, next });
        let mut line = serde_json::to_vec(&end).expect("numbers are always JSON");
        line.push(b'\n');
        // The changes first: after a power cut an end must not stand behind lines that were lost. The check sum tells, too.
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_data());
        let written = synced.and_then(|()| self.file.write_all(&line));
        let written = written.and_then(|()| self.file.flush());
        written
            .and_then(|()| self.file.get_ref().sync_all())
            .map_err(system("write", &self.path))?;
        let place = &self.writer.path;
        if self.path != *place {
            fs::rename(&self.path, place).map_err(system("put in place", place))?;
        }
        let folder = self.path.parent().unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(system("sync", folder))?;
        self.writer.end = self.file.get_ref().metadata().ok().map(|metadata| metadata.len());
        self.done = true;
        Ok(())
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        // Without its end it doesn't count anyway: a cut that fails is made good by the next writer.
        let _ = self.file.flush();
        let _ = self.file.get_ref().set_len(self.begin);
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
