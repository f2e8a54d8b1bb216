//! Errors: a refusal as the sender can use it; for people, with everything that they typed.
//!
//! In: a refusal and, where it could be read, the form. Out: a page, JSON or the pixel. Refuses: nothing. Promises: nothing that
//! was typed is lost: the page holds it in a plain form that posts to the address that it came from, whatever that is (a form
//! without `action` does); each value is escaped, so none can act; the page is not kept by any cache, and its size is bounded
//! by the body's.

use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};

use super::echo::{self, Echo};
use super::page::{Frame, Use, escape, page};
use super::texts::Texts;
use super::{Form, REFUSAL, Reply, gif, plain, thanks};
use crate::receive::record::Denied;

/// More fields than a form of people's has: beyond it nothing is given back.
const FIELDS_MAX: usize = 1_000;

/// A form that was sent, to be given back.
pub struct Typed {
    /// Its fields, controls included, in order.
    pub fields: Vec<(String, String)>,
    /// `GET` or `POST`.
    pub method: &'static str,
    /// True when it came as `multipart/form-data`.
    pub multipart: bool,
}

/// A refusal with all that its answer says.
pub struct Refused<'a> {
    /// Why.
    pub denied: &'a Denied,
    /// Under which it can be looked up; empty where nothing was sent that could be looked for.
    pub reference: &'a str,
    /// When.
    pub at_ms: i64,
    /// What was typed.
    pub typed: Option<&'a Typed>,
}

/// The answer.
pub fn reply(refused: &Refused<'_>, form: Form, texts: &Texts, frame: &Frame) -> Reply {
    let denied = refused.denied;
    let status = denied.refusal.status();
    let mut reply = match form {
        Form::Gif => gif(status),
        Form::Json => json(refused, status),
        Form::Html => html(refused, status, texts, frame),
    };
    let headers = reply.headers_mut();
    if let Some(seconds) = denied.retry_after_s {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if !refused.reference.is_empty()
        && let Ok(reference) = HeaderValue::try_from(refused.reference)
    {
        headers.insert(REFUSAL, reference);
    }
    reply
}

fn json(refused: &Refused<'_>, status: StatusCode) -> Reply {
    let denied = refused.denied;
    let (code, sentence) = (denied.refusal.code(), denied.refusal.sentence());
    let mut text = format!("{{\"error\":\"{code}\",\"message\":\"{sentence}\"");
    if !denied.missing.is_empty() {
        let names = serde_json::to_string(&denied.missing).unwrap_or_default();
        text.push_str(&format!(",\"missing\":{names}"));
    }
    if let Some(seconds) = denied.retry_after_s {
        text.push_str(&format!(",\"retry_after_s\":{seconds}"));
    }
    if !refused.reference.is_empty() {
        text.push_str(&format!(",\"reference\":\"{}\"", refused.reference));
    }
    text.push_str("}\n");
    plain(status, text, "application/json")
}

fn html(refused: &Refused<'_>, status: StatusCode, texts: &Texts, frame: &Frame) -> Reply {
    let denied = refused.denied;
    let mut body = ["<p>", texts.refusal(denied.refusal), "</p>\n"].concat();
    if let Some(seconds) = denied.retry_after_s.filter(|seconds| *seconds > 1) {
        let wait = texts.wait.replace("{seconds}", &seconds.to_string());
        body.push_str(&["<p>", &wait, "</p>\n"].concat());
    }
    body.push_str(&thanks::reason(texts, denied.refusal.code()));
    if !refused.reference.is_empty() {
        body.push_str(&thanks::facts(texts, &texts.reference, refused.reference, refused.at_ms));
    }
    let typed = refused.typed.filter(|typed| typed.fields.len() <= FIELDS_MAX);
    match typed {
        Some(typed) => write_form(typed, denied, texts, &mut body),
        None if status == StatusCode::NOT_FOUND => {}
        None => body.push_str(&["<p class=\"screen\">", &texts.go_back, "</p>\n"].concat()),
    }
    let used = if typed.is_some() { Use::Sending } else { Use::Reading };
    page(status, texts, frame, (&texts.error_title, &body), used)
}

fn write_form(typed: &Typed, denied: &Denied, texts: &Texts, body: &mut String) {
    let heading = ["<h2>", &texts.typed_heading, "</h2>\n<p>", &texts.typed_text, "</p>\n"];
    body.push_str(&heading.concat());
    let kind = if typed.multipart { " enctype=\"multipart/form-data\"" } else { "" };
    let method = ["<form method=\"", typed.method, "\"", kind, " accept-charset=\"utf-8\">\n"];
    body.push_str(&method.concat());
    for name in &denied.missing {
        write_label(name, true, body);
        body.push_str("<input type=\"text\" required name=\"");
        escape(name, body);
        body.push_str("\"></label>\n");
    }
    let fields = || {
        let mut missing: Vec<&String> = denied.missing.iter().collect();
        typed.fields.iter().filter(move |(name, value)| {
            // The empty field that is asked for above must not come twice.
            let at = missing.iter().position(|asked| *asked == name && value.trim().is_empty());
            at.map(|at| missing.remove(at)).is_none()
        })
    };
    let echoes = || fields().map(|(name, value)| (name, value, echo::of(name, value)));
    for (name, value, echo) in echoes().filter(|(.., echo)| *echo != Echo::Further) {
        write_field(name, value, echo, texts, body);
    }
    if echoes().any(|(.., echo)| echo == Echo::Further) {
        body.push_str(&["<details><summary>", &texts.other_fields, "</summary>\n"].concat());
        for (name, value, echo) in echoes().filter(|(.., echo)| *echo == Echo::Further) {
            write_field(name, value, echo, texts, body);
        }
        body.push_str("</details>\n");
    }
    body.push_str(
        &["<button type=\"submit\">", &texts.send_again, "</button>\n</form>\n"].concat(),
    );
}

fn write_label(name: &str, missing: bool, body: &mut String) {
    let opening = if missing { "<label data-missing><span><bdi>" } else { "<label><span><bdi>" };
    body.push_str(opening);
    escape(&name.replace('_', " "), body);
    body.push_str("</bdi></span>");
}

fn write_field(name: &str, value: &str, echo: Echo, texts: &Texts, body: &mut String) {
    let named = |opening: &str, body: &mut String| {
        body.push_str(opening);
        escape(name, body);
        body.push('"');
    };
    match echo {
        Echo::Dropped => {}
        Echo::Hidden => {
            named("<input type=\"hidden\" name=\"", body);
            body.push_str(" value=\"");
            escape(value, body);
            body.push_str("\">\n");
        }
        Echo::Secret => {
            let mut shown = String::from("<bdi>");
            escape(name, &mut shown);
            shown.push_str("</bdi>");
            let says = texts.secret.replace("{name}", &shown);
            body.push_str(&["<label><span>", &says, "</span>"].concat());
            named("<input type=\"password\" autocomplete=\"off\" name=\"", body);
            body.push_str("></label>\n");
        }
        Echo::Shown | Echo::Further => {
            write_label(name, false, body);
            // One line in a text area would be two where it is long; and a parser drops the first line break after the tag.
            if value.contains(['\n', '\r']) || value.len() > 80 {
                named("<textarea dir=\"auto\" name=\"", body);
                body.push_str(">\n");
                escape(value, body);
                body.push_str("</textarea></label>\n");
            } else {
                named("<input type=\"text\" dir=\"auto\" name=\"", body);
                body.push_str(" value=\"");
                escape(value, body);
                body.push_str("\"></label>\n");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Refusal;
    use crate::language::Language;
    use crate::receive::reply::page::Frames;
    use crate::registry::Registry;
    use proptest::prelude::*;

    fn text(refused: &Refused<'_>, form: Form) -> (Reply, String) {
        let frames = Frames::new(&Registry::default());
        let reply = reply(refused, form, Texts::of(Language::En), &frames.nobody);
        let (parts, body) = reply.into_parts();
        let bytes = futures_once(body);
        (Reply::from_parts(parts, <_>::default()), String::from_utf8(bytes).unwrap())
    }

    /// The bytes of a body that is whole.
    fn futures_once(body: http_body_util::Full<bytes::Bytes>) -> Vec<u8> {
        use http_body_util::BodyExt as _;
        let collected = std::pin::pin!(body.collect());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match collected.poll(&mut context) {
            std::task::Poll::Ready(Ok(bytes)) => bytes.to_bytes().to_vec(),
            _ => panic!("a full body is there at once"),
        }
    }

    fn refused<'a>(denied: &'a Denied, typed: Option<&'a Typed>) -> Refused<'a> {
        Refused { denied, reference: "AbC-1", at_ms: 0, typed }
    }

    #[test]
    fn a_refusal_names_its_code_in_every_form_of_text() {
        for refusal in Refusal::ALL {
            let denied = Denied { retry_after_s: Some(5), ..Denied::from(*refusal) };
            for form in [Form::Html, Form::Json, Form::Gif] {
                let (reply, text) = match form {
                    Form::Gif => (gif(refusal.status()), refusal.code().to_owned()),
                    _ => text(&refused(&denied, None), form),
                };
                assert_eq!(reply.status(), refusal.status());
                assert!(text.contains(refusal.code()));
            }
            let (reply, _) = text(&refused(&denied, None), Form::Html);
            assert_eq!(reply.headers()[RETRY_AFTER], "5");
            assert_eq!(reply.headers()[REFUSAL], "AbC-1");
        }
    }

    #[test]
    fn what_is_missing_is_asked_for_once_and_named_in_json() {
        let denied =
            Denied { missing: vec!["last_name".to_owned()], ..Refusal::MissingField.into() };
        let fields = vec![
            ("last_name".to_owned(), String::new()),
            ("email".to_owned(), "jane@example.com".to_owned()),
        ];
        let typed = Typed { fields, method: "post", multipart: false };
        let (_, page) = text(&refused(&denied, Some(&typed)), Form::Html);
        assert_eq!(page.matches("name=\"last_name\"").count(), 1);
        assert!(page.contains("<input type=\"text\" required name=\"last_name\">"));
        assert!(page.contains("value=\"jane@example.com\""));
        let (_, json) = text(&refused(&denied, None), Form::Json);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&json["error"], &json["missing"][0]),
            (&"missing_field".into(), &"last_name".into())
        );
        assert_eq!(json["reference"], "AbC-1");
    }

    /// A tiny reader of our own pages: what a parser would take for a tag, outside of quotes.
    fn tags(page: &str) -> Vec<String> {
        let mut tags = Vec::new();
        let mut rest = page;
        while let Some(at) = rest.find('<') {
            let mut quoted = false;
            let end = rest[at..].find(|character| {
                quoted ^= character == '"';
                character == '>' && !quoted
            });
            let end = at + end.expect("every tag ends");
            tags.push(rest[at + 1..end].split([' ', '\n']).next().unwrap_or("").to_owned());
            rest = &rest[end + 1..];
        }
        tags
    }

    const TAGS: &[&str] = &[
        "!doctype",
        "html",
        "head",
        "meta",
        "title",
        "/title",
        "style",
        "/style",
        "/head",
        "body",
        "main",
        "h1",
        "/h1",
        "p",
        "/p",
        "code",
        "/code",
        "dl",
        "dt",
        "/dt",
        "dd",
        "/dd",
        "/dl",
        "time",
        "/time",
        "h2",
        "/h2",
        "form",
        "label",
        "span",
        "bdi",
        "/bdi",
        "/span",
        "input",
        "textarea",
        "/textarea",
        "/label",
        "details",
        "summary",
        "/summary",
        "/details",
        "button",
        "/button",
        "/form",
        "/main",
        "/body",
        "/html",
    ];

    proptest! {
        #[test]
        fn nothing_that_was_typed_becomes_markup(
            fields in prop::collection::vec(
                ("(<script>|\"|'| onload=|[a-z]{1,6}|</textarea>|password){0,3}",
                 "(</textarea>|<script>alert\\(1\\)</script>|\"|'|&quot;|&|>|\r|\n|\u{0}|\u{202e}|[a-zа-я ]{1,9}){0,6}"), 0..8),
            missing in prop::collection::vec("(<img src=x>|\"|[a-z]{1,5}){0,2}", 0..2),
        ) {
            let denied = Denied { missing, ..Refusal::MissingField.into() };
            let typed = Typed { fields, method: "post", multipart: false };
            let (_, page) = text(&refused(&denied, Some(&typed)), Form::Html);
            for tag in tags(&page) {
                prop_assert!(TAGS.contains(&tag.as_str()), "{tag} in {page}");
            }
            let body: usize = typed.fields.iter().map(|(name, value)| name.len() * 2 + value.len()).sum();
            prop_assert!(page.len() < 8_000 + 6 * body + 300 * typed.fields.len());
        }
    }
}
