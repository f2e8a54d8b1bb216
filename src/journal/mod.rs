//! The log: where an event becomes durable.
//!
//! In: an event's record. Out: an [`Outcome`]. Refuses: when neither Kafka nor the disk can take it. Promises: what is answered
//! as durable is on Kafka (`acks=all`, idempotent producer) or fsynced in the journal, and reaches the consumer.

use std::time::Duration;

use crate::event::Event;
use crate::ids::EventId;

/// One event as the log takes it.
#[derive(Clone, Debug)]
pub struct Record {
    /// The event's id.
    pub id: EventId,
    /// The log key; see [`Event::log_key`].
    pub key: [u8; 16],
    /// The event as JSON.
    pub payload: Vec<u8>,
}

impl From<&Event> for Record {
    fn from(event: &Event) -> Self {
        Self { id: event.id, key: event.log_key(), payload: event.to_record() }
    }
}

/// How long the sender can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Until the event is durable.
    Durable,
    /// This long; then it is enough that the event is written, though not yet fsynced.
    Written(Duration),
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// On Kafka, or fsynced: a receipt may be given.
    Durable,
    /// In the journal by write(2): safe from a killed process, not yet from a power cut.
    Written,
    /// Nowhere: the disk is full or failing. The sender is told to try again.
    Refused,
}

// ---- STAND-IN, to be replaced by the lead's `Journal`: same signatures; it exists in tests only. ----

/// Makes events durable. This one is a stand-in for unit tests: it keeps records in memory and can be told what to answer.
pub enum Journal {
    /// Records in memory, and the outcome that every append has.
    #[cfg(test)]
    Memory(std::sync::Mutex<Vec<Record>>, std::sync::Mutex<Option<Outcome>>),
}

impl Journal {
    /// Appends one record.
    #[cfg_attr(not(test), expect(clippy::unused_async, reason = "stand-in"))]
    pub async fn append(&self, record: Record, patience: Patience) -> Outcome {
        match *self {
            #[cfg(test)]
            Self::Memory(ref records, ref outcome) => {
                let outcome = *outcome.lock().unwrap();
                let Some(outcome) = outcome else { return std::future::pending().await };
                if outcome != Outcome::Refused {
                    records.lock().unwrap().push(record);
                }
                let _ = patience;
                outcome
            }
            #[cfg(not(test))]
            _ => {
                let _ = (record, patience);
                unreachable!("the stand-in has no values outside tests")
            }
        }
    }

    /// Whether appends can be expected to succeed.
    pub fn ready(&self) -> Result<(), String> {
        Ok(())
    }
}
