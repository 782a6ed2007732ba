//! Lists and counts of crons.

use diesel::sql_types::{BigInt, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::AsyncPgConnection;
use posthaste_core::entity::CronField;
use posthaste_core::filter::Filter;
use posthaste_core::listing::Listing;

use super::{Cron, Row};
use crate::error::StoreError;
use crate::listing::{self, Branch, Expression, Listed, Logic, Sql};

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
    let rows: Vec<Row> = listing::load::<SqlRow, _>(conn, page, rows).await?;
    Ok(rows.into_iter().map(Cron::from).collect())
}

/// Of each row of `parents` the list of those whose field `by` is its id, each row with its parent's id.
///
/// # Errors
/// As [`find`].
pub async fn find_each(
    conn: &mut AsyncPgConnection,
    by: CronField,
    parents: &[i64],
    listing: &Listing<CronField>,
) -> Result<Vec<(i64, Cron)>, StoreError> {
    let branches = listing::of_parents(vec![branch(Logic::Always)], by);
    let pairs = listing::pairs(conn, listing::page(listing, &branches)?, parents).await?;
    let rows = find(conn, &listing::these(&pairs)).await?;
    Ok(listing::paired(pairs, rows, |row| row.id.0))
}

/// Counts crons.
///
/// # Errors
/// As any statement; [`StoreError::TooExpensive`].
pub async fn count(conn: &mut AsyncPgConnection, filter: &Filter<CronField>) -> Result<i64, StoreError> {
    listing::count(conn, listing::number(filter, &[branch(Logic::Always)])).await
}

fn rows(page: Sql) -> Sql {
    Sql::new("SELECT c.id, c.queue_id, c.schedule, c.body, c.headers, c.created_at, c.updated_at FROM (")
        .sql(page)
        .text(") AS page JOIN posthaste.crons c ON c.id = page.id")
}

fn branch(rows: Logic) -> Branch<CronField> {
    Branch { from: "posthaste.crons c", fields: Box::new(field), rows }
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
