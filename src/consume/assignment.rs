//! Assignment: a partition of the log in the hands of this consumer.
//!
//! In: what the log's home hands out (Kafka's consumer group, or the journal's lock). Out: an [`Assignment`]: where to begin, the
//! records, and the keeper of its borders. Refuses: to keep a border once the partition belongs to somebody else. Promises: both
//! homes look the same from here on.

use tokio::sync::{mpsc, watch};

use crate::consume::{disk, kafka};

/// Records that wait between the log's thread and the worker. With bodies of at most 64 KiB it is at most some 300 MB, with
/// ordinary events 4 MB.
pub const RECORDS_WAITING_MAX: usize = 4096;

/// A range of a partition that is to be inserted under one token: [`from`, `to`). The border is kept, with the log's epoch,
/// before the first row is sent. `from == to` means that nothing is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Border {
    /// 64 random bits: which life of the log the offsets belong to.
    pub epoch: u64,
    /// The first offset.
    pub from: u64,
    /// The first offset after the range.
    pub to: u64,
    /// A checksum of the record before `from`, with which a log that was made anew is told from the old one; 0 for none.
    pub fingerprint: u32,
}

impl Border {
    /// As it stands in Kafka's commit metadata and in the journal's position file.
    pub fn metadata(&self) -> String {
        format!("v1 {:016x} {} {:08x}", self.epoch, self.to, self.fingerprint)
    }

    /// Reads what [`Border::metadata`] wrote for the committed offset `from`.
    pub fn parse(from: u64, metadata: &str) -> Option<Self> {
        let mut words = metadata.split(' ');
        if words.next()? != "v1" {
            return None;
        }
        let epoch = u64::from_str_radix(words.next()?, 16).ok()?;
        let to: u64 = words.next()?.parse().ok()?;
        let fingerprint = u32::from_str_radix(words.next()?, 16).ok()?;
        (to >= from && words.next().is_none()).then_some(Self { epoch, from, to, fingerprint })
    }

    /// The first border of a log that nobody has read yet, with a new epoch.
    pub fn first(offset: u64) -> Result<Self, getrandom::Error> {
        Ok(Self { epoch: getrandom::u64()?.max(1), from: offset, to: offset, fingerprint: 0 })
    }
}

/// The fingerprint of a record; never 0.
pub fn fingerprint(payload: &[u8]) -> u32 {
    crc32fast::hash(payload).max(1)
}

/// What the log holds at an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A record.
    Record {
        /// Its place.
        offset: u64,
        /// The event as JSON.
        payload: Vec<u8>,
        /// Sent again after a crash: it may be stored already.
        resent: bool,
    },
    /// Offsets that hold nothing: their records were refused, and their senders know it.
    Void {
        /// The first offset.
        offset: u64,
        /// The first offset after them.
        next: u64,
    },
    /// Something that can't be read; reading goes on behind it.
    Damaged {
        /// The first offset that is lost.
        offset: u64,
        /// The first offset after the damage.
        next: u64,
        /// Where and why.
        detail: String,
        /// The unreadable bytes, for the dead letters: personal.
        raw: Vec<u8>,
    },
}

impl Entry {
    /// The entry's first offset.
    pub fn offset(&self) -> u64 {
        match self {
            Self::Record { offset, .. }
            | Self::Void { offset, .. }
            | Self::Damaged { offset, .. } => *offset,
        }
    }

    /// The first offset after the entry.
    pub fn next(&self) -> u64 {
        match self {
            Self::Record { offset, .. } => offset + 1,
            Self::Void { next, .. } | Self::Damaged { next, .. } => *next,
        }
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Record { payload, .. } => payload.len(),
            Self::Void { .. } => 0,
            Self::Damaged { raw, .. } => raw.len(),
        }
    }
}

/// Why a border could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The partition belongs to somebody else now: give the batch up.
    #[error("the partition was taken away: {0}")]
    Lost(String),
    /// It may work later.
    #[error("the border could not be kept: {0}")]
    Later(String),
}

/// Keeps borders where they survive this process.
#[derive(Clone)]
pub enum Keeper {
    /// In the consumer group's committed offsets.
    Kafka(kafka::Keeper),
    /// In the journal's position file.
    Disk(disk::Keeper),
}

impl Keeper {
    /// Keeps a border durably.
    pub async fn keep(&self, border: Border) -> Result<(), KeepError> {
        match self {
            Self::Kafka(keeper) => keeper.keep(border).await,
            Self::Disk(keeper) => keeper.keep(border).await,
        }
    }
}

/// A partition in this consumer's hands.
pub struct Assignment {
    /// Its number; the journal has only 0.
    pub partition: u16,
    /// Where the last owner was: a closed border, or one that it may have inserted in part.
    pub border: Border,
    /// The records from `border.from` on.
    pub entries: mpsc::Receiver<Entry>,
    /// Keeps this partition's borders.
    pub keeper: Keeper,
    /// True once the partition is to be given back.
    pub revoked: watch::Receiver<bool>,
    /// Dropped by the worker when it has let go.
    pub released: std::sync::mpsc::Sender<()>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_border_is_read_back_equal(epoch: u64, from in 0u64..1 << 62, rows in 0u64..50_001, fingerprint: u32) {
            let border = Border { epoch, from, to: from + rows, fingerprint };
            prop_assert_eq!(Border::parse(from, &border.metadata()), Some(border));
        }

        #[test]
        fn no_metadata_makes_the_parser_panic(from: u64, text in ".{0,60}") {
            let _ = Border::parse(from, &text);
        }
    }
}
