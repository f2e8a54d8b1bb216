//! Forms: `POST /f/{form}`, and its preflight.
//!
//! In: a body in one of three types. Out: a lead event with every field exactly as it came, control fields taken out. Refuses:
//! an unknown form, a network or form over its limit, a body that can't be read or is empty, a log that is full. Promises: an
//! answer other than a refusal means that the lead is durable; no form is an open redirect; whom it refuses gets back what was typed.
//!
//! Where the browser goes: to the return URL if it is on the site's own origins, else to the site's `thank_you` page (both 303), else
//! it gets our own page right away, as a 200 with the receipt. A 303 to a page of ours would cost a second request and put the
//! receipt into the browser's history; on reload the browser asks before it sends a form twice.

use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, ORIGIN};

use crate::check::Refusal;
use crate::check::flags::Flag;
use crate::check::limits::Level;
use crate::check::origin::Trail;
use crate::check::return_url::{self, Wish};
use crate::event::{EventType, FormPost, SourceKind};
use crate::personal::PersonalText;
use crate::receive::body;
use crate::receive::fields::{BodyType, Fields};
use crate::receive::pairs::pairs;
use crate::receive::record::{self, Answer, Denied};
use crate::receive::refuse::{self, Sent, Whom};
use crate::receive::reply::{self, thanks};
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
        let denied = Refusal::NotFound.into();
        return refuse::answer(visit.edge, headers, &denied, form_of_reply, Whom::default());
    };
    let mut sent = None;
    let mut answer = match post(visit, form, site, &kind, (body, &mut sent), form_of_reply).await {
        Ok(answer) => answer,
        Err(denied) => {
            let sent = kind.as_ref().ok().zip(sent.as_ref());
            let sent = sent.map(|(kind, body)| Sent { kind, body });
            let whom = Whom { site: Some(site), form: Some(form), sent };
            refuse::answer(visit.edge, headers, &denied, form_of_reply, whom)
        }
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

/// The network first, then the form: a network that is over its limit must not use up the form's. A person who is a little
/// over it gets back what was typed, and so the body is read; `far` says that it is not worth that.
fn check_limits(visit: &Visit<'_>, form: &Form, far: &mut bool) -> Result<(), Denied> {
    let mut denied = |refusal, level| match level {
        Level::Within => Ok(()),
        Level::Over { retry_after_s } | Level::Far { retry_after_s } => {
            *far = matches!(level, Level::Far { .. });
            Err(Denied { refusal, retry_after_s: Some(retry_after_s), missing: Vec::new() })
        }
    };
    denied(Refusal::RateAddress, visit.level)?;
    denied(Refusal::RateForm, visit.edge.limits.form(&form.name))
}

async fn post(
    visit: &Visit<'_>,
    form: &Form,
    site: &Site,
    kind: &Result<BodyType, Refusal>,
    (body, sent): (Incoming, &mut Option<Bytes>),
    form_of_reply: reply::Form,
) -> Result<Answer, Denied> {
    let mut far = false;
    let limited = check_limits(visit, form, &mut far);
    if limited.is_err() && (far || form_of_reply != reply::Form::Html) {
        limited.clone()?;
    }
    let (edge, kind) = (visit.edge, kind.as_ref().map_err(|refusal| *refusal)?);
    let within = Duration::from_millis(edge.settings.body_timeout_ms);
    let body = body::read(body, &visit.parts.headers, edge.settings.body_bytes_max, within).await?;
    let body = sent.insert(body);
    limited?;
    let fields = Fields::read(kind, body, edge.settings.fields_max)?;
    let Submission { mut trail, fields, return_url } = sort(visit, site, fields)?;
    let parent = trail.parent(&edge.keys);
    let (mut event, _) = visit.event(EventType::Lead, SourceKind::WebForm, site, trail);
    event.parent_click = parent;
    event.form = Some(FormPost { form: form.name.clone(), dialect: String::new(), fields });
    let receipt = record::durable(edge, &event).await?;
    let mut reply = match (form_of_reply, return_url) {
        (reply::Form::Json, _) => reply::receipt_json(&receipt),
        (_, Some(url)) => reply::see_other(url),
        (_, None) if !site.thank_you.is_empty() => reply::see_other(site.thank_you.clone()),
        (_, None) => {
            let texts = refuse::texts(&visit.parts.headers, Some(site), Some(form));
            thanks::thank_you(texts, edge.frames.of(site), &receipt, event.id.millis())
        }
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
    let page = visit.referer();
    let wish =
        |value: &str, trail: &mut Trail, return_url: &mut Option<String>| match return_url::judge(
            site, value, &page,
        ) {
            Wish::Allowed(url) if return_url.is_none() => *return_url = Some(url.into()),
            Wish::Allowed(_) | Wish::Nothing => {}
            Wish::Refused => trail.flags.set(Flag::ReturnUrlRefused),
        };
    for (name, value) in posted.list {
        if trail.take_field(&name, &value) {
            continue;
        }
        if return_url::is_name(&name) {
            wish(&value, &mut trail, &mut return_url);
            continue;
        }
        filled |= !value.trim().is_empty();
        fields.push((name, PersonalText::new(value)));
    }
    if !filled {
        return Err(Refusal::Empty);
    }
    // Pardot's `success_location` stands in the action's query; a field says more than it.
    for pair in pairs(visit.query().as_bytes()).filter(|pair| return_url::is_name(&pair.name)) {
        wish(&pair.value, &mut trail, &mut return_url);
    }
    trail.page(&page);
    if visit.parts.headers.contains_key(ORIGIN) && visit.own_origin(site).is_none() {
        trail.flags.set(Flag::OriginForeign);
    }
    Ok(Submission { trail, fields, return_url })
}
