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
        layout.lead_back()?;
        Ok(layout)
    }

    /// An encrypted disk joins its root twice when it fsyncs a part's directory (26.7.2.1: "Cannot open file
    /// ROOT/ROOT/store/…"), and then the insert fails. A link inside the root that leads back to it makes both names one.
    fn lead_back(&self) -> io::Result<()> {
        let root = self.tables().join("sealed");
        let link = root.join(root.strip_prefix("/").unwrap_or(&root));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(link.parent().unwrap_or(&root))?;
        match std::os::unix::fs::symlink(&root, &link) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
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

    /// Where the tables lie, on the encrypted disk.
    pub(super) fn tables(&self) -> PathBuf {
        self.data().join("tables")
    }

    /// Whether there are tables that only the existing key can read.
    pub(super) fn has_data(&self) -> bool {
        self.tables().join("sealed/store").exists()
    }
}
