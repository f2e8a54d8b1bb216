//! Secrets and signatures of webhooks, after Standard Webhooks (<https://www.standardwebhooks.com>).
//!
//! In: `whsec_` and base64, one a line; an id, a time and a body. Out: the header `webhook-signature`. Refuses: a secret that is too short to
//! be one. Promises: several secrets give several signatures, newest first, so that a secret can be changed without losing a delivery;
//! a secret is never printed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// Bytes of a secret, after the specification.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Secrets at once: the new one, the old one, and one spare.
const SECRETS_MAX: usize = 3;

/// The keys of one webhook. Its `Debug` says only how many.
#[derive(Clone)]
pub struct Secrets(Vec<Vec<u8>>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} secrets", self.0.len())
    }
}

impl Secrets {
    /// Reads one secret a line, the newest first.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines: Vec<&str> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if lines.is_empty() || lines.len() > SECRETS_MAX {
            return Err(format!(
                "1 to {SECRETS_MAX} secrets, one a line; there are {}",
                lines.len()
            ));
        }
        let keys = lines.iter().map(|line| {
            let bytes = line.strip_prefix(PREFIX).and_then(|rest| STANDARD.decode(rest).ok());
            bytes.filter(|bytes| BYTES.contains(&bytes.len())).ok_or_else(|| {
                "a secret is `whsec_` and 24 to 64 bytes in base64; `leadtrail webhook secret` prints a new one"
                    .to_owned()
            })
        });
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// The signatures of a message, each `v1,<base64>`, with blanks between.
    pub fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let signatures = self.0.iter().map(|key| {
            let mut mac =
                Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
            mac.update(format!("{id}.{seconds}.").as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

/// A new secret, to be given to the receiver and put into a file.
pub fn fresh() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{PREFIX}{}", STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_standards_own_example() {
        let secrets = Secrets::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let signature =
            secrets.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_secret_signs_and_none_is_printed() {
        let (new, old) = (fresh().unwrap(), fresh().unwrap());
        assert_ne!(new, old);
        let both = Secrets::parse(&format!("{new}\n\n{old}\n")).unwrap();
        let alone = |text: &str| Secrets::parse(text).unwrap().sign("id", 1, b"body");
        assert_eq!(both.sign("id", 1, b"body"), format!("{} {}", alone(&new), alone(&old)));
        assert_eq!(format!("{both:?}"), "2 secrets");
        for wrong in
            ["", "whsec_", "whsec_c2hvcnQ=", &new[6..], "whsec_?", &format!("{new}\n").repeat(4)]
        {
            assert!(Secrets::parse(wrong).is_err(), "{wrong}");
        }
    }
}
