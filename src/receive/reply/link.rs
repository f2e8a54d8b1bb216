//! Link pages: what a visitor reads where a link leads nowhere, and where one unsubscribes.
//!
//! In: texts, the site's frame. Out: a page. Refuses: nothing. Promises: nothing that the request held stands in it; what acts is a form that
//! has to be sent, so that whoever only looks changes nothing.

use hyper::StatusCode;

use super::page::{Frame, Use, page};
use super::texts::Texts;
use super::{Form, Reply, plain, thanks};
use crate::check::Refusal;

/// A link that leads nowhere: unknown, or over.
pub fn nowhere(refusal: Refusal, texts: &Texts, frame: &Frame) -> Reply {
    let text = if refusal == Refusal::Gone { &texts.link_over } else { &texts.link_unknown };
    let body = ["<p>", text, "</p>\n"].concat();
    page(refusal.status(), texts, frame, (&texts.link_title, &body), Use::Reading)
}

/// Asks whether to unsubscribe. The form posts to the address that it came from.
pub fn unsubscribe(texts: &Texts, frame: &Frame) -> Reply {
    let body = [
        "<p>",
        &texts.unsubscribe_text,
        "</p>\n<form method=\"post\"><button type=\"submit\">",
        &texts.unsubscribe_button,
        "</button></form>\n",
    ]
    .concat();
    page(StatusCode::OK, texts, frame, (&texts.unsubscribe_title, &body), Use::Sending)
}

/// Says that it was done.
pub fn unsubscribed(form: Form, texts: &Texts, frame: &Frame, receipt: &str, at_ms: i64) -> Reply {
    if form == Form::Json {
        let text = format!("{{\"unsubscribed\":true,\"receipt\":\"{receipt}\"}}\n");
        return plain(StatusCode::OK, text, "application/json");
    }
    let facts = thanks::facts(texts, &texts.receipt, receipt, at_ms);
    let body = ["<p>", &texts.unsubscribed_text, "</p>\n", &facts].concat();
    page(StatusCode::OK, texts, frame, (&texts.unsubscribed_title, &body), Use::Reading)
}
