//! Tiers and caps: what a month's conversions of one affiliate for one offer earn.
//!
//! In: a rule, and the members of the month. Out: each member's payout. Refuses: nothing. Promises: the result depends on the
//! members alone, not on the order in which they are given: they are taken in the order in which edges took them, then by
//! time and id. What is taken later changes nothing for what was taken before it, so a late report of an early
//! conversion goes behind. A place is free again when its conversion ends (rejection, reversal), for those that come after that.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::money::Amount;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// What one conversion earns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pay {
    /// So much.
    Fixed(Amount),
    /// So many ten-thousandths of a per cent of the amount.
    Percent(Amount),
}

impl Pay {
    /// Of this amount; a share is rounded half up at the fourth decimal place.
    fn of(self, amount: i64) -> i64 {
        match self {
            Self::Fixed(payout) => payout.scaled(),
            Self::Percent(percent) => {
                let product = i128::from(amount.unsigned_abs()) * i128::from(percent.scaled());
                let share = (2 * product + 1_000_000) / 2_000_000;
                let share = i64::try_from(share).unwrap_or(i64::MAX);
                if amount < 0 { -share } else { share }
            }
        }
    }
}

/// How an offer pays where tiers or caps decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// From which conversion of the month on, and how; the first begins at 1.
    pub tiers: Vec<(u32, Pay)>,
    /// Conversions of one day (UTC) that are paid.
    pub cap_day: Option<u32>,
    /// Conversions of one month that are paid.
    pub cap_month: Option<u32>,
    /// Of fixed payouts.
    pub currency: String,
}

/// A conversion of the month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// When it happened.
    pub time_ms: i64,
    /// When an edge took it.
    pub known_ms: i64,
    /// When an edge took its end; 0: none.
    pub end_ms: i64,
    /// With the time, its id.
    pub id: (u32, u32, String),
    /// In ten-thousandths.
    pub amount: i64,
    /// Of the amount.
    pub currency: String,
    /// False when it ended before its lock: it held a place until then, and earns nothing.
    pub pays: bool,
}

/// What a member earns, and by what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// In ten-thousandths.
    pub payout: i64,
    /// Of the payout; empty when there is none.
    pub currency: String,
    /// `fixed`, `percent`, `tier 2`, `cap_day`, `cap_month`, or nothing for what earns nothing anyway.
    pub rule: String,
}

/// Places that are taken, until when.
#[derive(Default)]
struct Places(BinaryHeap<Reverse<i64>>);

impl Places {
    /// How many are taken at that time.
    fn taken(&mut self, now_ms: i64) -> u32 {
        while self.0.peek().is_some_and(|end| end.0 <= now_ms) {
            self.0.pop();
        }
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    fn take(&mut self, end_ms: i64) {
        self.0.push(Reverse(if end_ms == 0 { i64::MAX } else { end_ms }));
    }
}

/// What each member earns, in the order in which they were given.
pub(super) fn allot(rule: &Rule, members: &[Member]) -> Vec<Share> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|&index| {
        let member = &members[index];
        (member.known_ms, member.time_ms, &member.id)
    });
    let mut days: BTreeMap<i64, Places> = BTreeMap::new();
    let mut month = Places::default();
    let mut shares = vec![Share::default(); members.len()];
    for index in order {
        let member = &members[index];
        let day = days.entry(member.time_ms.div_euclid(DAY_MS)).or_default();
        let (of_day, of_month) = (day.taken(member.known_ms), month.taken(member.known_ms));
        let full = |cap: Option<u32>, taken| cap.is_some_and(|cap| taken >= cap);
        if full(rule.cap_month, of_month) || full(rule.cap_day, of_day) {
            let cap = if full(rule.cap_month, of_month) { "cap_month" } else { "cap_day" };
            let rule = if member.pays { cap.to_owned() } else { String::new() };
            shares[index] = Share { rule, ..Share::default() };
            continue;
        }
        day.take(member.end_ms);
        month.take(member.end_ms);
        if member.pays {
            shares[index] = share(rule, member, of_month + 1);
        }
    }
    shares
}

/// The payout of the `place`th conversion of the month.
fn share(rule: &Rule, member: &Member, place: u32) -> Share {
    let reached = rule.tiers.iter().rposition(|(from, _)| *from <= place).unwrap_or(0);
    let Some((_, pay)) = rule.tiers.get(reached) else {
        return Share::default();
    };
    let (currency, word) = match pay {
        Pay::Fixed(_) => (&rule.currency, "fixed"),
        Pay::Percent(_) => (&member.currency, "percent"),
    };
    let name = if rule.tiers.len() > 1 { format!("tier {}", reached + 1) } else { word.to_owned() };
    Share { payout: pay.of(member.amount), currency: currency.clone(), rule: name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn euros(text: &str) -> Amount {
        Amount::parse(text).unwrap()
    }

    fn rule(cap_day: Option<u32>, cap_month: Option<u32>) -> Rule {
        let tiers = vec![(1, Pay::Fixed(euros("8")))];
        Rule { tiers, cap_day, cap_month, currency: "EUR".to_owned() }
    }

    fn member(seq: u32, time_ms: i64) -> Member {
        Member {
            time_ms,
            known_ms: time_ms,
            end_ms: 0,
            id: (seq, 7, "shop".to_owned()),
            amount: 1_000_000,
            currency: "EUR".to_owned(),
            pays: true,
        }
    }

    fn rules_of(rule: &Rule, members: &[Member]) -> Vec<String> {
        allot(rule, members).into_iter().map(|share| share.rule).collect()
    }

    #[test]
    fn a_cap_leaves_nothing_to_what_comes_when_it_is_reached() {
        let members = [member(3, 30), member(1, 10), member(2, DAY_MS + 20)];
        assert_eq!(rules_of(&rule(Some(1), None), &members), ["cap_day", "fixed", "fixed"]);
        let members = [member(3, 30), member(1, 10), member(2, 20)];
        assert_eq!(rules_of(&rule(None, Some(2)), &members), ["cap_month", "fixed", "fixed"]);
    }

    #[test]
    fn a_late_report_of_an_early_conversion_goes_behind() {
        let late = Member { known_ms: 40, ..member(9, 1) };
        let members = [member(1, 10), member(2, 20), late];
        assert_eq!(rules_of(&rule(None, Some(2)), &members), ["fixed", "fixed", "cap_month"]);
    }

    #[test]
    fn the_place_of_what_was_rejected_is_free_for_what_comes_after_that() {
        let rejected = Member { end_ms: 15, pays: false, ..member(1, 10) };
        let members = [rejected, member(2, 12), member(3, 20), member(4, 30)];
        let found = rules_of(&rule(None, Some(1)), &members);
        assert_eq!(found, ["", "cap_month", "fixed", "cap_month"]);
    }

    #[test]
    fn tiers_count_the_conversions_of_the_month_and_shares_round_half_up() {
        let tiers = vec![(1, Pay::Percent(euros("5"))), (3, Pay::Percent(euros("7.5")))];
        let rule = Rule { tiers, ..rule(None, None) };
        let odd = Member { amount: 10, ..member(3, 30) };
        let found = allot(&rule, &[member(1, 10), member(2, 20), odd]);
        assert_eq!(found.iter().map(|one| one.payout).collect::<Vec<_>>(), [50_000, 50_000, 1]);
        assert_eq!(found[2].rule, "tier 2");
    }

    fn random_members() -> impl Strategy<Value = Vec<Member>> {
        let one = (0..4i64, 0..50i64, 0..80i64, any::<bool>(), 0..5_000_000i64);
        prop::collection::vec(one, 1..40).prop_map(|all| {
            let members = (0..).zip(all).map(|(seq, (day, known, end, pays, amount))| Member {
                known_ms: known,
                end_ms: if end > 50 { 0 } else { end },
                pays,
                amount,
                ..member(seq, day * DAY_MS)
            });
            members.collect()
        })
    }

    fn shuffled(members: &[Member], seed: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..members.len()).collect();
        let key = |index: &usize| {
            (*index as u64 + 1).wrapping_mul(seed | 1).rotate_left(31).wrapping_mul(seed | 1)
        };
        order.sort_by_key(key);
        order
    }

    proptest! {
        #![proptest_config(crate::cases::cases(50))]

        /// 50 months in 20 orders each.
        #[test]
        fn a_thousand_random_orders_give_the_same_ledger(members in random_members(), seed in any::<u64>()) {
            let tiers = vec![(1, Pay::Fixed(euros("8"))), (4, Pay::Percent(euros("9.9999")))];
            let rule = Rule { tiers, ..rule(Some(5), Some(12)) };
            let expected = allot(&rule, &members);
            for turn in 0..20 {
                let order = shuffled(&members, seed.wrapping_add(turn));
                let given: Vec<Member> = order.iter().map(|&index| members[index].clone()).collect();
                for (&index, share) in order.iter().zip(allot(&rule, &given)) {
                    prop_assert_eq!(&share, &expected[index]);
                }
            }
        }

        #[test]
        fn what_comes_later_changes_nothing_for_what_came_before(members in random_members()) {
            let rule = rule(Some(3), Some(7));
            let all = allot(&rule, &members);
            let known = 25;
            let before: Vec<usize> = (0..members.len()).filter(|&index| members[index].known_ms < known).collect();
            let given: Vec<Member> = before.iter().map(|&index| members[index].clone()).collect();
            for (&index, share) in before.iter().zip(allot(&rule, &given)) {
                prop_assert_eq!(&share, &all[index]);
            }
        }
    }
}
