//! How operations come: methods, content types, what is no operation, and limits.

use awc::http::Method;
use serde_json::{Value, json};

use super::{Setup, ask, data, queue, refusal};

#[actix_rt::test]
async fn operations_come_in_three_ways() {
    let Setup { api, .. } = &Setup::api().await;
    queue(api, "q").await;
    let expected = json!({"data": {"queues": [{"name": "q"}]}});
    for path in ["/graphql", "/graphql/"] {
        let posted = api.post(path, &json!({"query": "{ queues { name } }"})).await;
        assert_eq!((posted.status, &posted.json), (200, &expected));
        assert_eq!(posted.headers.get("content-type").unwrap(), "application/json; charset=utf-8");
        assert_eq!(posted.text, r#"{"data":{"queues":[{"name":"q"}]}}"#);
        let got = api.get(&format!("{path}?query=%7B%20queues%20%7B%20name%20%7D%20%7D")).await;
        assert_eq!((got.status, &got.json), (200, &expected));
        let raw = api.post_raw(path, "application/graphql", "{ queues { name } }").await;
        assert_eq!((raw.status, &raw.json), (200, &expected));
    }
    let query = "query%20A(%24n%3A%20ID!)%7BgetQueueById(id%3A%24n)%7Bname%7D%7D%20query%20B%7Bqueues%7Bid%7D%7D";
    let got = api.get(&format!("/graphql?query={query}&operationName=A&variables=%7B%22n%22%3A1%7D")).await;
    assert_eq!(got.json, json!({"data": {"getQueueById": {"name": "q"}}}), "{}", got.text);
    let named =
        json!({"query": "query A { queues { id } } query B { crons { id } }", "operationName": "B", "variables": null});
    assert_eq!(api.post("/graphql", &named).await.json, json!({"data": {"crons": []}}));
}

#[actix_rt::test]
async fn get_changes_nothing() {
    let Setup { api, .. } = &Setup::api().await;
    queue(api, "q").await;
    let answer = api.get("/graphql?query=mutation%7BdeleteQueues(where%3A%7Bid%3A%7Beq%3A1%7D%7D)%7Bid%7D%7D").await;
    assert_eq!((answer.status, &answer.json["data"]), (405, &Value::Null), "{}", answer.text);
    assert_eq!(answer.json["errors"][0]["message"], "Operation cannot be performed via a GET request");
    // Not by naming another operation beside it, either.
    let both = "query%20A%7Bqueues%7Bid%7D%7Dmutation%20B%7BdeleteQueues(where%3A%7Bid%3A%7Beq%3A1%7D%7D)%7Bid%7D%7D";
    assert_eq!(api.get(&format!("/graphql?query={both}&operationName=B")).await.status, 405);
    assert_eq!(api.get(&format!("/graphql?query={both}&operationName=A")).await.status, 200);
    assert_eq!(data(api, "{ countQueues { total } }", json!({})).await["countQueues"]["total"], 1);
}

#[actix_rt::test]
async fn what_is_no_operation_is_answered_with_400() {
    let Setup { api, .. } = &Setup::api().await;
    for query in [
        "",
        "{",
        "{ queues }",
        "{ queues { nope } }",
        "{ queues { id { x } } }",
        "{ queues { queueId } }",
        "query($x: Nope) { queues { id } }",
        "query($x: String) { saveQueue(input: {headers: $x}) { id } }",
        "mutation { saveQueue { id } }",
        "mutation { saveMessage(input: {when: \"now\"}) { id } }",
        "mutation { insertQueues(inputs: null) { id } }",
        "subscription { queueSaved { id } }",
        "{ queues { ...F } }",
        "query A { queues { id } } query B { queues { id } }",
    ] {
        let answer = ask(api, query, json!({})).await;
        assert_eq!((answer.status, &answer.json["data"]), (400, &Value::Null), "{query}: {}", answer.text);
        assert!(answer.json["errors"][0]["message"].is_string(), "{query}: {}", answer.text);
    }
    for body in [
        json!([{"query": "{ queues { id } }"}]),
        json!({}),
        json!({"query": 1}),
        json!({"query": "{ queues { id } }", "variables": []}),
    ] {
        let answer = api.post("/graphql", &body).await;
        assert_eq!((answer.status, &answer.json["data"]), (400, &Value::Null), "{body}: {}", answer.text);
    }
    assert_eq!(api.get("/graphql").await.status, 400);
    for (content_type, body, status) in [
        ("application/json", "{", 400),
        ("application/json", "", 400),
        ("text/html", "{ queues { id } }", 415),
        ("application/x-www-form-urlencoded", "query={}", 415),
    ] {
        assert_eq!(api.post_raw("/graphql", content_type, body).await.status, status, "{content_type} {body}");
    }
    let large = json!({"query": "{ queues { id } }", "variables": {"x": "x".repeat(1 << 20)}});
    assert_eq!(api.post("/graphql", &large).await.status, 413);
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        assert_eq!(api.send(method, "/graphql", None).await.status, 404);
    }
}

#[actix_rt::test]
async fn nobody_can_ask_for_too_much() {
    let Setup { api, .. } = &Setup::api().await;
    let deep = format!("{{ {} {} }}", "messages(limit: 1) { queue { ".repeat(7) + "id", "} } ".repeat(7));
    let bomb: String = (0..24).map(|n| format!("fragment F{n} on Query {{ ...F{} ...F{} }} ", n + 1, n + 1)).collect();
    for query in [
        deep.as_str(),
        "{ queues(limit: 100) { messages(limit: 100) { id } } }",
        &format!("{{ ...F0 }} {bomb} fragment F24 on Query {{ queues {{ id }} }}"),
        "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
        "{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }",
    ] {
        let refused = refusal(api, query, json!({})).await;
        assert_eq!((refused.0, refused.2.as_str()), (400, "PH_LIMIT_EXCEEDED"), "{query}: {}", refused.1);
    }
    // However deep it is, the server stays.
    for text in ["{".repeat(100_000), format!("{{ queues(where: {}", "[".repeat(100_000)), "a".repeat(100_000)] {
        assert_eq!(ask(api, &text, json!({})).await.status, 400);
    }
    assert_eq!(data(api, "{ __typename }", json!({})).await, json!({"__typename": "Query"}));
}

#[actix_rt::test]
async fn the_schema_can_be_asked_for() {
    let Setup { api, .. } = &Setup::api().await;
    // As GraphiQL and most generators of clients ask.
    let of_type = "ofType { kind name ".repeat(9) + &"} ".repeat(9);
    let query = format!(
        "query IntrospectionQuery {{ __schema {{ queryType {{ name }} mutationType {{ name }} subscriptionType {{ name }}
           types {{ ...FullType }} directives {{ name description locations args(includeDeprecated: true) {{ ...InputValue }} }} }} }}
         fragment FullType on __Type {{ kind name description specifiedByURL
           fields(includeDeprecated: true) {{ name description args {{ ...InputValue }} type {{ ...TypeRef }} isDeprecated deprecationReason }}
           inputFields {{ ...InputValue }} interfaces {{ ...TypeRef }}
           enumValues(includeDeprecated: true) {{ name description isDeprecated deprecationReason }} possibleTypes {{ ...TypeRef }} }}
         fragment InputValue on __InputValue {{ name description type {{ ...TypeRef }} defaultValue }}
         fragment TypeRef on __Type {{ kind name {of_type} }}"
    );
    let found = data(api, &query, json!({})).await;
    let types = found["__schema"]["types"].as_array().unwrap();
    let names: Vec<_> = types.iter().map(|ty| ty["name"].as_str().unwrap()).collect();
    for name in [
        "Queue",
        "Message",
        "Cron",
        "QueueInput",
        "QueueWhereArguments",
        "QueueWhereArgumentsid",
        "QueueWhereArgumentsOr",
        "QueueOrderByArguments",
        "QueueOrderByField",
        "OrderByDirection",
        "queuesCount",
        "LimitInt",
        "DateTime",
        "JSONObject",
        "Attempt",
        "QueueStats",
        "Subscription",
    ] {
        assert!(names.contains(&name), "{name}");
    }
}
