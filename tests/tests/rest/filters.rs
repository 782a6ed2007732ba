//! `where`, `orderby`, `fields`, `totalCount`: every operator on every kind of field.

use posthaste_tests::client::Answer;
use serde_json::{Value, json};

use super::{Setup, header, queue};

/// Four queues, one of them paused, one without limits; a message and a cron in some.
async fn filled() -> Setup {
    let setup = Setup::api().await;
    for (name, method, retries, letters) in [
        ("orders", "POST", json!(5), json!(null)),
        ("Orders", "PUT", json!(null), json!(1)),
        ("50%_off", "POST", json!(0), json!(1)),
        ("ümläut", "GET", json!(7), json!(2)),
    ] {
        let body = json!({
            "name": name, "callbackUrl": "http://127.0.0.1:9/", "method": method, "maxRetries": retries,
            "deadLetterQueueId": letters
        });
        setup.api.create_queue(&body).await;
    }
    for (queue, when, body) in
        [(1, "2101-01-01", json!("a")), (1, "2102-01-01", json!("b")), (2, "2103-01-01", json!(null))]
    {
        setup.api.create_message(&json!({"queueId": queue, "when": when, "body": body})).await;
    }
    setup.api.create_cron(&json!({"queueId": 3, "schedule": "@yearly"})).await;
    setup
}

fn ids(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let rows = answer.json.as_array().unwrap_or_else(|| panic!("a list: {}", answer.text));
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[actix_rt::test]
async fn every_operator_selects_what_it_says() {
    let Setup { api, .. } = &filled().await;
    for (list, query, expected) in [
        ("queues", "where.id.eq=2", "2"),
        ("queues", "where.id.neq=2", "1 3 4"),
        ("queues", "where.id.gt=2", "3 4"),
        ("queues", "where.id.gte=2", "2 3 4"),
        ("queues", "where.id.lt=2", "1"),
        ("queues", "where.id.lte=2", "1 2"),
        ("queues", "where.id.in=4,1,99", "1 4"),
        ("queues", "where.id.nin=4,1", "2 3"),
        ("queues", "where.id.in=", ""),
        ("queues", "where.id.like=3", "3"),
        ("queues", "where.name.eq=orders", "1"),
        ("queues", "where.name.neq=orders", "2 3 4"),
        ("queues", "where.name.like=%25rders", "1 2"),
        ("queues", "where.name.like=orders", "1"),
        ("queues", "where.name.ilike=ORDERS", "1 2"),
        ("queues", "where.name.like=50%5C%25%5C_off", "3"),
        ("queues", "where.name.like=_ml_ut", "4"),
        ("queues", "where.name.like=x%5C", ""),
        ("queues", "where.name.in=orders,Orders", "1 2"),
        ("queues", "where.name.gt=Orders", "1 4"),
        ("queues", "where.name.eq=null", ""),
        ("queues", "where.name.eq=x%27%20OR%201%3D1--", ""),
        ("queues", "where.maxRetries.eq=null", "2"),
        ("queues", "where.maxRetries.neq=null", "1 3 4"),
        ("queues", "where.maxRetries.isNull=true", "2"),
        ("queues", "where.maxRetries.isNull=false", "1 3 4"),
        ("queues", "where.maxRetries.gte=5", "1 4"),
        ("queues", "where.maxRetries.neq=5", "3 4"),
        ("queues", "where.deadLetterQueueId.eq=1", "2 3"),
        ("queues", "where.deadLetterQueueId.in=1,2", "2 3 4"),
        ("queues", "where.pausedAt.isNull=true", "1 2 3 4"),
        ("queues", "where.createdAt.gt=2001-01-01", "1 2 3 4"),
        ("queues", "where.createdAt.lt=2001-01-01T00:00:00%2B02:00", ""),
        ("queues", "where.method.eq=POST&where.maxRetries.eq=0", "3"),
        ("queues", "where.or=(id.eq=1|name.eq=Orders|id.in=4)", "1 2 4"),
        ("queues", "where.or=(id.eq=1|id.eq=2)&where.method.eq=PUT", "2"),
        ("messages", "where.queueId.eq=1", "1 2"),
        ("messages", "where.body.eq=null", "3 4"),
        ("messages", "where.body.like=a%25", "1"),
        ("messages", "where.when.lt=2102-06-01&where.when.gt=2101-06-01", "2"),
        ("messages", "where.failed.eq=false", "1 2 3 4"),
        ("messages", "where.failed.eq=true", ""),
        ("messages", "where.sentAt.isNull=true", "1 2 3 4"),
        ("messages", "where.sentAt.neq=null", ""),
        ("messages", "where.status.eq=pending", "1 2 3 4"),
        ("messages", "where.retries.gt=0", ""),
        ("messages", "where.cronId.isNull=false", "4"),
        ("messages", "where.expiresAt.eq=null&limit=1", "1"),
        ("crons", "where.schedule.eq=@yearly", "1"),
        ("crons", "where.queueId.neq=3", ""),
        ("cron", "where.queueId.eq=3", "1"),
    ] {
        let answer = api.get(&format!("/{list}?{query}&totalCount=true")).await;
        let expected: Vec<&str> = expected.split_whitespace().collect();
        assert_eq!(ids(&answer), expected, "{list}?{query}");
        if !query.contains("limit") {
            assert_eq!(header(&answer, "x-total-count"), expected.len().to_string(), "{list}?{query}");
        }
    }
}

#[actix_rt::test]
async fn the_count_is_of_all_pages() {
    let Setup { api, .. } = &filled().await;
    let answer = api.get("/queues?limit=1&offset=2&totalCount=true").await;
    assert_eq!((ids(&answer), header(&answer, "x-total-count")), (vec!["3".to_owned()], "4"));
    for query in ["", "?totalCount=false"] {
        let answer = api.get(&format!("/queues{query}")).await;
        assert!(!answer.headers.contains_key("x-total-count"), "{query}");
    }
}

#[actix_rt::test]
async fn the_order_is_as_asked() {
    let Setup { api, .. } = &filled().await;
    for (list, query, expected) in [
        ("queues", "orderby.id=desc", "4 3 2 1"),
        ("queues", "orderby.name=asc", "3 2 1 4"),
        ("queues", "orderby.maxRetries=asc", "3 1 4 2"),
        ("queues", "orderby.maxRetries=desc", "2 4 1 3"),
        ("queues", "orderby.method=desc&orderby.id=desc", "2 3 1 4"),
        ("queues", "orderby.method=asc", "4 1 3 2"),
        ("messages", "orderby.when=desc&limit=2", "3 2"),
        ("messages", "orderby.queueId=desc&orderby.when=asc", "4 3 1 2"),
        ("messages", "orderby.sentAt=asc", "1 2 3 4"),
        ("crons", "orderby.schedule=asc", "1"),
    ] {
        assert_eq!(
            ids(&api.get(&format!("/{list}?{query}")).await),
            expected.split(' ').collect::<Vec<_>>(),
            "{query}"
        );
    }
}

#[actix_rt::test]
async fn only_the_fields_that_are_asked_for_are_shown() {
    let Setup { api, .. } = &filled().await;
    assert_eq!(api.get("/queues/1?fields=name").await.text, r#"{"name":"orders"}"#);
    assert_eq!(api.get("/queues?fields=method,id&limit=1").await.text, r#"[{"id":"1","method":"POST"}]"#);
    assert_eq!(api.get("/queues?fields=method&fields=id&limit=1").await.text, r#"[{"id":"1","method":"POST"}]"#);
    let created = api.post("/queues?fields=name", &queue()).await;
    assert_eq!((created.text.as_str(), header(&created, "location")), (r#"{"name":"q"}"#, "/queues/5"));
    let changed = api.put("/queues/5?fields=name", &queue()).await;
    assert_eq!((changed.text.as_str(), header(&changed, "location")), (r#"{"name":"q"}"#, "/queues/5"));
    let refused = api.get("/queues?fields=id,nope").await;
    assert_eq!(refused.json["message"], "querystring/fields/1 must be equal to one of the allowed values");
    assert_eq!(api.delete("/queues/5?fields=id").await.text, r#"{"id":"5"}"#);
}

#[actix_rt::test]
async fn a_mistyped_filter_returns_nothing_and_says_so() {
    let Setup { api, .. } = &filled().await;
    for (query, code) in [
        ("where.nmae.eq=orders", "PH_UNKNOWN_PARAMETER"),
        ("where.name.equals=orders", "PH_UNKNOWN_PARAMETER"),
        ("where.name=orders", "PH_UNKNOWN_PARAMETER"),
        ("where.headers.eq=1", "PH_UNKNOWN_PARAMETER"),
        ("orderby.headers=asc", "PH_UNKNOWN_PARAMETER"),
        ("name.eq=orders", "PH_UNKNOWN_PARAMETER"),
        ("where.or=(nmae.eq=1)", "PLT_SQL_OPENAPI_UNKNOWN_FIELD"),
        ("where.or=id.eq=1", "FST_ERR_VALIDATION"),
        ("where.id.eq=one", "FST_ERR_VALIDATION"),
        ("where.createdAt.gt=soon", "FST_ERR_VALIDATION"),
        ("where.maxRetries.isNull=1", "FST_ERR_VALIDATION"),
        ("orderby.id=up", "FST_ERR_VALIDATION"),
        ("totalCount=1", "FST_ERR_VALIDATION"),
    ] {
        let answer = api.get(&format!("/queues?{query}")).await;
        assert_eq!((answer.status, &answer.json["code"]), (400, &json!(code)), "{query}: {}", answer.text);
    }
    let many = (0..2000).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    let answer = api.get(&format!("/queues?where.id.in={many}")).await;
    assert_eq!((answer.status, &answer.json["code"]), (422, &json!("PH_LIMIT_EXCEEDED")), "{}", answer.text);
}

#[actix_rt::test]
async fn cursors_walk_through_everything_in_both_directions() {
    let Setup { api, .. } = &filled().await;
    for order in [
        "orderby.id=asc",
        "orderby.id=desc",
        "orderby.maxRetries=desc&orderby.id=asc",
        "orderby.createdAt=asc&orderby.id=desc",
    ] {
        let all = ids(&api.get(&format!("/queues?{order}")).await);
        let (mut seen, mut place, mut last) = (Vec::new(), String::new(), String::new());
        loop {
            let page = api.get(&format!("/queues?{order}&limit=1&cursor=true{place}")).await;
            let found = ids(&page);
            if found.is_empty() {
                assert!(!page.headers.contains_key("x-start-after"), "nowhere");
                break;
            }
            seen.extend(found);
            last = encode(header(&page, "x-end-before"));
            place = format!("&startAfter={}", encode(header(&page, "x-start-after")));
        }
        assert_eq!(seen, all, "{order}");
        let before = ids(&api.get(&format!("/queues?{order}&limit=2&endBefore={last}")).await);
        assert_eq!(before, all[1..3], "the two before the last: {order}");
    }
    let plain = api.get("/queues?orderby.id=asc&limit=2&cursor=true").await;
    assert_eq!(header(&plain, "x-start-after"), "eyJpZCI6Mn0=", "as the original's");
    for (query, code) in [
        ("cursor=true", "PLT_SQL_OPENAPI_PRIMARY_KEY_NOT_INCLUDED_IN_ORDER_BY_IN_CURSOR_PAGINATION"),
        ("orderby.id=asc&startAfter=x", "FST_ERR_VALIDATION"),
        ("orderby.name=asc&orderby.id=asc&startAfter=eyJpZCI6Mn0=", "FST_ERR_VALIDATION"),
    ] {
        let answer = api.get(&format!("/queues?{query}")).await;
        assert_eq!((answer.status, &answer.json["code"]), (400, &json!(code)), "{query}");
    }
}

fn encode(base64: &str) -> String {
    base64.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

#[actix_rt::test]
async fn ids_are_numbers_where_that_is_asked_for() {
    let database = posthaste_tests::database::Database::new().await;
    let launch = posthaste_tests::process::Launch::api(&database).env("API_IDS", "number");
    let Setup { api, .. } = &Setup::start(launch, database).await;
    let created = api.post("/queues", &queue()).await;
    assert_eq!(created.json["id"], 1);
    let message = api.post("/messages", &json!({"queueId": "1"})).await;
    assert_eq!((&message.json["queueId"], &message.json["cronId"]), (&json!(1), &Value::Null));
    assert_eq!(api.put("/queues/1", &created.json).await.status, 200, "what was answered can be sent back");
}
