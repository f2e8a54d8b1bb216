//! Meaning: which field of a lead a posted field is.
//!
//! In: a form's post. Out: what each of its names [`Means`]. Promises: a form's own mapping comes first, then the form's dialect, then the
//! vocabulary; the same post means the same whenever it is read with the same files.

pub mod country;
mod mapping;
pub mod name;
pub mod phone;
pub mod vocabulary;

use std::sync::Arc;

use self::country::Countries;
use self::mapping::Mapping;
use self::name::folded;
use self::vocabulary::Vocabulary;
use crate::check::dialects::{Dialect, Dialects, Role};
use crate::check::lead_field::LeadField;
use crate::config::{ConfigError, Forms};
use crate::event::FormPost;
use crate::registry::Registry;

/// What a posted field means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// A field of the lead.
    Field(LeadField),
    /// That somebody wants something (`wanted`: when it is ticked), or doesn't.
    Consent {
        /// What it is about: marketing, privacy, email, phone, …
        channel: &'static str,
        /// True where ticking it means yes.
        wanted: bool,
    },
    /// Nothing of the lead's.
    Nothing,
}

impl From<LeadField> for Means {
    fn from(field: LeadField) -> Self {
        let consent = |channel, wanted| Self::Consent { channel, wanted };
        match field {
            LeadField::ConsentMarketing => consent("marketing", true),
            LeadField::ConsentPrivacy => consent("privacy", true),
            LeadField::OptOutEmail => consent("email", false),
            LeadField::OptOutPhone => consent("phone", false),
            LeadField::OptOutFax => consent("fax", false),
            field => Self::Field(field),
        }
    }
}

/// Everything that says what a posted field means.
#[derive(Debug)]
pub struct Meaning {
    /// Names and values that need no mapping.
    pub vocabulary: Vocabulary,
    /// Names of countries.
    pub countries: Countries,
    dialects: Arc<Dialects>,
    mapping: Mapping,
    registry: Arc<Registry>,
}

/// What one post's fields mean.
#[derive(Clone, Copy)]
pub struct PostMeaning<'a> {
    meaning: &'a Meaning,
    dialect: Option<&'a Dialect>,
    post: &'a FormPost,
}

impl Meaning {
    /// Reads the files.
    ///
    /// # Errors
    /// When one can't be read or is wrong.
    pub fn open(
        settings: &Forms,
        dialects: Arc<Dialects>,
        registry: Arc<Registry>,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            vocabulary: Vocabulary::load(&settings.aliases_file)?,
            countries: Countries::built_in(),
            mapping: Mapping::load(&settings.mapping_file)?,
            dialects,
            registry,
        })
    }

    /// What the fields of this post mean.
    pub fn of<'a>(&'a self, post: &'a FormPost) -> PostMeaning<'a> {
        let dialect = self.dialects.get(&post.dialect).map(|dialect| &**dialect);
        PostMeaning { meaning: self, dialect, post }
    }

    /// Where a form's visitors telephone from, as form and site say.
    pub fn country_of(&self, form: &str, site: &str) -> &str {
        let form = self.registry.form(form).and_then(|form| form.country.as_ref());
        let site = || self.registry.site(site).and_then(|site| site.country.as_ref());
        form.or_else(site).map_or("", |country| country.as_str())
    }
}

impl PostMeaning<'_> {
    /// What a field means.
    pub fn field(&self, name: &str, value: &str) -> Means {
        if let Some(mapped) = self.meaning.mapping.field_of(&self.post.form, name) {
            return mapped.map_or(Means::Nothing, Means::from);
        }
        let role = self.dialect.map_or(Role::Unknown, |dialect| dialect.role(name));
        match role {
            Role::Column(field) => field.into(),
            Role::OptIn(channel) => Means::Consent { channel, wanted: true },
            Role::OptOut(channel) => Means::Consent { channel, wanted: false },
            Role::Unknown => self.by_vocabulary(name, value),
            // Of the vendor's own; consent is somebody's act wherever it stands.
            Role::Kept => match self.meaning.vocabulary.field_of(name).map(Means::from) {
                Some(consent @ Means::Consent { .. }) => consent,
                _ => Means::Nothing,
            },
            _ => Means::Nothing,
        }
    }

    fn by_vocabulary(&self, name: &str, value: &str) -> Means {
        let plain = self.dialect.map_or(name, |dialect| dialect.plain_name(name));
        let vocabulary = &self.meaning.vocabulary;
        match vocabulary.field_of(plain) {
            Some(field) => field.into(),
            None if Vocabulary::is_title(plain) => Means::Field(self.title(value)),
            None => Means::Nothing,
        }
    }

    /// `title` is how somebody is addressed, what somebody's job is, or what the message is about.
    fn title(&self, value: &str) -> LeadField {
        let vocabulary = &self.meaning.vocabulary;
        if vocabulary.is_salutation(value) {
            return LeadField::Salutation;
        }
        let has = |wanted: &[LeadField]| {
            let mut fields = self.post.fields.iter();
            fields.any(|(name, _)| {
                vocabulary.field_of(name).is_some_and(|field| wanted.contains(&field))
            })
        };
        let is_person = has(&[
            LeadField::FirstName,
            LeadField::LastName,
            LeadField::FullName,
            LeadField::Company,
        ]);
        match has(&[LeadField::Message]) && !has(&[LeadField::Subject]) && !is_person {
            true => LeadField::Subject,
            false => LeadField::JobTitle,
        }
    }

    /// True for a name that the form's dialect has for itself, by the whole name.
    pub fn is_control(&self, name: &str) -> bool {
        let plain = folded(name);
        let is_word = !plain.is_empty() && !plain.bytes().any(|byte| byte.is_ascii_digit());
        is_word && self.dialect.is_some_and(|dialect| dialect.role(name) != Role::Unknown)
    }

    /// True for a field that the page fills by itself.
    pub fn is_constant(&self, name: &str) -> bool {
        self.meaning.mapping.is_constant(&self.post.form, name)
    }
}
