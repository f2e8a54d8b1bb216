//! Sessions: a signed word that says who signed in and when.
//!
//! In: a user's name and the time. Out: a token for a cookie, or the session that a token stands for, and the word that its forms carry. Refuses: what our keys did not sign, and what is older
//! than `app.session_hours`. Promises: nothing is kept, so any app process with the same keys admits it; whether the user still may come in is asked of the [`crate::access::book`] each time.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::keys::Keys;
use crate::tokens;

/// The longest text that is looked at: names have 32 characters at most.
const TOKEN_CHARACTERS_MAX: usize = 128;

/// Random bytes that tell two sessions of one user from each other.
const NONCE_BYTES: usize = 16;

/// Who signed in, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The user.
    pub name: String,
    /// Milliseconds since 1970.
    pub began_ms: i64,
    /// For the forms of its pages: what another site's page can't know.
    pub form_word: String,
}

/// Signs a session.
///
/// # Errors
/// When the system gives no random numbers.
pub fn sign(keys: &Keys, name: &str, now_ms: i64) -> Result<String, getrandom::Error> {
    let set = keys.signer();
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce)?;
    let mut body = vec![set.number];
    body.extend_from_slice(&now_ms.to_be_bytes());
    body.extend_from_slice(&nonce);
    body.extend_from_slice(name.as_bytes());
    Ok(tokens::seal(&set.session, body))
}

/// Reads a session's token.
pub fn verify(keys: &Keys, token: &str, now_ms: i64, lasts_ms: i64) -> Option<Session> {
    if token.len() > TOKEN_CHARACTERS_MAX {
        return None;
    }
    let body = tokens::open_long(keys, |set| &set.session, token)?;
    let (began, rest) = body.get(1..)?.split_first_chunk::<8>()?;
    let (_, name) = rest.split_first_chunk::<NONCE_BYTES>()?;
    let began_ms = i64::from_be_bytes(*began);
    let lives = (began_ms..began_ms.saturating_add(lasts_ms)).contains(&now_ms);
    let name = String::from_utf8(name.to_vec()).ok()?;
    lives.then(|| Session { name, began_ms, form_word: form_word(keys, &body) })
}

/// Derived from the session, so that it is good for this one alone; and not the session itself, for it stands in a page.
fn form_word(keys: &Keys, body: &[u8]) -> String {
    let key = keys.find(body[0]).map_or([0; 32], |set| set.session);
    let mut hasher = blake3::Hasher::new_keyed(&key);
    hasher.update(b"form").update(body);
    URL_SAFE_NO_PAD.encode(&hasher.finalize().as_bytes()[..16])
}

/// True when two words are the same, in constant time.
pub fn same(left: &str, right: &str) -> bool {
    // Both are hashed first: what is compared then says nothing about where the words differ.
    blake3::hash(left.as_bytes()) == blake3::hash(right.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys() -> Keys {
        Keys::open(tempfile::tempdir().unwrap().path()).unwrap()
    }

    #[test]
    fn a_session_is_good_until_it_is_too_old_and_only_under_our_keys() {
        let (keys, hour) = (keys(), 3_600_000);
        let token = sign(&keys, "ada", 1_000_000).unwrap();
        let session = verify(&keys, &token, 1_000_001, hour).unwrap();
        assert_eq!((session.name.as_str(), session.began_ms), ("ada", 1_000_000));
        assert_eq!(verify(&keys, &token, 1_000_000 + hour, hour), None, "over");
        assert_eq!(verify(&keys, &token, 999_999, hour), None, "from the future");
        assert_eq!(verify(&super::tests::keys(), &token, 1_000_001, hour), None);
        let other = verify(&keys, &sign(&keys, "ada", 1_000_000).unwrap(), 1_000_001, hour);
        assert!(!same(&session.form_word, &other.unwrap().form_word));
        assert!(!token.contains(&session.form_word));
    }

    proptest! {
        #![proptest_config(crate::cases::cases(64))]
        #[test]
        fn no_changed_token_is_a_session(flip in 0usize..600, text in ".{0,130}") {
            let keys = keys();
            let token = sign(&keys, "somebody", 5).unwrap();
            let mut bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
            let bit = flip % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(verify(&keys, &URL_SAFE_NO_PAD.encode(bytes), 6, 100), None);
            prop_assert_eq!(verify(&keys, &text, 6, 100), None);
        }
    }
}
