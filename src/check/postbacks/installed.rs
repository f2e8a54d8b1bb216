//! Installed postbacks: an entry of `sites.toml` with its profile and its secrets.
//!
//! In: the registry and the configuration. Out: [`Postbacks`]: found by name, or by host and path. Refuses: an unknown profile, a secret
//! that can't be read or is empty, a profile that can't be read without one. Promises: secrets are read once, from files or the
//! environment, and never printed.

use std::collections::HashMap;
use std::sync::Arc;

use super::file::Authentication;
use super::sign::Secret;
use super::{Profile, Profiles};
use crate::check::fraud::Terms;
use crate::config::{Config, ConfigError};
use crate::registry::{Postback, Registry};

/// The shortest secret that is taken: 64 bits in hex.
const SECRET_BYTES_MIN: usize = 8;

/// An entry, made ready.
#[derive(Debug)]
pub struct Installed {
    /// As in `sites.toml`.
    pub entry: Arc<Postback>,
    /// How its network speaks.
    pub profile: Arc<Profile>,
    /// Any of them proves; none: what is sent proves nothing.
    pub secrets: Vec<Secret>,
    /// What a click is held to.
    pub terms: Terms,
}

/// One of a network's own paths.
#[derive(Debug)]
struct VendorPath {
    host: String,
    segments: Vec<String>,
    name: String,
}

/// All installed postbacks.
#[derive(Debug, Default)]
pub struct Postbacks {
    by_name: HashMap<String, Installed>,
    paths: Vec<VendorPath>,
}

impl Postbacks {
    /// Reads profiles and secrets.
    ///
    /// # Errors
    /// With the entry and what is wrong about it.
    pub fn open(config: &Config, registry: &Registry) -> Result<Self, ConfigError> {
        let profiles = Profiles::load(&config.dialects_dir)?;
        let mut postbacks = Self::default();
        for entry in registry.postbacks() {
            let wrong =
                |what: String| ConfigError::Wrong(format!("postback `{}`: {what}", entry.name));
            let profile = if entry.profile.is_empty() { &entry.name } else { &entry.profile };
            let profile = profiles.get(profile).map_err(|near| {
                wrong(format!("unknown profile `{profile}`; did you mean `{near}`?"))
            })?;
            let secrets = secrets(entry).map_err(wrong)?;
            if secrets.is_empty() && matches!(profile.authentication, Authentication::Clickbank) {
                return Err(wrong("can't be read without secret_file or secret_env".to_owned()));
            }
            for host in &entry.hosts {
                postbacks.paths.extend(profile.paths.iter().map(|path| VendorPath {
                    host: host.clone(),
                    segments: path.trim_matches('/').split('/').map(str::to_owned).collect(),
                    name: entry.name.clone(),
                }));
            }
            let installed = Installed {
                entry: entry.clone(),
                profile: profile.clone(),
                secrets,
                terms: Terms::of(config),
            };
            postbacks.by_name.insert(entry.name.clone(), installed);
        }
        // The most exact path first; of two that are the same, the first name.
        postbacks.paths.sort_by(|one, other| {
            let key =
                |path: &VendorPath| (std::cmp::Reverse(path.segments.len()), path.name.clone());
            key(one).cmp(&key(other))
        });
        Ok(postbacks)
    }

    /// The one of this name.
    pub fn get(&self, name: &str) -> Option<&Installed> {
        self.by_name.get(name)
    }

    /// All names, with their profiles.
    pub fn profiles(&self) -> impl Iterator<Item = (String, Arc<Profile>)> {
        self.by_name.iter().map(|(name, one)| (name.clone(), one.profile.clone()))
    }

    /// The one whose network has this path, where the host is enabled; and what of the path is left to read.
    pub fn by_path<'a>(&'a self, host: &str, path: &'a str) -> Option<(&'a str, &'a str)> {
        if self.paths.is_empty() {
            return None;
        }
        let host = host.rsplit_once(':').map_or(host, |(name, port)| {
            if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
        });
        let path = path.trim_start_matches('/');
        self.paths.iter().find_map(|vendor| {
            let meant = vendor.host == "*" || vendor.host.eq_ignore_ascii_case(host);
            let rest = if meant { rest_of(&vendor.segments, path) } else { None };
            rest.map(|rest| (vendor.name.as_str(), rest))
        })
    }
}

/// What follows the segments; the segment that stands for the secret, where nothing follows.
fn rest_of<'a>(segments: &[String], path: &'a str) -> Option<&'a str> {
    let (mut rest, mut secret) = (path, "");
    for segment in segments {
        let (own, tail) = rest.split_once('/').unwrap_or((rest, ""));
        if segment == "{secret}" {
            secret = own;
        } else if segment != own {
            return None;
        }
        rest = tail;
    }
    // A root path is meant exactly.
    let only_root = segments.len() == 1 && segments[0].is_empty();
    match (rest.is_empty(), secret.is_empty()) {
        (true, _) => Some(secret),
        (false, true) if !only_root => Some(rest),
        (false, _) => None,
    }
}

fn secrets(entry: &Postback) -> Result<Vec<Secret>, String> {
    let text = if !entry.secret_file.is_empty() {
        let path = &entry.secret_file;
        std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read secret_file {path:?}: {error}"))?
    } else if !entry.secret_env.is_empty() {
        let name = &entry.secret_env;
        std::env::var(name).map_err(|_| format!("secret_env: the environment has no {name}"))?
    } else {
        return Ok(Vec::new());
    };
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return Err("the secret is empty".to_owned());
    }
    if lines.iter().any(|line| line.len() < SECRET_BYTES_MIN) {
        return Err(format!("a secret has at least {SECRET_BYTES_MIN} characters"));
    }
    Ok(lines.into_iter().map(Secret::new).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_networks_own_path_leaves_what_is_to_be_read() {
        let segments = |path: &str| -> Vec<String> {
            path.trim_matches('/').split('/').map(str::to_owned).collect()
        };
        assert_eq!(rest_of(&segments("/aff_lsr"), "aff_lsr"), Some(""));
        assert_eq!(rest_of(&segments("/conversion"), "conversion/r1/aid/2"), Some("r1/aid/2"));
        assert_eq!(rest_of(&segments("/{secret}/postback"), "0a1b/postback"), Some("0a1b"));
        assert_eq!(rest_of(&segments("/{secret}/postback"), "0a1b/postbacks"), None);
        assert_eq!(rest_of(&segments("/"), ""), Some(""));
        assert_eq!(rest_of(&segments("/"), "x"), None);
        assert_eq!(rest_of(&segments("/aff_lsr"), "aff_lsrx"), None);
    }
}
