//! The OpenAPI document of the HTTP interface.
//!
//! Promise: it is what the API does. Fields, operators, error codes and bounds come from the tables that the API itself goes
//! by; a test holds its operations to the routes that are registered; and `just fuzz` calls every operation with all kinds of
//! input and compares the answers with it. What an operation may answer is said per status, with the codes that can occur.

mod answers;
mod entities;
mod meanings;
mod operation;
mod others;
mod parameters;
mod policies;
mod requests;
mod schemas;

use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Components, ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Paths, PathsBuilder,
    SecurityRequirement, ServerBuilder,
};

use self::operation::Described;
use crate::ops::{Crons, Messages, Queues};
use crate::wire::output::IdStyle;

const DESCRIPTION: &str = "Webhooks, an HTTP task queue and cron on nothing but PostgreSQL.\n\nStore a message in a queue: it \
     is delivered by HTTP to the queue's callback URL, now or at a time you choose, is retried until the receiver has it, and \
     goes to a dead letter queue if it never does. A cron stores messages by itself.\n\n\
     Every path may end with a slash. HEAD is GET without the body. A method that a path does not have is answered with 404. \
     A parameter or a field of a body that does not exist is an error and never ignored. \
     Errors are `{\"statusCode\", \"code\", \"error\", \"message\"}`; go by the code, not by the message.\n\n\
     Where CORS_ORIGINS is set, preflights (OPTIONS) are answered with 204, or 403 with `PH_CORS_REFUSED`. What is no request \
     of HTTP/1.1 at all is answered with 400 and `PH_MALFORMED_REQUEST`.";

/// The groups of operations.
const TAGS: [(&str, &str); 7] = [
    ("queues", "Where messages go: a callback URL, and how often to try."),
    ("messages", "What is to be delivered, when, and what became of it."),
    ("crons", "Messages that are stored by a schedule. `/cron` is another name of `/crons`."),
    ("graphql", "The same entities over GraphQL. `/graphiql` is an editor for it."),
    ("api-keys", "Keys with scopes, for administrators."),
    ("audit-log", "What was changed by whom, for administrators."),
    ("health", "For probes. They need no credentials."),
];

/// The document, for an API that writes ids in this style.
#[must_use]
pub fn document(ids: IdStyle) -> OpenApi {
    let tags = TAGS.map(|(name, description)| TagBuilder::new().name(name).description(Some(description)).build());
    let servers = [ServerBuilder::new().url("/").build()];
    let info = InfoBuilder::new()
        .title("Posthaste")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    // Any one of them, or none where everybody is let in.
    let security = ["adminSecret", "bearer", "apiKey"].map(|name| SecurityRequirement::new(name, [""; 0]));
    OpenApiBuilder::new()
        .info(info)
        .servers(Some(servers))
        .tags(Some(tags))
        .paths(paths())
        .components(Some(components(ids)))
        .security(Some(security.into_iter().chain([SecurityRequirement::default()])))
        .build()
}

fn paths() -> Paths {
    let mut paths = PathsBuilder::new().build();
    for Described { method, path, operation } in described() {
        paths.add_path_operation(path, vec![method], operation);
    }
    paths
}

fn described() -> Vec<Described> {
    let mut all = entities::of::<Queues>("/queues");
    all.extend(entities::of::<Messages>("/messages"));
    all.extend(entities::of::<Crons>("/crons"));
    all.extend(entities::of::<Crons>("/cron"));
    all.extend(entities::nested());
    all.extend(others::all());
    all
}

fn components(ids: IdStyle) -> Components {
    let header = |name: &str, description: &str| {
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, description)))
    };
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    let all = schemas::all(ids).into_iter().chain(requests::all());
    all.fold(ComponentsBuilder::new(), |components, (name, schema)| components.schema(name, schema))
        .security_scheme("adminSecret", header("X-PLATFORMATIC-ADMIN-SECRET", "The `ADMIN_SECRET` of the API."))
        .security_scheme("bearer", SecurityScheme::Http(bearer))
        .security_scheme("apiKey", header("X-API-Key", "A key that was created over the API."))
        .build()
}

#[cfg(test)]
mod tests;
