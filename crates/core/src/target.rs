//! Which member should own which shard.
//!
//! A pure function of the set of members, so that every member computes the same answer without asking anyone: no
//! election, no oscillation. Rendezvous hashing with a cap: every pair of a member and a shard has a score, and the pairs
//! are taken from the highest score down, unless the shard has its owner already or the member has its ⌈shards / members⌉
//! shards. No shard and member would both rather have each other, which is why little moves when a member joins or leaves:
//! its fair share, and some that the changed cap pushes on (together 1 to 2.5 fair shares on average).
//!
//! Members of different versions must agree, so the hash below is part of the protocol: never change it.

use std::collections::{BTreeMap, BTreeSet};

/// A member of the cluster of deliverers: whatever number its lock session is known by to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub i64);

/// The owner that each shard (the index) should have. Order and repetition of `members` do not matter; no members, no
/// owners: an empty answer.
#[must_use]
pub fn targets(members: &[MemberId], shards: u16) -> Vec<MemberId> {
    let members: BTreeSet<MemberId> = members.iter().copied().collect();
    if members.is_empty() {
        return Vec::new();
    }
    let cap = usize::from(shards).div_ceil(members.len());
    let mut pairs: Vec<(u64, MemberId, u16)> = members
        .iter()
        .flat_map(|&member| (0..shards).map(move |shard| (score(member, shard), member, shard)))
        .collect();
    // Ids break ties of scores, so that there is one answer even then.
    pairs.sort_unstable_by(|a, b| b.cmp(a));

    let mut owners: Vec<Option<MemberId>> = vec![None; usize::from(shards)];
    let mut owned: BTreeMap<MemberId, usize> = BTreeMap::new();
    for (_, member, shard) in pairs {
        let count = owned.entry(member).or_default();
        let Some(owner) = owners.get_mut(usize::from(shard)) else {
            continue;
        };
        if owner.is_none() && *count < cap {
            *owner = Some(member);
            *count += 1;
        }
    }
    // None is without: a shard meets every member, and together they may own at least all shards.
    owners.into_iter().flatten().collect()
}

/// How much a member wants a shard: SplitMix64's mixing function (Steele, Lea and Flood, 2014) over member and shard.
/// Ids are small and consecutive, so the member is mixed before the shard is added.
fn score(member: MemberId, shard: u16) -> u64 {
    mix(mix(member.0.cast_unsigned()) ^ u64::from(shard))
}

fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
