//! What can be changed.

use async_graphql::dynamic::{Field, FieldValue, InputValue, Object, TypeRef};
use posthaste_core::entity::{Entity, Field as _};

use super::arguments::{filter, items, where_argument};
use super::entities::Shown;
use super::execution::{Asking, answer, refused};
use super::input::Input;
use super::node::{Node, readable};
use super::{joined, type_name};
use crate::error::ApiError;
use crate::ops::{self, Deletion};

/// Adds an entity's mutations.
pub fn add<R: Shown>(mutation: Object) -> Object {
    let entity = R::Field::ENTITY;
    mutation
        .field(save::<R>(&joined("save", entity.name())))
        .field(insert::<R>(&joined("insert", entity.plural())))
        .field(delete::<R>(&joined("delete", entity.plural())))
}

fn input_type<R: Shown>() -> String {
    format!("{}Input", type_name::<R>())
}

/// With an id a change of what is given, without one a new row.
fn save<R: Shown>(name: &str) -> Field {
    Field::new(name, TypeRef::named(type_name::<R>()), |context| {
        answer(context.ctx, async move {
            let asking = Asking::of(&context)?;
            let (app, caller) = (&asking.app, &asking.caller);
            // Who may not save is not told what is wrong with the input.
            caller.grant::<R::Field>(crate::auth::Operation::Save).map_err(refused)?;
            let input = Input::read(context.args.try_get("input")?.as_value()).map_err(refused)?;
            let row = match input.id {
                None => ops::create::<R>(app, caller, &input.json, &asking.beside).await.map_err(refused)?.row,
                Some(id) => {
                    let row = ops::update::<R>(app, caller, id, &input.json, false).await.map_err(refused)?;
                    row.ok_or_else(|| refused(missing::<R>(id)))?
                }
            };
            Ok(Some(Node::<R>::changed(row, &readable::<R>(caller))))
        })
    })
    .argument(InputValue::new("input", TypeRef::named_nn(input_type::<R>())))
}

/// There is no such row, or none that the caller may touch.
pub fn missing<R: Shown>(id: i64) -> ApiError {
    ApiError::NoSuchRow { entity: R::Field::ENTITY, id }
}

/// All or none.
fn insert<R: Shown>(name: &str) -> Field {
    Field::new(name, TypeRef::named_list(type_name::<R>()), |context| {
        answer(context.ctx, async move {
            let asking = Asking::of(&context)?;
            let (app, caller) = (&asking.app, &asking.caller);
            caller.grant::<R::Field>(crate::auth::Operation::Save).map_err(refused)?;
            let inputs = context.args.try_get("inputs")?;
            let objects = items(inputs.as_value()).iter().map(|input| Input::read(input)?.whole());
            let objects: Vec<String> = objects.collect::<Result<_, _>>().map_err(refused)?;
            let rows = ops::create_all::<R>(app, caller, &objects, &asking.beside).await.map_err(refused)?;
            let readable = readable::<R>(caller);
            Ok(Some(FieldValue::list(rows.into_iter().map(|row| Node::<R>::changed(row, &readable)))))
        })
    })
    .argument(InputValue::new("inputs", TypeRef::named_list_nn(input_type::<R>())))
}

/// Without conditions nothing is deleted: a forgotten one would delete everything.
fn delete<R: Shown>(name: &str) -> Field {
    let can_force = R::Field::ENTITY == Entity::Queue;
    let field = Field::new(name, TypeRef::named_list(type_name::<R>()), |context| {
        answer(context.ctx, async move {
            let asking = Asking::of(&context)?;
            let (app, caller) = (&asking.app, &asking.caller);
            caller.grant::<R::Field>(crate::auth::Operation::Delete).map_err(refused)?;
            let filter = filter(&context.args).map_err(refused)?.filter(|filter| !filter.is_empty());
            let filter = filter.ok_or_else(|| refused(ApiError::MissingWhere))?;
            let force = context.args.get("force").is_some_and(|force| force.boolean().unwrap_or(false));
            let deletion = if force { Deletion::Force } else { Deletion::IfUnused };
            let rows = ops::delete_all::<R>(app, caller, filter, deletion).await.map_err(refused)?;
            let readable = readable::<R>(caller);
            Ok(Some(FieldValue::list(rows.into_iter().map(|row| Node::<R>::changed(row, &readable)))))
        })
    })
    .argument(where_argument::<R>());
    if can_force {
        field.argument(
            InputValue::new("force", TypeRef::named(TypeRef::BOOLEAN))
                .description("Also where a queue has crons or pending messages, which end with it."),
        )
    } else {
        field
    }
}
