//! Test deliveries: one signed sample, sent now by a deliverer, and what its receiver answered.
//!
//! Nothing of the queue changes by it: no message, no attempt, no count; and a paused queue can be tested as well.

use std::time::Duration;

use futures_util::FutureExt;
use posthaste_core::entity::{Entity, Field, MessageField, QueueField};
use posthaste_core::filter::Value;
use posthaste_core::ids::QueueId;
use posthaste_store::attempt::Attempt;
use posthaste_store::message::Body;
use posthaste_store::test_delivery::{self, Progress, Sample};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::Queues;
use crate::app::App;
use crate::auth::{Caller, Operation};
use crate::error::ApiError;
use crate::memory::Answer;

/// Within this a deliverer takes it, or none will.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);
/// How long one that took it may need: the longest that a test may take, and to write what came of it.
const FINISHED_WITHIN: Duration = Duration::from_secs(70);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(50);
/// Tests under way at the same time in one process. Each waits for a receiver.
pub const MOST: usize = 8;

/// What is to be sent.
#[derive(Debug, Default, PartialEq)]
pub struct Asked {
    /// `None`: a sample.
    pub body: Option<Body>,
    /// A JSON object.
    pub headers: Option<serde_json::Value>,
}

/// Who may do this with some queue: those who may store messages, and may see what receivers answer.
///
/// # Errors
/// They may not.
pub fn check(caller: &Caller) -> Result<(), ApiError> {
    caller.grant::<MessageField>(Operation::Save)?;
    caller.grant::<MessageField>(Operation::Find)?;
    caller.grant::<QueueField>(Operation::Find).map(|_| ())
}

/// Sends a sample to a queue's receiver, and answers the attempt; `None` where there is no such queue for the caller.
///
/// # Errors
/// What the caller may not do; [`ApiError::NoDeliverer`]; [`ApiError::Overloaded`]; as any statement.
pub async fn test(app: &App, caller: &Caller, id: i64, asked: Asked) -> Result<Option<Attempt>, ApiError> {
    check(caller)?;
    let of_queue = |field: MessageField| (field == MessageField::QueueId).then_some(Value::Number(id));
    for (operation, fields) in [
        (Operation::Save, &[MessageField::QueueId, MessageField::Body, MessageField::Headers][..]),
        (Operation::Find, MessageField::ALL),
    ] {
        let grant = caller.grant::<MessageField>(operation)?;
        grant.check_fields(fields.iter().copied())?;
        if !grant.filter.matches(of_queue) {
            return Ok(None);
        }
    }
    let answer = Answer::new(&app.memory);
    let queue = super::get::<Queues>(app, caller, id, &[QueueField::Id], &answer).await?;
    let Some(queue) = queue else { return Ok(None) };
    let _place = app.tests.try_acquire().map_err(|_| ApiError::Overloaded)?;
    let body = asked
        .body
        .unwrap_or_else(|| Body::Text(json!({"type": "posthaste.test", "data": {"queue": queue.name}}).to_string()));
    let (body, body_binary) = match body {
        Body::Text(text) => (Some(text), None),
        Body::Binary(bytes) => (None, Some(bytes)),
    };
    let sample = Sample { queue: QueueId(id), body, body_binary, headers: asked.headers };
    let request = app.database.write(move |conn| async move { test_delivery::request(conn, &sample).await }.boxed());
    let Some(test) = request.await? else { return Ok(None) };
    app.audit(caller, Entity::Queue, "test", &[id], None).await;
    app.waker.tests();
    wait(app, test).await.map(Some)
}

async fn wait(app: &App, test: i64) -> Result<Attempt, ApiError> {
    let asked = Instant::now();
    loop {
        let progress =
            app.database.read(move |conn| async move { test_delivery::progress(conn, test).await }.boxed()).await?;
        let waited = asked.elapsed();
        match progress {
            Some(Progress::Finished(attempt)) => return Ok(*attempt),
            Some(Progress::Waiting) if waited >= TAKEN_WITHIN => {
                let write = app.database.write(move |conn| test_delivery::withdraw(conn, test).boxed());
                if write.await? {
                    return Err(ApiError::NoDeliverer { taken: false });
                }
            }
            Some(Progress::Waiting) => {}
            Some(Progress::Taken) if waited < TAKEN_WITHIN + FINISHED_WITHIN => {}
            // The deliverer died with it.
            Some(Progress::Taken) | None => return Err(ApiError::NoDeliverer { taken: true }),
        }
        sleep(LOOK).await;
    }
}
