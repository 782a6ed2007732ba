//! A span for each request, where traces are told.
//!
//! From there on the request looks as if the span were its caller: what it stores belongs to it, and so do the attempts.

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use posthaste_service::traces::{Side, Span};

use crate::app::App;
use crate::wire::trace::Trace;

/// What asks whether the API is well, or how it does, is no work of anybody's.
const UNTOLD: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// Begins a span that ends with the answer's head.
///
/// # Errors
/// Those of the service behind it.
pub async fn watch<B: MessageBody>(mut request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    let Some(mut span) = begin(&mut request) else { return next.call(request).await };
    let method = request.method().clone();
    let answer = next.call(request).await;
    let status = match &answer {
        Ok(response) => {
            if let Some(route) = response.request().match_pattern() {
                span.rename(format!("{method} {route}"));
                span.note("http.route", route);
            }
            response.status()
        }
        Err(error) => error.as_response_error().status_code(),
    };
    span.note("http.request.method", method.to_string());
    span.note("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.fail("5xx");
    }
    answer
}

fn begin(request: &mut ServiceRequest) -> Option<Span> {
    let app = request.app_data::<Data<App>>()?;
    if UNTOLD.contains(&request.path()) {
        return None;
    }
    let caller = Trace::of(request.headers());
    let span = app.traces.begin(Side::Server, "request", caller.as_ref().map(Trace::parent));
    let own = HeaderValue::from_str(&span.traceparent()?).ok()?;
    request.headers_mut().insert(HeaderName::from_static("traceparent"), own);
    if caller.is_none() {
        // It belongs to no trace (§3.3 of the specification).
        request.headers_mut().remove("tracestate");
    }
    Some(span)
}
