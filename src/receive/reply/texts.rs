//! Texts: what our own pages say, in each language.
//!
//! In: `config/texts/*.toml`, built in. Out: [`Texts`] of a language. Promises: every language has every text (a test reads them
//! all); a refusal has a text by its topic, so that a new refusal needs a topic and no translations.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::check::Refusal;
use crate::language::Language;

/// In the order of [`Language::ALL`].
const FILES: [&str; 8] = [
    include_str!("../../../config/texts/en.toml"),
    include_str!("../../../config/texts/bn.toml"),
    include_str!("../../../config/texts/pl.toml"),
    include_str!("../../../config/texts/ur.toml"),
    include_str!("../../../config/texts/de.toml"),
    include_str!("../../../config/texts/fr.toml"),
    include_str!("../../../config/texts/es.toml"),
    include_str!("../../../config/texts/pt.toml"),
];

static ALL: LazyLock<Vec<Texts>> = LazyLock::new(|| {
    let read = |text: &&str| toml::from_str(text).expect("a test reads every built-in text");
    FILES.iter().map(read).collect()
});

/// The texts of one language.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    pub language: String,
    pub direction: String,
    pub thanks_title: String,
    pub thanks_text: String,
    pub receipt: String,
    pub time: String,
    pub keep: String,
    pub received_title: String,
    pub received_text: String,
    pub refused_title: String,
    pub refused_text: String,
    pub error_title: String,
    pub reference: String,
    pub reason: String,
    pub wait: String,
    pub typed_heading: String,
    pub typed_text: String,
    pub other_fields: String,
    pub secret: String,
    pub send_again: String,
    pub go_back: String,
    pub link_title: String,
    pub link_over: String,
    pub link_unknown: String,
    pub unsubscribe_title: String,
    pub unsubscribe_text: String,
    pub unsubscribe_button: String,
    pub unsubscribed_title: String,
    pub unsubscribed_text: String,
    refusals: Topics,
}

/// What a refusal means for whom it meets, and what to do.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Topics {
    not_found: String,
    wrong_method: String,
    too_slow: String,
    too_large: String,
    too_many_fields: String,
    value_too_long: String,
    no_files: String,
    unreadable: String,
    empty: String,
    missing: String,
    busy: String,
    not_saved: String,
}

impl Texts {
    /// In this language.
    pub fn of(language: Language) -> &'static Self {
        &ALL[language as usize]
    }

    /// Why, and what to do.
    pub fn refusal(&self, refusal: Refusal) -> &str {
        use Refusal as R;
        let topics = &self.refusals;
        match refusal {
            R::NotFound => &topics.not_found,
            R::Gone => &self.link_over,
            R::MethodNotAllowed => &topics.wrong_method,
            R::HeaderTooSlow | R::BodyTooSlow | R::BodyIncomplete => &topics.too_slow,
            R::BodyTooLarge => &topics.too_large,
            R::TooManyFields | R::NameTooLong => &topics.too_many_fields,
            R::ValueTooLong => &topics.value_too_long,
            R::FileRefused => &topics.no_files,
            R::UnsupportedType
            | R::UnsupportedEncoding
            | R::BrokenBody
            | R::TooDeep
            | R::BadHttp
            | R::HeaderTooLarge
            // Only servers get these, in their network's own words.
            | R::PostbackIncomplete
            | R::MacroUnexpanded
            | R::SecretWrong
            | R::SignatureWrong
            | R::SignatureOld
            | R::AddressNotListed
            // The app listener's, in JSON.
            | R::KeyWrong
            | R::KeyRole
            | R::KeySite
            | R::TooManyEvents
            | R::UnknownField
            | R::BadValue
            | R::IdempotencyKeyBad
            | R::IdempotencyBusy
            | R::IdempotencyConflict => &topics.unreadable,
            R::Empty => &topics.empty,
            R::MissingField => &topics.missing,
            R::RateAddress
            | R::RateForm
            | R::RateSite
            | R::RateGlobal
            | R::RateKey
            | R::Overloaded => &topics.busy,
            R::LogFull | R::LogSlow => &topics.not_saved,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_every_text_with_its_places() {
        for language in Language::ALL {
            let texts = Texts::of(language);
            assert_eq!(texts.language, language.tag());
            assert!(["ltr", "rtl"].contains(&texts.direction.as_str()));
            assert!(texts.wait.contains("{seconds}") && texts.secret.contains("{name}"));
            for refusal in Refusal::ALL {
                assert!(!texts.refusal(*refusal).is_empty(), "{language:?} {refusal:?}");
            }
            let document: toml::Table = FILES[language as usize].parse().unwrap();
            let values: Vec<&str> = document.values().filter_map(toml::Value::as_str).collect();
            assert!(values.iter().all(|text| !text.is_empty() && !text.contains(['<', '&'])));
            assert!(values.len() >= 29);
        }
        assert_eq!(Texts::of(Language::Ur).direction, "rtl");
    }
}
