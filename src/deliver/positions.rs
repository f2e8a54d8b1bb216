//! Positions: how far each endpoint has come in what is settled.
//!
//! In: where settling stands in each partition, where the endpoint does. Out: the ranges between them, bounded. Refuses: nothing. Promises:
//! no offset is passed over; a partition that is new to an endpoint is read from its beginning.

use std::collections::BTreeMap;

/// One partition of one life of the log.
pub type Partition = (u64, u16);

/// The next offset for each endpoint and partition.
pub type Positions = BTreeMap<(String, Partition), u64>;

/// Log records that one step covers for an endpoint, and the most leads that it holds in memory: a few megabytes.
pub const RECORDS_MAX: u64 = 20_000;

/// A stretch of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Which partition.
    pub partition: Partition,
    /// The first offset.
    pub from: u64,
    /// The first offset after it.
    pub end: u64,
}

impl Range {
    /// The condition that picks the rows of these ranges: whole numbers alone.
    pub fn condition(ranges: &[Self]) -> String {
        let one = |Self { partition: (epoch, partition), from, end }: &Self| {
            format!(
                "(log_epoch = {epoch} AND log_partition = {partition} AND log_offset >= {from} AND log_offset < {end})"
            )
        };
        match ranges {
            [] => "0".to_owned(),
            ranges => ranges.iter().map(one).collect::<Vec<_>>().join(" OR "),
        }
    }
}

/// What is new for an endpoint, and whether more is left.
pub fn ranges(
    endpoint: &str,
    positions: &Positions,
    settled: &[(Partition, u64)],
) -> (Vec<Range>, bool) {
    let mut more = false;
    let mut left = RECORDS_MAX;
    let mut found = Vec::new();
    for (partition, settled_to) in settled {
        let from = positions.get(&(endpoint.to_owned(), *partition)).copied().unwrap_or(0);
        let length = settled_to.saturating_sub(from);
        let taken = length.min(left);
        left -= taken;
        more |= taken < length;
        if taken > 0 {
            found.push(Range { partition: *partition, from, end: from + taken });
        }
    }
    (found, more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_settled_and_not_taken_up_is_new_a_bounded_step_at_a_time() {
        let mut positions = Positions::from([(("crm".to_owned(), (1, 0)), 10)]);
        let settled = [((1, 0), 12), ((1, 1), 3), ((2, 0), RECORDS_MAX + 5)];
        let (found, more) = ranges("crm", &positions, &settled);
        let range = |partition, from, end| Range { partition, from, end };
        assert_eq!(
            found,
            [range((1, 0), 10, 12), range((1, 1), 0, 3), range((2, 0), 0, RECORDS_MAX - 5)]
        );
        assert!(more);
        for step in found {
            positions.insert(("crm".to_owned(), step.partition), step.end);
        }
        let (found, more) = ranges("crm", &positions, &settled);
        assert_eq!((found, more), (vec![range((2, 0), RECORDS_MAX - 5, RECORDS_MAX + 5)], false));
        assert_eq!(Range::condition(&[]), "0");
    }
}
