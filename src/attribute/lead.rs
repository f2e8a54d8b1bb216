//! A submission: what a form's fields mean.
//!
//! In: an event with a form's fields, exactly as they came. Out: a [`Lead`] with the fields that have a place, and the rest in order. Refuses:
//! nothing: a partial lead is a lead. Promises: no value is dropped; an empty or placeholder value never takes a place; of two filled fields
//! of one name the last wins (a hidden default, then the choice), of two names for one field the first; the other stays in the rest.

use crate::attribute::meaning::{Meaning, Means, phone};
use crate::attribute::{Basis, Place};
use crate::check::lead_field::LeadField;
use crate::enrich::Enriched;
use crate::enrich::spam::{Judge, Judgement, RULESET, Said};
use crate::event::{Event, EventType, FormPost};
use crate::keys::Keys;
use crate::personal::{Email, PersonalText, Phone};
use crate::store::native::{Key16, Millis, Pairs, Texts};
use crate::store::rows::{LeadRow, ServiceContactRow};

/// Fields with a column of their own in `leads`; the others go to `traits` by their canonical name.
const COLUMNS: [LeadField; 18] = [
    LeadField::Email,
    LeadField::Phone,
    LeadField::Mobile,
    LeadField::FirstName,
    LeadField::LastName,
    LeadField::FullName,
    LeadField::Company,
    LeadField::JobTitle,
    LeadField::Website,
    LeadField::Street,
    LeadField::City,
    LeadField::State,
    LeadField::Postcode,
    LeadField::Country,
    LeadField::Subject,
    LeadField::Message,
    LeadField::Product,
    LeadField::LeadSource,
];

/// Those of `service_contacts`.
const CONTACT_COLUMNS: [LeadField; 13] = [
    LeadField::Email,
    LeadField::Phone,
    LeadField::FirstName,
    LeadField::LastName,
    LeadField::FullName,
    LeadField::Company,
    LeadField::Subject,
    LeadField::Message,
    LeadField::Product,
    LeadField::OrderId,
    LeadField::CaseType,
    LeadField::CaseReason,
    LeadField::CasePriority,
];

/// A form's fields, sorted.
#[derive(Debug)]
pub struct Lead {
    /// By the place of the field in [`LeadField::ALL`].
    values: Vec<PersonalText>,
    /// What somebody wants and doesn't: a channel, and `yes`, `no`, or `declared` where the page says it for everybody.
    consents: Vec<(String, String)>,
    extra: Vec<(String, PersonalText)>,
    email_normalised: Email,
    phone_e164: Phone,
    mobile_e164: Phone,
    country_code: &'static str,
    /// The keyed hash of the normalised address; zero without one.
    pub email_key: Key16,
    /// The keyed hash of the normalised number; zero without one.
    pub phone_key: Key16,
}

/// The submission that an event is; `None` for one that is none. A form view names its form too.
pub fn of(enriched: &Enriched, basis: Basis<'_>) -> Option<Lead> {
    let event = &enriched.event;
    let is_one = matches!(
        event.event_type,
        EventType::Lead | EventType::Complaint | EventType::ServiceContact | EventType::Unsubscribe
    );
    let form = event.form.as_ref().filter(|_| is_one)?;
    let mut lead = read(form, basis.meaning);
    let home = basis.meaning.country_of(&form.form, &event.site);
    lead.normalise(basis.meaning, &[home, &enriched.place.country], basis.keys);
    Some(lead)
}

/// Whether a post would be held as spam, before it is an event. What only a running edge's memory knows is not in it.
pub fn preview(form: &FormPost, flags: &[String], meaning: &Meaning, judge: &Judge) -> Judgement {
    read(form, meaning).judged(&form.fields, flags, judge)
}

fn read(form: &FormPost, meaning: &Meaning) -> Lead {
    let mut lead = Lead {
        values: vec![PersonalText::default(); LeadField::ALL.len()],
        consents: Vec::new(),
        extra: Vec::new(),
        email_normalised: Email::default(),
        phone_e164: Phone::default(),
        mobile_e164: Phone::default(),
        country_code: "",
        email_key: Key16::default(),
        phone_key: Key16::default(),
    };
    let mut chosen: Vec<Option<usize>> = vec![None; LeadField::ALL.len()];
    let of_post = meaning.of(form);
    for (index, (name, value)) in form.fields.iter().enumerate() {
        let field = match of_post.field(name, value.expose()) {
            Means::Field(field) => field,
            Means::Consent { channel, wanted } => {
                let answer = Answer::of(value.expose(), of_post.is_constant(name), meaning);
                lead.consent(channel, wanted, answer);
                continue;
            }
            Means::Nothing => continue,
        };
        if meaning.vocabulary.is_nothing(value.expose()) {
            continue;
        }
        let slot = &mut chosen[field as usize];
        let better = slot.is_none_or(|earlier: usize| {
            let (earlier_name, earlier_value) = &form.fields[earlier];
            let is_address =
                |value: &PersonalText| !Email::new(value.expose()).normalised().is_empty();
            earlier_name == name
                || field == LeadField::Email && !is_address(earlier_value) && is_address(value)
        });
        if better {
            *slot = Some(index);
        }
    }
    let mut placed = vec![false; form.fields.len()];
    for (field, index) in chosen.into_iter().enumerate() {
        let Some(index) = index else { continue };
        placed[index] = true;
        lead.values[field] = form.fields[index].1.clone();
    }
    let rest = form.fields.iter().zip(placed).filter(|(_, placed)| !placed);
    lead.extra = rest.map(|(field, _)| field.clone()).collect();
    lead
}

/// What a box says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Ticked,
    NotTicked,
    /// The page says it for everybody: nobody's act.
    Constant,
}

impl Answer {
    /// A box that is there is ticked, also with an empty value; `0` and «no» are answers, too.
    fn of(value: &str, is_constant: bool, meaning: &Meaning) -> Self {
        if is_constant {
            Self::Constant
        } else if meaning.vocabulary.is_no(value) {
            Self::NotTicked
        } else {
            Self::Ticked
        }
    }
}

impl Lead {
    fn value(&self, field: LeadField) -> &str {
        self.values[field as usize].expose()
    }

    fn text(&self, field: LeadField) -> String {
        self.value(field).to_owned()
    }

    /// The last word about a channel counts. A box against something that isn't ticked says nothing.
    fn consent(&mut self, channel: &str, wanted: bool, answer: Answer) {
        let word = match (answer, wanted) {
            (Answer::Constant, _) => "declared",
            (Answer::Ticked, true) => "yes",
            (Answer::Ticked, false) | (Answer::NotTicked, true) => "no",
            (Answer::NotTicked, false) => return,
        };
        match self.consents.iter_mut().find(|(known, _)| known == channel) {
            Some((_, known)) => word.clone_into(known),
            None => self.consents.push((channel.to_owned(), word.to_owned())),
        }
    }

    /// Makes the copies in one spelling, and the keys from them. `homes`: where numbers without a country may be of, besides the
    /// country that was typed.
    fn normalise(&mut self, meaning: &Meaning, homes: &[&str], keys: &Keys) {
        self.country_code = meaning.countries.code(self.value(LeadField::Country));
        let homes: Vec<&str> = std::iter::once(self.country_code)
            .chain(homes.iter().copied())
            .filter(|code| !code.is_empty())
            .collect();
        self.email_normalised = Email::new(Email::new(self.value(LeadField::Email)).normalised());
        self.phone_e164 = Phone::new(phone::e164(self.value(LeadField::Phone), &homes));
        self.mobile_e164 = Phone::new(phone::e164(self.value(LeadField::Mobile), &homes));
        let digits = || Phone::new(self.value(LeadField::Phone)).normalised();
        let number = [&self.phone_e164, &self.mobile_e164].into_iter().find(|one| !one.is_empty());
        let number = number.map_or_else(digits, |number| number.expose().to_owned());
        self.email_key = Key16(keys.pseudonym("email", self.email_normalised.expose()));
        self.phone_key = Key16(keys.pseudonym("phone", &number));
    }

    /// Whether it is spam.
    pub fn judge(&self, event: &Event, judge: &Judge) -> Judgement {
        let fields = event.form.as_ref().map_or(&[][..], |form| &form.fields);
        self.judged(fields, &event.flags, judge)
    }

    fn judged(
        &self,
        fields: &[(String, PersonalText)],
        flags: &[String],
        judge: &Judge,
    ) -> Judgement {
        let names = [LeadField::FirstName, LeadField::LastName, LeadField::FullName];
        let said = Said {
            names: names.map(|field| self.value(field)),
            company: self.value(LeadField::Company),
            email: self.value(LeadField::Email),
            has_phone: self.phone_key != Key16::default(),
            message: self.value(LeadField::Message),
            extra: &self.extra,
        };
        judge.judge(fields, &said, flags)
    }

    /// The fields without a column, by their canonical names.
    fn traits(&self, columns: &[LeadField]) -> Pairs {
        let others = LeadField::ALL.iter().filter(|field| !columns.contains(field));
        let filled = others.filter(|field| !self.value(**field).is_empty());
        Pairs(filled.map(|field| (field.name().to_owned(), self.text(*field))).collect())
    }

    fn extra(&self) -> Pairs {
        let pair =
            |(name, value): &(String, PersonalText)| (name.clone(), value.expose().to_owned());
        Pairs(self.extra.iter().map(pair).collect())
    }

    /// The row of `leads`.
    pub fn into_row(self, enriched: &Enriched, judgement: Judgement, place: Place) -> LeadRow {
        use LeadField as F;
        let event = &enriched.event;
        let form = event.form.as_ref();
        LeadRow {
            site: event.site.clone(),
            event_time: Millis(event.event_time),
            id_seq: event.id.sequence(),
            id_node: event.id.node(),
            received_lag_ms: event.id.millis() - event.event_time,
            visitor: event.visitor.as_u128(),
            form: form.map_or_else(String::new, |form| form.form.clone()),
            dialect: form.map_or_else(String::new, |form| form.dialect.clone()),
            email: self.text(F::Email),
            email_normalised: self.email_normalised.expose().to_owned(),
            email_key: self.email_key,
            phone: self.text(F::Phone),
            phone_e164: self.phone_e164.expose().to_owned(),
            mobile: self.text(F::Mobile),
            mobile_e164: self.mobile_e164.expose().to_owned(),
            phone_key: self.phone_key,
            first_name: self.text(F::FirstName),
            last_name: self.text(F::LastName),
            full_name: self.text(F::FullName),
            company: self.text(F::Company),
            job_title: self.text(F::JobTitle),
            website: self.text(F::Website),
            street: self.text(F::Street),
            city: self.text(F::City),
            state: self.text(F::State),
            postcode: self.text(F::Postcode),
            country_typed: self.text(F::Country),
            country_code: self.country_code,
            subject: self.text(F::Subject),
            message: self.text(F::Message),
            product: self.text(F::Product),
            lead_source: self.text(F::LeadSource),
            traits: self.traits(&COLUMNS),
            extra: self.extra(),
            consents: Pairs(self.consents),
            country: enriched.place.country.clone(),
            traffic_class: enriched.verdict.class.as_str(),
            spam_score: judgement.score,
            spam_reasons: Texts(judgement.reasons.into_iter().map(str::to_owned).collect()),
            spam_ruleset: RULESET,
            submission_key: event.submission_key.0,
            log_epoch: place.epoch,
            log_partition: place.partition,
            log_offset: place.offset,
        }
    }

    /// The row of `service_contacts`.
    pub fn into_contact(
        self,
        enriched: &Enriched,
        judgement: Judgement,
        place: Place,
    ) -> ServiceContactRow {
        use LeadField as F;
        let event = &enriched.event;
        let form = event.form.as_ref();
        ServiceContactRow {
            site: event.site.clone(),
            event_time: Millis(event.event_time),
            id_seq: event.id.sequence(),
            id_node: event.id.node(),
            received_lag_ms: event.id.millis() - event.event_time,
            visitor: event.visitor.as_u128(),
            kind: event.event_type as i8,
            form: form.map_or_else(String::new, |form| form.form.clone()),
            dialect: form.map_or_else(String::new, |form| form.dialect.clone()),
            status: "open",
            case_type: self.text(F::CaseType),
            case_reason: self.text(F::CaseReason),
            case_priority: self.text(F::CasePriority),
            subject: self.text(F::Subject),
            message: self.text(F::Message),
            order_id: self.text(F::OrderId),
            product: self.text(F::Product),
            email: self.text(F::Email),
            email_normalised: self.email_normalised.expose().to_owned(),
            email_key: self.email_key,
            phone: self.text(F::Phone),
            phone_e164: self.phone_e164.expose().to_owned(),
            phone_key: self.phone_key,
            first_name: self.text(F::FirstName),
            last_name: self.text(F::LastName),
            full_name: self.text(F::FullName),
            company: self.text(F::Company),
            traits: self.traits(&CONTACT_COLUMNS),
            extra: self.extra(),
            consents: Pairs(self.consents),
            country: enriched.place.country.clone(),
            traffic_class: enriched.verdict.class.as_str(),
            spam_score: judgement.score,
            spam_reasons: Texts(judgement.reasons.into_iter().map(str::to_owned).collect()),
            spam_ruleset: RULESET,
            submission_key: event.submission_key.0,
            log_epoch: place.epoch,
            log_partition: place.partition,
            log_offset: place.offset,
        }
    }
}

#[cfg(test)]
#[path = "lead_tests.rs"]
mod tests;
