//! What bodies of requests may be.

use posthaste_core::entity::{CronField, Entity, Field, MessageField, QueueField};
use posthaste_core::gate::rate::MOST_PER_SECOND;
use posthaste_core::queue::{MAX_RETRIES, Method, QueueName};
use posthaste_core::scope::Scope;
use posthaste_core::signature::Scheme;
use posthaste_core::topic::{MOST_HEADERS, MOST_VALUES};
use posthaste_core::transition::ErrorClass;
use serde_json::{Value, json};
use utoipa::openapi::schema::{AdditionalProperties, AnyOfBuilder, OneOfBuilder, SchemaType, Type};

use super::meanings::meaning;
use super::schemas::{AnySchema, anything, array, integer, nullable, object, of, words};
use crate::batcher::LARGEST_BATCH;

/// What may come back as it was answered.
const ECHO: &str = "May be sent back as it was answered; it is not set by clients.";

/// Every schema of requests.
pub fn all() -> Vec<(&'static str, AnySchema)> {
    vec![
        ("NewQueue", queue()),
        ("NewMessage", message(Of::New)),
        ("MessageChange", message(Of::Change)),
        ("PublishedMessage", message(Of::Topic)),
        ("JobRequest", job()),
        ("SubscriptionRequest", subscription()),
        ("NewCron", cron()),
        ("Headers", headers()),
        ("PauseRequest", pause()),
        ("TestRequest", test()),
        ("NewApiKey", api_key()),
        ("NewQueueSecret", queue_secret()),
        ("NewQueueCredentials", queue_credentials()),
        ("Batch", array(super::schemas::named("NewMessage")).min_items(Some(1)).max_items(Some(LARGEST_BATCH)).into()),
        ("GraphqlRequest", graphql()),
    ]
}

/// The schema of what creates a row, and of what changes one.
pub fn names_of(entity: Entity) -> (&'static str, &'static str) {
    match entity {
        Entity::Queue => ("NewQueue", "NewQueue"),
        Entity::Message => ("NewMessage", "MessageChange"),
        Entity::Cron => ("NewCron", "NewCron"),
    }
}

/// An example of each.
pub fn example_of(entity: Entity) -> Value {
    match entity {
        Entity::Queue => json!({
            "name": "orders", "callbackUrl": "https://example.com/hook", "method": "POST",
            "headers": {"X-Source": "shop"}, "maxRetries": 5
        }),
        Entity::Message => json!({"queueId": "1", "body": {"order": 42}, "headers": {"X-Trace": "abc"}}),
        Entity::Cron => json!({"queueId": "1", "schedule": "*/5 * * * *", "body": "tick"}),
    }
}

fn id() -> AnySchema {
    let text = of(Type::String).pattern(Some("^-?[0-9]{1,18}$"));
    OneOfBuilder::new().item(integer()).item(text).into()
}

pub fn described<F: Field>(field: F, schema: utoipa::openapi::schema::ObjectBuilder) -> (&'static str, AnySchema) {
    (field.name(), schema.description(Some(meaning(F::ENTITY, field.name()))).into())
}

/// What a field of an answer may come back as.
fn echoes<F: Field>(fields: &[F]) -> Vec<(&'static str, AnySchema)> {
    fields.iter().map(|field| (field.name(), anything().description(Some(ECHO)).into())).collect()
}

fn header_field() -> AnySchema {
    let null = of(Type::Null);
    OneOfBuilder::new().item(super::schemas::named("Headers")).item(null).into()
}

fn headers() -> AnySchema {
    let value = SchemaType::from_iter([Type::String, Type::Number, Type::Boolean]);
    let value = of(Type::Object).schema_type(value);
    let description = "At most 64, of 16 KiB together. Names differ in more than case, and are none that only an HTTP client \
                       can set, such as `content-length`.";
    of(Type::Object)
        .additional_properties(Some(AdditionalProperties::from(value)))
        .description(Some(description))
        .max_properties(Some(64))
        .into()
}

fn queue() -> AnySchema {
    let name = of(Type::String).min_length(Some(1)).max_length(Some(QueueName::LONGEST));
    let retries = nullable(Type::Integer)
        .minimum(Some(*MAX_RETRIES.start()))
        .maximum(Some(*MAX_RETRIES.end()))
        .description(Some("Where it is not given: as many as the schedule of `retryPolicy` has waits, else 5."));
    let numeric = of(Type::String).pattern(Some("^(1000|[0-9]{1,3})$"));
    let retries = AnyOfBuilder::new().item(retries).item(numeric);
    let nullable_id = || AnyOfBuilder::new().item(id()).item(of(Type::Null)).into();
    let mut properties = vec![
        described(QueueField::Name, name),
        described(QueueField::CallbackUrl, of(Type::String).examples([json!("https://example.com/hook")])),
        described(QueueField::Method, words(Method::ALL.map(Method::as_str))),
        ("headers", header_field()),
        ("deadLetterQueueId", nullable_id()),
        ("eventQueueId", nullable_id()),
        ("maxRetries", retries.into()),
    ];
    properties.extend(super::policies::of_queues());
    properties.extend(echoes(&[
        QueueField::Id,
        QueueField::CreatedAt,
        QueueField::UpdatedAt,
        QueueField::PausedAt,
        QueueField::PausedReason,
    ]));
    object(properties, &["callbackUrl", "method", "name"]).into()
}

fn time(description: &str) -> AnySchema {
    let all = format!("{description} RFC 3339; an offset is honoured, without one it is UTC. The years 1970 to 9999.");
    nullable(Type::String).description(Some(all)).examples([json!("2026-11-23T13:15:54.470Z")]).into()
}

fn body() -> AnySchema {
    anything().description(Some("Text as it is; any other JSON value as its JSON text; null for none.")).into()
}

/// What a message in a request is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    New,
    Change,
    /// Whoever subscribes gives it a queue.
    Topic,
}

fn job() -> AnySchema {
    let classes = ErrorClass::ALL.iter().map(|class| Some(class.as_str())).chain([None]);
    let class =
        nullable(Type::String).enum_values(Some(classes)).description(Some("Only those whose last attempt ended so."));
    let rate = nullable(Type::Number)
        .minimum(Some(0.1))
        .maximum(Some(MOST_PER_SECOND))
        .description(Some("Messages a second, at most; null: as many as can be stored."));
    let preview = nullable(Type::Boolean).default(Some(json!(false))).description(Some("Only tell what it would do."));
    object(vec![("errorClass", class.into()), ("ratePerSecond", rate.into()), ("preview", preview.into())], &[]).into()
}

fn subscription() -> AnySchema {
    let values = AnyOfBuilder::new()
        .item(of(Type::String))
        .item(of(Type::Number))
        .item(of(Type::Boolean))
        .item(array(of(Type::String)).min_items(Some(1)).max_items(Some(MOST_VALUES)));
    let filter = nullable(Type::Object)
        .additional_properties(Some(AdditionalProperties::from(AnySchema::from(values))))
        .max_properties(Some(MOST_HEADERS))
        .description(Some(
            "The headers that a message must have, each with one of some values; null takes every message.",
        ));
    object(vec![("filter", filter.into())], &[]).into()
}

fn message(kind: Of) -> AnySchema {
    let binary = nullable(Type::String).content_encoding("base64");
    let queue = (kind != Of::Topic).then(|| ("queueId", id()));
    let mut properties: Vec<_> = queue.into_iter().collect();
    properties.extend([
        ("when", time("When to deliver it; now if it is not given.")),
        ("body", body()),
        ("bodyBase64", binary.description(Some("The body as bytes, instead of `body`.")).into()),
        ("headers", header_field()),
        ("expiresAt", time("From then on it is not sent any more.")),
    ]);
    properties.extend(super::policies::of_messages());
    properties.extend(super::policies::of_order());
    if kind != Of::Change {
        let duration = |meaning: &str| {
            of(Type::Object)
                .schema_type(SchemaType::from_iter([Type::Number, Type::String, Type::Null]))
                .description(Some(format!(
                    "{meaning}: seconds, or an ISO 8601 duration such as PT1H30M; at most 3650 days."
                )))
                .examples([json!(90), json!("PT1H30M")])
        };
        let delay = duration("Instead of `when`");
        properties.push(("ttl", duration("Instead of `expiresAt`, counted from `when`").into()));
        let key = nullable(Type::String).min_length(Some(1)).max_length(Some(255));
        let meaning = "A second message to the same queue with the same key is not stored; the first is answered.";
        properties.push(("delay", delay.into()));
        properties.push(("idempotencyKey", key.description(Some(meaning)).into()));
    }
    properties.extend(echoes(&[
        MessageField::Id,
        MessageField::Failed,
        MessageField::SentAt,
        MessageField::Retries,
        MessageField::CronId,
        MessageField::CreatedAt,
        MessageField::UpdatedAt,
        MessageField::Status,
        MessageField::Origin,
        MessageField::ReplayOf,
        MessageField::EventType,
    ]));
    object(properties, if kind == Of::Topic { &[] } else { &["queueId"] }).into()
}

/// A number of seconds, or an ISO 8601 duration.
fn duration() -> utoipa::openapi::ObjectBuilder {
    nullable(Type::String).schema_type(SchemaType::from_iter([Type::String, Type::Number, Type::Null]))
}

fn cron() -> AnySchema {
    let schedule = nullable(Type::String).examples([json!("*/5 * * * *"), json!("@hourly")]);
    let mut properties = vec![
        ("queueId", id()),
        described(CronField::Schedule, schedule),
        described(CronField::Every, duration().examples([json!("PT15M")])),
        ("at", time("Instead of a schedule: the only time at which it fires.")),
        described(CronField::TimeZone, nullable(Type::String).examples([json!("Europe/Berlin")])),
        ("startAt", time("It does not fire before; `every` counts from it.")),
        ("endAt", time("It does not fire after.")),
        described(CronField::Jitter, duration().examples([json!("PT30S")])),
        described(CronField::Missed, words(["skip", "one", "all"]).default(Some(json!("one")))),
        described(CronField::MissedTolerance, duration().default(Some(json!("P1D")))),
        described(CronField::Overlap, words(["allow", "skip"]).default(Some(json!("allow")))),
        described(CronField::Method, words(Method::ALL.map(Method::as_str))),
        described(CronField::Paused, of(Type::Boolean).default(Some(json!(false)))),
        ("body", body()),
        ("headers", header_field()),
    ];
    properties.extend(echoes(&[
        CronField::Id,
        CronField::CreatedAt,
        CronField::UpdatedAt,
        CronField::PausedAt,
        CronField::NextFireAt,
    ]));
    object(properties, &["queueId"]).into()
}

fn pause() -> AnySchema {
    object(vec![("reason", nullable(Type::String).max_length(Some(1000)).into())], &[]).into()
}

fn api_key() -> AnySchema {
    let queues = AnyOfBuilder::new().item(array(id()).min_items(Some(1)).max_items(Some(1000))).item(of(Type::Null));
    let rate = nullable(Type::Integer).minimum(Some(1)).maximum(Some(1_000_000));
    let rate = AnyOfBuilder::new().item(rate).item(of(Type::String).pattern(Some("^[1-9][0-9]{0,5}$")));
    let properties = vec![
        ("name", of(Type::String).min_length(Some(1)).max_length(Some(255)).into()),
        ("scopes", array(words(Scope::ALL.map(Scope::name))).min_items(Some(1)).into()),
        ("queueIds", queues.into()),
        ("rateLimit", rate.description(Some("Requests a second.")).into()),
        ("expiresAt", time("From then on it lets nobody in.")),
    ];
    object(properties, &["name", "scopes"]).into()
}

fn test() -> AnySchema {
    let binary = nullable(Type::String).content_encoding("base64");
    object(vec![("body", body()), ("bodyBase64", binary.into()), ("headers", header_field())], &[]).into()
}

fn queue_secret() -> AnySchema {
    let types = Scheme::ALL.map(|scheme| Some(scheme.name())).into_iter().chain([None]);
    let grace = "For how long earlier secrets of the same type are still signed with; null: as long as they were.";
    let grace = nullable(Type::Integer)
        .minimum(Some(0))
        .maximum(Some(2_592_000))
        .default(Some(json!(86_400)))
        .description(Some(grace));
    let kind = nullable(Type::String)
        .enum_values(Some(types))
        .default(Some(json!("v1")))
        .description(Some("`v1`: HMAC-SHA256; `v1a`: ed25519 (Standard Webhooks)."));
    object(vec![("type", kind.into()), ("gracePeriodSeconds", grace.into())], &[]).into()
}

fn queue_credentials() -> AnySchema {
    let text = || -> AnySchema { of(Type::String).min_length(Some(1)).into() };
    let kind = |name: &'static str| ("type", words([name]).into());
    let bearer = object(vec![kind("bearer"), ("token", text())], &["type", "token"]);
    let basic =
        object(vec![kind("basic"), ("username", text()), ("password", text())], &["type", "username", "password"]);
    let header = object(vec![kind("header"), ("name", text()), ("value", text())], &["type", "name", "value"]);
    let optional = || -> AnySchema { nullable(Type::String).into() };
    let oauth2 = object(
        vec![
            kind("oauth2"),
            ("tokenUrl", text()),
            ("clientId", text()),
            ("clientSecret", text()),
            ("scope", optional()),
            ("audience", optional()),
            ("clientAuthentication", words(["basic", "body"]).default(Some(json!("basic"))).into()),
        ],
        &["type", "tokenUrl", "clientId", "clientSecret"],
    );
    let authorization = OneOfBuilder::new().item(bearer).item(basic).item(header).item(oauth2);
    let authorization = authorization.description(Some("What is sent with every request, over what headers say."));
    let certificate = object(vec![("certificate", text()), ("privateKey", text())], &["certificate", "privateKey"]);
    let certificate = certificate.description(Some("What is shown in the TLS handshake; PEM."));
    let authorities = of(Type::String).description(Some("PEM: instead of the system's certificate authorities."));
    object(
        vec![
            ("authorization", authorization.into()),
            ("clientCertificate", certificate.into()),
            ("caCertificates", authorities.into()),
        ],
        &[],
    )
    .into()
}

fn graphql() -> AnySchema {
    object(
        vec![
            ("query", of(Type::String).examples([json!("{ queues { id name } }")]).into()),
            ("variables", nullable(Type::Object).into()),
            ("operationName", nullable(Type::String).into()),
            ("extensions", nullable(Type::Object).into()),
        ],
        &["query"],
    )
    .into()
}
