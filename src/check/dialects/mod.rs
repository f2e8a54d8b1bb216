//! Dialects: how other systems' forms speak, as data.
//!
//! In: `config/dialects/*.toml`, built in, and a folder of the operator's. Out: [`Dialects`]; each [`Dialect`] says what a posted name
//! is (a [`Role`]), how a form is found, what a post is, and what the vendor would answer. Refuses: an unknown key, canonical
//! field, pattern or reason, naming file, line and the nearest valid one. Promises: every table is built at start; what a
//! name is takes one look-up, whatever the number of dialects.

pub mod dialect;
pub mod doors;
pub mod file;
pub mod listing;
mod path;
mod pattern;
pub mod reply;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

pub use dialect::{Dialect, Role};
pub use file::{GENERIC, Listed};
pub use path::Path;

use self::pattern::Pattern;
use crate::config::{ConfigError, nearest};

/// A name of a field that gives a dialect away, in lower case: where its case counts, the name itself; and the dialect's place.
type Signs = HashMap<Box<[u8]>, Vec<(Option<Box<str>>, usize)>>;

/// All dialects.
#[derive(Debug)]
pub struct Dialects {
    list: Vec<Arc<Dialect>>,
    by_name: HashMap<String, usize>,
    signs: Signs,
    generic: usize,
}

/// A dialect that was recognised, and the field that gave it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recognised<'a> {
    /// Its place.
    pub place: usize,
    /// The first of its signs.
    pub sign: &'a str,
}

impl Dialects {
    /// The built-in ones, with the files of `folder` laid over them; an empty `folder` is none.
    ///
    /// # Errors
    /// With file, line and the nearest valid word.
    pub fn load(folder: &str) -> Result<Self, ConfigError> {
        let sources = file::read(folder)?;
        let by_name: HashMap<String, usize> = sources
            .iter()
            .enumerate()
            .map(|(place, source)| (source.file.name.clone(), place))
            .collect();
        let generic = *by_name
            .get(GENERIC)
            .ok_or_else(|| ConfigError::Wrong("no dialect `generic`".to_owned()))?;
        let mut list = Vec::with_capacity(sources.len());
        let mut signs = Signs::new();
        for (place, source) in sources.iter().enumerate() {
            let mut line = vec![place];
            for also in &source.file.also {
                let Some(other) = by_name.get(also) else {
                    let near = nearest(also, sources.iter().map(|known| known.file.name.as_str()));
                    let what = format!("also: unknown dialect `{also}`; did you mean `{near}`?");
                    return Err(source.wrong(also, &what));
                };
                line.push(*other);
            }
            line.push(generic);
            line.dedup();
            list.push(Arc::new(Dialect::build(&sources, &line)?));
            for sign in &source.file.recognise {
                let pattern = Pattern::parse(sign).map_err(|what| source.wrong(sign, &what))?;
                let Some((text, exact)) = pattern.literal() else {
                    let what = format!("recognise: `{sign}` has to be a whole name");
                    return Err(source.wrong(sign, &what));
                };
                let key = text.to_ascii_lowercase().into_bytes().into_boxed_slice();
                signs.entry(key).or_default().push((exact.then(|| text.into()), place));
            }
        }
        Ok(Self { list, by_name, signs, generic })
    }

    /// The built-in ones.
    pub fn built_in() -> Self {
        Self::load("").expect("the built-in dialects are tested")
    }

    /// The dialect at a place.
    pub fn at(&self, place: usize) -> &Arc<Dialect> {
        &self.list[place]
    }

    /// The place of a dialect.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The dialect of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Dialect>> {
        self.place(name).map(|place| self.at(place))
    }

    /// The dialect of this name, or the nearest name there is.
    ///
    /// # Errors
    /// With the nearest name.
    pub fn known(&self, name: &str) -> Result<usize, &str> {
        self.place(name)
            .ok_or_else(|| nearest(name, self.list.iter().map(|dialect| dialect.name())))
    }

    /// Any form's.
    pub fn generic(&self) -> usize {
        self.generic
    }

    /// All of them, in their order.
    pub fn all(&self) -> impl Iterator<Item = (usize, &Arc<Dialect>)> {
        self.list.iter().enumerate()
    }

    /// The dialect that most of the names speak; the first one where several are equal.
    pub fn recognise<'a>(&self, names: impl Iterator<Item = &'a str>) -> Option<Recognised<'a>> {
        let mut found: Vec<(usize, usize, &'a str)> = Vec::new();
        for name in names {
            let mut lower = [0; dialect::NAME_BYTES_MAX];
            let Some(key) = dialect::lower(name, &mut lower) else { continue };
            for (exact, place) in self.signs.get(key).into_iter().flatten() {
                if exact.as_ref().is_some_and(|exact| **exact != *name) {
                    continue;
                }
                match found.iter_mut().find(|(known, ..)| known == place) {
                    Some((_, count, _)) => *count += 1,
                    None => found.push((*place, 1, name)),
                }
            }
        }
        found
            .into_iter()
            .max_by_key(|(place, count, _)| (*count, std::cmp::Reverse(*place)))
            .map(|(place, _, sign)| Recognised { place, sign })
    }

    /// The line of a file that says what this name is: `pardot: aliases.email "mail"`. For people: it searches.
    pub fn rule_for(&self, dialect: &Dialect, name: &str) -> Option<String> {
        let plain = dialect.plain_name(name).trim();
        let also = dialect.file.also.iter().filter_map(|name| self.get(name));
        let line: Vec<&Dialect> = std::iter::once(dialect)
            .chain(also.map(|also| &**also))
            .chain(std::iter::once(&**self.at(self.generic)))
            .collect();
        let found = |name: &str, whole: bool| {
            line.iter().find_map(|dialect| {
                let rule = dialect.file.entries().into_iter().find(|(_, text)| {
                    Pattern::parse(text).is_ok_and(|pattern| {
                        pattern.literal().is_some() == whole && pattern.matches(name)
                    })
                });
                rule.map(|(key, text)| format!("{}: {key} \"{text}\"", dialect.name()))
            })
        };
        let name = name.trim();
        found(name, true)
            .or_else(|| found(name, false))
            .or_else(|| found(plain, true))
            .or_else(|| found(plain, false))
    }
}
