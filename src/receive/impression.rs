//! Impressions and form views: `GET /i.gif?ad=…` and `GET /i.gif?form=…`.
//!
//! In: an ad's or a form's name; for an ad also the price that was shown and the placement, where they differ from the
//! registry's. Out: an impression or a form view, and the GIF. Refuses: an unknown ad or form: 404 with the GIF as body.
//! Promises: an ad's impression says the same campaign, product and price as its click.

use std::borrow::Cow;

use crate::check::flags::Flag;
use crate::check::origin::Trail;
use crate::check::{Refusal, redact};
use crate::event::{EventType, FormPost, SourceKind};
use crate::money::{Amount, Currency};
use crate::receive::pairs::{Pair, pairs};
use crate::receive::record::{self, Answer, Denied};
use crate::receive::target::Target;
use crate::receive::visit::Visit;

/// As long as the registry's own names can sensibly be.
const PLACEMENT_BYTES_MAX: usize = 128;

/// What the query says.
#[derive(Default)]
struct Asked<'a> {
    ad: Cow<'a, str>,
    form: Cow<'a, str>,
    placement: Cow<'a, str>,
    price: Cow<'a, str>,
    currency: Cow<'a, str>,
    others: Vec<Pair<'a>>,
}

impl<'a> Asked<'a> {
    fn read(query: &'a str) -> Self {
        let mut asked = Self::default();
        for pair in pairs(query.as_bytes()) {
            match &*pair.name {
                "ad" => asked.ad = pair.value,
                "form" => asked.form = pair.value,
                "placement" => asked.placement = pair.value,
                "price" => asked.price = pair.value,
                "currency" => asked.currency = pair.value,
                _ => asked.others.push(pair),
            }
        }
        asked
    }
}

/// Answers `/i.gif`.
///
/// # Errors
/// When it names no ad or form that there is.
pub async fn answer(visit: &Visit<'_>) -> Result<Answer, Denied> {
    let asked = Asked::read(visit.query());
    if asked.ad.is_empty() {
        form_view(visit, &asked).await
    } else {
        impression(visit, &asked).await
    }
}

async fn impression(visit: &Visit<'_>, asked: &Asked<'_>) -> Result<Answer, Denied> {
    let edge = visit.edge;
    let fixed = edge.targets.ad(&asked.ad);
    let made = if fixed.is_some() { None } else { made(visit, &asked.ad) };
    let target = fixed.or(made.as_ref()).ok_or(Refusal::NotFound)?;
    // As with a click, the registry's campaign values are there first, so that they win.
    let mut trail = target.trail.clone();
    trail.referrer(&visit.referer());
    for pair in &asked.others {
        trail.take_parameter(&pair.name, &pair.value);
    }
    let mut promotion = target.promotion.clone();
    let mut price_currency = target.price_currency;
    if !asked.placement.is_empty() {
        promotion.placement =
            redact::value(&asked.placement, PLACEMENT_BYTES_MAX, &mut trail.flags);
    }
    if !asked.price.is_empty() {
        promotion.price_shown = claimed_amount(&asked.price);
        if promotion.price_shown.is_none() {
            trail.flags.set(Flag::PriceUnreadable);
        }
    }
    if !asked.currency.is_empty() {
        price_currency = Currency::parse(&asked.currency);
        if price_currency.is_none() {
            trail.flags.set(Flag::CurrencyUnreadable);
        }
    }
    let (mut event, _) = visit.event(EventType::Impression, SourceKind::Pixel, &target.site, trail);
    event.promotion = promotion;
    event.price_currency = price_currency;
    Ok(record::pixel(visit, event).await)
}

/// The words of a link of the store, in the form that redirects use.
fn made(visit: &Visit<'_>, ad: &str) -> Option<Target> {
    visit.edge.links.read(|book| {
        let link = book.link_of_ad(ad)?;
        let site = visit.edge.registry.site(&link.site)?;
        Some(Target::of_registered(&link, &link.to.first()?.url, site.clone()))
    })
}

async fn form_view(visit: &Visit<'_>, asked: &Asked<'_>) -> Result<Answer, Denied> {
    let registry = &visit.edge.registry;
    let form = registry.form(&asked.form).ok_or(Refusal::NotFound)?;
    let site = registry.site(&form.site).ok_or(Refusal::NotFound)?;
    let mut trail = Trail::default();
    for pair in &asked.others {
        trail.take_parameter(&pair.name, &pair.value);
    }
    trail.page(&visit.referer());
    let parent = trail.parent(&visit.edge.keys);
    let (mut event, _) = visit.event(EventType::FormView, SourceKind::Pixel, site, trail);
    event.parent_click = parent;
    event.form = Some(FormPost { form: form.name.clone(), ..FormPost::default() });
    Ok(record::pixel(visit, event).await)
}

/// An amount as a browser may claim it: a plain number that isn't negative. What can't be read is never guessed.
pub fn claimed_amount(text: &str) -> Option<Amount> {
    Amount::parse(text).ok().filter(|amount| amount.scaled() >= 0)
}
