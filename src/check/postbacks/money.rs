//! A network's money: read by its convention, exactly or not at all.
//!
//! In: a text, the profile's convention, the currency where minor units depend on it. Out: an [`Amount`]. Refuses: what is no
//! number by the convention, and a comma that could be either sign; a number that the column has no room for is told apart, so
//! that its text can be kept. Promises: no float, no guess.

use std::borrow::Cow;

use serde::Deserialize;

use crate::money::{Amount, Currency, SCALE};

/// Which sign stands before the decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decimal {
    /// `1234.50`, or `1,234.50` with both signs.
    #[default]
    Point,
    /// `1234,50`, or `1.234,50`.
    Comma,
    /// Either, as long as it can be told: of two different signs the last one; one sign alone unless three digits follow it.
    Either,
}

/// What a whole number counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Euros.
    #[default]
    Major,
    /// Cents; yen, where the currency has none.
    Minor,
}

/// A profile's convention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Convention {
    /// The sign before decimals.
    pub decimal: Decimal,
    /// What a whole number counts.
    pub unit: Unit,
}

/// Why a text gives no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotMoney {
    /// It is no number by the convention.
    Unreadable,
    /// It is one, and has more digits than the column.
    TooFine,
}

/// Decimal places of a currency's minor unit (ISO 4217); two where it isn't known.
pub fn exponent(currency: Option<Currency>) -> usize {
    match currency.as_ref().map_or("", Currency::as_str) {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX"
        | "UYI" | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

/// Signs of currencies that are one country's (or union's) alone; a dollar or a crown is many's, and says none.
const SIGNS: [(&str, &str); 10] = [
    ("\u{20ac}", "EUR"),
    ("\u{a3}", "GBP"),
    ("\u{20b9}", "INR"),
    ("\u{20bd}", "RUB"),
    ("\u{20ba}", "TRY"),
    ("\u{20b4}", "UAH"),
    ("z\u{142}", "PLN"),
    ("US$", "USD"),
    ("$", ""),
    ("kr", ""),
];

/// The currency whose sign this is, alone.
pub fn of_sign(text: &str) -> Option<Currency> {
    let code = SIGNS.iter().find(|(sign, _)| *sign == text.trim()).map(|(_, code)| *code);
    code.and_then(Currency::parse)
}

/// The number in `\u{20ac}5.50`, `5.50 USD`, `$5`, and the currency that stands beside it. Three letters are a currency when they are capitals.
pub fn beside(text: &str) -> (&str, Option<Currency>) {
    let text = text.trim();
    // Most amounts are bare.
    let is_bare = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b',' | b'-');
    if text.bytes().all(is_bare) {
        return (text, None);
    }
    for (sign, code) in SIGNS {
        let number = text.strip_prefix(sign).or_else(|| text.strip_suffix(sign));
        if let Some(number) = number.map(str::trim).filter(|number| is_number(number)) {
            return (number, Currency::parse(code));
        }
    }
    let capitals = |word: &&str| word.bytes().all(|byte| byte.is_ascii_uppercase());
    let front = text.get(..3).filter(capitals).map(|code| (code, &text[3..]));
    let back = text.len().checked_sub(3).and_then(|at| Some((text.get(at..)?, text.get(..at)?)));
    let back = back.filter(|(code, _)| capitals(code));
    match front.or(back).map(|(code, number)| (code, number.trim())) {
        Some((code, number)) if is_number(number) => (number, Currency::parse(code)),
        _ => (text, None),
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
        && text.chars().all(|one| {
            one.is_ascii_digit() || matches!(one, '.' | ',' | '-') || GAPS.contains(&one)
        })
}

/// What stands between thousands where it can be nothing else: blanks, also those that don't break a line, and apostrophes.
const GAPS: [char; 6] = [' ', '\u{a0}', '\u{202f}', '\u{2009}', '\'', '\u{2019}'];

/// `1 234,50` and `1'234.50` without their gaps; `None` where those don't stand between thousands.
fn without_gaps(text: &str) -> Option<Cow<'_, str>> {
    let Some(gap) = text.chars().find(|one| GAPS.contains(one)) else {
        return Some(Cow::Borrowed(text));
    };
    let end = text.find(['.', ',']).unwrap_or(text.len());
    is_thousands(&text[..end], gap).then(|| Cow::Owned(text.replace(gap, "")))
}

/// Reads an amount.
pub fn amount(
    text: &str,
    convention: Convention,
    currency: Option<Currency>,
) -> Result<Amount, NotMoney> {
    let text = text.trim();
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => ("-", &text[1..]),
        Some(b'+') => ("", &text[1..]),
        _ => ("", text),
    };
    let plain = match convention.unit {
        Unit::Minor => from_minor(digits, exponent(currency)),
        Unit::Major => {
            without_gaps(digits).and_then(|digits| to_plain(&digits, convention.decimal))
        }
    };
    let plain = plain.ok_or(NotMoney::Unreadable)?;
    Amount::parse(&format!("{sign}{plain}")).map_err(|_| NotMoney::TooFine)
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `4900` with two places is `49.00`.
fn from_minor(digits: &str, places: usize) -> Option<String> {
    if !all_digits(digits) {
        return None;
    }
    let padded = format!("{digits:0>width$}", width = places + 1);
    let (whole, fraction) = padded.split_at(padded.len() - places);
    Some(format!("{whole}.{fraction}"))
}

/// With a point before the decimals and nothing between the thousands.
fn to_plain(text: &str, decimal: Decimal) -> Option<String> {
    let (point, comma) = (text.rfind('.'), text.rfind(','));
    let sign = match decimal {
        Decimal::Point => {
            match comma.filter(|_| comma > point) {
                None => '.',
                // Two digits after one comma are no thousands: a sender of another country.
                Some(at)
                    if point.is_none() && text.find(',') == Some(at) && text.len() - at == 3 =>
                {
                    ','
                }
                // Else thousands, or a slip. Nobody can tell.
                Some(_) => return None,
            }
        }
        Decimal::Comma => {
            if point.is_some() && point > comma && !is_thousands(text, '.') {
                return None;
            }
            ','
        }
        Decimal::Either => match (point, comma) {
            (Some(point), Some(comma)) => {
                if point > comma {
                    '.'
                } else {
                    ','
                }
            }
            (None, Some(at)) | (Some(at), None) => {
                let sign = if comma.is_some() { ',' } else { '.' };
                // `1.234`: a point is far more often a decimal one; `1,234` may be either.
                if sign == ',' && (text.len() - at == 4 || text.matches(',').count() > 1) {
                    return None;
                }
                sign
            }
            (None, None) => '.',
        },
    };
    let other = if sign == '.' { ',' } else { '.' };
    let (whole, fraction) = match text.split_once(sign) {
        Some((_, fraction)) if !all_digits(fraction) => return None,
        Some((whole, fraction)) => (whole, fraction),
        None => (text, ""),
    };
    if whole.contains(other) && !is_thousands(whole, other) {
        return None;
    }
    let whole: String = whole.chars().filter(|character| *character != other).collect();
    if !whole.is_empty() && !all_digits(&whole) {
        return None;
    }
    match (whole.is_empty(), fraction.is_empty()) {
        (true, true) => None,
        (_, true) => Some(whole),
        (_, false) => Some(format!("{whole}.{fraction}")),
    }
}

/// `1.234.567`: one to three digits, then threes.
fn is_thousands(text: &str, sign: char) -> bool {
    let mut groups = text.split(sign);
    let first = groups.next().unwrap_or("");
    let mut count = 0;
    all_digits(first)
        && first.len() <= 3
        && groups.all(|group| {
            count += 1;
            group.len() == 3 && all_digits(group)
        })
        && count > 0
}

/// Price times quantity; `None` where it isn't exact or doesn't fit.
pub fn times(price: Amount, quantity: Amount) -> Option<Amount> {
    let product = i128::from(price.scaled()) * i128::from(quantity.scaled());
    let scale = i128::from(SCALE);
    (product % scale == 0)
        .then(|| i64::try_from(product / scale).ok())
        .flatten()
        .map(Amount::from_scaled)
}

/// The sum; `None` where it doesn't fit.
pub fn sum(amounts: impl Iterator<Item = Amount>) -> Option<Amount> {
    amounts.map(Amount::scaled).try_fold(0_i64, i64::checked_add).map(Amount::from_scaled)
}

/// What networks call money. A profile knows its own network's words; another of these beside a missing amount is a slip of whoever
/// wrote the template.
const WORDS: [&str; 12] = [
    "amount",
    "payout",
    "revenue",
    "price",
    "sum",
    "total",
    "commission",
    "profit",
    "saleamount",
    "totalprice",
    "orderamount",
    "ordertotal",
];

/// The last part of a parameter's name if it is called money: of `Payout`, `sale_amount` or `data.order.total`. What stands before it
/// may be anything that a stranger writes.
pub(super) fn called(name: &str) -> Option<&str> {
    let last = name.rsplit('.').next().unwrap_or(name);
    let letters = last.chars().filter(|character| character.is_ascii_alphanumeric());
    let plain: String = letters.map(|character| character.to_ascii_lowercase()).collect();
    WORDS.contains(&plain.as_str()).then_some(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str, decimal: Decimal) -> Option<String> {
        let convention = Convention { decimal, unit: Unit::Major };
        amount(text, convention, None).ok().map(|amount| amount.to_string())
    }

    #[test]
    fn each_convention_reads_its_own_spelling_and_no_slip() {
        use Decimal::{Comma, Either, Point};
        for (text, decimal, expected) in [
            ("12.5", Point, Some("12.50")),
            ("1,234.50", Point, Some("1234.50")),
            ("0", Point, Some("0.00")),
            (".5", Point, Some("0.50")),
            ("1,234", Point, None),
            ("5,50", Point, Some("5.50")),
            ("1,234,50", Point, None),
            ("5,", Point, None),
            ("49.95P", Point, None),
            ("1,23.50", Point, None),
            ("1e3", Point, None),
            ("", Point, None),
            ("-3.20", Point, Some("-3.20")),
            ("19,95", Comma, Some("19.95")),
            ("1.234,50", Comma, Some("1234.50")),
            ("1.234", Comma, Some("1234.00")),
            ("19.95", Comma, None),
            ("19,95", Either, Some("19.95")),
            ("19.95", Either, Some("19.95")),
            ("1.234,50", Either, Some("1234.50")),
            ("1,234.50", Either, Some("1234.50")),
            ("1,234", Either, None),
            ("1 234,50", Comma, Some("1234.50")),
            ("1\u{202f}234\u{202f}567,5", Either, Some("1234567.50")),
            ("1\u{a0}234", Point, Some("1234.00")),
            ("1'234.50", Point, Some("1234.50")),
            ("12 34.50", Point, None),
            ("1 234 5", Point, None),
            ("1 234\u{a0}567", Point, None),
            ("5 5", Point, None),
            ("12.50 3", Point, None),
        ] {
            assert_eq!(read(text, decimal).as_deref(), expected, "{text} {decimal:?}");
        }
    }

    #[test]
    fn a_currency_beside_the_number_is_read_and_a_slip_is_not() {
        let read = |text| {
            let (number, currency) = beside(text);
            (number, currency.map(|code| code.as_str().to_owned()))
        };
        let some = |code: &str| Some(code.to_owned());
        for (text, expected) in [
            ("\u{20ac}5.50", ("5.50", some("EUR"))),
            ("5,50 \u{20ac}", ("5,50", some("EUR"))),
            ("$5.50", ("5.50", None)),
            ("US$5", ("5", some("USD"))),
            ("5 USD", ("5", some("USD"))),
            ("EUR1,234.50", ("1,234.50", some("EUR"))),
            ("-5 kr", ("-5", None)),
            ("49.95P", ("49.95P", None)),
            ("5 usd", ("5 usd", None)),
            ("USD", ("USD", None)),
            ("5", ("5", None)),
            ("1\u{a0}234,50\u{a0}\u{20ac}", ("1\u{a0}234,50", some("EUR"))),
            ("12 34 USD", ("12 34", some("USD"))),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn minor_units_follow_the_currency() {
        let minor = Convention { decimal: Decimal::Point, unit: Unit::Minor };
        let read = |text: &str, currency: &str| {
            amount(text, minor, Currency::parse(currency)).map(|amount| amount.to_string())
        };
        assert_eq!(read("4900", "EUR").as_deref(), Ok("49.00"));
        assert_eq!(read("4900", "JPY").as_deref(), Ok("4900.00"));
        assert_eq!(read("4900", "KWD").as_deref(), Ok("4.90"));
        assert_eq!(read("5", "USD").as_deref(), Ok("0.05"));
        assert_eq!(read("-250", "").as_deref(), Ok("-2.50"));
        assert_eq!(read("49.00", "EUR"), Err(NotMoney::Unreadable));
    }

    #[test]
    fn a_number_that_does_not_fit_is_told_apart() {
        let read = |text| amount(text, Convention::default(), None);
        assert_eq!(read("0.00012345"), Err(NotMoney::TooFine));
        assert_eq!(read("123456789012345678"), Err(NotMoney::TooFine));
        assert_eq!(read("abc"), Err(NotMoney::Unreadable));
    }

    #[test]
    fn lines_are_multiplied_and_summed_exactly() {
        let read = |text| Amount::parse(text).unwrap();
        assert_eq!(times(read("10.00"), read("2")), Some(read("20")));
        assert_eq!(times(read("0.0001"), read("0.5")), None);
        assert_eq!(sum([read("20"), read("5.50")].into_iter()), Some(read("25.50")));
        assert_eq!(sum([Amount::from_scaled(i64::MAX), read("1")].into_iter()), None);
    }

    proptest! {
        #![proptest_config(crate::cases::cases(4_096))]
        #[test]
        fn what_is_written_by_a_convention_is_read_back(scaled in -999_999_999_999i64..=999_999_999_999) {
            let amount_in = Amount::from_scaled(scaled);
            let text = amount_in.to_string();
            prop_assert_eq!(amount(&text, Convention::default(), None), Ok(amount_in));
            let comma = Convention { decimal: Decimal::Comma, unit: Unit::Major };
            prop_assert_eq!(amount(&text.replace('.', ","), comma, None), Ok(amount_in));
            let minor = Convention { decimal: Decimal::Point, unit: Unit::Minor };
            let cents = Amount::from_scaled(scaled / 100 * 100);
            prop_assert_eq!(amount(&(scaled / 100).to_string(), minor, None), Ok(cents));
        }

        #[test]
        fn what_stands_beside_is_cut_off_and_nothing_else(text in "\\PC{0,12}", number in "[0-9]{1,6}") {
            let (rest, _) = beside(&text);
            prop_assert!(text.contains(rest));
            prop_assert_eq!(beside(&number), (&*number, None));
        }

        #[test]
        fn no_text_makes_money_out_of_anything_but_a_number(text in "[0-9.,+ e-]{0,12}|.{0,20}") {
            for decimal in [Decimal::Point, Decimal::Comma, Decimal::Either] {
                for unit in [Unit::Major, Unit::Minor] {
                    if amount(&text, Convention { decimal, unit }, None).is_ok() {
                        prop_assert!(text.bytes().any(|byte| byte.is_ascii_digit()), "{text}");
                        let plain = |byte: u8| byte.is_ascii_digit() || b"+-., '\t\r\n\x0b\x0c".contains(&byte) || byte >= 0x80;
                        prop_assert!(text.bytes().all(plain), "{text}");
                    }
                }
            }
        }

        #[test]
        fn sums_are_those_of_whole_numbers(amounts in prop::collection::vec(any::<i32>(), 0..20)) {
            let expected: i64 = amounts.iter().map(|one| i64::from(*one)).sum();
            let read = sum(amounts.iter().map(|one| Amount::from_scaled((*one).into())));
            prop_assert_eq!(read, Some(Amount::from_scaled(expected)));
        }
    }
}
