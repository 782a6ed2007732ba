//! The operations beyond reading and writing an entity.

use serde_json::json;
use utoipa::openapi::Required;
use utoipa::openapi::path::HttpMethod::{Delete, Get, Post, Put};
use utoipa::openapi::schema::Type;

use super::answers::{self, JSON};
use super::operation::{Described, Describing, guarded, open};
use super::schemas::{AnySchema, array, either, named, of, words};
use super::{parameters, requests};
use crate::error::ApiError;
use crate::wire::tick;
use posthaste_core::entity::{Entity, MessageField};

pub fn all() -> Vec<Described> {
    let all = queues()
        .into_iter()
        .chain(secrets())
        .chain(messages())
        .chain(jobs())
        .chain(topics())
        .chain(crons())
        .chain(keys())
        .chain([audit_log()])
        .chain(graphql())
        .chain(health());
    all.map(Describing::done).collect()
}

fn list_of(name: &str) -> AnySchema {
    array(named(name)).into()
}

fn queues() -> Vec<Describing> {
    let pause = guarded(Post, "/queues/{id}/pause", "queues", "Stops the deliveries of a queue")
        .description("It still takes messages. Attempts under way are finished. Pausing again changes the reason.")
        .body_of(&[JSON], named("PauseRequest"), Some(json!({"reason": "maintenance"})), Required::False)
        .errors(answers::of_bodies());
    let resume = guarded(Post, "/queues/{id}/resume", "queues", "Goes on with the deliveries of a queue")
        .errors([ApiError::OutcomeUnknown, ApiError::Refused]);
    let changed = |it: Describing| it.answer("The queue.", named("Queue"), &[]);
    let counts = |it: Describing| it.error(ApiError::TooExpensive).answer("The numbers.", named("Stats"), &[]);
    let test = guarded(Post, "/queues/{id}/test", "queues", "Sends one signed sample to the receiver of a queue")
        .description(
            "Now, by a deliverer, once, also if the queue is paused; and answers what came of it. Nothing of the queue changes. The \
             request has the header `posthaste-test: true`.",
        )
        .body_of(&[JSON], named("TestRequest"), Some(json!({"body": {"type": "test"}})), Required::False)
        .errors(answers::of_bodies())
        .errors([ApiError::NoDeliverer { taken: false }, ApiError::Overloaded])
        .answer("The attempt.", named("TestResult"), &[]);
    vec![
        test,
        changed(pause),
        changed(resume),
        counts(guarded(Get, "/queues/{id}/stats", "queues", "What waits in a queue, and what became of its messages")),
        counts(guarded(Get, "/stats", "queues", "What waits in all queues, and what became of their messages")),
    ]
}

fn secrets() -> Vec<Describing> {
    let unknown = [ApiError::OutcomeUnknown, ApiError::Refused];
    let create = guarded(
        Post,
        "/queues/{id}/secrets",
        "queues",
        "Makes a secret that the queue's requests are signed with",
    )
    .description(
        "By Standard Webhooks, in the header `webhook-signature`. Earlier secrets of the same type end after the grace \
             period; until then requests are signed with all of them.",
    )
    .body_of(&[JSON], named("NewQueueSecret"), Some(json!({"type": "v1"})), Required::False)
    .errors(answers::of_bodies())
    .errors([ApiError::SecretsKeyMissing, ApiError::value_limit("a queue may have at most 10 secrets".to_owned())])
    .answer("The secret, which is shown this once.", named("CreatedQueueSecret"), &["location", "cache-control"]);
    let list = guarded(Get, "/queues/{id}/secrets", "queues", "Lists what is known of a queue's secrets").answer(
        "The secrets, those that are no longer good as well.",
        list_of("QueueSecret"),
        &[],
    );
    let revoke = guarded(Delete, "/queues/{id}/secrets/{secretId}", "queues", "Revokes a secret of a queue")
        .description("From the next delivery on nothing is signed with it. Revoking twice is revoking once.")
        .parameter(parameters::path("secretId"))
        .errors(unknown.clone())
        .answer("The revoked secret.", named("QueueSecret"), &[]);
    let credentials = "/queues/{id}/credentials";
    let example = json!({"authorization": {"type": "bearer", "token": "…"}});
    let set = guarded(Put, credentials, "queues", "Sets what a queue shows its receiver to be let in")
        .description("In the place of what it has. It is stored encrypted, and never answered.")
        .body("NewQueueCredentials", example)
        .error(ApiError::SecretsKeyMissing)
        .answer("What may be shown of them.", named("QueueCredentials"), &[]);
    let describe = guarded(Get, credentials, "queues", "Shows what may be shown of a queue's credentials").answer(
        "It.",
        named("QueueCredentials"),
        &[],
    );
    let delete = guarded(Delete, credentials, "queues", "Takes a queue's credentials away").errors(unknown).answer(
        "What they were.",
        named("QueueCredentials"),
        &[],
    );
    vec![create, list, revoke, set, describe, delete]
}

fn messages() -> Vec<Describing> {
    let on_error = words(["fail-item", "fail-all"]).default(Some(json!("fail-item")));
    let meaning = "`fail-item` stores what can be stored; `fail-all` stores all or nothing.";
    let message = requests::example_of(Entity::Message);
    let batch = guarded(Post, "/messages/batch", "messages", "Stores up to 10,000 messages by one commit")
        .description(
            "A JSON array, or one message a line (application/x-ndjson). Each message has its own result, in order, and may \
             have its own `idempotencyKey`; the header Idempotency-Key is refused.",
        )
        .parameter(parameters::query("onError", meaning, on_error))
        .body_of(&[JSON], named("Batch"), Some(json!([message])), Required::True)
        .errors(answers::of_bodies())
        .errors([ApiError::BatchTooLarge, ApiError::Overloaded, ApiError::BacklogFull { queue: Some(1) }])
        .answer("What became of each.", named("BatchResult"), &[])
        .error(ApiError::BatchRefused { failed: 1, count: 3 });
    let cancel = guarded(Post, "/messages/{id}/cancel", "messages", "Stops the delivery of a message")
        .description("After a success it is never delivered again. Cancelling twice is cancelling once.")
        .errors([ApiError::NotPending, ApiError::InFlight, ApiError::OutcomeUnknown, ApiError::Refused])
        .answer("The message.", named("Message"), &[]);
    let attempts = guarded(Get, "/messages/{id}/attempts", "messages", "What was attempted for a message, in order")
        .error(ApiError::TooExpensive)
        .answer("The attempts that have ended.", list_of("Attempt"), &[]);
    let replay = guarded(Post, "/messages/{id}/replay", "messages", "Stores a message that has ended once more")
        .description(
            "As a message of its own, with `replayOf`. Its receiver is sent the `webhook-id` of what it repeats, and the header \
             `posthaste-replay`.",
        )
        .errors([ApiError::StillPending, ApiError::BacklogFull { queue: Some(1) }, ApiError::OutcomeUnknown])
        .error(ApiError::Refused)
        .answer("The new message.", named("Message"), &["location"]);
    vec![batch, cancel, attempts, replay]
}

fn crons() -> Vec<Describing> {
    ["/crons", "/cron"].into_iter().flat_map(crons_at).collect()
}

fn crons_at(path: &str) -> Vec<Describing> {
    let unknown = || [ApiError::OutcomeUnknown, ApiError::Refused];
    let at = |action: &str| format!("{path}/{{id}}/{action}");
    let text = |name: &str, meaning: &str| parameters::query(name, meaning, of(Type::String));
    let count =
        |most: i64, default: i64| of(Type::Integer).minimum(Some(1)).maximum(Some(most)).default(Some(json!(default)));
    vec![
        guarded(Post, &at("trigger"), "crons", "Fires a cron now, beside its schedule")
            .description("Also if it is paused.")
            .errors([ApiError::Unfinished, ApiError::BacklogFull { queue: Some(1) }])
            .errors(unknown())
            .answer("The message.", named("Message"), &["location"]),
        guarded(Post, &at("pause"), "crons", "Stops a cron")
            .description(
                "A message that is to come is cancelled. What is missed meanwhile is dealt with as `missed` says.",
            )
            .errors(unknown())
            .answer("The cron.", named("Cron"), &[]),
        guarded(Post, &at("resume"), "crons", "Goes on with a cron").errors(unknown()).answer(
            "The cron.",
            named("Cron"),
            &[],
        ),
        guarded(Get, &at("ticks"), "crons", "What became of the latest ticks of a cron")
            .description("Latest first, of the last seven days.")
            .parameter(parameters::query("limit", "How many.", count(tick::MOST, tick::DEFAULT)))
            .parameter(text("before", "Only those before this time."))
            .answer("The ticks.", list_of("CronTick"), &[]),
        guarded(Get, &format!("{path}/preview"), "crons", "When a cron would fire")
            .parameters([
                text("schedule", "As the field of a cron."),
                text("timezone", "As the field of a cron."),
                text("every", "As the field of a cron."),
                text("at", "As the field of a cron."),
                text("startAt", "As the field of a cron."),
                text("endAt", "As the field of a cron."),
                text("from", "After when; now, if it is not given."),
                parameters::query("count", "How many ticks.", count(tick::MOST_PREVIEWED, tick::PREVIEWED)),
            ])
            .errors([ApiError::InvalidValue { field: "schedule", problem: "…".to_owned() }])
            .answer("In words, and its first ticks.", named("CronPreview"), &[]),
    ]
}

fn jobs() -> Vec<Describing> {
    let begin = |path: &str, summary: &str, description: &str, example: serde_json::Value| {
        guarded(Post, path, "jobs", summary)
            .description(&format!(
                "{description} In steps, by the scheduler, beside everything else; the job tells how far it is. Only messages \
                 that the conditions let through, and that were stored before. With `preview` nothing is begun."
            ))
            .parameters(parameters::conditions::<MessageField>())
            .body_of(&[JSON], named("JobRequest"), Some(example), Required::False)
            .errors(answers::of_bodies())
            .errors(super::entities::of_conditions())
            .answer("The job; with `preview` what it would do.", either(named("Job"), named("JobPreview")), &["location"])
    };
    let unknown = || [ApiError::OutcomeUnknown, ApiError::Refused];
    let tell = |path: &str, summary: &str| {
        guarded(Post, path, "jobs", summary).errors(unknown()).answer("How it stands now.", named("Job"), &[])
    };
    let queue = of(Type::Integer);
    vec![
        begin("/queues/{id}/purge", "Cancels pending messages of a queue", "", json!({"preview": true})),
        begin(
            "/queues/{id}/replay",
            "Stores messages of a queue that have ended once more",
            "Those that failed or expired, unless the conditions name `status` or `failed`.",
            json!({"errorClass": "total_timeout", "ratePerSecond": 50}),
        ),
        begin(
            "/queues/{id}/redrive",
            "Stores the dead letters of a queue once more, in the queues that they come from",
            "Each once, however often that is asked for, with its ordering key and priority; those that are still pending here are \
             cancelled. What is no dead letter, and one whose queue is gone, stays as it is.",
            json!({"ratePerSecond": 50}),
        ),
        guarded(Get, "/jobs", "jobs", "Lists the latest purges, replays and redrives")
            .parameter(parameters::query("queueId", "Only those of this queue.", queue))
            .answer("The jobs, at most 100.", list_of("Job"), &[]),
        guarded(Get, "/jobs/{id}", "jobs", "Reads a job").answer("It.", named("Job"), &[]),
        tell("/jobs/{id}/pause", "Pauses a job"),
        tell("/jobs/{id}/resume", "Goes on with a job"),
        tell("/jobs/{id}/cancel", "Cancels a job; what it has done stays done"),
    ]
}

fn topics() -> Vec<Describing> {
    let subscription = "/topics/{name}/subscriptions/{queueId}";
    let about = |it: Describing| it.parameter(parameters::topic());
    let one = |it: Describing| about(it).parameter(parameters::path("queueId")).error(answers::not_found(subscription));
    let publish = guarded(
        Post,
        "/topics/{name}/messages",
        "topics",
        "Stores one message for each queue that subscribes to a topic",
    )
    .description("All by one commit. Where nobody subscribes, or takes it, nothing is stored.")
    .parameter(parameters::idempotency_key())
    .body("PublishedMessage", json!({"body": {"order": 42}, "headers": {"x-kind": "created"}}))
    .errors([ApiError::IdempotencyConflict, ApiError::Overloaded, ApiError::BacklogFull { queue: Some(1) }])
    .error(ApiError::ReadOnlyField { field: "id", instead: "leave it out" })
    .answer("The messages.", list_of("Message"), &[]);
    let list = guarded(Get, "/topics/{name}/subscriptions", "topics", "Lists the subscriptions of a topic").answer(
        "The subscriptions.",
        list_of("Subscription"),
        &[],
    );
    let subscribe =
        guarded(Put, subscription, "topics", "Subscribes a queue to a topic, or changes what it takes of it")
            .body_of(
                &[JSON],
                named("SubscriptionRequest"),
                Some(json!({"filter": {"x-kind": ["created"]}})),
                Required::False,
            )
            .errors(answers::of_bodies())
            .answer("The subscription.", named("Subscription"), &[]);
    let unsubscribe = guarded(Delete, subscription, "topics", "Ends a subscription")
        .errors([ApiError::OutcomeUnknown, ApiError::Refused])
        .answer("What it was.", named("Subscription"), &[]);
    vec![about(publish), about(list), one(subscribe), one(unsubscribe)]
}

fn keys() -> Vec<Describing> {
    let example = json!({"name": "ci", "scopes": ["messages:write"], "queueIds": ["1"], "rateLimit": 100});
    let create = guarded(Post, "/api-keys", "api-keys", "Creates a key")
        .body("NewApiKey", example)
        .error(ApiError::UnknownQueue { field: "queueIds", id: 99999 })
        .answer("The key, which is shown this once.", named("CreatedApiKey"), &["location", "cache-control"]);
    let list = paged(guarded(Get, "/api-keys", "api-keys", "Lists keys"));
    let get = guarded(Get, "/api-keys/{id}", "api-keys", "Reads what is known of a key");
    let revoke = guarded(Delete, "/api-keys/{id}", "api-keys", "Revokes a key")
        .errors([ApiError::OutcomeUnknown, ApiError::Refused])
        .description("It stays listed. Revoking twice is revoking once.");
    vec![
        create,
        list.answer("The keys.", list_of("ApiKey"), &[]),
        get.answer("It.", named("ApiKey"), &[]),
        revoke.answer("The revoked key.", named("ApiKey"), &[]),
    ]
}

fn paged(describing: Describing) -> Describing {
    let errors = [ApiError::LimitTooLarge(101), ApiError::LimitNegative(-1), ApiError::OffsetNegative(-1)];
    describing.parameters(parameters::page()).errors(errors).error(ApiError::TooExpensive)
}

fn audit_log() -> Describing {
    let bounds = ["gt", "gte", "lt", "lte"]
        .map(|bound| parameters::query(&format!("where.at.{bound}"), "", parameters::moment()));
    paged(guarded(Get, "/audit-log", "audit-log", "Lists changes, the newest first")).parameters(bounds).answer(
        "The entries.",
        list_of("AuditEntry"),
        &[],
    )
}

/// Its errors are those of GraphQL over HTTP, so its operations say less than the others.
fn graphql() -> Vec<Describing> {
    let answers = |describing: Describing| {
        describing
            .answer("Data, errors, or both.", named("GraphqlAnswer"), &[])
            .other_answer("400", "No GraphQL request of this schema.", named("GraphqlAnswer"))
            .other_answer("405", "A mutation by GET.", named("GraphqlAnswer"))
    };
    let query = parameters::query("query", "A query; mutations take POST.", of(Type::String));
    let variables = parameters::query("variables", "As JSON.", of(Type::String));
    let name = parameters::query("operationName", "", of(Type::String));
    let example = json!({"query": "query ($n: LimitInt) { queues(limit: $n) { id name } }", "variables": {"n": 5}});
    let post = guarded(Post, "/graphql", "graphql", "Runs a query or mutation")
        .description(
            "Subscriptions are a WebSocket at this path, by `graphql-transport-ws` or `graphql-ws`. Errors have their code in \
             `extensions.code`: the codes of REST, `PH_NOT_FOUND` where the row to be changed does not exist, and \
             `PH_CHANGES_MISSED` where a subscription ends because it fell behind.",
        )
        .body("GraphqlRequest", example);
    let get = guarded(Get, "/graphql", "graphql", "Runs a query").parameters([query, variables, name]);
    vec![answers(post), answers(get)]
}

fn health() -> Vec<Describing> {
    let alive = open(Get, "/healthz", "health", "Whether the process lives").without_credentials();
    let ready = open(Get, "/readyz", "health", "Whether it is to get requests").without_credentials();
    let metrics = guarded(Get, "/metrics", "health", "How it does, in Prometheus' text format")
        .description("For administrators. With `METRICS_PORT` it is also served there, and needs no credentials.");
    vec![
        metrics.text("The metrics of this process.", &["cache-control"]),
        alive.answer("It does.", named("Health"), &[]),
        ready.answer("It is.", named("Health"), &[]).other_answer(
            "503",
            "It is not: it stops, or its database does not answer.",
            named("Unavailable"),
        ),
    ]
}
