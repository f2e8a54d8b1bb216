//! Opens: `GET /o/{token}.gif` in a mail.
//!
//! In: a signed mail token. Out: an open event of its mailing, and the GIF. Refuses: a token that our keys did not sign, and a mailing
//! that is no longer registered: 404, with the GIF as body, so that a mail never shows a broken image. Promises: what is kept is what the mailing's
//! mode says at this moment, also for mails that were sent long ago: whose mail it was, only that one was opened, or nothing. A recipient who has
//! withdrawn consent counts as one that was opened.

use hyper::StatusCode;

use crate::check::Refusal;
use crate::check::origin::Trail;
use crate::event::{EventType, SourceKind, VisitorBasis};
use crate::ids::{DayHash, RecipientKey, VisitorId};
use crate::receive::pairs::pairs;
use crate::receive::record::{self, Answer, Denied};
use crate::receive::reply;
use crate::receive::tally::{Settled, Unrecorded};
use crate::receive::visit::Visit;
use crate::registry::Opens;
use crate::tokens::verify_mail;

/// Answers `/o/{token}.gif`.
///
/// # Errors
/// When the token names no mailing.
pub async fn answer(visit: &Visit<'_>, token: &str) -> Result<Answer, Denied> {
    let edge = visit.edge;
    let claim = verify_mail(&edge.keys, token).ok_or(Refusal::NotFound)?;
    let mailing = edge.registry.mailing_numbered(claim.mailing).ok_or(Refusal::NotFound)?;
    let site = edge.registry.site(&mailing.site).ok_or(Refusal::NotFound)?;
    if mailing.opens == Opens::Off {
        let settled = Settled::Unrecorded(Unrecorded::OpensOff);
        return Ok(Answer { settled, ..Answer::answered(reply::gif(StatusCode::OK)) });
    }
    let withdrawn = || edge.links.read(|book| book.kills().stops_recipient(claim.recipient));
    let individual = mailing.opens == Opens::Individual && !withdrawn();
    let mut trail = Trail::default();
    // What a mail's template adds to the address is as much the recipient's own as the token.
    if individual {
        trail.referrer(&visit.referer());
        for pair in pairs(visit.query().as_bytes()) {
            trail.take_parameter(&pair.name, &pair.value);
        }
    }
    let (mut event, _) = visit.event(EventType::EmailOpen, SourceKind::Pixel, site, trail);
    event.promotion.mailing.clone_from(&mailing.name);
    event.promotion.campaign.clone_from(&mailing.campaign);
    if individual {
        event.recipient = RecipientKey(claim.recipient);
    } else {
        (event.visitor, event.visitor_basis) = (VisitorId::NONE, VisitorBasis::None);
        event.day_hash = DayHash::default();
    }
    Ok(record::pixel(visit, event).await)
}
