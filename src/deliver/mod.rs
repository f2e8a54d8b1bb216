//! Deliver: a new lead, complaint or request for help reaches a human, by a webhook or a mail. «Lead» stands for all three here.
//!
//! In: the leads and service contacts of what is settled, in the order of the log, by a position for each endpoint. Out: signed POSTs and mails; what became of
//! each, in `deliveries`. Refuses: to send while another process leads. Promises: each lead is delivered at least once to each endpoint of
//! its form, every attempt with the same id; a receiver may be down for `deliver.give_up_hours` and loses nothing; after that a delivery
//! is failed, listed, and can be retried by command; kill -9 at any moment at most repeats an attempt; one slow receiver holds no other.
//!
//! # How
//! A lead is taken up when settling has covered it, so that its click is known and a repeat is none of its own. Its row in `deliveries`
//! is written first (version 0: twice changes nothing), the position after it, and only then is it sent; what came of the attempt is written
//! after it. A lead that was released from quarantine stands at the position of the decision, and so is new. Memory is a cache of the table:
//! after any failure, and when more waits than fits, the table is read again. What is sent is read from `leads` at that moment: what was erased is
//! not sent.
//!
//! Who settles delivers: there is one election. A process that slept may repeat an attempt, with the same id.

pub mod command;
pub mod endpoints;
mod guard;
mod health;
mod lead;
mod mail;
mod outcome;
mod positions;
mod queue;
mod secret;
mod tables;
mod webhook;
mod worker;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::config::Config;
use crate::deliver::endpoints::Endpoint;
use crate::deliver::positions::Positions;
use crate::deliver::queue::{Delivery, Patience, Queue};
use crate::deliver::tables::{DeliveryRow, State, Tables};
use crate::ids::now_millis;
use crate::settle;
use crate::stop::Stop;
use crate::store::{StoreError, Warehouse};

pub use crate::deliver::health::Health;

/// Positions without a new lead are written this often: reading the stretch again costs little, a row each time would cost more.
const POSITIONS_EVERY: Duration = Duration::from_secs(60);

/// The longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// A dead receiver is asked at least this often, so that it is used again soon after it is back.
const REST_LONGEST_MS: i64 = 60_000;

/// What the operator decides.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How often new leads are looked for.
    pub interval: Duration,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How long a delivery is tried.
    pub give_up_ms: i64,
    /// The same submission so soon after the one before is a repeat.
    pub repeat_ms: i64,
    patience: Patience,
}

impl Settings {
    /// As configured.
    pub fn of(config: &Config) -> Self {
        let ms = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let deliver = &config.deliver;
        Self {
            interval: Duration::from_millis(config.settle.interval_ms),
            timeout: Duration::from_millis(deliver.timeout_ms),
            give_up_ms: i64::from(deliver.give_up_hours) * 3_600_000,
            repeat_ms: i64::from(config.settle.repeat_window_minutes) * 60_000,
            patience: Patience {
                first_ms: ms(deliver.retry_first_ms),
                longest_ms: ms(deliver.retry_longest_ms),
                rest_longest_ms: ms(deliver.retry_longest_ms).min(REST_LONGEST_MS),
            },
        }
    }
}

/// One endpoint with its queue.
struct Line {
    endpoint: Endpoint,
    queue: Mutex<Queue>,
    wake: Notify,
    gauge: Arc<health::Gauge>,
    /// Of its row in `delivery_endpoints`, as last seen; 0: never.
    switch_version: AtomicU32,
}

impl Line {
    /// The queue, for a moment; the gauges follow it.
    fn with<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let mut queue = self.lock();
        let result = change(&mut queue);
        let pending = u64::try_from(queue.pending()).unwrap_or(u64::MAX);
        self.gauge.pending.store(pending, Ordering::Relaxed);
        self.gauge.disabled.store(queue.is_disabled(), Ordering::Relaxed);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(|poison| poison.into_inner())
    }
}

/// What the tasks share.
struct Shared {
    tables: Tables,
    settings: Settings,
    health: Arc<Health>,
    leader: Arc<settle::Health>,
}

/// Delivers new leads.
pub struct Deliverer {
    shared: Arc<Shared>,
    lines: Vec<Arc<Line>>,
}

/// What the coordinator knows between steps; forgotten after a failure.
#[derive(Default)]
struct Progress {
    positions: Option<Positions>,
    /// Positions that moved and are not written.
    moved: Positions,
    written_at: Option<Instant>,
}

impl Deliverer {
    /// `leader` says whether this process leads.
    pub fn new(
        warehouse: Warehouse,
        endpoints: Vec<Endpoint>,
        settings: Settings,
        leader: Arc<settle::Health>,
    ) -> Self {
        let health = Arc::new(Health::new(endpoints.iter().map(|one| one.name.as_str())));
        let line = |(endpoint, gauge): (Endpoint, &Arc<health::Gauge>)| {
            Arc::new(Line {
                endpoint,
                queue: Mutex::new(Queue::new(settings.patience)),
                wake: Notify::new(),
                gauge: gauge.clone(),
                switch_version: AtomicU32::new(0),
            })
        };
        let lines = endpoints.into_iter().zip(health.gauges()).map(line).collect();
        let tables = Tables::new(warehouse);
        Self { shared: Arc::new(Shared { tables, settings, health, leader }), lines }
    }

    /// How it is getting on.
    pub fn health(&self) -> Arc<Health> {
        self.shared.health.clone()
    }

    /// Notes where new endpoints begin. To be called before anything is settled that they should get.
    ///
    /// # Errors
    /// When the warehouse is away; then it is done with the first step.
    pub async fn begin(&self) -> Result<(), StoreError> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let known = self.shared.tables.switches().await?;
        for line in &self.lines {
            let name = &line.endpoint.name;
            if !known.iter().any(|switch| switch.name == *name) {
                self.shared.tables.begin(name).await?;
                tracing::info!(
                    endpoint = name,
                    "deliver: a new endpoint; it gets the leads from now on"
                );
            }
        }
        Ok(())
    }

    /// Delivers until the stop.
    pub async fn run(self, stop: Stop) {
        if self.lines.is_empty() {
            return;
        }
        let mut workers = tokio::task::JoinSet::new();
        for line in &self.lines {
            workers.spawn(worker::work(line.clone(), self.shared.clone(), stop.clone()));
        }
        self.coordinate(&stop).await;
        while let Some(ended) = workers.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "deliver: a worker failed");
            }
        }
    }

    /// Takes up what is new, step after step.
    async fn coordinate(&self, stop: &Stop) {
        let (mut progress, mut leads) = (Progress::default(), false);
        let mut pause = self.shared.settings.interval;
        while !stop.is_stopped() {
            let begun = Instant::now();
            if leads != self.shared.leader.leads() {
                leads = !leads;
                progress = Progress::default();
                self.forget();
            }
            if leads {
                match self.step(&mut progress).await {
                    Ok(true) => continue,
                    Ok(false) => {
                        self.shared.health.stepped();
                        // On a busy machine looking must not become the load.
                        pause = self.shared.settings.interval.max(begun.elapsed()).min(PAUSE_MAX);
                    }
                    Err(error) => {
                        self.shared.health.failed(&error);
                        progress = Progress::default();
                        self.lines.iter().for_each(|line| line.with(Queue::doubt));
                        pause = (2 * pause).min(PAUSE_MAX);
                    }
                }
            }
            tokio::select! {
                () = stop.stopped() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.forget();
    }

    /// Drops what memory holds: another process leads now, or this one begins to.
    fn forget(&self) {
        for line in &self.lines {
            line.switch_version.store(0, Ordering::Relaxed);
            line.with(|queue| *queue = Queue::new(self.shared.settings.patience));
        }
    }

    /// One step: who is disabled, what is new, what has to be read again. True when there is more at once.
    async fn step(&self, progress: &mut Progress) -> Result<bool, StoreError> {
        let tables = &self.shared.tables;
        self.follow_switches().await?;
        let settled = tables.settled().await?;
        if progress.positions.is_none() {
            progress.positions = Some(tables.positions().await?);
        }
        let mut more = false;
        for line in &self.lines {
            let (deliveries, more_of_it) = self.take_up(line, &settled, progress).await?;
            more |= more_of_it;
            if !deliveries.is_empty() {
                // Rows, then the position, and only then memory: whoever is cut off in between finds the rows.
                self.write_moved(progress).await?;
                let now_ms = now_millis();
                line.with(|queue| deliveries.into_iter().for_each(|one| queue.push(one, now_ms)));
                line.wake.notify_one();
            }
            self.load(line).await?;
        }
        if progress.written_at.is_none_or(|at| at.elapsed() >= POSITIONS_EVERY) {
            self.write_moved(progress).await?;
        }
        Ok(more)
    }

    async fn write_moved(&self, progress: &mut Progress) -> Result<(), StoreError> {
        if !progress.moved.is_empty() {
            self.shared.tables.write_positions(&progress.moved).await?;
            progress.moved.clear();
        }
        progress.written_at = Some(Instant::now());
        Ok(())
    }

    /// Writes the rows of an endpoint's new leads.
    async fn take_up(
        &self,
        line: &Line,
        settled: &[(positions::Partition, u64)],
        progress: &mut Progress,
    ) -> Result<(Vec<Delivery>, bool), StoreError> {
        let Endpoint { name, .. } = &line.endpoint;
        let Some(positions) = &mut progress.positions else { return Ok((Vec::new(), false)) };
        let (ranges, more) = positions::ranges(name, positions, settled);
        if ranges.is_empty() {
            return Ok((Vec::new(), false));
        }
        let now_ms = now_millis();
        let repeat_ms = self.shared.settings.repeat_ms;
        let deliveries =
            self.shared.tables.new_leads(&line.endpoint, &ranges, repeat_ms, now_ms).await?;
        let rows: Vec<DeliveryRow> = deliveries
            .iter()
            .map(|one| DeliveryRow::new(name, one, (State::Pending, None, 0), now_ms))
            .collect();
        self.shared.tables.record(&rows).await?;
        for range in ranges {
            let place = (name.clone(), range.partition);
            positions.insert(place.clone(), range.end);
            progress.moved.insert(place, range.end);
        }
        Ok((deliveries, more))
    }

    /// Sees what the command or a worker switched.
    async fn follow_switches(&self) -> Result<(), StoreError> {
        let switches = self.shared.tables.switches().await?;
        for line in &self.lines {
            let name = &line.endpoint.name;
            let Some(switch) = switches.iter().find(|switch| switch.name == *name) else {
                self.begin().await?;
                continue;
            };
            if line.switch_version.swap(switch.version, Ordering::Relaxed) == switch.version {
                continue;
            }
            let disabled = switch.state == "disabled";
            let was = line.lock().is_disabled();
            if disabled != was {
                tracing::info!(endpoint = name, disabled, "deliver: an endpoint was switched");
            }
            line.with(|queue| {
                queue.set_disabled(disabled, now_millis());
                queue.doubt();
            });
            line.wake.notify_one();
        }
        Ok(())
    }

    /// Reads an endpoint's pending deliveries, if they should be read.
    async fn load(&self, line: &Line) -> Result<(), StoreError> {
        if !line.lock().wants_load() {
            return Ok(());
        }
        line.with(Queue::begin_load);
        let found = self.shared.tables.pending(&line.endpoint.name).await;
        let (found, outcome) = match found {
            Ok(found) => (Some(found), Ok(())),
            Err(error) => (None, Err(error)),
        };
        line.with(|queue| queue.end_load(found, now_millis()));
        line.wake.notify_one();
        outcome
    }
}
