//! Mapping: what opaque names mean in one form (`forms.mapping_file`).
//!
//! In: a file of the operator's, as `leadtrail form suggest` prints it. Out: the field of a posted name, exactly as it is posted. Refuses: an
//! unknown key and an unknown field, with the nearest one. Promises: what stands here wins over dialects and vocabulary.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;

use super::vocabulary::field_named;
use crate::check::lead_field::LeadField;
use crate::config::ConfigError;

/// The word for a field that is none of the lead's.
pub const NOTHING: &str = "nothing";

/// The built-in file: comments only.
const BUILT_IN: &str = include_str!("../../../config/forms.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    form: HashMap<String, Entry>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    fields: HashMap<String, String>,
    #[serde(default)]
    constants: HashSet<String>,
}

/// What one form's names mean.
#[derive(Debug, Default)]
struct Names {
    fields: HashMap<String, Option<LeadField>>,
    constants: HashSet<String>,
}

/// What the names of each form mean.
#[derive(Debug, Default)]
pub struct Mapping(HashMap<String, Names>);

impl Mapping {
    /// Reads `path`; empty means that no form has a mapping.
    ///
    /// # Errors
    /// When the file can't be read or is wrong.
    pub fn load(path: &str) -> Result<Self, ConfigError> {
        if path.is_empty() {
            return Self::parse(BUILT_IN, "built-in config/forms.toml");
        }
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: Path::new(path).to_owned(), source })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, source: &str) -> Result<Self, ConfigError> {
        let wrong = |what: String| ConfigError::Wrong(format!("{source}: {what}"));
        let file: File = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let mut forms = HashMap::new();
        for (form, entry) in file.form {
            let mut names = Names { constants: entry.constants, ..Names::default() };
            for (posted, field) in entry.fields {
                let meant = match field.as_str() {
                    NOTHING => None,
                    field => Some(field_named(field).map_err(|what| {
                        wrong(format!("[form.{form}.fields] `{posted}`: {what}"))
                    })?),
                };
                names.fields.insert(posted, meant);
            }
            forms.insert(form, names);
        }
        Ok(Self(forms))
    }

    /// What a name means in a form; `Some(None)`: nothing of the lead's.
    pub fn field_of(&self, form: &str, posted: &str) -> Option<Option<LeadField>> {
        self.0.get(form)?.fields.get(posted).copied()
    }

    /// True for a field that the page fills by itself: nobody's act.
    pub fn is_constant(&self, form: &str, posted: &str) -> bool {
        self.0.get(form).is_some_and(|names| names.constants.contains(posted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_posted_name_is_looked_up_exactly() {
        let text = "[form.contact]\nconstants = [\"opt\"]\n[form.contact.fields]\n\"entry.1\" = \"message\"\n\"00N\" = \"nothing\"\n";
        let mapping = Mapping::parse(text, "forms.toml").unwrap();
        assert_eq!(mapping.field_of("contact", "entry.1"), Some(Some(LeadField::Message)));
        assert_eq!(mapping.field_of("contact", "00N"), Some(None));
        assert_eq!(mapping.field_of("contact", "ENTRY.1"), None);
        assert_eq!(mapping.field_of("other", "entry.1"), None);
        assert!(mapping.is_constant("contact", "opt") && !mapping.is_constant("contact", "00N"));
        assert!(Mapping::load("").unwrap().0.is_empty());
    }

    #[test]
    fn a_wrong_mapping_is_refused_with_the_nearest_word() {
        let refusal = |text| Mapping::parse(text, "forms.toml").unwrap_err().to_string();
        let wrong = refusal("[form.a.fields]\nx = \"mesage\"\n");
        assert_eq!(
            wrong,
            "forms.toml: [form.a.fields] `x`: unknown lead field `mesage`; did you mean `message`?"
        );
        assert!(refusal("[form.a]\nfield = {}\n").contains("line 2"));
    }
}
