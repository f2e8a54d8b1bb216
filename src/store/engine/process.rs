//! One life of the engine's process: from its start to its end.
//!
//! In: settings and passwords. Out: a process that answered an authenticated query. Refuses: one that ends or stays
//! silent within [`READY_MAX`], with what it said. Promises: a process that is given up is killed; one that is dropped
//! ends by itself, because its lifeline does.

use std::io::ErrorKind;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::access::Kept;
use super::layout::Layout;
use super::library::DISK_REFUSED;
use super::lock::wait_for_predecessor;
use super::port;
use super::said::Said;
use super::sandbox::Sandbox;
use super::{EngineError, EngineSettings};

/// From start to the first answer: 0.1-0.4 s were measured; a machine that is busy and reads the library from a cold
/// disk may need some seconds.
const READY_MAX: Duration = Duration::from_secs(15);

const READY_INTERVAL: Duration = Duration::from_millis(10);

/// One readiness query; a stranger on the port may accept and never answer.
const QUERY_MAX: Duration = Duration::from_secs(2);

/// The child's own deadline for a clean stop is 10 s; then it ends by force.
const STOP_MAX: Duration = Duration::from_secs(15);

/// A running engine.
pub(super) struct Process {
    child: Child,
    pid: u32,
    /// Its other end is the child's lifeline: it closes with this value, or with this process.
    _lifeline: ChildStdin,
    pub sandbox: Sandbox,
}

impl Process {
    /// Starts the engine on the port of `kept` and waits until it answers.
    pub(super) async fn start(
        settings: &EngineSettings,
        layout: &Layout,
        kept: &Kept,
    ) -> Result<Self, EngineError> {
        wait_for_predecessor(layout).await?;
        check_port(kept.http_port).await?;
        let mut child = spawn(settings, layout, kept.http_port)?;
        let pid = child.id().expect("a child that was not waited for has a number");
        let said = Said::default();
        // Taken out, because waiting for a child closes what is left in it.
        let lifeline = child.stdin.take().expect("standard input is a pipe");
        let stderr = child.stderr.take().expect("standard error is a pipe");
        let listening = tokio::spawn(said.clone().listen(stderr));
        match tokio::time::timeout(READY_MAX, until_ready(&mut child, kept)).await {
            Ok(Ok(sandbox)) => {
                said.became_ready();
                Ok(Self { child, pid, _lifeline: lifeline, sandbox })
            }
            Ok(Err(status)) => {
                // Its last words are in the pipe still; the pipe ends with it.
                let _ = tokio::time::timeout(QUERY_MAX, listening).await;
                Err(EngineError::EndedEarly { status, said: said.text() })
            }
            Err(_) => {
                // Fails only for a process that has ended, which is what is wanted.
                let _ = child.kill().await;
                Err(EngineError::NotReady { seconds: READY_MAX.as_secs(), said: said.text() })
            }
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for the end, however it comes.
    pub(super) async fn ended(&mut self) -> String {
        describe(self.child.wait().await)
    }

    /// Asks for the end, waits for it, and forces it when it does not come.
    pub(super) async fn stop(mut self) -> Result<(), EngineError> {
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.expect("the kernel's own process number");
        // The child is not waited for yet, so the number is still its own. It fails only for one that has ended.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        match tokio::time::timeout(STOP_MAX, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(_) => Err(EngineError::StoppedByForce { seconds: STOP_MAX.as_secs() }),
            Err(_) => {
                let _ = self.child.kill().await;
                Err(EngineError::StoppedByForce { seconds: STOP_MAX.as_secs() })
            }
        }
    }
}

/// Refuses a port that somebody listens on, before anything is started on it.
async fn check_port(port: u16) -> Result<(), EngineError> {
    let Err(error) = port::try_port(port) else { return Ok(()) };
    if error.kind() != ErrorKind::AddrInUse {
        return Err(EngineError::Port { port, reason: error.to_string() });
    }
    // On the side, because it reads all of /proc.
    let holder = tokio::task::spawn_blocking(move || port::holder_of(port)).await.ok().flatten();
    let holder = holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
    Err(EngineError::Port { port, reason: format!("it is held by {holder}") })
}

fn spawn(settings: &EngineSettings, layout: &Layout, port: u16) -> Result<Child, EngineError> {
    let mut command = Command::new(&settings.program);
    command.arg0("leadtrail").arg("clickhouse-engine");
    command.arg("--library").arg(&settings.library);
    command.arg("--data-dir").arg(layout.folder());
    command.arg("--http-port").arg(port.to_string());
    command.arg("--memory-bytes-max").arg(settings.memory_bytes_max.to_string());
    for database in &settings.databases {
        command.arg("--database").arg(database);
    }
    command
        // SQL can read /proc/self/environ.
        .env_clear()
        // SYSTEM SHUTDOWN signals the whole group; and a Ctrl-C on the terminal is for us, who stop it in order.
        .process_group(0)
        .current_dir(layout.data())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let program = settings.program.clone();
    command.spawn().map_err(|source| EngineError::Spawn { program, source })
}

/// Waits for the sandbox's state and the first authenticated answer. `Err` says how the process ended.
async fn until_ready(child: &mut Child, kept: &Kept) -> Result<Sandbox, String> {
    let mut line = String::new();
    let stdout = child.stdout.take().expect("standard output is a pipe");
    // `Sandbox` is one word; a longer line is not ours.
    let _ = BufReader::new(stdout.take(64)).read_line(&mut line).await;
    let Ok(sandbox) = serde_json::from_str(&line) else {
        return Err(describe(child.wait().await));
    };
    let access = kept.access();
    let client = clickhouse::Client::default()
        .with_url(access.url)
        .with_user(access.admin.user)
        .with_password(access.admin.password.expose());
    loop {
        // Others may answer on the port, so `/ping` would prove nothing.
        let answer = client.query("SELECT 1").fetch_one::<u8>();
        tokio::select! {
            status = child.wait() => return Err(describe(status)),
            answer = tokio::time::timeout(QUERY_MAX, answer) => {
                if matches!(answer, Ok(Ok(1))) {
                    return Ok(sandbox);
                }
            }
        }
        tokio::time::sleep(READY_INTERVAL).await;
    }
}

fn describe(status: std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) if status.code() == Some(DISK_REFUSED) => {
            "its disk refused a write: is it full or over a quota?".to_owned()
        }
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}
