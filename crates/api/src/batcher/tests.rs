use posthaste_core::ids::{MessageId, QueueId};
use posthaste_core::time::Timestamp;

use super::*;

type Answered = oneshot::Receiver<Result<Stored, ApiError>>;

fn waiting(queue: i64, size: usize) -> (Waiting, Answered) {
    let (answer, answered) = oneshot::channel();
    let bytes = Arc::new(Semaphore::new(1)).try_acquire_many_owned(0).unwrap();
    let message =
        NewMessage { queue_id: QueueId(queue), body: Some(Body::Text("x".repeat(size))), headers: None, at: None };
    (Waiting { message, size, since: Instant::now(), caller: Caller { answer, _bytes: bytes } }, answered)
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
    Accepted { id: MessageId(id), shard: Shard(3), created_at: Timestamp(0), scheduled_at: Timestamp(0) }
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

#[tokio::test]
async fn each_caller_gets_its_own_answer() {
    let mut group = Group::default();
    let (first, first_answered) = waiting(7, 1);
    let (second, second_answered) = waiting(8, 2);
    group.admit(first);
    group.admit(second);
    group.answer(vec![None, Some(accepted(5))]);
    assert_eq!(first_answered.await.unwrap(), Err(ApiError::UnknownQueue { field: "queueId", id: 7 }));
    let (message, became) = second_answered.await.unwrap().unwrap();
    assert_eq!((message.queue_id, became.id), (QueueId(8), MessageId(5)));
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
    second.answer(vec![Some(accepted(3)), Some(accepted(4)), Some(accepted(5))]);
    let mut queues = Vec::new();
    for answered in answers {
        queues.push(answered.await.unwrap().map(|(message, became)| (message.queue_id.0, became.id.0)));
    }
    assert_eq!(queues, [Err(ApiError::Refused), Err(ApiError::Refused), Ok((3, 3)), Ok((4, 4)), Ok((5, 5))]);
}

#[test]
fn only_what_is_due_soon_wakes_somebody_up() {
    let at = |seconds: i64| Some(Accepted { scheduled_at: Timestamp(seconds * 1_000_000), ..accepted(1) });
    assert_eq!(due_soon(&[at(-5), None, at(0), at(1), at(2)]).count(), 3);
}
