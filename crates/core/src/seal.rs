//! Encryption at rest of what the database must not be able to tell: signing secrets and credentials.
//!
//! Promise: who has the database and not the key learns nothing but lengths; what was sealed for one queue and purpose opens for no
//! other; and a key can be replaced while everything goes on. The first of the keys seals, every one opens. So a new key is first
//! added behind the old one everywhere, then put before it, and the old one is taken away once nothing is sealed with it any more.
//!
//! AES-256-GCM (NIST SP 800-38D) with a random nonce. Sealed: a version byte, the key's id, the nonce, the ciphertext with its
//! tag.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};

use crate::ids::QueueId;

const VERSION: u8 = 1;
const KEY_LENGTH: usize = 32;
const HEAD: usize = 1 + ID_LENGTH + NONCE_LEN;
/// The bytes of a [`KeyId`].
pub const ID_LENGTH: usize = 8;
/// The bytes of chance that one sealing needs.
pub const NONCE_LENGTH: usize = NONCE_LEN;

/// By which a key is recognised: the beginning of its SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub [u8; ID_LENGTH]);

/// The keys of a deployment, at least one.
#[derive(Clone)]
pub struct Keys(Vec<(KeyId, LessSafeKey)>);

/// What something is sealed for. It opens for the same only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// What it is.
    pub purpose: Purpose,
    /// Whose it is.
    pub queue: QueueId,
}

/// What is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A secret that requests are signed with.
    SigningSecret,
    /// What a queue shows its receiver.
    Credentials,
}

/// Keys that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "takes base64 of 32 random bytes, such as `openssl rand -base64 32` prints; several of them separated by commas, the newest first"
)]
pub struct KeysError;

/// Why something cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It was sealed with a key that is none of these.
    #[error("it was encrypted with a key that SECRETS_KEY does not have")]
    UnknownKey,
    /// It is not what was sealed, or was sealed for something else.
    #[error("it is damaged")]
    Damaged,
}

impl Keys {
    /// Reads base64 of 32 bytes each, separated by commas: the first one seals, all open.
    ///
    /// # Errors
    /// What it takes. The text itself is not repeated.
    pub fn parse(text: &str) -> Result<Keys, KeysError> {
        let keys: Vec<_> = text.split(',').map(|key| parse_key(key.trim())).collect::<Option<_>>().ok_or(KeysError)?;
        if keys.is_empty() { Err(KeysError) } else { Ok(Keys(keys)) }
    }

    /// The key that seals.
    #[must_use]
    pub fn current(&self) -> Option<KeyId> {
        self.0.first().map(|(id, _)| *id)
    }

    /// Whether it is sealed with the key that seals now.
    #[must_use]
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        key_of(sealed).is_some_and(|id| self.current() == Some(id))
    }

    /// Seals. `nonce` must be new chance each time.
    ///
    /// # Errors
    /// It is longer than anything that could be.
    pub fn seal(&self, nonce: [u8; NONCE_LENGTH], context: Context, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let (id, key) = self.0.first().ok_or(SealError::UnknownKey)?;
        let mut text = plain.to_vec();
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context.bytes()), &mut text)
            .map_err(|_| SealError::Damaged)?;
        let mut sealed = Vec::with_capacity(HEAD + text.len() + tag.as_ref().len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&id.0);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&text);
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what was sealed for the same context with any of the keys.
    ///
    /// # Errors
    /// Why not.
    pub fn open(&self, context: Context, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let id = key_of(sealed).ok_or(SealError::Damaged)?;
        let (_, key) = self.0.iter().find(|(known, _)| *known == id).ok_or(SealError::UnknownKey)?;
        let nonce = Nonce::try_assume_unique_for_key(&sealed[1 + ID_LENGTH..HEAD]).map_err(|_| SealError::Damaged)?;
        let mut text = sealed[HEAD..].to_vec();
        let plain = key.open_in_place(nonce, Aad::from(context.bytes()), &mut text).map_err(|_| SealError::Damaged)?;
        Ok(plain.to_vec())
    }
}

impl Context {
    fn bytes(self) -> Vec<u8> {
        let purpose: &[u8] = match self.purpose {
            Purpose::SigningSecret => b"posthaste signing secret",
            Purpose::Credentials => b"posthaste credentials",
        };
        [purpose, b" of queue ", &self.queue.0.to_be_bytes()].concat()
    }
}

/// The key that something was sealed with; `None` where that cannot have been us.
fn key_of(sealed: &[u8]) -> Option<KeyId> {
    let id = sealed.get(1..1 + ID_LENGTH).filter(|_| sealed[0] == VERSION && sealed.len() >= HEAD)?;
    id.try_into().ok().map(KeyId)
}

fn parse_key(text: &str) -> Option<(KeyId, LessSafeKey)> {
    let bytes = STANDARD.decode(text).ok().filter(|bytes| bytes.len() == KEY_LENGTH)?;
    let id = digest(&SHA256, &bytes).as_ref()[..ID_LENGTH].try_into().ok()?;
    let key = UnboundKey::new(&AES_256_GCM, &bytes).ok()?;
    Some((KeyId(id), LessSafeKey::new(key)))
}

/// Says how many, and nothing of them.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const NEW: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
    const CONTEXT: Context = Context { purpose: Purpose::SigningSecret, queue: QueueId(7) };

    fn keys(texts: &[&str]) -> Keys {
        Keys::parse(&texts.join(", ")).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_for_the_same_only() {
        let keys = keys(&[OLD]);
        let sealed = keys.seal([1; 12], CONTEXT, b"secret").unwrap();
        assert_eq!(keys.open(CONTEXT, &sealed).as_deref(), Ok(&b"secret"[..]));
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        for other in [Context { queue: QueueId(8), ..CONTEXT }, Context { purpose: Purpose::Credentials, ..CONTEXT }] {
            assert_eq!(keys.open(other, &sealed), Err(SealError::Damaged));
        }
        for at in HEAD - NONCE_LEN..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(keys.open(CONTEXT, &damaged), Err(SealError::Damaged), "{at}");
        }
        for length in 0..sealed.len() {
            assert!(keys.open(CONTEXT, &sealed[..length]).is_err(), "{length}");
        }
        assert_ne!(keys.seal([2; 12], CONTEXT, b"secret").unwrap(), sealed);
        assert_eq!(keys.open(CONTEXT, &keys.seal([3; 12], CONTEXT, b"").unwrap()), Ok(Vec::new()));
    }

    #[test]
    fn a_key_is_replaced_step_by_step() {
        let sealed = keys(&[OLD]).seal([1; 12], CONTEXT, b"secret").unwrap();
        let (both, swapped, new) = (keys(&[OLD, NEW]), keys(&[NEW, OLD]), keys(&[NEW]));
        assert!(both.is_current(&sealed) && !swapped.is_current(&sealed));
        assert_eq!(swapped.open(CONTEXT, &sealed).as_deref(), Ok(&b"secret"[..]));
        assert_eq!(new.open(CONTEXT, &sealed), Err(SealError::UnknownKey));
        let again = swapped.seal([2; 12], CONTEXT, b"secret").unwrap();
        assert!(swapped.is_current(&again) && new.open(CONTEXT, &again).is_ok() && both.open(CONTEXT, &again).is_ok());
    }

    #[test]
    fn only_32_bytes_of_base64_are_keys() {
        for text in ["", ",", "hunter2", "AAEC", &OLD[1..], &format!("{OLD},"), &format!("{OLD} {NEW}")] {
            let error = Keys::parse(text).unwrap_err();
            assert!(!error.to_string().contains("hunter2"));
        }
        assert_eq!(format!("{:?}", keys(&[OLD, NEW])), "Keys(2)");
    }
}
