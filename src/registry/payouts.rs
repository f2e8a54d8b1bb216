//! What an offer pays must be one thing, in one currency, to affiliates that exist.
//!
//! In: an offer. Out: nothing, if it holds. Refuses: two ways to pay at once, a share above everything, tiers that do not rise, a coupon of
//! nobody or of two. Promises: what settling reads of an offer needs no further question.

use super::Registry;
use super::checks::known;
use super::kinds::Offer;
use crate::money::Amount;

impl Registry {
    /// What an offer pays, and to whom.
    pub(super) fn check_payout(&self, offer: &Offer) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("offer `{}`: {what}", offer.name));
        let both = |payout: &Option<Amount>, percent: &Option<Amount>| {
            payout.is_some() == percent.is_some()
        };
        let hundred = 100 * crate::money::SCALE;
        let odd = |percent: &Option<Amount>| {
            percent.is_some_and(|part| !(0..=hundred).contains(&part.scaled()))
        };
        if offer.payout.is_some() && offer.payout_percent.is_some() {
            return wrong("payout or payout_percent, not both");
        }
        if odd(&offer.payout_percent) || offer.tiers.iter().any(|tier| odd(&tier.payout_percent)) {
            return wrong("payout_percent is a number from 0 to 100");
        }
        if offer.payout.is_some_and(|payout| payout.scaled() < 0)
            || offer.tiers.iter().any(|tier| tier.payout.is_some_and(|payout| payout.scaled() < 0))
        {
            return wrong("a payout is not negative");
        }
        if offer.tiers.iter().any(|tier| both(&tier.payout, &tier.payout_percent)) {
            return wrong("a tier has either payout or payout_percent");
        }
        if offer.tiers.iter().any(|tier| tier.payout.is_some()) && offer.currency.is_none() {
            return wrong("a tier's payout without currency");
        }
        let mut from = 1;
        for tier in &offer.tiers {
            if tier.from <= from {
                return wrong(
                    "tiers begin above 1, each at a higher conversion of the month (`from`)",
                );
            }
            from = tier.from;
        }
        for (code, owner) in &offer.coupons {
            known(&self.affiliates, owner).map_err(|near| {
                format!("offer `{}`: coupon `{code}`: unknown affiliate `{owner}`; did you mean `{near}`?", offer.name)
            })?;
            let twice = self.offers.values().filter(|other| other.site == offer.site);
            let twice = twice
                .flat_map(|other| other.coupons.keys())
                .filter(|other| other.to_uppercase() == code.to_uppercase());
            if twice.count() > 1 {
                return Err(format!(
                    "offer `{}`: coupon `{code}` is given twice on site `{}`",
                    offer.name, offer.site
                ));
            }
        }
        Ok(())
    }
}
