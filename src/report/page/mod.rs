//! The app listener: the report page at `/`, the reports as files at `/api/report/{name}`, the sign-in, and the API at `/v1`.
//!
//! In: requests. Out: HTML without a script, JSON, CSV. Refuses: a `Host` that isn't on the list (421, so that no other
//! site's name can be pointed at it), other methods and paths, a bad question (400, with the nearest good one), a key that isn't admitted
//! (401) or may not do this (403); 503 while the warehouse is away. Promises: a personal value is shown only to somebody whose role may see it, and each
//! time the log says who looked, without the values; a handful of questions at a time reach the warehouse.

mod door;
mod html;
pub mod link;
pub mod listener;
mod openapi;
pub(crate) mod reply;
mod sign_in;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::Client;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use ipnet::IpNet;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use self::link::Link;
use self::listener::{Peer, Reply};
use self::reply::{Kind, reply};
use super::answer::Answer;
use super::command::Format;
use super::question::{BadQuestion, FraudLimits, Known, Question, ReportName};
use super::table::Personal;
use super::{ReportError, export};
use crate::access::gate::{Asker, Gate};
use crate::check::visitor;
use crate::config::{self, ProxyHeader};
use crate::personal::ClientIp;
use crate::receive::api::Api;

pub use html::escape;

/// The pages' style.
const STYLE: &str = include_str!("page.css");

/// Questions at once: each may use both of a small machine's cores.
const QUESTIONS_MAX: usize = 4;

/// How long a question waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);

/// Rows of one table on the page, which has to stay small; its files hold more.
const PAGE_ROWS_MAX: u32 = 50;

/// Seconds after which it is worth trying again: the embedded engine is back in one.
const RETRY_AFTER_S: &str = "5";

/// What the app listener runs on.
pub struct App {
    /// The warehouse. Its user reads the personal table `leads` too (masked here) and may set limits.
    pub client: Client,
    /// `Host` headers that are answered (`app.hosts`).
    pub hosts: Vec<String>,
    /// The names of the registered sites.
    pub sites: Vec<String>,
    /// `settle.click_window_days`, for the words above the tables.
    pub click_window_days: u32,
    /// `[fraud]`.
    pub fraud: FraudLimits,
    turns: Semaphore,
    /// Who may do what; without it everybody reads, masked, and nobody signs in.
    gate: Option<Gate>,
    /// The API for shops.
    api: Option<Api>,
    /// Proxies that say who the client is, as at the edge.
    proxies: (Vec<IpNet>, ProxyHeader),
}

impl std::fmt::Debug for App {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "App({:?})", self.hosts)
    }
}

impl App {
    /// Puts it together. Sites are shown in the order of their names.
    pub fn new(
        client: Client,
        hosts: Vec<String>,
        mut sites: Vec<String>,
        click_window_days: u32,
        fraud: FraudLimits,
    ) -> Self {
        sites.sort();
        Self {
            client,
            hosts,
            sites,
            click_window_days,
            fraud,
            turns: Semaphore::new(QUESTIONS_MAX),
            gate: None,
            api: None,
            proxies: (Vec::new(), ProxyHeader::XForwardedFor),
        }
    }

    /// With a gate, the API behind it, and proxies that are believed.
    #[must_use]
    pub fn with(self, gate: Gate, api: Api, edge: &config::Edge) -> Self {
        let proxies = (edge.trusted_proxies.clone(), edge.proxy_header);
        Self { gate: Some(gate), api: Some(api), proxies, ..self }
    }

    fn client_of(&self, parts: &Parts) -> ClientIp {
        let peer = parts.extensions.get::<Peer>().map_or(Ipv4Addr::LOCALHOST.into(), |peer| peer.0);
        let (trusted, header) = &self.proxies;
        let name = match header {
            ProxyHeader::XForwardedFor => "x-forwarded-for",
            ProxyHeader::Forwarded => "forwarded",
        };
        let lines = parts.headers.get_all(name).iter().rev().filter_map(|line| line.to_str().ok());
        visitor::client(peer, trusted, *header, lines)
    }

    fn known(&self) -> Known<'_> {
        let Self { ref sites, click_window_days, fraud, .. } = *self;
        Known { sites, click_window_days, fraud, now: Timestamp::now() }
    }
}

/// Why there is no answer.
enum Trouble {
    Bad(BadQuestion),
    Busy,
    Report(ReportError),
}

/// Serves until `stop` turns true.
pub async fn serve(listener: TcpListener, app: Arc<App>, stop: watch::Receiver<bool>) {
    listener::serve(listener, stop, move |request| door::respond(app.clone(), request)).await;
}

async fn report_page(app: &App, query: &str, asker: &Asker, personal: Personal) -> Reply {
    let link = match Link::parse(query) {
        Ok(link) => link,
        Err(bad) => return bad_page(&good(app, ReportName::Ads, &Link::default(), &bad), &bad),
    };
    let asked = async {
        tokio::try_join!(
            ask(app, ReportName::Ads, &link, Some(PAGE_ROWS_MAX)),
            ask(app, ReportName::Affiliates, &link, Some(PAGE_ROWS_MAX)),
            ask(app, ReportName::Offers, &link, Some(PAGE_ROWS_MAX)),
            ask(app, ReportName::Conversions, &link, Some(PAGE_ROWS_MAX)),
            ask(app, ReportName::Leads, &link, Some(PAGE_ROWS_MAX)),
            ask(app, ReportName::Postbacks, &link, Some(PAGE_ROWS_MAX)),
            ask(app, ReportName::Fraud, &link, Some(PAGE_ROWS_MAX)),
            ask(app, ReportName::Refusals, &link, Some(PAGE_ROWS_MAX)),
        )
    };
    match asked.await {
        Ok((ads, affiliates, offers, conversions, leads, postbacks, fraud, refusals)) => {
            door::audit(asker, &leads, personal);
            let visitor = match asker {
                Asker::Person(session, role) => {
                    html::Visitor::Known(&session.name, *role, &session.form_word)
                }
                Asker::Key(_) => html::Visitor::Program,
                _ if app.gate.is_none() => html::Visitor::Unasked,
                _ => html::Visitor::Unknown,
            };
            let answers = [ads, affiliates, offers, conversions, leads, postbacks, fraud, refusals];
            let page = html::reports(&answers, &link, &app.sites, (personal, &visitor));
            reply(StatusCode::OK, Kind::Html, page)
        }
        Err(Trouble::Bad(bad)) => bad_page(&good(app, ReportName::Ads, &link, &bad), &bad),
        Err(trouble) => {
            let (status, _, what) = explain(&trouble);
            let page = html::trouble(what, Some((&link.page(), "Try again")));
            later(reply(status, Kind::Html, page))
        }
    }
}

fn bad_page(nearest: &Link, bad: &BadQuestion) -> Reply {
    let what = format!("{}.", bad.what);
    let page = html::trouble(&what, Some((&nearest.page(), "Did you mean this?")));
    reply(StatusCode::BAD_REQUEST, Kind::Html, page)
}

/// The nearest good question: what is wrong with it is corrected, one thing after another.
fn good(app: &App, report: ReportName, link: &Link, bad: &BadQuestion) -> Link {
    let mut link = link.corrected(bad);
    for _ in 0..link::PARAMETERS.len() {
        match Question::parse(report, &link.asked(), &app.known()) {
            Ok(_) => return link,
            Err(next) => link = link.corrected(&next),
        }
    }
    Link::default()
}

async fn report_file(
    app: &App,
    name: &str,
    query: &str,
    asker: &Asker,
    personal: Personal,
) -> Reply {
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
    let report = match ReportName::parse(&name) {
        Ok(report) => report,
        Err(bad) => {
            let near = bad.nearest.first().map_or("", |(_, near)| near.as_str());
            let url = format!("/api/report/{near}");
            return refusal(StatusCode::NOT_FOUND, "unknown_report", &bad.what, Some(&url));
        }
    };
    let bad_file = |link: &Link, bad: &BadQuestion| {
        let nearest = good(app, report, link, bad);
        let format = if nearest.format == "csv" { "csv" } else { "json" };
        let url = nearest.file(report, format);
        refusal(StatusCode::BAD_REQUEST, "bad_question", &bad.what, Some(&url))
    };
    let link = match Link::parse(query) {
        Ok(link) => link,
        Err(bad) => return bad_file(&Link::default(), &bad),
    };
    let format = match link.format.as_str() {
        "" | "json" => Format::Json,
        "csv" => Format::Csv,
        other => {
            let bad = BadQuestion::unknown("format", other, ["json", "csv"].into_iter());
            return bad_file(&link, &bad);
        }
    };
    let answered = ask(app, report, &link, None).await;
    if let Ok(answer) = &answered {
        door::audit(asker, answer, personal);
    }
    match answered {
        Ok(answer) if format == Format::Csv => {
            let file = export::csv(&answer, personal);
            let mut sent = reply(StatusCode::OK, Kind::Csv, file);
            sent.headers_mut().insert(header::CONTENT_DISPOSITION, file_name(&answer));
            sent
        }
        Ok(answer) => reply(StatusCode::OK, Kind::Json, export::json(&answer, personal)),
        Err(Trouble::Bad(bad)) => bad_file(&link, &bad),
        Err(trouble) => {
            let (status, code, what) = explain(&trouble);
            later(refusal(status, code, what, None))
        }
    }
}

async fn ask(
    app: &App,
    report: ReportName,
    link: &Link,
    rows_max: Option<u32>,
) -> Result<Answer, Trouble> {
    let mut question =
        Question::parse(report, &link.asked(), &app.known()).map_err(Trouble::Bad)?;
    question.limit = question.limit.min(rows_max.unwrap_or(question.limit));
    let _turn = tokio::time::timeout(TURN_TIMEOUT, app.turns.acquire())
        .await
        .map_err(|_| Trouble::Busy)?
        .expect("the semaphore is never closed");
    super::answer(&app.client, &question).await.map_err(|error| {
        tracing::warn!(%error, "a report was not answered");
        Trouble::Report(error)
    })
}

/// Status, code and words. ClickHouse's own words go to the log only.
fn explain(trouble: &Trouble) -> (StatusCode, &'static str, &'static str) {
    match trouble {
        Trouble::Bad(_) => {
            (StatusCode::BAD_REQUEST, "bad_question", "This question has no answer.")
        }
        Trouble::Busy => (
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "Other reports are being made. Try again in a moment.",
        ),
        Trouble::Report(ReportError::Slow { .. }) => (
            StatusCode::GATEWAY_TIMEOUT,
            "too_slow",
            "The report took too long and was given up. Ask for a shorter period or for one site.",
        ),
        Trouble::Report(ReportError::Unreachable { .. }) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "warehouse_away",
            "The warehouse does not answer. What was captured is safe in the log; reports come back with the warehouse.",
        ),
        Trouble::Report(ReportError::Refused { .. }) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "warehouse_refused",
            "The warehouse refused the report. Its reason is in the program's log; `leadtrail schema apply` may help.",
        ),
    }
}

fn refusal(status: StatusCode, code: &str, message: &str, nearest: Option<&str>) -> Reply {
    let body = serde_json::json!({ "error": code, "message": message, "nearest": nearest });
    reply(status, Kind::Json, format!("{body:#}\n"))
}

fn later(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
    reply
}

/// `leadtrail-ads-2026-10-24-to-2026-11-22-UTC.csv`.
fn file_name(answer: &Answer) -> HeaderValue {
    let question = &answer.question;
    let site = question.site.as_deref().unwrap_or("all-sites");
    let words = format!(
        "leadtrail-{}-{site}-{}-{}",
        question.report.name(),
        question.period.dates(),
        question.period.zone_name()
    );
    let plain = |character: char| if character.is_ascii_alphanumeric() { character } else { '-' };
    let name: String = words.chars().map(plain).collect();
    HeaderValue::from_str(&format!("attachment; filename=\"{name}.csv\""))
        .expect("letters, digits and hyphens only")
}
