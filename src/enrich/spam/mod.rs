//! Spam: is a submission one, and why?
//!
//! In: a form's fields as they came, what they mean as far as that is known, the flags that the edge set. Out: a [`Judgement`]: a score
//! with its reasons. Refuses: nothing; what is held goes to `quarantine`, whole, and a person may release it. Promises: the same record gives
//! the same judgement under the same [`RULESET`] and weights, with no memory and no clock, so that history can be judged again; what only
//! memory can tell (repeats, rates, the time of rendering) the edge has written into the flags ([`crate::check::spam`]).
//!
//! Scores are sums of weights (`[spam]` of the configuration), 100 at most. What may happen to a person has a weight below
//! `spam.hold_score`: it takes two such signs to hold a lead back.

mod mail;
mod traps;
mod words;

use crate::check::flags::Flag;
use crate::config;
use crate::personal::PersonalText;

/// The version of the rules here, of the lists in `config/spam/` and of the traps. Stored with each judgement. Raise it with every change
/// that can turn one.
pub const RULESET: u16 = 1;

/// A value of so many words is a text, whatever its field is called.
const TEXT_WORDS_MIN: usize = 3;

/// What a submission says, by meaning.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said<'a> {
    /// First, last and full name; empty where none was given.
    pub names: [&'a str; 3],
    /// The company.
    pub company: &'a str,
    /// The address.
    pub email: &'a str,
    /// True when a telephone number was given.
    pub has_phone: bool,
    /// The message.
    pub message: &'a str,
    /// What has no column, by its own name.
    pub extra: &'a [(String, PersonalText)],
}

/// What the rules say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// 0 nothing speaks against it, 100 surely spam.
    pub score: u8,
    /// Why, as closed words in the order of the rules.
    pub reasons: Vec<&'static str>,
    /// True when it is to be held back.
    pub hold: bool,
}

/// The rules with their weights.
#[derive(Clone, Debug)]
pub struct Judge {
    weights: config::Spam,
}

impl Judge {
    /// After the `[spam]` section.
    pub fn new(config: &config::Spam) -> Self {
        Self { weights: config.clone() }
    }

    /// Judges one submission. `fields` are all of it, `said` what is known of their meaning.
    pub fn judge(
        &self,
        fields: &[(String, PersonalText)],
        said: &Said<'_>,
        flags: &[String],
    ) -> Judgement {
        let mut sum = Sum::default();
        let weights = &self.weights;
        let flagged = |flag: Flag| flags.iter().any(|word| word == flag.word());
        let trapped = fields.iter().any(|(name, value)| traps::is_sprung(name, value.expose()));
        sum.add_if(trapped || flagged(Flag::Honeypot), weights.weight_honeypot, "honeypot");
        for (flag, weight) in [
            (Flag::RenderedForged, weights.weight_rendered_forged),
            (Flag::RenderedFast, weights.weight_rendered_too_fast),
            (Flag::RenderedLate, weights.weight_rendered_too_late),
            (Flag::RenderedMissing, weights.weight_rendered_missing),
            (Flag::TextRepeated, weights.weight_repeated_text),
            (Flag::ManyPosts, weights.weight_many_posts),
        ] {
            sum.add_if(flagged(flag), weight, flag.word());
        }
        self.judge_links(said, flagged(Flag::TextRepeated), &mut sum);
        self.judge_words(said, &mut sum);
        if mail::is_disposable(said.email) {
            let share = if said.has_phone { 2 } else { 1 };
            sum.add_if(true, weights.weight_disposable_mail / share, "disposable_mail");
        }
        let score = sum.score.min(100);
        Judgement { score: score as u8, reasons: sum.reasons, hold: score >= weights.hold_score }
    }

    fn judge_links(&self, said: &Said<'_>, repeated: bool, sum: &mut Sum) {
        let weights = &self.weights;
        let (mut links, mut markup) = (0, false);
        for text in texts(said) {
            links += words::links(text);
            markup |= words::has_link_markup(text);
        }
        let free = if repeated { 0 } else { weights.links_free as usize };
        let more = u32::try_from(links.saturating_sub(free)).unwrap_or(u32::MAX);
        sum.add_if(more > 0, weights.weight_link.saturating_mul(more), "links");
        sum.add_if(markup, weights.weight_link_markup, "link_markup");
        let named = said.names.iter().any(|name| words::has_link(name));
        sum.add_if(named, weights.weight_link_in_name, "link_in_name");
    }

    fn judge_words(&self, said: &Said<'_>, sum: &mut Sum) {
        let weights = &self.weights;
        let name = said.names.iter().any(|name| words::is_gibberish_name(name));
        sum.add_if(name, weights.weight_gibberish_name, "gibberish_name");
        let text = words::is_gibberish_text(said.message);
        sum.add_if(text, weights.weight_gibberish_text, "gibberish_text");
        let repeated = words::is_repeated(said.message);
        sum.add_if(repeated, weights.weight_repeated_characters, "repeated_characters");
        sum.add_if(has_same_values(said), weights.weight_same_values, "same_values");
    }
}

/// The message, and every value without a column that is a text. JSON is a script's, not a person's.
fn texts<'a>(said: &Said<'a>) -> impl Iterator<Item = &'a str> {
    let extra = said.extra.iter().map(|(_, value)| value.expose());
    let is_text = |text: &&str| {
        !text.trim_start().starts_with(['{', '['])
            && text.split_whitespace().take(TEXT_WORDS_MIN).count() == TEXT_WORDS_MIN
    };
    std::iter::once(said.message).chain(extra.filter(is_text))
}

/// True when three fields of different meaning hold the same. A full name in two fields is common (QUIRKS.md 12).
fn has_same_values(said: &Said<'_>) -> bool {
    let [first, last, full] = said.names;
    let all = [first, last, full, said.company, said.message, said.email];
    let all = all.map(|value| value.trim().to_lowercase());
    all.iter().any(|one| {
        one.chars().nth(2).is_some() && all.iter().filter(|other| *other == one).count() >= 3
    })
}

/// A score under way.
#[derive(Default)]
struct Sum {
    score: u32,
    reasons: Vec<&'static str>,
}

impl Sum {
    /// A rule that was switched off by a weight of 0 is no reason.
    fn add_if(&mut self, applies: bool, weight: u32, reason: &'static str) {
        if applies && weight > 0 {
            self.score = self.score.saturating_add(weight);
            self.reasons.push(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge() -> Judge {
        Judge::new(&config::Config::load(None, std::iter::empty()).unwrap().spam)
    }

    fn jane<'a>() -> Said<'a> {
        Said {
            names: ["Jane", "Roe", ""],
            company: "Roe & Daughters",
            email: "jane@example.com",
            has_phone: true,
            message: "Hello, I would like a quote for 25 seats and a demo next week.",
            extra: &[],
        }
    }

    fn judged(said: &Said<'_>, flags: &[&str]) -> Judgement {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        judge().judge(&[], said, &flags)
    }

    fn pair(name: &str, value: &str) -> (String, PersonalText) {
        (name.to_owned(), PersonalText::new(value))
    }

    #[test]
    fn an_ordinary_lead_scores_nothing() {
        assert_eq!(judged(&jane(), &[]), Judgement::default());
        assert_eq!(
            judged(&Said::default(), &["origin_foreign", "over_limit"]),
            Judgement::default()
        );
    }

    #[test]
    fn each_sign_of_a_program_alone_holds_a_lead_back() {
        let sprung = judge().judge(&[pair("_gotcha", "x")], &jane(), &[]);
        assert_eq!((sprung.score, sprung.reasons, sprung.hold), (100, vec!["honeypot"], true));
        for flag in ["honeypot", "rendered_forged"] {
            let found = judged(&jane(), &[flag]);
            assert!(found.hold && found.reasons == [flag], "{flag}: {found:?}");
        }
        let stuffed =
            "Best prices: https://a.example https://b.example www.c.example http://d.example now";
        let cases: [(&str, Said<'_>); 7] = [
            ("links", Said { message: stuffed, ..jane() }),
            ("link_markup", Said { message: "<a href=\"http://x\">x</a>", ..jane() }),
            ("link_in_name", Said { names: ["", "", "WIN http://x.example"], ..jane() }),
            ("gibberish_text", Said { message: "hgjfkdlsa sdfsdfsdf qzxjvwkp", ..jane() }),
            ("repeated_characters", Said { message: "aaaaaaaaaaaaaaaaaaaa", ..jane() }),
            ("disposable_mail", Said { email: "a@mailinator.com", has_phone: false, ..jane() }),
            (
                "gibberish_name",
                Said {
                    names: ["Roqwxyzt", "Xkjhrtqp", ""],
                    message: "Xkjhrtqp roqwxyzt",
                    ..jane()
                },
            ),
        ];
        for (reason, said) in cases {
            let found = judged(&said, &[]);
            assert!(found.hold && found.reasons.contains(&reason), "{reason}: {found:?}");
        }
    }

    #[test]
    fn one_sign_that_a_person_may_give_does_not() {
        let cases: [(&str, Said<'_>); 4] = [
            (
                "links",
                Said { message: "See https://a.example and https://b.example please", ..jane() },
            ),
            ("disposable_mail", Said { email: "a@mailinator.com", ..jane() }),
            ("gibberish_name", Said { names: ["Roqwxyzt", "", ""], ..jane() }),
            ("same_values", Said { names: ["Test", "Test", ""], company: "test", ..jane() }),
        ];
        for (reason, said) in cases {
            let found = judged(&said, &[]);
            assert!(!found.hold && found.reasons == [reason], "{reason}: {found:?}");
        }
        let usual = judged(&jane(), &["text_repeated", "many_posts"]);
        assert!(!usual.hold && usual.score == 50, "{usual:?}");
        for flag in ["rendered_too_fast", "rendered_too_late", "rendered_missing"] {
            assert!(!judged(&jane(), &[flag]).hold, "{flag}");
        }
        let one_link = Said { message: "Our page is https://www.roe.example, call me", ..jane() };
        assert_eq!(judged(&one_link, &[]).score, 0);
        assert!(
            judged(&one_link, &["text_repeated", "many_posts"]).hold,
            "no link is free in a repeated text"
        );
    }

    #[test]
    fn a_text_without_a_column_is_read_and_a_scripts_json_is_not() {
        let links =
            "buy now https://a.example https://b.example https://c.example https://d.example";
        let extra = [pair("00N3X0000060fwH", links)];
        assert!(judged(&Said { extra: &extra, ..jane() }, &[]).hold);
        let context = format!("{{\"pageUrl\":\"https://a.example\", \"x\": \"{links}\"}}");
        let extra = [pair("hs_context", &context)];
        assert_eq!(judged(&Said { extra: &extra, ..jane() }, &[]).score, 0);
    }

    #[test]
    fn a_weight_of_nothing_switches_a_rule_off_and_a_high_bar_holds_nothing() {
        let mut config = config::Config::load(None, std::iter::empty()).unwrap().spam;
        config.weight_honeypot = 0;
        let fields = [pair("_gotcha", "x")];
        assert_eq!(Judge::new(&config).judge(&fields, &jane(), &[]), Judgement::default());
        config.weight_honeypot = 100;
        config.hold_score = 101;
        assert!(!Judge::new(&config).judge(&fields, &jane(), &[]).hold);
    }
}
