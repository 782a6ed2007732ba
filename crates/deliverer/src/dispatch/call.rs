//! One request under way: how far it has come, when, and whether it may go on.
//!
//! The HTTP client takes a request and gives an answer; what lies between (a name, a connection, a TLS handshake) happens in the
//! same task. So the connector and the stream find the request that they work for in a variable of the task, note in it what
//! has happened, and ask it for permission.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::Instant;

use posthaste_store::outcome::Timings;

use super::permit::Permit;

tokio::task_local! {
    static CURRENT: Rc<Call>;
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Call {
    permit: Permit,
    began: Instant,
    is_tls: bool,
    /// It has no body that would tell when the connection is there.
    is_bare: bool,
    times: Cell<Times>,
    stage: Cell<Stage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing of the request itself can have been sent: it needs the permit.
    Before,
    /// The permit was there when its first byte could be sent.
    Sending,
    /// The permit was gone before that.
    Refused,
    /// The answer is there, or nobody waits for it any more.
    Over,
}

#[derive(Debug, Clone, Copy, Default)]
struct Times {
    dialed: Option<Instant>,
    /// The addresses are known; whether that took a look-up.
    resolved: Option<(Instant, bool)>,
    connected: Option<Instant>,
    first_read: Option<Instant>,
    last_write: Option<Instant>,
    sending: Option<Instant>,
    head: Option<Instant>,
}

impl Call {
    pub(super) fn new(permit: Permit, began: Instant, is_tls: bool, is_bare: bool) -> Rc<Call> {
        let (times, stage) = (Cell::default(), Cell::new(Stage::Before));
        Rc::new(Call { permit, began, is_tls, is_bare, times, stage })
    }

    /// Runs what is done for this request.
    pub(super) fn scope<F: Future>(self: Rc<Call>, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    /// The request that this task works for.
    pub(super) fn current() -> Option<Rc<Call>> {
        CURRENT.try_with(Rc::clone).ok()
    }

    /// The body is about to be sent: the connection is there. False: the permit is gone, and nothing may be sent.
    pub(super) fn begin_sending(&self) -> bool {
        if self.stage.get() == Stage::Before {
            self.note(|times, now| times.sending = times.sending.or(Some(now)));
            self.stage.set(if self.permit.stands() { Stage::Sending } else { Stage::Refused });
        }
        self.stage.get() != Stage::Refused
    }

    /// Whether bytes may be written to the connection. The request's own cannot have been before, unless they were allowed.
    pub(super) fn may_write(&self) -> bool {
        if self.stage.get() == Stage::Before {
            if !self.permit.stands() {
                self.stage.set(Stage::Refused);
            }
            self.note(|times, now| times.last_write = Some(now));
        }
        self.stage.get() != Stage::Refused
    }

    /// The permit was gone before anything was sent.
    pub(super) fn was_refused(&self) -> bool {
        self.stage.get() == Stage::Refused
    }

    /// What is written and read from now on belongs to other requests.
    pub(super) fn is_over(&self) -> bool {
        self.stage.get() == Stage::Over
    }

    pub(super) fn dialed(&self) {
        self.note(|times, now| times.dialed = Some(now));
    }

    pub(super) fn resolved(&self, by_look_up: bool) {
        self.note(|times, now| times.resolved = Some((now, by_look_up)));
    }

    pub(super) fn connected(&self) {
        self.note(|times, now| times.connected = Some(now));
    }

    pub(super) fn read(&self) {
        self.note(|times, now| times.first_read = times.first_read.or(Some(now)));
    }

    /// The head of the answer is there.
    pub(super) fn answered(&self) {
        self.note(|times, now| times.head = Some(now));
        self.end();
    }

    /// Nobody waits for the answer any more.
    pub(super) fn end(&self) {
        if !self.was_refused() {
            self.stage.set(Stage::Over);
        }
    }

    /// Whether a connection is being made. Of a request without a body it cannot be seen when the TLS handshake is done; the
    /// first that the receiver says is taken for it.
    pub(super) fn is_connecting(&self) -> bool {
        let times = self.times.get();
        let is_there = match (times.connected, self.is_tls, self.is_bare) {
            (None, _, _) => false,
            (Some(_), false, _) => true,
            (Some(_), true, true) => times.first_read.is_some(),
            (Some(_), true, false) => times.sending.is_some(),
        };
        times.dialed.is_some() && !is_there
    }

    pub(super) fn timings(&self) -> Timings {
        let times = self.times.get();
        let resolved = times.resolved.map(|(at, _)| at);
        let is_look_up = times.resolved.is_some_and(|(_, by_look_up)| by_look_up);
        // Without a body, the last that was written is the request itself, right after the handshake.
        let secured = if self.is_bare { times.head.and(times.last_write) } else { times.sending };
        let between = |from: Option<Instant>, to: Option<Instant>| Some(to?.saturating_duration_since(from?));
        Timings {
            dns: between(times.dialed, resolved).filter(|_| is_look_up),
            connect: between(resolved, times.connected),
            tls: between(times.connected, secured).filter(|_| self.is_tls),
            first_byte: between(Some(self.began), times.head),
        }
    }

    fn note(&self, change: impl FnOnce(&mut Times, Instant)) {
        let mut times = self.times.get();
        change(&mut times, Instant::now());
        self.times.set(times);
    }
}
