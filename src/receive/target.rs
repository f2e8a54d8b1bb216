//! Targets: what redirects lead to, taken from the registry once.
//!
//! In: the registry. Out: for each link and offer its site, its words, its destination and the origin that its URL names. Promises: a
//! click looks up one name and copies; nothing of the registry is parsed on a request's way.

use std::collections::HashMap;
use std::sync::Arc;

use url::Position;

use crate::check::destination::Destination;
use crate::check::fill::Fill;
use crate::check::landing;
use crate::check::names::CLICK_ID;
use crate::check::origin::Trail;
use crate::event::Promotion;
use crate::links;
use crate::links::record::Kind;
use crate::money::Currency;
use crate::receive::pairs::pairs;
use crate::registry::{Link, Offer, Registry, Site, offer_parts};

/// What an offer has besides its destination.
pub struct OfferTarget {
    /// The entry.
    pub offer: Arc<Offer>,
    /// Where those go who are not for it.
    pub fallback: Option<Box<Target>>,
}

/// Where a redirect leads and what it stands for.
pub struct Target {
    /// Whose click it is.
    pub site: Arc<Site>,
    /// The link's number for click ids; 0 for an offer.
    pub link: u32,
    /// The offer's number for click ids; 0 for a link.
    pub offer: u32,
    /// Who may send to the offer; empty: every affiliate.
    pub affiliates: Vec<String>,
    /// Where it leads.
    pub destination: Destination,
    /// How the browser is sent there.
    pub kind: Kind,
    /// What an event says of it.
    pub promotion: Promotion,
    /// Currency of the price shown.
    pub price_currency: Option<Currency>,
    /// What the destination gets besides our click id.
    pub fills: Vec<(String, Fill)>,
    /// What the registry says of the offer.
    pub of_offer: Option<OfferTarget>,
    /// What the destination's URL says of the campaign, and where it lands. Whoever comes later can't change it: the first
    /// value of a name wins.
    pub trail: Trail,
}

impl Target {
    fn of_link(link: &Link, site: Arc<Site>) -> Self {
        let mut trail = Trail::default();
        trail.destination(&link.destination);
        Self {
            site,
            link: link.number,
            offer: 0,
            affiliates: Vec::new(),
            fills: Vec::new(),
            of_offer: None,
            kind: Kind::Found,
            destination: Destination::new(&link.destination, CLICK_ID),
            promotion: Promotion {
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
            },
            price_currency: link.currency,
            trail,
        }
    }

    /// A link of the store, on its way to `url`, which the site admits.
    pub fn of_registered(link: &links::record::Link<'_>, url: &str, site: Arc<Site>) -> Self {
        let text = |text: &str| text.to_owned();
        let promotion = Promotion {
            link: text(&link.name),
            campaign: text(&link.campaign),
            ad: text(&link.ad),
            creative: text(&link.creative),
            placement: text(&link.placement),
            mailing: text(&link.mailing),
            product: text(&link.product),
            price_variant: text(&link.price_variant),
            price_shown: link.price,
            ..Promotion::default()
        };
        let price_currency = link.currency;
        let bare = Self::of_address(url, site);
        Self { link: link.number, kind: link.kind, promotion, price_currency, ..bare }
    }

    /// An address that the site admits, as the URL parser wrote it.
    pub fn of_address(url: &str, site: Arc<Site>) -> Self {
        let mut trail = Trail::default();
        let (_, authority, rest) = landing::split(url).unwrap_or_default();
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        let rest = rest.split('#').next().unwrap_or("");
        let (path, query) =
            rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        trail.destination_parts(host, path, query);
        Self {
            site,
            link: 0,
            offer: 0,
            affiliates: Vec::new(),
            fills: Vec::new(),
            of_offer: None,
            kind: Kind::Found,
            destination: Destination::of_text(url, CLICK_ID),
            promotion: Promotion::default(),
            price_currency: None,
            trail,
        }
    }

    fn of_offer(offer: &Arc<Offer>, site: &Arc<Site>) -> Result<Self, String> {
        let (destination, fills, click_parameter) = offer_parts(offer)?;
        let mut trail = Trail::default();
        trail.destination(&destination);
        let promotion = Promotion { offer: offer.name.clone(), ..Promotion::default() };
        let fallback = offer.fallback.as_ref().map(|url| {
            let promotion = promotion.clone();
            // No number: a click that was turned away earns nothing, and its id says so.
            let bare = Self::of_address(url.as_str(), site.clone());
            let destination = Destination::new(url, &click_parameter);
            Box::new(Self { destination, promotion, ..bare })
        });
        let names = fills.iter().map(|(name, _)| name.clone());
        Ok(Self {
            site: site.clone(),
            link: 0,
            offer: offer.number,
            affiliates: offer.affiliates.clone(),
            kind: Kind::Found,
            destination: Destination::new(&destination, &click_parameter).reserve(names),
            promotion,
            price_currency: None,
            fills,
            of_offer: Some(OfferTarget { offer: offer.clone(), fallback }),
            trail,
        })
    }

    /// A page of the offer's hosts, instead of its destination: everything else is the offer's, and what its own URL says of the campaign comes first.
    /// `None` when the page is none that may be.
    pub fn of_deep_link(&self, text: &str) -> Option<Self> {
        let offer = &self.of_offer.as_ref()?.offer;
        let (own, mut fills, click_parameter) = offer_parts(offer).ok()?;
        // A path of the destination's own host.
        let text = match text.strip_prefix('/') {
            Some(path) => [&own[..Position::BeforePath], "/", path].concat(),
            None => text.to_owned(),
        };
        let web = |scheme: &str, authority: &str| {
            matches!(scheme, "http" | "https") && offer.leads_to(authority)
        };
        let url = landing::accept_where(&text, &offer.name, web).ok()?;
        let bare = Self::of_address(&url, self.site.clone());
        let (_, _, rest) = landing::split(&url)?;
        let query = rest.split('#').next()?.split_once('?').map_or("", |(_, query)| query);
        let names: Vec<String> =
            pairs(query.as_bytes()).map(|pair| pair.name.into_owned()).collect();
        if names.contains(&click_parameter) {
            return None;
        }
        let texts = own
            .query_pairs()
            .map(|(name, value)| (name.into_owned(), Fill::Text(value.into_owned())));
        fills.extend(texts);
        fills.retain(|(name, _)| !names.contains(name));
        let mut trail = self.trail.clone();
        let landing = (&mut trail.origin.landing_host, &mut trail.origin.landing_path);
        landing.0.clone_from(&bare.trail.origin.landing_host);
        landing.1.clone_from(&bare.trail.origin.landing_path);
        for pair in pairs(query.as_bytes()) {
            trail.take_parameter(&pair.name, &pair.value);
        }
        let reserved = fills.iter().map(|(name, _)| name.clone());
        Some(Self {
            offer: self.offer,
            destination: Destination::of_text(&url, &click_parameter).reserve(reserved),
            promotion: self.promotion.clone(),
            fills,
            trail,
            ..bare
        })
    }
}

/// All targets, by the name in the URL.
#[derive(Default)]
pub struct Targets {
    links: HashMap<String, Arc<Target>>,
    ads: HashMap<String, Arc<Target>>,
    offers: HashMap<String, Arc<Target>>,
}

impl Targets {
    /// Takes them from the registry, which has checked that what they name exists.
    pub fn new(registry: &Registry) -> Self {
        let mut targets = Self::default();
        for link in registry.links() {
            let Some(site) = registry.site(&link.site) else { continue };
            let target = Arc::new(Target::of_link(link, site.clone()));
            if registry.link_of_ad(&link.ad).is_some_and(|first| first.number == link.number) {
                targets.ads.insert(link.ad.clone(), target.clone());
            }
            targets.links.insert(link.name.clone(), target);
        }
        for offer in registry.offers() {
            let Some(site) = registry.site(&offer.site) else { continue };
            // The registry has checked it already.
            let Ok(target) = Target::of_offer(offer, site) else { continue };
            targets.offers.insert(offer.name.clone(), target.into());
        }
        targets
    }

    /// The link of this name.
    pub fn link(&self, name: &str) -> Option<&Target> {
        self.links.get(name).map(|target| &**target)
    }

    /// The link that an ad's impressions take their words from.
    pub fn ad(&self, name: &str) -> Option<&Target> {
        self.ads.get(name).map(|target| &**target)
    }

    /// The offer of this name.
    pub fn offer(&self, name: &str) -> Option<&Target> {
        self.offers.get(name).map(|target| &**target)
    }
}
