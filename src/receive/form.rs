//! Forms: `POST /f/{form}`, and its preflight.
//!
//! In: a body in one of three types. Out: a lead event with every field exactly as it came, control fields taken out. Refuses:
//! an unknown form, a network or form over its limit, a body that can't be read or is empty, a log that is full. Promises: an
//! answer other than a refusal means that the lead is durable; no form is an open redirect.
//!
//! Where the browser goes: to the return URL if it is on the site's own origins, else to the site's `thank_you` page (both 303), else
//! it gets our own page right away, as a 200 with the receipt. A 303 to a page of ours would cost a second request and put the
//! receipt into the browser's history; on reload the browser asks before it sends a form twice.

use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, ORIGIN};

use crate::check::Refusal;
use crate::check::flags::Flag;
use crate::check::limits::Level;
use crate::check::origin::Trail;
use crate::check::return_url;
use crate::event::{EventType, FormPost, SourceKind};
use crate::personal::PersonalText;
use crate::receive::body;
use crate::receive::fields::{BodyType, Fields};
use crate::receive::record::{self, Answer, Denied, FORM_WAIT};
use crate::receive::reply;
use crate::receive::visit::Visit;
use crate::registry::{Form, Site};

/// Answers `POST /f/{form}`.
pub async fn answer(visit: &Visit<'_>, name: &str, body: Incoming) -> Answer {
    let headers = &visit.parts.headers;
    let kind = body_type(headers);
    let form_of_reply = reply::Form::preferred(text(headers, &ACCEPT), kind == Ok(BodyType::Json));
    let registry = &visit.edge.registry;
    let known = registry.form(name).and_then(|form| Some((form, registry.site(&form.site)?)));
    let Some((form, site)) = known else {
        return Answer::refused(Refusal::NotFound.into(), form_of_reply);
    };
    let mut answer = match post(visit, form, site, kind, body, form_of_reply).await {
        Ok(answer) => answer,
        Err(denied) => Answer::refused(denied, form_of_reply),
    };
    reply::share(&mut answer.reply, visit.own_origin(site));
    answer
}

/// Answers `OPTIONS /f/{form}`: a page of the site's own may send, another is told nothing.
///
/// # Errors
/// When there is no such form.
pub fn preflight(visit: &Visit<'_>, name: &str) -> Result<Answer, Denied> {
    let registry = &visit.edge.registry;
    let form = registry.form(name).ok_or(Refusal::NotFound)?;
    let site = registry.site(&form.site).ok_or(Refusal::NotFound)?;
    let mut reply = reply::preflight();
    reply::share(&mut reply, visit.own_origin(site));
    Ok(Answer::answered(reply))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn body_type(headers: &HeaderMap) -> Result<BodyType, Refusal> {
    let encoding = text(headers, &CONTENT_ENCODING).unwrap_or("identity");
    if headers.contains_key(CONTENT_ENCODING) && !encoding.eq_ignore_ascii_case("identity") {
        return Err(Refusal::UnsupportedEncoding);
    }
    BodyType::parse(text(headers, &CONTENT_TYPE).unwrap_or(""))
}

/// The network first, then the form: a network that is over its limit must not use up the form's.
fn check_limits(visit: &Visit<'_>, form: &Form) -> Result<(), Denied> {
    let denied = |refusal, level| match level {
        Level::Within => Ok(()),
        Level::Over { retry_after_s } | Level::Far { retry_after_s } => {
            Err(Denied { refusal, retry_after_s: Some(retry_after_s) })
        }
    };
    denied(Refusal::RateAddress, visit.level)?;
    denied(Refusal::RateForm, visit.edge.limits.form(&form.name))
}

async fn post(
    visit: &Visit<'_>,
    form: &Form,
    site: &Site,
    kind: Result<BodyType, Refusal>,
    body: Incoming,
    form_of_reply: reply::Form,
) -> Result<Answer, Denied> {
    check_limits(visit, form)?;
    let (edge, kind) = (visit.edge, kind?);
    let within = Duration::from_millis(edge.settings.body_timeout_ms);
    let body = body::read(body, &visit.parts.headers, edge.settings.body_bytes_max, within).await?;
    let fields = Fields::read(&kind, &body, edge.settings.fields_max)?;
    drop(body);
    let Submission { mut trail, fields, return_url } = sort(visit, site, fields)?;
    let parent = trail.parent(&edge.keys);
    let (mut event, _) = visit.event(EventType::Lead, SourceKind::WebForm, site, trail);
    event.parent_click = parent;
    event.form = Some(FormPost { form: form.name.clone(), dialect: String::new(), fields });
    let receipt = record::durable(edge, &event, FORM_WAIT).await?;
    let mut reply = match (form_of_reply, return_url) {
        (reply::Form::Json, _) => reply::receipt_json(&receipt),
        (_, Some(url)) => reply::see_other(url),
        (_, None) if !site.thank_you.is_empty() => reply::see_other(site.thank_you.clone()),
        (_, None) => reply::thank_you(&receipt),
    };
    reply::with_receipt(&mut reply, &receipt);
    Ok(Answer::accepted(reply))
}

/// A form's fields, sorted.
struct Submission {
    trail: Trail,
    fields: Vec<(String, PersonalText)>,
    return_url: Option<String>,
}

/// Takes the control fields out: our click id, campaign values, sub ids, the return URL.
fn sort(visit: &Visit<'_>, site: &Site, posted: Fields) -> Result<Submission, Refusal> {
    let mut trail = Trail { flags: posted.flags, ..Trail::default() };
    let mut fields = Vec::with_capacity(posted.list.len());
    let mut return_url = None;
    let mut filled = false;
    for (name, value) in posted.list {
        if trail.take_field(&name, &value) {
            continue;
        }
        if return_url::is_name(&name) {
            match return_url::allowed(site, &value) {
                Some(url) => return_url = return_url.or(Some(url.into())),
                None if value.is_empty() => {}
                None => trail.flags.set(Flag::ReturnUrlRefused),
            }
            continue;
        }
        filled |= !value.trim().is_empty();
        fields.push((name, PersonalText::new(value)));
    }
    if !filled {
        return Err(Refusal::Empty);
    }
    trail.page(&visit.referer());
    if visit.parts.headers.contains_key(ORIGIN) && visit.own_origin(site).is_none() {
        trail.flags.set(Flag::OriginForeign);
    }
    Ok(Submission { trail, fields, return_url })
}
