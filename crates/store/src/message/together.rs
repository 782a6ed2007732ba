//! Inserting many messages by one commit, over as many statements as they need.

use std::time::Duration;

use diesel_async::{AsyncConnection, AsyncPgConnection};

use super::insertion::{Batch, Verdict, insert};
use super::keyed::take;
use crate::error::StoreError;

/// What becomes of the others where one cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// They are stored.
    FailItem,
    /// Nothing is stored.
    FailAll,
}

/// What became of messages that were to be stored together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Together {
    /// For each message in turn, over all batches. Where nothing was committed, what would have become of it.
    pub verdicts: Vec<Verdict>,
    /// False only after [`OnError::FailAll`], where one was not stored.
    pub committed: bool,
}

/// Stores batches in one transaction, those with keys last: at most one may have keys, as keys are taken in order within
/// a statement only. Keys are kept for `lifetime`.
///
/// A row that the database refuses is found by halving its batch, under savepoints; they are only set when that is needed.
///
/// # Errors
/// As any transaction; then no message is stored, or, after [`StoreError::Unavailable`], perhaps all.
/// [`StoreError::MissingPartition`] asks for `partition::ensure_partitions`.
pub async fn insert_together(
    conn: &mut AsyncPgConnection,
    batches: &[Batch],
    lifetime: Duration,
    on_error: OnError,
) -> Result<Together, StoreError> {
    match attempt(conn, batches, lifetime, on_error, Savepoints::Never).await {
        Err(error) if is_the_rows(&error) => attempt(conn, batches, lifetime, on_error, Savepoints::Always).await,
        ended => ended,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Savepoints {
    Never,
    Always,
}

/// Why a transaction is rolled back.
enum Stop {
    Store(StoreError),
    /// One was not stored, and so nothing may be.
    Undone(Vec<Verdict>),
}

impl From<diesel::result::Error> for Stop {
    fn from(error: diesel::result::Error) -> Stop {
        Stop::Store(error.into())
    }
}

async fn attempt(
    conn: &mut AsyncPgConnection,
    batches: &[Batch],
    lifetime: Duration,
    on_error: OnError,
    savepoints: Savepoints,
) -> Result<Together, StoreError> {
    let ended = conn
        .transaction(async |conn| {
            let mut verdicts = Vec::with_capacity(batches.iter().map(Batch::len).sum());
            for batch in batches {
                let found = match savepoints {
                    Savepoints::Never => store(conn, batch, lifetime).await,
                    Savepoints::Always => halving(conn, batch, lifetime).await,
                };
                verdicts.extend(found.map_err(Stop::Store)?);
            }
            if on_error == OnError::FailAll && !verdicts.iter().all(Verdict::is_stored) {
                return Err(Stop::Undone(verdicts));
            }
            Ok(verdicts)
        })
        .await;
    match ended {
        Ok(verdicts) => Ok(Together { verdicts, committed: true }),
        Err(Stop::Undone(verdicts)) => Ok(Together { verdicts, committed: false }),
        Err(Stop::Store(error)) => Err(error),
    }
}

async fn store(conn: &mut AsyncPgConnection, batch: &Batch, lifetime: Duration) -> Result<Vec<Verdict>, StoreError> {
    if batch.is_keyed() { take(conn, batch, lifetime).await } else { insert(conn, batch).await }
}

/// Stores what can be stored of a batch.
async fn halving(conn: &mut AsyncPgConnection, batch: &Batch, lifetime: Duration) -> Result<Vec<Verdict>, StoreError> {
    let mut verdicts = Vec::with_capacity(batch.len());
    let mut parts = vec![batch.clone()];
    while let Some(mut part) = parts.pop() {
        match conn.transaction(async |conn| store(conn, &part, lifetime).await).await {
            Ok(found) => verdicts.extend(found),
            Err(error) if is_the_rows(&error) && part.len() > 1 => {
                let second = part.split_off(part.len() / 2);
                parts.extend([second, part]);
            }
            Err(error) if is_the_rows(&error) => verdicts.push(Verdict::Refused),
            Err(error) => return Err(error),
        }
    }
    Ok(verdicts)
}

/// Whether a row is to blame, and not the statement or the moment.
fn is_the_rows(error: &StoreError) -> bool {
    match error {
        StoreError::Constraint { .. } | StoreError::Data(_) => true,
        StoreError::Unavailable(_)
        | StoreError::Retryable(_)
        | StoreError::MissingPartition
        | StoreError::TooExpensive
        | StoreError::TooLarge
        | StoreError::NotFound
        | StoreError::Other(_) => false,
    }
}
