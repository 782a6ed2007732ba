//! Whose turn it is, and whose room.

use super::*;
use crate::gate::share::BODY;

fn burst(windows: &mut Windows, queue: i64, ids: std::ops::Range<i64>, due: i64) {
    for id in ids {
        windows.arrive(of_queue(queue, row(id, due)));
    }
}

fn queues_of(starts: &[Start]) -> Vec<i64> {
    starts.iter().map(|start| start.queue.0).collect()
}

const WIDE: Limits = Limits { window: 1000, budget: 100_000, slots: 60, share: 1, opening: 1_000_000 };

#[test]
fn queues_take_turns() {
    let mut windows = owner(WIDE);
    burst(&mut windows, 1, 100..200, 0);
    burst(&mut windows, 2, 200..202, 0);
    burst(&mut windows, 3, 300..303, 0);
    assert_eq!(queues_of(&windows.start(at(1), 4)), [1, 2, 3, 1]);
    assert_eq!(queues_of(&windows.start(at(1), 4)), [2, 3, 1, 3]);
}

#[test]
fn a_hanging_queue_leaves_room_for_the_others() {
    let mut windows = owner(WIDE);
    burst(&mut windows, 1, 0..1000, 0);
    assert_eq!(windows.start(at(1), 1000).len(), 30);
    burst(&mut windows, 2, 1000..2000, 0);
    assert_eq!(windows.start(at(1), 1000).len(), 15);
    // A healthy one beside them: every message starts at once.
    for id in 2000..3000 {
        windows.arrive(of_queue(3, row(id, 1)));
        assert_eq!(started(&mut windows, 1), [id]);
        windows.finished(MessageId(id), 0);
    }
    assert_eq!((windows.in_flight_of(QueueId(1)), windows.in_flight_of(QueueId(2))), (30, 15));
}

#[test]
fn large_bodies_take_the_slots_of_several() {
    let mut windows = owner(WIDE);
    burst(&mut windows, 1, 0..100, 0);
    let start_large = |windows: &mut Windows| {
        let starts = windows.start(at(1), 1);
        starts.iter().for_each(|start| windows.charge(start.id, 10 * BODY));
        starts.len()
    };
    assert_eq!([(); 4].map(|()| start_large(&mut windows)), [1, 1, 1, 0], "30 slots of 60");
    // The others find what is left, and a message counts as one all the same.
    burst(&mut windows, 2, 1000..1015, 0);
    assert_eq!(windows.start(at(1), 1000).len(), 15);
    assert_eq!((windows.in_flight_of(QueueId(1)), windows.in_flight()), (3, 18));
    windows.finished(MessageId(0), 0);
    assert_eq!([(); 2].map(|()| start_large(&mut windows)), [1, 0]);
    for id in 1..4 {
        windows.forget(MessageId(id), 0);
    }
    // 15 are taken: more of the first until it holds half of the rest, whatever the size of those before.
    assert_eq!(windows.start(at(1), 1000).iter().filter(|start| start.queue == QueueId(1)).count(), 23);
}

#[test]
fn a_body_that_is_larger_than_all_slots_goes_alone() {
    let mut windows = owner(WIDE);
    burst(&mut windows, 1, 0..1, 0);
    assert_eq!(started(&mut windows, 1), [0]);
    windows.charge(MessageId(0), 1000 * BODY);
    burst(&mut windows, 2, 10..11, 0);
    assert_eq!(started(&mut windows, 1), NONE);
    windows.finished(MessageId(0), 0);
    assert_eq!(started(&mut windows, 1), [10]);
}

#[test]
fn a_queue_that_held_its_share_goes_on_when_its_messages_end() {
    let mut windows = owner(WIDE);
    burst(&mut windows, 1, 0..1000, 0);
    assert_eq!(windows.start(at(1), 1000).len(), 30);
    assert_eq!(windows.next_due(), None, "it waits for a slot, not for time");
    for id in 0..500 {
        windows.finished(MessageId(id), 0);
        assert_eq!(started(&mut windows, 1), [id + 30]);
    }
}

#[test]
fn a_queue_over_its_share_goes_on_as_soon_as_it_is_below_what_is_free() {
    let mut windows = owner(WIDE);
    burst(&mut windows, 1, 0..1000, 0);
    assert_eq!(windows.start(at(1), 1000).len(), 30);
    burst(&mut windows, 2, 1000..2000, 0);
    assert_eq!(windows.start(at(1), 1000).len(), 15);
    // 30 and 15 are taken, 15 free; with n of the first ended, it may go on once 30 - n < 15 + n. The second may at once.
    for id in 0..8 {
        windows.finished(MessageId(id), 0);
        let starts = windows.start(at(1), 1000);
        assert!(starts.iter().all(|start| start.queue == QueueId(2)), "{id}");
        starts.iter().for_each(|start| windows.finished(start.id, 0));
    }
    windows.forget(MessageId(8), 0);
    assert!(queues_of(&windows.start(at(1), 1000)).contains(&1), "22 of it, {} in flight", windows.in_flight());
}

#[test]
fn the_windows_of_one_queue_share_its_slots_and_take_turns() {
    let mut windows = owner(WIDE);
    windows.take(Shard(1));
    assert_eq!(windows.next_discovery(9), [(Shard(1), None)]);
    windows.discovered(Shard(1), &[], true);
    for id in 0..100 {
        windows.arrive(row(id, 0));
        windows.arrive(Row { shard: Shard(1), ..row(1000 + id, 0) });
    }
    assert_eq!(started(&mut windows, 1).len(), 30);
    assert_eq!((windows.release(SHARD).len(), windows.release(Shard(1)).len()), (15, 15));
}

#[test]
fn many_blocked_queues_do_not_stop_one_that_is_not() {
    // 300 queues with one message that hangs and one that waits each; 299 more slots than they hold would admit a second.
    let mut windows = owner(Limits { slots: 301, ..WIDE });
    for queue in 0..300 {
        burst(&mut windows, queue, queue * 10..queue * 10 + 2, 0);
    }
    assert_eq!(windows.start(at(1), 1000).len(), 300);
    for id in 5000..5100 {
        windows.arrive(of_queue(1000, row(id, 0)));
        assert_eq!(started(&mut windows, 1), [id]);
        windows.finished(MessageId(id), 0);
    }
    // A slot more, and one of them goes on, another one each time.
    windows.finished(MessageId(0), 0);
    let first = started(&mut windows, 1);
    windows.finished(MessageId(10), 0);
    let second = started(&mut windows, 1);
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_ne!(first, second);
}

#[test]
fn a_transaction_of_any_size_stays_within_the_limits() {
    let limits = Limits { window: 50, budget: 120, slots: 4, share: 1, opening: 1_000_000 };
    let mut windows = owner(limits);
    for id in 0..20_000 {
        windows.arrive(of_queue(id % 7, row(id, id % 13)));
        assert!(windows.keys() <= 120 + windows.windows());
    }
    assert_eq!((windows.keys(), windows.windows()), (127, 7));
}

#[test]
fn a_window_alone_may_use_the_budget_of_many_and_gives_way_to_newcomers() {
    let limits = Limits { window: 80, budget: 100, slots: 4, share: 1, opening: 1_000_000 };
    let mut windows = owner(limits);
    burst(&mut windows, 1, 0..500, 0);
    assert_eq!(windows.keys(), 80);
    burst(&mut windows, 2, 1000..1500, 0);
    assert_eq!(windows.keys(), 102);
    burst(&mut windows, 3, 2000..2034, 0);
    assert_eq!(windows.keys(), 103);
    // The third has its share: the others gave up theirs for it.
    for id in 2000..2034 {
        windows.arrive(of_queue(3, Row { due: at(50), ..row(id, 0) }));
    }
    assert_eq!(windows.next_refills(at(0), 9), []);
    let starts = windows.start(at(0), 1000);
    assert!(!starts.is_empty() && starts.iter().all(|start| start.queue != QueueId(3)));
    assert_eq!(windows.keys() + starts.len(), 103);
}

#[test]
fn who_has_nothing_due_soon_gives_way_to_who_has() {
    let limits = Limits { window: 100, budget: 100, slots: 200, share: 1, opening: 1_000_000 };
    let mut windows = owner(limits);
    burst(&mut windows, 1, 0..100, 1000);
    burst(&mut windows, 2, 1000..1100, 0);
    // The first gave up what the second needed, and keeps at least when it is to wake up.
    assert_eq!(windows.keys(), 102);
    assert_eq!(windows.start(at(0), 1000).len(), 100);
    assert_eq!((windows.keys(), windows.next_due()), (2, Some(at(1000))));
    // It reads on in time.
    let refill = next_refill(&mut windows, 980);
    assert_eq!((refill.after, refill.limit), (Some((at(1000), MessageId(1))), 98));
}

#[test]
fn many_windows_that_sleep_leave_the_budget_to_those_that_are_awake() {
    let limits = Limits { window: 10, budget: 5, slots: 4, share: 1, opening: 1_000_000 };
    let mut windows = owner(limits);
    for id in 0..200 {
        windows.arrive(of_queue(id % 50, row(id, 1000 + id)));
        assert!(windows.keys() <= windows.windows() + 5);
    }
    assert_eq!((windows.keys(), windows.windows()), (55, 50));
    burst(&mut windows, 100, 1000..1009, 0);
    // At first the sleeping ones have the whole budget; by its first refill the one that is awake has it.
    assert_eq!(started(&mut windows, 0), [1000]);
    assert_eq!(next_refill(&mut windows, 0).limit, 6);
}
