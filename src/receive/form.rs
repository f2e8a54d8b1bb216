//! Forms: `/f/{form}` and the vendors' own paths, and their preflight.
//!
//! In: a body in one of several types, or a query. Out: a lead, complaint, service contact or unsubscription with every field exactly as it came;
//! `submission` says what is taken out. Refuses: an unknown form, a network or form over its limit, a body that can't be read or is
//! empty, a log that is full. Promises: an answer other than a refusal means that the event is durable; no form is an open redirect;
//! whom it refuses gets back what was typed.
//!
//! Where the browser goes: to the return URL if it is on the site's own origins, else to the site's `thank_you` page (both 303), else
//! it gets our own page right away, as a 200 with the receipt. A 303 to a page of ours would cost a second request and put the
//! receipt into the browser's history; on reload the browser asks before it sends a form twice. Where clients depend on the vendor's
//! own answer, they get that (`vendor_reply`).

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, ORIGIN,
};

use crate::check::Refusal;
use crate::check::dialects::doors::Chosen;
use crate::check::limits::{Level, Standing};
use crate::check::spam;
use crate::check::submission::key as submission_key;
use crate::event::{FormPost, SourceKind};
use crate::receive::body;
use crate::receive::fields::{BodyType, Fields};
use crate::receive::record::{self, Answer, Denied};
use crate::receive::refuse::{self, Sent, Whom};
use crate::receive::reply::{self, Form, thanks};
use crate::receive::submission::{self, Address, Message, Submission, Unfit};
use crate::receive::vendor_reply::Speech;
use crate::receive::visit::Visit;
use crate::tokens::sign_rendered;

/// The sender's own word for «this is the same again».
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What the refusal of a post needs to be told well.
struct Refused {
    denied: Denied,
    error_url: Option<String>,
    /// The limit that it is over.
    over: Option<Standing>,
}

impl<T: Into<Denied>> From<T> for Refused {
    fn from(denied: T) -> Self {
        Self { denied: denied.into(), error_url: None, over: None }
    }
}

impl From<Unfit> for Refused {
    fn from(unfit: Unfit) -> Self {
        let Unfit { refusal, error_url, missing } = unfit;
        Self { denied: Denied { missing, ..refusal.into() }, error_url, over: None }
    }
}

/// How one client is answered.
#[derive(Clone, Copy)]
struct Manner<'a> {
    form: Form,
    speech: Speech<'a>,
}

/// Answers a post, or a form with method GET.
pub async fn answer(visit: &Visit<'_>, address: Address<'_>, body: Incoming) -> Answer {
    let headers = &visit.parts.headers;
    let kind = body_type(visit);
    let form = Form::preferred(text(headers, &ACCEPT), kind == Ok(Some(BodyType::Json)));
    let manner = Manner { form, speech: speech(visit, address, form) };
    let limited = check_limits(visit, address);
    let mut told = limited.err().map_or(visit.standing, |(over, _)| Some(over));
    let mut sent = None;
    let incoming = (body, &mut sent);
    let mut answer = match post(visit, address, &kind, incoming, manner, limited).await {
        Ok(answer) => answer,
        Err(refused) => {
            told = refused.over.or(told);
            let posted = kind.as_ref().ok().and_then(Option::as_ref).zip(sent.as_ref());
            let query = Bytes::copy_from_slice(visit.query().as_bytes());
            let sent = match posted {
                Some((kind, body)) => Some(Sent { kind, body, method: "post" }),
                // With method GET the query is the form.
                None if kind == Ok(None) => {
                    Some(Sent { kind: &BodyType::Urlencoded, body: &query, method: "get" })
                }
                None => None,
            };
            tell(visit, address, &refused, sent, manner)
        }
    };
    if let Some(standing) = told {
        visit.edge.rates.tell(&mut answer.reply, standing);
    }
    if is_shared(visit, address) {
        reply::share(&mut answer.reply, visit.own_origin(address.site()));
    }
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
        return Err(denied(over, Refusal::of_limit(over.policy)));
    }
    let token = sign_rendered(&visit.edge.keys, &form.name, visit.now_ms);
    let form_of_reply = Form::preferred(text(&visit.parts.headers, &ACCEPT), false);
    let mut reply = reply::rendered(spam::RENDERED_FIELD, &token, form_of_reply);
    reply::share(&mut reply, visit.own_origin(site));
    Ok(Answer::answered(reply))
}

/// Answers `OPTIONS`: a page of the site's own may send, another is told nothing.
pub fn preflight(visit: &Visit<'_>, address: Address<'_>) -> Answer {
    let mut reply = reply::preflight();
    if is_shared(visit, address) {
        reply::share(&mut reply, visit.own_origin(address.site()));
    }
    Answer::answered(reply)
}

/// A refusal: the vendor's own words, else the form's own page for it, else ours.
fn tell(
    visit: &Visit<'_>,
    address: Address<'_>,
    refused: &Refused,
    sent: Option<Sent<'_>>,
    manner: Manner<'_>,
) -> Answer {
    let denied = &refused.denied;
    let form = match address {
        Address::Own(form, _) => Some(&**form),
        Address::Vendor(_) => None,
    };
    let whom = Whom { site: Some(address.site()), form, sent };
    let mut answer = refuse::answer(visit.edge, &visit.parts.headers, denied, manner.form, whom);
    let field = denied.missing.first().map_or("", String::as_str);
    let vendor = manner.speech.refused(denied.refusal, field, "");
    let page = refused.error_url.clone().filter(|_| manner.form == Form::Html);
    if let Some(mut told) = vendor.or(page.map(reply::see_other)) {
        reply::keep_hints(&mut told, &answer.reply);
        answer.reply = told;
    }
    answer
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The body's type; none where the query is all there is.
fn body_type(visit: &Visit<'_>) -> Result<Option<BodyType>, Refusal> {
    if visit.parts.method == Method::GET {
        return Ok(None);
    }
    let headers = &visit.parts.headers;
    let encoding = text(headers, &CONTENT_ENCODING).unwrap_or("identity");
    if headers.contains_key(CONTENT_ENCODING) && !encoding.eq_ignore_ascii_case("identity") {
        return Err(Refusal::UnsupportedEncoding);
    }
    BodyType::parse(text(headers, &CONTENT_TYPE).unwrap_or("")).map(Some)
}

/// How the client is spoken to before it is known what the fields say: at a vendor's path, and where a form says its dialect, as
/// the vendor would.
fn speech<'a>(visit: &Visit<'a>, address: Address<'_>, form: Form) -> Speech<'a> {
    let path = match address {
        Address::Own(..) => None,
        Address::Vendor(door) => door.candidates.first().map(|first| first.path),
    };
    match address.dialect(&visit.edge.doors) {
        Some(place) => speech_of(visit, place, path, form),
        None => Speech::ours(),
    }
}

fn speech_of<'a>(visit: &Visit<'a>, place: usize, path: Option<usize>, form: Form) -> Speech<'a> {
    let dialect = visit.edge.doors.dialects.at(place);
    let path = path.map_or("", |path| &dialect.paths[path].0.text);
    let header = |name| text(&visit.parts.headers, name).unwrap_or("");
    // A browser that loads a page sends no JSON.
    let loads_page =
        header(&ACCEPT).contains("text/html") && !header(&CONTENT_TYPE).contains("json");
    Speech::new(dialect, path, visit.query(), form, loads_page)
}

/// True where pages may read the answer: everywhere but at paths that are for servers.
fn is_shared(visit: &Visit<'_>, address: Address<'_>) -> bool {
    let Address::Vendor(door) = address else { return true };
    let dialects = &visit.edge.doors.dialects;
    door.candidates.first().is_some_and(|first| dialects.at(first.dialect).paths[first.path].1)
}

/// A limit that somebody is over, and what is said about it.
type Limited = Result<(), (Standing, Refusal)>;

fn within(standing: Standing) -> Limited {
    match standing.level {
        Level::Within => Ok(()),
        Level::Over { .. } | Level::Far { .. } => {
            Err((standing, Refusal::of_limit(standing.policy)))
        }
    }
}

fn denied(over: Standing, refusal: Refusal) -> Denied {
    Denied { retry_after_s: Some(over.reset_s), ..refusal.into() }
}

/// The network first, then the form, then the site: who is over a limit must not use up what others share, so a flood of one form
/// leaves the site's others alone. Which form a vendor's path is for is known only when the body was read.
fn check_limits(visit: &Visit<'_>, address: Address<'_>) -> Limited {
    visit.standing.map_or(Ok(()), within)?;
    if let Address::Own(form, _) = address {
        within(visit.edge.limits.form(&form.name))?;
    }
    within(visit.edge.limits.site(&address.site().name))
}

async fn post(
    visit: &Visit<'_>,
    address: Address<'_>,
    kind: &Result<Option<BodyType>, Refusal>,
    (body, sent): (Incoming, &mut Option<Bytes>),
    manner: Manner<'_>,
    limited: Limited,
) -> Result<Answer, Refused> {
    // A person who is a little over the limit gets back what was typed, and so the body is read; far over it is not worth that.
    if let Err((over, refusal)) = limited
        && (over.is_far_over() || manner.form != Form::Html)
    {
        return Err(denied(over, refusal).into());
    }
    let (edge, kind) = (visit.edge, kind.as_ref().map_err(|refusal| *refusal)?);
    let body_wait = Duration::from_millis(edge.settings.body_timeout_ms);
    let body =
        body::read(body, &visit.parts.headers, edge.settings.body_bytes_max, body_wait).await?;
    let body = sent.insert(body);
    limited.map_err(|(over, refusal)| denied(over, refusal))?;
    let referer = visit.referer();
    let foreign =
        visit.parts.headers.contains_key(ORIGIN) && visit.own_origin(address.site()).is_none();
    let message = Message {
        kind: kind.as_ref(),
        body,
        query: visit.query(),
        path: visit.parts.uri.path(),
        referer: &referer,
        origin_is_foreign: foreign,
    };
    let (chosen, fields) = submission::read(address, &message, &edge.doors, &edge.settings)?;
    if matches!(address, Address::Vendor(_)) {
        within(edge.limits.form(&chosen.form.name)).map_err(|(over, refusal)| Refused {
            over: Some(over),
            ..denied(over, refusal).into()
        })?;
    }
    accept(visit, &chosen, fields, &message, manner).await
}

async fn accept(
    visit: &Visit<'_>,
    chosen: &Chosen<'_>,
    fields: Fields,
    message: &Message<'_>,
    manner: Manner<'_>,
) -> Result<Answer, Refused> {
    let (edge, site) = (visit.edge, chosen.site);
    let dialect = edge.doors.dialects.at(chosen.dialect);
    let mut look = edge.signals.begin(visit.client);
    let submission = submission::sort(chosen, fields, message, dialect, &mut look)?;
    let Submission { event: what, mut trail, fields, return_url } = submission;
    look.finish(&edge.keys, &chosen.form, visit.now_ms, &mut trail.flags);
    let parent = trail.parent(&edge.keys);
    let (mut event, _) = visit.event(what, SourceKind::WebForm, site, trail);
    event.parent_click = parent;
    let name = chosen.form.name.clone();
    let own_key = visit.parts.headers.get(IDEMPOTENCY_KEY).map(HeaderValue::as_bytes);
    event.submission_key = submission_key(&edge.keys, &event, (&name, &fields), own_key);
    event.form = Some(FormPost { form: name, dialect: dialect.name().to_owned(), fields });
    let receipt = record::durable(edge, &event).await?;
    let next = return_url.unwrap_or_else(|| site.thank_you.clone());
    // At a vendor's path the fields may have told another of the vendors that use it.
    let speech = match chosen.path {
        Some(_) => speech_of(visit, chosen.dialect, chosen.path, manner.form),
        None => manner.speech,
    };
    let vendor = speech.taken(&receipt, &next, &chosen.id);
    let mut reply = match (vendor, manner.form) {
        (Some(vendor), _) => vendor,
        (None, Form::Json) => reply::receipt_json(&receipt),
        (None, _) if !next.is_empty() => reply::see_other(next),
        (None, _) => {
            let texts = refuse::texts(&visit.parts.headers, Some(site), Some(&chosen.form));
            thanks::thank_you(texts, edge.frames.of(site), &receipt, event.id.millis())
        }
    };
    reply::with_receipt(&mut reply, &receipt);
    Ok(Answer::accepted(reply))
}
