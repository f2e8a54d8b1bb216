//! The worker: one partition's batches, one after the other, each exactly once into every table.
//!
//! In: an [`Assignment`]. Out: rows in ClickHouse, the range in `ingest_batches`, the border moved on. Refuses: to insert when its
//! border is older than ten seconds, or when the partition was taken away. Promises: what is below a kept border is stored or
//! dead-lettered; a batch that an earlier owner began is finished by looking, never by guessing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::consume::assignment::{Assignment, Border, Entry, KeepError, fingerprint};
use crate::consume::batch::{Batch, Bounds, Gatherer};
use crate::consume::metrics::Retry;
use crate::consume::writer::{BatchWriter, WriteError};
use crate::consume::{Pipeline, received_ms};

/// An idle partition's border is closed after this long, so that its next owner need not look.
const CLOSE_AFTER: Duration = Duration::from_secs(1);

/// Waits between attempts grow from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// One partition's worker.
pub struct Worker {
    pipeline: Arc<Pipeline>,
    assignment: Assignment,
    bounds: Bounds,
    position: u64,
    epoch: u64,
    fingerprint: u32,
    closed: bool,
    pending: Option<Entry>,
}

impl Worker {
    /// Takes an assignment up.
    pub fn new(pipeline: Arc<Pipeline>, assignment: Assignment, bounds: Bounds) -> Self {
        let border = assignment.border;
        Self {
            pipeline,
            assignment,
            bounds,
            position: border.from,
            epoch: border.epoch,
            fingerprint: border.fingerprint,
            closed: false,
            pending: None,
        }
    }

    /// Works until the partition is taken away or the program stops.
    pub async fn run(mut self) {
        let border = self.assignment.border;
        if border.to > border.from {
            tracing::info!(
                partition = self.assignment.partition,
                from = border.from,
                to = border.to,
                "taking up an open batch"
            );
            let Some(batch) = self.gather_exactly(border.to).await else { return };
            if !self.store(&batch, true).await {
                return;
            }
        }
        loop {
            match self.gather().await {
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

    /// The next entry; `None` when the partition is taken away or the log's thread has gone.
    async fn next(&mut self, until: Option<Instant>) -> Next {
        if let Some(entry) = self.pending.take() {
            return Next::Entry(entry);
        }
        let deadline = until.unwrap_or_else(|| Instant::now() + CLOSE_AFTER);
        tokio::select! {
            biased;
            _ = self.assignment.revoked.wait_for(|revoked| *revoked) => Next::Gone,
            entry = self.assignment.entries.recv() => entry.map_or(Next::Gone, Next::Entry),
            () = tokio::time::sleep_until(deadline.into()) => Next::Late,
        }
    }

    /// Collects the next batch; empty when nothing came for a while; `None` when it's time to go.
    async fn gather(&mut self) -> Option<Batch> {
        let mut gatherer = Gatherer::new(self.position, self.bounds);
        while !gatherer.is_full() {
            match self.next(gatherer.due()).await {
                Next::Gone => return None,
                Next::Late => break,
                Next::Entry(entry) if entry.offset() < self.position => {}
                Next::Entry(entry) => {
                    let month = self.pipeline.table_partition(&entry);
                    if let Some(received_ms) =
                        gatherer.is_empty().then(|| received_ms(&entry)).flatten()
                    {
                        self.pipeline.health.waiting(self.assignment.partition, received_ms);
                    }
                    if let Err(entry) = gatherer.push(entry, month, Instant::now()) {
                        self.pending = Some(entry);
                        break;
                    }
                }
            }
        }
        Some(gatherer.finish())
    }

    /// Collects exactly the entries before `to`: the batch that an earlier owner fixed.
    async fn gather_exactly(&mut self, to: u64) -> Option<Batch> {
        let mut batch = Batch { from: self.position, to, entries: Vec::new() };
        // Entries up to `to` are in the log, for their border was made from them; the last may lie below `to - 1` only by damage.
        loop {
            if batch.entries.last().is_some_and(|entry| entry.next() >= to) {
                return Some(batch);
            }
            match self.next(None).await {
                Next::Gone => return None,
                Next::Late => {}
                Next::Entry(entry) if entry.offset() < self.position => {}
                Next::Entry(entry) if entry.offset() >= to => {
                    self.pending = Some(entry);
                    return Some(batch);
                }
                Next::Entry(entry) => {
                    if let Some(received_ms) = received_ms(&entry) {
                        self.pipeline.health.waiting(self.assignment.partition, received_ms);
                    }
                    batch.entries.push(entry);
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
        let mut writer = BatchWriter::new(&pipeline, self.assignment.partition, border, batch);
        let mut wait = BACKOFF.0;
        loop {
            // Nobody waits for a border of a partition that is gone: its next owner asks what was kept.
            let kept = tokio::select! {
                biased;
                _ = self.assignment.revoked.wait_for(|revoked| *revoked) => return false,
                kept = self.assignment.keeper.keep(border) => kept,
            };
            let retry = match kept {
                Ok(()) => match writer.write(must_look, &self.assignment.revoked).await {
                    Ok(()) => break,
                    Err(WriteError::Revoked) => return false,
                    Err(error) => {
                        tracing::warn!(partition = self.assignment.partition, from = batch.from, to = batch.to, %error, "batch taken up anew");
                        if matches!(error, WriteError::TooLate) {
                            Retry::TooLate
                        } else {
                            Retry::Warehouse
                        }
                    }
                },
                Err(KeepError::Lost(reason)) => {
                    tracing::info!(partition = self.assignment.partition, reason, "batch given up");
                    return false;
                }
                Err(KeepError::Later(reason)) => {
                    tracing::warn!(
                        partition = self.assignment.partition,
                        reason,
                        "border not kept; trying again"
                    );
                    Retry::Border
                }
            };
            must_look = true;
            pipeline.metrics.retried(retry);
            pipeline.health.stuck(self.assignment.partition);
            if self.pause(wait).await {
                return false;
            }
            wait = (wait * 2).min(BACKOFF.1);
        }
        self.position = batch.to;
        if let Some(Entry::Record { payload, .. }) = batch.entries.last() {
            self.fingerprint = fingerprint(payload);
        }
        let oldest = self.pending.as_ref().and_then(received_ms);
        pipeline.health.progress(self.assignment.partition, batch.to, oldest);
        true
    }

    /// Waits; true when the partition was taken away meanwhile.
    async fn pause(&mut self, wait: Duration) -> bool {
        tokio::time::timeout(wait, self.assignment.revoked.wait_for(|revoked| *revoked))
            .await
            .is_ok()
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
        match self.assignment.keeper.keep(border).await {
            Ok(()) => self.closed = true,
            Err(error) => {
                tracing::debug!(partition = self.assignment.partition, %error, "border left open");
            }
        }
        self.pipeline.health.progress(self.assignment.partition, self.position, None);
    }
}

enum Next {
    Entry(Entry),
    Late,
    Gone,
}
