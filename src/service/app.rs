//! The app part: the report page, the sign-in and the API, opened.
//!
//! In: an [`Installation`], the warehouse, and the edge if it runs in this process. Out: an [`App`] that is ready to serve. Refuses: keys and users that can't be read, an idempotency file
//! that another app has. Promises: keys and users are followed until the stop, so what is revoked is out within a second; the log is reached as the installation's home asks for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::access::book::{Access, KeyLimit};
use crate::access::follow::{self, Follower};
use crate::access::gate::Gate;
use crate::config::{Config, Home};
use crate::ids::{Minter, now_millis};
use crate::journal::Journal;
use crate::links::followed::Follow as _;
use crate::links::topic::{self, ACCESS};
use crate::receive::Edge;
use crate::receive::api::Api;
use crate::receive::api::idempotency::Memory;
use crate::receive::api::log::Log;
use crate::report::page::App;
use crate::service::parts::Installation;
use crate::stop::Stop;
use crate::store::Warehouse;

/// How long a start waits for the latest keys before it begins with those of its mirror: brokers may be away.
const MIRROR_WAIT: Duration = Duration::from_secs(3);

/// How long the producer of an app of its own has at a stop; the rest is in its spill.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// The edge of this process, and its journal.
pub type Beside = Option<(Arc<Edge>, Arc<Journal>)>;

/// The app, opened.
pub struct Opened {
    /// To be served.
    pub app: Arc<App>,
    /// A journal that this app alone writes: to be closed at the end.
    own: Option<Arc<Journal>>,
}

impl Opened {
    /// Opens it. Keys and users are followed until the stop.
    pub fn open(
        installation: &Installation,
        warehouse: &Warehouse,
        beside: Beside,
        stop: &Stop,
    ) -> Result<Self> {
        let config = Arc::new(installation.config.clone());
        warn_of_clear_text(&config);
        let access = tokio::task::block_in_place(|| followed(&config, stop))?;
        let (log, edge, own) = tokio::task::block_in_place(|| log(installation, beside))?;
        let memory = tokio::task::block_in_place(|| Memory::open(&config.data_dir, now_millis()))?;
        let api = Api {
            registry: installation.registry.clone(),
            doors: installation.doors.clone(),
            keys: installation.keys.clone(),
            minter: Minter::new().context("no random node number")?,
            log,
            memory,
            config: config.clone(),
            edge,
        };
        let gate = Gate::new(access, installation.keys.clone(), config.clone())?;
        let sites = installation.registry.sites().map(|site| site.name.clone()).collect();
        let app = App::new(
            warehouse.client().clone(),
            config.app.hosts.clone(),
            sites,
            config.settle.click_window_days,
            (&config.fraud).into(),
        );
        Ok(Self { app: Arc::new(app.with(gate, api, &config.edge)), own })
    }

    /// Closes what is its own. After the last request.
    pub async fn close(self) {
        let Some(journal) = self.own else { return };
        let closing = tokio::task::spawn_blocking(move || journal.close(CLOSE_DEADLINE));
        if let Err(error) = closing.await {
            tracing::error!(%error, "closing the app's log panicked");
        }
    }
}

/// The log, the edge beside, and a journal to be closed.
type Reach = (Log, Option<Arc<Edge>>, Option<Arc<Journal>>);

/// How events reach the log: see [`crate::receive::api::log`].
fn log(installation: &Installation, beside: Beside) -> Result<Reach> {
    let config = &installation.config;
    if let Some((edge, journal)) = beside {
        return Ok((Log::Journal(journal), Some(edge), None));
    }
    match config.log.home {
        Home::Disk => Ok((Log::Edge(config.ops.listen, installation.keys.clone()), None, None)),
        Home::Kafka => {
            let journal = Arc::new(Journal::open_at(config, &config.data_dir.join("spill-app"))?);
            Ok((Log::Journal(journal.clone()), None, Some(journal)))
        }
    }
}

/// Keys and users, read and followed.
fn followed(config: &Config, stop: &Stop) -> Result<Arc<Access>> {
    let limits = &config.limits;
    let limit = KeyLimit { per_minute: limits.key_per_minute, burst: limits.key_burst };
    let access = Arc::new(Access::new(limit));
    let path = follow::path(&config.data_dir);
    if config.log.home == Home::Kafka {
        let level = Arc::new(AtomicBool::new(false));
        let (settings, mirrored) = (config.kafka.clone(), path.clone());
        let (reached, stop) = (level.clone(), stop.clone());
        std::thread::Builder::new()
            .name("access-mirror".to_owned())
            .spawn(move || topic::mirror(&settings, ACCESS, &mirrored, &reached, &stop))
            .context("cannot start the thread that follows keys and users")?;
        let deadline = Instant::now() + MIRROR_WAIT;
        while !level.load(Ordering::Acquire) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let mut follower = Follower::new(access.clone(), path);
    follower.catch_up()?;
    tokio::spawn(follower.follow(stop.clone()));
    Ok(access)
}

/// Passwords and keys in clear text are for this machine alone.
fn warn_of_clear_text(config: &Config) {
    if !config.app.listen.ip().is_loopback() && !config.app.https {
        tracing::warn!(
            listen = %config.app.listen,
            "passwords and keys would cross the network in clear text: put a proxy that speaks https in front, and set app.https"
        );
    }
}
