//! The stable codes of errors, as clients see them.

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
    /// The request or its body did not come in time.
    RequestTimeout => "PH_REQUEST_TIMEOUT",
    /// What came is no HTTP/1.1 request.
    Malformed => "PH_MALFORMED_REQUEST",
    /// Something is longer, larger or more than it may be.
    Limit => "PH_LIMIT_EXCEEDED",
    /// A browser asked whether a page of another origin may use the API in this way, and it may not.
    CorsRefused => "PH_CORS_REFUSED",
    /// The body has a field that does not exist.
    UnknownField => "PH_UNKNOWN_FIELD",
    /// The query string has a parameter that does not exist.
    UnknownParameter => "PH_UNKNOWN_PARAMETER",
    /// The body sets a field that only Posthaste sets.
    ReadOnlyField => "PH_READ_ONLY_FIELD",
    /// A field has the right type, but a value that cannot be: a URL, method, header, time or schedule.
    InvalidValue => "PH_INVALID_VALUE",
    /// Deliverers would not call the callback URL, by the rules of this deployment.
    BlockedAddress => "PH_BLOCKED_ADDRESS",
    /// `limit` is greater than 100.
    LimitTooLarge => "PLT_SQL_MAPPER_PARAM_LIMIT_NOT_ALLOWED",
    /// `limit` is negative.
    LimitNegative => "PLT_SQL_MAPPER_PARAM_LIMIT_MUST_BE_NOT_NEGATIVE",
    /// `offset` is negative.
    OffsetNegative => "PLT_SQL_MAPPER_PARAM_NOT_ALLOWED",
    /// `where.or` has a field that does not exist.
    UnknownFilterField => "PLT_SQL_OPENAPI_UNKNOWN_FIELD",
    /// A cursor is asked for in an order without the id.
    CursorWithoutId => "PLT_SQL_OPENAPI_PRIMARY_KEY_NOT_INCLUDED_IN_ORDER_BY_IN_CURSOR_PAGINATION",
    /// A change of many rows that does not say which.
    MissingWhere => "PLT_SQL_MAPPER_MISSING_WHERE_CLAUSE",
    /// Without valid credentials (401), or with some that do not suffice (403).
    Unauthorized => "PLT_DB_AUTH_UNAUTHORIZED",
    /// The caller may not see or set a field.
    FieldForbidden => "PLT_DB_AUTH_FIELD_UNAUTHORIZED",
    /// An API key was used more often than it may be.
    RateLimited => "PH_RATE_LIMITED",
    /// As many messages are pending as may be (`maxBacklog` of the queue, `MAX_BACKLOG`). Nothing was stored.
    BacklogFull => "PH_BACKLOG_FULL",
    /// Only a message that has ended can be replayed.
    StillPending => "PH_STILL_PENDING",
    /// Firings of the cron must not overlap, and the last one has not ended.
    Unfinished => "PH_UNFINISHED",
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
    /// Secrets and credentials cannot be stored without `SECRETS_KEY`.
    SecretsKeyMissing => "PH_SECRETS_KEY_MISSING",
    /// No deliverer has taken the test.
    NoDeliverer => "PH_NO_DELIVERER",
    /// The message has ended and cannot be changed or cancelled any more.
    NotPending => "PH_NOT_PENDING",
    /// The message will not be attempted again, but an attempt may be under way.
    InFlight => "PH_IN_FLIGHT",
    /// The database does not take a value that the API took.
    Refused => "PH_REFUSED",
    /// More requests wait than can be served soon, or hold more memory together than there is. Nothing was stored.
    Overloaded => "PH_OVERLOADED",
    /// The database is away. Nothing was stored.
    Unavailable => "PH_UNAVAILABLE",
    /// The connection to the database was lost while it stored: perhaps it did.
    OutcomeUnknown => "PH_OUTCOME_UNKNOWN",
    /// There is no such row, or none that the caller may touch. Only over GraphQL.
    NoSuchRow => "PH_NOT_FOUND",
    /// A subscription has missed changes, and ends.
    ChangesMissed => "PH_CHANGES_MISSED",
    /// The list or count takes too long: its filter lets too much through, or nothing that is indexed narrows it.
    TooExpensive => "PH_QUERY_TOO_EXPENSIVE",
    /// Bodies and headers in the answer would be larger than 16 MiB together. Nothing was changed.
    AnswerTooLarge => "PH_ANSWER_TOO_LARGE",
    /// A fault of Posthaste; its log says more.
    Internal => "PH_INTERNAL",
}
