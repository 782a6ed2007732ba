//! Changing and creating queues.

use diesel::dsl::now;
use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::QueueId;

use super::{NewQueue, PolicyRow, Queue, Row};
use crate::changing::{Changed, Plan, Undone, outcome};
use crate::error::StoreError;
use crate::schema::queues;

/// Over how many shards the messages of a queue are spread.
const SPREAD: i32 = 8;
/// The same of a queue with a limit: one owner sees them all.
const GATHERED: i32 = 1;

/// Creates queues, all or none, in their order.
///
/// # Errors
/// As any transaction.
pub async fn insert_all(
    conn: &mut AsyncPgConnection,
    new: &[NewQueue],
) -> Result<Changed<Vec<Queue>, std::convert::Infallible>, StoreError> {
    let result = conn.transaction(async |conn| {
        let mut stored = Vec::with_capacity(new.len());
        for queue in new {
            let row: Row = diesel::insert_into(queues::table)
                .values((
                    queues::name.eq(&queue.name),
                    queues::callback_url.eq(&queue.callback_url),
                    queues::method.eq(&queue.method),
                    queues::headers.eq(&queue.headers),
                    queues::dead_letter_queue_id.eq(queue.dead_letter_queue_id.map(|id| id.0)),
                    queues::event_queue_id.eq(queue.event_queue_id.map(|id| id.0)),
                    queues::max_retries.eq(queue.max_retries),
                    PolicyRow::from(&queue.policy),
                    queues::spread.eq(if queue.policy.is_limited() { GATHERED } else { SPREAD }),
                ))
                .returning(Row::as_returning())
                .get_result(conn)
                .await
                .map_err(own_dead_letter_queue)?;
            stored.push(row.into());
        }
        Ok(stored)
    });
    outcome(result.await)
}

/// Changes the settings of queues, all or none, and answers them as they are now. Ids that do not exist are passed over.
///
/// # Errors
/// As any transaction.
pub async fn change<E: Send>(
    conn: &mut AsyncPgConnection,
    ids: &[QueueId],
    plan: Plan<'_, Queue, E>,
) -> Result<Changed<Vec<Queue>, E>, StoreError> {
    let result = conn.transaction(async |conn| {
        let rows: Vec<Row> = queues::table
            .filter(queues::id.eq_any(ids.iter().map(|id| id.0)))
            .order(queues::id)
            .select(Row::as_select())
            .for_no_key_update()
            .load(conn)
            .await?;
        let mut changed = Vec::with_capacity(rows.len());
        for queue in rows.into_iter().map(Queue::from) {
            let planned = plan(&queue).map_err(Undone::Refused)?;
            let (was_limited, is_limited) = (queue.policy.is_limited(), planned.policy.is_limited());
            // A spread that an operator has chosen stays.
            let gathers =
                (is_limited && !was_limited).then_some((queues::spread.eq(GATHERED), queues::gathered_at.eq(now)));
            let spreads = (was_limited && !is_limited).then_some(queues::spread.eq(SPREAD));
            let row: Row = diesel::update(queues::table.find(queue.id.0))
                .set((
                    queues::name.eq(&planned.name),
                    queues::callback_url.eq(&planned.callback_url),
                    queues::method.eq(&planned.method),
                    queues::headers.eq(&planned.headers),
                    queues::dead_letter_queue_id.eq(planned.dead_letter_queue_id.map(|id| id.0)),
                    queues::event_queue_id.eq(planned.event_queue_id.map(|id| id.0)),
                    queues::max_retries.eq(planned.max_retries),
                    queues::updated_at.eq(now),
                    PolicyRow::from(&planned.policy),
                    gathers,
                    spreads,
                ))
                .returning(Row::as_returning())
                .get_result(conn)
                .await?;
            changed.push(row.into());
        }
        Ok(changed)
    });
    outcome(result.await)
}

/// A new queue that names its own id: the id was free until this very insert took it.
fn own_dead_letter_queue<E>(error: diesel::result::Error) -> Undone<E> {
    match StoreError::from(error) {
        StoreError::Constraint { name, .. } if name == "queues_not_own_dead_letter_queue" => Undone::UnknownQueue,
        error => Undone::from(error),
    }
}
