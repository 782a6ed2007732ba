//! Coalescing: messages that are posted one by one at the same time are stored together.
//!
//! Promise: a caller is told that its message is stored only after the commit. A message that cannot be stored fails
//! alone, whatever it shares a statement with. When the connection is lost while a statement is under way, nobody can
//! know whether it has committed: its callers get [`ApiError::OutcomeUnknown`] and nothing is tried again, as that
//! might store their messages twice. A client whose message has an idempotency key may ask again until it knows.
//!
//! There is no timer. A batch is what has gathered while the statements before it ran: alone, a message is stored at
//! once; under load, batches grow until they keep up. What waits is bounded in number and, with `memory`, in bytes; how
//! long it waits is bounded in time. Messages with keys gather apart from those without, which need not pay for them.
//!
//! - `gathering`: what waits becomes groups.
//! - `storing`: a group becomes a statement, and its callers are answered.
//! - `many`: messages that come together in one request, and are one commit.

mod gathering;
mod many;
mod storing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use posthaste_core::trace;
use posthaste_store::message::{Accepted, Body, NewMessage, Verdict};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::batcher::gathering::{Caller, Waiting};
use crate::batcher::storing::Storage;
use crate::error::ApiError;
use crate::memory::Memory;
use crate::metrics::{ApiMetrics, Connections};
use crate::waker::Waker;
use crate::wire::message::expires_too_soon;

pub use many::{LARGEST_BATCH, NotStored};

/// Messages that may wait, of those with keys and of those without.
const WAITING: usize = 10_000;
/// Requests with many messages that are stored at once; the others wait, so that they leave connections for the rest.
const MANY: usize = 3;

/// A message that is stored, and what it became.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    pub message: NewMessage,
    pub accepted: Accepted,
    /// It was stored by an earlier request with the same idempotency key.
    pub replayed: bool,
}

/// Where handlers hand messages in. Clones feed the same batches.
#[derive(Debug, Clone)]
pub struct Batcher {
    plain: mpsc::Sender<Waiting>,
    keyed: mpsc::Sender<Waiting>,
    memory: Memory,
    storage: Storage,
    many: Arc<Semaphore>,
    runtime: Handle,
}

impl Batcher {
    /// Starts the tasks that store, in the current runtime. They end, with everything stored that was handed in, after
    /// `stop` is cancelled. Idempotency keys are kept for `lifetime`.
    #[must_use]
    pub fn start(
        pool: Connections,
        waker: Waker,
        metrics: ApiMetrics,
        memory: Memory,
        lifetime: Duration,
        stop: CancellationToken,
    ) -> (Batcher, JoinHandle<()>) {
        let storage = Storage { pool, waker, metrics, lifetime };
        let (plain, waiting) = mpsc::channel(WAITING);
        let storing_plain = storing::run(waiting, storage.clone(), stop.clone());
        let (keyed, waiting) = mpsc::channel(WAITING);
        let storing_keyed = storing::run(waiting, storage.clone(), stop);
        let batcher =
            Batcher { plain, keyed, memory, storage, many: Arc::new(Semaphore::new(MANY)), runtime: Handle::current() };
        let storing = async {
            tokio::join!(storing_plain, storing_keyed);
        };
        (batcher, tokio::spawn(storing))
    }

    /// Stores a message and gives it back with what it became.
    ///
    /// # Errors
    /// [`ApiError::UnknownQueue`], [`ApiError::IdempotencyConflict`], [`ApiError::InvalidValue`] where it would expire
    /// before it is due, [`ApiError::Overloaded`], [`ApiError::Unavailable`], [`ApiError::OutcomeUnknown`], or what the
    /// database has against it.
    pub async fn store(&self, message: NewMessage) -> Result<Stored, ApiError> {
        let size = message.body.as_ref().map_or(0, Body::len);
        let mut memory = self.memory.reservation();
        memory.grow(size)?;
        let queue = if message.idempotency.is_some() { &self.keyed } else { &self.plain };
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { message, size, since: Instant::now(), caller: Caller { answer, _memory: memory } };
        queue.try_send(waiting).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ApiError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => ApiError::Unavailable,
        })?;
        // Nobody answers only if the task has panicked.
        answered.await.unwrap_or(Err(ApiError::OutcomeUnknown))
    }
}

/// A caller is about to be told this: counts what was stored, and says so in the log, by ids.
fn answered(metrics: &ApiMetrics, answer: &Result<Stored, ApiError>) {
    let Ok(Stored { message, accepted, replayed: false }) = answer else { return };
    metrics.accepted(message.queue_id);
    let trace = message.sending.traceparent.as_deref().and_then(trace::id);
    tracing::debug!(message_id = accepted.id.0, queue_id = message.queue_id.0, trace_id = trace, "stored");
}

/// What the database's verdict is to the caller.
fn answer(message: NewMessage, verdict: Verdict) -> Result<Stored, ApiError> {
    match verdict {
        Verdict::Stored(accepted) => Ok(Stored { message, accepted, replayed: false }),
        Verdict::Replayed(accepted) => Ok(Stored { message, accepted, replayed: true }),
        Verdict::Conflict => Err(ApiError::IdempotencyConflict),
        Verdict::UnknownQueue => Err(ApiError::UnknownQueue { field: "queueId", id: message.queue_id.0 }),
        Verdict::Expired => Err(expires_too_soon(&message)),
        Verdict::Refused => Err(ApiError::Refused),
    }
}

#[cfg(test)]
mod tests;
