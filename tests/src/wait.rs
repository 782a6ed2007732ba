//! Waiting for conditions, never for time to pass.

use std::time::{Duration, Instant};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Waits until `condition` holds.
///
/// # Panics
/// It does not within `deadline`; says `what` was waited for.
pub async fn eventually(deadline: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    until(deadline, what, async || condition().await.then_some(())).await;
}

/// Waits until `probe` gives something, and returns it.
///
/// # Panics
/// It does not within `deadline`; says `what` was waited for.
pub async fn until<T>(deadline: Duration, what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(started.elapsed() < deadline, "waited {deadline:?} in vain: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
