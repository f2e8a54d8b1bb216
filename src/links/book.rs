//! The book: every registered link in memory, packed.
//!
//! In: changes, one after the other. Out: links by name, by number and by ad; the kill-switches. Refuses: a number that another link has or had.
//! Promises: a million links take some 150 MB; a look-up is one hash and some bytes decoded, however many there are.
//!
//! A link is a run of bytes in one large buffer. Words that repeat (campaigns, products, `https://host` of addresses) stand once, in
//! [`Words`], and are numbers in the run. A changed link is written anew at the end: what it leaves behind is gone at the next start.
//! Indexes hold what they compare, so that one that grows reads itself and not a million runs.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::kills::Kills;
use super::record::{Change, Kind, Link, Way};
use super::words::Words;
use crate::check::landing;
use crate::money::{Amount, Currency};

/// Numbers that commands give begin here: those below are for sites.toml.
pub const NUMBER_MIN: u32 = 1_000_000;

/// Why a change doesn't fit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Numbers are for ever.
    #[error("link `{name}` has number {number}, which belongs to another link for ever")]
    Number {
        /// The link.
        name: String,
        /// The number.
        number: u32,
    },
    /// A link without a destination.
    #[error("link `{0}` has no destination")]
    Nowhere(String),
    /// More than addresses of 32 bits reach.
    #[error("there is no room for more links: the book holds 4 GiB")]
    Full,
}

/// All links.
#[derive(Default)]
pub struct Book {
    bytes: Vec<u8>,
    words: Words,
    /// Where each link's run begins, by slot. Slots are for ever, so the indexes need no change when a link does.
    places: Vec<u32>,
    /// The name's hash, and the slot.
    names: HashTable<(u32, u32)>,
    /// The number, and the slot.
    numbers: HashTable<(u32, u32)>,
    /// By ad's word: the lowest number, and its slot.
    ads: HashMap<u32, (u32, u32), DefaultHashBuilder>,
    /// Strangers ask for names but add none, so a quick hash is strong enough.
    hasher: DefaultHashBuilder,
    kills: Kills,
    number_max: u32,
    /// Changes that were applied, so that a file of mostly old ones can be told.
    changes: u64,
}

impl Book {
    /// Takes one change.
    ///
    /// # Errors
    /// When it contradicts what stands.
    pub fn apply(&mut self, change: &Change<'_>) -> Result<(), Misfit> {
        match change {
            Change::Kill(kill) => self.kills.set(kill),
            Change::Link(link) => self.put(link)?,
        }
        self.changes += 1;
        Ok(())
    }

    /// Makes room for so many links at once.
    pub fn reserve(&mut self, links: usize) {
        let Self { places, names, numbers, hasher, .. } = self;
        places.reserve(links);
        names.reserve(links, |(hash, _)| spread(*hash));
        numbers.reserve(links, |(number, _)| hasher.hash_one(number));
    }

    fn put(&mut self, link: &Link<'_>) -> Result<(), Misfit> {
        if link.to.is_empty() {
            return Err(Misfit::Nowhere(link.name.to_string()));
        }
        let of_number = self.slot_numbered(link.number);
        let slot = self.slot(&link.name);
        if link.number == 0 || of_number != slot {
            return Err(Misfit::Number { name: link.name.to_string(), number: link.number });
        }
        let place = u32::try_from(self.bytes.len()).map_err(|_| Misfit::Full)?;
        let ad = self.write(link);
        let Some(slot) = slot else {
            let slot = self.index(link, place)?;
            if !link.ad.is_empty() {
                self.index_ad(ad, slot, link.number);
            }
            return Ok(());
        };
        let old = self.link_at(slot);
        let left_ad = old.ad != link.ad && !old.ad.is_empty();
        self.places[slot as usize] = place;
        if left_ad {
            self.index_ads();
        } else if !link.ad.is_empty() {
            self.index_ad(ad, slot, link.number);
        }
        Ok(())
    }

    /// A new link's slot.
    fn index(&mut self, link: &Link<'_>, place: u32) -> Result<u32, Misfit> {
        let slot = u32::try_from(self.places.len()).map_err(|_| Misfit::Full)?;
        let hash = self.hash_of_name(&link.name);
        let Self { places, names, numbers, hasher, .. } = self;
        places.push(place);
        names.insert_unique(spread(hash), (hash, slot), |(hash, _)| spread(*hash));
        let of_number = hasher.hash_one(link.number);
        numbers
            .insert_unique(of_number, (link.number, slot), |(number, _)| hasher.hash_one(number));
        self.number_max = self.number_max.max(link.number);
        Ok(slot)
    }

    fn index_ad(&mut self, ad: u32, slot: u32, number: u32) {
        let first = self.ads.entry(ad).or_insert((number, slot));
        *first = (*first).min((number, slot));
    }

    /// From nothing: a link left its ad, and another may be the first there now. Rare, and milliseconds for a million.
    fn index_ads(&mut self) {
        self.ads.clear();
        for slot in 0..self.places.len() as u32 {
            let link = self.link_at(slot);
            let (number, ad) = (link.number, self.words.find(&link.ad, &self.hasher));
            if let Some(ad) = ad.filter(|ad| *ad != 0) {
                self.index_ad(ad, slot, number);
            }
        }
    }

    fn hash_of_name(&self, name: &str) -> u32 {
        self.hasher.hash_one(name.as_bytes()) as u32
    }

    fn slot(&self, name: &str) -> Option<u32> {
        let hash = self.hash_of_name(name);
        let is = |(other, slot): &(u32, u32)| {
            *other == hash && self.run(*slot).name() == name.as_bytes()
        };
        self.names.find(spread(hash), is).map(|(_, slot)| *slot)
    }

    fn slot_numbered(&self, number: u32) -> Option<u32> {
        let found = self.numbers.find(self.hasher.hash_one(number), |(other, _)| *other == number);
        found.map(|(_, slot)| *slot)
    }

    fn run(&self, slot: u32) -> Run<'_> {
        Run(&self.bytes[self.places[slot as usize] as usize..])
    }

    /// The link of this name, whatever its state.
    pub fn link(&self, name: &str) -> Option<Link<'_>> {
        self.slot(name).map(|slot| self.link_at(slot))
    }

    /// The link of this number, whatever its state.
    pub fn link_numbered(&self, number: u32) -> Option<Link<'_>> {
        self.slot_numbered(number).map(|slot| self.link_at(slot))
    }

    /// The link with the lowest number among those of this ad.
    pub fn link_of_ad(&self, ad: &str) -> Option<Link<'_>> {
        let word = self.words.find(ad, &self.hasher)?;
        self.ads.get(&word).map(|(_, slot)| self.link_at(*slot))
    }

    /// All links, in the order in which they were added.
    pub fn links(&self) -> impl Iterator<Item = Link<'_>> {
        (0..self.places.len() as u32).map(|slot| self.link_at(slot))
    }

    /// How many links.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// True without links.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The number for the next link.
    pub fn next_number(&self) -> u32 {
        self.number_max.saturating_add(1).max(NUMBER_MIN)
    }

    /// The kill-switches.
    pub fn kills(&self) -> &Kills {
        &self.kills
    }

    /// True when a file that brought this book holds mostly what is over.
    pub fn is_mostly_old(&self) -> bool {
        self.changes > 2 * (self.places.len() as u64 + self.kills.len() as u64) + 1_000
    }

    /// Everything that counts, as changes: what a new file has to hold.
    pub fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        self.links().map(Change::Link).chain(self.kills.iter().map(Change::Kill))
    }

    /// Writes a link's run; gives the word of its ad.
    fn write(&mut self, link: &Link<'_>) -> u32 {
        let Self { bytes, words, hasher, .. } = self;
        push(bytes, link.number.into());
        push_text(bytes, &link.name);
        push(bytes, words.intern(&link.site, hasher).into());
        let marks = [
            link.retired,
            link.price.is_some(),
            link.currency.is_some(),
            link.expires_ms != 0,
            !link.fallback.is_empty(),
        ];
        let flags = marks
            .iter()
            .enumerate()
            .fold(link.kind as u8, |flags, (bit, on)| flags | u8::from(*on) << (2 + bit));
        bytes.push(flags);
        let ad = words.intern(&link.ad, hasher);
        for text in [
            &link.campaign,
            &link.creative,
            &link.placement,
            &link.mailing,
            &link.product,
            &link.price_variant,
        ] {
            push(bytes, words.intern(text, hasher).into());
        }
        push(bytes, ad.into());
        if let Some(price) = link.price {
            bytes.extend_from_slice(&price.scaled().to_le_bytes());
        }
        if let Some(currency) = link.currency {
            bytes.extend_from_slice(currency.as_str().as_bytes());
        }
        if link.expires_ms != 0 {
            bytes.extend_from_slice(&link.expires_ms.to_le_bytes());
        }
        let mut push_url = |bytes: &mut Vec<u8>, url: &str| {
            let rest = landing::split(url).map_or(url, |(_, _, rest)| rest);
            push(bytes, words.intern(&url[..url.len() - rest.len()], hasher).into());
            push_text(bytes, rest);
        };
        if !link.fallback.is_empty() {
            push_url(bytes, &link.fallback);
        }
        push(bytes, link.to.len() as u64);
        for way in &link.to {
            push(bytes, way.weight.into());
            push_url(bytes, &way.url);
        }
        ad
    }

    fn link_at(&self, slot: u32) -> Link<'_> {
        let mut run = self.run(slot);
        let number = run.number() as u32;
        let name = Cow::Borrowed(run.text());
        let site = self.word(&mut run);
        let flags = run.take(1)[0];
        let has = |bit: u8| flags & (1 << (2 + bit)) != 0;
        let [campaign, creative, placement, mailing, product, price_variant, ad] =
            std::array::from_fn(|_| self.word(&mut run));
        let eight = |run: &mut Run<'_>| {
            i64::from_le_bytes(run.take(8).try_into().expect("eight bytes were taken"))
        };
        let price = has(1).then(|| Amount::from_scaled(eight(&mut run)));
        let currency = has(2).then(|| std::str::from_utf8(run.take(3)).ok()).flatten();
        let expires_ms = if has(3) { eight(&mut run) } else { 0 };
        let fallback = if has(4) { self.url(&mut run) } else { Cow::Borrowed("") };
        let ways = run.number();
        let to = (0..ways).map(|_| Way { weight: run.number() as u16, url: self.url(&mut run) });
        Link {
            number,
            name,
            site,
            to: to.collect(),
            campaign,
            ad,
            creative,
            placement,
            mailing,
            product,
            price_variant,
            price,
            currency: currency.and_then(Currency::parse),
            kind: [Kind::Found, Kind::Temporary, Kind::Meta, Kind::Found][usize::from(flags & 3)],
            expires_ms,
            fallback,
            retired: has(0),
        }
    }

    fn word(&self, run: &mut Run<'_>) -> Cow<'_, str> {
        Cow::Borrowed(self.words.get(run.number() as u32))
    }

    fn url(&self, run: &mut Run<'_>) -> Cow<'_, str> {
        let origin = self.words.get(run.number() as u32);
        Cow::Owned([origin, run.text()].concat())
    }
}

/// A link's run, being read. What is read was written by [`Book::write`] in this process.
struct Run<'a>(&'a [u8]);

impl<'a> Run<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn number(&mut self) -> u64 {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        number
    }

    fn text(&mut self) -> &'a str {
        let length = self.number() as usize;
        std::str::from_utf8(self.take(length)).expect("a text was written here")
    }

    fn name(mut self) -> &'a [u8] {
        self.number();
        let length = self.number() as usize;
        self.take(length)
    }
}

/// A hash of 32 bits for a table that looks at both ends of 64.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

fn push(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    push(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
