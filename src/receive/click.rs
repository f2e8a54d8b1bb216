//! Clicks: `GET /c/{link}` on registered links, and what every redirect does.
//!
//! In: a link's name and the incoming query. Out: a click event, and a redirect to the link's destination with our click id.
//! Refuses: an unknown link. Promises: the destination is the registry's; nobody is ever stopped, limited or not.

use hyper::header::{HeaderValue, SET_COOKIE};

use crate::check::{Refusal, visitor};
use crate::event::{EventType, Promotion, SourceKind};
use crate::receive::pairs::pairs;
use crate::receive::record::{self, Answer, Denied};
use crate::receive::target::Target;
use crate::receive::visit::Visit;
use crate::tokens::{ClickClaim, sign_click};

/// Answers `/c/{link}`.
///
/// # Errors
/// When there is no such link.
pub async fn answer(visit: &Visit<'_>, name: &str) -> Result<Answer, Denied> {
    let target = visit.edge.targets.link(name).ok_or(Refusal::NotFound)?;
    Ok(follow(visit, target, target.promotion.clone(), 0).await)
}

/// Records the click and sends the browser on. `affiliate` is the sender's number, 0 for none.
pub async fn follow(
    visit: &Visit<'_>,
    target: &Target,
    promotion: Promotion,
    affiliate: u32,
) -> Answer {
    let mut trail = target.trail.clone();
    trail.referrer(&visit.referer());
    let mut passage = target.destination.begin();
    for pair in pairs(visit.query().as_bytes()) {
        let known = trail.take_parameter(&pair.name, &pair.value);
        passage.pass(&pair.name, &pair.value, known, &mut trail.flags);
    }
    let (mut event, set_cookie) =
        visit.event(EventType::Click, SourceKind::Redirect, &target.site, trail);
    event.promotion = promotion;
    event.price_currency = target.price_currency;
    let claim = ClickClaim { id: event.id, link: target.link, offer: target.offer, affiliate };
    let location = passage.finish(&sign_click(&visit.edge.keys, &claim));
    let known = event.visitor;
    let mut answer = record::redirect(visit, event, location).await;
    if set_cookie {
        let cookie = visitor::set_cookie(known, visit.edge.secure_cookies);
        let value = HeaderValue::try_from(cookie);
        let value = value.expect("a cookie of hexadecimal digits is visible ASCII");
        answer.reply.headers_mut().insert(SET_COOKIE, value);
    }
    answer
}
