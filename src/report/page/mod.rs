//! The app listener: the report page at `/` and the reports as files at `/api/report/{name}`.
//!
//! In: GET requests. Out: HTML without a script, JSON, CSV. Refuses: a `Host` that isn't on the list (421, so that no other
//! site's name can be pointed at it), other methods and paths, a bad question (400, with the nearest good one); 503 while the
//! warehouse is away. Promises: no personal value is shown; a handful of questions at a time reach the warehouse.

mod html;
pub mod link;
pub mod listener;
mod reply;

use std::sync::Arc;
use std::time::Duration;

use clickhouse::Client;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use self::link::Link;
use self::listener::Reply;
use self::reply::{Kind, reply};
use super::answer::Answer;
use super::command::Format;
use super::question::{BadQuestion, FraudLimits, Known, Question, ReportName};
use super::table::Personal;
use super::{ReportError, export};

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
#[derive(Debug)]
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
        let turns = Semaphore::new(QUESTIONS_MAX);
        Self { client, hosts, sites, click_window_days, fraud, turns }
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
    listener::serve(listener, stop, move |request| respond(app.clone(), request)).await;
}

async fn respond(app: Arc<App>, request: Request<Incoming>) -> Reply {
    if !host_is_ours(&app.hosts, &request) {
        let what = "This name is not served here. Add it to app.hosts, or use one that is there.";
        return reply(StatusCode::MISDIRECTED_REQUEST, Kind::Html, html::trouble(what, None));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let page = html::trouble("Reports are read with GET.", Some(("/", "To the reports")));
        let mut refused = reply(StatusCode::METHOD_NOT_ALLOWED, Kind::Html, page);
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let query = request.uri().query().unwrap_or("");
    match request.uri().path() {
        "/" => report_page(&app, query).await,
        html::STYLE_PATH => reply(StatusCode::OK, Kind::Css, STYLE),
        path => match path.strip_prefix("/api/report/") {
            Some(name) => report_file(&app, name, query).await,
            None => {
                let page = html::trouble("There is no such page.", Some(("/", "To the reports")));
                reply(StatusCode::NOT_FOUND, Kind::Html, page)
            }
        },
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

async fn report_page(app: &App, query: &str) -> Reply {
    let link = match Link::parse(query) {
        Ok(link) => link,
        Err(bad) => return bad_page(&good(app, ReportName::Ads, &Link::default(), &bad), &bad),
    };
    let asked = async {
        tokio::try_join!(
            ask(app, ReportName::Ads, &link, Some(PAGE_ROWS_MAX)),
            ask(app, ReportName::Affiliates, &link, Some(PAGE_ROWS_MAX)),
            ask(app, ReportName::Leads, &link, Some(PAGE_ROWS_MAX)),
            ask(app, ReportName::Postbacks, &link, Some(PAGE_ROWS_MAX)),
            ask(app, ReportName::Fraud, &link, Some(PAGE_ROWS_MAX)),
            ask(app, ReportName::Refusals, &link, Some(PAGE_ROWS_MAX)),
        )
    };
    match asked.await {
        Ok((ads, affiliates, leads, postbacks, fraud, refusals)) => {
            let answers = [ads, affiliates, leads, postbacks, fraud, refusals];
            let page = html::reports(&answers, &link, &app.sites);
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

async fn report_file(app: &App, name: &str, query: &str) -> Reply {
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
    match ask(app, report, &link, None).await {
        Ok(answer) if format == Format::Csv => {
            let file = export::csv(&answer, Personal::Masked);
            let mut sent = reply(StatusCode::OK, Kind::Csv, file);
            sent.headers_mut().insert(header::CONTENT_DISPOSITION, file_name(&answer));
            sent
        }
        Ok(answer) => reply(StatusCode::OK, Kind::Json, export::json(&answer, Personal::Masked)),
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
