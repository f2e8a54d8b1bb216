//! Fields: what a form brought, whatever its body's type was.
//!
//! In: a body's bytes and their type. Out: [`Fields`]: names and values exactly and in order. Refuses: too many fields, names or
//! values that are too long, a body that can't be read. Promises: nothing is dropped silently; what could not be kept is flagged.

use std::borrow::Cow;

use crate::check::Refusal;
use crate::check::flags::{Flag, Flags};
use crate::config::Edge;
use crate::receive::charset::{self, Charset};
use crate::receive::pairs::{pairs, pairs_in};
use crate::receive::plain::{self, Shape};
use crate::receive::{json, multipart};

/// The longest field name (DOMAIN.md 6).
const NAME_BYTES_MAX: usize = 128;

/// The longest field value (DOMAIN.md 6).
const VALUE_BYTES_MAX: usize = 16 * 1024;

/// Parts of a multipart body that may be read besides those that become fields: file inputs that were left alone.
const PARTS_SPARE: usize = 32;

/// How much may come.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// Fields.
    pub fields: usize,
    /// Bytes of one name.
    pub name_bytes: usize,
    /// Bytes of one value.
    pub value_bytes: usize,
}

/// So many fields, and the usual lengths.
impl From<usize> for Caps {
    fn from(fields: usize) -> Self {
        Self { fields, name_bytes: NAME_BYTES_MAX, value_bytes: VALUE_BYTES_MAX }
    }
}

impl From<&Edge> for Caps {
    fn from(settings: &Edge) -> Self {
        let Edge { fields_max, name_bytes_max, value_bytes_max, .. } = *settings;
        Self { fields: fields_max, name_bytes: name_bytes_max, value_bytes: value_bytes_max }
    }
}

/// The fields of one body.
#[derive(Debug)]
pub struct Fields {
    /// In order, repeats included.
    pub list: Vec<(String, String)>,
    /// What was odd about them.
    pub flags: Flags,
    caps: Caps,
}

impl Fields {
    /// No fields yet, of at most so many.
    pub fn new(caps: impl Into<Caps>) -> Self {
        Self { list: Vec::new(), flags: Flags::default(), caps: caps.into() }
    }

    /// Adds one.
    ///
    /// # Errors
    /// When it is one too many, or too long.
    pub fn push(&mut self, name: String, value: String) -> Result<(), Refusal> {
        if self.list.len() >= self.caps.fields {
            return Err(Refusal::TooManyFields);
        }
        if name.len() > self.caps.name_bytes {
            return Err(Refusal::NameTooLong);
        }
        if value.len() > self.caps.value_bytes {
            return Err(Refusal::ValueTooLong);
        }
        self.list.push((name, value));
        Ok(())
    }

    /// How many parts a multipart body may have.
    pub fn parts_max(&self) -> usize {
        self.caps.fields.saturating_add(PARTS_SPARE)
    }

    /// Bytes as text; what is no UTF-8 is replaced and flagged.
    pub fn text(&mut self, bytes: &[u8]) -> String {
        self.text_in(Cow::Borrowed(bytes), Charset::default())
    }

    /// Bytes in a charset as text; what can't be read is replaced and flagged.
    pub fn text_in(&mut self, bytes: Cow<'_, [u8]>, charset: Charset) -> String {
        let (text, lossy) = charset.text(bytes);
        if lossy {
            self.flags.set(Flag::InvalidUtf8);
        }
        text.into_owned()
    }

    /// Reads a body of the given type.
    ///
    /// # Errors
    /// A [`Refusal`] that says why it can't be read or kept.
    pub fn read(kind: &BodyType, body: &[u8], caps: impl Into<Caps>) -> Result<Self, Refusal> {
        Self::new(caps).filled(kind, body)
    }

    /// Reads a body that was refused, to give it back: the caps on names, values and their number don't count, for the body is in
    /// memory already.
    ///
    /// # Errors
    /// When it can't be read at all.
    pub fn read_whole(kind: &BodyType, body: &[u8]) -> Result<Self, Refusal> {
        let caps = Caps { fields: usize::MAX, name_bytes: usize::MAX, value_bytes: usize::MAX };
        Self::new(caps).filled(kind, body)
    }

    fn filled(mut self, kind: &BodyType, body: &[u8]) -> Result<Self, Refusal> {
        match kind {
            BodyType::Urlencoded => self.pairs(body, Charset::default())?,
            BodyType::UrlencodedIn(charset) => self.pairs(body, *charset)?,
            BodyType::Json => json::read(body, &mut self)?,
            BodyType::Multipart { boundary, charset } => {
                multipart::read(body, boundary, *charset, &mut self)?;
            }
            BodyType::Plain(charset) => match plain::shape(body) {
                Shape::Pairs => self.pairs(body, *charset)?,
                Shape::Json if json::read(body, &mut self).is_ok() => {}
                Shape::Json | Shape::Lines => {
                    // What looked like an object and was none is text: nothing of it is lost.
                    self.list.clear();
                    let text = self.text_in(Cow::Borrowed(body), *charset);
                    plain::read(&text, &mut self)?;
                }
            },
        }
        Ok(self)
    }

    /// Adds what a query or an urlencoded body brings, in the charset that it names itself, else in the one declared.
    ///
    /// # Errors
    /// When it is over a cap.
    pub fn pairs(&mut self, body: &[u8], declared: Charset) -> Result<(), Refusal> {
        let charset = said(body).unwrap_or(declared);
        for pair in pairs_in(body, charset) {
            if pair.lossy {
                self.flags.set(Flag::InvalidUtf8);
            }
            self.push(pair.name.into_owned(), pair.value.into_owned())?;
        }
        Ok(())
    }
}

/// The charset that the body's own field `_charset_` names: browsers put there what they wrote in.
fn said(body: &[u8]) -> Option<Charset> {
    memchr::memmem::find(body, charset::FIELD.as_bytes())?;
    let field = pairs(body).find(|pair| pair.name == charset::FIELD)?;
    Charset::of_label(field.value.as_bytes())
}

/// The types of body that a form may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyType {
    /// `application/x-www-form-urlencoded`.
    Urlencoded,
    /// Likewise, in a charset that the header declares.
    UrlencodedIn(Charset),
    /// `application/json`, `text/json` and `application/…+json`.
    Json,
    /// `multipart/form-data`.
    Multipart {
        /// What separates the parts.
        boundary: String,
        /// What they are written in, unless they say otherwise.
        charset: Charset,
    },
    /// `text/plain`: of a form, or of a script that didn't say what it sends.
    Plain(Charset),
}

impl BodyType {
    /// Reads a `Content-Type`.
    ///
    /// # Errors
    /// When it is another type; when multipart comes without its boundary.
    pub fn parse(content_type: &str) -> Result<Self, Refusal> {
        // A header that was set twice arrives as one with a comma.
        let essence = content_type.split([';', ',']).next().unwrap_or("").trim();
        let is = |kind: &str| essence.eq_ignore_ascii_case(kind);
        if is("application/x-www-form-urlencoded") {
            return Ok(match Charset::of_content_type(content_type) {
                Some(charset) if !charset.is_utf8() => Self::UrlencodedIn(charset),
                _ => Self::Urlencoded,
            });
        }
        let suffix = essence.len().checked_sub(5).and_then(|at| essence.get(at..));
        let is_json = suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"));
        if is("application/json") || is("text/json") || is_json {
            return Ok(Self::Json);
        }
        let charset = Charset::of_content_type(content_type).unwrap_or_default();
        if is("multipart/form-data") {
            let boundary = multipart::boundary(content_type).ok_or(Refusal::BrokenBody)?;
            return Ok(Self::Multipart { boundary, charset });
        }
        if is("text/plain") {
            return Ok(Self::Plain(charset));
        }
        Err(Refusal::UnsupportedType)
    }

    /// The same type, read in `charset` unless it says one: for a form whose page is not in UTF-8 and doesn't tell.
    #[must_use]
    pub fn or_in(self, charset: Charset) -> Self {
        match self {
            Self::Urlencoded if !charset.is_utf8() => Self::UrlencodedIn(charset),
            Self::Multipart { boundary, charset: said } if said.is_utf8() => {
                Self::Multipart { boundary, charset }
            }
            Self::Plain(said) if said.is_utf8() => Self::Plain(charset),
            other => other,
        }
    }
}

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;
