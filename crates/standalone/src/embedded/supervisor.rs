//! Keeps the server running until it is told to stop.
//!
//! One thread waits for the server's end. Signals are sent under the same lock under which the server is waited away, so that
//! none can reach a process that got its id since.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::error::{EmbeddedError, Tried};
use super::folder::Folder;
use super::postmaster::{Launch, Postmaster, wait_for_exit};
use super::{Restart, leftover};

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A server that ran this long is not in a loop of crashes.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// How gently, for how long: fast, then immediate, then without asking.
const STOPPING: [(Signal, Duration); 3] = [
    (Signal::INT, Duration::from_secs(20)),
    (Signal::QUIT, Duration::from_secs(10)),
    (Signal::KILL, Duration::from_secs(10)),
];

/// How long [`Supervisor::start_again`] waits for what was asked.
const AGAIN_WITHIN: Duration = Duration::from_secs(90);

/// The thread that watches over the server.
#[derive(Debug)]
pub struct Supervisor {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    folder: Arc<Folder>,
    launch: Launch,
    restart: Restart,
}

#[derive(Debug, Default)]
struct State {
    running: Option<Postmaster>,
    stopping: bool,
    /// Set by hand, taken by the thread.
    asked: bool,
    /// Why the last start by hand failed.
    failed: Option<EmbeddedError>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves nothing half-done in the state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `done`, or until the deadline.
    fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        deadline: Option<Instant>,
        done: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        while !done(&state) {
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => Duration::from_secs(3600),
            };
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }
}

impl Supervisor {
    /// Begins to watch over a server that runs.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn watch(
        postmaster: Postmaster,
        folder: Arc<Folder>,
        launch: Launch,
        restart: Restart,
    ) -> Result<Self, EmbeddedError> {
        let state = Mutex::new(State { running: Some(postmaster), ..State::default() });
        let shared = Arc::new(Shared { state, changed: Condvar::new(), folder, launch, restart });
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("postgres".to_owned())
                .spawn(move || supervise(&shared))
                .tried(|| "starting a thread".to_owned())?
        };
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The server's process id, `None` while it is down.
    pub fn pid(&self) -> Option<u32> {
        let pid = self.shared.lock().running.as_ref().map(Postmaster::pid)?;
        Some(pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// See [`super::Embedded::start_again`].
    pub fn start_again(&self) -> Result<(), EmbeddedError> {
        let deadline = Some(Instant::now() + AGAIN_WITHIN);
        // It may have been killed so lately that nobody has noticed.
        let mut state = self.shared.wait(self.shared.lock(), deadline, |state| state.running.is_none());
        state.asked = true;
        state.failed = None;
        self.shared.changed.notify_all();
        state = self.shared.wait(state, deadline, |state| state.running.is_some() || state.failed.is_some());
        match state.failed.take() {
            Some(error) => Err(error),
            None if state.asked => Err(EmbeddedError::Abandoned),
            None => Ok(()),
        }
    }

    /// Ends the server and the thread.
    pub fn stop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        let mut state = self.shared.lock();
        state.stopping = true;
        self.shared.changed.notify_all();
        for (signal, patience) in STOPPING {
            if let Some(postmaster) = &state.running {
                postmaster.signal(signal);
            }
            state = self.shared.wait(state, Some(Instant::now() + patience), |state| state.running.is_none());
        }
        drop(state);
        if thread.join().is_err() {
            tracing::error!("the thread that watches over PostgreSQL ended unexpectedly");
        }
    }
}

fn supervise(shared: &Shared) {
    let mut wait = FIRST_WAIT;
    loop {
        let started = Instant::now();
        let Some(pid) = shared.lock().running.as_ref().map(Postmaster::pid) else {
            return;
        };
        wait_for_exit(pid);
        let stopping = {
            let mut state = shared.lock();
            let ended = state.running.take().map(Postmaster::reap);
            shared.changed.notify_all();
            if !state.stopping {
                let how = match ended {
                    Some(Ok(status)) => status.to_string(),
                    Some(Err(error)) => error.to_string(),
                    None => String::new(),
                };
                tracing::error!(how, log = %shared.folder.log().display(), "PostgreSQL ended by itself");
            }
            state.stopping
        };
        if stopping {
            return;
        }
        if started.elapsed() > STABLE_AFTER {
            wait = FIRST_WAIT;
        }
        if !bring_back(shared, &mut wait) {
            return;
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Starts the server again, as often as it takes. False when it is to stop instead.
fn bring_back(shared: &Shared, wait: &mut Duration) -> bool {
    loop {
        let state = shared.lock();
        let state = match shared.restart {
            Restart::ByHand if !state.asked => shared.wait(state, None, |state| state.stopping || state.asked),
            _ => shared.wait(state, Some(Instant::now() + *wait), |state| state.stopping),
        };
        if state.stopping {
            return false;
        }
        drop(state);
        let started = leftover::clear(&shared.folder).and_then(|()| {
            let abandon = || shared.lock().stopping;
            Postmaster::start(&shared.folder, &shared.launch, &abandon)
        });
        let mut state = shared.lock();
        match started {
            Ok(postmaster) => {
                tracing::info!("PostgreSQL is running again");
                state.running = Some(postmaster);
                state.asked = false;
                shared.changed.notify_all();
                if state.stopping {
                    // Who stops it looked before it was there.
                    if let Some(postmaster) = &state.running {
                        postmaster.signal(Signal::INT);
                    }
                }
                return true;
            }
            Err(error) => {
                *wait = (*wait * 2).min(LONGEST_WAIT);
                tracing::error!(%error, "PostgreSQL could not be started again");
                // A child of the dead server that has not noticed its death yet does so in a moment.
                if shared.restart == Restart::ByHand && !error.is_of_the_moment() {
                    state.asked = false;
                    state.failed = Some(error);
                    shared.changed.notify_all();
                }
            }
        }
    }
}
