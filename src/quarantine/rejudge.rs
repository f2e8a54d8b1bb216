//! Judging again: what was held, by today's rules and weights.
//!
//! In: a filter. Out: a release in the log for each held submission that would not be held now. Refuses: nothing. Promises: a release is what `quarantine release` sends, an event in the log, so a second run finds
//! nothing to release; what is still spam stays held; decided ones are not looked at.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Result, bail};

use super::ask::{self, Filter};
use super::{LIMIT_MAX, Which, order, print, send};
use crate::consume::Pipeline;
use crate::decision::Act;
use crate::replay::say;

/// Judges all that match, up to the most that one command reads.
pub async fn run(
    which: &Which,
    pipeline: &Pipeline,
    ops: SocketAddr,
    dry_run: bool,
) -> Result<ExitCode> {
    if which.state != "held" {
        bail!("only what is held can be judged again");
    }
    let limit = which.limit.unwrap_or(LIMIT_MAX);
    let held = ask::held(&pipeline.warehouse, &Filter::new(which, limit)?).await?;
    let row_count = held.first().map_or(0, |held| held.row_count);
    let (mut released, mut kept, mut unreadable) = (Vec::new(), 0, 0);
    for held in &held {
        let Some(event) = held.event() else {
            unreadable += 1;
            continue;
        };
        if pipeline.would_hold(event.clone()) {
            kept += 1;
            continue;
        }
        let id = event.id;
        if !dry_run {
            send::order(ops, &pipeline.keys, &order(Act::Release, held, event))?;
        }
        print::decided(Act::Release, held, dry_run);
        released.push(id);
    }
    if !dry_run && !released.is_empty() {
        ask::forget(&pipeline.warehouse, &released).await?;
    }
    let would = if dry_run { "would be " } else { "" };
    say(&format!(
        "{} {would}released, {kept} stay held, {unreadable} can't be read",
        released.len()
    ));
    if row_count > held.len() as u64 {
        say(&format!("{} more match; narrow the period", row_count - held.len() as u64));
    }
    Ok(if unreadable > 0 { ExitCode::from(1) } else { ExitCode::SUCCESS })
}
