//! Lists and counts of queues.

use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::AsyncPgConnection;
use posthaste_core::entity::QueueField;
use posthaste_core::filter::Filter;
use posthaste_core::ids::QueueId;
use posthaste_core::listing::Listing;

use super::{Queue, Row};
use crate::error::StoreError;
use crate::listing::{self, Branch, Expression, Large, Listed, Logic, Relation, Sql, size_of};

impl Listed for QueueField {
    const ID: QueueField = QueueField::Id;
}

/// The columns of [`Row`].
type SqlRow = (
    BigInt,
    Text,
    Text,
    Text,
    Nullable<Jsonb>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<Integer>,
    Nullable<Timestamptz>,
    Nullable<Text>,
    Timestamptz,
    Timestamptz,
    PolicySql,
);

/// The columns of [`PolicyRow`](super::PolicyRow).
type PolicySql = (
    Nullable<Text>,
    BigInt,
    Double,
    BigInt,
    Nullable<Array<BigInt>>,
    Double,
    BigInt,
    Nullable<Array<Text>>,
    Nullable<Integer>,
    Nullable<Integer>,
    Bool,
    Nullable<Integer>,
    Nullable<Double>,
    Nullable<Integer>,
    Nullable<Integer>,
);

/// Reads a list of queues.
///
/// # Errors
/// As any statement; [`StoreError::TooExpensive`].
pub async fn find(conn: &mut AsyncPgConnection, listing: &Listing<QueueField>) -> Result<Vec<Queue>, StoreError> {
    let page = listing::page(listing, &[branch(Logic::Always)])?;
    listing::load::<SqlRow, Row, Queue>(conn, page, None, rows).await
}

/// Counts queues.
///
/// # Errors
/// As any statement; [`StoreError::TooExpensive`].
pub async fn count(conn: &mut AsyncPgConnection, filter: &Filter<QueueField>) -> Result<i64, StoreError> {
    listing::count(conn, listing::number(filter, &[branch(Logic::Always)])).await
}

/// Reads the same list of the queues that each of these is the dead letter queue of, one after the other.
///
/// # Errors
/// As any statement; [`StoreError::TooExpensive`].
pub async fn of_dead_letter_queues(
    conn: &mut AsyncPgConnection,
    queues: &[QueueId],
    listing: &Listing<QueueField>,
) -> Result<Vec<Queue>, StoreError> {
    let related = Logic::Sometimes(Sql::new("q.dead_letter_queue_id = parent.id"));
    let page = listing::page(listing, &[branch(related)])?;
    let relation = Relation::of(queues.iter().map(|id| id.0));
    listing::load::<SqlRow, Row, Queue>(conn, page, Some(relation), rows).await
}

fn rows(page: Sql) -> Sql {
    Sql::new(
        "SELECT q.id, q.name, q.callback_url, q.method, q.headers, q.dead_letter_queue_id, q.event_queue_id, q.max_retries,
                q.paused_at,
                q.paused_reason, q.created_at, q.updated_at, q.retry_kind, q.retry_initial_ms, q.retry_multiplier, q.retry_max_ms,
                q.retry_schedule_ms, q.retry_jitter, q.max_age_seconds, q.final_statuses, q.connect_timeout_ms, q.timeout_ms,
                q.dead_letter_expired, q.max_concurrency, q.rate_per_second, q.rate_burst, q.max_backlog FROM ",
    )
    .sql(page)
    .text(" JOIN posthaste.queues q ON q.id = page.id")
}

impl Large for Queue {
    fn size(&self) -> usize {
        size_of(self.headers.as_ref())
    }
}

fn branch(rows: Logic) -> Branch<QueueField> {
    Branch { from: Sql::new("posthaste.queues q"), fields: Box::new(field), rows, ends_with_earlier: false }
}

fn field(field: QueueField) -> Expression {
    let column = |text| Expression::Column { text, nullable: false };
    let nullable = |text| Expression::Column { text, nullable: true };
    match field {
        QueueField::Id => column("q.id"),
        QueueField::Name => column("q.name"),
        QueueField::CallbackUrl => column("q.callback_url"),
        QueueField::Method => column("q.method"),
        QueueField::Headers => nullable("q.headers"),
        QueueField::DeadLetterQueueId => nullable("q.dead_letter_queue_id"),
        QueueField::MaxRetries => nullable("q.max_retries"),
        QueueField::CreatedAt => column("q.created_at"),
        QueueField::UpdatedAt => column("q.updated_at"),
        QueueField::PausedAt => nullable("q.paused_at"),
        QueueField::PausedReason => nullable("q.paused_reason"),
        QueueField::MaxAgeSeconds => column("q.max_age_seconds"),
        QueueField::ConnectTimeoutMs => nullable("q.connect_timeout_ms"),
        QueueField::TimeoutMs => nullable("q.timeout_ms"),
        QueueField::DeadLetterExpired => column("q.dead_letter_expired"),
        QueueField::MaxConcurrency => nullable("q.max_concurrency"),
        QueueField::EventQueueId => nullable("q.event_queue_id"),
        QueueField::MaxBacklog => nullable("q.max_backlog"),
        // Not compared by, see `Field::is_comparable`.
        QueueField::RetryPolicy => nullable("q.retry_kind"),
        QueueField::FinalStatuses => nullable("q.final_statuses"),
        QueueField::RateLimit => nullable("q.rate_per_second"),
    }
}
