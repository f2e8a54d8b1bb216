//! Replies: every answer that the edge gives is built here.
//!
//! In: what became of a request. Out: a response with its headers. Promises: no reply holds a value that the sender gave, but for
//! the click id in a destination, an origin of the site's own, and the form on an error page, which gives its sender back what
//! was typed (`error`); nothing is cached.

mod echo;
pub mod error;
pub mod link;
pub mod page;
pub mod texts;
pub mod thanks;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY,
    RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Response, StatusCode};

use crate::links::record::Kind;

/// A whole answer.
pub type Reply = Response<Full<Bytes>>;

/// The header with the receipt: only ever on an answer whose event is durable.
pub const RECEIPT: HeaderName = HeaderName::from_static("leadtrail-receipt");

/// The header with a refusal's reference, which `GET /receipt/{reference}` proves.
pub const REFUSAL: HeaderName = HeaderName::from_static("leadtrail-refusal");

/// The header that names the parameter which a postback was refused for.
pub const PARAMETER: HeaderName = HeaderName::from_static("leadtrail-parameter");

const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

/// One transparent pixel, 43 bytes: GIF89a, two colours, the first of them transparent.
pub const GIF: &[u8; 43] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// How an answer that is meant to be read is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Html,
    /// For programs.
    Json,
    /// For `img` elements: the pixel, whatever happened.
    Gif,
}

impl Form {
    /// What `Accept` prefers. Where it names neither (`*/*`, or nothing at all), an answer is of the kind that was sent.
    pub fn preferred(accept: Option<&str>, sent_json: bool) -> Self {
        let accept = accept.unwrap_or("");
        // Browsers never name it: their long lists need no reading.
        if !accept.as_bytes().windows(4).any(|four| four.eq_ignore_ascii_case(b"json")) {
            let html = accept.as_bytes().windows(4).any(|four| four.eq_ignore_ascii_case(b"html"));
            return if sent_json && !html { Self::Json } else { Self::Html };
        }
        let (mut json, mut html) = (0, 0);
        let ranges = accept.split(',');
        for (place, range) in ranges.enumerate() {
            let mut parts = range.split(';').map(str::trim);
            let essence = parts.next().unwrap_or("");
            let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1_000, thousandths);
            // Of two that are equally welcome the first counts.
            let weight =
                if quality == 0 { 0 } else { quality * 64 + 63_u32.saturating_sub(place as u32) };
            if essence.eq_ignore_ascii_case("application/json") {
                json = json.max(weight);
            } else if essence.eq_ignore_ascii_case("text/html") {
                html = html.max(weight);
            }
        }
        let wants_json = if json == html { sent_json } else { json > html };
        if wants_json { Self::Json } else { Self::Html }
    }
}

/// `0.8` as 800. What is no quality counts as full.
fn thousandths(text: &str) -> u32 {
    let Some((whole, fraction)) = text.split_once('.') else {
        return if text == "0" { 0 } else { 1_000 };
    };
    if whole != "0" {
        return 1_000;
    }
    let digits =
        fraction.bytes().take(3).filter(u8::is_ascii_digit).map(|digit| u32::from(digit - b'0'));
    digits.chain(std::iter::repeat(0)).take(3).fold(0, |sum, digit| sum * 10 + digit)
}

/// Room for the headers of every reply, so that the map is allocated once.
const HEADERS_USUAL: usize = 8;

fn bare(status: StatusCode, body: Full<Bytes>) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    *reply.headers_mut() = HeaderMap::with_capacity(HEADERS_USUAL);
    reply
}

fn plain(status: StatusCode, body: impl Into<Bytes>, content_type: &'static str) -> Reply {
    let mut reply = bare(status, Full::new(body.into()));
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

/// The pixel.
pub fn gif(status: StatusCode) -> Reply {
    plain(status, Bytes::from_static(GIF), "image/gif")
}

/// What stands in a frame: nothing to see, nothing to run.
const EMPTY_PAGE: &str = "<!doctype html><title></title>";

/// Turns the pixel's answer into a frame's: an empty page that any page may show, with the same status and receipt.
pub fn framed(reply: &mut Reply) {
    *reply.body_mut() = Full::new(Bytes::from_static(EMPTY_PAGE.as_bytes()));
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    // It shows nothing and takes no click, so there is nothing to frame for: any shop's page may.
    let policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors *";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(ROBOTS, HeaderValue::from_static("noindex"));
}

/// A click's answer. `location` comes from [`crate::check::destination`]: ASCII without spaces by construction.
pub fn redirect(kind: Kind, location: String) -> Reply {
    let status = match kind {
        Kind::Found => StatusCode::FOUND,
        Kind::Temporary => StatusCode::TEMPORARY_REDIRECT,
        Kind::Meta => return refresh(&location),
    };
    let mut reply = bare(status, Full::default());
    let headers = reply.headers_mut();
    let location = HeaderValue::try_from(location).expect("a serialised URL is visible ASCII");
    headers.insert(LOCATION, location);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("strict-origin-when-cross-origin"));
    headers.insert(ROBOTS, HeaderValue::from_static("noindex"));
    reply
}

/// A page that goes on by itself, so that the destination sees no referrer; with a link, for browsers that don't.
fn refresh(location: &str) -> Reply {
    let mut url = String::with_capacity(location.len() + 32);
    page::escape(location, &mut url);
    let text = format!(
        "<!doctype html>\n<meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\">\
         <meta http-equiv=\"refresh\" content=\"0;url={url}\"><title>…</title>\
         <p><a rel=\"noreferrer\" href=\"{url}\">→</a></p>\n"
    );
    let mut reply = plain(StatusCode::OK, text, "text/html; charset=utf-8");
    let headers = reply.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(ROBOTS, HeaderValue::from_static("noindex"));
    reply
}

/// A form's answer where there is a page to go to.
pub fn see_other(location: String) -> Reply {
    let mut reply = bare(StatusCode::SEE_OTHER, Full::default());
    let headers = reply.headers_mut();
    let location = HeaderValue::try_from(location).expect("a serialised URL is visible ASCII");
    headers.insert(LOCATION, location);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// A form's answer for programs.
pub fn receipt_json(receipt: &str) -> Reply {
    plain(StatusCode::OK, format!("{{\"receipt\":\"{receipt}\"}}\n"), "application/json")
}

/// The time at which a form is rendered, signed: a hidden field for a page that includes it (SSI, ESI, a template), or JSON for a script.
pub fn rendered(field: &str, token: &str, form: Form) -> Reply {
    match form {
        Form::Json => {
            let body = format!("{{\"name\":\"{field}\",\"value\":\"{token}\"}}\n");
            plain(StatusCode::OK, body, "application/json")
        }
        _ => {
            let body = format!("<input type=\"hidden\" name=\"{field}\" value=\"{token}\">\n");
            plain(StatusCode::OK, body, "text/html; charset=utf-8")
        }
    }
}

/// A vendor's own answer; `None` when its type can't stand in a header.
pub fn vendor(status: StatusCode, content_type: &str, body: String) -> Option<Reply> {
    let content_type = HeaderValue::try_from(content_type).ok()?;
    let mut reply = bare(status, Full::new(body.into()));
    let headers = reply.headers_mut();
    if status != StatusCode::NO_CONTENT {
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(reply)
}

/// An answer in a network's own words.
pub fn words(status: StatusCode, words: &str) -> Reply {
    let kind =
        if words.starts_with('{') { "application/json" } else { "text/plain; charset=utf-8" };
    plain(status, words.to_owned(), kind)
}

/// Says when to try again.
pub fn retry_after(reply: &mut Reply, seconds: u32) {
    reply.headers_mut().insert(hyper::header::RETRY_AFTER, HeaderValue::from(seconds));
}

/// Robots stay out: every address here counts something.
pub fn robots() -> Reply {
    plain(StatusCode::OK, "User-agent: *\nDisallow: /\n", "text/plain")
}

/// Adds `Allow` to a [`crate::check::Refusal::MethodNotAllowed`].
pub fn allow(reply: &mut Reply, methods: &'static str) {
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
}

/// Says in `reply` when to try again and under which reference, as `ours` does.
pub fn keep_hints(reply: &mut Reply, ours: &Reply) {
    for name in [RETRY_AFTER, REFUSAL] {
        if let Some(value) = ours.headers().get(&name) {
            reply.headers_mut().insert(name, value.clone());
        }
    }
}

/// Adds the receipt.
pub fn with_receipt(reply: &mut Reply, receipt: &str) {
    let value = HeaderValue::try_from(receipt).expect("a receipt is base64url");
    reply.headers_mut().insert(RECEIPT, value);
}

/// Lets a page of the site's own read the answer. `origin` is the request's header, reflected only when the site owns it;
/// credentials are never allowed.
pub fn share(reply: &mut Reply, origin: Option<&HeaderValue>) {
    let headers = reply.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(
                "Leadtrail-Receipt, Leadtrail-Refusal, Retry-After, RateLimit, RateLimit-Policy",
            ),
        );
    }
}

/// The answer to a preflight; its permission comes with [`share`].
pub fn preflight() -> Reply {
    let mut reply = bare(StatusCode::NO_CONTENT, Full::default());
    let headers = reply.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Content-Type"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pixel_is_a_gif_of_43_bytes() {
        assert!(GIF.starts_with(b"GIF89a") && GIF.ends_with(b";"));
        assert_eq!(gif(StatusCode::OK).headers()[CACHE_CONTROL], "no-store");
    }

    #[test]
    fn the_client_decides_how_it_is_answered() {
        let preferred = |accept: &str, sent_json| Form::preferred(Some(accept), sent_json);
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        assert_eq!(preferred(browser, true), Form::Html);
        assert_eq!(preferred("application/json", false), Form::Json);
        assert_eq!(preferred("application/json, text/html", false), Form::Json);
        assert_eq!(preferred("application/json;q=0.5, text/html;q=0.9", true), Form::Html);
        assert_eq!(preferred("text/html;q=0, application/json;q=0.1", false), Form::Json);
        assert_eq!(preferred("application/json;q=0", false), Form::Html);
        assert_eq!(preferred("text/html;q=0", true), Form::Html, "odd, and no reason to send JSON");
        assert_eq!(preferred("*/*", true), Form::Json);
        assert_eq!(preferred("TEXT/HTML", true), Form::Html);
        assert_eq!(preferred("Application/JSON", false), Form::Json);
        assert_eq!(
            (Form::preferred(None, false), Form::preferred(None, true)),
            (Form::Html, Form::Json)
        );
    }
}
