//! Coalescing: messages that are posted one by one at the same time are stored together.
//!
//! Promise: a caller is told that its message is stored only after the commit. A message that cannot be stored fails
//! alone, whatever it shares a statement with. When the connection is lost while a statement is under way, nobody can
//! know whether it has committed: its callers get [`ApiError::OutcomeUnknown`] and nothing is tried again, as that
//! might store their messages twice.
//!
//! There is no timer. A batch is what has gathered while the statements before it ran: alone, a message is stored at
//! once; under load, batches grow until they keep up. What waits is bounded in number and bytes, and how long it waits
//! in time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use posthaste_core::ids::Shard;
use posthaste_store::error::StoreError;
use posthaste_store::message::{Accepted, Batch, Body, NewMessage, insert};
use posthaste_store::partition::ensure_partitions;
use posthaste_store::pool::Pool;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::error::ApiError;
use crate::waker::Waker;

/// Messages that may wait.
const WAITING: usize = 10_000;
/// Bytes of bodies that may wait or be under way.
const WAITING_BYTES: u32 = 64 << 20;
/// How long a message may wait for its statement to begin; a client has mostly given up by then.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages of one statement.
const ROWS: usize = 500;
/// Bytes of bodies of one statement; a single greater one goes alone.
const BYTES: usize = 4 << 20;
/// Statements under way at once: while one waits for the disk, the next is sent.
const STATEMENTS: u32 = 2;
/// How often a statement is tried again that was rolled back for a reason that passes; 10 ms wait before the first,
/// doubling.
const RETRIES: u32 = 5;
/// A message that is due this soon wakes its deliverer up; for others there is time to be found by polling.
const SOON: Duration = Duration::from_secs(1);

/// A message that is stored, and what it became.
pub type Stored = (NewMessage, Accepted);

/// Where handlers hand messages in. Clones feed the same batches.
#[derive(Debug, Clone)]
pub struct Batcher {
    queue: mpsc::Sender<Waiting>,
    bytes: Arc<Semaphore>,
}

#[derive(Debug)]
struct Waiting {
    message: NewMessage,
    size: usize,
    since: Instant,
    caller: Caller,
}

#[derive(Debug)]
struct Caller {
    answer: oneshot::Sender<Result<Stored, ApiError>>,
    _bytes: OwnedSemaphorePermit,
}

impl Batcher {
    /// Starts the task that stores, in the current runtime. It ends, with everything stored that was handed in, after
    /// `stop` is cancelled.
    #[must_use]
    pub fn start(pool: Pool, waker: Waker, stop: CancellationToken) -> (Batcher, JoinHandle<()>) {
        let (queue, waiting) = mpsc::channel(WAITING);
        let bytes = Arc::new(Semaphore::new(usize::try_from(WAITING_BYTES).unwrap_or(Semaphore::MAX_PERMITS)));
        let gathering = Gathering { waiting, carried: None };
        (Batcher { queue, bytes }, tokio::spawn(run(gathering, pool, waker, stop)))
    }

    /// Stores a message and gives it back with what it became.
    ///
    /// # Errors
    /// [`ApiError::UnknownQueue`], [`ApiError::Overloaded`], [`ApiError::Unavailable`], [`ApiError::OutcomeUnknown`],
    /// or what the database has against it.
    pub async fn store(&self, message: NewMessage) -> Result<Stored, ApiError> {
        let size = message.body.as_ref().map_or(0, Body::len);
        // The largest that is allowed must get through, if alone.
        let permits = u32::try_from(size).unwrap_or(u32::MAX).min(WAITING_BYTES);
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(permits).map_err(|_| ApiError::Overloaded)?;
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { message, size, since: Instant::now(), caller: Caller { answer, _bytes: bytes } };
        self.queue.try_send(waiting).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ApiError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => ApiError::Unavailable,
        })?;
        // Nobody answers only if the task has panicked.
        answered.await.unwrap_or(Err(ApiError::OutcomeUnknown))
    }
}

async fn run(mut gathering: Gathering, pool: Pool, waker: Waker, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(usize::try_from(STATEMENTS).unwrap_or(1)));
    let mut stopping = false;
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        let group = loop {
            tokio::select! {
                group = gathering.next() => break group,
                // What waits already is still handed out.
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    gathering.waiting.close();
                }
            }
        };
        let Some(group) = group else { break };
        let (pool, waker) = (pool.clone(), waker.clone());
        tokio::spawn(async move {
            store(&pool, &waker, group).await;
            drop(slot);
        });
    }
    // All slots free: all statements have ended.
    let _ = slots.acquire_many(STATEMENTS).await;
}

/// Makes groups of what waits.
struct Gathering {
    waiting: mpsc::Receiver<Waiting>,
    /// What did not fit into the last group.
    carried: Option<Waiting>,
}

impl Gathering {
    /// All that waits now, up to the bounds of a statement; waits only if nothing does. `None` at the end. May be
    /// dropped while it waits.
    async fn next(&mut self) -> Option<Group> {
        let mut group = Group::default();
        while group.callers.is_empty() {
            match self.carried.take() {
                Some(first) => group.admit(first),
                None => group.admit(self.waiting.recv().await?),
            }
        }
        while group.callers.len() < ROWS {
            let Ok(next) = self.waiting.try_recv() else { break };
            if group.batch.bytes() + next.size > BYTES {
                self.carried = Some(next);
                break;
            }
            group.admit(next);
        }
        Some(group)
    }
}

/// Messages that are stored together, and who waits for them, in the same order.
#[derive(Default)]
struct Group {
    batch: Batch,
    callers: Vec<Caller>,
}

impl Group {
    /// Takes a message in, unless its caller is gone or has waited too long.
    fn admit(&mut self, waiting: Waiting) {
        let Waiting { message, since, caller, .. } = waiting;
        if caller.answer.is_closed() {
            return;
        }
        if since.elapsed() > PATIENCE {
            // The caller may be gone by now.
            let _ = caller.answer.send(Err(ApiError::Unavailable));
            return;
        }
        self.batch.push(message);
        self.callers.push(caller);
    }

    fn split(mut self) -> (Group, Group) {
        let half = self.callers.len() / 2;
        let second = Group { batch: self.batch.split_off(half), callers: self.callers.split_off(half) };
        (self, second)
    }

    fn answer(self, accepted: Vec<Option<Accepted>>) {
        for ((message, accepted), caller) in self.batch.into_messages().zip(accepted).zip(self.callers) {
            let id = message.queue_id.0;
            let unknown = || ApiError::UnknownQueue { field: "queueId", id };
            // As above.
            let _ = caller.answer.send(accepted.map(|accepted| (message, accepted)).ok_or_else(unknown));
        }
    }

    fn fail(self, error: &ApiError) {
        for caller in self.callers {
            let _ = caller.answer.send(Err(error.clone()));
        }
    }
}

/// Stores a group; one that the database refuses is halved until the culprit is alone.
async fn store(pool: &Pool, waker: &Waker, group: Group) {
    let mut groups = vec![group];
    while let Some(group) = groups.pop() {
        match store_batch(pool, &group.batch).await {
            Ok(accepted) => {
                waker.pending(due_soon(&accepted));
                group.answer(accepted);
            }
            Err(ApiError::Refused | ApiError::Internal) if group.callers.len() > 1 => {
                let (first, second) = group.split();
                groups.extend([second, first]);
            }
            Err(error) => group.fail(&error),
        }
    }
}

fn due_soon(accepted: &[Option<Accepted>]) -> impl Iterator<Item = Shard> {
    let soon = |it: &&Accepted| it.scheduled_at <= it.created_at.saturating_add(SOON);
    accepted.iter().flatten().filter(soon).map(|it| it.shard)
}

async fn store_batch(pool: &Pool, batch: &Batch) -> Result<Vec<Option<Accepted>>, ApiError> {
    let mut conn = pool.get().await.map_err(|error| ApiError::from_read(&error.into()))?;
    let mut partitions_made = false;
    let mut wait = Duration::from_millis(10);
    let mut retries = 0;
    loop {
        match insert(&mut conn, batch).await {
            Ok(accepted) => return Ok(accepted),
            Err(StoreError::MissingPartition) if !partitions_made => {
                partitions_made = true;
                ensure_partitions(&mut conn).await.map_err(|error| ApiError::from_read(&error))?;
            }
            Err(StoreError::Retryable(_)) if retries < RETRIES => {
                retries += 1;
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            Err(error) => return Err(ApiError::from_write(&error)),
        }
    }
}

#[cfg(test)]
mod tests;
