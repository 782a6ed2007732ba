//! Any interleaving of commits, reads, deliveries, outcomes, pauses and changes of ownership keeps the promises of the module
//! `window`. Small capacities, so that windows overflow all the time.
//!
//! `PROPTEST_CASES` sets how many interleavings are tried.

mod window_model;

use posthaste_core::ids::Shard;
use posthaste_core::window::Limits;
use proptest::prelude::*;
use proptest::test_runner::RngAlgorithm;
use window_model::World;
use window_model::database::Change;
use window_model::worker::Ending;

/// What may happen next, each with its weight.
#[derive(Debug, Clone, Copy)]
enum Happening {
    Insert,
    Burst,
    Begin,
    Commit,
    Reschedule,
    Cancel,
    SendArrivals,
    ReceiveArrivals,
    Discover,
    HandOutRefills,
    SendRefill,
    ReceiveRefill,
    FailRefill,
    Start,
    Verify,
    SendReread,
    ReceiveReread,
    End,
    Retry,
    Move,
    ReceiveAnswer,
    Advance,
    HandOver,
    PauseOrResume,
    ReadPaused,
    LookForHeld,
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::*;
    prop_oneof![
        6 => Just(Insert),
        2 => Just(Burst),
        2 => Just(Begin),
        2 => Just(Commit),
        3 => Just(Reschedule),
        2 => Just(Cancel),
        6 => Just(SendArrivals),
        8 => Just(ReceiveArrivals),
        12 => Just(Discover),
        8 => Just(HandOutRefills),
        8 => Just(SendRefill),
        8 => Just(ReceiveRefill),
        1 => Just(FailRefill),
        10 => Just(Start),
        10 => Just(Verify),
        4 => Just(SendReread),
        4 => Just(ReceiveReread),
        6 => Just(End),
        4 => Just(Retry),
        1 => Just(Move),
        8 => Just(ReceiveAnswer),
        2 => Just(Advance),
        1 => Just(HandOver),
        2 => Just(PauseOrResume),
        4 => Just(ReadPaused),
        1 => Just(LookForHeld),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    // A large budget leaves room for many messages on hold, so that they delay no other.
    let budget = prop_oneof![1..=8usize, 60..=80usize];
    (1..=4usize, budget, 1..=6usize, 1..=3usize).prop_map(|(window, budget, slots, share)| Limits {
        window,
        budget,
        slots,
        share,
        opening: 6,
    })
}

/// Lets one thing happen; `a` and `b` choose to what and how.
fn happen(world: &mut World, happening: Happening, a: u8, b: u8) {
    // The first worker owns everything at first, so most happens there.
    let index = usize::from(a % 4 == 3);
    let (units, shard) = (i64::from(b), Shard(i32::from(b % 3)));
    let (a, b) = (usize::from(a), usize::from(b));
    let (owned, now) = (world.owned(index), world.now);
    let some_time = world.in_units(units % 12 - 3);
    let World { db, workers, .. } = world;
    let worker = &mut workers[index];
    match happening {
        Happening::Insert => {
            let insertion = world.insertion(a, some_time);
            world.db.commit(&[insertion]);
        }
        Happening::Burst => {
            let burst = (0..6).map(|n| world.insertion(a, world.in_units((units + n * 5) % 7 - 2)));
            let burst: Vec<Change> = burst.collect();
            world.db.commit(&burst);
        }
        Happening::Begin => {
            let mut changes = vec![world.insertion(a, some_time), world.insertion(b, some_time)];
            if let Some(id) = world.some_message(a) {
                changes.push(Change::Reschedule(id, some_time));
            }
            world.db.open.push(changes);
        }
        Happening::Commit => {
            if !db.open.is_empty() {
                let changes = db.open.swap_remove(a % db.open.len());
                db.commit(&changes);
            }
        }
        Happening::Reschedule => {
            if let Some(id) = world.some_message(a) {
                world.db.commit(&[Change::Reschedule(id, some_time)]);
            }
        }
        Happening::Cancel => {
            if let Some(id) = world.some_message(a) {
                world.db.commit(&[Change::Cancel(id)]);
            }
        }
        Happening::SendArrivals => drop(worker.send_arrivals(db, &owned)),
        Happening::ReceiveArrivals => drop(worker.receive_arrivals(1 + b % 6)),
        Happening::Discover => drop(worker.discover(db, b.is_multiple_of(8))),
        Happening::HandOutRefills => drop(worker.hand_out_refills(now, 1 + b % 3)),
        Happening::SendRefill => drop(worker.send_refill(db, b)),
        Happening::ReceiveRefill => drop(worker.receive_refill(b, false)),
        Happening::FailRefill => drop(worker.receive_refill(b, true)),
        Happening::Start => drop(worker.start(now, 1 + b % 4)),
        Happening::Verify => drop(world.verify(index)),
        Happening::SendReread => drop(worker.send_reread(db)),
        Happening::ReceiveReread => drop(worker.receive_reread()),
        Happening::End => drop(world.commit(index, b, Ending::Final)),
        Happening::Retry => {
            let due = some_time.max(now);
            world.commit(index, b, Ending::Retry { due });
        }
        Happening::Move => drop(world.commit(index, b, Ending::Move { to: shard })),
        Happening::ReceiveAnswer => drop(worker.receive_answer()),
        Happening::Advance => {
            let to = world.in_units(units % 3);
            world.advance(to);
        }
        Happening::PauseOrResume => world.pause_or_resume(b),
        Happening::ReadPaused => drop(worker.read_paused(db)),
        Happening::LookForHeld => drop(worker.look_for_held(db)),
        Happening::HandOver => world.hand_over(b, a % 2, 1 + units % 5, b.is_multiple_of(4)),
    }
    for worker in &mut world.workers {
        worker.check();
    }
}

/// As many cases as promise to meet every race, unless the environment asks for more or less.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { 2000 },
        failure_persistence: None,
        // The default takes four fifths of the time in a debug build.
        rng_algorithm: RngAlgorithm::XorShift,
        ..default
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn each_attempt_starts_once_and_nothing_is_forgotten(
        limits in limits(),
        happenings in prop::collection::vec((happening(), any::<u8>(), any::<u8>()), 0..160),
    ) {
        let mut world = World::new(limits);
        for (happening, a, b) in happenings {
            happen(&mut world, happening, a, b);
        }
        world.run_down();
    }
}
