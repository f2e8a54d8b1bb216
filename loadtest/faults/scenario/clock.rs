//! The clock jumps by an hour and some, forward and back, or back and forward, and stays wrong for a while.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::between;
use crate::dice::Dice;
use crate::faults::installation::Installation;

/// More than an hour, so that limits of an hour are passed too.
const JUMP_MIN_S: i64 = 3_700;
const JUMP_MORE_S: u64 = 600;

/// What the jump made wait is stored within this time.
const SEEN_WITHIN: Duration = Duration::from_secs(60);

/// Events whose time of receipt is far from their insert's, by the engine's clock, which does not jump.
const FAR_OFF: &str = "SELECT count() FROM events WHERE abs(toUnixTimestamp64Milli(event_time) + received_lag_ms - toUnixTimestamp(now()) * 1000) > 3000000";

/// Jumps and comes back. Some events must have come by the wrong time, else nothing jumped.
pub async fn jumps(
    installation: &mut Installation,
    dice: &mut Dice,
    hang: Duration,
) -> anyhow::Result<()> {
    let far = JUMP_MIN_S + i64::try_from(dice.below(JUMP_MORE_S))?;
    let far = if dice.chance(0.5) { far } else { -far };
    installation.clock.as_ref().context("the clock can't jump")?.set(far)?;
    tokio::time::sleep(between(dice, hang)).await;
    installation.clock.as_ref().context("the clock can't jump")?.set(0)?;
    for part in installation.usual_parts() {
        installation.ready(*part).await?;
    }
    let client = installation.admin()?;
    let deadline = Instant::now() + SEEN_WITHIN;
    while client.query(FAR_OFF).fetch_one::<u64>().await? == 0 {
        ensure!(Instant::now() < deadline, "the clock was to jump, and no event has a wrong time");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}
