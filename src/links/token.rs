//! Link tokens: a link that needs no registry.
//!
//! In: what the link stands for, or text from `/r/{token}`. Out: text, or the claim again. Refuses: any other length, alphabet, key or
//! signature. Promises: what verifies was signed by this installation for this purpose. The destination and the campaign stand in it
//! readable (it is signed, not sealed), so personal values are kept out of them; the recipient is a keyed hash.

use crate::check::landing;
use crate::keys::Keys;
use crate::tokens::{open_long, push_varint, seal, take_varint};

/// The longest token that is looked at: the longest destination and names of ours, as base64.
pub const CHARACTERS_MAX: usize = 4_096;

/// The version of the layout.
const LAYOUT: u8 = 1;

const MINUTE_MS: i64 = 60_000;

/// What a link token says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkClaim {
    /// Whose site, by name.
    pub site: String,
    /// The registered link that it stands for; 0: none.
    pub link: u32,
    /// The mailing that it is in; 0: none.
    pub mailing: u32,
    /// The keyed hash of the recipient's reference; 0: none.
    pub recipient: u64,
    /// From when on it is over, in whole minutes, as milliseconds since 1970; 0: never.
    pub expires_ms: i64,
    /// As reports show it.
    pub campaign: String,
    /// Where it leads; empty: where its registered link leads.
    pub destination: String,
}

impl LinkClaim {
    /// True once it is over.
    pub fn is_over(&self, now_ms: i64) -> bool {
        self.expires_ms != 0 && now_ms >= self.expires_ms
    }
}

/// Signs. The claim's texts must be bounded: see [`landing::BYTES_MAX`].
pub fn sign(keys: &Keys, claim: &LinkClaim) -> String {
    let set = keys.signer();
    let mut body = Vec::with_capacity(96 + claim.destination.len());
    body.extend_from_slice(&[set.number, LAYOUT]);
    push_varint(&mut body, claim.link);
    push_varint(&mut body, claim.mailing);
    push_varint(&mut body, u32::try_from(claim.expires_ms / MINUTE_MS).unwrap_or(u32::MAX));
    body.extend_from_slice(&claim.recipient.to_be_bytes());
    for text in [&claim.site, &claim.campaign] {
        push_varint(&mut body, text.len() as u32);
        body.extend_from_slice(text.as_bytes());
    }
    body.extend_from_slice(claim.destination.as_bytes());
    seal(&set.link, body)
}

/// Reads; `None` when it isn't ours or was changed.
pub fn verify(keys: &Keys, text: &str) -> Option<LinkClaim> {
    if text.len() > CHARACTERS_MAX {
        return None;
    }
    let body = open_long(keys, |set| &set.link, text)?;
    let mut rest = body.get(1..)?.strip_prefix(&[LAYOUT])?;
    let link = take_varint(&mut rest)?;
    let mailing = take_varint(&mut rest)?;
    let expires_ms = i64::from(take_varint(&mut rest)?) * MINUTE_MS;
    let (recipient, mut rest) = rest.split_first_chunk::<8>()?;
    let recipient = u64::from_be_bytes(*recipient);
    let mut next = || {
        let length = take_varint(&mut rest)? as usize;
        let (text, after) = rest.split_at_checked(length)?;
        rest = after;
        String::from_utf8(text.to_vec()).ok()
    };
    let (site, campaign) = (next()?, next()?);
    let destination = String::from_utf8(rest.to_vec()).ok()?;
    let whole = destination.len() <= landing::BYTES_MAX;
    whole.then_some(LinkClaim { site, link, mailing, recipient, expires_ms, campaign, destination })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    fn keys() -> Keys {
        Keys::open(tempfile::tempdir().unwrap().path()).unwrap()
    }

    /// Those of all random cases: making keys costs an fsync.
    static KEYS: std::sync::LazyLock<Keys> = std::sync::LazyLock::new(keys);

    #[test]
    fn nobody_elses_token_and_none_of_another_kind_is_a_link() {
        let (keys, others) = (keys(), keys());
        let token = sign(&keys, &LinkClaim { site: "shop".into(), ..LinkClaim::default() });
        assert!(verify(&keys, &token).is_some());
        assert_eq!(verify(&others, &token), None);
        let mail = crate::tokens::sign_mail(&keys, 1, "x");
        assert_eq!(verify(&keys, &mail), None);
        assert_eq!(crate::tokens::verify_unsubscribe(&keys, &mail), None);
        let unsubscribe = crate::tokens::sign_unsubscribe(&keys, 1, "x");
        assert_eq!(crate::tokens::verify_mail(&keys, &unsubscribe), None);
        assert_eq!(verify(&keys, &"A".repeat(CHARACTERS_MAX + 1)), None);
    }

    proptest! {
        #![proptest_config(crate::cases::cases(64))]
        #[test]
        fn a_link_token_gives_its_parts_back_and_admits_no_change(
            site in "[a-z]{1,9}", campaign in ".{0,20}", destination in "(https://a\\.example/[a-z?=&]{0,90})?",
            numbers in (any::<u32>(), any::<u32>(), any::<u64>(), any::<u32>()), flip in 0usize..4_000,
        ) {
            let (link, mailing, recipient, minutes) = numbers;
            let claim = LinkClaim { site, campaign, destination, link, mailing, recipient, expires_ms: i64::from(minutes) * MINUTE_MS };
            let keys = &*KEYS;
            let text = sign(keys, &claim);
            prop_assert_eq!(verify(keys, &text), Some(claim));
            let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
            let bit = flip % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(verify(keys, &URL_SAFE_NO_PAD.encode(bytes)), None);
        }
    }
}
