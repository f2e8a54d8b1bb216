//! Orders: what the operator's own command, and an app of its own, ask this process to record.
//!
//! In: an event that carries a decision, or events that the app took, signed with the installation's key. Out: the event in the log, a decision with an id and a time of its own.
//! Refuses: a signature of somebody else's, a request older than five minutes, anything but a decision. Promises: `Ok` means
//! durable; the same decision twice is two events and one effect ([`crate::decision`]).

use hyper::StatusCode;

use crate::event::Event;
use crate::ids::now_millis;
use crate::journal::{Outcome, Record};
use crate::receive::Edge;
use crate::receive::api::log::append_all;
use crate::receive::record::durable;
use crate::tokens::verify_order;

/// How old a request may be: time for slow machines, too little for one that was found in an old capture.
const AGE_MAX_MS: i64 = 5 * 60_000;

/// Records a decision; the words are for whoever ran the command.
///
/// # Errors
/// A status and words, when it isn't recorded.
pub async fn record(
    edge: &Edge,
    signature: &str,
    body: &[u8],
) -> Result<String, (StatusCode, &'static str)> {
    check(edge, signature, body)?;
    let unreadable = (StatusCode::BAD_REQUEST, "no decision that this version reads");
    let mut event = Event::from_record(body).map_err(|_| unreadable)?;
    if event.decision.is_none() {
        return Err(unreadable);
    }
    let now_ms = now_millis();
    is_recent(event.event_time, now_ms)?;
    event.id = edge.minter.mint(now_ms);
    event.event_time = now_ms;
    durable(edge, &event)
        .await
        .map_err(|refusal| (StatusCode::SERVICE_UNAVAILABLE, refusal.sentence()))
}

/// Records events that the app of this machine took: a line with the time, then one record a line. Gives a letter for each: `d`urable, `w`ritten, `r`efused.
///
/// # Errors
/// A status and words, when none is recorded.
pub async fn events(
    edge: &Edge,
    signature: &str,
    body: &[u8],
) -> Result<String, (StatusCode, &'static str)> {
    check(edge, signature, body)?;
    let unreadable = (StatusCode::BAD_REQUEST, "no events that this version reads");
    let mut lines = body.split(|byte| *byte == b'\n');
    let sent_ms = lines.next().and_then(|line| std::str::from_utf8(line).ok()?.parse().ok());
    is_recent(sent_ms.ok_or(unreadable)?, now_millis())?;
    let events = lines.map(Event::from_record).collect::<Result<Vec<_>, _>>();
    let events = events.map_err(|_| unreadable)?;
    let records = events.iter().map(Record::from);
    let outcomes = append_all(&edge.journal, records).await;
    let letter = |outcome: &Outcome| match outcome {
        Outcome::Durable => 'd',
        Outcome::Written | Outcome::Late => 'w',
        Outcome::Refused => 'r',
    };
    Ok(outcomes.iter().map(letter).collect())
}

fn check(edge: &Edge, signature: &str, body: &[u8]) -> Result<(), (StatusCode, &'static str)> {
    if verify_order(&edge.keys, body, signature) {
        return Ok(());
    }
    Err((StatusCode::FORBIDDEN, "not signed with this installation's key; is data_dir the same?"))
}

fn is_recent(sent_ms: i64, now_ms: i64) -> Result<(), (StatusCode, &'static str)> {
    if (now_ms - sent_ms).abs() <= AGE_MAX_MS {
        return Ok(());
    }
    Err((StatusCode::FORBIDDEN, "the request is more than five minutes old; are the clocks right?"))
}
