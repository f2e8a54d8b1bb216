//! Unsubscribing: `GET /u/{token}` asks, `POST /u/{token}` acts.
//!
//! In: a token of ours; a body whose only word that counts is `List-Unsubscribe=One-Click` (RFC 8058). Out: a page, and for a POST an event: consent
//! to the mailing is withdrawn. Refuses: a token that our keys did not sign, and a log that can't take the event. Promises: whoever only
//! looks (a scanner, a preview) changes nothing; nobody who asks to be left alone is limited, for only we can have given the token.

use hyper::Method;
use hyper::body::Incoming;
use hyper::header::ACCEPT;
use std::time::Duration;

use crate::check::Refusal;
use crate::check::flags::Flag;
use crate::check::origin::Trail;
use crate::event::{EventType, SourceKind};
use crate::ids::RecipientKey;
use crate::receive::pairs::pairs;
use crate::receive::record::{self, Answer, Denied};
use crate::receive::reply::{self, Form};
use crate::receive::visit::Visit;
use crate::receive::{body, refuse};
use crate::tokens::verify_unsubscribe;

/// `List-Unsubscribe=One-Click`, as multipart at most.
const BODY_BYTES_MAX: usize = 4_096;

/// Answers `/u/{token}`.
///
/// # Errors
/// When the token is none of ours, or the log can't take the event.
pub async fn answer(visit: &Visit<'_>, token: &str, sent: Incoming) -> Result<Answer, Denied> {
    let edge = visit.edge;
    let claim = verify_unsubscribe(&edge.keys, token).ok_or(Refusal::NotFound)?;
    let mailing = edge.registry.mailing_numbered(claim.mailing).ok_or(Refusal::NotFound)?;
    let site = edge.registry.site(&mailing.site).ok_or(Refusal::NotFound)?;
    let headers = &visit.parts.headers;
    let (texts, frame) =
        (refuse::texts(headers, Some(site), None), refuse::frame(edge, Some(site)));
    if visit.parts.method != Method::POST {
        return Ok(Answer::answered(reply::link::unsubscribe(texts, frame)));
    }
    let within = Duration::from_millis(edge.settings.body_timeout_ms);
    // Whatever else the body is: the token says it all.
    let sent = body::read(sent, headers, BODY_BYTES_MAX, within).await.unwrap_or_default();
    let mut trail = Trail::default();
    if is_one_click(&sent) {
        trail.flags.set(Flag::OneClick);
    }
    let (mut event, _) = visit.event(EventType::Unsubscribe, SourceKind::WebForm, site, trail);
    event.promotion.mailing.clone_from(&mailing.name);
    event.promotion.campaign.clone_from(&mailing.campaign);
    event.recipient = RecipientKey(claim.recipient);
    let receipt = record::durable(edge, &event).await?;
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let form = Form::preferred(accept, false);
    let mut reply = reply::link::unsubscribed(form, texts, frame, &receipt, visit.now_ms);
    reply::with_receipt(&mut reply, &receipt);
    Ok(Answer::accepted(reply))
}

/// True for RFC 8058's words, urlencoded or as a part of multipart/form-data.
fn is_one_click(sent: &[u8]) -> bool {
    let named = |name: &str| name.eq_ignore_ascii_case("List-Unsubscribe");
    let urlencoded = pairs(sent)
        .any(|pair| named(&pair.name) && pair.value.trim().eq_ignore_ascii_case("One-Click"));
    let holds = |word: &[u8]| sent.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    urlencoded || (holds(b"name=\"list-unsubscribe\"") && holds(b"one-click"))
}

#[cfg(test)]
mod tests {
    use super::is_one_click;

    #[test]
    fn the_words_of_one_click_are_known_in_both_encodings() {
        assert!(is_one_click(b"List-Unsubscribe=One-Click"));
        assert!(is_one_click(b"a=b&list-unsubscribe=one-click"));
        let part = b"--x\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x--\r\n";
        assert!(is_one_click(part));
        for no in [&b""[..], b"List-Unsubscribe=", b"One-Click", b"x=One-Click"] {
            assert!(!is_one_click(no));
        }
    }
}
