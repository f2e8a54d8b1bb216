use super::*;
use crate::access::record::Role;
use crate::check::dialects::Dialects;
use crate::tokens::{ClickClaim, sign_click};
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};

struct World {
    registry: Registry,
    doors: Doors,
    keys: Keys,
    key: Key,
}

const NOW_MS: i64 = 1_790_000_000_000;

/// One for all cases of a property.
static WORLD: LazyLock<World> = LazyLock::new(world);

fn world() -> World {
    let registry = Registry::load("").unwrap();
    let doors = Doors::new(&registry, Arc::new(Dialects::load("").unwrap())).unwrap();
    let keys = Keys::open(tempfile::tempdir().unwrap().path()).unwrap();
    let key = Key {
        id: "0123456789".into(),
        name: "shop".into(),
        role: Role::Shop,
        sites: Vec::new(),
        hash: String::new(),
        per_minute: None,
        made_ms: 0,
        revoked_ms: None,
    };
    World { registry, doors, keys, key }
}

impl World {
    fn read(&self, text: &str) -> Result<Event, Unfit> {
        let wish = Wish {
            registry: &self.registry,
            doors: &self.doors,
            keys: &self.keys,
            key: &self.key,
            caps: 100.into(),
            received_ms: NOW_MS,
        };
        read(text.as_bytes(), &wish, EventId::from_parts(NOW_MS as u64, 1, 2))
    }

    fn refused(&self, text: &str) -> (&'static str, String) {
        let unfit = self.read(text).expect_err(text);
        (unfit.refusal.code(), unfit.field)
    }
}

#[test]
fn a_purchase_is_read_to_the_last_digit_and_believed() {
    let world = world();
    let claim = ClickClaim { id: EventId::from_parts(5, 6, 7), link: 0, offer: 1, affiliate: 1 };
    let click = sign_click(&world.keys, &claim);
    let text = format!(
        r#"{{"type":"purchase","order_id":1001,"amount":79.9000,"currency":"eur","click_id":"{click}","coupon":"SPRING","customer":"new",
            "tax":"12.7568","items":[{{"sku":"shoe","quantity":2,"amount":"79.90"}}],"time":"2026-09-21T12:00:00+02:00"}}"#
    );
    let event = world.read(&text).unwrap();
    assert_eq!((event.event_type, event.source), (EventType::Purchase, SourceKind::S2s));
    assert_eq!((event.parent_click, event.promotion.offer.as_str()), (Some(claim), "spring"));
    assert_eq!(event.event_time, 1_789_984_800_000);
    let worth = event.worth.unwrap();
    assert_eq!(worth.amount, Some(Amount::from_scaled(799_000)));
    assert_eq!((worth.status.as_str(), worth.order_id.as_str()), ("approved", "1001"));
    let partner = event.partner.unwrap();
    assert_eq!(partner.key, "api\u{1f}\u{1f}\u{1f}1001");
    assert_eq!((partner.transaction.as_str(), partner.customer), ("1001", NewCustomer::New));
    assert_eq!(partner.tax, Some(Amount::from_scaled(127_568)));
    assert_eq!(partner.items[0].quantity, Amount::from_scaled(20_000));
    assert!(event.flags.is_empty());
}

#[test]
fn a_refund_of_a_part_takes_its_amount_and_one_without_ends_the_order() {
    let world = world();
    let part = r#"{"type":"refund","order_id":"1001","amount":"20","currency":"EUR"}"#;
    let event = world.read(part).unwrap();
    assert_eq!(event.event_type, EventType::ConversionStatus);
    let (worth, partner) = (event.worth.unwrap(), event.partner.unwrap());
    assert_eq!(
        (worth.amount, worth.status.as_str()),
        (Some(Amount::from_scaled(-200_000)), "pending")
    );
    assert_eq!(
        (partner.duplicates, partner.key.as_str()),
        (Duplicates::Add, "api\u{1f}\u{1f}\u{1f}1001")
    );
    let whole = world.read(r#"{"type":"refund","order_id":"1001"}"#).unwrap().worth.unwrap();
    assert_eq!((whole.amount, whole.status.as_str()), (None, "reversed"));
}

#[test]
fn a_lead_means_what_the_form_would_make_of_it() {
    let world = world();
    let text = r#"{"type":"lead","form":"contact","page":"https://shop.example/a?utm_source=news","fields":
        {"email":"jane@example.com","g-recaptcha-response":"token","lt":"no click of ours"}}"#;
    let event = world.read(text).unwrap();
    assert_eq!(event.event_type, EventType::Lead);
    assert_eq!(event.origin.utm_source, "news");
    assert_eq!(event.flags, ["click_id_not_ours"]);
    let form = event.form.unwrap();
    assert_eq!((form.form.as_str(), form.fields.len()), ("contact", 1));
    assert_eq!(form.fields[0].1.expose(), "jane@example.com");
    assert_ne!(event.submission_key, SubmissionKey::default());
}

#[test]
fn what_is_wrong_is_refused_with_its_code_and_the_member_it_is_about() {
    let world = world();
    let sale = |rest: &str| {
        format!(r#"{{"type":"purchase","order_id":"1","amount":"1","currency":"EUR"{rest}}}"#)
    };
    let cases = [
        ("[]".to_owned(), "broken_body", ""),
        ("{".to_owned(), "broken_body", ""),
        ("{}".to_owned(), "missing_field", "type"),
        (r#"{"type":"sale"}"#.to_owned(), "bad_value", "type"),
        (
            r#"{"type":"purchase","amount":"1","currency":"EUR"}"#.to_owned(),
            "missing_field",
            "order_id",
        ),
        (
            r#"{"type":"purchase","order_id":"1","currency":"EUR"}"#.to_owned(),
            "missing_field",
            "amount",
        ),
        (
            r#"{"type":"purchase","order_id":"1","amount":"1"}"#.to_owned(),
            "missing_field",
            "currency",
        ),
        (r#"{"type":"conversion"}"#.to_owned(), "missing_field", "goal"),
        (r#"{"type":"status","order_id":"1"}"#.to_owned(), "missing_field", "status"),
        (r#"{"type":"lead","form":"contact"}"#.to_owned(), "missing_field", "fields"),
        (r#"{"type":"lead","form":"nothing","fields":{"a":"b"}}"#.to_owned(), "bad_value", "form"),
        (r#"{"type":"lead","form":"contact","fields":{"a":""}}"#.to_owned(), "empty", "fields"),
        (r#"{"type":"lead","form":"contact","fields":[1]}"#.to_owned(), "bad_value", "fields"),
        (sale(r#","ammount":"2""#), "unknown_field", "ammount"),
        (sale(r#","amount":"2""#), "bad_value", "amount"),
        (sale(r#","site":"other""#), "key_site", "site"),
        (sale(r#","offer":"other""#), "bad_value", "offer"),
        (sale(r#","status":"paid""#), "bad_value", "status"),
        (sale(r#","time":"yesterday""#), "bad_value", "time"),
        (sale(r#","goal":"x""#), "unknown_field", "goal"),
        (sale(r#","test":"yes""#), "bad_value", "test"),
        (
            sale(r#","items":[{"sku":"a","amount":1},{"sku":"b"}]"#),
            "missing_field",
            "items[1].amount",
        ),
        (sale(r#","items":[{"amount":1,"size":2}]"#), "unknown_field", "items[0].size"),
    ];
    for (text, code, field) in cases {
        assert_eq!(world.refused(&text), (code, field.to_owned()), "{text}");
    }
    for amount in ["1e3", "-1", "0.00001", "\"1,5\"", "[1]", "NaN"] {
        let text =
            format!(r#"{{"type":"purchase","order_id":"1","amount":{amount},"currency":"EUR"}}"#);
        let unfit = world.read(&text).expect_err(amount);
        assert!(["amount", ""].contains(&unfit.field.as_str()), "{amount}: {unfit:?}");
    }
}

#[test]
fn a_key_of_one_site_sends_no_event_of_another() {
    let mut world = world();
    world.key.sites = vec!["elsewhere".into()];
    let text = r#"{"type":"status","order_id":"1","status":"paid","site":"demo"}"#;
    assert_eq!(world.refused(text), ("key_site", "site".to_owned()));
    world.key.sites = vec!["demo".into()];
    assert_eq!(world.read(text).unwrap().site, "demo");
    assert_eq!(world.read(&text.replace(r#","site":"demo""#, "")).unwrap().site, "demo");
}

#[test]
fn somebodys_address_is_no_id_that_is_kept() {
    let event = world()
        .read(r#"{"type":"conversion","goal":"jane@example.com","order_id":"jane@example.com","click_id":"+49 170 1234567"}"#)
        .unwrap();
    let record = String::from_utf8(event.to_record()).unwrap();
    assert!(!record.contains("jane") && !record.contains("+49"), "{record}");
    assert!(event.flags.contains(&"personal_data_in_parameters".to_owned()), "{:?}", event.flags);
}

proptest! {
    #![proptest_config(crate::cases::cases(512))]
    #[test]
    fn money_is_read_back_as_it_was_written(scaled in 0i64..=999_999_999_999_999) {
        let amount = Amount::from_scaled(scaled);
        for text in [format!("{amount}"), format!("\"{amount}\"")] {
            let event = WORLD.read(&format!(r#"{{"type":"purchase","order_id":"1","amount":{text},"currency":"EUR"}}"#)).unwrap();
            prop_assert_eq!(event.worth.unwrap().amount, Some(amount));
        }
    }

    #[test]
    fn no_json_makes_the_reader_panic(name in "type|amount|items|fields|time|[a-z_]{0,9}", value in r#"[0-9.eE+-]{0,9}|"[^"\\]{0,9}"|\[.{0,9}\]|\{.{0,9}\}|null"#, kind in "purchase|refund|lead|status|conversion") {
        let _ = WORLD.read(&format!(r#"{{"type":"{kind}","order_id":"1","{name}":{value}}}"#));
    }
}
