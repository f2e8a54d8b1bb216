//! Events of every shape, against serde.

use super::*;
use crate::event::json_text::plain_length;
use crate::event::{Item, Shown};
use crate::ids::{DayHash, EventId, RecipientKey, SubmissionKey, VisitorId};
use crate::money::{Amount, Currency};
use crate::personal::{ClientIp, PersonalText};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const TYPES: [EventType; 12] = [
    EventType::Impression,
    EventType::EmailOpen,
    EventType::Click,
    EventType::FormView,
    EventType::Lead,
    EventType::LeadStage,
    EventType::Purchase,
    EventType::Complaint,
    EventType::ServiceContact,
    EventType::Unsubscribe,
    EventType::ConversionStatus,
    EventType::Conversion,
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z/ -]{1,30}", "(.|[\u{0}-\u{20}\"\\\\\u{7f}é😀]){0,20}"]
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    vec((text(), text()), 0..3)
}

fn id() -> impl Strategy<Value = EventId> {
    (0u64..(1 << 48), any::<u32>(), any::<u32>())
        .prop_map(|(ms, seq, node)| EventId::from_parts(ms, seq, node))
}

fn promotions() -> impl Strategy<Value = Promotion> {
    (vec(text(), 10), option::of(any::<i32>())).prop_map(|(words, price)| {
        let mut words = words.into_iter();
        let mut next = || words.next().unwrap();
        Promotion {
            link: next(),
            campaign: next(),
            ad: next(),
            creative: next(),
            placement: next(),
            mailing: next(),
            affiliate: next(),
            offer: next(),
            product: next(),
            price_variant: next(),
            price_shown: price.map(|price| Amount::from_scaled(price.into())),
        }
    })
}

fn origins() -> impl Strategy<Value = Origin> {
    (vec(text(), 10), pairs(), pairs(), pairs()).prop_map(|(words, click_ids, sub_ids, tags)| {
        let mut words = words.into_iter();
        let mut next = || words.next().unwrap();
        Origin {
            utm_source: next(),
            utm_medium: next(),
            utm_campaign: next(),
            utm_term: next(),
            utm_content: next(),
            macros: tags.iter().take(1).cloned().collect(),
            tags,
            click_ids,
            sub_ids,
            external_click: next(),
            referrer_host: next(),
            referrer_path: next(),
            landing_host: next(),
            landing_path: next(),
        }
    })
}

fn clients() -> impl Strategy<Value = Client> {
    (vec(text(), 7), option::of(any::<std::net::IpAddr>()), any::<bool>()).prop_map(
        |(words, address, gpc)| Client {
            network: address.map(|address| ClientIp::new(address).cut()),
            agent: words[0].clone(),
            language: words[1].clone(),
            purpose: words[2].clone(),
            fetch_dest: words[3].clone(),
            fetch_mode: words[5].clone(),
            fetch_site: words[6].clone(),
            fetch_user: !gpc,
            method: words[4].clone(),
            gpc,
        },
    )
}

fn worths() -> impl Strategy<Value = Worth> {
    (vec(text(), 3), option::of(any::<i32>()), option::of("[a-zA-Z]{3}")).prop_map(
        |(words, amount, currency)| Worth {
            goal: words[0].clone(),
            amount: amount.map(|amount| Amount::from_scaled(amount.into())),
            currency: currency.and_then(|letters| Currency::parse(&letters)),
            order_id: words[1].clone(),
            status: words[2].clone(),
        },
    )
}

fn partners() -> impl Strategy<Value = Partner> {
    let amount = || option::of(any::<i32>().prop_map(|scaled| Amount::from_scaled(scaled.into())));
    let item = (text(), any::<i32>(), any::<i32>()).prop_map(|(sku, quantity, amount)| Item {
        sku,
        quantity: Amount::from_scaled(quantity.into()),
        amount: Amount::from_scaled(amount.into()),
    });
    let words = (vec(text(), 7), 0usize..3, 0usize..4, any::<bool>());
    (words, (amount(), amount(), amount()), vec(item, 0..3), pairs()).prop_map(
        |((words, customer, duplicates, test), (tax, shipping, discount), items, odd)| {
            let mut words = words.into_iter();
            let mut next = || words.next().unwrap();
            Partner {
                postback: next(),
                transaction: next(),
                key: next(),
                external_click: next(),
                original_status: next(),
                coupon: next(),
                customer: [NewCustomer::Unknown, NewCustomer::New, NewCustomer::Returning]
                    [customer],
                duplicates: [
                    Duplicates::Ignore,
                    Duplicates::Update,
                    Duplicates::Add,
                    Duplicates::Replace,
                ][duplicates],
                test,
                tax,
                shipping,
                discount,
                amount_text: next(),
                items,
                odd,
            }
        },
    )
}

fn events() -> impl Strategy<Value = Event> {
    let head = (id(), 0usize..12, 0usize..5, text(), any::<i64>(), option::of(any::<i64>()));
    let visitor =
        (any::<u128>(), any::<u64>(), 0usize..3, option::of((id(), 0u32..3, 0u32..3, 0u32..3)));
    let form = option::of((text(), text(), pairs()));
    let rest = (
        form,
        (option::of(worths()), option::of(partners())),
        vec(text(), 0..3),
        option::of(Just("EUR")),
    );
    let shown = vec((promotions(), option::of(Just("PLN"))), 0..3);
    (head, visitor, promotions(), origins(), (clients(), shown), rest).prop_map(
        |(
            head,
            visitor,
            promotion,
            origin,
            (client, shown),
            (form, (worth, partner), flags, currency),
        )| {
            let mut event = crate::event::tests::sample(TYPES[head.1], head.0);
            event.source = [
                SourceKind::WebForm,
                SourceKind::Redirect,
                SourceKind::Pixel,
                SourceKind::Manual,
                SourceKind::S2s,
            ][head.2];
            event.site = head.3;
            event.event_time = head.4;
            event.claimed_time = head.5;
            event.recipient = RecipientKey(visitor.1 & 0xffff);
            event.visitor = match visitor.2 {
                0 => VisitorId::NONE,
                1 => VisitorId::from_day_hash(DayHash(visitor.1)),
                _ => VisitorId::from_cookie(&format!("{:032x}", visitor.0)).unwrap_or_default(),
            };
            event.visitor_basis =
                [VisitorBasis::None, VisitorBasis::Cookie, VisitorBasis::DailyHash][visitor.2];
            event.day_hash = DayHash(visitor.1 % 3);
            event.submission_key = SubmissionKey(visitor.1 % 5);
            event.parent_click = visitor.3.map(|(id, link, offer, affiliate)| ClickClaim {
                id,
                link,
                offer,
                affiliate,
            });
            event.promotion = promotion;
            event.price_currency = currency.and_then(Currency::parse);
            event.origin = origin;
            event.client = client;
            event.form = form.map(|(form, dialect, fields)| FormPost {
                form,
                dialect,
                fields: fields
                    .into_iter()
                    .map(|(name, value)| (name, PersonalText::new(value)))
                    .collect(),
            });
            event.worth = worth;
            event.partner = partner;
            event.others = shown
                .into_iter()
                .map(|(promotion, currency)| Shown {
                    promotion,
                    price_currency: currency.and_then(Currency::parse),
                    flags: currency.map(|word| vec![word.to_owned(); word.len() % 3]),
                })
                .collect();
            event.flags = flags;
            event
        },
    )
}

/// A decision on one event, which it may carry, as another says it.
fn decided(mut event: Event, of: Event, drop: bool, reasons: Vec<String>) -> Event {
    event.decision = Some(Decision {
        act: if drop { Act::Drop } else { Act::Release },
        id: of.id,
        event_time: of.event_time,
        form: of.site.clone(),
        score: 60,
        reasons,
        ruleset: 1,
        event: (!drop).then(|| Box::new(of)),
    });
    event
}

proptest! {
    #[test]
    fn a_decision_is_written_with_what_it_releases(
        event in events(), number: u32, drop: bool, reasons in vec(text(), 0..3),
    ) {
        // One event says all that two would: making a random one is what takes its time.
        let of = Event { id: EventId::from_parts(7, number, 9), ..event.clone() };
        let event = decided(event, of, drop, reasons);
        let record = write(&event);
        let serde = serde_json::to_vec(&event).unwrap();
        prop_assert_eq!(String::from_utf8_lossy(&record), String::from_utf8_lossy(&serde));
        prop_assert_eq!(Event::from_record(&record).unwrap(), event);
    }

    #[test]
    fn it_writes_what_serde_writes_and_reads(event in events()) {
        let record = write(&event);
        let serde = serde_json::to_vec(&event).unwrap();
        prop_assert_eq!(String::from_utf8_lossy(&record), String::from_utf8_lossy(&serde));
        prop_assert_eq!(Event::from_record(&record).unwrap(), event);
    }

    #[test]
    fn every_byte_that_needs_an_escape_is_found(bytes in vec(any::<u8>(), 0..40)) {
        let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
        let expected = bytes.iter().position(special).unwrap_or(bytes.len());
        prop_assert_eq!(plain_length(&bytes), expected);
    }
}
