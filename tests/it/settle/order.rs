//! The result depends on the events alone: random worlds, in random orders and batches, against a second reading of the rules.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::facts::*;
use super::world::*;
use crate::env::dice::Dice;

/// How long worlds are tried; each takes several runs on the engine.
const TIME: Duration = Duration::from_secs(20);

/// Worlds that are tried at least, however slow the machine.
const WORLDS_MIN: u64 = 2;

/// Three days of few visitors, few hashes and few moments, so that everything meets everything.
pub fn history(dice: &mut Dice) -> Vec<Fact> {
    let start = yesterday();
    let mut facts = Vec::new();
    let mut clicks: Vec<Click> = Vec::new();
    let moment = |dice: &mut Dice| start + i64::try_from(dice.roll(24)).unwrap() * 3 * HOUR;
    let who = |dice: &mut Dice| {
        let hash = dice.roll(8);
        let who = match dice.roll(4) {
            0 => Who::Nobody,
            1 if hash != 0 => Who::Hash(hash),
            _ => Who::Cookie(1 + dice.roll(6)),
        };
        (who, if who == Who::Nobody { 0 } else { hash })
    };
    for seq in 0..50 {
        let (who, hash) = who(dice);
        let (link, affiliate, offer) = dice.pick(&[
            ("ad-link", "", ""),
            ("ad-link", "", ""),
            ("", "blogger", "spring"),
            ("", "dealsite", "summer"),
            ("", "dealsite", ""),
        ]);
        let site = dice.pick(&["shop", "shop", "shop", "club"]);
        let link = if site == "club" && !link.is_empty() { "club-link" } else { link };
        let class = dice.pick(&["human", "human", "human", "suspect", "bot"]);
        let lag = dice.pick(&[0, 0, 0, HOUR, -5 * 60_000]);
        let click = Click {
            seq,
            time: moment(dice),
            lag,
            site,
            who,
            hash,
            class,
            link,
            affiliate,
            offer,
            network: "",
        };
        // One in seven is named by conversions and never stored.
        if dice.roll(7) != 0 {
            facts.push(click.clone().into());
        }
        clicks.push(click);
    }
    for seq in 100..180 {
        let (who, hash) = who(dice);
        let index = usize::try_from(dice.roll(clicks.len() as u64)).unwrap();
        let named = if dice.roll(3) == 0 { clicks[index].named() } else { Named::default() };
        let kind = dice.pick(&["purchase", "purchase", "conversion", "lead"]);
        let order =
            if kind == "lead" { "" } else { dice.pick(&["", "", "", "o-1", "o-2", "o-3", "o-4"]) };
        let goal = dice.pick(&["", "", "signup"]);
        let site = dice.pick(&["shop", "shop", "shop", "club"]);
        let time = moment(dice) + dice.pick(&[0, 0, 1]);
        // Few keys, and moments an hour, half an hour and a millisecond apart, so that submissions come again.
        let submission = if kind == "lead" { dice.roll(5) } else { 0 };
        let class = dice.pick(&["human", "human", "human", "bot"]);
        let time = time + dice.pick(&[0, HOUR, HOUR + 1, HOUR / 2]);
        facts.push(
            Conversion {
                seq,
                time,
                site,
                kind,
                who,
                hash,
                named,
                order,
                goal,
                submission,
                class,
                told: None,
                ..Conversion::default()
            }
            .into(),
        );
    }
    facts
}

/// A click as a candidate, whether its row is stored or its id alone tells of it.
#[derive(Clone, Copy)]
struct Candidate {
    seen: bool,
    seq: u32,
    time: i64,
    link: &'static str,
    ad: &'static str,
    affiliate: &'static str,
    offer: &'static str,
}

impl Candidate {
    fn stored(click: &Click) -> Self {
        let ad = if click.link == "ad-link" { "boots" } else { "" };
        let Click { seq, time, link, affiliate, offer, .. } = *click;
        Self { seen: true, seq, time, link, ad, affiliate, offer }
    }

    /// What `named` tells to a conversion of `site`; nothing when link or offer are another site's.
    fn told(named: Named, site: &str) -> Option<Self> {
        let (link, ad, link_site) =
            [("", "", site), ("ad-link", "boots", "shop"), ("club-link", "", "club")]
                [named.link as usize];
        let (offer, offer_site) =
            [("", site), ("spring", "shop"), ("summer", "shop")][named.offer as usize];
        let affiliate = ["", "blogger", "dealsite"][named.affiliate as usize];
        let time = i64::try_from(named.id >> 80).unwrap();
        let low = (named.id >> 42) & 0xF_FFFF;
        let seq = u32::try_from((((named.id >> 64) & 0xFFF) << 20) | low).unwrap();
        (link_site == site && offer_site == site).then_some(Self {
            seen: false,
            seq,
            time,
            link,
            ad,
            affiliate,
            offer,
        })
    }

    fn reaches(&self, conversion: &Conversion) -> bool {
        let days = if self.offer == "spring" { 1 } else { i64::from(WINDOW_DAYS) };
        (0..=days * DAY).contains(&(conversion.time - self.time))
    }
}

/// The rules of `settle`, read a second time and worked out one by one.
struct Oracle<'a> {
    clicks: Vec<&'a Click>,
}

impl Oracle<'_> {
    /// The best click by each basis, strongest first.
    fn candidates(&self, conversion: &Conversion) -> [Vec<Candidate>; 3] {
        let here = || self.clicks.iter().copied().filter(|click| click.site == conversion.site);
        let touches = || here().filter(|click| matches!(click.class, "human" | "suspect"));
        let mut named = Vec::new();
        if conversion.named.id != 0 {
            let row = here().find(|click| click.id().as_u128() == conversion.named.id);
            named.extend(row.map_or_else(
                || Candidate::told(conversion.named, conversion.site),
                |click| Some(Candidate::stored(click)),
            ));
        }
        let by_cookie = touches().filter(|click| {
            matches!(conversion.who, Who::Cookie(_)) && click.who == conversion.who
        });
        let hash_of = |who, hash| if let Who::Hash(hash) = who { hash } else { hash };
        let hash = hash_of(conversion.who, conversion.hash);
        let same_day: Vec<&Click> = touches()
            .filter(|click| hash != 0 && hash_of(click.who, click.hash) == hash)
            .filter(|click| click.time.div_euclid(DAY) == conversion.time.div_euclid(DAY))
            .collect();
        // A hash that a second visitor has says nothing.
        let holds = same_day.iter().all(|click| click.who == same_day[0].who);
        let by_hash = same_day.into_iter().filter(|_| holds);
        let mut all = [
            named,
            by_cookie.map(Candidate::stored).collect(),
            by_hash.map(Candidate::stored).collect(),
        ];
        for found in &mut all {
            found.retain(|candidate| candidate.reaches(conversion));
            found.sort_by_key(|candidate| (candidate.time, candidate.seq));
        }
        all
    }

    fn outcome(&self, conversion: &Conversion) -> Outcome {
        let candidates = self.candidates(conversion);
        let mut outcome = Outcome { seq: conversion.seq, counted: 1, ..Outcome::default() };
        outcome.basis = "none".to_owned();
        outcome.repeat_of = "none".to_owned();
        outcome.evidence = "none".to_owned();
        let bases = ["click_id", "cookie", "daily_hash"];
        if let Some((basis, click)) =
            bases.iter().zip(&candidates).find_map(|(basis, found)| Some((basis, found.last()?)))
        {
            outcome.basis = (*basis).to_owned();
            outcome.seen = click.seen.into();
            (outcome.click, outcome.click_time) = (click.seq, click.time);
            outcome.link = click.link.to_owned();
            outcome.ad = click.ad.to_owned();
            outcome.affiliate = click.affiliate.to_owned();
            outcome.offer = click.offer.to_owned();
        }
        let words = ["click_id", "last_affiliate_click_cookie", "last_affiliate_click_daily_hash"];
        let paid = |candidates: &[Vec<Candidate>; 3]| {
            words.iter().zip(candidates).find_map(|(word, found)| {
                let earns = |click: &&Candidate| {
                    !click.affiliate.is_empty() && (*word != "click_id" || !click.offer.is_empty())
                };
                Some((*word, *found.iter().rev().find(earns)?))
            })
        };
        (outcome.amount, outcome.currency) =
            if conversion.is_lead() { ("0", "") } else { ("12.5", "CHF") }.map_into();
        if let Some((word, click)) = paid(&candidates) {
            // What a browser claims is worth what the winner's offer says.
            if click.offer == "spring" && !conversion.is_lead() {
                (outcome.amount, outcome.currency) = ("79.9", "EUR").map_into();
            }
            outcome.evidence = word.to_owned();
            outcome.payee = click.affiliate.to_owned();
            outcome.payee_offer = click.offer.to_owned();
            outcome.payee_click = click.seq;
        }
        outcome.found_by.clone_from(&outcome.evidence);
        outcome
    }
}

trait MapInto {
    fn map_into(self) -> (String, String);
}

impl MapInto for (&str, &str) {
    fn map_into(self) -> (String, String) {
        (self.0.to_owned(), self.1.to_owned())
    }
}

/// What settling must make of these events.
pub fn expected(facts: &[Fact]) -> Vec<Outcome> {
    let mut clicks = Vec::new();
    let mut conversions = Vec::new();
    for fact in facts {
        match fact {
            Fact::Click(click) => clicks.push(click),
            Fact::Conversion(conversion) => conversions.push(conversion),
        }
    }
    let oracle = Oracle { clicks };
    conversions.sort_by_key(|conversion| (conversion.time, conversion.seq));
    let mut firsts: BTreeMap<(&str, &str, String), u32> = BTreeMap::new();
    let mut submitted = BTreeMap::new();
    let mut outcomes = Vec::new();
    for conversion in conversions {
        let mut outcome = oracle.outcome(conversion);
        if conversion.submission != 0 {
            let Conversion { site, submission, class, time, .. } = conversion;
            let before = submitted.insert((*site, *submission, *class), *time);
            if before.is_some_and(|before| time - before <= i64::from(REPEAT_MINUTES) * 60_000) {
                outcome.repeat_of = "submission".to_owned();
            }
        }
        if !conversion.is_lead() {
            let place = (conversion.site, conversion.goal);
            let mut repeats = |group: String| {
                *firsts.entry((place.0, place.1, group)).or_insert(conversion.seq) != conversion.seq
            };
            let click = outcome.basis != "none"
                && repeats(format!("click {} {}", outcome.click_time, outcome.click));
            let order =
                !conversion.order.is_empty() && repeats(format!("order {}", conversion.order));
            outcome.repeat_of = [["none", "order"], ["click", "both"]][usize::from(click)]
                [usize::from(order)]
            .to_owned();
        }
        outcome.counted = (outcome.repeat_of == "none").into();
        if outcome.counted == 0 {
            outcome.evidence = "repeat".to_owned();
        }
        let pays = outcome.counted == 1 && !outcome.payee.is_empty() && !conversion.is_lead();
        let terms = match outcome.payee_offer.as_str() {
            "spring" if pays => ("8", "EUR"),
            "summer" if pays => ("5", "USD"),
            _ => ("0", ""),
        };
        (outcome.payout, outcome.payout_currency) = terms.map_into();
        outcomes.push(outcome);
    }
    outcomes.sort_by_key(|outcome| outcome.seq);
    outcomes
}

/// Stores the events in this order, in random batches of two partitions, settling now and then.
async fn live(world: &mut World, facts: &[Fact], dice: &mut Dice) {
    let mut rest = facts;
    while !rest.is_empty() {
        let size = usize::try_from(1 + dice.roll(50)).unwrap().min(rest.len());
        let (batch, later) = rest.split_at(size);
        world.store_in(usize::try_from(dice.roll(2)).unwrap(), batch).await;
        if dice.roll(2) == 0 {
            world.settle().await;
        }
        rest = later;
    }
    world.settle().await;
}

#[tokio::test]
async fn the_result_depends_on_the_events_alone() {
    let first_seed = std::env::var("SETTLE_SEED").ok().and_then(|text| text.parse().ok());
    let first_seed: u64 = first_seed.unwrap_or_else(|| getrandom::u64().unwrap() % 1_000_000);
    let began = Instant::now();
    let mut joined = 0;
    for number in 0.. {
        if number >= WORLDS_MIN && began.elapsed() > TIME {
            println!("{number} worlds, {joined} joined conversions");
            break;
        }
        let seed = first_seed + number;
        let mut dice = Dice(seed);
        let mut facts = history(&mut dice);
        let expected = expected(&facts);
        joined += expected.iter().filter(|outcome| outcome.basis != "none").count();
        let order = dice.roll(3);
        match order {
            0 => facts.sort_by_key(|fact| matches!(fact, Fact::Click(_))),
            _ => dice.shuffle(&mut facts),
        }
        let mut world = World::with(settings(1 + dice.roll(100))).await;
        live(&mut world, &facts, &mut dice).await;
        let outcomes = world.outcomes().await;
        for (found, expected) in outcomes.iter().zip(&expected) {
            assert_eq!(found, expected, "with SETTLE_SEED={seed}");
        }
        assert_eq!(outcomes.len(), expected.len(), "with SETTLE_SEED={seed}");
    }
}
