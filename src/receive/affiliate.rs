//! Affiliate clicks: `GET /a/{affiliate}/{offer}`.
//!
//! In: two names and the incoming query. Out: a click event, and a redirect to the offer's destination. Refuses: an affiliate or
//! offer that is unknown, and an affiliate that may not send to this offer, all with the same 404.

use crate::check::Refusal;
use crate::event::Promotion;
use crate::receive::click::{self, Target};
use crate::receive::record::{Answer, Denied};
use crate::receive::visit::Visit;

/// Answers `/a/{affiliate}/{offer}`.
///
/// # Errors
/// When this affiliate sends to no such offer.
pub async fn answer(visit: &Visit<'_>, affiliate: &str, offer: &str) -> Result<Answer, Denied> {
    let registry = &visit.edge.registry;
    let affiliate = registry.affiliate(affiliate).ok_or(Refusal::NotFound)?;
    let offer = registry.offer(offer).ok_or(Refusal::NotFound)?;
    if !offer.affiliates.is_empty() && !offer.affiliates.contains(&affiliate.name) {
        return Err(Refusal::NotFound.into());
    }
    let target = Target {
        site: registry.site(&offer.site).ok_or(Refusal::NotFound)?,
        destination: &offer.destination,
        click_parameter: &offer.click_parameter,
        numbers: [0, offer.number, affiliate.number],
        promotion: Promotion {
            affiliate: affiliate.name.clone(),
            offer: offer.name.clone(),
            ..Promotion::default()
        },
        price_currency: None,
    };
    Ok(click::follow(visit, target).await)
}
