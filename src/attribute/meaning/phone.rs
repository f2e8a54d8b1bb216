//! Telephone numbers in one spelling: E.164.
//!
//! In: a number as it was typed, and the countries it may be of, the likeliest first. Out: `+` and digits, or nothing. Promises: the library
//! (libphonenumber's rules) sees at most 17 digits and a plus, whatever was typed; an extension is left off.

use phonenumber::{Mode, PhoneNumber, country};

/// ITU-T E.164 has at most 15 digits; a prefix for calls abroad may stand before them.
const DIGITS_MAX: usize = 17;

/// Fewer digits are a house telephone.
const DIGITS_MIN: usize = 5;

/// With its country's code.
const ABROAD_DIGITS_MIN: usize = 10;

/// The number in E.164; empty when it is none, or of a country that nobody knows.
pub fn e164(typed: &str, countries: &[&str]) -> String {
    let Some(mut number) = dialled(typed) else { return String::new() };
    let abroad = number.starts_with('+');
    let mut homes = countries.iter().filter_map(|code| code.parse::<country::Id>().ok());
    let home = homes.next();
    if !abroad && home.is_none() {
        match number.strip_prefix("00") {
            Some(rest) => number = format!("+{rest}"),
            None if typed.starts_with(' ') => {}
            None => return String::new(),
        }
    }
    let parsed = phonenumber::parse(home, &number).ok();
    // A plus that nobody encoded has become a blank on its way (QUIRKS.md 9).
    let lost_plus = || {
        let blank = typed.starts_with(' ') && !abroad && number.len() >= ABROAD_DIGITS_MIN;
        let found = blank.then(|| phonenumber::parse(None, format!("+{number}")).ok()).flatten();
        found.filter(PhoneNumber::is_valid)
    };
    let parsed = match parsed {
        Some(at_home) if at_home.is_valid() => Some(at_home),
        other => lost_plus().or(other),
    };
    parsed.map_or_else(String::new, |number| number.format().mode(Mode::E164).to_string())
}

/// The digits that one would dial, with a plus before them where one was typed. What follows a word is an extension.
fn dialled(typed: &str) -> Option<String> {
    let typed = typed.trim_start().strip_prefix("tel:").unwrap_or(typed).replace("(0)", "");
    let mut number = String::new();
    let mut digits = 0;
    for letter in typed.chars() {
        match (letter, digit(letter)) {
            (_, Some(digit)) => {
                number.push(digit);
                digits += 1;
            }
            ('+' | '＋', None) if number.is_empty() => number.push('+'),
            (letter, None) if digits > 0 && (letter.is_alphabetic() || ",;#".contains(letter)) => {
                break;
            }
            _ => {}
        }
    }
    (DIGITS_MIN..=DIGITS_MAX).contains(&digits).then_some(number)
}

/// A decimal digit of the scripts that our users write.
fn digit(letter: char) -> Option<char> {
    const ZEROS: [u32; 13] = [
        '0' as u32,
        '০' as u32,
        '٠' as u32,
        '۰' as u32,
        '０' as u32,
        '०' as u32,
        '੦' as u32,
        '૦' as u32,
        '௦' as u32,
        '౦' as u32,
        '೦' as u32,
        '൦' as u32,
        '๐' as u32,
    ];
    let value =
        ZEROS.iter().find_map(|zero| (letter as u32).checked_sub(*zero).filter(|at| *at < 10))?;
    char::from_digit(value, 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_has_one_spelling() {
        for (typed, countries, expected) in [
            ("+880 1700-000001", &[][..], "+8801700000001"),
            ("07700 900123", &["GB", "DE"], "+447700900123"),
            ("0049 (0)170 123-45 67", &[], "+491701234567"),
            ("+49 (0)30/123456 ext. 7", &["PL"], "+4930123456"),
            ("০১৭১২-৩৪৫৬৭৮", &["BD"], "+8801712345678"),
            ("۰۳۰۰ ۰۰۰۰۰۰۸", &["PK"], "+923000000008"),
            ("600 100 200", &["PL"], "+48600100200"),
            ("+९१ ९८७६५ ४३२१०", &[], "+919876543210"),
            (" 48600100200", &[], "+48600100200"),
            (" 600 100 200", &["PL"], "+48600100200"),
            ("(11) 90000-0004", &["BR"], "+5511900000004"),
            ("600 100 200", &[], ""),
            ("600 100 200", &["", "XX"], ""),
            ("call me", &["PL"], ""),
            ("12", &["PL"], ""),
            ("123456789012345678", &["PL"], ""),
        ] {
            assert_eq!(e164(typed, countries), expected, "{typed}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_an_answer(typed in "[+0-9()/ ext-]{0,24}|\\PC{0,24}", home in "[A-Z]{2}") {
            let number = e164(&typed, &[home.as_str()]);
            prop_assert!(number.is_empty() || (number.starts_with('+') && number.len() <= 22));
        }
    }
}
