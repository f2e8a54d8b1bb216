//! Borders as the group's committed offsets, with their metadata.
//!
//! In: a border. Out: `Ok` when the coordinator holds it. Refuses: as [`KeepError`]. Promises: an answer within [`ANSWER_MAX`]. librdkafka
//! has no limit of its own: a commit that a hung broker never took can stay in its queue for ever, and while it does, the client
//! never joins the group again. So a commit without an answer costs the membership, which is then made anew with a new client.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::group::Context;
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
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(&self.topic, self.partition);
        let offset = Offset::Offset(i64::try_from(border.from).unwrap_or(i64::MAX));
        element.set_offset(offset).map_err(|error| KeepError::Later(error.to_string()))?;
        element.set_metadata(border.metadata());
        self.consumer.commit(&list, CommitMode::Sync).map_err(|error| {
            match error.rdkafka_error_code() {
                Some(
                    RDKafkaErrorCode::IllegalGeneration
                    | RDKafkaErrorCode::UnknownMemberId
                    | RDKafkaErrorCode::FencedInstanceId
                    | RDKafkaErrorCode::AssignmentLost
                    | RDKafkaErrorCode::UnknownTopicOrPartition,
                ) => KeepError::Lost(error.to_string()),
                _ => KeepError::Later(error.to_string()),
            }
        })
    }
}
