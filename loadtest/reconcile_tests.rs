//! Each way in which a run and the warehouse can differ, one test each.

use uuid::Uuid;

use crate::mix::Kind;
use crate::outcome::Outcome;
use crate::receipts::{Entry, Ledger};
use crate::reconcile::{Fault, Holdings, Reconciliation, Stored, missing, reconcile};

const ALL_OUTCOMES: [Option<Outcome>; 6] = [
    Some(Outcome::Durable(id(0))),
    Some(Outcome::Unconfirmed),
    Some(Outcome::Refused),
    Some(Outcome::Unknown),
    Some(Outcome::Unsent),
    None,
];

const fn id(number: u128) -> Uuid {
    Uuid::from_u128(100 + number)
}

fn ledger(outcomes: &[Option<Outcome>], complete: bool) -> Ledger {
    let entry =
        |outcome: &Option<Outcome>| outcome.map(|outcome| Entry { kind: Kind::Form, outcome });
    Ledger {
        run: "run".into(),
        start_ms: 0,
        complete,
        entries: outcomes.iter().map(entry).collect(),
    }
}

fn row(id_number: u128, tag: &str) -> Stored {
    Stored { id: id(id_number), tag: tag.into() }
}

fn against(ledger: &Ledger, stored: &[Stored], dead: &[Uuid]) -> Reconciliation {
    reconcile(ledger, &Holdings { stored: stored.to_vec(), dead: dead.iter().copied().collect() })
}

fn counts(result: &Reconciliation) -> [usize; 4] {
    Fault::ALL.map(|fault| result.count(fault))
}

fn two_durable() -> Ledger {
    ledger(&[Some(Outcome::Durable(id(0))), Some(Outcome::Durable(id(1)))], true)
}

#[test]
fn all_stored_once_is_clean() {
    let result = against(&two_durable(), &[row(1, "run-1"), row(0, "run-0")], &[]);
    assert_eq!(counts(&result), [0, 0, 0, 0]);
    assert_eq!((result.durable, result.stored, result.dead), (2, 2, 0));
}

#[test]
fn a_receipt_without_a_row_is_lost() {
    let stored = [row(1, "run-1")];
    let result = against(&two_durable(), &stored, &[]);
    assert_eq!(counts(&result), [1, 0, 0, 0]);
    assert_eq!((result.problems[0].tag.as_str(), result.problems[0].id), ("run-0", id(0)));
    assert_eq!(missing(&two_durable(), &stored), [id(0)]);
}

#[test]
fn a_dead_letter_is_not_lost() {
    let result = against(&two_durable(), &[row(1, "run-1")], &[id(0)]);
    assert_eq!(counts(&result), [0, 0, 0, 0]);
    assert_eq!((result.durable, result.stored, result.dead), (2, 1, 1));
}

#[test]
fn a_dead_letter_that_is_stored_as_well_is_doubled() {
    let result = against(&two_durable(), &[row(0, "run-0"), row(1, "run-1")], &[id(0)]);
    assert_eq!(counts(&result), [0, 1, 0, 0]);
}

#[test]
fn one_id_in_two_rows_is_doubled_once() {
    let mut stored = vec![row(0, "run-0"), row(1, "run-1")];
    for times in 2..4 {
        stored.push(row(0, "run-0"));
        let result = against(&two_durable(), &stored, &[]);
        assert_eq!(counts(&result), [0, 1, 0, 0]);
        assert_eq!(result.problems[0].detail, format!("stored {times} times"));
    }
}

#[test]
fn one_request_under_two_ids_is_doubled() {
    let stored = [row(0, "run-0"), row(1, "run-1"), row(7, "run-0")];
    assert_eq!(counts(&against(&two_durable(), &stored, &[])), [0, 1, 0, 0]);
    let unknown = ledger(&[Some(Outcome::Unknown)], true);
    let result = against(&unknown, &[row(7, "run-0"), row(8, "run-0")], &[]);
    assert_eq!(counts(&result), [0, 1, 0, 0], "also when it was not answered");
}

#[test]
fn a_row_under_another_id_than_its_receipt_is_lost_and_unexpected() {
    let result = against(&two_durable(), &[row(9, "run-0"), row(1, "run-1")], &[]);
    assert_eq!(counts(&result), [1, 0, 1, 0]);
}

#[test]
fn a_receipts_row_with_another_tag_is_mistagged_not_lost() {
    let result = against(&two_durable(), &[row(0, ""), row(1, "run-1")], &[]);
    assert_eq!(counts(&result), [0, 0, 0, 1]);
    assert_eq!(result.stored, 2);
    let swapped = against(&two_durable(), &[row(1, "run-0"), row(0, "run-1")], &[]);
    assert_eq!(counts(&swapped), [0, 0, 0, 2]);
}

#[test]
fn what_was_refused_or_never_sent_must_not_be_stored() {
    let all = ledger(&ALL_OUTCOMES, true);
    let stored: Vec<Stored> =
        (0..7_u8).map(|number| row(number.into(), &format!("run-{number}"))).collect();
    let result = against(&all, &stored, &[]);
    assert_eq!(counts(&result), [0, 0, 4, 0]);
    let tags: Vec<&str> = result.problems.iter().map(|problem| problem.tag.as_str()).collect();
    assert_eq!(tags, ["run-2", "run-4", "run-5", "run-6"]);
    assert_eq!((result.unconfirmed, result.unknown), ((1, 1), (1, 1)));
}

#[test]
fn what_was_left_open_may_be_stored_or_not() {
    let open = ledger(&[Some(Outcome::Unconfirmed), Some(Outcome::Unknown)], true);
    let result = against(&open, &[], &[]);
    assert_eq!((result.unconfirmed, result.unknown), ((1, 0), (1, 0)));
    assert_eq!(counts(&result), [0, 0, 0, 0]);
}

#[test]
fn after_a_generator_that_died_its_untold_requests_are_unknown() {
    let died = ledger(&[Some(Outcome::Durable(id(0))), None, None], false);
    let result = against(&died, &[row(0, "run-0"), row(1, "run-1")], &[]);
    assert_eq!(counts(&result), [0, 0, 0, 0]);
    assert_eq!(result.unknown, (2, 1));
    let beyond = against(&died, &[row(0, "run-0"), row(3, "run-3")], &[]);
    assert_eq!(counts(&beyond), [0, 0, 1, 0], "what was never planned is unexpected all the same");
}

#[test]
fn a_tag_that_only_looks_like_one_is_unexpected() {
    let stored = [row(0, "run-0"), row(1, "run-1"), row(5, "run-x"), row(6, "run-00")];
    assert_eq!(counts(&against(&two_durable(), &stored, &[])), [0, 0, 2, 0]);
}
