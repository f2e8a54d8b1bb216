//! A whole installation in a folder of its own: broker, engine, edge, consumer, settle; or `leadtrail up`. In: where the
//! program is and which home the log has. Out: parts that are started, signalled and waited for. Refuses: to go on when a
//! part does not get ready. Promises: all of it ends with this value, or with the harness.

use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clickhouse::Client;
use leadtrail::store::engine::{Access, Engine, EngineSettings, read_access};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::faults::clock::Clock;
use crate::faults::env;
use crate::faults::env::broker::Broker;
use crate::faults::options::Home;
use crate::faults::process::Process;
use crate::faults::tmpfs::Tmpfs;
use crate::faults::wires::{Far, Wires};

/// From start to ready, on a busy machine, with a journal to read.
const READY_MAX: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Little enough for a small machine beside the broker.
const MEMORY_BYTES_MAX: u64 = 2 << 30;

/// A process of Leadtrail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// `leadtrail serve`
    Edge,
    /// `leadtrail consume`
    Consumer,
    /// A second `leadtrail consume`, with Kafka only.
    SecondConsumer,
    /// `leadtrail settle`
    Settle,
    /// `leadtrail up`, which is all of these.
    Up,
}

impl Part {
    fn command(self) -> &'static str {
        match self {
            Self::Edge => "serve",
            Self::Consumer | Self::SecondConsumer => "consume",
            Self::Settle => "settle",
            Self::Up => "up",
        }
    }
}

/// How it is put together.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The program under test.
    pub program: PathBuf,
    /// Where the log is.
    pub home: Home,
    /// `leadtrail up` rather than a process for each part.
    pub up: bool,
    /// What is not as usual.
    pub special: Special,
}

/// What an installation has that the usual one has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// Nothing.
    None,
    /// The journal's folder on a small file system of its own.
    SmallJournalDisk,
    /// The engine's folder on one.
    SmallEngineDisk,
    /// A spill of two segments.
    SmallSpill,
    /// Wires between the processes.
    Wires,
    /// Three brokers, of which two must have a record before it is answered.
    ThreeBrokers,
    /// A clock that can jump.
    Clock,
}

/// A running installation.
pub struct Installation {
    /// How it is put together.
    pub shape: Shape,
    /// The broker, with Kafka as home.
    pub broker: Option<Broker>,
    /// Further brokers of its cluster.
    pub fellows: Vec<Broker>,
    /// The clock of all parts, when it can jump.
    pub clock: Option<Clock>,
    /// The file system of journal or engine, when it is small.
    pub disk: Option<Tmpfs>,
    /// The network, when it can be cut.
    pub wires: Wires,
    folder: PathBuf,
    edge_port: u16,
    ops_ports: BTreeMap<Part, u16>,
    environment: Vec<(String, String)>,
    engine: Option<Engine>,
    parts: BTreeMap<Part, Process>,
}

impl Installation {
    /// Starts all of it and waits until it is ready.
    pub async fn start(shape: Shape) -> anyhow::Result<Self> {
        let folder = env::folder("installation");
        let mut wires = Wires::default();
        let mut brokers = match (shape.home, shape.special) {
            (Home::Kafka, Special::Wires) => {
                vec![Broker::with_doors(wires.lay_to_broker(env::free_port).await?).await]
            }
            (Home::Kafka, Special::ThreeBrokers) => Broker::cluster(3).await,
            (Home::Kafka, _) => vec![Broker::own().await],
            (Home::Disk, _) => Vec::new(),
        }
        .into_iter();
        let clock = match shape.special {
            Special::Clock => Some(Clock::in_folder(&folder)?),
            _ => None,
        };
        let parts = [Part::Edge, Part::Consumer, Part::SecondConsumer, Part::Settle, Part::Up];
        let mut installation = Self {
            edge_port: env::free_port(),
            ops_ports: parts.into_iter().map(|part| (part, env::free_port())).collect(),
            environment: Vec::new(),
            engine: None,
            parts: BTreeMap::new(),
            disk: None,
            wires,
            shape,
            broker: brokers.next(),
            fellows: brokers.collect(),
            clock,
            folder,
        };
        installation.environment = installation.make_environment()?;
        std::fs::create_dir_all(installation.data())?;
        installation.disk = match installation.shape.special {
            Special::SmallJournalDisk => Some(Tmpfs::mount(&installation.journal())?),
            Special::SmallEngineDisk => Some(Tmpfs::mount(&installation.data().join("engine"))?),
            _ => None,
        };
        if !installation.shape.up {
            let port = env::free_port();
            installation.engine = Some(installation.start_engine(port).await?);
            installation.command(&["schema", "apply"])?;
            if installation.shape.special == Special::Wires {
                installation.wires.lay_to_engine(port).await?;
                let password = installation.access()?.admin.password;
                write_secret(&installation.password(), password.expose())?;
            }
        }
        for part in installation.usual_parts() {
            installation.start_part(*part)?;
        }
        for part in installation.usual_parts() {
            installation.ready(*part).await?;
        }
        Ok(installation)
    }

    /// The parts that run when nothing is wrong.
    pub fn usual_parts(&self) -> &'static [Part] {
        if self.shape.up { &[Part::Up] } else { &[Part::Edge, Part::Consumer, Part::Settle] }
    }

    fn make_environment(&self) -> anyhow::Result<Vec<(String, String)>> {
        let library = env::part("LEADTRAIL_ENGINE__LIBRARY", "engine");
        let local = |port: u16| format!("127.0.0.1:{port}");
        let pairs = [
            ("DATA_DIR", path_text(&self.data())?),
            ("EDGE__LISTEN", local(self.edge_port)),
            ("EDGE__PUBLIC_URL", format!("http://{}", local(self.edge_port))),
            ("EDGE__TRUSTED_PROXIES", "127.0.0.0/8".to_owned()),
            ("APP__LISTEN", local(env::free_port())),
            ("ENGINE__LIBRARY", path_text(&library)?),
            ("ENGINE__HTTP_PORT", env::free_port().to_string()),
            ("ENGINE__MEMORY_BYTES_MAX", MEMORY_BYTES_MAX.to_string()),
            // 16 MB of buffers must fit; small, so that a round goes through several.
            ("JOURNAL__SEGMENT_BYTES", (20 << 20).to_string()),
        ];
        let mut pairs: Vec<(String, String)> =
            pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        // So high that no limit refuses what a fault did not.
        for key in ["ADDRESS_PER_MINUTE", "ADDRESS_BURST", "FORM_PER_MINUTE", "FORM_BURST"] {
            pairs.push((format!("LIMITS__{key}"), 100_000_000.to_string()));
        }
        if self.shape.special == Special::SmallSpill {
            pairs.push(("JOURNAL__BYTES_MAX".to_owned(), (40 << 20).to_string()));
        }
        let brokers: Vec<String> = self.brokers().map(Broker::address).collect();
        if !brokers.is_empty() {
            pairs.push(("LOG__HOME".to_owned(), "kafka".to_owned()));
            pairs.push(("KAFKA__BROKERS".to_owned(), brokers.join(",")));
            pairs.push(("KAFKA__REPLICATION".to_owned(), brokers.len().to_string()));
        }
        Ok(pairs.into_iter().map(|(key, value)| (format!("LEADTRAIL_{key}"), value)).collect())
    }

    /// All brokers.
    pub fn brokers(&self) -> impl Iterator<Item = &Broker> {
        self.broker.iter().chain(&self.fellows)
    }

    /// The folder that holds everything; worth keeping when something is wrong.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The journal's folder; with Kafka the spill's.
    pub fn journal(&self) -> PathBuf {
        self.data().join(if self.shape.home == Home::Kafka { "spill" } else { "journal" })
    }

    /// Where the engine's tables lie.
    pub fn engine_tables(&self) -> PathBuf {
        self.data().join("engine/data/tables/sealed")
    }

    /// The edge's address.
    pub fn edge(&self) -> String {
        format!("http://127.0.0.1:{}", self.edge_port)
    }

    /// The edge's port.
    pub fn edge_port(&self) -> u16 {
        self.edge_port
    }

    /// The port of a part's ops listener.
    pub fn ops_port(&self, part: Part) -> u16 {
        self.ops_ports[&part]
    }

    /// The process of a part.
    pub fn pid(&self, part: Part) -> anyhow::Result<u32> {
        let process = self.parts.get(&part).with_context(|| format!("{part:?} does not run"))?;
        Ok(u32::try_from(process.pid().as_raw_nonzero().get())?)
    }

    /// How to reach the warehouse.
    pub fn access(&self) -> anyhow::Result<Access> {
        Ok(read_access(&self.data().join("engine"))?)
    }

    /// A client with all rights on the database.
    pub fn admin(&self) -> anyhow::Result<Client> {
        let access = self.access()?;
        Ok(Client::default()
            .with_url(&access.url)
            .with_user(&access.admin.user)
            .with_password(access.admin.password.expose())
            .with_database("leadtrail"))
    }

    async fn start_engine(&self, http_port: u16) -> anyhow::Result<Engine> {
        let library = env::part("LEADTRAIL_ENGINE__LIBRARY", "engine");
        let mut settings = EngineSettings::new(library, self.data().join("engine"));
        settings.program = self.shape.program.clone();
        settings.http_port = http_port;
        settings.memory_bytes_max = MEMORY_BYTES_MAX;
        Ok(Engine::start(settings).await?)
    }

    /// Runs a command of the program to its end, whatever that is.
    pub fn run(&self, words: &[&str]) -> anyhow::Result<std::process::Output> {
        let mut command = std::process::Command::new(&self.shape.program);
        command.args(words).envs(self.environment.iter().cloned());
        command.output().with_context(|| format!("cannot start {:?}", self.shape.program))
    }

    /// Runs a command of the program, which must succeed; its answer.
    pub fn command(&self, words: &[&str]) -> anyhow::Result<String> {
        let output = self.run(words)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "leadtrail {}: {}", words.join(" "), said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Starts a part that does not run.
    pub fn start_part(&mut self, part: Part) -> anyhow::Result<()> {
        let ops = |part: Part| format!("127.0.0.1:{}", self.ops_ports[&part]);
        let own = if part == Part::SecondConsumer { part } else { Part::Consumer };
        let first = if part == Part::Up { part } else { Part::Edge };
        let mut environment = self.environment.clone();
        for (key, value) in [
            ("LEADTRAIL_OPS__LISTEN", ops(first)),
            ("LEADTRAIL_CONSUMER__OPS_LISTEN", ops(own)),
            ("LEADTRAIL_SETTLE__OPS_LISTEN", ops(Part::Settle)),
        ] {
            environment.push((key.to_owned(), value));
        }
        environment.extend(self.wired(part)?);
        environment.extend(self.clock.iter().flat_map(Clock::environment));
        let log = self.log(part);
        let process = Process::spawn(&self.shape.program, &[part.command()], &environment, &log)?;
        self.parts.insert(part, process);
        Ok(())
    }

    /// Where a part's words go.
    fn log(&self, part: Part) -> PathBuf {
        self.folder.join(format!("{part:?}.log").to_lowercase())
    }

    /// Starts a part that has to refuse: it ends by itself, not well, and says `words`.
    pub async fn refuses(&mut self, part: Part, words: &str) -> anyhow::Result<()> {
        let said_before = std::fs::metadata(self.log(part)).map_or(0, |log| log.len());
        self.start_part(part)?;
        let mut process = self.take(part)?;
        let deadline = Instant::now() + READY_MAX;
        let status = loop {
            if let Some(status) = process.ended() {
                break status;
            }
            ensure!(Instant::now() < deadline, "{part:?} runs, and should refuse to");
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let said = std::fs::read(self.log(part))?;
        let said = String::from_utf8_lossy(&said[usize::try_from(said_before)?..]).into_owned();
        ensure!(!status.success(), "{part:?} ended as if all were well: {said}");
        ensure!(said.contains(words), "{part:?} ended without a word of {words:?}: {said}");
        Ok(())
    }

    /// What a part has to be told so that it goes by its wires. The second consumer has the first one's.
    fn wired(&self, part: Part) -> anyhow::Result<Vec<(String, String)>> {
        let part = if part == Part::SecondConsumer { Part::Consumer } else { part };
        let mut environment = Vec::new();
        if let Some(port) = self.wires.port(part, Far::Broker) {
            environment.push(("LEADTRAIL_KAFKA__BROKERS", format!("127.0.0.1:{port}")));
        }
        if let Some(port) = self.wires.port(part, Far::Engine) {
            environment.push(("LEADTRAIL_WAREHOUSE__URL", format!("http://127.0.0.1:{port}")));
            environment.push(("LEADTRAIL_WAREHOUSE__USER", self.access()?.admin.user));
            let file = path_text(&self.password())?;
            environment.push(("LEADTRAIL_WAREHOUSE__PASSWORD_FILE", file));
        }
        Ok(environment.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    fn password(&self) -> PathBuf {
        self.folder.join("password")
    }

    /// Waits until a part says that it is ready.
    pub async fn ready(&mut self, part: Part) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_MAX;
        loop {
            let said = is_ready(self.ops_ports[&part]).await;
            if said.as_deref().is_ok_and(|said| said.starts_with("HTTP/1.1 200")) {
                return Ok(());
            }
            if let Some(status) = self.parts.get_mut(&part).and_then(Process::ended) {
                bail!("{part:?} ended while starting: {status}; see {:?}", self.folder);
            }
            if Instant::now() > deadline {
                bail!("{part:?} is not ready after 90 s: {said:?}; see {:?}", self.folder);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// kill -9 for a part.
    pub async fn kill9(&mut self, part: Part) -> anyhow::Result<()> {
        self.take(part)?.kill9().await
    }

    /// TERM for a part; it must end well.
    pub async fn terminate(&mut self, part: Part) -> anyhow::Result<()> {
        let status = self.take(part)?.terminate().await?;
        ensure!(status.success(), "{part:?} ended with {status} after TERM");
        Ok(())
    }

    fn take(&mut self, part: Part) -> anyhow::Result<Process> {
        self.parts.remove(&part).with_context(|| format!("{part:?} does not run"))
    }

    /// A signal for a part.
    pub fn signal(&self, part: Part, signal: Signal) -> anyhow::Result<()> {
        self.parts.get(&part).with_context(|| format!("{part:?} does not run"))?.signal(signal)
    }

    /// A signal for the engine; `leadtrail up` or the harness starts it again when it ends.
    pub fn signal_engine(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = match (&self.engine, self.parts.get(&Part::Up)) {
            (Some(engine), _) => engine.pid().and_then(|pid| Pid::from_raw(pid.cast_signed())),
            (None, Some(up)) => child_of(up.pid()),
            (None, None) => None,
        };
        // An engine that is down already gets no second blow.
        pid.map_or(Ok(()), |pid| Ok(kill_process(pid, signal)?))
    }

    /// Waits until the engine answers.
    pub async fn engine_answers(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_MAX;
        let client = self.admin()?;
        while client.query("SELECT 1").execute().await.is_err() {
            ensure!(Instant::now() < deadline, "the engine does not answer after 90 s");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Parts that ended though nobody asked them to.
    pub fn ended_unasked(&mut self) -> Vec<String> {
        let ended = self.parts.iter_mut().filter_map(|(part, process)| {
            process.ended().map(|status| format!("{part:?}: {status}"))
        });
        ended.collect()
    }

    /// Stops it; its folder stays.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        for part in [Part::Up, Part::Edge, Part::SecondConsumer, Part::Consumer, Part::Settle] {
            if self.parts.contains_key(&part) {
                self.terminate(part).await?;
            }
        }
        if let Some(engine) = self.engine.take() {
            engine.stop().await?;
        }
        Ok(())
    }
}

fn write_secret(path: &Path, secret: &str) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
    Ok(std::io::Write::write_all(&mut file, secret.as_bytes())?)
}

fn path_text(path: &Path) -> anyhow::Result<String> {
    Ok(path.to_str().context("a folder whose name is no text")?.to_owned())
}

/// The answer of `/ready`, with its status line.
async fn is_ready(port: u16) -> std::io::Result<String> {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream
            .write_all(b"GET /ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            .await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
    };
    tokio::time::timeout(Duration::from_secs(2), ask)
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

/// A process whose parent is `parent`: the engine of `leadtrail up`.
fn child_of(parent: Pid) -> Option<Pid> {
    let parent = parent.as_raw_nonzero().to_string();
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let number: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name in parentheses may hold anything; behind it come the state and the parent.
        let (_, rest) = stat.rsplit_once(") ")?;
        (rest.split(' ').nth(1)? == parent).then(|| Pid::from_raw(number))?
    })
}
