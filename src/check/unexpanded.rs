//! Macros that nobody expanded: `{payout}`, `[[[x]]]`, `##X##`, `${x}`, `REPLACE`.
//!
//! In: a postback's or a click's parameter. Out: whether it still is the template's. Refuses: nothing. Promises: what says nothing is read as absent,
//! never as a click id or an amount (DOMAIN.md 2.4, QUIRKS.md 25).

/// Signs around a macro's name that no value has by chance: found anywhere in a value.
const ANYWHERE: &[(&str, &str)] = &[
    ("${", "}"),
    ("{{", "}}"),
    ("{", "}"),
    ("[[[", "]]]"),
    ("%%", "%%"),
    ("##", "##"),
    ("^^^", "^^^"),
    ("!!!", "!!!"),
];

/// Signs that a value can hold: they count only around the whole of it.
const AROUND: &[(&str, &str)] =
    &[("[", "]"), ("<", ">"), ("#", "#"), ("%", "%"), ("__", "__"), ("((", "))"), ("$", "$")];

/// Words that templates have where a value belongs.
const WORDS: &[&str] = &[
    "REPLACE",
    "REPLACE_ME",
    "OPTIONAL",
    "CLICKID",
    "CLICK_ID",
    "SUBID",
    "SUB_ID",
    "TXID",
    "TRANSACTION_ID",
    "TRANSACTIONID",
    "ORDERID",
    "ORDER_ID",
    "AMOUNT",
    "PAYOUT",
    "REVENUE",
    "YOUR_CLICK_ID",
    "INSERT_CLICK_ID",
    "null",
    "NULL",
    "undefined",
    "(null)",
    "NaN",
];

/// The longest macro that is looked for: names are words.
const MACRO_BYTES_MAX: usize = 80;

/// True for a value that is a macro or a placeholder, `own` words of the profile included.
pub fn is_unexpanded(value: &str, own: &[String]) -> bool {
    let value = value.trim();
    if value.is_empty() {
        return false;
    }
    if WORDS.contains(&value) || own.iter().any(|word| word == value) {
        return true;
    }
    // Most values are letters and digits: nothing to look for.
    if value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.') {
        return false;
    }
    let around = |(open, close): &(&str, &str)| {
        value.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)).is_some_and(is_name)
    };
    AROUND.iter().any(around) || ANYWHERE.iter().any(|(open, close)| holds(value, open, close))
}

/// True for a value that holds a macro's unmistakable signs anywhere: of a parameter that we know nothing about.
pub fn holds_macro(value: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    !value.bytes().all(plain) && ANYWHERE.iter().any(|(open, close)| holds(value, open, close))
}

fn holds(value: &str, open: &str, close: &str) -> bool {
    value.match_indices(open).any(|(at, _)| {
        let rest = &value[at + open.len()..];
        rest.find(close).is_some_and(|end| is_name(&rest[..end]))
    })
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MACRO_BYTES_MAX
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.: |{}".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn macros_of_every_style_are_seen_and_values_are_not() {
        for text in [
            "{subid}",
            "{{sub.id}}",
            "${SUBID}",
            "[[[uid]]]",
            "[CLICK]",
            "%%x%%",
            "##CLICK_ID##",
            "#s1#",
            "<orderid>",
            "__CLICKID__",
            "^^^x^^^",
            "!!!awc!!!",
            "ORD-{order_id}",
            "REPLACE",
            "OPTIONAL",
            "null",
        ] {
            assert!(is_unexpanded(text, &[]), "{text}");
        }
        for text in [
            "",
            "abc",
            "12.50",
            "A-1001",
            "a_b",
            "__",
            "{}",
            "{\"a\":1}",
            "50%",
            "#17",
            "none",
            "lead",
            "E.C.P.abc",
            "6b1f0a2c11aa11ee8300a9d10a18ba74",
            "a#b#c",
            "x<y",
            "2026-01-01 10:00:00",
        ] {
            assert!(!is_unexpanded(text, &[]), "{text}");
        }
        assert!(is_unexpanded("TYPEOFTRANSACTION", &["TYPEOFTRANSACTION".to_owned()]));
    }

    proptest! {
        #[test]
        fn no_click_id_of_letters_and_digits_is_taken_for_a_macro(text in "[a-z0-9][A-Za-z0-9_-]{7,70}") {
            prop_assert!(!is_unexpanded(&text, &[]), "{text}");
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}") {
            let _ = is_unexpanded(&text, &[]);
        }
    }
}
