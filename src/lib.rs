//! Leadtrail: lead capture and click tracking, from a socket to a report.

pub mod journal;
