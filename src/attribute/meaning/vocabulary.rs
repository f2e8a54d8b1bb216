//! Vocabulary: what a field's name means, where neither a mapping nor a dialect says it.
//!
//! In: `config/aliases.toml`, or a file of the operator's. Out: the [`LeadField`] of a name; which values stand for nothing and which for
//! no. Refuses: an unknown field, and a name that two fields claim. Promises: a name of staff's addresses is never the lead's.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;

use super::name::{folded, parts};
use crate::check::lead_field::LeadField;
use crate::config::{ConfigError, nearest};

/// The built-in file.
const BUILT_IN: &str = include_str!("../../../config/aliases.toml");

/// Longer names are sentences: nobody gave them to say what the field is.
const NAME_BYTES_MAX: usize = 128;

/// Words that are taken off one name: `your-contact-email` has two.
const WORDS_OFF_MAX: usize = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    fields: HashMap<String, Vec<String>>,
    around: Around,
    values: Values,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Around {
    before: Vec<String>,
    after: Vec<String>,
    common: Vec<String>,
    persons: Vec<String>,
    never: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Values {
    placeholders: HashSet<String>,
    no: Vec<String>,
    salutations: Vec<String>,
}

/// What names and values mean.
#[derive(Debug)]
pub struct Vocabulary {
    names: HashMap<String, LeadField>,
    before: Vec<String>,
    after: Vec<String>,
    common: HashSet<String>,
    persons: HashSet<String>,
    never: HashSet<String>,
    placeholders: HashSet<String>,
    no: HashSet<String>,
    salutations: HashSet<String>,
}

impl Vocabulary {
    /// Reads `path`; empty means the built-in file.
    ///
    /// # Errors
    /// When the file can't be read or is wrong.
    pub fn load(path: &str) -> Result<Self, ConfigError> {
        if path.is_empty() {
            return Self::parse(BUILT_IN, "built-in config/aliases.toml");
        }
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: Path::new(path).to_owned(), source })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, source: &str) -> Result<Self, ConfigError> {
        let wrong = |what: String| ConfigError::Wrong(format!("{source}: {what}"));
        let file: File = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let mut names = HashMap::new();
        for (field, aliases) in &file.fields {
            let field = field_named(field).map_err(wrong)?;
            let own = [field.name().to_owned()];
            for alias in aliases.iter().chain(&own) {
                let key = folded(alias);
                let earlier = names.insert(key, field).filter(|earlier| *earlier != field);
                if let Some(earlier) = earlier {
                    let (one, other) = (earlier.name(), field.name());
                    return Err(wrong(format!(
                        "`{alias}` stands under both `{one}` and `{other}`"
                    )));
                }
            }
        }
        let set = |words: Vec<String>| words.iter().map(|word| folded(word)).collect();
        let Around { before, after, common, persons, never } = file.around;
        Ok(Self {
            names,
            before: longest_first(&before),
            after: longest_first(&after),
            common: set(common),
            persons: set(persons),
            never: set(never),
            placeholders: file.values.placeholders,
            no: set(file.values.no),
            salutations: set(file.values.salutations),
        })
    }

    /// The field that a name means.
    pub fn field_of(&self, name: &str) -> Option<LeadField> {
        if name.len() > NAME_BYTES_MAX {
            return None;
        }
        let whole = folded(name);
        if self.never.contains(&whole) {
            return None;
        }
        if let Some(field) = self.names.get(&whole) {
            return Some(*field);
        }
        let mut parts = parts(name).rev();
        let last = parts.next()?;
        let parent = parts.next().map(folded);
        let plain = folded(without_number_before(last));
        if self.never.contains(&plain)
            || parent.as_ref().is_some_and(|parent| {
                self.common.contains(&plain) && !self.persons.contains(parent)
            })
        {
            return None;
        }
        self.known(&plain).or_else(|| self.without_words_around(&plain))
    }

    /// True for a name that means one of three things.
    pub fn is_title(name: &str) -> bool {
        parts(name).next_back().is_some_and(|last| folded(last) == "title")
    }

    /// The field of a name, or of it without the number at its end.
    fn known(&self, plain: &str) -> Option<LeadField> {
        let stem = plain.trim_end_matches(|letter: char| letter.is_ascii_digit());
        self.names.get(plain).or_else(|| self.names.get(stem)).copied()
    }

    fn without_words_around(&self, plain: &str) -> Option<LeadField> {
        let mut rest = plain.trim_end_matches(|letter: char| letter.is_ascii_digit());
        for _ in 0..WORDS_OFF_MAX {
            let front = self.before.iter().find_map(|word| rest.strip_prefix(word.as_str()));
            let back = || self.after.iter().find_map(|word| rest.strip_suffix(word.as_str()));
            rest = front.filter(|rest| !rest.is_empty()).or_else(back)?;
            if self.never.contains(rest) {
                return None;
            }
            if let Some(field) = self.known(rest) {
                return Some(field);
            }
        }
        None
    }

    /// True for a value that says nothing: blank, or what a page or script puts where nothing was chosen.
    pub fn is_nothing(&self, value: &str) -> bool {
        let value = value.trim();
        value.is_empty() || self.placeholders.contains(value) || is_unfilled(value)
    }

    /// True for a choice that says no.
    pub fn is_no(&self, value: &str) -> bool {
        self.no.contains(&folded(value))
    }

    /// True for Mr, Frau, Pani, …
    pub fn is_salutation(&self, value: &str) -> bool {
        value.len() <= 40 && self.salutations.contains(&folded(value))
    }
}

/// `{creative}`, `{{lead.email}}`, `[Interessen]`, `%%name%%`, `${x}`: a template that nobody filled.
fn is_unfilled(value: &str) -> bool {
    let inside = |open: &str, close: &str| {
        let inner = value.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        inner.is_some_and(|inner| {
            !inner.is_empty() && inner.len() <= 64 && !inner.contains(['"', ',', '[', '{', '\n'])
        })
    };
    [("{{", "}}"), ("{", "}"), ("${", "}"), ("[", "]"), ("%%", "%%"), ("<%", "%>")]
        .iter()
        .any(|(open, close)| inside(open, close))
}

/// JotForm's and others' `q12_email` is `email`.
fn without_number_before(part: &str) -> &str {
    let rest = part.strip_prefix(['q', 'Q', 'f', 'F']).unwrap_or(part);
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    match rest[digits..].strip_prefix(['_', '-', ' ']) {
        Some(name) if digits > 0 && !name.is_empty() => name,
        _ => part,
    }
}

/// `ihre` is taken off before `ihr`.
fn longest_first(words: &[String]) -> Vec<String> {
    let mut words: Vec<String> = words.iter().map(|word| folded(word)).collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words
}

/// The field of a canonical name.
///
/// # Errors
/// With the nearest one.
pub fn field_named(name: &str) -> Result<LeadField, String> {
    LeadField::parse(name).ok_or_else(|| {
        let near = nearest(name, LeadField::ALL.iter().map(|field| field.name()));
        format!("unknown lead field `{name}`; did you mean `{near}`?")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn built_in() -> &'static Vocabulary {
        static BUILT_IN: std::sync::LazyLock<Vocabulary> =
            std::sync::LazyLock::new(|| Vocabulary::load("").unwrap());
        &BUILT_IN
    }

    #[test]
    fn every_field_knows_its_own_name() {
        let words = built_in();
        for field in LeadField::ALL {
            assert_eq!(words.field_of(field.name()), Some(*field), "{}", field.name());
        }
    }

    #[test]
    fn names_mean_what_people_of_eight_languages_mean_by_them() {
        use LeadField as F;
        let words = built_in();
        for (name, field) in [
            ("email1", F::Email),
            ("webtolead_email1", F::Email),
            ("your-email", F::Email),
            ("contact[email]", F::Email),
            ("contacts[0][Email Address]", F::Email),
            ("mauticform[f_name]", F::FirstName),
            ("Contacts.Last Name", F::LastName),
            ("inf_field_FirstName", F::FirstName),
            ("inf_field_Phone1", F::Phone),
            ("inf_field_StreetAddress1", F::Street),
            ("primary_address_city", F::City),
            ("address.city", F::City),
            ("customer.name", F::FullName),
            ("feedback-name", F::FullName),
            ("q3_email", F::Email),
            ("billing_postcode", F::Postcode),
            ("family-name", F::LastName),
            ("address-level2", F::City),
            ("tel-national", F::Phone),
            ("organization-title", F::JobTitle),
            ("Straße", F::Street),
            ("Vor- und Nachname", F::FullName),
            ("Ihre E-Mail-Adresse", F::Email),
            ("Téléphone", F::Phone),
            ("votre-prénom", F::FirstName),
            ("Apellidos", F::LastName),
            ("Código Postal", F::Postcode),
            ("Endereço", F::Street),
            ("sobrenome", F::LastName),
            ("Imię i nazwisko", F::FullName),
            ("adres_e-mail", F::Email),
            ("Województwo", F::State),
            ("নাম", F::FullName),
            ("মোবাইল নম্বর", F::Mobile),
            ("ফোন", F::Phone),
            ("ای میل", F::Email),
            ("فون نمبر", F::Phone),
            ("پورا نام", F::FullName),
        ] {
            assert_eq!(words.field_of(name), Some(field), "{name}");
        }
    }

    #[test]
    fn what_only_looks_like_a_persons_field_is_none() {
        let words = built_in();
        for name in [
            "replyto",
            "_replyto",
            "recipient",
            "username",
            "form_name",
            "product.type",
            "campaign.name",
            "page_title",
            "manager_email",
            "00N3X0000060fw7",
            "entry.805276147",
            "field[12]",
            "inp_3",
            "MERGE0",
            "",
            "[]",
            "event[name]",
            "file_name",
        ] {
            assert_eq!(words.field_of(name), None, "{name}");
        }
    }

    #[test]
    fn placeholders_are_nothing_and_names_are_not() {
        let words = built_in();
        for nothing in [
            "",
            "  ",
            "null",
            "undefined",
            "-None-",
            "DefaultCountry",
            "[Interessen]",
            "{creative}",
            "{{lead.email}}",
            "%%name%%",
        ] {
            assert!(words.is_nothing(nothing), "{nothing}");
        }
        for something in ["Null", "0", "None", "{\"a\":1}", "[1,2]", "{", "Nein"] {
            assert!(!words.is_nothing(something), "{something}");
        }
        assert!(
            words.is_no("0") && words.is_no(" NEIN") && words.is_no("Não") && !words.is_no("on")
        );
        assert!(
            words.is_salutation("Mr.") && words.is_salutation("জনাব") && !words.is_salutation("CEO")
        );
    }

    #[test]
    fn a_wrong_file_is_refused_with_the_nearest_word() {
        let tail = "[around]\nbefore=[]\nafter=[]\ncommon=[]\npersons=[]\nnever=[]\n[values]\nplaceholders=[]\nno=[]\nsalutations=[]\n";
        let refusal = |fields: &str| {
            Vocabulary::parse(&format!("[fields]\n{fields}{tail}"), "a.toml")
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refusal("emial = []\n"),
            "a.toml: unknown lead field `emial`; did you mean `email`?"
        );
        assert!(refusal("phone = [\"Tel\"]\nfax = [\"tel.\"]\n").contains("stands under both"));
    }

    proptest! {
        #[test]
        fn any_name_has_an_answer(name in "\\PC{0,40}", value in "\\PC{0,20}") {
            let words = built_in();
            let _ = (words.field_of(&name), words.is_nothing(&value), words.is_no(&value));
        }
    }
}
