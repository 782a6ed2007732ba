//! Subscriptions: every change, whichever process has made it.

use posthaste_tests::client::Api;
use posthaste_tests::database::Database;
use posthaste_tests::process::{Launch, Process};
use posthaste_tests::receiver::Receiver;
use posthaste_tests::socket::{NEW, OLD, Socket, wait_for_hub};
use posthaste_tests::wait;
use serde_json::json;

use super::{SOON, data, message, queue};

/// Two APIs on one database: one that is subscribed to, and one that changes things.
async fn two() -> (Database, Process, Process, Api) {
    let database = Database::new().await;
    let (near, far) = (Launch::api(&database).start().await, Launch::api(&database).start().await);
    let api = far.api();
    (database, near, far, api)
}

#[actix_rt::test]
async fn changes_through_another_process_are_heard() {
    for protocol in [NEW, OLD] {
        let (database, near, _far, api) = two().await;
        let dlq = queue(&api, "before").await;
        let mut socket = Socket::open(near.address(), protocol, &[]).await;
        socket.init(json!({})).await;
        socket.subscribe("q", "subscription { queueSaved { id name maxRetries deadLetterQueue { name } } }").await;
        socket
            .subscribe(
                "m",
                "subscription M { ...F } fragment F on Subscription { messageSaved { id body status queue { id } } }",
            )
            .await;
        socket.subscribe("c", "subscription { cronSaved { id schedule } }").await;
        for (id, name) in [("qd", "queue"), ("md", "message"), ("cd", "cron")] {
            socket.subscribe(id, &format!("subscription {{ ... on Subscription {{ {name}Deleted {{ id }} }} }}")).await;
        }
        wait_for_hub(&database).await;

        let new = queue(&api, "new").await;
        let heard = socket.event("q").await;
        let expected = json!({"id": new, "name": "new", "maxRetries": 5, "deadLetterQueue": null});
        assert_eq!(heard, json!({"data": {"queueSaved": expected}}));
        let change = "mutation($id: ID, $dlq: ID) { saveQueue(input: {id: $id, maxRetries: 2, deadLetterQueueId: $dlq}) { id } }";
        data(&api, change, json!({"id": new, "dlq": dlq})).await;
        let expected = json!({"id": new, "name": "new", "maxRetries": 2, "deadLetterQueue": {"name": "before"}});
        assert_eq!(socket.event("q").await["data"]["queueSaved"], expected);

        let posted = message(&api, &new, "x").await;
        let expected = json!({"id": posted, "body": "x", "status": "pending", "queue": {"id": new}});
        assert_eq!(socket.event("m").await["data"]["messageSaved"], expected);
        data(&api, "mutation($id: ID) { saveMessage(input: {id: $id, body: \"y\"}) { id } }", json!({"id": posted}))
            .await;
        assert_eq!(socket.event("m").await["data"]["messageSaved"]["body"], "y");

        let cron = data(
            &api,
            "mutation($q: ID) { saveCron(input: {queueId: $q, schedule: \"@yearly\"}) { id } }",
            json!({"q": new}),
        )
        .await;
        let expected = json!({"id": cron["saveCron"]["id"], "schedule": "@yearly"});
        assert_eq!(socket.event("c").await["data"]["cronSaved"], expected);
        // Its first message is one as others are.
        assert_eq!(socket.event("m").await["data"]["messageSaved"]["queue"]["id"], new);

        data(&api, "mutation($id: ID) { deleteMessages(where: {id: {eq: $id}}) { id } }", json!({"id": posted})).await;
        assert_eq!(socket.event("md").await, json!({"data": {"messageDeleted": {"id": posted}}}));
        data(
            &api,
            "mutation($id: ID) { deleteCrons(where: {id: {eq: $id}}) { id } }",
            json!({"id": cron["saveCron"]["id"]}),
        )
        .await;
        assert_eq!(socket.event("cd").await, json!({"data": {"cronDeleted": {"id": cron["saveCron"]["id"]}}}));
        data(
            &api,
            "mutation($id: ID) { deleteQueues(where: {id: {eq: $id}}, force: true) { id } }",
            json!({"id": new}),
        )
        .await;
        assert_eq!(socket.event("qd").await, json!({"data": {"queueDeleted": {"id": new}}}));

        // What has been ended is heard no more; the connection is.
        socket.stop("q").await;
        queue(&api, "unheard").await;
        message(&api, &dlq, "heard").await;
        loop {
            let heard = socket.event("m").await;
            if heard["data"]["messageSaved"]["body"] == "heard" {
                break;
            }
        }
        // Nobody is there any more: nobody looks.
        drop(socket);
        let looking = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND query LIKE '%a.outcome = ''delivered'' ORDER BY a.finished_at%' AND pid <> pg_backend_pid()";
        wait::eventually(SOON, "nobody looks for changes", async || database.number(looking).await == 0).await;
    }
}

#[actix_rt::test]
async fn a_delivery_is_heard() {
    let (database, near, _far, api) = two().await;
    let _deliverer = Launch::deliverer(&database).start().await;
    let receiver = Receiver::start();
    let input = json!({"name": "q", "callbackUrl": receiver.url("/"), "method": "POST", "maxRetries": 0});
    let queue = data(&api, "mutation($q: QueueInput!) { saveQueue(input: $q) { id } }", json!({"q": input})).await;
    let queue = queue["saveQueue"]["id"].clone();
    let mut socket = Socket::open(near.address(), NEW, &[]).await;
    socket.init(json!({})).await;
    socket.subscribe("m", "subscription { messageSaved { id status sentAt failed attempts { outcome } } }").await;
    wait_for_hub(&database).await;
    for (path, status) in [("/", "delivered"), ("/refuses", "failed")] {
        receiver.answer("/refuses", posthaste_tests::receiver::Answer::status(500));
        let input = json!({"id": queue, "callbackUrl": receiver.url(path)});
        data(&api, "mutation($q: QueueInput!) { saveQueue(input: $q) { id } }", json!({"q": input})).await;
        let sent =
            data(&api, "mutation($q: ID) { saveMessage(input: {queueId: $q}) { id } }", json!({"q": queue})).await;
        let ended = loop {
            let heard = socket.event("m").await["data"]["messageSaved"].take();
            // Of the one before there may be news once more.
            if heard["id"] == sent["saveMessage"]["id"] && heard["status"] != "pending" {
                break heard;
            }
        };
        assert_eq!((&ended["status"], &ended["failed"]), (&json!(status), &json!(status == "failed")), "{ended}");
        assert!(ended["sentAt"].is_string(), "{ended}");
        assert_eq!(ended["attempts"], json!([{"outcome": status}]));
    }
}

#[actix_rt::test]
async fn a_late_commit_is_heard() {
    let (database, near, _far, api) = two().await;
    let queue: i64 = queue(&api, "q").await.parse().unwrap();
    let mut socket = Socket::open(near.address(), NEW, &[]).await;
    socket.init(json!({})).await;
    socket.subscribe("m", "subscription { messageSaved { body } }").await;
    wait_for_hub(&database).await;
    let application = database.connect().await;
    application.batch_execute("BEGIN").await.unwrap();
    application.execute("SELECT posthaste.enqueue($1::bigint, 'late')", &[&queue]).await.unwrap();
    // Another's commit overtakes it.
    message(&api, &queue.to_string(), "early").await;
    assert_eq!(socket.event("m").await["data"]["messageSaved"]["body"], "early");
    application.batch_execute("COMMIT").await.unwrap();
    assert_eq!(socket.event("m").await["data"]["messageSaved"]["body"], "late");
}

#[actix_rt::test]
async fn who_does_not_read_is_told_that_it_has_missed_something() {
    let (database, near, _far, api) = two().await;
    let queue: i64 = queue(&api, "q").await.parse().unwrap();
    let mut slow = Socket::open(near.address(), NEW, &[]).await;
    let mut quick = Socket::open(near.address(), NEW, &[]).await;
    for socket in [&mut slow, &mut quick] {
        socket.init(json!({})).await;
        socket.subscribe("m", "subscription { messageSaved { id body } }").await;
    }
    wait_for_hub(&database).await;
    // More than a connection and a subscription hold, in parts that a subscriber can follow.
    const PARTS: i64 = 6;
    const MESSAGES: i64 = 100;
    let application = database.connect().await;
    for _ in 0..PARTS {
        let sql = "SELECT posthaste.enqueue($1::bigint, repeat('x', 50000)) FROM generate_series(1, $2::bigint)";
        application.execute(sql, &[&queue, &MESSAGES]).await.unwrap();
        for _ in 0..MESSAGES {
            assert!(quick.event("m").await["data"]["messageSaved"]["id"].is_string());
        }
    }
    // What was sent before it fell behind comes first.
    let last = loop {
        let heard = slow.event("m").await;
        if heard["errors"].is_array() {
            break heard;
        }
    };
    assert_eq!(last["errors"][0]["extensions"]["code"], "PH_CHANGES_MISSED", "{last}");
    // The connection is as good as before.
    assert_eq!(slow.first("q", "{ countQueues { total } }").await["data"]["countQueues"]["total"], 1);
}

#[actix_rt::test]
async fn subscriptions_outlive_a_lost_connection() {
    let (database, near, _far, api) = two().await;
    let mut socket = Socket::open(near.address(), NEW, &[]).await;
    socket.init(json!({})).await;
    socket.subscribe("q", "subscription { queueSaved { name } }").await;
    wait_for_hub(&database).await;
    let terminate = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                     WHERE datname = current_database() AND query LIKE '%a.outcome = ''delivered'' ORDER BY a.finished_at%' AND pid <> pg_backend_pid()";
    // Between two looks it may be at another statement.
    wait::eventually(SOON, "its connection is cut", async || database.number(terminate).await == 1).await;
    queue(&api, "meanwhile").await;
    assert_eq!(socket.event("q").await["data"]["queueSaved"]["name"], "meanwhile");
}
