use posthaste_core::ids::{MessageId, QueueId, Shard};
use posthaste_core::time::Timestamp;
use posthaste_service::metrics::{Metrics, QueueLabels};

use super::gathering::{BYTES, Gathering, Group, PATIENCE};
use super::storing::due_soon;
use super::*;
use crate::metrics::ApiMetrics;

type Answered = oneshot::Receiver<Result<Stored, ApiError>>;

fn waiting(queue: i64, size: usize) -> (Waiting, Answered) {
    let (answer, answered) = oneshot::channel();
    let message = NewMessage { body: Some(Body::Text("x".repeat(size))), ..NewMessage::to(QueueId(queue)) };
    (
        Waiting {
            message,
            size,
            since: Instant::now(),
            caller: Caller { answer, _memory: Memory::default().reservation() },
        },
        answered,
    )
}

/// What gathers of messages with these sizes, all waiting already.
async fn gathered(sizes: &[usize]) -> Vec<Vec<usize>> {
    let (queue, receiver) = mpsc::channel(sizes.len());
    let mut answers = Vec::new();
    for &size in sizes {
        let (waiting, answered) = waiting(1, size);
        queue.try_send(waiting).unwrap();
        answers.push(answered);
    }
    drop(queue);
    let mut gathering = Gathering { waiting: receiver, carried: None };
    let mut groups = Vec::new();
    while let Some(group) = gathering.next().await {
        groups.push(group.batch.into_messages().map(|m| m.body.map_or(0, |body| body.len())).collect());
    }
    groups
}

fn accepted(id: i64) -> Accepted {
    Accepted { id: MessageId(id), shard: Some(Shard(3)), created_at: Timestamp(0), scheduled_at: Timestamp(0) }
}

fn stored(id: i64) -> Verdict {
    Verdict::Stored(accepted(id))
}

#[tokio::test]
async fn all_that_waits_is_one_group() {
    assert_eq!(gathered(&[1, 2, 3]).await, [vec![1, 2, 3]]);
    assert_eq!(gathered(&[0; 1200]).await.iter().map(Vec::len).collect::<Vec<_>>(), [500, 500, 200]);
}

#[tokio::test]
async fn a_group_is_bounded_in_bytes() {
    let (half, more) = (BYTES / 2, BYTES / 2 + 1);
    assert_eq!(gathered(&[half, half, 1]).await, [vec![half, half], vec![1]]);
    assert_eq!(gathered(&[more, more, 1]).await, [vec![more], vec![more, 1]]);
    assert_eq!(gathered(&[BYTES * 2, 1]).await, [vec![BYTES * 2], vec![1]]);
}

#[tokio::test]
async fn nobody_waits_in_vain() {
    let (mut late, answered) = waiting(1, 1);
    late.since = Instant::now().checked_sub(PATIENCE * 2).unwrap();
    let (gone, dropped) = waiting(1, 1);
    drop(dropped);
    let mut group = Group::default();
    group.admit(late);
    group.admit(gone);
    assert!(group.callers.is_empty() && group.batch.is_empty());
    assert_eq!(answered.await.unwrap(), Err(ApiError::Unavailable));
}

fn metrics() -> ApiMetrics {
    ApiMetrics::new(&Metrics::default().of("api").unwrap(), QueueLabels::new(10)).unwrap()
}

#[tokio::test]
async fn each_caller_gets_its_own_answer() {
    let mut group = Group::default();
    let (first, first_answered) = waiting(7, 1);
    let (second, second_answered) = waiting(8, 2);
    group.admit(first);
    group.admit(second);
    let (third, third_answered) = waiting(9, 3);
    group.admit(third);
    let metrics = metrics();
    group.answer(vec![Verdict::UnknownQueue, stored(5), Verdict::Replayed(accepted(4))], &metrics);
    assert_eq!(first_answered.await.unwrap(), Err(ApiError::UnknownQueue { field: "queueId", id: 7 }));
    let Stored { message, accepted, replayed } = second_answered.await.unwrap().unwrap();
    assert_eq!((message.queue_id, accepted.id, replayed), (QueueId(8), MessageId(5), false));
    let Stored { message, accepted, replayed } = third_answered.await.unwrap().unwrap();
    assert_eq!((message.queue_id, accepted.id, replayed), (QueueId(9), MessageId(4), true));
    // Counted is what was stored now.
    let text = String::from_utf8(metrics.all.text().unwrap()).unwrap();
    let accepted: Vec<_> = text.lines().filter(|line| line.starts_with("posthaste_messages_accepted_total")).collect();
    assert_eq!(accepted, ["posthaste_messages_accepted_total{queue=\"8\",service=\"api\"} 1"]);
}

#[tokio::test]
async fn halves_keep_their_callers() {
    let mut group = Group::default();
    let mut answers = Vec::new();
    for queue in 1..=5 {
        let (waiting, answered) = waiting(queue, 1);
        group.admit(waiting);
        answers.push(answered);
    }
    let (first, second) = group.split();
    assert_eq!((first.callers.len(), second.callers.len()), (2, 3));
    first.fail(&ApiError::Refused);
    second.answer(vec![stored(3), stored(4), stored(5)], &metrics());
    let mut queues = Vec::new();
    for answered in answers {
        queues.push(answered.await.unwrap().map(|it| (it.message.queue_id.0, it.accepted.id.0)));
    }
    assert_eq!(queues, [Err(ApiError::Refused), Err(ApiError::Refused), Ok((3, 3)), Ok((4, 4)), Ok((5, 5))]);
}

#[test]
fn only_what_is_due_soon_wakes_somebody_up() {
    let at = |seconds: i64| Accepted { scheduled_at: Timestamp(seconds * 1_000_000), ..accepted(1) };
    let verdicts = [-5, 0, 1, 2].map(|seconds| Verdict::Stored(at(seconds)));
    assert_eq!(due_soon(&verdicts).count(), 3);
    let others =
        [Verdict::UnknownQueue, Verdict::Replayed(at(0)), Verdict::Conflict, Verdict::Expired, Verdict::Refused];
    assert_eq!(due_soon(&others).count(), 0);
}
