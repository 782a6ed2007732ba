//! What can be asked for.

use async_graphql::Value;
use async_graphql::dynamic::{Field, FieldFuture, FieldValue, InputValue, Object, TypeRef};
use posthaste_core::entity::Field as _;

use super::arguments::{filter, list_arguments, listing, where_argument, whole};
use super::children::One;
use super::entities::Shown;
use super::execution::{Asking, answer, refused};
use super::node::{Node, selected};
use super::{joined, type_name};
use crate::error::ApiError;
use crate::ops;

/// Adds an entity's queries.
pub fn add<R: Shown>(query: Object) -> Object {
    let entity = R::Field::ENTITY;
    query
        .field(by_id::<R>(&format!("{}ById", joined("get", entity.name()))))
        .field(list::<R>(entity.plural()))
        .field(count::<R>(&joined("count", entity.plural())))
}

fn by_id<R: Shown>(name: &str) -> Field {
    Field::new(name, TypeRef::named(type_name::<R>()), |context| {
        answer(context.ctx, async move {
            let asking = Asking::to_find::<R>(&context)?;
            let id = id_argument(&context.args).map_err(refused)?;
            let row = asking.rows.load_one(One::<R>::new(id, selected::<R>(&context))).await.map_err(refused)?;
            Ok(row.map(Node::<R>::found))
        })
    })
    .argument(InputValue::new("id", TypeRef::named_nn(TypeRef::ID)))
}

/// The argument `id`.
///
/// # Errors
/// It is none.
pub fn id_argument(arguments: &async_graphql::dynamic::ObjectAccessor<'_>) -> Result<i64, ApiError> {
    named_id(arguments, "id")
}

/// Another id.
///
/// # Errors
/// It is none.
pub fn named_id(arguments: &async_graphql::dynamic::ObjectAccessor<'_>, name: &str) -> Result<i64, ApiError> {
    let id = arguments.get(name).and_then(|id| whole(id.as_value()));
    id.ok_or_else(|| ApiError::Validation(format!("{name} must be integer")))
}

fn list<R: Shown>(name: &str) -> Field {
    let field = Field::new(name, TypeRef::named_list(type_name::<R>()), |context| {
        answer(context.ctx, async move {
            let asking = Asking::to_find::<R>(&context)?;
            let listing = listing(&context.args).map_err(refused)?;
            let fields = selected::<R>(&context);
            let Asking { app, caller, answer, .. } = asking;
            let rows = ops::find::<R>(app, caller, listing, &fields, answer).await.map_err(refused)?;
            Ok(Some(FieldValue::list(rows.into_iter().map(|row| Node::<R>::found(row.into())))))
        })
    });
    list_arguments::<R>().into_iter().fold(field, Field::argument)
}

fn count<R: Shown>(name: &str) -> Field {
    Field::new(name, TypeRef::named(count_type::<R>()), |context| {
        answer(context.ctx, async move {
            let asking = Asking::to_find::<R>(&context)?;
            let filter = filter(&context.args).map_err(refused)?.unwrap_or_default();
            let total = ops::count::<R>(&asking.app, &asking.caller, filter).await.map_err(refused)?;
            Ok(Some(FieldValue::owned_any(total)))
        })
    })
    .argument(where_argument::<R>())
}

fn count_type<R: Shown>() -> String {
    format!("{}Count", R::Field::ENTITY.plural())
}

/// The answer to a count.
pub fn count_object<R: Shown>() -> Object {
    Object::new(count_type::<R>()).field(Field::new("total", TypeRef::named(TypeRef::INT), |context| {
        FieldFuture::from_value(context.parent_value.downcast_ref::<i64>().map(|total| Value::Number((*total).into())))
    }))
}
