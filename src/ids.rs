//! Identifiers: events, visitors and the hash of a browser's day.
//!
//! In: time, a counter and a node number; text from cookies and records. Out: ids that are valid by construction.
//! Refuses: text of another length or alphabet. Promises: two events never share an id, because a process takes a new
//! random node number at its start and never repeats a counter within one millisecond.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An event's id: a UUIDv7 whose tail holds a counter and the node (DATA_MODEL.md, decision 2), so that ClickHouse stores
/// it in about two bytes. Bits: 48 milliseconds, 4 version, 12 + 20 counter, 2 variant, 32 node, 10 zero.
///
/// It can be guessed. What is shown to the public therefore carries a MAC besides (see [`crate::tokens`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct EventId(u128);

impl EventId {
    /// Puts the parts together. `millis` is the time of receipt.
    pub fn from_parts(millis: u64, sequence: u32, node: u32) -> Self {
        let sequence = u128::from(sequence);
        Self(
            (u128::from(millis & 0xFFFF_FFFF_FFFF) << 80)
                | (0x7 << 76)
                | ((sequence >> 20) << 64)
                | (0b10 << 62)
                | ((sequence & 0xF_FFFF) << 42)
                | (u128::from(node) << 10),
        )
    }

    /// Milliseconds since 1970 at which the event was received.
    pub fn millis(self) -> i64 {
        i64::try_from(self.0 >> 80).expect("48 bits fit")
    }

    /// The counter.
    pub fn sequence(self) -> u32 {
        let high = (self.0 >> 64) & 0xFFF;
        let low = (self.0 >> 42) & 0xF_FFFF;
        u32::try_from((high << 20) | low).expect("32 bits fit")
    }

    /// The process that minted it.
    pub fn node(self) -> u32 {
        u32::try_from((self.0 >> 10) & 0xFFFF_FFFF).expect("32 bits fit")
    }

    /// The id that was minted so many after this one, for the same time ([`Minter::mint_several`]).
    #[must_use]
    pub fn later(self, count: u32) -> Self {
        let millis = u64::try_from(self.millis()).unwrap_or(0);
        Self::from_parts(millis, self.sequence().wrapping_add(count), self.node())
    }

    /// All 128 bits, big endian.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// All 128 bits as ClickHouse's `UInt128` holds them: in time order.
    pub fn as_u128(self) -> u128 {
        self.0
    }

    /// Reads 16 bytes; `None` unless they have this layout.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        let id = Self(u128::from_be_bytes(bytes));
        let millis = u64::try_from(id.millis()).ok()?;
        (Self::from_parts(millis, id.sequence(), id.node()) == id).then_some(id)
    }

    fn parse(text: &str) -> Option<Self> {
        Self::from_bytes(*uuid::Uuid::try_parse(text).ok()?.as_bytes())
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_u128(self.0).hyphenated().fmt(formatter)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut buffer = uuid::Uuid::encode_buffer();
        serializer
            .serialize_str(uuid::Uuid::from_u128(self.0).hyphenated().encode_lower(&mut buffer))
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not an event id of ours"))
    }
}

/// Mints event ids. One per process.
#[derive(Debug)]
pub struct Minter {
    node: u32,
    sequence: AtomicU32,
}

impl Minter {
    /// Takes a random node number. Two processes alive at once share one with a chance of 1 in 4,294,967,296.
    pub fn new() -> Result<Self, getrandom::Error> {
        Ok(Self { node: getrandom::u32()?, sequence: AtomicU32::new(0) })
    }

    /// A new id, received at `millis`.
    pub fn mint(&self, millis: i64) -> EventId {
        self.mint_several(millis, 1)
    }

    /// The first of `count` new ids; the others are [`EventId::later`] than it.
    pub fn mint_several(&self, millis: i64, count: u32) -> EventId {
        let sequence = self.sequence.fetch_add(count, Ordering::Relaxed);
        EventId::from_parts(u64::try_from(millis).unwrap_or(0), sequence, self.node)
    }
}

/// Milliseconds since 1970 by the wall clock; 0 before 1970.
pub fn now_millis() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}

/// A browser: 128 random bits from our cookie, a day's hash, or nothing at all (zero).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct VisitorId(u128);

impl VisitorId {
    /// No visitor is known.
    pub const NONE: Self = Self(0);

    /// A new random one, for a cookie.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(u128::from_be_bytes(bytes)))
    }

    /// The day's hash as a visitor: upper half zero, so that the two kinds can't meet.
    pub fn from_day_hash(hash: DayHash) -> Self {
        Self(u128::from(hash.0))
    }

    /// All 128 bits.
    pub fn as_u128(self) -> u128 {
        self.0
    }

    /// True when no visitor is known.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Reads a cookie's value: 32 hexadecimal digits whose upper half isn't zero.
    pub fn from_cookie(text: &str) -> Option<Self> {
        let id = Self(hex_u128(text)?);
        (id.0 >> 64 != 0).then_some(id)
    }
}

impl fmt::Display for VisitorId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Several times as fast as `{:032x}`, and every cookie is written with it.
        let mut digits = [0; 32];
        formatter.write_str(uuid::Uuid::from_u128(self.0).simple().encode_lower(&mut digits))
    }
}

impl Serialize for VisitorId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VisitorId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        hex_u128(&text)
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("a visitor is 32 hexadecimal digits"))
    }
}

/// Declares a keyed hash of 64 bits; zero where none was made.
macro_rules! keyed_hash {
    ($(#[$documentation:meta])* $name:ident, $wrong:literal) => {
        $(#[$documentation])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
        pub struct $name(pub u64);

        impl $name {
            /// True when none was made.
            pub fn is_none(&self) -> bool {
                self.0 == 0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&format_args!("{:016x}", self.0))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                u64::from_str_radix(&text, 16)
                    .map(Self)
                    .map_err(|_| serde::de::Error::custom($wrong))
            }
        }
    };
}

keyed_hash!(
    /// A keyed hash of one browser's day (see [`crate::keys::DailySalt`]).
    DayHash,
    "a day's hash is 16 hexadecimal digits"
);
keyed_hash!(
    /// A keyed hash of a form's submission (see [`crate::check::submission`]).
    SubmissionKey,
    "a submission's key is 16 hexadecimal digits"
);

/// A keyed hash of the sender's own name for the recipient of a mail; zero where there is none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct RecipientKey(pub u64);

impl RecipientKey {
    /// True when there is none.
    pub fn is_none(&self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for RecipientKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl Serialize for RecipientKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RecipientKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DayHash::deserialize(deserializer).map(|hash| Self(hash.0))
    }
}

fn hex_u128(text: &str) -> Option<u128> {
    let plain = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_is_a_uuid_of_version_7() {
        let id = EventId::from_parts(1_790_000_000_123, u32::MAX, 7);
        let uuid = uuid::Uuid::from_u128(id.as_u128());
        assert_eq!(uuid.get_version_num(), 7);
        assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
    }

    proptest! {
        #[test]
        fn an_id_gives_its_parts_back(millis in 0u64..(1 << 48), sequence: u32, node: u32) {
            let id = EventId::from_parts(millis, sequence, node);
            prop_assert_eq!(id.millis() as u64, millis);
            prop_assert_eq!((id.sequence(), id.node()), (sequence, node));
            let text = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(serde_json::from_str::<EventId>(&text).unwrap(), id);
            prop_assert_eq!(EventId::from_bytes(id.to_bytes()), Some(id));
        }

        #[test]
        fn a_cookie_of_ours_is_read_and_no_other(bits: u128, noise in ".{0,40}") {
            let id = VisitorId(bits);
            prop_assert_eq!(VisitorId::from_cookie(&id.to_string()).is_some(), bits >> 64 != 0);
            let _ = VisitorId::from_cookie(&noise);
        }
    }
}
