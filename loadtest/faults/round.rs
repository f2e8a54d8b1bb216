//! One round: load, a fault at a random moment, healing, and the reckoning. In: an installation and a scenario. Out: a
//! [`Verdict`]. Refuses: when a part can't be healed. Promises: the same seed strikes at the same moment of the plan.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use clickhouse::Client;

use crate::dice::Dice;
use crate::faults::installation::Installation;
use crate::faults::load::{Loaded, load};
use crate::faults::options::FaultsOptions;
use crate::faults::personal;
use crate::faults::reckon::reckon;
use crate::faults::scenario::{Excuse, Scenario};
use crate::faults::tables;
use crate::faults::verdict::Verdict;
use crate::receipts::{Ledger, number_in};
use crate::reconcile::{Fault, Reconciliation};
use crate::run::write_problems;
use crate::warehouse::Patience;

/// How long the rest is waited for when some events can't come any more.
const WAIT_FOR_THE_REST: Duration = Duration::from_secs(60);

/// Runs one.
pub async fn round(
    installation: &mut Installation,
    scenario: Scenario,
    options: &FaultsOptions,
    number: u32,
) -> anyhow::Result<Verdict> {
    let mut dice = Dice::of(options.seed, number.into());
    let admin = installation.admin()?;
    tables::hold_merges(&admin).await.context("holding merges")?;
    let receipts = installation.folder().join(format!("round-{number}.receipts"));
    let strikes = if scenario.strikes_once() { 1 } else { options.strikes };
    let slot = Duration::from_secs(options.seconds.into()) + scenario.sleeps(options.hang());
    let seconds = u32::try_from(slot.as_secs())? * strikes;
    let edge = installation.edge();
    let loading = load(&edge, options, seconds, dice.next(), &receipts);
    let striking = strike_all(installation, scenario, options, &mut dice, (strikes, slot));
    let (loaded, excuse) = tokio::try_join!(loading, striking)?;
    let healed = Instant::now();

    let mut wait = Duration::from_secs(options.wait.into());
    if excuse.is_any() {
        // What the fault destroyed never comes, so all of the wait would pass.
        wait = wait.min(WAIT_FOR_THE_REST);
    }
    let patience = Patience { wait, quiet: scenario.quiet(options.home) };
    let (ledger, reconciled) = reckon(installation, &receipts, patience).await?;
    if !reconciled.problems.is_empty() {
        write_problems(&receipts, &reconciled)?;
    }
    let drained = healed.elapsed().saturating_sub(patience.quiet);
    let mut verdict = judge(&ledger, &loaded, &reconciled, excuse);
    verdict.drained = drained;
    if scenario.destroys_the_log() {
        tell_of_gone_logs(installation, &admin).await?;
    }
    verdict.rows =
        tables::row_faults(&admin, excuse.halves_before).await.context("counting rows")?;
    verdict.unsettled = tables::unsettled(&admin).await.context("counting what is settled")?;
    let ended = installation.ended_unasked();
    ended.iter().for_each(|ended| eprintln!("ended unasked: {ended}"));
    verdict.ended = ended.len();
    let astray =
        personal::astray(installation, &admin).await.context("searching what is personal")?;
    astray.iter().for_each(|place| eprintln!("personal: {place}"));
    verdict.personal = astray.len();
    if !verdict.rows.is_none() {
        eprintln!("{:?}", verdict.rows);
    }
    tables::release_merges(&admin).await.context("letting merges run")?;
    Ok(verdict)
}

/// As its operator would: the log that was destroyed is gone for good, and so is what a batch of it had not stored.
async fn tell_of_gone_logs(installation: &Installation, admin: &Client) -> anyhow::Result<()> {
    let sql = "SELECT DISTINCT lower(hex(log_epoch)) FROM events";
    let epochs: Vec<String> = admin.query(sql).fetch_all().await.context("asking for epochs")?;
    let mut words = vec!["audit", "--heal"];
    for epoch in &epochs {
        words.extend(["--gone-epoch", epoch]);
    }
    // Its exit code tells of the missing rows that the verdict counts too.
    let _ = installation.command(&words);
    Ok(())
}

/// Strikes once in each slot of the plan; gives which answered events may be missing.
async fn strike_all(
    installation: &mut Installation,
    scenario: Scenario,
    options: &FaultsOptions,
    dice: &mut Dice,
    (strikes, slot): (u32, Duration),
) -> anyhow::Result<Excuse> {
    let started = tokio::time::Instant::now();
    let mut excuse = Excuse::default();
    // Between a fifth and three fifths of the slot: there is load before and after. A log that is made anew is to outgrow the old one: a
    // consumer whose last position came after that waits until it does, and tells the two apart then.
    let (first, more) = if scenario.destroys_the_log() { (0.1, 0.2) } else { (0.2, 0.4) };
    for number in 0..strikes {
        let moment = first + more * (dice.below(1000) as f64 / 1000.0);
        let awake = Duration::from_secs(options.seconds.into()).mul_f64(moment);
        // A strike whose healing took longer than its slot is followed by the next at once, if there is load left for it to meet.
        if started.elapsed() + awake > slot * strikes {
            eprintln!("strike {} is left out: the load is over", number + 1);
            break;
        }
        tokio::time::sleep_until(started + slot * number + awake).await;
        excuse = excuse.and(scenario.strike(installation, dice, options.hang()).await?);
    }
    Ok(excuse)
}

fn judge(ledger: &Ledger, loaded: &Loaded, reconciled: &Reconciliation, excuse: Excuse) -> Verdict {
    let is_wiped = |tag: &str| {
        let number = number_in(&ledger.run, tag);
        number
            .zip(excuse.before)
            .is_some_and(|(number, moment)| loaded.ended_before(number, moment))
    };
    let wiped = reconciled.of(Fault::Lost).filter(|problem| is_wiped(&problem.tag)).count();
    let missing = reconciled.count(Fault::Lost) - wiped;
    // Records without a receipt (redirects, counts of refusals) may have been spoiled instead.
    let spoiled = missing.min(usize::try_from(excuse.spoiled).unwrap_or(usize::MAX));
    let total = loaded.tally.total();
    Verdict {
        durable: reconciled.durable,
        stored: reconciled.stored,
        dead: reconciled.dead,
        lost: missing - spoiled,
        wiped,
        spoiled: (spoiled, excuse.spoiled),
        doubled: reconciled.count(Fault::Doubled),
        unexpected: reconciled.count(Fault::Unexpected),
        mistagged: reconciled.count(Fault::Mistagged),
        not_taken: (total.refused, total.unknown, total.unsent),
        unconfirmed: reconciled.unconfirmed,
        refusal: loaded.longest_refusal(),
        wait: loaded.longest_wait(),
        ..Verdict::default()
    }
}
