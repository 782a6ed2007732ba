//! Rows as objects of the schema.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_graphql::dynamic::{Field, FieldFuture, FieldValue, Object, ResolverContext, TypeRef};
use posthaste_core::entity::Field as _;

use super::entities::{Shown, visible};
use super::{scalars, type_name};
use crate::auth::{Caller, Operation};
use crate::ops::Resource;

/// A row, as fields of an object are read from it.
#[derive(Debug)]
pub struct Node<R: Resource> {
    pub row: Arc<R::Row>,
    /// What may be read of it; `None`: everything that was asked for.
    readable: Option<Arc<BTreeSet<R::Field>>>,
}

/// What of a row may be read.
pub type Readable<R> = Option<Arc<BTreeSet<<R as Resource>::Field>>>;

impl<R: Resource> Node<R> {
    /// A row of whose fields it is known that they may be read.
    pub fn found(row: Arc<R::Row>) -> FieldValue<'static> {
        FieldValue::owned_any(Node::<R> { row, readable: None })
    }

    /// A row that was changed. As over REST, it shows no field that could not be read otherwise.
    pub fn changed(row: R::Row, readable: &Readable<R>) -> FieldValue<'static> {
        FieldValue::owned_any(Node::<R> { row: Arc::new(row), readable: readable.clone() })
    }

    /// Whether a field of it may be read.
    pub fn may_read(&self, field: R::Field) -> bool {
        self.readable.as_ref().is_none_or(|readable| readable.contains(&field))
    }
}

/// What a caller may read of rows that it has changed.
pub fn readable<R: Resource>(caller: &Caller) -> Readable<R> {
    caller.grant::<R::Field>(Operation::Find).ok().and_then(|grant| grant.fields).map(Arc::new)
}

/// The object type of an entity.
pub fn object<R: Shown>() -> Object {
    let fields = visible::<R>().fold(Object::new(type_name::<R>()), |object, field| {
        object.field(Field::new(field.name(), TypeRef::named(scalars::of(field.kind())), move |context| {
            FieldFuture::Value(
                context
                    .parent_value
                    .downcast_ref::<Node<R>>()
                    .filter(|node| node.may_read(field))
                    .and_then(|node| scalars::value(&R::output(&node.row, field)))
                    .map(FieldValue::value),
            )
        }))
    });
    R::relations(fields)
}

/// The fields of the entity that a query wants to see of the rows of a field.
pub fn selected<R: Shown>(context: &ResolverContext<'_>) -> Vec<R::Field> {
    let field = context.field();
    let names = field.selection_set().map(|field| field.name());
    let fields: BTreeSet<R::Field> =
        names.filter_map(|name| R::behind(name).or_else(|| R::Field::from_name(name))).collect();
    fields.into_iter().collect()
}
