//! `POST /v1/events`: what a shop's own server reports, on the app listener.
//!
//! In: a JSON array or NDJSON of events, a key that may send them. Out: one result for each event, in order: a receipt, or a refusal with its code and the field that it
//! is about. Refuses: a key without the right, more events than the key or one request may send, an `Idempotency-Key` that came with other events before.
//! Promises: accepted means that the log has it; with an `Idempotency-Key` the same request gives the same events with the same ids, whenever and however often it is sent, a kill -9 in
//! between included ([`idempotency`]); where an event could not be saved the answer is 503 and the same request is to be sent again.
//!
//! A key is trusted: what it reports may be `approved`, where a browser's word is `pending` at most.

mod batch;
pub mod idempotency;
mod item;
mod lead;
pub mod log;
mod members;

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use serde::Serialize;

use self::idempotency::{Begun, Memory, Print, Token};
use self::item::{Unfit, Wish};
use self::log::Log;
use super::refusals::About;
use super::tally::{Door, Settled};
use super::{Edge, body};
use crate::access::book::Admission;
use crate::check::Refusal;
use crate::check::dialects::doors::Doors;
use crate::check::flags::Flag;
use crate::config::Config;
use crate::event::Event;
use crate::ids::{Minter, now_millis};
use crate::journal::Outcome;
use crate::keys::Keys;
use crate::registry::Registry;
use crate::report::page::listener::Reply;
use crate::report::page::reply::{Kind, reply};
use crate::tokens::sign_receipt;

/// The sender's own word for «this is the same again».
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The longest that is taken; a UUID has 36.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// How long a body may take: a batch over a slow line.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// When it is worth trying again after the log refused, or while the same request is under way.
const RETRY_AFTER_S: u32 = 2;

/// What the door runs on.
pub struct Api {
    /// Whose events there are.
    pub registry: Arc<Registry>,
    /// What forms mean.
    pub doors: Arc<Doors>,
    /// Signs receipts, verifies click ids.
    pub keys: Arc<Keys>,
    /// Gives events their ids.
    pub minter: Minter,
    /// Makes events durable.
    pub log: Log,
    /// What came with an `Idempotency-Key`.
    pub memory: Memory,
    /// Limits of one request.
    pub config: Arc<Config>,
    /// Where it is counted, if the edge runs in this process.
    pub edge: Option<Arc<Edge>>,
}

/// One event's result.
#[derive(Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Told {
    Accepted {
        receipt: String,
    },
    Refused {
        code: &'static str,
        #[serde(skip_serializing_if = "String::is_empty")]
        field: String,
        message: &'static str,
    },
}

#[derive(Serialize)]
struct Results<'a> {
    accepted: usize,
    refused: usize,
    results: &'a [Told],
}

/// A refusal of the whole request.
struct Denied {
    refusal: Refusal,
    retry_after_s: Option<u32>,
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, retry_after_s: None }
    }
}

impl Api {
    /// Answers a request of an admitted key.
    pub async fn events(&self, admission: &Admission, parts: &Parts, body: Incoming) -> Reply {
        match self.take(admission, parts, body).await {
            Ok(reply) => reply,
            Err(Denied { refusal, retry_after_s }) => {
                self.count(Settled::Refused(refusal), "");
                denied(refusal, retry_after_s)
            }
        }
    }

    async fn take(
        &self,
        admission: &Admission,
        parts: &Parts,
        body: Incoming,
    ) -> Result<Reply, Denied> {
        let key = &*admission.key;
        if !key.role.sends() {
            return Err(Refusal::KeyRole.into());
        }
        let form = batch::form(&parts.headers)?;
        let own_key = idempotency_key(parts)?;
        let bytes_max = self.config.app.body_bytes_max;
        let body = body::read(body, &parts.headers, bytes_max, BODY_WITHIN).await?;
        let items = batch::split(form, &body, self.config.app.events_per_request)?;
        let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
        admission
            .count(count)
            .map_err(|wait_s| Denied { refusal: Refusal::RateKey, retry_after_s: Some(wait_s) })?;
        let now_ms = now_millis();
        let Some(own_key) = own_key else {
            let wish = self.wish(admission, now_ms);
            let read = items.iter().map(|item| item::read(item, &wish, self.minter.mint(now_ms)));
            return Ok(self.record(read.collect()).await.0);
        };
        let token = Token::of(&self.keys, &key.id, own_key);
        let begun = self.memory.begin(token, Print::of(&body), now_ms).await;
        let (begun, turn) = begun.map_err(|refusal| Denied {
            refusal,
            retry_after_s: (refusal.status() != StatusCode::UNPROCESSABLE_ENTITY)
                .then_some(RETRY_AFTER_S),
        })?;
        let (at_ms, is_first, is_done) = match begun {
            Begun::First => (now_ms, true, false),
            Begun::Again { at_ms, is_done } => (at_ms, false, is_done),
        };
        let wish = self.wish(admission, at_ms);
        let read: Vec<_> = (0..)
            .zip(&items)
            .map(|(index, item)| {
                let event = item::read(item, &wish, token.event_id(&self.keys, index, at_ms));
                // What was cut off may be in the log: the consumer has to look.
                event.map(|event| if is_first { event } else { marked(event) })
            })
            .collect();
        if is_done {
            let told: Vec<Told> =
                read.iter().map(|read| self.told(read.as_ref(), Outcome::Durable)).collect();
            return Ok(results(&told, false));
        }
        let (reply, is_whole) = self.record(read).await;
        if is_whole {
            turn.done().await;
        }
        Ok(reply)
    }

    fn wish<'a>(&'a self, admission: &'a Admission, received_ms: i64) -> Wish<'a> {
        Wish {
            registry: &self.registry,
            doors: &self.doors,
            keys: &self.keys,
            key: &admission.key,
            caps: (&self.config.edge).into(),
            received_ms,
        }
    }

    /// Has the events recorded. The second part is true when none was refused by the log.
    async fn record(&self, read: Vec<Result<Event, Unfit>>) -> (Reply, bool) {
        let events: Vec<&Event> = read.iter().filter_map(|read| read.as_ref().ok()).collect();
        let mut outcomes = self.log.append(&events).await.into_iter();
        let told: Vec<Told> = read
            .iter()
            .map(|read| match read {
                Ok(event) => {
                    let outcome = outcomes.next().unwrap_or(Outcome::Refused);
                    let settled = match outcome {
                        Outcome::Durable => Settled::Accepted,
                        _ => Settled::Refused(of_log(outcome)),
                    };
                    self.count(settled, &event.site);
                    self.told(Ok(event), outcome)
                }
                Err(unfit) => {
                    self.count(Settled::Refused(unfit.refusal), "");
                    self.told(Err(unfit), Outcome::Refused)
                }
            })
            .collect();
        let is_whole = !told.iter().any(|told| {
            let Told::Refused { code, .. } = told else { return false };
            [Refusal::LogFull, Refusal::LogSlow].iter().any(|refusal| refusal.code() == *code)
        });
        (results(&told, !is_whole), is_whole)
    }

    fn told(&self, read: Result<&Event, &Unfit>, outcome: Outcome) -> Told {
        let (refusal, field) = match read {
            Ok(event) if outcome == Outcome::Durable => {
                return Told::Accepted { receipt: sign_receipt(&self.keys, event.id) };
            }
            Ok(_) => (of_log(outcome), String::new()),
            Err(unfit) => (unfit.refusal, unfit.field.clone()),
        };
        Told::Refused { code: refusal.code(), field, message: refusal.sentence() }
    }

    fn count(&self, settled: Settled, site: &str) {
        let Some(edge) = &self.edge else { return };
        if let Settled::Refused(refusal) = settled {
            let about = About { site: site.to_owned(), ..About::default() };
            edge.refusals.count(Door::Events, refusal, about, now_millis());
        }
        edge.metrics.received(Door::Events).settle(settled);
    }
}

fn marked(mut event: Event) -> Event {
    event.flags.push(Flag::SentAgain.word().to_owned());
    event
}

/// What an event is refused with that the log has not confirmed.
fn of_log(outcome: Outcome) -> Refusal {
    if outcome == Outcome::Refused { Refusal::LogFull } else { Refusal::LogSlow }
}

fn idempotency_key(parts: &Parts) -> Result<Option<&[u8]>, Refusal> {
    let mut all = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
    let (first, second) = (all.next(), all.next());
    let Some(value) = first.map(HeaderValue::as_bytes) else { return Ok(None) };
    let visible = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    let fits = (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&value.len()) && value.iter().all(visible);
    if second.is_some() || !fits {
        return Err(Refusal::IdempotencyKeyBad);
    }
    Ok(Some(value))
}

/// 200 where something was accepted, 422 where nothing was, 503 where the same is to be sent again.
fn results(told: &[Told], again: bool) -> Reply {
    let accepted = told.iter().filter(|told| matches!(told, Told::Accepted { .. })).count();
    let status = match (again, accepted) {
        (true, _) => StatusCode::SERVICE_UNAVAILABLE,
        (false, 0) => StatusCode::UNPROCESSABLE_ENTITY,
        (false, _) => StatusCode::OK,
    };
    let results = Results { accepted, refused: told.len() - accepted, results: told };
    let mut body = serde_json::to_vec(&results).expect("texts and numbers are always JSON");
    body.push(b'\n');
    let mut reply = reply(status, Kind::Json, body);
    if again {
        reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
    }
    reply
}

/// A refusal of the whole request, in the words of every API refusal.
pub fn denied(refusal: Refusal, retry_after_s: Option<u32>) -> Reply {
    let body = serde_json::json!({ "error": refusal.code(), "message": refusal.sentence() });
    let mut reply = reply(refusal.status(), Kind::Json, format!("{body}\n"));
    let headers = reply.headers_mut();
    if let Some(seconds) = retry_after_s {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if refusal.status() == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer realm=\"leadtrail\"");
        headers.insert(header::WWW_AUTHENTICATE, scheme);
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_and_place_give_the_same_id_and_any_other_gives_another() {
        let keys = Keys::open(tempfile::tempdir().unwrap().path()).unwrap();
        let id = |key, own: &[u8], index| {
            Token::of(&keys, key, own).event_id(&keys, index, 1_790_000_000_000)
        };
        assert_eq!(id("a", b"order-1", 0), id("a", b"order-1", 0));
        assert_eq!(id("a", b"order-1", 0).millis(), 1_790_000_000_000);
        let all = [
            id("a", b"order-1", 0),
            id("a", b"order-1", 1),
            id("a", b"order-2", 0),
            id("b", b"order-1", 0),
            id("a", b"order-", 10),
        ];
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
