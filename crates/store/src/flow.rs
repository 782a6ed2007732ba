//! What deliverers store and tell of how queues flow: how much of a rate is used, and how it stands with each queue.

use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::gate::breaker::Position;
use posthaste_core::ids::QueueId;
use posthaste_core::time::Timestamp;
use posthaste_core::window::State;

use crate::error::StoreError;
use crate::reading::to_postgres;
use crate::statement::statement;

statement! {
    struct Reserve { queues: Vec<i64> => Array<BigInt>, until: Vec<PgTimestamp> => Array<Timestamptz> }
    row (BigInt,)
    "INSERT INTO posthaste.rate_reservations AS r (queue_id, until)
     SELECT i.queue_id, i.until FROM unnest({queues}, {until}) AS i(queue_id, until) ORDER BY i.queue_id
     ON CONFLICT (queue_id) DO UPDATE SET until = greatest(r.until, excluded.until)
     RETURNING queue_id"
}

/// Stores that the rates of these queues count as used up to those times. Each queue at most once.
///
/// # Errors
/// Any [`StoreError`]; calling again is right.
pub async fn reserve(conn: &mut AsyncPgConnection, used: &[(QueueId, Timestamp)]) -> Result<(), StoreError> {
    let (queues, until) = used.iter().map(|(queue, until)| (queue.0, to_postgres(*until))).unzip();
    Reserve { queues, until }.execute(conn).await?;
    Ok(())
}

statement! {
    /// Reports that nobody renews are deleted by whoever reports next.
    struct Report<'a> {
        instance: i64 => BigInt,
        worker: i32 => Integer,
        deliverer: &'a str => Text,
        queues: Vec<i64> => Array<BigInt>,
        in_flight: Vec<i32> => Array<Integer>,
        windows: Vec<i32> => Array<Integer>,
        allowed: Vec<i32> => Array<Integer>,
        breakers: Vec<&'static str> => Array<Text>,
    }
    row (BigInt,)
    "WITH old AS (
        DELETE FROM posthaste.flow_reports WHERE reported_at < now() - interval '1 minute' AND instance <> {instance}
     )
     INSERT INTO posthaste.flow_reports (instance, worker, deliverer, reported_at, queue_ids, in_flight, windows, allowed, breakers)
     VALUES ({instance}, {worker}, {deliverer}, now(), {queues}, {in_flight}, {windows}, {allowed}, {breakers})
     ON CONFLICT (instance, worker) DO UPDATE
        SET reported_at = excluded.reported_at, queue_ids = excluded.queue_ids, in_flight = excluded.in_flight,
            windows = excluded.windows, allowed = excluded.allowed, breakers = excluded.breakers
     RETURNING instance"
}

/// Says how it stands with the queues of a worker. `instance` tells processes apart.
///
/// # Errors
/// Any [`StoreError`].
pub async fn report(
    conn: &mut AsyncPgConnection,
    (instance, worker): (i64, i32),
    deliverer: &str,
    states: &[State],
) -> Result<(), StoreError> {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let statement = Report {
        instance,
        worker,
        deliverer,
        queues: states.iter().map(|state| state.queue.0).collect(),
        in_flight: states.iter().map(|state| count(state.in_flight)).collect(),
        windows: states.iter().map(|state| count(state.window)).collect(),
        allowed: states.iter().map(|state| count(state.allowed)).collect(),
        breakers: states.iter().map(|state| state.breaker.as_str()).collect(),
    };
    statement.execute(conn).await?;
    Ok(())
}

statement! {
    struct Opened { queues: Vec<i64> => Array<BigInt> }
    row (Nullable<BigInt>,)
    "WITH fresh AS (
        INSERT INTO posthaste.breaker_events AS b (queue_id, at)
        SELECT i.queue_id, now() FROM unnest({queues}) AS i(queue_id) ORDER BY i.queue_id
        ON CONFLICT (queue_id) DO UPDATE SET at = now() WHERE b.at < now() - interval '1 minute'
        RETURNING b.queue_id
     )
     SELECT posthaste.emit_event(f.queue_id, 'breaker.opened', '{}') FROM fresh f"
}

/// Stores an event for each of these queues, whose receivers do not answer; one a minute for each, whoever says so.
///
/// # Errors
/// Any [`StoreError`].
pub async fn breakers_opened(conn: &mut AsyncPgConnection, queues: &[QueueId]) -> Result<(), StoreError> {
    Opened { queues: queues.iter().map(|queue| queue.0).collect() }.execute(conn).await?;
    Ok(())
}

/// How it stands with a queue, or with all, over all deliverers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Requests under way.
    pub in_flight: i64,
    /// How many its receiver seems to take; `None`: nobody has anything of it to deliver, or it is asked about all queues.
    pub window: Option<i64>,
    /// How many may be, by that and its own limit; `None` like that.
    pub allowed: Option<i64>,
    /// Its circuit breaker, the worst of all; `None` like that.
    pub breaker: Option<Position>,
}

statement! {
    /// What is older is of a process that is gone.
    struct StandingOf { queue: Option<i64> => Nullable<BigInt> }
    row (Nullable<BigInt>, Nullable<BigInt>, Nullable<BigInt>, Nullable<Integer>)
    "SELECT sum(s.in_flight), sum(s.allowance), sum(s.allowed),
            max(CASE s.breaker WHEN 'open' THEN 2 WHEN 'half_open' THEN 1 ELSE 0 END)
       FROM posthaste.flow_reports r
      CROSS JOIN LATERAL unnest(r.queue_ids, r.in_flight, r.windows, r.allowed, r.breakers)
            AS s(queue_id, in_flight, allowance, allowed, breaker)
      WHERE r.reported_at > now() - interval '5 s' AND ({queue} IS NULL OR s.queue_id = {queue})"
}

/// How it stood about a second ago with a queue, or with all together.
///
/// # Errors
/// Any [`StoreError`].
pub async fn standing(conn: &mut AsyncPgConnection, queue: Option<QueueId>) -> Result<Standing, StoreError> {
    type Row = (Option<i64>, Option<i64>, Option<i64>, Option<i32>);
    let row: Row = StandingOf { queue: queue.map(|id| id.0) }.get_result(conn).await?;
    let (in_flight, window, allowed, breaker) = row;
    let standing = Standing { in_flight: in_flight.unwrap_or(0), ..Standing::default() };
    if queue.is_none() {
        return Ok(standing);
    }
    let breaker = breaker.map(|breaker| match breaker {
        0 => Position::Closed,
        1 => Position::HalfOpen,
        _ => Position::Open,
    });
    Ok(Standing { window, allowed, breaker, ..standing })
}
