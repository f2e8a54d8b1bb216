//! Receive: the anonymous doors, from bytes on a socket to an answer.
//!
//! In: a listener, an [`Edge`], a [`Stop`]. Out: requests answered; [`Drained`] at the end. Refuses: connections beyond
//! `edge.connections_max` wait in the kernel's queue; headers, bodies and idle connections have deadlines. Promises: a stop closes the
//! listener at once, lets requests under way finish until `edge.drain_ms`, and says how many were cut off.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::check::caps::Caps;
use crate::check::clicks::Networks;
use crate::check::dialects::doors::Doors;
use crate::check::fraud::Terms;
use crate::check::limits::Limits;
use crate::check::postbacks::Postbacks;
use crate::check::spam::Signals;
use crate::config;
use crate::enrich::place::Places;
use crate::ids::Minter;
use crate::journal::Journal;
use crate::keys::{DailySalt, Keys};
use crate::links::follow::Links;
use crate::registry::Registry;
use crate::stop::Stop;

mod affiliate;
pub mod api;
mod body;
pub mod charset;
mod click;
mod connection;
pub mod decisions;
mod descriptors;
pub mod explain;
pub mod explain_click;
pub mod fields;
mod form;
mod impression;
mod json;
mod multipart;
mod open;
pub mod pairs;
mod pixel;
mod plain;
mod postback;
pub mod pulse;
mod rate;
mod record;
pub mod refusals;
mod refuse;
mod reply;
mod route;
mod shape;
mod signed;
mod submission;
pub mod tally;
mod target;
mod unsubscribe;
mod vendor_reply;
mod visit;

#[cfg(test)]
mod tests;

/// An accept that failed is tried again after this long, doubled up to [`ACCEPT_BACKOFF_MAX`]: out of file descriptors, for example.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// The longest pause between two tries to accept.
const ACCEPT_BACKOFF_MAX: Duration = Duration::from_secs(1);

/// What a request needs, shared by all connections.
pub struct Edge {
    /// The `[edge]` section.
    pub settings: config::Edge,
    /// How long a redirect waits to be durable.
    pub redirect_wait: Duration,
    /// What the doors know.
    pub registry: Arc<Registry>,
    /// Which form a post is for, and how it speaks.
    pub doors: Arc<Doors>,
    /// What networks report to.
    pub postbacks: Arc<Postbacks>,
    /// How networks and trackers write click addresses.
    pub networks: Arc<Networks>,
    /// Where visitors are: only opened for offers that are not for all countries.
    pub places: Option<Arc<Places>>,
    /// How many clicks capped offers have taken.
    pub caps: Arc<Caps>,
    /// What redirects lead to.
    targets: target::Targets,
    /// Links that are made while the edge runs, and kill-switches.
    pub links: Arc<Links>,
    /// Signs and verifies tokens.
    pub keys: Arc<Keys>,
    /// For the hash of a browser's day.
    pub salt: Arc<DailySalt>,
    /// Gives events their ids.
    pub minter: Minter,
    /// Makes events durable.
    pub journal: Arc<Journal>,
    /// How much one network or form may send.
    pub limits: Limits,
    /// How limits are told.
    rates: rate::RateFields,
    /// What the click that a conversion names is held to.
    terms: Terms,
    /// What only memory can tell about spam.
    pub signals: Signals,
    /// Whether more comes than can be done.
    pub pulse: Arc<pulse::Pulse>,
    /// Counts.
    pub metrics: tally::Metrics,
    /// What was refused, counted.
    refusals: refusals::Refusals,
    /// What our own pages have in common, by site.
    frames: reply::page::Frames,
    /// True when browsers reach the edge by https.
    pub secure_cookies: bool,
}

/// What `sites.toml` and the dialects say.
pub struct Known {
    /// Sites, forms, links and the rest.
    pub registry: Arc<Registry>,
    /// Links that are made while the edge runs, and kill-switches.
    pub links: Arc<Links>,
    /// What networks report to.
    pub postbacks: Arc<Postbacks>,
    /// Which form a post is for, and how it speaks.
    pub doors: Arc<Doors>,
    /// How networks and trackers write click addresses.
    pub networks: Arc<Networks>,
    /// Where visitors are, where an offer asks for it.
    pub places: Option<Arc<Places>>,
    /// How many clicks capped offers have taken.
    pub caps: Arc<Caps>,
}

impl Edge {
    /// Puts an edge together; `metrics` is where its counters are registered.
    ///
    /// # Errors
    /// When the system gives no random node number.
    pub fn new(
        config: &config::Config,
        Known { registry, links, postbacks, doors, networks, places, caps }: Known,
        keys: Arc<Keys>,
        salt: Arc<DailySalt>,
        journal: Arc<Journal>,
        metrics: &mut prometheus_client::registry::Registry,
    ) -> Result<Self, getrandom::Error> {
        let pulse = Arc::new(pulse::Pulse::new(config.edge.lag_max_ms));
        metrics.register_collector(Box::new(pulse::Gauge(pulse.clone())));
        metrics.register_collector(Box::new(crate::journal::Gauges(journal.clone())));
        Ok(Self {
            settings: config.edge.clone(),
            redirect_wait: config.redirect_wait(),
            targets: target::Targets::new(&registry),
            refusals: refusals::Refusals::new()?,
            frames: reply::page::Frames::new(&registry),
            registry,
            doors,
            links,
            postbacks,
            networks,
            places,
            caps,
            keys,
            salt,
            minter: Minter::new()?,
            journal,
            limits: Limits::new(&config.limits),
            rates: rate::RateFields::new(&config.limits),
            terms: Terms::of(config),
            signals: Signals::new(&config.spam),
            metrics: tally::Metrics::new(metrics),
            pulse,
            secure_cookies: config.edge.public_url.starts_with("https://"),
        })
    }
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every request under way was answered.
    Whole,
    /// The deadline came first; so many connections were still open.
    Deadline {
        /// Connections that were cut off.
        left: usize,
    },
}

/// Serves connections until the stop, then drains.
pub async fn serve(listener: TcpListener, edge: Arc<Edge>, stop: Stop) -> Drained {
    let configured = edge.settings.connections_max.min(Semaphore::MAX_PERMITS);
    let cap = descriptors::connections_max(configured);
    let places = Arc::new(Semaphore::new(cap));
    let mut backoff = ACCEPT_BACKOFF;
    loop {
        // The place comes first: a connection that could not be served is better off in the kernel's queue.
        let accepted = tokio::select! {
            biased;
            () = stop.stopped() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                backoff = ACCEPT_BACKOFF;
                let (edge, stop) = (edge.clone(), stop.clone());
                tokio::spawn(async move {
                    edge.metrics.connections.inc();
                    connection::serve(stream, edge.clone(), stop).await;
                    edge.metrics.connections.dec();
                    drop(place);
                });
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, ?backoff, "cannot accept connections; trying again");
                tokio::select! { () = stop.stopped() => break, () = tokio::time::sleep(backoff) => {} }
                backoff = (backoff * 2).min(ACCEPT_BACKOFF_MAX);
            }
        }
    }
    drop(listener);
    drain(&places, cap, Duration::from_millis(edge.settings.drain_ms)).await
}

type Place = tokio::sync::OwnedSemaphorePermit;

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, Place)> {
    let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

/// A client that left while it waited to be accepted.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Waits until every place is free again.
async fn drain(places: &Semaphore, cap: usize, within: Duration) -> Drained {
    let all = u32::try_from(cap).unwrap_or(u32::MAX);
    match tokio::time::timeout(within, places.acquire_many(all)).await {
        Ok(_) => Drained::Whole,
        Err(_) => Drained::Deadline { left: cap - places.available_permits() },
    }
}
