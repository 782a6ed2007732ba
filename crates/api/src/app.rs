//! What the handlers of all threads share.

use posthaste_service::environment::Secret;

use crate::batcher::Batcher;
use crate::database::Database;
use crate::drain::Drain;
use crate::waker::Waker;

/// The parts of a running API. It keeps nothing that another API would need: any number of them run side by side.
#[derive(Debug)]
pub struct App {
    pub database: Database,
    pub batcher: Batcher,
    pub waker: Waker,
    pub drain: Drain,
    /// `None` lets everyone in.
    pub admin_secret: Option<Secret>,
    /// The largest request body, and the largest message of a batch, in bytes.
    pub max_body_bytes: usize,
    /// The largest request body of a batch, in bytes.
    pub max_batch_bytes: usize,
}
