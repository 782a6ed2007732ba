//! Limits, priorities, ordering keys, and what receivers answer.

use super::*;
use crate::gate::breaker::{FAILURES, Position};
use crate::gate::flow::{Health, QueueLimits};
use crate::gate::rate::Rate;

const FREE: Timestamp = Timestamp::MIN;

fn concurrency(most: usize) -> QueueLimits {
    QueueLimits { max_concurrency: Some(most), rate: None }
}

/// The owner of a shard with so many messages of `QUEUE`, and its limits as they were read with the first of them.
fn limited(messages: i64, limits: QueueLimits) -> Windows {
    let mut windows = owner(LIMITS);
    for id in 1..=messages {
        windows.arrive(row(id, 1));
    }
    assert_eq!(windows.start(at(2), 1).len(), 1);
    assert!(windows.learn(QUEUE, 1, limits, FREE, FREE));
    windows.forget(MessageId(1), 0);
    windows.reread(row(1, 1));
    windows
}

#[test]
fn no_more_start_than_the_limit_allows_and_one_for_each_that_ends() {
    let mut windows = limited(6, concurrency(2));
    assert_eq!(started(&mut windows, 2), [1, 2]);
    assert_eq!(windows.next_due(), None, "nothing to wake for");
    windows.finished(MessageId(2), 0);
    assert_eq!(started(&mut windows, 2), [3]);
    windows.forget(MessageId(1), 0);
    assert_eq!(started(&mut windows, 2), [4]);
}

#[test]
fn what_a_former_owner_is_still_sending_counts_until_it_has_ended() {
    let mut windows = limited(3, concurrency(2));
    windows.arrive(Row { held_until: Some(at(60)), ..row(8, 1) });
    assert_eq!(started(&mut windows, 2), [1]);
    assert!(!windows.exceeds(QUEUE));
    windows.arrive(Row { held_until: Some(at(60)), ..row(9, 1) });
    assert!(windows.exceeds(QUEUE));
    windows.finished(MessageId(1), 0);
    assert_eq!(started(&mut windows, 2), NONE);
    windows.finished(MessageId(9), 0);
    assert_eq!(started(&mut windows, 2), [2]);
    // A hold that nobody ended ends by itself, and what was held has its turn.
    assert_eq!(started(&mut windows, 60), [3]);
    windows.finished(MessageId(2), 0);
    assert_eq!(started(&mut windows, 60), [8]);
}

#[test]
fn a_limit_is_learnt_anew_after_its_shard_was_released() {
    let mut windows = limited(1, concurrency(2));
    assert_eq!(windows.revision(QUEUE), Some(1));
    windows.release(SHARD);
    assert_eq!(windows.revision(QUEUE), None);
}

#[test]
fn what_was_started_under_other_limits_is_taken_back_once() {
    let mut windows = limited(3, concurrency(2));
    assert_eq!(started(&mut windows, 2), [1, 2]);
    assert!(!windows.learn(QUEUE, 2, concurrency(2), FREE, FREE), "another name is no other limit");
    assert!(windows.learn(QUEUE, 3, concurrency(1), FREE, FREE));
    assert!(windows.exceeds(QUEUE));
    for id in [1, 2] {
        windows.forget(MessageId(id), 0);
        windows.reread(row(id, 1));
    }
    assert_eq!(started(&mut windows, 2), [1]);
    assert!(windows.learn(QUEUE, 4, QueueLimits::default(), FREE, FREE));
    assert_eq!(started(&mut windows, 2), [2, 3]);
}

#[test]
fn a_rate_is_reserved_before_it_is_used_and_wakes_its_caller() {
    let mut windows = limited(3, QueueLimits { max_concurrency: None, rate: Some(Rate::new(1.0, 1)) });
    assert_eq!(started(&mut windows, 2), NONE);
    let [(queue, until)] = windows.take_reservations()[..] else { panic!("one is asked for") };
    assert_eq!((queue, until), (QUEUE, at(4)));
    windows.not_reserved(QUEUE);
    assert_eq!(started(&mut windows, 2), NONE);
    assert_eq!(windows.take_reservations(), [(QUEUE, until)]);
    windows.reserved(QUEUE, until);
    assert_eq!(started(&mut windows, 2), [1]);
    assert_eq!(started(&mut windows, 2), NONE);
    assert_eq!(windows.next_due(), Some(at(3)));
    assert_eq!(started(&mut windows, 3), [2]);
    // What was not sent after all used nothing.
    windows.forget(MessageId(2), 0);
    windows.reread(row(2, 1));
    assert_eq!(started(&mut windows, 3), [2]);
}

#[test]
fn after_a_change_nothing_starts_until_others_have_told_what_they_send() {
    let mut windows = limited(1, concurrency(1));
    windows.learn(QUEUE, 2, concurrency(2), FREE, at(9));
    assert_eq!((started(&mut windows, 8), windows.next_due()), (NONE.to_vec(), Some(at(9))));
    assert_eq!(started(&mut windows, 9), [1]);
}

#[test]
fn the_highest_priority_first_whatever_is_due_before() {
    let mut windows = owner(LIMITS);
    let with = |priority, row: Row| Row { priority, ..row };
    for id in 1..=3 {
        windows.arrive(row(id, 1));
        windows.arrive(with(5, row(10 + id, 5)));
        windows.arrive(with(-5, row(20 + id, 0)));
    }
    windows.arrive(with(9, row(30, 8)));
    assert_eq!(started(&mut windows, 6), [11, 12, 13, 1, 2, 3, 21, 22, 23]);
    assert_eq!(started(&mut windows, 8), [30]);
}

#[test]
fn each_priority_is_found_and_read_for_itself() {
    let mut windows = Windows::new(LIMITS);
    windows.take(SHARD);
    assert_eq!(windows.next_discovery(9), [(SHARD, None)]);
    windows.discovered(SHARD, &[(QUEUE, -1), (QUEUE, 4)], true);
    let refills = windows.next_refills(at(0), 9);
    assert_eq!(refills.iter().map(|refill| refill.priority).collect::<Vec<_>>(), [-1, 4]);
    for refill in refills {
        let found = Row { priority: refill.priority, ..row(i64::from(10 + refill.priority), 1) };
        windows.refilled(refill, &[found], true);
    }
    assert_eq!(started(&mut windows, 1), [14, 9]);
}

#[test]
fn first_attempts_and_retries_take_turns() {
    let mut windows = limited(1, concurrency(1));
    assert_eq!(started(&mut windows, 2), [1]);
    windows.finished(MessageId(1), 0);
    windows.arrive(Row { attempt: 1, ..row(1, 3) });
    assert_eq!(started(&mut windows, 3), [1]);
    windows.finished(MessageId(1), 1);
    for id in 1..=4 {
        windows.arrive(Row { attempt: 3, ..row(id, 1) });
        windows.arrive(row(10 + id, 5));
    }
    let mut order = Vec::new();
    for _ in 0..8 {
        let [id] = started(&mut windows, 6)[..] else { panic!("one at a time: {order:?}") };
        windows.finished(MessageId(id), if id < 10 { 3 } else { 0 });
        order.push(id);
    }
    assert_eq!(order, [11, 1, 12, 2, 13, 3, 14, 4]);
}

#[test]
fn of_an_ordering_key_only_the_first_is_kept() {
    let mut windows = owner(LIMITS);
    let of = |key, row: Row| Row { key: Some(key), ..row };
    for id in 2..=4 {
        windows.arrive(of(7, row(id, 1)));
        windows.arrive(of(8, row(10 + id, 1)));
    }
    assert_eq!(windows.keys(), 2);
    assert_eq!(started(&mut windows, 5), [2, 12]);
    // One that was stored earlier and is seen later waits for the one in flight; its end makes it arrive.
    windows.arrive(of(7, row(1, 1)));
    assert_eq!(started(&mut windows, 5), NONE);
    windows.finished(MessageId(2), 0);
    windows.arrive(of(7, row(1, 1)));
    assert_eq!(started(&mut windows, 5), [1]);
    // A retry stays the first.
    windows.finished(MessageId(12), 0);
    windows.arrive(Row { attempt: 1, ..of(8, row(12, 20)) });
    windows.arrive(of(8, row(13, 1)));
    assert_eq!(started(&mut windows, 19), NONE);
    assert_eq!(started(&mut windows, 20), [12]);
    assert_eq!(windows.release(SHARD).len(), 2);
    assert!(windows.heads.len() == 2, "those in flight: {:?}", windows.heads);
    windows.finished(MessageId(1), 0);
    windows.finished(MessageId(12), 1);
    assert!(windows.heads.is_empty());
}

#[test]
fn a_receiver_that_is_strained_gets_less_and_one_that_is_well_more() {
    let mut windows = owner(Limits { opening: 4, window: 100, slots: 100, ..LIMITS });
    for id in 1..=60 {
        windows.arrive(row(id, 1));
    }
    assert_eq!(started(&mut windows, 2), [1, 2, 3, 4]);
    for id in 1..=4 {
        windows.heard(MessageId(id), 0, Health::Well, at(3));
        windows.finished(MessageId(id), 0);
    }
    assert_eq!(started(&mut windows, 3).len(), 6, "the last two answers did not fill half of the window");
    for id in 5..=10 {
        windows.heard(MessageId(id), 0, Health::Strained, at(4));
        windows.finished(MessageId(id), 0);
    }
    assert_eq!(started(&mut windows, 4).len(), 3);
    let state = windows.states().next().unwrap();
    assert_eq!((state.queue, state.in_flight, state.allowed, state.breaker), (QUEUE, 3, 3, Position::Closed));
}

#[test]
fn a_receiver_that_does_not_answer_is_asked_now_and_then() {
    let mut windows = owner(Limits { window: 100, slots: 200, ..LIMITS });
    let failures = i64::from(FAILURES);
    for id in 1..=failures + 2 {
        windows.arrive(row(id, 1));
    }
    assert_eq!(windows.start(at(2), usize::try_from(failures).unwrap()).len(), usize::try_from(failures).unwrap());
    let opened = (1..=failures).filter(|id| {
        let opened = windows.heard(MessageId(*id), 0, Health::Unreachable, at(3));
        windows.finished(MessageId(*id), 0);
        opened == Some(QUEUE)
    });
    assert_eq!(opened.count(), 1);
    assert_eq!((started(&mut windows, 3), windows.next_due()), (NONE.to_vec(), Some(at(4))));
    assert_eq!(started(&mut windows, 4), [failures + 1]);
    // Not sent after all, so another may be.
    windows.forget(MessageId(failures + 1), 0);
    assert_eq!(started(&mut windows, 5), [failures + 2]);
    windows.heard(MessageId(failures + 2), 0, Health::Strained, at(6));
    assert_eq!(windows.states().next().unwrap().breaker, Position::Closed);
}

#[test]
fn large_bodies_have_fewer_turns() {
    let mut windows = owner(Limits { window: 100, slots: 100, ..LIMITS });
    for id in 1..=20 {
        windows.arrive(row(id, 1));
        windows.arrive(of_queue(2, row(100 + id, 1)));
    }
    let starts = windows.start(at(2), 2);
    let own = starts.iter().find(|start| start.queue == QUEUE).unwrap();
    windows.charge(own.id, 64 * 1024 * 5);
    let others = windows.start(at(2), 6).iter().filter(|start| start.queue != QUEUE).count();
    assert_eq!(others, 5);
    let others = windows.start(at(2), 6).iter().filter(|start| start.queue != QUEUE).count();
    assert_eq!(others, 3);
}
