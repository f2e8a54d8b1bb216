//! Money: exact to the last digit, never a float.
//!
//! In: text as forms, pixels and postbacks write it. Out: [`Amount`], a whole number of ten-thousandths (ClickHouse
//! `Decimal(18, 4)`), and [`Currency`]. Refuses: anything that is not one plain decimal number, more than four decimal
//! places that are not zero, more than 14 digits before the point. Promises: what was read is written back unchanged.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Ten-thousandths in one unit: the scale of every money column.
pub const SCALE: i64 = 10_000;

/// Digits that `Decimal(18, 4)` has room for before the point.
const WHOLE_DIGITS_MAX: usize = 14;

/// An amount in some currency, in ten-thousandths of its unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i64);

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a plain decimal number with at most 14 digits and 4 decimal places")]
pub struct NotAnAmount;

impl Amount {
    /// From ten-thousandths.
    pub const fn from_scaled(scaled: i64) -> Self {
        Self(scaled)
    }

    /// In ten-thousandths.
    pub const fn scaled(self) -> i64 {
        self.0
    }

    /// Reads `12`, `12.5`, `-0.0001`, `+3`. A comma, an exponent, a sign alone or a fifth decimal is refused.
    pub fn parse(text: &str) -> Result<Self, NotAnAmount> {
        let text = text.trim();
        let (negative, digits) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction)
        {
            return Err(NotAnAmount);
        }
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        if whole.len() > WHOLE_DIGITS_MAX || fraction.len() > 4 {
            return Err(NotAnAmount);
        }
        let scaled = format!("0{whole}{fraction:0<4}").parse::<i64>().map_err(|_| NotAnAmount)?;
        Ok(Self(if negative { -scaled } else { scaled }))
    }
}

impl fmt::Display for Amount {
    /// At least two decimal places, more only where they are not zero.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let whole = self.0.unsigned_abs() / SCALE.unsigned_abs();
        let fraction = format!("{:04}", self.0.unsigned_abs() % SCALE.unsigned_abs());
        let shown = fraction.trim_end_matches('0');
        write!(formatter, "{sign}{whole}.{shown:0<2}")
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Three letters of ISO 4217, in upper case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Reads three letters, in either case. Whether the code is assigned is not checked here: a code that we do not
    /// know yet is not a reason to lose a sale.
    pub fn parse(text: &str) -> Option<Self> {
        let letters: [u8; 3] = text.trim().as_bytes().try_into().ok()?;
        letters
            .iter()
            .all(u8::is_ascii_alphabetic)
            .then(|| Self(letters.map(|letter| letter.to_ascii_uppercase())))
    }

    /// The three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("parse admits ASCII letters only")
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("not three letters of a currency code"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_one_plain_number_is_refused() {
        for text in
            ["", "-", ".", "1,5", "1e3", "5,", "49.95P", "0.00001", "123456789012345", "1 2"]
        {
            assert_eq!(Amount::parse(text), Err(NotAnAmount), "{text:?}");
        }
    }

    #[test]
    fn zero_is_an_amount() {
        assert_eq!(Amount::parse("0"), Ok(Amount::from_scaled(0)));
        assert_eq!(Amount::parse("12.500000"), Ok(Amount::from_scaled(125_000)));
        assert_eq!(Amount::from_scaled(-5).to_string(), "-0.0005");
        assert_eq!(Currency::parse(" eur ").unwrap().as_str(), "EUR");
    }

    proptest! {
        #[test]
        fn money_survives_being_written_and_read(scaled in -999_999_999_999_999_999i64..=999_999_999_999_999_999) {
            let amount = Amount::from_scaled(scaled);
            prop_assert_eq!(Amount::parse(&amount.to_string()), Ok(amount));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,40}") {
            let _ = Amount::parse(&text);
        }
    }
}
