//! How messages end: outcomes, retries, holds, cancellation, changes of ownership.

use super::*;

fn retry(row: Row, due: i64) -> Row {
    Row { attempt: row.attempt + 1, due: at(due), ..row }
}

#[test]
fn a_refill_that_began_before_an_outcome_committed_cannot_bring_the_message_back() {
    let limits = Limits { window: 2, ..LIMITS };
    let mut windows = owner(limits);
    windows.arrive(row(2, 2));
    assert_eq!(started(&mut windows, 5), [2]);
    // The tail falls before 2, which is in flight; the refill reads it, and only then its outcome commits.
    for id in [1, 3, 4] {
        windows.arrive(row(id, id - 10));
    }
    assert_eq!(started(&mut windows, 5), [1, 3]);
    let refill = next_refill(&mut windows, 5);
    windows.finished(MessageId(2), 0);
    assert_eq!(windows.tombstones(), 1);
    windows.refilled(refill, &[row(4, -6), row(2, 2)], true);
    assert_eq!((started(&mut windows, 5), windows.tombstones()), (vec![4], 0));
}

#[test]
fn an_arrival_read_before_an_outcome_committed_cannot_bring_the_message_back() {
    let mut windows = owner(LIMITS);
    windows.arrive(row(1, 1));
    assert_eq!(started(&mut windows, 5), [1]);
    let read = windows.begin_read();
    windows.finished(MessageId(1), 0);
    windows.arrive(row(1, 1));
    assert_eq!(windows.keys(), 0);
    // But the next attempt is news.
    windows.arrive(retry(row(1, 1), 2));
    windows.end_read(read);
    assert_eq!((started(&mut windows, 5), windows.tombstones()), (vec![1], 0));
}

#[test]
fn a_retry_that_arrives_before_the_outcome_is_answered_starts_after_it() {
    let mut windows = owner(LIMITS);
    windows.arrive(row(1, 1));
    assert_eq!(started(&mut windows, 5), [1]);
    windows.arrive(retry(row(1, 1), 3));
    windows.arrive(row(1, 1));
    assert_eq!(started(&mut windows, 5), NONE);
    windows.finished(MessageId(1), 0);
    assert_eq!(windows.in_flight(), 0);
    let start = windows.start(at(5), 9);
    assert_eq!((start[0].id, start[0].attempt), (MessageId(1), 1));
    // And an answer to the first attempt does not touch the second.
    windows.forget(MessageId(1), 0);
    windows.finished(MessageId(1), 0);
    assert_eq!(windows.in_flight(), 1);
}

#[test]
fn the_latest_version_of_a_remembered_retry_counts() {
    let mut windows = owner(LIMITS);
    windows.arrive(row(1, 1));
    assert_eq!(started(&mut windows, 5), [1]);
    windows.arrive(retry(row(1, 1), 3));
    windows.arrive(retry(row(1, 1), 30));
    windows.reread(retry(row(1, 1), 3));
    windows.finished(MessageId(1), 0);
    assert_eq!(windows.next_due(), Some(at(30)));
}

#[test]
fn a_start_that_was_given_up_joins_again_as_it_is_read() {
    let mut windows = owner(LIMITS);
    windows.arrive(row(1, 1));
    assert_eq!(started(&mut windows, 5), [1]);
    windows.forget(MessageId(1), 0);
    assert_eq!((windows.in_flight(), windows.keys()), (0, 0));
    windows.reread(row(1, 8));
    windows.reread(row(1, 8));
    assert_eq!(windows.keys(), 1);
    assert_eq!(started(&mut windows, 8), [1]);
    // Given up with a retry that has shown itself: that one joins by itself.
    windows.arrive(retry(row(1, 1), 9));
    windows.forget(MessageId(1), 0);
    assert_eq!(windows.next_due(), Some(at(9)));
}

#[test]
fn an_outcome_that_was_thought_refused_and_had_committed_ends_the_message() {
    let mut windows = owner(LIMITS);
    windows.arrive(row(1, 1));
    assert_eq!(started(&mut windows, 5), [1]);
    windows.forget(MessageId(1), 0);
    windows.reread(row(1, 1));
    windows.finished(MessageId(1), 0);
    assert_eq!((windows.keys(), started(&mut windows, 5)), (0, NONE.to_vec()));
}

#[test]
fn lower_attempts_are_stale_and_higher_ones_replace() {
    let mut windows = owner(LIMITS);
    windows.arrive(retry(row(1, 1), 10));
    windows.arrive(row(1, 1));
    assert_eq!(windows.next_due(), Some(at(10)));
    windows.arrive(retry(retry(row(1, 1), 10), 20));
    assert_eq!((windows.next_due(), windows.keys()), (Some(at(20)), 1));
}

#[test]
fn a_held_message_waits_for_its_hold_and_its_due_time() {
    let mut windows = owner(LIMITS);
    let held = |row, until| Row { held_until: Some(at(until)), ..row };
    windows.arrive(held(row(2, 30), 10));
    assert_eq!(windows.next_due(), Some(at(30)));
    windows.arrive(held(row(1, 1), 20));
    assert_eq!((started(&mut windows, 19), windows.next_due()), (NONE.to_vec(), Some(at(20))));
    assert_eq!((started(&mut windows, 20), windows.next_due()), (vec![1], Some(at(30))));
    assert_eq!(started(&mut windows, 30), [2]);
    // The former owner's outcome was a retry: the row arrives without the hold.
    windows.arrive(held(row(3, 1), 90));
    windows.arrive(retry(row(3, 1), 40));
    assert_eq!(started(&mut windows, 40), [3]);
    // A hold that has passed is none.
    windows.arrive(held(row(4, 1), 39));
    assert_eq!(started(&mut windows, 40), [4]);
}

#[test]
fn held_messages_do_not_keep_others_out_of_the_window() {
    let limits = Limits { window: 2, ..LIMITS };
    let held: Vec<Row> = (1..=2).map(|id| Row { held_until: Some(at(60)), ..row(id, id) }).collect();
    let mut windows = reader(limits, &held, false);
    let refill = next_refill(&mut windows, 5);
    assert_eq!(refill.after, Some((at(2), MessageId(2))));
    windows.refilled(refill, &[row(3, 3), row(4, 4)], true);
    assert_eq!(started(&mut windows, 5), [3, 4]);
    assert_eq!(started(&mut windows, 60), [1, 2]);
}

#[test]
fn a_held_message_beyond_the_tail_is_known_and_takes_no_room_of_the_window() {
    let mut windows = reader(LIMITS, &[row(1, 1)], false);
    windows.arrive(Row { held_until: Some(at(60)), ..row(2, 2) });
    assert_eq!((windows.keys(), windows.loose()), (1, 1));
    assert_eq!(windows.held(9), [(MessageId(2), 0)]);
    // It is found to have ended.
    windows.finished(MessageId(2), 0);
    assert_eq!((windows.held(9), windows.loose()), (vec![], 0));
}

#[test]
fn a_cancelled_message_starts_at_once_without_a_slot() {
    let mut windows = owner(Limits { slots: 2, ..LIMITS });
    windows.arrive(row(1, 1));
    windows.arrive(of_queue(2, row(2, 1)));
    assert_eq!(started(&mut windows, 5), [1, 2]);
    let cancelled = |row| Row { cancelled: true, ..row };
    windows.arrive(row(3, 1000));
    windows.arrive(cancelled(row(3, 1000)));
    assert!(windows.next_due().is_some_and(|due| due < at(5)));
    let starts = windows.start(at(5), 9);
    assert_eq!((starts.len(), starts[0].id, starts[0].cancelled), (1, MessageId(3), true));
    assert_eq!(windows.in_flight(), 2);
    // In flight, it is too late; and a hold comes first.
    windows.arrive(cancelled(row(1, 1)));
    windows.arrive(Row { held_until: Some(at(50)), ..cancelled(row(4, 1000)) });
    assert_eq!((started(&mut windows, 49), windows.next_due()), (NONE.to_vec(), Some(at(50))));
    assert_eq!(started(&mut windows, 50), [4]);
    // Two are on their way out: a third waits, without waking anybody.
    windows.arrive(cancelled(row(5, 1000)));
    assert_eq!((started(&mut windows, 50), windows.next_due()), (NONE.to_vec(), None));
    windows.finished(MessageId(3), 0);
    assert_eq!(started(&mut windows, 50), [5]);
}

#[test]
fn a_cancelled_message_beyond_the_tail_starts_at_once() {
    let mut windows = reader(LIMITS, &[row(1, 100)], false);
    windows.arrive(Row { cancelled: true, ..row(7, 700) });
    assert_eq!(windows.loose(), 1);
    assert_eq!(started(&mut windows, 0), [7]);
    // A refill that still shows it finds it in flight.
    let refill = next_refill(&mut windows, 90);
    windows.refilled(refill, &[row(7, 700)], true);
    assert_eq!(windows.keys(), 1);
}

#[test]
fn a_released_shard_is_forgotten_but_for_what_is_in_flight() {
    let mut windows = owner(LIMITS);
    for id in 1..6 {
        windows.arrive(row(id, id));
    }
    windows.arrive(Row { cancelled: true, ..row(6, 6) });
    windows.arrive(Row { held_until: Some(at(60)), ..row(7, 7) });
    assert_eq!(windows.start(at(3), 3).len(), 3);
    let mut in_flight = windows.release(SHARD);
    in_flight.sort();
    assert_eq!(in_flight, [(MessageId(1), 0), (MessageId(2), 0), (MessageId(6), 0)]);
    assert!(!windows.owns(SHARD));
    assert_eq!((windows.keys(), windows.loose(), windows.windows(), windows.next_due()), (0, 0, 0, None));
    // Taken again, what is still in flight does not start again.
    windows.take(SHARD);
    assert_eq!(windows.next_discovery(9), [(SHARD, None)]);
    windows.discovered(SHARD, &[(QUEUE, 0)], true);
    let refill = next_refill(&mut windows, 3);
    windows.refilled(refill, &[row(1, 1), row(2, 2), row(3, 3)], true);
    assert_eq!(started(&mut windows, 3), [3]);
    assert_eq!(windows.in_flight_of(QUEUE), 3);
    windows.finished(MessageId(1), 0);
    assert_eq!(windows.in_flight(), 2);
}

#[test]
fn a_message_that_was_moved_to_another_shard_joins_there() {
    let mut windows = owner(LIMITS);
    windows.take(Shard(1));
    assert_eq!(windows.next_discovery(9), [(Shard(1), None)]);
    windows.discovered(Shard(1), &[], true);
    windows.arrive(row(1, 1));
    windows.arrive(row(2, 2));
    assert_eq!(started(&mut windows, 1), [1]);
    let moved = |row| Row { shard: Shard(1), ..row };
    // 1 was in flight when its owner moved it, 2 is still in its old window.
    windows.arrive(moved(row(1, 1)));
    windows.forget(MessageId(1), 0);
    windows.reread(moved(row(1, 1)));
    windows.arrive(moved(row(2, 2)));
    windows.release(SHARD);
    assert_eq!(started(&mut windows, 2), [1, 2]);
}
