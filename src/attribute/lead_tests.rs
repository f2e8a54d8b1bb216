//! What posts mean.

use std::sync::Arc;

use super::*;
use crate::check::dialects::Dialects;
use crate::config::Forms;
use crate::registry::Registry;

fn post(fields: &[(&str, &str)]) -> FormPost {
    let fields = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), PersonalText::new(*value)))
        .collect();
    FormPost { form: "contact".into(), dialect: String::new(), fields }
}

fn meaning() -> Meaning {
    let registry = Registry::parse(
        "[[site]]\nname='s'\nvisitor='none'\ncountry='PL'\n[[form]]\nname='contact'\nsite='s'\n",
        "test",
    );
    let settings = Forms { aliases_file: String::new(), mapping_file: String::new() };
    Meaning::open(&settings, Arc::new(Dialects::built_in()), Arc::new(registry.unwrap())).unwrap()
}

fn lead(fields: &[(&str, &str)]) -> Lead {
    let (meaning, keys) = (meaning(), Keys::open(tempfile::tempdir().unwrap().path()).unwrap());
    let mut lead = read(&post(fields), &meaning);
    lead.normalise(&meaning, &[meaning.country_of("contact", "s"), "DE"], &keys);
    lead
}

fn extra(lead: &Lead) -> Vec<(&str, &str)> {
    lead.extra.iter().map(|(name, value)| (name.as_str(), value.expose())).collect()
}

fn consents(lead: &Lead) -> Vec<(&str, &str)> {
    lead.consents.iter().map(|(channel, word)| (channel.as_str(), word.as_str())).collect()
}

#[test]
fn two_names_for_one_field_keep_both_values_and_the_first_wins() {
    let lead = lead(&[
        ("e-mail", ""),
        ("E-Mail", "a@b.example"),
        ("email", "c@d.example"),
        ("Last Name", "Roe"),
    ]);
    assert_eq!(lead.value(LeadField::Email), "a@b.example");
    assert_eq!(lead.value(LeadField::LastName), "Roe");
    assert_eq!(extra(&lead), [("e-mail", ""), ("email", "c@d.example")]);
}

#[test]
fn of_one_name_twice_the_last_that_is_filled_wins() {
    let lead = lead(&[
        ("leadsource", "Web"),
        ("leadsource", "Fair"),
        ("leadsource", ""),
        ("email", "none"),
        ("Your e-mail", "a@b.example"),
    ]);
    assert_eq!(lead.value(LeadField::LeadSource), "Fair");
    assert_eq!(lead.value(LeadField::Email), "a@b.example", "an address beats what is none");
    assert_eq!(extra(&lead), [("leadsource", "Web"), ("leadsource", ""), ("email", "none")]);
}

#[test]
fn what_stands_for_nothing_takes_no_place_and_is_kept() {
    let lead = lead(&[
        ("company", "-None-"),
        ("Company Name", "Null & Co"),
        ("country", "DefaultCountry"),
        ("last_name", "Null"),
    ]);
    assert_eq!(lead.value(LeadField::Company), "Null & Co");
    assert_eq!(lead.value(LeadField::LastName), "Null");
    assert_eq!(lead.country_code, "");
    assert_eq!(extra(&lead), [("company", "-None-"), ("country", "DefaultCountry")]);
}

#[test]
fn a_telephone_number_alone_is_a_lead_and_so_is_a_step_without_a_name() {
    let telephone = lead(&[("telefon", "600 100 200")]);
    assert_eq!(telephone.phone_e164.expose(), "+48600100200", "of the site's own country");
    assert_ne!(telephone.phone_key, Key16::default());
    let typed = lead(&[("phone", "07700 900123"), ("country", "Wielka Brytania")]);
    assert_eq!((typed.phone_e164.expose(), typed.country_code), ("+447700900123", "GB"));
    assert_eq!(typed.value(LeadField::Phone), "07700 900123", "the raw number stays");
    let step = lead(&[("hutk", "abc"), ("employment", "self")]);
    assert_eq!(extra(&step).len(), 2);
    assert_eq!((step.email_key, step.phone_key), Default::default());
}

#[test]
fn one_address_has_one_key_however_it_is_spelt() {
    let one = lead(&[("email", " Jane@Bücher.example ")]);
    let two = lead(&[("emailAddress", "jane@BÜCHER.example")]);
    assert_eq!(one.email_normalised.expose(), "jane@xn--bcher-kva.example");
    let keys = Keys::open(tempfile::tempdir().unwrap().path()).unwrap();
    let key = |lead: &Lead| keys.pseudonym("email", lead.email_normalised.expose());
    assert_eq!(key(&one), key(&two));
    assert_eq!(lead(&[("email", "none")]).email_key, Key16::default());
}

#[test]
fn boxes_say_what_is_wanted_and_constants_say_nothing() {
    let lead = lead(&[
        ("opt_in", ""),
        ("gdpr", "Agree"),
        ("emailOptOut", "1"),
        ("doNotCall", "0"),
        ("newsletter", "nein"),
    ]);
    assert_eq!(consents(&lead), [("marketing", "no"), ("privacy", "yes"), ("email", "no")]);
    assert_eq!(lead.extra.len(), 5, "the words themselves are the evidence");
}

#[test]
fn a_title_is_a_salutation_a_job_or_a_subject() {
    assert_eq!(lead(&[("title", "Dr."), ("name", "A")]).value(LeadField::Salutation), "Dr.");
    assert_eq!(
        lead(&[("title", "Head of Sales"), ("name", "A")]).value(LeadField::JobTitle),
        "Head of Sales"
    );
    assert_eq!(lead(&[("title", "Quote"), ("message", "x")]).value(LeadField::Subject), "Quote");
}

#[test]
fn names_in_any_script_stay_whole() {
    for name in [
        "নুসরাত জাহান",
        "محمد اقبال",
        "Grzegorz Brzęczyszczykiewicz",
        "José Ángel Núñez de la Peña",
        "山田 太郎",
    ] {
        assert_eq!(lead(&[("name", name)]).value(LeadField::FullName), name);
    }
}

#[test]
fn fields_without_a_column_are_traits_by_their_canonical_name() {
    let lead = lead(&[
        ("dob", "1990-01-02"),
        ("Employees", "10-50"),
        ("nip", "5260001246"),
        ("00N5", "?"),
    ]);
    let traits = lead.traits(&COLUMNS).0;
    let names: Vec<&str> = traits.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["company_size", "birth_date", "tax_number"]);
    assert_eq!(extra(&lead), [("00N5", "?")]);
}
