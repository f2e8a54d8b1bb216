//! Habits of senders that the samples don't show: shops, currencies beside numbers, slips in names.

use super::tests::{KEYS, NOW_MS, PROFILES, SECRET, installed, judged, said};
use super::*;
use crate::check::Refusal;
use crate::event::EventType;
use crate::ids::EventId;
use crate::tokens::{ClickClaim, sign_click};

#[test]
fn no_profile_calls_a_refusal_what_it_calls_success() {
    for profile in PROFILES.all() {
        let (name, reply) = (&profile.name, &profile.reply);
        for refusal in Refusal::ALL {
            let words = reply
                .refused
                .replace("{code}", refusal.code())
                .replace("{message}", refusal.sentence());
            assert_ne!(words, reply.accepted, "{name}");
            // Some networks take one sign alone; the header `Leadtrail-Refusal` tells why.
            assert!(
                reply.accepted.is_empty() || !words.starts_with(&reply.accepted),
                "{name}: {words}"
            );
        }
    }
}

#[test]
fn a_shops_order_is_read_with_its_signature_lines_and_click() {
    let claim = ClickClaim {
        id: EventId::from_parts((NOW_MS - 3_600_000) as u64, 1, 1),
        link: 0,
        offer: 1,
        affiliate: 1,
    };
    let click = sign_click(&KEYS, &claim);
    let members: String = (0..200).map(|number| format!("\"field_{number}\":\"x\",")).collect();
    let body = format!(
        "{{\"id\":820982911946154508,{members}\"total_price\":\"199.00\",\"currency\":\"USD\",\"financial_status\":\"paid\",\
         \"note_attributes\":[{{\"name\":\"gift\",\"value\":\"yes\"}},{{\"name\":\"lt\",\"value\":\"{click}\"}}],\
         \"line_items\":[{{\"sku\":\"s1\",\"quantity\":2,\"price\":\"99.50\"}}]}}"
    );
    let signed = {
        use base64::Engine as _;
        let digest = sign::digest(file::Algorithm::HmacSha256, SECRET.as_bytes(), body.as_bytes());
        base64::engine::general_purpose::STANDARD.encode(digest)
    };
    let shop = installed("shopify", SECRET, "");
    let headers = [("x-shopify-hmac-sha256", signed.as_str())];
    let found = judged(&shop, &KEYS, "", "application/json", &body, &headers).unwrap();
    assert!(found.proven && found.parent.map(|parent| parent.id) == Some(claim.id));
    assert_eq!((found.event_type, found.worth.status.as_str()), (EventType::Purchase, "approved"));
    assert_eq!(
        (found.worth.order_id.as_str(), found.worth.amount.unwrap().to_string().as_str()),
        ("820982911946154508", "199.00")
    );
    assert_eq!(
        (found.partner.items.len(), found.partner.items[0].amount.to_string().as_str()),
        (1, "199.00")
    );
    let forged = [("x-shopify-hmac-sha256", "bm90IHRoZSBzaWduYXR1cmU=")];
    let refused = judged(&shop, &KEYS, "", "application/json", &body, &forged).unwrap_err();
    assert_eq!(
        (refused.refusal, refused.about.as_str()),
        (Refusal::SignatureWrong, "x-shopify-hmac-sha256")
    );
}

#[test]
fn money_with_a_currency_beside_it_is_read_and_two_currencies_are_not() {
    let worth = |query: &str| {
        let found = said("keitaro", query);
        let currency = found.worth.currency.map(|code| code.as_str().to_owned());
        (found.worth.amount.map(|amount| amount.to_string()), currency.unwrap_or_default())
    };
    let read = |amount: &str, currency: &str| (Some(amount.to_owned()), currency.to_owned());
    assert_eq!(worth("subid=a&tid=1&payout=%E2%82%AC5.50"), read("5.50", "EUR"));
    assert_eq!(worth("subid=a&tid=1&payout=5,50+EUR"), read("5.50", "EUR"));
    assert_eq!(worth("subid=a&tid=1&payout=$5.50&currency=usd"), read("5.50", "USD"));
    assert_eq!(worth("subid=a&tid=1&payout=5.50+EUR&currency=usd").0, None);
    let slip = said("keitaro", "subid=a&tid=1&payuot=5.50&status=sale");
    assert!(slip.flags.words().contains(&"parameter_misspelt".to_owned()));
    assert_eq!(slip.partner.odd, [("payuot".to_owned(), "parameter_misspelt".to_owned())]);
    assert!(
        !said("keitaro", "subid=a&tid=1&payout=5&sub_id_x=1")
            .flags
            .words()
            .contains(&"parameter_misspelt".to_owned())
    );
}

#[test]
fn money_under_a_name_that_the_profile_does_not_know_is_told_and_not_read() {
    let flags = |query: &str| {
        let found = said("keitaro", query);
        (found.worth.amount.is_some(), found.partner.odd)
    };
    let told = |name: &str| (false, vec![(name.to_owned(), "amount_unmapped".to_owned())]);
    assert_eq!(flags("subid=a&tid=1&status=sale&Sale_Amount=3"), told("sale_amount"));
    assert_eq!(flags("subid=a&tid=1&status=sale&order.total=3.50"), told("total"));
    // What stands before the word may be anything, and is not kept.
    assert_eq!(flags("subid=a&tid=1&status=sale&jane%40roe.example.payout=3"), told("payout"));
    for quiet in ["commission=none", "items=3", "payout=2&total=3", "payout=0&total=3"] {
        let (_, odd) = flags(&format!("subid=a&tid=1&status=sale&{quiet}"));
        assert_eq!(odd, [], "{quiet}");
    }
}

#[test]
fn names_inside_wrappers_are_read_and_those_of_lines_are_not() {
    let generic = installed("generic", "", "addresses = [\"203.0.113.0/24\"]");
    let read = |body: &str| judged(&generic, &KEYS, "", "application/json", body, &[]).unwrap();
    let found = read(
        r#"{"event":{"name":"sale"},"data":{"click":{"id":"c-1"},"order":{"id":"A-1","total":"49.90","currency":"EUR",
            "line_items":[{"price":"1.00"},{"price":"2.00"}]},"status":"approved"}}"#,
    );
    assert_eq!(found.partner.external_click, "c-1");
    assert_eq!((found.worth.order_id.as_str(), found.worth.goal.as_str()), ("A-1", "sale"));
    assert_eq!(found.worth.amount.unwrap().to_string(), "49.90");
    assert_eq!(found.worth.status, "approved");
    // What stands further out says it first.
    let found = read(r#"{"data":{"amount":"1","txid":"7"},"amount":"2"}"#);
    assert_eq!(found.worth.amount.unwrap().to_string(), "2.00");
    assert!(!found.flags.words().contains(&"repeated_parameter".to_owned()));
}

#[test]
fn a_checkout_and_its_refund_are_messages_about_one_payment() {
    let stripe = installed("stripe", "whsec_own", "offer = \"spring\"");
    let sent = |body: &str| {
        let at = (NOW_MS / 1_000).to_string();
        let mac = sign::digest(
            file::Algorithm::HmacSha256,
            b"whsec_own",
            format!("{at}.{body}").as_bytes(),
        );
        let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        let header = format!("t={at},v1={hex}");
        judged(&stripe, &KEYS, "", "application/json", body, &[("stripe-signature", &header)])
    };
    let paid = sent(
        r#"{"id":"evt_1","type":"checkout.session.completed","livemode":true,"created":1790000000,"data":{"object":{"id":"cs_1",
            "amount_total":4990,"currency":"jpy","payment_intent":"pi_1","client_reference_id":"click-7"}}}"#,
    )
    .unwrap();
    assert_eq!((paid.event_type, paid.worth.status.as_str()), (EventType::Purchase, "approved"));
    assert_eq!(paid.worth.amount.unwrap().to_string(), "4990.00", "yen have no cents");
    assert_eq!(paid.partner.external_click, "click-7");
    let back = sent(
        r#"{"id":"evt_2","type":"charge.refunded","livemode":true,"data":{"object":{"id":"ch_1","amount":4990,
            "amount_refunded":4990,"currency":"jpy","payment_intent":"pi_1"}}}"#,
    )
    .unwrap();
    assert_eq!(back.partner.key, paid.partner.key);
    assert_eq!(back.worth.amount.unwrap().to_string(), "-4990.00");
    let other = r#"{"id":"evt_3","type":"charge.succeeded","livemode":true,"data":{"object":{"id":"ch_1","payment_intent":"pi_1"}}}"#;
    assert_eq!(sent(other).unwrap().worth.status, "ignored");
    let tried = r#"{"id":"evt_4","type":"checkout.session.completed","livemode":false,"data":{"object":{"id":"cs_2"}}}"#;
    assert!(sent(tried).unwrap().partner.test);
    let unsigned = judged(&stripe, &KEYS, "", "application/json", "{}", &[]).unwrap_err();
    assert_eq!(
        (unsigned.refusal, unsigned.about.as_str()),
        (Refusal::SignatureWrong, "stripe-signature")
    );
}

#[test]
fn bodies_are_read_as_what_they_are_whatever_they_are_called() {
    let generic = installed("generic", "", "addresses = [\"203.0.113.0/24\"]");
    let json = r#"{"click_id":"c-1","txid":"T1","amount":"12.50","currency":"EUR"}"#;
    let form = "click_id=c-1&txid=T1&amount=12.50&currency=EUR";
    let marked = |body: &str| format!("\u{feff}{body}");
    for (kind, body) in [
        ("application/x-www-form-urlencoded", json.to_owned()),
        ("application/x-www-form-urlencoded", format!(" {json}\r\n")),
        ("", marked(json)),
        ("application/json", marked(json)),
        ("text/plain", json.to_owned()),
        ("", marked(form)),
        ("application/x-www-form-urlencoded", marked(form)),
    ] {
        let found = judged(&generic, &KEYS, "", kind, &body, &[]).unwrap();
        assert_eq!(found.partner.external_click, "c-1", "{kind}: {body}");
        assert_eq!(found.worth.amount.unwrap().to_string(), "12.50", "{kind}: {body}");
    }
    // A form's value that only looks a little like it.
    let found =
        judged(&generic, &KEYS, "", "application/x-www-form-urlencoded", "{a}=1&txid=T1", &[]);
    assert_eq!(found.unwrap().partner.transaction, "T1");
}

#[test]
fn an_address_out_of_a_page_a_sign_of_a_currency_and_gaps_between_thousands_are_read() {
    let found =
        said("keitaro", "subid=a&amp;tid=T1&amp;payout=1%C2%A0234,50&amp;currency=%E2%82%AC");
    let worth = &found.worth;
    assert_eq!(found.partner.transaction, "T1");
    assert_eq!(worth.amount.unwrap().to_string(), "1234.50");
    assert_eq!(worth.currency.map(|code| code.as_str().to_owned()).as_deref(), Some("EUR"));
    // A dollar is many countries': it says none.
    let found = said("keitaro", "subid=a&tid=T1&payout=5&currency=$");
    assert_eq!(found.partner.odd, [("currency".to_owned(), "currency_unreadable".to_owned())]);
}
