//! A day's salt, sealed for those who have the same keys: what lies in a topic is of no use to who can read the topic.
//!
//! In: a key, a day, a salt. Out: 64 bytes as hex digits: nonce, ciphertext, tag. Refuses: what was sealed with another key or for
//! another day, and what was changed. Promises: a fresh nonce for each sealing (XOR with BLAKE3's keyed output, then its keyed hash over all).

use super::{hex, random_key, unhex};

const NONCE_BYTES: usize = 32;

/// Seals a salt.
pub(super) fn seal(key: &[u8; 32], day: i64, salt: &[u8; 32]) -> String {
    let nonce = random_key();
    let cipher = xor(salt, &stream(key, day, &nonce));
    [hex(&nonce), hex(&cipher), hex(&tag(key, day, &nonce, &cipher))].concat()
}

/// The salt, if it was sealed with this key for this day.
pub(super) fn open(key: &[u8; 32], day: i64, sealed: &str) -> Option<[u8; 32]> {
    if !sealed.is_ascii() || sealed.len() != 6 * NONCE_BYTES {
        return None;
    }
    let part = |index: usize| unhex(&sealed[index * 64..(index + 1) * 64]);
    let (nonce, cipher, given) = (part(0)?, part(1)?, part(2)?);
    // `blake3::Hash` compares in constant time.
    let genuine = blake3::Hash::from(tag(key, day, &nonce, &cipher)) == blake3::Hash::from(given);
    genuine.then(|| xor(&cipher, &stream(key, day, &nonce)))
}

fn stream(key: &[u8; 32], day: i64, nonce: &[u8; NONCE_BYTES]) -> [u8; 32] {
    keyed(key, "leadtrail 2026-11 salt seal stream", day, &[nonce])
}

fn tag(key: &[u8; 32], day: i64, nonce: &[u8; NONCE_BYTES], cipher: &[u8; 32]) -> [u8; 32] {
    keyed(key, "leadtrail 2026-11 salt seal tag", day, &[nonce, cipher])
}

fn keyed(key: &[u8; 32], purpose: &str, day: i64, parts: &[&[u8; 32]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(&blake3::derive_key(purpose, key));
    hasher.update(&day.to_le_bytes());
    parts.iter().for_each(|part| {
        hasher.update(&part[..]);
    });
    hasher.finalize().into()
}

fn xor(one: &[u8; 32], other: &[u8; 32]) -> [u8; 32] {
    std::array::from_fn(|index| one[index] ^ other[index])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_sealed_is_opened_with_the_same_key_for_the_same_day_alone() {
        let (key, salt) = ([1; 32], [7; 32]);
        let sealed = seal(&key, 20_000, &salt);
        assert_eq!(open(&key, 20_000, &sealed), Some(salt));
        assert_eq!(open(&[2; 32], 20_000, &sealed), None);
        assert_eq!(open(&key, 20_001, &sealed), None);
        assert!(!sealed.contains(&hex(&salt)));
        assert_ne!(seal(&key, 20_000, &salt), sealed, "a fresh nonce each time");
    }

    proptest! {
        #[test]
        fn a_changed_seal_is_refused(at in 0usize..192, digit in "[0-9a-f]") {
            let sealed = seal(&[1; 32], 1, &[7; 32]);
            let mut changed = sealed.clone();
            changed.replace_range(at..=at, &digit);
            prop_assert_eq!(open(&[1; 32], 1, &changed).is_some(), changed == sealed);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}") {
            prop_assert_eq!(open(&[1; 32], 1, &text), None);
        }
    }
}
