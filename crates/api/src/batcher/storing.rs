//! Groups become statements, and their callers are answered.

use std::sync::Arc;
use std::time::Duration;

use posthaste_core::ids::Shard;
use posthaste_store::connect::Connection;
use posthaste_store::error::StoreError;
use posthaste_store::message::{Batch, Verdict, insert, insert_keyed};
use posthaste_store::partition::ensure_partitions;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::gathering::{Gathering, Group, Waiting};
use crate::error::ApiError;
use crate::metrics::{ApiMetrics, Connections};
use crate::waker::Waker;

/// Statements under way at once: while one waits for the disk, the next is sent.
const STATEMENTS: u32 = 2;
/// How often a statement is tried again that was rolled back for a reason that passes; 10 ms wait before the first,
/// doubling.
const RETRIES: u32 = 5;
/// A message that is due this soon wakes its deliverer up; for others there is time to be found by polling.
const SOON: Duration = Duration::from_secs(1);

/// What it takes to store.
#[derive(Debug, Clone)]
pub(super) struct Storage {
    pub pool: Connections,
    pub waker: Waker,
    pub metrics: ApiMetrics,
    /// Of idempotency keys.
    pub lifetime: Duration,
}

/// Stores what comes, until `stop`, and then what waits already.
pub(super) async fn run(waiting: mpsc::Receiver<Waiting>, storage: Storage, stop: CancellationToken) {
    let mut gathering = Gathering { waiting, carried: None };
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
        let storage = storage.clone();
        tokio::spawn(async move {
            store(&storage, group).await;
            drop(slot);
        });
    }
    // All slots free: all statements have ended.
    let _ = slots.acquire_many(STATEMENTS).await;
}

/// Stores a group; one that the database refuses is halved until the culprit is alone.
async fn store(storage: &Storage, group: Group) {
    let mut groups = vec![group];
    while let Some(group) = groups.pop() {
        match store_batch(storage, &group.batch).await {
            Ok(verdicts) => {
                storage.waker.pending(due_soon(&verdicts));
                group.answer(verdicts, &storage.metrics);
            }
            Err(ApiError::Refused | ApiError::Internal) if group.callers.len() > 1 => {
                let (first, second) = group.split();
                groups.extend([second, first]);
            }
            Err(error) => group.fail(&error),
        }
    }
}

/// The shards of what was stored now and is due soon.
pub(super) fn due_soon(verdicts: &[Verdict]) -> impl Iterator<Item = Shard> {
    verdicts.iter().filter_map(|verdict| match verdict {
        Verdict::Stored(it) if it.scheduled_at <= it.created_at.saturating_add(SOON) => it.shard,
        Verdict::Stored(_)
        | Verdict::Replayed(_)
        | Verdict::Conflict
        | Verdict::UnknownQueue
        | Verdict::Expired
        | Verdict::Refused => None,
    })
}

async fn store_batch(storage: &Storage, batch: &Batch) -> Result<Vec<Verdict>, ApiError> {
    let mut conn = storage.pool.get().await.map_err(|error| ApiError::from_read(&error))?;
    let mut again = Again::default();
    loop {
        let stored = match batch.is_keyed() {
            true => insert_keyed(&mut conn, batch, storage.lifetime).await,
            false => insert(&mut conn, batch).await,
        };
        match stored {
            Ok(verdicts) => return Ok(verdicts),
            Err(error) => again.after(&mut conn, &error).await?,
        }
    }
}

/// Whether what was rolled back is worth another try.
#[derive(Debug, Default)]
pub(super) struct Again {
    retries: u32,
    partitions_made: bool,
}

impl Again {
    /// Does what helps, and waits as long as is needed.
    ///
    /// # Errors
    /// What to tell the caller, where nothing helps.
    pub async fn after(&mut self, conn: &mut Connection, error: &StoreError) -> Result<(), ApiError> {
        match error {
            StoreError::MissingPartition if !self.partitions_made => {
                self.partitions_made = true;
                ensure_partitions(conn).await.map_err(|error| ApiError::from_read(&error))?;
                Ok(())
            }
            StoreError::Retryable(_) if self.retries < RETRIES => {
                tokio::time::sleep(Duration::from_millis(10) * 2_u32.pow(self.retries)).await;
                self.retries += 1;
                Ok(())
            }
            error => Err(ApiError::from_write(error)),
        }
    }
}
