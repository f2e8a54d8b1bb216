//! The machine lost its power in the middle of a write: the newest segment ends in what never was a record.

use std::io::Write as _;

use anyhow::Context as _;

use super::pause;
use crate::dice::Dice;
use crate::faults::installation::{Installation, Part};

/// Half a block more than a frame's header, so that some tears look like a record's begin.
const TEAR_BYTES_MAX: u64 = 2_048;

/// kill -9 of edge and consumer, torn bytes at the end of the journal, start.
pub async fn journal(installation: &mut Installation, dice: &mut Dice) -> anyhow::Result<()> {
    let parts = [Part::Edge, Part::Consumer];
    for part in parts {
        installation.kill9(part).await?;
    }
    tear(installation, dice)?;
    pause(dice, super::kill::DOWN_MS_MAX).await;
    for part in parts {
        installation.start_part(part)?;
    }
    for part in parts {
        installation.ready(part).await?;
    }
    Ok(())
}

fn tear(installation: &Installation, dice: &mut Dice) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(installation.journal())?.flatten().map(|entry| entry.path());
    let segments = entries.filter(|path| path.extension().is_some_and(|end| end == "seg"));
    let newest = segments.max().context("the journal has no segment")?;
    let mut file = std::fs::OpenOptions::new().append(true).open(&newest)?;
    let zeros = dice.chance(0.3);
    let bytes: Vec<u8> = (0..=dice.below(TEAR_BYTES_MAX))
        .map(|_| if zeros { 0 } else { u8::try_from(dice.below(256)).unwrap_or(0) })
        .collect();
    Ok(file.write_all(&bytes)?)
}
