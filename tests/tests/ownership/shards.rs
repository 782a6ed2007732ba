//! Who owns which shard, as the locks in the server tell.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use posthaste_core::target::{MemberId, targets};
use posthaste_tests::database::Database;
use posthaste_tests::outbox::{Outbox, message_of};
use posthaste_tests::process::{Launch, Process};
use posthaste_tests::receiver::{Answer, Receiver};
use posthaste_tests::wait;
use tokio_postgres::Client;

use super::{SHARDS, SOON};

/// Looks at who owns what, and remembers every change.
struct Watch {
    client: Client,
    /// At each look at which something had changed: the owners, by shard.
    seen: Vec<(Instant, BTreeMap<i64, i32>)>,
}

impl Watch {
    async fn on(database: &Database) -> Self {
        Self { client: database.connect().await, seen: Vec::new() }
    }

    /// The owner of each shard that has one: the server's process of its lock session.
    async fn look(&mut self) -> BTreeMap<i64, i32> {
        let sql = "SELECT (objid::bigint & 65535), pid FROM pg_locks
                    WHERE locktype = 'advisory' AND granted AND mode = 'ExclusiveLock' AND objsubid = 2
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                      AND classid = to_regnamespace('posthaste')::oid AND objid::bigint >> 16 = 1";
        let rows = self.client.query(sql, &[]).await.unwrap();
        let mut owners = BTreeMap::new();
        for row in rows {
            let taken = owners.insert(row.get(0), row.get(1));
            assert_eq!(taken, None, "two owners of shard {}", row.get::<_, i64>(0));
        }
        if self.seen.last().is_none_or(|(_, last)| *last != owners) {
            self.seen.push((Instant::now(), owners.clone()));
        }
        owners
    }

    /// Waits until so many share the shards as the target says, evenly, and returns the owners.
    async fn settled(&mut self, members: usize) -> BTreeMap<i64, i32> {
        let most = usize::try_from(SHARDS).unwrap().div_ceil(members);
        wait::until(SOON, &format!("the shards are shared by {members}"), async || {
            let owners = self.look().await;
            let mut counts: HashMap<i32, usize> = HashMap::new();
            for owner in owners.values() {
                *counts.entry(*owner).or_default() += 1;
            }
            let ids: Vec<_> = counts.keys().map(|pid| MemberId(i64::from(*pid))).collect();
            let targets = targets(&ids, u16::try_from(SHARDS).unwrap());
            let wanted = (0..).zip(&targets).map(|(shard, target)| (shard, target.0));
            let settled = wanted.eq(owners.iter().map(|(shard, pid)| (*shard, i64::from(*pid))));
            (settled && counts.len() == members).then(|| {
                assert!(counts.values().all(|count| *count <= most), "{counts:?}");
                owners
            })
        })
        .await
    }

    async fn epochs(&self) -> BTreeMap<i64, i64> {
        let rows = self.client.query("SELECT shard::bigint, epoch FROM posthaste.shards", &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// Waits until each shard whose owner is another than before has a higher epoch than before, and asserts that the
    /// others have their old one.
    async fn raised(&self, before: &BTreeMap<i64, i64>, old: &BTreeMap<i64, i32>, new: &BTreeMap<i64, i32>) {
        // The lock comes first, the epoch a moment later.
        wait::eventually(SOON, "the epochs of what was taken over are raised", async || {
            let now = self.epochs().await;
            new.iter()
                .filter(|(shard, owner)| old.get(shard) != Some(owner))
                .all(|(shard, _)| now[shard] > before[shard])
        })
        .await;
        let now = self.epochs().await;
        for (shard, owner) in new {
            if old.get(shard) == Some(owner) {
                assert_eq!(now[shard], before[shard], "shard {shard} did not change hands");
            }
        }
    }

    /// The longest time that any shard was without an owner, once it had had one.
    fn longest_gap(&self) -> Duration {
        let mut gaps = Duration::ZERO;
        for shard in 0..i64::from(SHARDS) {
            let mut lost: Option<Instant> = None;
            let mut had = false;
            for (at, owners) in &self.seen {
                match (owners.contains_key(&shard), lost) {
                    (true, Some(since)) => {
                        gaps = gaps.max(*at - since);
                        lost = None;
                    }
                    (true, None) => had = true,
                    (false, None) if had => lost = Some(*at),
                    (false, _) => {}
                }
            }
        }
        gaps
    }
}

#[actix_rt::test]
async fn shards_are_shared_evenly_and_change_hands_only_where_they_must() {
    let database = Database::new().await;
    let mut watch = Watch::on(&database).await;
    let none = watch.epochs().await;

    let first = Launch::deliverer(&database).start().await;
    let one = watch.settled(1).await;
    watch.raised(&none, &BTreeMap::new(), &one).await;

    let epochs = watch.epochs().await;
    let mut second = Launch::deliverer(&database).start().await;
    let third = Launch::deliverer(&database).start().await;
    let three = watch.settled(3).await;
    watch.raised(&epochs, &one, &three).await;
    let stayed = three.iter().filter(|(shard, owner)| one[shard] == **owner).count();
    assert!((20..=22).contains(&stayed), "the first owner kept {stayed}, and its share is a third");

    // In order. How much stays where it was depends on the members' ids, and is for the tests of the target to bound.
    let epochs = watch.epochs().await;
    second.sigterm();
    assert!(second.wait(SOON).await.success());
    let two = watch.settled(2).await;
    watch.raised(&epochs, &three, &two).await;
    let stayed = two.iter().filter(|(shard, owner)| three[shard] == **owner).count();
    println!("{stayed} of 64 shards stayed where they were");
    println!("in order: no shard was without an owner for longer than {:?}", watch.longest_gap());
    assert!(watch.longest_gap() < Duration::from_secs(2), "{:?}", watch.longest_gap());

    // By force.
    let epochs = watch.epochs().await;
    let mut third = third;
    third.sigkill().await;
    let alone = watch.settled(1).await;
    watch.raised(&epochs, &two, &alone).await;
    println!("by force: {:?}", watch.longest_gap());
    assert!(watch.longest_gap() < Duration::from_secs(4), "{:?}", watch.longest_gap());
    drop(first);
}

#[actix_rt::test]
async fn a_deliverer_with_several_workers_owns_as_much_as_one_with_one() {
    let database = Database::new().await;
    let mut watch = Watch::on(&database).await;
    let _one = Launch::deliverer(&database).env("WORKERS", "1").start().await;
    let _three = Launch::deliverer(&database).env("WORKERS", "3").start().await;
    watch.settled(2).await;
}

#[actix_rt::test]
async fn an_owner_whose_lock_session_is_cut_takes_its_shards_again() {
    let database = Database::new().await;
    let mut watch = Watch::on(&database).await;
    let outbox = Outbox::on(&database).await;
    let receiver = Receiver::start();
    let queue = outbox.queue(&receiver.url("/"), &[]).await;
    let _deliverer = Launch::deliverer(&database).start().await;
    let before = watch.settled(1).await;
    let epochs = watch.epochs().await;

    for victim in before.values().collect::<HashSet<_>>() {
        outbox.execute(&format!("SELECT pg_terminate_backend({victim})")).await;
    }
    let after = wait::until(SOON, "another session has the shards", async || {
        let owners = watch.look().await;
        let all = owners.len() == usize::try_from(SHARDS).unwrap();
        (all && owners.values().all(|owner| !before.values().any(|old| old == owner))).then_some(owners)
    })
    .await;

    watch.raised(&epochs, &before, &after).await;
    let message = outbox.enqueue(queue, "x").await;
    outbox.ended(SOON, message).await;
}

#[actix_rt::test]
async fn owners_that_come_and_go_in_order_deliver_each_message_once() {
    let database = Database::new().await;
    let mut watch = Watch::on(&database).await;
    let outbox = Outbox::on(&database).await;
    let receiver = Receiver::start();
    // Long enough that every handover meets deliveries under way.
    receiver.answer("/hook", Answer::after(Duration::from_millis(400)));
    receiver.plan("/fails-once", |_, _| Answer::after(Duration::from_millis(100)));
    let slow = outbox.queue(&receiver.url("/hook"), &[]).await;
    let quick = outbox.queue(&receiver.url("/quick"), &[]).await;
    let mut messages = Vec::new();
    let mut deliverers: Vec<Process> = vec![Launch::deliverer(&database).start().await];
    watch.settled(1).await;

    // 1, 2, 3, 2, 1, 2, 1 of them; the oldest leaves.
    for step in [1, 1, -1, -1, 1, -1] {
        messages.extend(outbox.enqueue_many(slow, 150).await);
        messages.extend(outbox.enqueue_many(quick, 150).await);
        if step > 0 {
            deliverers.push(Launch::deliverer(&database).start().await);
        } else {
            let mut oldest = deliverers.remove(0);
            oldest.sigterm();
            messages.extend(outbox.enqueue_many(slow, 150).await);
            assert!(oldest.wait(SOON).await.success());
        }
        watch.settled(deliverers.len()).await;
    }
    outbox.nothing_pending(SOON).await;

    let tally = receiver.tally(|request| Some(message_of(request)));
    let twice: Vec<_> = tally.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "delivered more than once: {twice:?}");
    assert_eq!(tally.keys().copied().collect::<HashSet<_>>(), messages.into_iter().collect());
    let unheld = "SELECT count(*) FROM posthaste.attempts WHERE outcome <> 'delivered'";
    assert_eq!(outbox.number(unheld).await, 0);
}
