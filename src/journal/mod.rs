//! The log: where an event becomes durable.

pub mod disk;
