//! What a registry must hold to: plain names, each once, numbers from 1, references to what exists, addresses of the web.
//!
//! In: entries as `sites.toml` gives them. Out: maps of them. Refuses: with a text that names the entry and the nearest valid word.

use std::collections::HashMap;
use std::sync::Arc;

use url::{Position, Url};

use super::Registry;
use super::kinds::{Network, Offer, Site};
use crate::check::fill::Fill;
use crate::check::landing::SCHEMES_NEVER;
use crate::config::nearest;

impl Registry {
    pub(super) fn check_references(&self) -> Result<(), String> {
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
            self.check_offer(offer)?;
            self.check_payout(offer)?;
        }
        for network in self.networks.values() {
            self.check_network(network)?;
        }
        for postback in self.postbacks.values() {
            site("postback", &postback.name, &postback.site)?;
            let offers = postback.offers.values().chain([&postback.offer]);
            for offer in offers.filter(|offer| !offer.is_empty()) {
                let name = &postback.name;
                known(&self.offers, offer).map_err(|near| {
                    format!("postback `{name}`: unknown offer `{offer}`; did you mean `{near}`?")
                })?;
                if self.offers[offer].site != postback.site {
                    return Err(format!("postback `{name}`: offer `{offer}` is of another site"));
                }
            }
        }
        Ok(())
    }
}

impl Registry {
    fn check_offer(&self, offer: &Offer) -> Result<(), String> {
        let name = &offer.name;
        let (destination, passed, click_parameter) = offer_parts(offer)?;
        check_destination("offer", name, &destination, &click_parameter)?;
        for (parameter, _) in &passed {
            if *parameter == click_parameter {
                return Err(format!("offer `{name}`: parameter `{parameter}` gets our click id"));
            }
        }
        for affiliate in &offer.affiliates {
            known(&self.affiliates, affiliate).map_err(|near| {
                format!("offer `{name}`: unknown affiliate `{affiliate}`; did you mean `{near}`?")
            })?;
        }
        if offer.amount_max.is_some() && offer.currency.is_none() {
            return Err(format!("offer `{name}`: amount_max without currency"));
        }
        if (offer.amount.is_some() || offer.payout.is_some()) && offer.currency.is_none() {
            return Err(format!("offer `{name}`: amount or payout without currency"));
        }
        if (offer.is_capped() || !offer.countries.is_empty()) && offer.fallback.is_none() {
            return Err(format!(
                "offer `{name}`: caps and countries need a fallback: where whoever is turned away goes"
            ));
        }
        if let Some(fallback) = &offer.fallback {
            check_destination("offer", name, fallback, &click_parameter)?;
        }
        check_hosts(&format!("offer `{name}`"), "deep host", &offer.deep_hosts)
    }

    fn check_network(&self, network: &Network) -> Result<(), String> {
        let name = &network.name;
        let offers = network.offers.values().chain([&network.offer]);
        for offer in offers.filter(|offer| !offer.is_empty()) {
            known(&self.offers, offer).map_err(|near| {
                format!("network `{name}`: unknown offer `{offer}`; did you mean `{near}`?")
            })?;
        }
        let affiliates = network.affiliates.values().chain([&network.affiliate]);
        for affiliate in affiliates.filter(|affiliate| !affiliate.is_empty()) {
            known(&self.affiliates, affiliate).map_err(|near| {
                format!("network `{name}`: unknown affiliate `{affiliate}`; did you mean `{near}`?")
            })?;
        }
        if network.hosts.is_empty() {
            return Err(format!("network `{name}`: without hosts nobody can reach it"));
        }
        Ok(())
    }
}

/// An offer's destination without its macros; the parameters that get something, with what; and the one that gets our click id.
pub(crate) type OfferParts = (Url, Vec<(String, Fill)>, String);

/// Takes an offer's destination apart.
pub(crate) fn offer_parts(offer: &Offer) -> Result<OfferParts, String> {
    let name = &offer.name;
    let mut click_parameter = offer.click_parameter.clone();
    let mut passed = Vec::new();
    let unknown = |word: &str| {
        let near = nearest(word, Fill::words());
        format!("offer `{name}`: nothing is called `{word}`; did you mean `{near}`?")
    };
    for (parameter, word) in &offer.pass {
        let fill = Fill::parse(word).ok_or_else(|| unknown(word))?;
        passed.push((parameter.clone(), fill));
    }
    let mut destination = offer.destination.clone();
    let pairs: Vec<(String, String)> = destination.query_pairs().into_owned().collect();
    let is_macro = |value: &str| value.starts_with('{') && value.ends_with('}') && value.len() > 2;
    if pairs.iter().any(|(_, value)| is_macro(value)) {
        destination.set_query(None);
        for (parameter, value) in pairs {
            if !is_macro(&value) {
                destination.query_pairs_mut().append_pair(&parameter, &value);
                continue;
            }
            match &value[1..value.len() - 1] {
                "click_id" => click_parameter = parameter,
                word => {
                    let fill = Fill::parse(word).ok_or_else(|| unknown(word))?;
                    passed.push((parameter, fill));
                }
            }
        }
    }
    Ok((destination, passed, click_parameter))
}

pub(super) fn by_name<T>(
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

pub(super) fn by_number<T>(
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

pub(super) fn known<'a, T>(items: &'a HashMap<String, T>, name: &str) -> Result<(), &'a str> {
    if items.contains_key(name) {
        Ok(())
    } else {
        Err(nearest(name, items.keys().map(String::as_str)))
    }
}

pub(super) fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
}

/// Origins are compared with the `Origin` header byte by byte, so they have to be spelled as browsers spell them.
pub(super) fn check_site(site: &Site) -> Result<(), String> {
    let name = &site.name;
    for origin in site.origins.iter().chain(&site.return_origins) {
        let parsed = Url::parse(origin).ok().filter(is_web);
        let spelled = parsed.map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        if spelled.is_empty() {
            return Err(format!("site `{name}`: origin `{origin}` is not scheme://host[:port]"));
        }
        if spelled != *origin {
            return Err(format!("site `{name}`: origin `{origin}` must be spelled `{spelled}`"));
        }
    }
    check_link_places(site)?;
    if site.thank_you.is_empty() || Url::parse(&site.thank_you).is_ok_and(|url| is_web(&url)) {
        Ok(())
    } else {
        Err(format!("site `{name}`: thank_you is http(s)://host/… or empty"))
    }
}

/// Hosts are compared byte by byte with what the URL parser writes, so they have to be spelled like that.
fn check_link_places(site: &Site) -> Result<(), String> {
    let name = &site.name;
    check_hosts(&format!("site `{name}`"), "link host", &site.link_hosts)?;
    check_schemes(site)
}

fn check_hosts(whose: &str, what: &str, hosts: &[String]) -> Result<(), String> {
    for host in hosts {
        let bare = host.strip_prefix("*.").unwrap_or(host);
        let parsed = Url::parse(&format!("http://{bare}/")).ok().filter(is_web);
        let spelled = parsed.map(|url| url[Position::BeforeHost..Position::BeforePath].to_owned());
        match spelled {
            Some(spelled) if spelled == bare => {}
            Some(spelled) if !bare.contains(['/', '@', '*', '\\', '?', '#']) => {
                return Err(format!("{whose}: {what} `{host}` must be spelled `{spelled}`"));
            }
            _ => {
                return Err(format!("{whose}: {what} `{host}` is not host, host:port or *.host"));
            }
        }
    }
    Ok(())
}

fn check_schemes(site: &Site) -> Result<(), String> {
    let name = &site.name;
    for scheme in &site.link_schemes {
        let plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
        if !scheme.starts_with(|first: char| first.is_ascii_lowercase())
            || !scheme.bytes().all(plain)
        {
            return Err(format!(
                "site `{name}`: link scheme `{scheme}` is not a word like `shopapp`"
            ));
        }
        if matches!(scheme.as_str(), "http" | "https") || SCHEMES_NEVER.contains(&scheme.as_str()) {
            return Err(format!("site `{name}`: link scheme `{scheme}` can't be an app's"));
        }
    }
    Ok(())
}

pub(super) fn check_destination(
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

pub(crate) fn explain(error: &toml::de::Error, text: &str, source: &str) -> String {
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
