//! Against ua-parser's own expectations, and against what no parser expects.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::enrich::declared::Robot;

fn agents() -> &'static Agents {
    static SHARED: OnceLock<Agents> = OnceLock::new();
    SHARED.get_or_init(Agents::new)
}

const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Mobile/15E148 Safari/604.1";

#[test]
fn an_agent_has_browser_version_system_and_device() {
    for (agent, browser, major, os, device) in [
        (IPHONE, "Mobile Safari", 17, "iOS", DeviceType::Mobile),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
            "Chrome",
            126,
            "Windows",
            DeviceType::Desktop,
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:73.0) Gecko/20100101 Firefox/73.0",
            "Firefox",
            73,
            "Mac OS X",
            DeviceType::Desktop,
        ),
        (
            "Mozilla/5.0 (Linux; Android 13; SM-T800) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/110.0.0.0 Safari/537.36",
            "Chrome",
            110,
            "Android",
            DeviceType::Tablet,
        ),
        (
            "Mozilla/5.0 (Linux; Android 13; SM-G988U) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/110.0.0.0 Mobile Safari/537.36",
            "Chrome Mobile",
            110,
            "Android",
            DeviceType::Mobile,
        ),
        (
            "Mozilla/5.0 (iPad; CPU OS 12_5_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.0 Mobile/15E148 Safari/604.1",
            "Mobile Safari",
            12,
            "iOS",
            DeviceType::Tablet,
        ),
        (
            "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.41 (KHTML, like Gecko) Large Screen WebAppManager Safari/537.41",
            "Safari",
            0,
            "Web0S",
            DeviceType::Tv,
        ),
        (
            "Mozilla/5.0 (PLAYSTATION 3 4.31) AppleWebKit/531.22.8 (KHTML, like Gecko)",
            "NetFront NX",
            0,
            "",
            DeviceType::Other,
        ),
        ("", "", 0, "", DeviceType::Other),
    ] {
        let found = agents().parse(agent);
        let found =
            (found.browser.as_str(), found.browser_major, found.os.as_str(), found.device_type);
        assert_eq!(found, (browser, major, os, device), "{agent}");
    }
}

#[test]
fn a_declared_robot_is_a_bot_among_devices() {
    let found =
        agents().parse("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)");
    assert_eq!(found.device_type, DeviceType::Bot);
    assert_eq!(found.declared, Declared::Robot(Robot::Search));
}

/// The fixture is of a later date than the patterns, which don't know the browsers added since.
#[test]
fn families_agree_with_those_that_ua_parsers_own_tests_expect() {
    let (mut asked, mut right) = (0, 0);
    for line in include_str!("../../tests/fixtures/agents/browsers.jsonl").lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let found = agents().parse(row["ua"].as_str().unwrap());
        for (group, family) in [("browser", &found.browser), ("os", &found.os)] {
            if let Some(expected) = row["expect"][group]["family"].as_str() {
                asked += 1;
                let unknown = expected == "Other" && family.is_empty();
                right += usize::from(unknown || expected == family);
            }
        }
    }
    assert!(asked >= 60, "{asked} families in the fixture");
    assert!(right * 100 >= asked * 90, "{right} of {asked}");
}

#[test]
fn a_long_agent_is_cut_at_a_character() {
    let long = format!("{IPHONE} {}", "ü".repeat(AGENT_BYTES_MAX));
    assert_eq!(agents().parse(&long).browser, "Mobile Safari");
    let hidden = format!("{}curl/8.5.0 Googlebot/2.1", "x".repeat(AGENT_BYTES_MAX));
    assert_eq!(agents().parse(&hidden).declared, Declared::Nothing);
}

#[test]
fn a_family_holds_no_address_and_no_novel() {
    assert_eq!(family("Chrome"), "Chrome");
    assert_eq!(family("jane@example.com bot"), "");
    assert_eq!(family(&"x".repeat(FAMILY_BYTES_MAX + 1)), "");
    assert_eq!(family("a\nb"), "");
}

#[test]
fn a_remembered_agent_is_the_same_as_one_parsed_anew() {
    let first = agents().parse(IPHONE);
    assert_eq!(*agents().parse(IPHONE), *first);
    assert_eq!(agents().parse_anew(IPHONE), *first);
}

#[test]
fn memory_for_agents_is_bounded() {
    let few = Agents { remembered: Cache::new(64), ..Agents::new() };
    for number in 0..1_000 {
        few.parse(&format!("Something/{number} (X11; Linux)"));
    }
    assert!(few.remembered.len() <= 64, "{} remembered", few.remembered.len());
}

/// Pieces that agents are made of.
const PIECES: &str = "Mozilla/5.0 |\\(|\\)|; |Android |Mobile |Windows NT 10.0|Chrome/|[0-9.]{1,9}|Safari|bot|[ -~]{1,8}";

proptest! {
    #![proptest_config(crate::cases::cases(64))]

    #[test]
    fn any_agent_is_parsed_in_bounded_time(wild in ".{0,20}", parts in prop::collection::vec(PIECES, 0..12)) {
        let started = Instant::now();
        agents().parse(&wild);
        agents().parse(&parts.concat());
        prop_assert!(started.elapsed() < Duration::from_secs(5));
    }
}

proptest! {
    // Milliseconds each: always so many, whatever PROPTEST_CASES says.
    #![proptest_config(crate::cases::cases(64))]

    #[test]
    fn any_agent_of_full_length_is_parsed_in_bounded_time(
        wild in any::<String>(), parts in prop::collection::vec(PIECES, 0..300),
    ) {
        let started = Instant::now();
        agents().parse(&wild);
        agents().parse(&parts.concat());
        prop_assert!(started.elapsed() < Duration::from_secs(5));
    }
}
