//! What was promised against what is stored. In: the ledger of a run and the rows that the warehouse
//! holds of it. Out: what is lost, doubled, unexpected or mistagged, each by name. Pure arithmetic:
//! where an answer left it open, both are right, and are counted apart.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use uuid::Uuid;

use crate::outcome::Outcome;
use crate::receipts::{Entry, Ledger, number_in};
use crate::requests::tag;

/// One row of the warehouse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The event's id.
    pub id: Uuid,
    /// Its `sub1`.
    pub tag: String,
}

/// What the warehouse holds of a run.
#[derive(Debug, Default)]
pub struct Holdings {
    /// Rows of `events` with a tag of the run, or with the id of one of its receipts; each row that
    /// is stored, also one that a later merge would drop.
    pub stored: Vec<Stored>,
    /// Ids of receipts that are in `dead_letters`.
    pub dead: HashSet<Uuid>,
}

/// In which way a run and the warehouse differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A receipt was given, and the event is neither stored nor a dead letter.
    Lost,
    /// One id in several rows, one request under several ids, or stored and a dead letter as well.
    Doubled,
    /// Stored, though never sent, or refused, or under an id that is not the receipt's.
    Unexpected,
    /// Stored under the receipt's id, with another request's tag or none.
    Mistagged,
}

impl Fault {
    /// All, in the order they are told.
    pub const ALL: [Self; 4] = [Self::Lost, Self::Doubled, Self::Unexpected, Self::Mistagged];

    /// The name in the summary and in the list.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Unexpected => "unexpected",
            Self::Mistagged => "mistagged",
        }
    }
}

/// One event that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How it differs.
    pub fault: Fault,
    /// The request, as its tag.
    pub tag: String,
    /// The id that was promised or found.
    pub id: Uuid,
    /// What is known of it, in words.
    pub detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, tag, id, detail } = self;
        write!(formatter, "{} {tag} {id} {detail}", fault.name())
    }
}

/// The result. `durable` = `stored` + `dead` + lost.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reconciliation {
    /// Receipts given.
    pub durable: u64,
    /// Receipts whose id is in `events`.
    pub stored: u64,
    /// Receipts whose id is only in `dead_letters`.
    pub dead: u64,
    /// Requests answered without a receipt, and how many of them are stored.
    pub unconfirmed: (u64, u64),
    /// Requests without a readable answer, and how many of them are stored.
    pub unknown: (u64, u64),
    /// What is wrong, sorted by fault.
    pub problems: Vec<Problem>,
}

impl Reconciliation {
    /// How many problems of one sort there are.
    pub fn count(&self, fault: Fault) -> usize {
        self.of(fault).count()
    }

    /// The problems of one sort.
    pub fn of(&self, fault: Fault) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(move |problem| problem.fault == fault)
    }
}

/// Ids of receipts that `stored` does not hold.
pub fn missing(ledger: &Ledger, stored: &[Stored]) -> Vec<Uuid> {
    let held: HashSet<Uuid> = stored.iter().map(|row| row.id).collect();
    ledger.durable().map(|(_, _, id)| id).filter(|id| !held.contains(id)).collect()
}

/// Holds a run against the warehouse.
pub fn reconcile(ledger: &Ledger, holdings: &Holdings) -> Reconciliation {
    let mut result = Reconciliation::default();
    let mut rows_by_id: HashMap<Uuid, Vec<&str>> = HashMap::with_capacity(holdings.stored.len());
    for row in &holdings.stored {
        rows_by_id.entry(row.id).or_default().push(&row.tag);
    }
    let mut ids_by_tag: BTreeMap<&str, Vec<Uuid>> = BTreeMap::new();
    for (id, tags) in &rows_by_id {
        if tags.len() > 1 {
            let detail = format!("stored {} times", tags.len());
            result.push(Fault::Doubled, tags[0], *id, detail);
        }
        let mut distinct = tags.clone();
        distinct.sort_unstable();
        distinct.dedup();
        distinct.into_iter().for_each(|tag| ids_by_tag.entry(tag).or_default().push(*id));
    }
    let promised: HashMap<Uuid, u64> =
        ledger.durable().map(|(number, _, id)| (id, number)).collect();
    hold_promises(ledger, &rows_by_id, &holdings.dead, &mut result);
    for (tag, ids) in &mut ids_by_tag {
        ids.sort_unstable();
        judge_tag(ledger, tag, ids, &promised, &mut result);
    }
    let outcomes = ledger.entries.iter().map(|entry| entry.map(|entry| entry.outcome));
    for outcome in outcomes {
        match outcome {
            Some(Outcome::Unconfirmed) => result.unconfirmed.0 += 1,
            Some(Outcome::Unknown) => result.unknown.0 += 1,
            None if !ledger.complete => result.unknown.0 += 1,
            _ => {}
        }
    }
    result.problems.sort_by_key(|problem| (problem.fault, problem.id));
    result
}

impl Reconciliation {
    fn push(&mut self, fault: Fault, tag: &str, id: Uuid, detail: impl Into<String>) {
        self.problems.push(Problem { fault, tag: tag.to_owned(), id, detail: detail.into() });
    }
}

/// Each receipt must be stored under its tag, or be a dead letter.
fn hold_promises(
    ledger: &Ledger,
    rows_by_id: &HashMap<Uuid, Vec<&str>>,
    dead: &HashSet<Uuid>,
    result: &mut Reconciliation,
) {
    for (number, kind, id) in ledger.durable() {
        let wanted = tag(&ledger.run, number);
        result.durable += 1;
        match rows_by_id.get(&id) {
            None if dead.contains(&id) => result.dead += 1,
            None => result.push(Fault::Lost, &wanted, id, kind.name()),
            Some(tags) => {
                result.stored += 1;
                if let Some(other) = tags.iter().find(|other| **other != wanted) {
                    let detail = format!("{kind} stored with the tag '{other}'");
                    result.push(Fault::Mistagged, &wanted, id, detail);
                }
                if dead.contains(&id) {
                    let detail = format!("{kind} stored and a dead letter as well");
                    result.push(Fault::Doubled, &wanted, id, detail);
                }
            }
        }
    }
}

/// Each tag that is stored must be of a request that may be stored, under one id.
fn judge_tag(
    ledger: &Ledger,
    tag: &str,
    ids: &[Uuid],
    promised: &HashMap<Uuid, u64>,
    result: &mut Reconciliation,
) {
    let number = number_in(&ledger.run, tag);
    let Some(number) = number.and_then(|number| usize::try_from(number).ok()) else {
        // A receipt's row without its tag is told as mistagged already.
        for id in ids.iter().filter(|id| !promised.contains_key(id)) {
            result.push(Fault::Unexpected, tag, *id, "the tag is not one that was sent");
        }
        return;
    };
    if ids.len() > 1 {
        let detail = format!("one request stored under {} ids", ids.len());
        result.push(Fault::Doubled, tag, ids[0], detail);
    }
    let entry = ledger.entries.get(number).copied().flatten();
    let why = match entry.map(|Entry { outcome, .. }| outcome) {
        // An id that another receipt promised is told as mistagged already.
        Some(Outcome::Durable(id))
            if ids.len() == 1 && ids[0] != id && !promised.contains_key(&ids[0]) =>
        {
            "stored under another id than its receipt's"
        }
        Some(Outcome::Durable(_)) => return,
        Some(Outcome::Unconfirmed) => return result.unconfirmed.1 += 1,
        Some(Outcome::Unknown) => return result.unknown.1 += 1,
        Some(Outcome::Refused) => "it was refused",
        Some(Outcome::Unsent) => "it was never sent",
        None if !ledger.complete && number < ledger.entries.len() => {
            return result.unknown.1 += 1;
        }
        None => "it was never planned",
    };
    result.push(Fault::Unexpected, tag, ids[0], why);
}
