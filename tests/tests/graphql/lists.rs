//! Lists: conditions, order, parts, counts, and lists within objects.

use serde_json::json;

use super::{Setup, ask, data, ids, message, queue, refusal};

/// Five queues; the second and the fourth have the first as their dead letter queue.
async fn five(setup: &Setup) {
    for name in ["alpha", "Beta", "gamma", "delta%", "beta"] {
        queue(&setup.api, name).await;
    }
    let database = &setup.database;
    database.execute("UPDATE posthaste.queues SET dead_letter_queue_id = 1, max_retries = id WHERE id IN (2, 4)").await;
    database
        .execute("UPDATE posthaste.queues SET created_at = '2020-01-01Z'::timestamptz + id * interval '1 day'")
        .await;
}

#[actix_rt::test]
async fn every_operator_of_every_kind() {
    let setup = Setup::api().await;
    five(&setup).await;
    for (condition, expected) in [
        ("id: {eq: 2}", &["2"][..]),
        ("id: {eq: \"2\"}", &["2"]),
        ("id: {neq: 2}", &["1", "3", "4", "5"]),
        ("id: {gt: 3}", &["4", "5"]),
        ("id: {gte: 3}", &["3", "4", "5"]),
        ("id: {lt: 3}", &["1", "2"]),
        ("id: {lte: 3}", &["1", "2", "3"]),
        ("id: {gt: 1, lt: 4}", &["2", "3"]),
        ("id: {like: 4}", &["4"]),
        ("id: {in: [5, \"1\", 99]}", &["1", "5"]),
        ("id: {in: 3}", &["3"]),
        ("id: {in: []}", &[]),
        ("id: {nin: [1, 2]}", &["3", "4", "5"]),
        ("id: {nin: []}", &["1", "2", "3", "4", "5"]),
        ("id: {isNull: true}", &[]),
        ("name: {eq: \"beta\"}", &["5"]),
        ("name: {neq: \"beta\"}", &["1", "2", "3", "4"]),
        ("name: {like: \"%ta\"}", &["2", "5"]),
        ("name: {like: \"_eta\"}", &["2", "5"]),
        ("name: {like: \"delta\\\\%\"}", &["4"]),
        ("name: {ilike: \"b%\"}", &["2", "5"]),
        ("name: {in: [\"alpha\", \"beta\"]}", &["1", "5"]),
        ("name: {nin: [\"alpha\", \"beta\"]}", &["2", "3", "4"]),
        ("name: {gt: \"delta%\"}", &["3"]),
        ("maxRetries: {lt: 5}", &["2", "4"]),
        ("maxRetries: {eq: 5}", &["1", "3", "5"]),
        ("deadLetterQueueId: {eq: 1}", &["2", "4"]),
        ("deadLetterQueueId: {neq: 1}", &[]),
        ("deadLetterQueueId: {isNull: true}", &["1", "3", "5"]),
        ("deadLetterQueueId: {isNull: false}", &["2", "4"]),
        ("deadLetterQueueId: {eq: null}", &["1", "3", "5"]),
        ("deadLetterQueueId: {neq: null}", &["2", "4"]),
        ("createdAt: {gte: \"2020-01-05T00:00:00Z\"}", &["4", "5"]),
        ("createdAt: {eq: \"2020-01-02T01:00:00+01:00\"}", &["1"]),
        ("or: [{id: {eq: 1}}, {name: {eq: \"beta\"}}]", &["1", "5"]),
        ("or: [{id: {gt: 1, lt: 4}, name: {eq: \"gamma\"}}, {id: {eq: 5}}]", &["3", "5"]),
        ("id: {lt: 3}, or: [{id: {eq: 1}}, {id: {eq: 5}}]", &["1"]),
        ("or: []", &[]),
        ("", &["1", "2", "3", "4", "5"]),
    ] {
        let query =
            format!("{{ queues(where: {{{condition}}}) {{ id }} countQueues(where: {{{condition}}}) {{ total }} }}");
        let found = data(&setup.api, &query, json!({})).await;
        assert_eq!(ids(&found["queues"]), expected, "{condition}");
        assert_eq!(found["countQueues"]["total"], expected.len(), "{condition}");
    }
    // The same by a variable.
    let by_variable = "query($where: QueueWhereArguments) { queues(where: $where) { id } }";
    let found =
        data(&setup.api, by_variable, json!({"where": {"id": {"in": ["2", 3]}, "or": [{"name": {"eq": "Beta"}}]}}))
            .await;
    assert_eq!(ids(&found["queues"]), ["2"]);
    assert_eq!(ids(&data(&setup.api, by_variable, json!({})).await["queues"]).len(), 5);
}

#[actix_rt::test]
async fn what_no_list_can_be_asked_for() {
    let setup = Setup::api().await;
    five(&setup).await;
    // What the schema does not have is told before anything is done.
    for arguments in [
        "where: {nope: {eq: 1}}",
        "where: {id: {equals: 1}}",
        "where: {headers: {eq: \"{}\"}}",
        "orderBy: [{field: headers, direction: ASC}]",
        "orderBy: [{field: id, direction: UP}]",
        "orderBy: [{field: id}]",
        "limit: \"10\"",
        "limit: 1.5",
        "offset: \"1\"",
        "order: 1",
    ] {
        let answer = ask(&setup.api, &format!("{{ queues({arguments}) {{ id }} }}"), json!({})).await;
        assert_eq!((answer.status, &answer.json["data"]), (400, &json!(null)), "{arguments}: {}", answer.text);
    }
    for (arguments, message) in [
        ("limit: 101", "Param limit=101 not allowed. Max accepted value 100."),
        ("limit: -1", "Param limit=-1 not allowed. It must not be negative."),
        ("offset: -1", "Param offset=-1 not allowed. It must not be negative."),
        ("where: {id: {eq: \"x\"}}", "where.id.eq must be integer"),
        ("where: {createdAt: {isNull: null}}", "where.createdAt.isNull must be boolean"),
    ] {
        let refused = refusal(&setup.api, &format!("{{ queues({arguments}) {{ id }} }}"), json!({})).await;
        assert_eq!((refused.0, refused.1.as_str()), (200, message), "{arguments}");
    }
    // A mistyped condition by a variable must not let everything through.
    for wrong in [json!(1), json!({"id": 1}), json!({"id": {"eq": "x"}}), json!("all")] {
        let delete = "mutation($where: QueueWhereArguments) { deleteQueues(where: $where) { id } }";
        let answer = ask(&setup.api, delete, json!({"where": wrong})).await;
        assert!(answer.json["errors"][0].is_object(), "{wrong}: {}", answer.text);
    }
    assert_eq!(data(&setup.api, "{ countQueues { total } }", json!({})).await["countQueues"]["total"], 5);
}

#[actix_rt::test]
async fn order_and_parts() {
    let setup = Setup::api().await;
    five(&setup).await;
    for (arguments, expected) in [
        ("limit: 2", &["1", "2"][..]),
        ("limit: 0", &[]),
        ("limit: 2, offset: 3", &["4", "5"]),
        ("offset: 4", &["5"]),
        ("orderBy: [{field: id, direction: DESC}], limit: 2", &["5", "4"]),
        ("orderBy: {field: id, direction: DESC}, limit: 1", &["5"]),
        ("orderBy: [{field: maxRetries, direction: DESC}, {field: id, direction: DESC}]", &["5", "3", "1", "4", "2"]),
        ("orderBy: [{field: name, direction: ASC}]", &["2", "1", "5", "4", "3"]),
        ("orderBy: [{field: deadLetterQueueId, direction: DESC}]", &["1", "3", "5", "2", "4"]),
    ] {
        let found = data(&setup.api, &format!("{{ queues({arguments}) {{ id }} }}"), json!({})).await;
        assert_eq!(ids(&found["queues"]), expected, "{arguments}");
    }
}

#[actix_rt::test]
async fn lists_within_objects_are_lists() {
    let setup = Setup::api().await;
    let api = &setup.api;
    for name in ["a", "b", "c"] {
        let queue = queue(api, name).await;
        for n in 0..4 {
            message(api, &queue, &format!("{name}{n}")).await;
        }
    }
    let query = "{ queues { name
        two: messages(limit: 2) { body }
        last: messages(limit: 1, orderBy: [{field: body, direction: DESC}]) { body queue { name } }
        middle: messages(offset: 1, limit: 2, orderBy: [{field: id, direction: DESC}]) { body }
        some: messages(where: {or: [{body: {like: \"%0\"}}, {id: {eq: 6}}]}) { body status }
        none: messages(where: {failed: {eq: true}}) { id } } }";
    let found = data(api, query, json!({})).await;
    let row = |name: &str, some: serde_json::Value| {
        let body = |n: usize| json!({"body": format!("{name}{n}")});
        json!({
            "name": name, "two": [body(0), body(1)], "last": [{"body": format!("{name}3"), "queue": {"name": name}}],
            "middle": [body(2), body(1)], "some": some, "none": [],
        })
    };
    let pending = |body: &str| json!({"body": body, "status": "pending"});
    let expected = json!([
        row("a", json!([pending("a0")])),
        row("b", json!([pending("b0"), pending("b1")])),
        row("c", json!([pending("c0")])),
    ]);
    assert_eq!(found["queues"], expected);
    let refused = refusal(api, "{ queues { messages(limit: 101) { id } } }", json!({})).await;
    assert_eq!(refused.2, "PLT_SQL_MAPPER_PARAM_LIMIT_NOT_ALLOWED");
}

#[actix_rt::test]
async fn fragments_are_what_they_stand_for() {
    let setup = Setup::api().await;
    let queue = queue(&setup.api, "q").await;
    message(&setup.api, &queue, "x").await;
    let query = "query { queues { ...Q ... on Queue { messages { ...M } } ... @skip(if: true) { method } } countQueues { ... { total } } }
                 fragment Q on Queue { id name } fragment M on Message { body queue { ...Q } }";
    let found = data(&setup.api, query, json!({})).await;
    let messages = json!([{"body": "x", "queue": {"id": "1", "name": "q"}}]);
    assert_eq!(found["queues"], json!([{"id": "1", "name": "q", "messages": messages}]));
    assert_eq!(found["countQueues"], json!({"total": 1}));
    let mutation = "mutation { ...S ... on Mutation { b: saveQueue(input: {id: 1, maxRetries: 2}) { ...Q } } }
                    fragment S on Mutation { a: saveQueue(input: {id: 1, name: \"n\"}) { __typename ... on Queue { id } } }
                    fragment Q on Queue { name maxRetries }";
    let saved = data(&setup.api, mutation, json!({})).await;
    assert_eq!(saved, json!({"a": {"__typename": "Queue", "id": "1"}, "b": {"name": "n", "maxRetries": 2}}));
}
