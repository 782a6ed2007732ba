//! Writes outcomes: a batch is what gathered while the previous statement ran.
//!
//! An outcome is written until it is known whether it counted. The fence of the statement makes repeating safe, so a lost
//! connection, a deadlock or a restart of Postgres only delays. A batch that fails on one row's data is halved until the
//! culprit stands alone; it is then recorded without what the receiver sent.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use posthaste_core::ids::{MessageId, QueueId, Shard};
use posthaste_store::connect::Connection;
use posthaste_store::connect::{Purpose, connect};
use posthaste_store::error::StoreError;
use posthaste_store::outcome::{Outcome, Recorded, record};
use posthaste_store::partition::ensure_partitions;
use posthaste_store::queue_state::pause_all;
use posthaste_store::wakeup::{notify_pending, notify_queues};
use tokio::sync::mpsc;

use crate::config::Config;
use crate::metrics::{Counting, DelivererMetrics};
use crate::worker::Event;

/// Outcomes in one statement, at most.
const BATCH: usize = 1000;

/// Runs until `finished` is closed and everything in it is written.
pub(crate) async fn write(
    config: Arc<Config>,
    metrics: Rc<DelivererMetrics>,
    mut finished: mpsc::UnboundedReceiver<Outcome>,
    events: mpsc::UnboundedSender<Event>,
) {
    let mut writer = Writer { config, counting: Counting::new(metrics), conn: None, events };
    let mut batch = Vec::with_capacity(BATCH);
    while finished.recv_many(&mut batch, BATCH).await > 0 {
        writer.write(std::mem::take(&mut batch)).await;
    }
}

struct Writer {
    config: Arc<Config>,
    counting: Counting,
    conn: Option<Connection>,
    events: mpsc::UnboundedSender<Event>,
}

impl Writer {
    async fn write(&mut self, batch: Vec<Outcome>) {
        let mut waiting = vec![batch];
        let mut pause = Duration::from_millis(20);
        while let Some(mut batch) = waiting.pop() {
            match self.try_write(&batch).await {
                Ok(recorded) => self.report(&batch, &recorded).await,
                Err(StoreError::MissingPartition) => {
                    // A dead letter went beyond the partitions that the scheduler has made ahead.
                    if let Err(error) = self.make_partitions().await {
                        tracing::warn!(%error, "partitions cannot be made");
                        self.rest(&mut pause).await;
                    }
                    waiting.push(batch);
                }
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, outcomes = batch.len(), "outcomes cannot be written now, trying again");
                    self.conn = None;
                    self.rest(&mut pause).await;
                    waiting.push(batch);
                }
                Err(_) if batch.len() > 1 => {
                    waiting.push(batch.split_off(batch.len() / 2));
                    waiting.push(batch);
                }
                Err(error) => {
                    if let Some(bare) = batch.pop().and_then(|outcome| without_answer(outcome, &error)) {
                        waiting.push(vec![bare]);
                    }
                }
            }
        }
    }

    async fn rest(&mut self, pause: &mut Duration) {
        tokio::time::sleep(*pause).await;
        *pause = (*pause * 2).min(Duration::from_secs(1));
    }

    async fn try_write(&mut self, batch: &[Outcome]) -> Result<Vec<Recorded>, StoreError> {
        let config = Arc::clone(&self.config);
        let pausing: BTreeMap<QueueId, String> = batch.iter().filter_map(pause).collect();
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => connect(&config.database_url, Purpose::Writing).await?,
        };
        let conn = self.conn.insert(conn);
        if !pausing.is_empty() {
            // Before the outcomes: if this is all that is done, the attempts are made again and have the same answer.
            for queue in pause_all(conn, pausing).await? {
                tracing::warn!(queue = queue.0, "a queue is paused: its receiver answered 410 Gone");
            }
            // Only a hint: the other deliverers look several times a second.
            let _ = notify_queues(conn).await;
            let _ = self.events.send(Event::PausesChanged);
        }
        let since = Instant::now();
        let recorded = record(conn, &batch.iter().collect::<Vec<_>>(), &config.name).await?;
        self.counting.stored(recorded.len(), since);
        Ok(recorded)
    }

    async fn make_partitions(&mut self) -> Result<(), StoreError> {
        ensure_partitions(self.connection().await?).await.map(|_| ())
    }

    async fn connection(&mut self) -> Result<&mut Connection, StoreError> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => connect(&self.config.database_url, Purpose::Writing).await?,
        };
        Ok(self.conn.insert(conn))
    }

    async fn report(&mut self, batch: &[Outcome], recorded: &[Recorded]) {
        let mut dead_letters: Vec<Shard> = recorded.iter().filter_map(|recorded| recorded.dead_letter).collect();
        if !dead_letters.is_empty() {
            dead_letters.sort_unstable();
            dead_letters.dedup();
            if let Some(conn) = &mut self.conn
                && let Err(error) = notify_pending(conn, &dead_letters).await
            {
                tracing::debug!(%error, "dead letters are not announced; polling will find them");
            }
        }
        let counted: HashMap<MessageId, &Recorded> = recorded.iter().map(|recorded| (recorded.id, recorded)).collect();
        for outcome in batch {
            if let Some(recorded) = counted.get(&outcome.id) {
                self.counting.count(outcome, recorded.dead_letter.is_some());
            }
        }
        let (recorded, refused) =
            batch.iter().map(|outcome| (outcome.id, outcome.attempt)).partition(|(id, _)| counted.contains_key(id));
        // The worker is gone only when nothing is in flight any more.
        let _ = self.events.send(Event::Written { recorded, refused });
    }
}

/// The queue that an outcome pauses, and why.
fn pause(outcome: &Outcome) -> Option<(QueueId, String)> {
    let why = outcome.pauses_queue?;
    Some((outcome.queue, format!("{why} to message {}", outcome.id)))
}

/// The same outcome without what came from outside, if it had any of that; otherwise it can never be written, and the
/// message stays as it is until its shard's next owner delivers it again.
fn without_answer(outcome: Outcome, error: &StoreError) -> Option<Outcome> {
    if outcome.error.is_none() && outcome.response_headers.is_none() && outcome.response_body.is_none() {
        tracing::error!(message = outcome.id.0, %error, "an outcome cannot be written");
        return None;
    }
    tracing::warn!(message = outcome.id.0, %error, "an outcome is written without the receiver's answer");
    Some(Outcome { error: None, response_headers: None, response_body: None, ..outcome })
}
