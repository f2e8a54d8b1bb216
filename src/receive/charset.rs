//! Charsets: what bytes are text in.
//!
//! In: a label, as a `Content-Type`, a part's header or a field `_charset_` has it. Out: a [`Charset`] that makes text of bytes. Promises:
//! the labels and tables of the WHATWG (`encoding_rs`), which browsers use; what can't be read is replaced by U+FFFD and told.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8};
use serde::Deserialize;

/// The hidden field whose value browsers replace by the charset that they used.
pub const FIELD: &str = "_charset_";

/// A charset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Charset(&'static Encoding);

impl Default for Charset {
    fn default() -> Self {
        Self(UTF_8)
    }
}

impl TryFrom<String> for Charset {
    type Error = String;

    fn try_from(label: String) -> Result<Self, String> {
        Self::of_label(label.as_bytes())
            .ok_or_else(|| format!("`{label}` is no charset; browsers know utf-8, windows-1250, iso-8859-2, shift_jis, ..."))
    }
}

impl Charset {
    /// The charset of a label, if there is such a one. Forms of pages in UTF-16 are sent in UTF-8.
    pub fn of_label(label: &[u8]) -> Option<Self> {
        Encoding::for_label(label).map(|encoding| Self(encoding.output_encoding()))
    }

    /// The charset that a `Content-Type` names.
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        content_type.split(';').skip(1).find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            let is_charset = name.trim().eq_ignore_ascii_case("charset");
            // A header that was set twice arrives as one with a comma.
            let value = value.split(',').next().unwrap_or("");
            is_charset.then(|| Self::of_label(value.trim().trim_matches('"').as_bytes()))?
        })
    }

    /// True for UTF-8, which needs no look at tables.
    pub fn is_utf8(self) -> bool {
        self.0 == UTF_8
    }

    /// Bytes as text, and whether some were replaced. A byte order mark is text like any other.
    pub fn text(self, bytes: Cow<'_, [u8]>) -> (Cow<'_, str>, bool) {
        if !self.is_utf8() {
            let (text, lossy) = self.0.decode_without_bom_handling(&bytes);
            return (Cow::Owned(text.into_owned()), lossy);
        }
        match bytes {
            Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => (Cow::Borrowed(text), false),
                Err(_) => (String::from_utf8_lossy(bytes), true),
            },
            Cow::Owned(bytes) => match String::from_utf8(bytes) {
                Ok(text) => (Cow::Owned(text), false),
                Err(error) => {
                    (Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()), true)
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_browsers_read_them() {
        let polish = Charset::of_label(b"ISO-8859-2").unwrap();
        assert_eq!(polish.text(Cow::Borrowed(b"\xa3ukasz")), (Cow::Borrowed("Łukasz"), false));
        // What the web calls Latin-1 is windows-1252.
        assert_eq!(Charset::of_label(b"latin1"), Charset::of_label(b"windows-1252"));
        assert!(Charset::of_label(b"utf-16le").unwrap().is_utf8());
        assert_eq!(Charset::of_label(b"klingon"), None);
        let declared = Charset::of_content_type("text/plain; a=b; CHARSET=\"Shift_JIS\"");
        assert_eq!(declared, Charset::of_label(b"sjis"));
        assert_eq!(Charset::of_content_type("text/plain; charset"), None);
        assert_eq!(
            Charset::default().text(Cow::Borrowed(b"a\xff")),
            (Cow::Borrowed("a\u{fffd}"), true)
        );
    }
}
