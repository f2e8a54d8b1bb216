//! Real requests, against what a right reading gives (tests/fixtures/postbacks, from public templates, with invented ids).

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::Value;

use super::file::Authentication;
use super::*;
use crate::check::Refusal;
use crate::event::{Duplicates, EventType};
use crate::ids::{EventId, now_millis};
use crate::keys::Keys;
use crate::money::Amount;
use crate::registry::Registry;
use crate::tokens::{ClickClaim, sign_click};

pub(super) const SECRET: &str = "test-secret";

pub(super) const NOW_MS: i64 = 1_790_000_000_000;

const SITES: &str = "[[site]]\nname = \"shop\"\nvisitor = \"cookie\"\n\
    [[offer]]\nnumber = 1\nname = \"spring\"\nsite = \"shop\"\ndestination = \"http://a.example/\"\ncurrency = \"EUR\"\namount_max = \"500\"\nwindow_days = 7\n\
    [[offer]]\nnumber = 2\nname = \"summer\"\nsite = \"shop\"\ndestination = \"http://a.example/\"\n";

pub(super) static PROFILES: LazyLock<Profiles> = LazyLock::new(|| Profiles::load("").unwrap());

pub(super) static KEYS: LazyLock<Keys> = LazyLock::new(new_keys);

/// Every profile that reads without a secret, installed without one.
static OPEN: LazyLock<Vec<(Installed, Registry)>> = LazyLock::new(|| {
    let all = PROFILES.all();
    let readable =
        all.filter(|profile| !matches!(profile.authentication, Authentication::Clickbank));
    readable.map(|profile| installed(&profile.name, "", "")).collect()
});

fn new_keys() -> Keys {
    let folder = tempfile::tempdir().unwrap();
    Keys::open(folder.path()).unwrap()
}

fn id() -> EventId {
    EventId::from_parts(NOW_MS as u64, 1, 2)
}

/// A profile, installed with a secret (or none) and further lines.
pub(super) fn installed(profile: &str, secret: &str, lines: &str) -> (Installed, Registry) {
    let text = format!("{SITES}[[postback]]\nname = \"{profile}\"\nsite = \"shop\"\n{lines}\n");
    let registry = Registry::parse(&text, "test").unwrap();
    let profiles = &*PROFILES;
    let installed = Installed {
        entry: registry.postbacks().next().unwrap().clone(),
        profile: profiles.get(profile).unwrap().clone(),
        secrets: secret.lines().map(sign::Secret::new).collect(),
        terms: crate::check::fraud::Terms { window_days: 30, soon_ms: 15_000 },
    };
    (installed, registry)
}

/// What a target and a body become.
pub(super) fn judged(
    (installed, registry): &(Installed, Registry),
    keys: &Keys,
    target: &str,
    kind: &str,
    body: &str,
    headers: &[(&str, &str)],
) -> Result<Judged, Refused> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let header = |name: &str| {
        headers.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
    };
    let request = Request {
        rest: path,
        query,
        content_type: kind,
        body: body.as_bytes(),
        signed: body.as_bytes(),
        header: &header,
        client: "203.0.113.9".parse().unwrap(),
        now_ms: NOW_MS,
        fields_max: 100,
    };
    judge(installed, registry, keys, id(), &request, &mut |_| {})
}

/// A query to a profile that has proven itself by a secret in the path.
pub(super) fn said(profile: &str, query: &str) -> Judged {
    let installed = installed(profile, SECRET, "");
    judged(&installed, &KEYS, &format!("{SECRET}?{query}"), "", "", &[]).unwrap()
}

/// Which profile a case is of, by the beginning of its id.
fn profile_of(case: &str) -> &str {
    let network = case.rsplit_once('-').map_or(case, |(network, _)| network);
    match network {
        "binom1" | "binom2" => "binom",
        "digistore" => "digistore24",
        "pap" => "post_affiliate_pro",
        other => other,
    }
}

/// The path after the door: what follows the network's own path, the secret in front where nothing else proves.
fn rest_of(profile: &Profile, path: &str) -> String {
    let own = profile.paths.iter().filter_map(|own| path.strip_prefix(own.as_str()));
    let mut rest = own.min_by_key(|rest| rest.len()).unwrap_or("").trim_matches('/').to_owned();
    if profile.name == "zeeto" {
        rest = path.trim_start_matches("/postback/").to_owned();
    }
    match profile.authentication {
        Authentication::Secret { .. } => format!("{SECRET}/{rest}"),
        _ => rest,
    }
}

fn holds(expected: &Value, found: Option<&str>) -> bool {
    match expected {
        Value::Null => found.is_none_or(str::is_empty),
        Value::Array(any) => any.iter().any(|one| holds(one, found)),
        other => other.as_str() == found,
    }
}

#[test]
fn real_requests_are_read_as_their_networks_mean_them() {
    let mut wrong = Vec::new();
    let text = include_str!("../../../tests/fixtures/postbacks/cases.jsonl");
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let name = case["id"].as_str().unwrap();
        let (example, expect) = (&case["example"], &case["expect"]);
        let secret = expect["signature_ok_with"].as_str().unwrap_or(SECRET);
        let installed = installed(profile_of(name), secret, "");
        let (path, query) = {
            let target = example["target"].as_str().unwrap();
            target.split_once('?').unwrap_or((target, ""))
        };
        let target = format!("{}?{query}", rest_of(&installed.0.profile, path));
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let (kind, body) = (text(&example["content_type"]), text(&example["body"]));
        let found = judged(&installed, &KEYS, &target, &kind, &body, &[]);
        if expect["refused"] == true {
            if !found.as_ref().is_err_and(|refused| refused.refusal == Refusal::MacroUnexpanded) {
                wrong.push(format!("{name}: {found:?}"));
            }
            continue;
        }
        let found = match found {
            Ok(found) => found,
            Err(refused) => {
                wrong.push(format!("{name}: refused: {refused}"));
                continue;
            }
        };
        let status = if found.partner.test { "test" } else { &found.worth.status };
        let amount = found.worth.amount.map(|amount| amount.to_string());
        let flags = found.flags.words();
        for (key, expected) in expect.as_object().unwrap() {
            let fits = match key.as_str() {
                "click_id" => holds(expected, Some(&found.partner.external_click)),
                "txid" => holds(expected, Some(&found.partner.transaction)),
                "status" => holds(expected, Some(status)),
                "original_status" => holds(expected, Some(&found.partner.original_status)),
                "event" => holds(expected, Some(&found.worth.goal)),
                "currency" => {
                    holds(expected, found.worth.currency.as_ref().map(|code| code.as_str()))
                }
                "amount" => {
                    let any =
                        expected.as_array().cloned().unwrap_or_else(|| vec![expected.clone()]);
                    any.iter().any(|one| {
                        let one = one.as_str().map(|text| Amount::parse(text).unwrap().to_string());
                        one == amount
                    })
                }
                "flags" => expected
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|flag| flags.iter().any(|own| own == flag.as_str().unwrap())),
                "signature_ok_with" => found.proven,
                other => panic!("{name}: an expectation that nobody looks at: {other}"),
            };
            if !fits {
                wrong.push(format!("{name}: {key} should be {expected}: {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_profile_is_a_file_and_every_file_a_profile() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/dialects/postbacks");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    files.sort();
    let profiles = Profiles::load("").unwrap();
    let names: Vec<&str> = profiles.all().map(|profile| profile.name.as_str()).collect();
    assert_eq!(names, files);
    assert!(names.len() >= 40, "{}", names.len());
}

#[test]
fn a_wrong_profile_names_file_line_and_the_nearest_word() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("postbacks")).unwrap();
    let path = folder.path().join("postbacks/own.toml");
    std::fs::write(&path, "network = \"Own\"\nsource = \"x\"\n[parameters]\nclikc_id = [\"c\"]\n")
        .unwrap();
    let error = Profiles::load(folder.path().to_str().unwrap()).unwrap_err().to_string();
    assert!(error.contains("own.toml, line 4") && error.contains("click_id"), "{error}");
    std::fs::write(&path, "network = \"Own\"\nsource = \"x\"\n[parameters]\nclick_id = [\"c\"]\n")
        .unwrap();
    let profiles = Profiles::load(folder.path().to_str().unwrap()).unwrap();
    assert_eq!(profiles.get("own").unwrap().network, "Own");
    assert_eq!(profiles.get("keitar").unwrap_err(), "keitaro");
}

#[test]
fn what_proves_nothing_is_never_more_than_pending() {
    let keys = &*KEYS;
    let open = installed("keitaro", "", "");
    let found = judged(&open, keys, "?subid=a&tid=1&status=sale&payout=5", "", "", &[]).unwrap();
    assert_eq!((found.worth.status.as_str(), found.proven), ("pending", false));
    assert_eq!(found.partner.original_status, "sale");
    assert!(found.flags.words().contains(&"unauthenticated".to_owned()));
    // Taking back needs a proof as well, and doesn't make a conversion.
    let found = judged(&open, keys, "?subid=a&tid=1&status=rejected", "", "", &[]).unwrap();
    assert_eq!(found.worth.status, "pending");
    assert_eq!(found.event_type, EventType::ConversionStatus);
    let listed = installed("keitaro", "", "addresses = [\"203.0.113.0/24\"]");
    let found = judged(&listed, keys, "?subid=a&tid=1&status=sale", "", "", &[]).unwrap();
    assert_eq!(found.worth.status, "approved");
    let elsewhere = installed("keitaro", "", "addresses = [\"198.51.100.7/32\"]");
    let refused = judged(&elsewhere, keys, "?subid=a&tid=1", "", "", &[]).unwrap_err();
    assert_eq!(refused.refusal, Refusal::AddressNotListed);
}

#[test]
fn a_secret_is_asked_for_and_any_of_several_opens() {
    let keys = &*KEYS;
    let two = installed("keitaro", "first-secret\nsecond-secret", "");
    for target in ["second-secret?subid=a&tid=1", "?subid=a&tid=1&token=first-secret"] {
        assert!(judged(&two, keys, target, "", "", &[]).unwrap().proven, "{target}");
    }
    for target in ["?subid=a&tid=1", "wrong?subid=a&tid=1", "?subid=a&tid=1&token=x"] {
        let refused = judged(&two, keys, target, "", "", &[]).unwrap_err();
        assert_eq!(refused.refusal, Refusal::SecretWrong, "{target}");
    }
}

#[test]
fn a_reversal_keeps_its_id_and_is_negative() {
    let sale = said("shareasale", "sscid=c&tracking=A-1&amount=20.00");
    assert_eq!(sale.event_type, EventType::Purchase);
    let back = said("clickflare", "click_id=c&txid=7&payout=-3.50");
    assert_eq!(back.event_type, EventType::ConversionStatus);
    let first = said("timewall", "userid=q&txid=t1&revenue=0.05&type=credit");
    let back = said("timewall", "userid=q&txid=t1&revenue=0.05&type=chargeback");
    assert_eq!(first.partner.key, back.partner.key);
    assert_eq!(back.worth.amount.unwrap().to_string(), "-0.05");
    assert_eq!(
        (back.worth.status.as_str(), back.event_type),
        ("reversed", EventType::ConversionStatus)
    );
}

#[test]
fn lists_of_lines_are_read_and_summed_exactly() {
    let found = said("rakuten", "tr=c&ord=1&cur=USD&skulist=a%7Cb&qlist=2%7C1&amtlist=1000%7C550");
    assert_eq!(found.worth.amount.unwrap().to_string(), "15.50");
    assert_eq!(found.partner.items[1].sku, "b");
    let found =
        said("shareasale", "sscid=c&tracking=1&skulist=a,b&pricelist=3.10,4&quantitylist=2,1");
    assert_eq!(found.worth.amount.unwrap().to_string(), "10.20");
    let found = said(
        "awin",
        "cks=c&ref=1&cr=GBP&parts=SHOES:10.00%7CHATS:5.01&vc=SAVE&customeracquisition=NEW",
    );
    assert_eq!(found.worth.amount.unwrap().to_string(), "15.01");
    assert_eq!(found.partner.coupon, "SAVE");
    assert_eq!(found.partner.customer, crate::event::NewCustomer::New);
    let found =
        said("shareasale", "sscid=c&tracking=1&skulist=a,b&pricelist=3.10&quantitylist=2,1");
    assert_eq!(found.worth.amount, None);
    assert!(found.flags.words().contains(&"items_unreadable".to_owned()));
}

#[test]
fn an_order_may_come_in_the_path() {
    let installed = installed("admitad", SECRET, "");
    let target = format!("{SECRET}/uid/u-1/order_id/7%2F8/price/12.30/currency_code/RUB");
    let found = judged(&installed, &KEYS, &target, "", "", &[]).unwrap();
    assert_eq!(
        (found.partner.external_click.as_str(), found.worth.order_id.as_str()),
        ("u-1", "7/8")
    );
    assert_eq!(found.worth.amount.unwrap().to_string(), "12.30");
}

#[test]
fn pasted_lists_and_zero_are_what_they_are() {
    let found = said("keitaro", "subid=a&tid=1&status=reg,dep,lead&payout=5,&currency=rub,usd,eur");
    assert_eq!((found.worth.amount, found.worth.currency), (None, None));
    assert_eq!(found.worth.status, "pending");
    let odd: Vec<&str> = found.partner.odd.iter().map(|(name, _)| name.as_str()).collect();
    assert!(["status", "payout", "currency"].iter().all(|name| odd.contains(name)), "{odd:?}");
    let zero = said("keitaro", "subid=a&tid=1&status=sale&payout=0");
    assert_eq!(
        (zero.worth.amount, zero.event_type),
        (Some(Amount::default()), EventType::Conversion)
    );
    let fine = said("keitaro", "subid=a&tid=1&payout=0.00012345");
    assert_eq!((fine.worth.amount, fine.partner.amount_text.as_str()), (None, "0.00012345"));
}

#[test]
fn nothing_personal_goes_on() {
    let query = "click_id=jane%40example.com&txid=%2B49%20170%201234567&sub1=jane@example.com&email=j@example.com&payout=1&coupon=j@example.com&goal=j@example.com";
    let found = said("generic", query);
    let text = format!("{found:?}");
    assert!(!text.contains("example.com") && !text.contains("1234567"), "{text}");
    assert!(found.flags.words().contains(&"personal_data_in_parameters".to_owned()));
    let again = said("generic", &query.replace("1234567", "7654321"));
    assert_ne!(found.partner.transaction, again.partner.transaction, "two ids stay two");
}

#[test]
fn a_click_of_ours_is_known_and_what_is_odd_about_it_is_flagged() {
    let keys = &*KEYS;
    let installed = installed("keitaro", SECRET, "offer = \"spring\"");
    let claim = |age_ms: i64, offer| ClickClaim {
        id: EventId::from_parts((NOW_MS - age_ms) as u64, 5, 6),
        link: 0,
        offer,
        affiliate: 1,
    };
    let flags = |click: &str, more: &str| {
        let target = format!("{SECRET}?tid=1&subid={click}{more}");
        let found = judged(&installed, keys, &target, "", "", &[]).unwrap();
        (found.parent.is_some(), found.flags.words(), found.partner.external_click)
    };
    let sign = |claim: &ClickClaim| sign_click(keys, claim);
    let good = sign(&claim(3_600_000, 1));
    assert_eq!(flags(&good, ""), (true, vec![], String::new()));
    let words = |word: &str| vec![word.to_owned()];
    assert_eq!(flags(&good, "&payout=500.01&currency=EUR").1, words("amount_over_ceiling"));
    assert_eq!(flags(&good, "&payout=500&currency=EUR").1, words("x")[1..].to_vec());
    assert_eq!(flags(&sign(&claim(8 * 86_400_000, 1)), "").1, words("click_expired"));
    assert_eq!(flags(&sign(&claim(9_000, 1)), "").1, words("conversion_too_soon"));
    assert_eq!(flags(&sign(&claim(3_600_000, 2)), "").1, words("click_of_other_offer"));
    let other = new_keys();
    let forged = sign_click(&other, &claim(3_600_000, 1));
    assert_eq!(flags(&forged, ""), (false, words("click_id_forged"), forged.clone()));
    assert_eq!(flags("abc", ""), (false, words("click_id_not_ours"), "abc".to_owned()));
}

#[test]
fn their_offers_are_mapped_and_the_mode_can_be_set() {
    let lines =
        "offer = \"spring\"\noffers = { \"77\" = \"summer\" }\nduplicates = \"add\"\ntest = true";
    let installed = installed("affise", SECRET, lines);
    let found = |query: &str| {
        judged(&installed, &KEYS, &format!("{SECRET}?clickid=a&action_id=1&{query}"), "", "", &[])
            .unwrap()
    };
    assert_eq!(found("offerid=77").offer, "summer");
    assert_eq!(found("").offer, "spring");
    let unknown = found("offerid=78");
    assert_eq!(unknown.offer, "spring");
    assert!(unknown.flags.words().contains(&"offer_unknown".to_owned()));
    assert_eq!((unknown.partner.duplicates, unknown.partner.test), (Duplicates::Add, true));
    assert_eq!(found("status=2").worth.status, "pending");
    assert_eq!(found("status=1").worth.status, "approved");
}

#[test]
fn times_are_read_with_or_without_a_zone() {
    let at = |text: &str| said("generic", &format!("click_id=a&time={text}")).claimed_ms;
    assert_eq!(at("1790000000"), Some(1_790_000_000_000));
    assert_eq!(at("1790000000123"), Some(1_790_000_000_123));
    assert_eq!(at("2026-09-21T16:53:20%2B02:00"), at("2026-09-21T14:53:20Z"));
    assert_eq!(at("2026-09-21%2014:53:20"), at("2026-09-21T14:53:20Z"));
    assert_eq!(at("yesterday"), None);
    assert!(now_millis() > 0);
}

#[test]
fn a_request_is_explained_and_nothing_is_recorded() {
    let text =
        format!("{SITES}[[postback]]\nname = \"keitaro\"\nsite = \"shop\"\noffer = \"spring\"\n");
    let registry = Registry::parse(&text, "test").unwrap();
    let config = crate::config::Config::load(None, std::iter::empty()).unwrap();
    let known = explain::Known {
        registry: &registry,
        postbacks: &Postbacks::open(&config, &registry).unwrap(),
        profiles: &Profiles::load("").unwrap(),
        keys: &KEYS,
        fields_max: 100,
        now_ms: NOW_MS,
    };
    let told = |request: &str, profile| {
        explain::explain(&known, &explain::Sent::parse(request).unwrap(), profile).unwrap()
    };
    let text = told(
        "GET /postback/keitaro?subid=q&status=sale&payout={payout}&tid=1 HTTP/1.1\r\nhost: t\r\n\r\n",
        None,
    );
    for line in [
        "odd             payout: macro_unexpanded",
        "status read     approved (the profile's map has their word)",
        "status          pending",
        "same as         keitaro / spring /  / 1",
        "proven          no: never more than pending",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    let text = told("https://track.example/postback?cid=REPLACE&payout=OPTIONAL", Some("bemob"));
    assert!(
        text.contains("refused         macro_unexpanded") && text.contains("because of      cid"),
        "{text}"
    );
}

proptest! {
    #![proptest_config(crate::cases::cases(400))]
    #[test]
    fn no_request_makes_a_profile_panic_or_claim_more_than_it_proves(
        values in prop::collection::vec((0usize..500, "[a-z0-9.,{}|:@+-]{0,14}|.{0,8}"), 0..12),
        path in "[a-z/:()\\[\\]0-9]{0,20}", body in ".{0,40}", place in 0usize..500,
    ) {
        let open = &OPEN[place % OPEN.len()];
        let names = ["click_id", "subid", "payout", "amount", "status", "tid", "currency", "item1", "amt1", "qty1", "time", "sub1"];
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(values.iter().map(|(name, value)| (names[name % names.len()], value)))
            .finish();
        if let Ok(found) = judged(open, &KEYS, &format!("{path}?{query}"), "", &body, &[]) {
            prop_assert!(!found.proven);
            prop_assert_eq!(found.worth.status, "pending");
        }
    }
}
