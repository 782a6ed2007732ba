//! `/messages/batch`: many messages in one request, stored by one commit.
//!
//! Each is read and checked by the code that reads a single one, and has its own result, in order. What becomes of the
//! others where one is bad the caller chooses: `onError=fail-item` or `onError=fail-all`.

mod reading;

use actix_web::http::StatusCode;
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use posthaste_core::entity::MessageField;
use posthaste_store::message::OnError;
use serde::Serialize;

use super::parameters::Parameters;
use crate::app::App;
use crate::auth::{Caller, Operation};
use crate::batcher::{NotStored, Stored};
use crate::error::{ApiError, ErrorCode};
use crate::json::{self, Kind};
use crate::ops::{self, Messages};
use crate::wire::idempotency;
use crate::wire::output::{IdStyle, Output};
use crate::wire::trace::Trace;
use reading::Items;

/// `POST /messages/batch`
pub async fn create(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let grant = caller.grant::<MessageField>(Operation::Save)?;
    let on_error = on_error(&request)?;
    if request.headers().contains_key(idempotency::HEADER) {
        let problem = "headers must NOT have Idempotency-Key: each message of a batch takes its own idempotencyKey";
        return Err(ApiError::Validation(problem.to_owned()));
    }
    let trace = Trace::of(request.headers());
    let read_one = |json: &str| {
        let mut message = ops::read_new::<Messages>(&app, &grant, json)?;
        if let Some(trace) = &trace {
            trace.apply(&mut message);
        }
        Ok(message)
    };
    let kind = Kind::of(&request);
    if kind == Kind::Other {
        return Err(ApiError::MediaType);
    }
    if json::announced_length(&request).is_some_and(|length| length > app.max_batch_bytes) {
        return Err(ApiError::BodyTooLarge);
    }
    let items = Items::new(app.memory.reservation(), app.max_body_bytes, app.max_batch_bytes, &read_one);
    let (read, reserved) = items.receive(kind, payload).await?;
    if read.is_empty() {
        return Err(ApiError::Validation("body must NOT have fewer than 1 items".to_owned()));
    }

    let count = read.len();
    let (mut good, mut places) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut results = Vec::with_capacity(count);
    for (index, item) in read.into_iter().enumerate() {
        match item {
            Ok(message) => {
                good.push(message);
                places.push(index);
            }
            Err(error) => results.push(Outcome::failed(index, &error)),
        }
    }
    if on_error == OnError::FailAll && !results.is_empty() {
        return refused(results, count);
    }
    if !good.is_empty() {
        app.backlogs.check(good.iter().map(|message| message.queue_id))?;
        match app.batcher.store_many(good, on_error, reserved).await {
            Ok(stored) => {
                results.extend(places.into_iter().zip(&stored).map(|(index, it)| Outcome::of(index, it, app.ids)))
            }
            Err(NotStored::All(error)) => return Err(error),
            // With this mode all that was read is good, so that the indexes are those of the request.
            Err(NotStored::Because(failed)) => {
                return refused(failed.iter().map(|(index, error)| Outcome::failed(*index, error)).collect(), count);
            }
        }
    }
    results.sort_unstable_by_key(|result| result.index);
    json::ok(&Summary::of(results))
}

/// What becomes of a batch with a bad message.
fn on_error(request: &HttpRequest) -> Result<OnError, ApiError> {
    let mut parameters = Parameters::of(request)?;
    let on_error = match parameters.one("onError").as_deref() {
        None | Some("fail-item") => OnError::FailItem,
        Some("fail-all") => OnError::FailAll,
        Some(_) => {
            let problem = "querystring/onError must be equal to one of the allowed values";
            return Err(ApiError::Validation(problem.to_owned()));
        }
    };
    parameters.finish()?;
    Ok(on_error)
}

/// The answer where one bad message keeps all from being stored.
fn refused(failed: Vec<Outcome>, count: usize) -> Result<HttpResponse, ApiError> {
    let error = ApiError::BatchRefused { failed: failed.len(), count };
    let refusal = Refusal {
        status_code: error.status_code().as_u16(),
        code: error.code().map_or("", ErrorCode::as_str),
        error: error.status_code().canonical_reason().unwrap_or_default(),
        message: error.to_string(),
        summary: Summary::of(failed),
    };
    json::with_status(StatusCode::UNPROCESSABLE_ENTITY, &refusal)
}

#[derive(Serialize)]
struct Summary {
    /// Messages that are stored now, replayed ones not counted.
    accepted: usize,
    failed: usize,
    /// Messages that were stored by an earlier request.
    replayed: usize,
    results: Vec<Outcome>,
}

impl Summary {
    fn of(results: Vec<Outcome>) -> Summary {
        let failed = results.iter().filter(|result| result.error.is_some()).count();
        let replayed = results.iter().filter(|result| result.replayed).count();
        Summary { accepted: results.len() - failed - replayed, failed, replayed, results }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    status_code: u16,
    code: &'static str,
    error: &'static str,
    message: String,
    #[serde(flatten)]
    summary: Summary,
}

/// What became of one message.
#[derive(Serialize)]
struct Outcome {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    status_code: u16,
    code: &'static str,
    message: String,
}

impl Outcome {
    fn of(index: usize, stored: &Result<Stored, ApiError>, ids: IdStyle) -> Outcome {
        match stored {
            Ok(Stored { accepted, replayed, .. }) => {
                Outcome { index, id: Some(Output::Id(accepted.id.0).to_json(ids)), replayed: *replayed, error: None }
            }
            Err(error) => Outcome::failed(index, error),
        }
    }

    fn failed(index: usize, error: &ApiError) -> Outcome {
        let failure = Failure {
            status_code: error.status_code().as_u16(),
            code: error.code().map_or("", ErrorCode::as_str),
            message: error.to_string(),
        };
        Outcome { index, id: None, replayed: false, error: Some(failure) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_their_shape() {
        let outcome = |index, id| Outcome {
            index,
            id: Some(Output::Id(id).to_json(IdStyle::Text)),
            replayed: false,
            error: None,
        };
        let results = vec![
            outcome(0, 1),
            Outcome::failed(1, &ApiError::UnknownQueue { field: "queueId", id: 9 }),
            Outcome { replayed: true, ..outcome(2, 7) },
        ];
        assert_eq!(
            serde_json::to_string(&Summary::of(results)).unwrap(),
            r#"{"accepted":1,"failed":1,"replayed":1,"results":[{"index":0,"id":"1"},{"index":1,"error":{"statusCode":404,"code":"PH_UNKNOWN_QUEUE","message":"body/queueId: there is no queue with id 9"}},{"index":2,"id":"7","replayed":true}]}"#
        );
    }
}
