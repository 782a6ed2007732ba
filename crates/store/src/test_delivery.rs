//! Test deliveries: what the API asks a deliverer to send once, and what came of it.
//!
//! The API never calls a receiver, so a test goes out from where deliveries go out, under the same rules. A row is taken by one
//! deliverer, and sent at most once: one that died with it leaves it without a result.

use std::time::Duration;

use diesel::OptionalExtension;
use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{BigInt, Binary, Bool, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::QueueId;
use posthaste_core::time::Timestamp;
use posthaste_core::transition::ErrorClass;
use serde_json::{Map, Value};

use crate::attempt::Attempt;
use crate::error::StoreError;
use crate::outcome::Timings;
use crate::payload::object;
use crate::reading::{from_postgres, to_postgres};
use crate::retention::seconds;
use crate::statement::statement;

/// What is to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub queue: QueueId,
    pub body: Option<String>,
    pub body_binary: Option<Vec<u8>>,
    /// A JSON object.
    pub headers: Option<Value>,
}

/// A test that this deliverer is to send.
#[derive(Debug, Clone)]
pub struct Taken {
    pub id: i64,
    pub queue: QueueId,
    pub body: Option<Vec<u8>>,
    pub headers: Option<Map<String, Value>>,
    /// By the database's clock.
    pub now: Timestamp,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Finished {
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    pub status: Option<u16>,
    pub error_class: Option<ErrorClass>,
    pub error: Option<String>,
    /// A JSON object as text.
    pub response_headers: Option<String>,
    pub response_body: Option<Vec<u8>>,
    pub timings: Timings,
}

/// How far a test is.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// No deliverer has it.
    Waiting,
    /// It is being sent.
    Taken,
    Finished(Box<Attempt>),
}

statement! {
    struct Request<'a> {
        queue: i64 => BigInt,
        body: Option<&'a str> => Nullable<Text>,
        body_binary: Option<&'a [u8]> => Nullable<Binary>,
        headers: Option<&'a Value> => Nullable<Jsonb>,
    }
    row (BigInt,)
    "INSERT INTO posthaste.test_deliveries (queue_id, body, body_binary, headers)
     SELECT q.id, {body}, {body_binary}, {headers} FROM posthaste.queues q WHERE q.id = {queue} RETURNING id"
}

/// Asks for a test; `None`: there is no such queue.
///
/// # Errors
/// As any statement.
pub async fn request(conn: &mut AsyncPgConnection, sample: &Sample) -> Result<Option<i64>, StoreError> {
    let request = Request {
        queue: sample.queue.0,
        body: sample.body.as_deref(),
        body_binary: sample.body_binary.as_deref(),
        headers: sample.headers.as_ref(),
    };
    Ok(request.get_result::<(i64,)>(conn).await.optional()?.map(|(id,)| id))
}

statement! {
    struct Take { deliverer: String => Text, age_seconds: i64 => BigInt, limit: i64 => BigInt }
    row (BigInt, BigInt, Nullable<Text>, Nullable<Binary>, Nullable<Jsonb>, Timestamptz)
    "UPDATE posthaste.test_deliveries t SET taken_at = clock_timestamp(), deliverer = {deliverer}
      WHERE t.id = ANY (ARRAY(
                SELECT t.id FROM posthaste.test_deliveries t
                 WHERE t.taken_at IS NULL AND t.requested_at > (SELECT clock_timestamp() - make_interval(secs => {age_seconds}))
                 ORDER BY t.requested_at LIMIT {limit} FOR UPDATE SKIP LOCKED))
     RETURNING t.id, t.queue_id, t.body, t.body_binary, t.headers, clock_timestamp()"
}

/// Takes at most `limit` tests that were asked for within `age`, for this deliverer alone.
///
/// # Errors
/// Any [`StoreError`]. Where it is not known whether it was committed, what was taken is not sent.
pub async fn take(
    conn: &mut AsyncPgConnection,
    deliverer: &str,
    age: Duration,
    limit: u16,
) -> Result<Vec<Taken>, StoreError> {
    type Row = (i64, i64, Option<String>, Option<Vec<u8>>, Option<Value>, PgTimestamp);
    let take = Take { deliverer: deliverer.to_owned(), age_seconds: seconds(age), limit: i64::from(limit) };
    let rows: Vec<Row> = take.load(conn).await?;
    Ok(rows
        .into_iter()
        .map(|(id, queue, text, binary, headers, now)| Taken {
            id,
            queue: QueueId(queue),
            body: text.map(String::into_bytes).or(binary),
            headers: headers.and_then(object),
            now: from_postgres(now),
        })
        .collect())
}

statement! {
    struct Finish<'a> {
        id: i64 => BigInt,
        started: PgTimestamp => Timestamptz,
        finished: PgTimestamp => Timestamptz,
        status: Option<i16> => Nullable<SmallInt>,
        class: Option<&'static str> => Nullable<Text>,
        error: Option<String> => Nullable<Text>,
        headers: Option<&'a str> => Nullable<Text>,
        body: Option<&'a [u8]> => Nullable<Binary>,
        dns: Option<i32> => Nullable<Integer>,
        connect: Option<i32> => Nullable<Integer>,
        tls: Option<i32> => Nullable<Integer>,
        first_byte: Option<i32> => Nullable<Integer>,
    }
    row (BigInt,)
    "UPDATE posthaste.test_deliveries
        SET started_at = {started}, finished_at = {finished}, status = {status}, error_class = {class}, error = {error},
            response_headers = {headers}::jsonb, response_body = {body}, dns_us = {dns}, connect_us = {connect},
            tls_us = {tls}, first_byte_us = {first_byte}
      WHERE id = {id} RETURNING id"
}

/// Records what came of a test.
///
/// # Errors
/// Any [`StoreError`]; calling again is right.
pub async fn finish(conn: &mut AsyncPgConnection, id: i64, finished: &Finished) -> Result<(), StoreError> {
    let [dns, connect, tls, first_byte] = finished.timings.micros();
    let statement = Finish {
        id,
        started: to_postgres(finished.started_at),
        finished: to_postgres(finished.finished_at.max(finished.started_at)),
        status: finished.status.and_then(|status| i16::try_from(status).ok()),
        class: finished.error_class.map(ErrorClass::as_str),
        error: finished.error.as_ref().map(|text| text.replace('\0', "")),
        headers: finished.response_headers.as_deref(),
        body: finished.response_body.as_deref(),
        dns,
        connect,
        tls,
        first_byte,
    };
    let _: Vec<(i64,)> = statement.load(conn).await?;
    Ok(())
}

statement! {
    struct Look { id: i64 => BigInt }
    row (
        Bool,
        Nullable<Timestamptz>,
        Nullable<Timestamptz>,
        Nullable<SmallInt>,
        Nullable<Text>,
        Nullable<Text>,
        Nullable<Jsonb>,
        Nullable<Binary>,
        Nullable<Text>,
        (Nullable<Integer>, Nullable<Integer>, Nullable<Integer>, Nullable<Integer>),
    )
    "SELECT t.taken_at IS NOT NULL, t.started_at, t.finished_at, t.status, t.error_class, t.error, t.response_headers,
            t.response_body, t.deliverer, t.dns_us, t.connect_us, t.tls_us, t.first_byte_us
       FROM posthaste.test_deliveries t WHERE t.id = {id}"
}

/// How far a test is; `None`: it is forgotten.
///
/// # Errors
/// As any statement.
pub async fn progress(conn: &mut AsyncPgConnection, id: i64) -> Result<Option<Progress>, StoreError> {
    type Timed = (Option<i32>, Option<i32>, Option<i32>, Option<i32>);
    type Row = (
        bool,
        Option<PgTimestamp>,
        Option<PgTimestamp>,
        Option<i16>,
        Option<String>,
        Option<String>,
        Option<Value>,
        Option<Vec<u8>>,
        Option<String>,
        Timed,
    );
    let Some(row) = (Look { id }).get_result::<Row>(conn).await.optional()? else { return Ok(None) };
    let (is_taken, started, finished, status, error_class, error, response_headers, response_body, deliverer, timed) =
        row;
    let (dns_us, connect_us, tls_us, first_byte_us) = timed;
    Ok(Some(match (started, finished) {
        (Some(started), Some(finished)) => Progress::Finished(Box::new(Attempt {
            number: 1,
            outcome: if error_class.is_none() { "delivered" } else { "failed" }.to_owned(),
            started_at: from_postgres(started),
            finished_at: from_postgres(finished),
            status,
            error_class,
            error,
            response_headers,
            response_body,
            deliverer: deliverer.unwrap_or_default(),
            dns_us,
            connect_us,
            tls_us,
            first_byte_us,
        })),
        _ if is_taken => Progress::Taken,
        _ => Progress::Waiting,
    }))
}

statement! {
    struct Withdraw { id: i64 => BigInt }
    row (BigInt,)
    "DELETE FROM posthaste.test_deliveries WHERE id = {id} AND taken_at IS NULL RETURNING id"
}

/// Takes a test back that no deliverer has taken. False: one has.
///
/// # Errors
/// As any statement.
pub async fn withdraw(conn: &mut AsyncPgConnection, id: i64) -> Result<bool, StoreError> {
    let withdrawn: Vec<(i64,)> = Withdraw { id }.load(conn).await?;
    Ok(!withdrawn.is_empty())
}
