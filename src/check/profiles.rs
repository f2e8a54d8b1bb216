//! Profiles: how networks and trackers write addresses, as files of data.
//!
//! In: the texts of a kind that are built in, and the operator's `{folder}/{kind}/*.toml` over them. Out: [`Profiles`], by name. Refuses: a file that
//! can't be right, with file, line and the nearest valid word. Promises: a network that isn't there yet needs a file, no code.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::config::{ConfigError, nearest};
use crate::registry::checks::explain;

/// A kind of profile.
pub trait Kind: Sized {
    /// As it stands in TOML.
    type File: DeserializeOwned;
    /// The files' folder, in `config/dialects` and in the operator's own.
    const FOLDER: &'static str;
    /// Name and text of those that are built in.
    const BUILT_IN: &'static [(&'static str, &'static str)];

    /// Checks a file.
    ///
    /// # Errors
    /// With what can't be right.
    fn of(name: &str, file: Self::File) -> Result<Self, String>;
}

/// All profiles of a kind, by name.
#[derive(Debug)]
pub struct Profiles<P>(BTreeMap<String, Arc<P>>);

impl<P: Kind> Profiles<P> {
    /// The built-in ones, with those of `folder` over them; an empty `folder` is none.
    ///
    /// # Errors
    /// With file, line and the nearest valid word.
    pub fn load(folder: &str) -> Result<Self, ConfigError> {
        let mut profiles = BTreeMap::new();
        for (name, (text, source)) in texts(P::FOLDER, P::BUILT_IN, folder)? {
            let wrong = |what: String| ConfigError::Wrong(format!("{source}: {what}"));
            let profile = P::of(&name, parse(&text, &source)?).map_err(wrong)?;
            profiles.insert(name, Arc::new(profile));
        }
        Ok(Self(profiles))
    }

    /// The profile of this name.
    ///
    /// # Errors
    /// With the nearest name there is.
    pub fn get(&self, name: &str) -> Result<&Arc<P>, &str> {
        self.0.get(name).ok_or_else(|| nearest(name, self.0.keys().map(String::as_str)))
    }

    /// All of them, by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<P>> {
        self.0.values()
    }
}

/// Reads a profile's text; `source` names it in errors.
///
/// # Errors
/// With file, line and the nearest valid word.
pub fn parse<F: DeserializeOwned>(text: &str, source: &str) -> Result<F, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::Wrong(explain(&error, text, source)))
}

/// Texts, by name, each with where it comes from.
fn texts(
    kind: &str,
    built_in: &[(&str, &str)],
    folder: &str,
) -> Result<BTreeMap<String, (String, String)>, ConfigError> {
    let known = |(name, text): &(&str, &str)| {
        let source = format!("built-in config/dialects/{kind}/{name}.toml");
        ((*name).to_owned(), ((*text).to_owned(), source))
    };
    let mut texts: BTreeMap<_, _> = built_in.iter().map(known).collect();
    if folder.is_empty() {
        return Ok(texts);
    }
    let folder = Path::new(folder).join(kind);
    let unreadable = |path: &Path, source| ConfigError::Read { path: path.to_owned(), source };
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(texts),
        Err(error) => return Err(unreadable(&folder, error)),
    };
    for entry in entries {
        let path = entry.map_err(|error| unreadable(&folder, error))?.path();
        let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        if path.extension().is_some_and(|ending| ending == "toml") {
            let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
            texts.insert(name.to_owned(), (text, path.display().to_string()));
        }
    }
    Ok(texts)
}
