//! What the fields of the entities mean, in a sentence each.

use posthaste_core::entity::Entity;

/// What a field means, for those whose name does not say it.
pub fn meaning(entity: Entity, field: &str) -> &'static str {
    match (entity, field) {
        (_, "id") => "Given by Posthaste.",
        (Entity::Queue, "name") => "For people; need not be unique.",
        (_, "callbackUrl") => "Where its messages go.",
        (Entity::Cron, "schedule") => {
            "A cron expression of five fields, or six with seconds, or a macro such as `@hourly`; one of this, `every` and `at`."
        }
        (_, "timezone") => "The IANA time zone that the schedule is meant in.",
        (_, "every") => "Instead of a schedule: the distance of its ticks, seconds or an ISO 8601 duration.",
        (_, "at") => "Instead of a schedule: the only time at which it fires.",
        (_, "startAt") => "It does not fire before; `every` counts from it.",
        (_, "endAt") => "It does not fire after.",
        (_, "jitter") => {
            "By how much a message may be due after its tick, at most a day; always the same for the same tick."
        }
        (_, "missed") => {
            "What becomes of ticks that are more than a minute late, or came while it was paused: none, the latest, or all (at most \
             1000) are made up for."
        }
        (_, "missedTolerance") => "Missed ticks that are older are not made up for; seconds or an ISO 8601 duration.",
        (_, "overlap") => "Whether it fires while the firing before it has not ended.",
        (Entity::Cron, "method") => "The HTTP method of its messages; null: the queue's.",
        (_, "paused") => "Whether it does not fire.",
        (Entity::Cron, "pausedAt") => "Since when it does not fire.",
        (_, "nextFireAt") => "Its next tick; null: there is none any more.",
        (_, "method") => "The HTTP method of its deliveries.",
        (Entity::Queue, "headers") => "The headers of each of its deliveries.",
        (Entity::Message, "headers") => "Its headers, over those of its queue.",
        (Entity::Cron, "headers") => "The headers of each of its messages.",
        (_, "deadLetterQueueId") => "The queue in which a copy of what failed for good is stored.",
        (_, "maxRetries") => "Attempts after the first; 0 is none, null retries until the maximum age.",
        (_, "pausedAt") => "Since when nothing of it is delivered.",
        (_, "pausedReason") => "Why it is paused.",
        (_, "retryPolicy") => "The waits between attempts; null: as the deployment says (`RETRY_POLICY`).",
        (_, "maxAgeSeconds") => "So long after it was due a message is not tried again; it expires.",
        (_, "finalStatuses") => {
            "Answers after which there is no retry, such as 404 or 4xx; a class does not contain 408, 425, 429 and 503."
        }
        (Entity::Queue, "connectTimeoutMs") => {
            "How long connecting may take, TLS included; null: as the deployment says (`CONNECT_TIMEOUT_MS`)."
        }
        (Entity::Queue, "timeoutMs") => "How long an attempt may take; null: as the deployment says (`TIMEOUT_MS`).",
        (_, "connectTimeoutMs") => "How long connecting may take, TLS included; null: as the queue says.",
        (_, "timeoutMs") => "How long an attempt may take; null: as the queue says.",
        (_, "deadLetterExpired") => "Whether messages that expire go to the dead letter queue, too.",
        (_, "traceparent") => "The trace that it belongs to (W3C Trace Context), carried on to the receiver.",
        (_, "tracestate") => "What systems of that trace have to say, carried on with it.",
        (_, "maxConcurrency") => "Requests at once; null: as many as its receiver takes.",
        (_, "rateLimit") => "Requests that may start a second; null: any number.",
        (_, "orderingKey") => {
            "Messages of the queue that have the same one are sent one at a time, in the order in which they were stored."
        }
        (_, "eventQueueId") => {
            "The queue in which events about it are stored: a failed message, a pause, an opened breaker."
        }
        (_, "maxBacklog") => {
            "With so many messages pending the API takes no more for it (429); looked at about once a second."
        }
        (_, "origin") => {
            "Of a dead letter: the message and queue that it comes from, its attempts, the last error, and when it was redriven."
        }
        (_, "replayOf") => "Of a replay: the message that it repeats.",
        (_, "eventType") => "Of an event: such as `message.failed`.",
        (_, "priority") => "Of what is due in its queue the highest goes first.",
        (_, "queueId") => "The queue that it belongs to.",
        (_, "when") => "The time of the next attempt while it is pending, else the time that was asked for.",
        (Entity::Message, "body") => "Its body, where that is text.",
        (Entity::Cron, "body") => "The body of each of its messages.",
        (_, "bodyBase64") => "Its body in base64, where that is not text.",
        (_, "failed") => "Whether it failed for good.",
        (_, "sentAt") => "When its last attempt ended, once nothing follows it.",
        (_, "retries") => "Attempts beyond the first; while it is pending, attempts that have ended.",
        (_, "cronId") => "The cron that stored it.",
        (_, "status") => "`unknown` where its attempts are no longer kept.",
        (_, "expiresAt") => "From then on it is not sent any more.",
        (_, "schedule") => "A cron expression of 5 or 6 fields (seconds first) in UTC, or such as `@hourly`.",
        (_, "createdAt") => "By the database's clock.",
        (_, "updatedAt") => "The last change of what was asked for, by the database's clock.",
        _ => "",
    }
}
