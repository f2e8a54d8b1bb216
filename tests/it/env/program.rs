//! The real program: the binary under test with a folder, ports and an environment of its own.
//!
//! Its log goes to files in its folder; a test that fails prints where. It ends with the value, by TERM or by kill -9.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A debug build on a busy machine opens databases and starts the engine within this time.
const READY_MAX: Duration = Duration::from_secs(60);

/// A stop drains, closes the log and stops the engine.
const STOP_MAX: Duration = Duration::from_secs(60);

/// One answer.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let wanted = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().find(wanted).map(|(_, value)| value.as_str())
    }

    /// The event id that the receipt holds.
    pub fn event_id(&self) -> uuid::Uuid {
        use base64::Engine as _;
        let receipt = self.header("leadtrail-receipt").expect("a durable answer has a receipt");
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(receipt).unwrap();
        uuid::Uuid::from_slice(&bytes[..16]).unwrap()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// An installation: a folder, ports and settings that its programs share.
pub struct Installation {
    pub folder: PathBuf,
    pub edge: u16,
    pub app: u16,
    ops: u16,
    environment: BTreeMap<String, String>,
}

impl Installation {
    /// On the disk journal, with an embedded engine of its own, unless `set` says otherwise.
    pub fn new(purpose: &str) -> Self {
        let folder = super::folder(purpose);
        let [edge, app, demo, engine, ops, consumer, settle] =
            std::array::from_fn(|_| super::free_port());
        let mut this = Self { edge, app, ops, environment: BTreeMap::new(), folder };
        let library = super::part("LEADTRAIL_ENGINE__LIBRARY", "engine");
        let data = this.folder.join("data");
        this.set("DATA_DIR", &data.display().to_string());
        this.set("ENGINE__LIBRARY", &library.display().to_string());
        this.set("ENGINE__HTTP_PORT", &engine.to_string());
        this.set("EDGE__PUBLIC_URL", &format!("http://127.0.0.1:{edge}"));
        // On a busy machine an fsync may take longer than a redirect waits for it; most tests want the receipt.
        this.set("EDGE__REDIRECT_WAIT_MS", "5000");
        this.set("JOURNAL__REDIRECT_WAIT_MS", "5000");
        this.set("EDGE__TRUSTED_PROXIES", "127.0.0.0/8");
        this.set("APP__HOSTS", &format!("127.0.0.1:{app}"));
        for (key, port) in [
            ("EDGE__LISTEN", edge),
            ("APP__LISTEN", app),
            ("DEMO__LISTEN", demo),
            ("OPS__LISTEN", ops),
            ("CONSUMER__OPS_LISTEN", consumer),
            ("SETTLE__OPS_LISTEN", settle),
        ] {
            this.set(key, &format!("127.0.0.1:{port}"));
        }
        this
    }

    /// Sets `LEADTRAIL_<key>`.
    pub fn set(&mut self, key: &str, value: &str) {
        self.environment.insert(format!("LEADTRAIL_{key}"), value.to_owned());
    }

    /// With the log in Kafka, in topics and a group of its own.
    pub fn use_kafka(&mut self, address: &str, name: &str) {
        self.set("LOG__HOME", "kafka");
        self.set("KAFKA__BROKERS", address);
        self.set("KAFKA__TOPIC", &format!("{name}.events"));
        self.set("KAFKA__SETTLE_TOPIC", &format!("{name}.settle"));
        self.set("KAFKA__SHARED_TOPIC", &format!("{name}.shared"));
        self.set("KAFKA__LINKS_TOPIC", &format!("{name}.links"));
        self.set("KAFKA__ACCESS_TOPIC", &format!("{name}.access"));
        self.set("KAFKA__GROUP", name);
    }

    /// With a configured ClickHouse.
    pub fn use_warehouse(&mut self, database: &super::warehouse::Database) {
        let secret = self.folder.join("password");
        std::fs::write(&secret, database.access.admin.password.expose()).unwrap();
        self.set("WAREHOUSE__URL", &database.access.url);
        self.set("WAREHOUSE__USER", &database.access.admin.user);
        self.set("WAREHOUSE__PASSWORD_FILE", &secret.display().to_string());
        self.set("WAREHOUSE__DATABASE", &database.name);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leadtrail"));
        command.args(arguments).envs(&self.environment).current_dir(&self.folder);
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> std::process::Output {
        self.command(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs lines of a shell, with the same environment.
    pub fn shell(&self, lines: &str) -> std::process::Output {
        let mut command = Command::new("bash");
        command.args(["-euc", lines]).envs(&self.environment).current_dir(&self.folder);
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// Starts a part and gives it at once.
    pub fn start(&self, arguments: &[&str]) -> Program {
        let log = |name: &str| {
            let path = self.folder.join(format!("{}.{name}", arguments[0]));
            File::options().create(true).append(true).open(path).unwrap()
        };
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(log("out")).stderr(log("err"));
        Program { child: Some(command.spawn().unwrap()) }
    }

    /// Starts a part and waits until its ops listener says that it's ready.
    pub async fn ready(&self, arguments: &[&str]) -> Program {
        let ops = match arguments[0] {
            "consume" => self.port("CONSUMER__OPS_LISTEN"),
            "settle" => self.port("SETTLE__OPS_LISTEN"),
            _ => self.ops,
        };
        let mut program = self.start(arguments);
        let log = self.folder.join(format!("{}.err", arguments[0]));
        super::wait_for(&format!("{arguments:?} to be ready; log: {log:?}"), READY_MAX, || {
            assert!(program.ended().is_none(), "{arguments:?} ended; log: {log:?}");
            get(ops, "/ready").is_some_and(|reply| reply.status == 200)
        })
        .await;
        program
    }

    fn port(&self, key: &str) -> u16 {
        self.environment[&format!("LEADTRAIL_{key}")].rsplit_once(':').unwrap().1.parse().unwrap()
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Everything that the programs have printed.
    pub fn logs(&self) -> String {
        let is_log = |path: &Path| path.extension().is_some_and(|end| end == "err" || end == "out");
        let files = self.folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
        files
            .filter(|path| is_log(path))
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect()
    }

    /// What `/ready` says, whatever its status.
    pub fn readiness(&self) -> String {
        get(self.ops, "/ready").expect("the ops listener answers").text()
    }

    pub fn metrics(&self) -> String {
        get(self.ops, "/metrics").expect("the ops listener answers").text()
    }

    /// Asks the edge.
    pub fn get(&self, path: &str, headers: &str) -> Reply {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: track\r\n{headers}Connection: close\r\n\r\n"
        ))
    }

    /// Asks the edge by another host's name.
    pub fn get_at(&self, host: &str, path: &str, headers: &str) -> Reply {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n"
        ))
    }

    /// Asks an edge that may not be there yet.
    pub fn try_get(&self, path: &str) -> Option<Reply> {
        get(self.edge, path)
    }

    /// Posts to the edge.
    pub fn post(&self, path: &str, kind: &str, body: &str, headers: &str) -> Reply {
        let length = body.len();
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: track\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n{body}"
        ))
    }

    /// Posts to the edge by another host's name.
    pub fn post_at(&self, host: &str, path: &str, kind: &str, body: &str, headers: &str) -> Reply {
        let length = body.len();
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n{body}"
        ))
    }

    fn ask(&self, request: &str) -> Reply {
        exchange(self.edge, request).expect("the edge answers")
    }

    /// Asks the app's listener anything.
    pub fn ask_app(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        let (port, length) = (self.app, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n{body}"
        );
        exchange(port, &request).expect("the app answers")
    }

    /// Runs a command that has to succeed, and gives what it printed.
    pub fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Asks an app that may not be there yet.
    pub fn try_app(&self, path: &str) -> Option<Reply> {
        get(self.app, path)
    }

    /// Asks the report page's listener.
    pub fn app(&self, path: &str) -> Reply {
        get(self.app, path).expect("the app answers")
    }
}

fn get(port: u16, path: &str) -> Option<Reply> {
    exchange(
        port,
        &format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"),
    )
}

fn exchange(port: u16, request: &str) -> Option<Reply> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Some(Reply { status, headers, body: bytes[end + 4..].to_vec() })
}

/// One process.
pub struct Program {
    child: Option<Child>,
}

impl Program {
    fn pid(&self) -> Pid {
        let child = self.child.as_ref().expect("the program runs");
        Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().unwrap())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Ends it without a warning.
    pub fn kill9(&mut self) {
        let mut child = self.child.take().expect("the program runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks it to stop and waits until it did.
    pub fn stop(&mut self) -> ExitStatus {
        kill_process(self.pid(), Signal::TERM).unwrap();
        let give_up = Instant::now() + STOP_MAX;
        loop {
            if let Some(status) = self.ended() {
                self.child = None;
                return status;
            }
            assert!(Instant::now() < give_up, "the program did not stop within {STOP_MAX:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.take().expect("the program runs").wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
