//! A lead: what a form's fields mean.
//!
//! In: a form's fields, exactly as they came. Out: a [`Lead`] with the fields that have a column, and the rest in order. Refuses:
//! nothing: a partial lead is a lead. Promises: no value is dropped; a field that comes twice keeps its later values in the rest;
//! an empty value never takes a column's place.

use crate::attribute::Place;
use crate::enrich::Enriched;
use crate::enrich::spam::{Judge, Judgement, RULESET, Said};
use crate::event::{Event, EventType, FormPost};
use crate::keys::Keys;
use crate::personal::{Email, PersonalText, Phone};
use crate::store::native::{Key16, Millis, Pairs, Texts};
use crate::store::rows::LeadRow;

/// Field names by column (DOMAIN.md 2.1), compared in lower case without blanks, `-` and `_`. A first few: the dialects come later.
const ALIASES: [(Column, &[&str]); 7] = [
    (Column::Email, &["email", "emailaddress", "mail", "email1", "replyto", "youremail"]),
    (
        Column::Phone,
        &["phone", "tel", "telephone", "mobile", "mobilephone", "busphone", "phonenumber"],
    ),
    (Column::FirstName, &["firstname", "fname", "givenname"]),
    (Column::LastName, &["lastname", "lname", "familyname", "surname"]),
    (Column::FullName, &["name", "fullname", "yourname"]),
    (Column::Company, &["company", "organization", "organisation"]),
    (Column::Message, &["message", "comment", "comments", "description", "enquiry"]),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Email,
    Phone,
    FirstName,
    LastName,
    FullName,
    Company,
    Message,
}

/// A form's fields, sorted into columns.
#[derive(Debug, Default)]
pub struct Lead {
    email: Email,
    phone: Phone,
    first_name: PersonalText,
    last_name: PersonalText,
    full_name: PersonalText,
    company: PersonalText,
    message: PersonalText,
    extra: Vec<(String, PersonalText)>,
    /// The keyed hash of the normalised address; zero without one.
    pub email_key: Key16,
    /// The keyed hash of the normalised number; zero without one.
    pub phone_key: Key16,
}

/// Reads a form's fields.
pub fn read(form: &FormPost, keys: &Keys) -> Lead {
    let mut lead = Lead::default();
    for (name, value) in &form.fields {
        if !lead.take(column_of(name), value) {
            lead.extra.push((name.clone(), value.clone()));
        }
    }
    lead.email_key = Key16(keys.pseudonym("email", &lead.email.normalised()));
    lead.phone_key = Key16(keys.pseudonym("phone", &lead.phone.normalised()));
    lead
}

/// The lead that an event is; `None` for one that is none. A form view names its form too.
pub fn of(event: &Event, keys: &Keys) -> Option<Lead> {
    let is_lead = event.event_type == EventType::Lead;
    event.form.as_ref().filter(|_| is_lead).map(|form| read(form, keys))
}

fn column_of(name: &str) -> Option<Column> {
    if name.len() > 32 {
        return None;
    }
    let plain: String = name
        .chars()
        .filter(|character| !" -_".contains(*character))
        .flat_map(char::to_lowercase)
        .collect();
    ALIASES.iter().find(|(_, names)| names.contains(&plain.as_str())).map(|(column, _)| *column)
}

impl Lead {
    /// Puts a value into its column; false when it belongs to the rest.
    fn take(&mut self, column: Option<Column>, value: &PersonalText) -> bool {
        let Some(column) = column.filter(|_| !value.expose().trim().is_empty()) else {
            return false;
        };
        let text = match column {
            Column::Email if self.email.is_empty() => {
                self.email = Email::new(value.expose());
                return true;
            }
            Column::Phone if self.phone.is_empty() => {
                self.phone = Phone::new(value.expose());
                return true;
            }
            Column::Email | Column::Phone => return false,
            Column::FirstName => &mut self.first_name,
            Column::LastName => &mut self.last_name,
            Column::FullName => &mut self.full_name,
            Column::Company => &mut self.company,
            Column::Message => &mut self.message,
        };
        let free = text.is_empty();
        if free {
            *text = value.clone();
        }
        free
    }

    /// Whether it is spam.
    pub fn judge(&self, event: &Event, judge: &Judge) -> Judgement {
        let fields = event.form.as_ref().map_or(&[][..], |form| &form.fields);
        let said = Said {
            names: [self.first_name.expose(), self.last_name.expose(), self.full_name.expose()],
            company: self.company.expose(),
            email: self.email.expose(),
            has_phone: !self.phone.normalised().is_empty(),
            message: self.message.expose(),
            extra: &self.extra,
        };
        judge.judge(fields, &said, &event.flags)
    }

    /// The row.
    pub fn into_row(self, enriched: &Enriched, judgement: Judgement, place: Place) -> LeadRow {
        let event = &enriched.event;
        LeadRow {
            site: event.site.clone(),
            event_time: Millis(event.event_time),
            id_seq: event.id.sequence(),
            id_node: event.id.node(),
            received_lag_ms: event.id.millis() - event.event_time,
            visitor: event.visitor.as_u128(),
            form: event.form.as_ref().map_or_else(String::new, |form| form.form.clone()),
            email: self.email.expose().to_owned(),
            email_key: self.email_key,
            phone: self.phone.expose().to_owned(),
            phone_key: self.phone_key,
            first_name: self.first_name.expose().to_owned(),
            last_name: self.last_name.expose().to_owned(),
            full_name: self.full_name.expose().to_owned(),
            company: self.company.expose().to_owned(),
            message: self.message.expose().to_owned(),
            extra: Pairs(
                self.extra
                    .into_iter()
                    .map(|(name, value)| (name, value.expose().to_owned()))
                    .collect(),
            ),
            country: enriched.place.country.clone(),
            traffic_class: enriched.verdict.class.as_str(),
            spam_score: judgement.score,
            spam_reasons: Texts(judgement.reasons.into_iter().map(str::to_owned).collect()),
            spam_ruleset: RULESET,
            log_epoch: place.epoch,
            log_partition: place.partition,
            log_offset: place.offset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(fields: &[(&str, &str)]) -> FormPost {
        let fields = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), PersonalText::new(*value)))
            .collect();
        FormPost { form: "contact".into(), dialect: String::new(), fields }
    }

    fn keys() -> Keys {
        Keys::open(tempfile::tempdir().unwrap().path()).unwrap()
    }

    #[test]
    fn a_field_that_comes_twice_keeps_both_values() {
        let lead = read(
            &post(&[
                ("e-mail", ""),
                ("E-Mail", "a@b.example"),
                ("email", "c@d.example"),
                ("Last Name", "Roe"),
            ]),
            &keys(),
        );
        assert_eq!(lead.email.expose(), "a@b.example");
        assert_eq!(lead.last_name.expose(), "Roe");
        let extra: Vec<_> =
            lead.extra.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(extra, [("e-mail", ""), ("email", "c@d.example")]);
    }

    #[test]
    fn the_same_address_has_the_same_key_however_it_is_spelt() {
        let keys = keys();
        let one = read(&post(&[("email", " Jane@Example.com ")]), &keys);
        let two = read(&post(&[("emailAddress", "jane@example.COM")]), &keys);
        assert_eq!(one.email_key, two.email_key);
        assert_ne!(one.email_key, Key16([0; 16]));
        assert_eq!(read(&post(&[("email", "none")]), &keys).email_key, Key16([0; 16]));
    }
}
