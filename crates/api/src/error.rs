//! What the API answers when it does not do what was asked.
//!
//! Every error is `{"statusCode", "code", "error", "message"}`. The codes are stable: where pg-hooks has a code for the
//! same case it is kept, so that clients that look for it go on working; the others begin with `PH_`. No SQL and no
//! word of Postgres is ever in a message. The one answer without a code is the 404 of a route or row that does not
//! exist, whose shape pg-hooks' clients know.

mod code;
mod database;

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use posthaste_core::address::Blocked;
use posthaste_core::entity::Entity;
use serde::Serialize;

use crate::batcher::LARGEST_BATCH;
use crate::memory::LARGEST_ANSWER;
use crate::rest::parameters::LARGEST_LIMIT;

pub use code::ErrorCode;

/// How soon a client may try again what could not be done now, in seconds.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiError {
    /// In the words of the original, such as `body/maxRetries must be integer`.
    Validation(String),
    InvalidJson,
    EmptyJson,
    MediaType,
    BodyTooLarge,
    RequestTimeout,
    Malformed,
    /// `problem` names the limit and what was given.
    Limit {
        of: Limited,
        problem: String,
    },
    CorsRefused(String),
    UnknownField(String),
    UnknownParameter(String),
    /// A field that clients do not set, and what to do instead.
    ReadOnlyField {
        field: &'static str,
        instead: &'static str,
    },
    InvalidValue {
        field: &'static str,
        problem: String,
    },
    /// The callback URL leads to where deliverers may not call.
    BlockedAddress(Blocked),
    LimitTooLarge(i64),
    LimitNegative(i64),
    OffsetNegative(i64),
    UnknownFilterField(String),
    CursorWithoutId,
    MissingWhere,
    /// A filter that would change or delete more rows than one request may.
    TooManyRows {
        limit: i64,
    },
    /// No valid credentials.
    Unauthorized,
    /// Valid credentials that do not suffice.
    Forbidden,
    /// The column of a field that the caller may not see or set.
    FieldForbidden(&'static str),
    /// Too many requests with one API key.
    RateLimited {
        /// When the next one may come, in seconds; at least 1.
        retry_after: u64,
    },
    /// As many messages are pending as may be, of the queue, or of all.
    BacklogFull {
        queue: Option<i64>,
    },
    /// The message has not ended, so that there is nothing to repeat.
    StillPending,
    /// Firings of the cron must not overlap, and the last one has not ended.
    Unfinished,
    /// `field` names queue `id`, which does not exist.
    UnknownQueue {
        field: &'static str,
        id: i64,
    },
    /// No such route, or no such row: the request line says which.
    NotFound {
        method: String,
        target: String,
    },
    /// No such row; where there is no request line that says which.
    NoSuchRow {
        entity: Entity,
        id: i64,
    },
    ChangesMissed,
    IdempotencyConflict,
    BatchTooLarge,
    /// `failed` of `count` messages cannot be stored.
    BatchRefused {
        failed: usize,
        count: usize,
    },
    InUse,
    /// Nothing can be encrypted.
    SecretsKeyMissing,
    /// No deliverer has taken the test, or the one that did has not reported.
    NoDeliverer {
        taken: bool,
    },
    NotPending,
    InFlight,
    Refused,
    Overloaded,
    Unavailable,
    OutcomeUnknown,
    /// A list or count.
    TooExpensive,
    /// The bodies and headers of what is asked for.
    AnswerTooLarge,
    Internal,
}

/// What of a request exceeds a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// The path and query string.
    Target,
    /// The headers.
    Head,
    /// A value in the body.
    Value,
}

impl Limited {
    fn status(self) -> StatusCode {
        match self {
            Limited::Target => StatusCode::URI_TOO_LONG,
            Limited::Head => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Limited::Value => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    status_code: u16,
    code: &'static str,
    error: &'a str,
    message: &'a str,
}

/// pg-hooks' framework writes this one in another order, and without a code.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NotFoundBody<'a> {
    message: &'a str,
    error: &'a str,
    status_code: u16,
}

impl ApiError {
    /// A value exceeds a limit, which a sentence tells.
    #[must_use]
    pub fn value_limit(problem: String) -> ApiError {
        ApiError::Limit { of: Limited::Value, problem }
    }

    /// There is nothing at the place that the request names.
    #[must_use]
    pub fn not_found(request: &HttpRequest) -> ApiError {
        ApiError::NotFound { method: request.method().to_string(), target: request.uri().to_string() }
    }

    /// `None` for [`ApiError::NotFound`].
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        self.answer().1
    }

    fn answer(&self) -> (StatusCode, Option<ErrorCode>) {
        use StatusCode as Status;
        let (status, code) = match self {
            ApiError::Validation(_) => (Status::BAD_REQUEST, ErrorCode::Validation),
            ApiError::InvalidJson => (Status::BAD_REQUEST, ErrorCode::InvalidJson),
            ApiError::EmptyJson => (Status::BAD_REQUEST, ErrorCode::EmptyJson),
            ApiError::MediaType => (Status::UNSUPPORTED_MEDIA_TYPE, ErrorCode::MediaType),
            ApiError::BodyTooLarge => (Status::PAYLOAD_TOO_LARGE, ErrorCode::BodyTooLarge),
            ApiError::RequestTimeout => (Status::REQUEST_TIMEOUT, ErrorCode::RequestTimeout),
            ApiError::Malformed => (Status::BAD_REQUEST, ErrorCode::Malformed),
            ApiError::Limit { of, .. } => (of.status(), ErrorCode::Limit),
            ApiError::CorsRefused(_) => (Status::FORBIDDEN, ErrorCode::CorsRefused),
            ApiError::UnknownField(_) => (Status::BAD_REQUEST, ErrorCode::UnknownField),
            ApiError::UnknownParameter(_) => (Status::BAD_REQUEST, ErrorCode::UnknownParameter),
            ApiError::UnknownFilterField(_) => (Status::BAD_REQUEST, ErrorCode::UnknownFilterField),
            ApiError::CursorWithoutId => (Status::BAD_REQUEST, ErrorCode::CursorWithoutId),
            ApiError::MissingWhere => (Status::BAD_REQUEST, ErrorCode::MissingWhere),
            ApiError::TooManyRows { .. } => (Status::UNPROCESSABLE_ENTITY, ErrorCode::Limit),
            ApiError::NotPending => (Status::CONFLICT, ErrorCode::NotPending),
            ApiError::InFlight => (Status::CONFLICT, ErrorCode::InFlight),
            ApiError::ReadOnlyField { .. } => (Status::BAD_REQUEST, ErrorCode::ReadOnlyField),
            ApiError::InvalidValue { .. } => (Status::BAD_REQUEST, ErrorCode::InvalidValue),
            ApiError::BlockedAddress(_) => (Status::UNPROCESSABLE_ENTITY, ErrorCode::BlockedAddress),
            ApiError::LimitTooLarge(_) => (Status::BAD_REQUEST, ErrorCode::LimitTooLarge),
            ApiError::LimitNegative(_) => (Status::BAD_REQUEST, ErrorCode::LimitNegative),
            ApiError::OffsetNegative(_) => (Status::BAD_REQUEST, ErrorCode::OffsetNegative),
            ApiError::Unauthorized => (Status::UNAUTHORIZED, ErrorCode::Unauthorized),
            ApiError::Forbidden => (Status::FORBIDDEN, ErrorCode::Unauthorized),
            ApiError::FieldForbidden(_) => (Status::FORBIDDEN, ErrorCode::FieldForbidden),
            ApiError::RateLimited { .. } => (Status::TOO_MANY_REQUESTS, ErrorCode::RateLimited),
            ApiError::BacklogFull { .. } => (Status::TOO_MANY_REQUESTS, ErrorCode::BacklogFull),
            ApiError::StillPending => (Status::CONFLICT, ErrorCode::StillPending),
            ApiError::Unfinished => (Status::CONFLICT, ErrorCode::Unfinished),
            ApiError::UnknownQueue { .. } => (Status::NOT_FOUND, ErrorCode::UnknownQueue),
            ApiError::NotFound { .. } => return (Status::NOT_FOUND, None),
            ApiError::NoSuchRow { .. } => (Status::NOT_FOUND, ErrorCode::NoSuchRow),
            ApiError::ChangesMissed => (Status::SERVICE_UNAVAILABLE, ErrorCode::ChangesMissed),
            ApiError::IdempotencyConflict => (Status::CONFLICT, ErrorCode::IdempotencyConflict),
            ApiError::BatchTooLarge => (Status::PAYLOAD_TOO_LARGE, ErrorCode::BatchTooLarge),
            ApiError::BatchRefused { .. } => (Status::UNPROCESSABLE_ENTITY, ErrorCode::BatchRefused),
            ApiError::InUse => (Status::CONFLICT, ErrorCode::InUse),
            ApiError::SecretsKeyMissing => (Status::CONFLICT, ErrorCode::SecretsKeyMissing),
            ApiError::NoDeliverer { .. } => (Status::SERVICE_UNAVAILABLE, ErrorCode::NoDeliverer),
            ApiError::Refused => (Status::UNPROCESSABLE_ENTITY, ErrorCode::Refused),
            ApiError::Overloaded => (Status::SERVICE_UNAVAILABLE, ErrorCode::Overloaded),
            ApiError::Unavailable => (Status::SERVICE_UNAVAILABLE, ErrorCode::Unavailable),
            ApiError::OutcomeUnknown => (Status::SERVICE_UNAVAILABLE, ErrorCode::OutcomeUnknown),
            ApiError::TooExpensive => (Status::UNPROCESSABLE_ENTITY, ErrorCode::TooExpensive),
            ApiError::AnswerTooLarge => (Status::UNPROCESSABLE_ENTITY, ErrorCode::AnswerTooLarge),
            ApiError::Internal => (Status::INTERNAL_SERVER_ERROR, ErrorCode::Internal),
        };
        (status, Some(code))
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApiError::Validation(problem) | ApiError::Limit { problem, .. } | ApiError::CorsRefused(problem) => {
                f.write_str(problem)
            }
            ApiError::InvalidJson => {
                f.write_str("Body is not valid JSON but content-type is set to 'application/json'")
            }
            ApiError::EmptyJson => f.write_str("Body cannot be empty when content-type is set to 'application/json'"),
            ApiError::MediaType => f.write_str("Unsupported Media Type"),
            ApiError::BodyTooLarge => f.write_str("Request body is too large"),
            ApiError::RequestTimeout => f.write_str("the request did not come in time"),
            ApiError::Malformed => f.write_str("this is not a request of HTTP/1.1"),
            ApiError::UnknownField(name) => write!(f, "body has no property '{name}'"),
            ApiError::UnknownParameter(name) => write!(f, "querystring has no parameter '{name}' here"),
            ApiError::ReadOnlyField { field, instead } => {
                write!(f, "body/{field} is set by Posthaste alone: {instead}")
            }
            ApiError::UnknownFilterField(name) => write!(f, "querystring/where.or has an unknown field '{name}'"),
            ApiError::CursorWithoutId => f.write_str("a cursor needs an order with the id: add orderby.id=asc"),
            ApiError::MissingWhere => f.write_str("Missing where clause"),
            ApiError::TooManyRows { limit } => {
                write!(f, "one request may change at most {limit} rows, all or none: narrow the filter")
            }
            ApiError::NotPending => f.write_str("the message is not pending any more"),
            ApiError::InFlight => f.write_str(
                "the message will not be attempted again, but an attempt that has begun may still deliver it",
            ),
            ApiError::InvalidValue { field, problem } => write!(f, "body/{field}: {problem}"),
            ApiError::BlockedAddress(blocked) => {
                write!(f, "body/callbackUrl: cannot be called: {blocked}; {}", blocked.remedy())
            }
            ApiError::LimitTooLarge(limit) => {
                write!(f, "Param limit={limit} not allowed. Max accepted value {}.", LARGEST_LIMIT)
            }
            ApiError::LimitNegative(limit) => {
                write!(f, "Param limit={limit} not allowed. It must not be negative.")
            }
            ApiError::OffsetNegative(offset) => {
                write!(f, "Param offset={offset} not allowed. It must not be negative.")
            }
            ApiError::Unauthorized | ApiError::Forbidden => f.write_str("operation not allowed"),
            ApiError::FieldForbidden(column) => write!(f, "field not allowed: {column}"),
            ApiError::RateLimited { retry_after } => {
                write!(f, "too many requests with this API key; try again in {retry_after} s")
            }
            ApiError::BacklogFull { queue: Some(id) } => {
                write!(f, "queue {id} has as many pending messages as it may have; nothing was stored, try again later")
            }
            ApiError::BacklogFull { queue: None } => {
                f.write_str("there are as many pending messages as there may be; nothing was stored, try again later")
            }
            ApiError::StillPending => f.write_str("the message has not ended: it is still to be delivered"),
            ApiError::Unfinished => {
                f.write_str("the last firing has not ended, and those of this cron must not overlap; nothing was stored")
            }
            ApiError::UnknownQueue { field, id } => write!(f, "body/{field}: there is no queue with id {id}"),
            ApiError::NotFound { method, target } => write!(f, "Route {method}:{target} not found"),
            ApiError::NoSuchRow { entity, id } => write!(f, "there is no {entity} with id {id}"),
            ApiError::ChangesMissed => f.write_str("some changes were missed; subscribe again, and look for them"),
            ApiError::IdempotencyConflict => {
                f.write_str("body/idempotencyKey: was used before for another message to this queue")
            }
            ApiError::BatchTooLarge => write!(f, "body must NOT have more than {LARGEST_BATCH} items"),
            ApiError::BatchRefused { failed, count } => {
                write!(f, "nothing was stored: {failed} of {count} messages cannot be")
            }
            ApiError::InUse => f.write_str("the queue has crons or pending messages; ?force=true deletes it with them"),
            ApiError::SecretsKeyMissing => f.write_str(
                "secrets and credentials are stored encrypted: set SECRETS_KEY for the API, the deliverers and the schedulers",
            ),
            ApiError::NoDeliverer { taken: false } => {
                f.write_str("no deliverer has taken the test, and nothing was sent: is one running?")
            }
            ApiError::NoDeliverer { taken: true } => {
                f.write_str("the deliverer that took the test has not said what came of it: it may have been sent")
            }
            ApiError::Refused => f.write_str("a value in the body cannot be stored"),
            ApiError::Overloaded => f.write_str("too many or too large requests wait; nothing was stored, try again"),
            ApiError::Unavailable => f.write_str("the database is not available now; nothing was stored, try again"),
            ApiError::OutcomeUnknown => f.write_str(
                "the database's answer was lost: what was asked may have been done, so look before you try again, unless \
                 it has an idempotency key",
            ),
            ApiError::TooExpensive => {
                f.write_str("the list or count takes too long: narrow the filter, for example by id, queueId or a time")
            }
            ApiError::AnswerTooLarge => write!(
                f,
                "an answer may have at most {LARGEST_ANSWER} bytes of bodies and headers: ask for fewer rows, or leave bodies \
                 out; nothing was changed"
            ),
            ApiError::Internal => f.write_str("internal error"),
        }
    }
}

impl ApiError {
    /// The body of the answer.
    pub(crate) fn json(&self) -> Vec<u8> {
        let (status, code) = self.answer();
        let error = status.canonical_reason().unwrap_or_default();
        let message = &self.to_string();
        let status_code = status.as_u16();
        let json = match code {
            Some(code) => serde_json::to_vec(&Body { status_code, code: code.as_str(), error, message }),
            None => serde_json::to_vec(&NotFoundBody { message, error, status_code }),
        };
        json.unwrap_or_default()
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.answer().0
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((CONTENT_TYPE, crate::json::CONTENT_TYPE));
        // Not after OutcomeUnknown: a client that obeys by itself would store a message twice.
        match self {
            ApiError::Unavailable
            | ApiError::Overloaded
            | ApiError::NoDeliverer { .. }
            | ApiError::BacklogFull { .. } => {
                response.insert_header((RETRY_AFTER, RETRY_AFTER_SECONDS));
            }
            ApiError::RateLimited { retry_after } => {
                response.insert_header((RETRY_AFTER, *retry_after));
            }
            _ => {}
        }
        response.body(self.json())
    }
}

#[cfg(test)]
mod tests;
