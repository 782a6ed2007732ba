//! Hash maps keyed by ids: a multiplication instead of SipHash.
//!
//! Ids come from the database's sequences, so nobody can choose them to collide; and the same inputs give the same order
//! of iteration in every run, so that a failing test fails again.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

pub(super) type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// Fibonacci hashing: 2^64 divided by the golden ratio spreads neighbouring ids over the upper bits, which the final
/// shift brings down to the lower ones.
#[derive(Default)]
pub(super) struct IdHasher(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0 ^ n).wrapping_mul(GOLDEN);
    }

    fn write_i64(&mut self, n: i64) {
        self.write_u64(n.cast_unsigned());
    }

    fn write_i16(&mut self, n: i16) {
        self.write_u64(u64::from(n.cast_unsigned()));
    }

    fn write_i32(&mut self, n: i32) {
        self.write_u64(u64::from(n.cast_unsigned()));
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}
