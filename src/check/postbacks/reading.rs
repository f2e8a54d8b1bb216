//! What one postback says, and why it is refused.
//!
//! In: what [`super::read`] found. Out: values by role, money, status, items, and what was odd. Refuses: nothing. Promises: what was odd
//! names its parameter, never its value.

use std::fmt;

use super::file::{Records, Role};
use super::profile::Profile;
use super::status::{Status, Why};
use crate::check::Refusal;
use crate::check::flags::{Flag, Flags};
use crate::event::{Item, NewCustomer};
use crate::money::{Amount, Currency};

/// Goals that are sales.
const SALES: &[&str] = &["sale", "purchase", "order"];

/// A value and the parameter that it came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found<'a> {
    /// As it was sent.
    pub name: &'a str,
    /// Without blanks around it.
    pub value: &'a str,
}

/// What a postback says.
#[derive(Clone, Debug, Default)]
pub struct Reading<'a> {
    /// By role, and the rank of the name that it came by: what ranks lower is said first.
    pub(super) found: [Option<(u8, Found<'a>)>; Role::ALL.len()],
    /// The amount, by the profile's convention; negative for what is taken back.
    pub amount: Option<Amount>,
    /// A number that the column has no room for.
    pub amount_text: String,
    #[expect(missing_docs, reason = "the name says it all")]
    pub currency: Option<Currency>,
    /// What it is in our words, and why; a test besides is still a sale or a lead.
    pub status: Option<(Status, Why)>,
    #[expect(missing_docs, reason = "the name says it all")]
    pub test: bool,
    /// The event or goal that they name.
    pub goal: String,
    #[expect(missing_docs, reason = "the name says it all")]
    pub customer: NewCustomer,
    #[expect(missing_docs, reason = "the name says it all")]
    pub tax: Option<Amount>,
    #[expect(missing_docs, reason = "the name says it all")]
    pub shipping: Option<Amount>,
    #[expect(missing_docs, reason = "the name says it all")]
    pub discount: Option<Amount>,
    /// The lines of the order.
    pub items: Vec<Item>,
    /// Sub ids, cut and without what is personal.
    pub subs: Vec<(String, String)>,
    /// What was odd.
    pub flags: Flags,
    /// Which parameter was, and how.
    pub odd: Vec<(&'a str, &'static str)>,
}

/// Why a reading is refused, and the parameter that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The refusal.
    pub refusal: Refusal,
    /// A name out of the profile, or a parameter that it knows.
    pub about: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.refusal.code(), self.about)
    }
}

impl<'a> Reading<'a> {
    /// The value of a role.
    pub fn get(&self, role: Role) -> Option<Found<'a>> {
        self.found[role as usize].map(|(_, found)| found)
    }

    /// Notes what is odd about a parameter, once.
    pub(super) fn odd(&mut self, flag: Flag, name: &'a str) {
        self.flags.set(flag);
        if !self.odd.contains(&(name, flag.word())) {
            self.odd.push((name, flag.word()));
        }
    }

    /// True for a shop's sale.
    pub fn is_sale(&self, profile: &Profile) -> bool {
        profile.records == Records::Sale
            || SALES.iter().any(|sale| sale.eq_ignore_ascii_case(&self.goal))
    }
}
