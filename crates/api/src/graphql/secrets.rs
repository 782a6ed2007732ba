//! What a queue signs with, and what it shows its receiver.

use async_graphql::dynamic::{Field, FieldValue, InputValue, Object, TypeRef};

use super::execution::{Asking, answer, refused};
use super::extras::{json_object, shown};
use super::node::Node;
use super::queries::{id_argument, named_id};
use super::scalars;
use crate::ops::{Queues, secrets};
use crate::wire::secret::{CredentialsView, SecretInput, SecretView, credentials};

const SECRET: &str = "QueueSecret";
const CREDENTIALS: &str = "QueueCredentials";

/// The object types of what is here.
pub fn objects() -> [Object; 2] {
    [
        json_object(
            SECRET,
            &[
                ("id", TypeRef::ID),
                ("queueId", TypeRef::ID),
                ("type", TypeRef::STRING),
                ("secret", TypeRef::STRING),
                ("publicKey", TypeRef::STRING),
                ("createdAt", scalars::TIME),
                ("expiresAt", scalars::TIME),
                ("revokedAt", scalars::TIME),
            ],
        ),
        json_object(
            CREDENTIALS,
            &[
                ("queueId", TypeRef::ID),
                ("authorization", scalars::OBJECT),
                ("clientCertificate", scalars::OBJECT),
                ("caCertificates", scalars::OBJECT),
                ("updatedAt", scalars::TIME),
            ],
        ),
    ]
}

/// `Queue.secrets`
pub fn of_queue() -> Field {
    Field::new("secrets", TypeRef::named_list(SECRET), |context| {
        answer(context.ctx, async move {
            let Some(node) = context.parent_value.downcast_ref::<Node<Queues>>() else { return Ok(None) };
            let asking = Asking::of(&context)?;
            let found = secrets::list(&asking.app, &asking.caller, node.row.id.0).await.map_err(refused)?;
            let found = found.unwrap_or_default();
            let views: Result<Vec<_>, _> = found.iter().map(|secret| shown(&SecretView::from(secret))).collect();
            Ok(Some(FieldValue::list(views?)))
        })
    })
    .description("What its requests are signed with; never the secrets themselves.")
}

/// `Queue.credentials`
pub fn credentials_of_queue() -> Field {
    Field::new("credentials", TypeRef::named(CREDENTIALS), |context| {
        answer(context.ctx, async move {
            let Some(node) = context.parent_value.downcast_ref::<Node<Queues>>() else { return Ok(None) };
            let asking = Asking::of(&context)?;
            let found = secrets::credentials(&asking.app, &asking.caller, node.row.id.0).await.map_err(refused)?;
            found.map(|found| shown(&CredentialsView::from(&found))).transpose()
        })
    })
    .description("What may be shown of what it shows its receiver.")
}

/// Adds the actions.
pub fn mutations(mutation: Object) -> Object {
    mutation.field(create()).field(revoke()).field(set()).field(delete())
}

fn id() -> InputValue {
    InputValue::new("id", TypeRef::named_nn(TypeRef::ID))
}

fn missing(id: i64) -> async_graphql::Error {
    refused(super::mutations::missing::<Queues>(id))
}

fn create() -> Field {
    Field::new("createQueueSecret", TypeRef::named(SECRET), |context| {
        answer(context.ctx, async move {
            let (asking, id) = (Asking::of(&context)?, id_argument(&context.args).map_err(refused)?);
            let scheme = context.args.get("type").and_then(|text| text.string().ok().map(str::to_owned));
            let grace = match context.args.get("gracePeriodSeconds") {
                Some(seconds) if seconds.is_null() => Ok(None),
                Some(seconds) => seconds.i64().map(Some),
                None => Ok(Some(SecretInput::DEFAULT_GRACE_SECONDS)),
            }?;
            let input = SecretInput::of(scheme.as_deref(), grace).map_err(refused)?;
            let made = secrets::create(&asking.app, &asking.caller, id, input.scheme, input.grace).await;
            let made = made.map_err(refused)?.ok_or_else(|| missing(id))?;
            shown(&SecretView::from(&made.stored).with_secret(&made.text)).map(Some)
        })
    })
    .argument(id())
    .argument(InputValue::new("type", TypeRef::named(TypeRef::STRING)))
    .argument(InputValue::new("gracePeriodSeconds", TypeRef::named(TypeRef::INT)))
    .description(
        "Makes a secret for a queue (v1 or v1a), which is shown this once. Earlier ones end after the grace period.",
    )
}

fn revoke() -> Field {
    Field::new("revokeQueueSecret", TypeRef::named(SECRET), |context| {
        answer(context.ctx, async move {
            let (asking, id) = (Asking::of(&context)?, id_argument(&context.args).map_err(refused)?);
            let secret = named_id(&context.args, "secretId").map_err(refused)?;
            let revoked = secrets::revoke(&asking.app, &asking.caller, id, secret).await.map_err(refused)?;
            shown(&SecretView::from(&revoked.ok_or_else(|| missing(id))?)).map(Some)
        })
    })
    .argument(id())
    .argument(InputValue::new("secretId", TypeRef::named_nn(TypeRef::ID)))
    .description("From the next delivery on nothing is signed with it.")
}

fn set() -> Field {
    Field::new("setQueueCredentials", TypeRef::named(CREDENTIALS), |context| {
        answer(context.ctx, async move {
            let (asking, id) = (Asking::of(&context)?, id_argument(&context.args).map_err(refused)?);
            let given = context.args.try_get("credentials")?.as_value().clone().into_json()?;
            let given = credentials(&given.to_string()).map_err(refused)?;
            let set = secrets::set_credentials(&asking.app, &asking.caller, id, &given).await.map_err(refused)?;
            shown(&CredentialsView::from(&set.ok_or_else(|| missing(id))?)).map(Some)
        })
    })
    .argument(id())
    .argument(InputValue::new("credentials", TypeRef::named_nn(scalars::OBJECT)))
    .description("Gives a queue credentials in the place of those that it has: `authorization`, `clientCertificate`, `caCertificates`.")
}

fn delete() -> Field {
    Field::new("deleteQueueCredentials", TypeRef::named(CREDENTIALS), |context| {
        answer(context.ctx, async move {
            let (asking, id) = (Asking::of(&context)?, id_argument(&context.args).map_err(refused)?);
            let deleted = secrets::delete_credentials(&asking.app, &asking.caller, id).await.map_err(refused)?;
            shown(&CredentialsView::from(&deleted.ok_or_else(|| missing(id))?)).map(Some)
        })
    })
    .argument(id())
}
