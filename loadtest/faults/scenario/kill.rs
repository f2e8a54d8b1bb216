//! kill -9 of processes of Leadtrail, singly and together, and their start.

use rustix::process::Signal;

use super::pause;
use crate::dice::Dice;
use crate::faults::installation::{Installation, Part};

/// Nobody restarts a process at once.
pub const DOWN_MS_MAX: u64 = 2_000;

/// Kills these parts, waits a while, starts them.
pub async fn parts(
    installation: &mut Installation,
    parts: &[Part],
    dice: &mut Dice,
) -> anyhow::Result<()> {
    for part in parts {
        installation.kill9(*part).await?;
    }
    pause(dice, DOWN_MS_MAX).await;
    for part in parts {
        installation.start_part(*part)?;
    }
    for part in parts {
        installation.ready(*part).await?;
    }
    Ok(())
}

/// Kills the engine; its supervisor starts it again.
pub async fn engine(installation: &Installation) -> anyhow::Result<()> {
    installation.signal_engine(Signal::KILL)?;
    installation.engine_answers().await
}

/// Kills the engine twenty times, so that some die between a part's commit and its answer.
pub async fn engine_often(installation: &Installation, dice: &mut Dice) -> anyhow::Result<()> {
    for _ in 0..20 {
        engine(installation).await?;
        pause(dice, DOWN_MS_MAX).await;
    }
    Ok(())
}

/// Kills everything of Leadtrail at once.
pub async fn tree(installation: &mut Installation, dice: &mut Dice) -> anyhow::Result<()> {
    installation.signal_engine(Signal::KILL)?;
    parts(installation, installation.usual_parts(), dice).await?;
    installation.engine_answers().await
}

/// Kills `leadtrail up`; half of the time its engine too, else the engine ends by itself.
pub async fn up(installation: &mut Installation, dice: &mut Dice) -> anyhow::Result<()> {
    if dice.chance(0.5) {
        installation.signal_engine(Signal::KILL)?;
    }
    parts(installation, &[Part::Up], dice).await?;
    installation.engine_answers().await
}
