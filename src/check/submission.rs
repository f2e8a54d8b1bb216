//! Submissions: is this the same one again?
//!
//! In: a form's name, its fields, and how the browser is known. Out: a [`SubmissionKey`] that a double click, a reload or a
//! retry has again, or none. Refuses: to make a key where two people could share it: without a cookie or the sender's own
//! `Idempotency-Key` there has to be an e-mail address or telephone number among the fields. Promises: two submissions that
//! differ in one field, identity or not, have different keys; what changes with every rendering of a page (captcha and form tokens)
//! does not count. The key is a keyed hash of 64 bits, so it says nothing about the fields.
//!
//! What comes of it is settled later (`settle`): here nothing is dropped, for a lead shown twice is better than one lost.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, Anchored, StartKind};

use crate::event::Event;
use crate::ids::SubmissionKey;
use crate::keys::Keys;
use crate::personal::PersonalText;

/// Parts of the names of fields that a page fills in anew whenever it is rendered.
static VOLATILE: LazyLock<AhoCorasick> = LazyLock::new(|| {
    finder(&[
        "captcha",
        "turnstile",
        "altcha",
        "token",
        "csrf",
        "xsrf",
        "nonce",
        "timestamp",
        "viewstate",
        "eventvalidation",
        "form_build_id",
        "submitted_at",
        "submittedat",
        "rendered_at",
        "idempotency",
    ])
});

/// Parts of the names of fields that hold a telephone number.
static PHONES: LazyLock<AhoCorasick> =
    LazyLock::new(|| finder(&["phone", "tel", "mobil", "cell", "handy", "whatsapp"]));

/// Parts of the names of fields whose address is the site's own, not the visitor's (quirk 14).
static NOT_THEIRS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    finder(&["replyto", "reply_to", "reply-to", "recipient", "owner", "debug", "assigned"])
});

/// An e-mail address as long as RFC 5321 lets it be.
const EMAIL_BYTES_MAX: usize = 254;

fn finder(parts: &[&str]) -> AhoCorasick {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .start_kind(StartKind::Both)
        .build(parts)
        .expect("a few short words make a finder")
}

fn has(finder: &AhoCorasick, name: &str) -> bool {
    finder.find(aho_corasick::Input::new(name).anchored(Anchored::No)).is_some()
}

/// The key of a form's submission. `event` says who the browser is; `idempotency_key` is the sender's own.
pub fn key(
    keys: &Keys,
    event: &Event,
    (form, fields): (&str, &[(String, PersonalText)]),
    idempotency_key: Option<&[u8]>,
) -> SubmissionKey {
    let cookie = event.visitor.as_u128() >> 64 != 0;
    let certain = cookie || idempotency_key.is_some_and(|key| !key.is_empty());
    if !certain && !fields.iter().any(|(name, value)| names_somebody(name, value.expose())) {
        return SubmissionKey::default();
    }
    let mut hasher = keys.submission_hasher();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    };
    part(event.site.as_bytes());
    part(form.as_bytes());
    match idempotency_key {
        Some(key) if !key.is_empty() => part(key),
        _ if cookie => part(&event.visitor.as_u128().to_be_bytes()),
        _ => part(&event.day_hash.0.to_be_bytes()),
    }
    for (name, value) in fields.iter().filter(|(name, _)| !has(&VOLATILE, name)) {
        part(name.as_bytes());
        part(value.expose().as_bytes());
    }
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    SubmissionKey(u64::from_le_bytes(bytes).max(1))
}

/// True for a field that tells one person from another.
fn names_somebody(name: &str, value: &str) -> bool {
    let value = value.trim();
    if value.is_empty() || has(&NOT_THEIRS, name) {
        return false;
    }
    let digits = || value.bytes().filter(u8::is_ascii_digit).count();
    let international = value.starts_with('+')
        && value.bytes().all(|byte| byte.is_ascii_digit() || b"+ -()./".contains(&byte));
    is_email(value) || ((international || has(&PHONES, name)) && digits() >= 6)
}

fn is_email(value: &str) -> bool {
    value.len() <= EMAIL_BYTES_MAX
        && value.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty() && host.contains('.') && !value.contains([' ', ',', ';'])
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventType, tests::sample};
    use crate::ids::{DayHash, EventId, VisitorId};
    use proptest::prelude::*;

    fn keys() -> Keys {
        Keys::open(tempfile::tempdir().unwrap().path()).unwrap()
    }

    fn visit(cookie: bool, day_hash: u64) -> Event {
        let mut event = sample(EventType::Lead, EventId::from_parts(1, 1, 1));
        event.day_hash = DayHash(day_hash);
        event.visitor = VisitorId::from_day_hash(event.day_hash);
        if cookie {
            event.visitor = VisitorId::from_cookie(&format!("{:032x}", 7_u128 << 64)).unwrap();
        }
        event
    }

    fn fields(pairs: &[(&str, &str)]) -> Vec<(String, PersonalText)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), PersonalText::new(*value))).collect()
    }

    #[test]
    fn the_same_again_has_the_same_key_and_anything_else_another() {
        let keys = keys();
        let (me, other) = (visit(false, 5), visit(false, 6));
        let posted = [("email", "a@b.example"), ("message", "hi"), ("csrf_token", "1")];
        let of = |event: &Event, form: &str, pairs: &[(&str, &str)]| {
            key(&keys, event, (form, &fields(pairs)), None)
        };
        let first = of(&me, "contact", &posted);
        assert!(!first.is_none());
        let rendered = [posted[0], posted[1], ("csrf_token", "2")];
        assert_eq!(of(&me, "contact", &rendered), first, "a token that changes is no difference");
        assert_ne!(of(&other, "contact", &posted), first, "another browser");
        assert_ne!(of(&me, "other", &posted), first, "another form");
        for changed in [[("email", "b@b.example"), posted[1]], [posted[0], ("message", "hi!")]] {
            assert_ne!(of(&me, "contact", &changed), first);
        }
    }

    #[test]
    fn who_cannot_be_told_from_another_has_no_key() {
        let keys = keys();
        let of =
            |event: &Event, pairs: &[(&str, &str)]| key(&keys, event, ("f", &fields(pairs)), None);
        let nameless =
            [("name", "John"), ("message", "call me"), ("_replyto", "staff@shop.example")];
        assert!(of(&visit(false, 5), &nameless).is_none(), "two people behind one address");
        assert!(!of(&visit(true, 5), &nameless).is_none(), "the cookie is one browser's");
        assert!(!of(&visit(false, 0), &[("entry.7", "jane@example.com")]).is_none());
        assert!(!of(&visit(false, 5), &[("q3", "+880 1700-000001")]).is_none());
        assert!(!of(&visit(false, 5), &[("Telefon", "01512 345678")]).is_none());
        assert!(of(&visit(false, 5), &[("date", "2026-11-25"), ("tel", "none")]).is_none());
        let retry = key(&keys, &visit(false, 5), ("f", &fields(&nameless)), Some(b"k-1"));
        let elsewhere = key(&keys, &visit(false, 6), ("f", &fields(&nameless)), Some(b"k-1"));
        assert!(
            !retry.is_none() && retry == elsewhere,
            "the sender's own key is as good as a cookie"
        );
    }

    /// Those of all random cases: making keys costs an fsync.
    static KEYS: std::sync::LazyLock<Keys> = std::sync::LazyLock::new(keys);

    proptest! {
        #[test]
        fn borders_between_fields_count(one in "[a-z]{0,4}", two in "[a-z]{0,4}", three in "[a-z]{0,4}") {
            let of = |pairs: &[(&str, &str)]| key(&KEYS, &visit(true, 0), ("f", &fields(pairs)), None);
            let joined = format!("{two}{three}");
            let (apart, moved) = (of(&[(&one, &two), (&three, "x")]), of(&[(&one, &joined), ("", "x")]));
            prop_assert_eq!(apart == moved, three.is_empty());
        }
    }
}
