//! Telling subscriptions what has changed, whichever process has changed it.
//!
//! A *hub* looks at the database while this process has a subscription, and only then (see `posthaste_store::change` for
//! what it looks at). It reads each changed row once, whoever subscribes, and passes it on.
//!
//! Promise: from the moment that a subscription is there, every committed change reaches it at least once and as the row
//! is then, or else the subscription ends with [`ApiError::ChangesMissed`]. Nothing is passed over in silence. Changes that
//! follow each other quickly may be told of once. Two things are not found: what is committed more than
//! [`posthaste_store::change::MARGIN`] after its own time, and, where notifications do not come through, edits of messages
//! that are not pending.

mod channel;
mod hub;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use actix_web::web::Data;
use posthaste_store::connect::DatabaseUrl;
use tokio::runtime::Handle;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use self::channel::Channels;
use self::hub::Hub;
use crate::app::App;
use crate::error::ApiError;
use crate::memory::Reservation;
use crate::ops::{Crons, Messages, Queues, Resource};

/// How long a subscriber waits for a hub to begin.
const PATIENCE: Duration = Duration::from_secs(10);

/// What has happened to a row.
#[derive(Debug)]
pub enum Event<R: Resource> {
    /// It was created or changed; with the memory that it takes until everybody has heard of it.
    Saved(Arc<R::Row>, Arc<Reservation>),
    /// It is gone; it was in this queue. A queue is its own.
    Deleted { id: i64, queue_id: i64 },
}

impl<R: Resource> Clone for Event<R> {
    fn clone(&self) -> Event<R> {
        match self {
            Event::Saved(row, memory) => Event::Saved(Arc::clone(row), Arc::clone(memory)),
            Event::Deleted { id, queue_id } => Event::Deleted { id: *id, queue_id: *queue_id },
        }
    }
}

/// An entity whose changes can be subscribed to.
pub trait Announced: Resource {
    /// Where they are told of.
    fn channel(channels: &Channels) -> &channel::Channel<Self>;
}

impl Announced for Queues {
    fn channel(channels: &Channels) -> &channel::Channel<Queues> {
        &channels.queues
    }
}

impl Announced for Messages {
    fn channel(channels: &Channels) -> &channel::Channel<Messages> {
        &channels.messages
    }
}

impl Announced for Crons {
    fn channel(channels: &Channels) -> &channel::Channel<Crons> {
        &channels.crons
    }
}

/// Where subscriptions come from.
pub struct Changes {
    url: DatabaseUrl,
    runtime: Handle,
    stop: CancellationToken,
    /// Its subscriptions keep it.
    hub: Mutex<Weak<Hub>>,
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}

impl Changes {
    /// To be called in the runtime that its connection is to live in. After `stop` nobody is told anything.
    #[must_use]
    pub fn new(url: DatabaseUrl, stop: CancellationToken) -> Changes {
        Changes { url, runtime: Handle::current(), stop, hub: Mutex::new(Weak::new()) }
    }

    /// Resolves when this API is about to end, and its subscriptions with it.
    pub async fn ended(&self) {
        self.stop.cancelled().await;
    }

    /// Tells of every change of an entity from now on.
    ///
    /// # Errors
    /// [`ApiError::Unavailable`] where the database does not answer.
    pub async fn subscribe<R: Announced>(&self, app: &Data<App>) -> Result<Subscription<R>, ApiError> {
        let hub = {
            let mut current = self.hub.lock().unwrap_or_else(PoisonError::into_inner);
            match current.upgrade() {
                Some(hub) => hub,
                None => {
                    let hub = Arc::new(Hub::start(app.clone(), self.url.clone(), &self.runtime, &self.stop));
                    *current = Arc::downgrade(&hub);
                    hub
                }
            }
        };
        let receiver = R::channel(hub.channels()).subscribe();
        match tokio::time::timeout(PATIENCE, hub.begun()).await {
            Ok(true) => Ok(Subscription { receiver, _hub: hub }),
            Ok(false) | Err(_) => Err(ApiError::Unavailable),
        }
    }
}

/// The changes of one entity.
pub struct Subscription<R: Resource> {
    receiver: broadcast::Receiver<Event<R>>,
    _hub: Arc<Hub>,
}

impl<R: Resource> Subscription<R> {
    /// The next change.
    ///
    /// # Errors
    /// [`ApiError::ChangesMissed`] where some were missed; then it is over.
    pub async fn next(&mut self) -> Result<Event<R>, ApiError> {
        self.receiver.recv().await.map_err(|_| ApiError::ChangesMissed)
    }
}
