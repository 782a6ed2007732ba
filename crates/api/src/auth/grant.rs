//! What a caller may do with an entity.

use std::collections::{BTreeMap, BTreeSet};

use posthaste_core::entity::Field;
use posthaste_core::filter::{Filter, Value};

use crate::error::ApiError;

/// What is done with an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// To see rows, or how many there are.
    Find,
    /// To create a row, or to change one.
    Save,
    /// To change all rows that a filter lets through.
    UpdateMany,
    Delete,
}

/// The bounds within which an operation is allowed.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant<F> {
    /// The rows that may be touched. For an operation that writes it is held against a row as it was *and* as it will
    /// be, or else a caller could move a row to somebody else, or create one there.
    pub filter: Filter<F>,
    /// The fields that may be seen, used in filters and order, or set; `None`: all of them.
    pub fields: Option<BTreeSet<F>>,
    /// What is written whatever the caller sends. The caller's fields are checked before these are put in.
    pub defaults: BTreeMap<F, Value>,
}

impl<F: Field> Grant<F> {
    /// Without bounds.
    #[must_use]
    pub fn everything() -> Grant<F> {
        Grant { filter: Filter::default(), fields: None, defaults: BTreeMap::new() }
    }

    /// Makes sure that each of these fields may be used.
    ///
    /// # Errors
    /// [`ApiError::FieldForbidden`] for the first that may not.
    pub fn check_fields(&self, fields: impl IntoIterator<Item = F>) -> Result<(), ApiError> {
        let Some(allowed) = &self.fields else { return Ok(()) };
        match fields.into_iter().find(|field| !allowed.contains(field)) {
            None => Ok(()),
            Some(field) => Err(ApiError::FieldForbidden(field.column())),
        }
    }
}

#[cfg(test)]
mod tests {
    use posthaste_core::entity::QueueField;

    use super::*;

    #[test]
    fn fields_are_named_as_the_original_does() {
        let all = Grant::<QueueField>::everything();
        assert_eq!(all.check_fields(QueueField::ALL.iter().copied()), Ok(()));
        let some = Grant { fields: Some(BTreeSet::from([QueueField::Id, QueueField::Name])), ..all };
        assert_eq!(some.check_fields([QueueField::Name]), Ok(()));
        let refused = some.check_fields([QueueField::Name, QueueField::CallbackUrl]).unwrap_err();
        assert_eq!(refused.to_string(), "field not allowed: callback_url");
    }
}
