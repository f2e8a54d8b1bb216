//! Clicks of networks and trackers: how they write click addresses, as data.
//!
//! In: `config/dialects/clicks/*.toml`, built in, a folder of the operator's over them, and the entries `[[network]]` of `sites.toml`. Out: for an
//! address the affiliate and the offer that it names, and what its other parameters mean. Refuses: a profile or entry that can't be right, at start,
//! naming the place. Promises: an address that names nothing of ours is no click: whoever asks learns no more than that there is nothing.

pub mod file;
mod profile;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

pub use self::file::Role;
use self::profile::Segment;
pub use self::profile::{Meaning, Profile};
use super::profiles;
use crate::config::ConfigError;
use crate::receive::pairs::pairs;
use crate::registry::{Network, Registry};

/// The profile of our own door, where an affiliate has no other.
pub const OWN: &str = "leadtrail";

/// Parts of a path that are looked at: no network's has more.
const SEGMENTS_MAX: usize = 6;

/// All profiles, by name.
pub type Profiles = profiles::Profiles<Profile>;

impl profiles::Kind for Profile {
    type File = file::File;
    const FOLDER: &'static str = "clicks";
    const BUILT_IN: &'static [(&'static str, &'static str)] = file::FILES;

    fn of(name: &str, file: file::File) -> Result<Self, String> {
        Self::new(name, file)
    }
}

/// An entry of `sites.toml` with its profile.
#[derive(Debug)]
struct Installed {
    entry: Arc<Network>,
    profile: Arc<Profile>,
}

/// What an address of a network's names.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// How its other parameters are read.
    pub profile: &'a Profile,
    /// Our affiliate.
    pub affiliate: &'a str,
    /// Our offer.
    pub offer: &'a str,
    /// What the path says of the ad, creative and placement.
    pub path: [&'a str; 3],
}

#[cfg(test)]
impl PartialEq for Found<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.affiliate, self.offer, self.path) == (other.affiliate, other.offer, other.path)
    }
}

#[cfg(test)]
impl Eq for Found<'_> {}

/// All installed networks, and how each affiliate's links at our own door are read.
#[derive(Debug)]
pub struct Networks {
    networks: Vec<Installed>,
    by_affiliate: BTreeMap<String, Arc<Profile>>,
    own: Arc<Profile>,
    registry: Arc<Registry>,
}

impl Networks {
    /// Reads the profiles.
    ///
    /// # Errors
    /// With the entry and what is wrong about it.
    pub fn open(folder: &str, registry: Arc<Registry>) -> Result<Self, ConfigError> {
        let profiles = Profiles::load(folder)?;
        let find = |kind: &str, name: &str, profile: &str| {
            profiles.get(profile).cloned().map_err(|near| {
                let what =
                    format!("{kind} `{name}`: unknown profile `{profile}`; did you mean `{near}`?");
                ConfigError::Wrong(what)
            })
        };
        let mut networks = Vec::new();
        for entry in registry.networks() {
            let profile = if entry.profile.is_empty() { &entry.name } else { &entry.profile };
            let profile = find("network", &entry.name, profile)?;
            networks.push(Installed { entry: entry.clone(), profile });
        }
        // Two networks can have the same path; then the names' order decides, always the same.
        networks.sort_by(|one, other| one.entry.name.cmp(&other.entry.name));
        let mut by_affiliate = BTreeMap::new();
        for affiliate in registry.affiliates().filter(|one| !one.profile.is_empty()) {
            let profile = find("affiliate", &affiliate.name, &affiliate.profile)?;
            by_affiliate.insert(affiliate.name.clone(), profile);
        }
        let own = find("affiliate", "", OWN)?;
        Ok(Self { networks, by_affiliate, own, registry })
    }

    /// How the parameters of this affiliate's links at our own door are read.
    pub fn of_affiliate(&self, affiliate: &str) -> &Profile {
        self.by_affiliate.get(affiliate).unwrap_or(&self.own)
    }

    /// What an address at a network's own path names, if the host is enabled and both affiliate and offer are ours.
    pub fn find<'a>(&'a self, host: &str, path: &'a str, query: &'a str) -> Option<Found<'a>> {
        if self.networks.is_empty() {
            return None;
        }
        let host = host.rsplit_once(':').map_or(host, |(name, port)| {
            if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
        });
        let enabled = |one: &&Installed| {
            one.entry.hosts.iter().any(|own| own == "*" || own.eq_ignore_ascii_case(host))
        };
        self.networks.iter().filter(enabled).find_map(|one| self.read(one, path, query))
    }

    fn read<'a>(&'a self, one: &'a Installed, path: &'a str, query: &'a str) -> Option<Found<'a>> {
        let parts = one.profile.paths.iter().find_map(|segments| matches(segments, path))?;
        let part = |role: Role| {
            let found = parts.iter().flatten().find(|(known, _)| *known == role);
            found.map_or("", |(_, text)| *text)
        };
        let said = |role: Role| -> Cow<'a, str> {
            match part(role) {
                "" => {
                    let mut pairs = pairs(query.as_bytes());
                    let is = |name: &str| one.profile.meaning(name) == Some(Meaning::Role(role));
                    pairs.find(|pair| is(&pair.name)).map_or(Cow::Borrowed(""), |pair| pair.value)
                }
                text => Cow::Borrowed(text),
            }
        };
        let entry = &one.entry;
        let affiliate =
            mapped(&entry.affiliates, &entry.affiliate, &said(Role::Affiliate), |name| {
                self.registry.affiliate(name).map(|one| one.name.as_str())
            })?;
        let offer = |name: &str| self.registry.offer(name).map(|one| one.name.as_str());
        let of_banner = mapped(&entry.offers, "", &said(Role::Banner), offer);
        let usual = of_banner.unwrap_or(&entry.offer);
        let offer = mapped(&entry.offers, usual, &said(Role::Offer), offer)?;
        let path = [part(Role::Ad), part(Role::Creative), part(Role::Placement)];
        Some(Found { profile: &one.profile, affiliate, offer, path })
    }
}

/// Our name for theirs: as the entry maps it, else our own name; the entry's usual one where nothing was said.
fn mapped<'a>(
    map: &'a BTreeMap<String, String>,
    usual: &'a str,
    said: &str,
    ours: impl Fn(&str) -> Option<&'a str>,
) -> Option<&'a str> {
    if said.is_empty() {
        return (!usual.is_empty()).then_some(usual);
    }
    map.get(said).map(String::as_str).or_else(|| ours(said))
}

/// A path's parts that mean something, if it has this form.
fn matches<'a>(
    segments: &[Segment],
    path: &'a str,
) -> Option<[Option<(Role, &'a str)>; SEGMENTS_MAX]> {
    let mut found = [None; SEGMENTS_MAX];
    let inner = path.strip_prefix('/')?;
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    let mut parts = inner.split('/').filter(|part| !part.is_empty() || !inner.is_empty());
    for (place, segment) in segments.iter().enumerate() {
        let part = parts.next().filter(|part| !part.is_empty())?;
        match segment {
            Segment::Word(word) if word == part => {}
            Segment::Word(_) => return None,
            Segment::Role(role) => *found.get_mut(place)? = Some((*role, part)),
            Segment::Any => {}
        }
    }
    parts.next().is_none().then_some(found)
}
