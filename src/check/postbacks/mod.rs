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
mod reading;
pub mod several;
mod sign;
pub mod status;
#[cfg(test)]
mod tests;

pub use file::Role;
pub use installed::{Installed, Postbacks};
pub use judge::{Judged, Request, judge, parameters, stored_id};
pub use profile::Profile;
pub use reading::{Reading, Refused};
pub use status::Status;

use super::profiles;

/// All profiles, by name.
pub type Profiles = profiles::Profiles<Profile>;

impl profiles::Kind for Profile {
    type File = file::File;
    const FOLDER: &'static str = "postbacks";
    const BUILT_IN: &'static [(&'static str, &'static str)] = built_in::FILES;

    fn of(name: &str, file: file::File) -> Result<Self, String> {
        Self::new(name, file)
    }
}
