//! Keys that signatures are verified with, each with the algorithms that are its own.
//!
//! A token says in which algorithm it is signed, and that is not to be believed: a public key taken as the secret of HS256
//! would let everybody sign who can read it. So the key decides.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey};
use posthaste_service::environment::Secret;
use serde_json::Value;

const HMAC: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
const RSA: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// A key, and what it may be used for. `Debug` shows only the latter.
#[derive(Clone)]
pub struct VerifyingKey {
    /// Never empty, and all of the key's family.
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) key: DecodingKey,
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerifyingKey").field(&self.algorithms).finish()
    }
}

impl VerifyingKey {
    /// Of a shared secret.
    #[must_use]
    pub fn of_secret(secret: &Secret) -> VerifyingKey {
        VerifyingKey { algorithms: HMAC.to_vec(), key: DecodingKey::from_secret(secret.expose().as_bytes()) }
    }

    /// Of a public key in PEM: RSA, ECDSA over P-256 or P-384, or Ed25519. Line ends may be written as `\n`, as they are
    /// where a variable cannot hold real ones.
    ///
    /// # Errors
    /// What it takes.
    pub fn of_pem(text: &str) -> Result<VerifyingKey, String> {
        let takes = "takes a public key in PEM (-----BEGIN PUBLIC KEY-----): RSA, P-256, P-384 or Ed25519";
        pem(&text.replace("\\n", "\n")).ok_or_else(|| takes.to_owned())
    }

    /// Of a published key (RFC 7517), and its name. `None` if it is not for signatures, of a kind that is not known, or a
    /// secret, which nobody publishes.
    pub(super) fn of_jwk(jwk: &Value) -> Option<(Option<String>, VerifyingKey)> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if text("use").is_some_and(|usage| usage != "sig") {
            return None;
        }
        let (mut algorithms, key) = match (text("kty")?, text("crv")) {
            ("RSA", _) => (RSA.to_vec(), DecodingKey::from_rsa_components(text("n")?, text("e")?)),
            ("EC", Some("P-256")) => (vec![Algorithm::ES256], DecodingKey::from_ec_components(text("x")?, text("y")?)),
            ("EC", Some("P-384")) => (vec![Algorithm::ES384], DecodingKey::from_ec_components(text("x")?, text("y")?)),
            ("OKP", Some("Ed25519")) => (vec![Algorithm::EdDSA], DecodingKey::from_ed_components(text("x")?)),
            _ => return None,
        };
        if let Some(only) = text("alg") {
            algorithms.retain(|algorithm| format!("{algorithm:?}") == only);
        }
        let key = VerifyingKey { algorithms, key: key.ok()? };
        (!key.algorithms.is_empty()).then(|| (text("kid").map(str::to_owned), key))
    }
}

fn pem(text: &str) -> Option<VerifyingKey> {
    let block = |name: &str| {
        let (_, rest) = text.split_once(&format!("-----BEGIN {name}-----"))?;
        let (body, _) = rest.split_once(&format!("-----END {name}-----"))?;
        STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()
    };
    match block("PUBLIC KEY") {
        Some(der) => subject_public_key(&der),
        // PKCS#1: what the other form has inside.
        None => {
            let der = block("RSA PUBLIC KEY")?;
            Some(VerifyingKey { algorithms: RSA.to_vec(), key: DecodingKey::from_rsa_der(&der) })
        }
    }
}

/// SubjectPublicKeyInfo (RFC 5280, section 4.1): a sequence of the algorithm, itself a sequence of its name and its
/// parameters, and the key as a string of bits.
fn subject_public_key(der: &[u8]) -> Option<VerifyingKey> {
    const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    const P_256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    const P_384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
    const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

    let (outer, _) = element(der, 0x30)?;
    let (algorithm, rest) = element(outer, 0x30)?;
    let (bits, _) = element(rest, 0x03)?;
    // The first byte says how many bits of the last one do not count.
    let key = bits.strip_prefix(&[0])?;
    let (name, parameters) = element(algorithm, 0x06)?;
    let curve = element(parameters, 0x06).map(|(curve, _)| curve);
    let (algorithms, key) = match (name, curve) {
        (RSA_ENCRYPTION, _) => (RSA.to_vec(), DecodingKey::from_rsa_der(key)),
        (EC_PUBLIC_KEY, Some(P_256)) => (vec![Algorithm::ES256], DecodingKey::from_ec_der(key)),
        (EC_PUBLIC_KEY, Some(P_384)) => (vec![Algorithm::ES384], DecodingKey::from_ec_der(key)),
        (ED25519, _) => (vec![Algorithm::EdDSA], DecodingKey::from_ed_der(key)),
        _ => return None,
    };
    Some(VerifyingKey { algorithms, key })
}

/// The content of the DER element that `input` begins with, if it has this tag, and what follows it.
fn element(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = input.split_first()?;
    let (&short, mut rest) = rest.split_first()?;
    let mut length = usize::from(short);
    if short & 0x80 != 0 {
        let count = usize::from(short & 0x7f);
        if count > 2 {
            return None;
        }
        let bytes = rest.get(..count)?;
        length = bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
        rest = rest.get(count..)?;
    }
    (first == tag).then_some(())?;
    rest.split_at_checked(length)
}
