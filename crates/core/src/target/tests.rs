use proptest::prelude::*;

use super::*;

fn ids(numbers: &[i64]) -> Vec<MemberId> {
    numbers.iter().copied().map(MemberId).collect()
}

fn moved(before: &[MemberId], after: &[MemberId]) -> usize {
    before.iter().zip(after).filter(|(old, new)| old != new).count()
}

#[test]
fn without_members_there_are_no_targets() {
    assert_eq!(targets(&[], 64), []);
    assert_eq!(targets(&ids(&[1]), 0), []);
}

#[test]
fn a_single_member_gets_everything() {
    assert_eq!(targets(&ids(&[-7]), 5), ids(&[-7; 5]));
}

/// The first output of SplitMix64 seeded with 0, from its reference implementation.
#[test]
fn the_mixing_function_is_splitmix64() {
    assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
}

/// Two versions that disagree here would pull the shards back and forth for as long as both run.
#[test]
fn the_assignment_never_changes_between_versions() {
    assert_eq!(targets(&ids(&[11, 12, 13]), 12), ids(&[12, 13, 12, 11, 12, 13, 11, 13, 12, 11, 13, 11]));
    assert_eq!(targets(&ids(&[i64::MIN, 0, i64::MAX]), 6), ids(&[0, i64::MAX, 0, i64::MAX, i64::MIN, i64::MIN]));
}

/// Over many clusters, how many shards move per fair share when the newest member leaves (or, read backwards, joins).
#[test]
fn joining_and_leaving_moves_little() {
    for shards in [16_u16, 64, 256] {
        for count in 2..=12_i64 {
            let samples = 100;
            let mut moves = 0;
            for sample in 0..samples {
                // Process ids: close to each other, with gaps.
                let members: Vec<MemberId> =
                    (0..count).map(|n| MemberId(1000 + sample * 37 + n * (1 + sample % 5))).collect();
                moves += moved(&targets(&members, shards), &targets(&members[1..], shards));
            }
            let share = f64::from(shards) / f64::from(u16::try_from(count).unwrap());
            let moved_shares = f64::from(u32::try_from(moves).unwrap()) / 100.0 / share;
            assert!(moved_shares <= 2.5, "{shards} shards, {count} members: {moved_shares:.2} shares moved");
        }
    }
}

proptest! {
    #[test]
    fn order_and_repetition_do_not_matter(
        members in prop::collection::vec(any::<i64>().prop_map(MemberId), 1..20),
        shards in 0..300_u16,
        turn in 0..20_usize,
    ) {
        let mut shuffled = members.clone();
        shuffled.rotate_left(turn % members.len());
        shuffled.push(members[0]);
        prop_assert_eq!(targets(&members, shards), targets(&shuffled, shards));
        shuffled.reverse();
        prop_assert_eq!(targets(&members, shards), targets(&shuffled, shards));
    }

    #[test]
    fn every_shard_has_a_live_owner_and_none_more_than_the_cap(
        members in prop::collection::btree_set((-50..50_i64).prop_map(MemberId), 1..40),
        shards in 0..1025_u16,
    ) {
        let list: Vec<MemberId> = members.iter().copied().collect();
        let owners = targets(&list, shards);
        prop_assert_eq!(owners.len(), usize::from(shards));
        let mut owned: BTreeMap<MemberId, usize> = BTreeMap::new();
        for owner in owners {
            prop_assert!(members.contains(&owner));
            *owned.entry(owner).or_default() += 1;
        }
        let cap = usize::from(shards).div_ceil(members.len());
        prop_assert!(owned.values().all(|&count| count <= cap), "{:?} over {}", owned, cap);
    }
}
