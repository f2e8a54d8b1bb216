//! Clicks: `GET /c/{link}` on registered links, and what every redirect does.
//!
//! In: a link's name and the incoming query. Out: a click event, and a redirect to the link's destination with our click id.
//! Refuses: an unknown link, and one that is over or switched off. Promises: the destination is the registry's, on a host that its site admits
//! now; nobody is ever stopped, limited or not.

use std::sync::Arc;

use hyper::header::{HeaderValue, SET_COOKIE};

use crate::check::clicks::{Meaning, Profile, Role};
use crate::check::destination::Passage;
use crate::check::flags::Flag;
use crate::check::origin::Trail;
use crate::check::{Refusal, landing, visitor};
use crate::event::{EventType, Promotion, SourceKind};
use crate::ids::RecipientKey;
use crate::links::book::Book;
use crate::links::record::{Link, Way};
use crate::receive::pairs::{Pair, pairs};
use crate::receive::record::{self, Answer, Denied};
use crate::receive::target::Target;
use crate::receive::visit::{Met, Visit};
use crate::registry::Site;
use crate::tokens::{ClickClaim, sign_click};

/// What a click says besides where it leads.
pub struct Said<'a> {
    /// What the event says of it.
    pub promotion: Promotion,
    /// What is known of its origin already.
    pub trail: Trail,
    /// The sender's number; 0 for none.
    pub affiliate: u32,
    /// Whose mail it was in.
    pub recipient: RecipientKey,
    /// Who came, if that was looked at already.
    pub met: Option<Met>,
    /// How the network or tracker that made the address names its parameters.
    pub profile: Option<&'a Profile>,
}

impl Said<'_> {
    /// As the registry has it.
    pub fn of(target: &Target) -> Self {
        Self {
            promotion: target.promotion.clone(),
            trail: target.trail.clone(),
            affiliate: 0,
            recipient: RecipientKey::default(),
            met: None,
            profile: None,
        }
    }

    /// As a target has it that was made for this click.
    pub fn taken(target: &mut Target, met: Option<Met>) -> Self {
        Self {
            promotion: std::mem::take(&mut target.promotion),
            trail: std::mem::take(&mut target.trail),
            affiliate: 0,
            recipient: RecipientKey::default(),
            met,
            profile: None,
        }
    }
}

/// Answers `/c/{link}`.
///
/// # Errors
/// When there is no such link, or it leads nowhere any more.
pub async fn answer(visit: &Visit<'_>, name: &str) -> Result<Answer, Denied> {
    let edge = visit.edge;
    if let Some(target) = edge.targets.link(name) {
        edge.links.read(|book| switched_on(book, Some(name), target))?;
        return Ok(follow(visit, target, Said::of(target)).await);
    }
    let found = edge.links.read(|book| {
        let link = book.link(name).ok_or(Refusal::NotFound)?;
        registered(visit, book, &link)
    });
    let (mut target, met) = found?;
    let said = Said::taken(&mut target, met);
    Ok(follow(visit, &target, said).await)
}

/// Refuses what an operator has switched off.
pub fn switched_on(book: &Book, name: Option<&str>, target: &Target) -> Result<(), Refusal> {
    let kills = book.kills();
    let off = name.is_some_and(|name| kills.stops_link(name))
        || kills.stops_host(&target.trail.origin.landing_host);
    if off { Err(Refusal::Gone) } else { Ok(()) }
}

/// Where a link of the store leads this visitor. Who came is given back if the choice depends on it.
pub fn registered(
    visit: &Visit<'_>,
    book: &Book,
    link: &Link<'_>,
) -> Result<(Target, Option<Met>), Refusal> {
    let site = visit.edge.registry.site(&link.site).ok_or(Refusal::Gone)?;
    let over = link.is_over(visit.now_ms);
    let (url, met) = match &link.to[..] {
        _ if over => (&*link.fallback, None),
        [way] => (&*way.url, None),
        ways => {
            let met = visit.meet(SourceKind::Redirect, site);
            (&*choose(ways, link.number, seed(visit, &met)).url, Some(met))
        }
    };
    admitted(site, url)?;
    let mut target = Target::of_registered(link, url, Arc::clone(site));
    switched_on(book, Some(&link.name), &target)?;
    if over {
        target.trail.flags.set(Flag::Fallback);
    }
    Ok((target, met))
}

/// Refuses an address that the site does not admit any more, and one that [`landing::accept`] can't have written. An empty one leads nowhere.
pub fn admitted(site: &Site, url: &str) -> Result<(), Refusal> {
    let written = url.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b'\\');
    let parts = landing::split(url).filter(|_| written);
    let admitted = parts.is_some_and(|(scheme, host, _)| landing::admits(site, scheme, host));
    if admitted { Ok(()) } else { Err(Refusal::Gone) }
}

/// The same for one visitor whenever it comes back; anything where visitors are not known.
fn seed(visit: &Visit<'_>, met: &Met) -> u64 {
    let visitor = met.known.visitor.as_u128();
    if visitor == 0 {
        return u64::from(visit.edge.minter.mint(visit.now_ms).sequence());
    }
    (visitor ^ (visitor >> 64)) as u64
}

/// One of the ways, by weight.
fn choose<'w, 'a>(ways: &'w [Way<'a>], number: u32, seed: u64) -> &'w Way<'a> {
    // A visitor must not be among the first of every split: so the link's number is mixed in (splitmix64).
    let mut mixed = seed ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    let total: u64 = ways.iter().map(|way| u64::from(way.weight)).sum();
    let mut left = mixed % total.max(1);
    for way in ways {
        match left.checked_sub(way.weight.into()) {
            None => return way,
            Some(rest) => left = rest,
        }
    }
    &ways[0]
}

/// Takes what the query says, and passes on what may be.
pub fn read_query(
    query: &str,
    profile: Option<&Profile>,
    promotion: &mut Promotion,
    (trail, passage): (&mut Trail, &mut Passage<'_>),
) {
    for pair in pairs(query.as_bytes()) {
        let meaning = profile.and_then(|profile| Some((profile, profile.meaning(&pair.name)?)));
        if let Some(meaning) = meaning
            && profiled(promotion, trail, &pair, meaning)
        {
            continue;
        }
        let known = trail.take_parameter(&pair.name, &pair.value);
        passage.pass(&pair.name, &pair.value, known, &mut trail.flags);
    }
}

/// Takes a parameter as its profile has it. True when that is all there is to it: it is not passed on.
fn profiled(
    promotion: &mut Promotion,
    trail: &mut Trail,
    pair: &Pair<'_>,
    (profile, meaning): (&Profile, Meaning),
) -> bool {
    let slot = match meaning {
        Meaning::Sub(known) => {
            trail.take_sub(known, &pair.value);
            return true;
        }
        Meaning::Keep => {
            trail.tag(profile.spelled(&pair.name), &pair.value);
            return false;
        }
        Meaning::Role(Role::ClickId) => {
            trail.external_click(profile.spelled(&pair.name), &pair.value);
            return true;
        }
        Meaning::Role(Role::Offer | Role::Affiliate | Role::DeepLink) => return true,
        Meaning::Role(Role::Ad) => &mut promotion.ad,
        Meaning::Role(Role::Creative | Role::Banner) => &mut promotion.creative,
        Meaning::Role(Role::Placement) => &mut promotion.placement,
    };
    if slot.is_empty() {
        *slot = trail.word(profile.spelled(&pair.name), &pair.value);
    }
    true
}

/// Records the click and sends the browser on.
pub async fn follow(visit: &Visit<'_>, target: &Target, said: Said<'_>) -> Answer {
    let Said { mut promotion, mut trail, affiliate, recipient, met, profile } = said;
    trail.referrer(&visit.referer());
    let mut passage = target.destination.begin();
    read_query(visit.query(), profile, &mut promotion, (&mut trail, &mut passage));
    let met = met.unwrap_or_else(|| visit.meet(SourceKind::Redirect, &target.site));
    let (mut event, set_cookie) =
        visit.event_of(met, EventType::Click, SourceKind::Redirect, &target.site, trail);
    event.promotion = promotion;
    event.price_currency = target.price_currency;
    event.recipient = recipient;
    let claim = ClickClaim { id: event.id, link: target.link, offer: target.offer, affiliate };
    for (name, fill) in &target.fills {
        passage.fill(name, fill.value(&event.promotion, &event.origin));
    }
    let location = passage.finish(&sign_click(&visit.edge.keys, &claim));
    let known = event.visitor;
    let mut answer = record::redirect(visit, event, target.kind, location).await;
    if set_cookie {
        let cookie = visitor::set_cookie(known, visit.is_https());
        let value = HeaderValue::try_from(cookie);
        let value = value.expect("a cookie of hexadecimal digits is visible ASCII");
        answer.reply.headers_mut().insert(SET_COOKIE, value);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_is_sticky_and_keeps_its_weights() {
        let way = |url: &'static str, weight| Way { url: url.into(), weight };
        let ways = [way("a", 3), way("b", 1), way("c", 0)];
        let mut counts = std::collections::BTreeMap::<String, u32>::new();
        for visitor in 0..40_000_u64 {
            let chosen = choose(&ways, 7, visitor);
            assert_eq!(chosen, choose(&ways, 7, visitor));
            *counts.entry(chosen.url.to_string()).or_default() += 1;
        }
        assert!((29_400..30_600).contains(&counts["a"]) && counts.len() == 2, "{counts:?}");
        let moved = (0..1_000)
            .filter(|visitor| choose(&ways, 7, *visitor).url != choose(&ways, 8, *visitor).url);
        assert!(moved.count() > 100, "two links split the same visitors differently");
    }
}
