//! The one test binary: the real program, the real broker, the real engine. One module per stage, and `env` with what
//! they stand on.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, and unwrap says where"
)]

mod env;

mod browser;
mod crates;
mod deliver;
mod docs;
mod engine;
mod faults;
mod hostile;
mod receive;
mod report;
mod settle;
mod whole;
