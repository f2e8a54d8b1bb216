//! Conversion pixels: `GET /x.gif` for an image, `/x.html` for a frame; `?goal=…&amount=…&currency=…&order=…&lt=…&site=…&offer=…` on a thank-you page.
//!
//! In: what the page claims. Out: a purchase (goal `sale`, `purchase` or `order`, or no goal but an amount) or another conversion, with the
//! click it follows if our keys signed it; and the GIF. Refuses: an unknown site or offer: 404 with the GIF as body.
//! Promises: status is `pending`, whatever the browser says; an amount that can't be read is not guessed; an offer with an
//! amount of its own pays that one (DESIGN.md, "Two ledgers": money that a browser claims is worth little).

use std::borrow::Cow;

use crate::check::flags::{Flag, Flags};
use crate::check::origin::Trail;
use crate::check::postbacks::stored_id;
use crate::check::{Refusal, fraud, redact};
use crate::event::{EventType, SourceKind, Worth};
use crate::keys::Keys;
use crate::money::Currency;
use crate::receive::impression::claimed_amount;
use crate::receive::pairs::pairs;
use crate::receive::record::{self, Answer, Denied};
use crate::receive::reply;
use crate::receive::visit::Visit;
use crate::registry::{Offer, Registry, Site};
use crate::tokens::ClickClaim;

/// Goals that are sales.
const SALES: &[&str] = &["sale", "purchase", "order"];

/// Goals are words.
const GOAL_BYTES_MAX: usize = 64;

/// What the query says.
#[derive(Default)]
struct Asked<'a> {
    goal: Cow<'a, str>,
    amount: Cow<'a, str>,
    currency: Cow<'a, str>,
    order: Cow<'a, str>,
    site: Cow<'a, str>,
    offer: Cow<'a, str>,
}

/// Answers `/x.gif`.
///
/// # Errors
/// When it names a site or offer that there isn't, or no site can be told.
pub async fn answer(visit: &Visit<'_>) -> Result<Answer, Denied> {
    let mut trail = Trail::default();
    let asked = read(visit.query(), &mut trail);
    trail.page(&visit.referer());
    let parent = trail.parent(&visit.edge.keys);
    let registry = &visit.edge.registry;
    let offer = offer_of(registry, &asked, parent.as_ref())?;
    let link_site = |number| {
        visit.edge.links.read(|book| book.link_numbered(number).map(|link| link.site.into_owned()))
    };
    let site = site_of(registry, link_site, &asked, offer, parent.as_ref());
    let site = site.ok_or(Refusal::NotFound)?;
    if let Some(claim) = &parent {
        let said = (!asked.offer.is_empty()).then_some(&*asked.offer);
        let edge = visit.edge;
        trail.flags.merge(fraud::of_click(claim, said, visit.now_ms, registry, edge.terms));
    }
    let what = kind(&asked, &mut trail.flags);
    let worth = worth(&asked, offer, &visit.edge.keys, &mut trail.flags);
    let (mut event, _) = visit.event(what, SourceKind::Pixel, site, trail);
    event.parent_click = parent;
    event.worth = Some(worth);
    if let Some(offer) = offer {
        event.promotion.offer.clone_from(&offer.name);
    }
    Ok(record::pixel(visit, event).await)
}

/// Answers `/x.html`: the same for an `iframe`, which some shops' pages take where they take no image. An empty page without a script.
///
/// # Errors
/// As [`answer`].
pub async fn answer_frame(visit: &Visit<'_>) -> Result<Answer, Denied> {
    let mut answer = answer(visit).await?;
    reply::framed(&mut answer.reply);
    Ok(answer)
}

fn read<'a>(query: &'a str, trail: &mut Trail) -> Asked<'a> {
    let mut asked = Asked::default();
    for pair in pairs(query.as_bytes()) {
        match &*pair.name {
            "goal" => asked.goal = pair.value,
            "amount" => asked.amount = pair.value,
            "currency" => asked.currency = pair.value,
            "order" | "order_id" => asked.order = pair.value,
            "site" => asked.site = pair.value,
            "offer" => asked.offer = pair.value,
            _ => {
                trail.take_parameter(&pair.name, &pair.value);
            }
        }
    }
    asked
}

/// The offer that is named, else the one whose click this follows.
fn offer_of<'a>(
    registry: &'a Registry,
    asked: &Asked<'_>,
    parent: Option<&ClickClaim>,
) -> Result<Option<&'a Offer>, Refusal> {
    if !asked.offer.is_empty() {
        return registry.offer(&asked.offer).map(|offer| Some(&**offer)).ok_or(Refusal::NotFound);
    }
    Ok(parent.and_then(|click| registry.offer_numbered(click.offer)).map(|offer| &**offer))
}

/// The site that is named, else the offer's, else that of the click's link, else the only one there is.
fn site_of<'a>(
    registry: &'a Registry,
    link_site: impl Fn(u32) -> Option<String>,
    asked: &Asked<'_>,
    offer: Option<&Offer>,
    parent: Option<&ClickClaim>,
) -> Option<&'a Site> {
    let of_link = |click: &ClickClaim| match registry.link_numbered(click.link) {
        Some(link) => Some(Cow::Borrowed(link.site.as_str())),
        None => link_site(click.link).map(Cow::Owned),
    };
    let named = if !asked.site.is_empty() {
        Some(Cow::Borrowed(&*asked.site))
    } else if let Some(offer) = offer {
        Some(Cow::Borrowed(offer.site.as_str()))
    } else {
        parent.and_then(of_link)
    };
    named.map_or_else(|| registry.only_site(), |name| registry.site(&name)).map(|site| &**site)
}

fn kind(asked: &Asked<'_>, flags: &mut Flags) -> EventType {
    let sale = SALES.iter().any(|sale| sale.eq_ignore_ascii_case(&asked.goal));
    if sale || (asked.goal.is_empty() && !asked.amount.is_empty()) {
        return EventType::Purchase;
    }
    if asked.goal.is_empty() {
        flags.set(Flag::GoalMissing);
    }
    EventType::Conversion
}

fn worth(asked: &Asked<'_>, offer: Option<&Offer>, keys: &Keys, flags: &mut Flags) -> Worth {
    let (amount, currency) = match offer.and_then(|offer| Some((offer.amount?, offer.currency))) {
        Some((amount, currency)) => {
            flags.set(Flag::AmountOfOffer);
            (Some(amount), currency)
        }
        None => claimed(asked, flags),
    };
    // Whose address it is nobody reads, and two orders stay two; a server that says the same says the same hash.
    let order_id = stored_id(keys, &asked.order, flags);
    Worth {
        goal: redact::value(&asked.goal, GOAL_BYTES_MAX, flags),
        amount,
        currency,
        order_id,
        status: "pending".to_owned(),
    }
}

fn claimed(
    asked: &Asked<'_>,
    flags: &mut Flags,
) -> (Option<crate::money::Amount>, Option<Currency>) {
    let amount = claimed_amount(&asked.amount);
    if amount.is_none() && !asked.amount.is_empty() {
        flags.set(Flag::AmountUnreadable);
    }
    let currency = Currency::parse(&asked.currency);
    if currency.is_none() && !asked.currency.is_empty() {
        flags.set(Flag::CurrencyUnreadable);
    }
    (amount, currency)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(query: &str) -> (EventType, Worth, Vec<String>) {
        let registry = Registry::load("").unwrap();
        let mut trail = Trail::default();
        let asked = read(query, &mut trail);
        let offer = offer_of(&registry, &asked, None).unwrap();
        let what = kind(&asked, &mut trail.flags);
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path()).unwrap();
        let worth = worth(&asked, offer, &keys, &mut trail.flags);
        (what, worth, trail.flags.words())
    }

    #[test]
    fn goals_and_amounts_decide_the_kind() {
        assert_eq!(judged("goal=Sale&amount=5").0, EventType::Purchase);
        assert_eq!(judged("amount=5").0, EventType::Purchase);
        assert_eq!(judged("goal=lead&amount=5").0, EventType::Conversion);
        let (what, worth, flags) = judged("");
        assert_eq!((what, worth.status.as_str()), (EventType::Conversion, "pending"));
        assert_eq!(flags, ["goal_missing"]);
    }

    #[test]
    fn money_is_read_exactly_or_not_at_all() {
        let (_, worth, flags) =
            judged("goal=sale&amount=1249.90&currency=eur&order=A-1&status=approved");
        assert_eq!(worth.amount.unwrap().to_string(), "1249.90");
        assert_eq!((worth.currency.unwrap().as_str(), worth.order_id.as_str()), ("EUR", "A-1"));
        assert_eq!((worth.status.as_str(), flags.len()), ("pending", 0));
        for amount in ["1.249,90", "12,50", "NaN", "-5", "1e3", "{amount}"] {
            let (_, worth, flags) = judged(&format!("goal=sale&amount={amount}"));
            assert_eq!(
                (worth.amount, flags),
                (None, vec!["amount_unreadable".to_owned()]),
                "{amount}"
            );
        }
    }

    #[test]
    fn an_order_number_that_is_an_address_is_kept_as_a_hash_that_tells_two_apart() {
        let order = |text: &str| judged(&format!("goal=sale&order={text}")).1.order_id;
        let jane = order("jane@example.com");
        assert!(jane.starts_with("h:") && !jane.contains("jane"), "{jane}");
        assert_eq!(order("A-1"), "A-1");
    }

    #[test]
    fn an_offer_pays_its_own_amount() {
        let (_, worth, flags) = judged("goal=sale&offer=spring&amount=9999&currency=USD");
        assert_eq!(worth.amount.unwrap().to_string(), "79.90");
        assert_eq!(worth.currency.unwrap().as_str(), "EUR");
        assert_eq!(flags, ["amount_of_offer"]);
    }
}
