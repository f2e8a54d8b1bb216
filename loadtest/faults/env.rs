//! What the harness shares with the tests: the real broker, free ports, waiting. In: names. Out: as `tests/it/env` says.

#![expect(
    dead_code,
    clippy::unwrap_used,
    reason = "written for tests, which use more of it, and where a panic says where"
)]

#[path = "../../tests/it/env/broker.rs"]
pub mod broker;
#[path = "../../tests/it/env/machine.rs"]
mod machine;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

pub use machine::*;

/// Where all folders of this run are made; the first call decides.
pub fn root(under: Option<PathBuf>) -> &'static PathBuf {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let name = format!("leadtrail-faults-{}", std::process::id());
        under.unwrap_or_else(std::env::temp_dir).join(name)
    })
}

/// A new folder of this run.
pub fn folder(purpose: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = root(None).join(format!("{number}-{purpose}"));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
