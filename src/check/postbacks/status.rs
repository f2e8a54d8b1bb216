//! Status: a network's word becomes ours.
//!
//! In: a word, the profile's map, a map that the URL carries. Out: a [`Status`]. Refuses: nothing. Promises: a map in the URL wins, for
//! no global map can be right (QUIRKS.md 24); a word that nobody mapped is pending and said to be unknown, never approved.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What a conversion is, in our words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Reported, not confirmed.
    Pending,
    /// Confirmed.
    Approved,
    /// Not accepted.
    Rejected,
    /// Taken back: refund, chargeback, cancellation.
    Reversed,
    /// The network has paid.
    Paid,
    /// No conversion at all: trash, a double, a wrong number.
    Invalid,
    /// A test.
    Test,
    /// To be left alone; kept as history.
    Ignored,
}

impl Status {
    /// The word in tables and reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Reversed => "reversed",
            Self::Paid => "paid",
            Self::Invalid => "invalid",
            Self::Test => "test",
            Self::Ignored => "ignored",
        }
    }

    /// True for what claims a conversion; the rest says what became of one.
    pub fn claims(self) -> bool {
        matches!(self, Self::Pending | Self::Approved | Self::Test)
    }
}

/// Parameters with a list of words, as Keitaro and those who follow it have them.
pub const CARRIED: &[(&str, Status)] = &[
    ("lead_status", Status::Pending),
    ("hold_status", Status::Pending),
    ("sale_status", Status::Approved),
    ("rebill_status", Status::Approved),
    ("rejected_status", Status::Rejected),
    ("trash_status", Status::Rejected),
    ("ignore_status", Status::Ignored),
];

/// A profile's map.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatusMap {
    /// Without a status.
    pub absent: Status,
    /// Their words, in lower case, to ours.
    pub map: BTreeMap<String, Status>,
    /// Their words that name an event besides: `rebill`.
    pub events: BTreeMap<String, String>,
}

impl Default for StatusMap {
    fn default() -> Self {
        Self { absent: Status::Approved, map: BTreeMap::new(), events: BTreeMap::new() }
    }
}

/// Why a word means what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There was no word.
    Absent,
    /// A list in the URL has it.
    Carried(&'static str),
    /// The profile's map has it.
    Mapped,
    /// Nobody knows it.
    Unknown,
}

impl StatusMap {
    /// What a word means; `carried` are the lists that the URL brought.
    pub fn read<'a>(
        &self,
        word: &str,
        mut carried: impl Iterator<Item = (&'static str, Status, &'a str)>,
    ) -> (Status, Why) {
        let word = word.trim();
        if word.is_empty() {
            return (self.absent, Why::Absent);
        }
        let listed = carried
            .find(|(_, _, list)| list.split(',').any(|own| own.trim().eq_ignore_ascii_case(word)));
        if let Some((parameter, status, _)) = listed {
            return (status, Why::Carried(parameter));
        }
        let lower = word.to_ascii_lowercase();
        match self.map.get(&lower) {
            Some(status) => (*status, Why::Mapped),
            None => (Status::Pending, Why::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map() -> StatusMap {
        let map = [("lead", Status::Pending), ("2", Status::Pending)];
        StatusMap {
            map: map.into_iter().map(|(word, status)| (word.to_owned(), status)).collect(),
            ..StatusMap::default()
        }
    }

    #[test]
    fn a_map_in_the_url_wins_over_the_profile() {
        let lists = [
            ("lead_status", Status::Pending, "hold"),
            ("sale_status", Status::Approved, "lead, confirmed"),
            ("rejected_status", Status::Rejected, "3,4"),
        ];
        let read = |word| map().read(word, lists.into_iter());
        assert_eq!(read("lead"), (Status::Approved, Why::Carried("sale_status")));
        assert_eq!(read("Confirmed"), (Status::Approved, Why::Carried("sale_status")));
        assert_eq!(read("4"), (Status::Rejected, Why::Carried("rejected_status")));
        assert_eq!(read("2"), (Status::Pending, Why::Mapped));
        assert_eq!(read("whatever"), (Status::Pending, Why::Unknown));
        assert_eq!(read(" "), (Status::Approved, Why::Absent));
    }

    proptest! {
        #[test]
        fn a_word_that_nobody_mapped_is_pending(word in "[a-z]{1,12}", list in "[a-z,]{0,20}") {
            let (status, why) = map().read(&word, [("sale_status", Status::Approved, &*list)].into_iter());
            let listed = list.split(',').any(|own| own == word);
            match why {
                Why::Carried(_) => prop_assert!(listed && status == Status::Approved),
                Why::Mapped => prop_assert!(!listed && word == "lead"),
                Why::Unknown => prop_assert!(!listed && status == Status::Pending),
                Why::Absent => prop_assert!(false),
            }
        }
    }
}
