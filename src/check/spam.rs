//! Spam, as far as only the edge can tell: captcha tokens, the time of rendering, what came often.
//!
//! In: a form's fields one by one, the client's network. Out: flags on the event. Refuses: nothing: spam is answered like success.
//! Promises: captcha tokens go no further; memory is fixed at the start. The score is made in the consumer, from the raw fields and
//! these flags ([`crate::enrich::spam`]), so that history can be judged again and the edge stays lean.

use std::hash::{BuildHasher, RandomState};

use crate::check::flags::{Flag, Flags};
use crate::check::limits::Frequency;
use crate::config;
use crate::keys::Keys;
use crate::personal::ClientIp;
use crate::registry::Form;
use crate::tokens::verify_rendered;

/// The field with the signed time of rendering.
pub const RENDERED_FIELD: &str = "lt_time";

/// A message is compared from so many bytes of letters on: shorter ones are alike by chance.
const TEXT_BYTES_MIN: usize = 40;

/// Bytes of a message that are compared.
const TEXT_BYTES_MAX: usize = 1_024;

/// What a message's field is called, somewhere in its name. Other long values (a consent's wording) are the form's own and always alike.
const TEXT_NAMES: [&str; 12] = [
    "message",
    "comment",
    "descri",
    "enquiry",
    "inquiry",
    "question",
    "body",
    "nachricht",
    "mensaje",
    "mensagem",
    "wiadomo",
    "notecontent",
];

/// Tokens whose names don't say captcha: ALTCHA, Yandex, Arkose, AWS WAF, Cap, GeeTest.
const TOKENS: [&str; 9] = [
    "altcha",
    "smart-token",
    "fc-token",
    "aws-waf-token",
    "cap-token",
    "geetest_challenge",
    "geetest_validate",
    "geetest_seccode",
    "lot_number",
];

fn holds(name: &str, word: &str) -> bool {
    name.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

/// True for the answer of a captcha service: worthless after its check, and long. `captcha_settings` (Salesforce) is none, nor is what a
/// person types from a picture.
pub fn is_captcha_token(name: &str) -> bool {
    const ENDINGS: [&str; 6] = ["response", "token", "solution", "challenge", "validate", "output"];
    (holds(name, "captcha") && ENDINGS.iter().any(|ending| holds(name, ending)))
        || holds(name, "turnstile-response")
        || TOKENS.iter().any(|token| name.eq_ignore_ascii_case(token))
}

/// What the edge remembers to recognise spam by.
pub struct Signals {
    texts: Frequency,
    posts: Frequency,
    seed: RandomState,
    rendered_min_ms: i64,
    rendered_max_ms: i64,
}

impl Signals {
    /// After the `[spam]` section.
    pub fn new(config: &config::Spam) -> Self {
        Self {
            texts: Frequency::per_hour(config.repeats_per_hour),
            posts: Frequency::per_minute(config.posts_per_minute),
            seed: RandomState::new(),
            rendered_min_ms: config.rendered_min_ms,
            rendered_max_ms: config.rendered_max_hours.saturating_mul(3_600_000),
        }
    }

    /// Begins to look at one submission.
    pub fn begin(&self, client: ClientIp) -> Look<'_> {
        Look { signals: self, client, text: None, rendered: None }
    }

    /// One message as a number, whatever its blanks, digits and case.
    fn text_key(&self, text: &str) -> Option<u64> {
        let mut letters = [0; TEXT_BYTES_MAX];
        let mut count = 0;
        let kept = text.bytes().filter(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii());
        for (place, byte) in letters.iter_mut().zip(kept) {
            *place = byte.to_ascii_lowercase();
            count += 1;
        }
        (count >= TEXT_BYTES_MIN).then(|| self.seed.hash_one(&letters[..count]))
    }
}

/// One submission under the eye.
pub struct Look<'a> {
    signals: &'a Signals,
    client: ClientIp,
    text: Option<u64>,
    rendered: Option<String>,
}

impl Look<'_> {
    /// Looks at a field; true when it must not be kept.
    pub fn take_field(&mut self, name: &str, value: &str) -> bool {
        if name == RENDERED_FIELD {
            if !value.is_empty() {
                self.rendered = Some(value.to_owned());
            }
            return true;
        }
        if value.len() >= TEXT_BYTES_MIN
            && self.text.is_none()
            && TEXT_NAMES.iter().any(|word| holds(name, word))
        {
            self.text = self.signals.text_key(value);
        }
        is_captcha_token(name)
    }

    /// Sets the flags.
    pub fn finish(self, keys: &Keys, form: &Form, now_ms: i64, flags: &mut Flags) {
        if self.text.is_some_and(|text| self.signals.texts.is_over(text)) {
            flags.set(Flag::TextRepeated);
        }
        if self.signals.posts.is_over(self.client.limit_key()) {
            flags.set(Flag::ManyPosts);
        }
        let Some(token) = self.rendered else {
            if form.rendered_time {
                flags.set(Flag::RenderedMissing);
            }
            return;
        };
        // A clock of another edge may run a little ahead: a time in the future is as good as none passed.
        match verify_rendered(keys, &form.name, &token).map(|at_ms| now_ms - at_ms) {
            None => flags.set(Flag::RenderedForged),
            Some(age_ms) if age_ms < self.signals.rendered_min_ms => flags.set(Flag::RenderedFast),
            Some(age_ms) if age_ms > self.signals.rendered_max_ms => flags.set(Flag::RenderedLate),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::tokens::sign_rendered;
    use proptest::prelude::*;

    fn signals() -> Signals {
        Signals::new(&Config::load(None, std::iter::empty()).unwrap().spam)
    }

    fn client(number: u32) -> ClientIp {
        ClientIp::new(std::net::Ipv4Addr::from(number << 8).into())
    }

    fn form(rendered_time: bool) -> Form {
        let entry = format!(
            "[[site]]\nname='s'\nvisitor='none'\n[[form]]\nname='contact'\nsite='s'\nrendered_time={rendered_time}\n"
        );
        let registry = crate::registry::Registry::parse(&entry, "test").unwrap();
        registry.form("contact").unwrap().as_ref().clone()
    }

    fn words(signals: &Signals, from: u32, fields: &[(&str, &str)]) -> Vec<String> {
        let (mut look, mut flags) = (signals.begin(client(from)), Flags::default());
        for (name, value) in fields {
            look.take_field(name, value);
        }
        look.finish(&KEYS, &form(false), 0, &mut flags);
        flags.words()
    }

    #[test]
    fn the_answers_of_captcha_services_are_known_by_name() {
        for token in [
            "g-recaptcha-response",
            "G-Recaptcha-Response",
            "g-recaptcha-response-100000",
            "mauticform[g-recaptcha-response]",
            "h-captcha-response",
            "cf-turnstile-response",
            "frc-captcha-solution",
            "frc-captcha-response",
            "smart-token",
            "altcha",
            "recaptcha_token",
            "mcaptcha__token",
            "mtcaptcha-verifiedtoken",
        ] {
            assert!(is_captcha_token(token), "{token}");
        }
        for kept in ["captcha_settings", "captcha", "email", "token", "response", "turnstile", ""] {
            assert!(!is_captcha_token(kept), "{kept}");
        }
    }

    #[test]
    fn the_same_message_from_many_is_noticed_and_short_or_other_texts_are_not() {
        let signals = signals();
        let spam = "Buy our wonderful backlinks today and rank first tomorrow, offer";
        let heard: Vec<_> = (0..12_u32)
            .map(|from| {
                // Digits, case and blanks don't make it another text.
                let text =
                    if from % 2 == 0 { format!("{spam} {from}") } else { spam.to_uppercase() };
                words(&signals, from, &[("your-message", &text)])
            })
            .collect();
        assert!(heard[..10].iter().all(Vec::is_empty), "{heard:?}");
        assert!(heard[10..].iter().all(|words| words == &["text_repeated"]), "{heard:?}");
        for from in 100..150 {
            let consent = "I agree to the terms and conditions of this company and its partners";
            assert!(words(&signals, from, &[("consent", consent), ("message", "Hi")]).is_empty());
        }
    }

    #[test]
    fn a_network_that_sends_many_forms_is_noticed() {
        let signals = signals();
        let heard: Vec<_> = (0..22).map(|_| words(&signals, 1, &[("a", "b")])).collect();
        assert!(heard[..20].iter().all(Vec::is_empty) && heard[21] == ["many_posts"], "{heard:?}");
        assert!(words(&signals, 2, &[("a", "b")]).is_empty());
    }

    #[test]
    fn the_time_of_rendering_tells_too_fast_too_late_forged_and_missing() {
        let keys = Keys::open(tempfile::tempdir().unwrap().path()).unwrap();
        let signals = signals();
        let now_ms = 1_790_000_000_000;
        let flags_of = |asked: bool, token: Option<String>, from: u32| {
            let (mut look, mut flags) = (signals.begin(client(from)), Flags::default());
            assert!(look.take_field(RENDERED_FIELD, &token.unwrap_or_default()), "never kept");
            look.finish(&keys, &form(asked), now_ms, &mut flags);
            flags.words()
        };
        let aged = |age_ms: i64| Some(sign_rendered(&keys, "contact", now_ms - age_ms));
        assert!(flags_of(true, aged(30_000), 1).is_empty());
        assert_eq!(flags_of(false, aged(500), 2), ["rendered_too_fast"]);
        assert_eq!(flags_of(false, aged(90_000_000), 3), ["rendered_too_late"]);
        assert_eq!(flags_of(false, Some("x".into()), 4), ["rendered_forged"]);
        let other = Some(sign_rendered(&keys, "other", now_ms - 30_000));
        assert_eq!(flags_of(false, other, 5), ["rendered_forged"]);
        assert_eq!(flags_of(true, None, 6), ["rendered_missing"]);
        assert!(flags_of(false, None, 7).is_empty());
    }

    /// Making keys costs an fsync.
    static KEYS: std::sync::LazyLock<Keys> =
        std::sync::LazyLock::new(|| Keys::open(tempfile::tempdir().unwrap().path()).unwrap());

    /// Those of all random cases: their tables are large.
    static SIGNALS: std::sync::LazyLock<Signals> = std::sync::LazyLock::new(signals);

    proptest! {
        #[test]
        fn no_field_makes_it_panic(name in ".{0,40}", piece in ".{0,60}", times in 0usize..50) {
            let _ = words(&SIGNALS, 1, &[(&name, &piece.repeat(times))]);
        }
    }
}
