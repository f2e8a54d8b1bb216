//! A lead of a batch: the fields of a registered form, read as that form reads its posts.
//!
//! In: `form` and `fields`. Out: the event filled in. Refuses: a form that isn't registered for the site, fields over the edge's limits, none that is filled, a required one that is missing.
//! Promises: aliases, required fields, click ids and campaign values mean what they mean at `/f/{form}`; captcha tokens are not stored.

use std::sync::Arc;

use crate::check::Refusal;
use crate::check::dialects::dialect::Role;
use crate::check::spam;
use crate::check::submission::key as submission_key;
use crate::event::{Event, FormPost};
use crate::receive::api::item::{Unfit, Wish};
use crate::receive::api::members::Members;
use crate::receive::fields::BodyType;
use crate::receive::submission::{self, Address, Fate, Message, Witness};
use crate::registry::Site;

/// The longest name of a form, and the longest URL of a page.
const WORD_BYTES_MAX: usize = 64;

/// As long as browsers' are in practice.
const PAGE_BYTES_MAX: usize = 2_048;

/// A server was no visitor: what only a browser's behaviour tells is not asked.
struct Server;

impl Witness for Server {
    fn takes(&mut self, name: &str, _: &str) -> bool {
        name == spam::RENDERED_FIELD || spam::is_captcha_token(name)
    }

    fn field(&mut self, _: &str, _: &str, _: Role, _: Fate) {}
}

/// Fills the event in.
///
/// # Errors
/// With the refusal and the member that it is about.
pub fn fill(
    event: &mut Event,
    members: &mut Members<'_>,
    wish: &Wish<'_>,
    site: &Arc<Site>,
) -> Result<(), Unfit> {
    let name = members.text("form", WORD_BYTES_MAX)?;
    if name.is_empty() {
        return Err(Unfit::new(Refusal::MissingField, "form"));
    }
    let form = wish.registry.form(&name).filter(|form| form.site == site.name);
    let form = form.ok_or_else(|| Unfit::new(Refusal::BadValue, "form"))?;
    let page = members.text("page", PAGE_BYTES_MAX)?;
    let fields =
        members.raw("fields").ok_or_else(|| Unfit::new(Refusal::MissingField, "fields"))?;
    if !fields.starts_with('{') {
        return Err(Unfit::new(Refusal::BadValue, "fields"));
    }
    let address = Address::Own(form, site);
    let message = Message {
        kind: Some(&BodyType::Json),
        body: fields.as_bytes(),
        query: "",
        path: "",
        referer: &page,
        origin_is_foreign: false,
    };
    let about = |refusal| Unfit::new(refusal, "fields");
    let (chosen, posted) =
        submission::read(address, &message, wish.doors, wish.caps).map_err(about)?;
    let dialect = wish.doors.dialects.at(chosen.dialect);
    let sorted = submission::sort(&chosen, posted, &message, dialect, &mut Server);
    let sorted = sorted.map_err(|unfit| {
        let missing = unfit.missing.first().map(|name| format!("fields.{name}"));
        Unfit::new(unfit.refusal, missing.unwrap_or_else(|| "fields".to_owned()))
    })?;
    let mut trail = sorted.trail;
    event.event_type = sorted.event;
    event.parent_click = trail.parent(wish.keys);
    event.flags = trail.flags.words();
    event.origin = trail.origin;
    event.submission_key = submission_key(wish.keys, event, (&name, &sorted.fields), None);
    event.form =
        Some(FormPost { form: name, dialect: dialect.name().to_owned(), fields: sorted.fields });
    Ok(())
}
