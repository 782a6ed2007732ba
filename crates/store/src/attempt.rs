//! Attempts: what became of a message, one after the other. They are written by `outcome` alone.

use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{BigInt, Binary, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::MessageId;
use posthaste_core::time::Timestamp;
use serde_json::Value;

use crate::error::StoreError;
use crate::reading::from_postgres;
use crate::statement::statement;

/// One attempt to deliver a message, or its end without one.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// From 1.
    pub number: i32,
    /// `retried`, `delivered`, `failed`, `cancelled` or `expired`.
    pub outcome: String,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    /// Of the answer, if there was one.
    pub status: Option<i16>,
    /// A code, see core's `transition`; `None` for an answer with a 2xx status.
    pub error_class: Option<String>,
    pub error: Option<String>,
    pub response_headers: Option<Value>,
    /// Its beginning.
    pub response_body: Option<Vec<u8>>,
    /// Who made it.
    pub deliverer: String,
    /// How its time was spent, in microseconds; `None` for what did not happen.
    pub dns_us: Option<i32>,
    pub connect_us: Option<i32>,
    pub tls_us: Option<i32>,
    /// To the end of the answer's head.
    pub first_byte_us: Option<i32>,
}

type Row = (
    i32,
    String,
    PgTimestamp,
    PgTimestamp,
    Option<i16>,
    Option<String>,
    Option<String>,
    Option<Value>,
    Option<Vec<u8>>,
    String,
    (Option<i32>, Option<i32>, Option<i32>, Option<i32>),
);

/// Reads the attempts of a message, by number; none where there is no such message.
///
/// # Errors
/// As any statement.
pub async fn of(conn: &mut AsyncPgConnection, message: MessageId) -> Result<Vec<Attempt>, StoreError> {
    let rows: Vec<Row> = OfMessage { message: message.0 }.load(conn).await?;
    Ok(rows.into_iter().map(Attempt::from).collect())
}

impl From<Row> for Attempt {
    fn from(row: Row) -> Attempt {
        let (number, outcome, started_at, finished_at, status, error_class, error, headers, body, deliverer, timings) =
            row;
        let (dns_us, connect_us, tls_us, first_byte_us) = timings;
        Attempt {
            number,
            outcome,
            started_at: from_postgres(started_at),
            finished_at: from_postgres(finished_at),
            status,
            error_class,
            error,
            response_headers: headers,
            response_body: body,
            deliverer,
            dns_us,
            connect_us,
            tls_us,
            first_byte_us,
        }
    }
}

statement! {
    struct OfMessage { message: i64 => BigInt }
    row (
        Integer,
        Text,
        Timestamptz,
        Timestamptz,
        Nullable<SmallInt>,
        Nullable<Text>,
        Nullable<Text>,
        Nullable<Jsonb>,
        Nullable<Binary>,
        Text,
        (Nullable<Integer>, Nullable<Integer>, Nullable<Integer>, Nullable<Integer>),
    )
    "SELECT a.number, a.outcome, a.started_at, a.finished_at, a.status, a.error_class, a.error, a.response_headers,
            a.response_body, a.deliverer, a.dns_us, a.connect_us, a.tls_us, a.first_byte_us
       FROM posthaste.attempts a
      WHERE a.message_id = {message} AND EXISTS (SELECT FROM posthaste.messages m WHERE m.id = {message})
      ORDER BY a.number"
}
