//! Impressions and form views: `GET /i.gif?ad=…`, `GET /i.gif?ads=a,b,…` and `GET /i.gif?form=…`.
//!
//! In: an ad's, several ads' or a form's name; for ads also the prices that were shown and the placements, where they differ from the
//! registry's. Out: an impression for each ad, or a form view, and the GIF. Refuses: an unknown ad or form, and ads of two sites: 404 with the GIF as
//! body; more than 50 ads. Promises: an ad's impression says the same campaign, product and price as its click; of several ads all are recorded or none.

use std::borrow::Cow;
use std::sync::Arc;

use crate::check::flags::{Flag, Flags};
use crate::check::origin::Trail;
use crate::check::{Refusal, redact};
use crate::event::{EventType, FormPost, Shown, SourceKind};
use crate::money::{Amount, Currency};
use crate::receive::pairs::{Pair, pairs};
use crate::receive::record::{self, Answer, Denied};
use crate::receive::target::Target;
use crate::receive::visit::Visit;
use crate::registry::Site;

/// As long as the registry's own names can sensibly be.
const PLACEMENT_BYTES_MAX: usize = 128;

/// Ads of one request: more than a page shows, and their record stays under some 20 kB.
const ADS_MAX: usize = 50;

/// What the query says.
#[derive(Default)]
struct Asked<'a> {
    ad: Cow<'a, str>,
    ads: Cow<'a, str>,
    placements: Cow<'a, str>,
    prices: Cow<'a, str>,
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
                "ads" => asked.ads = pair.value,
                "placements" => asked.placements = pair.value,
                "prices" => asked.prices = pair.value,
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
    if asked.ad.is_empty() && asked.ads.is_empty() {
        form_view(visit, &asked).await
    } else {
        impressions(visit, &asked).await
    }
}

/// What one ad's impression says.
struct Ad {
    shown: Shown,
    trail: Trail,
    site: Arc<Site>,
}

/// The ads that are asked for, in order, each with its own price and placement.
struct Ads<'a> {
    names: Vec<&'a str>,
    prices: Vec<&'a str>,
    placements: Vec<&'a str>,
    currency: &'a str,
}

impl<'a> Ads<'a> {
    /// `ads=a,b` with `prices=9.90,` and `placements=top,side`, place by place; or one `ad` with `price` and `placement`.
    fn of(asked: &'a Asked<'_>) -> Self {
        let list = |text: &'a Cow<'_, str>| -> Vec<&'a str> {
            if text.is_empty() { Vec::new() } else { text.split(',').map(str::trim).collect() }
        };
        let one = |text: &'a Cow<'_, str>| vec![&**text];
        let currency = &*asked.currency;
        if asked.ads.is_empty() {
            let (names, prices) = (one(&asked.ad), one(&asked.price));
            return Self { names, prices, placements: one(&asked.placement), currency };
        }
        let mut placements = list(&asked.placements);
        let mut prices = list(&asked.prices);
        let names = list(&asked.ads);
        // What is said once is meant for all.
        for (all, said) in [(&mut placements, &asked.placement), (&mut prices, &asked.price)] {
            if all.is_empty() && !said.is_empty() {
                *all = vec![&**said; names.len()];
            }
        }
        Self { names, prices, placements, currency }
    }

    /// The ad at this place.
    fn at(&self, visit: &Visit<'_>, place: usize) -> Option<Ad> {
        let edge = visit.edge;
        let fixed = edge.targets.ad(self.names[place]);
        let made = if fixed.is_some() { None } else { made(visit, self.names[place]) };
        let target = fixed.or(made.as_ref())?;
        let mut trail = target.trail.clone();
        let mut promotion = target.promotion.clone();
        let mut price_currency = target.price_currency;
        let said = |list: &[&'a str]| list.get(place).copied().unwrap_or("");
        let (placement, price) = (said(&self.placements), said(&self.prices));
        if !placement.is_empty() {
            promotion.placement = redact::value(placement, PLACEMENT_BYTES_MAX, &mut trail.flags);
        }
        if !price.is_empty() {
            promotion.price_shown = claimed_amount(price);
            if promotion.price_shown.is_none() {
                trail.flags.set(Flag::PriceUnreadable);
            }
        }
        if !self.currency.is_empty() {
            price_currency = Currency::parse(self.currency);
            if price_currency.is_none() {
                trail.flags.set(Flag::CurrencyUnreadable);
            }
        }
        let shown = Shown { promotion, price_currency, flags: None };
        Some(Ad { shown, trail, site: target.site.clone() })
    }
}

/// One record for all of them, so that either all are durable or none is.
async fn impressions(visit: &Visit<'_>, asked: &Asked<'_>) -> Result<Answer, Denied> {
    let ads = Ads::of(asked);
    if ads.names.len() > ADS_MAX {
        return Err(Refusal::TooManyFields.into());
    }
    let first = ads.at(visit, 0).ok_or(Refusal::NotFound)?;
    let mut others = Vec::with_capacity(ads.names.len() - 1);
    // As with a click, the registry's campaign values are there first, so that they win.
    let Ad { shown, mut trail, site } = first;
    for place in 1..ads.names.len() {
        let other = ads.at(visit, place).ok_or(Refusal::NotFound)?;
        if other.site.name != site.name {
            return Err(Refusal::NotFound.into());
        }
        others.push((other.shown, other.trail.flags));
    }
    let own = trail.flags;
    if !others.is_empty() {
        // Their links lead to different places, with campaign values of their own: what is common is what the page says.
        trail = Trail::default();
    }
    trail.referrer(&visit.referer());
    for pair in &asked.others {
        trail.take_parameter(&pair.name, &pair.value);
    }
    let met = visit.meet(SourceKind::Pixel, &site);
    let common = trail.flags.and(met.flags);
    trail.flags = common.and(own);
    let mut event = visit.events_of(
        met,
        others.len() + 1,
        EventType::Impression,
        SourceKind::Pixel,
        &site,
        trail,
    );
    (event.promotion, event.price_currency) = (shown.promotion, shown.price_currency);
    let whole =
        |(shown, own): (Shown, Flags)| Shown { flags: Some(common.and(own).words()), ..shown };
    event.others = others.into_iter().map(whole).collect();
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
