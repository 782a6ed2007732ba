//! Statements on behalf of requests.
//!
//! Each runs as a task of the runtime that owns the connections, not of the thread that serves the request. So a client
//! that goes away does not cut a transaction in two, and a server thread that ends takes no connection with it.

use futures_util::future::BoxFuture;
use posthaste_store::connect::Connection;
use posthaste_store::error::StoreError;
use tokio::runtime::Handle;

use crate::error::ApiError;
use crate::metrics::Connections;

/// The database, for handlers.
#[derive(Debug, Clone)]
pub struct Database {
    pool: Connections,
    runtime: Handle,
}

enum Failure {
    /// Nothing was sent.
    NoConnection(StoreError),
    Statement(StoreError),
    Panicked,
}

impl Database {
    /// To be called in the runtime that owns the connections.
    #[must_use]
    pub fn new(pool: Connections) -> Database {
        Database { pool, runtime: Handle::current() }
    }

    /// Runs statements that change nothing.
    ///
    /// # Errors
    /// As [`ApiError::from_read`].
    pub async fn read<T, F>(&self, work: F) -> Result<T, ApiError>
    where
        F: for<'a> FnOnce(&'a mut Connection) -> BoxFuture<'a, Result<T, StoreError>> + Send + 'static,
        T: Send + 'static,
    {
        self.run(work).await.map_err(|failure| match failure {
            Failure::NoConnection(error) | Failure::Statement(error) => ApiError::from_read(&error),
            Failure::Panicked => ApiError::Internal,
        })
    }

    /// Runs statements that change something.
    ///
    /// # Errors
    /// As [`ApiError::from_write`]; [`ApiError::Unavailable`] where it did not come to a statement.
    pub async fn write<T, F>(&self, work: F) -> Result<T, ApiError>
    where
        F: for<'a> FnOnce(&'a mut Connection) -> BoxFuture<'a, Result<T, StoreError>> + Send + 'static,
        T: Send + 'static,
    {
        self.run(work).await.map_err(|failure| match failure {
            Failure::NoConnection(error) => ApiError::from_read(&error),
            Failure::Statement(error) => ApiError::from_write(&error),
            Failure::Panicked => ApiError::OutcomeUnknown,
        })
    }

    /// Runs statements that nobody waits for; `what` they are about is said where they fail.
    pub fn in_background<F>(&self, what: &'static str, work: F)
    where
        F: for<'a> FnOnce(&'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> + Send + 'static,
    {
        let pool = self.pool.clone();
        self.runtime.spawn(async move {
            let done = match pool.get().await {
                Ok(mut conn) => work(&mut conn).await,
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                tracing::warn!(%error, what, "not recorded");
            }
        });
    }

    async fn run<T, F>(&self, work: F) -> Result<T, Failure>
    where
        F: for<'a> FnOnce(&'a mut Connection) -> BoxFuture<'a, Result<T, StoreError>> + Send + 'static,
        T: Send + 'static,
    {
        let pool = self.pool.clone();
        let task = self.runtime.spawn(async move {
            let mut conn = pool.get().await.map_err(Failure::NoConnection)?;
            work(&mut conn).await.map_err(Failure::Statement)
        });
        task.await.unwrap_or(Err(Failure::Panicked))
    }
}
