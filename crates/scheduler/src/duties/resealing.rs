//! Replacing the key that secrets and credentials are encrypted with: once `SECRETS_KEY` has a new first key, everything that was
//! sealed with another one is sealed with that. Right to do twice, and right to stop anywhere.

use posthaste_core::seal::{Keys, NONCE_LENGTH, Purpose};
use posthaste_store::connect::Connection;
use posthaste_store::error::StoreError;
use posthaste_store::resealing::{Outdated, outdated, replace};
use rand::RngCore;

/// Rows per statement.
const STEP: u16 = 100;

/// Seals anew what is sealed with another key than the first, and answers how much that was. What cannot be opened stays as it
/// is, and is told.
///
/// # Errors
/// Any [`StoreError`].
pub(super) async fn reseal(conn: &mut Connection, keys: &Keys) -> Result<u64, StoreError> {
    let Some(current) = keys.current() else { return Ok(0) };
    let mut resealed = 0;
    for purpose in [Purpose::SigningSecret, Purpose::Credentials] {
        let mut after = i64::MIN;
        loop {
            let found = outdated(conn, purpose, current, after, STEP).await?;
            let Some(last) = found.last() else { break };
            after = last.id;
            for one in &found {
                resealed += reseal_one(conn, keys, one).await?;
            }
        }
    }
    Ok(resealed)
}

async fn reseal_one(conn: &mut Connection, keys: &Keys, found: &Outdated) -> Result<u64, StoreError> {
    let mut nonce = [0; NONCE_LENGTH];
    rand::rng().fill_bytes(&mut nonce);
    let anew = keys.open(found.context, &found.sealed).and_then(|plain| keys.seal(nonce, found.context, &plain));
    match anew {
        Ok(anew) => replace(conn, found, &anew).await.map(u64::from),
        Err(error) => {
            tracing::error!(queue = found.context.queue.0, %error, "a secret of a queue cannot be opened");
            Ok(0)
        }
    }
}
