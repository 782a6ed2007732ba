//! What answers consist of, and the building blocks of all schemas.

use posthaste_core::entity::{CronField, Entity, Field, Kind, MessageField, QueueField};
use posthaste_core::final_status::FinalStatuses;
use posthaste_core::scope::Scope;
use posthaste_core::signature::Scheme;
use serde_json::json;
use utoipa::openapi::schema::{
    AdditionalProperties, AllOfBuilder, AnyOfBuilder, ArrayBuilder, KnownFormat, ObjectBuilder, SchemaFormat,
    SchemaType, Type,
};
use utoipa::openapi::{Ref, RefOr, Schema};

use super::meanings::meaning;
use crate::error::ErrorCode;
use crate::wire::output::IdStyle;

pub type AnySchema = RefOr<Schema>;

/// A value of one type.
pub fn of(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(kind)
}

/// A value of one type, or null.
pub fn nullable(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::from_iter([kind, Type::Null]))
}

/// Any JSON.
pub fn anything() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::AnyValue)
}

/// A whole number of 64 bits.
pub fn integer() -> ObjectBuilder {
    of(Type::Integer).format(format(KnownFormat::Int64))
}

/// A moment.
pub fn time() -> ObjectBuilder {
    of(Type::String).format(format(KnownFormat::DateTime)).examples([json!("2026-11-23T13:15:54.470Z")])
}

/// A moment, or null.
pub fn nullable_time() -> ObjectBuilder {
    nullable(Type::String).format(format(KnownFormat::DateTime))
}

#[allow(clippy::unnecessary_wraps, reason = "the builders take an option")]
pub fn format(format: KnownFormat) -> Option<SchemaFormat> {
    Some(SchemaFormat::KnownFormat(format))
}

/// One of a few words.
pub fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> ObjectBuilder {
    of(Type::String).enum_values(Some(words))
}

/// Another schema, by its name.
pub fn named(name: &str) -> AnySchema {
    Ref::from_schema_name(name).into()
}

pub fn array(items: impl Into<AnySchema>) -> ArrayBuilder {
    ArrayBuilder::new().items(items.into())
}

/// An object that has these properties and no others; with those that are `required` in any case.
pub fn object(properties: Vec<(&str, AnySchema)>, required: &[&str]) -> ObjectBuilder {
    let object = properties.into_iter().fold(of(Type::Object), |object, (name, schema)| object.property(name, schema));
    let object = required.iter().fold(object, |object, name| object.required(*name));
    object.additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

/// An object that always has all of these properties and no others.
pub fn whole(properties: Vec<(&str, AnySchema)>) -> ObjectBuilder {
    let names: Vec<String> = properties.iter().map(|(name, _)| (*name).to_owned()).collect();
    object(properties, &names.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The schema of an entity's rows.
pub fn name_of(entity: Entity) -> &'static str {
    match entity {
        Entity::Queue => "Queue",
        Entity::Message => "Message",
        Entity::Cron => "Cron",
    }
}

/// Every schema of answers.
pub fn all(ids: IdStyle) -> Vec<(&'static str, AnySchema)> {
    vec![
        ("Queue", row::<QueueField>(ids)),
        ("Message", row::<MessageField>(ids)),
        ("Cron", row::<CronField>(ids)),
        ("RetryPolicy", super::policies::written()),
        ("Attempt", attempt()),
        ("Stats", stats()),
        ("CronTick", cron_tick()),
        ("CronPreview", cron_preview()),
        ("Job", job()),
        ("JobPreview", job_preview()),
        ("Subscription", subscription()),
        ("BatchItem", batch_item(ids)),
        ("BatchResult", whole(batch(array(named("BatchItem")))).into()),
        ("BatchRefusal", batch_refusal()),
        ("ApiKey", api_key(false)),
        ("CreatedApiKey", api_key(true)),
        ("TestResult", test_result()),
        ("QueueSecret", queue_secret(false)),
        ("CreatedQueueSecret", queue_secret(true)),
        ("QueueCredentials", queue_credentials()),
        ("AuditEntry", audit_entry()),
        ("Health", whole(vec![("status", words(["ok"]).into())]).into()),
        ("Unavailable", unavailable()),
        ("Error", error()),
        ("NotFound", not_found()),
        ("GraphqlAnswer", graphql_answer()),
    ]
}

fn id(ids: IdStyle) -> ObjectBuilder {
    match ids {
        IdStyle::Text => of(Type::String).pattern(Some("^[0-9]+$")).examples([json!("7")]),
        IdStyle::Number => integer().examples([json!(7)]),
    }
}

/// Without required properties: `fields` leaves some out, and so do rules.
fn row<F: Field>(ids: IdStyle) -> AnySchema {
    let properties = F::ALL.iter().map(|field| {
        // The only ones whose type is no scalar and no object of anything.
        match field.name() {
            "retryPolicy" => return (field.name(), either(named("RetryPolicy"), of(Type::Null).into())),
            "rateLimit" => {
                return (
                    field.name(),
                    either(super::policies::rate_limit(&["perSecond", "burst"]), of(Type::Null).into()),
                );
            }
            "finalStatuses" => return (field.name(), final_statuses(of(Type::String))),
            _ => {}
        }
        let schema = match field.kind() {
            Kind::Id => id(ids),
            Kind::Integer => of(Type::Integer).format(format(KnownFormat::Int32)),
            Kind::Text if field.name() == "status" => words(STATUSES),
            Kind::Text => of(Type::String),
            Kind::Boolean => of(Type::Boolean),
            Kind::Time => time(),
            Kind::Json => of(Type::Object).additional_properties(Some(AdditionalProperties::FreeForm(true))),
            Kind::AnyJson => anything(),
        };
        let schema = schema.description(Some(meaning(F::ENTITY, field.name())));
        (field.name(), if field.is_nullable() { or_null(schema.into()) } else { schema.into() })
    });
    object(properties.collect(), &[]).into()
}

/// Statuses after which there is no retry, or null.
pub fn final_statuses(item: ObjectBuilder) -> AnySchema {
    array(item)
        .schema_type(SchemaType::from_iter([Type::Array, Type::Null]))
        .max_items(Some(FinalStatuses::MOST))
        .description(Some(meaning(Entity::Queue, "finalStatuses")))
        .into()
}

fn or_null(schema: AnySchema) -> AnySchema {
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            if let SchemaType::Type(kind) = object.schema_type {
                object.schema_type = SchemaType::from_iter([kind, Type::Null]);
            }
            RefOr::T(Schema::Object(object))
        }
        other => other,
    }
}

const STATUSES: [&str; 6] = ["pending", "delivered", "failed", "cancelled", "expired", "unknown"];

fn attempt() -> AnySchema {
    whole(attempt_properties()).into()
}

fn test_result() -> AnySchema {
    let delivered = of(Type::Boolean).description(Some("Whether the receiver answered 2xx."));
    whole([("delivered", delivered.into())].into_iter().chain(attempt_properties()).collect()).into()
}

fn attempt_properties() -> Vec<(&'static str, AnySchema)> {
    vec![
        ("number", of(Type::Integer).minimum(Some(1)).description(Some("From 1.")).into()),
        ("outcome", of(Type::String).examples([json!("delivered")]).into()),
        ("startedAt", time().into()),
        ("finishedAt", time().into()),
        ("durationMs", integer().into()),
        ("status", nullable(Type::Integer).description(Some("Of the receiver's answer, if there was one.")).into()),
        ("errorClass", nullable(Type::String).into()),
        ("error", nullable(Type::String).into()),
        ("responseHeaders", anything().description(Some("Some of those of the answer.")).into()),
        ("responseBody", nullable(Type::String).description(Some("Its beginning, where that is text.")).into()),
        ("responseBodyBase64", nullable(Type::String).description(Some("The same, where it is not text.")).into()),
        ("deliverer", of(Type::String).into()),
        (
            "dnsUs",
            micros("For resolving the receiver's name, in microseconds; null where a connection was open already."),
        ),
        ("connectUs", micros("For connecting, in microseconds.")),
        ("tlsUs", micros("For the TLS handshake, in microseconds.")),
        ("firstByteUs", micros("From the start to the end of the answer's head, in microseconds.")),
    ]
}

fn micros(description: &str) -> AnySchema {
    nullable(Type::Integer).minimum(Some(0)).description(Some(description)).into()
}

fn stats() -> AnySchema {
    let count = || -> AnySchema { integer().minimum(Some(0)).into() };
    whole(vec![
        ("pending", count()),
        ("pendingIsCapped", of(Type::Boolean).description(Some("Whether there are more than were counted.")).into()),
        ("oldestDueAt", nullable_time().description(Some("Of what is due and not delivered yet.")).into()),
        ("delivered", count()),
        ("failed", count()),
        ("retried", count()),
        ("cancelled", count()),
        ("expired", count()),
        ("deadLettered", count()),
        ("inFlight", integer().minimum(Some(0)).description(Some("Requests under way, about a second ago.")).into()),
        (
            "window",
            some_count("Requests at once that its receiver seems to take; null where nothing of it is delivered."),
        ),
        ("allowedConcurrency", some_count("Requests at once that may be made, by that and by `maxConcurrency`.")),
        (
            "breaker",
            or_null(
                words(BREAKERS)
                    .description(Some("`open`: its receiver does not answer, and is asked now and then."))
                    .into(),
            ),
        ),
    ])
    .into()
}

fn cron_tick() -> AnySchema {
    let outcome = words(["upcoming", "fired", "caught_up", "triggered", "skipped"]);
    let reason = words(["missed", "paused", "overlap"]).description(Some("Why it was skipped."));
    whole(vec![
        ("at", time().into()),
        ("outcome", outcome.into()),
        ("reason", or_null(reason.into())),
        ("number", some_count("Of those that were fired by the schedule, from 1.")),
        ("messageId", or_null(id(IdStyle::Text).into())),
        ("until", nullable_time().description(Some("The last of those that were skipped together.")).into()),
        ("count", some_count("How many were; null: one, or more than 10,000.")),
    ])
    .into()
}

fn cron_preview() -> AnySchema {
    let description = of(Type::String).examples([json!("At 02:30 (Europe/Berlin).")]);
    whole(vec![("description", description.into()), ("ticks", array(time()).into())]).into()
}

fn job() -> AnySchema {
    let text = |values: &[&'static str]| -> AnySchema { words(values.iter().copied()).into() };
    whole(vec![
        ("id", id(IdStyle::Text).into()),
        ("kind", text(&["purge", "replay", "redrive"])),
        ("state", text(&["running", "paused", "cancelled", "finished"])),
        ("queueId", id(IdStyle::Text).into()),
        ("errorClass", nullable(Type::String).into()),
        ("ratePerSecond", nullable(Type::Number).into()),
        ("total", some_count("How many messages it was to meet when it was begun; null: too many to be counted.")),
        ("done", integer().minimum(Some(0)).description(Some("How many it has cancelled or stored.")).into()),
        ("createdAt", time().into()),
        ("finishedAt", nullable_time().into()),
    ])
    .into()
}

fn job_preview() -> AnySchema {
    let target = whole(vec![
        ("queueId", id(IdStyle::Text).into()),
        ("name", of(Type::String).into()),
        ("callbackUrl", of(Type::String).into()),
        ("messages", integer().minimum(Some(0)).into()),
    ]);
    let targets =
        array(target).description(Some("Where messages would be stored. Of a redrive, by its first 10,000 messages."));
    whole(vec![
        ("total", some_count("How many messages it would meet; null: too many to be counted.")),
        ("targets", targets.into()),
    ])
    .into()
}

fn subscription() -> AnySchema {
    whole(vec![
        ("topic", of(Type::String).into()),
        ("queueId", id(IdStyle::Text).into()),
        ("filter", nullable(Type::Object).additional_properties(Some(AdditionalProperties::FreeForm(true))).into()),
        ("createdAt", time().into()),
    ])
    .into()
}

/// Where a queue's circuit breaker may stand.
const BREAKERS: [&str; 3] = ["closed", "half_open", "open"];

fn some_count(description: &str) -> AnySchema {
    nullable(Type::Integer).minimum(Some(0)).description(Some(description)).into()
}

fn batch(results: impl Into<AnySchema>) -> Vec<(&'static str, AnySchema)> {
    let count = |meaning: &str| integer().minimum(Some(0)).description(Some(meaning)).into();
    vec![
        ("accepted", count("Messages that are stored now.")),
        ("failed", count("Messages that are not stored.")),
        ("replayed", count("Messages that an earlier request had stored.")),
        ("results", results.into()),
    ]
}

fn batch_item(ids: IdStyle) -> AnySchema {
    let failure = whole(vec![
        ("statusCode", of(Type::Integer).into()),
        ("code", code().into()),
        ("message", of(Type::String).into()),
    ]);
    let properties = vec![
        ("index", integer().minimum(Some(0)).description(Some("From 0, in the request.")).into()),
        ("id", id(ids).into()),
        ("replayed", of(Type::Boolean).into()),
        ("error", failure.into()),
    ];
    object(properties, &["index"]).into()
}

fn batch_refusal() -> AnySchema {
    let properties = [error_properties(), batch(array(named("BatchItem")))].concat();
    whole(properties).into()
}

fn api_key(is_new: bool) -> AnySchema {
    // Whatever API_IDS says: these are ours alone, and no client of the original knows them.
    let id = || of(Type::String).pattern(Some("^[0-9]+$"));
    let mut properties = vec![
        ("id", id().into()),
        ("name", of(Type::String).into()),
        ("prefix", of(Type::String).description(Some("The beginning of the key, to know it by.")).into()),
        ("scopes", array(words(Scope::ALL.map(Scope::name))).into()),
        ("queueIds", keys_queues(id())),
        ("rateLimit", nullable(Type::Integer).description(Some("Requests a second; null: any.")).into()),
        ("expiresAt", nullable_time().into()),
        ("revokedAt", nullable_time().into()),
        ("lastUsedAt", nullable_time().into()),
        ("createdAt", time().into()),
    ];
    if is_new {
        properties.insert(2, ("key", of(Type::String).description(Some("Shown this once.")).into()));
    }
    whole(properties).into()
}

fn keys_queues(id: ObjectBuilder) -> AnySchema {
    let kind = SchemaType::from_iter([Type::Array, Type::Null]);
    array(id).schema_type(kind).description(Some("null: all queues.")).into()
}

fn queue_secret(is_new: bool) -> AnySchema {
    let id = || of(Type::String).pattern(Some("^[0-9]+$"));
    let public = "What a receiver verifies `v1a` with: `whpk_…`.";
    let mut properties = vec![
        ("id", id().into()),
        ("queueId", id().into()),
        ("type", words(Scheme::ALL.map(Scheme::name)).into()),
        ("publicKey", nullable(Type::String).description(Some(public)).into()),
        ("createdAt", time().into()),
        ("expiresAt", nullable_time().description(Some("From then on nothing is signed with it.")).into()),
        ("revokedAt", nullable_time().into()),
    ];
    if is_new {
        let secret = of(Type::String).description(Some("`whsec_…` or `whsk_…`. Shown this once."));
        properties.insert(3, ("secret", secret.into()));
    }
    whole(properties).into()
}

fn queue_credentials() -> AnySchema {
    let part = |meaning: &str| -> AnySchema { of(Type::Object).description(Some(meaning)).into() };
    object(
        vec![
            ("queueId", of(Type::String).pattern(Some("^[0-9]+$")).into()),
            ("authorization", part("Its type and what of it is no secret.")),
            ("clientCertificate", part("The SHA-256 of the certificate.")),
            ("caCertificates", part("The SHA-256 of each.")),
            ("updatedAt", time().into()),
        ],
        &["queueId", "updatedAt"],
    )
    .into()
}

fn audit_entry() -> AnySchema {
    let actor = "`admin`, `key:7`, `user:42` or `anonymous`.";
    whole(vec![
        ("id", of(Type::String).into()),
        ("at", time().into()),
        ("actor", of(Type::String).description(Some(actor)).into()),
        ("action", of(Type::String).examples([json!("queue.update")]).into()),
        ("entity", of(Type::String).into()),
        ("entityId", nullable(Type::String).into()),
        ("detail", anything().into()),
    ])
    .into()
}

fn unavailable() -> AnySchema {
    whole(vec![("status", words(["unavailable"]).into()), ("reason", of(Type::String).into())]).into()
}

fn code() -> ObjectBuilder {
    words(ErrorCode::ALL.iter().map(|code| code.as_str()))
}

fn error_properties() -> Vec<(&'static str, AnySchema)> {
    vec![
        ("statusCode", of(Type::Integer).into()),
        ("code", code().into()),
        ("error", of(Type::String).description(Some("The name of the status.")).into()),
        ("message", of(Type::String).description(Some("For people; it may change.")).into()),
    ]
}

/// Open, because errors of single operations narrow it.
fn error() -> AnySchema {
    let all = error_properties();
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let object = names.iter().fold(of(Type::Object), |object, name| object.required(*name));
    all.into_iter().fold(object, |object, (name, schema)| object.property(name, schema)).into()
}

/// An error with one of some codes.
pub fn error_with(codes: &[ErrorCode]) -> AnySchema {
    let code = words(codes.iter().map(|code| code.as_str()));
    AllOfBuilder::new().item(named("Error")).item(of(Type::Object).property("code", code)).into()
}

/// The one answer without a code, in the shape that clients of the original know.
fn not_found() -> AnySchema {
    whole(vec![
        ("message", of(Type::String).examples([json!("Route GET:/queues/99999 not found")]).into()),
        ("error", words(["Not Found"]).into()),
        ("statusCode", of(Type::Integer).enum_values(Some([404])).into()),
    ])
    .into()
}

/// One or another.
pub fn either(one: AnySchema, other: AnySchema) -> AnySchema {
    AnyOfBuilder::new().item(one).item(other).into()
}

fn graphql_answer() -> AnySchema {
    of(Type::Object).property("data", anything()).property("errors", array(anything())).into()
}
