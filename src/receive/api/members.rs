//! The members of one JSON object, taken one by one.
//!
//! In: an object's text. Out: members as their reader wants them. Refuses: what is no object, a name that comes twice, a value of another type, and, at the end, a member that nobody took.
//! Promises: a number is read as it is written, never through a float.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::item::Unfit;
use crate::check::Refusal;
use crate::money::{Amount, Currency};

/// A name that is told to its sender is cut here.
const NAME_CHARACTERS_MAX: usize = 60;

/// The members that nobody took yet.
pub struct Members<'a> {
    left: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// Where the object stands: `items[2].`; empty for the event itself.
    place: String,
}

struct Pairs<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Taker;
        impl<'de> Visitor<'de> for Taker {
            type Value = Pairs<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(name) = map.next_key::<Name<'de>>()? {
                    pairs.push((name.0, map.next_value()?));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Taker)
    }
}

/// Borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Cow::Owned(String::deserialize(deserializer)?)))
    }
}

impl<'a> Members<'a> {
    /// Reads an object.
    pub fn read(text: &'a [u8]) -> Result<Self, Unfit> {
        let Pairs(left) =
            serde_json::from_slice(text).map_err(|_| Unfit::new(Refusal::BrokenBody, ""))?;
        Self::of(left, String::new())
    }

    fn of(left: Vec<(Cow<'a, str>, &'a RawValue)>, place: String) -> Result<Self, Unfit> {
        for (index, (name, _)) in left.iter().enumerate() {
            if left[..index].iter().any(|(earlier, _)| earlier == name) {
                let twice = format!("{place}{}", shown(name));
                return Err(Unfit::new(Refusal::BadValue, twice));
            }
        }
        Ok(Self { left, place })
    }

    /// Where a member stands, as its sender is told.
    pub fn at(&self, name: &str) -> String {
        format!("{}{name}", self.place)
    }

    fn bad(&self, name: &str) -> Unfit {
        Unfit::new(Refusal::BadValue, self.at(name))
    }

    /// The member's text; `null` is none.
    pub fn raw(&mut self, name: &str) -> Option<&'a str> {
        let index = self.left.iter().position(|(known, _)| known == name)?;
        let (_, value) = self.left.swap_remove(index);
        Some(value.get()).filter(|text| *text != "null")
    }

    /// A text of at most so many bytes; empty where there is none.
    pub fn text(&mut self, name: &str, bytes_max: usize) -> Result<String, Unfit> {
        let Some(raw) = self.raw(name) else { return Ok(String::new()) };
        let text: String = serde_json::from_str(raw).map_err(|_| self.bad(name))?;
        if text.len() > bytes_max || text.contains('\0') {
            return Err(self.bad(name));
        }
        Ok(text.trim().to_owned())
    }

    /// An id: a text, or a whole number as it is written.
    pub fn id(&mut self, name: &str, bytes_max: usize) -> Result<String, Unfit> {
        let Some(raw) = self.raw(name) else { return Ok(String::new()) };
        let number = !raw.is_empty() && raw.bytes().all(|byte| byte.is_ascii_digit());
        let text = if number {
            raw.to_owned()
        } else {
            serde_json::from_str(raw).map_err(|_| self.bad(name))?
        };
        if text.len() > bytes_max || text.chars().any(char::is_control) {
            return Err(self.bad(name));
        }
        Ok(text.trim().to_owned())
    }

    /// Money: `"79.90"` or `79.90`, and no float in between.
    pub fn amount(&mut self, name: &str) -> Result<Option<Amount>, Unfit> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let text: Cow<'_, str> = if raw.starts_with('"') {
            Cow::Owned(serde_json::from_str(raw).map_err(|_| self.bad(name))?)
        } else {
            Cow::Borrowed(raw)
        };
        let amount = Amount::parse(&text).map_err(|_| self.bad(name))?;
        if amount < Amount::default() { Err(self.bad(name)) } else { Ok(Some(amount)) }
    }

    /// A currency.
    pub fn currency(&mut self, name: &str) -> Result<Option<Currency>, Unfit> {
        match self.text(name, 3)? {
            text if text.is_empty() => Ok(None),
            text => Currency::parse(&text).map(Some).ok_or_else(|| self.bad(name)),
        }
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &str) -> Result<bool, Unfit> {
        match self.raw(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(self.bad(name)),
        }
    }

    /// A list of objects.
    pub fn objects(&mut self, name: &str, count_max: usize) -> Result<Vec<Members<'a>>, Unfit> {
        let Some(raw) = self.raw(name) else { return Ok(Vec::new()) };
        let list: Vec<Pairs<'a>> = serde_json::from_str(raw).map_err(|_| self.bad(name))?;
        if list.len() > count_max {
            return Err(self.bad(name));
        }
        let numbered = list.into_iter().enumerate();
        numbered
            .map(|(index, Pairs(left))| Self::of(left, format!("{}{name}[{index}].", self.place)))
            .collect()
    }

    /// Refuses what nobody took: a misspelt member must not be passed over.
    pub fn end(self) -> Result<(), Unfit> {
        match self.left.iter().find(|(_, value)| value.get() != "null") {
            None => Ok(()),
            Some((name, _)) => {
                let name = self.at(&shown(name));
                Err(Unfit::new(Refusal::UnknownField, name))
            }
        }
    }
}

/// A sender's own name, told back to it: short, and nothing that steers a terminal.
fn shown(name: &str) -> String {
    let plain = |character: char| if character.is_control() { '\u{FFFD}' } else { character };
    name.chars().take(NAME_CHARACTERS_MAX).map(plain).collect()
}
