//! The parts: each is opened from the installation, says whether it is ready, and runs until the stop.
//!
//! In: an [`Installation`]. Out: parts. Refuses: what can't be opened, with the file, port or setting to look at. Promises: nothing
//! is served before everything it needs was opened.

mod consumer;
mod edge;
mod installation;
mod ops;
mod settle;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Runtime};

pub use self::consumer::Consumer;
pub use self::edge::Edge;
pub use self::installation::{Installation, Role};
pub use self::ops::Ops;
pub use self::settle::Settle;

use crate::config::{Config, Kafka};
use crate::journal::kafka_client;
use crate::store::Warehouse;
use crate::store::engine::holder_of;
use crate::store::schema::{self, Dialect, SchemaError};

/// A process' metrics.
pub type Metrics = prometheus_client::registry::Registry;

/// How long the end waits for blocking threads: one may hang in a request that its broker never answers.
pub const THREADS_END_MAX: Duration = Duration::from_secs(5);

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
