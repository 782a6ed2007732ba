//! Topics.

use async_graphql::dynamic::{Field, FieldValue, InputValue, Object, ObjectAccessor, TypeRef};
use serde_json::value::to_raw_value;

use super::execution::{Asking, answer, refused};
use super::extras::{json_object, shown};
use super::mutations::missing;
use super::node::{Node, readable};
use super::queries::named_id;
use super::{scalars, type_name};
use crate::error::ApiError;
use crate::ops::{Messages, Queues, topics};
use crate::wire::fields::Fields;
use crate::wire::message::read_published;
use crate::wire::topic::{self, SubscriptionView};

const SUBSCRIPTION: &str = "TopicSubscription";

/// The object type of what is here.
pub fn object() -> Object {
    json_object(
        SUBSCRIPTION,
        &[
            ("topic", TypeRef::STRING),
            ("queueId", TypeRef::ID),
            ("filter", scalars::OBJECT),
            ("createdAt", scalars::TIME),
        ],
    )
}

/// Adds the question.
pub fn queries(query: Object) -> Object {
    query.field(list())
}

/// Adds the actions.
pub fn mutations(mutation: Object) -> Object {
    mutation.field(publish()).field(subscribe()).field(unsubscribe())
}

fn topic_argument() -> InputValue {
    InputValue::new("topic", TypeRef::named_nn(TypeRef::STRING))
}

fn queue_argument() -> InputValue {
    InputValue::new("queueId", TypeRef::named_nn(TypeRef::ID))
}

fn name(arguments: &ObjectAccessor<'_>) -> Result<String, ApiError> {
    let given = arguments.get("topic").and_then(|name| name.string().ok().map(str::to_owned));
    topic::name(&given.unwrap_or_default())
}

fn list() -> Field {
    Field::new("topicSubscriptions", TypeRef::named_list(SUBSCRIPTION), |context| {
        answer(context.ctx, async move {
            let (asking, name) = (Asking::of(&context)?, name(&context.args).map_err(refused)?);
            let found = topics::subscriptions(&asking.app, &asking.caller, name).await.map_err(refused)?;
            let views: Result<Vec<_>, _> = found.iter().map(|found| shown(&SubscriptionView::from(found))).collect();
            Ok(Some(FieldValue::list(views?)))
        })
    })
    .argument(topic_argument())
    .description("The queues that have a message of each that is published to a topic.")
}

fn publish() -> Field {
    Field::new("publishToTopic", TypeRef::named_list(type_name::<Messages>()), |context| {
        answer(context.ctx, async move {
            let (asking, name) = (Asking::of(&context)?, name(&context.args).map_err(refused)?);
            let given = context.args.get("message").and_then(|message| scalars::object(message.as_value()));
            let text = given.unwrap_or_default().to_string();
            let fields = Fields::parse(&text).map_err(refused)?;
            let message = read_published(fields, asking.app.max_body_bytes).map_err(refused)?;
            let messages = topics::publish(&asking.app, &asking.caller, name, message).await.map_err(refused)?;
            let readable = readable::<Messages>(&asking.caller);
            Ok(Some(FieldValue::list(messages.into_iter().map(|row| Node::<Messages>::changed(row, &readable)))))
        })
    })
    .argument(topic_argument())
    .argument(InputValue::new("message", TypeRef::named_nn(scalars::OBJECT)))
    .description("Stores one message for each queue that subscribes to a topic and takes it, by one commit.")
}

fn subscribe() -> Field {
    Field::new("subscribeQueue", TypeRef::named(SUBSCRIPTION), |context| {
        answer(context.ctx, async move {
            let (asking, name) = (Asking::of(&context)?, name(&context.args).map_err(refused)?);
            let queue = named_id(&context.args, "queueId").map_err(refused)?;
            let given = context.args.get("filter").and_then(|filter| scalars::object(filter.as_value()));
            let raw = given.map(|filter| to_raw_value(&filter)).transpose().map_err(|_| refused(ApiError::Internal))?;
            let filter = topic::filter(raw.as_deref()).map_err(refused)?;
            let stored = topics::subscribe(&asking.app, &asking.caller, name, queue, filter).await.map_err(refused)?;
            let stored = stored.ok_or_else(|| refused(missing::<Queues>(queue)))?;
            shown(&SubscriptionView::from(&stored)).map(Some)
        })
    })
    .argument(topic_argument())
    .argument(queue_argument())
    .argument(InputValue::new("filter", TypeRef::named(scalars::OBJECT)))
    .description("Subscribes a queue to a topic, or changes what it takes of it: messages with all of these headers.")
}

fn unsubscribe() -> Field {
    Field::new("unsubscribeQueue", TypeRef::named(SUBSCRIPTION), |context| {
        answer(context.ctx, async move {
            let (asking, name) = (Asking::of(&context)?, name(&context.args).map_err(refused)?);
            let queue = named_id(&context.args, "queueId").map_err(refused)?;
            let ended = topics::unsubscribe(&asking.app, &asking.caller, name, queue).await.map_err(refused)?;
            let ended = ended.ok_or_else(|| refused(missing::<Queues>(queue)))?;
            shown(&SubscriptionView::from(&ended)).map(Some)
        })
    })
    .argument(topic_argument())
    .argument(queue_argument())
}
