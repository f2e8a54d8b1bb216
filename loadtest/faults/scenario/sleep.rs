//! Processes that sleep and wake: a consumer in the middle of a batch while others go on, and the rest at any moment.

use std::time::Duration;

use rustix::process::Signal;

use super::between;
use crate::dice::Dice;
use crate::faults::installation::{Installation, Part};
use crate::faults::options::Home;

/// Within this a consumer has a batch (250 ms) and waits for the engine that does not answer.
const MIDDLE_OF_BATCH: Duration = Duration::from_millis(700);

/// Stops the consumer while the engine owes it an answer. With Kafka another takes over meanwhile.
pub async fn consumer(installation: &mut Installation, hang: Duration) -> anyhow::Result<()> {
    installation.signal_engine(Signal::STOP)?;
    tokio::time::sleep(MIDDLE_OF_BATCH).await;
    installation.signal(Part::Consumer, Signal::STOP)?;
    installation.signal_engine(Signal::CONT)?;
    let second = installation.shape.home == Home::Kafka;
    if second {
        installation.start_part(Part::SecondConsumer)?;
        installation.ready(Part::SecondConsumer).await?;
    }
    tokio::time::sleep(hang).await;
    installation.signal(Part::Consumer, Signal::CONT)?;
    installation.ready(Part::Consumer).await?;
    if second {
        installation.terminate(Part::SecondConsumer).await?;
    }
    Ok(())
}

/// Stops a part for 5 s to `hang` and lets it go on.
pub async fn part(
    installation: &mut Installation,
    part: Part,
    dice: &mut Dice,
    hang: Duration,
) -> anyhow::Result<()> {
    installation.signal(part, Signal::STOP)?;
    tokio::time::sleep(between(dice, hang)).await;
    installation.signal(part, Signal::CONT)?;
    installation.ready(part).await
}

/// The same with the engine.
pub async fn engine(
    installation: &Installation,
    dice: &mut Dice,
    hang: Duration,
) -> anyhow::Result<()> {
    installation.signal_engine(Signal::STOP)?;
    tokio::time::sleep(between(dice, hang)).await;
    installation.signal_engine(Signal::CONT)?;
    installation.engine_answers().await
}
