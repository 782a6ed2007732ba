//! Signatures by which a receiver knows that a request comes from us and was not changed: Standard Webhooks 1.0.0.
//!
//! What is signed is `{id}.{timestamp}.{body}`, the exact bytes that are sent. `v1` is HMAC-SHA256 with a secret that both sides have
//! (`whsec_…`); `v1a` is ed25519 (RFC 8032) with a secret that only we have (`whsk_…`) and a public key for the receiver
//! (`whpk_…`). The header holds one signature for each secret that is good at the time, so that secrets can be replaced.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};

/// The bytes of chance that a secret is made of.
pub const CHANCE: usize = 32;

/// How it signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// HMAC-SHA256.
    V1,
    /// ed25519.
    V1a,
}

impl Scheme {
    /// Every one there is.
    pub const ALL: [Scheme; 2] = [Scheme::V1, Scheme::V1a];

    /// As it stands before a signature, and as it is stored.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Scheme::V1 => "v1",
            Scheme::V1a => "v1a",
        }
    }

    /// The inverse of [`Scheme::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Scheme> {
        Scheme::ALL.into_iter().find(|scheme| scheme.name() == name)
    }
}

/// A secret of a queue.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    scheme: Scheme,
    /// The key of `v1`, or the seed of `v1a`.
    bytes: Vec<u8>,
}

/// What cannot be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a signing secret")]
pub struct SecretError;

impl Secret {
    /// Makes a secret of chance.
    #[must_use]
    pub fn new(scheme: Scheme, chance: [u8; CHANCE]) -> Secret {
        Secret { scheme, bytes: chance.to_vec() }
    }

    /// The inverse of [`Secret::bytes`].
    ///
    /// # Errors
    /// A length that such a secret cannot have: 24 to 64 bytes for `v1`, 32 for `v1a`.
    pub fn from_bytes(scheme: Scheme, bytes: Vec<u8>) -> Result<Secret, SecretError> {
        let is_right = match scheme {
            Scheme::V1 => (24..=64).contains(&bytes.len()),
            Scheme::V1a => bytes.len() == CHANCE,
        };
        if is_right { Ok(Secret { scheme, bytes }) } else { Err(SecretError) }
    }

    /// What is to be kept, and kept secret.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// As it is shown once to whoever made it: `whsec_…` is what the receiver verifies with, `whsk_…` is ours alone.
    ///
    /// # Errors
    /// The bytes are none that [`Secret::from_bytes`] takes.
    pub fn text(&self) -> Result<String, SecretError> {
        match self.scheme {
            Scheme::V1 => Ok(format!("whsec_{}", STANDARD.encode(&self.bytes))),
            Scheme::V1a => {
                let pair = pair(&self.bytes)?;
                let both = [&self.bytes[..], pair.public_key().as_ref()].concat();
                Ok(format!("whsk_{}", STANDARD.encode(both)))
            }
        }
    }

    /// What the receiver verifies with, where that is no secret: `whpk_…`.
    ///
    /// # Errors
    /// As [`Secret::text`].
    pub fn public_text(&self) -> Result<Option<String>, SecretError> {
        match self.scheme {
            Scheme::V1 => Ok(None),
            Scheme::V1a => Ok(Some(format!("whpk_{}", STANDARD.encode(pair(&self.bytes)?.public_key().as_ref())))),
        }
    }

    /// Ready to sign with.
    ///
    /// # Errors
    /// As [`Secret::text`].
    pub fn signer(&self) -> Result<Signer, SecretError> {
        Ok(match self.scheme {
            Scheme::V1 => Signer(Inner::Hmac(hmac::Key::new(hmac::HMAC_SHA256, &self.bytes))),
            Scheme::V1a => Signer(Inner::Ed25519(Box::new(pair(&self.bytes)?))),
        })
    }
}

fn pair(seed: &[u8]) -> Result<Ed25519KeyPair, SecretError> {
    Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| SecretError)
}

/// Nothing of the secret.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.scheme.name())
    }
}

/// A secret that is ready to sign with.
pub struct Signer(Inner);

enum Inner {
    Hmac(hmac::Key),
    Ed25519(Box<Ed25519KeyPair>),
}

impl Signer {
    /// Signs one request: `v1,…` or `v1a,…`. `id` and `timestamp` are those of the headers, `timestamp` in seconds since 1970.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let head = format!("{id}.{timestamp}.");
        match &self.0 {
            Inner::Hmac(key) => {
                let mut context = hmac::Context::with_key(key);
                context.update(head.as_bytes());
                context.update(body);
                format!("{},{}", Scheme::V1.name(), STANDARD.encode(context.sign()))
            }
            // It hashes what it signs twice, so it must have it in one piece.
            Inner::Ed25519(pair) => {
                let signature = pair.sign(&[head.as_bytes(), body].concat());
                format!("{},{}", Scheme::V1a.name(), STANDARD.encode(signature))
            }
        }
    }
}

/// Nothing of the secret.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

/// The value of `webhook-signature`; `None` without any signer.
pub fn header<'a>(
    signers: impl IntoIterator<Item = &'a Signer>,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> Option<String> {
    let signatures: Vec<String> = signers.into_iter().map(|signer| signer.sign(id, timestamp, body)).collect();
    (!signatures.is_empty()).then(|| signatures.join(" "))
}

#[cfg(test)]
mod tests {
    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    fn vector() -> Secret {
        let bytes = STANDARD.decode("C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
        Secret::from_bytes(Scheme::V1, bytes).unwrap()
    }

    #[test]
    fn the_example_of_the_specification() {
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let signed = vector().signer().unwrap().sign("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1_649_367_553, body);
        assert_eq!(signed, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
        assert_eq!(vector().text().unwrap(), "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
        assert_eq!(vector().public_text(), Ok(None));
    }

    /// The first test vector of RFC 8032 §7.1.
    #[test]
    fn an_asymmetric_secret_has_the_public_key_of_rfc_8032() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let public = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        let secret = Secret::from_bytes(Scheme::V1a, seed.clone()).unwrap();
        assert_eq!(secret.public_text().unwrap(), Some(format!("whpk_{}", STANDARD.encode(&public))));
        assert_eq!(secret.text().unwrap(), format!("whsk_{}", STANDARD.encode([seed, public.clone()].concat())));

        let signed = secret.signer().unwrap().sign("msg_1", 7, b"body");
        let signature = STANDARD.decode(signed.strip_prefix("v1a,").unwrap()).unwrap();
        let verifier = UnparsedPublicKey::new(&ED25519, public);
        assert!(verifier.verify(b"msg_1.7.body", &signature).is_ok());
        assert!(verifier.verify(b"msg_1.7.bodY", &signature).is_err());
    }

    #[test]
    fn a_request_is_signed_with_every_secret() {
        let (one, other) = (vector().signer().unwrap(), Secret::new(Scheme::V1a, [7; 32]).signer().unwrap());
        let signed = header([&one, &other], "msg_1", 1, b"\0\xff").unwrap();
        let (first, second) = signed.split_once(' ').unwrap();
        assert_eq!(
            (first, second),
            (one.sign("msg_1", 1, b"\0\xff").as_str(), other.sign("msg_1", 1, b"\0\xff").as_str())
        );
        assert_eq!(header([], "msg_1", 1, b""), None);
        assert_ne!(one.sign("msg_1", 1, b""), one.sign("msg_1", 2, b""));
        assert_ne!(one.sign("msg_1", 1, b""), one.sign("msg_2", 1, b""));
    }

    #[test]
    fn secrets_have_the_lengths_of_the_specification_and_are_not_shown_by_accident() {
        for (scheme, length, is_right) in [
            (Scheme::V1, 23, false),
            (Scheme::V1, 24, true),
            (Scheme::V1, 64, true),
            (Scheme::V1, 65, false),
            (Scheme::V1a, 32, true),
            (Scheme::V1a, 64, false),
        ] {
            assert_eq!(Secret::from_bytes(scheme, vec![1; length]).is_ok(), is_right, "{scheme:?} of {length}");
        }
        let secret = Secret::new(Scheme::V1, [b's'; 32]);
        assert_eq!(format!("{secret:?} {:?}", secret.signer().unwrap()), "Secret(v1) Signer");
        for scheme in Scheme::ALL {
            assert_eq!(Scheme::from_name(scheme.name()), Some(scheme));
        }
        assert_eq!(Scheme::from_name("v2"), None);
    }
}
