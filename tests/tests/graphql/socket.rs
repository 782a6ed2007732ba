//! A client for GraphQL over WebSocket, in both protocols; and what only a connection has.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use awc::error::WsProtocolError;
use awc::ws::{Frame, Message};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use posthaste_tests::wait;
use serde_json::{Value, json};

use super::{SOON, Setup, queue};

/// The names of a protocol's messages.
#[derive(Clone, Copy)]
pub struct Protocol {
    pub name: &'static str,
    start: &'static str,
    next: &'static str,
    stop: &'static str,
}

pub const NEW: Protocol = Protocol { name: "graphql-transport-ws", start: "subscribe", next: "next", stop: "complete" };
pub const OLD: Protocol = Protocol { name: "graphql-ws", start: "start", next: "data", stop: "stop" };

/// A connection.
pub struct Socket {
    sink: Pin<Box<dyn Sink<Message, Error = WsProtocolError>>>,
    frames: Pin<Box<dyn Stream<Item = Result<Frame, WsProtocolError>>>>,
    protocol: Protocol,
    /// Messages that came while another was waited for.
    kept: Vec<Value>,
}

impl Socket {
    /// Connects, with headers.
    pub async fn open(address: SocketAddr, protocol: Protocol, headers: &[(&str, &str)]) -> Self {
        let mut request = awc::Client::new()
            .ws(format!("http://{address}/graphql"))
            .protocols([protocol.name])
            .max_frame_size(1 << 24);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (response, framed) = request.connect().await.expect("a WebSocket");
        assert_eq!(response.headers().get("sec-websocket-protocol").unwrap(), protocol.name);
        let (sink, frames) = framed.split();
        Self { sink: Box::pin(sink), frames: Box::pin(frames), protocol, kept: Vec::new() }
    }

    /// Says who is there, and waits until that is heard.
    pub async fn init(&mut self, payload: Value) {
        self.say(json!({"type": "connection_init", "payload": payload})).await;
        assert_eq!(self.read().await["type"], "connection_ack");
    }

    pub async fn say(&mut self, message: Value) {
        self.sink.send(Message::Text(message.to_string().into())).await.expect("a connection");
    }

    /// Begins an operation.
    pub async fn subscribe(&mut self, id: &str, query: &str) {
        self.say(json!({"id": id, "type": self.protocol.start, "payload": {"query": query}})).await;
    }

    /// Ends an operation.
    pub async fn stop(&mut self, id: &str) {
        self.say(json!({"id": id, "type": self.protocol.stop})).await;
        self.wait_for(id, "complete").await;
    }

    /// The next event of an operation.
    pub async fn event(&mut self, id: &str) -> Value {
        let next = self.protocol.next;
        self.wait_for(id, next).await["payload"].take()
    }

    /// The first event of an operation that ends by itself.
    pub async fn first(&mut self, id: &str, query: &str) -> Value {
        self.subscribe(id, query).await;
        let event = self.event(id).await;
        self.wait_for(id, "complete").await;
        event
    }

    async fn wait_for(&mut self, id: &str, kind: &str) -> Value {
        let is_it = |message: &Value| message["id"] == id && message["type"] == kind;
        if let Some(at) = self.kept.iter().position(is_it) {
            return self.kept.remove(at);
        }
        loop {
            let message = self.read().await;
            if is_it(&message) {
                return message;
            }
            self.kept.push(message);
        }
    }

    async fn read(&mut self) -> Value {
        match self.frame().await {
            Frame::Text(text) => serde_json::from_slice(&text).expect("JSON"),
            other => panic!("no text: {other:?}"),
        }
    }

    /// The next frame that is not a ping.
    pub async fn frame(&mut self) -> Frame {
        loop {
            let frame = tokio::time::timeout(SOON, self.frames.next()).await.expect("a frame in time");
            match frame.expect("a connection").expect("a frame") {
                Frame::Ping(bytes) => self.sink.send(Message::Pong(bytes)).await.expect("a connection"),
                frame => return frame,
            }
        }
    }

    /// The code with which the server closes.
    pub async fn closed(&mut self) -> u16 {
        match self.frame().await {
            Frame::Close(Some(reason)) => reason.code.into(),
            other => panic!("no close: {other:?}"),
        }
    }
}

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
    nonsense.sink.send(Message::Text("{".into())).await.unwrap();
    assert_eq!(nonsense.closed().await, 1002);
    let mut large = Socket::open(address, NEW, &[]).await;
    large.sink.send(Message::Text("x".repeat(2 << 20).into())).await.unwrap();
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
    super::subscriptions::wait_for_hub(&setup.database).await;
    setup.process.sigterm();
    assert_eq!(socket.closed().await, 1012);
    drop(socket);
    let status = setup.process.wait(Duration::from_secs(20)).await;
    assert!(status.success(), "{status}");
    let nobody = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    wait::eventually(SOON, "its connections are closed", async || setup.database.number(nobody).await == 0).await;
}
