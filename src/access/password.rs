//! Passwords: hashed with argon2id, compared in constant time.
//!
//! In: a password. Out: its hash, or whether it is that of a hash. Refuses: one that is too short to be worth hashing, and one that is longer than a person types. Promises:
//! a check costs the same whether the name is known or not, and a handful at a time, so that guessing can't take the machine's memory.

use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::Semaphore;

/// The shortest that is taken: what NIST asks of a password that stands alone is 15, of one behind a limit of tries 8.
pub const CHARACTERS_MIN: usize = 12;

/// The longest that is looked at; a sentence.
pub const BYTES_MAX: usize = 256;

/// Checks at once: each takes 19 MiB and a core for some 30 ms.
const CHECKS_MAX: usize = 2;

/// How long somebody waits for a turn. Who guesses fast meets the limit of tries first.
const TURN_MAX: Duration = Duration::from_secs(5);

/// Why a password can't be had or checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("a password has {CHARACTERS_MIN} characters at least and {BYTES_MAX} bytes at most")]
    Length,
    /// The system gives no random numbers, or no memory.
    #[error("cannot hash the password: {0}")]
    Hash(String),
    /// Too many people sign in at this moment.
    #[error("too many sign-ins at once")]
    Busy,
}

/// Hashes a password with a salt of its own, at argon2's recommended cost.
///
/// # Errors
/// When it is too short or long, or the system gives no random numbers.
pub fn hash(password: &str) -> Result<String, PasswordError> {
    if password.chars().count() < CHARACTERS_MIN || password.len() > BYTES_MAX {
        return Err(PasswordError::Length);
    }
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| PasswordError::Hash(error.to_string()))
}

/// A password that nobody guesses: 120 random bits in 20 characters.
///
/// # Errors
/// When the system gives no random numbers.
pub fn make() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 15];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Checks passwords, a few at a time.
pub struct Checker {
    turns: Arc<Semaphore>,
    /// What is compared where there is no user: the answer must not come sooner.
    nobody: Arc<str>,
}

impl Checker {
    /// Makes one; it hashes once.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn new() -> Result<Self, PasswordError> {
        let random = make().map_err(|error| PasswordError::Hash(error.to_string()))?;
        Ok(Self { turns: Arc::new(Semaphore::new(CHECKS_MAX)), nobody: hash(&random)?.into() })
    }

    /// True when `password` is that of `kept`. Without one it takes as long and is false.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when the turn does not come in time.
    pub async fn check(
        &self,
        kept: Option<String>,
        password: String,
    ) -> Result<bool, PasswordError> {
        let turn = tokio::time::timeout(TURN_MAX, self.turns.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| PasswordError::Busy)?.map_err(|_| PasswordError::Busy)?;
        let nobody = self.nobody.clone();
        let work = tokio::task::spawn_blocking(move || {
            let known = kept.is_some();
            let matches = verify(kept.as_deref().unwrap_or(&nobody), &password);
            drop(turn);
            known && matches
        });
        work.await.map_err(|error| PasswordError::Hash(error.to_string()))
    }
}

fn verify(kept: &str, password: &str) -> bool {
    let cut = &password[..password.floor_char_boundary(BYTES_MAX)];
    let Ok(kept) = PasswordHash::new(kept) else { return false };
    // One that is longer than any that was ever taken is hashed too, for the time that it takes.
    Argon2::default().verify_password(cut.as_bytes(), &kept).is_ok() && cut.len() == password.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_of_a_user_that_exists_is_right() {
        let checker = Checker::new().unwrap();
        let kept = hash("correct horse battery").unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert_ne!(kept, hash("correct horse battery").unwrap(), "each has a salt of its own");
        let check = |kept: Option<&str>, password: &str| {
            checker.check(kept.map(str::to_owned), password.to_owned())
        };
        assert!(check(Some(&kept), "correct horse battery").await.unwrap());
        assert!(!check(Some(&kept), "correct horse battery ").await.unwrap());
        assert!(!check(None, "correct horse battery").await.unwrap());
        assert!(!check(Some("no hash"), "correct horse battery").await.unwrap());
        assert!(matches!(hash("short"), Err(PasswordError::Length)));
        assert!(matches!(hash(&"x".repeat(257)), Err(PasswordError::Length)));
    }
}
