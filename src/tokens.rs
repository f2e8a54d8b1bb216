//! Public tokens: click ids, receipts, mail tokens and times of rendering, each with a MAC of 128 bits.
//!
//! In: ids and registry numbers, or text from a request. Out: base64url text, or the parts again. Refuses: any other length,
//! alphabet, key or signature. Promises: what verifies was made by this installation's keys for this purpose; a click id
//! says by itself when, by which link, offer and affiliate, so that a conversion can be attributed when its click is lost.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::ids::EventId;
use crate::keys::{KeySet, Keys};

/// Bytes of a MAC: 128 bits, as DESIGN.md asks.
const MAC_BYTES: usize = 16;

/// The longest token text that is looked at: the largest click id is 50 bytes, 67 characters.
const TOKEN_CHARACTERS_MAX: usize = 96;

/// What a click id says by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClickClaim {
    /// The click event.
    pub id: EventId,
    /// The registered link's number; 0 for an affiliate click.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub link: u32,
    /// The offer's number; 0 when there is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub offer: u32,
    /// The affiliate's number; 0 when there is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub affiliate: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Who a mail's open pixel or link belongs to. Holds no personal value: the recipient is a keyed hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailClaim {
    /// The mailing's registry number.
    pub mailing: u32,
    /// A keyed hash of the sender's own reference to the recipient.
    pub recipient: u64,
}

/// What a refusal's reference says by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalClaim {
    /// When it was refused, milliseconds since 1970.
    pub at_ms: i64,
    /// The reason's code: a closed word of `check`, perhaps of an earlier version.
    pub code: String,
}

/// Signs a click id: at most 67 characters, 47 for numbers below 128.
pub fn sign_click(keys: &Keys, claim: &ClickClaim) -> String {
    let set = keys.signer();
    let mut body = Vec::with_capacity(64);
    body.push(set.number);
    body.extend_from_slice(&claim.id.to_bytes()[..6]);
    body.extend_from_slice(&claim.id.sequence().to_be_bytes());
    body.extend_from_slice(&claim.id.node().to_be_bytes());
    for number in [claim.link, claim.offer, claim.affiliate] {
        push_varint(&mut body, number);
    }
    seal(&set.click, body)
}

/// Reads a click id; `None` when it isn't ours or was changed.
pub fn verify_click(keys: &Keys, text: &str) -> Option<ClickClaim> {
    let body = open(keys, |set| &set.click, text)?;
    let (time, rest) = body.get(1..)?.split_at_checked(6)?;
    let mut millis = [0; 8];
    millis[2..].copy_from_slice(time);
    let (sequence, rest) = rest.split_first_chunk::<4>()?;
    let (node, mut rest) = rest.split_first_chunk::<4>()?;
    let mut next = || take_varint(&mut rest);
    let (link, offer, affiliate) = (next()?, next()?, next()?);
    rest.is_empty().then(|| ClickClaim {
        id: EventId::from_parts(
            u64::from_be_bytes(millis),
            u32::from_be_bytes(*sequence),
            u32::from_be_bytes(*node),
        ),
        link,
        offer,
        affiliate,
    })
}

/// A receipt: the event's id and a MAC; 44 characters, the first 16 bytes are the id.
pub fn sign_receipt(keys: &Keys, id: EventId) -> String {
    let set = keys.signer();
    let mut bytes = [0; 16 + 1 + MAC_BYTES];
    bytes[..16].copy_from_slice(&id.to_bytes());
    bytes[16] = set.number;
    let mac = mac(&set.receipt, &bytes[..17]);
    bytes[17..].copy_from_slice(&mac);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a receipt; `None` when it isn't ours.
pub fn verify_receipt(keys: &Keys, text: &str) -> Option<EventId> {
    let bytes: [u8; 16 + 1 + MAC_BYTES] = decode(text)?.try_into().ok()?;
    let set = keys.find(bytes[16])?;
    let id: [u8; 16] = bytes[..16].try_into().expect("16 of 33 bytes");
    same(&mac(&set.receipt, &bytes[..17]), &bytes[17..]).then(|| EventId::from_bytes(id)).flatten()
}

/// A refusal's reference: the time, the reason's code and a MAC; nobody has to remember it. At most 62 characters.
pub fn sign_refusal(keys: &Keys, at_ms: i64, code: &str) -> String {
    let set = keys.signer();
    let mut body = Vec::with_capacity(64);
    body.push(set.number);
    body.extend_from_slice(&at_ms.to_be_bytes()[2..]);
    body.extend_from_slice(code.as_bytes());
    seal(&set.refusal, body)
}

/// Reads a refusal's reference; `None` when it isn't ours or was changed.
pub fn verify_refusal(keys: &Keys, text: &str) -> Option<RefusalClaim> {
    let body = open(keys, |set| &set.refusal, text)?;
    let (time, code) = body.get(1..)?.split_at_checked(6)?;
    let mut at_ms = [0; 8];
    at_ms[2..].copy_from_slice(time);
    let code = String::from_utf8(code.to_vec()).ok()?;
    Some(RefusalClaim { at_ms: i64::from_be_bytes(at_ms), code })
}

/// The keyed hash of the sender's own name for a recipient; never zero.
pub fn recipient(keys: &Keys, reference: &str) -> u64 {
    let hash = keys.pseudonym("mail recipient", reference);
    u64::from_be_bytes(*hash.first_chunk().expect("16 bytes hold eight")).max(1)
}

/// Signs a mail token. `recipient_reference` is the sender's own name for the recipient; only its keyed hash goes in.
pub fn sign_mail(keys: &Keys, mailing: u32, recipient_reference: &str) -> String {
    sign_recipient(keys, &keys.signer().mail, mailing, recipient_reference)
}

/// Signs a token that unsubscribes one recipient. It lives as long as the key: mails are read years later.
pub fn sign_unsubscribe(keys: &Keys, mailing: u32, recipient_reference: &str) -> String {
    sign_recipient(keys, &keys.signer().unsubscribe, mailing, recipient_reference)
}

fn sign_recipient(keys: &Keys, key: &[u8; 32], mailing: u32, reference: &str) -> String {
    let mut body = vec![keys.signer().number];
    push_varint(&mut body, mailing);
    body.extend_from_slice(&recipient(keys, reference).to_be_bytes());
    seal(key, body)
}

/// Reads a mail token; `None` when it isn't ours or was changed.
pub fn verify_mail(keys: &Keys, text: &str) -> Option<MailClaim> {
    verify_recipient(&open(keys, |set| &set.mail, text)?)
}

/// Reads a token that unsubscribes; `None` when it isn't ours or was changed.
pub fn verify_unsubscribe(keys: &Keys, text: &str) -> Option<MailClaim> {
    verify_recipient(&open(keys, |set| &set.unsubscribe, text)?)
}

fn verify_recipient(body: &[u8]) -> Option<MailClaim> {
    let mut rest = body.get(1..)?;
    let mailing = take_varint(&mut rest)?;
    let recipient = u64::from_be_bytes(rest.try_into().ok()?);
    Some(MailClaim { mailing, recipient })
}

/// Signs the time at which a form was rendered: 42 characters, good for this form alone.
pub fn sign_rendered(keys: &Keys, form: &str, now_ms: i64) -> String {
    let set = keys.signer();
    let mut body = Vec::with_capacity(64);
    body.push(set.number);
    body.extend_from_slice(&now_ms.to_be_bytes()[2..]);
    body.extend_from_slice(&form_mark(form));
    seal(&set.rendered, body)
}

/// Reads a time of rendering, in milliseconds since 1970; `None` when it isn't ours or of another form.
pub fn verify_rendered(keys: &Keys, form: &str, text: &str) -> Option<i64> {
    let body = open(keys, |set| &set.rendered, text)?;
    let (time, mark) = body.get(1..)?.split_at_checked(6)?;
    let mut millis = [0; 8];
    millis[2..].copy_from_slice(time);
    (mark == form_mark(form)).then(|| i64::from_be_bytes(millis))
}

/// Names a form in eight bytes.
fn form_mark(form: &str) -> [u8; 8] {
    let mut mark = [0; 8];
    mark.copy_from_slice(&blake3::hash(form.as_bytes()).as_bytes()[..8]);
    mark
}

/// Signs what a command of the operator's asks a running process to record.
pub fn sign_order(keys: &Keys, body: &[u8]) -> String {
    let set = keys.signer();
    let mut bytes = [0; 1 + MAC_BYTES];
    bytes[0] = set.number;
    bytes[1..].copy_from_slice(&mac(&set.order, body));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// True when whoever signed `body` can read our key files.
pub fn verify_order(keys: &Keys, body: &[u8], signature: &str) -> bool {
    let Some(bytes) = decode(signature) else { return false };
    let Some((number, given)) = bytes.split_first() else { return false };
    keys.find(*number).is_some_and(|set| same(&mac(&set.order, body), given))
}

/// Adds the MAC and writes it as text.
pub(crate) fn seal(key: &[u8; 32], mut body: Vec<u8>) -> String {
    let mac = mac(key, &body);
    body.extend_from_slice(&mac);
    URL_SAFE_NO_PAD.encode(body)
}

fn open(keys: &Keys, key: impl Fn(&KeySet) -> &[u8; 32], text: &str) -> Option<Vec<u8>> {
    if text.len() > TOKEN_CHARACTERS_MAX { None } else { open_long(keys, key, text) }
}

/// As the short tokens, of whatever length the caller has admitted: what was sealed, without the MAC, if a key of ours sealed it.
pub(crate) fn open_long(
    keys: &Keys,
    key: impl Fn(&KeySet) -> &[u8; 32],
    text: &str,
) -> Option<Vec<u8>> {
    let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let at = bytes.len().checked_sub(MAC_BYTES)?;
    let set = keys.find(*bytes[..at].first()?)?;
    same(&mac(key(set), &bytes[..at]), &bytes[at..]).then(|| {
        bytes.truncate(at);
        bytes
    })
}

fn decode(text: &str) -> Option<Vec<u8>> {
    (text.len() <= TOKEN_CHARACTERS_MAX).then(|| URL_SAFE_NO_PAD.decode(text).ok()).flatten()
}

fn mac(key: &[u8; 32], body: &[u8]) -> [u8; MAC_BYTES] {
    let mut mac = [0; MAC_BYTES];
    mac.copy_from_slice(&blake3::keyed_hash(key, body).as_bytes()[..MAC_BYTES]);
    mac
}

/// Compares in constant time, so that a MAC cannot be guessed byte by byte.
fn same(left: &[u8; MAC_BYTES], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

pub(crate) fn push_varint(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0u64;
    for shift in (0..35).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7F) << shift;
        if first & 0x80 == 0 {
            return u32::try_from(number).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys() -> Keys {
        let folder = tempfile::tempdir().unwrap();
        Keys::open(folder.path()).unwrap()
    }

    /// Those of all random cases: making keys costs an fsync.
    static KEYS: std::sync::LazyLock<Keys> = std::sync::LazyLock::new(keys);

    #[test]
    fn a_token_of_one_kind_is_no_token_of_another() {
        let keys = keys();
        let mail = sign_mail(&keys, 7, "customer-42");
        assert!(verify_mail(&keys, &mail).is_some_and(|claim| claim.mailing == 7));
        assert_eq!(verify_click(&keys, &mail), None);
        assert_eq!(verify_receipt(&keys, &mail), None);
        assert_eq!(verify_mail(&super::tests::keys(), &mail), None, "another installation's key");
    }

    #[test]
    fn a_time_of_rendering_is_good_for_its_form_alone() {
        let keys = keys();
        let token = sign_rendered(&keys, "contact", 1_790_000_000_123);
        assert_eq!(token.len(), 42);
        assert_eq!(verify_rendered(&keys, "contact", &token), Some(1_790_000_000_123));
        assert_eq!(verify_rendered(&keys, "other", &token), None);
        assert_eq!(verify_rendered(&super::tests::keys(), "contact", &token), None);
        assert_eq!(verify_rendered(&keys, "contact", &sign_mail(&keys, 7, "x")), None);
    }

    #[test]
    fn an_order_is_believed_only_from_whoever_has_the_keys() {
        let (keys, others) = (keys(), super::tests::keys());
        let signature = sign_order(&keys, b"release");
        assert!(verify_order(&keys, b"release", &signature));
        assert!(!verify_order(&keys, b"drop", &signature));
        assert!(!verify_order(&others, b"release", &signature));
        for bad in ["", "AA", "not base64!", &signature[1..]] {
            assert!(!verify_order(&keys, b"release", bad), "{bad}");
        }
    }

    proptest! {
        #![proptest_config(crate::cases::cases(64))]
        #[test]
        fn a_click_id_gives_its_parts_back_and_admits_no_change(
            millis in 0u64..(1 << 48), sequence: u32, node: u32, link: u32, offer: u32, affiliate: u32,
            flip in 0usize..400,
        ) {
            let keys = &*KEYS;
            let claim = ClickClaim { id: EventId::from_parts(millis, sequence, node), link, offer, affiliate };
            let text = sign_click(keys, &claim);
            prop_assert!(text.len() <= TOKEN_CHARACTERS_MAX);
            prop_assert_eq!(verify_click(keys, &text), Some(claim));
            let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
            let bit = flip % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(verify_click(keys, &URL_SAFE_NO_PAD.encode(bytes)), None);
            let receipt = sign_receipt(keys, claim.id);
            prop_assert_eq!(verify_receipt(keys, &receipt), Some(claim.id));
        }

        #[test]
        fn a_refusals_reference_gives_its_parts_back_and_admits_no_change(
            at_ms in 0i64..(1 << 48), code in "[a-z_]{1,20}", flip in 0usize..400,
        ) {
            let keys = &*KEYS;
            let text = sign_refusal(keys, at_ms, &code);
            prop_assert!(text.len() <= 62);
            prop_assert_eq!(verify_refusal(keys, &text), Some(RefusalClaim { at_ms, code }));
            prop_assert_eq!(verify_receipt(keys, &text), None);
            let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
            let bit = flip % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(verify_refusal(keys, &URL_SAFE_NO_PAD.encode(bytes)), None);
        }

        #[test]
        fn no_text_makes_a_verifier_panic(text in ".{0,100}") {
            let keys = &*KEYS;
            let _ = (verify_click(keys, &text), verify_receipt(keys, &text), verify_mail(keys, &text), verify_refusal(keys, &text));
        }
    }
}
