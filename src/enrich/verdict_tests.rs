//! Single rules, labelled agents, and the promise that RULESET tells which rules judged.

use std::sync::OnceLock;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::enrich::agent::{Agents, PATTERNS_JSON};
use crate::enrich::declared::CRAWLERS_JSON;

fn agents() -> &'static Agents {
    static SHARED: OnceLock<Agents> = OnceLock::new();
    SHARED.get_or_init(Agents::new)
}

fn verdict(kind: Kind, declared: Declared) -> (TrafficClass, Vec<&'static str>) {
    let judged = judge(&Evidence { method: "", declared, purpose: "", kind });
    (judged.class, judged.reasons)
}

#[test]
fn a_browser_is_a_person() {
    for kind in [Kind::Click, Kind::Open, Kind::Impression, Kind::Form, Kind::Conversion] {
        let evidence = Evidence { method: "GET", declared: Declared::Nothing, purpose: "", kind };
        let expected = Verdict {
            class: TrafficClass::Human,
            ivt: Ivt::None,
            reasons: vec![],
            score: 0,
            ruleset: RULESET,
        };
        assert_eq!(judge(&evidence), expected);
    }
}

#[test]
fn a_head_request_is_a_bots_whatever_the_agent_says() {
    for (method, reason) in
        [("HEAD", "method_head"), ("OPTIONS", "method_options"), ("head", "method_head")]
    {
        let declared = Declared::Nothing;
        let judged = judge(&Evidence { method, declared, purpose: "", kind: Kind::Click });
        assert_eq!(
            (judged.class, judged.ivt, judged.reasons),
            (TrafficClass::Bot, Ivt::Givt, vec![reason])
        );
    }
}

#[test]
fn a_prefetch_is_told_by_its_header() {
    for (purpose, class) in [
        ("prefetch", TrafficClass::Prefetch),
        ("prefetch;prerender", TrafficClass::Prefetch),
        ("Prerender", TrafficClass::Prefetch),
        ("prefetch; anonymous-client-ip", TrafficClass::Prefetch),
        ("preview", TrafficClass::Prefetch),
        ("", TrafficClass::Human),
        ("no-prefetching", TrafficClass::Human),
    ] {
        let declared = Declared::Nothing;
        let judged = judge(&Evidence { method: "", declared, purpose, kind: Kind::Click });
        assert_eq!(judged.class, class, "{purpose}");
    }
}

#[test]
fn the_bare_agent_is_apples_proxy_on_an_open_and_suspect_on_a_click() {
    assert_eq!(
        verdict(Kind::Open, Declared::Bare),
        (TrafficClass::ProxyOpen, vec!["mail_privacy_proxy"])
    );
    assert_eq!(verdict(Kind::Click, Declared::Bare), (TrafficClass::Suspect, vec!["agent_bare"]));
}

#[test]
fn a_mail_proxys_open_is_never_a_bots() {
    let (class, reasons) = verdict(Kind::Open, Declared::MailProxy);
    assert_eq!((class, reasons), (TrafficClass::ProxyOpen, vec!["mail_image_proxy"]));
    assert_eq!(verdict(Kind::Click, Declared::MailProxy).0, TrafficClass::Bot);
}

#[test]
fn a_form_sent_by_a_program_is_suspect_and_one_sent_by_a_crawler_a_bots() {
    assert_eq!(verdict(Kind::Form, Declared::Robot(Robot::Library)).0, TrafficClass::Suspect);
    assert_eq!(verdict(Kind::Form, Declared::Missing).0, TrafficClass::Suspect);
    assert_eq!(verdict(Kind::Click, Declared::Robot(Robot::Library)).0, TrafficClass::Bot);
    assert_eq!(
        verdict(Kind::Form, Declared::Robot(Robot::Tools)),
        (TrafficClass::Bot, vec!["declared_bot", "bot_tools"])
    );
}

#[test]
fn what_a_server_reports_is_not_judged_by_its_agent() {
    for declared in [Declared::Missing, Declared::Robot(Robot::Library), Declared::Short] {
        assert_eq!(verdict(Kind::Server, declared), (TrafficClass::Human, vec![]));
    }
}

#[test]
fn of_several_rules_the_clearest_gives_the_class_and_all_give_reasons() {
    let judged = judge(&Evidence {
        method: "HEAD",
        declared: Declared::Bare,
        purpose: "prefetch",
        kind: Kind::Open,
    });
    assert_eq!(judged.class, TrafficClass::Bot);
    assert_eq!(judged.reasons, ["method_head", "purpose_prefetch", "mail_privacy_proxy"]);
    assert_eq!(judged.score, 100);
}

/// Every labelled agent that can be judged by itself: people are never flagged, machines always.
#[test]
fn labelled_agents_are_judged_as_labelled() {
    let mut judged_rows = 0;
    for line in include_str!("../../tests/fixtures/agents/labelled.jsonl").lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        if row["judgeable_from_ua"] == Value::Bool(false) {
            continue;
        }
        let purpose = row["headers"].as_object().and_then(|headers| headers.values().next());
        let kind = match row["context"].as_str() {
            Some("open_pixel") => Kind::Open,
            _ if row["label"] == "email_proxy" => Kind::Open,
            _ => Kind::Click,
        };
        let judged = judge(&Evidence {
            method: "",
            declared: agents().parse(row["ua"].as_str().unwrap()).declared,
            purpose: purpose.and_then(Value::as_str).unwrap_or(""),
            kind,
        });
        let accept: Vec<&str> =
            row["accept"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let right = match judged.class {
            TrafficClass::Human => accept.contains(&"human"),
            TrafficClass::Bot => accept.contains(&"bot") || accept.contains(&"http_library"),
            TrafficClass::Scanner => accept.contains(&"link_scanner"),
            TrafficClass::Prefetch => accept.contains(&"prefetch"),
            TrafficClass::ProxyOpen => accept.contains(&"email_proxy"),
            // A weaker word for a machine, never for a person.
            TrafficClass::Suspect => !accept.contains(&"human") || row["ua"] == "Amazon CloudFront",
            TrafficClass::Test | TrafficClass::Internal => false,
        };
        assert!(right, "{:?} {:?} for {line}", judged.class, judged.reasons);
        judged_rows += 1;
    }
    assert!(judged_rows > 100, "{judged_rows} rows in the fixture");
}

/// When this fails the lists have changed: raise RULESET, and write the new hash here.
#[test]
fn the_lists_do_not_change_without_a_new_ruleset() {
    let hash = blake3::hash(format!("{CRAWLERS_JSON}{PATTERNS_JSON}").as_bytes()).to_hex();
    assert_eq!((RULESET, &hash[..16]), (1, "5cf677070c74dec6"));
}

proptest! {
    #[test]
    fn a_verdict_is_the_same_whenever_it_is_asked(
        method in any::<String>(),
        purpose in any::<String>(),
        agent in any::<String>(),
    ) {
        let declared = agents().parse(&agent).declared;
        let evidence = Evidence { method: &method, declared, purpose: &purpose, kind: Kind::Click };
        let judged = judge(&evidence);
        prop_assert_eq!(&judged, &judge(&evidence));
        prop_assert_eq!(judged.reasons.is_empty(), judged.class == TrafficClass::Human);
        prop_assert_eq!(judged.score == 0, judged.class == TrafficClass::Human);
    }
}
