//! JSON text, appended to a buffer.
//!
//! In: words, numbers and strings, in order. Out: one line of JSON. Refuses: nothing. Promises: strings are escaped as serde escapes
//! them, eight bytes looked at together where none needs it.

use std::io::Write as _;
use std::net::IpAddr;

use uuid::Uuid;

use crate::money::{Amount, SCALE};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// JSON under way. Each value is followed by a comma; what closes an object or list writes over the last one.
pub(super) struct Json(pub(super) Vec<u8>);

impl Json {
    #[inline]
    pub(super) fn comma(&mut self) {
        self.0.push(b',');
    }

    pub(super) fn object(&mut self, members: impl FnOnce(&mut Self)) {
        self.0.push(b'{');
        members(self);
        self.close(b'}');
    }

    pub(super) fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        self.0.push(b'[');
        for each in items {
            item(self, each);
        }
        self.close(b']');
        self.comma();
    }

    #[inline]
    fn close(&mut self, bracket: u8) {
        if self.0.last() == Some(&b',') {
            self.0.pop();
        }
        self.0.push(bracket);
    }

    /// `key` is a word of ours: nothing in it needs an escape.
    #[inline]
    pub(super) fn key(&mut self, key: &'static str) -> &mut Self {
        self.0.push(b'"');
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
        self
    }

    /// A member that is left out when it is empty.
    #[inline]
    pub(super) fn text(&mut self, key: &'static str, value: &str) {
        if !value.is_empty() {
            self.key(key).string(value);
        }
    }

    /// A member whose value needs no escapes.
    #[inline]
    pub(super) fn plain(&mut self, key: &'static str, value: &str) {
        self.key(key).quoted(value.as_bytes());
    }

    #[inline]
    pub(super) fn number(&mut self, key: &'static str, value: i64) {
        self.key(key).decimal(value);
        self.comma();
    }

    #[inline]
    fn decimal(&mut self, value: i64) {
        // 19 digits and a sign.
        let mut text = [0; 20];
        let mut at = text.len();
        let mut rest = value.unsigned_abs();
        loop {
            at -= 1;
            text[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            at -= 1;
            text[at] = b'-';
        }
        self.0.extend_from_slice(&text[at..]);
    }

    /// As [`Amount`]'s `Display`: at least two decimal places, more only where they are not zero.
    pub(super) fn amount(&mut self, key: &'static str, amount: Amount) {
        self.key(key).0.push(b'"');
        let (scaled, scale) = (amount.scaled(), SCALE);
        if scaled < 0 && scaled / scale == 0 {
            self.0.push(b'-');
        }
        self.decimal(scaled / scale);
        let fraction = scaled.unsigned_abs() % scale.unsigned_abs();
        let digit = |divisor: u64| b'0' + (fraction / divisor % 10) as u8;
        let digits = [b'.', digit(1_000), digit(100), digit(10), digit(1)];
        let shown = if digits[4] != b'0' {
            5
        } else if digits[3] != b'0' {
            4
        } else {
            3
        };
        self.0.extend_from_slice(&digits[..shown]);
        self.0.extend_from_slice(b"\",");
    }

    pub(super) fn address(&mut self, key: &'static str, address: IpAddr) {
        self.key(key).0.push(b'"');
        match address {
            IpAddr::V4(v4) => {
                for (index, octet) in v4.octets().into_iter().enumerate() {
                    if index > 0 {
                        self.0.push(b'.');
                    }
                    self.decimal(octet.into());
                }
            }
            IpAddr::V6(v6) => write!(self.0, "{v6}").expect("a Vec takes every write"),
        }
        self.0.extend_from_slice(b"\",");
    }

    #[inline]
    pub(super) fn pair(&mut self, name: &str, value: &str) {
        self.0.push(b'[');
        self.string(name);
        self.string(value);
        self.close(b']');
        self.comma();
    }

    #[inline]
    fn quoted(&mut self, plain: &[u8]) {
        self.0.push(b'"');
        self.0.extend_from_slice(plain);
        self.0.extend_from_slice(b"\",");
    }

    /// At most 16 bytes.
    #[inline]
    pub(super) fn hex(&mut self, bytes: &[u8]) {
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 0xF)];
        }
        self.quoted(&digits[..bytes.len() * 2]);
    }

    #[inline]
    pub(super) fn uuid(&mut self, bytes: [u8; 16]) {
        let mut digits = [0; 36];
        self.quoted(Uuid::from_bytes(bytes).hyphenated().encode_lower(&mut digits).as_bytes());
    }

    pub(super) fn string(&mut self, text: &str) {
        self.0.push(b'"');
        let mut rest = text.as_bytes();
        loop {
            let plain = plain_length(rest);
            self.0.extend_from_slice(&rest[..plain]);
            let Some((special, tail)) = rest[plain..].split_first() else { break };
            self.escape(*special);
            rest = tail;
        }
        self.0.extend_from_slice(b"\",");
    }

    fn escape(&mut self, byte: u8) {
        let short = match byte {
            b'"' | b'\\' => byte,
            0x08 => b'b',
            0x09 => b't',
            0x0A => b'n',
            0x0C => b'f',
            0x0D => b'r',
            _ => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xF)]];
                self.0.extend_from_slice(b"\\u00");
                self.0.extend_from_slice(&digits);
                return;
            }
        };
        self.0.extend_from_slice(&[b'\\', short]);
    }
}

/// How many bytes at the beginning need no escape.
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    let mut length = 0;
    for chunk in bytes.chunks_exact(8) {
        let eight = u64::from_le_bytes(chunk.try_into().expect("chunks of eight"));
        // A byte below n makes its high bit borrow; a byte that equals c is zero after the exclusive or, so below 1.
        let below = |value: u64, n: u64| value.wrapping_sub(ONES * n) & !value & HIGHS;
        let quote = below(eight ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(eight ^ (ONES * u64::from(b'\\')), 1);
        if below(eight, 0x20) | quote | backslash != 0 {
            break;
        }
        length += 8;
    }
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    bytes[length..].iter().position(special).map_or(bytes.len(), |at| length + at)
}
