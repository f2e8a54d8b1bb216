//! A topic that nobody was given: a group whose members all stand by while records wait.
//!
//! In: the group as its coordinator tells it. Out: whether to join it anew. Refuses: nothing; brokers that don't answer are asked again.
//! Promises: a member without partitions stays so only while another has some, or while there is no topic.
//!
//! The member that shares the partitions out asks for the topic's metadata once. Where the topic is deleted just then, and made anew before
//! the client's next look, all partitions are given to nobody, and librdkafka finds at its next looks that nothing has changed. Fault round
//! `recreate-topic-running`, seed 11501: two records that nobody read.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::groups::GroupMemberInfo;

use super::group::Context;
use crate::config::Kafka;

/// How often a member without partitions looks.
pub(super) const EVERY: Duration = Duration::from_secs(10);

/// So many looks in a row must find it: the first may fall between a partition's going and its coming.
pub(super) const LOOKS: u32 = 2;

/// What the coordinator calls a group whose members have been told what is theirs.
const SETTLED: &str = "Stable";

/// Whether the topic is there and no member has a partition of it.
pub(super) fn is_unowned(
    consumer: &BaseConsumer<Context>,
    settings: &Kafka,
    answer_max: Duration,
) -> bool {
    let Ok(all) = consumer.fetch_group_list(Some(&settings.group), answer_max) else {
        return false;
    };
    let Some(group) = all.groups().iter().find(|group| group.name() == settings.group) else {
        return false;
    };
    let nobody_has_it = group.state() == SETTLED
        && !group.members().iter().any(|member| has_some(member, &settings.topic));
    nobody_has_it && has_partitions(consumer, &settings.topic, answer_max)
}

/// An assignment in the consumers' protocol names a topic, with its length in two bytes before it, only with partitions of it.
fn has_some(member: &GroupMemberInfo, topic: &str) -> bool {
    let length = u16::try_from(topic.len()).unwrap_or(u16::MAX).to_be_bytes();
    let named = [&length, topic.as_bytes()].concat();
    let assignment = member.assignment().unwrap_or_default();
    assignment.windows(named.len()).any(|window| window == named)
}

fn has_partitions(consumer: &BaseConsumer<Context>, topic: &str, answer_max: Duration) -> bool {
    let Ok(metadata) = consumer.fetch_metadata(Some(topic), answer_max) else { return false };
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    found.is_some_and(|found| found.error().is_none() && !found.partitions().is_empty())
}
