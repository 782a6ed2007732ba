//! `/graphql`: queries, mutations and subscriptions, over HTTP and WebSocket.
//!
//! The schema is that of pg-hooks, and made from the tables of fields in `posthaste_core::entity`, so that a field that is
//! added there is here too. Everything goes through `ops` with the request's caller, as REST does: what is refused there is
//! refused here. Relations are read by data loaders, one statement for all rows of a level and not one for each.
//!
//! What does not fit the schema or the limits is answered with 400 before anything is done; what a field refuses stands in
//! `errors` beside the others' data, with 200, as `extensions` the code and status that REST would have answered.

mod arguments;
mod children;
mod crons;
mod document;
mod entities;
mod execution;
mod extras;
mod http;
mod input;
mod jobs;
mod limits;
mod mutations;
mod node;
mod queries;
mod scalars;
mod secrets;
mod socket;
mod subscriptions;
mod topics;

use actix_web::guard;
use actix_web::web::{self, ServiceConfig};
use async_graphql::dynamic::{Object, Schema, SchemaError, Subscription};

use self::entities::Shown;
use crate::ops::{Crons, Messages, Queues};

/// Registers the path.
pub fn configure(config: &mut ServiceConfig) {
    let get = || web::route().guard(guard::Any(guard::Get()).or(guard::Head()));
    let path = web::resource(vec!["/graphql", "/graphql/"])
        .route(get().guard(guard::fn_guard(socket::is_asked_for)).to(socket::open))
        .route(get().to(http::get))
        .route(web::post().to(http::post))
        .default_service(web::to(crate::rest::nothing));
    config.service(path);
}

/// The schema, which every API has once.
///
/// # Errors
/// It contradicts itself: a fault of ours.
pub fn schema() -> Result<Schema, SchemaError> {
    let (mut query, mut mutation) = (Object::new("Query"), Object::new("Mutation"));
    let mut subscription = Subscription::new("Subscription");
    let mut builder = Schema::build("Query", Some("Mutation"), Some("Subscription"))
        // Fragments within fragments; what a query may cost is up to `limits`.
        .limit_recursive_depth(64)
        .limit_directives(10)
        // They would name fields of the schema that the asker has not seen; and cost time.
        .disable_suggestions();
    macro_rules! add {
        ($($entity:ty),*) => {$(
            query = queries::add::<$entity>(query);
            mutation = mutations::add::<$entity>(mutation);
            subscription = subscriptions::add::<$entity>(subscription);
            for object in [node::object::<$entity>(), queries::count_object::<$entity>()] {
                builder = builder.register(object);
            }
            builder = builder.register(subscriptions::deleted_object::<$entity>());
            builder = builder.register(input::object::<$entity>()).register(arguments::order_field::<$entity>());
            for object in arguments::objects::<$entity>() {
                builder = builder.register(object);
            }
        )*};
    }
    add!(Queues, Messages, Crons);
    for object in extras::objects()
        .into_iter()
        .chain(secrets::objects())
        .chain(jobs::objects())
        .chain(crons::objects())
        .chain([topics::object()])
    {
        builder = builder.register(object);
    }
    for scalar in scalars::all() {
        builder = builder.register(scalar);
    }
    builder
        .register(arguments::direction())
        .register(crons::queries(topics::queries(jobs::queries(query))))
        .register(crons::mutations(topics::mutations(jobs::mutations(secrets::mutations(extras::mutations(mutation))))))
        .register(subscription)
        .finish()
}

/// `queues` and `Queue` as `insertQueues` and `saveQueue`.
fn joined(verb: &str, noun: &str) -> String {
    let (first, rest) = noun.split_at(noun.len().min(1));
    format!("{verb}{}{rest}", first.to_ascii_uppercase())
}

/// The name of an entity's objects.
fn type_name<R: Shown>() -> String {
    joined("", posthaste_core::entity::Entity::name(<R::Field as posthaste_core::entity::Field>::ENTITY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_whole() {
        let sdl = schema().unwrap().sdl();
        for line in [
            "getQueueById(id: ID!): Queue",
            "queues(limit: LimitInt, offset: Int, orderBy: [QueueOrderByArguments], where: QueueWhereArguments): [Queue]",
            "countQueues(where: QueueWhereArguments): queuesCount",
            "saveMessage(input: MessageInput!): Message",
            "insertMessages(inputs: [MessageInput]!): [Message]",
            "deleteMessages(where: MessageWhereArguments): [Message]",
            "force: Boolean\n\t): [Queue]",
            "deadLetterQueue: Queue",
            "createQueueSecret(id: ID!, type: String, gracePeriodSeconds: Int): QueueSecret",
            "setQueueCredentials(id: ID!, credentials: JSONObject!): QueueCredentials",
            "purgeQueue(id: ID!, where: MessageWhereArguments, errorClass: String, ratePerSecond: Float): Job",
            "publishToTopic(topic: String!, message: JSONObject!): [Message]",
            "or: [QueueWhereArgumentsOr]",
            "direction: OrderByDirection!",
            "triggerCron(id: ID!): Message",
            "cronSaved: Cron",
            "cronDeleted: CronDeleted",
            "messages(limit: LimitInt, offset: Int, orderBy: [MessageOrderByArguments], where: MessageWhereArguments): [Message]",
        ] {
            assert!(sdl.contains(line), "{line}\n{sdl}");
        }
        // Of references only the rows that they name are shown; the others are of what has no rows of its own.
        assert_eq!(sdl.matches("\tqueueId: ID\n").count(), 6, "{sdl}");
    }
}
