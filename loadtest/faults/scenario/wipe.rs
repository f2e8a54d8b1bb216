//! The log is destroyed under a full warehouse: nothing may be doubled, and what is answered afterwards is stored.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::dice::Dice;
use crate::faults::installation::{Installation, Part};
use crate::faults::scenario::Excuse;

/// The default of `kafka.topic` and `kafka.partitions`.
pub const TOPIC: &str = "leadtrail.events";
const PARTITIONS: i32 = 4;

/// The broker may say that a topic is gone shortly before it takes no more for it.
const DELETION_SLACK: Duration = Duration::from_secs(1);

/// Stops edge and consumer, deletes the journal, starts them. A consumer that is stopped politely leaves no half of a batch.
pub async fn journal(installation: &mut Installation, dice: &mut Dice) -> anyhow::Result<Excuse> {
    let parts = [Part::Edge, Part::Consumer];
    let politely = dice.chance(0.5);
    for part in parts {
        if politely {
            installation.terminate(part).await?;
        } else {
            installation.kill9(part).await?;
        }
    }
    std::fs::remove_dir_all(installation.journal())?;
    for part in parts {
        installation.start_part(part)?;
    }
    let wiped = Instant::now();
    for part in parts {
        installation.ready(part).await?;
    }
    let halves_before = (!politely).then_some(wiped);
    Ok(Excuse { before: Some(wiped), halves_before, spoiled: 0 })
}

/// Deletes the topic and makes it anew, while the consumer runs or is down.
pub async fn topic(
    installation: &mut Installation,
    consumer_down: bool,
) -> anyhow::Result<Instant> {
    if consumer_down {
        installation.terminate(Part::Consumer).await?;
    }
    let broker = installation.broker.as_ref().context("this home has no broker")?;
    broker.delete_topic(TOPIC).await;
    let gone = Instant::now() + DELETION_SLACK;
    tokio::time::sleep_until(gone.into()).await;
    broker.create_topic(TOPIC, PARTITIONS).await;
    if consumer_down {
        installation.start_part(Part::Consumer)?;
        installation.ready(Part::Consumer).await?;
    }
    Ok(gone)
}
