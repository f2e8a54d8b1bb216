//! Who owns the engine's folder.
//!
//! In: the folder. Out: a lock that goes with this process. Refuses: a folder that another live process owns, naming
//! it; an engine that a dead owner left behind and that does not end. Promises: at most one engine at a time is started on a folder.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::EngineError;
use super::layout::Layout;

/// How long an engine whose owner was killed may take to follow it: it notices at once and stops within 0.2 s, or is
/// ended by force after 10 s.
const PREDECESSOR_MAX: Duration = Duration::from_secs(12);

const PREDECESSOR_INTERVAL: Duration = Duration::from_millis(20);

/// This process owns the folder while this value lives.
#[derive(Debug)]
pub(super) struct OwnerLock(
    #[expect(dead_code, reason = "the lock is held by keeping the file open")] File,
);

impl OwnerLock {
    pub(super) fn take(layout: &Layout) -> Result<Self, EngineError> {
        let path = layout.owner_lock();
        let failed = |source| EngineError::Folder { path: path.clone(), source };
        let mut file = open(&path).map_err(failed)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut text = String::new();
            file.read_to_string(&mut text).map_err(failed)?;
            let holder = match text.trim() {
                "" => "another process".to_owned(),
                pid => format!("process {pid}"),
            };
            return Err(EngineError::Held { folder: layout.folder().to_owned(), holder });
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed)?;
        Ok(Self(file))
    }
}

/// Waits until no engine is on the data any more: one whose owner was killed needs a moment to follow it.
pub(super) async fn wait_for_predecessor(layout: &Layout) -> Result<(), EngineError> {
    let path = layout.engine_lock();
    let give_up = tokio::time::Instant::now() + PREDECESSOR_MAX;
    while is_locked(&path).map_err(|source| EngineError::Folder { path: path.clone(), source })? {
        if tokio::time::Instant::now() > give_up {
            let status = std::fs::read_to_string(&path).unwrap_or_default();
            let pid = status.lines().find_map(|line| line.strip_prefix("PID: "));
            let holder = format!("an engine left behind, process {}", pid.unwrap_or("unknown"));
            return Err(EngineError::Held { folder: layout.folder().to_owned(), holder });
        }
        tokio::time::sleep(PREDECESSOR_INTERVAL).await;
    }
    Ok(())
}

fn is_locked(path: &Path) -> std::io::Result<bool> {
    match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
        // The lock goes again with the file, at the end of this line.
        Ok(file) => Ok(flock(&file, FlockOperation::NonBlockingLockExclusive).is_err()),
    }
}

fn open(path: &PathBuf) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::create(&folder.path().join("engine")).unwrap();
        let first = OwnerLock::take(&layout).unwrap();
        let error = OwnerLock::take(&layout).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        OwnerLock::take(&layout).unwrap();
    }
}
