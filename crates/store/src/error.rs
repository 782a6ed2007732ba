//! What can go wrong with the database, by what the caller can do about it.
//!
//! tokio-postgres tells the SQLSTATE of an error, and it decides. diesel-async keeps it to itself: there the error's kind
//! decides where diesel has one, and the English text of the message where it has none (`connect` asks the server for
//! English). A transient error that is not recognised, as from a server that speaks another language and does not let its
//! clients choose, is an [`StoreError::Other`]; a batch that is bisected on it then succeeds in parts.
//!
//! No message here holds a connection string or a password, nor the values of a refused row (Postgres' `DETAIL`).

use std::error::Error as _;

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as DieselError};
use diesel_async::pooled_connection::PoolError;
use diesel_async::pooled_connection::bb8::RunError;

/// Why a statement or a connection failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No connection: refused, lost, timed out, or to a server that takes no writes. Whether a statement that was under
    /// way has committed is unknown.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The transaction was rolled back for a reason that passes: a deadlock, a serialization failure, a timeout, a full disk.
    #[error("the database could not do it now: {0}")]
    Retryable(String),
    /// A constraint refused a row.
    #[error("constraint {name} is violated ({code})")]
    Constraint {
        /// The constraint's name; for NOT NULL, which has none, the column's.
        name: String,
        /// The SQLSTATE, of class 23.
        code: &'static str,
    },
    /// A message id beyond the last partition. `partition::ensure_partitions` makes more.
    #[error("there is no partition for the message's id")]
    MissingPartition,
    /// A value that cannot be stored as it is (class 22): the row is to blame, not the statement.
    #[error("the database does not take the value: {0}")]
    Data(String),
    /// A list or a count that no index serves took too long and was ended, see `listing`.
    #[error("the list or count takes too long")]
    TooExpensive,
    /// The rows of a list are larger than [`crate::listing::LARGEST`] together.
    #[error("the rows of the list are too large")]
    TooLarge,
    /// The row asked for does not exist.
    #[error("no such row")]
    NotFound,
    /// Anything else: a fault of the statement, of the schema or of rights. Trying again will not help.
    #[error("the database refused: {0}")]
    Other(String),
}

impl StoreError {
    /// An answer of the database that its statement cannot give: a fault of ours.
    #[must_use]
    pub fn unexpected(what: &str) -> StoreError {
        StoreError::Other(format!("unexpected answer: {what}"))
    }

    /// Whether the same call may succeed later without any change.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            StoreError::Unavailable(_) | StoreError::Retryable(_) => true,
            StoreError::Constraint { .. }
            | StoreError::MissingPartition
            | StoreError::Data(_)
            | StoreError::TooExpensive
            | StoreError::TooLarge
            | StoreError::NotFound
            | StoreError::Other(_) => false,
        }
    }
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> StoreError {
        match error {
            DieselError::NotFound => StoreError::NotFound,
            DieselError::DatabaseError(kind, info) => from_kind(&kind, &*info),
            DieselError::RollbackErrorOnCommit { commit_error, .. } => StoreError::from(*commit_error),
            DieselError::BrokenTransactionManager => {
                StoreError::Unavailable("the connection was lost inside a transaction".to_owned())
            }
            DieselError::SerializationError(error) => StoreError::Data(error.to_string()),
            other => StoreError::Other(other.to_string()),
        }
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> StoreError {
        match error {
            PoolError::QueryError(error) => StoreError::from(error),
            PoolError::ConnectionError(error) => StoreError::Unavailable(error.to_string()),
        }
    }
}

impl From<RunError> for StoreError {
    fn from(error: RunError) -> StoreError {
        match error {
            RunError::User(error) => StoreError::from(error),
            RunError::TimedOut => StoreError::Unavailable("no connection was to be had in time".to_owned()),
        }
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> StoreError {
        match error.as_db_error() {
            Some(db) => from_sqlstate(db.code().code(), db.message(), db.constraint().or(db.column())),
            None => {
                // "error connecting to server" alone helps nobody; what the system said is in the source.
                let mut text = error.to_string();
                if let Some(source) = error.source() {
                    text = format!("{text}: {source}");
                }
                from_client(text)
            }
        }
    }
}

fn from_sqlstate(code: &str, message: &str, constraint: Option<&str>) -> StoreError {
    let text = || message.to_owned();
    let name = constraint.unwrap_or_default();
    match code {
        // 25006: a standby, or a primary that was demoted under us.
        "25006" => StoreError::Unavailable(text()),
        // idle_session_timeout and its like end the session, as an administrator's shutdown does.
        "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25P03" | "53300" => StoreError::Unavailable(text()),
        "57014" | "55P03" | "55006" => StoreError::Retryable(text()),
        "23505" => constraint_violation(name, "23505"),
        "23503" => constraint_violation(name, "23503"),
        "23502" => constraint_violation(name, "23502"),
        "23514" => check_violation(name),
        "23P01" => constraint_violation(name, "23P01"),
        "23001" => constraint_violation(name, "23001"),
        _ => match code.get(..2) {
            Some("08") => StoreError::Unavailable(text()),
            Some("40" | "53" | "58") => StoreError::Retryable(text()),
            Some("22") => StoreError::Data(text()),
            _ => StoreError::Other(text()),
        },
    }
}

fn from_kind(kind: &DatabaseErrorKind, info: &(dyn DatabaseErrorInformation + Send + Sync)) -> StoreError {
    let name = info.constraint_name().or(info.column_name()).unwrap_or_default();
    match kind {
        DatabaseErrorKind::UniqueViolation => constraint_violation(name, "23505"),
        DatabaseErrorKind::ForeignKeyViolation => constraint_violation(name, "23503"),
        DatabaseErrorKind::NotNullViolation => constraint_violation(name, "23502"),
        DatabaseErrorKind::CheckViolation => check_violation(name),
        DatabaseErrorKind::ExclusionViolation => constraint_violation(name, "23P01"),
        DatabaseErrorKind::RestrictViolation => constraint_violation(name, "23001"),
        DatabaseErrorKind::SerializationFailure => StoreError::Retryable(info.message().to_owned()),
        DatabaseErrorKind::ReadOnlyTransaction | DatabaseErrorKind::ClosedConnection => {
            StoreError::Unavailable(info.message().to_owned())
        }
        DatabaseErrorKind::UnableToSendCommand => from_client(info.message().to_owned()),
        // `DatabaseErrorKind` is non-exhaustive; `Unknown` is most of what Postgres can say.
        _ => from_message(info.message()),
    }
}

fn constraint_violation(name: &str, code: &'static str) -> StoreError {
    StoreError::Constraint { name: name.to_owned(), code }
}

/// A row that fits no partition is a check violation as well, the only one that names no constraint.
fn check_violation(name: &str) -> StoreError {
    if name.is_empty() { StoreError::MissingPartition } else { constraint_violation(name, "23514") }
}

/// Errors that tokio-postgres found without the server. Most mean that the connection is gone; the few that blame the
/// call must not be tried again for ever.
fn from_client(text: String) -> StoreError {
    const CALL: [&str; 8] = [
        "error serializing parameter",
        "error deserializing column",
        "error encoding message",
        "invalid column",
        "query returned an unexpected number",
        "expected ",
        "authentication error",
        "invalid con",
    ];
    if CALL.iter().any(|start| text.starts_with(start)) {
        StoreError::Other(text)
    } else {
        StoreError::Unavailable(text)
    }
}

/// The last resort, see the module's description. Texts of PostgreSQL 14 to 18, and of PgBouncer.
fn from_message(message: &str) -> StoreError {
    const GONE: [&str; 10] = [
        "terminating connection",
        "the database system is",
        "sorry, too many clients already",
        "remaining connection slots are reserved",
        "too many connections for",
        "query_wait_timeout",
        "server conn crashed?",
        "server login has been failing",
        "no more connections allowed",
        "pgbouncer cannot connect to server",
    ];
    const PASSES: [&str; 7] = [
        "deadlock detected",
        "canceling statement due to",
        "could not obtain lock on",
        "tuple concurrently",
        "out of shared memory",
        "could not extend file",
        "could not write to file",
    ];
    const VALUE: [&str; 10] = [
        "invalid byte sequence for encoding",
        "unsupported Unicode escape sequence",
        "invalid input syntax for",
        "value too long for type",
        "out of range",
        "field overflow",
        "row is too big",
        "index row size",
        "index row requires",
        "invalid memory alloc request size",
    ];
    let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    let text = message.to_owned();
    if says(&GONE) {
        StoreError::Unavailable(text)
    } else if says(&PASSES) || message == "out of memory" {
        StoreError::Retryable(text)
    } else if says(&VALUE) {
        StoreError::Data(text)
    } else {
        StoreError::Other(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Info {
        message: &'static str,
        constraint: Option<&'static str>,
    }

    impl DatabaseErrorInformation for Info {
        fn message(&self) -> &str {
            self.message
        }
        fn details(&self) -> Option<&str> {
            Some("Key (name)=(a customer's secret) already exists.")
        }
        fn hint(&self) -> Option<&str> {
            None
        }
        fn table_name(&self) -> Option<&str> {
            None
        }
        fn column_name(&self) -> Option<&str> {
            None
        }
        fn constraint_name(&self) -> Option<&str> {
            self.constraint
        }
        fn statement_position(&self) -> Option<i32> {
            None
        }
    }

    fn classify(kind: DatabaseErrorKind, message: &'static str, constraint: Option<&'static str>) -> StoreError {
        StoreError::from(DieselError::DatabaseError(kind, Box::new(Info { message, constraint })))
    }

    #[test]
    fn what_passes_is_transient() {
        use DatabaseErrorKind::{SerializationFailure, UnableToSendCommand, Unknown};
        for (kind, message) in [
            (SerializationFailure, "could not serialize access due to concurrent update"),
            (Unknown, "deadlock detected"),
            (Unknown, "canceling statement due to lock timeout"),
            (Unknown, "terminating connection due to administrator command"),
            (Unknown, "the database system is starting up"),
            (UnableToSendCommand, "connection closed"),
            (UnableToSendCommand, "channel closed"),
        ] {
            let error = classify(kind, message, None);
            assert!(error.is_transient(), "{error:?}");
        }
    }

    #[test]
    fn what_stays_is_not_transient() {
        use DatabaseErrorKind::{UnableToSendCommand, UniqueViolation, Unknown};
        for (kind, message) in [
            (UniqueViolation, "duplicate key value violates unique constraint"),
            (Unknown, "invalid byte sequence for encoding \"UTF8\": 0x00"),
            (Unknown, "column \"x\" does not exist"),
            (UnableToSendCommand, "error serializing parameter 2"),
            (UnableToSendCommand, "expected 2 parameters but got 3"),
        ] {
            let error = classify(kind, message, None);
            assert!(!error.is_transient(), "{error:?}");
        }
    }

    #[test]
    fn a_missing_partition_is_told_from_a_check() {
        let kind = || DatabaseErrorKind::CheckViolation;
        assert_eq!(
            classify(kind(), "no partition of relation \"messages\" found for row", None),
            StoreError::MissingPartition
        );
        assert_eq!(
            classify(kind(), "new row violates", Some("messages_one_body")),
            StoreError::Constraint { name: "messages_one_body".to_owned(), code: "23514" }
        );
    }

    #[test]
    fn sqlstate_decides_where_it_is_known() {
        assert!(matches!(from_sqlstate("40P01", "Verklemmung entdeckt", None), StoreError::Retryable(_)));
        assert!(matches!(from_sqlstate("57P05", "", None), StoreError::Unavailable(_)));
        assert!(matches!(from_sqlstate("25006", "", None), StoreError::Unavailable(_)));
        assert!(matches!(from_sqlstate("22021", "", None), StoreError::Data(_)));
        assert!(matches!(from_sqlstate("42P01", "", None), StoreError::Other(_)));
        assert_eq!(from_sqlstate("23514", "", None), StoreError::MissingPartition);
    }

    #[test]
    fn the_values_of_a_refused_row_are_not_shown() {
        let error = classify(DatabaseErrorKind::UniqueViolation, "duplicate key", Some("queues_pkey"));
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}
