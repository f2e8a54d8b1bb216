//! Borders as the group's committed offsets, with their metadata.
//!
//! In: a border. Out: `Ok` when the coordinator holds it. Refuses: as [`KeepError`]. Promises: an answer within [`ANSWER_MAX`]. librdkafka
//! has no limit of its own: a commit that a hung broker never took can stay in its queue for ever, and while it does, the client
//! never joins the group again. So a commit without an answer costs the membership, which is then made anew with a new client. So does one
//! for a topic that was deleted since the last: its offsets went with it, and a client that did not look in between goes on where it was,
//! in a new topic whose first records it then never reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::group::Context;
use super::offsets::REQUEST;
use super::{LogError, lock};
use crate::consume::assignment::{Border, KeepError};

/// How long the coordinator has to answer a commit: less than a worker has to let go of its partition.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// Keeps borders in the group's committed offsets.
#[derive(Clone)]
pub struct Keeper {
    pub(super) consumer: Arc<BaseConsumer<Context>>,
    pub(super) topic: String,
    pub(super) partition: i32,
    /// Whether the coordinator holds an offset of the partition.
    pub(super) holds_offset: Arc<AtomicBool>,
}

impl Keeper {
    /// Commits a border; the coordinator refuses one from a member that was replaced.
    pub async fn keep(&self, border: Border) -> Result<(), KeepError> {
        let keeper = self.clone();
        let task = tokio::task::spawn_blocking(move || keeper.commit(border));
        match tokio::time::timeout(ANSWER_MAX, task).await {
            Ok(answer) => answer.map_err(|error| KeepError::Later(error.to_string()))?,
            Err(_) => {
                *lock(&self.consumer.context().failure) =
                    Some(LogError::Silent { partition: self.partition, waited: ANSWER_MAX });
                Err(KeepError::Lost("the coordinator does not answer".to_owned()))
            }
        }
    }

    fn commit(&self, border: Border) -> Result<(), KeepError> {
        self.look_for_the_last()?;
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(&self.topic, self.partition);
        let offset = Offset::Offset(i64::try_from(border.from).unwrap_or(i64::MAX));
        element.set_offset(offset).map_err(|error| KeepError::Later(error.to_string()))?;
        element.set_metadata(border.metadata());
        match self.consumer.commit(&list, CommitMode::Sync) {
            Ok(()) => {
                self.holds_offset.store(true, Ordering::Release);
                Ok(())
            }
            Err(error) => match error.rdkafka_error_code() {
                Some(
                    RDKafkaErrorCode::IllegalGeneration
                    | RDKafkaErrorCode::UnknownMemberId
                    | RDKafkaErrorCode::FencedInstanceId
                    | RDKafkaErrorCode::AssignmentLost,
                ) => Err(KeepError::Lost(error.to_string())),
                Some(RDKafkaErrorCode::UnknownTopicOrPartition) => Err(self.topic_is_gone()),
                _ => Err(KeepError::Later(error.to_string())),
            },
        }
    }

    /// What was read since the last commit is of the same topic only while that commit's offset is still there.
    fn look_for_the_last(&self) -> Result<(), KeepError> {
        if !self.holds_offset.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, self.partition);
        let found = self
            .consumer
            .committed_offsets(list, REQUEST)
            .map_err(|error| KeepError::Later(error.to_string()))?;
        let is_there = |element: &TopicPartitionListElem<'_>| {
            element.error().is_err() || matches!(element.offset(), Offset::Offset(_))
        };
        if found.elements().iter().all(is_there) { Ok(()) } else { Err(self.topic_is_gone()) }
    }

    /// No rebalance follows where the topic was made anew before the client asked for it again: it never hears that it was gone.
    fn topic_is_gone(&self) -> KeepError {
        let gone = LogError::Gone { partition: self.partition };
        let reason = gone.to_string();
        *lock(&self.consumer.context().failure) = Some(gone);
        KeepError::Lost(reason)
    }
}
