//! The bodies of requests and answers, as far as their connection must know of them.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use futures_util::Stream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{BODY, UnderWay, at_slowest};

/// The body of an answer; dropped when it has been sent, or will not be.
pub struct Tracked<B> {
    body: Pin<Box<B>>,
    _under_way: Option<UnderWay>,
}

impl<B> Tracked<B> {
    pub(super) fn new(body: B, under_way: Option<UnderWay>) -> Tracked<B> {
        Tracked { body: Box::pin(body), _under_way: under_way }
    }
}

impl<B: MessageBody> MessageBody for Tracked<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, B::Error>>> {
        self.body.as_mut().poll_next(cx)
    }
}

/// The body of a request; ends with an error of the kind `TimedOut` when it comes too slowly.
pub struct InTime {
    payload: Payload,
    began: Instant,
    received: u64,
    /// None until it has been waited for.
    timer: Option<Pin<Box<Sleep>>>,
}

impl InTime {
    /// The same body, bounded in time.
    pub fn bound(payload: Payload) -> Payload {
        match payload {
            Payload::None => Payload::None,
            payload => {
                let bound = InTime { payload, began: Instant::now(), received: 0, timer: None };
                Payload::Stream { payload: Box::pin(bound) }
            }
        }
    }
}

impl Stream for InTime {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Poll::Ready(item) = Pin::new(&mut this.payload).poll_next(cx) {
            if let Some(Ok(bytes)) = &item {
                this.received = this.received.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            }
            return Poll::Ready(item);
        }
        let deadline = this.began + BODY + at_slowest(this.received);
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx).map(|()| Some(Err(PayloadError::Io(io::ErrorKind::TimedOut.into()))))
    }
}

/// Whether a body failed because it came too slowly.
pub fn is_late(error: &actix_web::Error) -> bool {
    match error.as_error::<PayloadError>() {
        Some(PayloadError::Io(error)) => error.kind() == io::ErrorKind::TimedOut,
        Some(_) | None => false,
    }
}
