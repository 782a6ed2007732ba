use actix_web::body::to_bytes;
use posthaste_core::address::Blocked;
use posthaste_store::error::StoreError;

use super::*;

/// One of every kind.
fn every() -> Vec<ApiError> {
    vec![
        ApiError::Validation("body must be object".to_owned()),
        ApiError::InvalidJson,
        ApiError::EmptyJson,
        ApiError::MediaType,
        ApiError::BodyTooLarge,
        ApiError::RequestTimeout,
        ApiError::Malformed,
        ApiError::Limit { of: Limited::Target, problem: "too long".to_owned() },
        ApiError::Limit { of: Limited::Head, problem: "too large".to_owned() },
        ApiError::Limit { of: Limited::Value, problem: "too deep".to_owned() },
        ApiError::CorsRefused("not from there".to_owned()),
        ApiError::UnknownField("x".to_owned()),
        ApiError::UnknownParameter("x".to_owned()),
        ApiError::ReadOnlyField { field: "id", instead: "leave it out" },
        ApiError::InvalidValue { field: "when", problem: "takes a time".to_owned() },
        ApiError::BlockedAddress(Blocked::Denied),
        ApiError::LimitTooLarge(101),
        ApiError::LimitNegative(-1),
        ApiError::OffsetNegative(-1),
        ApiError::UnknownFilterField("x".to_owned()),
        ApiError::CursorWithoutId,
        ApiError::MissingWhere,
        ApiError::TooManyRows { limit: 1000 },
        ApiError::Unauthorized,
        ApiError::Forbidden,
        ApiError::FieldForbidden("callback_url"),
        ApiError::RateLimited { retry_after: 2 },
        ApiError::BacklogFull { queue: Some(7) },
        ApiError::StillPending,
        ApiError::Unfinished,
        ApiError::UnknownQueue { field: "queueId", id: 7 },
        ApiError::IdempotencyConflict,
        ApiError::BatchTooLarge,
        ApiError::BatchRefused { failed: 1, count: 2 },
        ApiError::InUse,
        ApiError::SecretsKeyMissing,
        ApiError::NoDeliverer { taken: false },
        ApiError::NotPending,
        ApiError::InFlight,
        ApiError::Refused,
        ApiError::Overloaded,
        ApiError::Unavailable,
        ApiError::OutcomeUnknown,
        ApiError::NoSuchRow { entity: Entity::Queue, id: 7 },
        ApiError::ChangesMissed,
        ApiError::TooExpensive,
        ApiError::AnswerTooLarge,
        ApiError::Internal,
    ]
}

async fn json(error: &ApiError) -> String {
    let body = to_bytes(error.error_response().into_body()).await;
    String::from_utf8(body.unwrap_or_default().to_vec()).unwrap()
}

#[test]
fn the_table_of_errors_is_stable() {
    let table: Vec<(u16, &str)> = every()
        .iter()
        .map(|error| (error.status_code().as_u16(), error.code().map_or("", ErrorCode::as_str)))
        .collect();
    assert_eq!(
        table,
        [
            (400, "FST_ERR_VALIDATION"),
            (400, "FST_ERR_CTP_INVALID_JSON_BODY"),
            (400, "FST_ERR_CTP_EMPTY_JSON_BODY"),
            (415, "FST_ERR_CTP_INVALID_MEDIA_TYPE"),
            (413, "FST_ERR_CTP_BODY_TOO_LARGE"),
            (408, "PH_REQUEST_TIMEOUT"),
            (400, "PH_MALFORMED_REQUEST"),
            (414, "PH_LIMIT_EXCEEDED"),
            (431, "PH_LIMIT_EXCEEDED"),
            (422, "PH_LIMIT_EXCEEDED"),
            (403, "PH_CORS_REFUSED"),
            (400, "PH_UNKNOWN_FIELD"),
            (400, "PH_UNKNOWN_PARAMETER"),
            (400, "PH_READ_ONLY_FIELD"),
            (400, "PH_INVALID_VALUE"),
            (422, "PH_BLOCKED_ADDRESS"),
            (400, "PLT_SQL_MAPPER_PARAM_LIMIT_NOT_ALLOWED"),
            (400, "PLT_SQL_MAPPER_PARAM_LIMIT_MUST_BE_NOT_NEGATIVE"),
            (400, "PLT_SQL_MAPPER_PARAM_NOT_ALLOWED"),
            (400, "PLT_SQL_OPENAPI_UNKNOWN_FIELD"),
            (400, "PLT_SQL_OPENAPI_PRIMARY_KEY_NOT_INCLUDED_IN_ORDER_BY_IN_CURSOR_PAGINATION"),
            (400, "PLT_SQL_MAPPER_MISSING_WHERE_CLAUSE"),
            (422, "PH_LIMIT_EXCEEDED"),
            (401, "PLT_DB_AUTH_UNAUTHORIZED"),
            (403, "PLT_DB_AUTH_UNAUTHORIZED"),
            (403, "PLT_DB_AUTH_FIELD_UNAUTHORIZED"),
            (429, "PH_RATE_LIMITED"),
            (429, "PH_BACKLOG_FULL"),
            (409, "PH_STILL_PENDING"),
            (409, "PH_UNFINISHED"),
            (404, "PH_UNKNOWN_QUEUE"),
            (409, "PH_IDEMPOTENCY_CONFLICT"),
            (413, "PH_BATCH_TOO_LARGE"),
            (422, "PH_BATCH_REFUSED"),
            (409, "PH_IN_USE"),
            (409, "PH_SECRETS_KEY_MISSING"),
            (503, "PH_NO_DELIVERER"),
            (409, "PH_NOT_PENDING"),
            (409, "PH_IN_FLIGHT"),
            (422, "PH_REFUSED"),
            (503, "PH_OVERLOADED"),
            (503, "PH_UNAVAILABLE"),
            (503, "PH_OUTCOME_UNKNOWN"),
            (404, "PH_NOT_FOUND"),
            (503, "PH_CHANGES_MISSED"),
            (422, "PH_QUERY_TOO_EXPENSIVE"),
            (422, "PH_ANSWER_TOO_LARGE"),
            (500, "PH_INTERNAL"),
        ]
    );
    for code in ErrorCode::ALL {
        assert!(table.iter().any(|(_, sent)| *sent == code.as_str()), "{code:?}");
    }
}

#[actix_web::test]
async fn bodies_have_the_shape_of_the_original() {
    assert_eq!(
        json(&ApiError::Forbidden).await,
        r#"{"statusCode":403,"code":"PLT_DB_AUTH_UNAUTHORIZED","error":"Forbidden","message":"operation not allowed"}"#
    );
    let missing = ApiError::NotFound { method: "GET".to_owned(), target: "/queues/99999?x=1".to_owned() };
    assert_eq!(
        json(&missing).await,
        r#"{"message":"Route GET:/queues/99999?x=1 not found","error":"Not Found","statusCode":404}"#
    );
    let response = ApiError::Internal.error_response();
    assert_eq!(response.headers().get(CONTENT_TYPE).unwrap(), "application/json; charset=utf-8");
}

#[test]
fn only_what_may_be_tried_again_says_when() {
    for error in every() {
        let says = error.error_response().headers().get(RETRY_AFTER).cloned();
        let expected = match error {
            ApiError::Unavailable
            | ApiError::Overloaded
            | ApiError::NoDeliverer { .. }
            | ApiError::BacklogFull { .. } => Some(HeaderValue::from_static("1")),
            ApiError::RateLimited { .. } => Some(HeaderValue::from_static("2")),
            _ => None,
        };
        assert_eq!(says, expected, "{error:?}");
    }
}

#[test]
fn nothing_of_the_database_is_told() {
    let told = |text: &str| text.to_owned() + " relation \"posthaste.messages\"";
    for error in [
        StoreError::Unavailable(told("a")),
        StoreError::Retryable(told("b")),
        StoreError::Constraint { name: told("c"), code: "23514" },
        StoreError::MissingPartition,
        StoreError::Data(told("d")),
        StoreError::NotFound,
        StoreError::Other(told("e")),
    ] {
        for shown in [ApiError::from_read(&error), ApiError::from_write(&error)] {
            assert!(!shown.to_string().contains("posthaste."), "{shown}");
        }
    }
}

#[test]
fn a_lost_answer_is_told_from_a_refused_connection() {
    let lost = StoreError::Unavailable("connection closed".to_owned());
    assert_eq!(ApiError::from_write(&lost), ApiError::OutcomeUnknown);
    assert_eq!(ApiError::from_read(&lost), ApiError::Unavailable);
    assert_eq!(ApiError::from_write(&StoreError::Retryable("deadlock".to_owned())), ApiError::Unavailable);
}
