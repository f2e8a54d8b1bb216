//! The service: which parts run together, and in which order they start and stop.
//!
//! In: a [`Config`]. Out: processes that run until a signal. Refuses: a taken port (naming its holder), keys or sites that
//! can't be read, a database of another version. Promises: the edge takes leads before the warehouse is up and after it went
//! down; a stop finishes what was begun and loses nothing.

mod app;
mod parts;
mod sharing;
mod up;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::audit::AuditArguments;
use crate::config::{Config, Home};
use crate::consume::Pipeline;
use crate::replay::ReplayCommand;
use crate::stop::{self, Stop};
use crate::store::schema::{self, Dialect};

pub use parts::{Installation, Role};
pub use up::up;

/// How long a command waits for the brokers before it gives up.
const AGREED_MAX: Duration = Duration::from_secs(60);

/// Runs the edge alone.
pub fn serve(config: Config) -> Result<ExitCode> {
    let installation = Installation::open(config)?;
    let runtime = parts::runtime("edge", installation.config.edge.threads)?;
    runtime.block_on(async {
        let stop = stop::on_signals().context("cannot watch for signals")?;
        let mut metrics = parts::Metrics::default();
        let edge = parts::Edge::open(&installation, &mut metrics).await?;
        let listen = (installation.config.ops.listen, "ops.listen");
        let ops = parts::Ops::start(
            &installation.config,
            listen,
            metrics,
            edge.checks(),
            Some(edge.recorder()),
            &stop,
        )?;
        tracing::info!(listen = %installation.config.edge.listen, "edge ready");
        edge.serve(stop).await;
        ops.end()
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the consumer alone.
pub fn consume(config: Config) -> Result<ExitCode> {
    alone(config, |installation, stop| async move {
        let config = &installation.config;
        let warehouse = installation.warehouse(Role::Ingest)?;
        parts::check_schema(config, &warehouse).await?;
        let mut metrics = parts::Metrics::default();
        let consumer = parts::Consumer::open(&installation, warehouse, &mut metrics).await?;
        let listen = (config.consumer.ops_listen, "consumer.ops_listen");
        let ops = parts::Ops::start(config, listen, metrics, consumer.checks(), None, &stop)?;
        tracing::info!(log = ?config.log.home, "consumer ready");
        consumer.run(config, stop).await;
        ops.end()
    })
}

/// Runs settling alone, for ever or once.
pub fn settle(config: Config, once: bool) -> Result<ExitCode> {
    alone(config, |installation, stop| async move {
        let config = &installation.config;
        let warehouse = installation.warehouse(Role::Ingest)?;
        parts::check_schema(config, &warehouse).await?;
        let mut metrics = parts::Metrics::default();
        let settle = parts::Settle::open(&installation, &warehouse, &mut metrics)?;
        if once {
            return settle.run_once(&stop).await;
        }
        let listen = (config.settle.ops_listen, "settle.ops_listen");
        let ops = parts::Ops::start(config, listen, metrics, settle.checks(), None, &stop)?;
        tracing::info!("settle ready");
        settle.run(stop).await;
        ops.end()
    })
}

/// Runs the report page alone.
pub fn app(config: Config) -> Result<ExitCode> {
    alone(config, |installation, stop| async move {
        let listener = parts::bind(installation.config.app.listen, "app.listen")?;
        let warehouse = installation.warehouse(Role::Ingest)?;
        parts::check_schema(&installation.config, &warehouse).await?;
        let opened = app::Opened::open(&installation, &warehouse, None, &stop)?;
        tracing::info!(listen = %installation.config.app.listen, "report page ready");
        crate::report::page::serve(listener, opened.app.clone(), stop.watch()).await;
        opened.close().await;
        Ok(())
    })
}

/// Holds the warehouse against the log.
pub fn audit(config: Config, arguments: AuditArguments) -> Result<ExitCode> {
    beside_consumer(config, |installation, pipeline, stop| async move {
        crate::audit::run(&arguments, &installation, &pipeline, &stop).await
    })
}

/// Puts what the log, the dead letters or the quarantine hold where it belongs.
pub fn replay(config: Config, command: ReplayCommand) -> Result<ExitCode> {
    beside_consumer(config, |installation, pipeline, stop| async move {
        crate::replay::run(&command, &installation, &pipeline, &stop).await
    })
}

/// Runs a command that makes rows as the consumer does: with its rules, and with keys that agree with the other machines'.
fn beside_consumer<Part, Ending>(config: Config, part: Part) -> Result<ExitCode>
where
    Part: FnOnce(Arc<Installation>, Arc<Pipeline>, Stop) -> Ending,
    Ending: Future<Output = Result<ExitCode>>,
{
    let installation = Arc::new(Installation::open(config)?);
    let runtime = parts::runtime("work", 0)?;
    let outcome = runtime.block_on(async {
        let stop = stop::on_signals().context("cannot watch for signals")?;
        let warehouse = installation.warehouse(Role::Ingest)?;
        parts::check_schema(&installation.config, &warehouse).await?;
        let mut metrics = parts::Metrics::default();
        let consumer = parts::Consumer::open(&installation, warehouse, &mut metrics).await?;
        let agreed = tokio::time::timeout(AGREED_MAX, consumer.into_pipeline(&stop)).await;
        let Ok(Some(pipeline)) = agreed else {
            anyhow::bail!(
                "the other machines' keys could not be compared with ours within {} s; is kafka.brokers right, and are they there?",
                AGREED_MAX.as_secs()
            );
        };
        part(installation, pipeline, stop).await
    });
    runtime.shutdown_timeout(parts::THREADS_END_MAX);
    outcome
}

/// Makes the tables, or says whether they are right.
pub fn schema(config: Config, apply: bool) -> Result<ExitCode> {
    alone(config, |installation, _stop| async move {
        let dialect = Dialect::of(&installation.config);
        let warehouse = installation.warehouse(Role::Admin)?;
        if apply {
            let fresh = schema::apply(warehouse.client(), &dialect).await?;
            tracing::info!(applied = fresh.len(), files = fresh.join(", "), "schema is up to date");
        } else {
            schema::check(warehouse.client(), &dialect).await?;
            tracing::info!("schema is this program's");
        }
        Ok(())
    })
}

/// Runs one part in a runtime of its own until it ends.
fn alone<Part, Ending>(config: Config, part: Part) -> Result<ExitCode>
where
    Part: FnOnce(Arc<Installation>, Stop) -> Ending,
    Ending: Future<Output = Result<()>>,
{
    let installation = Arc::new(Installation::open(config)?);
    let runtime = parts::runtime("work", 0)?;
    let outcome = runtime.block_on(async {
        let stop = stop::on_signals().context("cannot watch for signals")?;
        if installation.config.log.home == Home::Kafka {
            parts::ensure_topics(&installation.config.kafka).await;
        }
        part(installation, stop).await
    });
    runtime.shutdown_timeout(parts::THREADS_END_MAX);
    outcome.map(|()| ExitCode::SUCCESS)
}
