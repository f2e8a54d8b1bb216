//! The store: where a command writes changes.
//!
//! In: changes. Out: changes that count, all of a batch or none. Refuses: a second command at the same time. Promises: what was read
//! after [`Store::open`] is the latest, and stays so until the store is dropped, so that a number that is free then is free.

use anyhow::{Context as _, Result};

use super::book::Book;
use super::file::{self, Writer};
use super::follow;
use super::record::Change;
use super::topic::{self, Topic};
use crate::config::{Config, Home};

/// The two homes.
pub enum Store {
    /// A file in the data folder.
    File(Writer),
    /// A compacted topic.
    Topic(Box<Topic>),
}

/// What there is, for commands that only look.
///
/// # Errors
/// When the home can't be read.
pub fn load(config: &Config) -> Result<Book> {
    match config.log.home {
        Home::Disk => Ok(follow::load(file::path(&config.data_dir))?),
        Home::Kafka => topic::load(&config.kafka).context("cannot read the links from kafka"),
    }
}

impl Store {
    /// Takes the store for this command, and reads it. Blocks.
    ///
    /// # Errors
    /// When another command has it, or it can't be read.
    pub fn open(config: &Config) -> Result<(Self, Book)> {
        let store = match config.log.home {
            Home::Disk => Self::File(Writer::open(file::path(&config.data_dir))?),
            Home::Kafka => Self::Topic(Box::new(
                Topic::open(&config.kafka, topic::LINKS).context("cannot write links to kafka")?,
            )),
        };
        let book = load(config)?;
        Ok((store, book))
    }

    /// Begins a batch.
    ///
    /// # Errors
    /// When the home can't be written.
    pub fn begin(&mut self) -> Result<Batch<'_>> {
        Ok(match self {
            Self::File(writer) => Batch::File(writer.begin()?),
            Self::Topic(topic) => Batch::Topic(topic.begin()?),
        })
    }

    /// Writes the file anew when most of it is over. The topic compacts itself.
    ///
    /// # Errors
    /// When it can't be written; the old one stays.
    pub fn tidy(&mut self, book: &Book) -> Result<()> {
        let Self::File(writer) = self else { return Ok(()) };
        if book.is_mostly_old() {
            let mut batch = writer.begin_anew()?;
            book.changes().try_for_each(|change| batch.put(&change))?;
            batch.commit(0)?;
        }
        Ok(())
    }
}

/// Changes that count once they are committed. Dropped without, they go.
pub enum Batch<'a> {
    /// Lines without an end yet.
    File(file::Batch<'a>),
    /// A transaction.
    Topic(topic::Batch<'a>),
}

impl Batch<'_> {
    /// Adds a change.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn put(&mut self, change: &Change<'_>) -> Result<()> {
        match self {
            Self::File(batch) => Ok(batch.put(change)?),
            Self::Topic(batch) => Ok(batch.put(change)?),
        }
    }

    /// Makes them count.
    ///
    /// # Errors
    /// When that fails; then they don't.
    pub fn commit(self) -> Result<()> {
        match self {
            Self::File(batch) => Ok(batch.commit(0)?),
            Self::Topic(batch) => batch.commit().context("the changes were not committed to kafka"),
        }
    }
}
