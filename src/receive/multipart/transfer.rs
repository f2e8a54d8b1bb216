//! `Content-Transfer-Encoding`: base64 and quoted-printable, which RFC 7578 deprecates and mail libraries still write.
//!
//! In: a part's content and the word. Out: the bytes that are meant. Promises: what isn't in the encoding that it claims stays as it came.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Decodes a part's content.
pub fn decode<'a>(encoding: Option<&str>, content: &'a [u8]) -> Cow<'a, [u8]> {
    let is =
        |word: &str| encoding.is_some_and(|encoding| encoding.trim().eq_ignore_ascii_case(word));
    if is("base64") {
        let packed: Vec<u8> =
            content.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        return STANDARD.decode(packed).map_or(Cow::Borrowed(content), Cow::Owned);
    }
    if is("quoted-printable") {
        return quoted_printable(content).map_or(Cow::Borrowed(content), Cow::Owned);
    }
    Cow::Borrowed(content)
}

fn quoted_printable(content: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(content.len());
    let mut rest = content;
    while let Some((first, tail)) = rest.split_first() {
        rest = match rest {
            [b'=', b'\r', b'\n', after @ ..] | [b'=', b'\n', after @ ..] => after,
            [b'=', high, low, after @ ..] => {
                bytes.push(digit(*high)? << 4 | digit(*low)?);
                after
            }
            [b'=', ..] => return None,
            _ => {
                bytes.push(*first);
                tail
            }
        };
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_and_what_is_not_stays() {
        assert_eq!(&*decode(Some("BASE64"), b"SGVs\r\nbG8="), b"Hello");
        assert_eq!(&*decode(Some("base64"), b"Hello!"), b"Hello!");
        assert_eq!(&*decode(Some("quoted-printable"), b"caf=C3=A9=\r\n!"), "café!".as_bytes());
        assert_eq!(&*decode(Some("quoted-printable"), b"1=2"), b"1=2");
        assert_eq!(&*decode(Some("8bit"), b"a=20"), b"a=20");
        assert_eq!(&*decode(None, b"YQ=="), b"YQ==");
    }
}
