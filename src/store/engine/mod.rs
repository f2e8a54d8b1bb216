//! The embedded warehouse: a real ClickHouse in a sandboxed child process, on loopback.
//!
//! In: where the engine's library and data lie, its port, its memory. Out: [`Access`], with which the `clickhouse`
//! crate, `curl` and every other client talk to it as to any ClickHouse server. Refuses: a folder that another engine
//! works on, a port that is taken, a library that is missing. Promises: an engine that ends unasked is started again on
//! the same port with the same data; an engine never outlives this process; what was inserted survives its kill -9.
//!
//! ```text
//!   Engine (this process)                          clickhouse-engine (child.rs: same binary, hidden subcommand)
//!     owner.lock, port, access.json                  reads access.json and data.key
//!     spawns, checks with SELECT 1      <- stdout -  enters the sandbox and says how much of it holds
//!     starts it again when it ends      <- stderr -  errors: the text while starting, later place and code only
//!     keeps the lifeline open           - stdin ->   stops cleanly when it closes, or at TERM
//! ```
//!
//! For development, tests and single machines. A configured ClickHouse server is used through the same [`Access`].

mod access;
mod child;
mod config;
mod error;
mod layout;
mod library;
mod lock;
mod port;
mod process;
mod said;
mod sandbox;
mod tokens;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use access::{Access, Login, Secret, read_access};
pub use child::{ChildArguments, child_main};
pub use config::PERSONAL_TABLES;
pub use error::EngineError;
pub use port::{Holder, holder_of};
pub use sandbox::Sandbox;

use crate::telemetry;

use access::Kept;
use layout::Layout;
use lock::OwnerLock;
use process::Process;

/// The pause before the first restart; it doubles with each one that follows closely.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// An engine that ran for so long has recovered: the next pause is the shortest again.
const STEADY_AFTER: Duration = Duration::from_secs(30);

/// What an engine runs on.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// The program with the hidden subcommand `clickhouse-engine`: this one, unless a test says otherwise.
    pub program: PathBuf,
    /// Path of `libchdb.so`.
    pub library: PathBuf,
    /// The engine's folder. Made when missing.
    pub data_dir: PathBuf,
    /// The port on 127.0.0.1. 0 takes that of last time if it is free, else any.
    pub http_port: u16,
    /// The engine's own limit for its memory.
    pub memory_bytes_max: u64,
    /// The databases that `ingest` and `analyst` may use, besides `admin`.
    pub databases: Vec<String>,
}

impl EngineSettings {
    /// The database `leadtrail` in this folder, any port, 3 GiB.
    pub fn new(library: impl Into<PathBuf>, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            // Not its path: that may have been replaced by a newer program since this one was started.
            program: "/proc/self/exe".into(),
            library: library.into(),
            data_dir: data_dir.into(),
            http_port: 0,
            memory_bytes_max: 3 << 30,
            databases: vec!["leadtrail".to_owned()],
        }
    }
}

/// A supervised engine. Dropped, it is stopped in the background.
#[derive(Debug)]
pub struct Engine {
    access: Access,
    pid: watch::Receiver<Option<u32>>,
    restarts: Arc<AtomicU64>,
    stop: oneshot::Sender<()>,
    supervisor: JoinHandle<Result<(), EngineError>>,
}

impl Engine {
    /// Starts the engine and waits until it answers, which takes 0.1-0.4 s.
    pub async fn start(mut settings: EngineSettings) -> Result<Self, EngineError> {
        let library = settings.library.canonicalize();
        settings.library =
            library.map_err(|_| EngineError::LibraryMissing { path: settings.library.clone() })?;
        let layout = Layout::create(&settings.data_dir)
            .map_err(|source| EngineError::Folder { path: settings.data_dir.clone(), source })?;
        let lock = OwnerLock::take(&layout)?;
        // Before the port is chosen: an engine that is still ending holds last time's.
        lock::wait_for_predecessor(&layout).await?;
        let mut kept = Kept::read_or_new(layout.folder())?;
        // Made here, so that its absence beside data is refused before anything runs.
        access::data_key(layout.folder(), layout.has_data())?;
        kept.http_port = choose_port(settings.http_port, kept.http_port)?;
        kept.write(layout.folder())?;

        let process = Process::start(&settings, &layout, &kept).await?;
        if kept.sandbox != process.sandbox {
            kept.sandbox = process.sandbox;
            kept.write(layout.folder())?;
        }
        report_sandbox(process.sandbox);
        let (pid_sender, pid) = watch::channel(Some(process.pid()));
        let (stop, stopped) = oneshot::channel();
        let access = kept.access();
        let restarts = Arc::new(AtomicU64::new(0));
        let again = restarts.clone();
        let plan = Plan { settings, layout, kept, pid: pid_sender, restarts: again, _lock: lock };
        let supervisor = tokio::spawn(supervise(plan, process, stopped));
        Ok(Self { access, pid, restarts, stop, supervisor })
    }

    /// How to reach it. The same at every start on this folder (the port too, unless somebody else took it).
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The engine's process. `None` while it is down and about to be started again.
    pub fn pid(&self) -> Option<u32> {
        *self.pid.borrow()
    }

    /// Whether it runs and how often it was started again, as metrics.
    pub fn gauges(&self) -> EngineGauges {
        EngineGauges { pid: self.pid.clone(), restarts: self.restarts.clone() }
    }

    /// Stops the engine cleanly; one that does not stop in time is killed, which costs no data. Drop clients first: it
    /// takes 0.1 s, but 5 s (fixed in the library) while a connection is open.
    pub async fn stop(self) -> Result<(), EngineError> {
        // The supervisor is gone already only if it panicked; then joining it says so.
        let _ = self.stop.send(());
        self.supervisor.await.expect("the supervisor does not panic")
    }
}

/// The engine's metrics, asked at a scrape.
#[derive(Debug)]
pub struct EngineGauges {
    pid: watch::Receiver<Option<u32>>,
    restarts: Arc<AtomicU64>,
}

impl Collector for EngineGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let runs = f64::from(u8::from(self.pid.borrow().is_some()));
        telemetry::ENGINE_UP.write_gauge(&mut encoder, [(String::new(), runs)])?;
        let restarts = self.restarts.load(Ordering::Relaxed);
        telemetry::ENGINE_RESTARTS.write_counter(&mut encoder, restarts)
    }
}

/// A port that was asked for stays as it is, taken or not: the start tells who holds it. With 0, last time's is tried
/// first.
fn choose_port(asked: u16, last: u16) -> Result<u16, EngineError> {
    if asked != 0 {
        return Ok(asked);
    }
    if last != 0 && port::try_port(last).is_ok() {
        return Ok(last);
    }
    let none = || EngineError::Port { port: 0, reason: "no port is free".to_owned() };
    port::free_port().ok_or_else(none)
}

fn report_sandbox(sandbox: Sandbox) {
    match sandbox {
        Sandbox::Full => {}
        Sandbox::Files => tracing::warn!(
            "this kernel's landlock can't restrict the clickhouse engine's network; only its users' grants do \
             (linux 6.12 or later can)"
        ),
        Sandbox::None => tracing::warn!(
            "this kernel has no landlock, so the clickhouse engine runs without a sandbox and opens no analyst user: \
             `leadtrail sql` needs linux 5.13 or later, or a clickhouse server in warehouse.url"
        ),
    }
}

/// What the supervisor needs for the next start.
struct Plan {
    settings: EngineSettings,
    layout: Layout,
    kept: Kept,
    pid: watch::Sender<Option<u32>>,
    restarts: Arc<AtomicU64>,
    _lock: OwnerLock,
}

/// Keeps an engine running until `stop` fires, or its sender is gone.
async fn supervise(
    plan: Plan,
    mut process: Process,
    mut stop: oneshot::Receiver<()>,
) -> Result<(), EngineError> {
    let mut pause = PAUSE_MIN;
    loop {
        let started = Instant::now();
        tokio::select! {
            _ = &mut stop => return process.stop().await,
            status = process.ended() => {
                plan.pid.send_replace(None);
                tracing::warn!(%status, "the clickhouse engine ended unasked; starting it again");
            }
        }
        if started.elapsed() > STEADY_AFTER {
            pause = PAUSE_MIN;
        }
        process = loop {
            let next = async {
                tokio::time::sleep(pause).await;
                Process::start(&plan.settings, &plan.layout, &plan.kept).await
            };
            // A start that is given up half-way ends by itself: its lifeline is dropped with it.
            let result = tokio::select! {
                _ = &mut stop => return Ok(()),
                result = next => result,
            };
            pause = (pause * 2).min(PAUSE_MAX);
            match result {
                Ok(process) => break process,
                Err(error) => {
                    tracing::error!(%error, "cannot start the clickhouse engine again; trying on");
                }
            }
        };
        plan.pid.send_replace(Some(process.pid()));
        plan.restarts.fetch_add(1, Ordering::Relaxed);
        tracing::info!(pid = process.pid(), "the clickhouse engine is back");
    }
}
