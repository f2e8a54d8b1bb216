//! One event of a batch: JSON becomes an [`Event`].
//!
//! In: an object's text, the key that sent it. Out: the event under the id that it is given. Refuses: an unknown member, a value of another type, a site that the key is not for, an
//! offer or form that isn't registered, money without a currency. Promises: money is read to its last digit or refused; nothing personal goes where it doesn't belong: an id that is
//! somebody's address is kept as its keyed hash.
//!
//! Purchases, conversions, refunds and statuses are messages about one conversion: site, goal and transaction (else order) are its key, whichever API key sends them. Settling puts them
//! together ([`crate::settle`]): the last amount that is said stands, refunds add up, and a status never goes back.

use crate::access::record::Key;
use crate::check::Refusal;
use crate::check::dialects::doors::Doors;
use crate::check::flags::{Flag, Flags};
use crate::check::postbacks::judge::stored_id;
use crate::check::redact;
use crate::event::{
    Client, Duplicates, Event, EventType, Item, NewCustomer, Partner, Promotion, SCHEMA_VERSION,
    SourceKind, VisitorBasis, Worth, settle_time,
};
use crate::ids::{DayHash, EventId, RecipientKey, SubmissionKey, VisitorId};
use crate::keys::Keys;
use crate::money::Amount;
use crate::receive::api::lead;
use crate::receive::api::members::Members;
use crate::receive::fields::Caps;
use crate::registry::{Registry, Site};
use crate::tokens::verify_click;

/// Ids of orders and transactions.
const ID_BYTES_MAX: usize = 256;

/// Goals, coupons, names of sites, forms and offers.
const WORD_BYTES_MAX: usize = 64;

/// A click id of ours has 67 characters at most, one of others more.
const CLICK_ID_BYTES_MAX: usize = 1_024;

/// Lines of an order.
const LINES_MAX: usize = 200;

/// Why an event is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Why.
    pub refusal: Refusal,
    /// Which member it is about.
    pub field: String,
}

impl Unfit {
    /// About this member.
    pub fn new(refusal: Refusal, field: impl Into<String>) -> Self {
        Self { refusal, field: field.into() }
    }
}

/// What an event is read with.
pub struct Wish<'a> {
    /// Sites, forms, offers.
    pub registry: &'a Registry,
    /// What forms mean.
    pub doors: &'a Doors,
    /// Verifies click ids, hashes what is personal.
    pub keys: &'a Keys,
    /// Who sends.
    pub key: &'a Key,
    /// How much a lead's form may hold.
    pub caps: Caps,
    /// When the request came first.
    pub received_ms: i64,
}

/// What it says to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Purchase,
    Conversion,
    Refund,
    Status,
    Lead,
}

/// Reads one event.
///
/// # Errors
/// With the refusal and the member that it is about.
pub fn read(text: &[u8], wish: &Wish<'_>, id: EventId) -> Result<Event, Unfit> {
    let mut members = Members::read(text)?;
    let what = match members.text("type", WORD_BYTES_MAX)?.as_str() {
        "purchase" => What::Purchase,
        "conversion" => What::Conversion,
        "refund" => What::Refund,
        "status" => What::Status,
        "lead" => What::Lead,
        "" => return Err(Unfit::new(Refusal::MissingField, "type")),
        _ => return Err(Unfit::new(Refusal::BadValue, "type")),
    };
    let site = site(&mut members, wish)?;
    let claimed_ms = time(&mut members)?;
    let (event_time, claimed_time) = settle_time(wish.received_ms, claimed_ms);
    let mut event = Event { event_time, claimed_time, ..begin(id, &site.name) };
    if what == What::Lead {
        lead::fill(&mut event, &mut members, wish, site)?;
        members.end()?;
        return Ok(event);
    }
    let mut flags = Flags::default();
    follow(&mut event, &mut members, wish, site, &mut flags)?;
    value(&mut event, &mut members, wish, what, &mut flags)?;
    members.end()?;
    event.flags = flags.words();
    Ok(event)
}

/// An event of a server's, with nothing in it yet.
fn begin(id: EventId, site: &str) -> Event {
    Event {
        v: SCHEMA_VERSION,
        id,
        event_type: EventType::Conversion,
        source: SourceKind::S2s,
        site: site.to_owned(),
        event_time: id.millis(),
        claimed_time: None,
        visitor: VisitorId::NONE,
        visitor_basis: VisitorBasis::None,
        day_hash: DayHash(0),
        submission_key: SubmissionKey::default(),
        parent_click: None,
        promotion: Promotion::default(),
        price_currency: None,
        origin: Default::default(),
        client: Client::default(),
        form: None,
        worth: None,
        recipient: RecipientKey::default(),
        decision: None,
        others: Vec::new(),
        partner: None,
        flags: Vec::new(),
    }
}

/// The site: named, or the only one that the key is for.
fn site<'a>(members: &mut Members<'_>, wish: &Wish<'a>) -> Result<&'a std::sync::Arc<Site>, Unfit> {
    let named = members.text("site", WORD_BYTES_MAX)?;
    let allowed = &wish.key.sites;
    let name = match (named.as_str(), allowed.as_slice()) {
        ("", [only]) => only.as_str(),
        ("", []) => wish.registry.only_site().map_or("", |site| site.name.as_str()),
        (named, _) => named,
    };
    if name.is_empty() {
        return Err(Unfit::new(Refusal::MissingField, "site"));
    }
    // A site that isn't there and one that the key isn't for are the same to it.
    let may = allowed.is_empty() || allowed.iter().any(|site| site == name);
    wish.registry.site(name).filter(|_| may).ok_or_else(|| Unfit::new(Refusal::KeySite, "site"))
}

/// When it happened: RFC 3339 with a zone, or milliseconds since 1970.
fn time(members: &mut Members<'_>) -> Result<Option<i64>, Unfit> {
    let text = members.id("time", WORD_BYTES_MAX)?;
    if text.is_empty() {
        return Ok(None);
    }
    let millis = match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse().ok().filter(|_| (12..=13).contains(&text.len())),
        false => text.parse().map(jiff::Timestamp::as_millisecond).ok(),
    };
    millis.map(Some).ok_or_else(|| Unfit::new(Refusal::BadValue, "time"))
}

/// What it follows: the click, the offer.
fn follow(
    event: &mut Event,
    members: &mut Members<'_>,
    wish: &Wish<'_>,
    site: &Site,
    flags: &mut Flags,
) -> Result<(), Unfit> {
    let mut partner = Partner { postback: format!("v1/{}", wish.key.id), ..Partner::default() };
    let click = members.id("click_id", CLICK_ID_BYTES_MAX)?;
    event.parent_click = verify_click(wish.keys, &click);
    if event.parent_click.is_none() && !click.is_empty() {
        flags.set(Flag::ClickIdNotOurs);
        partner.external_click = stored_id(wish.keys, &click, flags);
    }
    let offer = members.text("offer", WORD_BYTES_MAX)?;
    if !offer.is_empty() {
        let known = wish.registry.offer(&offer).filter(|offer| offer.site == site.name);
        known.ok_or_else(|| Unfit::new(Refusal::BadValue, "offer"))?;
    }
    event.promotion.offer = if offer.is_empty() {
        let number = event.parent_click.map_or(0, |claim| claim.offer);
        wish.registry.offer_numbered(number).map_or_else(String::new, |offer| offer.name.clone())
    } else {
        offer
    };
    event.partner = Some(partner);
    Ok(())
}

/// What it is worth, and what it is a message about.
fn value(
    event: &mut Event,
    members: &mut Members<'_>,
    wish: &Wish<'_>,
    what: What,
    flags: &mut Flags,
) -> Result<(), Unfit> {
    let Some(partner) = &mut event.partner else { return Ok(()) };
    let mut id = |members: &mut Members<'_>, name| {
        let own = members.id(name, ID_BYTES_MAX)?;
        Ok::<_, Unfit>(stored_id(wish.keys, &own, flags))
    };
    let order_id = id(members, "order_id")?;
    let transaction = id(members, "transaction_id")?;
    let transaction = if transaction.is_empty() { order_id.clone() } else { transaction };
    if transaction.is_empty() && what != What::Conversion {
        return Err(Unfit::new(Refusal::MissingField, "order_id"));
    }
    let goal = match what {
        // A sale has no goal, so that what is said about it later needs none either.
        What::Purchase => String::new(),
        _ => word(members, "goal", flags)?,
    };
    if what == What::Conversion && goal.is_empty() {
        return Err(Unfit::new(Refusal::MissingField, "goal"));
    }
    let own =
        if transaction.is_empty() { format!("event {}", event.id) } else { transaction.clone() };
    partner.key = ["api", "", &goal, &own].join("\u{1f}");
    partner.transaction = transaction;
    partner.duplicates = if what == What::Refund { Duplicates::Add } else { Duplicates::Update };
    partner.test = members.flag("test")?;
    if matches!(what, What::Purchase | What::Conversion) {
        partner.coupon = word(members, "coupon", flags)?;
        partner.customer = customer(members)?;
        partner.tax = members.amount("tax")?;
        partner.shipping = members.amount("shipping")?;
        partner.discount = members.amount("discount")?;
        partner.items = lines(members)?;
    }
    let (amount, currency) = money(members, what)?;
    let (event_type, status) = status(members, what, amount)?;
    event.event_type = event_type;
    let amount = match what {
        What::Refund => amount.map(|amount| Amount::from_scaled(-amount.scaled())),
        _ => amount,
    };
    let status = if partner.test { "test" } else { status };
    event.worth = Some(Worth { goal, amount, currency, order_id, status: status.to_owned() });
    Ok(())
}

/// A word that may be stored as it is, or with what is personal left out.
fn word(members: &mut Members<'_>, name: &str, flags: &mut Flags) -> Result<String, Unfit> {
    Ok(redact::value(&members.text(name, WORD_BYTES_MAX)?, WORD_BYTES_MAX, flags))
}

fn customer(members: &mut Members<'_>) -> Result<NewCustomer, Unfit> {
    match members.text("customer", WORD_BYTES_MAX)?.as_str() {
        "" => Ok(NewCustomer::Unknown),
        "new" => Ok(NewCustomer::New),
        "returning" => Ok(NewCustomer::Returning),
        _ => Err(Unfit::new(Refusal::BadValue, "customer")),
    }
}

/// The lines of an order; `amount` is of the whole line.
fn lines(members: &mut Members<'_>) -> Result<Vec<Item>, Unfit> {
    let one = Amount::from_scaled(crate::money::SCALE);
    let read = |mut line: Members<'_>| {
        let sku = line.id("sku", ID_BYTES_MAX)?;
        let quantity = line.amount("quantity")?.unwrap_or(one);
        let missing = Unfit::new(Refusal::MissingField, line.at("amount"));
        let amount = line.amount("amount")?.ok_or(missing)?;
        line.end()?;
        Ok(Item { sku, quantity, amount })
    };
    members.objects("items", LINES_MAX)?.into_iter().map(read).collect()
}

type Money = (Option<Amount>, Option<crate::money::Currency>);

/// A purchase says what it cost; an amount says in which currency.
fn money(members: &mut Members<'_>, what: What) -> Result<Money, Unfit> {
    if what == What::Status {
        return Ok((None, None));
    }
    let (amount, currency) = (members.amount("amount")?, members.currency("currency")?);
    match (amount, currency) {
        (None, _) if what == What::Purchase => Err(Unfit::new(Refusal::MissingField, "amount")),
        (Some(_), None) => Err(Unfit::new(Refusal::MissingField, "currency")),
        found => Ok(found),
    }
}

/// The event's type and status. A refund of the whole ends the conversion; one of a part takes its amount and leaves the rest.
fn status(
    members: &mut Members<'_>,
    what: What,
    amount: Option<Amount>,
) -> Result<(EventType, &'static str), Unfit> {
    const CLAIMS: &[&str] = &["approved", "pending"];
    const ENDS: &[&str] = &["approved", "paid", "pending", "rejected", "reversed"];
    if what == What::Refund {
        let status = if amount.is_some() { "pending" } else { "reversed" };
        return Ok((EventType::ConversionStatus, status));
    }
    let (known, event_type) = match what {
        What::Purchase => (CLAIMS, EventType::Purchase),
        What::Status => (ENDS, EventType::ConversionStatus),
        _ => (CLAIMS, EventType::Conversion),
    };
    match members.text("status", WORD_BYTES_MAX)?.as_str() {
        "" if what == What::Status => Err(Unfit::new(Refusal::MissingField, "status")),
        "" => Ok((event_type, "approved")),
        word => known
            .iter()
            .find(|known| **known == word)
            .map(|word| (event_type, *word))
            .ok_or_else(|| Unfit::new(Refusal::BadValue, "status")),
    }
}

#[cfg(test)]
#[path = "item_tests.rs"]
mod tests;
