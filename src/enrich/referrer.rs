//! Which site a referrer is: a search engine, a network, an assistant, a mailbox, or none that is known.
//!
//! In: a referrer's host and path, its query where it was kept, and the lists (`config/referrers.toml`, and the sites of
//! `config/channels.toml`). Out: the site's name and channel. Refuses, at load only: a host listed twice, an engine that
//! could never match. Promises: labels are compared whole (`notgoogle.com` is not `google.com`), the longest host and
//! then the longest path win, and a look-up takes some twenty hash look-ups at most.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::channel::{Channel, ChannelError};

/// Labels of a host that are looked up as parents; the longest listed host has six.
const PARENTS_MAX: usize = 8;

/// What stands before a country in `google.{}`, as in `google.co.uk` and `google.com.br`.
const SECOND_LEVELS: &[&str] = &["co", "com", "org", "net", "edu"];

/// Hosts of engines that show nothing but results.
const SEARCH_HOSTS: &[&str] = &["search.", "suche.", "recherche."];

/// `config/referrers.toml` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReferrerLists {
    assistants: BTreeMap<String, Vec<String>>,
    socials: BTreeMap<String, Vec<String>>,
    engine: Vec<Engine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Engine {
    name: String,
    hosts: Vec<String>,
    params: Vec<String>,
    paths: Vec<String>,
}

/// A `[[site]]` of `config/channels.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnSite {
    name: String,
    hosts: Vec<String>,
    channel: Channel,
    #[serde(default)]
    paths: Vec<String>,
}

/// One listed site at one host.
struct Site {
    name: String,
    channel: Channel,
    /// The path that the host was listed with, or empty.
    path: String,
    subdomains: bool,
    /// From `channels.toml`.
    own: bool,
    /// For engines: when a page of theirs is a page of results.
    results: Option<Results>,
}

struct Results {
    params: Vec<String>,
    paths: Vec<String>,
}

/// The lists, by host.
pub(crate) struct Sites {
    by_host: HashMap<String, Vec<Site>>,
    result_paths: Vec<String>,
}

/// The greatest wins: length of the host, length of the path, own before listed, assistant before others.
type Rank = (usize, usize, bool, bool);

/// A referrer as it is looked up.
#[derive(Clone, Copy)]
pub(crate) struct Page<'a> {
    pub host: &'a str,
    pub path: &'a str,
    /// `None`: not kept, so nothing is known of it.
    pub query: Option<&'a str>,
}

/// What is known of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known<'a> {
    pub name: &'a str,
    pub channel: Channel,
}

impl Sites {
    pub(crate) fn new(
        lists: &ReferrerLists,
        own: Vec<OwnSite>,
        result_paths: Vec<String>,
    ) -> Result<Self, ChannelError> {
        let mut sites = Self { by_host: HashMap::with_capacity(1_024), result_paths };
        for site in own {
            sites.add_own(&site)?;
        }
        for (channel, list) in
            [(Channel::Assistant, &lists.assistants), (Channel::OrganicSocial, &lists.socials)]
        {
            for (name, hosts) in list {
                for host in hosts {
                    let (host, path) = split_path(host);
                    let name = name.clone();
                    let site =
                        Site { name, channel, path, subdomains: true, own: false, results: None };
                    sites.add(host, site)?;
                }
            }
        }
        for engine in &lists.engine {
            for host in &engine.hosts {
                let (host, path) = split_path(host);
                let results =
                    Results { params: engine.params.clone(), paths: engine.paths.clone() };
                let site = Site {
                    name: engine.name.clone(),
                    channel: Channel::OrganicSearch,
                    path,
                    subdomains: false,
                    own: false,
                    results: Some(results),
                };
                sites.add(host, site)?;
            }
        }
        Ok(sites)
    }

    fn add_own(&mut self, site: &OwnSite) -> Result<(), ChannelError> {
        let search = site.channel == Channel::OrganicSearch;
        if search == site.paths.is_empty() {
            return Err(ChannelError::Paths { site: site.name.clone() });
        }
        for listed in &site.hosts {
            let alone = listed.strip_prefix('=');
            let (host, path) = split_path(alone.unwrap_or(listed));
            let results = Results { params: Vec::new(), paths: site.paths.clone() };
            let entry = Site {
                name: site.name.clone(),
                channel: site.channel,
                path,
                subdomains: alone.is_none(),
                own: true,
                results: search.then_some(results),
            };
            self.add(host, entry)?;
        }
        Ok(())
    }

    fn add(&mut self, host: String, site: Site) -> Result<(), ChannelError> {
        let at_host = self.by_host.entry(host).or_default();
        if site.own && at_host.iter().any(|known| known.own && known.path == site.path) {
            return Err(ChannelError::Twice { what: "site", name: site.name });
        }
        at_host.push(site);
        Ok(())
    }

    /// The site that a referrer belongs to.
    pub(crate) fn find(&self, page: &Page<'_>) -> Option<Known<'_>> {
        self.best(page.host, |site| {
            site.leads_to(page.path) && site.has_results(page, &self.result_paths)
        })
    }

    /// The site that a host names by itself, as in `utm_source=chatgpt.com`.
    pub(crate) fn find_host(&self, host: &str) -> Option<Known<'_>> {
        self.best(host, |site| site.path.is_empty())
    }

    fn best(&self, host: &str, fits: impl Fn(&Site) -> bool) -> Option<Known<'_>> {
        let host = lower(host);
        let host = host.strip_suffix('.').unwrap_or(&host);
        let mut best: Option<(Rank, &Site)> = None;
        let mut consider = |key: &str, whole: bool| {
            let Some(sites) = self.by_host.get(key) else { return };
            for site in sites.iter().filter(|site| (whole || site.subdomains) && fits(site)) {
                let assistant = site.channel == Channel::Assistant;
                let rank = (key.len(), site.path.len(), site.own, assistant);
                if best.is_none_or(|(before, _)| rank > before) {
                    best = Some((rank, site));
                }
            }
        };
        for name in [Some(host), without_mirror(host)].into_iter().flatten() {
            consider(name, true);
            let (leading, trailing) = (leading_country(name), trailing_country(name));
            for key in [leading, trailing].into_iter().flatten() {
                consider(&key, true);
            }
        }
        let parents = host.match_indices('.').map(|(dot, _)| &host[dot + 1..]);
        for parent in parents.take(PARENTS_MAX) {
            consider(parent, false);
        }
        best.map(|(_, site)| Known { name: &site.name, channel: site.channel })
    }
}

impl Site {
    /// True where the path is the listed one or below it.
    fn leads_to(&self, path: &str) -> bool {
        begins(path, &self.path)
    }

    /// True for what is no engine, and for an engine's pages of results.
    fn has_results(&self, page: &Page<'_>, result_paths: &[String]) -> bool {
        let Some(results) = &self.results else { return true };
        let listed = results.paths.iter().any(|listed| match listed.as_str() {
            "/" => page.path.is_empty() || page.path == "/",
            listed => match listed.strip_prefix('*') {
                Some(part) => page.path.contains(part),
                None => page.path.starts_with(listed),
            },
        });
        listed
            || match page.query {
                Some(query) => form_urlencoded::parse(query.as_bytes()).any(|(name, value)| {
                    !value.is_empty() && results.params.iter().any(|param| *param == name)
                }),
                None => {
                    !self.path.is_empty()
                        || SEARCH_HOSTS.iter().any(|begin| page.host.starts_with(begin))
                        || result_paths.iter().any(|result| begins(page.path, result))
                }
            }
    }
}

/// True where `path` is `prefix` or continues it with a new segment. An empty prefix fits every path.
fn begins(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| {
        rest.is_empty() || prefix.is_empty() || prefix.ends_with('/') || rest.starts_with('/')
    })
}

fn split_path(listed: &str) -> (String, String) {
    match listed.find('/') {
        Some(slash) => (listed[..slash].to_ascii_lowercase(), listed[slash..].to_owned()),
        None => (listed.to_ascii_lowercase(), String::new()),
    }
}

/// The host in lower case.
pub(crate) fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// The host without `www.`, `www2.` or `m.`, where it has one.
pub(crate) fn without_mirror(host: &str) -> Option<&str> {
    let (first, rest) = host.split_once('.')?;
    let digits = first.strip_prefix("www");
    let mirror = first == "m"
        || digits.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
    (mirror && rest.contains('.')).then_some(rest)
}

/// `de.bing.com` as `{}.bing.com`.
fn leading_country(host: &str) -> Option<String> {
    let (first, rest) = host.split_once('.')?;
    is_country(first).then(|| format!("{{}}.{rest}"))
}

/// `google.de` and `google.co.uk` as `google.{}`.
fn trailing_country(host: &str) -> Option<String> {
    let (rest, last) = host.rsplit_once('.')?;
    if !is_country(last) {
        return None;
    }
    let name = match rest.rsplit_once('.') {
        Some((name, second)) if SECOND_LEVELS.contains(&second) => name,
        _ => rest,
    };
    Some(format!("{name}.{{}}"))
}

fn is_country(label: &str) -> bool {
    label.len() == 2 && label.bytes().all(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
#[path = "referrer_tests.rs"]
mod tests;
