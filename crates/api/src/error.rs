//! What the API answers when it does not do what was asked.
//!
//! Every error is `{"statusCode", "code", "error", "message"}`. The codes are stable: where pg-hooks has a code for the
//! same case it is kept, so that clients that look for it go on working; the others begin with `PH_`. No SQL and no
//! word of Postgres is ever in a message. The one answer without a code is the 404 of a route or row that does not
//! exist, whose shape pg-hooks' clients know.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use posthaste_store::error::StoreError;
use serde::Serialize;

use crate::batcher::LARGEST_BATCH;
use crate::rest::parameters::LARGEST_LIMIT;

/// How soon a client may try again what could not be done now, in seconds.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident => $code:literal,)*) => {
        /// The stable codes of errors.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            /// Every one there is.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$variant,)*];

            /// As it is sent.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(ErrorCode::$variant => $code,)*
                }
            }
        }
    };
}

codes! {
    /// A field or parameter is missing or has the wrong type.
    Validation => "FST_ERR_VALIDATION",
    /// The body is no JSON.
    InvalidJson => "FST_ERR_CTP_INVALID_JSON_BODY",
    /// The body is empty though its content type is JSON.
    EmptyJson => "FST_ERR_CTP_EMPTY_JSON_BODY",
    /// The body's content type is not JSON.
    MediaType => "FST_ERR_CTP_INVALID_MEDIA_TYPE",
    /// The body is larger than `MAX_BODY_BYTES`.
    BodyTooLarge => "FST_ERR_CTP_BODY_TOO_LARGE",
    /// The body did not come in time.
    RequestTimeout => "PH_REQUEST_TIMEOUT",
    /// The body has a field that does not exist.
    UnknownField => "PH_UNKNOWN_FIELD",
    /// The query string has a parameter that does not exist.
    UnknownParameter => "PH_UNKNOWN_PARAMETER",
    /// The body sets a field that only Posthaste sets.
    ReadOnlyField => "PH_READ_ONLY_FIELD",
    /// A field has the right type, but a value that cannot be: a URL, method, header, time or schedule.
    InvalidValue => "PH_INVALID_VALUE",
    /// `limit` is greater than 100.
    LimitTooLarge => "PLT_SQL_MAPPER_PARAM_LIMIT_NOT_ALLOWED",
    /// `limit` is negative.
    LimitNegative => "PLT_SQL_MAPPER_PARAM_LIMIT_MUST_BE_NOT_NEGATIVE",
    /// `offset` is negative.
    OffsetNegative => "PLT_SQL_MAPPER_PARAM_NOT_ALLOWED",
    /// The admin secret is missing (401) or wrong (403).
    Unauthorized => "PLT_DB_AUTH_UNAUTHORIZED",
    /// The body names a queue that does not exist.
    UnknownQueue => "PH_UNKNOWN_QUEUE",
    /// The idempotency key was used before, for another message.
    IdempotencyConflict => "PH_IDEMPOTENCY_CONFLICT",
    /// A batch has more than 10,000 messages.
    BatchTooLarge => "PH_BATCH_TOO_LARGE",
    /// A batch that is to be stored whole or not at all has a message that cannot be.
    BatchRefused => "PH_BATCH_REFUSED",
    /// The queue has crons or pending messages.
    InUse => "PH_IN_USE",
    /// The database does not take a value that the API took.
    Refused => "PH_REFUSED",
    /// More requests wait than can be served soon. Nothing was stored.
    Overloaded => "PH_OVERLOADED",
    /// The database is away. Nothing was stored.
    Unavailable => "PH_UNAVAILABLE",
    /// The connection to the database was lost while it stored: perhaps it did.
    OutcomeUnknown => "PH_OUTCOME_UNKNOWN",
    /// A fault of Posthaste; its log says more.
    Internal => "PH_INTERNAL",
}

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
    UnknownField(String),
    UnknownParameter(String),
    ReadOnlyField(&'static str),
    InvalidValue {
        field: &'static str,
        problem: String,
    },
    LimitTooLarge(i64),
    LimitNegative(i64),
    OffsetNegative(i64),
    /// No credentials.
    Unauthorized,
    /// Credentials that do not suffice.
    Forbidden,
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
    IdempotencyConflict,
    BatchTooLarge,
    /// `failed` of `count` messages cannot be stored.
    BatchRefused {
        failed: usize,
        count: usize,
    },
    InUse,
    Refused,
    Overloaded,
    Unavailable,
    OutcomeUnknown,
    Internal,
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
            ApiError::UnknownField(_) => (Status::BAD_REQUEST, ErrorCode::UnknownField),
            ApiError::UnknownParameter(_) => (Status::BAD_REQUEST, ErrorCode::UnknownParameter),
            ApiError::ReadOnlyField(_) => (Status::BAD_REQUEST, ErrorCode::ReadOnlyField),
            ApiError::InvalidValue { .. } => (Status::BAD_REQUEST, ErrorCode::InvalidValue),
            ApiError::LimitTooLarge(_) => (Status::BAD_REQUEST, ErrorCode::LimitTooLarge),
            ApiError::LimitNegative(_) => (Status::BAD_REQUEST, ErrorCode::LimitNegative),
            ApiError::OffsetNegative(_) => (Status::BAD_REQUEST, ErrorCode::OffsetNegative),
            ApiError::Unauthorized => (Status::UNAUTHORIZED, ErrorCode::Unauthorized),
            ApiError::Forbidden => (Status::FORBIDDEN, ErrorCode::Unauthorized),
            ApiError::UnknownQueue { .. } => (Status::NOT_FOUND, ErrorCode::UnknownQueue),
            ApiError::NotFound { .. } => return (Status::NOT_FOUND, None),
            ApiError::IdempotencyConflict => (Status::CONFLICT, ErrorCode::IdempotencyConflict),
            ApiError::BatchTooLarge => (Status::PAYLOAD_TOO_LARGE, ErrorCode::BatchTooLarge),
            ApiError::BatchRefused { .. } => (Status::UNPROCESSABLE_ENTITY, ErrorCode::BatchRefused),
            ApiError::InUse => (Status::CONFLICT, ErrorCode::InUse),
            ApiError::Refused => (Status::UNPROCESSABLE_ENTITY, ErrorCode::Refused),
            ApiError::Overloaded => (Status::SERVICE_UNAVAILABLE, ErrorCode::Overloaded),
            ApiError::Unavailable => (Status::SERVICE_UNAVAILABLE, ErrorCode::Unavailable),
            ApiError::OutcomeUnknown => (Status::SERVICE_UNAVAILABLE, ErrorCode::OutcomeUnknown),
            ApiError::Internal => (Status::INTERNAL_SERVER_ERROR, ErrorCode::Internal),
        };
        (status, Some(code))
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApiError::Validation(problem) => f.write_str(problem),
            ApiError::InvalidJson => {
                f.write_str("Body is not valid JSON but content-type is set to 'application/json'")
            }
            ApiError::EmptyJson => f.write_str("Body cannot be empty when content-type is set to 'application/json'"),
            ApiError::MediaType => f.write_str("Unsupported Media Type"),
            ApiError::BodyTooLarge => f.write_str("Request body is too large"),
            ApiError::RequestTimeout => f.write_str("the request's body did not come in time"),
            ApiError::UnknownField(name) => write!(f, "body has no property '{name}'"),
            ApiError::UnknownParameter(name) => write!(f, "querystring has no parameter '{name}' here"),
            ApiError::ReadOnlyField(name) => write!(f, "body/{name} is set by Posthaste alone: leave it out"),
            ApiError::InvalidValue { field, problem } => write!(f, "body/{field}: {problem}"),
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
            ApiError::UnknownQueue { field, id } => write!(f, "body/{field}: there is no queue with id {id}"),
            ApiError::NotFound { method, target } => write!(f, "Route {method}:{target} not found"),
            ApiError::IdempotencyConflict => {
                f.write_str("body/idempotencyKey: was used before for another message to this queue")
            }
            ApiError::BatchTooLarge => write!(f, "body must NOT have more than {LARGEST_BATCH} items"),
            ApiError::BatchRefused { failed, count } => {
                write!(f, "nothing was stored: {failed} of {count} messages cannot be")
            }
            ApiError::InUse => f.write_str("the queue has crons or pending messages; ?force=true deletes it with them"),
            ApiError::Refused => f.write_str("a value in the body cannot be stored"),
            ApiError::Overloaded => f.write_str("too many requests wait; nothing was stored, try again"),
            ApiError::Unavailable => f.write_str("the database is not available now; nothing was stored, try again"),
            ApiError::OutcomeUnknown => f.write_str(
                "the database's answer was lost: what was asked may have been done, so look before you try again, unless \
                 it has an idempotency key",
            ),
            ApiError::Internal => f.write_str("internal error"),
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.answer().0
    }

    fn error_response(&self) -> HttpResponse {
        let (status, code) = self.answer();
        let error = status.canonical_reason().unwrap_or_default();
        let message = &self.to_string();
        let status_code = status.as_u16();
        let json = match code {
            Some(code) => serde_json::to_vec(&Body { status_code, code: code.as_str(), error, message }),
            None => serde_json::to_vec(&NotFoundBody { message, error, status_code }),
        };
        let mut response = HttpResponse::build(status);
        response.insert_header((CONTENT_TYPE, crate::json::CONTENT_TYPE));
        // Not after OutcomeUnknown: a client that obeys by itself would store a message twice.
        if matches!(self, ApiError::Unavailable | ApiError::Overloaded) {
            response.insert_header((RETRY_AFTER, RETRY_AFTER_SECONDS));
        }
        response.body(json.unwrap_or_default())
    }
}

impl ApiError {
    /// What a failed reading statement is to the client.
    #[must_use]
    pub fn from_read(error: &StoreError) -> ApiError {
        match error {
            StoreError::Unavailable(_) | StoreError::Retryable(_) => {
                tracing::warn!(%error, "a read failed");
                ApiError::Unavailable
            }
            StoreError::Constraint { .. }
            | StoreError::MissingPartition
            | StoreError::Data(_)
            | StoreError::NotFound
            | StoreError::Other(_) => {
                tracing::error!(%error, "a read failed");
                ApiError::Internal
            }
        }
    }

    /// What a failed writing statement is to the client.
    #[must_use]
    pub fn from_write(error: &StoreError) -> ApiError {
        match error {
            StoreError::Unavailable(_) => {
                tracing::warn!(%error, "a write's outcome is unknown");
                ApiError::OutcomeUnknown
            }
            StoreError::Retryable(_) | StoreError::MissingPartition => {
                tracing::warn!(%error, "a write failed");
                ApiError::Unavailable
            }
            StoreError::Constraint { .. } | StoreError::Data(_) => {
                tracing::warn!(%error, "a value was refused");
                ApiError::Refused
            }
            StoreError::NotFound | StoreError::Other(_) => {
                tracing::error!(%error, "a write failed");
                ApiError::Internal
            }
        }
    }
}

#[cfg(test)]
mod tests;
