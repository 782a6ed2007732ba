//! Queues in JSON.

use posthaste_core::backoff::Backoff;
use posthaste_core::entity::QueueField;
use posthaste_core::ids::QueueId;
use posthaste_core::queue::{
    CallbackUrl, MAX_AGE_SECONDS, MAX_BACKLOG, MAX_CONCURRENCY, Method, QueueName, check_max_retries,
};
use posthaste_store::queue::{NewQueue, Policy, Queue, RateLimit};
use serde_json::Value;

use super::echo::{Echo, ReadOnly};
use super::fields::Fields;
use super::output::Output;
use super::value::{
    boolean, connect_timeout, given, headers, integer, invalid, most, queue_id, refused, string, timeout, within,
};
use super::{rate_limit, retry_policy};
use crate::error::ApiError;

/// Retries of a queue that does not say.
const DEFAULT_MAX_RETRIES: u16 = 5;

/// What a queue cannot do without; in the order in which the original looks.
const REQUIRED: [&str; 3] = ["callbackUrl", "method", "name"];

const READ_ONLY: [ReadOnly<QueueField>; 3] = [
    (QueueField::Id, "leave it out; PUT /queues/{id} changes a queue"),
    (QueueField::PausedAt, "POST /queues/{id}/pause and POST /queues/{id}/resume"),
    (QueueField::PausedReason, "POST /queues/{id}/pause"),
];

/// What a field of a queue holds.
#[must_use]
pub fn output(queue: &Queue, field: QueueField) -> Output<'_> {
    match field {
        QueueField::Id => Output::Id(queue.id.0),
        QueueField::Name => Output::text(Some(&queue.name)),
        QueueField::CallbackUrl => Output::text(Some(&queue.callback_url)),
        QueueField::Method => Output::text(Some(&queue.method)),
        QueueField::Headers => Output::json(queue.headers.as_ref()),
        QueueField::DeadLetterQueueId => Output::id(queue.dead_letter_queue_id.map(|id| id.0)),
        QueueField::EventQueueId => Output::id(queue.event_queue_id.map(|id| id.0)),
        QueueField::MaxRetries => queue.max_retries.map_or(Output::Null, |max| Output::Number(max.into())),
        QueueField::CreatedAt => Output::Time(queue.created_at),
        QueueField::UpdatedAt => Output::Time(queue.updated_at),
        QueueField::PausedAt => Output::time(queue.paused_at),
        QueueField::PausedReason => Output::text(queue.paused_reason.as_deref()),
        QueueField::RetryPolicy
        | QueueField::MaxAgeSeconds
        | QueueField::FinalStatuses
        | QueueField::ConnectTimeoutMs
        | QueueField::TimeoutMs
        | QueueField::DeadLetterExpired
        | QueueField::MaxConcurrency
        | QueueField::RateLimit
        | QueueField::MaxBacklog => of_policy(&queue.policy, field),
    }
}

/// What a field of a queue that is to be created will hold, as far as that is known.
#[must_use]
pub fn new_output(queue: &NewQueue, field: QueueField) -> Output<'_> {
    match field {
        QueueField::Name => Output::text(Some(&queue.name)),
        QueueField::CallbackUrl => Output::text(Some(&queue.callback_url)),
        QueueField::Method => Output::text(Some(&queue.method)),
        QueueField::Headers => Output::json(queue.headers.as_ref()),
        QueueField::DeadLetterQueueId => Output::id(queue.dead_letter_queue_id.map(|id| id.0)),
        QueueField::EventQueueId => Output::id(queue.event_queue_id.map(|id| id.0)),
        QueueField::MaxRetries => queue.max_retries.map_or(Output::Null, |max| Output::Number(max.into())),
        QueueField::RetryPolicy
        | QueueField::MaxAgeSeconds
        | QueueField::FinalStatuses
        | QueueField::ConnectTimeoutMs
        | QueueField::TimeoutMs
        | QueueField::DeadLetterExpired
        | QueueField::MaxConcurrency
        | QueueField::RateLimit
        | QueueField::MaxBacklog => of_policy(&queue.policy, field),
        QueueField::Id
        | QueueField::CreatedAt
        | QueueField::UpdatedAt
        | QueueField::PausedAt
        | QueueField::PausedReason => Output::Null,
    }
}

fn of_policy(policy: &Policy, field: QueueField) -> Output<'static> {
    match field {
        QueueField::RetryPolicy => Output::made(policy.backoff.as_ref().map(retry_policy::write)),
        QueueField::MaxAgeSeconds => Output::Number(policy.max_age_seconds),
        QueueField::FinalStatuses => {
            Output::made(policy.final_statuses.as_ref().map(|entries| serde_json::json!(entries)))
        }
        QueueField::ConnectTimeoutMs => Output::number(policy.connect_timeout_ms),
        QueueField::TimeoutMs => Output::number(policy.timeout_ms),
        QueueField::DeadLetterExpired => Output::Boolean(policy.dead_letter_expired),
        QueueField::MaxConcurrency => Output::number(policy.max_concurrency),
        QueueField::RateLimit => Output::made(policy.rate_limit.map(rate_limit::write)),
        QueueField::MaxBacklog => Output::number(policy.max_backlog),
        QueueField::Id
        | QueueField::Name
        | QueueField::CallbackUrl
        | QueueField::Method
        | QueueField::Headers
        | QueueField::DeadLetterQueueId
        | QueueField::EventQueueId
        | QueueField::MaxRetries
        | QueueField::CreatedAt
        | QueueField::UpdatedAt
        | QueueField::PausedAt
        | QueueField::PausedReason => Output::Null,
    }
}

/// What a request says about a queue; what it does not mention is `None`.
#[derive(Debug, Clone)]
pub struct QueuePatch {
    name: Option<String>,
    callback_url: Option<String>,
    method: Option<String>,
    headers: Option<Option<Value>>,
    dead_letter_queue_id: Option<Option<QueueId>>,
    event_queue_id: Option<Option<QueueId>>,
    max_retries: Option<Option<i32>>,
    policy: PolicyPatch,
    echo: Echo<QueueField>,
}

/// What a request says about how messages are delivered.
#[derive(Debug, Clone)]
struct PolicyPatch {
    backoff: Option<Option<Backoff>>,
    max_age_seconds: Option<i32>,
    final_statuses: Option<Option<Vec<String>>>,
    connect_timeout_ms: Option<Option<i32>>,
    timeout_ms: Option<Option<i32>>,
    dead_letter_expired: Option<bool>,
    max_concurrency: Option<Option<i32>>,
    rate_limit: Option<Option<RateLimit>>,
    max_backlog: Option<Option<i32>>,
}

impl PolicyPatch {
    fn take(fields: &mut Fields<'_>) -> Result<PolicyPatch, ApiError> {
        let age = |value| within("maxAgeSeconds", MAX_AGE_SECONDS, value);
        Ok(PolicyPatch {
            backoff: fields.take("retryPolicy").map(|value| retry_policy::read(Some(value))).transpose()?,
            max_age_seconds: fields.take("maxAgeSeconds").map(age).transpose()?,
            final_statuses: fields
                .take("finalStatuses")
                .map(|value| retry_policy::read_final(Some(value)))
                .transpose()?,
            connect_timeout_ms: fields
                .take("connectTimeoutMs")
                .map(|value| connect_timeout(Some(value)))
                .transpose()?,
            timeout_ms: fields.take("timeoutMs").map(|value| timeout(Some(value))).transpose()?,
            dead_letter_expired: fields
                .take("deadLetterExpired")
                .map(|value| boolean("deadLetterExpired", value))
                .transpose()?,
            max_concurrency: fields
                .take("maxConcurrency")
                .map(|value| most("maxConcurrency", MAX_CONCURRENCY, Some(value)))
                .transpose()?,
            rate_limit: fields.take("rateLimit").map(|value| rate_limit::read(Some(value))).transpose()?,
            max_backlog: fields
                .take("maxBacklog")
                .map(|value| most("maxBacklog", MAX_BACKLOG, Some(value)))
                .transpose()?,
        })
    }

    fn apply(&self, policy: &Policy) -> Policy {
        Policy {
            backoff: self.backoff.as_ref().unwrap_or(&policy.backoff).clone(),
            max_age_seconds: self.max_age_seconds.map_or(policy.max_age_seconds, i64::from),
            final_statuses: self.final_statuses.as_ref().unwrap_or(&policy.final_statuses).clone(),
            connect_timeout_ms: self.connect_timeout_ms.unwrap_or(policy.connect_timeout_ms),
            timeout_ms: self.timeout_ms.unwrap_or(policy.timeout_ms),
            dead_letter_expired: self.dead_letter_expired.unwrap_or(policy.dead_letter_expired),
            max_concurrency: self.max_concurrency.unwrap_or(policy.max_concurrency),
            rate_limit: self.rate_limit.unwrap_or(policy.rate_limit),
            max_backlog: self.max_backlog.unwrap_or(policy.max_backlog),
        }
    }
}

/// The retries of a queue that does not say: as many as its waits are meant for.
fn default_retries(backoff: Option<&Backoff>) -> i32 {
    let waits = backoff.and_then(Backoff::retries).and_then(|waits| i32::try_from(waits).ok());
    waits.unwrap_or(i32::from(DEFAULT_MAX_RETRIES))
}

impl QueuePatch {
    /// Reads and validates a request's body.
    ///
    /// # Errors
    /// The first fault.
    pub fn read(mut fields: Fields<'_>) -> Result<QueuePatch, ApiError> {
        let url = |value| string("callbackUrl", value);
        let callback_url = fields
            .take("callbackUrl")
            .map(|value| CallbackUrl::parse(&url(value)?).map_err(|problem| refused("callbackUrl", &problem)))
            .transpose()?;
        let method = fields
            .take("method")
            .map(|value| Method::parse(&string("method", value)?).map_err(|problem| invalid("method", problem)))
            .transpose()?;
        let name = fields
            .take("name")
            .map(|value| QueueName::parse(&string("name", value)?).map_err(|problem| refused("name", &problem)))
            .transpose()?;
        let headers = fields.take("headers").map(|value| headers(Some(value))).transpose()?;
        let mut other = |field: &'static str| {
            let id = |value| given(Some(value)).map(|value| queue_id(field, value)).transpose();
            fields.take(field).map(id).transpose()
        };
        let (dead_letter_queue_id, event_queue_id) = (other("deadLetterQueueId")?, other("eventQueueId")?);
        let max_retries = fields
            .take("maxRetries")
            .map(|value| {
                let number = given(Some(value)).map(|value| integer("maxRetries", value)).transpose()?;
                check_max_retries(number).map_err(|problem| invalid("maxRetries", problem))
            })
            .transpose()?;
        let policy = PolicyPatch::take(&mut fields)?;
        let echo = Echo::take(&mut fields, &READ_ONLY);
        fields.finish()?;
        Ok(QueuePatch {
            name: name.map(QueueName::into_string),
            callback_url: callback_url.map(CallbackUrl::into_string),
            method: method.map(|method| method.as_str().to_owned()),
            headers,
            dead_letter_queue_id,
            event_queue_id,
            max_retries: max_retries.map(|max| max.map(i32::from)),
            policy,
            echo,
        })
    }

    /// The same, but what a queue cannot do without must be there.
    ///
    /// # Errors
    /// As [`QueuePatch::read`].
    pub fn read_whole(fields: Fields<'_>) -> Result<QueuePatch, ApiError> {
        fields.must_have(&REQUIRED)?;
        QueuePatch::read(fields)
    }

    /// The queue that it describes.
    ///
    /// # Errors
    /// What is missing, or cannot be set.
    pub fn create(self) -> Result<NewQueue, ApiError> {
        self.echo.check_new(|_| Output::Null)?;
        let missing = |name: &str| ApiError::Validation(format!("body must have required property '{name}'"));
        let policy = self.policy.apply(&Policy::default());
        Ok(NewQueue {
            callback_url: self.callback_url.ok_or_else(|| missing("callbackUrl"))?,
            method: self.method.ok_or_else(|| missing("method"))?,
            name: self.name.ok_or_else(|| missing("name"))?,
            headers: self.headers.flatten(),
            dead_letter_queue_id: self.dead_letter_queue_id.flatten(),
            event_queue_id: self.event_queue_id.flatten(),
            max_retries: self.max_retries.unwrap_or_else(|| Some(default_retries(policy.backoff.as_ref()))),
            policy,
        })
    }

    /// The queue as it is to become.
    ///
    /// # Errors
    /// What cannot be set.
    pub fn apply(&self, queue: &Queue) -> Result<Queue, ApiError> {
        self.echo.check(|field| output(queue, field))?;
        let or = |given: &Option<String>, kept: &String| given.as_ref().unwrap_or(kept).clone();
        Ok(Queue {
            name: or(&self.name, &queue.name),
            callback_url: or(&self.callback_url, &queue.callback_url),
            method: or(&self.method, &queue.method),
            headers: self.headers.as_ref().unwrap_or(&queue.headers).clone(),
            dead_letter_queue_id: self.dead_letter_queue_id.unwrap_or(queue.dead_letter_queue_id),
            event_queue_id: self.event_queue_id.unwrap_or(queue.event_queue_id),
            max_retries: self.max_retries.unwrap_or(queue.max_retries),
            policy: self.policy.apply(&queue.policy),
            ..queue.clone()
        })
    }

    /// The dead letter queue that it names.
    #[must_use]
    pub fn dead_letter_queue(&self) -> Option<QueueId> {
        self.dead_letter_queue_id.flatten()
    }

    /// The event queue that it names.
    #[must_use]
    pub fn event_queue(&self) -> Option<QueueId> {
        self.event_queue_id.flatten()
    }
}

#[cfg(test)]
mod tests;
