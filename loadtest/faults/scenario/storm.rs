//! A rebalance storm: consumers that join and leave every two seconds.

use std::time::{Duration, Instant};

use super::between;
use crate::dice::Dice;
use crate::faults::installation::{Installation, Part};

const EVERY: Duration = Duration::from_secs(2);

/// For 5 s to `hang` a second consumer joins and leaves: politely or by kill -9.
pub async fn rebalances(
    installation: &mut Installation,
    dice: &mut Dice,
    hang: Duration,
) -> anyhow::Result<()> {
    let end = Instant::now() + between(dice, hang);
    while Instant::now() < end {
        installation.start_part(Part::SecondConsumer)?;
        tokio::time::sleep(EVERY).await;
        if dice.chance(0.5) {
            installation.terminate(Part::SecondConsumer).await?;
        } else {
            installation.kill9(Part::SecondConsumer).await?;
        }
        tokio::time::sleep(EVERY).await;
    }
    installation.ready(Part::Consumer).await
}
