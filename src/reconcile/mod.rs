//! Reconciling: a network's or ad platform's own report, row by row against what we have.
//!
//! ```text
//!   file  ->  decode  ->  columns  ->  theirs  ->  compare  <-  ours  <-  warehouse
//! ```
//!
//! In: a CSV file as any program writes it (encoding, delimiter, decimals, days), a postback or site, a period. Out: each gap with its
//! cause, totals, an exit code. Refuses: a file without a column for the transaction. Promises: the file is read once, row by row;
//! of ours only hashes and figures are kept, at most [`ours::CONVERSIONS_MAX`]; nothing is changed anywhere.

mod columns;
pub mod command;
mod compare;
mod decode;
mod ours;
mod table;
mod theirs;
mod write;

/// Why it can't be done.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The file or the output.
    #[error("reconcile: {0}")]
    File(#[from] std::io::Error),
    /// The file is no table.
    #[error("reconcile: line {line}: {what}")]
    Table {
        /// Where.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// No column says which transaction.
    #[error(
        "reconcile: none of the first {lines} lines has a column for the transaction; name it with --column transaction=NAME (the columns \
         of the first line: {seen})"
    )]
    NoTransaction {
        /// Lines that were looked at.
        lines: usize,
        /// Names in the first.
        seen: String,
    },
    /// More of ours than memory is meant for.
    #[error(
        "reconcile: more than {max} conversions in the period; ask for a shorter one with --from and --to, or for one --postback",
        max = ours::CONVERSIONS_MAX
    )]
    TooMany,
    /// The warehouse.
    #[error("reconcile: the warehouse did not answer: {}; check that it runs and `warehouse.url`", crate::store::short(.0))]
    Warehouse(#[from] clickhouse::error::Error),
}
