//! `leadtrail form suggest`: a first mapping for a form's opaque names, from what has arrived.
//!
//! In: a form's name. Out: TOML to paste into the file that `forms.mapping_file` names, each line with the counts that speak for it. Refuses:
//! nothing. Promises: no value that anybody typed is read out of the warehouse or printed: the warehouse counts shapes.

use std::fmt::Write as _;

use clickhouse::{Client, Row};
use serde::Deserialize;

use crate::attribute::meaning::country;
use crate::attribute::meaning::{Meaning, Means};
use crate::check::lead_field::LeadField;
use crate::event::FormPost;

const SHAPES: &str = include_str!("shapes.sql");

/// Below this share of the filled values a shape is chance.
const SHARE_MIN: f64 = 0.6;

/// From this share on, and with [`FILLED_MIN`] values, a line is meant; below it is a comment.
const SHARE_SURE: f64 = 0.8;

/// Fewer values tell too little.
const FILLED_MIN: u64 = 3;

/// A field with no more different values than this is a choice.
const CHOICES_MAX: u64 = 5;

/// How often the values of one field have which shape.
#[derive(Clone, Debug, Default, Row, Deserialize)]
#[expect(missing_docs, reason = "shapes.sql says what each is")]
pub struct Shapes {
    pub name: String,
    pub dialect: String,
    pub filled: u64,
    pub different: u64,
    pub emails: u64,
    pub urls: u64,
    pub dates: u64,
    pub phones: u64,
    pub postcodes: u64,
    pub countries: u64,
    pub texts: u64,
    pub streets: u64,
    pub names: u64,
    pub words: u64,
    pub switches: u64,
}

/// What a field may mean.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Guess {
    field: LeadField,
    looks_like: &'static str,
    count: u64,
    /// True where the shape leaves little else.
    telling: bool,
}

impl Shapes {
    /// The first shape that most values have; the shapes that tell most come first.
    fn guess(&self) -> Option<Guess> {
        use LeadField as F;
        let shapes = [
            (F::Email, "an e-mail address", self.emails, true),
            (F::Website, "a web address", self.urls, true),
            (F::BirthDate, "a date", self.dates, false),
            (F::Phone, "a telephone number", self.phones, true),
            (F::Postcode, "a postal code", self.postcodes, true),
            (F::Country, "a country", self.countries, true),
            (F::Message, "a text", self.texts, true),
            (F::Street, "a street with a number", self.streets, true),
            (F::FullName, "a name of several words", self.names, self.different > self.filled / 2),
            (F::FirstName, "one word: first_name, last_name or city", self.words, false),
        ];
        let share = |count: u64| count as f64 / self.filled.max(1) as f64;
        shapes
            .into_iter()
            .find(|(_, _, count, _)| share(*count) >= SHARE_MIN)
            .map(|(field, looks_like, count, telling)| Guess { field, looks_like, count, telling })
    }

    fn is_choice(&self) -> bool {
        let repeats = self.filled > 2 * self.different;
        let is_telling = self.emails + self.phones + self.texts > self.filled / 2;
        self.switches == self.filled || (self.different <= CHOICES_MAX && repeats && !is_telling)
    }
}

/// The mapping as TOML, with the counts as comments.
fn render(form: &str, days: u32, fields: &[Shapes]) -> String {
    let mut text = format!(
        "# Names of form `{form}` without a meaning, in {days} days: {}. Check, then put it into the file that `forms.mapping_file` names.\n",
        fields.len()
    );
    if fields.is_empty() {
        return text;
    }
    writeln!(text, "[form.{}.fields]", quoted(form)).expect("a String takes every write");
    for field in fields {
        let name = quoted(&field.name);
        let line = match field.guess().filter(|_| !field.is_choice()) {
            None if field.switches == field.filled => format!(
                "# {name} = \"consent_marketing\"  # {} filled: yes or no; perhaps a consent",
                field.filled
            ),
            None if field.is_choice() => format!(
                "# {name} = \"nothing\"  # {} filled, {} different: a choice",
                field.filled, field.different
            ),
            None => format!(
                "# {name} = \"nothing\"  # {} filled, {} different: no shape that is known",
                field.filled, field.different
            ),
            Some(guess) => {
                let share = guess.count as f64 / field.filled as f64;
                let sure = guess.telling && share >= SHARE_SURE && field.filled >= FILLED_MIN;
                let mark = if sure { "" } else { "# " };
                format!(
                    "{mark}{name} = \"{}\"  # {} of {} look like {} ({:.0} %), {} different",
                    guess.field.name(),
                    guess.count,
                    field.filled,
                    guess.looks_like,
                    share * 100.0,
                    field.different
                )
            }
        };
        writeln!(text, "{line}").expect("a String takes every write");
    }
    text
}

/// A TOML key. JSON's escapes are TOML's.
fn quoted(name: &str) -> String {
    serde_json::Value::from(name).to_string()
}

/// Asks for the shapes and renders the mapping.
///
/// # Errors
/// When the warehouse can't be asked.
pub async fn suggest(
    client: &Client,
    meaning: &Meaning,
    form: &str,
    days: u32,
) -> Result<String, clickhouse::error::Error> {
    let countries: Vec<String> = country::spellings().collect();
    let query = client.query(SHAPES).param("form", form).param("days", days);
    let mut fields = query.param("countries", countries).fetch_all::<Shapes>().await?;
    // What has a meaning by now, is a consent, or a control of the vendor's is kept among the rest too and needs none. Custom fields
    // (00N…) are the vendor's as well, and what somebody typed all the same.
    let mut post = FormPost { form: form.to_owned(), ..FormPost::default() };
    fields.retain(|field| {
        post.dialect.clone_from(&field.dialect);
        let meant = meaning.of(&post);
        meant.field(&field.name, "") == Means::Nothing && !meant.is_control(&field.name)
    });
    Ok(render(form, days, &fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(name: &str, filled: u64, different: u64) -> Shapes {
        Shapes { name: name.into(), filled, different, ..Shapes::default() }
    }

    #[test]
    fn a_shape_that_most_values_have_is_proposed_with_its_counts() {
        let fields = [
            Shapes { emails: 98, ..shapes("entry.1", 100, 98) },
            Shapes { words: 90, ..shapes("entry.2", 100, 80) },
            Shapes { texts: 9, ..shapes("00N\"x", 10, 10) },
            Shapes { switches: 10, ..shapes("entry.4", 10, 2) },
            shapes("entry.5", 50, 3),
            Shapes { phones: 2, ..shapes("entry.6", 2, 2) },
            Shapes { names: 40, words: 10, ..shapes("entry.7", 50, 45) },
            shapes("entry.8", 9, 9),
        ];
        insta::assert_snapshot!(render("contact", 90, &fields), @r#"
        # Names of form `contact` without a meaning, in 90 days: 8. Check, then put it into the file that `forms.mapping_file` names.
        [form."contact".fields]
        "entry.1" = "email"  # 98 of 100 look like an e-mail address (98 %), 98 different
        # "entry.2" = "first_name"  # 90 of 100 look like one word: first_name, last_name or city (90 %), 80 different
        "00N\"x" = "message"  # 9 of 10 look like a text (90 %), 10 different
        # "entry.4" = "consent_marketing"  # 10 filled: yes or no; perhaps a consent
        # "entry.5" = "nothing"  # 50 filled, 3 different: a choice
        # "entry.6" = "phone"  # 2 of 2 look like a telephone number (100 %), 2 different
        "entry.7" = "full_name"  # 40 of 50 look like a name of several words (80 %), 45 different
        # "entry.8" = "nothing"  # 9 filled, 9 different: no shape that is known
        "#);
    }

    #[test]
    fn what_is_proposed_is_a_mapping_that_can_be_read() {
        let fields = [Shapes { emails: 98, ..shapes("a]b = \"c", 100, 98) }];
        let text = render("my form", 90, &fields);
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["form"]["my form"]["fields"]["a]b = \"c"].as_str(), Some("email"));
    }
}
