//! The lines of an order, put together from parameters.
//!
//! In: parts of lines with the numbers in their names. Out: lines. Refuses: lists of different lengths. Promises: nothing is guessed: lines that don't
//! fit together are none.

use super::profile::ItemPart;
use super::reading::Found;

/// A line under way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line<'a> {
    /// The shop's number.
    pub sku: &'a str,
    /// How many; empty: one.
    pub quantity: &'a str,
    /// As it was sent.
    pub price: &'a str,
}

impl<'a> Line<'a> {
    fn set(&mut self, part: ItemPart, value: &'a str) {
        match part {
            ItemPart::Sku => self.sku = value,
            ItemPart::Quantity => self.quantity = value,
            ItemPart::Price => self.price = value,
        }
    }
}

type Parts<'a> = [(u16, ItemPart, Found<'a>)];

/// Lines by the number in the names, or by their group.
pub fn numbered<'a>(parts: &Parts<'a>) -> Option<Vec<Line<'a>>> {
    let mut lines = std::collections::BTreeMap::<u16, Line<'a>>::new();
    for (number, part, found) in parts {
        lines.entry(*number).or_default().set(*part, found.value);
    }
    Some(lines.into_values().collect())
}

/// Lines out of lists of one length.
pub fn list<'a>(parts: &Parts<'a>, sign: char) -> Option<Vec<Line<'a>>> {
    let split = parts.iter().flat_map(|(_, part, found)| {
        found.value.split(sign).map(move |value| (*part, value.trim()))
    });
    columns(split)
}

/// Lines out of parameters that come once for each.
pub fn repeated<'a>(parts: &Parts<'a>) -> Option<Vec<Line<'a>>> {
    columns(parts.iter().map(|(_, part, found)| (*part, found.value)))
}

fn columns<'a>(values: impl Iterator<Item = (ItemPart, &'a str)>) -> Option<Vec<Line<'a>>> {
    let (mut skus, mut quantities, mut prices) = (Vec::new(), Vec::new(), Vec::new());
    for (part, value) in values {
        match part {
            ItemPart::Sku => skus.push(value),
            ItemPart::Quantity => quantities.push(value),
            ItemPart::Price => prices.push(value),
        }
    }
    let fits = |column: &Vec<&str>| column.is_empty() || column.len() == prices.len();
    if !fits(&skus) || !fits(&quantities) {
        return None;
    }
    let at = |column: &Vec<&'a str>, place: usize| column.get(place).copied().unwrap_or("");
    let line = |place| Line {
        sku: at(&skus, place),
        quantity: at(&quantities, place),
        price: at(&prices, place),
    };
    Some((0..prices.len()).map(line).collect())
}

/// `GROUP:amount|GROUP:amount`.
pub fn parts<'a>(parts: &Parts<'a>) -> Option<Vec<Line<'a>>> {
    let all = parts.iter().flat_map(|(_, _, found)| found.value.split('|'));
    all.map(|one| {
        let (sku, price) = one.rsplit_once(':')?;
        Some(Line { sku, quantity: "", price })
    })
    .collect()
}
