//! Pairs: `application/x-www-form-urlencoded`, as in a query or a form's body.
//!
//! In: bytes. Out: names and values in order, repeats included, decoded once. Promises: no input is refused; the same pairs as
//! the URL standard's parser (`form_urlencoded`), and besides the word whether bytes that are no UTF-8 were replaced.

use std::borrow::Cow;

/// One name and value.
#[derive(Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// Decoded.
    pub name: Cow<'a, str>,
    /// Decoded; empty where there was no `=`.
    pub value: Cow<'a, str>,
    /// True when bytes that are no UTF-8 were replaced by U+FFFD.
    pub lossy: bool,
}

/// The pairs of a query (without its `?`) or body.
pub fn pairs(input: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    input.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        };
        let ((name, name_lossy), (value, value_lossy)) = (decode(name), decode(value));
        Pair { name, value, lossy: name_lossy || value_lossy }
    })
}

fn decode(raw: &[u8]) -> (Cow<'_, str>, bool) {
    if !raw.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return match std::str::from_utf8(raw) {
            Ok(text) => (Cow::Borrowed(text), false),
            Err(_) => (String::from_utf8_lossy(raw), true),
        };
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
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
    match String::from_utf8(bytes) {
        Ok(text) => (Cow::Owned(text), false),
        Err(error) => (Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()), true),
    }
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
