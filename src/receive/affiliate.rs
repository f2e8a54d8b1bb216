//! Affiliate clicks: `GET /a/{affiliate}/{offer}`, and the networks' own click addresses.
//!
//! In: an affiliate, an offer and the incoming query. Out: a click event, and a redirect to the offer's destination, to the deep link that the
//! query names, or to the offer's fallback. Refuses: an affiliate or offer that is unknown, and an affiliate that may not send to this offer, all with the same
//! 404; one that is switched off with 410. Promises: a deep link leads to the offer's own hosts; whoever comes from another country or when the
//! offer is full goes to the fallback, is recorded with the reason, and its click id earns nothing.

use std::borrow::Cow;

use crate::check::clicks::{Found, Meaning, Profile, Role};
use crate::check::flags::Flag;
use crate::check::{Refusal, fraud};
use crate::receive::click::{Said, follow, switched_on};
use crate::receive::pairs::pairs;
use crate::receive::record::{Answer, Denied};
use crate::receive::target::{OfferTarget, Target};
use crate::receive::visit::{Visit, looks_ahead};

/// Answers `/a/{affiliate}/{offer}`.
///
/// # Errors
/// When this affiliate sends to no such offer.
pub async fn answer(visit: &Visit<'_>, affiliate: &str, offer: &str) -> Result<Answer, Denied> {
    let profile = visit.edge.networks.of_affiliate(affiliate);
    follow_to(visit, affiliate, offer, (profile, ["", "", ""])).await
}

/// Answers a network's own click address.
///
/// # Errors
/// When this affiliate sends to no such offer.
pub async fn vendor(visit: &Visit<'_>, found: Found<'_>) -> Result<Answer, Denied> {
    follow_to(visit, found.affiliate, found.offer, (found.profile, found.path)).await
}

async fn follow_to(
    visit: &Visit<'_>,
    affiliate: &str,
    offer: &str,
    (profile, [ad, creative, placement]): (&Profile, [&str; 3]),
) -> Result<Answer, Denied> {
    let edge = visit.edge;
    let affiliate = edge.registry.affiliate(affiliate).ok_or(Refusal::NotFound)?;
    let target = edge.targets.offer(offer).ok_or(Refusal::NotFound)?;
    if !target.affiliates.is_empty() && !target.affiliates.contains(&affiliate.name) {
        return Err(Refusal::NotFound.into());
    }
    if edge.links.read(|book| book.kills().stops_affiliate(&affiliate.name)) {
        return Err(Refusal::Gone.into());
    }
    let deep = deep_link(visit, profile, target);
    let mut chosen = match &deep {
        Some(Ok(deep)) => deep,
        Some(Err(())) | None => target,
    };
    let turned_away = turned_away(visit, target, affiliate.number);
    if let Some((_, fallback)) = turned_away {
        chosen = fallback;
    }
    edge.links.read(|book| switched_on(book, None, chosen))?;
    let mut said = Said::of(chosen);
    if matches!(deep, Some(Err(()))) {
        said.trail.flags.set(Flag::DeepLinkRefused);
    }
    if !looks_ahead(&visit.parts.headers) {
        said.trail.flags.merge(fraud::of_loading(&visit.parts.headers));
    }
    said.promotion.affiliate.clone_from(&affiliate.name);
    if let Some((reason, _)) = turned_away {
        said.trail.flags.set(reason);
        said.trail.flags.set(Flag::Fallback);
    } else {
        said.affiliate = affiliate.number;
    }
    for (slot, text) in [
        (&mut said.promotion.ad, ad),
        (&mut said.promotion.creative, creative),
        (&mut said.promotion.placement, placement),
    ] {
        if !text.is_empty() {
            *slot = said.trail.word("path", text);
        }
    }
    said.profile = Some(profile);
    Ok(follow(visit, chosen, said).await)
}

/// The page that the query asks for instead of the destination; an error when it may not be.
fn deep_link(visit: &Visit<'_>, profile: &Profile, target: &Target) -> Option<Result<Target, ()>> {
    let asked = page_asked_for(visit.query(), profile)?;
    Some(target.of_deep_link(&asked).ok_or(()))
}

/// What the query says of a deep link.
pub fn page_asked_for<'q>(query: &'q str, profile: &Profile) -> Option<Cow<'q, str>> {
    let is = |name: &str| profile.meaning(name) == Some(Meaning::Role(Role::DeepLink));
    let asked = pairs(query.as_bytes()).find(|pair| is(&pair.name))?;
    (!asked.value.is_empty()).then_some(asked.value)
}

/// Why this visitor is not for the offer, and where it goes instead. Counts it for the caps if it is.
fn turned_away<'t>(
    visit: &Visit<'_>,
    target: &'t Target,
    affiliate: u32,
) -> Option<(Flag, &'t Target)> {
    let OfferTarget { offer, fallback } = target.of_offer.as_ref()?;
    let fallback = &**fallback.as_ref()?;
    if !offer.countries.is_empty() {
        let place =
            visit.edge.places.as_ref().map(|places| places.lookup(visit.client.cut().address()));
        let country = place.as_ref().map_or("", |place| &*place.country);
        if country.is_empty() {
            return Some((Flag::CountryUnknown, fallback));
        }
        if !offer.countries.iter().any(|listed| listed.as_str() == country) {
            return Some((Flag::CountryNotAllowed, fallback));
        }
    }
    if offer.is_capped() {
        let parts = visit.parts;
        let counts = parts.method == hyper::Method::GET && !looks_ahead(&parts.headers);
        if !visit.edge.caps.take(offer, affiliate, visit.now_ms, counts) {
            return Some((Flag::CapReached, fallback));
        }
    }
    None
}
