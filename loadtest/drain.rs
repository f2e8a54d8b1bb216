//! A spill that drains. In: a program. Out: what an edge with many undelivered events holds in memory, how fast they go into Kafka once
//! the broker is back, and whether each of them is stored once. Promises: whatever it starts ends with it.
//!
//! Consumer and settle stand still while the spill fills and drains: the figure is of the edge and the broker, on whatever cores
//! they share. They start again for the reckoning.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::faults::ask;
use crate::faults::installation::{Installation, Part, Shape, Special};
use crate::faults::load::load;
use crate::faults::reckon::reckon;
use crate::faults::{FaultsOptions, Home, prepare, until_stopped};
use crate::flood::memory;
use crate::reconcile::Fault;
use crate::warehouse::Patience;

/// How often the spill is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A broker that was killed looks through its log first.
const DRAINED_MAX: Duration = Duration::from_secs(300);

/// Options of `drain`.
#[derive(Args)]
pub struct DrainOptions {
    /// Which program, rate and seconds, so how many events; home and what is said of scenarios do not count here
    #[command(flatten)]
    pub load: FaultsOptions,
    /// Fails when the spill drained more slowly, in events a second
    #[arg(long, default_value_t = 100_000)]
    pub rate_min: u64,
    /// Fails when the edge ever held more than so many MiB
    #[arg(long, default_value_t = 512)]
    pub memory_max: u64,
}

/// Fills a spill and drains it; true when it was fast and little enough, and nothing was lost or doubled.
///
/// # Errors
/// When an installation can't be made or asked.
pub fn drain(mut options: DrainOptions) -> anyhow::Result<bool> {
    options.load.home = Home::Kafka;
    prepare(&mut options.load)?;
    until_stopped(drained(&options))
}

async fn drained(options: &DrainOptions) -> anyhow::Result<bool> {
    let shape = Shape {
        program: options.load.program.clone(),
        home: Home::Kafka,
        up: false,
        special: Special::None,
    };
    let mut installation = Installation::start(shape).await?;
    for part in [Part::Consumer, Part::Settle] {
        installation.terminate(part).await?;
    }
    let edge = installation.pid(Part::Edge)?;
    let before = memory(edge)?;
    installation.broker.as_ref().context("the home is Kafka")?.kill9();
    let receipts = installation.folder().join("drain.receipts");
    let asked = &options.load;
    let loaded = load(&installation.edge(), asked, asked.seconds, asked.seed, &receipts).await?;
    print!("{}", loaded.tally.text());
    let (undelivered, full) = (spilled(&installation).await?, memory(edge)?);
    println!(
        "undelivered={undelivered} rss_before_kb={} rss_kb={} rss_peak_kb={}",
        before.resident_kb, full.resident_kb, full.peak_kb
    );

    installation.broker.as_ref().context("the home is Kafka")?.start_again();
    let (records, took) = empty(&installation).await?;
    let rate = (records as f64 / took.as_secs_f64()) as u64;
    let peak_kb = memory(edge)?.peak_kb;
    println!(
        "drained={records} seconds={:.2} rate={rate}/s rss_peak_kb={peak_kb}",
        took.as_secs_f64()
    );

    for part in [Part::Consumer, Part::Settle] {
        installation.start_part(part)?;
    }
    let wait = Duration::from_secs(options.load.wait.into());
    let patience = Patience { wait, quiet: Duration::from_secs(3) };
    let (_, reconciled) = reckon(&installation, &receipts, patience).await?;
    let count = |fault| reconciled.count(fault);
    println!(
        "durable={} stored={} lost={} doubled={} unexpected={}",
        reconciled.durable,
        reconciled.stored,
        count(Fault::Lost),
        count(Fault::Doubled),
        count(Fault::Unexpected)
    );
    let wrong = count(Fault::Lost) + count(Fault::Doubled) + count(Fault::Unexpected);
    let folder = installation.folder().to_owned();
    installation.stop().await?;
    let is_well = reconciled.durable > 0
        && wrong == 0
        && rate >= options.rate_min
        && peak_kb <= options.memory_max * 1024;
    if is_well {
        std::fs::remove_dir_all(folder)?;
    } else {
        println!("kept: {}", folder.display());
    }
    Ok(is_well)
}

/// Events in the spill, as the edge's metric says.
async fn spilled(installation: &Installation) -> anyhow::Result<u64> {
    let text = ask::text(installation.ops_port(Part::Edge), "/metrics").await?;
    let value = text.lines().find_map(|line| line.strip_prefix("leadtrail_spill_records "));
    Ok(value.context("the edge tells no leadtrail_spill_records")?.parse::<f64>()? as u64)
}

/// Waits until the spill is empty. Gives what went, and how long that took, from the first that was seen to have gone.
async fn empty(installation: &Installation) -> anyhow::Result<(u64, Duration)> {
    let deadline = Instant::now() + DRAINED_MAX;
    let (mut begun, mut before) = (Instant::now(), spilled(installation).await?);
    let all = before;
    loop {
        ensure!(Instant::now() < deadline, "{before} events are still in the spill");
        tokio::time::sleep(LOOK_EVERY).await;
        let (at, now) = (Instant::now(), spilled(installation).await?);
        if now == 0 {
            return Ok((all, at - begun));
        }
        if now == all {
            begun = at;
        }
        before = now;
    }
}
