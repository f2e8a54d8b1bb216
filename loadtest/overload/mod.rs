//! Overload. In: a program. Out: what it can do, and how it does when ten times that is asked of it while half of all connections are
//! slow: answers by status, memory, `/live`, redirects, recovery, and whether anything accepted was lost. Refuses: a machine on which a
//! process can't be held to a share of a core. Promises: whatever it starts ends with it.
//!
//! Ten times what an edge can do is more than a generator on the same cores can send. So the edge is held to a share of one core
//! (a control group of the kernel), and the generator has the rest.

mod options;
mod share;
mod slow;
mod watch;

use std::time::{Duration, Instant};

pub use options::OverloadOptions;

use self::share::Share;
use self::slow::Slow;
use self::watch::Watch;
use crate::faults::installation::{Installation, Part, Shape, Special};
use crate::faults::load::{Loaded, load};
use crate::faults::reckon::reckon;
use crate::faults::{prepare, until_stopped};
use crate::mix::Kind;
use crate::reconcile::{Fault, Reconciliation};
use crate::warehouse::Patience;

/// How long capacity is measured, and with how many connections.
const MEASURE_S: u32 = 10;
const MEASURE_CONNECTIONS: u16 = 64;

/// More than an edge that is held to a share can do.
const MEASURE_RATE: u32 = 20_000;

/// From the last request that was sent on it must be well again within this time.
const RECOVERY_MAX: Duration = Duration::from_secs(2);

/// How long it is watched after the load.
const AFTER: Duration = Duration::from_secs(10);

/// Overloads; true when every promise held.
///
/// # Errors
/// When an installation can't be made or asked.
pub fn overload(mut options: OverloadOptions) -> anyhow::Result<bool> {
    prepare(&mut options.load)?;
    until_stopped(overloaded(&options))
}

async fn overloaded(options: &OverloadOptions) -> anyhow::Result<bool> {
    let shape = Shape {
        program: options.load.program.clone(),
        home: options.load.home,
        up: false,
        special: Special::None,
    };
    let installation = Installation::start(shape).await?;
    let edge = installation.pid(Part::Edge)?;
    let share = Share::of_one_core(edge, options.edge_share)?;
    let able = capacity(&installation, options).await?;
    let rate = u32::try_from(able * 10)?;
    println!(
        "the edge has {} of a core and answers {able}/s; asking for {rate}/s",
        options.edge_share
    );

    let watch = Watch::begin(edge, installation.edge_port(), installation.ops_port(Part::Edge));
    let slow = Slow::begin(installation.edge_port(), options.slow);
    let mut asked = options.load.clone();
    (asked.rate, asked.connections) = (rate, options.fast);
    let receipts = installation.folder().join("overload.receipts");
    let address = installation.edge();
    let loaded = load(&address, &asked, options.load.seconds, options.load.seed, &receipts).await?;
    tokio::time::sleep(AFTER).await;
    let cuts = slow.end();
    let seen = watch.end().await;
    drop(share);
    print!("{}", loaded.tally.text());
    println!("slow ones: {cuts}");

    let wait = Duration::from_secs(options.load.wait.into());
    let patience = Patience { wait, quiet: Duration::from_secs(3) };
    let (_, reconciled) = reckon(&installation, &receipts, patience).await?;
    // Who waited for a connection still asks after the plan's end.
    let ended = loaded.ends.iter().flatten().filter_map(|end| end.sent).max();
    let recovery = ended.and_then(|ended| seen.recovery(ended));
    let is_well =
        tell(&loaded, &seen, &reconciled, recovery) && seen.peak_kb <= options.memory_max * 1024;
    println!("{seen}");
    let folder = installation.folder().to_owned();
    installation.stop().await?;
    if is_well {
        std::fs::remove_dir_all(folder)?;
    } else {
        println!("kept: {}", folder.display());
    }
    Ok(is_well)
}

/// What the edge answers a second when as much as it likes is asked of few connections.
async fn capacity(installation: &Installation, options: &OverloadOptions) -> anyhow::Result<u64> {
    let mut asked = options.load.clone();
    (asked.rate, asked.connections) = (MEASURE_RATE, MEASURE_CONNECTIONS);
    let receipts = installation.folder().join("capacity.receipts");
    let begun = Instant::now();
    let loaded =
        load(&installation.edge(), &asked, MEASURE_S, options.load.seed ^ 1, &receipts).await?;
    // What was asked and is still waiting is answered, or given up, after the schedule's end.
    Ok((loaded.tally.total().accepted() as f64 / begun.elapsed().as_secs_f64()) as u64)
}

/// Prints the figures; true when nothing was lost, doubled or wrongly refused, redirects went on, and it was well again in time.
fn tell(
    loaded: &Loaded,
    seen: &watch::Seen,
    reconciled: &Reconciliation,
    recovery: Option<Duration>,
) -> bool {
    let count = |fault| reconciled.count(fault);
    let wrong = count(Fault::Lost)
        + count(Fault::Doubled)
        + count(Fault::Unexpected)
        + count(Fault::Mistagged);
    let clicks = loaded.tally.of(Kind::Click);
    let strange: u64 = loaded
        .tally
        .refusals()
        .iter()
        .filter(|(status, _)| !matches!(status, 429 | 503))
        .map(|(_, count)| count)
        .sum();
    let recovered =
        recovery.map_or_else(|| "never".to_owned(), |time| format!("{:.2}", time.as_secs_f64()));
    println!(
        "durable={} stored={} dead={} lost={} doubled={} unexpected={} refused={} of_them_without_retry_after={} other_than_429_and_503={strange} \
         clicks_sent_on={} clicks_refused={} recovery_s={recovered}",
        reconciled.durable,
        reconciled.stored,
        reconciled.dead,
        count(Fault::Lost),
        count(Fault::Doubled),
        count(Fault::Unexpected),
        loaded.tally.total().refused,
        loaded.tally.mute(),
        clicks.accepted(),
        clicks.refused,
    );
    reconciled.durable > 0
        && wrong == 0
        && strange == 0
        && loaded.tally.mute() == 0
        && clicks.refused == 0
        && clicks.accepted() > 0
        && seen.is_alive()
        && recovery.is_some_and(|time| time < RECOVERY_MAX)
}
