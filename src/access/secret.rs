//! Secrets: the text of an API key, and what is kept of it.
//!
//! In: the system's random numbers, or text from a request. Out: a new key, or its public id and the hash of its secret part. Refuses: text of another shape.
//! Promises: the secret part has 256 random bits, so one fast hash keeps it as well as a slow one would; comparing takes the same time wherever two hashes differ.
//!
//! ```text
//!   ltk_4f8a1c2e9b_J0x…   the mark that scanners for leaked keys look for, the id, 43 characters of secret
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::keys::{hex, unhex};

/// What every key begins with.
pub const MARK: &str = "ltk_";

/// Characters of an id: 40 bits, so that two keys of one installation don't meet.
const ID_CHARACTERS: usize = 10;

/// Bytes of the secret part.
const SECRET_BYTES: usize = 32;

/// A key that was just made. It is shown once and kept nowhere.
pub struct Fresh {
    /// Its public part.
    pub id: String,
    /// The whole key.
    pub text: String,
    /// What is kept.
    pub hash: String,
}

/// Makes a key.
///
/// # Errors
/// When the system gives no random numbers.
pub fn make() -> Result<Fresh, getrandom::Error> {
    let (mut id, mut secret) = ([0; ID_CHARACTERS / 2], [0; SECRET_BYTES]);
    getrandom::fill(&mut id)?;
    getrandom::fill(&mut secret)?;
    let id = hex(&id);
    let text = format!("{MARK}{id}_{}", URL_SAFE_NO_PAD.encode(secret));
    Ok(Fresh { id, text, hash: hex(hash(&secret).as_bytes()) })
}

fn hash(secret: &[u8]) -> blake3::Hash {
    blake3::Hash::from_bytes(blake3::derive_key("leadtrail 2026-11 api key", secret))
}

/// What a request presents.
pub struct Presented<'a> {
    /// Whose it says to be.
    pub id: &'a str,
    hash: blake3::Hash,
}

impl<'a> Presented<'a> {
    /// Reads a key's text.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(MARK)?.split_once('_')?;
        let secret = URL_SAFE_NO_PAD.decode(secret).ok()?;
        (id.len() == ID_CHARACTERS && secret.len() == SECRET_BYTES)
            .then(|| Self { id, hash: hash(&secret) })
    }

    /// True when this is the key whose hash is kept. blake3 compares hashes in constant time. A hash that can't be read is nobody's.
    pub fn is(&self, kept: &str) -> bool {
        unhex(kept).is_some_and(|kept| self.hash == blake3::Hash::from_bytes(kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_is_known_by_its_hash_and_no_other_key_is() {
        let (one, other) = (make().unwrap(), make().unwrap());
        let presented = Presented::parse(&one.text).unwrap();
        assert_eq!(presented.id, one.id);
        assert!(presented.is(&one.hash) && !presented.is(&other.hash) && !presented.is(""));
        assert!(!one.hash.contains(&one.text[15..30]));
        let mixed = format!("{MARK}{}_{}", one.id, &other.text[MARK.len() + ID_CHARACTERS + 1..]);
        assert!(!Presented::parse(&mixed).unwrap().is(&one.hash));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,80}", tail in "[A-Za-z0-9_-]{0,60}") {
            let _ = Presented::parse(&text);
            let _ = Presented::parse(&format!("{MARK}{tail}"));
        }
    }
}
