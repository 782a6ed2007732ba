//! Queries and mutations over HTTP.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::web::{Data, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Response, ServerError, Variables};
use serde::Deserialize;
use serde_json::Value;

use super::execution::{Prepared, execute, prepare};
use crate::app::App;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::json;
use crate::ops::Beside;
use crate::wire::trace::Trace;

/// The body is the query itself.
const GRAPHQL: &str = "application/graphql";

/// `GET /graphql?query=…`
pub async fn get(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Parameters {
        query: Option<String>,
        operation_name: Option<String>,
        variables: Option<String>,
    }

    let Ok(Query(parameters)) = Query::<Parameters>::from_query(request.query_string()) else {
        return failed("the query string cannot be read");
    };
    let Some(query) = parameters.query else {
        return failed("Unknown query");
    };
    let variables = match parameters.variables.as_deref().filter(|variables| !variables.is_empty()) {
        None => Value::Null,
        Some(text) => match serde_json::from_str(text) {
            Ok(variables @ (Value::Object(_) | Value::Null)) => variables,
            Ok(_) | Err(_) => return failed("variables must be a JSON object"),
        },
    };
    let asked = asked(query, parameters.operation_name, variables);
    answer(&app, caller, beside(&request), asked, true).await
}

/// `POST /graphql`
pub async fn post(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(GRAPHQL) {
        let query = json::plain_text(&app, &request, payload).await?;
        return answer(&app, caller, beside(&request), asked(query.to_owned(), None, Value::Null), false).await;
    }
    let body = json::text(&app, &request, payload).await?;
    let mut body = match serde_json::from_str(&body) {
        Ok(Value::Object(body)) => body,
        Ok(Value::Array(_)) => return failed("operations are taken one by one, not in an array"),
        Ok(_) => return failed("body must be object"),
        Err(_) => return Err(ApiError::InvalidJson),
    };
    let query = match body.remove("query") {
        Some(Value::String(query)) => query,
        Some(Value::Null) | None => return failed("Unknown query"),
        Some(_) => return failed("body/query must be string"),
    };
    let name = match body.remove("operationName") {
        Some(Value::String(name)) => Some(name),
        Some(Value::Null) | None => None,
        Some(_) => return failed("body/operationName must be string"),
    };
    let variables = match body.remove("variables") {
        Some(variables @ Value::Object(_)) => variables,
        Some(Value::Null) | None => Value::Null,
        Some(_) => return failed("body/variables must be object"),
    };
    answer(&app, caller, beside(&request), asked(query, name, variables), false).await
}

fn asked(query: String, name: Option<String>, variables: Value) -> Request {
    let request = Request::new(query).variables(Variables::from_json(variables));
    match name.filter(|name| !name.is_empty()) {
        Some(name) => request.operation_name(name),
        None => request,
    }
}

/// Only the trace: an idempotency key is of one message, and an operation may store many.
fn beside(request: &HttpRequest) -> Beside {
    Beside { idempotency_key: None, trace: Trace::of(request.headers()) }
}

async fn answer(
    app: &Data<App>,
    caller: Caller,
    beside: Beside,
    request: Request,
    only_reads: bool,
) -> Result<HttpResponse, ApiError> {
    let prepared = match prepare(request) {
        Ok(prepared) => prepared,
        Err(error) => return written(&Response::from_errors(vec![error]), StatusCode::BAD_REQUEST),
    };
    match prepared {
        Prepared { operation: Some(OperationType::Mutation), .. } if only_reads => {
            let error = ServerError::new("Operation cannot be performed via a GET request", None);
            written(&Response::from_errors(vec![error]), StatusCode::METHOD_NOT_ALLOWED)
        }
        prepared => {
            let (response, memory) = execute(app, caller, beside, prepared).await;
            // What a resolver refuses has a path; what has none was wrong before any was asked.
            let refused = response.errors.iter().any(|error| error.path.is_empty());
            let status = if refused { StatusCode::BAD_REQUEST } else { StatusCode::OK };
            json::large_answer(HttpResponse::build(status), memory, &response)
        }
    }
}

/// The answer to what is no operation.
fn failed(problem: &str) -> Result<HttpResponse, ApiError> {
    written(&Response::from_errors(vec![ServerError::new(problem, None)]), StatusCode::BAD_REQUEST)
}

fn written(response: &Response, status: StatusCode) -> Result<HttpResponse, ApiError> {
    let mut answer = HttpResponse::build(status);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        answer.insert_header(("allow", HeaderValue::from_static("POST")));
    }
    json::answer(answer, response)
}
