//! What can happen to the broker.

use std::time::Duration;

use anyhow::Context as _;

use super::{kill, pause};
use crate::dice::Dice;
use crate::faults::env::broker::Broker;
use crate::faults::installation::{Installation, Part};

/// Longer than the edge's deadline, so that the spill has copies and records of its own.
const OUTAGE_MIN: Duration = Duration::from_secs(1);
const OUTAGE_MORE_MS: u64 = 4_000;

fn of(installation: &Installation) -> anyhow::Result<&Broker> {
    installation.broker.as_ref().context("this home has no broker")
}

/// kill -9, some seconds of nothing, start.
pub async fn kill9(installation: &Installation, dice: &mut Dice) -> anyhow::Result<()> {
    let broker = of(installation)?;
    broker.kill9();
    pause(dice, OUTAGE_MORE_MS).await;
    broker.restart().await;
    Ok(())
}

/// Its ports stay open, nothing answers.
pub async fn hang(installation: &Installation, hang: Duration) -> anyhow::Result<()> {
    let broker = of(installation)?;
    broker.stop_signal().await;
    tokio::time::sleep(hang).await;
    broker.cont();
    broker.wait_until_ready().await;
    Ok(())
}

/// TERM and start.
pub async fn restart(installation: &Installation) -> anyhow::Result<()> {
    let broker = of(installation)?;
    broker.terminate().await;
    broker.restart().await;
    Ok(())
}

/// The edge is killed with copies in the spill whose originals may arrive all the same: the only way to a twin.
pub async fn kill9_edge_in_outage(
    installation: &mut Installation,
    dice: &mut Dice,
) -> anyhow::Result<()> {
    of(installation)?.stop_signal().await;
    tokio::time::sleep(OUTAGE_MIN).await;
    pause(dice, OUTAGE_MORE_MS).await;
    let edge_first = dice.chance(0.5);
    if edge_first {
        kill::parts(installation, &[Part::Edge], dice).await?;
    } else {
        installation.kill9(Part::Edge).await?;
    }
    // What the killed edge had sent is in the broker's socket still.
    of(installation)?.cont();
    if !edge_first {
        pause(dice, OUTAGE_MORE_MS).await;
        installation.start_part(Part::Edge)?;
        installation.ready(Part::Edge).await?;
    }
    of(installation)?.wait_until_ready().await;
    Ok(())
}
