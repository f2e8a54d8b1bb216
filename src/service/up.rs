//! Up: everything on one machine.
//!
//! In: the configuration. Out: edge, consumer, settle, the embedded engine, the report page and, if wanted, the demo shop, until a
//! signal. Refuses: ports that are taken, an engine that can't start. Promises: the edge is open first, takes leads while the engine
//! is away, and closes first too; everything after it finishes what was begun.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::config::Home;
use crate::demo::{self, DemoSettings};
use crate::journal::Journal;
use crate::ops::{Check, Recorder};
use crate::receive;
use crate::report::page;
use crate::service::app::Opened;
use crate::service::parts::{self, Consumer, Edge, Installation, Metrics, Ops, Role, Settle};
use crate::stop::{self, Stop};
use crate::store::engine::{Engine, EngineSettings};
use crate::store::schema::{self, Dialect};
use crate::tokens;

/// Runs everything until a signal.
pub fn up(config: crate::config::Config, with_demo: bool) -> Result<ExitCode> {
    let begun = Instant::now();
    let installation = Arc::new(Installation::open(config)?);
    // The edge has threads of its own, so that a busy consumer doesn't cost a redirect its milliseconds.
    let edge_runtime = parts::runtime("edge", installation.config.edge.threads)?;
    let work_runtime = parts::runtime("work", 0)?;
    let (edge_stopper, edge_stop) = stop::channel();
    let mut metrics = Metrics::default();
    let edge = edge_runtime.block_on(Edge::open(&installation, &mut metrics))?;
    let told = (edge.checks(), edge.recorder(), edge.beside());
    let edge_task = edge_runtime.spawn(edge.serve(edge_stop));
    let outcome = work_runtime.block_on(async {
        let stop = stop::on_signals().context("cannot watch for signals")?;
        let running = Running::start(installation.clone(), with_demo, metrics, told, &stop).await;
        if let Ok(running) = &running {
            running.announce(&installation, begun);
            stop.stopped().await;
        }
        edge_stopper.stop();
        edge_task.await.context("the edge panicked")?;
        running?.stop().await
    });
    work_runtime.shutdown_timeout(parts::THREADS_END_MAX);
    outcome.map(|()| ExitCode::SUCCESS)
}

/// What the edge gives to what runs beside it: its checks, its recorder, itself.
type Told = (Vec<Check>, Recorder, (Arc<receive::Edge>, Arc<Journal>));

/// What runs beside the edge.
struct Running {
    engine: Option<Engine>,
    ops: Ops,
    stopper: stop::Stopper,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    demo: bool,
}

impl Running {
    async fn start(
        installation: Arc<Installation>,
        with_demo: bool,
        mut metrics: Metrics,
        (mut checks, recorder, beside): Told,
        signals: &Stop,
    ) -> Result<Self> {
        let config = &installation.config;
        // Ports first: a taken one should be told before the engine starts.
        let app_listener = parts::bind(config.app.listen, "app.listen")?;
        let demo_listener = match with_demo {
            true => Some(parts::bind(config.demo.listen, "demo.listen")?),
            false => None,
        };
        let engine = start_engine(&installation).await?;
        if let Some(engine) = &engine {
            metrics.register_collector(Box::new(engine.gauges()));
        }
        let warehouse = installation.warehouse(Role::Ingest)?;
        let admin = installation.warehouse(Role::Admin)?;
        let fresh = schema::apply(admin.client(), &Dialect::of(config)).await?;
        if !fresh.is_empty() {
            tracing::info!(files = fresh.join(", "), "schema applied");
        }
        if config.log.home == Home::Kafka {
            parts::ensure_topics(&config.kafka).await;
        }
        let (stopper, stop) = stop::channel();
        let consumer = Consumer::open(&installation, warehouse.clone(), &mut metrics).await?;
        let settle = Settle::open(&installation, &warehouse, &mut metrics)?;
        // The edge's line about the keys is enough.
        let known = |check: &Check| checks.iter().any(|known| known.name == check.name);
        let fresh: Vec<_> = consumer.checks().into_iter().filter(|check| !known(check)).collect();
        checks.extend(fresh);
        checks.extend(settle.checks());
        let listen = (config.ops.listen, "ops.listen");
        let ops = Ops::start(config, listen, metrics, checks, Some(recorder), signals)?;
        let mut tasks = Vec::new();
        tasks.push(tokio::spawn({
            let (installation, stop) = (installation.clone(), stop.clone());
            async move { consumer.run(&installation.config, stop).await }
        }));
        tasks.push(tokio::spawn(settle.run(stop.clone())));
        // Its own stop is the signal's: the edge's journal closes with the edge.
        let opened = Opened::open(&installation, &warehouse, Some(beside), signals)?;
        tasks.push(tokio::spawn(page::serve(app_listener, opened.app, signals.watch())));
        if let Some(listener) = demo_listener {
            tasks.push(tokio::spawn(demo::serve(
                listener,
                demo_settings(&installation),
                stop.watch(),
            )));
        }
        Ok(Self { engine, ops, stopper, tasks, demo: with_demo })
    }

    #[expect(clippy::print_stdout, reason = "the addresses are the command's answer")]
    fn announce(&self, installation: &Installation, begun: Instant) {
        let config = &installation.config;
        println!(
            "Leadtrail is up after {:.1} s. Data: {}",
            begun.elapsed().as_secs_f32(),
            config.data_dir.display()
        );
        println!("  edge         {}", config.edge.public_url);
        println!("  report page  http://{}", config.app.listen);
        println!(
            "               masked until somebody signs in: leadtrail user new NAME --role sales"
        );
        println!(
            "  API          http://{}/openapi.json   (leadtrail key new --name \"my shop\" --role shop)",
            config.app.listen
        );
        println!("  ops          http://{}/ready", config.ops.listen);
        if self.demo {
            println!(
                "  demo shop    http://localhost:{}   <- click on its ads, then look at the report page",
                config.demo.listen.port()
            );
        }
        if let Some(engine) = &self.engine {
            println!("  ClickHouse   {}   (or: leadtrail sql)", engine.access().url);
        }
        println!("Stop with Ctrl-C; the data stays.");
    }

    async fn stop(self) -> Result<()> {
        self.stopper.stop();
        for task in self.tasks {
            task.await.context("a part panicked")?;
        }
        if let Some(engine) = self.engine {
            engine.stop().await.context("the engine did not stop cleanly")?;
        }
        self.ops.end()?;
        tracing::info!("stopped");
        Ok(())
    }
}

async fn start_engine(installation: &Installation) -> Result<Option<Engine>> {
    let config = &installation.config;
    if !config.warehouse.url.is_empty() {
        return Ok(None);
    }
    let mut settings = EngineSettings::new(parts::engine_library(config)?, config.engine_dir());
    settings.http_port = config.engine.http_port;
    settings.memory_bytes_max = config.engine.memory_bytes_max;
    settings.databases = vec![config.warehouse.database.clone()];
    Ok(Some(Engine::start(settings).await?))
}

fn demo_settings(installation: &Installation) -> DemoSettings {
    let config = &installation.config;
    let mailing = installation.registry.mailing("spring-mail").map_or(0, |mailing| mailing.number);
    DemoSettings {
        edge_url: config.edge.public_url.trim_end_matches('/').to_owned(),
        app_url: format!("http://{}", config.app.listen),
        shop_url: format!("http://localhost:{}", config.demo.listen.port()),
        mail_token: tokens::sign_mail(&installation.keys, mailing, "demo reader"),
    }
}
