//! The engine's own process: the body of the hidden subcommand `clickhouse-engine`.
//!
//! In: its arguments, the two secret files of the folder, and a lifeline on standard input. Out: one word on standard
//! output (how much of the sandbox holds), then a ClickHouse on loopback until TERM, INT or the lifeline's end. Refuses:
//! to run on more than one thread before the sandbox is shut. Promises: it never outlives its parent, not even one that
//! was killed with -9; it stops cleanly, or by force after [`STOP_DEADLINE_MS`].
//!
//! Why a process of its own: the library can be run once per process, takes descriptors 0 and 1, and leaves threads
//! behind. Why a terminal: run without one, it aborts on the first half-sent HTTP request (measured: 6 of 27 hostile
//! cases; with one, none of 3,000), because only its interactive mode leaves the killing error handler out.

use std::ffi::CString;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::stdio::{dup2_stdin, dup2_stdout};

use super::access::{Kept, data_key};
use super::config::{KEY_VARIABLE, ServerSettings, server, users};
use super::layout::Layout;
use super::library::{EngineLibrary, block_stop_signals, end_at_once, set_variable};
use super::sandbox::{self, Borders, Sandbox};
use super::tokens::forget_unfinished;

/// How long a clean stop may take: 5-120 ms were measured, a running merge can hold it longer. The parent waits longer
/// still before it kills.
const STOP_DEADLINE_MS: u32 = 10_000;

/// Stack of the engine's main thread. Its parser recurses; the default of 2 MiB is less than it gets as a program.
const STACK_BYTES: usize = 16 << 20;

/// The terminal's "end of input" key, which ends the engine's interactive session.
const END_OF_INPUT: u8 = 0x04;

const SERVER_CONFIG: &str = "config.xml";
const USERS_CONFIG: &str = "users.xml";

/// The exit code of an engine that did not stop in time.
const STOPPED_BY_FORCE: i32 = 70;

/// Arguments of the hidden subcommand. Nothing secret: they show in the list of processes.
#[derive(Clone, Debug, clap::Args)]
pub struct ChildArguments {
    /// Path of libchdb.so.
    #[arg(long)]
    pub library: PathBuf,
    /// The engine's folder, absolute.
    #[arg(long)]
    pub data_dir: PathBuf,
    /// The port on loopback.
    #[arg(long)]
    pub http_port: u16,
    /// The engine's own limit for its memory, in bytes.
    #[arg(long)]
    pub memory_bytes_max: u64,
    /// A database that users other than the admin may use. May be repeated.
    #[arg(long = "database")]
    pub databases: Vec<String>,
}

/// Runs the engine. Has to be called from a process that has started no thread yet.
pub fn child_main(arguments: &ChildArguments) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The parent reads this from the pipe and reports it.
            eprintln!("clickhouse-engine: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &ChildArguments) -> anyhow::Result<()> {
    use anyhow::Context as _;
    let stop_signal = block_stop_signals().context("cannot block TERM and INT")?;
    let lifeline = fcntl_dupfd_cloexec(std::io::stdin(), 3).context("cannot keep the lifeline")?;
    let layout = Layout::of(&arguments.data_dir);

    // The secrets are read while that is still possible: the sandbox leaves their folder outside.
    let kept =
        Kept::read(layout.folder())?.context("access.json is missing; the parent writes it")?;
    let key = data_key(layout.folder(), layout.has_data())?;
    set_variable(KEY_VARIABLE, key.expose());
    persist_system_database(&layout).context("cannot write the system database's definition")?;
    forget_unfinished(&layout).context("cannot read the logs of deduplication tokens")?;
    let terminal = open_terminal().context("cannot open a terminal")?;
    let config_files = ConfigFiles::create(&layout).context("cannot make the config files")?;

    let sandbox = sandbox::enter(&Borders {
        data: &layout.data(),
        config: &layout.config(),
        library: &arguments.library,
        http_port: arguments.http_port,
    })
    .context("cannot enter the sandbox")?;
    let analyst_open = sandbox != Sandbox::None;
    config_files
        .write(arguments, &layout, &kept, analyst_open)
        .context("cannot write the config files")?;
    say_and_leave_stdout(sandbox).context("cannot tell the parent about the sandbox")?;

    let library = EngineLibrary::load(&arguments.library).context("cannot load the engine")?;
    serve(library, &command_line(arguments, &layout)?, &stop_signal, &lifeline, &terminal)
}

/// A terminal of our own: the engine gets the inner end as descriptor 0, we keep the outer end to type on.
fn open_terminal() -> std::io::Result<OwnedFd> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = openpt(flags)?;
    grantpt(&terminal)?;
    unlockpt(&terminal)?;
    let inner = ioctl_tiocgptpeer(&terminal, flags)?;
    dup2_stdin(&inner)?;
    Ok(terminal)
}

/// Tells the parent how much of the sandbox holds; from then on standard output leads nowhere, because the engine
/// prints its prompt there.
fn say_and_leave_stdout(sandbox: Sandbox) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", serde_json::to_string(&sandbox)?)?;
    stdout.flush()?;
    let nowhere = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    dup2_stdout(&nowhere)?;
    Ok(())
}

/// Without this file the `system` database lives in memory only, and its logs break at the second start ("Directory
/// for table data data/system/query_log/ already exists").
fn persist_system_database(layout: &Layout) -> anyhow::Result<()> {
    let folder = layout.data().join("metadata");
    let path = folder.join("system.sql");
    if path.exists() {
        return Ok(());
    }
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
    std::fs::create_dir_all(&folder)?;
    std::fs::write(path, format!("ATTACH DATABASE system UUID '{id}' ENGINE = Atomic\n"))?;
    Ok(())
}

/// The config files, opened before the sandbox is shut and written after it: what they say depends on how much of the
/// sandbox holds, and the sandbox lets nothing write to their folder.
struct ConfigFiles {
    server: File,
    users: File,
}

impl ConfigFiles {
    fn create(layout: &Layout) -> std::io::Result<Self> {
        let folder = layout.config();
        Ok(Self {
            server: File::create(folder.join(SERVER_CONFIG))?,
            users: File::create(folder.join(USERS_CONFIG))?,
        })
    }

    fn write(
        mut self,
        arguments: &ChildArguments,
        layout: &Layout,
        kept: &Kept,
        analyst_open: bool,
    ) -> std::io::Result<()> {
        let settings = ServerSettings {
            users_config: &layout.config().join(USERS_CONFIG),
            data: &layout.data(),
            tables: &layout.tables(),
            tokens: &layout.tokens(),
            http_port: arguments.http_port,
            memory_bytes_max: arguments.memory_bytes_max,
        };
        self.server.write_all(server(&settings).as_bytes())?;
        self.users.write_all(users(kept, &arguments.databases, analyst_open).as_bytes())
    }
}

fn command_line(arguments: &ChildArguments, layout: &Layout) -> anyhow::Result<Vec<CString>> {
    let option = |name: &str, value: &Path| format!("--{name}={}", value.display());
    [
        "clickhouse".to_owned(),
        option("path", &layout.data()),
        option("config-file", &layout.config().join(SERVER_CONFIG)),
        "--listen_host=127.0.0.1".to_owned(),
        format!("--http_port={}", arguments.http_port),
        "--interactive".to_owned(),
        "--disable_suggestion".to_owned(),
        "--history_file=/dev/null".to_owned(),
        "--highlight=0".to_owned(),
        "--progress=off".to_owned(),
        "--echo=0".to_owned(),
        "--output-format=TSV".to_owned(),
        "--log-level=error".to_owned(),
        "--query=SYSTEM START LISTEN HTTP".to_owned(),
    ]
    .into_iter()
    .map(|argument| Ok(CString::new(argument)?))
    .collect()
}

/// Runs the engine on a thread until it ends by itself or something asks for its end.
fn serve(
    library: EngineLibrary,
    command_line: &[CString],
    stop_signal: &OwnedFd,
    lifeline: &OwnedFd,
    terminal: &OwnedFd,
) -> anyhow::Result<()> {
    let (ended, ends) = rustix::pipe::pipe()?;
    let command_line = command_line.to_vec();
    std::thread::Builder::new().name("engine".to_owned()).stack_size(STACK_BYTES).spawn(
        move || {
            library.run(&command_line);
            drop(ends);
        },
    )?;
    let mut wanted = [
        PollFd::new(stop_signal, PollFlags::IN),
        PollFd::new(lifeline, PollFlags::empty()),
        PollFd::new(&ended, PollFlags::empty()),
    ];
    // An end of a pipe whose other end is closed reports HUP whatever was asked for.
    while let Err(rustix::io::Errno::INTR) = poll(&mut wanted, None) {}
    if !wanted[2].revents().is_empty() {
        anyhow::bail!("the engine ended by itself");
    }
    rustix::io::write(terminal, &[END_OF_INPUT])?;
    let deadline = Timespec { tv_sec: i64::from(STOP_DEADLINE_MS / 1000), tv_nsec: 0 };
    let mut ending = [PollFd::new(&ended, PollFlags::empty())];
    match poll(&mut ending, Some(&deadline)) {
        Ok(count) if count > 0 => Ok(()),
        _ => {
            eprintln!("clickhouse-engine: the engine did not stop within {STOP_DEADLINE_MS} ms");
            end_at_once(STOPPED_BY_FORCE)
        }
    }
}
