//! What can be told of keys without giving them away, and whether two machines' keys agree.
//!
//! In: masters. Out: a [`Fingerprint`]. Refuses: keys under which one machine could not verify what the other signs, or would give the
//! same person another name. Promises: a signing key can be changed machine by machine: first each learns to verify the new one.

use serde::{Deserialize, Serialize};

use super::hex;

/// Names of keys, 64 bits each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// Of `pseudonym.key`.
    pub pseudonym: String,
    /// Of the key that signs.
    pub signs: String,
    /// Of every key that is verified, the one that signs first.
    pub verifies: Vec<String>,
}

/// Why two machines must not run side by side, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysDiffer {
    /// The keyed hashes of e-mail addresses would differ.
    #[error(
        "pseudonym.key is another one here ({ours}) than on the machines that run already ({theirs}), so one person would have two names. {COPY}"
    )]
    Pseudonym {
        /// Ours.
        ours: String,
        /// What was published.
        theirs: String,
    },
    /// They sign with a key that isn't known here.
    #[error(
        "signing.key does not have the key that other machines sign with ({theirs}), so their click ids would mean nothing here. {COPY}"
    )]
    TheirSigner {
        /// The key that they sign with.
        theirs: String,
    },
    /// The key that signs here isn't known to them.
    #[error(
        "signing.key signs with a key that other machines don't know ({ours}), so our click ids would mean nothing there. \
         To change the signing key, first add the new line with the word `verify` on every machine and restart each, then turn the words around. {COPY}"
    )]
    OurSigner {
        /// The key that signs here.
        ours: String,
    },
}

const COPY: &str = "Copy the files signing.key and pseudonym.key of the folder `keys` from a machine that works (mode 0600) and start again; \
     a new installation on old brokers needs topics of its own (kafka.topic, kafka.settle_topic, kafka.shared_topic, kafka.group)";

impl Fingerprint {
    /// Of these masters; the first signs.
    pub(super) fn of(pseudonym: &[u8; 32], signing: &[[u8; 32]]) -> Self {
        let name = |key: &[u8; 32]| {
            hex(&blake3::derive_key("leadtrail 2026-11 key fingerprint", key)[..8])
        };
        let verifies: Vec<String> = signing.iter().map(name).collect();
        Self { pseudonym: name(pseudonym), signs: verifies[0].clone(), verifies }
    }

    /// Whether a machine with `self` may run beside those that published `theirs`.
    pub fn agrees_with(&self, theirs: &Self) -> Result<(), KeysDiffer> {
        if self.pseudonym != theirs.pseudonym {
            return Err(KeysDiffer::Pseudonym {
                ours: self.pseudonym.clone(),
                theirs: theirs.pseudonym.clone(),
            });
        }
        if !self.verifies.contains(&theirs.signs) {
            return Err(KeysDiffer::TheirSigner { theirs: theirs.signs.clone() });
        }
        if !theirs.verifies.contains(&self.signs) {
            return Err(KeysDiffer::OurSigner { ours: self.signs.clone() });
        }
        Ok(())
    }

    /// True when this one says more than `theirs`, or signs with another key: then it is to be published.
    pub fn is_newer_than(&self, theirs: &Self) -> bool {
        self != theirs && theirs.verifies.iter().all(|key| self.verifies.contains(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(signing: &[u8]) -> Fingerprint {
        let masters: Vec<[u8; 32]> = signing.iter().map(|key| [*key; 32]).collect();
        Fingerprint::of(&[0; 32], &masters)
    }

    #[test]
    fn other_keys_do_not_agree_and_the_refusal_says_what_to_do() {
        assert_eq!(of(&[1]).agrees_with(&of(&[1])), Ok(()));
        let refusal = of(&[2]).agrees_with(&of(&[1])).unwrap_err();
        assert!(matches!(refusal, KeysDiffer::TheirSigner { .. }));
        assert!(refusal.to_string().contains("Copy the files signing.key and pseudonym.key"));
        let other = Fingerprint::of(&[9; 32], &[[1; 32]]);
        assert!(matches!(other.agrees_with(&of(&[1])), Err(KeysDiffer::Pseudonym { .. })));
    }

    #[test]
    fn a_signing_key_is_changed_machine_by_machine() {
        let (old, learned, turned) = (of(&[1]), of(&[1, 2]), of(&[2, 1]));
        assert_eq!(
            turned.agrees_with(&old),
            Err(KeysDiffer::OurSigner { ours: turned.signs.clone() })
        );
        assert_eq!(learned.agrees_with(&old), Ok(()));
        assert!(learned.is_newer_than(&old));
        assert_eq!(old.agrees_with(&learned), Ok(()), "one that has not learned it yet restarts");
        assert!(!old.is_newer_than(&learned));
        assert_eq!(turned.agrees_with(&learned), Ok(()));
        assert!(turned.is_newer_than(&learned));
        assert_eq!(learned.agrees_with(&turned), Ok(()));
        assert!(matches!(old.agrees_with(&turned), Err(KeysDiffer::TheirSigner { .. })));
    }

    #[test]
    fn nothing_of_a_key_is_in_its_fingerprint() {
        let text = serde_json::to_string(&of(&[0xAB])).unwrap();
        assert!(!text.contains("abab"), "{text}");
    }
}
