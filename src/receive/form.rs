//! Forms: `POST /f/{form}`, and its preflight.
//!
//! In: a body in one of three types. Out: a lead event with every field exactly as it came, control fields and captcha tokens taken out. Refuses:
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
use crate::check::limits::{Level, Standing};
use crate::check::origin::Trail;
use crate::check::return_url::{self, Wish};
use crate::check::spam;
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
use crate::tokens::sign_rendered;

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
    let limited = check_limits(visit, form);
    let told = limited.err().map_or(visit.standing, |(over, _)| Some(over));
    let mut sent = None;
    let incoming = (body, &mut sent);
    let mut answer = match post(visit, form, site, &kind, incoming, form_of_reply, limited).await {
        Ok(answer) => answer,
        Err(denied) => {
            let sent = kind.as_ref().ok().zip(sent.as_ref());
            let sent = sent.map(|(kind, body)| Sent { kind, body });
            let whom = Whom { site: Some(site), form: Some(form), sent };
            refuse::answer(visit.edge, headers, &denied, form_of_reply, whom)
        }
    };
    if let Some(standing) = told {
        visit.edge.rates.tell(&mut answer.reply, standing);
    }
    reply::share(&mut answer.reply, visit.own_origin(site));
    answer
}

/// Answers `GET /f/{form}/time`: the signed time of rendering, for the page that holds the form.
///
/// # Errors
/// When there is no such form, or the network is over its limit.
pub fn rendered(visit: &Visit<'_>, name: &str) -> Result<Answer, Denied> {
    let registry = &visit.edge.registry;
    let form = registry.form(name).ok_or(Refusal::NotFound)?;
    let site = registry.site(&form.site).ok_or(Refusal::NotFound)?;
    if let Some(over) = visit.standing.filter(|standing| !standing.is_within()) {
        return Err(Denied {
            refusal: Refusal::of_limit(over.policy),
            retry_after_s: Some(over.reset_s),
            missing: Vec::new(),
        });
    }
    let token = sign_rendered(&visit.edge.keys, &form.name, visit.now_ms);
    let form_of_reply = reply::Form::preferred(text(&visit.parts.headers, &ACCEPT), false);
    let mut reply = reply::rendered(spam::RENDERED_FIELD, &token, form_of_reply);
    reply::share(&mut reply, visit.own_origin(site));
    Ok(Answer::answered(reply))
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

/// A limit that somebody is over, and what is said about it.
type Limited = Result<(), (Standing, Refusal)>;

/// The network first, then the site, then the form: who is over a limit must not use up what others share.
fn check_limits(visit: &Visit<'_>, form: &Form) -> Limited {
    let within = |standing: Standing| match standing.level {
        Level::Within => Ok(()),
        Level::Over { .. } | Level::Far { .. } => {
            Err((standing, Refusal::of_limit(standing.policy)))
        }
    };
    visit.standing.map_or(Ok(()), within)?;
    within(visit.edge.limits.site(&form.site))?;
    within(visit.edge.limits.form(&form.name))
}

async fn post(
    visit: &Visit<'_>,
    form: &Form,
    site: &Site,
    kind: &Result<BodyType, Refusal>,
    (body, sent): (Incoming, &mut Option<Bytes>),
    form_of_reply: reply::Form,
    limited: Limited,
) -> Result<Answer, Denied> {
    let limited = limited.map_err(|(over, refusal)| {
        let retry_after_s = Some(over.reset_s);
        (over.is_far_over(), Denied { refusal, retry_after_s, missing: Vec::new() })
    });
    // A person who is a little over the limit gets back what was typed, and so the body is read; far over it is not worth that.
    if let Err((far, denied)) = &limited
        && (*far || form_of_reply != reply::Form::Html)
    {
        return Err(denied.clone());
    }
    let (edge, kind) = (visit.edge, kind.as_ref().map_err(|refusal| *refusal)?);
    let within = Duration::from_millis(edge.settings.body_timeout_ms);
    let body = body::read(body, &visit.parts.headers, edge.settings.body_bytes_max, within).await?;
    let body = sent.insert(body);
    limited.map_err(|(_, denied)| denied)?;
    let fields = Fields::read(kind, body, edge.settings.fields_max)?;
    let Submission { mut trail, fields, return_url } = sort(visit, form, site, fields)?;
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
fn sort(
    visit: &Visit<'_>,
    form: &Form,
    site: &Site,
    posted: Fields,
) -> Result<Submission, Refusal> {
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
    let mut spam = visit.edge.signals.begin(visit.client);
    for (name, value) in posted.list {
        if spam.take_field(&name, &value) || trail.take_field(&name, &value) {
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
    spam.finish(&visit.edge.keys, form, visit.now_ms, &mut trail.flags);
    trail.page(&page);
    if visit.parts.headers.contains_key(ORIGIN) && visit.own_origin(site).is_none() {
        trail.flags.set(Flag::OriginForeign);
    }
    Ok(Submission { trail, fields, return_url })
}
