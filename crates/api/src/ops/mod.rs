//! What can be done, whoever asks and however: REST and GraphQL call these functions and no others, so that the same rules
//! hold for both.
//!
//! Each takes the caller and asks first what the caller may do. A grant's filter narrows what is found, holds for every row
//! that is changed or deleted, and holds for what a row becomes. What a caller may not see does not exist for it: it is not
//! found, and no filter or order by a field that the caller cannot read tells anything about it.

pub mod crons;
pub mod jobs;
pub mod messages;
pub mod queues;
mod resource;
pub mod secrets;
pub mod testing;
pub mod topics;

use std::borrow::Cow;
use std::collections::BTreeMap;

use posthaste_core::entity::Field;
use posthaste_core::filter::{Filter, Value};
use posthaste_core::listing::Listing;
use posthaste_store::listing::Large;
use serde_json::value::RawValue;

use crate::app::App;
use crate::auth::{Caller, Grant, Operation};
use crate::error::ApiError;
use crate::memory::Answer;
use crate::wire::fields::Fields;

pub use crons::Crons;
pub use messages::Messages;
pub use queues::Queues;
pub use resource::{Beside, Deletion, Resource, Stored};

/// Rows that one request may change or delete by a filter; all or none.
pub const LARGEST_CHANGE: i64 = 1_000;

/// The rows of a list, which become a part of `answer`. `fields` are those that will be shown.
///
/// # Errors
/// What the caller may not do; as any reading statement; as [`Answer::add`].
pub async fn find<R: Resource>(
    app: &App,
    caller: &Caller,
    listing: Listing<R::Field>,
    fields: &[R::Field],
    answer: &Answer,
) -> Result<Vec<R::Row>, ApiError> {
    let rows = R::find(app, permitted(caller, listing, fields)?).await?;
    answer.add(rows.iter().map(Large::size).sum())?;
    Ok(rows)
}

/// As [`find`], but for each of `parents` the list of the rows whose `by` is its id: all lists by one statement, one parent
/// after the other.
///
/// # Errors
/// As [`find`].
pub async fn find_each<R: Resource>(
    app: &App,
    caller: &Caller,
    by: R::Field,
    parents: Vec<i64>,
    listing: Listing<R::Field>,
    fields: &[R::Field],
    answer: &Answer,
) -> Result<Vec<R::Row>, ApiError> {
    let fields: Vec<R::Field> = fields.iter().copied().chain([by]).collect();
    let rows = R::find_each(app, by, parents, permitted(caller, listing, &fields)?).await?;
    answer.add(rows.iter().map(Large::size).sum())?;
    Ok(rows)
}

/// What of a list the caller may see, of whose rows `fields` will be shown.
///
/// # Errors
/// What the caller may not do.
fn permitted<F: Field>(caller: &Caller, mut listing: Listing<F>, fields: &[F]) -> Result<Listing<F>, ApiError> {
    let grant = caller.grant::<F>(Operation::Find)?;
    grant.check_fields(fields.iter().copied())?;
    grant.check_fields(listing.filter.fields())?;
    grant.check_fields(listing.order.iter().map(|order| order.field))?;
    listing.filter = listing.filter.intersect(grant.filter);
    listing.bodies = fields.iter().any(|field| field.is_body());
    Ok(listing)
}

/// How many rows a filter lets through.
///
/// # Errors
/// As [`find`].
pub async fn count<R: Resource>(app: &App, caller: &Caller, filter: Filter<R::Field>) -> Result<i64, ApiError> {
    let grant = caller.grant::<R::Field>(Operation::Find)?;
    grant.check_fields(filter.fields())?;
    R::count(app, filter.intersect(grant.filter)).await
}

/// A row by its id; `None` where there is none, or none that the caller may see.
///
/// # Errors
/// As [`find`].
pub async fn get<R: Resource>(
    app: &App,
    caller: &Caller,
    id: i64,
    fields: &[R::Field],
    answer: &Answer,
) -> Result<Option<R::Row>, ApiError> {
    let listing = Listing::first(1, Filter::equal(R::ID, Value::Number(id)));
    Ok(find::<R>(app, caller, listing, fields, answer).await?.pop())
}

/// Whether there is a row of this id that the caller may see, with these fields.
///
/// # Errors
/// As [`find`].
pub async fn is_there<R: Resource>(app: &App, caller: &Caller, id: i64, fields: &[R::Field]) -> Result<bool, ApiError> {
    let listing = Listing::first(1, Filter::equal(R::ID, Value::Number(id)));
    let listing = Listing { bodies: false, ..permitted(caller, listing, fields)? };
    Ok(!R::find(app, listing).await?.is_empty())
}

/// Creates a row of what a JSON object describes.
///
/// # Errors
/// What the caller may not do, what is wrong with the object, what cannot be stored.
pub async fn create<R: Resource>(
    app: &App,
    caller: &Caller,
    json: &str,
    beside: &Beside,
) -> Result<Stored<R::Row>, ApiError> {
    let grant = caller.grant(Operation::Save)?;
    let mut new = read_new::<R>(app, &grant, json)?;
    R::set_beside(&mut new, beside)?;
    R::check_new(app, &grant, &new).await?;
    let stored = R::create(app, new).await?;
    app.audit(caller, R::Field::ENTITY, "create", &[R::id(&stored.row)], None).await;
    Ok(stored)
}

/// Creates several rows, all or none, in their order.
///
/// # Errors
/// As [`create`].
pub async fn create_all<R: Resource>(
    app: &App,
    caller: &Caller,
    objects: &[String],
    beside: &Beside,
) -> Result<Vec<R::Row>, ApiError> {
    let grant = caller.grant(Operation::Save)?;
    let mut new = Vec::with_capacity(objects.len());
    for json in objects {
        let mut one = read_new::<R>(app, &grant, json)?;
        R::set_beside(&mut one, beside)?;
        R::check_new(app, &grant, &one).await?;
        new.push(one);
    }
    let rows = R::create_all(app, new).await?;
    app.audit(caller, R::Field::ENTITY, "create", &ids_in::<R>(&rows), None).await;
    Ok(rows)
}

/// Reads a row to be created, and makes sure that it is within the grant.
///
/// # Errors
/// What is wrong with it, or is not allowed.
pub fn read_new<R: Resource>(app: &App, grant: &Grant<R::Field>, json: &str) -> Result<R::New, ApiError> {
    let json = with_defaults(json, &grant.defaults)?;
    let fields = Fields::parse(&json)?;
    grant.check_fields(given::<R>(&fields))?;
    let new = R::read_new(app, fields)?;
    if grant.filter.matches(|field| R::new_value(&new, field)) { Ok(new) } else { Err(ApiError::Forbidden) }
}

/// Changes a row as a JSON object says; `None` where there is none, or none that the caller may change. With `whole`, what
/// the entity cannot do without must be in the object.
///
/// # Errors
/// As [`create`].
pub async fn update<R: Resource>(
    app: &App,
    caller: &Caller,
    id: i64,
    json: &str,
    whole: bool,
) -> Result<Option<R::Row>, ApiError> {
    let grant = caller.grant::<R::Field>(Operation::Save)?;
    let filter = Filter::equal(R::ID, Value::Number(id));
    Ok(change::<R>(app, caller, grant, filter, json, whole).await?.pop())
}

/// Changes every row that a filter lets through and the caller may change, all or none.
///
/// # Errors
/// As [`create`]; [`ApiError::TooManyRows`].
pub async fn update_all<R: Resource>(
    app: &App,
    caller: &Caller,
    filter: Filter<R::Field>,
    json: &str,
) -> Result<Vec<R::Row>, ApiError> {
    let grant = caller.grant::<R::Field>(Operation::UpdateMany)?;
    check_filter(caller, &grant, &filter)?;
    change::<R>(app, caller, grant, filter, json, true).await
}

async fn change<R: Resource>(
    app: &App,
    caller: &Caller,
    grant: Grant<R::Field>,
    filter: Filter<R::Field>,
    json: &str,
    whole: bool,
) -> Result<Vec<R::Row>, ApiError> {
    let json = with_defaults(json, &grant.defaults)?;
    let fields = Fields::parse(&json)?;
    grant.check_fields(given::<R>(&fields))?;
    let names: Vec<String> = fields.names().map(str::to_owned).collect();
    let patch = R::read_patch(fields, whole)?;
    R::check_patch(app, &grant, &patch).await?;
    let ids = ids_of::<R>(app, filter.intersect(grant.filter.clone())).await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = R::change(app, ids, patch, grant.filter).await?;
    app.audit(caller, R::Field::ENTITY, "update", &ids_in::<R>(&rows), Some(names)).await;
    Ok(rows)
}

/// Deletes a row; `None` where there is none, or none that the caller may delete.
///
/// # Errors
/// What the caller may not do; [`ApiError::InUse`].
pub async fn delete<R: Resource>(
    app: &App,
    caller: &Caller,
    id: i64,
    deletion: Deletion,
) -> Result<Option<R::Row>, ApiError> {
    let grant = caller.grant::<R::Field>(Operation::Delete)?;
    let filter = Filter::equal(R::ID, Value::Number(id));
    Ok(remove::<R>(app, caller, grant, filter, deletion).await?.pop())
}

/// Deletes every row that a filter lets through and the caller may delete, all or none.
///
/// # Errors
/// As [`delete`]; [`ApiError::TooManyRows`].
pub async fn delete_all<R: Resource>(
    app: &App,
    caller: &Caller,
    filter: Filter<R::Field>,
    deletion: Deletion,
) -> Result<Vec<R::Row>, ApiError> {
    let grant = caller.grant::<R::Field>(Operation::Delete)?;
    check_filter(caller, &grant, &filter)?;
    remove::<R>(app, caller, grant, filter, deletion).await
}

async fn remove<R: Resource>(
    app: &App,
    caller: &Caller,
    grant: Grant<R::Field>,
    filter: Filter<R::Field>,
    deletion: Deletion,
) -> Result<Vec<R::Row>, ApiError> {
    let ids = ids_of::<R>(app, filter.intersect(grant.filter)).await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = R::delete(app, ids, deletion).await?;
    app.audit(caller, R::Field::ENTITY, "delete", &ids_in::<R>(&rows), None).await;
    Ok(rows)
}

/// A filter must not tell about fields that its sender may not read.
fn check_filter<F: Field>(caller: &Caller, grant: &Grant<F>, filter: &Filter<F>) -> Result<(), ApiError> {
    grant.check_fields(filter.fields())?;
    match caller.grant::<F>(Operation::Find) {
        Ok(find) => find.check_fields(filter.fields()),
        // Who may not find anything may still name rows by id.
        Err(_) if filter.fields().all(|field| field.name() == "id") => Ok(()),
        Err(error) => Err(error),
    }
}

async fn ids_of<R: Resource>(app: &App, filter: Filter<R::Field>) -> Result<Vec<i64>, ApiError> {
    let rows = R::find(app, Listing { bodies: false, ..Listing::first(LARGEST_CHANGE + 1, filter) }).await?;
    if i64::try_from(rows.len()).unwrap_or(i64::MAX) > LARGEST_CHANGE {
        return Err(ApiError::TooManyRows { limit: LARGEST_CHANGE });
    }
    Ok(ids_in::<R>(&rows))
}

fn ids_in<R: Resource>(rows: &[R::Row]) -> Vec<i64> {
    rows.iter().map(R::id).collect()
}

/// The fields that a request sets. Those that are never looked at are none of them.
fn given<R: Resource>(fields: &Fields<'_>) -> Vec<R::Field> {
    let looked_at = fields.names().filter(|name| !matches!(*name, "createdAt" | "updatedAt"));
    looked_at.filter_map(R::field_of).collect()
}

/// The object with a grant's defaults in the place of what it says.
fn with_defaults<'a, F: Field>(json: &'a str, defaults: &BTreeMap<F, Value>) -> Result<Cow<'a, str>, ApiError> {
    if defaults.is_empty() {
        return Ok(Cow::Borrowed(json));
    }
    // Tells what is wrong with it in the usual words.
    Fields::parse(json)?;
    let mut object: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json).map_err(|_| ApiError::InvalidJson)?;
    for (field, value) in defaults {
        let value = match value {
            Value::Number(number) => serde_json::value::to_raw_value(number),
            Value::Text(text) => serde_json::value::to_raw_value(text),
            Value::Boolean(boolean) => serde_json::value::to_raw_value(boolean),
            Value::Time(at) => serde_json::value::to_raw_value(&at.to_string()),
        };
        object.insert(field.name().to_owned(), value.map_err(|_| ApiError::Internal)?);
    }
    serde_json::to_string(&object).map(Cow::Owned).map_err(|_| ApiError::Internal)
}
