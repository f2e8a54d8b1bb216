//! The window of deduplication tokens is overrun: the server remembers none while inserts are cut off. (Had it one, each table's last token would still be that of the
//! batch which was cut off, and a consumer that trusts tokens would pass.)

use std::time::Duration;

use super::{commit, kill};
use crate::dice::Dice;
use crate::faults::installation::{Installation, Part};

/// Tables whose inserts have tokens.
const TABLES: [&str; 6] =
    ["events", "leads", "conversions", "touch_keys", "dead_letters", "ingest_batches"];

/// Kills of the consumer right after a part's commit.
const KILLS: u32 = 3;

/// Shrinks the window, kills the consumer at commits, and lets the window be as it was.
pub async fn overrun(installation: &mut Installation, dice: &mut Dice) -> anyhow::Result<()> {
    let client = installation.admin()?;
    for table in TABLES {
        let setting = "non_replicated_deduplication_window = 0";
        client.query(&format!("ALTER TABLE {table} MODIFY SETTING {setting}")).execute().await?;
    }
    for _ in 0..KILLS {
        if !commit::wait(installation, dice).await? {
            break;
        }
        kill::parts(installation, &[Part::Consumer], dice).await?;
        tokio::time::sleep(Duration::from_millis(dice.below(kill::DOWN_MS_MAX))).await;
    }
    for table in TABLES {
        let setting = "non_replicated_deduplication_window = 100000";
        client.query(&format!("ALTER TABLE {table} MODIFY SETTING {setting}")).execute().await?;
    }
    Ok(())
}
