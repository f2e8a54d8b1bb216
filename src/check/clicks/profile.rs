//! A click profile, made ready: what each parameter of a click means, and the network's own paths.
//!
//! In: a [`File`]. Out: a [`Profile`]. Refuses: a parameter with two meanings, more sub ids than there are columns, a path that is none.
//! Promises: names are compared without regard to case, for networks and those who copy their links differ in it.

use super::file::{File, Role};
use crate::check::names::SUBS;

/// What a parameter means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// One of the roles.
    Role(Role),
    /// A sub id, by its canonical name.
    Sub(&'static str),
    /// Kept under its own name.
    Keep,
}

/// A part of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// This word.
    Word(String),
    /// Whatever stands there.
    Role(Role),
    /// Whatever stands there, and it says nothing to us.
    Any,
}

/// How a network or tracker writes click addresses.
#[derive(Clone, Debug)]
pub struct Profile {
    /// As in `sites.toml`.
    pub name: String,
    /// The file.
    pub file: File,
    parameters: Vec<(String, Meaning)>,
    /// The network's own paths.
    pub paths: Vec<Vec<Segment>>,
}

impl Profile {
    /// Checks the file.
    ///
    /// # Errors
    /// With what can't be right.
    pub fn new(name: &str, file: File) -> Result<Self, String> {
        let mut parameters: Vec<(String, Meaning)> = Vec::new();
        let roles = file.parameters.iter().flat_map(|(role, names)| {
            names.iter().map(|name| (name.clone(), Meaning::Role(*role)))
        });
        if file.subs.len() > SUBS.len() {
            return Err(format!(
                "{} sub ids; there are columns for {}",
                file.subs.len(),
                SUBS.len()
            ));
        }
        let subs = file.subs.iter().zip(SUBS).map(|(name, sub)| (name.clone(), Meaning::Sub(sub)));
        let kept = file.keep.iter().map(|name| (name.clone(), Meaning::Keep));
        for (parameter, meaning) in roles.chain(subs).chain(kept) {
            if parameter.is_empty() {
                return Err("a parameter without a name".to_owned());
            }
            if parameters.iter().any(|(known, _)| known.eq_ignore_ascii_case(&parameter)) {
                return Err(format!("parameter `{parameter}` has two meanings"));
            }
            parameters.push((parameter, meaning));
        }
        let paths = file.paths.iter().map(|path| segments(path)).collect::<Result<_, _>>()?;
        Ok(Self { name: name.to_owned(), file, parameters, paths })
    }

    /// What a parameter of this name means.
    pub fn meaning(&self, name: &str) -> Option<Meaning> {
        let known = self.parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        known.map(|(_, meaning)| *meaning)
    }

    /// The name under which this profile keeps such a parameter: the file's own spelling.
    pub fn spelled(&self, name: &str) -> &str {
        let known = self.parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        known.map_or("", |(known, _)| known)
    }
}

fn segments(path: &str) -> Result<Vec<Segment>, String> {
    let Some(inner) = path.strip_prefix('/') else {
        return Err(format!("path `{path}` does not begin with /"));
    };
    let inner = inner.trim_end_matches('/');
    if inner.is_empty() {
        return Ok(Vec::new());
    }
    inner
        .split('/')
        .map(|part| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some("any") => Ok(Segment::Any),
            Some(word) => [Role::Offer, Role::Affiliate, Role::Ad, Role::Creative, Role::Placement]
                .into_iter()
                .find(|role| role.word() == word)
                .map(Segment::Role)
                .ok_or_else(|| format!("path `{path}`: no `{{{word}}}`; there are {{offer}}, {{affiliate}}, {{ad}}, {{creative}}, {{placement}}, {{any}}")),
            None if part.is_empty() => Err(format!("path `{path}` has an empty part")),
            None => Ok(Segment::Word(part.to_owned())),
        })
        .collect()
}
