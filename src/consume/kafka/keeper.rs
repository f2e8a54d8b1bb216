//! Borders as the group's committed offsets, with their metadata.

use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::group::Context;
use crate::consume::assignment::{Border, KeepError};

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
        task.await.map_err(|error| KeepError::Later(error.to_string()))?
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
