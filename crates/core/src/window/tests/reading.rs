//! What reads show, in which order, and what is made of it.

use super::*;

#[test]
fn a_commit_between_two_snapshots_is_judged_by_the_new_tail() {
    // The refill's snapshot is taken; then 2, 5 and 9 commit and arrive; then the refill is merged, without them.
    let mut windows = reader(LIMITS, &[row(1, 1)], false);
    let refill = next_refill(&mut windows, 0);
    for late in [row(5, 5), row(9, 9), row(2, 2)] {
        windows.arrive(late);
    }
    assert_eq!((windows.keys(), windows.set_aside()), (1, 3));
    windows.refilled(refill, &[row(4, 4), row(6, 6)], false);
    assert_eq!((windows.keys(), windows.set_aside()), (5, 0));
    assert_eq!(started(&mut windows, 20), [1, 2, 4, 5, 6]);
    // 9 is beyond the tail: the next refill sees it.
    assert_eq!(next_refill(&mut windows, 20).after, Some((at(6), MessageId(6))));
}

#[test]
fn a_commit_between_two_snapshots_joins_when_the_queue_was_read_to_its_end() {
    let mut windows = reader(LIMITS, &[row(1, 1)], false);
    let refill = next_refill(&mut windows, 0);
    windows.arrive(row(9, 9));
    windows.refilled(refill, &[], true);
    assert_eq!(started(&mut windows, 20), [1, 9]);
}

#[test]
fn what_did_not_fit_aside_bounds_the_tail() {
    let limits = Limits { window: 2, ..LIMITS };
    let mut windows = reader(limits, &[row(1, 1)], false);
    let refill = next_refill(&mut windows, 0);
    assert_eq!(refill.limit, 1);
    // Only one has a place; 5 does not, so the tail must not pass it although the read went on to 7.
    for late in [row(5, 5), row(3, 3), row(8, 8)] {
        windows.arrive(late);
    }
    assert_eq!(windows.set_aside(), 1);
    windows.refilled(refill, &[row(7, 7)], false);
    assert_eq!(started(&mut windows, 20), [1, 3]);
    assert_eq!(next_refill(&mut windows, 20).after, Some((at(5), MessageId(4))));
}

#[test]
fn a_tail_that_fell_during_a_refill_leaves_its_rows_for_the_next() {
    let limits = Limits { window: 2, ..LIMITS };
    let mut windows = reader(limits, &[row(9, 9)], false);
    let refill = next_refill(&mut windows, 0);
    // They join, 9 has to go, the tail falls to 2. What the refill brings is beyond 9: between 2 and it there is a gap.
    windows.arrive(row(1, 1));
    windows.arrive(row(2, 2));
    assert_eq!(started(&mut windows, 20), [1, 2]);
    windows.refilled(refill, &[row(10, 10)], true);
    assert_eq!(started(&mut windows, 20), NONE);
    assert_eq!(next_refill(&mut windows, 20).after, Some((at(2), MessageId(2))));
}

#[test]
fn a_window_over_its_cap_gives_up_its_greatest_keys_and_reads_them_again() {
    let mut windows = owner(Limits { window: 3, ..LIMITS });
    for id in [5, 3, 4, 1, 2] {
        windows.arrive(row(id, id));
    }
    assert_eq!(windows.keys(), 3);
    assert_eq!(started(&mut windows, 20), [1, 2, 3]);
    let refill = next_refill(&mut windows, 20);
    assert_eq!((refill.after, refill.limit), (Some((at(3), MessageId(3))), 3));
    windows.refilled(refill, &[row(4, 4), row(5, 5)], true);
    assert_eq!(started(&mut windows, 20), [4, 5]);
    assert_eq!(windows.in_flight(), 5);
}

#[test]
fn at_a_takeover_what_arrivals_and_refills_show_is_one() {
    let mut windows = Windows::new(LIMITS);
    windows.take(SHARD);
    windows.arrive(row(1, 1));
    let refill = next_refill(&mut windows, 0);
    windows.arrive(row(2, 2));
    windows.refilled(refill, &[row(1, 1), row(2, 2)], true);
    windows.arrive(row(1, 1));
    assert_eq!(windows.keys(), 2);
    assert_eq!(started(&mut windows, 5), [1, 2]);
    windows.arrive(row(2, 2));
    windows.reread(row(1, 1));
    assert_eq!((windows.keys(), started(&mut windows, 5)), (0, NONE.to_vec()));
}

#[test]
fn delivery_starts_before_all_queues_are_discovered() {
    let mut windows = Windows::new(LIMITS);
    windows.take(SHARD);
    assert_eq!(windows.next_discovery(9), [(SHARD, None)]);
    assert_eq!(windows.next_discovery(9), [], "one step at a time");
    windows.discovered(SHARD, &[(QUEUE, 0)], false);
    let refill = next_refill(&mut windows, 5);
    windows.refilled(refill, &[row(1, 1)], true);
    assert_eq!(started(&mut windows, 5), [1]);
    assert_eq!(windows.next_discovery(9), [(SHARD, Some((QUEUE, 0)))]);
    windows.discovery_failed(SHARD);
    assert_eq!(windows.next_discovery(9), [(SHARD, Some((QUEUE, 0)))]);
}

#[test]
fn an_unknown_queue_is_read_until_all_are_discovered_and_then_is_known_to_be_empty() {
    let mut windows = Windows::new(LIMITS);
    windows.take(SHARD);
    windows.arrive(row(2, 2));
    assert_eq!(started(&mut windows, 5), NONE, "there may be older ones");
    let refill = next_refill(&mut windows, 5);
    windows.refilled(refill, &[row(1, 1), row(2, 2)], true);
    assert_eq!(started(&mut windows, 5), [1, 2]);
    assert_eq!(windows.windows(), 1, "without it, the next arrival would have to read again");
    assert_eq!(windows.next_discovery(9), [(SHARD, None)]);
    windows.discovered(SHARD, &[], true);
    assert_eq!(windows.windows(), 0);
    windows.arrive(of_queue(7, row(3, 3)));
    assert_eq!(started(&mut windows, 5), [3]);
    assert_eq!(windows.next_refills(at(5), 9), []);
}

#[test]
fn an_answer_to_a_step_of_a_former_tenure_does_not_end_discovery() {
    let mut windows = Windows::new(LIMITS);
    windows.take(SHARD);
    assert_eq!(windows.next_discovery(9), [(SHARD, None)]);
    windows.release(SHARD);
    // Another owner; a queue comes into being that the step under way did not see.
    windows.take(SHARD);
    assert_eq!(windows.next_discovery(9), [(SHARD, None)]);
    windows.discovered(SHARD, &[], true);
    assert_eq!(windows.next_discovery(9), [(SHARD, None)], "asked again");
    windows.discovered(SHARD, &[(QUEUE, 0)], true);
    let refill = next_refill(&mut windows, 5);
    windows.refilled(refill, &[row(1, 1)], true);
    assert_eq!(started(&mut windows, 5), [1]);
}

#[test]
fn a_window_is_read_further_before_it_is_empty() {
    let rows: Vec<Row> = (0..10).map(|id| row(id, 1)).collect();
    let mut windows = reader(LIMITS, &rows, false);
    assert_eq!(windows.start(at(5), 4).len(), 4);
    assert_eq!(windows.next_refills(at(5), 9), []);
    assert_eq!(windows.start(at(5), 1).len(), 1);
    let refill = next_refill(&mut windows, 5);
    assert_eq!((refill.after, refill.limit), (Some((at(1), MessageId(9))), 5));
    // Meanwhile what there is goes on starting.
    assert_eq!(windows.start(at(5), 9).len(), 5);
}

#[test]
fn a_failed_refill_is_handed_out_again() {
    let mut windows = reader(LIMITS, &[row(1, 1)], false);
    let refill = next_refill(&mut windows, 0);
    assert_eq!(windows.next_refills(at(0), 9), [], "one at a time");
    windows.arrive(row(2, 2));
    let after = refill.after;
    windows.refill_failed(refill);
    assert_eq!(windows.set_aside(), 0);
    assert_eq!(next_refill(&mut windows, 0).after, after);
}

#[test]
fn a_rescheduled_message_moves_within_its_window() {
    let mut windows = owner(LIMITS);
    for id in 1..4 {
        windows.arrive(row(id, id));
    }
    windows.arrive(Row { due: at(50), ..row(1, 1) });
    windows.arrive(Row { due: at(0), ..row(3, 3) });
    assert_eq!(started(&mut windows, 0), [3]);
    assert_eq!(started(&mut windows, 49), [2]);
    assert_eq!(windows.next_due(), Some(at(50)));
    assert_eq!(started(&mut windows, 50), [1]);
}

#[test]
fn a_message_rescheduled_beyond_the_tail_is_left_for_the_refill() {
    let mut windows = reader(LIMITS, &[row(1, 1), row(2, 2)], false);
    windows.arrive(Row { due: at(5), ..row(1, 1) });
    assert_eq!(started(&mut windows, 20), [2]);
    let refill = next_refill(&mut windows, 20);
    assert_eq!(refill.after, Some((at(2), MessageId(2))));
    windows.refilled(refill, &[Row { due: at(5), ..row(1, 1) }], true);
    assert_eq!(started(&mut windows, 20), [1]);
}

#[test]
fn a_refill_older_than_an_arrival_does_not_undo_it() {
    // The refill's snapshot shows 2 at 5; it is then rescheduled to 30, which arrives first.
    let mut windows = reader(LIMITS, &[row(1, 1)], false);
    let refill = next_refill(&mut windows, 0);
    windows.arrive(row(2, 30));
    windows.refilled(refill, &[row(2, 5)], true);
    assert_eq!(started(&mut windows, 29), [1]);
    assert_eq!(started(&mut windows, 30), [2]);
}

#[test]
fn what_is_due_much_later_is_not_read_yet() {
    let mut windows = reader(LIMITS, &[row(1, 1000)], false);
    assert_eq!(windows.next_refills(at(900), 9), []);
    assert_eq!(windows.next_refill(), Some(at(970)));
    assert_eq!(next_refill(&mut windows, 970).after, Some((at(1000), MessageId(1))));
}

#[test]
fn a_refill_of_a_released_shard_is_ignored_also_after_it_was_taken_again() {
    let mut windows = reader(LIMITS, &[row(1, 1)], false);
    let refill = next_refill(&mut windows, 0);
    windows.release(SHARD);
    assert_eq!((windows.keys(), windows.windows(), windows.set_aside()), (0, 0, 0));
    windows.take(SHARD);
    assert_eq!(windows.next_discovery(9), [(SHARD, None)]);
    windows.discovered(SHARD, &[(QUEUE, 0)], true);
    let new = next_refill(&mut windows, 0);
    windows.refilled(refill.clone(), &[row(2, 2)], true);
    assert_eq!(windows.keys(), 0);
    windows.refilled(new, &[row(3, 3)], true);
    windows.refill_failed(refill);
    assert_eq!(started(&mut windows, 9), [3]);
}

#[test]
fn what_arrives_for_a_shard_that_is_not_owned_is_ignored() {
    let mut windows = owner(LIMITS);
    windows.arrive(Row { shard: Shard(5), ..row(1, 1) });
    assert_eq!((windows.keys(), windows.windows()), (0, 0));
}
