//! A worker: one endpoint's attempts.
//!
//! In: the endpoint's queue. Out: attempts, and a row for what came of each. Refuses: nothing. Promises: at most `concurrency` attempts at once;
//! an outcome is recorded before its delivery leaves memory, however long the warehouse is away; a stop waits for the attempts under way.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::deliver::endpoints::Way;
use crate::deliver::lead::{Lead, delivery_id};
use crate::deliver::outcome::{Outcome, Reason};
use crate::deliver::queue::Delivery;
use crate::deliver::tables::{DeliveryRow, State};
use crate::deliver::webhook::Post;
use crate::deliver::{Line, Shared};
use crate::ids::{EventId, now_millis};
use crate::stop::Stop;

/// The pause before an outcome that could not be recorded is recorded again.
const RECORD_AGAIN: Duration = Duration::from_secs(1);

/// At a stop the warehouse may be away: then the attempt is made again after the next start, with the same id.
const RECORDS_AFTER_STOP: u32 = 3;

/// A sleep that is never longer: what makes a delivery due wakes the worker, but for the passing of time.
const SLEEP_MAX_MS: i64 = 60_000;

/// Deliveries of a disabled endpoint that are given up at once.
const EXPIRED_MAX: usize = 1_000;

/// One attempt and what came of it.
struct Tried {
    delivery: Delivery,
    outcome: Outcome,
}

/// Works until the stop.
pub async fn work(line: Arc<Line>, shared: Arc<Shared>, stop: Stop) {
    while !stop.is_stopped() {
        let now_ms = now_millis();
        let (batch, expired, next_ms) = line.with(|queue| {
            let expired = queue.take_expired(now_ms - shared.settings.give_up_ms, EXPIRED_MAX);
            let batch = queue.take(now_ms, line.endpoint.concurrency);
            (batch, expired, queue.next_at_ms())
        });
        note_oldest(&line);
        if !expired.is_empty() {
            let tried = expired
                .into_iter()
                .map(|delivery| Tried { delivery, outcome: Outcome::failed(Reason::Disabled) })
                .collect();
            conclude(&line, &shared, &stop, tried).await;
        }
        if batch.is_empty() {
            let wait_ms =
                next_ms.map_or(SLEEP_MAX_MS, |at_ms| at_ms - now_ms).clamp(1, SLEEP_MAX_MS);
            tokio::select! {
                () = stop.stopped() => {}
                () = line.wake.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(wait_ms.unsigned_abs())) => {}
            }
            continue;
        }
        attempt_all(&line, &shared, &stop, batch).await;
    }
}

fn note_oldest(line: &Line) {
    let oldest = line.lock().oldest_since_ms().unwrap_or(0);
    line.gauge.oldest_since_ms.store(oldest, Ordering::Relaxed);
}

/// Tries each delivery of a batch once.
async fn attempt_all(line: &Arc<Line>, shared: &Arc<Shared>, stop: &Stop, batch: Vec<Delivery>) {
    let leads = match shared.tables.leads(&batch).await {
        Ok(leads) => leads,
        Err(error) => {
            shared.health.failed(&error);
            line.with(|queue| queue.put_back(batch, now_millis()));
            return;
        }
    };
    let mut attempts = JoinSet::new();
    let mut tried = Vec::new();
    for mut delivery in batch {
        let found = leads.iter().find(|lead| lead.key() == delivery.key).cloned();
        delivery.version += 1;
        let Some(lead) = found else {
            tried.push(Tried { delivery, outcome: Outcome::failed(Reason::LeadGone) });
            continue;
        };
        delivery.attempts += 1;
        let (line, shared) = (line.clone(), shared.clone());
        attempts.spawn(async move {
            let outcome = attempt(&line, &lead, shared.settings.timeout).await;
            let received_ms = delivery.key.event_time_ms + delivery.received_lag_ms;
            shared.health.attempted(&line.endpoint.name, outcome, received_ms);
            Tried { delivery, outcome }
        });
    }
    while let Some(ended) = attempts.join_next().await {
        match ended {
            Ok(one) => tried.push(one),
            Err(error) => {
                tracing::error!(%error, "deliver: an attempt failed");
                line.with(crate::deliver::Queue::doubt);
            }
        }
    }
    conclude(line, shared, stop, tried).await;
}

async fn attempt(line: &Line, lead: &Lead, timeout: Duration) -> Outcome {
    let id = delivery_id(&line.endpoint.name, lead.id());
    match &line.endpoint.way {
        Way::Webhook(webhook) => {
            let post =
                Post { id, seconds: now_millis() / 1_000, body: Bytes::from(lead.to_json()) };
            webhook.post(post, timeout).await
        }
        Way::Mail(mailer) => mailer.send(lead, &id, timeout).await,
    }
}

/// Records the outcomes, and gives back what is to be tried again.
async fn conclude(line: &Line, shared: &Shared, stop: &Stop, tried: Vec<Tried>) {
    let now_ms = now_millis();
    let name = &line.endpoint.name;
    let rows: Vec<DeliveryRow> = tried
        .iter()
        .map(|Tried { delivery, outcome }| {
            let mut recorded = delivery.clone();
            if matches!(outcome, Outcome::Failed { reason: Reason::Disabled, .. }) {
                recorded.version += 1;
            }
            let (reason, status) = match *outcome {
                Outcome::Delivered { status } => (None, status),
                Outcome::Failed { reason, status, .. } => (Some(reason), status),
            };
            DeliveryRow::new(
                name,
                &recorded,
                (state_of(delivery, *outcome, shared, now_ms), reason, status),
                now_ms,
            )
        })
        .collect();
    record(shared, stop, &rows).await;
    let trouble = tried.iter().find_map(|one| given_up_by_endpoint(one, shared, now_ms));
    let gone =
        tried.iter().any(|one| matches!(one.outcome, Outcome::Failed { reason: Reason::Gone, .. }));
    if gone {
        disable(line, shared, Reason::Gone).await;
    } else if let Some((since_ms, reason)) = trouble {
        match shared.tables.delivered_since(name, since_ms).await {
            Ok(false) => disable(line, shared, reason).await,
            Ok(true) => {}
            Err(error) => shared.health.failed(&error),
        }
    }
    line.with(|queue| {
        tried.iter().for_each(|one| queue.note(one.outcome, now_ms));
        for Tried { delivery, outcome } in tried {
            match (state_of(&delivery, outcome, shared, now_ms), outcome) {
                (State::Pending, Outcome::Failed { reason, wait_ms, .. }) => {
                    queue.again(delivery, reason, wait_ms, now_ms);
                }
                (state, _) => {
                    if state == State::Failed {
                        shared.health.gave_up(name);
                        tracing::warn!(endpoint = name, lead = %id(&delivery), reason = outcome.word(),
                            "deliver: a delivery was given up; `leadtrail webhook retry` takes it up again");
                    }
                    queue.finish(&delivery.key);
                }
            }
        }
    });
    note_oldest(line);
}

fn id(delivery: &Delivery) -> EventId {
    let key = &delivery.key;
    let received_ms = key.event_time_ms + delivery.received_lag_ms;
    EventId::from_parts(u64::try_from(received_ms).unwrap_or(0), key.id_seq, key.id_node)
}

fn state_of(delivery: &Delivery, outcome: Outcome, shared: &Shared, now_ms: i64) -> State {
    match outcome {
        Outcome::Delivered { .. } => State::Delivered,
        Outcome::Failed { reason, .. } => {
            let too_old = now_ms - delivery.since_ms >= shared.settings.give_up_ms;
            if too_old || reason.is_final() { State::Failed } else { State::Pending }
        }
    }
}

/// Since when a delivery waited that is given up now by the endpoint's own fault.
fn given_up_by_endpoint(tried: &Tried, shared: &Shared, now_ms: i64) -> Option<(i64, Reason)> {
    let Outcome::Failed { reason, .. } = tried.outcome else { return None };
    let given_up = state_of(&tried.delivery, tried.outcome, shared, now_ms) == State::Failed;
    (given_up && reason.is_endpoints()).then_some((tried.delivery.since_ms, reason))
}

async fn record(shared: &Shared, stop: &Stop, rows: &[DeliveryRow]) {
    let mut left_after_stop = RECORDS_AFTER_STOP;
    while let Err(error) = shared.tables.record(rows).await {
        shared.health.failed(&error);
        if stop.is_stopped() {
            left_after_stop -= 1;
            if left_after_stop == 0 {
                return;
            }
        }
        tokio::time::sleep(RECORD_AGAIN).await;
    }
}

/// Switches the endpoint off, durably where that is possible now.
async fn disable(line: &Line, shared: &Shared, reason: Reason) {
    let name = &line.endpoint.name;
    tracing::error!(
        endpoint = name,
        reason = reason.word(),
        "deliver: an endpoint is disabled; mend it, then `leadtrail webhook retry` enables it and sends what waits"
    );
    line.with(|queue| queue.set_disabled(true, now_millis()));
    if let Err(error) = shared.tables.switch(name, false, reason.word()).await {
        shared.health.failed(&error);
    }
}
