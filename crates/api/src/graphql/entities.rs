//! What is particular to each entity in the schema.

use std::hash::Hash;

use async_graphql::dynamic::Object;
use posthaste_core::entity::{CronField, Field, MessageField, QueueField};

use super::children::{children, parent};
use super::{extras, secrets};
use crate::changes::Announced;
use crate::ops::{Crons, Messages, Queues};

/// An entity that the schema shows.
pub trait Shown: Announced + Eq + Hash {
    /// Fields that name other rows. Objects have the rows in their place; inputs and conditions have the ids.
    const REFERENCES: &'static [Self::Field];
    /// Fields that nobody can give, not even as they are.
    const NEVER_GIVEN: &'static [Self::Field];
    /// What can be given besides fields: name and type.
    const ALSO_GIVEN: &'static [(&'static str, &'static str)];

    /// Adds what an object has besides fields.
    fn relations(object: Object) -> Object;
    /// The field that tells what [`Shown::relations`] has added under a name.
    fn behind(name: &str) -> Option<Self::Field>;
}

impl Shown for Queues {
    const REFERENCES: &'static [QueueField] = &[QueueField::DeadLetterQueueId];
    const NEVER_GIVEN: &'static [QueueField] =
        &[QueueField::CreatedAt, QueueField::UpdatedAt, QueueField::PausedAt, QueueField::PausedReason];
    const ALSO_GIVEN: &'static [(&'static str, &'static str)] = &[];

    fn relations(object: Object) -> Object {
        object
            .field(children::<Queues, Messages>("messages", MessageField::QueueId))
            .field(children::<Queues, Crons>("crons", CronField::QueueId))
            .field(children::<Queues, Queues>("queues", QueueField::DeadLetterQueueId))
            .field(parent::<Queues, Queues>("deadLetterQueue", QueueField::DeadLetterQueueId))
            .field(extras::stats())
            .field(secrets::of_queue())
            .field(secrets::credentials_of_queue())
    }

    fn behind(name: &str) -> Option<QueueField> {
        match name {
            "messages" | "crons" | "queues" | "stats" => Some(QueueField::Id),
            "deadLetterQueue" => Some(QueueField::DeadLetterQueueId),
            _ => None,
        }
    }
}

impl Shown for Messages {
    const REFERENCES: &'static [MessageField] = &[MessageField::QueueId, MessageField::CronId];
    const NEVER_GIVEN: &'static [MessageField] = &[
        MessageField::CreatedAt,
        MessageField::UpdatedAt,
        MessageField::Status,
        MessageField::Origin,
        MessageField::ReplayOf,
        MessageField::EventType,
    ];
    const ALSO_GIVEN: &'static [(&'static str, &'static str)] =
        &[("delay", "Delay"), ("ttl", "Delay"), ("idempotencyKey", "String")];

    fn relations(object: Object) -> Object {
        object
            .field(parent::<Messages, Queues>("queue", MessageField::QueueId))
            .field(parent::<Messages, Crons>("cron", MessageField::CronId))
            .field(extras::attempts())
    }

    fn behind(name: &str) -> Option<MessageField> {
        match name {
            "queue" => Some(MessageField::QueueId),
            "cron" => Some(MessageField::CronId),
            "attempts" => Some(MessageField::Id),
            _ => None,
        }
    }
}

impl Shown for Crons {
    const REFERENCES: &'static [CronField] = &[CronField::QueueId];
    const NEVER_GIVEN: &'static [CronField] =
        &[CronField::CreatedAt, CronField::UpdatedAt, CronField::PausedAt, CronField::NextFireAt];
    const ALSO_GIVEN: &'static [(&'static str, &'static str)] = &[];

    fn relations(object: Object) -> Object {
        object
            .field(parent::<Crons, Queues>("queue", CronField::QueueId))
            .field(children::<Crons, Messages>("messages", MessageField::CronId))
            .field(super::crons::ticks())
    }

    fn behind(name: &str) -> Option<CronField> {
        match name {
            "queue" => Some(CronField::QueueId),
            "messages" | "ticks" => Some(CronField::Id),
            _ => None,
        }
    }
}

/// The fields that objects show.
pub fn visible<R: Shown>() -> impl Iterator<Item = R::Field> {
    R::Field::ALL.iter().copied().filter(|field| !R::REFERENCES.contains(field))
}
