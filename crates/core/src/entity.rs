//! What clients see: queues, messages and crons, and the fields of each.
//!
//! One table per entity, from which everything follows that goes by field: the order of keys in answers, `fields=`,
//! filters, order, cursors, and the checks of authorization rules. A field that is added here has to be served
//! everywhere, because every place matches on it without a wildcard.

use std::fmt;

/// What the interface is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Entity {
    /// Where messages go, and how.
    Queue,
    /// Something to be delivered.
    Message,
    /// A schedule that puts messages in a queue.
    Cron,
}

impl Entity {
    /// Every one there is.
    pub const ALL: [Entity; 3] = [Entity::Queue, Entity::Message, Entity::Cron];

    /// As rules and GraphQL name one of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Entity::Queue => "queue",
            Entity::Message => "message",
            Entity::Cron => "cron",
        }
    }

    /// As paths name it.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Entity::Queue => "queues",
            Entity::Message => "messages",
            Entity::Cron => "crons",
        }
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The id of an entity.
    Id,
    /// A whole number of 32 bits.
    Integer,
    /// Text.
    Text,
    /// True or false.
    Boolean,
    /// A moment.
    Time,
    /// A JSON object. Neither filtered nor ordered by.
    Json,
    /// Any JSON. Neither filtered nor ordered by.
    AnyJson,
}

/// The fields of an entity.
pub trait Field: fmt::Debug + Copy + Eq + Ord + std::hash::Hash + Send + Sync + 'static {
    /// Whose fields they are.
    const ENTITY: Entity;
    /// Every one there is, in the order in which answers show them.
    const ALL: &'static [Self];

    /// As clients name it, such as `callbackUrl`.
    fn name(self) -> &'static str;
    /// As the original names it in refusals, such as `callback_url`.
    fn column(self) -> &'static str;
    /// What it holds.
    fn kind(self) -> Kind;
    /// Whether it may be null.
    fn is_nullable(self) -> bool;
    /// Whether lists can be filtered and ordered by it.
    fn is_comparable(self) -> bool;

    /// Whether it shows what is delivered, which may be large.
    #[must_use]
    fn is_body(self) -> bool {
        matches!(self.name(), "body" | "bodyBase64")
    }

    /// The inverse of [`Field::name`].
    #[must_use]
    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.name() == name)
    }
}

macro_rules! fields {
    ($(#[$doc:meta])* $name:ident of $entity:ident {
        $($(#[$field_doc:meta])* $variant:ident: $kind:ident $($nullable:ident)? = $camel:literal / $column:literal $(, $opaque:ident)?;)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$field_doc])* $variant,)*
        }

        impl Field for $name {
            const ENTITY: Entity = Entity::$entity;
            const ALL: &'static [$name] = &[$($name::$variant,)*];

            fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $camel,)*
                }
            }

            fn column(self) -> &'static str {
                match self {
                    $($name::$variant => $column,)*
                }
            }

            fn kind(self) -> Kind {
                match self {
                    $($name::$variant => Kind::$kind,)*
                }
            }

            fn is_nullable(self) -> bool {
                match self {
                    $($name::$variant => fields!(@said $($nullable)?),)*
                }
            }

            fn is_comparable(self) -> bool {
                match self {
                    $($name::$variant => !fields!(@said $($opaque)?),)*
                }
            }
        }
    };
    (@said) => { false };
    (@said $word:ident) => { true };
}

fields! {
    /// The fields of a queue.
    QueueField of Queue {
        /// Given by Posthaste.
        Id: Id = "id" / "id";
        /// For people; need not be unique.
        Name: Text = "name" / "name";
        /// Where its messages go.
        CallbackUrl: Text = "callbackUrl" / "callback_url";
        /// The HTTP method.
        Method: Text = "method" / "method";
        /// Of every message.
        Headers: Json nullable = "headers" / "headers", opaque;
        /// Where a copy goes of what failed for good.
        DeadLetterQueueId: Id nullable = "deadLetterQueueId" / "dead_letter_queue_id";
        /// After the first attempt; null retries until the maximum age.
        MaxRetries: Integer nullable = "maxRetries" / "max_retries";
        /// By the database's clock.
        CreatedAt: Time = "createdAt" / "created_at";
        /// The last change of its settings.
        UpdatedAt: Time = "updatedAt" / "updated_at";
        /// Since when nothing of it is delivered.
        PausedAt: Time nullable = "pausedAt" / "paused_at";
        /// Why.
        PausedReason: Text nullable = "pausedReason" / "paused_reason";
        /// How the waits between attempts follow one another; null as the deployment says.
        RetryPolicy: AnyJson nullable = "retryPolicy" / "retry_policy", opaque;
        /// So long after it was due a message is not tried again.
        MaxAgeSeconds: Integer = "maxAgeSeconds" / "max_age_seconds";
        /// The statuses after which there is no retry.
        FinalStatuses: AnyJson nullable = "finalStatuses" / "final_statuses", opaque;
        /// Until there is a connection; null as the deployment says.
        ConnectTimeoutMs: Integer nullable = "connectTimeoutMs" / "connect_timeout_ms";
        /// For an attempt as a whole; null as the deployment says.
        TimeoutMs: Integer nullable = "timeoutMs" / "timeout_ms";
        /// Whether what expires goes to the dead letter queue, too.
        DeadLetterExpired: Boolean = "deadLetterExpired" / "dead_letter_expired";
        /// Requests at once; null as many as its receiver takes.
        MaxConcurrency: Integer nullable = "maxConcurrency" / "max_concurrency";
        /// Requests a second.
        RateLimit: AnyJson nullable = "rateLimit" / "rate_limit", opaque;
        /// Where events about it are stored.
        EventQueueId: Id nullable = "eventQueueId" / "event_queue_id";
        /// With so many messages pending it takes no more.
        MaxBacklog: Integer nullable = "maxBacklog" / "max_backlog";
    }
}

fields! {
    /// The fields of a message.
    MessageField of Message {
        /// Given by Posthaste.
        Id: Id = "id" / "id";
        /// Where it goes.
        QueueId: Id = "queueId" / "queue_id";
        /// The next attempt's time while it is pending, or else the time that was asked for.
        When: Time = "when" / "when";
        /// Its body as text.
        Body: Text nullable = "body" / "body";
        /// Whether it failed for good.
        Failed: Boolean = "failed" / "failed";
        /// Over those of its queue.
        Headers: Json nullable = "headers" / "headers", opaque;
        /// When its last attempt ended, once that was its last.
        SentAt: Time nullable = "sentAt" / "sent_at";
        /// Attempts beyond the first; while it is pending, attempts that have ended.
        Retries: Integer = "retries" / "retries";
        /// The cron that it is a firing of.
        CronId: Id nullable = "cronId" / "cron_id";
        /// By the database's clock.
        CreatedAt: Time = "createdAt" / "created_at";
        /// The last change of what was asked.
        UpdatedAt: Time = "updatedAt" / "updated_at";
        /// `pending`, `delivered`, `failed`, `cancelled` or `expired`; `unknown` where its attempts are no longer kept.
        Status: Text = "status" / "status";
        /// From then on it is not sent any more.
        ExpiresAt: Time nullable = "expiresAt" / "expires_at";
        /// Its body in base64, where it is not text.
        BodyBase64: Text nullable = "bodyBase64" / "body_base64", opaque;
        /// Until there is a connection; null as the queue says.
        ConnectTimeoutMs: Integer nullable = "connectTimeoutMs" / "connect_timeout_ms";
        /// For an attempt as a whole; null as the queue says.
        TimeoutMs: Integer nullable = "timeoutMs" / "timeout_ms";
        /// The trace that it belongs to (W3C Trace Context).
        Traceparent: Text nullable = "traceparent" / "traceparent";
        /// What systems of that trace have to say.
        Tracestate: Text nullable = "tracestate" / "tracestate";
        /// Messages of its queue that have the same one are sent one at a time, in order.
        OrderingKey: Text nullable = "orderingKey" / "ordering_key";
        /// Of what is due in its queue the highest goes first.
        Priority: Integer = "priority" / "priority";
        /// Of a dead letter: what failed, and why.
        Origin: Json nullable = "origin" / "origin", opaque;
        /// Of a replay: what it repeats.
        ReplayOf: Id nullable = "replayOf" / "replay_of";
        /// Of an event: which.
        EventType: Text nullable = "eventType" / "event_type";
    }
}

fields! {
    /// The fields of a cron.
    CronField of Cron {
        /// Given by Posthaste.
        Id: Id = "id" / "id";
        /// Where its messages go.
        QueueId: Id = "queueId" / "queue_id";
        /// The cron expression.
        Schedule: Text nullable = "schedule" / "schedule";
        /// By the database's clock.
        CreatedAt: Time = "createdAt" / "created_at";
        /// The last change of its settings.
        UpdatedAt: Time = "updatedAt" / "updated_at";
        /// Of each of its messages.
        Body: Text nullable = "body" / "body";
        /// Of each of its messages.
        Headers: Json nullable = "headers" / "headers", opaque;
        /// In which its schedule is meant.
        TimeZone: Text = "timezone" / "timezone";
        /// Instead of a schedule: the distance of its ticks.
        Every: Text nullable = "every" / "every", opaque;
        /// Instead of a schedule: its only tick.
        At: Time nullable = "at" / "at";
        /// No tick is before it.
        StartAt: Time nullable = "startAt" / "start_at";
        /// No tick is after it.
        EndAt: Time nullable = "endAt" / "end_at";
        /// By how much a message may be due after its tick.
        Jitter: Text nullable = "jitter" / "jitter", opaque;
        /// What becomes of ticks that nobody looked for in time.
        Missed: Text = "missed" / "missed";
        /// Those that are older are not made up for.
        MissedTolerance: Text = "missedTolerance" / "missed_tolerance", opaque;
        /// What becomes of a tick while the firing before it has not ended.
        Overlap: Text = "overlap" / "overlap";
        /// The HTTP method; null as the queue says.
        Method: Text nullable = "method" / "method";
        /// Whether it fires.
        Paused: Boolean = "paused" / "paused";
        /// Since when it does not.
        PausedAt: Time nullable = "pausedAt" / "paused_at";
        /// Its next tick.
        NextFireAt: Time nullable = "nextFireAt" / "next_fire_at";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<F: Field>(first: &str, last: &str) {
        assert_eq!((F::ALL[0].name(), F::ALL[F::ALL.len() - 1].name()), (first, last));
        for &field in F::ALL {
            assert_eq!(F::from_name(field.name()), Some(field));
            let snake: String = field
                .name()
                .chars()
                .flat_map(|c| if c.is_uppercase() { vec!['_', c.to_ascii_lowercase()] } else { vec![c] })
                .collect();
            assert_eq!(field.column(), snake);
            assert!(field.is_comparable() || matches!(field.kind(), Kind::Json | Kind::AnyJson | Kind::Text));
        }
        assert_eq!(F::from_name(""), None);
        assert_eq!(F::from_name("Id"), None);
    }

    #[test]
    fn every_field_is_found_by_its_name() {
        check::<QueueField>("id", "maxBacklog");
        check::<MessageField>("id", "eventType");
        check::<CronField>("id", "nextFireAt");
        assert!(QueueField::MaxRetries.is_nullable() && !QueueField::Name.is_nullable());
        assert!(MessageField::BodyBase64.is_nullable() && !MessageField::BodyBase64.is_comparable());
        assert!(MessageField::Body.is_body() && MessageField::BodyBase64.is_body() && CronField::Body.is_body());
        assert!(!MessageField::Headers.is_body());
    }
}
