//! What one hub tells its subscribers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use posthaste_core::filter::{Condition, Filter, Test, Value};
use posthaste_core::listing::Listing;
use posthaste_store::listing::Large;
use tokio::sync::broadcast;

use super::Event;
use crate::app::App;
use crate::error::ApiError;
use crate::ops::{Crons, Messages, Queues, Resource};

/// Events that a subscriber may be behind. Each may hold a whole message.
const CAPACITY: usize = 256;
/// Rows that are read at once.
const CHUNK: usize = 100;
/// Rows of one look. With more, nobody could follow.
const MOST_AT_ONCE: usize = 5_000;
/// How long the slowest subscriber is waited for when many events come at once.
const PACE: Duration = Duration::from_secs(1);
const PACE_LOOK: Duration = Duration::from_millis(5);

/// One channel per entity.
#[derive(Debug, Default)]
pub struct Channels {
    pub queues: Channel<Queues>,
    pub messages: Channel<Messages>,
    pub crons: Channel<Crons>,
}

impl Channels {
    /// Ends every subscription that there is: something was missed.
    pub fn cut(&self) {
        self.queues.cut();
        self.messages.cut();
        self.crons.cut();
    }
}

/// The subscriptions of one entity.
#[derive(Debug)]
pub struct Channel<R: Resource>(Mutex<broadcast::Sender<Event<R>>>);

impl<R: Resource> Default for Channel<R> {
    fn default() -> Channel<R> {
        Channel(Mutex::new(broadcast::Sender::new(CAPACITY)))
    }
}

impl<R: Resource> Channel<R> {
    pub fn subscribe(&self) -> broadcast::Receiver<Event<R>> {
        self.sender().subscribe()
    }

    fn sender(&self) -> broadcast::Sender<Event<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends every subscription that there is; those that come later are not touched.
    pub fn cut(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = broadcast::Sender::new(CAPACITY);
    }

    /// Tells of rows that were saved, as they are now. Those that are gone already are passed over.
    ///
    /// # Errors
    /// They cannot be read now; some may have been told of.
    pub async fn saved(&self, app: &App, ids: &[i64]) -> Result<(), ApiError> {
        if self.sender().receiver_count() == 0 {
            return Ok(());
        }
        if ids.len() > MOST_AT_ONCE {
            tracing::warn!(rows = ids.len(), "more has changed at once than subscriptions can be told of; they end");
            self.cut();
            return Ok(());
        }
        let mut chunks: Vec<&[i64]> = ids.chunks(CHUNK).rev().collect();
        while let Some(chunk) = chunks.pop() {
            let values = chunk.iter().copied().map(Value::Number).collect();
            let filter = Filter::default().and(Condition { field: R::ID, test: Test::In(values) });
            let limit = i64::try_from(chunk.len()).unwrap_or(i64::MAX);
            let rows = match R::find(app, Listing::first(limit, filter)).await {
                Err(ApiError::AnswerTooLarge) => {
                    let (first, second) = chunk.split_at(chunk.len() / 2);
                    chunks.extend([second, first]);
                    continue;
                }
                rows => rows?,
            };
            for row in rows {
                let mut memory = app.memory.reservation();
                if memory.grow(row.size()).is_err() {
                    tracing::warn!("what has changed is too large for subscriptions to be told of it now; they end");
                    self.cut();
                    return Ok(());
                }
                self.tell(Event::Saved(Arc::new(row), Arc::new(memory)));
            }
            self.pace().await;
        }
        Ok(())
    }

    /// Tells of a row that is gone.
    pub fn deleted(&self, id: i64, queue_id: i64) {
        self.tell(Event::Deleted { id, queue_id });
    }

    fn tell(&self, event: Event<R>) {
        // Nobody listens: nobody is told.
        let _ = self.sender().send(event);
    }

    /// Gives subscribers that do read the time to. One that does not falls behind all the same.
    async fn pace(&self) {
        let began = Instant::now();
        while self.sender().len() > CAPACITY / 4 && began.elapsed() < PACE {
            tokio::time::sleep(PACE_LOOK).await;
        }
    }
}
