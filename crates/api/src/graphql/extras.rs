//! What the schema has beyond the original's: attempts, statistics, and the actions of `POST` paths.

use async_graphql::dynamic::{Field, FieldFuture, FieldValue, InputValue, Object, TypeRef};
use serde_json::Value as Json;

use super::entities::Shown;
use super::execution::{Asking, answer, refused};
use super::mutations::missing;
use super::node::{Node, readable};
use super::queries::id_argument;
use super::{scalars, type_name};
use crate::error::ApiError;
use crate::ops::testing::{self, Asked};
use crate::ops::{Messages, Queues, messages, queues};
use crate::rest::actions::stats_json;
use crate::wire::attempt::AttemptView;
use crate::wire::fields::Fields;
use crate::wire::testing::TestView;

const ATTEMPT: &str = "Attempt";
const TEST: &str = "TestResult";
const STATS: &str = "QueueStats";

/// What an attempt has, and a test as well.
const ATTEMPT_FIELDS: &[(&str, &str)] = &[
    ("number", TypeRef::INT),
    ("outcome", TypeRef::STRING),
    ("startedAt", scalars::TIME),
    ("finishedAt", scalars::TIME),
    ("durationMs", scalars::COUNT),
    ("status", TypeRef::INT),
    ("errorClass", TypeRef::STRING),
    ("error", TypeRef::STRING),
    ("responseHeaders", scalars::OBJECT),
    ("responseBody", TypeRef::STRING),
    ("responseBodyBase64", TypeRef::STRING),
    ("deliverer", TypeRef::STRING),
    ("dnsUs", TypeRef::INT),
    ("connectUs", TypeRef::INT),
    ("tlsUs", TypeRef::INT),
    ("firstByteUs", TypeRef::INT),
];

/// The object types of what is here.
pub fn objects() -> [Object; 3] {
    let delivered: &[(&'static str, &'static str)] = &[("delivered", TypeRef::BOOLEAN)];
    [
        json_object(TEST, &[delivered, ATTEMPT_FIELDS].concat()),
        json_object(ATTEMPT, ATTEMPT_FIELDS),
        json_object(
            STATS,
            &[
                ("pending", scalars::COUNT),
                ("pendingIsCapped", TypeRef::BOOLEAN),
                ("oldestDueAt", scalars::TIME),
                ("delivered", scalars::COUNT),
                ("failed", scalars::COUNT),
                ("retried", scalars::COUNT),
                ("cancelled", scalars::COUNT),
                ("expired", scalars::COUNT),
                ("deadLettered", scalars::COUNT),
                ("inFlight", scalars::COUNT),
                ("window", scalars::COUNT),
                ("allowedConcurrency", scalars::COUNT),
                ("breaker", TypeRef::STRING),
            ],
        ),
    ]
}

/// What is answered as REST does.
pub fn shown(view: &impl serde::Serialize) -> Result<FieldValue<'static>, async_graphql::Error> {
    serde_json::to_value(view).map(FieldValue::owned_any).map_err(|_| refused(ApiError::Internal))
}

/// An object type whose objects are JSON objects, as REST answers them.
pub fn json_object(name: &str, fields: &[(&'static str, &'static str)]) -> Object {
    fields.iter().fold(Object::new(name), |object, (name, ty)| {
        let name = *name;
        object.field(Field::new(name, TypeRef::named(*ty), move |context| {
            let value = context.parent_value.downcast_ref::<Json>().and_then(|json| json.get(name));
            FieldFuture::from_value(value.cloned().and_then(scalars::json))
        }))
    })
}

/// `Message.attempts`. Only for those who may see every field of the message.
pub fn attempts() -> Field {
    Field::new("attempts", TypeRef::named_list(ATTEMPT), |context| {
        answer(context.ctx, async move {
            let Some(node) = context.parent_value.downcast_ref::<Node<Messages>>() else { return Ok(None) };
            let asking = Asking::of(&context)?;
            let found = messages::attempts(&asking.app, &asking.caller, node.row.id.0).await.map_err(refused)?;
            let attempts = found.unwrap_or_default();
            let json: Result<Vec<Json>, _> =
                attempts.iter().map(|attempt| serde_json::to_value(AttemptView::from(attempt))).collect();
            let json = json.map_err(|_| refused(ApiError::Internal))?;
            Ok(Some(FieldValue::list(json.into_iter().map(FieldValue::owned_any))))
        })
    })
    .description("What was attempted so far, in order.")
}

/// `Queue.stats`.
pub fn stats() -> Field {
    Field::new("stats", TypeRef::named(STATS), |context| {
        answer(context.ctx, async move {
            let Some(node) = context.parent_value.downcast_ref::<Node<Queues>>() else { return Ok(None) };
            let asking = Asking::of(&context)?;
            let stats = queues::stats(&asking.app, &asking.caller, node.row.id.0).await.map_err(refused)?;
            Ok(stats.map(|stats| FieldValue::owned_any(stats_json(&stats))))
        })
    })
    .description("How many messages wait, and how many attempts have ended how.")
}

/// Adds the actions.
pub fn mutations(mutation: Object) -> Object {
    mutation.field(cancel()).field(pause()).field(resume()).field(test())
}

fn id() -> InputValue {
    InputValue::new("id", TypeRef::named_nn(TypeRef::ID))
}

fn cancel() -> Field {
    Field::new("cancelMessage", TypeRef::named(type_name::<Messages>()), |context| {
        answer(context.ctx, async move {
            let (asking, id) = (Asking::of(&context)?, id_argument(&context.args).map_err(refused)?);
            let row = messages::cancel(&asking.app, &asking.caller, id).await.map_err(refused)?;
            changed::<Messages>(asking, id, row)
        })
    })
    .argument(id())
    .description("Stops the delivery of a message: after a success it is never attempted again.")
}

fn pause() -> Field {
    Field::new("pauseQueue", TypeRef::named(type_name::<Queues>()), |context| {
        answer(context.ctx, async move {
            let (asking, id) = (Asking::of(&context)?, id_argument(&context.args).map_err(refused)?);
            let reason = context.args.get("reason").and_then(|reason| reason.string().ok()).map(str::to_owned);
            let row = queues::set_paused(&asking.app, &asking.caller, id, Some(reason)).await.map_err(refused)?;
            changed::<Queues>(asking, id, row)
        })
    })
    .argument(id())
    .argument(InputValue::new("reason", TypeRef::named(TypeRef::STRING)))
    .description("Stops the delivery of a queue's messages until it is resumed.")
}

fn resume() -> Field {
    Field::new("resumeQueue", TypeRef::named(type_name::<Queues>()), |context| {
        answer(context.ctx, async move {
            let (asking, id) = (Asking::of(&context)?, id_argument(&context.args).map_err(refused)?);
            let row = queues::set_paused(&asking.app, &asking.caller, id, None).await.map_err(refused)?;
            changed::<Queues>(asking, id, row)
        })
    })
    .argument(id())
}

fn test() -> Field {
    Field::new("testQueue", TypeRef::named(TEST), |context| {
        answer(context.ctx, async move {
            let (asking, id) = (Asking::of(&context)?, id_argument(&context.args).map_err(refused)?);
            testing::check(&asking.caller).map_err(refused)?;
            let text = |name: &str| context.args.get(name).and_then(|text| text.string().ok().map(str::to_owned));
            let mut given = serde_json::Map::new();
            for name in ["body", "bodyBase64"] {
                if let Some(text) = text(name) {
                    given.insert(name.to_owned(), Json::String(text));
                }
            }
            if let Some(headers) = context.args.get("headers").and_then(|headers| scalars::object(headers.as_value())) {
                given.insert("headers".to_owned(), headers);
            }
            let given = Json::Object(given).to_string();
            let asked = Asked::read(Some(Fields::parse(&given).map_err(refused)?)).map_err(refused)?;
            let attempt = testing::test(&asking.app, &asking.caller, id, asked).await.map_err(refused)?;
            let attempt = attempt.ok_or_else(|| refused(missing::<Queues>(id)))?;
            let json = serde_json::to_value(TestView::from(&attempt)).map_err(|_| refused(ApiError::Internal))?;
            Ok(Some(FieldValue::owned_any(json)))
        })
    })
    .argument(id())
    .argument(InputValue::new("body", TypeRef::named(TypeRef::STRING)))
    .argument(InputValue::new("bodyBase64", TypeRef::named(TypeRef::STRING)))
    .argument(InputValue::new("headers", TypeRef::named(scalars::OBJECT)))
    .description(
        "Sends one signed sample to the queue's receiver, and answers what came of it. Nothing of the queue changes.",
    )
}

/// The answer of an action on a row.
pub fn changed<R: Shown>(
    asking: &Asking,
    id: i64,
    row: Option<R::Row>,
) -> async_graphql::Result<Option<FieldValue<'static>>> {
    let row = row.ok_or_else(|| refused(missing::<R>(id)))?;
    Ok(Some(Node::<R>::changed(row, &readable::<R>(&asking.caller))))
}
