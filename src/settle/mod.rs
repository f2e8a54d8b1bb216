//! Settle: which click a conversion follows, and who earned it.
//!
//! In: what is stored and not yet settled, by a position for each partition over `ingest_batches`. Out: `conversion_clicks` and
//! `payout_attribution`, one row a conversion. Refuses: to write when another process leads. Promises: the result depends on the
//! events (and the registry) alone, not on their order nor on the borders of batches and runs; positions are written last, so a
//! run that is cut off is done again with the same result and a higher version.
//!
//! # The rules
//! - **The click** of a conversion is, strongest first: the one that it names by a signed id, whether stored yet or not; the last
//!   click of its visitor by cookie; the last click of the same day's hash on the same UTC day, if that day's clicks with this hash
//!   are of one visitor alone. A click counts at or before the conversion and within the window (its offer's, else the
//!   default); one that doesn't is as if it weren't there. A named click counts whatever was judged of it, others only if
//!   human or suspect. Ties go to the highest (time, sequence, node). Sites never mix.
//! - **Repeats.** Of the conversions that browsers report by pixel, the first of each (click, goal) and of each (order, goal) counts;
//!   one that is not the first in either is a repeat. A lead is a repeat if the same submission (its key, made at the edge from
//!   site, form, browser and fields) came at most `settle.repeat_window_minutes` before it and was judged alike. So a double click, a
//!   reload and a retry are one lead, each pause counted by itself; without a key a lead is never a repeat. Its row stays.
//! - **Messages.** What a server reports (a postback, the shop's API) comes in messages about one transaction, within its offer and
//!   goal. The first claim that an edge took is the conversion, the others are its history: the furthest status counts, the first
//!   end stays, the amount follows the postback's mode (ignore, update, add, replace); what was rejected or reversed earns nothing.
//! - **Doors.** The same number, goal and site through several doors are one order (`groups.sql`), unless two offers are named: what the
//!   shop reports, by pixel or API, becomes a message of the network's transaction, and a pixel one of the API's. A server's word
//!   counts before any browser's, in amount, status and evidence; what a browser knows of the click counts where no server does.
//! - **The payout** goes to the affiliate of the named click, if it has affiliate and offer; else of the click with the network's id;
//!   else to the coupon's owner; else to the last affiliate click of the visitor, then of the day's hash; else to nobody. Of a
//!   transaction's messages the strongest evidence wins, the earliest of equals. `proof` keeps all that was considered. Leads and
//!   repeats earn nothing, though the ledger names their winner.
//!   What only a browser claims is worth what the winner's offer says, if it has an amount, and else what is claimed; so it is another
//!   amount when the winner changes before the lock.
//! - **The lock** is the time at which an edge took the first approval, or `lock_after_days` after the conversion, whichever is earlier; with
//!   an approval and without a winner a day is waited for one, for a shop's server is often quicker than the browser. Evidence counts
//!   from when an edge took it, until something takes it away (a second visitor with the same day's hash). What comes after the
//!   lock changes neither winner nor payout, nor what a percentage is of: another affiliate's is a dispute, an end takes the payout
//!   back beside it. What ended before the lock earns nothing. All of it follows from times that edges fixed, so there is nothing to
//!   record and nothing to lose: a replay finds the same. A click that an edge took in time, and whose record was late (an outage),
//!   counts as in time.
//! - **Tiers and caps**: see `allot.rs`. **Base amounts**: see `written.sql`.
//!
//! # A run
//! Conversions are picked (`look`, `new`, `reached`), their clicks found (`join`), and who repeats whom (`before`, `others`,
//! `ready`); then payouts, clicks and positions are written, in this order. The next run compares what it finds with
//! `conversion_clicks` to know which groups of repeats changed, so that table must not be ahead of the payouts, nor its joined rows
//! ahead of the others.
//!
//! What a run that was cut off wrote may build on less than the next one knows, which would not touch it: so the next one settles that again (`leftovers`).
//! A run that was overtaken may still have one statement under way: its process slept, or was killed while the server worked. The server
//! ends what runs under settling's one name before the next run reads, and what comes later than that writes nothing (`statements.rs`).

mod allot;
mod election;
mod health;
mod log;
mod pick;
mod ranges;
mod sharing;
mod statements;
mod terms;
mod versions;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clickhouse::Client;
use tokio::sync::OnceCell;

use crate::config::Config;
use crate::registry::Registry;
use crate::settle::ranges::Plan;
use crate::settle::statements::Statements;
use crate::settle::terms::Terms;
use crate::stop::Stop;

pub use crate::settle::election::Election;
pub use crate::settle::health::Health;
pub use crate::settle::versions::{Counter, VersionError, Versions};

/// Records that one run covers, or one batch more: settled in about a second, and few enough to be done again.
const RECORDS_MAX: u64 = 100_000;

/// The promise is that a conversion is in the ledger 10 s after it arrived. One that just misses a run waits for the rest of it, for the pause and
/// for the next run; the consumer, the warehouse and a run that is longer than the last have the rest.
const SETTLED_WITHIN: Duration = Duration::from_secs(7);

/// The longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// A process that doesn't lead after this long stands by, and says so again as often.
const STANDBY_AFTER: Duration = Duration::from_secs(1);

/// Why a run was not finished. The next one does it again.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The warehouse did not do it.
    #[error("settle: {action} failed: {reason}; the run is done again")]
    Warehouse {
        /// What was tried.
        action: &'static str,
        /// What the server or the network said, without values.
        reason: String,
    },
    /// No version, so nothing was written.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// Leadership went in the middle of a run; what it wrote has a version that loses.
    #[error("settle: this process stopped leading before {before}; the run is given up")]
    Overtaken {
        /// What was not done any more.
        before: &'static str,
    },
}

/// What the operator decides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often changes are looked for.
    pub interval: Duration,
    /// How long a click earns a conversion, where its offer says nothing else.
    pub click_window_days: u32,
    /// The same submission again is a repeat if it came at most so long after the one before.
    pub repeat_window_minutes: u32,
    /// Base amounts are in this currency; empty: none.
    pub base_currency: String,
    /// How many days back a rate still counts.
    pub rate_days: u16,
    /// For one statement.
    pub timeout: Duration,
    /// Records that one run covers before it stops taking further batches.
    pub records_max: u64,
}

impl Settings {
    /// As configured.
    pub fn of(config: &Config) -> Self {
        Self {
            interval: Duration::from_millis(config.settle.interval_ms),
            click_window_days: config.settle.click_window_days,
            repeat_window_minutes: config.settle.repeat_window_minutes,
            base_currency: config.settle.base_currency.clone(),
            rate_days: config.settle.rate_days,
            timeout: Duration::from_millis(config.warehouse.timeout_ms),
            records_max: RECORDS_MAX,
        }
    }
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunReport {
    /// The version of its rows; `None` when there was nothing to settle.
    pub version: Option<u64>,
    /// Partitions with something new.
    pub ranges: usize,
    /// Log records in the new ranges.
    pub records: u64,
    /// Conversions whose click was looked for: new ones, and older ones that a new click can reach.
    pub conversions: u64,
    /// Rows that the warehouse read for it, and for looking whether there is anything; those of runs that failed before are with them.
    pub read_rows: u64,
    /// True when there is more to do at once.
    pub more: bool,
    /// Partitions where a later batch is stored and the one before it isn't.
    pub gaps: usize,
    /// Stored records that were not settled when the run began.
    pub unsettled: u64,
}

/// Settles what changed.
pub struct Settler {
    statements: Statements,
    terms: Terms,
    settings: Settings,
    /// The highest version in the warehouse when this process began, so that a lost counter can't go back behind it.
    floor: OnceCell<u64>,
    /// True until a run of this process has finished: what one before it left may be older than the working tables.
    fresh: AtomicBool,
    /// The last import of rates that was taken up.
    rates_seen: AtomicU64,
    health: Arc<Health>,
}

impl Settler {
    /// `client` has the database selected. The registry tells names and terms.
    pub fn new(client: Client, registry: &Registry, settings: Settings) -> Self {
        let mut terms =
            Terms::of(registry, settings.click_window_days, settings.repeat_window_minutes);
        terms.base_currency.clone_from(&settings.base_currency);
        terms.rate_days = settings.rate_days;
        let statements = Statements::new(client, settings.timeout);
        Self {
            statements,
            terms,
            settings,
            floor: OnceCell::new(),
            fresh: AtomicBool::new(true),
            rates_seen: AtomicU64::new(0),
            health: Arc::default(),
        }
    }

    /// How it is getting on.
    pub fn health(&self) -> Arc<Health> {
        self.health.clone()
    }

    /// One pass over what is new, bounded. The version is taken first, so that a run reads everything that a run with a lower
    /// version wrote before it was overtaken.
    ///
    /// # Errors
    /// When a statement fails, there is no version, or another process leads now. Whatever was written is replaced by the next run.
    pub async fn run_once(&self, versions: &mut Versions) -> Result<RunReport, SettleError> {
        let begun = Instant::now();
        let plan = self.plan().await?;
        let mut report =
            RunReport { gaps: plan.gaps.len(), unsettled: plan.unsettled, ..RunReport::default() };
        let rates = self.statements.newest_rates(&self.terms).await?;
        if plan.ranges.is_empty() && rates <= self.rates_seen.load(Ordering::Relaxed) {
            report.read_rows = self.statements.take_read_rows();
            self.health.ran(&report, begun.elapsed());
            return Ok(report);
        }
        let floor = *self.floor.get_or_try_init(|| self.prepare()).await?;
        let version = versions.next(floor).await?;
        let unfinished = self.statements.begin(version, versions).await?;
        let leftovers = unfinished || self.fresh.load(Ordering::Relaxed);
        let seen = self.rates_seen.load(Ordering::Relaxed);
        if rates > seen {
            // A run of its own, so that no row is written twice under one version.
            self.statements.rate_again(version, seen, &self.terms, versions).await?;
            self.rates_seen.store(rates, Ordering::Relaxed);
            if !leftovers {
                self.statements
                    .write_positions(version, &self.plan().await?.standing(), versions)
                    .await?;
            }
            return Ok(RunReport { version: Some(version), more: true, ..report });
        }
        // What was planned before the version was ours may have been settled by the leader before us.
        let plan = self.plan().await?;
        report = RunReport {
            version: Some(version),
            ranges: plan.ranges.len(),
            records: plan.records,
            more: plan.more,
            gaps: plan.gaps.len(),
            unsettled: plan.unsettled,
            ..report
        };
        report.conversions = self.settle(version, (&plan, leftovers), versions).await?;
        self.statements.write_positions(version, &plan, versions).await?;
        report.read_rows = self.statements.take_read_rows();
        self.fresh.store(false, Ordering::Relaxed);
        self.health.ran(&report, begun.elapsed());
        Ok(report)
    }

    /// Writes the registry's rows and asks for the highest version.
    async fn prepare(&self) -> Result<u64, SettleError> {
        self.statements.write_terms(&self.terms).await?;
        self.statements.highest_version().await
    }

    async fn plan(&self) -> Result<Plan, SettleError> {
        let positions = self.statements.positions().await?;
        let batches = self.statements.batches(&positions).await?;
        Ok(Plan::new(&positions, &batches, self.settings.records_max))
    }

    /// Everything but the positions. Gives the number of conversions whose click was looked for.
    async fn settle(
        &self,
        version: u64,
        (plan, leftovers): (&Plan, bool),
        versions: &Versions,
    ) -> Result<u64, SettleError> {
        if plan.ranges.is_empty() {
            return Ok(0);
        }
        let (statements, terms) = (&self.statements, &self.terms);
        let picked = statements.pick(version, (plan, leftovers), terms, versions).await?;
        if picked.conversions > 0 {
            statements.join(version, &picked, terms, versions).await?;
            statements.find_repeats(version, &picked, terms, versions).await?;
            statements.write_payouts(version, &picked, terms, versions).await?;
            if picked.limited > 0 {
                statements.write_clicks(version, false, versions).await?;
            }
            statements.write_clicks(version, true, versions).await?;
        }
        Ok(picked.conversions)
    }
}

/// Settles until the stop: at once while there is more, else once an interval. A standby waits for its turn.
pub async fn run_loop(settler: &Settler, versions: &mut Versions, stop: &Stop) {
    let mut pause = settler.settings.interval;
    while !stop.is_stopped() {
        let began = Instant::now();
        let outcome = match lead(settler, versions, stop).await {
            Ok(false) => break,
            Ok(true) => {
                settler.health.leading(true);
                settler.run_once(versions).await
            }
            Err(error) => Err(error.into()),
        };
        match outcome {
            Ok(report) => {
                if report.more {
                    continue;
                }
                pause = pause_after(began.elapsed(), settler.settings.interval);
            }
            // Standing by again is no failure.
            Err(SettleError::Version(VersionError::Lost) | SettleError::Overtaken { .. }) => {
                settler.health.leading(false);
            }
            Err(error) => {
                settler.health.failed(&error);
                pause = (2 * pause).min(PAUSE_MAX);
            }
        }
        tokio::select! {
            () = stop.stopped() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    settler.health.leading(false);
    settler.health.tell_cost();
}

/// On a busy machine looking for changes must not become the load: at most a third of the time, and more only where the ledger would be late.
fn pause_after(run: Duration, interval: Duration) -> Duration {
    (2 * run).min(SETTLED_WITHIN.saturating_sub(2 * run)).max(interval)
}

/// Waits for its turn, and says meanwhile that it stands by.
async fn lead(
    settler: &Settler,
    versions: &mut Versions,
    stop: &Stop,
) -> Result<bool, VersionError> {
    loop {
        match tokio::time::timeout(STANDBY_AFTER, versions.lead(stop)).await {
            Ok(outcome) => return outcome,
            Err(_) => {
                settler.health.leading(false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_after_a_run_spares_the_machine_until_the_ledger_would_be_late() {
        let interval = Duration::from_millis(500);
        let pause = |run_ms| pause_after(Duration::from_millis(run_ms), interval).as_millis();
        let pauses = [0, 100, 1_000, 1_750, 2_500, 3_400, 60_000].map(pause);
        assert_eq!(pauses, [500, 500, 2_000, 3_500, 2_000, 500, 500]);
    }
}
