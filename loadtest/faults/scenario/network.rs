//! The network between two processes is cut, falls silent or gets slow, and is mended.

use std::time::Duration;

use super::between;
use crate::dice::Dice;
use crate::faults::installation::{Installation, Part};
use crate::faults::wire::State;
use crate::faults::wires::Far;

/// A broker in another town under load.
const SLOW: Duration = Duration::from_millis(200);

/// A wire is cut for 5 s to `hang`.
pub async fn cut(
    installation: &mut Installation,
    (part, far): (Part, Far),
    dice: &mut Dice,
    hang: Duration,
) -> anyhow::Result<()> {
    be(installation, (Some(part), far), State::Cut, between(dice, hang)).await?;
    installation.ready(part).await
}

/// The broker's machine is gone without a word, for all.
pub async fn silent_broker(
    installation: &mut Installation,
    dice: &mut Dice,
    hang: Duration,
) -> anyhow::Result<()> {
    be(installation, (None, Far::Broker), State::Silent, between(dice, hang)).await?;
    ready(installation).await
}

/// Each piece to and from the broker takes 200 ms.
pub async fn slow_broker(
    installation: &mut Installation,
    dice: &mut Dice,
    hang: Duration,
) -> anyhow::Result<()> {
    be(installation, (None, Far::Broker), State::Slow(SLOW), between(dice, hang)).await?;
    ready(installation).await
}

async fn be(
    installation: &Installation,
    (part, far): (Option<Part>, Far),
    state: State,
    time: Duration,
) -> anyhow::Result<()> {
    installation.wires.set(part, far, state);
    tokio::time::sleep(time).await;
    installation.wires.set(part, far, State::Whole);
    Ok(())
}

async fn ready(installation: &mut Installation) -> anyhow::Result<()> {
    for part in installation.usual_parts() {
        installation.ready(*part).await?;
    }
    Ok(())
}
