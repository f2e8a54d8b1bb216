//! A submission: one form's post, read and sorted by what its dialect says.
//!
//! In: a body, the query, the door it came through. Out: a [`Submission`]: which form of which site, the dialect and why it is this one, what
//! the post is, every field in order. Refuses: what can't be read, nothing filled, an unknown form, a required field that is empty.
//! Promises: captcha and session tokens and fingerprints go no further; of a client's address in a field only the network is kept; a
//! return URL that is not followed stays among the fields; nothing else is taken out but what has a place of its own in the event.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use crate::check::Refusal;
use crate::check::dialects::doors::{Chosen, Door, Doors};
use crate::check::dialects::{Dialect, Role};
use crate::check::flags::Flag;
use crate::check::lead_field::LeadField;
use crate::check::origin::Trail;
use crate::check::return_url::{self, Wish};
use crate::check::spam;
use crate::event::EventType;
use crate::personal::{ClientIp, PersonalText};
use crate::receive::charset::Charset;
use crate::receive::fields::{BodyType, Caps, Fields};
use crate::receive::json;
use crate::registry::{Files, Form, Site};
use url::Url;

/// The field that keeps what a vendor's path says of a form that nobody registered.
pub const PATH_ID: &str = "leadtrail.form";

/// Which door a post came through.
#[derive(Clone, Copy, Debug)]
pub enum Address<'a> {
    /// `/f/{form}`.
    Own(&'a Arc<Form>, &'a Arc<Site>),
    /// A vendor's own path.
    Vendor(&'a Door<'a>),
}

impl<'a> Address<'a> {
    /// Whose door it is.
    pub fn site(self) -> &'a Arc<Site> {
        match self {
            Self::Own(_, site) => site,
            Self::Vendor(door) => door.site,
        }
    }

    /// The dialect that is sure before the body is read: it decides how errors are told.
    pub fn dialect(self, doors: &Doors) -> Option<usize> {
        match self {
            Self::Own(form, _) => doors.configured(form),
            Self::Vendor(door) => door.candidates.first().map(|first| first.dialect),
        }
    }
}

/// A request, as far as a submission is in it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The body's type; `None` where the method is GET and the query is all there is.
    pub kind: Option<&'a BodyType>,
    /// The body.
    pub body: &'a [u8],
    /// The query, without its `?`.
    pub query: &'a str,
    /// The path.
    pub path: &'a str,
    /// The `Referer`.
    pub referer: &'a str,
    /// True when an `Origin` came that is none of the site's.
    pub origin_is_foreign: bool,
}

/// What became of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Stored among the lead's fields.
    Kept,
    /// Stored, cut to its network.
    Cut,
    /// Taken for the event's origin: click id, campaign, sub id.
    Origin,
    /// Taken as the return URL.
    Followed,
    /// Never stored.
    Dropped,
}

/// Who looks on while fields are sorted: the spam signals, or `leadtrail form explain`.
pub trait Witness {
    /// Looks at a field before anybody else; true when it must not be kept.
    fn takes(&mut self, name: &str, value: &str) -> bool;

    /// A field, what its dialect says it is, and what became of it.
    fn field(&mut self, name: &str, value: &str, role: Role, fate: Fate);
}

impl Witness for spam::Look<'_> {
    fn takes(&mut self, name: &str, value: &str) -> bool {
        self.take_field(name, value)
    }

    fn field(&mut self, _: &str, _: &str, _: Role, _: Fate) {}
}

/// A post, sorted.
#[derive(Debug)]
pub struct Submission {
    /// Lead, complaint, service contact or unsubscription.
    pub event: EventType,
    /// Where the visitor came from.
    pub trail: Trail,
    /// Every field that is stored, in order.
    pub fields: Vec<(String, PersonalText)>,
    /// Where the browser goes.
    pub return_url: Option<String>,
}

/// Why a post is refused, and where the form wants the browser then.
#[derive(Debug)]
pub struct Unfit {
    /// Why.
    pub refusal: Refusal,
    /// A page of the site's own.
    pub error_url: Option<String>,
    /// The required fields that are missing.
    pub missing: Vec<String>,
}

impl From<Refusal> for Unfit {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, error_url: None, missing: Vec::new() }
    }
}

/// Reads the fields and finds out what they are for.
///
/// # Errors
/// When they can't be read, or no form is meant.
pub fn read<'a>(
    address: Address<'a>,
    message: &Message<'_>,
    doors: &Doors,
    caps: impl Into<Caps>,
) -> Result<(Chosen<'a>, Fields), Refusal> {
    let dialects = &*doors.dialects;
    let sure = address.dialect(doors).map(|place| dialects.at(place));
    let caps = caps.into();
    // At a vendor's path the form, and with it its page's charset, is known only by the fields.
    let supposed = match address {
        Address::Own(form, _) => form.charset,
        Address::Vendor(_) => Charset::default(),
    };
    let mut fields = fields_of(message, sure.map(|dialect| &**dialect), caps, supposed)?;
    let choose = |fields: &Fields| match address {
        Address::Own(form, site) => Some(doors.own(form, site, &fields.list)),
        Address::Vendor(door) => doors.choose(door, &fields.list),
    };
    let chosen = choose(&fields).ok_or(Refusal::NotFound)?;
    let dialect = dialects.at(chosen.dialect);
    let read_so = sure.and_then(|dialect| dialect.listed());
    let is_listed = message.kind == Some(&BodyType::Json) && dialect.listed() != read_so;
    if is_listed || chosen.form.charset != supposed {
        fields = fields_of(message, Some(dialect), caps, chosen.form.charset)?;
    }
    if fields.flags.has(Flag::FileSkipped) && chosen.form.files(chosen.site) == Files::Refuse {
        return Err(Refusal::FileRefused);
    }
    Ok((chosen, fields))
}

fn fields_of(
    message: &Message<'_>,
    dialect: Option<&Dialect>,
    caps: Caps,
    charset: Charset,
) -> Result<Fields, Refusal> {
    let listed = dialect.and_then(Dialect::listed);
    let mut fields = match (message.kind, listed) {
        (Some(BodyType::Json), Some(listed)) => {
            let mut fields = Fields::new(caps);
            json::read_listed(message.body, listed, &mut fields)?;
            fields
        }
        (Some(kind), _) if charset.is_utf8() => Fields::read(kind, message.body, caps)?,
        (Some(kind), _) => Fields::read(&kind.clone().or_in(charset), message.body, caps)?,
        (None, _) => Fields::new(caps),
    };
    // What the action's own query says was posted, too, and comes after what was typed.
    fields.pairs(message.query.as_bytes(), charset)?;
    Ok(fields)
}

/// What is collected while fields are sorted.
struct Sorting<'a> {
    site: &'a Site,
    dialect: &'a Dialect,
    referer: &'a str,
    trail: Trail,
    fields: Vec<(String, PersonalText)>,
    return_url: Option<String>,
    error_url: Option<String>,
    page: Option<String>,
    event: Option<EventType>,
    columns: Vec<LeadField>,
    requires: bool,
    filled: bool,
}

/// Sorts the fields.
///
/// # Errors
/// When nothing is filled, or a field that the form requires is not.
pub fn sort(
    chosen: &Chosen<'_>,
    posted: Fields,
    message: &Message<'_>,
    dialect: &Dialect,
    witness: &mut impl Witness,
) -> Result<Submission, Unfit> {
    let mut sorting = Sorting {
        site: chosen.site,
        dialect,
        referer: message.referer,
        trail: Trail { flags: posted.flags, ..Trail::default() },
        fields: Vec::with_capacity(posted.list.len() + 1),
        return_url: None,
        error_url: None,
        page: None,
        event: None,
        columns: Vec::new(),
        requires: !chosen.form.required.is_empty(),
        filled: posted.flags.has(Flag::FileSkipped),
    };
    if !chosen.registered && chosen.id_in_path {
        sorting.fields.push((PATH_ID.to_owned(), PersonalText::new(chosen.id.clone())));
    }
    for (name, value) in posted.list {
        let (role, fate) = match witness.takes(&name, &value) {
            true => (Role::Dropped, Fate::Dropped),
            false => sorting.take(&name, &value),
        };
        witness.field(&name, &value, role, fate);
        match fate {
            Fate::Kept => sorting.fields.push((name, PersonalText::new(value))),
            Fate::Cut => {
                let cut = sorting.without_addresses(&name, &value, role);
                sorting.fields.push((name, PersonalText::new(cut)));
            }
            Fate::Origin | Fate::Followed | Fate::Dropped => {}
        }
    }
    sorting.finish(chosen, message)
}

impl Sorting<'_> {
    fn take(&mut self, name: &str, value: &str) -> (Role, Fate) {
        let role = match self.dialect.role(name) {
            Role::Unknown if return_url::is_name(name) => Role::ReturnUrl,
            role => role,
        };
        let is_blank = value.trim().is_empty();
        let fate = match role {
            Role::Dropped => Fate::Dropped,
            Role::ReturnUrl => self.returns(value, false),
            Role::ErrorUrl => self.returns(value, true),
            Role::Address if is_address(value) => Fate::Cut,
            Role::Context => self.context(name, value),
            Role::Page => {
                self.page_is(value);
                Fate::Kept
            }
            Role::Unknown if self.trail.take_field(self.dialect.plain_name(name), value) => {
                Fate::Origin
            }
            _ => Fate::Kept,
        };
        if is_blank || matches!(role, Role::Dropped | Role::ReturnUrl | Role::ErrorUrl) {
            return (role, fate);
        }
        match role {
            // A checkbox that a script sends whether it is ticked or not.
            Role::Honeypot if value.trim() == "false" => {}
            Role::Honeypot => self.trail.flags.set(Flag::Honeypot),
            Role::Column(column) => self.columns.push(column),
            // Only where somebody asks: other forms need not look.
            Role::Unknown if self.requires => self.columns.extend(by_its_own_name(name)),
            _ => {}
        }
        if self.event.is_none() && role != Role::Honeypot {
            self.event = self.dialect.event_by(name, value);
        }
        self.filled |= fate != Fate::Origin && !matches!(role, Role::Kept | Role::Honeypot);
        (role, fate)
    }

    /// Follows the first return URL that leads to the site itself.
    fn returns(&mut self, value: &str, after_error: bool) -> Fate {
        let slot = if after_error { &mut self.error_url } else { &mut self.return_url };
        match return_url::judge(self.site, value, self.referer) {
            Wish::Allowed(url) if slot.is_none() => {
                *slot = Some(url.into());
                Fate::Followed
            }
            Wish::Allowed(_) | Wish::Nothing => Fate::Kept,
            Wish::Refused => {
                self.trail.flags.set(Flag::ReturnUrlRefused);
                Fate::Kept
            }
        }
    }

    fn page_is(&mut self, value: &str) {
        let own = |url: &str| {
            Url::parse(url)
                .is_ok_and(|url| self.site.owns_origin(&url.origin().ascii_serialization()))
        };
        if self.page.is_none() && own(value.trim()) {
            self.page = Some(value.trim().to_owned());
        }
    }

    /// JSON in a field: the page that it names, and whether it holds the client's address.
    fn context(&mut self, name: &str, value: &str) -> Fate {
        let mut fate = Fate::Kept;
        for (member, text) in json::texts(value) {
            match self.dialect.role(&format!("{name}.{member}")) {
                Role::Page => self.page_is(&text),
                Role::ReturnUrl => {
                    self.returns(&text, false);
                }
                Role::Address => fate = Fate::Cut,
                _ => {}
            }
        }
        fate
    }

    fn without_addresses(&self, name: &str, value: &str, role: Role) -> String {
        if role != Role::Context {
            return network(value);
        }
        let members = json::texts(value).into_iter();
        members
            .filter(|(member, _)| self.dialect.role(&format!("{name}.{member}")) == Role::Address)
            .fold(value.to_owned(), |text, (_, address)| match address.is_empty() {
                true => text,
                false => text.replace(&address, &network(&address)),
            })
    }

    fn finish(mut self, chosen: &Chosen<'_>, message: &Message<'_>) -> Result<Submission, Unfit> {
        let missing = |wanted: &LeadField| !self.columns.contains(wanted);
        let required = chosen.form.required.iter().filter_map(|name| LeadField::parse(name));
        let absent: Vec<String> =
            required.filter(missing).map(|field| field.name().to_owned()).collect();
        if !self.filled || !absent.is_empty() {
            let refusal = if self.filled { Refusal::MissingField } else { Refusal::Empty };
            return Err(Unfit { refusal, error_url: self.error_url, missing: absent });
        }
        if self.dialect.required.iter().any(missing) {
            self.trail.flags.set(Flag::RequiredMissing);
        }
        let page = self.page.as_deref().map_or(Cow::Borrowed(message.referer), Cow::Borrowed);
        self.trail.page(&page);
        if message.origin_is_foreign {
            self.trail.flags.set(Flag::OriginForeign);
        }
        let own_page = self.dialect.page_is_return() && message.path != "/";
        let return_url = self.return_url.or_else(|| {
            match own_page.then(|| return_url::judge(self.site, message.path, "")) {
                Some(Wish::Allowed(page)) => Some(page.into()),
                _ => None,
            }
        });
        Ok(Submission {
            event: self.event.unwrap_or(self.dialect.usual_event()),
            trail: self.trail,
            fields: self.fields,
            return_url,
        })
    }
}

/// The canonical field that a name says by itself, however it is written: `E-Mail`, `firstName`.
fn by_its_own_name(name: &str) -> Option<LeadField> {
    let plain = |text: &str| text.replace([' ', '-', '_'], "").to_ascii_lowercase();
    let name = plain(name);
    LeadField::ALL.iter().copied().find(|field| plain(field.name()) == name)
}

/// True for text that is an address, or looks enough like one.
fn is_address(value: &str) -> bool {
    !value.trim().is_empty() && value.contains(['.', ':'])
}

/// An address' network; what is none is left out.
fn network(value: &str) -> String {
    match value.trim().parse::<IpAddr>() {
        Ok(address) => ClientIp::new(address).cut().address().to_string(),
        Err(_) => crate::check::redact::REDACTED.to_owned(),
    }
}
