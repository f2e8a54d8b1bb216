//! A profile, made ready: one look-up says what a parameter is.
//!
//! In: a [`File`]. Out: a [`Profile`]. Refuses: two roles for one name, a currency or pattern that is none. Promises: all tables are
//! built at start; a request looks up each of its names once.

use std::collections::HashMap;

use super::file::{Authentication, File, ItemStyle, Items, PathStyle, Records, Reply, Role};
use super::money::Convention;
use super::status::{CARRIED, StatusMap};
use crate::event::Duplicates;
use crate::money::Currency;

/// Which column of a line a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemPart {
    /// The shop's number.
    Sku,
    /// How many.
    Quantity,
    /// What it costs.
    Price,
}

/// What a parameter is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A value of ours; of several names that are filled, the first in the file counts.
    Role(Role, u8),
    /// A sub id; the number is its place, or stands in the name.
    Sub(u8),
    /// A part of a line.
    Item(ItemPart),
    /// A list of words for a status: the place in [`CARRIED`].
    Carried(u8),
    /// Its presence is an event.
    EventFlag,
    /// Some values make a test of it: the place in [`Profile::tests`].
    Test(u8),
}

/// A profile.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "see File, which has the same names")]
pub struct Profile {
    pub name: String,
    pub network: String,
    pub source: String,
    pub verified: bool,
    pub paths: Vec<String>,
    pub path: PathStyle,
    pub segments: Vec<String>,
    pub records: Records,
    pub duplicates: Duplicates,
    /// Of each group one role must be filled.
    pub required: Vec<Vec<Role>>,
    pub placeholders: Vec<String>,
    pub status: StatusMap,
    pub convention: Convention,
    pub currency: Option<Currency>,
    pub list: Option<char>,
    pub items: Option<Items>,
    pub reply: Reply,
    pub authentication: Authentication,
    /// Values that make a test of it.
    pub tests: Vec<Vec<String>>,
    pub new_customer: Vec<String>,
    pub returning_customer: Vec<String>,
    uses: HashMap<Box<str>, Vec<Use>>,
    /// The same names may stand inside wrappers.
    nested: bool,
    /// The network's usual name for each role, by the role's number.
    names: Vec<String>,
}

impl Profile {
    /// Makes a file ready.
    ///
    /// # Errors
    /// With what is wrong about it.
    pub fn new(name: &str, file: File) -> Result<Self, String> {
        let mut uses = HashMap::new();
        let usual = |role| file.parameters.get(role).and_then(|names| names.first());
        let names = Role::ALL.iter().map(|role| usual(role).cloned().unwrap_or_default()).collect();
        for (role, names) in &file.parameters {
            for (rank, parameter) in names.iter().enumerate() {
                let rank = u8::try_from(rank).map_err(|_| "too many names for one role")?;
                add(&mut uses, parameter, Use::Role(*role, rank));
            }
        }
        for (place, parameter) in (1..).zip(&file.subs) {
            add(&mut uses, parameter, Use::Sub(place));
        }
        for parameter in &file.event_flags {
            add(&mut uses, parameter, Use::EventFlag);
        }
        let mut tests = Vec::new();
        for (place, (parameter, values)) in (0..).zip(&file.test) {
            add(&mut uses, parameter, Use::Test(place));
            tests.push(values.clone());
        }
        if let Some(items) = &file.items {
            check_items(items)?;
            for (parameter, part) in [
                (&items.sku, ItemPart::Sku),
                (&items.quantity, ItemPart::Quantity),
                (&items.price, ItemPart::Price),
            ] {
                if !parameter.is_empty() {
                    add(&mut uses, parameter, Use::Item(part));
                }
            }
        }
        for (place, (parameter, _)) in (0..).zip(CARRIED) {
            if !uses.contains_key(*parameter) {
                add(&mut uses, parameter, Use::Carried(place));
            }
        }
        let currency = match file.money.currency.as_str() {
            "" => None,
            text => Some(
                Currency::parse(text)
                    .ok_or_else(|| format!("money.currency: `{text}` is not three letters"))?,
            ),
        };
        let mut list = file.money.list.chars();
        let list = match (list.next(), list.next()) {
            (sign, None) => sign,
            _ => return Err("money.list is one sign, or empty".to_owned()),
        };
        let mut status = file.status;
        status.map =
            status.map.into_iter().map(|(word, own)| (word.to_ascii_lowercase(), own)).collect();
        Ok(Self {
            name: name.to_owned(),
            required: required(&file.required)?,
            network: file.network,
            source: file.source,
            verified: file.verified,
            paths: file.paths,
            path: file.path,
            segments: file.segments,
            records: file.records,
            duplicates: file.duplicates,
            placeholders: file.placeholders,
            status,
            convention: Convention { decimal: file.money.decimal, unit: file.money.unit },
            currency,
            list,
            items: file.items,
            reply: file.reply,
            authentication: file
                .authentication
                .unwrap_or(Authentication::Secret { parameters: Vec::new(), headers: Vec::new() }),
            tests,
            new_customer: file.new_customer,
            returning_customer: file.returning_customer,
            uses,
            nested: file.nested,
            names,
        })
    }

    /// What the network calls a role; empty where it has no name for it.
    pub fn name_of(&self, role: Role) -> &str {
        &self.names[role as usize]
    }

    /// The known parameter that `name` is one slip away from, if it is none itself: `amout` is `amount`.
    pub fn nearly(&self, name: &str) -> Option<&str> {
        if !(4..=NAME_BYTES_MAX).contains(&name.len()) || !name.is_ascii() {
            return None;
        }
        let lower = name.to_ascii_lowercase();
        let near = |known: &&str| known.len() >= 4 && one_slip(lower.as_bytes(), known.as_bytes());
        self.uses.keys().map(|known| &**known).filter(near).min()
    }

    /// The same for a parameter that may stand inside wrappers; and how many they are.
    pub fn uses_within(&self, name: &str) -> (&[Use], u16, u8) {
        let (mut name, mut depth) = (name, 0);
        loop {
            let (uses, number) = self.uses(name);
            let outer = name.split_once('.').filter(|_| self.nested && uses.is_empty());
            let is_wrapper = |word: &str| WRAPPERS.iter().any(|own| own.eq_ignore_ascii_case(word));
            match outer.filter(|(wrapper, _)| is_wrapper(wrapper)) {
                Some((_, inner)) => (name, depth) = (inner, depth + 1),
                None => return (uses, number, depth),
            }
        }
    }

    /// What a parameter is used for, whatever its case; and the number in its name.
    pub fn uses(&self, name: &str) -> (&[Use], u16) {
        let lower;
        let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            lower = name.to_ascii_lowercase();
            &lower
        } else {
            name
        };
        if let Some(uses) = self.uses.get(name) {
            return (uses, 0);
        }
        let Some((pattern, number)) = numbered(name) else { return (&[], 0) };
        self.uses.get(pattern.as_str()).map_or((&[], 0), |uses| (uses, number))
    }
}

/// Objects that only hold what a postback says. What holds lines of an order is none: its prices are not the order's.
const WRAPPERS: &[&str] = &[
    "data",
    "payload",
    "body",
    "object",
    "event",
    "conversion",
    "transaction",
    "order",
    "sale",
    "postback",
    "params",
    "parameters",
    "attributes",
    "fields",
    "click",
    "tracking",
    "metadata",
    "meta",
    "result",
    "notification",
];

/// Names that are longer are not compared.
const NAME_BYTES_MAX: usize = 32;

/// True when one letter is missing, too many, wrong, or two neighbours are swapped. Numbers must agree: `sub1` is not `sub2`.
fn one_slip(one: &[u8], other: &[u8]) -> bool {
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    let same = short.iter().zip(long).take_while(|(left, right)| left == right).count();
    let (short, long) = (&short[same..], &long[same..]);
    let letters = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_alphabetic);
    match (short, long) {
        ([], [added]) => added.is_ascii_alphabetic(),
        ([], _) => false,
        (short, [added, rest @ ..]) if short.len() == rest.len() => {
            short == rest && added.is_ascii_alphabetic()
        }
        ([left, short @ ..], [right, long @ ..]) if short == long => letters(&[*left, *right]),
        ([a, b, short @ ..], [c, d, long @ ..]) => {
            short == long && (a, b) == (d, c) && letters(&[*a, *b])
        }
        _ => false,
    }
}

fn add(uses: &mut HashMap<Box<str>, Vec<Use>>, parameter: &str, to: Use) {
    uses.entry(parameter.to_ascii_lowercase().into()).or_default().push(to);
}

fn check_items(items: &Items) -> Result<(), String> {
    if items.price.is_empty() {
        return Err("items: no price".to_owned());
    }
    if items.style == ItemStyle::List && items.separator.chars().count() != 1 {
        return Err("items: a list needs a separator of one sign".to_owned());
    }
    let names = [&items.sku, &items.quantity, &items.price];
    let hash = |name: &&String| !name.is_empty() && !name.contains('#');
    if items.style == ItemStyle::Numbered && names.iter().copied().any(|name| hash(&name)) {
        return Err("items: numbered names have a # where the number stands".to_owned());
    }
    Ok(())
}

fn required(groups: &[String]) -> Result<Vec<Vec<Role>>, String> {
    let role = |word: &str| {
        Role::ALL.into_iter().find(|role| role.word() == word).ok_or_else(|| {
            let near = crate::config::nearest(word, Role::ALL.iter().map(|role| role.word()));
            format!("required: unknown role `{word}`; did you mean `{near}`?")
        })
    };
    groups.iter().map(|group| group.split('|').map(role).collect()).collect()
}

/// `item12` as `item#` and 12; `bd[1][sku]` as `bd[#][sku]` and 1: the last number in the name.
fn numbered(name: &str) -> Option<(String, u16)> {
    let end = name.rfind(|character: char| character.is_ascii_digit())? + 1;
    let start = name[..end]
        .rfind(|character: char| !character.is_ascii_digit())
        .map_or(0, |at| at + name[at..].chars().next().map_or(1, char::len_utf8));
    let number = name[start..end].parse().ok()?;
    Some((format!("{}#{}", &name[..start], &name[end..]), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_another_name() {
        let slip = |one: &str, other: &str| one_slip(one.as_bytes(), other.as_bytes());
        for (one, other) in [
            ("amout", "amount"),
            ("payuot", "payout"),
            ("cilckid", "clickid"),
            ("currencys", "currency"),
            ("sattus", "status"),
            ("stetus", "status"),
        ] {
            assert!(slip(one, other) && slip(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("amount", "amount"),
            ("sub1", "sub2"),
            ("adv1", "adv"),
            ("payout", "amount"),
            ("order", "ordered"),
            ("tid", "cid1"),
        ] {
            assert!(!slip(one, other) && !slip(other, one), "{one} {other}");
        }
    }

    #[test]
    fn numbers_in_names_are_told_from_names() {
        assert_eq!(numbered("item12"), Some(("item#".into(), 12)));
        assert_eq!(numbered("bd[1][sku]"), Some(("bd[#][sku]".into(), 1)));
        assert_eq!(numbered("ü7"), Some(("ü#".into(), 7)));
        assert_eq!(numbered("7"), Some(("#".into(), 7)));
        assert_eq!(numbered("sub"), None);
        assert_eq!(numbered("x99999999"), None);
    }
}
