//! Bad input: each with its status, its code and a message that says what is wrong, and nothing stored.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use awc::http::Method;
use posthaste_tests::client::{Answer, Api};
use posthaste_tests::database::Database;
use posthaste_tests::process::{Launch, Process};
use serde_json::{Value, json};

const JSON: &str = "application/json";

const VALIDATION: &str = "FST_ERR_VALIDATION";
const INVALID_JSON: &str = "FST_ERR_CTP_INVALID_JSON_BODY";
const UNKNOWN_FIELD: &str = "PH_UNKNOWN_FIELD";
const UNKNOWN_PARAMETER: &str = "PH_UNKNOWN_PARAMETER";
const UNKNOWN_QUEUE: &str = "PH_UNKNOWN_QUEUE";
const READ_ONLY: &str = "PH_READ_ONLY_FIELD";
const VALUE: &str = "PH_INVALID_VALUE";

/// Words that only a database or its driver would use.
const FOREIGN: [&str; 12] = [
    "sql",
    "postgres",
    "diesel",
    "constraint",
    "relation",
    "violates",
    "select ",
    "insert ",
    "pg_",
    "column",
    "syntax",
    "serde",
];

/// A value in a body that is right but for this; the status, the code, and a part of the message.
type Case = (Value, u16, &'static str, &'static str);

/// An API with one queue (id 1), one pending message and one cron.
struct Setup {
    api: Api,
    _process: Process,
    database: Database,
    before: Vec<i64>,
}

impl Setup {
    async fn new() -> Self {
        let database = Database::new().await;
        let process = Launch::api(&database).start().await;
        let api = process.api();
        api.create_queue(&queue()).await;
        api.create_message(&message()).await;
        api.create_cron(&cron()).await;
        let before = counts(&database).await;
        Self {
            api,
            _process: process,
            database,
            before,
        }
    }

    /// Posts each case's fields over those of `right`.
    async fn refuses(&self, path: &str, right: &Value, cases: Vec<Case>) {
        for (wrong, status, code, says) in cases {
            let mut body = right.clone();
            for (field, value) in wrong.as_object().unwrap() {
                body[field] = value.clone();
            }
            let answer = self.api.post(path, &body).await;
            assert_refused(&answer, &wrong.to_string(), status, code, says);
        }
        // So that none of the above was refused for what they share.
        assert_eq!(self.api.post(path, right).await.status, 200, "{right}");
        self.api.delete(&self.last(path).await).await;
        self.assert_nothing_stored().await;
    }

    /// Posts bodies as they are.
    async fn refuses_bodies(&self, path: &str, bodies: &[(&str, u16, &str, &str)]) {
        for (body, status, code, says) in bodies {
            let answer = self.api.post_raw(path, JSON, *body).await;
            assert_refused(&answer, body, *status, code, says);
        }
        self.assert_nothing_stored().await;
    }

    async fn last(&self, path: &str) -> String {
        let all = self.api.get(&format!("{path}?limit=100")).await.json;
        let id = all.as_array().unwrap().last().unwrap()["id"]
            .as_str()
            .unwrap()
            .to_owned();
        format!("{path}{id}?{}", if path == "/queues/" { "force=true" } else { "" })
    }

    async fn assert_nothing_stored(&self) {
        assert_eq!(counts(&self.database).await, self.before);
    }
}

fn queue() -> Value {
    json!({"name": "q", "callbackUrl": "http://127.0.0.1:9/", "method": "POST"})
}

fn message() -> Value {
    json!({"queueId": 1, "when": "2199-01-01T00:00:00Z"})
}

fn cron() -> Value {
    json!({"queueId": 1, "schedule": "@yearly"})
}

/// Rows that are alive: what was posted to show that it is right has been deleted again.
async fn counts(database: &Database) -> Vec<i64> {
    let sql = "SELECT ARRAY[(SELECT count(*) FROM posthaste.queues), (SELECT count(*) FROM posthaste.crons), \
                   (SELECT count(*) FROM posthaste.messages m JOIN posthaste.pending p ON p.message_id = m.id \
                    WHERE NOT p.cancelled), \
                   (SELECT count(*) FROM posthaste.pending WHERE NOT cancelled), (SELECT count(*) FROM posthaste.attempts)]";
    database.connect().await.query_one(sql, &[]).await.unwrap().get(0)
}

fn assert_refused(answer: &Answer, what: &str, status: u16, code: &str, says: &str) {
    let what: String = what.chars().take(200).collect();
    let (json, text) = (&answer.json, &answer.text);
    assert_eq!(
        (answer.status, json["code"].as_str()),
        (status, Some(code)),
        "{what}: {text}"
    );
    assert_eq!(json["statusCode"], status, "{what}: {text}");
    let message = json["message"].as_str().unwrap();
    assert!(message.contains(says), "{what}: {says:?} in {message:?}");
    let foreign = FOREIGN.iter().find(|word| message.to_lowercase().contains(*word));
    assert_eq!(foreign, None, "{what}: {message}");
    let keys: Vec<_> = json.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["code", "error", "message", "statusCode"], "{what}: {text}");
}

#[actix_rt::test]
async fn what_is_no_object_is_refused() {
    let setup = Setup::new().await;
    for path in ["/queues/", "/messages/", "/crons/"] {
        let no_object =
            ["null", "[]", "[{}]", "1", "true", "\"{}\""].map(|body| (body, 400, VALIDATION, "body must be object"));
        setup.refuses_bodies(path, &no_object).await;
        let no_json = [
            "{",
            "{a: 1}",
            "{\"a\": 1,}",
            "{} {}",
            "{'a': 1}",
            "\u{feff}{}",
            " ",
            "{\"name\": \"\\ud800\"}",
        ]
        .map(|body| (body, 400, INVALID_JSON, "Body is not valid JSON"));
        // The last is half of a surrogate pair, which only a field that is read can show.
        let no_json = if path == "/queues/" {
            &no_json[..]
        } else {
            &no_json[..no_json.len() - 1]
        };
        setup.refuses_bodies(path, no_json).await;
        setup
            .refuses_bodies(
                path,
                &[("", 400, "FST_ERR_CTP_EMPTY_JSON_BODY", "Body cannot be empty")],
            )
            .await;
        let answer = setup.api.post_raw(path, JSON, b"{\"a\": \"\xff\"}".as_slice()).await;
        assert_refused(&answer, "not UTF-8", 400, INVALID_JSON, "Body is not valid JSON");
    }
    setup.assert_nothing_stored().await;
}

#[actix_rt::test]
async fn other_media_types_and_large_bodies_are_refused() {
    let setup = Setup::new().await;
    for (path, body) in [("/queues/", queue()), ("/messages/", message()), ("/crons/", cron())] {
        for kind in [
            "application/x-www-form-urlencoded",
            "application/xml",
            "application/vnd.api+json",
            "multipart/form-data",
            "x",
        ] {
            let answer = setup.api.post_raw(path, kind, body.to_string()).await;
            assert_refused(
                &answer,
                kind,
                415,
                "FST_ERR_CTP_INVALID_MEDIA_TYPE",
                "Unsupported Media Type",
            );
        }
        let answer = setup.api.post_raw(path, "text/plain", body.to_string()).await;
        assert_refused(&answer, "text/plain", 400, VALIDATION, "body must be object");
        let large = format!("{}{body}", " ".repeat(1 << 20));
        let answer = setup.api.post_raw(path, JSON, large).await;
        assert_refused(
            &answer,
            "too large",
            413,
            "FST_ERR_CTP_BODY_TOO_LARGE",
            "Request body is too large",
        );
    }
    setup.assert_nothing_stored().await;
}

#[actix_rt::test]
async fn queues() {
    let setup = Setup::new().await;
    setup
        .refuses_bodies(
            "/queues/",
            &[
                ("{}", 400, VALIDATION, "body must have required property 'callbackUrl'"),
                (
                    r#"{"callbackUrl":"http://x/"}"#,
                    400,
                    VALIDATION,
                    "required property 'method'",
                ),
                (
                    r#"{"callbackUrl":"http://x/","method":"POST"}"#,
                    400,
                    VALIDATION,
                    "required property 'name'",
                ),
            ],
        )
        .await;
    let next = "SELECT last_value + 2 FROM posthaste.queues_id_seq";
    let own = setup.database.number(next).await;
    let cases = vec![
        (json!({"name": null}), 400, VALIDATION, "body/name must be string"),
        (json!({"name": 1}), 400, VALIDATION, "body/name must be string"),
        (json!({"name": ""}), 400, VALUE, "body/name: the name must not be empty"),
        (
            json!({"name": "x".repeat(256)}),
            400,
            VALUE,
            "at most 255 characters, not 256",
        ),
        (
            json!({"name": "a\u{0}b"}),
            400,
            VALUE,
            "must not contain control characters",
        ),
        (
            json!({"callbackUrl": null}),
            400,
            VALIDATION,
            "body/callbackUrl must be string",
        ),
        (
            json!({"callbackUrl": ["http://x/"]}),
            400,
            VALIDATION,
            "body/callbackUrl must be string",
        ),
        (
            json!({"callbackUrl": ""}),
            400,
            VALUE,
            "body/callbackUrl: the callback URL must not be empty",
        ),
        (json!({"callbackUrl": "/hook"}), 400, VALUE, "must be absolute"),
        (
            json!({"callbackUrl": "example.com/hook"}),
            400,
            VALUE,
            "must be absolute",
        ),
        (
            json!({"callbackUrl": "ftp://example.com/"}),
            400,
            VALUE,
            "must begin with http:// or https://",
        ),
        (
            json!({"callbackUrl": "file:///etc/passwd"}),
            400,
            VALUE,
            "must begin with http:// or https://",
        ),
        (
            json!({"callbackUrl": "http://me:hunter2@example.com/"}),
            400,
            VALUE,
            "must not hold a user name or password",
        ),
        (
            json!({"callbackUrl": format!("http://x/{}", "y".repeat(2040))}),
            400,
            VALUE,
            "at most 2048 characters",
        ),
        (
            json!({"callbackUrl": "http://x/a b"}),
            400,
            VALUE,
            "must not contain the character ' '",
        ),
        (
            json!({"callbackUrl": " http://x/"}),
            400,
            VALUE,
            "must not contain the character ' '",
        ),
        (
            json!({"callbackUrl": "http://x/\r\nHost: y"}),
            400,
            VALUE,
            "must not contain the character",
        ),
        (json!({"callbackUrl": "http://x/ü"}), 400, VALUE, "percent-encode"),
        (
            json!({"callbackUrl": "http://x/#y"}),
            400,
            VALUE,
            "must not have a fragment",
        ),
        (json!({"callbackUrl": "http://"}), 400, VALUE, "must have a valid host"),
        (
            json!({"callbackUrl": "http://[::1/"}),
            400,
            VALUE,
            "must have a valid host",
        ),
        (
            json!({"callbackUrl": "http://0x7f.1/"}),
            400,
            VALUE,
            "must have a valid host",
        ),
        (json!({"callbackUrl": "http://x:99999/"}), 400, VALUE, "port"),
        (
            json!({"method": "post"}),
            400,
            VALUE,
            "body/method: the method must be GET, HEAD, POST",
        ),
        (json!({"method": "CONNECT"}), 400, VALUE, "\"CONNECT\" is not"),
        (json!({"method": "TRACE"}), 400, VALUE, "\"TRACE\" is not"),
        (json!({"method": ""}), 400, VALUE, "the method must be"),
        (json!({"method": 1}), 400, VALIDATION, "body/method must be string"),
        (
            json!({"maxRetries": -1}),
            400,
            VALUE,
            "body/maxRetries: the number of retries must be from 0 to 1000",
        ),
        (json!({"maxRetries": 1001}), 400, VALUE, "from 0 to 1000"),
        (
            json!({"maxRetries": "many"}),
            400,
            VALIDATION,
            "body/maxRetries must be integer",
        ),
        (
            json!({"maxRetries": 1.5}),
            400,
            VALIDATION,
            "body/maxRetries must be integer",
        ),
        (
            json!({"maxRetries": true}),
            400,
            VALIDATION,
            "body/maxRetries must be integer",
        ),
        (
            json!({"deadLetterQueueId": 99}),
            404,
            UNKNOWN_QUEUE,
            "body/deadLetterQueueId: there is no queue with id 99",
        ),
        (
            json!({"deadLetterQueueId": -1}),
            404,
            UNKNOWN_QUEUE,
            "there is no queue with id -1",
        ),
        // The id that the queue itself would get: the two before have drawn one each.
        (
            json!({"deadLetterQueueId": own + 1}),
            404,
            UNKNOWN_QUEUE,
            "body/deadLetterQueueId: there is no queue",
        ),
        (
            json!({"deadLetterQueueId": "x"}),
            400,
            VALIDATION,
            "body/deadLetterQueueId must be integer",
        ),
        (json!({"id": 7}), 400, READ_ONLY, "body/id is set by Posthaste alone"),
        (json!({"id": "1"}), 400, READ_ONLY, "body/id is set by Posthaste alone"),
        (
            json!({"maxRetry": 1}),
            400,
            UNKNOWN_FIELD,
            "body has no property 'maxRetry'",
        ),
        (
            json!({"__proto__": {}}),
            400,
            UNKNOWN_FIELD,
            "body has no property '__proto__'",
        ),
        (json!({"Name": "x"}), 400, UNKNOWN_FIELD, "body has no property 'Name'"),
    ];
    setup
        .refuses("/queues/", &queue(), cases.into_iter().chain(headers()).collect())
        .await;
    let taken = setup
        .database
        .number("SELECT last_value FROM posthaste.queues_id_seq")
        .await;
    assert_eq!(taken, own + 2, "the one for itself was for itself");
    let shown = setup
        .api
        .post(
            "/queues/",
            &json!({"name": "q", "method": "POST", "callbackUrl": "http://me:hunter2@x/"}),
        )
        .await;
    assert!(!shown.text.contains("hunter2"), "{}", shown.text);
}

#[actix_rt::test]
async fn messages() {
    let setup = Setup::new().await;
    let times = "body/when: takes a time such as 2026-11-23T13:15:54.470Z";
    setup
        .refuses_bodies(
            "/messages/",
            &[("{}", 400, VALIDATION, "body must have required property 'queueId'")],
        )
        .await;
    let cases = vec![
        (
            json!({"queueId": null}),
            400,
            VALIDATION,
            "body/queueId must be integer",
        ),
        (json!({"queueId": "q"}), 400, VALIDATION, "body/queueId must be integer"),
        (json!({"queueId": 1.5}), 400, VALIDATION, "body/queueId must be integer"),
        (json!({"queueId": [1]}), 400, VALIDATION, "body/queueId must be integer"),
        (
            json!({"queueId": "9223372036854775808"}),
            400,
            VALIDATION,
            "body/queueId must be integer",
        ),
        (
            json!({"queueId": 99}),
            404,
            UNKNOWN_QUEUE,
            "body/queueId: there is no queue with id 99",
        ),
        (json!({"queueId": 0}), 404, UNKNOWN_QUEUE, "there is no queue with id 0"),
        (
            json!({"queueId": i64::MIN}),
            404,
            UNKNOWN_QUEUE,
            "there is no queue with id -9223372036854775808",
        ),
        (json!({"when": 1_795_439_754}), 400, VALUE, times),
        (json!({"when": 1_795_439_754_470.0_f64}), 400, VALUE, times),
        (json!({"when": true}), 400, VALUE, times),
        (json!({"when": "1795439754"}), 400, VALUE, times),
        (json!({"when": "nonsense"}), 400, VALUE, times),
        (json!({"when": "tomorrow"}), 400, VALUE, times),
        (json!({"when": "infinity"}), 400, VALUE, times),
        (json!({"when": "10000-01-01T00:00:00Z"}), 400, VALUE, times),
        (json!({"when": "1969-12-31T23:59:59Z"}), 400, VALUE, times),
        (json!({"when": "2026-02-30T00:00:00Z"}), 400, VALUE, times),
        (json!({"when": "23.11.2026"}), 400, VALUE, times),
        (json!({"when": "2026-11-23T13:15:54 Europe/Berlin"}), 400, VALUE, times),
        (json!({"id": 1}), 400, READ_ONLY, "body/id is set by Posthaste alone"),
        (
            json!({"sentAt": "2026-01-01T00:00:00Z"}),
            400,
            READ_ONLY,
            "body/sentAt is set by Posthaste alone",
        ),
        (
            json!({"failed": true}),
            400,
            READ_ONLY,
            "body/failed is set by Posthaste alone",
        ),
        (
            json!({"retries": 3}),
            400,
            READ_ONLY,
            "body/retries is set by Posthaste alone",
        ),
        (
            json!({"cronId": 1}),
            400,
            READ_ONLY,
            "body/cronId is set by Posthaste alone",
        ),
        (
            json!({"queueID": 1}),
            400,
            UNKNOWN_FIELD,
            "body has no property 'queueID'",
        ),
        (
            json!({"at": "2026-01-01"}),
            400,
            UNKNOWN_FIELD,
            "body has no property 'at'",
        ),
    ];
    setup
        .refuses("/messages/", &message(), cases.into_iter().chain(headers()).collect())
        .await;
}

#[actix_rt::test]
async fn crons() {
    let setup = Setup::new().await;
    setup
        .refuses_bodies(
            "/crons/",
            &[
                ("{}", 400, VALIDATION, "body must have required property 'queueId'"),
                (
                    r#"{"queueId":1}"#,
                    400,
                    VALIDATION,
                    "body must have required property 'schedule'",
                ),
            ],
        )
        .await;
    let cases = vec![
        (
            json!({"queueId": 99}),
            404,
            UNKNOWN_QUEUE,
            "body/queueId: there is no queue with id 99",
        ),
        (json!({"queueId": "x"}), 400, VALIDATION, "body/queueId must be integer"),
        (
            json!({"schedule": null}),
            400,
            VALIDATION,
            "body/schedule must be string",
        ),
        (json!({"schedule": 5}), 400, VALIDATION, "body/schedule must be string"),
        (
            json!({"schedule": ""}),
            400,
            VALUE,
            "body/schedule: the schedule must not be empty",
        ),
        (json!({"schedule": "* * * *"}), 400, VALUE, "must have five fields"),
        (
            json!({"schedule": "* * * * * * 2026"}),
            400,
            VALUE,
            "or six (second first), not 7",
        ),
        (
            json!({"schedule": "60 * * * *"}),
            400,
            VALUE,
            "minute field is wrong: \"60\" is not a number from 0 to 59",
        ),
        (json!({"schedule": "* * * 13 *"}), 400, VALUE, "month field is wrong"),
        (json!({"schedule": "*/0 * * * *"}), 400, VALUE, "the step \"0\""),
        (json!({"schedule": "5-1 * * * *"}), 400, VALUE, "ends before it begins"),
        (
            json!({"schedule": "* * * * FOO"}),
            400,
            VALUE,
            "day of week field is wrong",
        ),
        (json!({"schedule": "0 0 30 2 *"}), 400, VALUE, "never fires"),
        (json!({"schedule": "@reboot"}), 400, VALUE, "is not a schedule macro"),
        (
            json!({"schedule": "every single minute of day"}),
            400,
            VALUE,
            "field is wrong",
        ),
        (
            json!({"schedule": "* ".repeat(200)}),
            400,
            VALUE,
            "at most 255 characters, not 400",
        ),
        (
            json!({"schedule": "* * * * \u{0}"}),
            400,
            VALUE,
            "day of week field is wrong",
        ),
        (json!({"body": "\u{0}"}), 400, VALUE, "must not contain U+0000"),
        (json!({"id": 1}), 400, READ_ONLY, "body/id is set by Posthaste alone"),
        (
            json!({"timezone": "UTC"}),
            400,
            UNKNOWN_FIELD,
            "body has no property 'timezone'",
        ),
        (
            json!({"when": "2026-01-01"}),
            400,
            UNKNOWN_FIELD,
            "body has no property 'when'",
        ),
    ];
    setup
        .refuses("/crons/", &cron(), cases.into_iter().chain(headers()).collect())
        .await;
    let answer = setup.api.post("/cron", &json!({"queueId": 1, "schedule": "x"})).await;
    assert_refused(
        &answer,
        "/cron",
        400,
        VALUE,
        "body/schedule: the schedule must have five fields",
    );
}

/// The same for every resource.
fn headers() -> Vec<Case> {
    let broken = "must not contain line breaks or other control characters";
    vec![
        (json!({"headers": "{}"}), 400, VALIDATION, "body/headers must be object"),
        (json!({"headers": []}), 400, VALIDATION, "body/headers must be object"),
        (json!({"headers": {"x": "a\r\ny: b"}}), 400, VALUE, broken),
        (json!({"headers": {"x": "a\u{0}"}}), 400, VALUE, broken),
        (
            json!({"headers": {"x": null}}),
            400,
            VALUE,
            "must be a string, a number or a boolean, not null",
        ),
        (
            json!({"headers": {"x": ["a"]}}),
            400,
            VALUE,
            "must be a string, a number or a boolean, not an array",
        ),
        (
            json!({"headers": {"x": {}}}),
            400,
            VALUE,
            "must be a string, a number or a boolean, not an object",
        ),
        (
            json!({"headers": {"Transfer-Encoding": "chunked"}}),
            400,
            VALUE,
            "\"Transfer-Encoding\" cannot be set",
        ),
        (
            json!({"headers": {"content-length": "1"}}),
            400,
            VALUE,
            "\"content-length\" cannot be set",
        ),
        (
            json!({"headers": {"Connection": "close"}}),
            400,
            VALUE,
            "\"Connection\" cannot be set",
        ),
        (
            json!({"headers": {"bad name": "x"}}),
            400,
            VALUE,
            "\"bad name\" is not a header name",
        ),
        (json!({"headers": {"": "x"}}), 400, VALUE, "is not a header name"),
        (json!({"headers": {"x:": "y"}}), 400, VALUE, "is not a header name"),
        (json!({"headers": {"größe": "1"}}), 400, VALUE, "is not a header name"),
        (
            json!({"headers": {"X-A": "1", "x-a": "2"}}),
            400,
            VALUE,
            "is given twice",
        ),
        (
            json!({"headers": {"x": "y".repeat(20_000)}}),
            400,
            VALUE,
            "at most 16384 bytes together",
        ),
    ]
}

#[actix_rt::test]
async fn paths_and_queries() {
    let setup = Setup::new().await;
    for resource in ["/queues", "/messages", "/crons", "/cron"] {
        for (id, method) in ["abc", "1.5", "1x", "%31x", "0x1", "+1", "-", "true"]
            .iter()
            .zip([Method::GET, Method::DELETE].iter().cycle())
        {
            let path = format!("{resource}/{id}");
            let answer = setup.api.send(method.clone(), &path, None).await;
            assert_refused(&answer, &path, 400, VALIDATION, "params/id must be integer");
        }
        for (query, code, says) in [
            (
                "limit=101",
                "PLT_SQL_MAPPER_PARAM_LIMIT_NOT_ALLOWED",
                "Param limit=101 not allowed. Max accepted value 100.",
            ),
            (
                "limit=-1",
                "PLT_SQL_MAPPER_PARAM_LIMIT_MUST_BE_NOT_NEGATIVE",
                "Param limit=-1 not allowed.",
            ),
            (
                "offset=-1",
                "PLT_SQL_MAPPER_PARAM_NOT_ALLOWED",
                "Param offset=-1 not allowed.",
            ),
            ("limit=x", VALIDATION, "querystring/limit must be integer"),
            ("limit=", VALIDATION, "querystring/limit must be integer"),
            ("limit=1.5", VALIDATION, "querystring/limit must be integer"),
            (
                "limit=9223372036854775808",
                VALIDATION,
                "querystring/limit must be integer",
            ),
            ("offset=x&limit=1", VALIDATION, "querystring/offset must be integer"),
            ("limits=1", UNKNOWN_PARAMETER, "querystring has no parameter 'limits'"),
            (
                "where.nope.eq=1",
                UNKNOWN_PARAMETER,
                "querystring has no parameter 'where.nope.eq'",
            ),
            (
                "limit=1&force=true",
                UNKNOWN_PARAMETER,
                "querystring has no parameter 'force'",
            ),
        ] {
            let path = format!("{resource}/?{query}");
            assert_refused(&setup.api.get(&path).await, &path, 400, code, says);
        }
        let single = format!("{resource}/1");
        let answer = setup.api.get(&format!("{single}?limit=1")).await;
        assert_refused(
            &answer,
            &single,
            400,
            UNKNOWN_PARAMETER,
            "querystring has no parameter 'limit'",
        );
        let answer = setup.api.delete(&format!("{single}?forse=true")).await;
        assert_refused(
            &answer,
            &single,
            400,
            UNKNOWN_PARAMETER,
            "querystring has no parameter 'forse'",
        );
    }
    let answer = setup.api.delete("/queues/1?force=1").await;
    assert_refused(&answer, "force=1", 400, VALIDATION, "querystring/force must be boolean");
    let answer = setup.api.delete("/messages/1?force=true").await;
    assert_refused(
        &answer,
        "force",
        400,
        UNKNOWN_PARAMETER,
        "querystring has no parameter 'force'",
    );
    for (path, body) in [
        ("/queues/?x=1", queue()),
        ("/messages?x=1", message()),
        ("/crons/?x=1", cron()),
    ] {
        let answer = setup.api.post(path, &body).await;
        assert_refused(
            &answer,
            path,
            400,
            UNKNOWN_PARAMETER,
            "querystring has no parameter 'x'",
        );
    }
    setup.assert_nothing_stored().await;
}
