//! Decisions: what the operator's own command asks this process to record.
//!
//! In: an event that carries a decision, signed with the installation's key. Out: the event in the log, with an id and a time of its own.
//! Refuses: a signature of somebody else's, a request older than five minutes, anything but a decision. Promises: `Ok` means
//! durable; the same decision twice is two events and one effect ([`crate::decision`]).

use hyper::StatusCode;

use crate::event::Event;
use crate::ids::now_millis;
use crate::receive::Edge;
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
    if !verify_order(&edge.keys, body, signature) {
        return Err((
            StatusCode::FORBIDDEN,
            "not signed with this installation's key; is data_dir the same?",
        ));
    }
    let unreadable = (StatusCode::BAD_REQUEST, "no decision that this version reads");
    let mut event = Event::from_record(body).map_err(|_| unreadable)?;
    if event.decision.is_none() {
        return Err(unreadable);
    }
    let now_ms = now_millis();
    if (now_ms - event.event_time).abs() > AGE_MAX_MS {
        return Err((
            StatusCode::FORBIDDEN,
            "the request is more than five minutes old; are the clocks right?",
        ));
    }
    event.id = edge.minter.mint(now_ms);
    event.event_time = now_ms;
    durable(edge, &event)
        .await
        .map_err(|refusal| (StatusCode::SERVICE_UNAVAILABLE, refusal.sentence()))
}
