//! What an agent string says of itself, where that is not "a browser with a person".
//!
//! In: the string. Out: one [`Declared`]. Refuses: nothing. Promises: it depends on the string and on the lists compiled
//! in; a telephone or an application whose name is also a robot's (HTC Butterfly, CUBOT, Notion) is not taken for one.
//! A robot that pretends to be a browser is not seen here.

use std::borrow::Cow;

use aho_corasick::AhoCorasick;
use regex::bytes::{RegexSet, RegexSetBuilder};
use serde::Deserialize;

/// The crawler list, see `config/agents/README.md`.
pub(crate) const CRAWLERS_JSON: &str = include_str!("../../config/agents/crawlers.json");

/// Below this many characters no browser fits (DOMAIN.md 5, row 4).
const AGENT_CHARS_MIN: usize = 20;

/// The kind of a declared robot. Of several that match, the greatest is taken: what an agent does says more than the
/// library it was built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Robot {
    /// An HTTP library or command: somebody's own program.
    Library,
    /// Not listed, but it says so itself.
    Unlisted,
    /// Search engine optimisation, link checks and everything else.
    Tools,
    /// Universities and research.
    Academic,
    /// Web archives.
    Archive,
    /// Feed readers.
    Feeds,
    /// Uptime and page speed.
    Monitoring,
    /// Vulnerability scanners and surveys of the net.
    Survey,
    /// Advertising systems, brand safety included.
    Advertising,
    /// Search engines.
    Search,
    /// Training, answering and acting for AI assistants.
    Assistant,
    /// A browser that a program drives, headless or not.
    Automation,
    /// A network or messenger that shows what a link leads to.
    Preview,
    /// The same on the sender's own device (iMessage claims to be Facebook and Twitter): a person shared the link.
    DevicePreview,
}

/// What an agent string says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Declared {
    /// Nothing but a browser or an application, or what we don't know.
    #[default]
    Nothing,
    /// No agent, or what logs write in place of none.
    Missing,
    /// Exactly `Mozilla/5.0`: Apple's mail privacy proxy, and some scanners.
    Bare,
    /// Too short for a browser.
    Short,
    /// A content network put its name in place of the visitor's agent: unknown, not a robot.
    Replaced,
    /// A mail provider's proxy fetched a picture for a reader.
    MailProxy,
    /// A mail security product looks where a link leads.
    LinkScanner,
    /// A proxy that fetches pages before they are asked for.
    Prefetcher,
    /// A robot.
    Robot(Robot),
}

/// What is known by its name, beside the crawler list: strings and behaviour as reported in public issue threads.
/// `^` marks the begin.
const NAMES: &[(&str, Declared)] = &[
    ("GoogleImageProxy", Declared::MailProxy),
    ("YahooMailProxy", Declared::MailProxy),
    ("OutlookImageProxy", Declared::MailProxy),
    ("Chrome Privacy Preserving Prefetch Proxy", Declared::Prefetcher),
    ("Barracuda Sentinel", Declared::LinkScanner),
    ("SafeLinks Protection", Declared::LinkScanner),
    ("Microsoft Office Existence Discovery", Declared::LinkScanner),
    ("^Microsoft Exchange/", Declared::LinkScanner),
    ("^cortex/", Declared::LinkScanner),
    ("^Apache-HttpAsyncClient", Declared::Robot(Robot::Library)),
    ("^Bun/", Declared::Robot(Robot::Library)),
    ("^Dart/", Declared::Robot(Robot::Library)),
    ("^Deno/", Declared::Robot(Robot::Library)),
    ("^Faraday ", Declared::Robot(Robot::Library)),
    ("Google-HTTP-Java-Client", Declared::Robot(Robot::Library)),
    ("^GuzzleHttp/", Declared::Robot(Robot::Library)),
    ("^Java/", Declared::Robot(Robot::Library)),
    ("^PostmanRuntime/", Declared::Robot(Robot::Library)),
    ("^RestSharp/", Declared::Robot(Robot::Library)),
    ("^Ruby", Declared::Robot(Robot::Library)),
    ("^Typhoeus", Declared::Robot(Robot::Library)),
    ("WindowsPowerShell/", Declared::Robot(Robot::Library)),
    ("^aria2/", Declared::Robot(Robot::Library)),
    ("^http.rb/", Declared::Robot(Robot::Library)),
    ("^insomnia/", Declared::Robot(Robot::Library)),
    ("^k6/", Declared::Robot(Robot::Library)),
    ("libcurl-agent", Declared::Robot(Robot::Library)),
    ("^node-superagent/", Declared::Robot(Robot::Library)),
    ("^npm/", Declared::Robot(Robot::Library)),
    ("^reqwest/", Declared::Robot(Robot::Library)),
    ("^scalaj-http/", Declared::Robot(Robot::Library)),
    ("^undici", Declared::Robot(Robot::Library)),
    ("^yarn/", Declared::Robot(Robot::Library)),
];

/// The content networks that replace the agent.
const REPLACED: &[&str] = &["Amazon CloudFront"];

/// What stands in logs and faulty clients for no agent.
const MISSING: &[&str] = &["", "-", "null", "(null)", "undefined"];

#[derive(Deserialize)]
struct Crawler<'a> {
    #[serde(borrow)]
    pattern: Cow<'a, str>,
    #[serde(borrow)]
    tags: Vec<&'a str>,
    #[serde(default)]
    not_in_browsers: bool,
}

#[derive(Clone, Copy)]
struct Rule {
    declared: Declared,
    at_start: bool,
    at_end: bool,
    not_in_browsers: bool,
}

/// The lists, compiled: one automaton for the names, one for the few real expressions.
pub struct Declarations {
    names: AhoCorasick,
    name_rules: Vec<Rule>,
    expressions: RegexSet,
    expression_rules: Vec<Rule>,
}

impl Default for Declarations {
    fn default() -> Self {
        Self::new()
    }
}

impl Robot {
    /// The reason code beside `declared_bot`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Library => "http_library",
            Self::Unlisted => "bot_unlisted",
            Self::Tools => "bot_tools",
            Self::Academic => "bot_academic",
            Self::Archive => "bot_archive",
            Self::Feeds => "bot_feeds",
            Self::Monitoring => "bot_monitoring",
            Self::Survey => "bot_survey",
            Self::Advertising => "bot_advertising",
            Self::Search => "bot_search",
            Self::Assistant => "bot_assistant",
            Self::Automation => "browser_automation",
            Self::Preview => "link_preview",
            Self::DevicePreview => "link_preview_on_device",
        }
    }
}

impl Declarations {
    /// Compiles the lists: some milliseconds, less than 2 MB.
    pub fn new() -> Self {
        let crawlers: Vec<Crawler<'_>> =
            serde_json::from_str(CRAWLERS_JSON).expect("a test reads the list");
        let mut names = Vec::with_capacity(crawlers.len() + NAMES.len());
        let mut name_rules = Vec::with_capacity(names.capacity());
        let mut expressions = Vec::new();
        let mut expression_rules = Vec::new();
        for (name, declared) in NAMES {
            let at_start = name.starts_with('^');
            names.push(name.trim_start_matches('^').to_owned());
            name_rules.push(Rule {
                declared: *declared,
                at_start,
                at_end: false,
                not_in_browsers: false,
            });
        }
        for crawler in &crawlers {
            let declared = Declared::Robot(robot_of(&crawler.tags));
            let rule = Rule {
                declared,
                at_start: false,
                at_end: false,
                not_in_browsers: crawler.not_in_browsers,
            };
            if let Some((at_start, name, at_end)) = name_in(&crawler.pattern) {
                names.push(name);
                name_rules.push(Rule { at_start, at_end, ..rule });
            } else {
                expressions.push(crawler.pattern.as_ref());
                expression_rules.push(rule);
            }
        }
        Self {
            names: AhoCorasick::new(names).expect("a test compiles the names"),
            name_rules,
            expressions: RegexSetBuilder::new(expressions)
                .unicode(false)
                .build()
                .expect("a test compiles the expressions"),
            expression_rules,
        }
    }

    /// What the agent says of itself. The string should be bounded by the caller.
    pub fn read(&self, agent: &str) -> Declared {
        let agent = agent.trim();
        if MISSING.contains(&agent) {
            return Declared::Missing;
        }
        if agent == "Mozilla/5.0" {
            return Declared::Bare;
        }
        if REPLACED.contains(&agent) {
            return Declared::Replaced;
        }
        if let Some(named) = self.named(agent) {
            return named;
        }
        // A second Mozilla/5.0 behind a whole browser's agent is a scanner's slip (DOMAIN.md 5; labelled agents).
        if agent.ends_with(" Mozilla/5.0") {
            return Declared::LinkScanner;
        }
        if calls_itself_robot(agent) {
            return Declared::Robot(Robot::Unlisted);
        }
        if agent.chars().count() < AGENT_CHARS_MIN {
            return Declared::Short;
        }
        Declared::Nothing
    }

    /// The strongest of all names and expressions that match.
    fn named(&self, agent: &str) -> Option<Declared> {
        let plain = is_plain_browser(agent);
        let names = self.names.find_overlapping_iter(agent).filter_map(|found| {
            let rule = self.name_rules[found.pattern()];
            let fits = (!rule.at_start || found.start() == 0)
                && (!rule.at_end || found.end() == agent.len());
            fits.then_some(rule)
        });
        let expressions = self.expressions.matches(agent.as_bytes());
        let expressions = expressions.iter().map(|number| self.expression_rules[number]);
        let strongest = names
            .chain(expressions)
            .filter(|rule| !(rule.not_in_browsers && plain))
            .map(|rule| rule.declared)
            .max_by_key(|declared| match declared {
                Declared::Robot(robot) => (0, Some(*robot)),
                _ => (1, None),
            })?;
        let on_device = agent.starts_with("Mozilla/5.0 (Macintosh")
            && agent.contains("facebookexternalhit/")
            && agent.contains("Twitterbot/");
        Some(if on_device { Declared::Robot(Robot::DevicePreview) } else { strongest })
    }
}

/// True for the agent of a whole browser that doesn't say to be a machine.
fn is_plain_browser(agent: &str) -> bool {
    let engine = ["AppleWebKit/", "Gecko/", "Trident/", "MSIE "];
    agent.starts_with("Mozilla/")
        && engine.iter().any(|name| agent.contains(name))
        && !calls_itself_robot(agent)
}

/// True where an agent uses the words of robots, or tells where to read about it or whom to write to.
fn calls_itself_robot(agent: &str) -> bool {
    let said = without_telephone(agent).to_ascii_lowercase();
    let about = ["http://", "https://", "www.", "@"].iter().any(|word| said.contains(word));
    // CUBOT makes telephones, and some applications name them outside the first brackets too.
    let robot = ["bot", "crawl", "spider"]
        .iter()
        .any(|word| said.match_indices(word).any(|(at, _)| !said[..at].ends_with("cu")));
    // Robots took over "compatible;" from the browsers of the time when those had to say it.
    let compatible = said.split("compatible; ").nth(1).is_some_and(|name| {
        let name = name.trim_start();
        !["msie", "konqueror", "windows"].iter().any(|browser| name.starts_with(browser))
    });
    about || robot || compatible
}

/// The agent without its first brackets, where these describe a telephone: a model's name may be any word.
fn without_telephone(agent: &str) -> Cow<'_, str> {
    let Some((before, rest)) = agent.split_once('(') else { return Cow::Borrowed(agent) };
    match rest.split_once(')') {
        Some((telephone, after))
            if telephone.contains("Android") && !telephone.contains("compatible") =>
        {
            Cow::Owned(format!("{before}{after}"))
        }
        _ => Cow::Borrowed(agent),
    }
}

fn robot_of(tags: &[&str]) -> Robot {
    let robot = |tag: &&str| match *tag {
        "http-library" => Robot::Library,
        "academic" => Robot::Academic,
        "archiver" => Robot::Archive,
        "feed-reader" => Robot::Feeds,
        "monitoring" => Robot::Monitoring,
        "scanner" => Robot::Survey,
        "advertising" => Robot::Advertising,
        "search-engine" => Robot::Search,
        "ai-crawler" => Robot::Assistant,
        "browser-automation" => Robot::Automation,
        "social-preview" => Robot::Preview,
        _ => Robot::Tools,
    };
    tags.iter().map(robot).max().unwrap_or(Robot::Tools)
}

/// The text that a pattern stands for, where it is only text: with or without `^` and `$` and escapes.
fn name_in(pattern: &str) -> Option<(bool, String, bool)> {
    let (at_start, rest) = match pattern.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let (at_end, rest) = match rest.strip_suffix('$') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let mut name = String::with_capacity(rest.len());
    let mut characters = rest.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => name.push(characters.next().filter(|next| !next.is_ascii_alphanumeric())?),
            '[' | ']' | '(' | ')' | '{' | '}' | '|' | '*' | '+' | '?' | '.' | '^' | '$' => {
                return None;
            }
            _ => name.push(character),
        }
    }
    (!name.is_empty()).then_some((at_start, name, at_end))
}

#[cfg(test)]
#[path = "declared_tests.rs"]
mod tests;
