//! Leadtrail: lead capture and click tracking, from a socket to a report.
//!
//! ```text
//!   browser, mail, network
//!        | HTTP
//!     receive   bytes on a socket      -> Submission, bounded in size and time
//!     check     Submission             -> Event, or a Refusal with its reason
//!     journal   Event                  -> Receipt: durable on Kafka or on this machine's disk
//!        : (the log)
//!     consume   a partition of the log -> Batch with fixed borders
//!     enrich    Event                  -> Event with place, agent, channel, verdict
//!     attribute Batch                  -> rows
//!     store     rows and their range   -> the range is safe to commit
//!        : (ClickHouse)
//!     settle    what changed           -> who earned the conversion
//!     report    Question               -> Answer
//!     deliver   a settled lead         -> a signed POST, a mail
//! ```
//!
//! An answer other than a refusal means that the event is durable: on Kafka with `acks=all`, or in the journal. Each
//! event is then in ClickHouse exactly once, or in the dead letters with its reason.

#[cfg(test)]
mod cases;

// What every stage speaks of.
pub mod access;
pub mod config;
pub mod decision;
pub mod event;
pub mod ids;
pub mod keys;
pub mod language;
pub mod links;
pub mod money;
pub mod ops;
pub mod personal;
pub mod refusals;
pub mod registry;
pub mod say;
pub mod stop;
pub mod telemetry;
pub mod tokens;

// The way of one event, in its order.
pub mod receive;

pub mod check;

pub mod journal;

pub mod consume;

pub mod enrich;

pub mod attribute;

pub mod store;

pub mod settle;

pub mod report;

pub mod deliver;

// The program around it.
pub mod audit;
pub mod cli;
pub mod demo;
pub mod quarantine;
pub mod rates;
pub mod reconcile;
pub mod replay;
pub mod service;
pub mod sql_shell;
pub mod suggest;
