//! The clock of an installation's processes, which can jump. In: seconds from the right time. Out: what a process has to be told so that it goes by this clock
//! (`clock.c`, compiled here and preloaded). Refuses: without a C compiler. Promises: only the calendar jumps; clocks that count from the start of the
//! machine go on, as they do when an operator or NTP sets a machine's time. libfaketime will not do: it leaves waits until a time of day to the kernel's clock, in which
//! librdkafka then never wakes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

const SOURCE: &str = include_str!("clock.c");

/// A file that says how wrong the clock goes.
pub struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// A clock that goes right.
    pub fn in_folder(folder: &Path) -> anyhow::Result<Self> {
        let clock = Self { library: folder.join("clock.so"), file: folder.join("clock") };
        clock.set(0)?;
        let source = folder.join("clock.c");
        std::fs::write(&source, SOURCE)?;
        let words = ["-O1", "-shared", "-fPIC", "-o"];
        let status = Command::new("cc").args(words).arg(&clock.library).arg(&source).status();
        ensure!(status.context("clock jumps need a C compiler")?.success(), "clock.c: cc failed");
        Ok(clock)
    }

    /// From now on it goes so many seconds wrong. The file is mapped by those who look, so it is written in place.
    pub fn set(&self, seconds: i64) -> anyhow::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.create(true).truncate(false).write(true).open(&self.file)?;
        Ok(std::io::Write::write_all(&mut file, &seconds.to_ne_bytes())?)
    }

    /// What a process needs to go by it.
    pub fn environment(&self) -> [(String, String); 2] {
        [
            ("LD_PRELOAD".to_owned(), self.library.display().to_string()),
            ("FAULTS_CLOCK".to_owned(), self.file.display().to_string()),
        ]
    }
}
