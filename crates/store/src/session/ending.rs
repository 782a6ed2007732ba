//! How a lock session ends: once, for one reason, known everywhere at once.

use tokio::sync::watch;

use crate::lease::Lease;

/// The end of the session, by whoever notices it first: the task that moves its bytes, or a call.
#[derive(Clone)]
pub(super) struct Ending {
    lease: Lease,
    /// Why it is over.
    reason: watch::Sender<Option<String>>,
}

impl Ending {
    pub(super) fn new() -> Ending {
        Ending { lease: Lease::new(), reason: watch::Sender::new(None) }
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Revokes the lease and tells everyone who waits. The first reason stays.
    pub(super) fn end(&self, why: &str) {
        self.lease.revoke();
        self.reason.send_if_modified(|reason| {
            let first = reason.is_none();
            if first {
                *reason = Some(why.to_owned());
            }
            first
        });
    }

    /// Resolves when it is over, and tells why.
    pub(super) async fn ended(&self) -> String {
        let mut reason = self.reason.subscribe();
        match reason.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // Cannot be: the sender is ours.
            Err(_) => String::new(),
        }
    }
}

/// Ends the session when a call, or its opening, is dropped or fails before its answer.
pub(super) struct Unfinished<'a>(Option<&'a Ending>);

impl<'a> Unfinished<'a> {
    pub(super) fn of(ending: &'a Ending) -> Unfinished<'a> {
        Unfinished(Some(ending))
    }

    /// The answer is here.
    pub(super) fn finish(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(ending) = self.0 {
            ending.end("a call of the lock session was given up");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::BootTime;

    #[tokio::test]
    async fn a_call_that_is_dropped_ends_the_session() {
        let ending = Ending::new();
        ending.lease().renew(BootTime::now());
        Unfinished::of(&ending).finish();
        assert!(ending.lease().is_live(), "a finished call ends nothing");
        drop(Unfinished::of(&ending));
        ending.end("a later reason");
        assert!(!ending.lease().is_live());
        assert_eq!(ending.ended().await, "a call of the lock session was given up");
    }
}
