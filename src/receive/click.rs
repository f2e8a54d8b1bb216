//! Clicks: `GET /c/{link}` on registered links, and what every redirect does.
//!
//! In: a link's name and the incoming query. Out: a click event, and a redirect to the link's destination with our click id.
//! Refuses: an unknown link. Promises: the destination is the registry's; nobody is ever stopped, limited or not.

use hyper::header::{HeaderValue, SET_COOKIE};
use url::Url;

use crate::check::Refusal;
use crate::check::destination::Destination;
use crate::check::origin::{CLICK_ID, Trail};
use crate::check::visitor;
use crate::event::{EventType, Promotion, SourceKind};
use crate::ids::EventId;
use crate::money::Currency;
use crate::receive::pairs::pairs;
use crate::receive::record::{self, Answer, Denied};
use crate::receive::visit::Visit;
use crate::registry::{Link, Site};
use crate::tokens::{ClickClaim, sign_click};

/// Where a redirect leads and what it stands for.
pub struct Target<'a> {
    /// Whose click it is.
    pub site: &'a Site,
    /// From the registry.
    pub destination: &'a Url,
    /// The name under which the destination gets our click id.
    pub click_parameter: &'a str,
    /// The numbers that the click id holds: link, offer, affiliate; 0 for none.
    pub numbers: [u32; 3],
    /// What the event says of it.
    pub promotion: Promotion,
    /// Currency of the price shown.
    pub price_currency: Option<Currency>,
}

/// Answers `/c/{link}`.
///
/// # Errors
/// When there is no such link.
pub async fn answer(visit: &Visit<'_>, name: &str) -> Result<Answer, Denied> {
    let registry = &visit.edge.registry;
    let link = registry.link(name).ok_or(Refusal::NotFound)?;
    let target = Target {
        site: registry.site(&link.site).ok_or(Refusal::NotFound)?,
        destination: &link.destination,
        click_parameter: CLICK_ID,
        numbers: [link.number, 0, 0],
        promotion: promotion(link),
        price_currency: link.currency,
    };
    Ok(follow(visit, target).await)
}

/// A link's words as an event has them.
pub fn promotion(link: &Link) -> Promotion {
    Promotion {
        link: link.name.clone(),
        campaign: link.campaign.clone(),
        ad: link.ad.clone(),
        creative: link.creative.clone(),
        placement: link.placement.clone(),
        mailing: link.mailing.clone(),
        product: link.product.clone(),
        price_variant: link.price_variant.clone(),
        price_shown: link.price,
        ..Promotion::default()
    }
}

/// Records the click and sends the browser on.
pub async fn follow(visit: &Visit<'_>, target: Target<'_>) -> Answer {
    let mut trail = Trail::default();
    trail.referrer(&visit.referer());
    trail.destination(target.destination.host_str().unwrap_or(""), target.destination.path());
    // The registry's own campaign values come first, so that they win over the incoming ones.
    let mut destination =
        Destination::new(target.destination, target.click_parameter, |name, value| {
            trail.take_parameter(name, value);
        });
    for pair in pairs(visit.query().as_bytes()) {
        let taken = trail.take_parameter(&pair.name, &pair.value);
        destination.pass(&pair.name, &pair.value, taken, &mut trail.flags);
    }
    let (mut event, set_cookie) =
        visit.event(EventType::Click, SourceKind::Redirect, target.site, trail);
    event.promotion = target.promotion;
    event.price_currency = target.price_currency;
    let location = destination.finish(&click_id(visit, event.id, target.numbers));
    let mut answer = record::redirect(visit, &event, location).await;
    if set_cookie {
        let cookie = visitor::set_cookie(event.visitor, visit.edge.secure_cookies);
        let value =
            HeaderValue::try_from(cookie).expect("a cookie of hexadecimal digits is visible ASCII");
        answer.reply.headers_mut().insert(SET_COOKIE, value);
    }
    answer
}

fn click_id(visit: &Visit<'_>, id: EventId, [link, offer, affiliate]: [u32; 3]) -> String {
    sign_click(&visit.edge.keys, &ClickClaim { id, link, offer, affiliate })
}
