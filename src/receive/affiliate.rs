//! Affiliate clicks: `GET /a/{affiliate}/{offer}`.
//!
//! In: two names and the incoming query. Out: a click event, and a redirect to the offer's destination. Refuses: an affiliate or
//! offer that is unknown, and an affiliate that may not send to this offer, all with the same 404; one that is switched off with 410.

use crate::check::Refusal;
use crate::receive::click::{Said, follow, switched_on};
use crate::receive::record::{Answer, Denied};
use crate::receive::visit::Visit;

/// Answers `/a/{affiliate}/{offer}`.
///
/// # Errors
/// When this affiliate sends to no such offer.
pub async fn answer(visit: &Visit<'_>, affiliate: &str, offer: &str) -> Result<Answer, Denied> {
    let edge = visit.edge;
    let affiliate = edge.registry.affiliate(affiliate).ok_or(Refusal::NotFound)?;
    let target = edge.targets.offer(offer).ok_or(Refusal::NotFound)?;
    if !target.affiliates.is_empty() && !target.affiliates.contains(&affiliate.name) {
        return Err(Refusal::NotFound.into());
    }
    edge.links.read(|book| {
        if book.kills().stops_affiliate(&affiliate.name) {
            return Err(Refusal::Gone);
        }
        switched_on(book, None, target)
    })?;
    let mut said = Said::of(target);
    said.promotion.affiliate.clone_from(&affiliate.name);
    said.affiliate = affiliate.number;
    Ok(follow(visit, target, said).await)
}
