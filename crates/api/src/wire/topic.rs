//! Topics in JSON.

use posthaste_core::topic::{Filter, check_name};
use posthaste_store::subscription::Subscription;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::fields::Fields;
use super::value::{given, invalid};
use super::{Date, Id};
use crate::error::ApiError;

/// A subscription as it is answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionView<'a> {
    topic: &'a str,
    queue_id: Id,
    filter: Option<&'a Value>,
    created_at: Date,
}

impl<'a> From<&'a Subscription> for SubscriptionView<'a> {
    fn from(subscription: &'a Subscription) -> SubscriptionView<'a> {
        SubscriptionView {
            topic: &subscription.topic,
            queue_id: Id(subscription.queue.0),
            filter: subscription.filter.as_ref(),
            created_at: Date(subscription.created_at),
        }
    }
}

/// The name of a topic.
///
/// # Errors
/// It is none.
pub fn name(name: &str) -> Result<String, ApiError> {
    check_name(name).map_err(|problem| ApiError::Validation(format!("topic: {problem}")))?;
    Ok(name.to_owned())
}

/// What a request says about a subscription: its filter; nothing takes everything.
///
/// # Errors
/// The first fault.
pub fn read(body: Option<Fields<'_>>) -> Result<Option<Value>, ApiError> {
    let Some(mut fields) = body else { return Ok(None) };
    let filter = filter(fields.take("filter"))?;
    fields.finish()?;
    Ok(filter)
}

/// Which messages a subscription takes, by their headers; `null` or nothing takes all.
///
/// # Errors
/// It is something else.
pub fn filter(value: Option<&RawValue>) -> Result<Option<Value>, ApiError> {
    let Some(value) = given(value) else { return Ok(None) };
    let json: Value = serde_json::from_str(value.get()).map_err(|_| ApiError::InvalidJson)?;
    if value.get().contains("\\u0000") {
        return Err(invalid("filter", "must not contain U+0000"));
    }
    Filter::parse(&json).map_err(|problem| invalid("filter", problem))?;
    Ok(Some(json))
}
