//! Who sends a postback: secrets, checksums and signatures, by the network's recipe.
//!
//! In: the profile's recipe, the installation's secrets, a request. Out: nothing when it is proven. Refuses: a wrong or missing
//! proof, an old webhook. Promises: secrets are compared in constant time; of several secrets (a change of keys) any proves.

use aes::Aes256;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt as _, KeyIvInit as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::file::{Algorithm, Authentication};
use crate::check::Refusal;

/// How old or early a webhook may be: five minutes, as Standard Webhooks says.
const TOLERANCE_S: i64 = 300;

/// A shared secret. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes it.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// True for the same bytes, in constant time.
    pub fn is(&self, presented: &str) -> bool {
        same(&self.0, presented.as_bytes())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("***")
    }
}

/// What a proof may lie in.
pub struct Presented<'a> {
    /// All parameters in order, from path, query and body.
    pub fields: &'a [(String, String)],
    /// A header's value.
    pub header: &'a dyn Fn(&str) -> Option<String>,
    /// The body as it came.
    pub body: &'a [u8],
    /// The time now, in seconds.
    pub now_s: i64,
}

impl Presented<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

/// Looks at the proof. `secrets` is not empty; a secret in the path was taken before.
///
/// # Errors
/// [`Refusal::SecretWrong`], [`Refusal::SignatureWrong`] or [`Refusal::SignatureOld`].
pub fn prove(
    recipe: &Authentication,
    secrets: &[Secret],
    presented: &Presented<'_>,
) -> Result<(), Refusal> {
    match recipe {
        Authentication::Secret { parameters, headers } => {
            let usual = ["secret", "token"];
            let names = parameters.iter().map(String::as_str).chain(usual);
            let told = names.filter_map(|name| presented.parameter(name).map(str::to_owned));
            let carried = headers.iter().filter_map(|name| (presented.header)(name));
            let mut all = told.chain(carried.map(|value| bare(&value).to_owned()));
            let proven = all.any(|value| secrets.iter().any(|secret| secret.is(&value)));
            proven.then_some(()).ok_or(Refusal::SecretWrong)
        }
        Authentication::Digest { parameter, header, prefix, .. } => {
            let given = if parameter.is_empty() {
                (presented.header)(header)
            } else {
                presented.parameter(parameter).map(str::to_owned)
            };
            let given = given.ok_or(Refusal::SignatureWrong)?;
            let given =
                given.trim().strip_prefix(prefix.as_str()).ok_or(Refusal::SignatureWrong)?;
            let fits = secrets.iter().any(|secret| digest_fits(recipe, secret, presented, given));
            fits.then_some(()).ok_or(Refusal::SignatureWrong)
        }
        Authentication::StandardWebhooks => webhook(secrets, presented),
        Authentication::Timestamped { header, time, signature, separator, join } => {
            let given = (presented.header)(header).ok_or(Refusal::SignatureWrong)?;
            timestamped(secrets, presented, &given, [time, signature, separator, join])
        }
        // It was proven when it could be read.
        Authentication::Clickbank => Ok(()),
    }
}

fn bare(value: &str) -> &str {
    value.strip_prefix("Bearer ").unwrap_or(value).trim()
}

fn digest_fits(
    recipe: &Authentication,
    secret: &Secret,
    presented: &Presented<'_>,
    given: &str,
) -> bool {
    let Authentication::Digest { algorithm, parameter, text, each, join, base64, .. } = recipe
    else {
        return false;
    };
    let text = fill(text, secret, presented, || sorted(each, join, parameter, secret, presented));
    let digest = digest(*algorithm, &secret.0, &text);
    if *base64 {
        let decoded = STANDARD_NO_PAD.decode(given.trim_end_matches('='));
        decoded.is_ok_and(|given| same(&given, &digest))
    } else {
        same(&hex(&digest), given.to_ascii_lowercase().as_bytes())
    }
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

/// Puts values in the place of `{name}`.
fn fill(
    template: &str,
    secret: &Secret,
    presented: &Presented<'_>,
    sorted: impl Fn() -> Vec<u8>,
) -> Vec<u8> {
    let mut filled = Vec::new();
    let mut rest = template;
    while let Some((before, tail)) = rest.split_once('{') {
        filled.extend_from_slice(before.as_bytes());
        let Some((name, tail)) = tail.split_once('}') else {
            rest = tail;
            break;
        };
        match name {
            "secret" => filled.extend_from_slice(&secret.0),
            "body" => filled.extend_from_slice(presented.body),
            "sorted" => filled.extend(sorted()),
            _ => filled.extend_from_slice(presented.parameter(name).unwrap_or("").as_bytes()),
        }
        rest = tail;
    }
    filled.extend_from_slice(rest.as_bytes());
    filled
}

/// Every parameter that is filled but the signature, in the order of its name in upper case.
fn sorted(
    each: &str,
    join: &str,
    signature: &str,
    secret: &Secret,
    presented: &Presented<'_>,
) -> Vec<u8> {
    let mut fields: Vec<(String, &(String, String))> = presented
        .fields
        .iter()
        .filter(|(name, value)| !name.eq_ignore_ascii_case(signature) && !value.is_empty())
        .map(|field| (field.0.to_ascii_uppercase(), field))
        .collect();
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    let secret = secret.text();
    let written = fields.into_iter().map(|(upper, (name, value))| {
        // The value goes in last: nothing in it is taken for a place to fill.
        each.replace("{name}", name)
            .replace("{NAME}", &upper)
            .replace("{secret}", &secret)
            .replace("{value}", value)
    });
    written.collect::<Vec<_>>().join(join).into_bytes()
}

pub(super) fn digest(algorithm: Algorithm, key: &[u8], text: &[u8]) -> Vec<u8> {
    macro_rules! keyed {
        ($hash:ty) => {{
            let mut mac =
                Hmac::<$hash>::new_from_slice(key).expect("HMAC takes a key of any length");
            mac.update(text);
            mac.finalize().into_bytes().to_vec()
        }};
    }
    match algorithm {
        Algorithm::Md5 => Md5::digest(text).to_vec(),
        Algorithm::Sha1 => Sha1::digest(text).to_vec(),
        Algorithm::Sha256 => Sha256::digest(text).to_vec(),
        Algorithm::Sha512 => Sha512::digest(text).to_vec(),
        Algorithm::HmacMd5 => keyed!(Md5),
        Algorithm::HmacSha1 => keyed!(Sha1),
        Algorithm::HmacSha256 => keyed!(Sha256),
        Algorithm::HmacSha512 => keyed!(Sha512),
    }
}

/// Standard Webhooks: `v1,` and the HMAC-SHA-256 of `id.timestamp.body`; several signatures may stand beside each other.
fn webhook(secrets: &[Secret], presented: &Presented<'_>) -> Result<(), Refusal> {
    let header = |name: &str| (presented.header)(name).ok_or(Refusal::SignatureWrong);
    let (id, time, signatures) =
        (header("webhook-id")?, header("webhook-timestamp")?, header("webhook-signature")?);
    let at: i64 = time.trim().parse().map_err(|_| Refusal::SignatureWrong)?;
    let mut text = format!("{id}.{time}.").into_bytes();
    text.extend_from_slice(presented.body);
    let proven = secrets.iter().any(|secret| {
        // Their secrets are base64 behind `whsec_`; another secret is its own bytes.
        let written = secret.text();
        let key = written.strip_prefix("whsec_").and_then(|tail| STANDARD.decode(tail).ok());
        let expected = digest(Algorithm::HmacSha256, key.as_deref().unwrap_or(&secret.0), &text);
        signatures
            .split(' ')
            .filter_map(|one| one.strip_prefix("v1,"))
            .any(|one| STANDARD.decode(one).is_ok_and(|given| same(&given, &expected)))
    });
    if !proven {
        return Err(Refusal::SignatureWrong);
    }
    if (presented.now_s - at).abs() > TOLERANCE_S {
        return Err(Refusal::SignatureOld);
    }
    Ok(())
}

/// `t=1790000000,v1=5257…`: HMAC-SHA-256 in hex of time and body, under the secret's own bytes.
fn timestamped(
    secrets: &[Secret],
    presented: &Presented<'_>,
    given: &str,
    [time, signature, separator, join]: [&str; 4],
) -> Result<(), Refusal> {
    let parts = || given.split(separator).filter_map(|part| part.trim().split_once('='));
    let written = parts().find(|(name, _)| *name == time).map(|(_, value)| value);
    let written = written.ok_or(Refusal::SignatureWrong)?;
    let at: i64 = written.parse().map_err(|_| Refusal::SignatureWrong)?;
    let mut text = format!("{written}{join}").into_bytes();
    text.extend_from_slice(presented.body);
    let proven = secrets.iter().any(|secret| {
        let expected = hex(&digest(Algorithm::HmacSha256, &secret.0, &text));
        parts()
            .filter(|(name, _)| *name == signature)
            .any(|(_, value)| same(&expected, value.to_ascii_lowercase().as_bytes()))
    });
    if !proven {
        return Err(Refusal::SignatureWrong);
    }
    if (presented.now_s - at).abs() > TOLERANCE_S {
        return Err(Refusal::SignatureOld);
    }
    Ok(())
}

/// ClickBank's INS: the JSON inside `notification`, AES-256-CBC under the first 32 characters of the secret's SHA-1 in hex.
pub fn clickbank(secrets: &[Secret], fields: &[(String, String)]) -> Option<Vec<u8>> {
    let field = |name: &str| fields.iter().find(|(own, _)| own == name).map(|(_, value)| value);
    let cipher = STANDARD.decode(field("notification")?).ok()?;
    let iv: [u8; 16] = STANDARD.decode(field("iv")?).ok()?.try_into().ok()?;
    secrets.iter().find_map(|secret| {
        let key: [u8; 32] = hex(&Sha1::digest(&secret.0))[..32].try_into().ok()?;
        let decryptor = cbc::Decryptor::<Aes256>::new(&key.into(), &iv.into());
        let plain = decryptor.decrypt_padded_vec::<Pkcs7>(&cipher).ok()?;
        // A wrong key can leave a right padding by chance; it leaves no JSON.
        serde_json::from_slice::<serde::de::IgnoredAny>(&plain).ok().map(|_| plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn proven(
        recipe: &Authentication,
        secret: &str,
        list: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<(), Refusal> {
        let header = |name: &str| {
            headers.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
        };
        let fields = fields(list);
        let presented = Presented {
            fields: &fields,
            header: &header,
            body: body.as_bytes(),
            now_s: 1_614_265_330,
        };
        prove(recipe, &[Secret::new("an older one"), Secret::new(secret)], &presented)
    }

    fn recipe(text: &str) -> Authentication {
        #[derive(serde::Deserialize)]
        struct One {
            authentication: Authentication,
        }
        toml::from_str::<One>(text).unwrap().authentication
    }

    #[test]
    fn a_secret_may_stand_in_a_parameter_or_a_header_and_must_be_right() {
        let recipe = recipe(
            "[authentication]\nkind = \"secret\"\nparameters = [\"security_token\"]\nheaders = [\"x-api-key\"]\n",
        );
        assert_eq!(proven(&recipe, "s3", &[("Security_Token", "s3")], &[], ""), Ok(()));
        assert_eq!(proven(&recipe, "s3", &[], &[("x-api-key", "Bearer s3")], ""), Ok(()));
        for wrong in ["", "s", "s33", "S3"] {
            let presented = [("security_token", wrong)];
            assert_eq!(proven(&recipe, "s3", &presented, &[], ""), Err(Refusal::SecretWrong));
        }
        assert_eq!(proven(&recipe, "s3", &[], &[], ""), Err(Refusal::SecretWrong));
    }

    #[test]
    fn a_checksum_follows_the_networks_recipe() {
        let cpx = recipe(
            "[authentication]\nkind = \"digest\"\nalgorithm = \"md5\"\nparameter = \"hash\"\ntext = \"{trans_id}-{secret}\"\n",
        );
        let hash = "b3618faca1ae6340f00718be0b8ba9cd";
        let list = [("trans_id", "777001"), ("hash", hash)];
        assert_eq!(proven(&cpx, "test-secret", &list, &[], ""), Ok(()));
        let changed = [("trans_id", "777002"), ("hash", hash)];
        assert_eq!(proven(&cpx, "test-secret", &changed, &[], ""), Err(Refusal::SignatureWrong));
        let without = [("trans_id", "777001")];
        assert_eq!(proven(&cpx, "test-secret", &without, &[], ""), Err(Refusal::SignatureWrong));
    }

    #[test]
    fn a_body_is_signed_in_a_header() {
        // RFC 4231, test case 2.
        let hmac = recipe(
            "[authentication]\nkind = \"digest\"\nalgorithm = \"hmac-sha256\"\nheader = \"x-signature\"\nprefix = \"sha256=\"\ntext = \"{body}\"\n",
        );
        let mac = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let body = "what do ya want for nothing?";
        assert_eq!(proven(&hmac, "Jefe", &[], &[("x-signature", mac)], body), Ok(()));
        assert_eq!(
            proven(&hmac, "Jefe", &[], &[("x-signature", mac)], "other"),
            Err(Refusal::SignatureWrong)
        );
    }

    #[test]
    fn a_time_and_a_signature_may_stand_in_one_header() {
        let stripe =
            recipe("[authentication]\nkind = \"timestamped\"\nheader = \"stripe-signature\"\n");
        let body = "{\"id\":\"evt_1\"}";
        let signed = |at: &str, key: &str| {
            let text = format!("{at}.{body}");
            let mac = digest(Algorithm::HmacSha256, key.as_bytes(), text.as_bytes());
            String::from_utf8(hex(&mac)).unwrap()
        };
        let look = |value: &str, body: &str| {
            proven(&stripe, "whsec_own", &[], &[("stripe-signature", value)], body)
        };
        let good = signed("1614265330", "whsec_own");
        let header = format!("t=1614265330, v1=00ff, v1={good}, v0=aa");
        assert_eq!(look(&header, body), Ok(()));
        assert_eq!(look(&header, "{}"), Err(Refusal::SignatureWrong));
        assert_eq!(look(&format!("v1={good}"), body), Err(Refusal::SignatureWrong));
        let other = signed("1614265330", "whsec_other");
        assert_eq!(look(&format!("t=1614265330,v1={other}"), body), Err(Refusal::SignatureWrong));
        let old = signed("1614265000", "whsec_own");
        assert_eq!(look(&format!("t=1614265000,v1={old}"), body), Err(Refusal::SignatureOld));
    }

    #[test]
    fn a_standard_webhook_is_signed_and_young() {
        // The example of the Standard Webhooks libraries.
        let recipe = Authentication::StandardWebhooks;
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let headers = |time, signature| {
            [
                ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
                ("webhook-timestamp", time),
                ("webhook-signature", signature),
            ]
        };
        let body = "{\"test\": 2432232314}";
        let both = format!("v1,bm9uc2Vuc2U= {signature}");
        assert_eq!(proven(&recipe, secret, &[], &headers("1614265330", &both), body), Ok(()));
        assert_eq!(
            proven(&recipe, secret, &[], &headers("1614265330", signature), "{}"),
            Err(Refusal::SignatureWrong)
        );
        let mut text = b"msg.1614260000.{}".to_vec();
        let old = STANDARD.encode(digest(Algorithm::HmacSha256, b"plain", &text));
        text.clear();
        let list = [
            ("webhook-id", "msg"),
            ("webhook-timestamp", "1614260000"),
            ("webhook-signature", &*format!("v1,{old}")),
        ];
        assert_eq!(proven(&recipe, "plain", &[], &list, "{}"), Err(Refusal::SignatureOld));
    }
}
