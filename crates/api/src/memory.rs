//! Memory for what requests bring and what answers carry, so that no number of clients can make an API run out of it.
//!
//! Promise: bodies of requests while they are read and stored, and bodies and headers of rows from when they are read until the
//! client has taken the answer, are [`ALL`] bytes together at most. Who asks for more than is left is answered
//! [`ApiError::Overloaded`] and may try again. One answer is bounded by [`LARGEST_ANSWER`].
//!
//! Bytes are counted once, and exist up to four times: as they came, as they are stored or were read, and on their way to or
//! from the socket. An API therefore needs four times [`ALL`] at the worst, and next to nothing usually.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use posthaste_store::listing;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// What all requests may hold together, in bytes.
pub const ALL: u32 = 64 << 20;
/// How large the rows of one answer may be together, in bytes of their bodies and headers. One row is never too large.
pub const LARGEST_ANSWER: usize = listing::LARGEST;
/// How much of an answer is given to the connection at once.
const PIECE: usize = 64 << 10;

/// The memory of an API. Clones share it.
#[derive(Debug, Clone)]
pub struct Memory(Arc<Semaphore>);

/// A part of it. Given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    all: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory(Arc::new(Semaphore::new(usize::try_from(ALL).unwrap_or(Semaphore::MAX_PERMITS))))
    }
}

impl Memory {
    /// A reservation; nothing is in it yet.
    #[must_use]
    pub fn reservation(&self) -> Reservation {
        Reservation { all: Arc::clone(&self.0), held: None }
    }
}

impl Reservation {
    /// Takes so many bytes more.
    ///
    /// # Errors
    /// [`ApiError::Overloaded`] where they are not to be had.
    pub fn grow(&mut self, bytes: usize) -> Result<(), ApiError> {
        // The largest that is allowed must get through, if alone.
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX).min(ALL);
        let more = Arc::clone(&self.all).try_acquire_many_owned(permits).map_err(|_| ApiError::Overloaded)?;
        match &mut self.held {
            Some(held) => held.merge(more),
            held @ None => *held = Some(more),
        }
        Ok(())
    }
}

/// What one answer holds. Clones are the same answer.
#[derive(Debug, Clone)]
pub struct Answer(Arc<Mutex<Gathered>>);

#[derive(Debug)]
struct Gathered {
    bytes: usize,
    reserved: Reservation,
}

impl Answer {
    /// Nothing is in it yet.
    #[must_use]
    pub fn new(memory: &Memory) -> Answer {
        Answer(Arc::new(Mutex::new(Gathered { bytes: 0, reserved: memory.reservation() })))
    }

    /// Adds rows of so many bytes.
    ///
    /// # Errors
    /// [`ApiError::AnswerTooLarge`]; [`ApiError::Overloaded`] where there is no memory for them now.
    pub fn add(&self, bytes: usize) -> Result<(), ApiError> {
        let mut gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if gathered.bytes > 0 && gathered.bytes + bytes > LARGEST_ANSWER {
            return Err(ApiError::AnswerTooLarge);
        }
        gathered.reserved.grow(bytes)?;
        gathered.bytes += bytes;
        Ok(())
    }

    /// Its text. The memory is given back once the client has taken it.
    #[must_use]
    pub fn text(self, text: Vec<u8>) -> Text {
        Text { rest: text.into(), _memory: self }
    }
}

/// An answer on its way, in pieces, as fast as the client takes them.
#[derive(Debug)]
pub struct Text {
    rest: Bytes,
    _memory: Answer,
}

impl MessageBody for Text {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(u64::try_from(self.rest.len()).unwrap_or(u64::MAX))
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let piece = self.rest.len().min(PIECE);
        Poll::Ready((piece > 0).then(|| Ok(self.rest.split_to(piece))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> usize {
        usize::try_from(ALL).unwrap_or_default()
    }

    #[test]
    fn what_is_dropped_is_given_back() {
        let memory = Memory::default();
        let (mut one, mut other) = (memory.reservation(), memory.reservation());
        one.grow(all() - 1).expect("almost all");
        one.grow(1).expect("all");
        assert_eq!(other.grow(1), Err(ApiError::Overloaded));
        drop(one);
        other.grow(all()).expect("all of it");
    }

    #[test]
    fn the_largest_gets_through_alone() {
        let memory = Memory::default();
        memory.reservation().grow(usize::MAX).expect("more than there is");
        let mut other = memory.reservation();
        other.grow(1).expect("a byte");
        assert_eq!(memory.reservation().grow(usize::MAX), Err(ApiError::Overloaded));
    }

    #[test]
    fn an_answer_is_bounded_except_for_its_first_rows() {
        let memory = Memory::default();
        let answer = Answer::new(&memory);
        answer.add(0).expect("a row without a body");
        answer.add(LARGEST_ANSWER + 1).expect("a row that is larger than any answer");
        assert_eq!(answer.clone().add(1), Err(ApiError::AnswerTooLarge));
        let other = Answer::new(&memory);
        other.add(LARGEST_ANSWER - 1).expect("rows");
        other.clone().add(1).expect("and one more");
        assert_eq!(other.add(1), Err(ApiError::AnswerTooLarge));
    }

    #[actix_web::test]
    async fn memory_is_held_until_the_answer_is_taken() {
        let memory = Memory::default();
        let answer = Answer::new(&memory);
        answer.add(all()).expect("all of it");
        let mut text = Box::pin(answer.text(vec![b'x'; PIECE + 1]));
        assert_eq!(text.size(), BodySize::Sized(u64::try_from(PIECE + 1).unwrap()));
        for expected in [Some(PIECE), Some(1), None] {
            assert!(memory.reservation().grow(1).is_err(), "before {expected:?}");
            let piece = std::future::poll_fn(|cx| text.as_mut().poll_next(cx)).await;
            assert_eq!(piece.map(|piece| piece.unwrap().len()), expected);
        }
        drop(text);
        memory.reservation().grow(all()).expect("given back");
    }
}
