//! Redaction: what may stand in a stored URL value or path.
//!
//! In: a query value or a path from a stranger. Out: the same, cut to its column, or `redacted`. Promises: nothing that looks like
//! an e-mail address or a secret token is stored from a URL (DESIGN.md, "Personal data").

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::flags::{Flag, Flags};

/// Stands in for what is left out.
pub const REDACTED: &str = "redacted";

/// A run of letters and digits this long, with both in it, is taken for a secret: session ids and reset tokens are
/// 32 and more; words and campaign names are not.
const TOKEN_RUN_MIN: usize = 32;

/// Telephone numbers have seven digits or more (E.164 has up to fifteen).
const PHONE_DIGITS_MIN: usize = 7;

/// True for text that holds something like `a@b.c`, percent-encoded or not.
pub fn looks_like_email(text: &str) -> bool {
    fn plain(text: &str) -> bool {
        text.match_indices('@').any(|(at, _)| {
            let end = |character: char| !character.is_alphanumeric() && !".-_".contains(character);
            let host = text[at + 1..].split(end).next().unwrap_or("");
            let user = text[..at].chars().next_back();
            let named = user.is_some_and(|character| {
                character.is_alphanumeric() || "._-+'".contains(character)
            });
            named
                && host
                    .split_once('.')
                    .is_some_and(|(name, top)| !name.is_empty() && !top.is_empty())
        })
    }
    // Nearly no value has either character: two quick looks spare the rest.
    let has = |byte: u8| text.as_bytes().contains(&byte);
    (has(b'@') && plain(text))
        || (has(b'%')
            && text.contains("%40")
            && plain(&percent_decode_str(text).decode_utf8_lossy()))
}

/// True for text that holds a long run of letters and digits mixed.
pub fn looks_like_token(text: &str) -> bool {
    text.len() >= TOKEN_RUN_MIN
        && text.as_bytes().split(|byte| !byte.is_ascii_alphanumeric()).any(|run| {
            run.len() >= TOKEN_RUN_MIN
                && run.iter().any(u8::is_ascii_digit)
                && run.iter().any(u8::is_ascii_alphabetic)
        })
}

/// True for a UUID, which in a path names one document, order or session.
fn looks_like_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// What somebody wrote where the name of a source belongs, as those may see it who see no personal value: without what
/// looks like an address, a telephone number or a token.
pub fn free_text(text: &str) -> &str {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let others = text.chars().filter(|character| character.is_alphabetic()).count();
    let is_number = digits >= PHONE_DIGITS_MIN && others < digits;
    if is_number || looks_like_email(text) || looks_like_token(text) { REDACTED } else { text }
}

/// Cuts at `bytes_max`, on a character's border.
pub fn cut<'a>(text: &'a str, bytes_max: usize, flags: &mut Flags) -> &'a str {
    if text.len() <= bytes_max {
        return text;
    }
    flags.set(Flag::Cut);
    &text[..text.floor_char_boundary(bytes_max)]
}

/// A value from a URL as it may be stored.
pub fn value(text: &str, bytes_max: usize, flags: &mut Flags) -> String {
    if looks_like_email(text) || looks_like_token(text) {
        flags.set(Flag::PersonalInUrl);
        return REDACTED.to_owned();
    }
    cut(text, bytes_max, flags).to_owned()
}

/// A path as it may be stored: segment by segment.
pub fn path(text: &str, bytes_max: usize, flags: &mut Flags) -> String {
    let odd = |segment: &str| {
        looks_like_email(segment) || looks_like_token(segment) || looks_like_uuid(segment)
    };
    // Too short for a token and without the characters of an address: nothing to look for.
    let harmless =
        text.len() < TOKEN_RUN_MIN && !text.bytes().any(|byte| matches!(byte, b'@' | b'%'));
    let text = if !harmless && text.split('/').any(odd) {
        flags.set(Flag::PersonalInUrl);
        let clean: Vec<_> =
            text.split('/').map(|segment| if odd(segment) { REDACTED } else { segment }).collect();
        Cow::Owned(clean.join("/"))
    } else {
        Cow::Borrowed(text)
    };
    cut(&text, bytes_max, flags).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stored(text: &str) -> (String, bool) {
        let mut flags = Flags::default();
        let stored = value(text, 512, &mut flags);
        (stored, flags != Flags::default())
    }

    #[test]
    fn a_source_is_shown_unless_it_is_somebody() {
        for shown in ["newsday", "Fair 2026", "TV 20:15", "spring-2026-11", "a friend"] {
            assert_eq!(free_text(shown), shown);
        }
        for hidden in
            ["jane@roe.example", "+49 170 1234567", "tel. 0170/1234567", "jane%40roe.example"]
        {
            assert_eq!(free_text(hidden), REDACTED, "{hidden}");
        }
    }

    #[test]
    fn what_looks_personal_is_not_stored() {
        for text in [
            "jane.roe@example.com",
            "x-jane@example.co.uk-y",
            "jane%40example.com",
            "mailto:jane+news@example.com",
            "0123456789abcdef0123456789abcdef",
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.x.y",
        ] {
            assert_eq!(stored(text), (REDACTED.to_owned(), true), "{text}");
        }
        for text in [
            "summer_sale_2026_blue_banner_top_of_page",
            "@handle",
            "a@b",
            "5 @ 3.50",
            "120210000000000000000000000000000000",
        ] {
            assert_eq!(stored(text), (text.to_owned(), false), "{text}");
        }
    }

    #[test]
    fn a_path_keeps_its_other_segments() {
        let mut flags = Flags::default();
        assert_eq!(path("/shop/shoes.html", 512, &mut flags), "/shop/shoes.html");
        assert_eq!(flags, Flags::default());
        let text = "/user/jane%40example.com/order/6f9619ff-8b86-d011-b42d-00c04fc964ff/x";
        assert_eq!(path(text, 512, &mut flags), "/user/redacted/order/redacted/x");
        assert_eq!(flags.words(), ["personal_in_url"]);
    }

    proptest! {
        #[test]
        fn no_address_gets_through(before in "[ -~]{0,9}[ /=:]", user in "[a-z0-9.+_-]{0,8}[a-z0-9]", host in "[a-z0-9-]{1,10}", top in "[a-z]{2,6}", after in "([ /?&][ -~]{0,9})?") {
            let text = format!("{before}{user}@{host}.{top}{after}");
            prop_assert!(looks_like_email(&text), "{text}");
            prop_assert!(looks_like_email(&text.replace('@', "%40")));
        }

        #[test]
        fn any_text_is_cut_to_its_column(text in ".{0,200}", bytes_max in 8usize..64) {
            let mut flags = Flags::default();
            prop_assert!(value(&text, bytes_max, &mut flags).len() <= bytes_max);
            prop_assert!(path(&text, bytes_max, &mut flags).len() <= bytes_max);
        }
    }
}
