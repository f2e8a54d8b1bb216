//! A small disk. In: a folder. Out: a file system of 640 MB on it, which can be filled and freed. Refuses: without the right
//! to mount. Promises: it is gone with this value.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

const BALLAST: &str = "ballast";

/// A mounted tmpfs.
pub struct Tmpfs {
    folder: PathBuf,
}

impl Tmpfs {
    /// Mounts it. The journal leaves 256 MB free, and one segment is 20 MB.
    pub fn mount(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let options = ["-t", "tmpfs", "-o", "size=640m,mode=700", "leadtrail-faults"];
        let status = Command::new("mount").args(options).arg(folder).status();
        ensure!(
            status.context("there is no `mount`")?.success(),
            "disk-full needs the right to mount a tmpfs (root)"
        );
        Ok(Self { folder: folder.to_owned() })
    }

    /// Fills it until nothing more can be written. Blocks for tenths of a second.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut file = File::create(self.folder.join(BALLAST))?;
        let block = vec![0_u8; 1 << 20];
        for size in [1 << 20, 4096] {
            loop {
                match file.write_all(&block[..size]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Frees what [`Tmpfs::fill`] took.
    pub fn free(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(self.folder.join(BALLAST))?)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a process that is just being killed may have it open still. Nothing can be done about a failure.
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
    }
}
