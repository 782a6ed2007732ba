//! Changes that depend on what is there: rows are locked, the caller decides with them in its hands, and what it decides
//! is written by the same transaction.
//!
//! Promise: all rows of a change are written, or none. A caller that refuses one row calls the whole change off.

use crate::error::StoreError;

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed<T, E> {
    Done(T),
    /// The caller called it off; nothing has changed.
    Refused(E),
    /// A queue that it names does not exist; nothing has changed.
    UnknownQueue,
}

/// Why a transaction is rolled back.
pub(crate) enum Undone<E> {
    Refused(E),
    UnknownQueue,
    Store(StoreError),
}

impl<E> From<diesel::result::Error> for Undone<E> {
    fn from(error: diesel::result::Error) -> Undone<E> {
        Undone::from(StoreError::from(error))
    }
}

impl<E> From<StoreError> for Undone<E> {
    fn from(error: StoreError) -> Undone<E> {
        match error {
            // Every foreign key of the schema is to a queue.
            StoreError::Constraint { code: "23503", .. } => Undone::UnknownQueue,
            error => Undone::Store(error),
        }
    }
}

/// What a transaction has come to.
pub(crate) fn outcome<T, E>(result: Result<T, Undone<E>>) -> Result<Changed<T, E>, StoreError> {
    match result {
        Ok(done) => Ok(Changed::Done(done)),
        Err(Undone::Refused(error)) => Ok(Changed::Refused(error)),
        Err(Undone::UnknownQueue) => Ok(Changed::UnknownQueue),
        Err(Undone::Store(error)) => Err(error),
    }
}

/// Decides what a row becomes.
pub type Plan<'a, R, E> = &'a (dyn Fn(&R) -> Result<R, E> + Send + Sync);
