//! How deliveries are made, as requests and answers describe it.

use posthaste_core::backoff::Backoff;
use posthaste_core::entity::{Field, MessageField, QueueField};
use posthaste_core::gate::rate::{LEAST_PER_SECOND, MOST_BURST, MOST_PER_SECOND};
use posthaste_core::queue::{
    CONNECT_TIMEOUT_MS, LONGEST_ORDERING_KEY, MAX_AGE_SECONDS, MAX_BACKLOG, MAX_CONCURRENCY, PRIORITY, TIMEOUT_MS,
};
use posthaste_core::trace;
use serde_json::json;
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, OneOfBuilder, Type};

use super::requests::described;
use super::schemas::{AnySchema, array, either, final_statuses, named, nullable, object, of, words};

type Property = (&'static str, AnySchema);

/// A retry policy as answers write it. Requests may leave `jitter` out.
pub fn written() -> AnySchema {
    let kind = |name: &'static str, parts: Vec<Property>, names: &[&str]| {
        let jitter = of(Type::Number).minimum(Some(0)).maximum(Some(1)).default(Some(json!(0)));
        let jitter = jitter.description(Some("By which part of itself a wait may be longer or shorter."));
        let properties = [vec![("type", words([name]).into())], parts, vec![("jitter", jitter.into())]].concat();
        object(properties, &[&["type"], names].concat())
    };
    let multiplier = of(Type::Number).minimum(Some(1)).maximum(Some(100));
    let waits = array(wait()).min_items(Some(1)).max_items(Some(Backoff::LONGEST_SCHEDULE));
    OneOfBuilder::new()
        .item(kind(
            "exponential",
            vec![("initialMs", wait().into()), ("multiplier", multiplier.into()), ("maxMs", wait().into())],
            &["initialMs", "multiplier", "maxMs"],
        ))
        .item(kind("linear", vec![("stepMs", wait().into()), ("maxMs", wait().into())], &["stepMs", "maxMs"]))
        .item(kind("fixed", vec![("waitMs", wait().into())], &["waitMs"]))
        .item(kind("schedule", vec![("waitsMs", waits.into())], &["waitsMs"]))
        .into()
}

fn wait() -> ObjectBuilder {
    let milliseconds = |wait: std::time::Duration| u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
    of(Type::Integer).minimum(Some(milliseconds(Backoff::SHORTEST))).maximum(Some(milliseconds(Backoff::LONGEST)))
}

/// The properties of a queue in requests.
pub fn of_queues() -> Vec<Property> {
    let policy = AnyOfBuilder::new()
        .item(words(["fast", "standard"]))
        .item(named("RetryPolicy"))
        .item(of(Type::Null))
        .description(Some("The waits between attempts; null: as the deployment says."));
    let status = of(Type::String).pattern(Some("^([3-5][0-9]{2}|[3-5]xx)$"));
    let number = of(Type::Integer).minimum(Some(300)).maximum(Some(599));
    let statuses = AnyOfBuilder::new()
        .item(final_statuses(status))
        .item(array(number).max_items(Some(posthaste_core::final_status::FinalStatuses::MOST)));
    let age = of(Type::Integer)
        .minimum(Some(*MAX_AGE_SECONDS.start()))
        .maximum(Some(*MAX_AGE_SECONDS.end()))
        .default(Some(json!(604_800)));
    vec![
        ("retryPolicy", policy.into()),
        ("finalStatuses", statuses.into()),
        described(QueueField::MaxAgeSeconds, age),
        described(QueueField::ConnectTimeoutMs, milliseconds(&CONNECT_TIMEOUT_MS)),
        described(QueueField::TimeoutMs, milliseconds(&TIMEOUT_MS)),
        described(QueueField::DeadLetterExpired, of(Type::Boolean).default(Some(json!(true)))),
        described(
            QueueField::MaxConcurrency,
            nullable(Type::Integer).minimum(Some(*MAX_CONCURRENCY.start())).maximum(Some(*MAX_CONCURRENCY.end())),
        ),
        described(
            QueueField::MaxBacklog,
            nullable(Type::Integer).minimum(Some(*MAX_BACKLOG.start())).maximum(Some(*MAX_BACKLOG.end())),
        ),
        ("rateLimit", either(rate_limit(&["perSecond"]), of(Type::Null).into())),
    ]
}

/// The properties of a message in requests.
pub fn of_messages() -> Vec<Property> {
    let example = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let header = |field: MessageField| format!("Where it is not given: the request's header `{}`.", field.name());
    let parent = nullable(Type::String)
        .pattern(Some("^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"))
        .examples([json!(example)])
        .description(Some(header(MessageField::Traceparent)));
    let state = nullable(Type::String)
        .max_length(Some(trace::LONGEST_STATE))
        .description(Some(header(MessageField::Tracestate)));
    vec![
        described(MessageField::ConnectTimeoutMs, milliseconds(&CONNECT_TIMEOUT_MS)),
        described(MessageField::TimeoutMs, milliseconds(&TIMEOUT_MS)),
        ("traceparent", parent.into()),
        ("tracestate", state.into()),
    ]
}

/// What says where a message stands in its queue, in requests.
pub fn of_order() -> Vec<Property> {
    let key = nullable(Type::String).min_length(Some(1)).max_length(Some(LONGEST_ORDERING_KEY));
    let priority = nullable(Type::Integer).minimum(Some(*PRIORITY.start())).maximum(Some(*PRIORITY.end()));
    vec![described(MessageField::OrderingKey, key), described(MessageField::Priority, priority.default(Some(json!(0))))]
}

/// How many requests a second, in requests, and in answers, where it always has both properties.
pub fn rate_limit(required: &[&str]) -> AnySchema {
    let rate = of(Type::Number)
        .minimum(Some(LEAST_PER_SECOND))
        .maximum(Some(MOST_PER_SECOND))
        .description(Some("Requests a second, on average; down to one a day."));
    let burst = of(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(MOST_BURST))
        .default(Some(json!(1)))
        .description(Some("Requests at once: in w seconds at most burst + w * perSecond start."));
    object(vec![("perSecond", rate.into()), ("burst", burst.into())], required).into()
}

fn milliseconds(bounds: &std::ops::RangeInclusive<i32>) -> ObjectBuilder {
    nullable(Type::Integer).minimum(Some(*bounds.start())).maximum(Some(*bounds.end()))
}
