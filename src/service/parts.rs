//! The parts: each is opened from the installation, says whether it is ready, and runs until the stop.
//!
//! In: an [`Installation`]. Out: parts. Refuses: what can't be opened, with the file, port or setting to look at. Promises: nothing
//! is served before everything it needs was opened.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hyper::StatusCode;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::attribute::meaning::Meaning;
use crate::check::caps::Caps;
use crate::check::clicks::Networks;
use crate::check::dialects::Dialects;
use crate::check::dialects::doors::Doors;
use crate::check::postbacks::Postbacks;
use crate::config::{Config, Home, Kafka};
use crate::consume::health::Health;
use crate::consume::{self, Pipeline};
use crate::deliver::endpoints::{self, Endpoint};
use crate::deliver::{self, Deliverer};
use crate::enrich::Enricher;
use crate::enrich::place::Places;
use crate::enrich::spam::Judge;
use crate::ids::now_millis;
use crate::journal::{Journal, kafka_client};
use crate::keys::{DailySalt, Keys};
use crate::links::followed::Follow as _;
use crate::links::topic::LINKS;
use crate::links::{self, follow::Follower};
use crate::ops::{self, Check, Order, Recorder};
use crate::receive::{self, Drained};
use crate::registry::Registry;
use crate::service::sharing::Sharing;
use crate::settle::{self, Counter, Election, Settler, Versions};
use crate::stop::{self, Stop, Stopper};
use crate::store::engine::{Login, holder_of, read_access};
use crate::store::schema::{self, Dialect, SchemaError};
use crate::store::{Server, Warehouse};

/// How long the producer has at a stop to deliver what it has; the rest is in the spill.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// How long an edge waits for the latest links before it opens with those of its mirror: brokers may be away.
const LINKS_WAIT: Duration = Duration::from_secs(3);

/// A process' metrics.
pub type Metrics = prometheus_client::registry::Registry;

/// As whom to ask the warehouse. On a configured server one user is both administrator and writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Makes tables.
    Admin,
    /// Writes rows, and reads all of the installation's database.
    Ingest,
    /// Reads what is not personal.
    Analyst,
}

/// What every part begins with: configuration, registry, keys.
pub struct Installation {
    /// The configuration.
    pub config: Config,
    /// Sites, forms, links and the rest.
    pub registry: Arc<Registry>,
    /// How other systems' forms speak, and where they post to.
    pub doors: Arc<Doors>,
    /// What networks report to.
    pub postbacks: Arc<Postbacks>,
    /// How networks and trackers write click addresses.
    pub networks: Arc<Networks>,
    /// Signing and hashing keys.
    pub keys: Arc<Keys>,
}

impl Installation {
    /// Reads sites and keys; makes keys at the first start.
    pub fn open(mut config: Config) -> Result<Self> {
        std::fs::create_dir_all(&config.data_dir)
            .with_context(|| format!("cannot create data_dir {:?}", config.data_dir))?;
        // Absolute, for the engine insists on it.
        config.data_dir = config
            .data_dir
            .canonicalize()
            .with_context(|| format!("cannot look at data_dir {:?}", config.data_dir))?;
        let registry = Arc::new(Registry::load(&config.sites_file)?);
        let dialects = Arc::new(Dialects::load(&config.dialects_dir)?);
        let doors = Arc::new(Doors::new(&registry, dialects)?);
        let postbacks = Arc::new(Postbacks::open(&config, &registry)?);
        let networks = Arc::new(Networks::open(&config.dialects_dir, registry.clone())?);
        let keys = Arc::new(Keys::open(&config.keys_dir())?);
        Ok(Self { config, registry, doors, postbacks, networks, keys })
    }

    /// What the fields of forms mean, as configured.
    pub fn meaning(&self) -> Result<Meaning> {
        let dialects = self.doors.dialects.clone();
        Ok(Meaning::open(&self.config.forms, dialects, self.registry.clone())?)
    }

    /// The warehouse as configured: a server, or the embedded engine that `leadtrail up` runs on this data.
    pub fn warehouse(&self, role: Role) -> Result<Warehouse> {
        let config = &self.config;
        if !config.warehouse.url.is_empty() {
            let server = match role {
                Role::Analyst if config.warehouse.analyst_user.is_empty() => bail!(
                    "no analyst: the service's own user can read what is personal and change everything. Make a user that can't \
                     (deploy/analyst.sql), and set warehouse.analyst_user and warehouse.analyst_password_file"
                ),
                Role::Analyst => Server::configured_analyst(&config.warehouse)?,
                Role::Admin | Role::Ingest => Server::configured(&config.warehouse)?,
            };
            return Ok(Warehouse::connect(config, &server));
        }
        let access = read_access(&config.engine_dir()).context(
            "no warehouse: set warehouse.url, or start `leadtrail up`, which runs the embedded engine",
        )?;
        let login: &Login = match (role, &access.analyst) {
            (Role::Admin, _) => &access.admin,
            (Role::Ingest, _) => &access.ingest,
            (Role::Analyst, Some(analyst)) => analyst,
            (Role::Analyst, None) => bail!(
                "the engine runs without its sandbox, so there is no analyst: a query could read any file"
            ),
        };
        Ok(Warehouse::connect(config, &Server::embedded(&access.url, login)))
    }
}

/// How long the end waits for blocking threads: one may hang in a request that its broker never answers.
pub const THREADS_END_MAX: Duration = Duration::from_secs(5);

impl Installation {
    /// Where new leads go.
    pub fn endpoints(&self) -> Result<Vec<Endpoint>> {
        Ok(endpoints::load(&self.config.deliver.file, &self.registry)?)
    }
}

/// A runtime with named threads; 0 threads means one for each core.
pub fn runtime(name: &'static str, threads: usize) -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.thread_name(name).enable_all().build().context("cannot start the runtime's threads")
}

/// Listens, or says who has the port.
pub fn bind(address: SocketAddr, key: &str) -> Result<TcpListener> {
    listen(address).with_context(|| {
        let holder = holder_of(address.port())
            .map_or_else(String::new, |holder| format!(", it is held by {holder}"));
        format!("cannot listen on {address}{holder}; change `{key}` or stop the other program")
    })
}

/// The kernel's queue holds what comes at once: the usual 128 makes a burst of connections wait a second for its second try.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    const BACKLOG: u32 = 4096;
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Makes Kafka's topics; brokers that are away are waited for by those who need them.
pub async fn ensure_topics(settings: &Kafka) {
    if let Err(error) = kafka_client::ensure_topics(settings).await {
        tracing::warn!(%error, brokers = settings.brokers, "cannot make sure that the topics exist; going on without");
    }
}

/// Reads the links that there are, and goes on mirroring the topic where that is their home.
fn follow_links(config: &Config) -> Result<(Follower, Stopper)> {
    let path = links::file::path(&config.data_dir);
    let (stopper, stop) = stop::channel();
    if config.log.home == Home::Kafka {
        let level = Arc::new(AtomicBool::new(false));
        let (settings, mirrored, reached) = (config.kafka.clone(), path.clone(), level.clone());
        std::thread::Builder::new()
            .name("links-mirror".to_owned())
            .spawn(move || links::topic::mirror(&settings, LINKS, &mirrored, &reached, &stop))
            .context("cannot start the thread that follows the links")?;
        tokio::task::block_in_place(|| {
            let deadline = Instant::now() + LINKS_WAIT;
            while !level.load(Ordering::Acquire) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
        });
    }
    let mut follower = Follower::new(Arc::default(), path);
    let changes = tokio::task::block_in_place(|| follower.catch_up())?;
    if changes > 0 {
        let count = follower.links().read(links::book::Book::len);
        tracing::info!(links = count, "links read");
    }
    Ok((follower, stopper))
}

/// The databases of places, if any offer is not for all countries: only then does a click have to know.
fn places_for(installation: &Installation) -> Result<Option<Arc<Places>>> {
    let asks = installation.registry.offers().find(|offer| !offer.countries.is_empty());
    let Some(offer) = asks else { return Ok(None) };
    match installation.config.enrich.place_database.as_str() {
        "" => bail!("offer `{}` is for some countries only: set enrich.place_database", offer.name),
        path => Ok(Some(Arc::new(Places::open(Path::new(path))?))),
    }
}

/// The edge, opened.
pub struct Edge {
    listener: TcpListener,
    edge: Arc<receive::Edge>,
    journal: Arc<Journal>,
    sharing: Option<Sharing>,
    follower: Follower,
    /// Ends the mirror of the links when the edge goes.
    _mirror: Stopper,
}

impl Edge {
    /// Opens journal and salt, meets the other machines, and listens.
    pub async fn open(installation: &Installation, metrics: &mut Metrics) -> Result<Self> {
        let config = &installation.config;
        let listener = bind(config.edge.listen, "edge.listen")?;
        let journal = Arc::new(tokio::task::block_in_place(|| Journal::open(config))?);
        let salt = Arc::new(DailySalt::open(&config.keys_dir(), now_millis())?);
        let sharing = Sharing::begin(installation, Some(salt.clone())).await?;
        let (follower, mirror) = follow_links(config)?;
        let links = follower.links();
        let places = tokio::task::block_in_place(|| places_for(installation))?;
        let caps = Caps::open(&config.data_dir, config.edge.edges).with_context(|| {
            format!("cannot read caps.json in {:?}; counts of capped offers are there: mend it, or take it away to begin at nothing", config.data_dir)
        })?;
        let caps = Arc::new(caps);
        let edge = receive::Edge::new(
            config,
            receive::Known {
                registry: installation.registry.clone(),
                links,
                postbacks: installation.postbacks.clone(),
                doors: installation.doors.clone(),
                networks: installation.networks.clone(),
                places,
                caps,
            },
            installation.keys.clone(),
            salt,
            journal.clone(),
            metrics,
        )
        .context("no random node number")?;
        let edge = Arc::new(edge);
        Ok(Self { listener, edge, journal, sharing, follower, _mirror: mirror })
    }

    /// What `/ready` asks.
    pub fn checks(&self) -> Vec<Check> {
        let journal = self.journal.clone();
        let mut checks = vec![Check { name: "journal", run: Box::new(move || journal.ready()) }];
        checks.extend(self.sharing.as_ref().map(Sharing::check));
        checks
    }

    /// For an app in the same process.
    pub fn beside(&self) -> (Arc<receive::Edge>, Arc<Journal>) {
        (self.edge.clone(), self.journal.clone())
    }

    /// Records what the operator's command decides, and what an app of its own takes.
    pub fn recorder(&self) -> Recorder {
        let edge = self.edge.clone();
        Box::new(move |order, signature, body| {
            let edge = edge.clone();
            Box::pin(async move {
                let recorded = match order {
                    Order::Decision => receive::decisions::record(&edge, &signature, &body).await,
                    Order::Events => receive::decisions::events(&edge, &signature, &body).await,
                };
                match recorded {
                    Ok(words) => (StatusCode::OK, words),
                    Err((status, words)) => (status, words.to_owned()),
                }
            })
        })
    }

    /// Serves until the stop, drains, and closes the log.
    pub async fn serve(self, stop: Stop) {
        if let Err(error) = self.edge.pulse.clone().watch(Handle::current(), stop.clone()) {
            tracing::warn!(%error, "no thread to see overload with; nobody is sent away");
        }
        tokio::spawn(self.follower.follow(stop.clone()));
        let keeping = tokio::spawn(self.edge.caps.clone().keep(stop.clone()));
        let telling = tokio::spawn(receive::refusals::run(self.edge.clone(), stop.clone()));
        match receive::serve(self.listener, self.edge.clone(), stop).await {
            Drained::Whole => tracing::info!("edge drained"),
            Drained::Deadline { left } => {
                tracing::warn!(left, "connections were cut off at the drain deadline");
            }
        }
        if let Err(error) = telling.await {
            tracing::error!(%error, "counting refusals panicked");
        }
        // The last clicks were counted while the edge drained.
        let written = match keeping.await {
            Ok(()) => self.edge.caps.write().map_err(anyhow::Error::from),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = written {
            tracing::warn!(%error, "counts of caps were not kept");
        }
        if !receive::refusals::send(&self.edge).await {
            tracing::warn!("the log did not take the last counts of refusals");
        }
        let journal = self.journal;
        let closing = tokio::task::spawn_blocking(move || journal.close(CLOSE_DEADLINE));
        if let Err(error) = closing.await {
            tracing::error!(%error, "closing the log panicked");
        }
    }
}

/// The consumer, opened.
pub struct Consumer {
    pipeline: Arc<Pipeline>,
    sharing: Option<Sharing>,
}

impl Consumer {
    /// Opens the place database and the rules, and compares keys with the other machines.
    pub async fn open(
        installation: &Installation,
        warehouse: Warehouse,
        metrics: &mut Metrics,
    ) -> Result<Self> {
        let enricher = tokio::task::block_in_place(|| Enricher::open(&installation.config.enrich))?;
        let health = Arc::new(Health::default());
        let metrics = consume::metrics::Metrics::new(metrics, health.clone());
        let judge = Judge::new(&installation.config.spam);
        let keys = installation.keys.clone();
        let meaning = installation.meaning()?;
        let pipeline = Pipeline { warehouse, enricher, judge, meaning, keys, health, metrics };
        let sharing = Sharing::begin(installation, None).await?;
        Ok(Self { pipeline: Arc::new(pipeline), sharing })
    }

    /// What `/ready` asks.
    pub fn checks(&self) -> Vec<Check> {
        let check = |name, ask: fn(&Health) -> Result<(), String>| {
            let health = self.pipeline.health.clone();
            Check { name, run: Box::new(move || ask(&health)) }
        };
        let mut checks = vec![
            check("log", Health::reads),
            check("partitions", Health::advances),
            check("storing", Health::stores),
            check("retention", Health::keeps_up),
            check("warehouse", Health::warehouse_is_there),
        ];
        checks.extend(self.sharing.as_ref().map(Sharing::check));
        checks
    }

    /// What rows are made with, for a command that works beside the consumer; `None` when a stop came before the keys were known to agree.
    pub async fn into_pipeline(self, stop: &Stop) -> Option<Arc<Pipeline>> {
        match &self.sharing {
            Some(sharing) if !sharing.agreed(stop).await => None,
            _ => Some(self.pipeline),
        }
    }

    /// Consumes until the stop. Not before the keys agree: under other keys one person would get two names.
    pub async fn run(self, config: &Config, stop: Stop) {
        if let Some(sharing) = &self.sharing
            && !sharing.agreed(&stop).await
        {
            return;
        }
        consume::run(config, self.pipeline, stop.watch()).await;
    }
}

/// Settling, opened.
pub struct Settle {
    settler: Settler,
    versions: Versions,
    deliverer: Deliverer,
}

impl Settle {
    /// Joins the election of those who may settle.
    pub fn open(
        installation: &Installation,
        warehouse: &Warehouse,
        metrics: &mut Metrics,
    ) -> Result<Self> {
        let config = &installation.config;
        let client = warehouse.client().clone();
        let settler = Settler::new(client, &installation.registry, settle::Settings::of(config));
        settler.health().register(metrics);
        let deliverer = Deliverer::new(
            warehouse.clone(),
            installation.endpoints()?,
            deliver::Settings::of(config),
            settler.health(),
        );
        deliverer.health().register(metrics);
        let versions = match config.log.home {
            Home::Disk => Versions::Counter(Counter::open(&config.data_dir)?),
            Home::Kafka => Versions::Election(Election::join(&config.kafka)?),
        };
        Ok(Self { settler, versions, deliverer })
    }

    /// What `/ready` asks.
    pub fn checks(&self) -> Vec<Check> {
        let (health, delivery) = (self.settler.health(), self.deliverer.health());
        vec![
            Check { name: "settle", run: Box::new(move || health.ready()) },
            Check { name: "deliver", run: Box::new(move || delivery.ready()) },
        ]
    }

    /// Settles, and delivers what is settled, until the stop.
    pub async fn run(mut self, stop: Stop) {
        // Before anything is settled: a new endpoint shall get the first lead too.
        if let Err(error) = self.deliverer.begin().await {
            tracing::warn!(%error, "deliver: new endpoints begin when the warehouse is there");
        }
        let delivering = tokio::spawn(self.deliverer.run(stop.clone()));
        settle::run_loop(&self.settler, &mut self.versions, &stop).await;
        if let Err(error) = delivering.await {
            tracing::error!(%error, "delivering panicked");
        }
    }

    /// Settles what there is, and says what it did.
    pub async fn run_once(mut self, stop: &Stop) -> Result<()> {
        if !self.versions.lead(stop).await? {
            return Ok(());
        }
        loop {
            let report = self.settler.run_once(&mut self.versions).await?;
            tracing::info!(
                records = report.records,
                conversions = report.conversions,
                more = report.more,
                "settled"
            );
            if !report.more {
                return Ok(());
            }
        }
    }
}

/// The ops listener, serving on a thread of its own: whoever asks whether a process lives must not wait behind those who keep it busy.
pub struct Ops {
    stopper: Stopper,
    thread: std::thread::JoinHandle<()>,
}

impl Ops {
    /// Listens on `listen`, which the key `key` says. From `draining` on the process is not ready, and still answers.
    pub fn start(
        config: &Config,
        (listen, key): (SocketAddr, &str),
        mut metrics: Metrics,
        checks: Vec<Check>,
        recorder: Option<Recorder>,
        draining: &Stop,
    ) -> Result<Self> {
        let listener = bind(listen, key)?.into_std()?;
        let checks: Arc<[Check]> = checks.into();
        metrics.register_collector(Box::new(ops::ReadyMetric(checks.clone())));
        let hosts = config.ops.hosts.clone();
        let ops = ops::Ops { hosts, checks, metrics, recorder, draining: draining.clone() };
        let (stopper, stop) = stop::channel();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let serve = move || match runtime.block_on(async { TcpListener::from_std(listener) }) {
            Ok(listener) => runtime.block_on(ops::serve(listener, Arc::new(ops), stop)),
            Err(error) => tracing::error!(%error, %listen, "the ops listener can't be served"),
        };
        let thread = std::thread::Builder::new()
            .name("ops".to_owned())
            .spawn(serve)
            .context("cannot start the thread of the ops listener")?;
        Ok(Self { stopper, thread })
    }

    /// Ends it: the last thing that a process does.
    pub fn end(self) -> Result<()> {
        self.stopper.stop();
        self.thread.join().map_err(|_| anyhow::anyhow!("the ops listener panicked"))
    }
}

/// Refuses a database of another version. One that can't be asked now is waited for by those who need it.
pub async fn check_schema(config: &Config, warehouse: &Warehouse) -> Result<()> {
    match schema::check(warehouse.client(), &Dialect::of(config)).await {
        Err(error @ SchemaError::Server { .. }) => {
            tracing::warn!(%error, "the database's version could not be checked; going on");
            Ok(())
        }
        other => Ok(other?),
    }
}

/// The path of the engine's library, or what to do to have one.
pub fn engine_library(config: &Config) -> Result<&Path> {
    if config.engine.library.is_empty() {
        bail!(
            "no warehouse: set warehouse.url to a ClickHouse server, or engine.library to libchdb.so; `make up` fetches it \
             and sets LEADTRAIL_ENGINE__LIBRARY"
        );
    }
    Ok(Path::new(&config.engine.library))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[tokio::test]
    async fn whether_a_process_lives_is_told_while_all_its_other_threads_are_busy() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = free.local_addr().unwrap();
        drop(free);
        let config = Config::load(None, std::iter::empty()).unwrap();
        let (_stopper, stop) = stop::channel();
        let ops =
            Ops::start(&config, (listen, "test"), Metrics::default(), Vec::new(), None, &stop);
        // This runtime has one thread, and it does not wait: nothing else can run on it.
        let mut stream = std::net::TcpStream::connect(listen).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
            .write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("live\n"), "{reply}");
        ops.unwrap().end().unwrap();
    }
}
