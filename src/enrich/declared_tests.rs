//! People's agents that name robots, robots that look like people's, and the list itself.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

#[test]
fn every_pattern_of_the_list_is_a_name_or_an_expression_that_compiles() {
    let crawlers: Vec<Crawler<'_>> = serde_json::from_str(CRAWLERS_JSON).unwrap();
    let declarations = Declarations::new();
    let rules = declarations.name_rules.len() + declarations.expression_rules.len();
    assert_eq!(rules, crawlers.len() + NAMES.len());
    assert!(declarations.expression_rules.len() < 40, "the automaton takes the rest");
}

#[test]
fn a_pattern_that_is_only_text_is_told_from_an_expression() {
    assert_eq!(name_in(r"^BW\/"), Some((true, "BW/".into(), false)));
    assert_eq!(name_in("SSL Labs$"), Some((false, "SSL Labs".into(), true)));
    assert_eq!(name_in(r"Rigor\)"), Some((false, "Rigor)".into(), false)));
    assert_eq!(name_in("[wW]get"), None);
    assert_eq!(name_in(r"Traffic\/\d"), None);
    assert_eq!(name_in("^$"), None);
}

#[test]
fn telephones_and_applications_with_a_robots_name_are_none() {
    let declarations = Declarations::new();
    for agent in [
        "Mozilla/5.0 (Linux; Android 9; CUBOT_X19) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/110.0.0.0 Mobile Safari/537.36",
        "Mozilla/5.0 (Linux; Android 9; Robot_Phone) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/110.0.0.0 Mobile Safari/537.36",
        "Mozilla/5.0 (Linux; Android 5.0.2; HTC Butterfly 2 Build/LRX22G) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/80.0 Mobile Safari/537.36",
        "Mozilla/5.0 (Linux; U; Android 4.1; ViewSonic-V350 Build/JRO03C) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Mobile Safari/534.30",
        "Mozilla/5.0 (Linux; Android 15; CPH2557 Build/AP3A.240617.008; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/142.0 Mobile Safari/537.36 Instagram 406.0.0.58.159 Android (35/15; 480dpi; OPPO; CUBOT; en_US)",
        "Mozilla/5.0 (Linux; Android 10; Pixel 3; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/91.0 Mobile Safari/537.36 Instagram 206.1.0.34.121 Android (29/10; 440dpi; 1080x2028; Google/google; Pixel 3; blueline; en_US)",
        "Mozilla/5.0 (Linux; Android 16; Pixel 10; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/146.0 Mobile Safari/537.36 MetaIAB Facebook",
        "Mozilla/5.0 (Linux; Android 11; M2007) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/90.0 Mobile Safari/537.36 SogouMobileBrowser/6.0",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Notion/2.0.41 Chrome/114.0 Electron/25.8 Safari/537.36",
        "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 5.1; Trident/4.0)",
        "Mozilla/5.0 (compatible;  MSIE 10.0; Windows NT 6.2; Trident/6.0)",
    ] {
        assert_eq!(declarations.read(agent), Declared::Nothing, "{agent}");
    }
}

#[test]
fn robots_are_named_by_what_they_do() {
    let declarations = Declarations::new();
    let imessage = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0";
    for (agent, robot) in [
        (
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            Robot::Preview,
        ),
        (imessage, Robot::DevicePreview),
        ("curl/8.5.0", Robot::Library),
        ("python-requests/2.32.3", Robot::Library),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36",
            Robot::Automation,
        ),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Robot::Search),
        (
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
            Robot::Assistant,
        ),
        ("SomethingNew/1.0 (+https://example.org/about-our-fetcher)", Robot::Unlisted),
        ("WhatsApp/2.23.20.0 A", Robot::Preview),
    ] {
        assert_eq!(declarations.read(agent), Declared::Robot(robot), "{agent}");
    }
}

#[test]
fn what_is_no_agent_and_no_robot_either_is_told_apart() {
    let declarations = Declarations::new();
    for (agent, declared) in [
        ("", Declared::Missing),
        ("  ", Declared::Missing),
        ("-", Declared::Missing),
        ("null", Declared::Missing),
        ("Mozilla/5.0", Declared::Bare),
        ("Mozilla/5.0 ", Declared::Bare),
        ("Mozilla", Declared::Short),
        ("Amazon CloudFront", Declared::Replaced),
        (
            "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
            Declared::MailProxy,
        ),
        (
            "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
            Declared::MailProxy,
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0",
            Declared::LinkScanner,
        ),
        ("Chrome Privacy Preserving Prefetch Proxy", Declared::Prefetcher),
    ] {
        assert_eq!(declarations.read(agent), declared, "{agent:?}");
    }
}

proptest! {
    #[test]
    fn any_string_is_read_in_bounded_time(agent in any::<String>(), tail in "[ -~]{0,900}") {
        let declarations = SHARED.get_or_init(Declarations::new);
        let started = Instant::now();
        declarations.read(&agent);
        declarations.read(&tail);
        prop_assert!(started.elapsed() < Duration::from_secs(1));
    }
}

static SHARED: std::sync::OnceLock<Declarations> = std::sync::OnceLock::new();
