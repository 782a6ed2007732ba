//! Test deliveries: taken from the table where the API asks for them, sent once, and written down.
//!
//! They need neither a shard nor a lease: a row is taken by one deliverer, which sends it at most once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use posthaste_core::ids::{MessageId, Shard};
use posthaste_core::transition::{AttemptResult, Lifetime};
use posthaste_store::connect::{Purpose, connect};
use posthaste_store::error::StoreError;
use posthaste_store::lease::Lease;
use posthaste_store::message::Provenance;
use posthaste_store::payload::{Payload, Timeouts};
use posthaste_store::pool::Pool;
use posthaste_store::target::{Settings, settings};
use posthaste_store::test_delivery::{Finished, Taken, finish, take};
use tokio::sync::{Notify, mpsc};

use crate::clock::DatabaseClock;
use crate::config::Config;
use crate::dispatch::{Dispatcher, Failure, Permit, Report};
use crate::worker::Event;

/// How long one may stay unseen when its notification is lost.
const LOOK: Duration = Duration::from_secs(1);
/// One that was asked for longer ago has been given up.
const FRESH: Duration = Duration::from_secs(10);
/// Taken at once, at most.
const STEP: u16 = 8;
/// Whoever asks waits for the answer, whatever the queue says about its messages.
const LONGEST: Duration = Duration::from_secs(60);

/// A test to be sent, and where to.
#[derive(Debug)]
pub(crate) struct Test {
    taken: Taken,
    /// `None`: the queue was deleted meanwhile.
    settings: Option<Settings>,
}

/// Looks for tests once a second, and when it is woken, and passes them on to the workers in turn. Until it is aborted; what it has
/// taken by then is not sent, and whoever asked is told.
pub(crate) async fn watch(control: Pool, name: String, workers: Vec<mpsc::UnboundedSender<Event>>, asked: Arc<Notify>) {
    let mut turns = (0..workers.len()).cycle();
    loop {
        let _ = tokio::time::timeout(LOOK, asked.notified()).await;
        match look(&control, &name).await {
            Ok(tests) => {
                for (test, worker) in tests.into_iter().zip(&mut turns) {
                    let _ = workers[worker].send(Event::Test(Box::new(test)));
                }
            }
            Err(error) => tracing::debug!(%error, "test deliveries cannot be looked for now"),
        }
    }
}

async fn look(control: &Pool, name: &str) -> Result<Vec<Test>, StoreError> {
    let mut conn = control.get().await?;
    let mut tests = Vec::new();
    for taken in take(&mut conn, name, FRESH, STEP).await? {
        let settings = settings(&mut conn, &[taken.queue]).await?.pop();
        tests.push(Test { taken, settings });
    }
    Ok(tests)
}

/// Sends it and writes down what came of it.
pub(crate) async fn run(test: Test, dispatcher: &Dispatcher, config: &Config) {
    let Test { taken, settings } = test;
    let (id, clock) = (taken.id, DatabaseClock::set(taken.now));
    let target = settings.map(|settings| dispatcher.target(settings));
    let payload = payload(taken);
    let limit = dispatcher.time_limit(&payload, target.as_ref()).min(LONGEST);
    let payload = Payload { timeouts: Timeouts { total: Some(limit), connect: None }, ..payload };
    let permit = Permit::new(Lease::new(), Instant::now() + LONGEST);
    permit.hold();
    let Ok(report) = dispatcher.rehearse(payload, target.as_ref(), &format!("test_{id}"), clock, &permit).await else {
        return;
    };
    let finished = finished(report);
    let written = async { finish(&mut connect(&config.database_url, Purpose::Writing).await?, id, &finished).await };
    if let Err(error) = written.await {
        tracing::warn!(%error, test = id, "what came of a test delivery cannot be written down");
    }
}

fn payload(taken: Taken) -> Payload {
    Payload {
        method: None,
        id: MessageId(0),
        queue: taken.queue,
        shard: Shard(0),
        attempt: 0,
        body: taken.body,
        headers: taken.headers,
        cron: None,
        scheduled_at: taken.now,
        lifetime: Lifetime { age: Duration::ZERO, left: None },
        timeouts: Timeouts::default(),
        trace: None,
        provenance: Provenance::default(),
        revision: None,
    }
}

fn finished(report: Report) -> Finished {
    let Report { answer, started_at, finished_at, timings } = report;
    let (result, status, response_headers, response_body, error) = match answer {
        Ok(answer) => {
            let result = AttemptResult::Answered(answer.signals);
            (result, Some(answer.signals.status), answer.headers, answer.body, None)
        }
        Err(Failure(class, text)) => (AttemptResult::Error(class), None, None, None, Some(text)),
    };
    let error_class = result.error_class();
    Finished { started_at, finished_at, status, error_class, error, response_headers, response_body, timings }
}
