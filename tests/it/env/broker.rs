//! A real Apache Kafka broker (KRaft, one node, or several that share a quorum), from the jars that `deploy/parts/kafka` fetched.
//!
//! Tests share one and take a topic each; a test that kills or stops brokers starts its own. A broker is ready when its
//! metadata names a leader for every partition, not when its port is open.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::OnceCell;

/// From start to leaders: 5-7 s were seen, 13 s after a kill -9, more on a busy machine.
const READY_MAX: Duration = Duration::from_secs(90);

const ASK_MAX: Duration = Duration::from_secs(2);

/// Any 16 bytes in base64: brokers of different tests never meet.
const CLUSTER_ID: &str = "bGVhZHRyYWlsLXRlc3RzLg";

/// Keeps a broker for as long as its standard input is open, that is, as long as the test run lives. `setpriv
/// --pdeathsig` would do it when the *thread* that started it ends, which is after one test.
const WATCHER: &str =
    r#""$@" </dev/null >>broker.log 2>&1 & echo $!; read -r _; kill -9 $! 2>/dev/null; wait"#;

/// A broker in a folder of its own.
pub struct Broker {
    folder: PathBuf,
    libs: PathBuf,
    port: u16,
    doors: Vec<Door>,
    quorum: Quorum,
    life: Mutex<Option<Life>>,
}

/// Which of its brokers one is, and where the controllers of all listen.
struct Quorum {
    node: usize,
    controllers: Vec<u16>,
}

/// A further listener: the port that it listens on, and the one that it names to clients, where a wire to it may lie.
#[derive(Clone, Copy, Debug)]
pub struct Door {
    /// Where the broker listens.
    pub listens: u16,
    /// Where it says that it listens.
    pub named: u16,
}

/// One process.
struct Life {
    watcher: Child,
    broker: Pid,
}

impl Broker {
    /// The broker that all tests share; started at the first call.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Broker> = OnceCell::const_new();
        SHARED.get_or_init(Self::own).await
    }

    /// A broker for one test. It ends with this value.
    pub async fn own() -> Self {
        Self::with_doors(Vec::new()).await
    }

    /// The same with further listeners, so that the network between it and one of its clients can be cut.
    pub async fn with_doors(doors: Vec<Door>) -> Self {
        let broker =
            Self::formatted(doors, Quorum { node: 0, controllers: vec![super::free_port()] });
        broker.start();
        broker.wait_until_ready().await;
        broker
    }

    /// Several brokers that are one: each record lies on all of them, and two of three must have it before it is answered.
    pub async fn cluster(count: usize) -> Vec<Self> {
        let controllers: Vec<u16> = (0..count).map(|_| super::free_port()).collect();
        let quorum = |node| Quorum { node, controllers: controllers.clone() };
        let brokers: Vec<Self> =
            (0..count).map(|node| Self::formatted(Vec::new(), quorum(node))).collect();
        brokers.iter().for_each(Self::start);
        for broker in &brokers {
            broker.wait_until_ready().await;
        }
        brokers
    }

    fn formatted(doors: Vec<Door>, quorum: Quorum) -> Self {
        let broker = Self {
            folder: super::folder("broker"),
            libs: super::part("LEADTRAIL_KAFKA_LIBS", "kafka"),
            port: super::free_port(),
            doors,
            quorum,
            life: Mutex::new(None),
        };
        broker.format();
        broker
    }

    /// For `bootstrap.servers`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends it without a warning.
    pub fn kill9(&self) {
        // The watcher kills the broker when its input ends, and ends after it.
        self.life.lock().unwrap().take().expect("the broker runs").end();
    }

    /// Asks it to end and waits until it did.
    pub async fn terminate(&self) {
        self.signal(Signal::TERM);
        super::wait_for("the broker's end", READY_MAX, || !self.is_alive()).await;
        self.kill9();
    }

    /// Makes it hang: its port stays open, nothing answers. On a busy machine a thread of it may go on for some
    /// milliseconds after the signal and answer one more request, so this waits until each has stopped.
    pub async fn stop_signal(&self) {
        self.signal(Signal::STOP);
        super::wait_for("each thread of the broker to stop", READY_MAX, || self.is_stopped()).await;
    }

    /// Lets it go on after [`Broker::stop_signal`].
    pub fn cont(&self) {
        self.signal(Signal::CONT);
    }

    /// Starts it again after [`Broker::kill9`] on the same port and data, and waits until all partitions have a leader.
    pub async fn restart(&self) {
        self.start();
        self.wait_until_ready().await;
    }

    /// Starts it again without waiting: two of three brokers that are down get ready only together.
    pub fn start_again(&self) {
        self.start();
    }

    /// Makes a topic and waits until each partition has a leader.
    pub async fn create_topic(&self, name: &str, partitions: i32) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let results = self.admin().create_topics([&topic], &AdminOptions::new()).await.unwrap();
        results.into_iter().for_each(|result| drop(result.unwrap()));
        super::wait_for_async("leaders of the new topic", READY_MAX, async || {
            self.leaders().await.is_some_and(|topics| {
                topics.iter().any(|(topic, led)| {
                    topic == name && led.len() == partitions as usize && led.iter().all(|led| *led)
                })
            })
        })
        .await;
    }

    /// Deletes a topic and waits until it is gone.
    pub async fn delete_topic(&self, name: &str) {
        let results = self.admin().delete_topics(&[name], &AdminOptions::new()).await.unwrap();
        results.into_iter().for_each(|result| drop(result.unwrap()));
        super::wait_for_async("the topic's end", READY_MAX, async || {
            self.leaders()
                .await
                .is_some_and(|topics| topics.iter().all(|(topic, _)| topic.as_str() != name))
        })
        .await;
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", self.address()).create().unwrap()
    }

    /// Each topic, and for each of its partitions whether it has a leader. `None` while the broker does not answer.
    pub async fn leaders(&self) -> Option<Vec<(String, Vec<bool>)>> {
        let address = self.address();
        let ask = move || {
            let consumer: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", address)
                .set("log_level", "0")
                .create()
                .unwrap();
            let metadata = consumer.fetch_metadata(None, ASK_MAX).ok()?;
            let topics = metadata.topics().iter().map(|topic| {
                let led = topic.partitions().iter().map(|partition| partition.leader() >= 0);
                (topic.name().to_owned(), led.collect())
            });
            (!metadata.brokers().is_empty()).then(|| topics.collect())
        };
        tokio::task::spawn_blocking(ask).await.unwrap()
    }

    /// Waits until it answers and every partition has a leader.
    pub async fn wait_until_ready(&self) {
        super::wait_for_async("a broker with leaders", READY_MAX, async || {
            let said =
                || std::fs::read_to_string(self.folder.join("broker.log")).unwrap_or_default();
            assert!(self.is_alive(), "the broker ended; it said: {}", said());
            self.leaders()
                .await
                .is_some_and(|topics| topics.iter().all(|(_, led)| led.iter().all(|led| *led)))
        })
        .await;
    }

    fn is_alive(&self) -> bool {
        let life = self.life.lock().unwrap();
        let pid = life.as_ref().map_or(0, |life| life.broker.as_raw_nonzero().get());
        // `State: Z` until the watcher ends, which it does not by itself.
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// True when the kernel shows state `T` for each of its threads.
    fn is_stopped(&self) -> bool {
        let pid = self.life.lock().unwrap().as_ref().expect("the broker runs").broker;
        let tasks = PathBuf::from(format!("/proc/{}/task", pid.as_raw_nonzero()));
        tasks.read_dir().unwrap().flatten().all(|task| {
            let status = std::fs::read_to_string(task.path().join("status"));
            // A thread that ended meanwhile answers nothing either.
            status.map_or(true, |status| status.lines().any(|line| line.starts_with("State:\tT")))
        })
    }

    fn signal(&self, signal: Signal) {
        let life = self.life.lock().unwrap();
        kill_process(life.as_ref().expect("the broker runs").broker, signal).unwrap();
    }

    fn format(&self) {
        let properties = self.folder.join("server.properties");
        std::fs::write(&properties, self.properties()).unwrap();
        let output = self
            .java(&["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
            .arg(&properties)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn start(&self) {
        let mut life = self.life.lock().unwrap();
        assert!(life.is_none(), "the broker runs already");
        let java = self.java(&["kafka.Kafka", "server.properties"]);
        let mut watcher = Command::new("sh")
            .args(["-c", WATCHER, "sh"])
            .arg(java.get_program())
            .args(java.get_args())
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(watcher.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let broker = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
        *life = Some(Life { watcher, broker });
    }

    fn java(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("java");
        command
            .args(["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .arg("-cp")
            .arg(self.libs.join("*"))
            .args(arguments);
        command
    }

    fn properties(&self) -> String {
        let (port, controller) = (self.port, self.quorum.controllers[self.quorum.node]);
        let voters: Vec<String> = self
            .quorum
            .controllers
            .iter()
            .enumerate()
            .map(|(node, port)| format!("{}@127.0.0.1:{port}", node + 1))
            .collect();
        let (node, voters) = (self.quorum.node + 1, voters.join(","));
        let copies = self.quorum.controllers.len();
        let in_sync = if copies >= 3 { 2 } else { 1 };
        let (mut listens, mut named, mut kinds) = (String::new(), String::new(), String::new());
        for (number, door) in self.doors.iter().enumerate() {
            write!(listens, ",DOOR{number}://127.0.0.1:{}", door.listens).unwrap();
            write!(named, ",DOOR{number}://127.0.0.1:{}", door.named).unwrap();
            write!(kinds, ",DOOR{number}:PLAINTEXT").unwrap();
        }
        let mut text = format!(
            "process.roles=broker,controller\n\
             node.id={node}\n\
             controller.quorum.voters={voters}\n\
             min.insync.replicas={in_sync}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{listens}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}{named}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT{kinds}\n\
             log.dirs={}\n\
             auto.create.topics.enable=false\n\
             broker.session.timeout.ms=6000\n\
             broker.heartbeat.interval.ms=500\n\
             group.initial.rebalance.delay.ms=0\n",
            self.folder.join("data").display()
        );
        for topic in ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"] {
            writeln!(text, "{topic}.replication.factor={copies}").unwrap();
        }
        for topic in ["transaction.state.log", "share.coordinator.state.topic"] {
            writeln!(text, "{topic}.min.isr={in_sync}").unwrap();
        }
        text
    }

    /// What the broker said, for the message of a failed test.
    pub fn log(&self) -> PathBuf {
        self.folder.join("broker.log")
    }
}

impl Life {
    fn end(mut self) {
        drop(self.watcher.stdin.take());
        self.watcher.wait().unwrap();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(life) = self.life.lock().unwrap().take() {
            life.end();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
