//! Signing in and out: two forms that need no script.
//!
//! In: a name and a password; the wish to leave. Out: a session's cookie, or its end. Refuses: a form that another site's page sends, more tries than the gate admits, a body that is
//! no small form. Promises: an unknown name and a wrong password are told apart by nobody; the way back leads to a page of this listener and nowhere else.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderName, HeaderValue, LOCATION, ORIGIN, RETRY_AFTER, SET_COOKIE};
use hyper::http::request::Parts;
use hyper::{HeaderMap, StatusCode};

use super::html;
use super::listener::Reply;
use super::reply::{Kind, reply};
use crate::access::gate::{Asker, Gate, Tried};
use crate::access::session::same;
use crate::personal::{ClientIp, PersonalText};

/// Where people sign in.
pub const SIGN_IN: &str = "/sign-in";

/// Where they sign out.
pub const SIGN_OUT: &str = "/sign-out";

/// A name, a password, and a way back.
const BODY_BYTES_MAX: usize = 4 * 1024;

/// How long such a body may take.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// What is said whatever was wrong.
const WRONG: &str = "Name or password is wrong.";

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The form.
pub fn form(query: &str, asker: &Asker) -> Reply {
    let next = next_of(form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "next"));
    if let Asker::Person(..) = asker {
        return see_other(&next);
    }
    reply(StatusCode::OK, Kind::Html, html::sign_in(None, &next))
}

/// True when a form comes from a page of this listener. Browsers say so in one of two headers, and no page can change them; what is no browser sends neither, and carries no cookie that somebody else could use.
pub fn is_own_form(headers: &HeaderMap, https: bool) -> bool {
    if let Some(site) = headers.get(FETCH_SITE) {
        return site == "same-origin";
    }
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let scheme = if https { "https://" } else { "http://" };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    origin.to_str().is_ok_and(|origin| {
        origin.strip_prefix(scheme).is_some_and(|origin| origin.eq_ignore_ascii_case(host))
    })
}

/// Reads a small form.
async fn fields(parts: &Parts, body: Incoming) -> Option<Vec<(String, PersonalText)>> {
    let kind = parts.headers.get(hyper::header::CONTENT_TYPE)?.to_str().ok()?;
    if !kind.split(';').next()?.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return None;
    }
    let read = Limited::new(body, BODY_BYTES_MAX).collect();
    let bytes: Bytes = tokio::time::timeout(BODY_WITHIN, read).await.ok()?.ok()?.to_bytes();
    let pairs = form_urlencoded::parse(&bytes);
    Some(pairs.map(|(name, value)| (name.into_owned(), PersonalText::new(value))).collect())
}

fn field<'a>(fields: &'a [(String, PersonalText)], name: &str) -> &'a str {
    fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.expose())
}

/// Answers the form.
pub async fn enter(gate: &Gate, client: ClientIp, parts: &Parts, body: Incoming) -> Reply {
    let Some(fields) =
        fields(parts, body).await.filter(|_| is_own_form(&parts.headers, gate.https()))
    else {
        return refused(StatusCode::BAD_REQUEST, "This was not sent from the sign-in page.", "/");
    };
    let next = next_of(
        fields.iter().find(|(name, _)| name == "next").map(|(name, value)| (name, value.expose())),
    );
    let (name, password) = (field(&fields, "name").trim(), field(&fields, "password"));
    match gate.sign_in(client, name, password.to_owned()).await {
        Tried::In(token) => {
            // Only now it is a name that the operator gave; anything else that was typed stays out of the log.
            tracing::info!(target: "leadtrail::audit", user = name, "signed in");
            let mut reply = see_other(&next);
            set_cookie(gate, &mut reply, &token, gate.session_s());
            reply
        }
        Tried::Wrong => {
            let network = client.cut().address();
            tracing::warn!(target: "leadtrail::audit", %network, "a sign-in was refused");
            refused(StatusCode::FORBIDDEN, WRONG, &next)
        }
        Tried::Limited => later(
            refused(
                StatusCode::TOO_MANY_REQUESTS,
                "Too many tries. Wait a minute, then try again.",
                &next,
            ),
            "60",
        ),
        Tried::Busy => later(
            refused(
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many people sign in at this moment. Try again.",
                &next,
            ),
            "5",
        ),
    }
}

/// Ends every session of whoever asks. The form carries a word of its session: another site's page knows none.
pub async fn leave(gate: &Gate, asker: &Asker, parts: &Parts, body: Incoming) -> Reply {
    let Asker::Person(session, _) = asker else { return see_other("/") };
    let fields = fields(parts, body).await.unwrap_or_default();
    if !is_own_form(&parts.headers, gate.https())
        || !same(field(&fields, "word"), &session.form_word)
    {
        return refused(
            StatusCode::BAD_REQUEST,
            "This was not sent from a page of your session.",
            "/",
        );
    }
    if let Err(error) = gate.sign_out(&session.name).await {
        tracing::error!(%error, "a session could not be ended");
        let what = "The sign-out could not be kept. Try again.";
        return later(
            reply(
                StatusCode::SERVICE_UNAVAILABLE,
                Kind::Html,
                html::trouble(what, Some(("/", "Back"))),
            ),
            "2",
        );
    }
    tracing::info!(target: "leadtrail::audit", user = session.name, "signed out");
    let mut reply = see_other("/");
    set_cookie(gate, &mut reply, "", 0);
    reply
}

fn refused(status: StatusCode, what: &str, next: &str) -> Reply {
    reply(status, Kind::Html, html::sign_in(Some(what), next))
}

fn later(mut reply: Reply, seconds: &'static str) -> Reply {
    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(seconds));
    reply
}

/// Sends the browser to a page of ours.
pub fn see_other(path: &str) -> Reply {
    let mut reply = reply(StatusCode::SEE_OTHER, Kind::Html, "");
    let location = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    reply.headers_mut().insert(LOCATION, location);
    reply
}

fn set_cookie(gate: &Gate, reply: &mut Reply, token: &str, age_s: u64) {
    let secure = if gate.https() { "; Secure" } else { "" };
    let text = format!(
        "{}={token}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Strict{secure}",
        gate.cookie()
    );
    if let Ok(value) = HeaderValue::from_str(&text) {
        reply.headers_mut().insert(SET_COOKIE, value);
    }
}

/// The way back: the report page with its question, else its beginning. Nothing else, whatever is asked for.
fn next_of<N, V: AsRef<str>>(given: Option<(N, V)>) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\\\"<>".contains(&byte);
    match given {
        Some((_, next)) if next.as_ref().starts_with("/?") && next.as_ref().bytes().all(plain) => {
            next.as_ref().to_owned()
        }
        _ => "/".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_never_leads_elsewhere() {
        let next = |text: &str| next_of(Some(("next", text)));
        assert_eq!(next("/?period=7d&site=demo"), "/?period=7d&site=demo");
        for bad in [
            "https://evil.example/",
            "//evil.example",
            "/\\evil.example",
            "/?a\r\nSet-Cookie: x",
            "/?\"><b>",
            "javascript:1",
            "",
        ] {
            assert_eq!(next(bad), "/", "{bad:?}");
        }
    }

    #[test]
    fn only_a_form_of_our_own_page_is_taken() {
        let headers = |pairs: &[(&'static str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            });
            pairs.collect::<HeaderMap>()
        };
        let own = |pairs: &[(&'static str, &str)], https| is_own_form(&headers(pairs), https);
        let host = ("host", "app.example:8081");
        assert!(own(&[host], false), "no browser");
        assert!(own(&[host, ("origin", "http://app.example:8081")], false));
        assert!(!own(&[host, ("origin", "http://app.example:8081")], true), "another scheme");
        for origin in [
            "null",
            "http://evil.example",
            "http://app.example",
            "http://app.example:8081.evil.example",
        ] {
            assert!(!own(&[host, ("origin", origin)], false), "{origin}");
        }
        assert!(own(&[host, ("sec-fetch-site", "same-origin")], false));
        for site in ["cross-site", "same-site", "none"] {
            assert!(!own(&[host, ("sec-fetch-site", site)], false), "{site}");
        }
    }
}
