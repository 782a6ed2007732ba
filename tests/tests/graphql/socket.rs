//! What only a connection has: both protocols, and their ends.

use std::time::Duration;

use posthaste_tests::socket::{NEW, OLD, Socket, wait_for_hub};
use posthaste_tests::wait;
use serde_json::json;

use super::{SOON, Setup, queue};

#[actix_rt::test]
async fn both_protocols_are_spoken() {
    let setup = Setup::api().await;
    queue(&setup.api, "q").await;
    for protocol in [NEW, OLD] {
        let mut socket = Socket::open(setup.process.address(), protocol, &[]).await;
        socket.init(json!({"anything": [1]})).await;
        let answer = socket.first("1", "{ queues { name } }").await;
        assert_eq!(answer, json!({"data": {"queues": [{"name": "q"}]}}));
        let answer = socket.first("2", "mutation { saveQueue(input: {id: 1, name: \"q\"}) { name } }").await;
        assert_eq!(answer["data"]["saveQueue"]["name"], "q");
        let wrong = socket.first("3", "{ queues { nope } }").await;
        assert!(wrong["errors"][0]["message"].is_string(), "{wrong}");
        let deep = socket
            .first("4", &format!("{{ queues {{ {} }} }}", "queues { ".repeat(20) + "id" + &" }".repeat(20)))
            .await;
        assert_eq!(deep["errors"][0]["extensions"]["code"], "PH_LIMIT_EXCEEDED");
        if protocol.name == NEW.name {
            socket.say(json!({"type": "ping"})).await;
            assert_eq!(socket.read().await["type"], "pong");
        } else {
            socket.say(json!({"type": "connection_terminate"})).await;
            assert_eq!(socket.closed().await, 1000);
        }
    }
    // A plain GET, and a protocol that nobody speaks.
    let unknown = awc::Client::new().ws(format!("http://{}/graphql", setup.process.address())).protocols(["soap"]);
    assert!(unknown.connect().await.is_err());
}

#[actix_rt::test]
async fn who_breaks_the_protocol_is_cut_off() {
    let setup = Setup::api().await;
    let address = setup.process.address();
    let mut early = Socket::open(address, NEW, &[]).await;
    early.subscribe("1", "subscription { queueSaved { id } }").await;
    assert_eq!(early.closed().await, 1011);
    let mut twice = Socket::open(address, NEW, &[]).await;
    twice.init(json!({})).await;
    twice.say(json!({"type": "connection_init"})).await;
    assert_eq!(twice.closed().await, 4429);
    let mut nonsense = Socket::open(address, NEW, &[]).await;
    nonsense.say_text("{").await;
    assert_eq!(nonsense.closed().await, 1002);
    let mut large = Socket::open(address, NEW, &[]).await;
    large.say_text(&"x".repeat(2 << 20)).await;
    assert_eq!(large.closed().await, 1002);
    // Who says nothing does not hold a connection for ever.
    let mut silent = Socket::open(address, NEW, &[]).await;
    assert_eq!(silent.closed().await, 4408);
}

#[actix_rt::test]
async fn a_stop_closes_connections() {
    let mut setup = Setup::api().await;
    let mut socket = Socket::open(setup.process.address(), NEW, &[]).await;
    socket.init(json!({})).await;
    socket.subscribe("1", "subscription { queueSaved { id } }").await;
    wait_for_hub(&setup.database).await;
    setup.process.sigterm();
    assert_eq!(socket.closed().await, 1012);
    drop(socket);
    let status = setup.process.wait(Duration::from_secs(20)).await;
    assert!(status.success(), "{status}");
    let nobody = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    wait::eventually(SOON, "its connections are closed", async || setup.database.number(nobody).await == 0).await;
}
