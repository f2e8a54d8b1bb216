//! Pairs: `application/x-www-form-urlencoded`, as in a query or a form's body.
//!
//! In: bytes. Out: names and values in order, repeats included, decoded once. Promises: no input is refused; the same pairs as
//! the URL standard's parser (`form_urlencoded`), and besides, other charsets, and the word whether bytes that are no text were replaced.

use std::borrow::Cow;

use crate::receive::charset::Charset;

/// One name and value.
#[derive(Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// Decoded.
    pub name: Cow<'a, str>,
    /// Decoded; empty where there was no `=`.
    pub value: Cow<'a, str>,
    /// True when bytes that are no text were replaced by U+FFFD.
    pub lossy: bool,
}

/// The pairs of a query (without its `?`) or body.
pub fn pairs(input: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    pairs_in(input, Charset::default())
}

/// The pairs of a body in another charset.
pub fn pairs_in(input: &[u8], charset: Charset) -> impl Iterator<Item = Pair<'_>> {
    input.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(move |pair| {
        let (name, value) = match memchr::memchr(b'=', pair) {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        };
        let (name, name_lossy) = charset.text(decode(name));
        let (value, value_lossy) = charset.text(decode(value));
        Pair { name, value, lossy: name_lossy || value_lossy }
    })
}

fn decode(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(plain) = memchr::memchr2(b'+', b'%', raw) else { return Cow::Borrowed(raw) };
    let mut bytes = Vec::with_capacity(raw.len());
    bytes.extend_from_slice(&raw[..plain]);
    let mut rest = &raw[plain..];
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match (first, tail) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => bytes.push(b'%'),
            },
            (byte, _) => bytes.push(*byte),
        }
    }
    Cow::Owned(bytes)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn order_and_repeats_are_kept_and_bad_bytes_are_told() {
        let read: Vec<_> = pairs(b"a=1&b&a=2+3&&=x&c=%ff&d=%C3%A9%zz")
            .map(|pair| (pair.name.into_owned(), pair.value.into_owned(), pair.lossy))
            .collect();
        let expected = [
            ("a", "1", false),
            ("b", "", false),
            ("a", "2 3", false),
            ("", "x", false),
            ("c", "\u{fffd}", true),
            ("d", "é%zz", false),
        ];
        assert_eq!(
            read,
            expected.map(|(name, value, lossy)| (name.to_owned(), value.to_owned(), lossy))
        );
    }

    proptest! {
        #[test]
        fn it_reads_what_the_url_standard_reads(input in prop::collection::vec(
            prop_oneof![Just(b'&'), Just(b'='), Just(b'%'), Just(b'+'), Just(b'4'), Just(b'f'), any::<u8>()], 0..60)) {
            let ours: Vec<_> = pairs(&input).map(|pair| (pair.name, pair.value)).collect();
            let standard: Vec<_> = form_urlencoded::parse(&input).collect();
            prop_assert_eq!(ours, standard);
        }
    }
}
