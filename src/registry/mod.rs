//! The registry: sites, forms, links, offers, affiliates, networks and mailings.
//!
//! In: `sites.toml`. Out: a checked [`Registry`] with a look-up for each door. Refuses: an unknown key, a name or number given
//! twice, a reference to nothing, a destination that is no plain http(s) URL. Promises: what the doors and click ids name
//! exists, and a destination taken from here can be sent as it is.

pub(crate) mod checks;
mod kinds;
mod payouts;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

pub use kinds::{
    Affiliate, CountryCode, Files, Form, Link, Mailing, Network, Offer, Opens, Postback, Site,
    Tier, VisitorMode,
};

use self::checks::{by_name, by_number};
pub(crate) use self::checks::{explain, offer_parts};
use self::kinds::File;
use crate::config::ConfigError;

/// The demo sites, built in.
const DEMO: &str = include_str!("../../config/sites.toml");

/// Everything the doors know, by name and by number.
#[derive(Debug, Default)]
pub struct Registry {
    sites: HashMap<String, Arc<Site>>,
    forms: HashMap<String, Arc<Form>>,
    links: HashMap<String, Arc<Link>>,
    affiliates: HashMap<String, Arc<Affiliate>>,
    offers: HashMap<String, Arc<Offer>>,
    mailings: HashMap<String, Arc<Mailing>>,
    postbacks: HashMap<String, Arc<Postback>>,
    networks: HashMap<String, Arc<Network>>,
    links_by_number: HashMap<u32, Arc<Link>>,
    affiliates_by_number: HashMap<u32, Arc<Affiliate>>,
    offers_by_number: HashMap<u32, Arc<Offer>>,
    mailings_by_number: HashMap<u32, Arc<Mailing>>,
    links_by_ad: HashMap<String, Arc<Link>>,
}

impl Registry {
    /// Reads `path`; an empty path means the built-in demo sites.
    pub fn load(path: &str) -> Result<Self, ConfigError> {
        if path.is_empty() {
            return Self::parse(DEMO, "built-in config/sites.toml");
        }
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: Path::new(path).to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Reads and checks the text of a registry; `source` names it in errors.
    pub fn parse(text: &str, source: &str) -> Result<Self, ConfigError> {
        let file: File = toml::from_str(text)
            .map_err(|error| ConfigError::Wrong(explain(&error, text, source)))?;
        let wrong = |what: String| ConfigError::Wrong(format!("{source}: {what}"));
        let mut registry = Self {
            sites: by_name("site", file.site, |site| &site.name).map_err(wrong)?,
            ..Self::default()
        };
        registry.forms = by_name("form", file.form, |form| &form.name).map_err(wrong)?;
        registry.links = by_name("link", file.link, |link| &link.name).map_err(wrong)?;
        registry.affiliates =
            by_name("affiliate", file.affiliate, |one| &one.name).map_err(wrong)?;
        registry.offers = by_name("offer", file.offer, |offer| &offer.name).map_err(wrong)?;
        registry.mailings = by_name("mailing", file.mailing, |one| &one.name).map_err(wrong)?;
        registry.postbacks = by_name("postback", file.postback, |one| &one.name).map_err(wrong)?;
        registry.networks = by_name("network", file.network, |one| &one.name).map_err(wrong)?;
        registry.links_by_number =
            by_number("link", &registry.links, |link| link.number).map_err(wrong)?;
        registry.affiliates_by_number =
            by_number("affiliate", &registry.affiliates, |one| one.number).map_err(wrong)?;
        registry.offers_by_number =
            by_number("offer", &registry.offers, |offer| offer.number).map_err(wrong)?;
        registry.mailings_by_number =
            by_number("mailing", &registry.mailings, |one| one.number).map_err(wrong)?;
        // One ad may run under several links; an impression then takes the words of the lowest number, always the same.
        let mut links: Vec<_> =
            registry.links.values().filter(|link| !link.ad.is_empty()).collect();
        links.sort_by_key(|link| std::cmp::Reverse(link.number));
        registry.links_by_ad =
            links.into_iter().map(|link| (link.ad.clone(), link.clone())).collect();
        registry.check_references().map_err(wrong)?;
        Ok(registry)
    }

    /// The site of this name.
    pub fn site(&self, name: &str) -> Option<&Arc<Site>> {
        self.sites.get(name)
    }

    /// The only site, where there is just one: pixels then need not name it.
    pub fn only_site(&self) -> Option<&Arc<Site>> {
        (self.sites.len() == 1).then(|| self.sites.values().next()).flatten()
    }

    /// All sites.
    pub fn sites(&self) -> impl Iterator<Item = &Arc<Site>> {
        self.sites.values()
    }

    /// The form of this name.
    pub fn form(&self, name: &str) -> Option<&Arc<Form>> {
        self.forms.get(name)
    }

    /// All forms.
    pub fn forms(&self) -> impl Iterator<Item = &Arc<Form>> {
        self.forms.values()
    }

    /// The link of this name.
    pub fn link(&self, name: &str) -> Option<&Arc<Link>> {
        self.links.get(name)
    }

    /// All links.
    pub fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.links.values()
    }

    /// The link of this number.
    pub fn link_numbered(&self, number: u32) -> Option<&Arc<Link>> {
        self.links_by_number.get(&number)
    }

    /// The link with the lowest number among those of this ad.
    pub fn link_of_ad(&self, ad: &str) -> Option<&Arc<Link>> {
        self.links_by_ad.get(ad)
    }

    /// The affiliate of this name.
    pub fn affiliate(&self, name: &str) -> Option<&Arc<Affiliate>> {
        self.affiliates.get(name)
    }

    /// All affiliates.
    pub fn affiliates(&self) -> impl Iterator<Item = &Arc<Affiliate>> {
        self.affiliates.values()
    }

    /// The affiliate of this number.
    pub fn affiliate_numbered(&self, number: u32) -> Option<&Arc<Affiliate>> {
        self.affiliates_by_number.get(&number)
    }

    /// The offer of this name.
    pub fn offer(&self, name: &str) -> Option<&Arc<Offer>> {
        self.offers.get(name)
    }

    /// The offer of this number.
    pub fn offer_numbered(&self, number: u32) -> Option<&Arc<Offer>> {
        self.offers_by_number.get(&number)
    }

    /// All offers.
    pub fn offers(&self) -> impl Iterator<Item = &Arc<Offer>> {
        self.offers.values()
    }

    /// All installed postbacks.
    pub fn postbacks(&self) -> impl Iterator<Item = &Arc<Postback>> {
        self.postbacks.values()
    }

    /// All installed networks.
    pub fn networks(&self) -> impl Iterator<Item = &Arc<Network>> {
        self.networks.values()
    }

    /// The mailing of this name.
    pub fn mailing(&self, name: &str) -> Option<&Arc<Mailing>> {
        self.mailings.get(name)
    }

    /// The mailing of this number.
    pub fn mailing_numbered(&self, number: u32) -> Option<&Arc<Mailing>> {
        self.mailings_by_number.get(&number)
    }
}
