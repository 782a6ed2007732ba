//! Chance that is the same everywhere and each time.

/// A generator (xorshift64*); its seed is not 0.
pub struct Dice(pub u64);

impl Dice {
    /// From 0 to less than `bound`.
    pub fn below(&mut self, bound: i64) -> i64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).cast_signed() % bound.max(1)
    }
}
