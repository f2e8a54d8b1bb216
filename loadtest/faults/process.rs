//! One process of the installation. In: a program with arguments and environment. Out: its signals and its end. Refuses:
//! a program that can't be started. Promises: it ends with the harness (`setpriv --pdeathsig`; the harness starts
//! everything from its main thread, whose end is meant by that).

use std::fs::OpenOptions;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// The edge drains for 10 s, closes its log for 10 s; a consumer lets go for 40 s.
const TERMINATE_MAX: Duration = Duration::from_secs(75);

/// A process that runs, or ended unasked.
pub struct Process {
    child: Child,
    pid: Pid,
}

impl Process {
    /// Starts it; what it says is added to the file `log`.
    pub fn spawn(
        program: &Path,
        words: &[&str],
        environment: &[(String, String)],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(words)
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {program:?}; setpriv is of util-linux"))?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { child, pid: pid.context("it ended at once")? })
    }

    /// Its number.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends a signal. The process was not waited for, so the number is still its own.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill_process(self.pid, signal).context("cannot signal a process of the installation")
    }

    /// kill -9.
    pub async fn kill9(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// TERM, and its end.
    pub async fn terminate(mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let ended = tokio::time::timeout(TERMINATE_MAX, self.child.wait()).await;
        Ok(ended.context("it did not end within 75 s of TERM")??)
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}
