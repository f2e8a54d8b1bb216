//! The registry: sites, forms, links, offers, affiliates and mailings.
//!
//! In: `sites.toml`. Out: a checked [`Registry`] with a look-up for each door. Refuses: an unknown key, a name or number given
//! twice, a reference to nothing, a destination that is no plain http(s) URL. Promises: what the doors and click ids name
//! exists, and a destination taken from here can be sent as it is.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use url::Url;

use crate::config::{ConfigError, nearest};
use crate::money::{Amount, Currency};

/// The demo sites, built in.
const DEMO: &str = include_str!("../config/sites.toml");

/// How a site's visitors are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VisitorMode {
    /// By a cookie that the redirect sets; the daily hash besides.
    Cookie,
    /// By the daily hash alone.
    DailyHash,
    /// Not at all.
    None,
}

/// A site: whose events these are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// As reports show it.
    pub name: String,
    /// `scheme://host[:port]` of its pages: for CORS and for return URLs.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Where a form without an allowed return URL goes; empty: our own page.
    #[serde(default)]
    pub thank_you: String,
    /// How browsers are known.
    pub visitor: VisitorMode,
}

impl Site {
    /// True when `origin` (as in the `Origin` header) is one of the site's own.
    pub fn owns_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|own| own == origin)
    }
}

/// A form.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    /// As in `/f/{name}`.
    pub name: String,
    /// Whose it is.
    pub site: String,
}

/// A registered link: an ad's or a mail's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/sites.toml shows each key; the names are the field's own")]
pub struct Link {
    pub number: u32,
    pub name: String,
    pub site: String,
    pub destination: Url,
    #[serde(default)]
    pub campaign: String,
    #[serde(default)]
    pub ad: String,
    #[serde(default)]
    pub creative: String,
    #[serde(default)]
    pub placement: String,
    #[serde(default)]
    pub mailing: String,
    #[serde(default)]
    pub product: String,
    #[serde(default)]
    pub price_variant: String,
    pub price: Option<Amount>,
    pub currency: Option<Currency>,
}

/// An affiliate.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/sites.toml shows each key")]
pub struct Affiliate {
    pub number: u32,
    pub name: String,
}

/// An offer that affiliates send visitors to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/sites.toml shows each key; the names are the field's own")]
pub struct Offer {
    pub number: u32,
    pub name: String,
    pub site: String,
    pub destination: Url,
    #[serde(default = "default_click_parameter")]
    pub click_parameter: String,
    #[serde(default)]
    pub affiliates: Vec<String>,
    pub amount: Option<Amount>,
    pub currency: Option<Currency>,
    pub payout: Option<Amount>,
    pub window_days: Option<u32>,
}

fn default_click_parameter() -> String {
    "lt".to_owned()
}

/// A mailing, for open pixels and mail links.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/sites.toml shows each key")]
pub struct Mailing {
    pub number: u32,
    pub name: String,
    pub site: String,
    #[serde(default)]
    pub campaign: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    site: Vec<Site>,
    #[serde(default)]
    form: Vec<Form>,
    #[serde(default)]
    link: Vec<Link>,
    #[serde(default)]
    affiliate: Vec<Affiliate>,
    #[serde(default)]
    offer: Vec<Offer>,
    #[serde(default)]
    mailing: Vec<Mailing>,
}

/// Everything the doors know, by name and by number.
#[derive(Debug, Default)]
pub struct Registry {
    sites: HashMap<String, Arc<Site>>,
    forms: HashMap<String, Arc<Form>>,
    links: HashMap<String, Arc<Link>>,
    affiliates: HashMap<String, Arc<Affiliate>>,
    offers: HashMap<String, Arc<Offer>>,
    mailings: HashMap<String, Arc<Mailing>>,
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

    fn check_references(&self) -> Result<(), String> {
        let site = |kind: &str, name: &str, site: &str| {
            known(&self.sites, site).map_err(|near| {
                format!("{kind} `{name}`: unknown site `{site}`; did you mean `{near}`?")
            })
        };
        for own in self.sites.values() {
            check_site(own)?;
        }
        for form in self.forms.values() {
            site("form", &form.name, &form.site)?;
        }
        for mailing in self.mailings.values() {
            site("mailing", &mailing.name, &mailing.site)?;
        }
        for link in self.links.values() {
            site("link", &link.name, &link.site)?;
            check_destination("link", &link.name, &link.destination, "lt")?;
            if !link.mailing.is_empty() {
                known(&self.mailings, &link.mailing).map_err(|near| {
                    format!("link `{}`: unknown mailing; did you mean `{near}`?", link.name)
                })?;
            }
            if link.price.is_some() != link.currency.is_some() {
                return Err(format!("link `{}`: price and currency go together", link.name));
            }
        }
        for offer in self.offers.values() {
            site("offer", &offer.name, &offer.site)?;
            check_destination("offer", &offer.name, &offer.destination, &offer.click_parameter)?;
            for affiliate in &offer.affiliates {
                known(&self.affiliates, affiliate).map_err(|near| {
                    let name = &offer.name;
                    format!(
                        "offer `{name}`: unknown affiliate `{affiliate}`; did you mean `{near}`?"
                    )
                })?;
            }
            if (offer.amount.is_some() || offer.payout.is_some()) && offer.currency.is_none() {
                return Err(format!("offer `{}`: amount or payout without currency", offer.name));
            }
        }
        Ok(())
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

    /// The mailing of this name.
    pub fn mailing(&self, name: &str) -> Option<&Arc<Mailing>> {
        self.mailings.get(name)
    }

    /// The mailing of this number.
    pub fn mailing_numbered(&self, number: u32) -> Option<&Arc<Mailing>> {
        self.mailings_by_number.get(&number)
    }
}

fn by_name<T>(
    kind: &str,
    items: Vec<T>,
    name: impl Fn(&T) -> &str,
) -> Result<HashMap<String, Arc<T>>, String> {
    let mut map = HashMap::with_capacity(items.len());
    for item in items {
        let key = name(&item).to_owned();
        let plain =
            |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
        if key.is_empty() || key.len() > 64 || !key.chars().all(plain) {
            return Err(format!("{kind} `{key}`: a name is 1 to 64 of a-z A-Z 0-9 - _ ."));
        }
        if map.insert(key.clone(), Arc::new(item)).is_some() {
            return Err(format!("{kind} `{key}` stands twice"));
        }
    }
    Ok(map)
}

fn by_number<T>(
    kind: &str,
    items: &HashMap<String, Arc<T>>,
    number: impl Fn(&T) -> u32,
) -> Result<HashMap<u32, Arc<T>>, String> {
    let mut map = HashMap::with_capacity(items.len());
    for (name, item) in items {
        let key = number(item);
        if key == 0 {
            return Err(format!("{kind} `{name}`: numbers begin at 1"));
        }
        if map.insert(key, item.clone()).is_some() {
            return Err(format!(
                "{kind} number {key} stands twice; numbers live in click ids for ever"
            ));
        }
    }
    Ok(map)
}

fn known<'a, T>(items: &'a HashMap<String, T>, name: &str) -> Result<(), &'a str> {
    if items.contains_key(name) {
        Ok(())
    } else {
        Err(nearest(name, items.keys().map(String::as_str)))
    }
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
}

/// Origins are compared with the `Origin` header byte by byte, so they have to be spelled as browsers spell them.
fn check_site(site: &Site) -> Result<(), String> {
    let name = &site.name;
    for origin in &site.origins {
        let parsed = Url::parse(origin).ok().filter(is_web);
        let spelled = parsed.map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        if spelled.is_empty() {
            return Err(format!("site `{name}`: origin `{origin}` is not scheme://host[:port]"));
        }
        if spelled != *origin {
            return Err(format!("site `{name}`: origin `{origin}` must be spelled `{spelled}`"));
        }
    }
    if site.thank_you.is_empty() || Url::parse(&site.thank_you).is_ok_and(|url| is_web(&url)) {
        Ok(())
    } else {
        Err(format!("site `{name}`: thank_you is http(s)://host/… or empty"))
    }
}

fn check_destination(
    kind: &str,
    name: &str,
    url: &Url,
    click_parameter: &str,
) -> Result<(), String> {
    if !is_web(url) {
        return Err(format!(
            "{kind} `{name}`: a destination is http(s)://host/… without user name"
        ));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if click_parameter.is_empty() || !click_parameter.bytes().all(plain) {
        return Err(format!("{kind} `{name}`: click_parameter is a name of a-z A-Z 0-9 - _ ."));
    }
    if url.query_pairs().any(|(parameter, _)| parameter == click_parameter) {
        return Err(format!(
            "{kind} `{name}`: the destination has a parameter `{click_parameter}` already; our click id goes there"
        ));
    }
    Ok(())
}

fn explain(error: &toml::de::Error, text: &str, source: &str) -> String {
    let line =
        error.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let message = error.message().replace('\n', " ");
    let hint = message.strip_prefix("unknown field `").and_then(|tail| {
        let (typed, known) = tail.split_once('`')?;
        Some(nearest(typed, known.split('`').skip(1).step_by(2)).to_owned())
    });
    match hint {
        Some(near) => format!("{source}, line {line}: {message}; did you mean `{near}`?"),
        None => format!("{source}, line {line}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Registry::parse(text, "sites.toml").unwrap_err().to_string()
    }

    #[test]
    fn the_demo_sites_are_a_registry() {
        let registry = Registry::load("").unwrap();
        assert_eq!(registry.link("summer-ad").unwrap().number, 1);
        assert_eq!(registry.link_of_ad("summer-shoes").unwrap().name, "summer-ad");
        assert!(registry.only_site().is_some());
    }

    #[test]
    fn a_wrong_registry_names_the_place_and_the_nearest_valid_word() {
        let text = "[[site]]\nname = \"a\"\nvisitor = \"cookie\"\norigin = []\n";
        let error = refusal(text);
        assert!(error.starts_with("sites.toml, line 4"), "{error}");
        assert!(error.ends_with("did you mean `origins`?"), "{error}");
        let site = "[[site]]\nname = \"shop\"\nvisitor = \"none\"\n";
        let error = refusal(&format!("{site}[[form]]\nname = \"f\"\nsite = \"shp\"\n"));
        assert_eq!(error, "sites.toml: form `f`: unknown site `shp`; did you mean `shop`?");
        let link = "[[link]]\nnumber = 1\nname = \"l\"\nsite = \"shop\"\ndestination = \"javascript:alert(1)\"\n";
        assert!(refusal(&format!("{site}{link}")).contains("a destination is http(s)"));
        let link = "[[link]]\nnumber = 1\nname = \"l\"\nsite = \"shop\"\ndestination = \"https://a.example/?lt=1\"\n";
        assert!(refusal(&format!("{site}{link}")).contains("has a parameter `lt` already"));
    }

    #[test]
    fn origins_are_spelled_as_browsers_spell_them() {
        let with = |origin: &str| {
            format!("[[site]]\nname = \"a\"\nvisitor = \"none\"\norigins = [\"{origin}\"]\n")
        };
        assert!(Registry::parse(&with("https://shop.example:8443"), "sites.toml").is_ok());
        assert!(
            refusal(&with("https://Shop.example/"))
                .ends_with("must be spelled `https://shop.example`")
        );
        assert!(refusal(&with("https://shop.example:443")).ends_with("`https://shop.example`"));
        assert!(refusal(&with("shop.example")).ends_with("is not scheme://host[:port]"));
        assert!(refusal(&with("null")).ends_with("is not scheme://host[:port]"));
        let thanks =
            with("https://shop.example").replace("origins", "thank_you = \"/thanks\"\norigins");
        assert!(refusal(&thanks).ends_with("thank_you is http(s)://host/… or empty"));
    }
}
