//! Ending without cutting anybody off.
//!
//! A server that closes a connection between two requests races with the client, which may be sending the next: that
//! one is lost, and the client cannot know whether it was heard. So at the end the server first goes on serving for a
//! moment, but each answer says that its connection is closed after it. Busy clients then close theirs by themselves;
//! what is left are idle ones, and those the HTTP server closes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::middleware::Next;
use actix_web::web::Data;
use tokio::time::{Instant, sleep};

use crate::app::App;

/// No request for so long: the busy clients are gone.
const QUIET: Duration = Duration::from_millis(100);
/// New clients may come all the time, until whoever balances the load has noticed.
const LONGEST: Duration = Duration::from_secs(1);

/// Whether requests are to be the last of their connections.
#[derive(Debug, Default)]
pub struct Drain {
    requests: AtomicU64,
    begun: AtomicBool,
}

impl Drain {
    /// Whether this API is about to end.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }

    /// From now on answers close their connections; returns when that has been understood.
    pub async fn begin(&self) {
        self.begun.store(true, Ordering::SeqCst);
        let deadline = Instant::now() + LONGEST;
        loop {
            let before = self.requests.load(Ordering::SeqCst);
            sleep(QUIET).await;
            if self.requests.load(Ordering::SeqCst) == before || Instant::now() >= deadline {
                return;
            }
        }
    }
}

/// Closes the connection of each request once draining has begun.
///
/// # Errors
/// Those of the service behind it.
pub async fn watch<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    let app = request.app_data::<Data<App>>().cloned();
    let mut response = next.call(request).await?;
    if let Some(app) = app {
        app.drain.requests.fetch_add(1, Ordering::SeqCst);
        if app.drain.has_begun() {
            response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        }
    }
    Ok(response)
}
