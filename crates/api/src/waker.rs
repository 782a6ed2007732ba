//! Waking deliverers and schedulers up after a commit.
//!
//! Only a hint, see `posthaste_store::wakeup`. One statement is under way at a time; what comes meanwhile is gathered
//! into the next, so thousands of inserts a second cost a few notifications.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use posthaste_core::ids::{MessageId, Shard};
use posthaste_store::change::notify_changes;
use posthaste_store::error::StoreError;
use posthaste_store::wakeup::{notify_crons, notify_pending, notify_queues, notify_tests};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::metrics::Connections;

/// Takes hints. Clones feed the same statements.
#[derive(Debug, Clone, Default)]
pub struct Waker(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    hints: Mutex<Hints>,
    changed: Notify,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Hints {
    shards: BTreeSet<Shard>,
    crons: bool,
    queues: bool,
    tests: bool,
    changes: bool,
    edited: BTreeSet<MessageId>,
}

impl Waker {
    /// These shards have new or changed rows that are due soon.
    pub fn pending(&self, shards: impl IntoIterator<Item = Shard>) {
        self.hint(|hints| hints.shards.extend(shards));
    }

    /// A cron was created or deleted.
    pub fn crons(&self) {
        self.hint(|hints| hints.crons = true);
    }

    /// A queue was paused or resumed.
    pub fn queues(&self) {
        self.hint(|hints| hints.queues = true);
    }

    /// A test delivery was asked for.
    pub fn tests(&self) {
        self.hint(|hints| hints.tests = true);
    }

    /// What subscriptions tell of has changed. `edited` are messages that were changed without being moved in time.
    pub fn changes(&self, edited: impl IntoIterator<Item = MessageId>) {
        self.hint(|hints| {
            hints.changes = true;
            hints.edited.extend(edited);
        });
    }

    fn hint(&self, add: impl FnOnce(&mut Hints)) {
        let mut hints = self.0.hints.lock().unwrap_or_else(PoisonError::into_inner);
        add(&mut hints);
        if *hints != Hints::default() {
            self.0.changed.notify_one();
        }
    }

    /// Sends hints until `stop` is cancelled, and then those that are left.
    pub async fn run(self, pool: Connections, stop: CancellationToken) {
        loop {
            let stopped = tokio::select! {
                () = self.0.changed.notified() => false,
                () = stop.cancelled() => true,
            };
            let hints = std::mem::take(&mut *self.0.hints.lock().unwrap_or_else(PoisonError::into_inner));
            if let Err(error) = send(&pool, hints).await {
                tracing::warn!(%error, "a wake-up was not sent; polling will find what it was about");
            }
            if stopped {
                return;
            }
        }
    }
}

async fn send(pool: &Connections, hints: Hints) -> Result<(), StoreError> {
    if hints == Hints::default() {
        return Ok(());
    }
    let mut conn = pool.get().await?;
    let shards: Vec<Shard> = hints.shards.into_iter().collect();
    notify_pending(&mut conn, &shards).await?;
    if hints.crons {
        notify_crons(&mut conn).await?;
    }
    if hints.queues {
        notify_queues(&mut conn).await?;
    }
    if hints.tests {
        notify_tests(&mut conn).await?;
    }
    if hints.changes {
        let edited: Vec<MessageId> = hints.edited.into_iter().collect();
        notify_changes(&mut conn, &edited).await?;
    }
    Ok(())
}
