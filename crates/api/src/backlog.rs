//! Backpressure: where a queue has as many pending messages as it may have, the API takes no more for it until some have ended.
//!
//! Counting costs, so nobody waits for it: what was counted about a second ago decides, and whoever asks next lets it be counted anew. So
//! a limit may be passed by what comes within that second, over all APIs. What was accepted is never dropped for it. Messages that are
//! stored by SQL, by crons and by the engine itself are not limited, but count.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use posthaste_core::ids::QueueId;
use posthaste_store::backlog::{limit, reaches};

use crate::database::Database;
use crate::error::ApiError;

/// How long a count is believed, at least.
const FRESH: Duration = Duration::from_secs(1);
/// Of the time, counting takes at most one part in this many.
const SHARE: u32 = 20;
/// For how long a queue is believed to have no limit: one that is set by another API counts from then on.
const UNLIMITED: Duration = Duration::from_secs(5);
/// Queues that are remembered, at most.
const MOST: usize = 10_000;

/// What is known of backlogs. Clones share it.
#[derive(Debug, Clone)]
pub struct Backlogs {
    database: Database,
    /// Of all queues together.
    most: Option<i64>,
    known: Arc<Mutex<HashMap<Option<QueueId>, Known>>>,
    /// How many counts have begun.
    counts: Arc<AtomicU64>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    is_full: bool,
    /// When it is to be counted again.
    due: Instant,
    /// The count that is under way.
    counting: Option<u64>,
}

impl Backlogs {
    #[must_use]
    pub fn new(database: Database, most: Option<i64>) -> Backlogs {
        Backlogs { database, most, known: Arc::default(), counts: Arc::default() }
    }

    /// Whether messages may be stored in these queues.
    ///
    /// # Errors
    /// [`ApiError::BacklogFull`] for the first that is full.
    pub fn check(&self, queues: impl IntoIterator<Item = QueueId>) -> Result<(), ApiError> {
        if self.most.is_some() && self.is_full(None) {
            return Err(ApiError::BacklogFull { queue: None });
        }
        let mut last = None;
        for queue in queues {
            // Most batches are for one queue.
            if last.replace(queue) != Some(queue) && self.is_full(Some(queue)) {
                return Err(ApiError::BacklogFull { queue: Some(queue.0) });
            }
        }
        Ok(())
    }

    /// The limits of these queues may have changed.
    pub fn forget(&self, queues: &[i64]) {
        let mut known = self.lock();
        for queue in queues {
            known.remove(&Some(QueueId(*queue)));
        }
    }

    fn is_full(&self, queue: Option<QueueId>) -> bool {
        let now = Instant::now();
        let mut known = self.lock();
        if known.len() >= MOST {
            known.retain(|_, of| of.counting.is_some());
        }
        let of = known.entry(queue).or_insert(Known { is_full: false, due: now, counting: None });
        if of.due <= now && of.counting.is_none() {
            let number = self.counts.fetch_add(1, Ordering::Relaxed);
            of.counting = Some(number);
            self.count(queue, number);
        }
        of.is_full
    }

    fn count(&self, queue: Option<QueueId>, number: u64) {
        let (known, most) = (Arc::clone(&self.known), self.most);
        let counting = Counting { known, queue, number };
        self.database.in_background("a backlog", move |conn| {
            async move {
                let began = Instant::now();
                let limit = match queue {
                    Some(queue) => limit(conn, queue).await?,
                    None => most,
                };
                let is_full = match limit {
                    Some(limit) => reaches(conn, queue, limit).await?,
                    None => false,
                };
                let wait = if limit.is_some() { FRESH.max(began.elapsed() * SHARE) } else { UNLIMITED };
                counting.done(is_full, wait);
                Ok(())
            }
            .boxed()
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<QueueId>, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A count under way. If it fails, what was known counts on, and it is tried again.
struct Counting {
    known: Arc<Mutex<HashMap<Option<QueueId>, Known>>>,
    queue: Option<QueueId>,
    number: u64,
}

impl Counting {
    fn done(&self, is_full: bool, wait: Duration) {
        self.end(|_| is_full, wait);
    }

    /// Unless it has been forgotten since, because its limit has changed.
    fn end(&self, is_full: impl FnOnce(bool) -> bool, wait: Duration) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of) = known.get_mut(&self.queue).filter(|of| of.counting == Some(self.number)) {
            *of = Known { is_full: is_full(of.is_full), due: Instant::now() + wait, counting: None };
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.end(|was| was, FRESH);
    }
}
