//! Traps: fields that people do not see, so whoever fills one is a program.
//!
//! In: a field's name and value, as they came. Out: whether it is a trap and was stepped into. Promises: only names that are traps
//! wherever they were seen stand here (QUIRKS.md 16); `website` or `url`, traps in one system and real fields in another, are told by
//! the form's dialect, at the edge, with the flag `honeypot`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Compared without case, also inside brackets (`mauticform[honeypot]`).
const NAMES: [&str; 25] = [
    "_gotcha",
    "_honey",
    "_honeypot",
    "_hp",
    "_marketo_comments",
    "ak_hp_textarea",
    "ao_bot",
    "b_comment",
    "b_email",
    "b_name",
    "bot-field",
    "bot_field",
    "botfield",
    "dont_fill",
    "do_not_fill",
    "email_address_check",
    "honey",
    "hp-field",
    "hp_field",
    "leave-this-empty",
    "leave_blank",
    "leave_this_blank",
    "leave_this_empty",
    "pardot_extra_field",
    "pi_extra_field",
];

/// A checkbox that stays unticked: absent, or said to be off, means a person.
const CHECKBOX: &str = "botcheck";

/// Longer names are no traps: decoding stays cheap.
const BYTES_MAX: usize = 64;

/// True when this field is a trap and somebody stepped into it.
pub fn is_sprung(name: &str, value: &str) -> bool {
    let value = value.trim();
    // Scripts send these words for a field that they could not find (QUIRKS.md 17).
    if value.is_empty() || ["null", "undefined"].iter().any(|none| value.eq_ignore_ascii_case(none))
    {
        return false;
    }
    let name = inner(name.trim());
    if name.eq_ignore_ascii_case(CHECKBOX) {
        return !["false", "0", "off", "no"].iter().any(|off| value.eq_ignore_ascii_case(off));
    }
    is_trap(name)
}

/// `honeypot` of `mauticform[honeypot]` and of `fields.honeypot`.
fn inner(name: &str) -> &str {
    let bracketed = name.strip_suffix(']').and_then(|name| name.rsplit_once('['));
    match bracketed {
        Some((_, inner)) if !inner.is_empty() => inner,
        _ => name
            .rsplit_once('.')
            .map_or(name, |(_, last)| if last.is_empty() { name } else { last }),
    }
}

fn is_trap(name: &str) -> bool {
    if name.len() > BYTES_MAX {
        return false;
    }
    NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
        || says_honeypot(name)
        || is_mailchimps(name)
        || is_fluents(name)
        || says_honeypot_in_base64(name)
}

fn says_honeypot(name: &str) -> bool {
    let plain: Vec<u8> = name
        .bytes()
        .filter(u8::is_ascii_alphanumeric)
        .map(|byte| byte.to_ascii_lowercase())
        .collect();
    plain.windows(8).any(|part| part == b"honeypot" || part == b"h0n3yp0t")
}

/// Mailchimp's `b_<user>_<list>`, both in hexadecimal.
fn is_mailchimps(name: &str) -> bool {
    let Some((user, list)) = name.strip_prefix("b_").and_then(|tail| tail.split_once('_')) else {
        return false;
    };
    let is_id = |text: &str, least: usize| {
        text.len() >= least
            && text.bytes().all(|byte| byte.is_ascii_hexdigit())
            && text.bytes().any(|byte| byte.is_ascii_digit())
    };
    is_id(user, 6) && is_id(list, 4)
}

/// Fluent Forms' `item_3__fluent_checkme_`.
fn is_fluents(name: &str) -> bool {
    name.starts_with("item_") && name.ends_with("__fluent_checkme_")
}

/// Zoho's `aG9uZXlwb3Q`, and any other that decodes to the word.
fn says_honeypot_in_base64(name: &str) -> bool {
    let name = name.trim_end_matches('=');
    name.len() >= 6
        && STANDARD_NO_PAD.decode(name).is_ok_and(|bytes| {
            bytes.is_ascii()
                && (says_honeypot(&String::from_utf8_lossy(&bytes))
                    || bytes.eq_ignore_ascii_case(b"_gotcha"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_known_trap_is_sprung_by_a_value_alone() {
        for name in [
            "pi_extra_field",
            "pardot_extra_field",
            "_marketo_comments",
            "aG9uZXlwb3Q",
            "aG9uZXlwb3Q=",
            "b_5f8e1a2b3c4d5e6f7a8b9c0d1_0a1b2c3d4e",
            "b_name",
            "b_email",
            "_gotcha",
            "_honey",
            "bot-field",
            "Bot-Field",
            "mauticform[honeypot]",
            "form_fields[honey_pot]",
            "contact.honeypot",
            "my-honeypot-2",
            "item_12__fluent_checkme_",
        ] {
            assert!(is_sprung(name, "http://spam.example/buy"), "{name}");
            for nothing in ["", "  ", "null", "undefined"] {
                assert!(!is_sprung(name, nothing), "{name}={nothing}");
            }
        }
    }

    #[test]
    fn an_unticked_box_means_a_person() {
        assert!(is_sprung("botcheck", "on") && is_sprung("botcheck", "true"));
        for off in ["", "false", "0", "off"] {
            assert!(!is_sprung("botcheck", off), "{off}");
        }
    }

    #[test]
    fn real_fields_are_no_traps() {
        for name in [
            "website",
            "url",
            "URL",
            "b_and_b",
            "b_breakfast_bed",
            "b_added_face",
            "comments",
            "hp",
            "email2",
            "actionType",
            "message",
            "name",
            "bot",
            "[]",
            "a[]",
            "xnQsjsdp",
            "honeymoon",
            "b_",
            "",
            ".",
            "TGVhZHM",
        ] {
            assert!(!is_sprung(name, "x"), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_name_makes_it_panic(name in ".{0,70}", value in ".{0,9}") {
            let _ = is_sprung(&name, &value);
        }
    }
}
