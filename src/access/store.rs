//! The store: where keys and users are kept.
//!
//! In: changes. Out: the same, to every process that follows. Refuses: a second writer at the same time. Promises: what [`change`] confirmed is durable, and counts whole or not at all.

use anyhow::{Context as _, Result};

use super::book::Book;
use super::follow;
use super::record::Change;
use crate::config::{Config, Home};
use crate::links::file::{Reader, Seen, Writer};
use crate::links::topic::{self, ACCESS, Topic};

/// What there is.
///
/// # Errors
/// When the home can't be read.
pub fn load(config: &Config) -> Result<Book> {
    let mut book = Book::default();
    match config.log.home {
        Home::Disk => {
            let mut reader = Reader::new(follow::path(&config.data_dir));
            if let Seen::Another(end) | Seen::More(end) = reader.look()? {
                reader.read(end, |line| follow::apply(&mut book, line))?;
            }
        }
        Home::Kafka => topic::read(&config.kafka, ACCESS, |line| follow::apply(&mut book, line))
            .context("cannot read keys and users from kafka")?,
    }
    Ok(book)
}

/// Makes a change, decided with what there is while nobody else writes. Blocks.
///
/// # Errors
/// When another writes, the home can't be written, or `decide` says so.
pub fn change<T>(config: &Config, decide: impl FnOnce(&Book) -> Result<(T, Change)>) -> Result<T> {
    match config.log.home {
        Home::Disk => {
            let mut writer = Writer::open(follow::path(&config.data_dir))?;
            let (told, change) = decide(&load(config)?)?;
            let mut batch = writer.begin()?;
            batch.put_line(change.to_json())?;
            batch.commit(0)?;
            Ok(told)
        }
        Home::Kafka => {
            let mut topic = Topic::open(&config.kafka, ACCESS).context("cannot write to kafka")?;
            let (told, change) = decide(&load(config)?)?;
            let mut batch = topic.begin()?;
            batch.put_record(&change.key(), &change.to_json())?;
            batch.commit().context("the change was not committed to kafka")?;
            Ok(told)
        }
    }
}
