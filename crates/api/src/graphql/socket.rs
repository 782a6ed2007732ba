//! GraphQL over WebSocket, in both of its protocols: `graphql-transport-ws` and the older `graphql-ws`.
//!
//! A client shows its credentials in the headers of the request or, as browsers cannot, in the payload of
//! `connection_init`: header names and values, in any case, alone or within `headers`.
//!
//! Nothing is sent faster than the client reads, and nothing is kept for one that does not read: it falls behind, and its
//! subscriptions end with an error. Who does not answer a ping, or reads nothing for a while, is cut off.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_http::ws::{CloseCode, CloseReason, Codec, Frame, Item, Message, hash_key, verify_handshake};
use actix_web::dev::RequestHead;
use actix_web::guard::GuardContext;
use actix_web::http::header::{HeaderMap, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use actix_web::web::{Bytes, BytesMut, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use async_graphql::http::{ClientMessage, WebSocket, WebSocketProtocols, WsMessage};
use futures_util::{Stream, StreamExt, stream};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, timeout};
use tokio_util::codec::{Decoder, Encoder};

use super::execution::Operations;
use crate::app::App;
use crate::auth::Caller;
use crate::error::ApiError;

/// How long a client may take to say `connection_init`.
const INIT_WITHIN: Duration = Duration::from_secs(10);
/// How often a client is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(15);
/// Nothing was heard of it for so long: it is gone.
const SILENCE: Duration = Duration::from_secs(45);
/// How long one frame may take to be read.
const STALLED: Duration = Duration::from_secs(30);
/// Messages of a client that are not looked at yet.
const UNREAD: usize = 16;

/// Whether a request wants to become a WebSocket.
pub fn is_asked_for(context: &GuardContext<'_>) -> bool {
    context
        .head()
        .headers()
        .get(UPGRADE)
        .and_then(|upgrade| upgrade.to_str().ok())
        .is_some_and(|upgrade| upgrade.to_ascii_lowercase().contains("websocket"))
}

/// `GET /graphql` with an upgrade. Credentials in its headers may be replaced later, so nobody is refused here.
pub async fn open(app: Data<App>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, ApiError> {
    let handshake = |problem: &str| ApiError::Validation(format!("no WebSocket: {problem}"));
    verify_handshake(request.head()).map_err(|error| handshake(&error.to_string()))?;
    let protocol = protocol(request.head())
        .ok_or_else(|| handshake("sec-websocket-protocol must be graphql-transport-ws or graphql-ws"))?;
    let key = request.headers().get(SEC_WEBSOCKET_KEY).ok_or_else(|| handshake("sec-websocket-key is missing"))?;
    let accept = String::from_utf8_lossy(&hash_key(key.as_bytes())).into_owned();
    let (send, mut frames) = mpsc::channel(1);
    let connection = Connection {
        headers: request.headers().clone(),
        codec: Codec::new().max_size(app.max_body_bytes),
        received: BytesMut::new(),
        whole: BytesMut::new(),
        send,
        heard_at: Instant::now(),
        app,
        protocol,
    };
    actix_web::rt::spawn(connection.run(payload));
    let frames = stream::poll_fn(move |context| frames.poll_recv(context).map(|frame| frame.map(Ok::<_, Infallible>)));
    Ok(HttpResponse::SwitchingProtocols()
        .upgrade("websocket")
        .insert_header((SEC_WEBSOCKET_ACCEPT, accept))
        .insert_header((SEC_WEBSOCKET_PROTOCOL, protocol.sec_websocket_protocol()))
        .streaming(frames))
}

/// The first protocol of the client's that is one of ours.
fn protocol(head: &RequestHead) -> Option<WebSocketProtocols> {
    let lists = head.headers().get_all(SEC_WEBSOCKET_PROTOCOL).filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).find_map(|name| name.trim().parse().ok())
}

struct Connection {
    app: Data<App>,
    protocol: WebSocketProtocols,
    headers: HeaderMap,
    codec: Codec,
    /// Bytes that are no frame yet.
    received: BytesMut,
    /// Frames that are no message yet.
    whole: BytesMut,
    send: mpsc::Sender<Bytes>,
    heard_at: Instant,
}

/// The connection is over.
struct Over;

impl Connection {
    async fn run(mut self, payload: Payload) {
        // An error is the end as well; there is nobody to tell.
        let _ = self.serve(payload).await;
    }

    async fn serve(&mut self, mut payload: Payload) -> Result<(), Over> {
        let (input, messages) = mpsc::channel(UNREAD);
        let initialised = Arc::new(AtomicBool::new(false));
        let mut replies = self.replies(messages, Arc::clone(&initialised));
        let app = self.app.clone();
        let mut ended = std::pin::pin!(app.changes.ended());
        let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        let mut late = std::pin::pin!(tokio::time::sleep(INIT_WITHIN));
        let mut waits_for_init = true;
        loop {
            tokio::select! {
                // What has arrived while the client does not read is left where it is.
                bytes = payload.next(), if input.capacity() > 0 => {
                    let Some(Ok(bytes)) = bytes else { return Err(Over) };
                    self.heard_at = Instant::now();
                    self.received.extend_from_slice(&bytes);
                }
                reply = replies.next() => match reply {
                    Some(WsMessage::Text(text)) => self.say(Message::Text(text.into())).await?,
                    Some(WsMessage::Close(code, reason)) => return self.close(code.into(), reason).await,
                    None => return self.close(CloseCode::Normal, String::new()).await,
                },
                _ = ping.tick() => {
                    if self.heard_at.elapsed() > SILENCE {
                        return Err(Over);
                    }
                    self.say(Message::Ping(Bytes::new())).await?;
                }
                () = &mut late, if waits_for_init => {
                    waits_for_init = false;
                    if !initialised.load(Ordering::SeqCst) {
                        return self.close(4408.into(), "Connection initialisation timeout".to_owned()).await;
                    }
                }
                () = &mut ended => {
                    return self.close(CloseCode::Restart, "the service ends".to_owned()).await;
                }
            }
            while input.capacity() > 0 {
                match self.message().await? {
                    Some(message) => drop(input.try_send(message)),
                    None => break,
                }
            }
        }
    }

    /// What the protocol answers to a client's messages.
    fn replies(
        &self,
        mut messages: mpsc::Receiver<Bytes>,
        initialised: Arc<AtomicBool>,
    ) -> Pin<Box<dyn Stream<Item = WsMessage>>> {
        let messages = stream::poll_fn(move |context| messages.poll_recv(context));
        let messages = messages.map(|message| ClientMessage::from_bytes(&message));
        let (app, headers) = (self.app.clone(), pairs(&self.headers));
        let operations = Operations { app: app.clone() };
        let socket = WebSocket::from_message_stream(operations, messages, self.protocol).on_connection_init(
            move |payload| async move {
                initialised.store(true, Ordering::SeqCst);
                let caller = Caller::from_headers(&app, with_payload(headers, &payload)).await;
                let mut data = async_graphql::Data::default();
                data.insert(caller.map_err(super::execution::refused)?);
                Ok(data)
            },
        );
        Box::pin(socket)
    }

    /// The next whole message of the client's, if it is there; what is for the connection itself is answered.
    async fn message(&mut self) -> Result<Option<Bytes>, Over> {
        loop {
            let frame = match self.codec.decode(&mut self.received) {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.close(CloseCode::Protocol, error.to_string()).await?;
                    return Err(Over);
                }
            };
            match frame {
                Frame::Text(bytes) | Frame::Binary(bytes) => return Ok(Some(bytes)),
                Frame::Continuation(Item::FirstText(bytes) | Item::FirstBinary(bytes) | Item::Continue(bytes)) => {
                    self.gather(&bytes).await?;
                }
                Frame::Continuation(Item::Last(bytes)) => {
                    self.gather(&bytes).await?;
                    return Ok(Some(std::mem::take(&mut self.whole).freeze()));
                }
                Frame::Ping(bytes) => self.say(Message::Pong(bytes)).await?,
                Frame::Pong(_) => {}
                Frame::Close(reason) => {
                    self.say(Message::Close(reason)).await?;
                    return Err(Over);
                }
            }
        }
    }

    async fn gather(&mut self, bytes: &Bytes) -> Result<(), Over> {
        if self.whole.len() + bytes.len() > self.app.max_body_bytes {
            self.close(CloseCode::Size, "the message is too large".to_owned()).await?;
            return Err(Over);
        }
        self.whole.extend_from_slice(bytes);
        Ok(())
    }

    async fn close(&mut self, code: CloseCode, reason: String) -> Result<(), Over> {
        // A control frame has at most 125 bytes, two of them the code.
        let reason = reason.chars().scan(0, |length, c| {
            *length += c.len_utf8();
            (*length <= 120).then_some(c)
        });
        self.say(Message::Close(Some(CloseReason { code, description: Some(reason.collect()) }))).await
    }

    /// Sends a frame once the one before has been taken.
    async fn say(&mut self, message: Message) -> Result<(), Over> {
        let mut bytes = BytesMut::new();
        self.codec.encode(message, &mut bytes).map_err(|_| Over)?;
        match timeout(STALLED, self.send.send(bytes.freeze())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Over),
        }
    }
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &actix_web::http::header::HeaderValue| value.to_str().ok().map(str::to_owned);
    headers.iter().filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?))).collect()
}

/// The headers, with those that the payload of `connection_init` names in their place.
fn with_payload(mut headers: Vec<(String, String)>, payload: &Value) -> Vec<(String, String)> {
    let Value::Object(payload) = payload else { return headers };
    let within = payload.get("headers").and_then(Value::as_object);
    for (name, value) in payload.iter().chain(within.into_iter().flatten()) {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => continue,
        };
        headers.retain(|(given, _)| !given.eq_ignore_ascii_case(name));
        headers.push((name.to_ascii_lowercase(), value));
    }
    headers
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_payload_replaces_headers() {
        let headers = vec![("authorization".to_owned(), "old".to_owned()), ("x-a".to_owned(), "1".to_owned())];
        let payload = json!({"Authorization": "new", "x": null, "headers": {"X-B": 2}});
        let expected = [("x-a", "1"), ("authorization", "new"), ("x-b", "2")];
        let found = with_payload(headers.clone(), &payload);
        assert_eq!(found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(), expected);
        assert_eq!(with_payload(headers.clone(), &Value::Null), headers);
    }

    #[test]
    fn the_first_known_protocol_is_taken() {
        let of = |list: &str| {
            let request = TestRequest::default().insert_header((SEC_WEBSOCKET_PROTOCOL, list)).to_http_request();
            protocol(request.head()).map(|protocol| protocol.sec_websocket_protocol())
        };
        assert_eq!(of("soap, graphql-transport-ws, graphql-ws"), Some("graphql-transport-ws"));
        assert_eq!(of("graphql-ws"), Some("graphql-ws"));
        assert_eq!(of("soap"), None);
    }
}
