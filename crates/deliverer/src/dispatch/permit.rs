//! The right to send a request, asked for at the last moment before its first byte.
//!
//! Between the decision to deliver and the request lie the look-up of a name, a connection and a TLS handshake. Meanwhile
//! the process may be frozen or the lease run out, and another owner deliver the message. So the right is not only looked at
//! before: the body carries it, and gives nothing away once it is gone, and no connection that was made for the request
//! sends anything without it ([`super::wire`]), be it a request without a body or one over HTTP/2, whose head goes first.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use actix_http::body::{BodySize, MessageBody};
use bytes::Bytes;
use posthaste_store::lease::Lease;

use super::call::Call;

/// The right to send one request. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Permit {
    lease: Lease,
    /// No hold lasts shorter.
    deadline: Instant,
    held: Rc<Cell<bool>>,
}

impl Permit {
    /// While the lease is live. The delivery has its time limit at `deadline`.
    pub(crate) fn new(lease: Lease, deadline: Instant) -> Permit {
        Permit { lease, deadline, held: Rc::default() }
    }

    /// The shard is handed over with this delivery marked as held: from now on until the deadline, whatever the lease.
    pub(crate) fn hold(&self) {
        self.held.set(true);
    }

    /// Whether the request may still be sent.
    pub(crate) fn stands(&self) -> bool {
        self.lease.is_live() || self.held.get() && Instant::now() < self.deadline
    }

    /// When the delivery has its time limit.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }
}

/// The right was gone before anything was sent.
#[derive(Debug, thiserror::Error)]
#[error("the lease ran out before the request was sent")]
pub(crate) struct NotSent;

/// A body that is sent only with a right to it.
pub(super) struct Guarded {
    call: Rc<Call>,
    body: Bytes,
}

impl Guarded {
    pub(super) fn new(body: Bytes, call: Rc<Call>) -> Guarded {
        Guarded { call, body }
    }
}

impl MessageBody for Guarded {
    type Error = NotSent;

    fn size(&self) -> BodySize {
        match u64::try_from(self.body.len()) {
            // Of a body that is known to be empty nothing is asked. Found to be empty it is announced as such all the same.
            Ok(0) | Err(_) => BodySize::Stream,
            Ok(length) => BodySize::Sized(length),
        }
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, NotSent>>> {
        if !self.call.begin_sending() {
            return Poll::Ready(Some(Err(NotSent)));
        }
        let rest = std::mem::take(&mut self.body);
        Poll::Ready((!rest.is_empty()).then_some(Ok(rest)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix_service::fn_service;
    use actix_tls::connect::{ConnectError, ConnectInfo, Connection};
    use awc::error::SendRequestError;
    use awc::http::Uri;
    use posthaste_store::lease::BootTime;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::super::wire::Wire;
    use super::*;

    fn permit(lease: &Lease) -> Permit {
        Permit::new(lease.clone(), Instant::now() + Duration::from_secs(30))
    }

    fn live() -> Lease {
        let lease = Lease::new();
        lease.renew(BootTime::now());
        lease
    }

    #[test]
    fn a_permit_lives_with_its_lease_or_while_held() {
        let (lease, never) = (live(), Lease::new());
        let (one, other) = (permit(&lease), permit(&lease));
        assert!(one.stands() && !permit(&never).stands());
        one.clone().hold();
        lease.revoke();
        assert!(one.stands(), "what is held is left alone by the next owner");
        assert!(!other.stands());
        let late = Permit::new(lease, Instant::now());
        late.hold();
        assert!(!late.stands(), "a hold ends");
    }

    /// Sends a request whose permit goes, if it is `revoked`, while the connection is made; and what the receiver read. No body is a
    /// GET without any.
    async fn send(body: Option<&str>, revoked: bool) -> (Result<(), SendRequestError>, Rc<Call>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let receiver = actix_rt::spawn(async move { answer(listener.accept().await.unwrap().0).await });
        let lease = live();
        let call = Call::new(permit(&lease), Instant::now(), false, body.is_none());
        let connector = awc::Connector::new().connector(fn_service(move |info: ConnectInfo<Uri>| {
            let lease = lease.clone();
            async move {
                let stream = TcpStream::connect(address).await.map_err(ConnectError::Io)?;
                if revoked {
                    lease.revoke();
                }
                Ok(Connection::new(info.request().clone(), Wire::new(stream, Call::current())))
            }
        }));
        let client = awc::Client::builder().connector(connector).finish();
        let url = format!("http://{address}/");
        let sent = match body {
            Some(body) => client.post(url).send_body(Guarded::new(Bytes::from(body.to_owned()), Rc::clone(&call))),
            None => client.get(url).send_body(actix_http::body::None::new()),
        };
        let result = Rc::clone(&call).scope(sent).await.map(|_| ());
        drop(client);
        (result, call, receiver.await.unwrap())
    }

    /// Reads one request to its end, or the end of the connection, and answers it.
    async fn answer(mut stream: TcpStream) -> String {
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") && !read.ends_with(b"body") {
            // A connection that is closed unused may be reset.
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return String::from_utf8(read).unwrap();
            }
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        String::from_utf8(read).unwrap()
    }

    #[actix_rt::test]
    async fn nothing_is_sent_when_the_permit_goes_while_connecting() {
        for body in [Some("a body"), Some(""), None] {
            let (result, call, read) = send(body, true).await;
            assert!(result.is_err() && call.was_refused(), "{result:?}");
            assert_eq!(read, "", "of {body:?}");
        }
    }

    #[actix_rt::test]
    async fn with_a_permit_the_length_is_announced_and_the_body_sent() {
        for body in ["a body", ""] {
            let (result, _, read) = send(Some(body), false).await;
            result.unwrap();
            assert!(read.to_lowercase().contains(&format!("content-length: {}\r\n", body.len())), "{read}");
            assert!(read.ends_with(body) && !read.to_lowercase().contains("transfer-encoding"), "{read}");
        }
        let (result, _, read) = send(None, false).await;
        result.unwrap();
        assert!(!read.to_lowercase().contains("content-length") && read.ends_with("\r\n\r\n"), "{read}");
    }
}
