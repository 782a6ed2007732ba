//! Topics: what is published to one becomes a message in each queue that subscribes to it.
//!
//! Subscriptions are a queue's: who may change it, whole, may subscribe it. Who publishes reaches the queues that they may
//! store messages in, and no others.

use futures_util::FutureExt;
use posthaste_core::entity::{Entity, MessageField, QueueField};
use posthaste_core::filter::{Filter, Value};
use posthaste_core::ids::QueueId;
use posthaste_core::listing::Listing;
use posthaste_core::topic;
use posthaste_store::message::{IdempotencyKey, Message, NewMessage};
use posthaste_store::subscription::{self, MOST, Subscription};

use super::{Messages, Queues, Resource};
use crate::app::App;
use crate::auth::{Caller, Operation};
use crate::error::ApiError;
use crate::wire::idempotency;

/// Stores one message for each subscription that takes it, all or none. None is no error.
///
/// # Errors
/// What the caller may not do; as for any message.
pub async fn publish(app: &App, caller: &Caller, name: String, message: NewMessage) -> Result<Vec<Message>, ApiError> {
    let grant = caller.grant::<MessageField>(Operation::Save)?;
    if grant.fields.is_some() {
        return Err(ApiError::Forbidden);
    }
    let subscriptions = app.database.read(move |conn| subscription::list(conn, name).boxed()).await?;
    let headers = message.headers.as_ref().and_then(serde_json::Value::as_object);
    let takes = |subscription: &&Subscription| match &subscription.filter {
        None => true,
        // What cannot be read takes nothing, rather than everything.
        Some(filter) => topic::Filter::parse(filter).is_ok_and(|filter| filter.takes(headers)),
    };
    let key = message.idempotency.as_ref().map(|idempotency| idempotency.key.clone());
    let mut messages: Vec<NewMessage> = Vec::new();
    for subscription in subscriptions.iter().filter(takes) {
        let mut copy = NewMessage { queue_id: subscription.queue, idempotency: None, ..message.clone() };
        copy.idempotency = key.clone().map(|key| IdempotencyKey { key, fingerprint: idempotency::fingerprint(&copy) });
        if grant.filter.matches(|field| Messages::new_value(&copy, field)) {
            messages.push(copy);
        }
    }
    Messages::create_all(app, messages).await
}

/// Subscribes a queue to a topic, or changes what it takes of it; `None` where there is no such queue for the caller.
///
/// # Errors
/// What the caller may not do; too many subscriptions; as any statement.
pub async fn subscribe(
    app: &App,
    caller: &Caller,
    name: String,
    queue: i64,
    filter: Option<serde_json::Value>,
) -> Result<Option<Subscription>, ApiError> {
    let Some(queue) = theirs(app, caller, queue, Operation::Save).await? else { return Ok(None) };
    let write =
        app.database.write(move |conn| async move { subscription::put(conn, name, queue, filter).await }.boxed());
    let Some(stored) = write.await? else {
        return Err(ApiError::value_limit(format!("a topic may have at most {MOST} subscriptions")));
    };
    app.audit(caller, Entity::Queue, "subscribe", &[queue.0], None).await;
    Ok(Some(stored))
}

/// Ends a subscription, and answers what it was; `None` where there is none for the caller.
///
/// # Errors
/// What the caller may not do; as any statement.
pub async fn unsubscribe(
    app: &App,
    caller: &Caller,
    name: String,
    queue: i64,
) -> Result<Option<Subscription>, ApiError> {
    let Some(queue) = theirs(app, caller, queue, Operation::Save).await? else { return Ok(None) };
    let write = app.database.write(move |conn| async move { subscription::delete(conn, name, queue).await }.boxed());
    let Some(ended) = write.await? else { return Ok(None) };
    app.audit(caller, Entity::Queue, "unsubscribe", &[queue.0], None).await;
    Ok(Some(ended))
}

/// The subscriptions of a topic, of the queues that the caller may see.
///
/// # Errors
/// What the caller may not do; as any statement.
pub async fn subscriptions(app: &App, caller: &Caller, name: String) -> Result<Vec<Subscription>, ApiError> {
    let grant = caller.grant::<QueueField>(Operation::Find)?;
    let mut all = app.database.read(move |conn| subscription::list(conn, name).boxed()).await?;
    if !grant.filter.is_empty() {
        let mut visible = Vec::with_capacity(all.len());
        for subscription in all {
            if theirs(app, caller, subscription.queue.0, Operation::Find).await?.is_some() {
                visible.push(subscription);
            }
        }
        all = visible;
    }
    Ok(all)
}

/// The queue, if there is one that the caller may do this with.
async fn theirs(app: &App, caller: &Caller, id: i64, operation: Operation) -> Result<Option<QueueId>, ApiError> {
    let grant = caller.grant::<QueueField>(operation)?;
    if grant.fields.is_some() && operation == Operation::Save {
        return Err(ApiError::Forbidden);
    }
    let one = Filter::equal(QueueField::Id, Value::Number(id)).intersect(grant.filter);
    Ok(Queues::find(app, Listing::first(1, one)).await?.pop().map(|queue| queue.id))
}
