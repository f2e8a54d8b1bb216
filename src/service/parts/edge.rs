//! The edge as a part: opened, asked whether it is ready, served until the stop.
//!
//! In: an [`Installation`]. Out: answers, and events in the log. Refuses: to open without its port, journal, links and counts of caps.
//! Promises: it drains before its log is closed; counts of caps and refusals outlive it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hyper::StatusCode;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use super::{Installation, Metrics, bind};
use crate::check::caps::Caps;
use crate::config::{Config, Home};
use crate::enrich::place::Places;
use crate::ids::now_millis;
use crate::journal::Journal;
use crate::keys::DailySalt;
use crate::links::followed::Follow as _;
use crate::links::topic::LINKS;
use crate::links::{self, follow::Follower};
use crate::ops::{Check, Order, Recorder};
use crate::receive::{self, Drained};
use crate::service::sharing::Sharing;
use crate::stop::{self, Stop, Stopper};

/// How long the producer has at a stop to deliver what it has; the rest is in the spill.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// How long an edge waits for the latest links before it opens with those of its mirror: brokers may be away.
const LINKS_WAIT: Duration = Duration::from_secs(3);

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
