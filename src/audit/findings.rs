//! What an audit found: ranges, not rows.
//!
//! In: looks at batches, in the log's order. Out: [`Finding`]s: runs of neighbouring offsets with the minutes they cover. Refuses: nothing. Promises: memory is bounded: beyond
//! [`FINDINGS_MAX`] ranges are counted only.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

/// Ranges that are listed.
pub const FINDINGS_MAX: usize = 1000;

/// What is wrong with a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// Rows that the log says should be there are not.
    Missing,
    /// Rows stand there more than once.
    Doubled,
    /// No batch that is recorded as whole covers the range.
    Unrecorded,
}

impl Sort {
    /// As it is printed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Doubled => "doubled",
            Self::Unrecorded => "unrecorded",
        }
    }
}

/// A range of one partition and table in which something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub sort: Sort,
    /// In which table.
    pub table: &'static str,
    /// Which life of the log.
    pub epoch: u64,
    /// Which partition.
    pub partition: u16,
    /// The first offset.
    pub from: u64,
    /// The first offset after the last.
    pub to: u64,
    /// How many rows.
    pub rows: u64,
    /// When the first and the last were received, as far as that is known.
    pub received_ms: Option<(i64, i64)>,
    /// Whether it is mended.
    pub healed: bool,
    /// Why it can't be healed, or what to do.
    pub remark: &'static str,
}

fn minute(ms: i64) -> String {
    let time = Timestamp::from_millisecond(ms).unwrap_or_default();
    time.strftime("%F %H:%MZ").to_string()
}

impl Finding {
    /// A line.
    pub fn line(&self) -> String {
        let Self { table, epoch, partition, from, to, rows, remark, .. } = self;
        let minutes = match self.received_ms {
            Some((first, last)) if minute(first) == minute(last) => format!(", {}", minute(first)),
            Some((first, last)) => format!(", {} to {}", minute(first), minute(last)),
            None => String::new(),
        };
        let healed = if self.healed { "; healed" } else { "" };
        let remark = if remark.is_empty() { String::new() } else { format!("; {remark}") };
        let sort = self.sort.word();
        format!(
            "{sort:<11}{table:<17} partition {partition} epoch {epoch:016x} offsets [{from}, {to}): {rows} rows{minutes}{healed}{remark}"
        )
    }

    /// An object.
    pub fn json(&self) -> Value {
        json!({
            "finding": self.sort.word(), "table": self.table, "epoch": format!("{:016x}", self.epoch),
            "partition": self.partition, "from_offset": self.from, "to_offset": self.to, "rows": self.rows,
            "first_minute": self.received_ms.map(|(first, _)| minute(first)),
            "last_minute": self.received_ms.map(|(_, last)| minute(last)),
            "healed": self.healed, "remark": self.remark,
        })
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Findings {
    /// Those that are listed.
    pub listed: Vec<Finding>,
    /// Ranges that are not.
    pub further: u64,
    /// Ranges that are not and were not healed.
    pub further_open: u64,
    /// The range of each sort and table that may go on.
    open: BTreeMap<(Sort, &'static str), Finding>,
}

impl Findings {
    /// Adds to the range of this sort and table, or begins one.
    pub fn extend(&mut self, finding: Finding) {
        let place = (finding.sort, finding.table);
        match self.open.get_mut(&place) {
            Some(open)
                if (open.epoch, open.partition) == (finding.epoch, finding.partition)
                    && (open.healed, open.remark) == (finding.healed, finding.remark) =>
            {
                open.to = finding.to;
                open.rows += finding.rows;
                open.received_ms = match (open.received_ms, finding.received_ms) {
                    (Some((first, last)), Some((other, end))) => {
                        Some((first.min(other), last.max(end)))
                    }
                    (one, other) => one.or(other),
                };
            }
            _ => {
                self.close(finding.sort, finding.table);
                self.open.insert(place, finding);
            }
        }
    }

    /// The offset that follows is sound: the range ends.
    pub fn close(&mut self, sort: Sort, table: &'static str) {
        if let Some(finding) = self.open.remove(&(sort, table)) {
            self.push(finding);
        }
    }

    /// Adds a range of its own.
    pub fn push(&mut self, finding: Finding) {
        if self.listed.len() < FINDINGS_MAX {
            self.listed.push(finding);
        } else {
            self.further += 1;
            self.further_open += u64::from(!finding.healed);
        }
    }

    /// Ends all ranges.
    pub fn finish(&mut self) {
        for (_, finding) in std::mem::take(&mut self.open) {
            self.push(finding);
        }
    }

    /// Ranges that are not healed.
    pub fn open_count(&self) -> u64 {
        self.listed.iter().filter(|finding| !finding.healed).count() as u64 + self.further_open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(from: u64, partition: u16) -> Finding {
        Finding {
            sort: Sort::Missing,
            table: "events",
            epoch: 1,
            partition,
            from,
            to: from + 1,
            rows: 1,
            received_ms: Some((from as i64 * 60_000, from as i64 * 60_000)),
            healed: false,
            remark: "",
        }
    }

    #[test]
    fn neighbours_are_one_range_with_its_minutes_and_a_sound_offset_ends_it() {
        let mut findings = Findings::default();
        findings.extend(missing(3, 0));
        findings.extend(missing(5, 0));
        findings.close(Sort::Missing, "events");
        findings.extend(missing(9, 0));
        findings.extend(missing(2, 1));
        findings.finish();
        let spans: Vec<_> =
            findings.listed.iter().map(|one| (one.partition, one.from, one.to, one.rows)).collect();
        assert_eq!(spans, [(0, 3, 6, 2), (0, 9, 10, 1), (1, 2, 3, 1)]);
        let line = findings.listed[0].line();
        assert!(line.contains("1970-01-01 00:03Z to 1970-01-01 00:05Z"), "{line}");
        assert_eq!(findings.open_count(), 3);
    }

    #[test]
    fn a_warehouse_that_lost_everything_costs_bounded_memory() {
        let mut findings = Findings::default();
        for from in 0..FINDINGS_MAX as u64 + 5 {
            findings.push(missing(from, 0));
        }
        assert_eq!((findings.listed.len(), findings.further), (FINDINGS_MAX, 5));
        assert_eq!(findings.open_count(), FINDINGS_MAX as u64 + 5);
    }
}
