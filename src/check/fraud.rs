//! Fraud: which oddities of one event are signs of it, and what a click tells about the conversion that names it.
//!
//! In: a click id with its claim, the offer that it is used for, the time; an event's flags. Out: flags; the signs among them. Refuses:
//! nothing: what looks like fraud is kept, and people decide. Promises: the same event gives the same signs; [`RULESET`]
//! is stored beside them and grows whenever a rule changes. What only many events together tell is asked of the warehouse
//! (`leadtrail report fraud`).

use hyper::HeaderMap;
use hyper::header::HeaderName;

use crate::check::flags::{Flag, Flags};
use crate::config::Config;
use crate::registry::Registry;
use crate::tokens::ClickClaim;

/// The version of these rules.
pub const RULESET: u16 = 1;

/// The flags that are signs of fraud; the others are somebody's mistake.
pub const SIGNALS: &[Flag] = &[
    Flag::ConversionTooSoon,
    Flag::ClickOfOtherOffer,
    Flag::ClickIdForged,
    Flag::ClickExpired,
    Flag::AmountOverCeiling,
    Flag::MacroUnexpanded,
    Flag::ValueIsAList,
    Flag::ClickEmbedded,
    Flag::ClickNotActivated,
];

const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_USER: HeaderName = HeaderName::from_static("sec-fetch-user");

/// The length of our click ids, in characters (tokens.rs).
const CLICK_ID_LENGTHS: std::ops::RangeInclusive<usize> = 46..=67;

/// How long a click earns a conversion, and how soon none can follow it.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Where the offer says nothing else.
    pub window_days: u32,
    /// Sooner was no person.
    pub soon_ms: i64,
}

impl Terms {
    /// As configured.
    pub fn of(config: &Config) -> Self {
        Self { window_days: config.settle.click_window_days, soon_ms: config.fraud.soon_ms }
    }
}

/// What a click says about a conversion of `offer` at `at_ms` that names it.
pub fn of_click(
    claim: &ClickClaim,
    offer: Option<&str>,
    at_ms: i64,
    registry: &Registry,
    terms: Terms,
) -> Flags {
    let mut flags = Flags::default();
    let of_click = registry.offer_numbered(claim.offer);
    if let (Some(offer), Some(own)) = (offer, of_click)
        && own.name != offer
    {
        flags.set(Flag::ClickOfOtherOffer);
    }
    let days = of_click.and_then(|offer| offer.window_days).unwrap_or(terms.window_days);
    let age_ms = at_ms - claim.id.millis();
    if age_ms > i64::from(days) * 86_400_000 {
        flags.set(Flag::ClickExpired);
    } else if age_ms < terms.soon_ms {
        flags.set(Flag::ConversionTooSoon);
    }
    flags
}

/// What a click id is that our keys did not sign: somebody else's, or made to look like ours.
pub fn of_unsigned(click_id: &str) -> Flag {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let like_ours = CLICK_ID_LENGTHS.contains(&click_id.len()) && click_id.bytes().all(plain);
    // Hex of 64 signs is somebody else's hash.
    let hex = click_id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if like_ours && !hex { Flag::ClickIdForged } else { Flag::ClickIdNotOurs }
}

/// How a browser came to load an affiliate's link, as far as it says so (Fetch Metadata): what a page embeds was followed by nobody
/// (cookie stuffing), and a page that leads on by itself may have been. A browser that says nothing is believed.
pub fn of_loading(headers: &HeaderMap) -> Flags {
    let mut flags = Flags::default();
    let is = |name: &HeaderName, value: &str| headers.get(name).is_some_and(|own| own == value);
    if headers.get(SEC_FETCH_DEST).is_none() {
        return flags;
    }
    if !is(&SEC_FETCH_DEST, "document") {
        flags.set(Flag::ClickEmbedded);
    } else if is(&SEC_FETCH_MODE, "navigate") && !is(&SEC_FETCH_USER, "?1") {
        flags.set(Flag::ClickNotActivated);
    }
    flags
}

/// The signs among an event's flags.
pub fn signals(flags: &[String]) -> Vec<String> {
    let is_signal = |word: &&String| SIGNALS.iter().any(|signal| signal.word() == word.as_str());
    flags.iter().filter(is_signal).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn loaded(pairs: &[(HeaderName, &'static str)]) -> Vec<String> {
        let pairs =
            pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        of_loading(&pairs.collect()).words()
    }

    #[test]
    fn a_link_that_a_page_embeds_is_no_visitors_click() {
        for embedded in ["image", "iframe", "script", "style", "empty", "object", "font"] {
            assert_eq!(loaded(&[(SEC_FETCH_DEST, embedded)]), ["click_embedded"], "{embedded}");
        }
        let document = (SEC_FETCH_DEST, "document");
        let navigate = (SEC_FETCH_MODE, "navigate");
        assert_eq!(loaded(&[document.clone(), navigate.clone()]), ["click_not_activated"]);
        // What a person follows, and what an old browser says, trip nothing.
        assert!(loaded(&[document, navigate, (SEC_FETCH_USER, "?1")]).is_empty());
        assert!(loaded(&[]).is_empty());
    }

    #[test]
    fn what_looks_like_ours_and_is_not_signed_is_forged() {
        assert_eq!(of_unsigned(&"aB3_".repeat(12)), Flag::ClickIdForged);
        assert_eq!(of_unsigned(&"ab12".repeat(16)), Flag::ClickIdNotOurs);
        assert_eq!(of_unsigned("w8f2a"), Flag::ClickIdNotOurs);
    }

    #[test]
    fn a_mistake_is_no_sign_of_fraud() {
        let words = ["status_unknown", "click_expired", "cut"].map(str::to_owned);
        assert_eq!(signals(&words), ["click_expired"]);
        assert!(signals(&["amount_of_offer".to_owned()]).is_empty());
    }
}
