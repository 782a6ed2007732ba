//! A client for GraphQL over WebSocket, in both protocols.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use awc::error::WsProtocolError;
use awc::ws::{Frame, Message};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use serde_json::{Value, json};

use crate::database::Database;
use crate::wait;

/// What is waited for comes within this, or the test fails.
const SOON: Duration = Duration::from_secs(15);

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

    /// Says something that may be no JSON.
    pub async fn say_text(&mut self, text: &str) {
        self.sink.send(Message::Text(text.to_owned().into())).await.expect("a connection");
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

    /// The next message, whatever it is.
    pub async fn read(&mut self) -> Value {
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

/// Waits until a process looks for changes on behalf of a subscription.
///
/// # Panics
/// None does in time.
pub async fn wait_for_hub(database: &Database) {
    let looking = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND query LIKE '%posthaste.deletions d%' AND pid <> pg_backend_pid()";
    wait::eventually(SOON, "changes are looked for", async || database.number(looking).await > 0).await;
}
