//! What the tests stand on: a real broker, a real warehouse, folders of their own, and waiting without sleeping.
//!
//! The parts come from where `deploy/parts/fetch` put them; `make test` says where by the environment, and a plain
//! `cargo test` finds them in the cache. A part that is missing fails the test with the line that fetches it.
//!
//! Everything that a test run starts ends with it, also when it is killed: each process watches a pipe that only the
//! test run holds.

#![expect(dead_code, reason = "stages use different parts of the environment")]

pub mod broker;
mod broker_tests;
pub mod dice;
mod machine;
pub mod program;
pub mod proxy;
pub mod warehouse;

use std::path::PathBuf;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

pub use machine::*;

/// A folder for this test run alone, under the target folder. Those of runs that are over are removed first, and not
/// at a run's own end: what it started may still be writing then.
pub fn folder(purpose: &str) -> PathBuf {
    static REMOVE_OLD: Once = Once::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    REMOVE_OLD.call_once(|| {
        for entry in root.read_dir().unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let run = name.strip_prefix("run-").and_then(|rest| rest.split('-').next());
            if run.is_some_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    });
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = root.join(format!("run-{}-{number}-{purpose}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
