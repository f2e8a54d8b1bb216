//! The worker: one partition's batches, one after the other, each exactly once into every table.
//!
//! In: an [`Assignment`]. Out: rows in ClickHouse, the range in `ingest_batches`, the border moved on. Refuses: to insert when its
//! border is older than ten seconds, and to begin a batch when the partition was taken away. Promises: what is below a kept border is stored or
//! dead-lettered; a batch that an earlier owner began is finished by looking, never by guessing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::consume::Pipeline;
use crate::consume::assignment::{Assignment, Border, Entry, KeepError, Keeper, fingerprint};
use crate::consume::batch::{Batch, Bounds};
use crate::consume::intake::Intake;
use crate::consume::metrics::Retry;
use crate::consume::writer::{BatchWriter, WriteError};

/// Waits between attempts grow from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// One partition's worker.
pub struct Worker {
    pipeline: Arc<Pipeline>,
    partition: u16,
    /// Where the last owner was.
    taken_up: Border,
    intake: Intake,
    keeper: Keeper,
    revoked: watch::Receiver<bool>,
    /// Dropped with the worker.
    _released: std::sync::mpsc::Sender<()>,
    bounds: Bounds,
    position: u64,
    epoch: u64,
    fingerprint: u32,
    closed: bool,
}

impl Worker {
    /// Takes an assignment up.
    pub fn new(pipeline: Arc<Pipeline>, assignment: Assignment, bounds: Bounds) -> Self {
        let Assignment { partition, border, entries, keeper, revoked, released } = assignment;
        let intake = Intake::new(partition, entries, revoked.clone(), pipeline.health.clone());
        Self {
            pipeline,
            partition,
            taken_up: border,
            intake,
            keeper,
            revoked,
            _released: released,
            bounds,
            position: border.from,
            epoch: border.epoch,
            fingerprint: border.fingerprint,
            closed: false,
        }
    }

    /// Works until the partition is taken away or the program stops.
    pub async fn run(mut self) {
        let border = self.taken_up;
        if border.to > border.from {
            tracing::info!(
                partition = self.partition,
                from = border.from,
                to = border.to,
                "taking up an open batch"
            );
            let Some(batch) = self.intake.exactly(border.from, border.to).await else { return };
            if !self.store(&batch, true).await {
                return;
            }
        } else if border.fingerprint == 0 {
            // Nothing was read of this log before: from now on it is told whether it is still the same.
            self.close_border().await;
        }
        loop {
            match self.intake.batch(self.position, self.bounds).await {
                Some(batch) if !batch.entries.is_empty() => {
                    if !self.store(&batch, false).await {
                        return;
                    }
                }
                Some(_) => self.close_border().await,
                None => {
                    self.close_border().await;
                    return;
                }
            }
        }
    }

    /// Keeps the border and inserts, again and again until it is done. False when the partition was taken away.
    async fn store(&mut self, batch: &Batch, mut must_look: bool) -> bool {
        let border = Border {
            epoch: self.epoch,
            from: batch.from,
            to: batch.to,
            fingerprint: self.fingerprint,
        };
        self.closed = false;
        let pipeline = self.pipeline.clone();
        pipeline.metrics.border(must_look);
        let mut writer = BatchWriter::new(&pipeline, self.partition, border, batch);
        let mut wait = BACKOFF.0;
        loop {
            // Nobody waits for a border of a partition that is gone: its next owner asks what was kept.
            let kept = tokio::select! {
                biased;
                _ = self.revoked.wait_for(|revoked| *revoked) => return false,
                kept = self.keeper.keep(border) => kept,
            };
            let retry = match kept {
                Ok(()) => match writer.write(must_look).await {
                    Ok(()) => break,
                    Err(error) => {
                        tracing::warn!(partition = self.partition, from = batch.from, to = batch.to, %error, "batch taken up anew");
                        if matches!(error, WriteError::TooLate) {
                            Retry::TooLate
                        } else {
                            Retry::Warehouse
                        }
                    }
                },
                Err(KeepError::Lost(reason)) => {
                    tracing::info!(partition = self.partition, reason, "batch given up");
                    return false;
                }
                Err(KeepError::Later(reason)) => {
                    tracing::warn!(
                        partition = self.partition,
                        reason,
                        "border not kept; trying again"
                    );
                    Retry::Border
                }
            };
            must_look = true;
            pipeline.metrics.retried(retry);
            pipeline.health.stuck(self.partition);
            if self.pause(wait).await {
                return false;
            }
            wait = (wait * 2).min(BACKOFF.1);
        }
        self.position = batch.to;
        if let Some(Entry::Record { payload, .. }) = batch.entries.last() {
            self.fingerprint = fingerprint(payload);
        }
        let oldest = self.intake.oldest_ms();
        pipeline.health.progress(self.partition, batch.to, oldest);
        true
    }

    /// Waits; true when the partition was taken away meanwhile.
    async fn pause(&mut self, wait: Duration) -> bool {
        tokio::time::timeout(wait, self.revoked.wait_for(|revoked| *revoked)).await.is_ok()
    }

    /// Says that nothing is under way, so that the next owner need not look. Not being able to costs only that look.
    async fn close_border(&mut self) {
        if self.closed {
            return;
        }
        let border = Border {
            epoch: self.epoch,
            from: self.position,
            to: self.position,
            fingerprint: self.fingerprint,
        };
        match self.keeper.keep(border).await {
            Ok(()) => self.closed = true,
            Err(error) => {
                tracing::debug!(partition = self.partition, %error, "border left open");
            }
        }
        self.pipeline.health.progress(self.partition, self.position, None);
    }
}
