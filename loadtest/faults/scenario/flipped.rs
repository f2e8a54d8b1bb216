//! Bits of the journal flip where nobody has read yet: under load, or while everything is down.

use std::ffi::OsStr;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;

use super::pause;
use crate::dice::Dice;
use crate::faults::installation::{Installation, Part};

const FLIPS_MAX: u64 = 5;

/// What piles up unread meanwhile.
const UNREAD: Duration = Duration::from_secs(3);

/// The consumer reads what is left within this time.
const FOUND_WITHIN: Duration = Duration::from_secs(60);

/// Dead letters of unreadable bytes.
const DAMAGED: &str = "SELECT uniqExact(log_epoch, log_partition, log_offset) FROM dead_letters WHERE reason = 'damaged_in_log'";

/// Flips up to five bits. Gives how many acknowledged records `leadtrail journal check` then misses: so many are gone, and no more; and
/// what is unreadable must become dead letters.
pub async fn bits(installation: &mut Installation, dice: &mut Dice) -> anyhow::Result<u64> {
    let client = installation.admin()?;
    let before: u64 = client.query(DAMAGED).fetch_one().await?;
    let running = dice.chance(0.5);
    if running {
        installation.signal(Part::Consumer, Signal::STOP)?;
    } else {
        installation.kill9(Part::Consumer).await?;
    }
    let unread_from = newest(installation)?;
    tokio::time::sleep(UNREAD).await;
    if !running {
        installation.kill9(Part::Edge).await?;
    }
    flip(installation, &unread_from, dice)?;
    let spoiled = spoiled(installation)?;
    ensure!(
        spoiled > 0,
        "bits were flipped, and `leadtrail journal check` finds the journal sound"
    );
    if running {
        installation.signal(Part::Consumer, Signal::CONT)?;
    } else {
        pause(dice, super::kill::DOWN_MS_MAX).await;
        installation.start_part(Part::Edge)?;
        installation.start_part(Part::Consumer)?;
        installation.ready(Part::Edge).await?;
    }
    installation.ready(Part::Consumer).await?;
    let deadline = Instant::now() + FOUND_WITHIN;
    while client.query(DAMAGED).fetch_one::<u64>().await? == before {
        ensure!(Instant::now() < deadline, "unreadable records did not become dead letters");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(spoiled)
}

/// The newest segment and its length.
fn newest(installation: &Installation) -> anyhow::Result<(PathBuf, u64)> {
    let entries = std::fs::read_dir(installation.journal())?.flatten().map(|entry| entry.path());
    let newest = entries.filter(|path| path.extension() == Some(OsStr::new("seg"))).max();
    let newest = newest.context("the journal has no segment")?;
    let length = std::fs::metadata(&newest)?.len();
    Ok((newest, length))
}

/// Flips bits behind what was there before; of a segment that was begun since, anywhere.
fn flip(
    installation: &Installation,
    (path, length): &(PathBuf, u64),
    dice: &mut Dice,
) -> anyhow::Result<()> {
    let (newest, end) = newest(installation)?;
    let begin = if newest == *path { *length } else { 0 };
    ensure!(end > begin, "nothing was written for {} s", UNREAD.as_secs());
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&newest)?;
    for _ in 0..=dice.below(FLIPS_MAX) {
        let at = begin + dice.below(end - begin);
        let mut byte = [0];
        file.read_exact_at(&mut byte, at)?;
        byte[0] ^= 1 << dice.below(8);
        file.write_all_at(&byte, at)?;
    }
    Ok(())
}

/// How many acknowledged records can't be read any more.
fn spoiled(installation: &Installation) -> anyhow::Result<u64> {
    let output = installation.run(&["journal", "check"])?;
    let said = String::from_utf8_lossy(&output.stdout);
    let Some((_, rest)) = said.rsplit_once("damaged, ") else { return Ok(0) };
    Ok(rest.split(' ').next().unwrap_or_default().parse()?)
}
