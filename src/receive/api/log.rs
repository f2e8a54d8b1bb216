//! The log, as the app reaches it.
//!
//! In: events. Out: what became of each, in order. Refuses: nothing by itself. Promises: [`Outcome::Durable`] means what it means at the edge; events of one batch share an fsync.
//!
//! The journal of one machine has one writer: the edge. Where the app runs in the edge's process (`leadtrail up`) it uses that journal; where it runs by itself it hands its events to the edge's ops
//! listener, signed with the installation's key, as decisions are handed over. With Kafka an app of its own is a producer of its own, with a spill of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::event::Event;
use crate::journal::{Journal, Outcome, Patience, Record};
use crate::keys::Keys;
use crate::quarantine::send;

/// How long an event waits for the log, as at the edge's doors.
const DURABLE_WAIT: Duration = Duration::from_secs(10);

/// Events of one order to the edge's ops listener, which takes a megabyte.
const ORDER_BYTES_MAX: usize = 768 * 1024;

/// Where events go.
pub enum Log {
    /// A journal of this process.
    Journal(Arc<Journal>),
    /// The edge of this machine, through its ops listener.
    Edge(SocketAddr, Arc<Keys>),
}

impl Log {
    /// Has events recorded.
    pub async fn append(&self, events: &[&Event]) -> Vec<Outcome> {
        match self {
            Self::Journal(journal) => {
                append_all(journal, events.iter().map(|event| Record::from(*event))).await
            }
            Self::Edge(ops, keys) => {
                let records: Vec<Vec<u8>> = events.iter().map(|event| event.to_record()).collect();
                let (ops, keys) = (*ops, keys.clone());
                let count = events.len();
                let sent = tokio::task::spawn_blocking(move || hand_over(ops, &keys, &records));
                sent.await.unwrap_or_else(|_| vec![Outcome::Refused; count])
            }
        }
    }
}

/// Appends all at once, so that they share a group's fsync.
pub async fn append_all(
    journal: &Arc<Journal>,
    records: impl Iterator<Item = Record>,
) -> Vec<Outcome> {
    let mut under_way = JoinSet::new();
    let mut outcomes = Vec::new();
    for (index, record) in records.enumerate() {
        outcomes.push(Outcome::Refused);
        let journal = journal.clone();
        under_way.spawn(async move {
            let append = journal.append(record, Patience::Durable);
            let outcome = tokio::time::timeout(DURABLE_WAIT, append).await;
            // Written, and never fsynced within the wait: it may survive, but that is no promise.
            (index, outcome.unwrap_or(Outcome::Written))
        });
    }
    while let Some(done) = under_way.join_next().await {
        if let Ok((index, outcome)) = done {
            outcomes[index] = outcome;
        }
    }
    outcomes
}

/// Hands records to the edge, some at a time. What it does not confirm was refused, or written without a promise: nobody can tell.
fn hand_over(ops: SocketAddr, keys: &Keys, records: &[Vec<u8>]) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(records.len());
    let mut rest = records;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|record| {
            bytes += record.len() + 1;
            bytes <= ORDER_BYTES_MAX
        });
        let (now, later) = rest.split_at(fits.count().max(1));
        let body = now.join(&b'\n');
        match send::events(ops, keys, &body) {
            Ok(answer) if answer.len() == now.len() => outcomes.extend(answer),
            Ok(_) => outcomes.extend(now.iter().map(|_| Outcome::Written)),
            Err(error) => {
                tracing::warn!(%error, "the edge did not take events");
                outcomes.extend(now.iter().map(|_| Outcome::Written));
            }
        }
        rest = later;
    }
    outcomes
}
