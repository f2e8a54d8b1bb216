//! Links: those that marketers make while the edge runs, and kill-switches.
//!
//! In: `leadtrail link …`. Out: a [`Book`](book::Book) in every edge's memory, at most seconds old. Refuses: a half of an import, a number that was
//! ever given, an address that its site doesn't admit. Promises: what a command confirmed is fsynced (or committed to Kafka), and every
//! edge follows it without a restart; an edge that starts while Kafka is away knows what it knew before.
//!
//! ```text
//!   link add ──> file (disk)  ──────────────────────────┐
//!   link add ──> compacted topic (Kafka) ──> mirror file ┴──> Book (memory)
//! ```
//!
//! Both homes end in one file of one format ([`mod@file`]), so the edge has one way of reading.

pub mod arguments;
pub mod book;
pub mod command;
pub mod csv;
pub mod edit;
pub mod file;
pub mod follow;
pub mod followed;
pub mod kills;
pub mod record;
pub mod sign;
pub mod store;
pub mod token;
pub mod topic;
mod words;
