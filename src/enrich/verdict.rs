//! Whether a person stands behind an event, as far as one event alone can tell.
//!
//! In: the method, what the agent declares, the purpose that the browser gave, and the kind of event. Out: a [`Verdict`]
//! with its reasons. Refuses: nothing. Promises: an event is flagged, never dropped; the same input gives the same verdict
//! under the same [`RULESET`], so that history can be judged again. What other events tell (bursts, repeats, delivery
//! times) is judged elsewhere, later.

use super::declared::{Declared, Robot};

/// The version of the rules here and of the lists in `config/agents/`. It is stored with each event. Raise it with every
/// change that can turn a verdict, a renewal of the lists included.
pub const RULESET: u16 = 1;

/// The class of traffic. The numbers are those of the `events.traffic_class` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i8)]
pub enum TrafficClass {
    /// Nothing speaks against a person.
    Human = 1,
    /// Perhaps not a person.
    Suspect = 2,
    /// A mail security product that follows links.
    Scanner = 3,
    /// Fetched before, or without, being looked at.
    Prefetch = 4,
    /// A mail provider's proxy: somebody opened the mail, or the provider fetched it in advance.
    ProxyOpen = 5,
    /// A robot that says so, or a program.
    Bot = 6,
    /// Our own tests. Not judged here.
    Test = 7,
    /// Our own people. Not judged here.
    Internal = 8,
}

impl TrafficClass {
    /// The name in tables and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Suspect => "suspect",
            Self::Scanner => "scanner",
            Self::Prefetch => "prefetch",
            Self::ProxyOpen => "proxy_open",
            Self::Bot => "bot",
            Self::Test => "test",
            Self::Internal => "internal",
        }
    }
}

/// Invalid traffic in the sense of the Media Rating Council. The numbers are those of the `events.ivt` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i8)]
pub enum Ivt {
    /// Not known to be invalid.
    None = 0,
    /// General: found by lists and parameters.
    Givt = 1,
    /// Sophisticated: found by corroboration. Not judged here.
    Sivt = 2,
}

/// What happened, as far as the rules differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A link was followed.
    Click,
    /// A mail's picture was fetched.
    Open,
    /// An ad's or a form's picture was fetched, on a page or in a mail.
    Impression,
    /// A form was sent. A lead may come from a program of ours or of a partner: never more than suspect for that.
    Form,
    /// A page reported a conversion.
    Conversion,
    /// A server or a person with a key reported something: no browser is expected, so the agent says nothing.
    Server,
}

/// What one event tells about who sent it.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The request's method; empty is the usual one.
    pub method: &'a str,
    /// What the agent says of itself.
    pub declared: Declared,
    /// The value of `Sec-Purpose`, `Purpose`, `X-Purpose` or `X-Moz`; empty where none came.
    pub purpose: &'a str,
    /// What happened.
    pub kind: Kind,
}

/// Who probably sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The class; of several, the one that speaks most clearly against a person.
    pub class: TrafficClass,
    /// General invalid traffic or not.
    pub ivt: Ivt,
    /// Why, as closed words in the order of the rules.
    pub reasons: Vec<&'static str>,
    /// 0 nothing speaks against a person, 100 it says itself to be a machine: the highest score of the rules that apply.
    pub score: u8,
    /// [`RULESET`].
    pub ruleset: u16,
}

/// Judges one event by itself: rows 1 to 4, 6 and 7 of the rules in DOMAIN.md 5.
pub fn judge(evidence: &Evidence<'_>) -> Verdict {
    let mut verdict = Verdict {
        class: TrafficClass::Human,
        ivt: Ivt::None,
        reasons: Vec::new(),
        score: 0,
        ruleset: RULESET,
    };
    if evidence.kind == Kind::Server {
        return verdict;
    }
    if evidence.method.eq_ignore_ascii_case("HEAD") {
        verdict.add(TrafficClass::Bot, 100, "method_head");
    } else if evidence.method.eq_ignore_ascii_case("OPTIONS") {
        verdict.add(TrafficClass::Bot, 100, "method_options");
    }
    if says_prefetch(evidence.purpose) {
        verdict.add(TrafficClass::Prefetch, 100, "purpose_prefetch");
    }
    verdict.judge_agent(evidence.declared, evidence.kind);
    verdict.ivt = match verdict.class {
        TrafficClass::Bot | TrafficClass::Scanner | TrafficClass::Prefetch => Ivt::Givt,
        _ => Ivt::None,
    };
    verdict
}

impl Verdict {
    fn judge_agent(&mut self, declared: Declared, kind: Kind) {
        use TrafficClass::{Bot, Prefetch, ProxyOpen, Scanner, Suspect};
        let in_mail = matches!(kind, Kind::Open | Kind::Impression);
        let form = kind == Kind::Form;
        match declared {
            Declared::Nothing => {}
            Declared::Missing if form => self.add(Suspect, 50, "agent_missing"),
            Declared::Missing => self.add(Bot, 90, "agent_missing"),
            // On an open it is Apple's proxy, which fetches whether the mail is read or not.
            Declared::Bare if kind == Kind::Open => self.add(ProxyOpen, 0, "mail_privacy_proxy"),
            Declared::Bare => self.add(Suspect, 60, "agent_bare"),
            Declared::Short => self.add(Suspect, 50, "agent_short"),
            Declared::Replaced => self.add(Suspect, 50, "agent_replaced"),
            Declared::MailProxy if in_mail => self.add(ProxyOpen, 0, "mail_image_proxy"),
            Declared::MailProxy => self.add(Bot, 90, "mail_image_proxy"),
            Declared::LinkScanner => self.add(Scanner, 100, "link_scanner"),
            Declared::Prefetcher => self.add(Prefetch, 100, "prefetch_proxy"),
            Declared::Robot(Robot::Library) if form => self.add(Suspect, 50, "http_library"),
            Declared::Robot(Robot::Library) => self.add(Bot, 95, "http_library"),
            Declared::Robot(robot) => {
                self.add(Bot, 100, "declared_bot");
                self.add(Bot, 100, robot.reason());
            }
        }
    }

    fn add(&mut self, class: TrafficClass, score: u8, reason: &'static str) {
        if clearness(class) > clearness(self.class) {
            self.class = class;
        }
        self.score = self.score.max(score);
        self.reasons.push(reason);
    }
}

/// How clearly a class speaks against a person.
fn clearness(class: TrafficClass) -> u8 {
    match class {
        TrafficClass::Human => 0,
        TrafficClass::ProxyOpen => 1,
        TrafficClass::Suspect => 2,
        TrafficClass::Prefetch => 3,
        TrafficClass::Scanner => 4,
        TrafficClass::Bot => 5,
        TrafficClass::Test => 6,
        TrafficClass::Internal => 7,
    }
}

/// `prefetch`, `prefetch;prerender`, `prefetch;anonymous-client-ip`, `prerender`, `preview`, in any case.
fn says_prefetch(purpose: &str) -> bool {
    !purpose.is_empty()
        && purpose.split([';', ',', ' ']).any(|word| {
            ["prefetch", "prerender", "preview"]
                .iter()
                .any(|known| word.eq_ignore_ascii_case(known))
        })
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
