//! Shapes: what a refused form looked like, without saying what it held.
//!
//! In: a body's type, its length and its fields. Out: one short line for the operator: `urlencoded 61 B: email=email(16) message=text(12)
//! +2`. Refuses: nothing. Promises: no value and no part of one; a name is shown only if it looks like one that a page gives
//! (a body that is no form would show its text as names); the line's length is bounded.

use std::fmt::Write as _;

use crate::check::redact;
use crate::receive::fields::BodyType;

/// Fields that are shown.
const FIELDS_MAX: usize = 12;

/// Bytes of a name that are shown; the longest that we know have fewer.
const NAME_BYTES_MAX: usize = 32;

/// Digits in a row that a name of a page may have: more are a telephone number.
const DIGITS_MAX: usize = 5;

/// The shape of a form.
pub fn of(kind: &BodyType, body_bytes: usize, fields: &[(String, String)]) -> String {
    let kind = match kind {
        BodyType::Urlencoded | BodyType::UrlencodedIn(_) => "urlencoded",
        BodyType::Plain(_) => "plain",
        BodyType::Json => "json",
        BodyType::Multipart { .. } => "multipart",
    };
    line(kind, body_bytes, fields)
}

/// The shape of parameters, wherever they stood.
pub fn of_parameters(bytes: usize, parameters: &[(String, String)]) -> String {
    line("parameters", bytes, parameters)
}

fn line(kind: &str, bytes: usize, fields: &[(String, String)]) -> String {
    let mut line = format!("{kind} {bytes} B:");
    for (name, value) in fields.iter().take(FIELDS_MAX) {
        line.push(' ');
        if is_pages_own(name, value) {
            line.push_str(name);
        } else {
            let _ = write!(line, "({})", name.chars().count());
        }
        let _ = write!(line, "={}({})", class(value), value.chars().count());
    }
    if fields.len() > FIELDS_MAX {
        let _ = write!(line, " +{}", fields.len() - FIELDS_MAX);
    }
    line
}

/// True for a name that a page's author wrote: an identifier with a value, without what may be somebody's address or number.
fn is_pages_own(name: &str, value: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.[]:".contains(&byte);
    let mut digits = name.split(|character: char| !character.is_ascii_digit());
    !value.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(plain)
        && name.bytes().any(|byte| byte.is_ascii_alphabetic())
        && digits.all(|run| run.len() <= DIGITS_MAX)
        && !redact::looks_like_email(name)
        && !redact::looks_like_token(name)
}

fn class(value: &str) -> &'static str {
    let value = value.trim();
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let has = |set: &str| {
        value.bytes().all(|byte| byte.is_ascii_digit() || set.as_bytes().contains(&byte))
    };
    match () {
        () if value.is_empty() => "empty",
        () if redact::looks_like_email(value) => "email",
        () if value.starts_with("http://") || value.starts_with("https://") => "url",
        () if digits >= 6 && has("+ -()./") => "phone",
        () if digits > 0 && has(".,-") => "number",
        () if value.contains('\n') => "lines",
        () if value.contains(' ') => "text",
        () => "word",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shape(fields: &[(&str, &str)]) -> String {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        of(&BodyType::Urlencoded, 9, &fields)
    }

    #[test]
    fn a_shape_says_what_came_and_not_whose_it_was() {
        let line = shape(&[
            ("email", "jane@example.com"),
            ("00N3X[tel]", "+49 151 2345"),
            ("message", "call me\nnow"),
            ("name", "Jane Roe"),
            ("page", "https://www.shop.example/jane"),
            ("age", "44"),
            ("note", ""),
            ("jane@example.com", "x"),
            ("a15123456789", "x"),
        ]);
        let expected = "urlencoded 9 B: email=email(16) 00N3X[tel]=phone(12) message=lines(11) name=text(8) page=url(29) \
                        age=number(2) (4)=empty(0) (16)=word(1) (12)=word(1)";
        assert_eq!(line, expected);
        assert_eq!(
            shape(&[("I am Jane Roe", ""), ("Jane", "")]),
            "urlencoded 9 B: (13)=empty(0) (4)=empty(0)"
        );
    }

    proptest! {
        #[test]
        fn no_value_gets_through_and_the_line_is_short(
            names in prop::collection::vec("[a-z]{1,40}", 0..20), value in "[ABCD]{4,9}(@x\\.y| Z|)",
        ) {
            let fields: Vec<_> = names.iter().map(|name| (name.as_str(), value.as_str())).collect();
            let line = shape(&fields);
            prop_assert!(!line.contains(&value[..4]), "{line}");
            prop_assert!(line.len() < 1_000);
        }
    }
}
