//! A topic that nobody was given: a group whose members all stand by.
//!
//! In: the group as its coordinator tells it. Out: whether to join it anew. Refuses: nothing; brokers that don't answer are asked again.
//! Promises: a member without partitions stays so only while another has some, or while there is no topic.
//!
//! The member that shares the partitions out asks for the topic's metadata once. Where the topic is deleted just then, and made anew before
//! the client's next look, all partitions are given to nobody, and librdkafka finds at its next looks that nothing has changed. Fault round
//! `recreate-topic-running`, seed 11501: two records that nobody read.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::groups::GroupMemberInfo;

/// How often a member without partitions looks.
const EVERY: Duration = Duration::from_secs(10);

/// So many looks in a row must find it: the first may fall between a partition's going and its coming.
const LOOKS: u32 = 2;

/// What the coordinator calls a group whose members have been told what is theirs.
const SETTLED: &str = "Stable";

/// A member's looks.
pub struct Watch {
    group: String,
    topic: String,
    answer_max: Duration,
    look_at: Instant,
    seen: u32,
}

impl Watch {
    /// For a member of `group`; `answer_max` is what each of a look's two questions may take.
    pub fn of(group: &str, topic: &str, answer_max: Duration) -> Self {
        let look_at = Instant::now() + EVERY;
        Self { group: group.to_owned(), topic: topic.to_owned(), answer_max, look_at, seen: 0 }
    }

    /// Whether the topic is there and no member has a partition of it. Asks only where this one has none, and only now and then.
    pub fn finds_it<C: ConsumerContext>(
        &mut self,
        consumer: &BaseConsumer<C>,
        has_none: impl FnOnce() -> bool,
    ) -> bool {
        let now = Instant::now();
        if now < self.look_at {
            return false;
        }
        self.look_at = now + EVERY;
        self.seen = if has_none() && self.is_unowned(consumer) { self.seen + 1 } else { 0 };
        self.seen >= LOOKS
    }

    fn is_unowned<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>) -> bool {
        let Ok(all) = consumer.fetch_group_list(Some(&self.group), self.answer_max) else {
            return false;
        };
        let Some(group) = all.groups().iter().find(|group| group.name() == self.group) else {
            return false;
        };
        let nobody_has_it = group.state() == SETTLED
            && !group.members().iter().any(|member| has_some(member, &self.topic));
        nobody_has_it && self.has_partitions(consumer)
    }

    fn has_partitions<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>) -> bool {
        let Ok(metadata) = consumer.fetch_metadata(Some(&self.topic), self.answer_max) else {
            return false;
        };
        let found = metadata.topics().iter().find(|found| found.name() == self.topic);
        found.is_some_and(|found| found.error().is_none() && !found.partitions().is_empty())
    }
}

/// An assignment in the consumers' protocol names a topic, with its length in two bytes before it, only with partitions of it.
fn has_some(member: &GroupMemberInfo, topic: &str) -> bool {
    let length = u16::try_from(topic.len()).unwrap_or(u16::MAX).to_be_bytes();
    let named = [&length, topic.as_bytes()].concat();
    let assignment = member.assignment().unwrap_or_default();
    assignment.windows(named.len()).any(|window| window == named)
}
