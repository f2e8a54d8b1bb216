//! Reports over tables that were filled by hand: every figure is known beforehand.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod demo;
mod facts;
mod figures;
pub mod http;
mod leads;
mod page;
mod postbacks;
mod sql;
