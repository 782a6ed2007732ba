//! The OpenAPI document of the REST interface.

use utoipa::openapi::path::{HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathsBuilder,
    ResponseBuilder, SecurityRequirement, ServerBuilder,
};

use crate::rest::parameters::LARGEST_LIMIT;

const DESCRIPTION: &str = "Webhooks, an HTTP task queue and cron on nothing but PostgreSQL.\n\nStore a message in a queue: it \
     is delivered by HTTP to the queue's callback URL, now or at a time you choose, is retried until the receiver has it, and \
     goes to a dead letter queue if it never does. A cron stores messages by itself.";

/// The groups of routes.
const TAGS: [(&str, &str); 3] = [
    ("queues", "Where messages go: a callback URL, and how often to try."),
    ("messages", "What is to be delivered, when, and what became of it."),
    ("crons", "Messages that are stored by a schedule."),
];

/// The document.
#[must_use]
pub fn document() -> OpenApi {
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
        .paths(PathsBuilder::new().path("/queues/", PathItem::new(HttpMethod::Get, list_queues())))
        .components(Some(components()))
        .security(Some(security.into_iter().chain([SecurityRequirement::default()])))
        .build()
}

fn components() -> utoipa::openapi::Components {
    let header = |name: &str, description: &str| {
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, description)))
    };
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    ComponentsBuilder::new()
        .security_scheme("adminSecret", header("X-PLATFORMATIC-ADMIN-SECRET", "The `ADMIN_SECRET` of the API."))
        .security_scheme("bearer", SecurityScheme::Http(bearer))
        .security_scheme("apiKey", header("X-API-Key", "A key that was created over the API."))
        .build()
}

fn list_queues() -> OperationBuilder {
    let answer = ContentBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::Array))).build();
    let answer = ResponseBuilder::new().description("The queues.").content("application/json", answer);
    OperationBuilder::new()
        .tag("queues")
        .operation_id(Some("listQueues"))
        .summary(Some("Lists queues"))
        .parameter(integer("limit", "How many, at most.", 0, LARGEST_LIMIT, 10))
        .parameter(integer("offset", "How many to leave out before them.", 0, i64::MAX, 0))
        .response("200", answer)
}

fn integer(name: &str, description: &str, least: i64, most: i64, default: i64) -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(utoipa::Number::from(least)))
        .maximum(Some(utoipa::Number::from(most)))
        .default(Some(default.into()));
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query).description(Some(description));
    parameter.schema(Some(schema)).build()
}
