//! What a queue signs with, and what it shows its receiver: made, listed, revoked; set, described, taken away.
//!
//! Who may save a queue may do this with it, who may find it may see what there is; but not those whom a rule limits to some of its
//! fields, because these are none of them. What is secret is sealed before it goes to the database, and is answered once, when it
//! is made, or never.

use std::time::Duration;

use futures_util::FutureExt;
use posthaste_core::credentials::Credentials;
use posthaste_core::entity::QueueField;
use posthaste_core::filter::{Filter, Value};
use posthaste_core::ids::{QueueId, SecretId};
use posthaste_core::listing::Listing;
use posthaste_core::seal::{Context, Purpose};
use posthaste_core::signature::{self, Scheme};
use posthaste_store::queue_credentials::{self, Description};
use posthaste_store::queue_secret::{self, Created, NewSecret, Secret};
use rand::RngCore;

use super::{Queues, Resource};
use crate::app::App;
use crate::auth::{Caller, Operation};
use crate::error::ApiError;

/// A secret that was made, and what its maker is told this once.
#[derive(Debug)]
pub struct Made {
    pub stored: Secret,
    /// `whsec_…` or `whsk_…`.
    pub text: String,
}

/// Makes a secret for a queue; `None` where there is no such queue for the caller. The earlier ones of the same scheme are good for
/// `grace` at most; `None` leaves them as they are.
///
/// # Errors
/// What the caller may not do; no key to seal with; too many secrets; as any transaction.
pub async fn create(
    app: &App,
    caller: &Caller,
    queue: i64,
    scheme: Scheme,
    grace: Option<Duration>,
) -> Result<Option<Made>, ApiError> {
    let Some(queue) = find(app, caller, queue, Operation::Save).await? else { return Ok(None) };
    let secret = signature::Secret::new(scheme, chance());
    let text = secret.text().map_err(|_| ApiError::Internal)?;
    let public_key = secret.public_text().map_err(|_| ApiError::Internal)?;
    let sealed = seal(app, Context { purpose: Purpose::SigningSecret, queue }, secret.bytes())?;
    let new = NewSecret { queue, scheme, sealed, public_key, grace };
    let actor = caller.actor().to_owned();
    let write = app.database.write(move |conn| async move { queue_secret::create(conn, &new, &actor).await }.boxed());
    match write.await? {
        Created::Stored(stored) => Ok(Some(Made { stored, text })),
        Created::UnknownQueue => Ok(None),
        Created::TooMany => Err(ApiError::value_limit(format!(
            "a queue may have at most {} secrets that are good at the same time: revoke one, or give a gracePeriodSeconds",
            queue_secret::MOST
        ))),
    }
}

/// The secrets of a queue, those that are no longer good as well; `None` where there is no such queue for the caller.
///
/// # Errors
/// What the caller may not do; as any statement.
pub async fn list(app: &App, caller: &Caller, queue: i64) -> Result<Option<Vec<Secret>>, ApiError> {
    let Some(queue) = find(app, caller, queue, Operation::Find).await? else { return Ok(None) };
    app.database.read(move |conn| async move { queue_secret::list(conn, &[queue]).await }.boxed()).await.map(Some)
}

/// Revokes a secret: from the next delivery on nothing is signed with it. `None` where there is no such secret for the caller.
///
/// # Errors
/// What the caller may not do; as any transaction.
pub async fn revoke(app: &App, caller: &Caller, queue: i64, id: i64) -> Result<Option<Secret>, ApiError> {
    let Some(queue) = find(app, caller, queue, Operation::Save).await? else { return Ok(None) };
    let actor = caller.actor().to_owned();
    app.database
        .write(move |conn| async move { queue_secret::revoke(conn, queue, SecretId(id), &actor).await }.boxed())
        .await
}

/// Gives a queue credentials in the place of those that it has; `None` where there is no such queue for the caller.
///
/// # Errors
/// What the caller may not do; no key to seal with; as any transaction.
pub async fn set_credentials(
    app: &App,
    caller: &Caller,
    queue: i64,
    credentials: &Credentials,
) -> Result<Option<Description>, ApiError> {
    let Some(queue) = find(app, caller, queue, Operation::Save).await? else { return Ok(None) };
    let plain = serde_json::to_vec(credentials).map_err(|_| ApiError::Internal)?;
    let sealed = seal(app, Context { purpose: Purpose::Credentials, queue }, &plain)?;
    let (shown, actor) = (credentials.describe(), caller.actor().to_owned());
    app.database
        .write(move |conn| async move { queue_credentials::put(conn, queue, &sealed, &shown, &actor).await }.boxed())
        .await
}

/// What may be shown of a queue's credentials; `None` where there are none for the caller.
///
/// # Errors
/// What the caller may not do; as any statement.
pub async fn credentials(app: &App, caller: &Caller, queue: i64) -> Result<Option<Description>, ApiError> {
    let Some(queue) = find(app, caller, queue, Operation::Find).await? else { return Ok(None) };
    let read = app.database.read(move |conn| async move { queue_credentials::describe(conn, &[queue]).await }.boxed());
    Ok(read.await?.pop())
}

/// Takes a queue's credentials away; `None` where there are none for the caller.
///
/// # Errors
/// What the caller may not do; as any transaction.
pub async fn delete_credentials(app: &App, caller: &Caller, queue: i64) -> Result<Option<Description>, ApiError> {
    let Some(queue) = find(app, caller, queue, Operation::Save).await? else { return Ok(None) };
    let actor = caller.actor().to_owned();
    app.database.write(move |conn| async move { queue_credentials::delete(conn, queue, &actor).await }.boxed()).await
}

/// The queue, if there is one that the caller may do this with.
async fn find(app: &App, caller: &Caller, id: i64, operation: Operation) -> Result<Option<QueueId>, ApiError> {
    let grant = caller.grant::<QueueField>(operation)?;
    if grant.fields.is_some() {
        return Err(ApiError::Forbidden);
    }
    let theirs = Filter::equal(QueueField::Id, Value::Number(id)).intersect(grant.filter);
    Ok(Queues::find(app, Listing::first(1, theirs)).await?.pop().map(|queue| queue.id))
}

fn seal(app: &App, context: Context, plain: &[u8]) -> Result<Vec<u8>, ApiError> {
    let keys = app.secrets.as_ref().ok_or(ApiError::SecretsKeyMissing)?;
    keys.seal(chance(), context, plain).map_err(|_| ApiError::Internal)
}

/// From the operating system, by way of the thread's generator, which is made for keys.
fn chance<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}
