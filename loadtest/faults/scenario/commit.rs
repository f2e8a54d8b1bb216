//! The engine dies between a part's commit and its answer: the rows are there, and the consumer does not know.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;

use super::kill;
use crate::dice::Dice;
use crate::faults::installation::Installation;

const KILLS: u32 = 10;

/// Under load there is a part every quarter of a second; without, the round's load is over.
const PART_WITHIN: Duration = Duration::from_secs(10);

const TABLES: [&str; 5] = ["events", "leads", "conversions", "touch_keys", "ingest_batches"];

/// Kills the engine up to ten times while there is load, each time as soon as a table has a new part.
pub async fn kill9_engine(installation: &Installation, dice: &mut Dice) -> anyhow::Result<()> {
    for number in 0..KILLS {
        if !wait(installation, dice).await? {
            ensure!(number > 0, "no table got a part within 10 s of load");
            return Ok(());
        }
        installation.signal_engine(Signal::KILL)?;
        installation.engine_answers().await?;
        super::pause(dice, kill::DOWN_MS_MAX).await;
    }
    Ok(())
}

/// Waits until one of the tables has a new part; false when there is none in time.
pub async fn wait(installation: &Installation, dice: &mut Dice) -> anyhow::Result<bool> {
    let folder = folder_of(installation, dice.pick::<&str>(&TABLES)).await?;
    // A thread looks without a pause: the answer follows the commit within a millisecond.
    Ok(tokio::task::spawn_blocking(move || wait_for_part(&folder)).await??)
}

async fn folder_of(installation: &Installation, table: &str) -> anyhow::Result<PathBuf> {
    let question =
        "SELECT toString(uuid) FROM system.tables WHERE database = 'leadtrail' AND name = ?";
    let uuid: String = installation.admin()?.query(question).bind(table).fetch_one().await?;
    let store = installation.engine_tables().join("store");
    let folder = store.join(uuid.get(..3).context("a table without a uuid")?).join(&uuid);
    ensure!(folder.is_dir(), "the parts of {table} are not in {folder:?}");
    Ok(folder)
}

/// False when there is none in time.
fn wait_for_part(folder: &Path) -> std::io::Result<bool> {
    let parts = || -> std::io::Result<HashSet<OsString>> {
        let names = std::fs::read_dir(folder)?.flatten().map(|entry| entry.file_name());
        Ok(names.filter(|name| !name.to_string_lossy().starts_with("tmp")).collect())
    };
    let before = parts()?;
    let deadline = Instant::now() + PART_WITHIN;
    while parts()?.is_subset(&before) {
        if Instant::now() > deadline {
            return Ok(false);
        }
    }
    Ok(true)
}
