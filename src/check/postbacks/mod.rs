//! Postbacks: how networks and trackers report conversions, as data.
//!
//! In: `config/dialects/postbacks/*.toml`, built in, a folder of the operator's over them, and the entries `[[postback]]` of
//! `sites.toml`. Out: [`Postbacks`], and for a request what it becomes ([`judge()`]). Refuses: a profile or entry that can't be right, at
//! start, naming the place; a postback that lacks its proof or what it must have. Promises: a status, an amount and an id are read
//! by the network's own conventions, exactly or not at all (DOMAIN.md 2.4, QUIRKS.md 24-33).

mod built_in;
pub mod explain;
pub mod file;
#[cfg(test)]
mod habits_tests;
mod installed;
mod items;
pub mod judge;
pub mod money;
mod path;
mod profile;
mod read;
pub mod several;
mod sign;
pub mod status;
#[cfg(test)]
mod tests;

pub use file::Role;
pub use installed::{Installed, Postbacks};
pub use judge::{Judged, Request, judge, parameters, stored_id};
pub use profile::Profile;
pub use read::{Reading, Refused};
pub use status::Status;

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{ConfigError, nearest};

/// All profiles, by name.
#[derive(Debug)]
pub struct Profiles(HashMap<String, Arc<Profile>>);

impl Profiles {
    /// The built-in ones, with those of `folder` over them; an empty `folder` is none.
    ///
    /// # Errors
    /// With file, line and the nearest valid word.
    pub fn load(folder: &str) -> Result<Self, ConfigError> {
        let mut profiles = HashMap::new();
        for (name, (text, source)) in file::texts(folder)? {
            let wrong = |what: String| ConfigError::Wrong(format!("{source}: {what}"));
            let profile = Profile::new(&name, file::parse(&text, &source)?).map_err(wrong)?;
            profiles.insert(name, Arc::new(profile));
        }
        Ok(Self(profiles))
    }

    /// The profile of this name.
    ///
    /// # Errors
    /// With the nearest name there is.
    pub fn get(&self, name: &str) -> Result<&Arc<Profile>, &str> {
        self.0.get(name).ok_or_else(|| nearest(name, self.0.keys().map(String::as_str)))
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<&Arc<Profile>> {
        let mut all: Vec<_> = self.0.values().collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }
}
