//! Countries: a typed name becomes two letters.
//!
//! In: what somebody typed or chose. Out: the code of ISO 3166-1, if it is known. Promises: names in English, Bengali, Polish, Urdu, German,
//! French, Spanish and Portuguese (Unicode CLDR), and the usual short forms.

use std::collections::HashMap;

use super::name::folded;

/// A code and its names, one country a line.
const NAMES: &str = include_str!("../../../config/countries.tsv");

/// The longest name has some fifty characters; longer texts are no country.
const TEXT_BYTES_MAX: usize = 200;

/// Names of countries.
#[derive(Debug)]
pub struct Countries(HashMap<String, &'static str>);

impl Countries {
    /// The built-in names.
    pub fn built_in() -> Self {
        let mut names = HashMap::new();
        for line in NAMES.lines().filter(|line| !line.starts_with('#')) {
            let mut columns = line.split('\t');
            let Some(code) = columns.next() else { continue };
            for name in columns {
                names.entry(folded(name)).or_insert(code);
            }
            names.insert(code.to_ascii_lowercase(), code);
        }
        Self(names)
    }

    /// The code of a name or code; empty when it is none.
    pub fn code(&self, text: &str) -> &'static str {
        if text.len() > TEXT_BYTES_MAX {
            return "";
        }
        self.0.get(&folded(text)).copied().unwrap_or("")
    }
}

/// Every name and code as people write them, in lower case.
pub fn spellings() -> impl Iterator<Item = String> {
    let lines = NAMES.lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(|line| line.split('\t')).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_known_in_eight_languages() {
        let countries = Countries::built_in();
        for (text, code) in [
            ("Poland", "PL"),
            ("polska", "PL"),
            ("Deutschland ", "DE"),
            ("de", "DE"),
            ("USA", "US"),
            ("U.K.", "GB"),
            ("বাংলাদেশ", "BD"),
            ("پاکستان", "PK"),
            ("Côte d'Ivoire", "CI"),
            ("ESPANA", "ES"),
            ("Brasil", "BR"),
            ("Österreich", "AT"),
            ("DefaultCountry", ""),
            ("", ""),
        ] {
            assert_eq!(countries.code(text), code, "{text}");
        }
    }
}
