//! Pools of connections for work that comes in requests.

use std::time::Duration;

use diesel::ConnectionError;
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, PoolError, PoolableConnection, RecyclingMethod, bb8,
};
use futures_util::FutureExt;

use crate::connect::{DatabaseUrl, Purpose, connect};
use crate::error::StoreError;

/// A pool of connections. Cheap to clone; clones share the connections.
pub type Pool = bb8::Pool<AsyncPgConnection>;

/// A connection of a pool, given back when dropped.
pub type Checkout<'a> = bb8::PooledConnection<'a, AsyncPgConnection>;

/// How long a caller waits for a free connection before it gets [`StoreError::Unavailable`].
const CHECKOUT_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes a pool of at most `size` connections (at least 1) and opens the first, so that what is wrong with the database
/// is told here and not by the first request. A connection that the server has closed is not handed out again.
///
/// # Errors
/// As [`connect`].
pub async fn pool(url: &DatabaseUrl, size: u32, purpose: Purpose) -> Result<Pool, StoreError> {
    let first = connect(url, purpose).await?;
    let url = url.clone();
    let mut config = ManagerConfig::default();
    // No round trip: only whether the task that reads the socket has seen it closed.
    config.recycling_method = RecyclingMethod::CustomFunction(Box::new(|conn: &mut AsyncPgConnection| {
        let broken = conn.is_broken();
        async move { if broken { Err(diesel::result::Error::BrokenTransactionManager) } else { Ok(()) } }.boxed()
    }));
    config.custom_setup = Box::new(move |_| {
        let url = url.clone();
        async move { connect(&url, purpose).await.map_err(|error| ConnectionError::BadConnection(error.to_string())) }
            .boxed()
    });
    let pool = Pool::builder()
        .max_size(size.max(1))
        .connection_timeout(CHECKOUT_TIMEOUT)
        .error_sink(Box::new(Log))
        .build(AsyncDieselConnectionManager::new_with_config("", config))
        .await?;
    // It cannot be full yet; were it, the connection would only be closed.
    let _ = pool.add(first);
    Ok(pool)
}

/// While the database is away callers only learn that there is no connection; the reason goes to the log.
#[derive(Debug, Clone, Copy)]
struct Log;

impl ::bb8::ErrorSink<PoolError> for Log {
    fn sink(&self, error: PoolError) {
        tracing::warn!(%error, "a connection of the pool failed");
    }

    fn boxed_clone(&self) -> Box<dyn ::bb8::ErrorSink<PoolError>> {
        Box::new(*self)
    }
}
