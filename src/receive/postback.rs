//! Postbacks: `GET` and `POST /postback/{name}`, and the networks' own paths where `sites.toml` enables them.
//!
//! In: a query, a form, JSON (of one event or of a list of them) or a path, as the profile says. Out: a conversion or what became of one; the network's own words for success.
//! Refuses: as [`crate::check::postbacks`] does, in the network's own words for failure and never with its word for success.
//! Promises: success means that the log has it; a `HEAD` does nothing.

use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};

use crate::check::Refusal;
use crate::check::limits::Standing;
use crate::check::origin::Trail;
use crate::check::postbacks::{Installed, Refused, Request, judge, parameters, several};
use crate::event::{Event, settle_time};
use crate::receive::body;
use crate::receive::record::{self, Answer, Denied, RETRY_AFTER_S, Told};
use crate::receive::refusals::About;
use crate::receive::reply;
use crate::receive::shape;
use crate::receive::tally::Settled;
use crate::receive::visit::Visit;
use crate::tokens::sign_refusal;

/// Answers a postback.
///
/// # Errors
/// When there is none of this name.
pub async fn answer(
    visit: &Visit<'_>,
    name: &str,
    rest: &str,
    body: Incoming,
) -> Result<Answer, Denied> {
    let installed = visit.edge.postbacks.get(name).ok_or(Refusal::NotFound)?;
    if visit.parts.method == Method::HEAD {
        return Ok(Answer::answered(reply::words(StatusCode::OK, "")));
    }
    Ok(match take(visit, installed, rest, body).await {
        Ok(answer) => answer,
        Err(denied) => refused(visit, installed, &denied),
    })
}

async fn take(
    visit: &Visit<'_>,
    installed: &Installed,
    rest: &str,
    body: Incoming,
) -> Result<Answer, Denied> {
    let edge = visit.edge;
    // A network that proves itself sends as much as it has; others are held to the limit of their address.
    if installed.secrets.is_empty() && installed.entry.addresses.is_empty() {
        within(edge.limits.client(visit.client))?;
    }
    let encoding = header(&visit.parts.headers, CONTENT_ENCODING.as_str());
    if encoding.is_some_and(|encoding| !encoding.trim().eq_ignore_ascii_case("identity")) {
        return Err(Refusal::UnsupportedEncoding.into());
    }
    let body = if visit.parts.method == Method::POST {
        let deadline = Duration::from_millis(edge.settings.body_timeout_ms);
        body::read(body, &visit.parts.headers, edge.settings.body_bytes_max, deadline).await?
    } else {
        bytes::Bytes::new()
    };
    let several = several::split(&body);
    let events: Vec<&[u8]> = match &several {
        Some(events) => events.iter().map(String::as_bytes).collect(),
        None => vec![&body],
    };
    let (mut receipt, mut denied) = (None, None);
    for own in events {
        let sent = Sent { own, whole: &body, is_json: several.is_some() };
        match event(visit, installed, rest, sent) {
            // Of a list what can be read is kept, also where something of it is refused: who sends the whole again sends the same
            // transactions.
            Ok(event) => receipt = Some(record::durable(edge, &event).await?),
            Err(refused) => {
                // Who guesses secrets is slowed down.
                if refused.refusal.status() == StatusCode::FORBIDDEN {
                    within(edge.limits.client(visit.client))?;
                    return Err(refused);
                }
                denied.get_or_insert(refused);
            }
        }
    }
    let receipt = match (receipt, denied) {
        (_, Some(denied)) => return Err(denied),
        (Some(receipt), None) => receipt,
        (None, None) => return Err(Refusal::BrokenBody.into()),
    };
    let mut reply = match installed.profile.reply.accepted.as_str() {
        "gif" => reply::gif(StatusCode::OK),
        words => reply::words(StatusCode::OK, words),
    };
    reply::with_receipt(&mut reply, &receipt);
    Ok(Answer::accepted(reply))
}

fn within(standing: Standing) -> Result<(), Denied> {
    if standing.is_within() {
        return Ok(());
    }
    let retry_after_s = Some(standing.reset_s);
    Err(Denied { retry_after_s, ..Refusal::of_limit(standing.policy).into() })
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// What was sent, and which event of it is meant.
#[derive(Clone, Copy)]
struct Sent<'a> {
    own: &'a [u8],
    whole: &'a [u8],
    /// True for an event of a list.
    is_json: bool,
}

fn event(
    visit: &Visit<'_>,
    installed: &Installed,
    rest: &str,
    sent: Sent<'_>,
) -> Result<Event, Denied> {
    let (edge, headers) = (visit.edge, &visit.parts.headers);
    let id = edge.minter.mint(visit.now_ms);
    let request = Request {
        rest,
        query: visit.query(),
        content_type: match headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) {
            _ if sent.is_json => "application/json",
            kind => kind.unwrap_or(""),
        },
        body: sent.own,
        signed: sent.whole,
        header: &|name| header(headers, name),
        client: visit.client.expose(),
        now_ms: visit.now_ms,
        fields_max: edge.settings.fields_max,
    };
    let judged = judge(installed, &edge.registry, &edge.keys, id, &request, &mut |_| {})
        .map_err(|refused| told(installed, &request, refused))?;
    let site = edge.registry.site(&installed.entry.site).ok_or(Refusal::NotFound)?;
    let mut trail = Trail { flags: judged.flags, ..Trail::default() };
    trail.origin.sub_ids = judged.subs;
    let mut event = visit.server_event(id, judged.event_type, site, trail);
    (event.event_time, event.claimed_time) = settle_time(visit.now_ms, judged.claimed_ms);
    event.parent_click = judged.parent;
    event.promotion.offer = judged.offer;
    event.worth = Some(judged.worth);
    event.partner = Some(judged.partner);
    Ok(event)
}

/// A refusal with the parameter that it is about, and the shape of what was sent.
fn told(installed: &Installed, request: &Request<'_>, refused: Refused) -> Denied {
    let bytes = request.query.len() + request.body.len();
    let parameters = parameters(installed, request);
    let sample = parameters.map_or_else(String::new, |list| shape::of_parameters(bytes, &list));
    let told = Told { parameter: refused.about, sample };
    Denied { told: Some(Box::new(told)), ..refused.refusal.into() }
}

/// A refusal in the network's own words, with the parameter that it is about and the reference under which
/// it can be looked up. What may be tried again keeps its own
/// status: a network repeats on that alone.
fn refused(visit: &Visit<'_>, installed: &Installed, denied: &Denied) -> Answer {
    let Denied { refusal, retry_after_s, ref told, .. } = *denied;
    let own = &installed.profile.reply;
    let again = retry_after_s.is_some() || refusal.status().is_server_error();
    let status = match StatusCode::from_u16(own.refused_status) {
        Ok(status) if !again => status,
        _ => refusal.status(),
    };
    let words =
        own.refused.replace("{code}", refusal.code()).replace("{message}", refusal.sentence());
    let mut reply = reply::words(status, &words);
    if again {
        reply::retry_after(&mut reply, retry_after_s.unwrap_or(RETRY_AFTER_S));
    }
    let reference = sign_refusal(&visit.edge.keys, visit.now_ms, refusal.code());
    if let Ok(reference) = HeaderValue::try_from(reference) {
        reply.headers_mut().insert(reply::REFUSAL, reference);
    }
    let Told { parameter, sample } = told.as_deref().cloned().unwrap_or_default();
    // Names of parameters are ASCII, or they are not told here.
    if let (false, Ok(value)) = (parameter.is_empty(), HeaderValue::try_from(&parameter)) {
        reply.headers_mut().insert(reply::PARAMETER, value);
    }
    let (site, form) = (installed.entry.site.clone(), installed.entry.name.clone());
    let about = About { site, form, parameter, sample };
    Answer { reply, settled: Settled::Refused(refusal), about }
}
