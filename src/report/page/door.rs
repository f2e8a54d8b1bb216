//! The door of the app listener: which request is whose, and who may have what.
//!
//! In: a request. Out: the answer of whoever serves its path. Refuses: a `Host` that isn't on the list (421), a method that a path doesn't take (405), somebody without the right (401, 403). Promises:
//! what needs a right is reached through [`admit`] alone; each time personal values are read the log says by whom.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};

use super::listener::Reply;
use super::reply::{Kind, reply};
use super::{App, STYLE, html, openapi, report_file, report_page, sign_in};
use crate::access::gate::{Asker, Gate};
use crate::check::Refusal;
use crate::receive::api;
use crate::report::answer::{Answer, Rows};
use crate::report::table::Personal;

/// Answers a request.
pub async fn respond(app: Arc<App>, request: Request<Incoming>) -> Reply {
    if !host_is_ours(&app.hosts, &request) {
        let what = "This name is not served here. Add it to app.hosts, or use one that is there.";
        return reply(StatusCode::MISDIRECTED_REQUEST, Kind::Html, html::trouble(what, None));
    }
    let (parts, body) = request.into_parts();
    let asker = app.gate.as_ref().map_or(Asker::Nobody, |gate| gate.who(&parts.headers));
    let is_post = parts.method == Method::POST;
    match (parts.uri.path(), &app.gate, &app.api) {
        ("/v1/events", Some(_), Some(api)) if is_post => match &asker {
            Asker::Key(admission) => api.events(admission, &parts, body).await,
            _ => api::denied(Refusal::KeyWrong, None),
        },
        ("/v1/events", Some(_), Some(_)) => not_allowed("POST", Dress::Json),
        (sign_in::SIGN_IN, Some(gate), _) if is_post => {
            sign_in::enter(gate, app.client_of(&parts), &parts, body).await
        }
        (sign_in::SIGN_OUT, Some(gate), _) if is_post => {
            sign_in::leave(gate, &asker, &parts, body).await
        }
        (sign_in::SIGN_OUT, Some(_), _) => not_allowed("POST", Dress::Page),
        _ => read(&app, &parts, &asker).await,
    }
}

/// Answers what is read with GET.
async fn read(app: &App, parts: &Parts, asker: &Asker) -> Reply {
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or(""));
    let is_file = path.starts_with("/api/") || path == openapi::PATH;
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return not_allowed("GET, HEAD", if is_file { Dress::Json } else { Dress::Page });
    }
    match (path, &app.gate) {
        (html::STYLE_PATH, _) => return reply(StatusCode::OK, Kind::Css, STYLE),
        (openapi::PATH, Some(_)) => {
            return reply(StatusCode::OK, Kind::Json, openapi::document());
        }
        (sign_in::SIGN_IN, Some(_)) => return sign_in::form(query, asker),
        _ => {}
    }
    match path {
        "/" => match admit(app, asker) {
            Ok(personal) => report_page(app, query, asker, personal).await,
            Err(Refusal::KeyWrong) if app.gate.is_some() && !matches!(asker, Asker::Wrong) => {
                sign_in::see_other(sign_in::SIGN_IN)
            }
            Err(refusal) => api::denied(refusal, None),
        },
        path => match path.strip_prefix("/api/report/") {
            Some(name) => match admit(app, asker).and_then(|personal| {
                count(asker)?;
                Ok(personal)
            }) {
                Ok(personal) => report_file(app, name, query, asker, personal).await,
                Err(refusal) => api::denied(refusal, (refusal == Refusal::RateKey).then_some(1)),
            },
            None if is_file => api::denied(Refusal::NotFound, None),
            None => {
                let page = html::trouble("There is no such page.", Some(("/", "To the reports")));
                reply(StatusCode::NOT_FOUND, Kind::Html, page)
            }
        },
    }
}

/// How a refusal is dressed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dress {
    Page,
    Json,
}

fn not_allowed(methods: &'static str, dress: Dress) -> Reply {
    let mut refused = match dress {
        Dress::Json => api::denied(Refusal::MethodNotAllowed, None),
        Dress::Page => {
            let page = html::trouble("Reports are read with GET.", Some(("/", "To the reports")));
            reply(StatusCode::METHOD_NOT_ALLOWED, Kind::Html, page)
        }
    };
    refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    refused
}

/// Whether somebody may read reports, and see personal values there.
fn admit(app: &App, asker: &Asker) -> Result<Personal, Refusal> {
    let open = app.gate.as_ref().is_none_or(Gate::is_open);
    match (asker, asker.role()) {
        (Asker::Wrong, _) => Err(Refusal::KeyWrong),
        (_, None) if open => Ok(Personal::Masked),
        (_, None) => Err(Refusal::KeyWrong),
        (_, Some(role)) if !role.reads() => Err(Refusal::KeyRole),
        (_, Some(role)) if role.sees_personal() => Ok(Personal::Shown),
        (_, Some(_)) => Ok(Personal::Masked),
    }
}

/// A report counts against its key's limit like one event.
fn count(asker: &Asker) -> Result<(), Refusal> {
    match asker {
        Asker::Key(admission) => admission.count(1).map_err(|_| Refusal::RateKey),
        _ => Ok(()),
    }
}

/// Says in the log who saw personal values, and never which.
pub fn audit(asker: &Asker, answer: &Answer, personal: Personal) {
    if personal == Personal::Shown
        && let (Rows::Leads(rows), Some(holder)) = (&answer.rows, asker.holder())
    {
        let question = &answer.question;
        let site = question.site.as_deref().unwrap_or("every site");
        let (report, period) = (question.report.name(), question.period.dates());
        let rows = rows.len();
        tracing::info!(target: "leadtrail::audit", %holder, report, site, period, rows, "personal values were read");
    }
}

/// True when the request names this listener by one of its names, in the header and, if it is there, in the URL.
fn host_is_ours(hosts: &[String], request: &Request<Incoming>) -> bool {
    let ours = |name: &str| hosts.iter().any(|host| host.eq_ignore_ascii_case(name));
    let mut named = request.headers().get_all(header::HOST).iter();
    let header = match (named.next(), named.next()) {
        (Some(host), None) => host.to_str().is_ok_and(ours),
        _ => false,
    };
    header && request.uri().authority().is_none_or(|authority| ours(authority.as_str()))
}
