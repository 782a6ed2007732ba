//! Paused queues: still, cheap, and whole again when they are resumed.

use std::collections::BTreeSet;

use super::*;

fn pause(windows: &mut Windows, queues: &[i64]) {
    windows.set_paused(&queues.iter().copied().map(QueueId).collect());
}

/// Neither time nor reading is waited for.
fn assert_still(windows: &Windows) {
    assert_eq!((windows.next_due(), windows.next_refill()), (None, None));
}

#[test]
fn nothing_of_a_paused_queue_starts_until_it_is_resumed() {
    let mut windows = owner(LIMITS);
    windows.arrive(row(1, 1));
    windows.arrive(row(2, 9));
    windows.arrive(of_queue(2, row(3, 1)));
    pause(&mut windows, &[1]);
    assert!(windows.is_paused(QUEUE));
    assert_eq!(started(&mut windows, 20), [3]);
    assert_still(&windows);
    // What arrives in the meantime waits with it.
    windows.arrive(row(4, 4));
    assert_eq!(started(&mut windows, 20), NONE);
    assert_still(&windows);
    pause(&mut windows, &[]);
    assert!(windows.next_due().is_some_and(|due| due <= at(20)), "its caller is woken");
    assert_eq!(started(&mut windows, 20), [1, 4, 2]);
}

#[test]
fn a_queue_paused_while_it_stands_in_line_does_not_have_its_turn() {
    let mut windows = owner(LIMITS);
    for id in 1..6 {
        windows.arrive(row(id, 1));
    }
    assert_eq!(windows.start(at(5), 2).len(), 2);
    pause(&mut windows, &[1]);
    assert_eq!(started(&mut windows, 5), NONE);
    // Resumed and paused again before anybody looked.
    pause(&mut windows, &[]);
    pause(&mut windows, &[1]);
    assert_eq!(started(&mut windows, 5), NONE);
    pause(&mut windows, &[]);
    assert_eq!(started(&mut windows, 5), [3, 4, 5]);
}

#[test]
fn a_queue_paused_over_its_share_goes_on_after_it_is_resumed() {
    let mut windows = owner(Limits { slots: 4, ..LIMITS });
    for id in 1..9 {
        windows.arrive(row(id, 1));
    }
    assert_eq!(started(&mut windows, 5), [1, 2]);
    pause(&mut windows, &[1]);
    windows.finished(MessageId(1), 0);
    windows.finished(MessageId(2), 0);
    assert_eq!(started(&mut windows, 5), NONE);
    pause(&mut windows, &[]);
    assert_eq!(started(&mut windows, 5), [3, 4]);
}

#[test]
fn a_paused_queue_is_not_read_further_and_what_is_under_way_joins() {
    let mut windows = reader(LIMITS, &[row(1, 1)], false);
    let refill = next_refill(&mut windows, 5);
    pause(&mut windows, &[1]);
    windows.arrive(row(9, 9));
    windows.refilled(refill, &[row(2, 2), row(3, 3)], false);
    assert_eq!((windows.keys(), windows.set_aside()), (3, 0));
    assert_eq!(windows.next_refills(at(500), 9), []);
    assert_eq!(started(&mut windows, 500), NONE);
    assert_still(&windows);
    pause(&mut windows, &[]);
    assert!(windows.next_refill().is_some_and(|at_once| at_once <= at(500)));
    assert_eq!(started(&mut windows, 500), [1, 2, 3]);
    let refill = next_refill(&mut windows, 500);
    windows.refilled(refill, &[row(9, 9)], true);
    assert_eq!(started(&mut windows, 500), [9]);
}

#[test]
fn a_refill_in_line_when_its_queue_is_paused_is_not_handed_out() {
    let mut windows = Windows::new(LIMITS);
    windows.take(SHARD);
    assert_eq!(windows.next_discovery(9), [(SHARD, None)]);
    windows.discovered(SHARD, &[(QUEUE, 0), (QueueId(2), 0)], true);
    let refills = windows.next_refills(at(0), 1);
    assert_eq!(refills[0].queue, QUEUE);
    pause(&mut windows, &[2]);
    assert_eq!(windows.next_refills(at(0), 9), []);
    assert_still(&windows);
    pause(&mut windows, &[]);
    assert_eq!(next_refill(&mut windows, 0).queue, QueueId(2));
}

#[test]
fn a_queue_discovered_while_it_is_paused_is_read_when_it_is_resumed() {
    let mut windows = Windows::new(LIMITS);
    // The set is told before anything is known of its queues, as at a takeover.
    pause(&mut windows, &[1, 7]);
    windows.take(SHARD);
    assert_eq!(windows.next_discovery(9), [(SHARD, None)]);
    windows.discovered(SHARD, &[(QUEUE, 0)], true);
    assert_eq!(windows.next_refills(at(5), 9), []);
    windows.arrive(row(2, 2));
    assert_eq!(started(&mut windows, 5), NONE);
    assert_still(&windows);
    pause(&mut windows, &[7]);
    let refill = next_refill(&mut windows, 5);
    windows.refilled(refill, &[row(1, 1), row(2, 2)], true);
    assert_eq!(started(&mut windows, 5), [1, 2]);
}

#[test]
fn what_is_cancelled_leaves_a_paused_queue() {
    let mut windows = owner(LIMITS);
    windows.arrive(row(1, 1));
    windows.arrive(row(2, 900));
    pause(&mut windows, &[1]);
    for id in [1, 2, 3] {
        windows.arrive(Row { cancelled: true, ..row(id, id * 400) });
    }
    assert!(windows.next_due().is_some());
    assert_eq!(started(&mut windows, 5), [1, 2, 3]);
    assert_still(&windows);
}

#[test]
fn a_start_that_met_the_pause_in_the_database_goes_back() {
    let mut windows = owner(LIMITS);
    windows.arrive(row(1, 1));
    windows.arrive(row(2, 1));
    assert_eq!(windows.start(at(5), 1).len(), 1);
    windows.pause(QUEUE);
    windows.forget(MessageId(1), 0);
    windows.reread(row(1, 1));
    assert_eq!((started(&mut windows, 5), windows.in_flight()), (NONE.to_vec(), 0));
    assert_still(&windows);
    // The next read of what is paused decides.
    windows.set_paused(&BTreeSet::from([QUEUE]));
    assert_eq!(started(&mut windows, 5), NONE);
    windows.set_paused(&BTreeSet::new());
    assert_eq!(started(&mut windows, 5), [1, 2]);
}

#[test]
fn retries_and_holds_of_a_paused_queue_wait_for_it() {
    let mut windows = owner(LIMITS);
    windows.arrive(row(1, 1));
    windows.arrive(Row { held_until: Some(at(20)), ..row(2, 1) });
    assert_eq!(started(&mut windows, 5), [1]);
    pause(&mut windows, &[1]);
    windows.finished(MessageId(1), 0);
    windows.arrive(Row { attempt: 1, ..row(1, 6) });
    assert_eq!(started(&mut windows, 30), NONE);
    assert_still(&windows);
    pause(&mut windows, &[]);
    // The last that started was a first attempt, so the retry has its turn.
    assert_eq!(started(&mut windows, 30), [1, 2]);
}

#[test]
fn a_paused_queue_gives_way_to_one_that_has_something_to_deliver() {
    let limits = Limits { window: 100, budget: 100, slots: 200, share: 1, opening: 1_000_000 };
    let mut windows = owner(limits);
    for id in 0..100 {
        windows.arrive(row(id, 0));
    }
    pause(&mut windows, &[1]);
    for id in 1000..1100 {
        windows.arrive(of_queue(2, row(id, 0)));
    }
    assert_eq!(windows.keys(), 102);
    assert_eq!(windows.start(at(0), 1000).len(), 100);
    // What it gave up is read again.
    pause(&mut windows, &[]);
    assert_eq!(next_refill(&mut windows, 0).after, Some((at(0), MessageId(1))));
    assert_eq!(started(&mut windows, 0).len(), 2);
}

#[test]
fn a_shard_released_while_a_queue_is_paused_is_whole_for_its_next_owner() {
    let mut windows = owner(LIMITS);
    windows.arrive(row(1, 1));
    assert_eq!(started(&mut windows, 1), [1]);
    windows.arrive(row(2, 2));
    pause(&mut windows, &[1]);
    assert_eq!(windows.release(SHARD), [(MessageId(1), 0)]);
    windows.take(SHARD);
    assert_eq!(windows.next_discovery(9), [(SHARD, None)]);
    windows.discovered(SHARD, &[(QUEUE, 0)], true);
    assert_eq!(windows.next_refills(at(5), 9), []);
    windows.finished(MessageId(1), 0);
    assert_eq!(started(&mut windows, 5), NONE);
    pause(&mut windows, &[]);
    let refill = next_refill(&mut windows, 5);
    windows.refilled(refill, &[row(2, 2)], true);
    assert_eq!(started(&mut windows, 5), [2]);
    windows.finished(MessageId(2), 0);
    assert_eq!((windows.windows(), windows.in_flight_of(QUEUE)), (0, 0));
}
