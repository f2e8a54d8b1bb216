//! Refusing: what the sender is told, and what the operator will see of it.
//!
//! In: a [`Denied`], and what is known of whom it meets. Out: an [`Answer`] in the visitor's language, with a reference under which
//! the refusal can be looked up for ever (time and reason, signed: nothing has to be remembered). Refuses: nothing. Promises: what
//! was typed goes back to its sender and nowhere else.

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::ACCEPT_LANGUAGE;

use crate::check::Refusal;
use crate::ids::now_millis;
use crate::language::Language;
use crate::receive::Edge;
use crate::receive::fields::{BodyType, Fields};
use crate::receive::record::{Answer, Denied};
use crate::receive::refusals::About;
use crate::receive::reply::error::{self, Refused, Typed};
use crate::receive::reply::page::Frame;
use crate::receive::reply::texts::Texts;
use crate::receive::reply::{self};
use crate::receive::shape;
use crate::receive::tally::Settled;
use crate::registry::{Form, Site};
use crate::tokens::sign_refusal;

/// Whom a refusal meets, as far as that is known.
#[derive(Clone, Copy, Default)]
pub struct Whom<'a> {
    /// Whose site.
    pub site: Option<&'a Site>,
    /// Which form.
    pub form: Option<&'a Form>,
    /// What was sent to it, if it was read.
    pub sent: Option<Sent<'a>>,
}

/// A body that was read.
#[derive(Clone, Copy)]
pub struct Sent<'a> {
    /// Its type.
    pub kind: &'a BodyType,
    /// Its bytes; with method GET those of the query.
    pub body: &'a Bytes,
    /// `post` or `get`.
    pub method: &'static str,
}

/// The texts in which to answer.
pub fn texts(headers: &HeaderMap, site: Option<&Site>, form: Option<&Form>) -> &'static Texts {
    let wish = headers.get(ACCEPT_LANGUAGE).and_then(|wish| wish.to_str().ok()).unwrap_or("");
    let own = [form.and_then(|form| form.language), site.and_then(|site| site.language)];
    Texts::of(Language::choose(wish, own))
}

/// The frame of the site's pages.
pub fn frame<'a>(edge: &'a Edge, site: Option<&Site>) -> &'a Frame {
    site.map_or(&edge.frames.nobody, |site| edge.frames.of(site))
}

/// The answer to what is refused.
pub fn answer(
    edge: &Edge,
    headers: &HeaderMap,
    denied: &Denied,
    form_of_reply: reply::Form,
    whom: Whom<'_>,
) -> Answer {
    let refusal = denied.refusal;
    let at_ms = now_millis();
    // Where there is no door nothing was sent, and the answer is always the same.
    let reference = match refusal {
        Refusal::NotFound | Refusal::MethodNotAllowed => String::new(),
        _ => sign_refusal(&edge.keys, at_ms, refusal.code()),
    };
    let typed = whom.sent.and_then(typed);
    let about = About {
        site: whom.site.map_or_else(String::new, |site| site.name.clone()),
        form: whom.form.map_or_else(String::new, |form| form.name.clone()),
        sample: whom.sent.zip(typed.as_ref()).map_or_else(String::new, |(sent, typed)| {
            shape::of(sent.kind, sent.body.len(), &typed.fields)
        }),
        ..About::default()
    };
    let refused = Refused { denied, reference: &reference, at_ms, typed: typed.as_ref() };
    let texts = texts(headers, whom.site, whom.form);
    let reply = error::reply(&refused, form_of_reply, texts, frame(edge, whom.site));
    Answer { reply, settled: Settled::Refused(refusal), about }
}

/// The answer to a link that leads nowhere: a page for people, whatever is missing about it.
pub fn link(edge: &Edge, headers: &HeaderMap, refusal: Refusal) -> Answer {
    let reply = reply::link::nowhere(refusal, texts(headers, None, None), &edge.frames.nobody);
    Answer { reply, settled: Settled::Refused(refusal), about: Default::default() }
}

/// Reads a form that was refused once more, without the caps that it may have broken. What can't be read, or holds nothing, is not
/// given back.
fn typed(sent: Sent<'_>) -> Option<Typed> {
    let fields = Fields::read_whole(sent.kind, sent.body).ok()?.list;
    let multipart = matches!(sent.kind, BodyType::Multipart { .. });
    (!fields.is_empty()).then_some(Typed { fields, method: sent.method, multipart })
}
