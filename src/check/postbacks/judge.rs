//! Judging: a request becomes what the log will hold of it.
//!
//! In: a request, the installed postback, our keys and the registry. Out: [`Judged`]. Refuses: an address that isn't listed, a proof that is
//! missing or wrong, a postback that can't be read. Promises: what proves nothing says no more than `pending`; what looks
//! like fraud is flagged and kept; nothing personal is in what goes on.

use std::borrow::Cow;
use std::net::IpAddr;

use super::file::{Authentication, Role};
use super::installed::Installed;
use super::path;
use super::read::{self, looks_personal};
use super::reading::{Reading, Refused};
use super::sign::{self, Presented};
use super::status::Status;
use crate::check::Refusal;
use crate::check::flags::{Flag, Flags};
use crate::check::fraud;
use crate::check::redact;
use crate::event::{EventType, Partner, Worth};
use crate::ids::EventId;
use crate::keys::Keys;
use crate::receive::fields::{BodyType, Fields};
use crate::receive::pairs::pairs;
use crate::registry::{Offer, Registry};
use crate::tokens::{ClickClaim, verify_click};

/// An id that is longer is kept as its hash.
const ID_BYTES_MAX: usize = 256;

/// Members of a JSON body: an order of a shop has some hundred, and `edge.body_bytes_max` bounds them too.
const MEMBERS_MAX: usize = 4_096;

/// Some senders put it before their UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Coupons and their words for a status are cut here.
const WORD_BYTES_MAX: usize = 64;

/// A request for a postback.
pub struct Request<'a> {
    /// The path after the door's name.
    pub rest: &'a str,
    /// Without its `?`.
    pub query: &'a str,
    #[expect(missing_docs, reason = "the name says it all")]
    pub content_type: &'a str,
    #[expect(missing_docs, reason = "the name says it all")]
    pub body: &'a [u8],
    /// What a signature is over: the whole body, also where it held several events.
    pub signed: &'a [u8],
    /// A header's value, by its name in lower case.
    pub header: &'a dyn Fn(&str) -> Option<String>,
    /// Who sends.
    pub client: IpAddr,
    #[expect(missing_docs, reason = "the name says it all")]
    pub now_ms: i64,
    /// Parameters that one postback may have.
    pub fields_max: usize,
}

/// What a postback becomes.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Purchase, conversion, or what became of one.
    pub event_type: EventType,
    /// Our click, if our keys signed its id.
    pub parent: Option<ClickClaim>,
    /// Our offer's name.
    pub offer: String,
    /// When they say it happened.
    pub claimed_ms: Option<i64>,
    #[expect(missing_docs, reason = "the name says it all")]
    pub worth: Worth,
    /// What they say besides.
    pub partner: Partner,
    /// Sub ids.
    pub subs: Vec<(String, String)>,
    #[expect(missing_docs, reason = "the name says it all")]
    pub flags: Flags,
    /// True when the sender has proven who it is.
    pub proven: bool,
}

/// Judges a request; `look` sees the reading before it is given away (for `postback explain`).
///
/// # Errors
/// With the refusal and what it is about.
pub fn judge(
    installed: &Installed,
    registry: &Registry,
    keys: &Keys,
    id: EventId,
    request: &Request<'_>,
    look: &mut dyn FnMut(&Reading<'_>),
) -> Result<Judged, Refused> {
    let about = |refusal: Refusal, about: &str| Refused { refusal, about: about.to_owned() };
    let entry = &installed.entry;
    if !entry.addresses.is_empty()
        && !entry.addresses.iter().any(|net| net.contains(&request.client))
    {
        return Err(about(Refusal::AddressNotListed, "addresses"));
    }
    let (rest, path_secret) = take_secret(installed, request.rest);
    let mut flags = Flags::default();
    let mut fields = gather(installed, rest, request, &mut flags)?;
    let mut proven = path_secret || !entry.addresses.is_empty();
    if !path_secret && !installed.secrets.is_empty() {
        let presented = Presented {
            fields: &fields,
            header: request.header,
            body: request.signed,
            now_s: request.now_ms / 1_000,
        };
        let recipe = &installed.profile.authentication;
        sign::prove(recipe, &installed.secrets, &presented)
            .map_err(|refusal| about(refusal, proof(recipe)))?;
        proven = true;
    }
    if matches!(installed.profile.authentication, Authentication::Clickbank) {
        let plain = sign::clickbank(&installed.secrets, &fields)
            .ok_or_else(|| about(Refusal::SignatureWrong, "notification"))?;
        let read = Fields::read(&BodyType::Json, &plain, request.fields_max);
        fields = read.map_err(|refusal| about(refusal, "notification"))?.list;
        proven = true;
    }
    let reading = read::read(&installed.profile, &fields, entry.currency)?;
    look(&reading);
    Ok(Judge { installed, registry, keys, id, now_ms: request.now_ms, flags }
        .settle(reading, proven))
}

/// What the proof lies in, for messages.
fn proof(recipe: &Authentication) -> &str {
    match recipe {
        Authentication::Secret { parameters, .. } => {
            parameters.first().map_or("secret", String::as_str)
        }
        Authentication::Digest { parameter, header, .. } => {
            if parameter.is_empty() {
                header
            } else {
                parameter
            }
        }
        Authentication::StandardWebhooks => "webhook-signature",
        Authentication::Timestamped { header, .. } => header,
        Authentication::Clickbank => "notification",
    }
}

/// Takes the secret from the front of the path, if it stands there.
fn take_secret<'a>(installed: &Installed, rest: &'a str) -> (&'a str, bool) {
    let (first, tail) = rest.split_once('/').unwrap_or((rest, ""));
    let decoded = percent_encoding::percent_decode_str(first).decode_utf8_lossy();
    let is_secret = !first.is_empty() && installed.secrets.iter().any(|secret| secret.is(&decoded));
    // A networks that signs isn't believed for knowing the path.
    if is_secret && matches!(installed.profile.authentication, Authentication::Secret { .. }) {
        (tail, true)
    } else {
        (rest, false)
    }
}

/// All parameters: of the path, the query and the body.
fn gather(
    installed: &Installed,
    rest: &str,
    request: &Request<'_>,
    flags: &mut Flags,
) -> Result<Vec<(String, String)>, Refused> {
    let refused = |refusal: Refusal| {
        let body =
            matches!(refusal, Refusal::BrokenBody | Refusal::TooDeep | Refusal::UnsupportedType);
        Refused { refusal, about: if body { "body" } else { "request" }.to_owned() }
    };
    let mut fields = Fields::new(request.fields_max);
    let in_path = path::read(&installed.profile, rest).ok_or_else(|| {
        // What stands where a secret belongs is a wrong one.
        let refusal =
            if installed.secrets.is_empty() { Refusal::NotFound } else { Refusal::SecretWrong };
        Refused { refusal, about: "path".to_owned() }
    })?;
    for (name, value) in in_path {
        fields.push(name, value).map_err(refused)?;
    }
    for pair in pairs(request.query.as_bytes()) {
        if pair.lossy {
            flags.set(Flag::InvalidUtf8);
        }
        // An address that was copied out of a page still has the page's `&amp;`.
        let name = pair.name.strip_prefix("amp;").map_or(&*pair.name, |name| name).to_owned();
        fields.push(name, pair.value.into_owned()).map_err(refused)?;
    }
    let sent = request.body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(request.body);
    if !sent.is_empty() {
        let kind = body_type(request.content_type, sent);
        // A shop's order has hundreds of members, of which a few are read; its size is bounded already.
        let max = if matches!(kind, BodyType::Json) { MEMBERS_MAX } else { request.fields_max };
        let room = max.saturating_sub(fields.list.len());
        let body = Fields::read(&kind, sent, room).map_err(refused)?;
        flags.merge(body.flags);
        let named = named_values(&body.list);
        fields.list.extend(body.list);
        fields.list.extend(named);
    }
    Ok(fields.list)
}

/// `{"name": "lt", "value": "…"}` in a list `attributes` is the parameter `attributes.lt`: shops keep what a page adds to an order so.
fn named_values(list: &[(String, String)]) -> Vec<(String, String)> {
    let pairs = list.windows(2).filter_map(|pair| {
        let [(name_path, name), (value_path, value)] = pair else { return None };
        let list = name_path.strip_suffix(".name").or_else(|| name_path.strip_suffix(".key"))?;
        let fits = value_path.strip_prefix(list) == Some(".value") && !name.is_empty();
        fits.then(|| (format!("{list}.{name}"), value.clone()))
    });
    pairs.take(MEMBERS_MAX).collect()
}

/// The parameters of a request as far as they can be read, to tell the shape of what was refused.
pub fn parameters(installed: &Installed, request: &Request<'_>) -> Option<Vec<(String, String)>> {
    let (rest, _) = take_secret(installed, request.rest);
    gather(installed, rest, request, &mut Flags::default()).ok()
}

/// Many senders name no type, or `text/plain`: the first sign tells. JSON that is called a form is what PHP's curl makes of it.
fn body_type(content_type: &str, body: &[u8]) -> BodyType {
    let body = body.trim_ascii();
    let looks_json = match (body.first(), body.last()) {
        (Some(b'{'), Some(b'}')) => body[1..].trim_ascii_start().starts_with(b"\""),
        (Some(b'['), Some(b']')) => body[1..].trim_ascii_start().starts_with(b"{"),
        _ => false,
    };
    match BodyType::parse(content_type) {
        Ok(BodyType::Urlencoded | BodyType::UrlencodedIn(_)) if looks_json => BodyType::Json,
        Ok(kind) => kind,
        Err(_) if matches!(body.first(), Some(b'{' | b'[')) => BodyType::Json,
        Err(_) => BodyType::Urlencoded,
    }
}

/// An id as it may be stored: theirs, unless it is a person's or very long; then its keyed hash, which still tells two apart.
pub fn stored_id(keys: &Keys, value: &str, flags: &mut Flags) -> String {
    let personal = looks_personal(value);
    if personal {
        flags.set(Flag::PersonalInParameters);
    }
    if !personal && value.len() <= ID_BYTES_MAX {
        return value.to_owned();
    }
    let hash = keys.pseudonym("postback id", value);
    format!("h:{:032x}", u128::from_be_bytes(hash))
}

struct Judge<'a> {
    installed: &'a Installed,
    registry: &'a Registry,
    keys: &'a Keys,
    id: EventId,
    now_ms: i64,
    flags: Flags,
}

impl Judge<'_> {
    fn settle(mut self, reading: Reading<'_>, proven: bool) -> Judged {
        let (profile, entry) = (self.installed.profile.clone(), self.installed.entry.clone());
        let text = |role: Role| reading.get(role).map_or("", |found| found.value);
        let (status, _) = reading.status.unwrap_or((Status::Pending, super::status::Why::Unknown));
        let taken_back = reading.amount.is_some_and(|amount| amount.scaled() < 0);
        let event_type = match (status.claims() && !taken_back, reading.is_sale(&profile)) {
            (false, _) => EventType::ConversionStatus,
            (true, true) => EventType::Purchase,
            (true, false) => EventType::Conversion,
        };
        let said = self.offer(text(Role::Offer));
        let (parent, external_click) = self.click(text(Role::ClickId));
        let claimed_ms = self.time(text(Role::Time));
        if let Some(claim) = &parent {
            let at_ms = claimed_ms.unwrap_or(self.now_ms);
            let terms = self.installed.terms;
            let flags = fraud::of_click(claim, said.as_deref(), at_ms, self.registry, terms);
            self.flags.merge(flags);
        }
        let offer = said.clone().or_else(|| {
            let number = parent.map_or(0, |claim| claim.offer);
            self.registry.offer_numbered(number).map(|offer| offer.name.clone())
        });
        self.judge_amount(&reading, offer.as_deref());
        let order_id = self.id_of(text(Role::Order));
        let transaction = match text(Role::Transaction) {
            "" => order_id.clone(),
            own => self.id_of(own),
        };
        if transaction.is_empty() {
            self.flags.set(Flag::TransactionMissing);
        }
        let key = self.key(&said, &transaction, parent.as_ref(), &external_click, &reading.goal);
        let status = if proven || status == Status::Pending {
            status.word()
        } else {
            self.flags.set(Flag::Unauthenticated);
            Status::Pending.word()
        };
        self.flags.merge(reading.flags);
        let mut word = |role: Role| redact::value(text(role), WORD_BYTES_MAX, &mut self.flags);
        let partner = Partner {
            postback: entry.name.clone(),
            transaction,
            key,
            external_click,
            original_status: word(Role::Status),
            coupon: word(Role::Coupon),
            customer: reading.customer,
            duplicates: entry.duplicates.unwrap_or(profile.duplicates),
            test: reading.test || entry.test,
            tax: reading.tax,
            shipping: reading.shipping,
            discount: reading.discount,
            amount_text: reading.amount_text,
            items: reading.items,
            odd: reading
                .odd
                .iter()
                .map(|(name, flag)| (name.to_ascii_lowercase(), (*flag).to_owned()))
                .collect(),
        };
        let worth = Worth {
            goal: reading.goal,
            amount: reading.amount,
            currency: reading.currency,
            order_id,
            status: status.to_owned(),
        };
        Judged {
            event_type,
            parent,
            offer: offer.unwrap_or_default(),
            claimed_ms,
            worth,
            partner,
            subs: reading.subs,
            flags: self.flags,
            proven,
        }
    }

    /// Our offer: the one that theirs is mapped to, else the entry's.
    fn offer(&mut self, theirs: &str) -> Option<String> {
        let entry = &self.installed.entry;
        if let Some(own) = entry.offers.get(theirs) {
            return Some(own.clone());
        }
        if !theirs.is_empty() && !entry.offers.is_empty() {
            self.flags.set(Flag::OfferUnknown);
        }
        (!entry.offer.is_empty()).then(|| entry.offer.clone())
    }

    /// Our click, or theirs.
    fn click(&mut self, value: &str) -> (Option<ClickClaim>, String) {
        if value.is_empty() {
            return (None, String::new());
        }
        if let Some(claim) = verify_click(self.keys, value) {
            return (Some(claim), String::new());
        }
        self.flags.set(fraud::of_unsigned(value));
        (None, self.id_of(value))
    }

    fn judge_amount(&mut self, reading: &Reading<'_>, offer: Option<&str>) {
        let offer: Option<&Offer> =
            offer.and_then(|name| self.registry.offer(name)).map(|one| &**one);
        let Some((ceiling, offer)) = offer.and_then(|offer| Some((offer.amount_max?, offer)))
        else {
            return;
        };
        let comparable = reading.currency.is_none() || reading.currency == offer.currency;
        if comparable && reading.amount.is_some_and(|amount| amount > ceiling) {
            self.flags.set(Flag::AmountOverCeiling);
        }
    }

    /// An id as it may be stored: theirs, unless it is a person's or very long; then its keyed hash, which still tells two apart.
    fn id_of(&mut self, value: &str) -> String {
        stored_id(self.keys, value, &mut self.flags)
    }

    /// What makes two messages messages about one conversion. A message that nothing ties to another stands for itself.
    fn key(
        &self,
        offer: &Option<String>,
        transaction: &str,
        parent: Option<&ClickClaim>,
        external_click: &str,
        goal: &str,
    ) -> String {
        let own: Cow<'_, str> = match (transaction, parent, external_click) {
            ("", Some(claim), _) => format!("click {:032x}", claim.id.as_u128()).into(),
            ("", None, "") => format!("event {:032x}", self.id.as_u128()).into(),
            ("", None, external) => format!("click {external}").into(),
            (transaction, ..) => transaction.into(),
        };
        let offer = offer.as_deref().unwrap_or("");
        [&self.installed.entry.name, offer, goal, &*own].join("\u{1f}")
    }

    /// Seconds or milliseconds since 1970, or a date and time; without a zone it is UTC.
    fn time(&mut self, value: &str) -> Option<i64> {
        if value.is_empty() || value.eq_ignore_ascii_case("now") {
            return None;
        }
        let read = if value.bytes().all(|byte| byte.is_ascii_digit()) {
            match value.len() {
                9..=10 => value.parse::<i64>().ok().map(|seconds| seconds * 1_000),
                12..=13 => value.parse().ok(),
                _ => None,
            }
        } else {
            let zoned = value.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond);
            zoned.ok().or_else(|| {
                let civil: jiff::civil::DateTime = value.parse().ok()?;
                Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
            })
        };
        if read.is_none() {
            self.flags.set(Flag::TimeUnreadable);
        }
        read
    }
}
