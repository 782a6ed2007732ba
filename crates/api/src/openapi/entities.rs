//! The operations of queues, messages and crons.

use posthaste_core::address::Blocked;
use posthaste_core::entity::{CronField, Entity, Field, MessageField, QueueField};
use utoipa::openapi::path::HttpMethod::{Delete, Get, Post, Put};
use utoipa::openapi::schema::Type;

use super::operation::{Described, Describing, guarded};
use super::parameters;
use super::requests::{example_of, names_of};
use super::schemas::{array, name_of, named, of as value};
use crate::error::ApiError;
use crate::ops::{LARGEST_CHANGE, Resource};

const LIST_HEADERS: [&str; 3] = ["x-total-count", "x-start-after", "x-end-before"];

/// The operations of an entity under one of its paths.
pub fn of<R: Resource>(path: &str) -> Vec<Described> {
    let entity = R::Field::ENTITY;
    let (tag, name) = (entity.plural(), entity.name());
    let one = format!("{path}/{{id}}");
    let (new, change) = names_of(entity);
    let row = || named(name_of(entity));
    let list = listing::<R::Field>(path, tag, &format!("Lists {tag}"));

    let create = guarded(Post, path, tag, &format!("Creates a {name}"))
        .parameter(parameters::fields::<R::Field>())
        .body(new, example_of(entity))
        .errors(of_writes(entity));
    let create = match entity {
        Entity::Message => create
            .parameter(parameters::idempotency_key())
            .error(ApiError::IdempotencyConflict)
            .error(ApiError::Overloaded)
            .error(ApiError::BacklogFull { queue: Some(1) })
            .answer("What was stored.", row(), &["location", "idempotency-replayed"]),
        Entity::Queue | Entity::Cron => create.answer("What was stored.", row(), &["location"]),
    };

    let many = format!(
        "All or none, at most {LARGEST_CHANGE}. Needs at least one condition. The body is as for a single one, and changes \
         what it names."
    );
    let update_all = guarded(Put, path, tag, &format!("Changes every one of some {tag}"))
        .description(&many)
        .parameter(parameters::fields::<R::Field>())
        .parameters(parameters::conditions::<R::Field>())
        .body(change, example_of(entity))
        .errors(of_writes(entity))
        .errors(of_conditions())
        .error(ApiError::MissingWhere)
        .error(ApiError::TooManyRows { limit: LARGEST_CHANGE })
        .answer("What they are now.", array(row()).into(), &["location"]);
    let update_all = when_message(entity, update_all, ApiError::NotPending);

    let get = guarded(Get, &one, tag, &format!("Reads a {name}")).parameter(parameters::fields::<R::Field>()).answer(
        "It.",
        row(),
        &[],
    );

    let update = guarded(Put, &one, tag, &format!("Changes a {name}"))
        .description("What the body does not name stays as it is, but what is required must be there.")
        .parameter(parameters::fields::<R::Field>())
        .body(change, example_of(entity))
        .errors(of_writes(entity))
        .answer("What it is now.", row(), &["location"]);
    let update = when_message(entity, update, ApiError::NotPending);

    let delete = guarded(Delete, &one, tag, &format!("Deletes a {name}"))
        .parameter(parameters::fields::<R::Field>())
        .error(ApiError::OutcomeUnknown)
        .error(ApiError::Refused)
        .answer("What it was.", row(), &[]);
    let delete = match entity {
        Entity::Queue => {
            let force = value(Type::Boolean).default(Some(false.into()));
            let meaning = "Whether its crons are deleted and its pending messages cancelled with it.";
            delete.parameter(parameters::query("force", meaning, force)).error(ApiError::InUse)
        }
        Entity::Message => delete.description("One that is pending is cancelled by it."),
        Entity::Cron => delete.description("Its pending message is cancelled."),
    };
    [list, create, update_all, get, update, delete].map(Describing::done).into()
}

/// The paths from one entity to another.
pub fn nested() -> Vec<Described> {
    let children = [("/queues/{id}/messages", "messages", "The messages of a queue")];
    let other_names = [
        ("/queues/{id}/messageQueueId", "messages", "Another name of `/queues/{id}/messages`"),
        ("/crons/{id}/messages", "messages", "The messages of a cron"),
        ("/crons/{id}/messageCronId", "messages", "Another name of `/crons/{id}/messages`"),
        ("/cron/{id}/messages", "messages", "Another name of `/crons/{id}/messages`"),
    ];
    let mut all: Vec<Describing> = children
        .into_iter()
        .chain(other_names)
        .map(|(path, tag, summary)| listing::<MessageField>(path, tag, summary))
        .collect();
    all.push(listing::<CronField>("/queues/{id}/crons", "crons", "The crons of a queue"));
    let dead = "The queues whose dead letter queue this one is";
    all.push(listing::<QueueField>("/queues/{id}/queues", "queues", dead));
    let parents = [
        ("/queues/{id}/dead_letter_queue", "The dead letter queue of a queue"),
        ("/messages/{id}/queue", "The queue of a message"),
        ("/crons/{id}/queue", "The queue of a cron"),
        ("/cron/{id}/queue", "Another name of `/crons/{id}/queue`"),
    ];
    all.extend(parents.map(|(path, summary)| single::<QueueField>(path, "queues", summary)));
    all.push(single::<CronField>("/messages/{id}/cron", "crons", "The cron of a message"));
    all.into_iter().map(Describing::done).collect()
}

fn listing<F: Field>(path: &str, tag: &str, summary: &str) -> Describing {
    guarded(Get, path, tag, summary)
        .description("Ordered by id where nothing else is asked for. All conditions must hold.")
        .parameters(parameters::list_of::<F>())
        .errors(of_conditions())
        .errors([ApiError::LimitTooLarge(101), ApiError::LimitNegative(-1), ApiError::OffsetNegative(-1)])
        .error(ApiError::CursorWithoutId)
        .answer("They.", array(named(name_of(F::ENTITY))).into(), &LIST_HEADERS)
}

fn single<F: Field>(path: &str, tag: &str, summary: &str) -> Describing {
    guarded(Get, path, tag, summary)
        .description("404 where there is none.")
        .parameter(parameters::fields::<F>())
        .answer("It.", named(name_of(F::ENTITY)), &[])
}

pub fn of_conditions() -> Vec<ApiError> {
    vec![
        ApiError::UnknownFilterField("bodi".to_owned()),
        ApiError::TooExpensive,
        ApiError::AnswerTooLarge,
        ApiError::value_limit("in and nin take at most 1000 values".to_owned()),
    ]
}

fn of_writes(entity: Entity) -> Vec<ApiError> {
    let field = if entity == Entity::Queue { "deadLetterQueueId" } else { "queueId" };
    let mut errors = vec![
        ApiError::UnknownQueue { field, id: 99999 },
        ApiError::ReadOnlyField { field: "id", instead: "leave it out" },
    ];
    if entity == Entity::Queue {
        errors.push(ApiError::BlockedAddress(Blocked::Denied));
    }
    errors
}

fn when_message(entity: Entity, describing: Describing, error: ApiError) -> Describing {
    if entity == Entity::Message { describing.error(error) } else { describing }
}
