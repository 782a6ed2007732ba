//! Bodies that are right but for one field, a table per resource.

use serde_json::{Value, json};

use super::{
    BLOCKED, EXCESS, Kind, READ_ONLY, Setup, UNKNOWN_FIELD, UNKNOWN_QUEUE, VALIDATION, VALUE, assert_refused, right,
};

/// Fields put over those of a right body, what is answered, and a part of the message.
type Case = (Value, Kind, &'static str);

macro_rules! cases {
    ($($fields:tt => $kind:expr, $says:expr;)*) => { vec![$((json!($fields), $kind, $says),)*] };
}

impl Setup {
    async fn refuses(&self, path: &str, cases: Vec<Case>) {
        for (fields, kind, says) in cases {
            let mut body = right(path);
            for (field, value) in fields.as_object().unwrap() {
                body[field] = value.clone();
            }
            assert_refused(&self.api.post(path, &body).await, &fields.to_string(), kind, says);
        }
        self.assert_nothing_stored().await;
        // So that none of the above was refused for what they share.
        assert_eq!(self.api.post(path, &right(path)).await.status, 200);
    }
}

#[actix_rt::test]
async fn queues() {
    let setup = Setup::new().await;
    let cases = cases! {
        {"name": null} => VALIDATION, "body/name must be string";
        {"name": 1} => VALIDATION, "body/name must be string";
        {"name": ""} => VALUE, "body/name: the name must not be empty";
        {"name": "x".repeat(256)} => EXCESS, "at most 255 characters, not 256";
        {"name": "a\u{0}b"} => VALUE, "must not contain control characters";
        {"callbackUrl": null} => VALIDATION, "body/callbackUrl must be string";
        {"callbackUrl": ["http://x/"]} => VALIDATION, "body/callbackUrl must be string";
        {"callbackUrl": ""} => VALUE, "body/callbackUrl: the callback URL must not be empty";
        {"callbackUrl": "/hook"} => VALUE, "must be absolute";
        {"callbackUrl": "example.com/hook"} => VALUE, "must be absolute";
        {"callbackUrl": "ftp://example.com/"} => VALUE, "must begin with http:// or https://";
        {"callbackUrl": "file:///etc/passwd"} => VALUE, "must begin with http:// or https://";
        {"callbackUrl": "http://me:hunter2@example.com/"} => VALUE, "must not hold a user name or password";
        {"callbackUrl": format!("http://x/{}", "y".repeat(2040))} => EXCESS, "at most 2048 characters";
        {"callbackUrl": "http://x/a b"} => VALUE, "must not contain the character ' '";
        {"callbackUrl": " http://x/"} => VALUE, "must not contain the character ' '";
        {"callbackUrl": "http://x/\r\nHost: y"} => VALUE, "must not contain the character";
        {"callbackUrl": "http://x/ü"} => VALUE, "percent-encode";
        {"callbackUrl": "http://x/#y"} => VALUE, "must not have a fragment";
        {"callbackUrl": "http://"} => VALUE, "must have a valid host";
        {"callbackUrl": "http://[::1/"} => VALUE, "must have a valid host";
        {"callbackUrl": "http://0x7f.1/"} => VALUE, "must have a valid host";
        {"callbackUrl": "http://x:99999/"} => VALUE, "the port of the callback URL";
        {"method": "post"} => VALUE, "body/method: the method must be GET, HEAD, POST";
        {"method": "CONNECT"} => VALUE, "\"CONNECT\" is not";
        {"method": "TRACE"} => VALUE, "\"TRACE\" is not";
        {"method": ""} => VALUE, "the method must be";
        {"method": 1} => VALIDATION, "body/method must be string";
        {"maxRetries": -1} => VALUE, "body/maxRetries: the number of retries must be from 0 to 1000";
        {"maxRetries": 1001} => VALUE, "from 0 to 1000";
        {"maxRetries": "many"} => VALIDATION, "body/maxRetries must be integer";
        {"maxRetries": 1.5} => VALIDATION, "body/maxRetries must be integer";
        {"maxRetries": true} => VALIDATION, "body/maxRetries must be integer";
        {"retryPolicy": "slow"} => VALUE, "body/retryPolicy: takes \"fast\", \"standard\", null, or an object";
        {"retryPolicy": []} => VALUE, "body/retryPolicy: takes";
        {"retryPolicy": {"type": "fixed"}} => VALUE, "must have the property 'waitMs'";
        {"retryPolicy": {"type": "fixed", "waitMs": 0}} => VALUE, "a wait must be from 1 ms to 7 days";
        {"retryPolicy": {"type": "fixed", "waitMs": u64::MAX}} => VALUE, "a wait must be from 1 ms to 7 days";
        {"retryPolicy": {"type": "fixed", "waitMs": 1, "stepMs": 1}} => VALUE, "has no property 'stepMs'";
        {"retryPolicy": {"type": "schedule", "waitsMs": vec![1; 101]}} => VALUE, "1 to 100 waits";
        {"maxAgeSeconds": 0} => VALUE, "body/maxAgeSeconds: takes 1 to 31536000";
        {"maxAgeSeconds": i64::MAX} => VALUE, "takes 1 to 31536000";
        {"maxAgeSeconds": null} => VALIDATION, "body/maxAgeSeconds must be integer";
        {"finalStatuses": 404} => VALIDATION, "body/finalStatuses must be array";
        {"finalStatuses": ["2xx"]} => VALUE, "body/finalStatuses: \"2xx\" is neither a status";
        {"finalStatuses": vec![404; 51]} => VALUE, "at most 50 final statuses";
        {"connectTimeoutMs": 60_001} => VALUE, "body/connectTimeoutMs: takes 1 to 60000";
        {"timeoutMs": 900_001} => VALUE, "body/timeoutMs: takes 1 to 900000";
        {"timeoutMs": "soon"} => VALIDATION, "body/timeoutMs must be integer";
        {"deadLetterExpired": "yes"} => VALIDATION, "body/deadLetterExpired must be boolean";
        {"deadLetterExpired": null} => VALIDATION, "body/deadLetterExpired must be boolean";
        {"callbackUrl": "http://10.0.0.1/"} => BLOCKED, "the address is not public: a private network (10.0.0.0/8)";
        {"callbackUrl": "http://[::ffff:169.254.169.254]/"} => BLOCKED, "cloud metadata";
        {"maxConcurrency": 0} => VALUE, "body/maxConcurrency: takes 1 to 10000";
        {"maxConcurrency": "many"} => VALIDATION, "body/maxConcurrency must be integer";
        {"rateLimit": 5} => VALUE, "body/rateLimit: takes null, or an object with perSecond";
        {"rateLimit": {"perSecond": 0}} => VALUE, "body/rateLimit: perSecond takes a number";
        {"maxBacklog": 0} => VALUE, "body/maxBacklog: takes 1 to 100000000";
        {"eventQueueId": 99} => UNKNOWN_QUEUE, "body/eventQueueId: there is no queue with id 99";
        {"deadLetterQueueId": 99} => UNKNOWN_QUEUE, "body/deadLetterQueueId: there is no queue with id 99";
        {"deadLetterQueueId": -1} => UNKNOWN_QUEUE, "there is no queue with id -1";
        {"deadLetterQueueId": "x"} => VALIDATION, "body/deadLetterQueueId must be integer";
        {"id": 7} => READ_ONLY, "body/id is set by Posthaste alone";
        {"id": "1"} => READ_ONLY, "body/id is set by Posthaste alone";
        {"maxRetry": 1} => UNKNOWN_FIELD, "body has no property 'maxRetry'";
        {"__proto__": {}} => UNKNOWN_FIELD, "body has no property '__proto__'";
        {"Name": "x"} => UNKNOWN_FIELD, "body has no property 'Name'";
    };
    setup.refuses("/queues/", cases.into_iter().chain(headers()).collect()).await;
}

#[actix_rt::test]
async fn a_queue_is_not_its_own_dead_letter_queue() {
    let setup = Setup::new().await;
    let next = "SELECT last_value + 1 FROM posthaste.queues_id_seq";
    let mut queue = right("/queues/");
    let own = setup.database.number(next).await;
    queue["deadLetterQueueId"] = json!(own);
    let says = format!("body/deadLetterQueueId: there is no queue with id {own}");
    assert_refused(&setup.api.post("/queues/", &queue).await, "its own", UNKNOWN_QUEUE, &says);
    assert_eq!(setup.database.number(next).await, own, "it was looked for before an id was drawn");
    setup.assert_nothing_stored().await;
}

#[actix_rt::test]
async fn messages() {
    const TIMES: &str = "body/when: takes a time such as 2026-11-23T13:15:54.470Z";
    let setup = Setup::new().await;
    let cases = cases! {
        {"queueId": null} => VALIDATION, "body/queueId must be integer";
        {"queueId": "q"} => VALIDATION, "body/queueId must be integer";
        {"queueId": 1.5} => VALIDATION, "body/queueId must be integer";
        {"queueId": [1]} => VALIDATION, "body/queueId must be integer";
        {"queueId": "9223372036854775808"} => VALIDATION, "body/queueId must be integer";
        {"queueId": 99} => UNKNOWN_QUEUE, "body/queueId: there is no queue with id 99";
        {"queueId": 0} => UNKNOWN_QUEUE, "there is no queue with id 0";
        {"queueId": i64::MIN} => UNKNOWN_QUEUE, "there is no queue with id -9223372036854775808";
        {"when": 1_795_439_754} => VALUE, TIMES;
        {"when": 1_795_439_754_470.5_f64} => VALUE, TIMES;
        {"when": true} => VALUE, TIMES;
        {"when": "1795439754"} => VALUE, TIMES;
        {"when": "nonsense"} => VALUE, TIMES;
        {"when": "tomorrow"} => VALUE, TIMES;
        {"when": "infinity"} => VALUE, TIMES;
        {"when": "10000-01-01T00:00:00Z"} => VALUE, TIMES;
        {"when": "1969-12-31T23:59:59Z"} => VALUE, TIMES;
        {"when": "2026-02-30T00:00:00Z"} => VALUE, TIMES;
        {"when": "23.11.2026"} => VALUE, TIMES;
        {"when": "2026-11-23T13:15:54 Europe/Berlin"} => VALUE, TIMES;
        {"id": 1} => READ_ONLY, "body/id is set by Posthaste alone";
        {"sentAt": "2026-01-01T00:00:00Z"} => READ_ONLY, "body/sentAt is set by Posthaste alone";
        {"failed": true} => READ_ONLY, "body/failed is set by Posthaste alone";
        {"retries": 3} => READ_ONLY, "body/retries is set by Posthaste alone";
        {"cronId": 1} => READ_ONLY, "body/cronId is set by Posthaste alone";
        {"ttl": 1, "expiresAt": "2199-01-01T00:00:01Z"} => VALUE, "body/ttl: cannot be given together with expiresAt";
        {"ttl": 0} => VALUE, "body/ttl: must be more than 0";
        {"ttl": "P1M"} => VALUE, "body/ttl: takes no years and months";
        {"ttl": 1, "when": "2001-01-01T00:00:00Z"} => VALUE, "body/ttl: is over by now";
        {"timeoutMs": 0} => VALUE, "body/timeoutMs: takes 1 to 900000";
        {"connectTimeoutMs": true} => VALIDATION, "body/connectTimeoutMs must be integer";
        {"traceparent": "nonsense"} => VALUE, "body/traceparent: takes a traceparent of W3C Trace Context";
        {"traceparent": 1} => VALIDATION, "body/traceparent must be string";
        {"tracestate": "a=b"} => VALUE, "body/tracestate: takes a traceparent beside it";
        {"headers": {"Webhook-Signature": "v1,x"}} => VALUE, "Posthaste tells receivers about a delivery in it";
        {"headers": {"posthaste-attempt": "1"}} => VALUE, "\"posthaste-attempt\" cannot be set";
        {"headers": {"Proxy-Authorization": "x"}} => VALUE, "it belongs to the connection";
        {"queueID": 1} => UNKNOWN_FIELD, "body has no property 'queueID'";
        {"at": "2026-01-01"} => UNKNOWN_FIELD, "body has no property 'at'";
    };
    setup.refuses("/messages/", cases.into_iter().chain(headers()).collect()).await;
}

#[actix_rt::test]
async fn crons() {
    let setup = Setup::new().await;
    let cases = cases! {
        {"queueId": 99} => UNKNOWN_QUEUE, "body/queueId: there is no queue with id 99";
        {"queueId": "x"} => VALIDATION, "body/queueId must be integer";
        {"schedule": null} => VALIDATION, "body must have required property 'schedule'";
        {"schedule": 5} => VALIDATION, "body/schedule must be string";
        {"schedule": ""} => VALUE, "body/schedule: the schedule must not be empty";
        {"schedule": "* * * *"} => VALUE, "must have five fields";
        {"schedule": "* * * * * * 2026"} => VALUE, "or six (second first), not 7";
        {"schedule": "60 * * * *"} => VALUE, "minute field is wrong at position 1: \"60\" is not a number from 0 to 59";
        {"schedule": "* * * 13 *"} => VALUE, "month field is wrong";
        {"schedule": "*/0 * * * *"} => VALUE, "the step \"0\"";
        {"schedule": "5-1 * * * *"} => VALUE, "ends before it begins";
        {"schedule": "* * * * FOO"} => VALUE, "day of week field is wrong";
        {"schedule": "0 0 30 2 *"} => VALUE, "never fires";
        {"schedule": "@reboot"} => VALUE, "is not a schedule macro";
        {"schedule": "on each day at noon"} => VALUE, "minute field is wrong";
        {"schedule": "* ".repeat(200)} => EXCESS, "at most 255 characters, not 400";
        {"schedule": "* * * * \u{0}"} => VALUE, "day of week field is wrong";
        {"body": "\u{0}"} => VALUE, "must not contain U+0000";
        {"id": 1} => READ_ONLY, "body/id is set by Posthaste alone";
        {"timezone": "Berlin"} => VALUE, "body/timezone: \"Berlin\" is not an IANA time zone";
        {"timezone": 1} => VALIDATION, "body/timezone must be string";
        {"every": "P1D"} => VALUE, "takes one of schedule, every and at";
        {"every": true} => VALIDATION, "body/every must be number or string";
        {"at": "soon"} => VALUE, "body/at: ";
        {"startAt": 5} => VALUE, "body/startAt: ";
        {"startAt": "2199-01-02", "endAt": "2199-01-01"} => VALUE, "endAt must not be before startAt";
        {"endAt": "2020-01-01"} => VALUE, "it never fires again";
        {"jitter": "-PT1S"} => VALUE, "must not be negative";
        {"jitter": "P1DT1S"} => VALUE, "must be at most a day";
        {"missed": "some"} => VALUE, "takes skip, one or all";
        {"missedTolerance": "P1M"} => VALUE, "no years and months";
        {"overlap": "queue"} => VALUE, "takes allow or skip";
        {"method": "FETCH"} => VALUE, "body/method: ";
        {"paused": "yes"} => VALIDATION, "body/paused must be boolean";
        {"headers": {"x": "{{time}}"}} => VALUE, "placeholders";
        {"when": "2026-01-01"} => UNKNOWN_FIELD, "body has no property 'when'";
    };
    setup.refuses("/crons/", cases.into_iter().chain(headers()).collect()).await;
}

/// The same for every resource.
fn headers() -> Vec<Case> {
    const CONTROL: &str = "must not contain line breaks or other control characters";
    cases! {
        {"headers": "{}"} => VALIDATION, "body/headers must be object";
        {"headers": []} => VALIDATION, "body/headers must be object";
        {"headers": {"x": "a\r\ny: b"}} => VALUE, CONTROL;
        {"headers": {"x": "a\u{0}"}} => VALUE, CONTROL;
        {"headers": {"x": null}} => VALUE, "must be a string, a number or a boolean, not null";
        {"headers": {"x": ["a"]}} => VALUE, "must be a string, a number or a boolean, not an array";
        {"headers": {"x": {}}} => VALUE, "must be a string, a number or a boolean, not an object";
        {"headers": {"Transfer-Encoding": "chunked"}} => VALUE, "\"Transfer-Encoding\" cannot be set";
        {"headers": {"content-length": "1"}} => VALUE, "\"content-length\" cannot be set";
        {"headers": {"Connection": "close"}} => VALUE, "\"Connection\" cannot be set";
        {"headers": {"bad name": "x"}} => VALUE, "\"bad name\" is not a header name";
        {"headers": {"": "x"}} => VALUE, "is not a header name";
        {"headers": {"x:": "y"}} => VALUE, "is not a header name";
        {"headers": {"größe": "1"}} => VALUE, "is not a header name";
        {"headers": {"X-A": "1", "x-a": "2"}} => VALUE, "is given twice";
        {"headers": {"x": "y".repeat(20_000)}} => EXCESS, "at most 16384 bytes together";
        {"headers": many(65)} => EXCESS, "at most 64 headers, not 65";
    }
}

fn many(headers: usize) -> Value {
    (0..headers).map(|n| (format!("x-{n}"), json!("y"))).collect::<serde_json::Map<_, _>>().into()
}
