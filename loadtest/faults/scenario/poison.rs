//! Records that nobody can read, between those that can be.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::wipe::TOPIC;
use crate::dice::Dice;
use crate::faults::installation::Installation;

const RECORDS: u64 = 200;
const RECORD_BYTES_MAX: u64 = 4_096;
const SENT_WITHIN: Duration = Duration::from_secs(60);

/// What the tables had before, and have to have more of afterwards.
const DEAD: &str = "SELECT uniqExact(log_epoch, log_partition, log_offset) FROM dead_letters";

/// Sends 200 of them, of any bytes; each must become a dead letter.
pub async fn records(installation: &Installation, dice: &mut Dice) -> anyhow::Result<()> {
    let client = installation.admin()?;
    let before: u64 = client.query(DEAD).fetch_one().await?;
    let broker = installation.broker.as_ref().context("this home has no broker")?.address();
    let bodies: Vec<Vec<u8>> = (0..RECORDS).map(|_| body(dice)).collect();
    tokio::task::spawn_blocking(move || send(&broker, &bodies)).await??;
    let deadline = std::time::Instant::now() + SENT_WITHIN;
    loop {
        let dead: u64 = client.query(DEAD).fetch_one().await?;
        if dead == before + RECORDS {
            return Ok(());
        }
        ensure!(
            std::time::Instant::now() < deadline,
            "{RECORDS} unreadable records, {} new dead letters after a minute",
            dead - before
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn body(dice: &mut Dice) -> Vec<u8> {
    let size = dice.below(RECORD_BYTES_MAX);
    if dice.chance(0.3) {
        return format!("{{\"v\":{},\"id\":\"{size}\"}}", dice.below(100)).into_bytes();
    }
    (0..size).map(|_| u8::try_from(dice.below(256)).unwrap_or(0)).collect()
}

fn send(broker: &str, bodies: &[Vec<u8>]) -> anyhow::Result<()> {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", broker).create()?;
    for body in bodies {
        let record = BaseRecord::<[u8], [u8]>::to(TOPIC).payload(body.as_slice());
        producer.send(record).map_err(|(error, _)| error)?;
    }
    Ok(producer.flush(SENT_WITHIN)?)
}
