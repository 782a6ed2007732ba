use posthaste_core::entity::Field;
use posthaste_core::time::Timestamp;

use super::super::output::{IdStyle, View};
use super::*;

fn create(json: &str) -> Result<NewQueue, ApiError> {
    QueuePatch::read_whole(Fields::parse(json)?)?.create()
}

fn problem(json: &str) -> String {
    create(json).unwrap_err().to_string()
}

fn queue() -> Queue {
    Queue {
        id: QueueId(1),
        name: "q".to_owned(),
        callback_url: "http://x/".to_owned(),
        method: "POST".to_owned(),
        headers: Some(serde_json::json!({"X-A": "1"})),
        dead_letter_queue_id: None,
        event_queue_id: None,
        max_retries: Some(1),
        created_at: Timestamp(0),
        updated_at: Timestamp(1000),
        paused_at: None,
        paused_reason: None,
        policy: Policy::default(),
    }
}

#[test]
fn the_least_that_is_needed() {
    let queue = create(r#"{"name":"q","callbackUrl":"http://x/","method":"POST"}"#).unwrap();
    let expected = NewQueue {
        name: "q".to_owned(),
        callback_url: "http://x/".to_owned(),
        method: "POST".to_owned(),
        headers: None,
        dead_letter_queue_id: None,
        event_queue_id: None,
        max_retries: Some(5),
        policy: Policy::default(),
    };
    assert_eq!(queue, expected);
}

#[test]
fn everything() {
    let queue = create(
        r#"{"id":null,"name":"q","callbackUrl":"http://x/","method":"PUT","headers":{"X-A":"1"},"deadLetterQueueId":"7",
            "maxRetries":null,"createdAt":"x","updatedAt":1,"pausedAt":null}"#,
    )
    .unwrap();
    assert_eq!(queue.headers, Some(serde_json::json!({"X-A": "1"})));
    assert_eq!((queue.dead_letter_queue_id, queue.max_retries), (Some(QueueId(7)), None));
}

#[test]
fn what_is_wrong_is_named() {
    assert_eq!(problem("{}"), "body must have required property 'callbackUrl'");
    assert_eq!(problem(r#"{"callbackUrl":"http://x/","method":"POST"}"#), "body must have required property 'name'");
    let with = |field: &str| problem(&format!(r#"{{"name":"q","callbackUrl":"http://x/","method":"POST",{field}}}"#));
    assert_eq!(with(r#""name":null"#), "body/name must be string");
    assert_eq!(with(r#""maxRetries":"many""#), "body/maxRetries must be integer");
    assert_eq!(with(r#""headers":"{}""#), "body/headers must be object");
    assert_eq!(with(r#""maxRetry":1"#), "body has no property 'maxRetry'");
    assert_eq!(with(r#""id":1"#), "body/id is set by Posthaste alone: leave it out; PUT /queues/{id} changes a queue");
    for (field, value) in [
        ("callbackUrl", "\"ftp://x/\""),
        ("method", "\"CONNECT\""),
        ("name", "\"\""),
        ("maxRetries", "-1"),
        ("headers", "{\"a\": []}"),
        ("headers", "{\"Webhook-Id\": \"x\"}"),
        ("retryPolicy", "\"slow\""),
        ("maxAgeSeconds", "0"),
        ("maxAgeSeconds", "31536001"),
        ("finalStatuses", "[200]"),
        ("connectTimeoutMs", "60001"),
        ("timeoutMs", "900001"),
        ("timeoutMs", "0"),
    ] {
        let problem = with(&format!("\"{field}\":{value}"));
        assert!(problem.starts_with(&format!("body/{field}: ")), "{problem}");
    }
}

#[test]
fn retries_follow_the_schedule() {
    let retries = |json: &str| {
        let with = format!(r#"{{"name":"q","callbackUrl":"http://x/","method":"POST",{json}}}"#);
        create(&with).unwrap().max_retries
    };
    for (json, expected) in [
        (r#""retryPolicy":"standard""#, Some(9)),
        (r#""retryPolicy":{"type":"schedule","waitsMs":[1,2]}"#, Some(2)),
        (r#""retryPolicy":"fast""#, Some(5)),
        (r#""retryPolicy":null"#, Some(5)),
        (r#""retryPolicy":"standard","maxRetries":3"#, Some(3)),
        (r#""retryPolicy":"standard","maxRetries":null"#, None),
    ] {
        assert_eq!(retries(json), expected, "{json}");
    }
}

#[test]
fn how_messages_are_delivered() {
    let fields = r#""retryPolicy":"fast","maxAgeSeconds":60,"finalStatuses":[404,"5xx"],"connectTimeoutMs":"7","timeoutMs":8,
                    "deadLetterExpired":false,"maxConcurrency":3,"rateLimit":{"perSecond":0.5,"burst":2},"maxBacklog":9"#;
    let queue = create(&format!(r#"{{"name":"q","callbackUrl":"http://x/","method":"POST",{fields}}}"#)).unwrap();
    let expected = Policy {
        backoff: Some(Backoff::fast()),
        max_age_seconds: 60,
        final_statuses: Some(vec!["404".to_owned(), "5xx".to_owned()]),
        connect_timeout_ms: Some(7),
        timeout_ms: Some(8),
        dead_letter_expired: false,
        max_concurrency: Some(3),
        rate_limit: Some(RateLimit { per_second: 0.5, burst: 2 }),
        max_backlog: Some(9),
    };
    assert_eq!(queue.policy, expected);
}

#[test]
fn what_is_not_mentioned_stays() {
    let patch = |json: &str| QueuePatch::read(Fields::parse(json).unwrap()).unwrap();
    assert_eq!(patch("{}").apply(&queue()), Ok(queue()));
    let changed = patch(r#"{"name":"p","headers":null,"maxRetries":null,"deadLetterQueueId":9}"#).apply(&queue());
    let expected = Queue {
        name: "p".to_owned(),
        headers: None,
        max_retries: None,
        dead_letter_queue_id: Some(QueueId(9)),
        ..queue()
    };
    assert_eq!(changed, Ok(expected));
}

#[test]
fn an_answer_can_be_sent_back() {
    let queue = queue();
    let view = View { row: &queue, fields: QueueField::ALL, ids: IdStyle::Text, output };
    let json = serde_json::to_string(&view).unwrap();
    assert_eq!(QueuePatch::read_whole(Fields::parse(&json).unwrap()).unwrap().apply(&queue), Ok(queue.clone()));
    let other = QueuePatch::read(Fields::parse(r#"{"id":"2"}"#).unwrap()).unwrap().apply(&queue);
    assert!(matches!(other, Err(ApiError::ReadOnlyField { field: "id", .. })));
}

#[test]
fn keys_come_in_the_order_of_the_original() {
    let view = View { row: &queue(), fields: QueueField::ALL, ids: IdStyle::Text, output };
    assert_eq!(
        serde_json::to_string(&view).unwrap(),
        r#"{"id":"1","name":"q","callbackUrl":"http://x/","method":"POST","headers":{"X-A":"1"},"deadLetterQueueId":null,"maxRetries":1,"createdAt":"1970-01-01T00:00:00.000Z","updatedAt":"1970-01-01T00:00:00.001Z","pausedAt":null,"pausedReason":null,"retryPolicy":null,"maxAgeSeconds":604800,"finalStatuses":null,"connectTimeoutMs":null,"timeoutMs":null,"deadLetterExpired":true,"maxConcurrency":null,"rateLimit":null,"eventQueueId":null,"maxBacklog":null}"#
    );
}
