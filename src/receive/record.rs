//! Recording: from an event to the log, and what the sender may be told.
//!
//! In: an event. Out: a receipt when it is durable. Refuses: as [`Refusal::LogFull`], [`Refusal::LogSlow`] and
//! [`Refusal::Overloaded`]. Promises: a receipt is given only for an event that is on Kafka or fsynced.

use std::time::Duration;

use hyper::StatusCode;

use crate::check::Refusal;
use crate::check::flags::Flag;
use crate::event::Event;
use crate::journal::{Outcome, Patience, Record};
use crate::links::record::Kind;
use crate::receive::Edge;
use crate::receive::pulse::Worth;
use crate::receive::refusals::About;
use crate::receive::refuse::{self, Whom};
use crate::receive::reply::{self, Form, Reply};
use crate::receive::tally::{Settled, Unrecorded};
use crate::receive::visit::Visit;
use crate::tokens::sign_receipt;

/// How long a sender waits for the log before it is refused as [`Refusal::LogSlow`]. The log answers within
/// `kafka.answer_deadline_ms` and a group fsync; ten seconds is a disk that hangs. Shorter would be wrong for pixels too: what is
/// written may be fsynced after the refusal, and then a refused event is stored. A page that is left ends its own request.
const DURABLE_WAIT: Duration = Duration::from_secs(10);

/// What `Retry-After` says when the log can't take an event: time for a disk to be cleared or a broker to come back.
pub const RETRY_AFTER_S: u32 = 5;

/// An answer and what it counts as.
pub struct Answer {
    /// For the client.
    pub reply: Reply,
    /// For the tally.
    pub settled: Settled,
    /// Of a refusal: what is known of it.
    pub about: About,
}

impl Answer {
    /// The event is in the log.
    pub fn accepted(reply: Reply) -> Self {
        Self { reply, settled: Settled::Accepted, about: About::default() }
    }

    /// Nothing was to be recorded.
    pub fn answered(reply: Reply) -> Self {
        Self { reply, settled: Settled::Answered, about: About::default() }
    }
}

/// A refusal, and when to try again.
#[derive(Clone, Debug)]
pub struct Denied {
    /// Why.
    pub refusal: Refusal,
    /// For `Retry-After`.
    pub retry_after_s: Option<u32>,
    /// The required fields that are missing, by the form's own names.
    pub missing: Vec<String>,
    /// Of a postback: the parameter that it is about, and the shape of what was sent.
    pub told: Option<Box<Told>>,
}

/// What is known of a refused postback.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// By the network's own name.
    pub parameter: String,
    /// Without values.
    pub sample: String,
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        let temporary = refusal.status() == StatusCode::SERVICE_UNAVAILABLE;
        let retry_after_s = temporary.then_some(RETRY_AFTER_S);
        Self { refusal, retry_after_s, missing: Vec::new(), told: None }
    }
}

/// Makes an event durable and gives its receipt.
///
/// # Errors
/// When the log can't take it, or doesn't say so in time.
pub async fn durable(edge: &Edge, event: &Event) -> Result<String, Refusal> {
    if edge.pulse.is_too_late_for(Worth::Kept) {
        return Err(Refusal::Overloaded);
    }
    let append = edge.journal.append(Record::from(event), Patience::Durable);
    match tokio::time::timeout(DURABLE_WAIT, append).await {
        Ok(Outcome::Durable) => Ok(sign_receipt(&edge.keys, event.id)),
        // Written but never fsynced within the wait: it may survive, but that is no promise.
        Ok(Outcome::Written | Outcome::Late) | Err(_) => Err(Refusal::LogSlow),
        Ok(Outcome::Refused) => Err(Refusal::LogFull),
    }
}

/// True when the network, everybody together, or the event's site is so far over its limit that the log is spared. The site is counted
/// here: only now it is known whose the event is.
fn is_far_over(visit: &Visit<'_>, event: &mut Event) -> bool {
    if visit.standing.is_some_and(|standing| standing.is_far_over()) {
        return true;
    }
    let site = visit.edge.limits.site(&event.site);
    let word = Flag::OverLimit.word();
    if !site.is_within() && !event.flags.iter().any(|flag| flag == word) {
        event.flags.push(word.to_owned());
        let others = event.others.iter_mut().filter_map(|shown| shown.flags.as_mut());
        others.for_each(|flags| flags.push(word.to_owned()));
    }
    site.is_far_over()
}

/// Records a pixel's event and answers with the GIF. Between the limit and ten times the limit it is recorded with a flag; beyond,
/// the GIF is all there is: an image element can't be told to come back later, and a broken image would be seen.
pub async fn pixel(visit: &Visit<'_>, mut event: Event) -> Answer {
    if is_far_over(visit, &mut event) {
        let settled = Settled::Unrecorded(Unrecorded::OverLimit);
        return Answer { settled, ..Answer::answered(reply::gif(StatusCode::OK)) };
    }
    match durable(visit.edge, &event).await {
        Ok(receipt) => {
            let mut reply = reply::gif(StatusCode::OK);
            reply::with_receipt(&mut reply, &receipt);
            Answer::accepted(reply)
        }
        Err(refusal) => {
            let headers = &visit.parts.headers;
            let whom = Whom::default();
            refuse::answer(visit.edge, headers, &refusal.into(), Form::Gif, whom)
        }
    }
}

/// Records a click and sends the browser on. The wait is short, and a redirect goes whatever the log says.
pub async fn redirect(visit: &Visit<'_>, mut event: Event, kind: Kind, location: String) -> Answer {
    let mut reply = reply::redirect(kind, location);
    if is_far_over(visit, &mut event) {
        let settled = Settled::Unrecorded(Unrecorded::OverLimit);
        return Answer { settled, ..Answer::answered(reply) };
    }
    let edge = visit.edge;
    let patience = Patience::Written(edge.redirect_wait);
    let settled = match edge.journal.append(Record::from(&event), patience).await {
        Outcome::Durable => {
            reply::with_receipt(&mut reply, &sign_receipt(&edge.keys, event.id));
            Settled::Accepted
        }
        Outcome::Written => Settled::Accepted,
        Outcome::Late => Settled::Unrecorded(Unrecorded::LogSlow),
        Outcome::Refused => Settled::Unrecorded(Unrecorded::LogFull),
    };
    Answer { settled, ..Answer::answered(reply) }
}
