//! Of three brokers one, then two are away: with one nothing is noticed, with two nothing can be answered by Kafka any more.

use std::time::Duration;

use anyhow::ensure;

use super::between;
use crate::dice::Dice;
use crate::faults::env::broker::Broker;
use crate::faults::installation::Installation;

/// kill -9 of one, a while later of another; then both come back.
pub async fn away(
    installation: &Installation,
    dice: &mut Dice,
    hang: Duration,
) -> anyhow::Result<()> {
    let brokers: Vec<&Broker> = installation.brokers().collect();
    ensure!(brokers.len() == 3, "there are {} brokers, and three are needed", brokers.len());
    let stays = usize::try_from(dice.below(3))?;
    let (one, two) = (brokers[(stays + 1) % 3], brokers[(stays + 2) % 3]);
    one.kill9();
    tokio::time::sleep(between(dice, hang)).await;
    two.kill9();
    tokio::time::sleep(between(dice, hang)).await;
    two.start_again();
    one.start_again();
    for broker in brokers {
        broker.wait_until_ready().await;
    }
    Ok(())
}
