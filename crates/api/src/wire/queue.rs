//! Queues in JSON.

use posthaste_core::queue::{CallbackUrl, Method, QueueName, check_max_retries};
use posthaste_store::queue::{NewQueue, Queue};
use serde::Serialize;
use serde_json::Value;

use super::fields::Fields;
use super::value::{given, headers, integer, invalid, queue_id, refused, string};
use super::{Date, Id};
use crate::error::ApiError;
use crate::json::Input;

/// Retries of a queue that does not say.
const DEFAULT_MAX_RETRIES: u16 = 5;

/// A queue as it is answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueView<'a> {
    id: Id,
    name: &'a str,
    callback_url: &'a str,
    method: &'a str,
    headers: Option<&'a Value>,
    dead_letter_queue_id: Option<Id>,
    max_retries: Option<i32>,
    created_at: Date,
    updated_at: Date,
}

impl<'a> From<&'a Queue> for QueueView<'a> {
    fn from(queue: &'a Queue) -> QueueView<'a> {
        QueueView {
            id: Id(queue.id.0),
            name: &queue.name,
            callback_url: &queue.callback_url,
            method: &queue.method,
            headers: queue.headers.as_ref(),
            dead_letter_queue_id: queue.dead_letter_queue_id.map(|id| Id(id.0)),
            max_retries: queue.max_retries,
            created_at: Date(queue.created_at),
            updated_at: Date(queue.updated_at),
        }
    }
}

impl Input for NewQueue {
    fn read(mut fields: Fields<'_>) -> Result<NewQueue, ApiError> {
        let [callback_url, method, name] = fields.require(["callbackUrl", "method", "name"])?;
        let callback_url = CallbackUrl::parse(&string("callbackUrl", callback_url)?)
            .map_err(|problem| refused("callbackUrl", &problem))?;
        let method = Method::parse(&string("method", method)?).map_err(|problem| invalid("method", problem))?;
        let name = QueueName::parse(&string("name", name)?).map_err(|problem| refused("name", &problem))?;
        let headers = headers(fields.take("headers"))?;
        let dead_letter_queue_id =
            given(fields.take("deadLetterQueueId")).map(|value| queue_id("deadLetterQueueId", value)).transpose()?;
        let max_retries = match fields.take("maxRetries") {
            None => Some(DEFAULT_MAX_RETRIES),
            value => {
                let number = given(value).map(|value| integer("maxRetries", value)).transpose()?;
                check_max_retries(number).map_err(|problem| invalid("maxRetries", problem))?
            }
        };
        fields.take_read_only("id", "null")?;
        fields.ignore_times();
        fields.finish()?;
        Ok(NewQueue {
            name: name.into_string(),
            callback_url: callback_url.into_string(),
            method: method.as_str().to_owned(),
            headers,
            dead_letter_queue_id,
            max_retries: max_retries.map(i32::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use posthaste_core::ids::QueueId;
    use posthaste_core::time::Timestamp;

    use super::*;

    fn read(json: &str) -> Result<NewQueue, ApiError> {
        NewQueue::read(Fields::parse(json)?)
    }

    fn problem(json: &str) -> String {
        read(json).unwrap_err().to_string()
    }

    #[test]
    fn the_least_that_is_needed() {
        let queue = read(r#"{"name":"q","callbackUrl":"http://x/","method":"POST"}"#).unwrap();
        let expected = NewQueue {
            name: "q".to_owned(),
            callback_url: "http://x/".to_owned(),
            method: "POST".to_owned(),
            headers: None,
            dead_letter_queue_id: None,
            max_retries: Some(5),
        };
        assert_eq!(queue, expected);
    }

    #[test]
    fn everything() {
        let queue = read(
            r#"{"id":null,"name":"q","callbackUrl":"http://x/","method":"PUT","headers":{"X-A":"1"},"deadLetterQueueId":"7",
                "maxRetries":null,"createdAt":"x","updatedAt":1}"#,
        )
        .unwrap();
        assert_eq!(queue.headers, Some(serde_json::json!({"X-A": "1"})));
        assert_eq!((queue.dead_letter_queue_id, queue.max_retries), (Some(QueueId(7)), None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(problem("{}"), "body must have required property 'callbackUrl'");
        assert_eq!(
            problem(r#"{"callbackUrl":"http://x/","method":"POST"}"#),
            "body must have required property 'name'"
        );
        let with =
            |field: &str| problem(&format!(r#"{{"name":"q","callbackUrl":"http://x/","method":"POST",{field}}}"#));
        assert_eq!(with(r#""name":null"#), "body/name must be string");
        assert_eq!(with(r#""maxRetries":"many""#), "body/maxRetries must be integer");
        assert_eq!(with(r#""headers":"{}""#), "body/headers must be object");
        assert_eq!(with(r#""maxRetry":1"#), "body has no property 'maxRetry'");
        assert_eq!(with(r#""id":1"#), "body/id is set by Posthaste alone: leave it out");
        for (field, value) in [
            ("callbackUrl", "\"ftp://x/\""),
            ("method", "\"CONNECT\""),
            ("name", "\"\""),
            ("maxRetries", "-1"),
            ("headers", "{\"a\": []}"),
        ] {
            let problem = with(&format!("\"{field}\":{value}"));
            assert!(problem.starts_with(&format!("body/{field}: ")), "{problem}");
        }
    }

    #[test]
    fn keys_come_in_the_order_of_the_original() {
        let queue = Queue {
            id: QueueId(1),
            name: "q".to_owned(),
            callback_url: "http://x/".to_owned(),
            method: "POST".to_owned(),
            headers: Some(serde_json::json!({"X-A": "1"})),
            dead_letter_queue_id: None,
            max_retries: Some(1),
            created_at: Timestamp(0),
            updated_at: Timestamp(1000),
        };
        assert_eq!(
            serde_json::to_string(&QueueView::from(&queue)).unwrap(),
            r#"{"id":"1","name":"q","callbackUrl":"http://x/","method":"POST","headers":{"X-A":"1"},"deadLetterQueueId":null,"maxRetries":1,"createdAt":"1970-01-01T00:00:00.000Z","updatedAt":"1970-01-01T00:00:00.001Z"}"#
        );
    }
}
