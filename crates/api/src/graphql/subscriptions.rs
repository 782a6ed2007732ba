//! What can be subscribed to: rows that are saved, and rows that are gone.
//!
//! What a subscriber may hear is asked anew with each event. Of a row that is gone only its id and its queue are known; who
//! may see rows by other fields hears of no deletion.

use async_graphql::Value;
use async_graphql::dynamic::{
    Field, FieldFuture, FieldValue, Object, Subscription, SubscriptionField, SubscriptionFieldFuture, TypeRef,
};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use posthaste_core::entity::{Entity, Field as _};
use posthaste_core::filter::Value as Operand;

use super::entities::Shown;
use super::execution::{Asking, refused};
use super::node::{Node, selected};
use super::type_name;
use crate::auth::{Caller, Grant, Operation};
use crate::changes::{Event, Subscription as Changes};
use crate::error::ApiError;
use crate::ops::Resource;

/// Adds an entity's subscriptions.
pub fn add<R: Shown>(subscription: Subscription) -> Subscription {
    let name = R::Field::ENTITY.name();
    subscription.field(saved::<R>(&format!("{name}Saved"))).field(deleted::<R>(&format!("{name}Deleted")))
}

fn saved<R: Shown>(name: &str) -> SubscriptionField {
    SubscriptionField::new(name, TypeRef::named(type_name::<R>()), |context| {
        SubscriptionFieldFuture::new(async move {
            let asking = Asking::of(&context)?;
            let fields = selected::<R>(&context);
            let heard = Heard::<R>::begin(asking, fields).await.map_err(refused)?;
            Ok(heard.stream(|event, grant| match event {
                Event::Saved(row, _) if R::passes(&grant.filter, &row) => Some(Node::<R>::found(row)),
                Event::Saved(..) | Event::Deleted { .. } => None,
            }))
        })
    })
    .description("A row was created or changed; a message also: it has come to its end.")
}

fn deleted<R: Shown>(name: &str) -> SubscriptionField {
    SubscriptionField::new(name, TypeRef::named(deleted_type::<R>()), |context| {
        SubscriptionFieldFuture::new(async move {
            let asking = Asking::of(&context)?;
            let heard = Heard::<R>::begin(asking, vec![R::ID]).await.map_err(refused)?;
            Ok(heard.stream(|event, grant| match event {
                Event::Deleted { id, queue_id } if may_hear::<R>(grant, id, queue_id) => {
                    Some(FieldValue::owned_any(id))
                }
                Event::Saved(..) | Event::Deleted { .. } => None,
            }))
        })
    })
    .description("A row is gone.")
}

fn deleted_type<R: Shown>() -> String {
    format!("{}Deleted", type_name::<R>())
}

/// What is told of a row that is gone.
pub fn deleted_object<R: Shown>() -> Object {
    Object::new(deleted_type::<R>()).field(Field::new("id", TypeRef::named(TypeRef::ID), |context| {
        FieldFuture::from_value(context.parent_value.downcast_ref::<i64>().map(|id| Value::String(id.to_string())))
    }))
}

/// Whether a grant lets a row through of which only this is known.
fn may_hear<R: Shown>(grant: &Grant<R::Field>, id: i64, queue_id: i64) -> bool {
    let of_queue = |field: R::Field| R::Field::ENTITY != Entity::Queue && field.name() == "queueId";
    let decides = |field: R::Field| field == R::ID || of_queue(field);
    grant.filter.fields().all(decides)
        && grant.filter.matches(|field| {
            if field == R::ID {
                Some(Operand::Number(id))
            } else if of_queue(field) {
                Some(Operand::Number(queue_id))
            } else {
                None
            }
        })
}

/// The changes of an entity that a caller hears of.
struct Heard<R: Shown> {
    changes: Changes<R>,
    caller: Caller,
    /// Those that are shown.
    fields: Vec<R::Field>,
}

impl<R: Shown> Heard<R> {
    async fn begin(asking: &Asking, fields: Vec<R::Field>) -> Result<Heard<R>, ApiError> {
        let caller = asking.caller.clone();
        caller.grant::<R::Field>(Operation::Find)?.check_fields(fields.iter().copied())?;
        Ok(Heard { changes: asking.app.changes.subscribe::<R>(&asking.app).await?, caller, fields })
    }

    /// Tells what `show` makes of each event, until the caller may hear no more, or something was missed.
    fn stream<'a>(self, show: Show<R>) -> BoxStream<'a, async_graphql::Result<FieldValue<'a>>> {
        let next = move |heard: Option<Heard<R>>| async move {
            let mut heard = heard?;
            loop {
                match heard.next(show).await {
                    Ok(None) => {}
                    Ok(Some(value)) => return Some((Ok(value), Some(heard))),
                    Err(error) => return Some((Err(refused(error)), None)),
                }
            }
        };
        stream::unfold(Some(self), next).boxed()
    }

    async fn next(&mut self, show: Show<R>) -> Result<Option<FieldValue<'static>>, ApiError> {
        let event = self.changes.next().await?;
        let grant = self.caller.grant::<R::Field>(Operation::Find)?;
        grant.check_fields(self.fields.iter().copied())?;
        Ok(show(event, &grant))
    }
}

/// What is told of an event to whom a grant is given; `None` is nothing.
type Show<R> = fn(Event<R>, &Grant<<R as Resource>::Field>) -> Option<FieldValue<'static>>;
