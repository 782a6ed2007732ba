//! Each race by name, in the smallest case that shows it. Their interleavings are in `tests/window_properties.rs`.

mod ending;
mod flowing;
mod pausing;
mod reading;
mod sharing;

use super::*;

const SHARD: Shard = Shard(0);
const QUEUE: QueueId = QueueId(1);
const LIMITS: Limits = Limits { window: 10, budget: 100, slots: 20, share: 1, opening: 1_000_000 };

/// A point in time, in seconds.
fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000_000)
}

fn row(id: i64, due: i64) -> Row {
    Row {
        id: MessageId(id),
        queue: QUEUE,
        shard: SHARD,
        due: at(due),
        attempt: 0,
        held_until: None,
        cancelled: false,
        priority: 0,
        key: None,
    }
}

fn of_queue(queue: i64, row: Row) -> Row {
    Row { queue: QueueId(queue), ..row }
}

/// The owner of `SHARD`, in which nothing was found, at 0.
fn owner(limits: Limits) -> Windows {
    let mut windows = Windows::new(limits);
    windows.take(SHARD);
    assert_eq!(windows.next_discovery(9), [(SHARD, None)]);
    windows.discovered(SHARD, &[], true);
    // So that it knows what is due soon.
    assert_eq!(started(&mut windows, 0), NONE);
    windows
}

/// The owner of `SHARD`, in which `QUEUE` was found and read to this extent.
fn reader(limits: Limits, rows: &[Row], exhausted: bool) -> Windows {
    let mut windows = Windows::new(limits);
    windows.take(SHARD);
    assert_eq!(windows.next_discovery(9), [(SHARD, None)]);
    windows.discovered(SHARD, &[(QUEUE, 0)], true);
    let refill = next_refill(&mut windows, 0);
    assert_eq!(refill.after, None);
    windows.refilled(refill, rows, exhausted);
    windows
}

fn next_refill(windows: &mut Windows, now: i64) -> Refill {
    let mut refills = windows.next_refills(at(now), 9);
    assert_eq!(refills.len(), 1, "{refills:?}");
    refills.remove(0)
}

const NONE: [i64; 0] = [];

/// The ids that start.
fn started(windows: &mut Windows, now: i64) -> Vec<i64> {
    windows.start(at(now), 1000).iter().map(|start| start.id.0).collect()
}
