//! Lists and counts of messages.

use diesel_async::AsyncPgConnection;
use posthaste_core::entity::MessageField;
use posthaste_core::filter::{Filter, Value};
use posthaste_core::listing::Listing;

use super::{Message, Row, SqlRow, columns, progress};
use crate::error::StoreError;
use crate::listing::{self, Branch, Expression, Listed, Logic, Sql};

impl Listed for MessageField {
    const ID: MessageField = MessageField::Id;
}

/// Reads a list of messages.
///
/// # Errors
/// As any statement; [`StoreError::TooExpensive`].
pub async fn find(conn: &mut AsyncPgConnection, listing: &Listing<MessageField>) -> Result<Vec<Message>, StoreError> {
    let order = listing.order.iter().map(|order| order.field);
    let page = listing::page(listing, &branches(listing.filter.fields().chain(order)))?;
    let rows: Vec<Row> = listing::load::<SqlRow, _>(conn, page, rows).await?;
    Ok(rows.into_iter().map(Message::from).collect())
}

/// Of each row of `parents` the list of those whose field `by` is its id, each row with its parent's id.
///
/// # Errors
/// As [`find`].
pub async fn find_each(
    conn: &mut AsyncPgConnection,
    by: MessageField,
    parents: &[i64],
    listing: &Listing<MessageField>,
) -> Result<Vec<(i64, Message)>, StoreError> {
    let order = listing.order.iter().map(|order| order.field);
    let branches = listing::of_parents(branches(listing.filter.fields().chain(order).chain([by])), by);
    let pairs = listing::pairs(conn, listing::page(listing, &branches)?, parents).await?;
    let rows = find(conn, &listing::these(&pairs)).await?;
    Ok(listing::paired(pairs, rows, |row| row.id.0))
}

/// Counts messages.
///
/// # Errors
/// As any statement; [`StoreError::TooExpensive`].
pub async fn count(conn: &mut AsyncPgConnection, filter: &Filter<MessageField>) -> Result<i64, StoreError> {
    listing::count(conn, listing::number(filter, &branches(filter.fields()))).await
}

fn rows(page: Sql) -> Sql {
    Sql::new(columns!()).text("FROM (").sql(page).text(concat!(
        ") AS page
         CROSS JOIN LATERAL (SELECT m.* FROM posthaste.messages m WHERE m.id = page.id OFFSET 0) AS m ",
        progress!()
    ))
}

/// Where the rows are to be looked for that these fields are asked of.
fn branches(asked: impl Iterator<Item = MessageField>) -> Vec<Branch<MessageField>> {
    if asked.into_iter().all(of_request) {
        vec![Branch { from: "posthaste.messages m", fields: Box::new(field), rows: Logic::Always }]
    } else {
        vec![Branch {
            from: concat!("posthaste.messages m ", progress!()),
            fields: Box::new(field),
            rows: Logic::Always,
        }]
    }
}

/// Whether a field is what was asked, and not how far it has come.
fn of_request(field: MessageField) -> bool {
    match field {
        MessageField::Id
        | MessageField::QueueId
        | MessageField::Body
        | MessageField::Headers
        | MessageField::CronId
        | MessageField::CreatedAt
        | MessageField::UpdatedAt
        | MessageField::ExpiresAt
        | MessageField::BodyBase64 => true,
        MessageField::When
        | MessageField::Failed
        | MessageField::SentAt
        | MessageField::Retries
        | MessageField::Status => false,
    }
}

/// A field of any message, from `m`, its pending row `p` and its final attempt `f`.
fn field(field: MessageField) -> Expression {
    let column = |text| Expression::Column { text, nullable: false };
    let nullable = |text| Expression::Column { text, nullable: true };
    match field {
        MessageField::Id => column("m.id"),
        MessageField::QueueId => column("m.queue_id"),
        MessageField::When => column("coalesce(p.due_at, m.scheduled_at)"),
        MessageField::Body => nullable("m.body"),
        MessageField::Failed => column("(p.attempt IS NULL AND coalesce(f.outcome IN ('failed', 'expired'), false))"),
        MessageField::SentAt => {
            nullable("(CASE WHEN p.attempt IS NULL AND f.outcome IN ('delivered', 'failed') THEN f.finished_at END)")
        }
        MessageField::Retries => column("coalesce(p.attempt, f.number - 1, 0)"),
        MessageField::CronId => nullable("m.cron_id"),
        MessageField::CreatedAt => column("m.created_at"),
        MessageField::UpdatedAt => column("m.updated_at"),
        MessageField::Status => {
            column("(CASE WHEN p.attempt IS NOT NULL THEN 'pending' ELSE coalesce(f.outcome, 'unknown') END)")
        }
        MessageField::ExpiresAt => nullable("m.expires_at"),
        // Not compared by, see `Field::is_comparable`.
        MessageField::Headers | MessageField::BodyBase64 => {
            Expression::Constant { value: None::<Value>, text: "NULL::text" }
        }
    }
}
