//! Reading: one postback's parameters become what they mean.
//!
//! In: a [`Profile`] and names with values, in order. Out: a [`Reading`]. Refuses: a postback without what the profile requires, naming
//! whether it is missing or was never filled in. Promises: the same parameters give the same reading; nothing is guessed;
//! what was odd names its parameter, never its value.

use super::file::{ItemStyle, Role};
use super::items::{Line, list, numbered, parts, repeated};
use super::money::{self, NotMoney};
use super::profile::{ItemPart, Profile, Use};
use super::reading::{Found, Reading, Refused};
use super::status::{CARRIED, Status, Why};
use crate::check::Refusal;
use crate::check::flags::Flag;
use crate::check::redact;
use crate::check::unexpanded::is_unexpanded;
use crate::event::{Item, NewCustomer};
use crate::money::{Amount, Currency};

/// Lines of one order; more are not read.
const ITEMS_MAX: usize = 100;

/// Names that the profile doesn't know, of which one may be a slip.
const UNKNOWN_MAX: usize = 8;

/// Words such as events, coupons and statuses are cut here.
const WORD_BYTES_MAX: usize = 64;

/// What is gathered while the parameters go by.
#[derive(Default)]
struct Gathered<'a> {
    carried: Vec<(&'static str, Status, &'a str)>,
    items: Vec<(u16, ItemPart, Found<'a>)>,
    groups: u16,
    event_flag: &'a str,
    /// Money that came twice with different values.
    torn: Vec<Role>,
    /// Names that the profile doesn't know.
    unknown: Vec<&'a str>,
    /// Of the first of them that is called like money and holds a number, the word that says so.
    money: Option<&'a str>,
}

/// Reads parameters. `currency` is what the installation says, where they don't.
///
/// # Errors
/// When something required is missing.
pub fn read<'a>(
    profile: &Profile,
    fields: &'a [(String, String)],
    currency: Option<Currency>,
) -> Result<Reading<'a>, Refused> {
    let mut reading = Reading::default();
    let mut gathered = Gathered::default();
    for (name, value) in fields {
        reading.take(profile, name, value.trim(), &mut gathered);
    }
    reading.find_slips(profile, &gathered);
    reading.require(profile, fields)?;
    reading.settle_currency(profile, currency);
    reading.settle_status(profile, &gathered);
    reading.settle_items(profile, &gathered);
    reading.settle_amount(profile, &gathered);
    reading.find_unmapped_money(&gathered);
    reading.settle_words(profile, &gathered);
    Ok(reading)
}

impl<'a> Reading<'a> {
    fn take(&mut self, profile: &Profile, name: &'a str, value: &'a str, all: &mut Gathered<'a>) {
        if name == "[" {
            all.groups = all.groups.saturating_add(1);
            return;
        }
        if value.is_empty() {
            return;
        }
        let (uses, number, depth) = profile.uses_within(name);
        if uses.is_empty() {
            if is_personal(name, value) {
                self.flags.set(Flag::PersonalInParameters);
            } else if all.unknown.len() < UNKNOWN_MAX {
                all.unknown.push(name);
                let called = money::called(name).filter(|_| Amount::parse(value).is_ok());
                all.money = all.money.or(called);
            }
            return;
        }
        if is_unexpanded(value, &profile.placeholders) {
            self.odd(Flag::MacroUnexpanded, name);
            return;
        }
        let found = Found { name, value };
        for to in uses {
            match *to {
                // What stands further out says it first.
                Use::Role(role, rank) => {
                    self.fill(role, rank.saturating_add(depth.saturating_mul(32)), found, all);
                }
                Use::Sub(place) => self.sub(place, number, found),
                Use::Item(part) => {
                    let number = if name.starts_with("[]") { all.groups } else { number };
                    all.items.push((number, part, found));
                }
                Use::Carried(place) => {
                    let (parameter, status) = CARRIED[usize::from(place)];
                    all.carried.push((parameter, status, value));
                }
                Use::EventFlag if all.event_flag.is_empty() => all.event_flag = name,
                Use::EventFlag => {}
                Use::Test(place) => {
                    let values = &profile.tests[usize::from(place)];
                    self.test |= values.iter().any(|own| own.eq_ignore_ascii_case(value));
                }
            }
        }
    }

    fn fill(&mut self, role: Role, rank: u8, found: Found<'a>, all: &mut Gathered<'a>) {
        let slot = &mut self.found[role as usize];
        match slot {
            Some((had, _)) if rank < *had => *slot = Some((rank, found)),
            None => *slot = Some((rank, found)),
            Some((had, first)) if rank == *had && first.value != found.value => {
                self.odd(Flag::RepeatedParameter, found.name);
                if matches!(role, Role::Amount | Role::Tax | Role::Shipping | Role::Discount) {
                    all.torn.push(role);
                }
            }
            Some(_) => {}
        }
    }

    fn sub(&mut self, place: u8, number: u16, found: Found<'a>) {
        let number = if number == 0 { u16::from(place) } else { number };
        let name = format!("sub{number}");
        if number > 20 || self.subs.iter().any(|(own, _)| *own == name) {
            return;
        }
        let value = if is_personal(found.name, found.value) {
            self.odd(Flag::PersonalInParameters, found.name);
            redact::REDACTED.to_owned()
        } else {
            redact::value(found.value, 512, &mut self.flags)
        };
        self.subs.push((name, value));
    }

    /// Names what nobody reads because a letter of its name is wrong: only where the right one is missing.
    fn find_slips(&mut self, profile: &Profile, all: &Gathered<'a>) {
        for name in &all.unknown {
            let Some(near) = profile.nearly(name) else { continue };
            let missing = |to: &Use| matches!(to, Use::Role(role, _) if self.get(*role).is_none());
            if profile.uses(near).0.iter().any(missing) {
                self.odd(Flag::ParameterMisspelt, name);
            }
        }
    }

    fn require(&self, profile: &Profile, fields: &[(String, String)]) -> Result<(), Refused> {
        let roles = |name: &str, group: &[Role]| {
            let uses = profile.uses_within(name).0.iter();
            uses.into_iter().any(|to| matches!(to, Use::Role(role, _) if group.contains(role)))
        };
        for group in &profile.required {
            if group.iter().any(|role| self.get(*role).is_some()) {
                continue;
            }
            // A macro that nobody filled in explains more than that something is missing.
            let unfilled = self
                .odd
                .iter()
                .find(|(name, flag)| *flag == Flag::MacroUnexpanded.word() && roles(name, group));
            if let Some((name, _)) = unfilled {
                let about = name.to_ascii_lowercase();
                return Err(Refused { refusal: Refusal::MacroUnexpanded, about });
            }
            // The one that came empty or misspelt, else those that could have come.
            let slip = |(_, flag): &&(&str, &str)| *flag == Flag::ParameterMisspelt.word();
            let misspelt = self.odd.iter().find(slip).map(|(name, _)| *name);
            let empty =
                fields.iter().map(|(name, _)| name.as_str()).find(|name| roles(name, group));
            let about = match misspelt.or(empty) {
                Some(name) => name.to_ascii_lowercase(),
                None => {
                    let names = group.iter().map(|role| profile.name_of(*role));
                    let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
                    names.join(" or ")
                }
            };
            return Err(Refused { refusal: Refusal::PostbackIncomplete, about });
        }
        Ok(())
    }

    fn settle_currency(&mut self, profile: &Profile, installed: Option<Currency>) {
        if let Some(found) = self.get(Role::Currency) {
            self.currency = Currency::parse(found.value).or_else(|| money::of_sign(found.value));
            if self.currency.is_some() {
                return;
            }
            let flag =
                if is_list(found.value) { Flag::ValueIsAList } else { Flag::CurrencyUnreadable };
            self.odd(flag, found.name);
            return;
        }
        self.currency = profile.currency.or(installed);
    }

    fn settle_status(&mut self, profile: &Profile, all: &Gathered<'a>) {
        let found = self.get(Role::Status).unwrap_or_default();
        let (status, why) = profile.status.read(found.value, all.carried.iter().copied());
        if why == Why::Unknown {
            let flag = if is_list(found.value) { Flag::ValueIsAList } else { Flag::StatusUnknown };
            self.odd(flag, found.name);
        }
        self.test |= status == Status::Test;
        self.status = Some((status, why));
    }

    fn settle_items(&mut self, profile: &Profile, all: &Gathered<'a>) {
        let Some(items) = &profile.items else { return };
        if all.items.is_empty() {
            return;
        }
        let lines = match items.style {
            ItemStyle::Numbered => numbered(&all.items),
            ItemStyle::List => list(&all.items, items.separator.chars().next().unwrap_or('|')),
            ItemStyle::Repeated if all.groups > 0 => numbered(&all.items),
            ItemStyle::Repeated => repeated(&all.items),
            ItemStyle::Parts => parts(&all.items),
        };
        let mut read = Vec::new();
        for line in lines.iter().flatten().take(ITEMS_MAX) {
            let Some(item) = self.line(profile, line, items.price_is_total) else {
                read.clear();
                break;
            };
            read.push(item);
        }
        if read.is_empty() {
            let name = all.items[0].2.name;
            self.odd(Flag::ItemsUnreadable, name);
        }
        self.items = read;
    }

    fn line(&mut self, profile: &Profile, line: &Line<'a>, is_total: bool) -> Option<Item> {
        let quantity = match line.quantity {
            "" => Amount::from_scaled(crate::money::SCALE),
            text => Amount::parse(text).ok()?,
        };
        let price = money::amount(line.price, profile.convention, self.currency).ok()?;
        let amount = if is_total { price } else { money::times(price, quantity)? };
        let sku = redact::value(line.sku, WORD_BYTES_MAX, &mut self.flags);
        Some(Item { sku, quantity, amount })
    }

    fn settle_amount(&mut self, profile: &Profile, all: &Gathered<'a>) {
        if let Some(found) = self.get(Role::Amount)
            && !all.torn.contains(&Role::Amount)
        {
            self.amount = self.money(profile, found);
        } else if self.get(Role::Amount).is_none() && !self.items.is_empty() {
            self.amount = money::sum(self.items.iter().map(|item| item.amount));
        }
        let mut other = |role: Role| {
            let found = self.get(role).filter(|_| !all.torn.contains(&role))?;
            self.money(profile, found)
        };
        let others = (other(Role::Tax), other(Role::Shipping), other(Role::Discount));
        (self.tax, self.shipping, self.discount) = others;
        // What is taken back is negative, however they write it.
        let taken_back = matches!(self.status, Some((Status::Reversed, _)));
        if taken_back && let Some(amount) = self.amount {
            self.amount = Some(Amount::from_scaled(-amount.scaled().abs()));
        }
    }

    /// Money that nobody reads, because the profile has another word for it.
    fn find_unmapped_money(&mut self, all: &Gathered<'a>) {
        let has_none = self.get(Role::Amount).is_none() && self.amount.is_none();
        let misspelt = self.flags.has(Flag::ParameterMisspelt);
        if let Some(name) = all.money.filter(|_| has_none && !misspelt) {
            self.odd(Flag::AmountUnmapped, name);
        }
    }

    fn money(&mut self, profile: &Profile, found: Found<'a>) -> Option<Amount> {
        let (number, beside) = money::beside(found.value);
        // Two currencies in one message: nobody knows which it is.
        if beside.is_some() && self.currency.is_some_and(|own| Some(own) != beside) {
            self.odd(Flag::AmountUnreadable, found.name);
            return None;
        }
        self.currency = self.currency.or(beside);
        let read = |text: &str| money::amount(text, profile.convention, self.currency);
        let amount = match profile.list.filter(|sign| found.value.contains(*sign)) {
            Some(sign) => found
                .value
                .split(sign)
                .map(read)
                .collect::<Result<Vec<_>, _>>()
                .and_then(|list| money::sum(list.into_iter()).ok_or(NotMoney::Unreadable)),
            None => read(number),
        };
        match amount {
            Ok(amount) => Some(amount),
            Err(NotMoney::TooFine) => {
                self.amount_text =
                    redact::cut(found.value, WORD_BYTES_MAX, &mut self.flags).to_owned();
                self.odd(Flag::AmountTooFine, found.name);
                None
            }
            Err(NotMoney::Unreadable) => {
                if is_list(found.value) {
                    self.odd(Flag::ValueIsAList, found.name);
                }
                self.odd(Flag::AmountUnreadable, found.name);
                None
            }
        }
    }

    fn settle_words(&mut self, profile: &Profile, all: &Gathered<'a>) {
        let status = self.get(Role::Status).map_or("", |found| found.value).to_ascii_lowercase();
        let named = profile.status.events.get(&status).map(String::as_str);
        let goal = self
            .get(Role::Event)
            .map(|found| found.value)
            .or(named)
            .unwrap_or(all.event_flag)
            .to_owned();
        self.goal = redact::value(&goal, WORD_BYTES_MAX, &mut self.flags);
        if let Some(found) = self.get(Role::Customer) {
            let word = found.value.to_ascii_lowercase();
            self.customer = if profile.new_customer.contains(&word) {
                NewCustomer::New
            } else if profile.returning_customer.contains(&word) {
                NewCustomer::Returning
            } else {
                NewCustomer::Unknown
            };
        }
    }
}

/// True for several words with commas between, or a comma at an end: a template's whole list.
fn is_list(value: &str) -> bool {
    value.contains(',')
}

/// True for what is a person's: by its name, or because the value is an e-mail address.
fn is_personal(name: &str, value: &str) -> bool {
    const NAMES: &[&str] = &[
        "email",
        "e-mail",
        "mail",
        "customeremail",
        "customer_email",
        "email_address",
        "phone",
        "tel",
        "telephone",
        "mobile",
        "msisdn",
        "firstname",
        "first_name",
        "lastname",
        "last_name",
        "fullname",
        "full_name",
    ];
    NAMES.iter().any(|own| own.eq_ignore_ascii_case(name)) || looks_personal(value)
}

/// True for an e-mail address or a telephone number written as one.
pub fn looks_personal(value: &str) -> bool {
    let number = value.strip_prefix('+').is_some_and(|digits| {
        let plain = |byte: u8| byte.is_ascii_digit() || b" -()/".contains(&byte);
        digits.bytes().all(plain) && digits.bytes().filter(u8::is_ascii_digit).count() >= 7
    });
    number || redact::looks_like_email(value)
}
