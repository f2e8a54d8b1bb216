//! A vendor's own answer, as a response.
//!
//! In: the dialect, the path, what the client wants. Out: the answer that the vendor's clients depend on, or nothing where they get ours.
//! Promises: an answer tells no more than ours would: a receipt, a page of the site's own, a reason code.

use hyper::StatusCode;

use crate::check::Refusal;
use crate::check::dialects::Dialect;
use crate::check::dialects::reply::{Reply as Vendor, Slots, Written};
use crate::receive::pairs::pairs;
use crate::receive::reply::{self, Form, Reply};

/// How one client is spoken to.
#[derive(Clone, Copy)]
pub struct Speech<'a> {
    vendor: Option<&'a Vendor>,
    query: &'a str,
}

impl<'a> Speech<'a> {
    /// `path` is the vendor's path as its file has it; empty at `/f/…`.
    pub fn new(
        dialect: &'a Dialect,
        path: &str,
        query: &'a str,
        form: Form,
        accepts_page: bool,
    ) -> Self {
        let has = |name: &str| pairs(query.as_bytes()).any(|pair| pair.name == name);
        Self { vendor: dialect.reply(path, form == Form::Json, accepts_page, has), query }
    }

    /// Ours.
    pub fn ours() -> Self {
        Self { vendor: None, query: "" }
    }

    /// Scripts know a form by the last part of its id.
    fn slots<'b>(&self, callback: &'b str, form: &'b str) -> Slots<'b> {
        let form = form.rsplit('/').next().unwrap_or(form);
        Slots { callback, form, ..Slots::default() }
    }

    fn callback(&self) -> String {
        let wanted = self.vendor.map_or("", |vendor| vendor.query.as_str());
        let found =
            pairs(self.query.as_bytes()).find(|pair| !wanted.is_empty() && pair.name == wanted);
        found.map_or_else(String::new, |pair| pair.value.into_owned())
    }

    /// The answer to a post that was taken; `None`: answer as we do.
    pub fn taken(&self, receipt: &str, next: &str, form: &str) -> Option<Reply> {
        written(self.vendor?, self.taken_in_words(receipt, next, form)?)
    }

    /// The same, as status and body.
    pub fn taken_in_words(&self, receipt: &str, next: &str, form: &str) -> Option<Written> {
        let callback = self.callback();
        let slots = Slots { receipt, next, ..self.slots(&callback, form) };
        self.vendor?.taken(&slots)
    }

    /// The answer to a refused one; `None`: refuse as we do.
    pub fn refused(&self, refusal: Refusal, field: &str, form: &str) -> Option<Reply> {
        let vendor = self.vendor?;
        let callback = self.callback();
        let slots = Slots { field, ..self.slots(&callback, form) };
        written(vendor, vendor.refused(refusal, &slots)?)
    }
}

fn written(vendor: &Vendor, (status, body): Written) -> Option<Reply> {
    let status = StatusCode::from_u16(status).ok()?;
    reply::vendor(status, &vendor.content_type, body)
}
