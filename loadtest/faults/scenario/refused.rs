//! The warehouse: it refuses rows for a while, or its schema is one version too old.

use std::time::Duration;

use anyhow::ensure;
use leadtrail::ids::EventId;
use uuid::Uuid;

use super::between;
use crate::dice::Dice;
use crate::faults::installation::{Installation, Part};

/// A Null table takes no constraint later, so the twin is exchanged for one that was made with it. Between the two statements the table
/// refuses what its twin takes.
const REFUSE: [&str; 3] = [
    "ALTER TABLE events ADD CONSTRAINT fault CHECK id_seq % 97 != 3",
    "CREATE TABLE events_fault AS events ENGINE = Null",
    "EXCHANGE TABLES events_check AND events_fault",
];
const MEND: [&str; 3] = [
    "ALTER TABLE events DROP CONSTRAINT fault",
    "EXCHANGE TABLES events_check AND events_fault",
    "DROP TABLE events_fault SYNC",
];

const DEAD: &str = "SELECT uniqExact(log_epoch, log_partition, log_offset) FROM dead_letters";

const REFUSED: &str =
    "SELECT toString(event_id) FROM dead_letters WHERE reason = 'refused_by_warehouse'";

/// For a while one row of a hundred is refused: these become dead letters, and none but these.
pub async fn rows(
    installation: &Installation,
    dice: &mut Dice,
    hang: Duration,
) -> anyhow::Result<()> {
    let client = installation.admin()?;
    let before: u64 = client.query(DEAD).fetch_one().await?;
    for sql in REFUSE {
        client.query(sql).execute().await?;
    }
    tokio::time::sleep(between(dice, hang)).await;
    for sql in MEND {
        client.query(sql).execute().await?;
    }
    let after: u64 = client.query(DEAD).fetch_one().await?;
    ensure!(after > before, "rows were refused, and none became a dead letter");
    let mut good = 0;
    for text in client.query(REFUSED).fetch_all::<String>().await? {
        let id = EventId::from_bytes(Uuid::parse_str(&text)?.into_bytes());
        good += u32::from(id.is_none_or(|id| id.sequence() % 97 != 3));
    }
    ensure!(good == 0, "{good} records became dead letters beside one that was refused");
    Ok(())
}

/// A column is missing under a running consumer, which must wait and bury nothing; then the newest file was never applied, and a consumer
/// must refuse to start and say what to do.
pub async fn schema(
    installation: &mut Installation,
    dice: &mut Dice,
    hang: Duration,
) -> anyhow::Result<()> {
    let client = installation.admin()?;
    let before: u64 = client.query(DEAD).fetch_one().await?;
    client.query("ALTER TABLE events RENAME COLUMN form TO form_later").execute().await?;
    tokio::time::sleep(between(dice, hang / 2)).await;
    client.query("ALTER TABLE events RENAME COLUMN form_later TO form").execute().await?;

    installation.terminate(Part::Consumer).await?;
    client
        .query(
            "ALTER TABLE schema_files DELETE WHERE name = (SELECT max(name) FROM schema_files) \
             SETTINGS mutations_sync = 2, allow_nondeterministic_mutations = 1",
        )
        .execute()
        .await?;
    installation.refuses(Part::Consumer, "leadtrail schema apply").await?;
    tokio::time::sleep(between(dice, hang / 2)).await;
    installation.command(&["schema", "apply"])?;
    installation.start_part(Part::Consumer)?;
    installation.ready(Part::Consumer).await?;
    let after: u64 = client.query(DEAD).fetch_one().await?;
    ensure!(after == before, "good records became dead letters because the schema was too old");
    Ok(())
}
