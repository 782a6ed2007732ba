//! What the handlers of all threads share.

use crate::auth::Auth;
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
    pub auth: Auth,
    /// The largest request body, in bytes.
    pub max_body_bytes: usize,
}
