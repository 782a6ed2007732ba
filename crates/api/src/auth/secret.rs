//! Secrets, compared without telling anything of them.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use posthaste_service::environment::Secret;

/// The digest of a text.
pub type Hash = [u8; 32];

/// The digest of a secret; `Debug` shows nothing of it. Digests are compared, in constant time: so the time that it takes tells neither where two
/// secrets differ nor how long ours is.
#[derive(Clone)]
pub struct SecretDigest(Hash);

impl SecretDigest {
    /// Of a secret.
    #[must_use]
    pub fn of(secret: &Secret) -> SecretDigest {
        SecretDigest(digest(secret.expose().as_bytes()))
    }

    /// Whether it is this one.
    #[must_use]
    pub fn is(&self, given: &[u8]) -> bool {
        bool::from(self.0.ct_eq(&digest(given)))
    }
}

impl std::fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// SHA-256.
#[must_use]
pub fn digest(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_is_the_secret() {
        let secret = SecretDigest::of(&Secret::new("open sesame"));
        assert!(secret.is(b"open sesame"));
        for wrong in ["", "open sesam", "open sesame!", "Open Sesame", "open sesame\0"] {
            assert!(!secret.is(wrong.as_bytes()), "{wrong}");
        }
    }
}
