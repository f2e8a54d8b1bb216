//! Editing: from what a command or a line of CSV says to a link that may be kept.
//!
//! In: fields by name, as text. Out: a checked [`Link`]. Refuses: what the registry refuses of its own links, and addresses that the site does not
//! admit; with the field, so that an import can name its column. Promises: a link that passes can be followed as it is.

use super::book::Book;
use super::record::{Kind, Link, Way};
use crate::check::{landing, redact};
use crate::config::nearest;
use crate::money::{Amount, Currency};
use crate::registry::{Registry, Site};

/// The fields, as columns of a CSV file and as options of a command.
pub const FIELDS: [&str; 17] = [
    "name",
    "number",
    "site",
    "destination",
    "campaign",
    "ad",
    "creative",
    "placement",
    "mailing",
    "product",
    "price_variant",
    "price",
    "currency",
    "kind",
    "expires",
    "fallback",
    "state",
];

/// Names of campaigns, ads and the like.
const WORD_BYTES_MAX: usize = 128;

/// More destinations than anybody compares.
const WAYS_MAX: usize = 16;

/// What is wrong, and with which field.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {why}")]
pub struct BadField {
    /// One of [`FIELDS`].
    pub field: &'static str,
    /// What is wrong, and what would be right.
    pub why: String,
}

fn bad(field: &'static str, why: impl Into<String>) -> BadField {
    BadField { field, why: why.into() }
}

/// Sets one field. An empty text empties it.
///
/// # Errors
/// When the text is none for this field.
pub fn set(link: &mut Link<'static>, field: &'static str, text: &str) -> Result<(), BadField> {
    let text = text.trim();
    let word = || std::borrow::Cow::Owned(text.to_owned());
    match field {
        "name" => link.name = word(),
        "number" => link.number = text.parse().map_err(|_| bad(field, "is a number from 1 on"))?,
        "site" => link.site = word(),
        "destination" => link.to = ways(text)?,
        "campaign" => link.campaign = word(),
        "ad" => link.ad = word(),
        "creative" => link.creative = word(),
        "placement" => link.placement = word(),
        "mailing" => link.mailing = word(),
        "product" => link.product = word(),
        "price_variant" => link.price_variant = word(),
        "price" if text.is_empty() => link.price = None,
        "price" => {
            let price = Amount::parse(text).ok().filter(|price| price.scaled() >= 0);
            link.price = Some(price.ok_or_else(|| bad(field, "is a plain number like 79.90"))?);
        }
        "currency" if text.is_empty() => link.currency = None,
        "currency" => {
            let currency = Currency::parse(text);
            link.currency = Some(currency.ok_or_else(|| bad(field, "is three letters like EUR"))?);
        }
        "kind" if text.is_empty() => link.kind = Kind::Found,
        "kind" => {
            let near = nearest(text, Kind::WORDS.into_iter());
            let why = || bad(field, format!("is 302, 307 or meta; did you mean `{near}`?"));
            link.kind = Kind::parse(text).ok_or_else(why)?;
        }
        "expires" => link.expires_ms = instant(text)?,
        "fallback" => link.fallback = word(),
        "state" => {
            link.retired = match text {
                "retired" => true,
                "live" | "" => false,
                _ => return Err(bad(field, "is live or retired")),
            }
        }
        _ => return Err(bad(field, "is no field")),
    }
    Ok(())
}

/// `https://…`, or several with their weights: `3*https://… 1*https://…`.
fn ways(text: &str) -> Result<Vec<Way<'static>>, BadField> {
    let field = "destination";
    let way = |part: &str| {
        let weighted = part.split_once('*').filter(|(weight, _)| {
            !weight.is_empty() && weight.bytes().all(|byte| byte.is_ascii_digit())
        });
        let (weight, url) = match weighted {
            None => (1, part),
            Some((weight, url)) => {
                let weight = weight.parse().map_err(|_| bad(field, "a weight is 0 to 65535"))?;
                (weight, url)
            }
        };
        Ok(Way { url: url.to_owned().into(), weight })
    };
    text.split_whitespace().map(way).collect()
}

/// A day (its end, UTC) or a time (RFC 3339), as milliseconds since 1970; empty: never.
pub fn instant(text: &str) -> Result<i64, BadField> {
    if text.is_empty() || text == "never" {
        return Ok(0);
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.as_millisecond());
    }
    let day = text.parse::<jiff::civil::Date>().ok().and_then(|day| {
        let end = day.tomorrow().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(end.timestamp().as_millisecond())
    });
    day.ok_or_else(|| bad("expires", "is a day (2026-12-31, to its end), or 2026-12-31T18:00:00Z"))
}

/// Checks a whole link, and writes its addresses as they may be kept.
///
/// # Errors
/// When it may not be kept.
pub fn check(link: &mut Link<'static>, registry: &Registry) -> Result<(), BadField> {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if link.name.is_empty() || link.name.len() > 64 || !link.name.chars().all(plain) {
        return Err(bad("name", "is 1 to 64 of a-z A-Z 0-9 - _ ."));
    }
    if registry.link(&link.name).is_some() {
        return Err(bad("name", format!("`{}` is a link of sites.toml", link.name)));
    }
    if let Some(other) = registry.link_numbered(link.number) {
        return Err(bad(
            "number",
            format!("{} is link `{}` of sites.toml", link.number, other.name),
        ));
    }
    let site = registry.site(&link.site).ok_or_else(|| {
        let near = nearest(&link.site, registry.sites().map(|site| site.name.as_str()));
        bad("site", format!("unknown site `{}`; did you mean `{near}`?", link.site))
    })?;
    check_addresses(link, site)?;
    if !link.mailing.is_empty() && registry.mailing(&link.mailing).is_none() {
        return Err(bad("mailing", format!("no mailing `{}` in sites.toml", link.mailing)));
    }
    if link.price.is_some() != link.currency.is_some() {
        return Err(bad("price", "price and currency go together"));
    }
    for (field, word) in [
        ("campaign", &link.campaign),
        ("ad", &link.ad),
        ("creative", &link.creative),
        ("placement", &link.placement),
        ("product", &link.product),
        ("price_variant", &link.price_variant),
    ] {
        check_word(field, word)?;
    }
    Ok(())
}

/// A word that reports show.
pub fn check_word(field: &'static str, word: &str) -> Result<(), BadField> {
    if word.len() > WORD_BYTES_MAX || word.chars().any(char::is_control) {
        return Err(bad(field, "is at most 128 bytes, without control characters"));
    }
    if redact::looks_like_email(word) {
        return Err(bad(field, "holds an e-mail address; reports are no place for one"));
    }
    Ok(())
}

fn check_addresses(link: &mut Link<'static>, site: &Site) -> Result<(), BadField> {
    if link.to.is_empty() {
        return Err(bad("destination", "is missing"));
    }
    if link.to.len() > WAYS_MAX {
        return Err(bad("destination", "at most 16 share a link"));
    }
    if link.to.iter().all(|way| way.weight == 0) {
        return Err(bad("destination", "one needs a weight above 0"));
    }
    for way in &mut link.to {
        way.url = address("destination", &way.url, site)?.into();
    }
    if !link.fallback.is_empty() {
        link.fallback = address("fallback", &link.fallback, site)?.into();
    }
    Ok(())
}

/// An address as it may be kept.
pub fn address(field: &'static str, text: &str, site: &Site) -> Result<String, BadField> {
    let url = landing::accept(text, site).map_err(|error| bad(field, error.to_string()))?;
    if landing::is_personal(&url) {
        return Err(bad(field, "names a person in its query: everybody on the way could read it"));
    }
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or("");
    let has_ours = crate::receive::pairs::pairs(query.as_bytes()).any(|pair| pair.name == "lt");
    if has_ours {
        Err(bad(field, "has a parameter `lt`; our click id goes there"))
    } else {
        Ok(url)
    }
}

/// Gives a new link its number, or keeps an old one's.
///
/// # Errors
/// When the number is another link's.
pub fn number(link: &mut Link<'static>, book: &Book) -> Result<(), BadField> {
    if let Some(known) = book.link(&link.name) {
        let other = link.number != 0 && link.number != known.number;
        link.number = known.number;
        return if other { Err(bad("number", "a link keeps its number for ever")) } else { Ok(()) };
    }
    if link.number == 0 {
        link.number = book.next_number();
    }
    match book.link_numbered(link.number) {
        Some(other) => Err(bad("number", format!("belongs to link `{}` for ever", other.name))),
        None => Ok(()),
    }
}
