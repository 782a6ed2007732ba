//! What is particular to each entity.

use std::fmt::Debug;
use std::future::Future;

use posthaste_core::entity::Field;
use posthaste_core::filter::{Filter, Value};
use posthaste_core::listing::Listing;
use posthaste_store::listing::Large;

use crate::app::App;
use crate::auth::Grant;
use crate::error::ApiError;
use crate::wire::fields::Fields;
use crate::wire::output::Output;
use crate::wire::trace::Trace;

/// A row that was created.
#[derive(Debug, Clone)]
pub struct Stored<R> {
    pub row: R,
    /// It had been created before by a request with the same idempotency key; this is what that one was answered.
    pub replayed: bool,
}

/// What a request says about a new row outside its body; only messages have such.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// Makes a repetition of the request be answered as the first one was.
    pub idempotency_key: Option<String>,
    /// The trace that the request belongs to.
    pub trace: Option<Trace>,
}

/// Whether what uses a row is deleted with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// A row in use is left alone.
    IfUnused,
    /// What uses it is cancelled or deleted.
    Force,
}

/// An entity, as its operations need it. Nothing here asks what the caller may do: `super` has.
pub trait Resource: Debug + Copy + Send + Sync + 'static {
    type Field: Field;
    type Row: Large + Debug + Clone + Send + Sync + 'static;
    /// A row to be created.
    type New: Send + Sync + 'static;
    /// What a request wants to change.
    type Patch: Send + Sync + 'static;

    /// The field that no two rows share.
    const ID: Self::Field;

    /// What a field of a row holds.
    fn output(row: &Self::Row, field: Self::Field) -> Output<'_>;
    /// A row's id.
    fn id(row: &Self::Row) -> i64;
    /// The field that a name in a request's body sets.
    fn field_of(name: &str) -> Option<Self::Field> {
        Self::Field::from_name(name)
    }

    /// Reads a row to be created.
    ///
    /// # Errors
    /// The first fault.
    fn read_new(app: &App, fields: Fields<'_>) -> Result<Self::New, ApiError>;
    /// Gives a new row what came beside it.
    ///
    /// # Errors
    /// It says something else itself.
    fn set_beside(_: &mut Self::New, _: &Beside) -> Result<(), ApiError> {
        Ok(())
    }
    /// What a field of it will hold, as far as that is known.
    fn new_value(new: &Self::New, field: Self::Field) -> Option<Value>;
    /// Reads a change; with `whole`, what the entity cannot do without must be there.
    ///
    /// # Errors
    /// The first fault.
    fn read_patch(fields: Fields<'_>, whole: bool) -> Result<Self::Patch, ApiError>;

    /// Makes sure that a new row names only rows that its creator may use.
    fn check_new(_: &App, _: &Grant<Self::Field>, _: &Self::New) -> impl Future<Output = Result<(), ApiError>> + Send {
        std::future::ready(Ok(()))
    }
    /// The same for a change.
    fn check_patch(
        _: &App,
        _: &Grant<Self::Field>,
        _: &Self::Patch,
    ) -> impl Future<Output = Result<(), ApiError>> + Send {
        std::future::ready(Ok(()))
    }

    fn find(app: &App, listing: Listing<Self::Field>) -> impl Future<Output = Result<Vec<Self::Row>, ApiError>> + Send;

    /// For each parent the list of the rows whose `by` is its id, one parent after the other.
    fn find_each(
        app: &App,
        by: Self::Field,
        parents: Vec<i64>,
        listing: Listing<Self::Field>,
    ) -> impl Future<Output = Result<Vec<Self::Row>, ApiError>> + Send;

    fn count(app: &App, filter: Filter<Self::Field>) -> impl Future<Output = Result<i64, ApiError>> + Send;

    fn create(app: &App, new: Self::New) -> impl Future<Output = Result<Stored<Self::Row>, ApiError>> + Send;

    /// All or none, in their order.
    fn create_all(app: &App, new: Vec<Self::New>) -> impl Future<Output = Result<Vec<Self::Row>, ApiError>> + Send;

    /// Changes the rows with these ids, all or none. What a row becomes must pass `bounds`, and what it was.
    fn change(
        app: &App,
        ids: Vec<i64>,
        patch: Self::Patch,
        bounds: Filter<Self::Field>,
    ) -> impl Future<Output = Result<Vec<Self::Row>, ApiError>> + Send;

    /// Deletes the rows with these ids, all or none, and answers them as they were.
    fn delete(
        app: &App,
        ids: Vec<i64>,
        deletion: Deletion,
    ) -> impl Future<Output = Result<Vec<Self::Row>, ApiError>> + Send;

    /// Whether a filter lets a row through.
    fn passes(filter: &Filter<Self::Field>, row: &Self::Row) -> bool {
        filter.matches(|field| Self::output(row, field).value())
    }

    /// What a row becomes by `planned`, unless it leaves the bounds or was never in them.
    ///
    /// # Errors
    /// [`ApiError::Forbidden`], and those of `planned`.
    fn within(
        bounds: &Filter<Self::Field>,
        row: &Self::Row,
        planned: impl FnOnce() -> Result<Self::Row, ApiError>,
    ) -> Result<Self::Row, ApiError> {
        if !Self::passes(bounds, row) {
            return Err(ApiError::Forbidden);
        }
        let planned = planned()?;
        if Self::passes(bounds, &planned) { Ok(planned) } else { Err(ApiError::Forbidden) }
    }
}
