//! Lists and counts of crons.

use diesel::sql_types::{BigInt, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::AsyncPgConnection;
use posthaste_core::entity::CronField;
use posthaste_core::filter::Filter;
use posthaste_core::ids::QueueId;
use posthaste_core::listing::Listing;

use super::{Cron, Row};
use crate::error::StoreError;
use crate::listing::{self, Branch, Expression, Listed, Logic, Relation, Sql};

impl Listed for CronField {
    const ID: CronField = CronField::Id;
}

/// The columns of [`Row`].
type SqlRow = (BigInt, BigInt, Text, Nullable<Text>, Nullable<Jsonb>, Timestamptz, Timestamptz);

/// Reads a list of crons.
///
/// # Errors
/// As any statement; [`StoreError::TooExpensive`].
pub async fn find(conn: &mut AsyncPgConnection, listing: &Listing<CronField>) -> Result<Vec<Cron>, StoreError> {
    let page = listing::page(listing, &[branch(Logic::Always)])?;
    let rows: Vec<Row> = listing::load::<SqlRow, _>(conn, page, None, rows).await?;
    Ok(rows.into_iter().map(Cron::from).collect())
}

/// Counts crons.
///
/// # Errors
/// As any statement; [`StoreError::TooExpensive`].
pub async fn count(conn: &mut AsyncPgConnection, filter: &Filter<CronField>) -> Result<i64, StoreError> {
    listing::count(conn, listing::number(filter, &[branch(Logic::Always)])).await
}

/// Reads the same list of the crons of each queue, one queue after the other.
///
/// # Errors
/// As any statement; [`StoreError::TooExpensive`].
pub async fn of_queues(
    conn: &mut AsyncPgConnection,
    queues: &[QueueId],
    listing: &Listing<CronField>,
) -> Result<Vec<Cron>, StoreError> {
    let related = Logic::Sometimes(Sql::new("c.queue_id = parent.id"));
    let page = listing::page(listing, &[branch(related)])?;
    let relation = Relation::of(queues.iter().map(|id| id.0));
    let rows: Vec<Row> = listing::load::<SqlRow, _>(conn, page, Some(relation), rows).await?;
    Ok(rows.into_iter().map(Cron::from).collect())
}

fn rows(page: Sql) -> Sql {
    Sql::new("SELECT c.id, c.queue_id, c.schedule, c.body, c.headers, c.created_at, c.updated_at FROM ")
        .sql(page)
        .text(" JOIN posthaste.crons c ON c.id = page.id")
}

fn branch(rows: Logic) -> Branch<CronField> {
    Branch { from: Sql::new("posthaste.crons c"), fields: Box::new(field), rows, ends_with_earlier: false }
}

fn field(field: CronField) -> Expression {
    let column = |text| Expression::Column { text, nullable: false };
    let nullable = |text| Expression::Column { text, nullable: true };
    match field {
        CronField::Id => column("c.id"),
        CronField::QueueId => column("c.queue_id"),
        CronField::Schedule => column("c.schedule"),
        CronField::CreatedAt => column("c.created_at"),
        CronField::UpdatedAt => column("c.updated_at"),
        CronField::Body => nullable("c.body"),
        CronField::Headers => nullable("c.headers"),
    }
}
