//! What several machines have to share: a compacted topic with the fingerprint of their keys and the salt of the day.
//!
//! In: our keys and salts. Out: leave to run beside the others, and their salt in place of ours. Refuses: keys that don't agree.
//! Promises: all machines take the same salt, the one that was proposed first, whatever compaction left of the topic: each proposal has a key
//! of its own, and offsets are for ever. A salt is proposed a day ahead, so that nobody changes it in the middle of its day, sealed
//! with the shared keys, and gets a tombstone when its two days are over.
//!
//! ```text
//!   key `keys`               the fingerprint; a later one counts if it agrees with the one before
//!   key `salt-20784-9f3c…`   a proposal for a day: the lowest offset counts
//!   key `tick`               nothing: rolls the segment, so that tombstones take effect
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::salt::{DAY_MS, SALT_DAYS_KEPT};
use super::{DailySalt, Fingerprint, KeyError, Keys, KeysDiffer, hex, random_key, seal};
use crate::config::Kafka;
use crate::journal::kafka_client::{client_config, poll};

/// How long one meeting may take.
const MEETING_MAX: Duration = Duration::from_secs(10);

/// The key of the fingerprint's record.
const KEYS: &str = "keys";

/// The key of the record that rolls the segment.
const TICK: &str = "tick";

/// What the keys of proposals begin with.
const SALT: &str = "salt-";

/// Why a meeting came to no end.
#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    /// Keys that don't agree: this process must not run beside the others.
    #[error("keys: {0}")]
    Differ(#[from] KeysDiffer),
    /// The brokers can't be reached, or refuse; it may work later.
    #[error("cannot {action} topic {topic:?}: {source}")]
    Kafka {
        /// What was tried.
        action: &'static str,
        /// On which topic.
        topic: String,
        /// What librdkafka said.
        source: KafkaError,
    },
    /// They answer too slowly.
    #[error("topic {0:?} was not read and written within {seconds} s", seconds = MEETING_MAX.as_secs())]
    Slow(String),
    /// A salt's file.
    #[error(transparent)]
    File(#[from] KeyError),
}

/// The topic, and who we are.
pub struct SharedTopic {
    settings: Kafka,
    keys: Arc<Keys>,
}

impl SharedTopic {
    /// Nothing is asked yet.
    pub fn new(settings: &Kafka, keys: Arc<Keys>) -> Self {
        Self { settings: settings.clone(), keys }
    }

    /// Compares our keys with those of the machines that run already, and publishes ours if they say more. Blocks.
    pub fn compare(&self) -> Result<(), SharedError> {
        let ours = self.keys.fingerprint();
        let board = self.read()?;
        let Some(theirs) = board.keys else {
            self.write(&[(KEYS.to_owned(), Some(to_json(ours)))])?;
            // Another may have published in the same moment: the first of the two counts, and stays when compaction takes one.
            let Some(first) = self.read()?.keys else {
                return Err(SharedError::Slow(self.settings.shared_topic.clone()));
            };
            if let Err(differ) = ours.agrees_with(&first) {
                self.write(&[(KEYS.to_owned(), Some(to_json(&first)))])?;
                return Err(differ.into());
            }
            return Ok(());
        };
        ours.agrees_with(&theirs)?;
        if ours.is_newer_than(&theirs) {
            self.write(&[(KEYS.to_owned(), Some(to_json(ours)))])?;
        }
        Ok(())
    }

    /// Takes the salts that were agreed on for today and tomorrow, proposes ours where there are none, and buries what is too old. Blocks.
    pub fn agree(&self, salt: &DailySalt, now_ms: i64) -> Result<(), SharedError> {
        let today = now_ms.div_euclid(DAY_MS);
        let mut board = self.read()?;
        let mut news = Vec::new();
        for day in [today, today + 1] {
            if board.salt(day, &self.keys).is_none() {
                let sealed = seal::seal(&self.keys.seal_key(), day, &salt.own(day)?);
                news.push((format!("{SALT}{day}-{}", hex(&random_key()[..8])), Some(sealed)));
            }
        }
        let proposed = !news.is_empty();
        news.extend(board.too_old(today).map(|key| (key, None)));
        if board.has_buried && news.is_empty() {
            news.push((TICK.to_owned(), Some(now_ms.to_string())));
        }
        self.write(&news)?;
        if proposed {
            board = self.read()?;
        }
        for day in [today, today + 1] {
            let agreed = board.salt(day, &self.keys);
            if let Some(agreed) = agreed
                && salt.adopt(day, agreed)?
            {
                tracing::info!(day, "daily salt: took the one that the other machines have");
            }
        }
        Ok(())
    }

    fn failed(&self, action: &'static str) -> impl Fn(KafkaError) -> SharedError {
        let topic = self.settings.shared_topic.clone();
        move |source| SharedError::Kafka { action, topic: topic.clone(), source }
    }

    /// Reads the topic from its beginning to the end that it has now.
    fn read(&self) -> Result<Board, SharedError> {
        let topic = &self.settings.shared_topic;
        let deadline = Instant::now() + MEETING_MAX;
        // Without a group: every process reads all of it.
        let consumer: BaseConsumer = client_config(&self.settings)
            .set("group.id", format!("{}-shared", self.settings.group))
            .set("enable.auto.commit", "false")
            // Compaction may have taken the last records: then only this says that the end is reached.
            .set("enable.partition.eof", "true")
            .create()
            .map_err(self.failed("make a consumer for"))?;
        let (low, high) = consumer
            .fetch_watermarks(topic, 0, MEETING_MAX)
            .map_err(self.failed("ask for the end of"))?;
        let mut board = Board::default();
        if low == high {
            return Ok(board);
        }
        let mut begin = TopicPartitionList::new();
        begin
            .add_partition_offset(topic, 0, Offset::Beginning)
            .and_then(|()| consumer.assign(&begin))
            .map_err(self.failed("read"))?;
        while Instant::now() < deadline {
            let message = match poll(&consumer, Duration::from_millis(50)) {
                None => continue,
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(board),
                Some(message) => message.map_err(self.failed("read"))?,
            };
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            board.take(text(message.key().unwrap_or_default()), message.payload().map(text));
            if message.offset() + 1 >= high {
                return Ok(board);
            }
        }
        Err(SharedError::Slow(topic.clone()))
    }

    fn write(&self, records: &[(String, Option<String>)]) -> Result<(), SharedError> {
        if records.is_empty() {
            return Ok(());
        }
        let producer: BaseProducer = client_config(&self.settings)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", MEETING_MAX.as_millis().to_string())
            .create()
            .map_err(self.failed("make a producer for"))?;
        for (key, value) in records {
            let record =
                BaseRecord::<str, str>::to(&self.settings.shared_topic).partition(0).key(key);
            let record = value.iter().fold(record, |record, value| record.payload(value));
            producer.send(record).map_err(|(error, _)| self.failed("write to")(error))?;
        }
        producer.flush(MEETING_MAX).map_err(self.failed("write to"))
    }
}

fn to_json(fingerprint: &Fingerprint) -> String {
    serde_json::to_string(fingerprint).expect("strings are always JSON")
}

/// What the topic says, read in its order.
#[derive(Debug, Default)]
struct Board {
    keys: Option<Fingerprint>,
    /// For each day the proposals that stand, the first one first: record key and sealed salt.
    salts: BTreeMap<i64, Vec<(String, String)>>,
    /// True when what a tombstone covers is still there, because its segment was not compacted yet.
    has_buried: bool,
    seen: BTreeSet<String>,
}

impl Board {
    /// Takes the next record.
    fn take(&mut self, key: String, value: Option<String>) {
        if key == KEYS {
            let fingerprint: Option<Fingerprint> =
                value.and_then(|value| serde_json::from_str(&value).ok());
            let counts = |theirs: &Fingerprint| {
                self.keys.as_ref().is_none_or(|before| theirs.agrees_with(before).is_ok())
            };
            if let Some(fingerprint) = fingerprint.filter(counts) {
                self.keys = Some(fingerprint);
            }
            return;
        }
        let Some(day) = day_of(&key) else { return };
        let proposals = self.salts.entry(day).or_default();
        proposals.retain(|(known, _)| *known != key);
        match value {
            Some(sealed) => {
                self.seen.insert(key.clone());
                proposals.push((key, sealed));
            }
            None => self.has_buried |= self.seen.contains(&key),
        }
    }

    /// The salt that counts: the first that our keys open.
    fn salt(&self, day: i64, keys: &Keys) -> Option<[u8; 32]> {
        let proposals = self.salts.get(&day)?;
        proposals.iter().find_map(|(_, sealed)| seal::open(&keys.seal_key(), day, sealed))
    }

    /// The keys of proposals whose time is over.
    fn too_old(&self, today: i64) -> impl Iterator<Item = String> {
        let old = self.salts.range(..today - SALT_DAYS_KEPT);
        old.flat_map(|(_, proposals)| proposals.iter().map(|(key, _)| key.clone()))
    }
}

/// The day of a proposal's key, `salt-20784-9f3c…`.
fn day_of(key: &str) -> Option<i64> {
    key.strip_prefix(SALT)?.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> (tempfile::TempDir, Keys) {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path()).unwrap();
        (folder, keys)
    }

    fn board(records: &[(&str, Option<&str>)]) -> Board {
        let mut board = Board::default();
        for (key, value) in records {
            board.take((*key).to_owned(), value.map(str::to_owned));
        }
        board
    }

    #[test]
    fn the_first_proposal_that_our_keys_open_counts_whatever_comes_later() {
        let (_folder, keys) = keys();
        let sealed = |salt| seal::seal(&keys.seal_key(), 10, &[salt; 32]);
        let foreign = seal::seal(&[9; 32], 10, &[9; 32]);
        let (first, second) = (sealed(1), sealed(2));
        let agreed = board(&[
            ("salt-10-x", Some(&foreign)),
            ("salt-10-a", Some(&first)),
            ("salt-10-b", Some(&second)),
            ("salt-11-c", Some(&second)),
        ]);
        assert_eq!(agreed.salt(10, &keys), Some([1; 32]));
        assert_eq!(agreed.salt(11, &keys), None, "sealed for another day");
        assert_eq!(agreed.salt(12, &keys), None);
    }

    #[test]
    fn a_salt_is_buried_when_its_two_days_are_over_and_a_tombstone_ends_it() {
        let (_folder, keys) = keys();
        let sealed = seal::seal(&keys.seal_key(), 10, &[1; 32]);
        let standing = board(&[("salt-10-a", Some(&sealed)), ("salt-10-b", Some(&sealed))]);
        assert_eq!(standing.too_old(11).count(), 0);
        let old: Vec<String> = standing.too_old(12).collect();
        assert_eq!(old, ["salt-10-a", "salt-10-b"]);
        assert!(!standing.has_buried);
        let buried = board(&[("salt-10-a", Some(&sealed)), ("salt-10-a", None)]);
        assert_eq!((buried.salt(10, &keys), buried.too_old(12).count()), (None, 0));
        assert!(buried.has_buried, "the segment is to be rolled");
        assert!(!board(&[("salt-10-a", None)]).has_buried, "compaction took it");
    }

    #[test]
    fn of_two_fingerprints_that_do_not_agree_the_first_counts() {
        let of =
            |folder: &tempfile::TempDir| Keys::open(folder.path()).unwrap().fingerprint().clone();
        let (one, other) = (of(&tempfile::tempdir().unwrap()), of(&tempfile::tempdir().unwrap()));
        let (one_json, other_json) = (to_json(&one), to_json(&other));
        let both = board(&[("keys", Some(&one_json)), ("keys", Some(&other_json))]);
        assert_eq!(both.keys, Some(one));
        assert_eq!(board(&[("keys", Some("{")), ("tick", Some("1"))]).keys, None);
    }
}
