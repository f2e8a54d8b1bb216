//! Fields: what a form brought, whatever its body's type was.
//!
//! In: a body's bytes and their type. Out: [`Fields`]: names and values exactly and in order. Refuses: too many fields, names or
//! values that are too long, a body that can't be read. Promises: nothing is dropped silently; what could not be kept is flagged.

use crate::check::Refusal;
use crate::check::flags::{Flag, Flags};
use crate::receive::pairs::pairs;
use crate::receive::{json, multipart};

/// The longest field name (DOMAIN.md 6).
const NAME_BYTES_MAX: usize = 128;

/// The longest field value (DOMAIN.md 6).
const VALUE_BYTES_MAX: usize = 16 * 1024;

/// The fields of one body.
#[derive(Debug, Default)]
pub struct Fields {
    /// In order, repeats included.
    pub list: Vec<(String, String)>,
    /// What was odd about them.
    pub flags: Flags,
    /// How many may come.
    fields_max: usize,
    /// True when the caps on names and values don't count.
    whole: bool,
}

impl Fields {
    /// No fields yet, of at most so many.
    pub fn new(fields_max: usize) -> Self {
        Self { fields_max, ..Self::default() }
    }

    /// Adds one.
    ///
    /// # Errors
    /// When it is one too many, or too long.
    pub fn push(&mut self, name: String, value: String) -> Result<(), Refusal> {
        if self.list.len() >= self.fields_max {
            return Err(Refusal::TooManyFields);
        }
        if name.len() > NAME_BYTES_MAX && !self.whole {
            return Err(Refusal::NameTooLong);
        }
        if value.len() > VALUE_BYTES_MAX && !self.whole {
            return Err(Refusal::ValueTooLong);
        }
        self.list.push((name, value));
        Ok(())
    }

    /// Bytes as text; what is no UTF-8 is replaced and flagged.
    pub fn text(&mut self, bytes: &[u8]) -> String {
        match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => {
                self.flags.set(Flag::InvalidUtf8);
                String::from_utf8_lossy(bytes).into_owned()
            }
        }
    }

    /// Reads a body of the given type.
    ///
    /// # Errors
    /// A [`Refusal`] that says why it can't be read or kept.
    pub fn read(kind: &BodyType, body: &[u8], fields_max: usize) -> Result<Self, Refusal> {
        Self::new(fields_max).filled(kind, body)
    }

    /// Reads a body that was refused, to give it back: the caps on names, values and their number don't count, for the body is in
    /// memory already.
    ///
    /// # Errors
    /// When it can't be read at all.
    pub fn read_whole(kind: &BodyType, body: &[u8]) -> Result<Self, Refusal> {
        Self { whole: true, ..Self::new(usize::MAX) }.filled(kind, body)
    }

    fn filled(self, kind: &BodyType, body: &[u8]) -> Result<Self, Refusal> {
        let mut fields = self;
        match kind {
            BodyType::Urlencoded => {
                for pair in pairs(body) {
                    if pair.lossy {
                        fields.flags.set(Flag::InvalidUtf8);
                    }
                    fields.push(pair.name.into_owned(), pair.value.into_owned())?;
                }
            }
            BodyType::Json => json::read(body, &mut fields)?,
            BodyType::Multipart { boundary } => multipart::read(body, boundary, &mut fields)?,
        }
        Ok(fields)
    }
}

/// The types of body that a form may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyType {
    /// `application/x-www-form-urlencoded`.
    Urlencoded,
    /// `application/json`.
    Json,
    /// `multipart/form-data`.
    Multipart {
        /// What separates the parts.
        boundary: String,
    },
}

impl BodyType {
    /// Reads a `Content-Type`.
    ///
    /// # Errors
    /// When it is another type; when multipart comes without its boundary.
    pub fn parse(content_type: &str) -> Result<Self, Refusal> {
        let essence = content_type.split(';').next().unwrap_or("").trim();
        if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Ok(Self::Urlencoded);
        }
        if essence.eq_ignore_ascii_case("application/json") {
            return Ok(Self::Json);
        }
        if essence.eq_ignore_ascii_case("multipart/form-data") {
            let boundary = multer::parse_boundary(content_type).map_err(|_| Refusal::BrokenBody)?;
            return Ok(Self::Multipart { boundary });
        }
        Err(Refusal::UnsupportedType)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn three_types_are_read_and_no_other() {
        let parse = BodyType::parse;
        assert_eq!(parse("Application/JSON; charset=utf-8"), Ok(BodyType::Json));
        assert_eq!(parse("application/x-www-form-urlencoded"), Ok(BodyType::Urlencoded));
        let multipart = parse("multipart/form-data; boundary=\"a b\"").unwrap();
        assert_eq!(multipart, BodyType::Multipart { boundary: "a b".into() });
        assert_eq!(parse("multipart/form-data"), Err(Refusal::BrokenBody));
        for other in ["", "text/plain", "application/jsonx", "multipart/mixed; boundary=x"] {
            assert_eq!(parse(other), Err(Refusal::UnsupportedType), "{other}");
        }
    }

    #[test]
    fn what_is_over_a_cap_is_refused_by_its_own_name() {
        let read = |body: &str, max| Fields::read(&BodyType::Urlencoded, body.as_bytes(), max);
        assert_eq!(read("a=1&b=2", 2).unwrap().list.len(), 2);
        assert_eq!(read("a=1&b=2&c", 2).unwrap_err(), Refusal::TooManyFields);
        assert_eq!(read(&format!("{}=1", "n".repeat(129)), 2).unwrap_err(), Refusal::NameTooLong);
        assert_eq!(
            read(&format!("n={}", "v".repeat(16_385)), 2).unwrap_err(),
            Refusal::ValueTooLong
        );
        assert_eq!(read("a=%ff", 2).unwrap().flags.words(), ["invalid_utf8"]);
    }

    proptest! {
        #[test]
        fn no_body_makes_a_parser_panic(body in prop::collection::vec(any::<u8>(), 0..200), boundary in "[a-z]{1,5}") {
            for kind in [BodyType::Urlencoded, BodyType::Json, BodyType::Multipart { boundary }] {
                let _ = Fields::read(&kind, &body, 100);
            }
        }

        #[test]
        fn fields_survive_each_encoding(list in prop::collection::vec(("[a-z_é ]{1,9}", ".{0,20}"), 1..8)) {
            let urlencoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(&list).finish();
            prop_assert_eq!(&Fields::read(&BodyType::Urlencoded, urlencoded.as_bytes(), 100).unwrap().list, &list);
            let members: Vec<_> = list.iter().map(|(name, value)| {
                format!("{}:{}", serde_json::to_string(name).unwrap(), serde_json::to_string(value).unwrap())
            }).collect();
            let json = format!("{{{}}}", members.join(","));
            prop_assert_eq!(&Fields::read(&BodyType::Json, json.as_bytes(), 100).unwrap().list, &list);
            let parts: String = list.iter().map(|(name, value)| {
                format!("--XxX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
            }).collect();
            let kind = BodyType::Multipart { boundary: "XxX".into() };
            let read = Fields::read(&kind, format!("{parts}--XxX--\r\n").as_bytes(), 100).unwrap();
            prop_assert_eq!(&read.list, &list);
        }
    }
}
