//! The journal's or the engine's disk is full for a while, to the last byte.

use std::time::Duration;

use anyhow::Context as _;

use super::pause;
use crate::dice::Dice;
use crate::faults::installation::{Installation, Part};

const FULL_MIN: Duration = Duration::from_secs(3);
const FULL_MORE_MS: u64 = 4_000;

/// Fills it and frees it. With Kafka the broker hangs meanwhile, so that the spill is needed.
pub async fn full(installation: &Installation, dice: &mut Dice) -> anyhow::Result<()> {
    let disk = installation.disk.as_ref().context("the journal has no disk of its own")?;
    if let Some(broker) = &installation.broker {
        broker.stop_signal().await;
    }
    disk.fill()?;
    tokio::time::sleep(FULL_MIN).await;
    pause(dice, FULL_MORE_MS).await;
    disk.free()?;
    if let Some(broker) = &installation.broker {
        broker.cont();
        broker.wait_until_ready().await;
    }
    Ok(())
}

/// Fills the engine's disk and frees it. What can't be inserted meanwhile waits in the log.
pub async fn engine_full(
    installation: &mut Installation,
    dice: &mut Dice,
    hang: Duration,
) -> anyhow::Result<()> {
    let disk = installation.disk.as_ref().context("the engine has no disk of its own")?;
    disk.fill()?;
    tokio::time::sleep(super::between(dice, hang)).await;
    disk.free()?;
    installation.engine_answers().await?;
    installation.ready(Part::Consumer).await
}
