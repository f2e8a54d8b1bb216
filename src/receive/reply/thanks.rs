//! Thanks and receipts: the pages that say what became of something.
//!
//! In: a receipt or a refusal's reference, with its time. Out: a page or JSON. Refuses: nothing. Promises: no personal value:
//! neither page nor JSON holds anything that was typed.

use hyper::StatusCode;

use super::page::{Frame, Use, page, time};
use super::texts::Texts;
use super::{Form, Reply, plain};
use crate::check::Refusal;
use crate::tokens::RefusalClaim;

/// A form's answer where the site has no page of its own.
pub fn thank_you(texts: &Texts, frame: &Frame, receipt: &str, at_ms: i64) -> Reply {
    let body = [
        "<p>",
        &texts.thanks_text,
        "</p>\n",
        &facts(texts, &texts.receipt, receipt, at_ms),
        "<p>",
        &texts.keep,
        "</p>\n",
    ]
    .concat();
    page(StatusCode::OK, texts, frame, (&texts.thanks_title, &body), Use::Reading)
}

/// What a receipt says: that the event was received, and when.
pub fn received(form: Form, texts: &Texts, frame: &Frame, receipt: &str, at_ms: i64) -> Reply {
    if form == Form::Json {
        let text = format!("{{\"status\":\"received\",\"time\":\"{}\"}}\n", instant(at_ms));
        return plain(StatusCode::OK, text, "application/json");
    }
    let body =
        ["<p>", &texts.received_text, "</p>\n", &facts(texts, &texts.receipt, receipt, at_ms)]
            .concat();
    page(StatusCode::OK, texts, frame, (&texts.received_title, &body), Use::Reading)
}

/// What a refusal's reference says: what the sender was told already. A code of an earlier version is told as it is.
pub fn refused(
    form: Form,
    texts: &Texts,
    frame: &Frame,
    reference: &str,
    claim: &RefusalClaim,
) -> Reply {
    let code = &claim.code;
    let known = Refusal::ALL.iter().find(|refusal| refusal.code() == code).copied();
    if form == Form::Json {
        let message = known.map_or("", Refusal::sentence);
        let text = format!(
            "{{\"status\":\"refused\",\"error\":\"{code}\",\"message\":\"{message}\",\"time\":\"{}\"}}\n",
            instant(claim.at_ms)
        );
        return plain(StatusCode::OK, text, "application/json");
    }
    let body = [
        "<p>",
        &texts.refused_text,
        "</p>\n<p>",
        known.map_or("", |refusal| texts.refusal(refusal)),
        "</p>\n",
        &reason(texts, code),
        &facts(texts, &texts.reference, reference, claim.at_ms),
    ]
    .concat();
    page(StatusCode::OK, texts, frame, (&texts.refused_title, &body), Use::Reading)
}

/// A token and its time. Tokens are base64url, which is no markup.
pub fn facts(texts: &Texts, label: &str, token: &str, at_ms: i64) -> String {
    let rows = ["<dl><dt>", label, "</dt><dd><code>", token, "</code></dd>\n<dt>", &texts.time];
    [&rows.concat(), "</dt><dd>", &time(at_ms), "</dd></dl>\n"].concat()
}

/// A reason's code: a closed word, or one that we signed.
pub fn reason(texts: &Texts, code: &str) -> String {
    ["<p>", &texts.reason, ": <code>", code, "</code></p>\n"].concat()
}

fn instant(at_ms: i64) -> String {
    let instant = jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default();
    format!("{instant:.3}")
}
