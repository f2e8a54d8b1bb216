//! Echo: which of a form's fields the error page gives back, and how.
//!
//! In: fields as they were sent. Out: [`Echo`]es, in order. Refuses: nothing. Promises: a password, a card's number and a
//! captcha's token are never given back; a field that people typed into is shown, one that a page filled in goes along unseen;
//! what is shown is exactly what was sent.

use crate::check::names::Name;
use crate::check::return_url;

/// How a field comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// Not at all: it is good for one time only.
    Dropped,
    /// Asked for again, without its value.
    Secret,
    /// Along with the form, unseen.
    Hidden,
    /// To be read and changed.
    Shown,
    /// The same, below the others: probably the page's own, not the visitor's.
    Further,
}

/// Parts of names whose values are good for one time only (DOMAIN.md 2.2).
const ONCE: &[&str] = &["captcha", "turnstile", "altcha"];

/// Parts of names whose values are secret.
const SECRET: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "passwort",
    "cardnumber",
    "creditcard",
    "cardno",
    "ccnum",
    "ccnumber",
    "cccsc",
    "cvc",
    "cvv",
    "cardcode",
    "securitycode",
    "pincode",
    "iban",
];

/// Parts of names that people are asked for: what they say is shown first.
const ASKED: &[&str] = &[
    "name",
    "mail",
    "phone",
    "tel",
    "mobile",
    "company",
    "firma",
    "message",
    "nachricht",
    "comment",
    "descri",
    "city",
    "street",
    "address",
    "zip",
    "country",
    "subject",
    "title",
    "text",
    "note",
    "question",
];

/// How this field comes back.
pub fn of(name: &str, value: &str) -> Echo {
    let plain: String = name
        .chars()
        .filter(|character| character.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    let has = |parts: &[&str]| parts.iter().any(|part| plain.contains(part));
    if has(ONCE) {
        return Echo::Dropped;
    }
    if value.is_empty() {
        // What people are asked for can be filled in now; anything else (a box without a value) goes along as it came.
        return if has(ASKED) { Echo::Shown } else { Echo::Hidden };
    }
    if has(SECRET) || looks_like_card(value) {
        return Echo::Secret;
    }
    let control = !matches!(Name::of(name), Name::Other | Name::Personal | Name::Referral(_));
    if control || return_url::is_name(name) || name.starts_with('_') {
        return Echo::Hidden;
    }
    // Blanks, `@`, a plus sign and other scripts than ASCII's are what people type; pages fill in words and numbers.
    let typed = value.contains([' ', '\n', '@', '+']) || !value.is_ascii();
    if typed || has(ASKED) { Echo::Shown } else { Echo::Further }
}

/// True for 13 to 19 digits, in groups perhaps, with a card's first digit and check digit (Luhn).
fn looks_like_card(value: &str) -> bool {
    let value = value.trim();
    let digits: Vec<u32> = value.chars().filter_map(|digit| digit.to_digit(10)).collect();
    let plain =
        value.chars().all(|character| character.is_ascii_digit() || " -".contains(character));
    if !plain || !(13..=19).contains(&digits.len()) || !(2..=6).contains(&digits[0]) {
        return false;
    }
    let weigh = |(place, digit): (usize, &u32)| match (place % 2, digit * 2) {
        (0, _) => *digit,
        (_, double) if double > 9 => double - 9,
        (_, double) => double,
    };
    digits.iter().rev().enumerate().map(weigh).sum::<u32>() % 10 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_tokens_never_come_back() {
        for (name, value) in [
            ("password", "x"),
            ("User[Password]", "x"),
            ("pwd2", "x"),
            ("card-number", "1"),
            ("cc_cvc", "123"),
            ("anything", "4111 1111 1111 1111"),
            ("q7", "5555-5555-5555-4444"),
        ] {
            assert_eq!(of(name, value), Echo::Secret, "{name}");
        }
        for name in
            ["g-recaptcha-response", "h-captcha-response", "cf-turnstile-response", "altcha"]
        {
            assert_eq!(of(name, "token"), Echo::Dropped, "{name}");
        }
    }

    #[test]
    fn what_people_type_is_shown_and_what_pages_fill_in_goes_along() {
        for (name, value, expected) in [
            ("email", "jane@example.com", Echo::Shown),
            ("00N3X0000060fwH", "আমার প্রশ্ন", Echo::Shown),
            ("phone", "4111111111111112", Echo::Shown),
            ("telefon", "+880 1700-000001", Echo::Shown),
            ("entry.7", "two words", Echo::Shown),
            ("oid", "00D3X0000000qjL", Echo::Further),
            ("lt", "AbC", Echo::Hidden),
            ("retURL", "https://www.shop.example/", Echo::Hidden),
            ("utm_source", "x", Echo::Hidden),
            ("_subject", "x", Echo::Hidden),
            ("newsletter", "", Echo::Hidden),
            ("email", "", Echo::Shown),
        ] {
            assert_eq!(of(name, value), expected, "{name}");
        }
    }
}
