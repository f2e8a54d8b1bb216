//! What an agent string is: browser, system, kind of device, and what it declares.
//!
//! In: the `User-Agent` header. Out: an [`Agent`]. Refuses: nothing; what ua-parser's patterns don't know stays empty.
//! Promises: at most [`AGENT_BYTES_MAX`] bytes are looked at, the answer depends on the string alone, and names are bounded
//! and never hold an address of mail. Costs 13 MB and 0.1 s at start, so it belongs into the consumer, not into the edge.

use std::sync::Arc;

use quick_cache::sync::Cache;
use serde::Deserialize;
use ua_parser::{os, user_agent};

use super::declared::{Declarations, Declared};

/// ua-parser's patterns, see `config/agents/README.md`.
pub(crate) const PATTERNS_JSON: &str = include_str!("../../config/agents/uap-core.json");

/// Longer agents are cut: the edge cuts at the same length, and real ones stay below 600 bytes.
pub const AGENT_BYTES_MAX: usize = 1_024;

/// Agents remembered: at most 8 MB of strings. A thousand cover nine in ten requests of a site.
const CACHE_AGENTS_MAX: usize = 8_192;

/// The longest family that ua-parser's own tests expect has 38 bytes. Patterns take some families from the string, so
/// this bounds what a stranger can write into a column.
const FAMILY_BYTES_MAX: usize = 48;

/// The kind of thing that sent the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeviceType {
    /// A computer, an iPad in its desktop mode included.
    Desktop,
    /// A telephone or music player.
    Mobile,
    /// A tablet or reader.
    Tablet,
    /// A television or a box beside it.
    Tv,
    /// A declared robot.
    Bot,
    /// Game consoles, cars, and what is not known.
    #[default]
    Other,
}

impl DeviceType {
    /// The name in tables and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Desktop => "desktop",
            Self::Mobile => "mobile",
            Self::Tablet => "tablet",
            Self::Tv => "tv",
            Self::Bot => "bot",
            Self::Other => "other",
        }
    }
}

/// What is known of an agent. Families are ua-parser's: `Chrome Mobile`, `Mobile Safari`, `Mac OS X`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agent {
    /// The browser's family, or empty.
    pub browser: String,
    /// The first number of its version, 0 where there is none.
    pub browser_major: u16,
    /// The system's family, or empty.
    pub os: String,
    /// The kind of device.
    pub device_type: DeviceType,
    /// What the agent says of itself; the verdict starts from it.
    pub declared: Declared,
}

/// The patterns, compiled, and the agents seen lately.
pub struct Agents {
    browsers: user_agent::Extractor<'static>,
    systems: os::Extractor<'static>,
    declarations: Declarations,
    remembered: Cache<Box<str>, Arc<Agent>>,
}

#[derive(Deserialize)]
struct Patterns {
    user_agent_parsers: Vec<user_agent::Parser<'static>>,
    os_parsers: Vec<os::Parser<'static>>,
}

impl Default for Agents {
    fn default() -> Self {
        Self::new()
    }
}

impl Agents {
    /// Compiles the patterns: about 0.1 s.
    pub fn new() -> Self {
        let patterns: Patterns =
            serde_json::from_str(PATTERNS_JSON).expect("a test reads the patterns");
        let browsers = user_agent::Builder::new()
            .push_all(patterns.user_agent_parsers)
            .expect("a test compiles the patterns");
        let systems =
            os::Builder::new().push_all(patterns.os_parsers).expect("a test compiles the patterns");
        Self {
            browsers: browsers.build().expect("a test compiles the patterns"),
            systems: systems.build().expect("a test compiles the patterns"),
            declarations: Declarations::new(),
            remembered: Cache::new(CACHE_AGENTS_MAX),
        }
    }

    /// What the agent is.
    pub fn parse(&self, agent: &str) -> Arc<Agent> {
        let agent = &agent[..agent.floor_char_boundary(AGENT_BYTES_MAX)];
        if let Some(known) = self.remembered.get(agent) {
            return known;
        }
        let parsed = Arc::new(self.parse_anew(agent));
        self.remembered.insert(agent.into(), Arc::clone(&parsed));
        parsed
    }

    fn parse_anew(&self, agent: &str) -> Agent {
        let browser = self.browsers.extract(agent);
        let major = browser.as_ref().and_then(|browser| browser.major);
        let browser_major = major.and_then(|major| major.parse().ok()).unwrap_or(0);
        let declared = self.declarations.read(agent);
        let system = self.systems.extract(agent);
        let os = system.map(|system| family(&system.os)).unwrap_or_default();
        Agent {
            browser: browser.map(|browser| family(&browser.family)).unwrap_or_default(),
            browser_major,
            device_type: device_type(agent, &os, declared),
            os,
            declared,
        }
    }
}

/// A family that may be shown: what is too long or looks like an address of mail is left out.
fn family(name: &str) -> String {
    let fits = name.len() <= FAMILY_BYTES_MAX
        && name.chars().all(|character| !character.is_control() && character != '@');
    if fits { name.trim().to_owned() } else { String::new() }
}

/// Words of televisions and the boxes beside them.
const TV: &[&str] = &[
    "SmartTV",
    "SMART-TV",
    "Smart TV",
    "Web0S",
    "HbbTV",
    "NetCast",
    "AppleTV",
    "Apple TV",
    "GoogleTV",
    "Android TV",
    "CrKey",
    "Roku",
    "BRAVIA",
    "Viera",
    "VIERA",
    "PhilipsTV",
    "SonyDTV",
    "AQUOS",
    "; AFT",
    "MiTV",
    "Opera TV",
    "DTV",
    "OTT",
    "Large Screen",
];

const CONSOLE: &[&str] = &["PlayStation", "PLAYSTATION", "Xbox", "Nintendo"];

const TABLET: &[&str] =
    &["iPad", "Kindle", "PlayBook", "TouchPad", "hp-tablet", "Tablet;", "Tablet)", "Silk/", "Xoom"];

const MOBILE: &[&str] = &[
    "iPhone",
    "iPod",
    "Mobile",
    "Mobi/",
    "Opera Mini",
    "Opera Mobi",
    "Windows Phone",
    "Windows CE",
    "IEMobile",
    "BlackBerry",
    "BB10",
    "Symbian",
    "SymbOS",
    "MIDP",
    "KAIOS",
    "Nokia",
    "SonyEricsson",
    "DoCoMo",
    "UP.Browser",
];

const DESKTOP: &[&str] =
    &["Windows", "Macintosh", "Mac OS X", "X11", "CrOS", "Linux", "Win98", "Mac_PowerPC"];

/// The kind of device, from words that browsers are documented to use. On Android a telephone's browser says `Mobile` and
/// a tablet's doesn't (Chrome's and Firefox's documentation); an application that says neither counts as a telephone's. An
/// iPad since iPadOS 13 says to be a Macintosh, and counts as one.
fn device_type(agent: &str, os: &str, declared: Declared) -> DeviceType {
    let has = |words: &[&str]| words.iter().any(|word| agent.contains(word));
    match declared {
        Declared::Robot(_) | Declared::LinkScanner | Declared::Prefetcher => DeviceType::Bot,
        Declared::Missing | Declared::Bare | Declared::Replaced | Declared::MailProxy => {
            DeviceType::Other
        }
        Declared::Nothing | Declared::Short => {
            let silk_on_telephone = agent.contains("Silk/") && agent.contains(" Mobile ");
            if has(CONSOLE) {
                DeviceType::Other
            } else if has(TV) {
                DeviceType::Tv
            } else if has(TABLET) && !silk_on_telephone {
                DeviceType::Tablet
            } else if has(MOBILE) || os == "iOS" {
                DeviceType::Mobile
            } else if agent.contains("Android") {
                let browser = agent.starts_with("Mozilla/");
                if browser { DeviceType::Tablet } else { DeviceType::Mobile }
            } else if has(DESKTOP) || os == "Mac OS X" {
                DeviceType::Desktop
            } else {
                DeviceType::Other
            }
        }
    }
}

#[cfg(test)]
#[path = "agent_tests.rs"]
mod tests;
