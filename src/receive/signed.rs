//! Signed links: `GET /r/{token}`, a link that needs no registry.
//!
//! In: a token of ours and the incoming query. Out: a click event, and a redirect to the destination that the token names, or to its registered link's.
//! Refuses: a token that our keys did not sign (404); one that is over, whose site is gone or does not admit the host any more, or whose host is
//! switched off (410). Promises: without our signature nothing is ever followed; a recipient who has withdrawn consent is sent on as anybody.

use std::sync::Arc;

use crate::check::Refusal;
use crate::ids::RecipientKey;
use crate::links::book::Book;
use crate::links::token::{self, LinkClaim};
use crate::receive::click::{self, Said, admitted, follow, registered, switched_on};
use crate::receive::record::{Answer, Denied};
use crate::receive::target::Target;
use crate::receive::visit::Visit;

/// Answers `/r/{token}`.
///
/// # Errors
/// When the token is none of ours, or leads nowhere any more.
pub async fn answer(visit: &Visit<'_>, text: &str) -> Result<Answer, Denied> {
    let edge = visit.edge;
    let claim = token::verify(&edge.keys, text).ok_or(Refusal::NotFound)?;
    if claim.is_over(visit.now_ms) {
        return Err(Refusal::Gone.into());
    }
    if claim.link != 0
        && let Some(link) = edge.registry.link_numbered(claim.link)
    {
        let target = edge.targets.link(&link.name).ok_or(Refusal::Gone)?;
        edge.links.read(|book| switched_on(book, Some(&link.name), target))?;
        return Ok(follow(visit, target, said(visit, &claim, Said::of(target))).await);
    }
    let (mut target, met) = edge.links.read(|book| {
        if claim.link == 0 {
            let site = edge.registry.site(&claim.site).ok_or(Refusal::Gone)?;
            admitted(site, &claim.destination)?;
            let target = Target::of_address(&claim.destination, Arc::clone(site));
            click::switched_on(book, None, &target)?;
            return Ok((target, None));
        }
        let link = book.link_numbered(claim.link).ok_or(Refusal::Gone)?;
        registered(visit, book, &link)
    })?;
    let said = said(visit, &claim, Said::taken(&mut target, met));
    Ok(follow(visit, &target, said).await)
}

/// Adds what the token says: the mail's words come before the link's own.
fn said<'a>(visit: &Visit<'_>, claim: &LinkClaim, mut said: Said<'a>) -> Said<'a> {
    if let Some(mailing) = visit.edge.registry.mailing_numbered(claim.mailing) {
        said.promotion.mailing.clone_from(&mailing.name);
        if said.promotion.campaign.is_empty() {
            said.promotion.campaign.clone_from(&mailing.campaign);
        }
    }
    if !claim.campaign.is_empty() {
        said.promotion.campaign.clone_from(&claim.campaign);
    }
    let withdrawn = |book: &Book| book.kills().stops_recipient(claim.recipient);
    if !visit.edge.links.read(withdrawn) {
        said.recipient = RecipientKey(claim.recipient);
    }
    said
}
