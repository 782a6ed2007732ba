//! Lists and counts of crons.

use diesel::sql_types::{BigInt, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::AsyncPgConnection;
use posthaste_core::entity::CronField;
use posthaste_core::filter::Filter;
use posthaste_core::ids::QueueId;
use posthaste_core::listing::Listing;

use super::{Cron, Row};
use crate::error::StoreError;
use crate::listing::{self, Branch, Expression, Large, Listed, Logic, Relation, Sql, size_of};

impl Listed for CronField {
    const ID: CronField = CronField::Id;
}

/// The columns of [`Row`].
type SqlRow = (
    BigInt,
    BigInt,
    Nullable<Text>,
    Text,
    Nullable<BigInt>,
    Nullable<Timestamptz>,
    Nullable<Timestamptz>,
    Nullable<Timestamptz>,
    BigInt,
    Text,
    BigInt,
    Text,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Jsonb>,
    Nullable<Timestamptz>,
    Nullable<Timestamptz>,
    Timestamptz,
    Timestamptz,
);

/// Reads a list of crons.
///
/// # Errors
/// As any statement; [`StoreError::TooExpensive`]; [`StoreError::TooLarge`].
pub async fn find(conn: &mut AsyncPgConnection, listing: &Listing<CronField>) -> Result<Vec<Cron>, StoreError> {
    let page = listing::page(listing, &[branch(Logic::Always)])?;
    listing::load::<SqlRow, Row, Cron>(conn, page, None, |page| rows(listing, page)).await
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
/// As any statement; [`StoreError::TooExpensive`]; [`StoreError::TooLarge`].
pub async fn of_queues(
    conn: &mut AsyncPgConnection,
    queues: &[QueueId],
    listing: &Listing<CronField>,
) -> Result<Vec<Cron>, StoreError> {
    let related = Logic::Sometimes(Sql::new("c.queue_id = parent.id"));
    let page = listing::page(listing, &[branch(related)])?;
    let relation = Relation::of(queues.iter().map(|id| id.0));
    listing::load::<SqlRow, Row, Cron>(conn, page, Some(relation), |page| rows(listing, page)).await
}

fn rows(listing: &Listing<CronField>, page: Sql) -> Sql {
    Sql::new("SELECT c.id, c.queue_id, c.schedule, c.time_zone, c.every_us, c.at, c.start_at, c.end_at, c.jitter_us, c.missed,
                     c.tolerance_us, c.overlap, c.method, ")
        .text(if listing.bodies { "c.body" } else { "NULL::text" })
        .text(", c.headers, c.paused_at, c.next_fire_at, c.created_at, c.updated_at FROM ")
        .sql(page)
        .text(" JOIN posthaste.crons c ON c.id = page.id")
}

impl Large for Cron {
    fn size(&self) -> usize {
        self.settings.body.as_ref().map_or(0, String::len) + size_of(self.settings.headers.as_ref())
    }
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
        CronField::Schedule => nullable("c.schedule"),
        CronField::CreatedAt => column("c.created_at"),
        CronField::UpdatedAt => column("c.updated_at"),
        CronField::Body => nullable("c.body"),
        CronField::Headers => nullable("c.headers"),
        CronField::TimeZone => column("c.time_zone"),
        CronField::At => nullable("c.at"),
        CronField::StartAt => nullable("c.start_at"),
        CronField::EndAt => nullable("c.end_at"),
        CronField::Missed => column("c.missed"),
        CronField::Overlap => column("c.overlap"),
        CronField::Method => nullable("c.method"),
        CronField::Paused => column("(c.paused_at IS NOT NULL)"),
        CronField::PausedAt => nullable("c.paused_at"),
        CronField::NextFireAt => nullable("c.next_fire_at"),
        // Not compared by, see `Field::is_comparable`.
        CronField::Every | CronField::Jitter | CronField::MissedTolerance => nullable("NULL::text"),
    }
}
