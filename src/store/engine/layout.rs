//! The engine's folder: which file lies where.
//!
//! In: the folder. Out: paths inside it. The sandbox lets the engine into `data` and `config` only; what lies beside
//! them (passwords, key, lock) is out of SQL's reach.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// Paths inside one engine's folder.
#[derive(Clone, Debug)]
pub(super) struct Layout(PathBuf);

impl Layout {
    pub(super) fn of(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// Makes the folders, for this user only.
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        // Relative paths break the engine: it joins them twice, and every insert fails. Links are resolved because
        // the sandbox opens what they point to.
        std::fs::create_dir_all(folder.parent().unwrap_or(folder))?;
        let private = |path: &Path| match std::fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        };
        private(folder)?;
        let layout = Self(folder.canonicalize()?);
        private(&layout.data())?;
        private(&layout.config())?;
        Ok(layout)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    /// What the engine reads and writes.
    pub(super) fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// `config.xml` and `users.xml`, written at each start.
    pub(super) fn config(&self) -> PathBuf {
        self.0.join("config")
    }

    /// Held by the parent for as long as its engine may run.
    pub(super) fn owner_lock(&self) -> PathBuf {
        self.0.join("owner.lock")
    }

    /// The engine's own lock.
    pub(super) fn engine_lock(&self) -> PathBuf {
        self.data().join("status")
    }

    /// Where the tables' rows lie, encrypted.
    pub(super) fn tables(&self) -> PathBuf {
        self.data().join("tables/sealed")
    }

    /// Where the tables' deduplication logs lie, in plain text: names of parts and hashes of tokens.
    pub(super) fn tokens(&self) -> PathBuf {
        self.data().join("tables/tokens")
    }

    /// Whether there are tables that only the existing key can read.
    pub(super) fn has_data(&self) -> bool {
        self.tables().join("store").exists()
    }
}
