//! Lists and counts of messages.
//!
//! How far a message has come is not stored with it, so a condition on `status`, `failed`, `sentAt`, `retries` or `when`
//! has no column to go by. But it names the table in which such messages are found: what is pending has a row in `pending`,
//! what has ended a final attempt. So a list is put together of *branches*, one per way in which a message can stand;
//! in each, these fields are columns or constants, most branches turn out to be empty before anything is read, and those
//! that remain are read along an index of their own table. See [`branches()`].
//!
//! A message of status `unknown` has neither; Posthaste itself leaves none behind. Nothing but a walk through all
//! messages finds them, so they are found by what they are themselves, by `failed` and `retries`, and by `status = unknown`,
//! but not by any other condition on `status` or `sentAt`, nor listed in an order by `sentAt`.
//!
//! Bodies that are not text are null to conditions on `body`, though their answers show what text can.

mod branches;
mod fields;

use diesel::sql_types::BigInt;
use diesel_async::AsyncPgConnection;
use posthaste_core::entity::MessageField;
use posthaste_core::filter::Filter;
use posthaste_core::ids::{CronId, MessageId, QueueId};
use posthaste_core::listing::Listing;

use super::{Body, Message, Row, SqlRow, columns, final_attempt, pending_row};
use crate::error::StoreError;
use crate::listing::{self, Large, Listed, Relation, Sql, size_of};
use branches::{Question, branches};

impl Listed for MessageField {
    const ID: MessageField = MessageField::Id;
}

/// Reads a list of messages.
///
/// # Errors
/// As any statement; [`StoreError::TooExpensive`]; [`StoreError::TooLarge`].
pub async fn find(conn: &mut AsyncPgConnection, listing: &Listing<MessageField>) -> Result<Vec<Message>, StoreError> {
    let page = listing::page(listing, &branches(&Question::list(listing, None)))?;
    read(conn, listing, page, None).await
}

/// Reads the ids of a list of messages.
///
/// # Errors
/// As any statement; [`StoreError::TooExpensive`].
pub async fn ids(conn: &mut AsyncPgConnection, listing: &Listing<MessageField>) -> Result<Vec<MessageId>, StoreError> {
    let page = listing::page(listing, &branches(&Question::list(listing, None)))?;
    let rows: Vec<(i64,)> =
        listing::load::<(BigInt,), (i64,), _>(conn, page, None, |page| Sql::new("SELECT page.id FROM ").sql(page))
            .await?;
    Ok(rows.into_iter().map(|(id,)| MessageId(id)).collect())
}

/// Counts messages.
///
/// # Errors
/// As any statement; [`StoreError::TooExpensive`].
pub async fn count(conn: &mut AsyncPgConnection, filter: &Filter<MessageField>) -> Result<i64, StoreError> {
    listing::count(conn, listing::number(filter, &branches(&Question::count(filter)))).await
}

/// Reads the same list of the messages of each queue, one queue after the other.
///
/// # Errors
/// As any statement; [`StoreError::TooExpensive`]; [`StoreError::TooLarge`].
pub async fn of_queues(
    conn: &mut AsyncPgConnection,
    queues: &[QueueId],
    listing: &Listing<MessageField>,
) -> Result<Vec<Message>, StoreError> {
    let page = listing::page(listing, &branches(&Question::list(listing, Some(MessageField::QueueId))))?;
    read(conn, listing, page, Some(Relation::of(queues.iter().map(|id| id.0)))).await
}

/// Reads the same list of the messages of each cron, one cron after the other.
///
/// # Errors
/// As any statement; [`StoreError::TooExpensive`]; [`StoreError::TooLarge`].
pub async fn of_crons(
    conn: &mut AsyncPgConnection,
    crons: &[CronId],
    listing: &Listing<MessageField>,
) -> Result<Vec<Message>, StoreError> {
    let page = listing::page(listing, &branches(&Question::list(listing, Some(MessageField::CronId))))?;
    read(conn, listing, page, Some(Relation::of(crons.iter().map(|id| id.0)))).await
}

async fn read(
    conn: &mut AsyncPgConnection,
    listing: &Listing<MessageField>,
    page: Option<listing::Page>,
    relation: Option<Relation>,
) -> Result<Vec<Message>, StoreError> {
    let columns = if listing.bodies { columns!() } else { columns!("NULL::text, NULL::bytea") };
    listing::load::<SqlRow, Row, Message>(conn, page, relation, |page| {
        Sql::new(columns).text("FROM ").sql(page).text(concat!(
            " CROSS JOIN LATERAL (SELECT m.* FROM posthaste.messages m WHERE m.id = page.id OFFSET 0) AS m ",
            pending_row!(),
            final_attempt!()
        ))
    })
    .await
}

impl Large for Message {
    fn size(&self) -> usize {
        self.body.as_ref().map_or(0, Body::len) + size_of(self.headers.as_ref())
    }
}
