//! How long to wait before a retry.
//!
//! Promise: every input has an answer. Nothing overflows, no setting makes a wait longer than its cap or shorter than
//! [`Backoff::SHORTEST`], and a later retry never waits noticeably less than an earlier one.

use std::time::Duration;

/// Exponential backoff without jitter: the contract fixes the waits (100, 200, 400, … ms by default), and each queue's
/// messages spread over time by themselves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The wait before the first retry.
    pub initial: Duration,
    /// How many times longer each wait is than the one before. What is below 1, or no number, counts as 1.
    pub multiplier: f64,
    /// No wait is longer than this.
    pub max: Duration,
}

impl Default for Backoff {
    /// 100 ms, doubling, up to 24 h.
    fn default() -> Backoff {
        Backoff { initial: Duration::from_millis(100), multiplier: 2.0, max: Duration::from_secs(24 * 60 * 60) }
    }
}

impl Backoff {
    /// No wait is shorter than this, whatever the settings: a retry without a wait is a busy loop at a failing receiver.
    pub const SHORTEST: Duration = Duration::from_millis(1);

    /// The wait before retry number `retry`, counted from 0: `initial * multiplier ^ retry`, at most `max`.
    #[must_use]
    pub fn wait(&self, retry: u32) -> Duration {
        let initial = self.initial.max(Backoff::SHORTEST);
        let max = self.max.max(Backoff::SHORTEST);
        // Also false for NaN.
        let multiplier = if self.multiplier >= 1.0 { self.multiplier } else { 1.0 };
        // Neither factor can be zero, so the product may be infinite but is always a number.
        let seconds = initial.as_secs_f64() * multiplier.powi(i32::try_from(retry).unwrap_or(i32::MAX));
        if seconds >= max.as_secs_f64() {
            return max;
        }
        Duration::try_from_secs_f64(seconds).map_or(max, |wait| wait.min(max))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn default_waits_are_those_of_the_contract() {
        let waits: Vec<u128> = (0..8).map(|retry| Backoff::default().wait(retry).as_micros()).collect();
        assert_eq!(waits, [100_000, 200_000, 400_000, 800_000, 1_600_000, 3_200_000, 6_400_000, 12_800_000]);
    }

    #[test]
    fn default_is_capped_at_a_day() {
        let backoff = Backoff::default();
        assert_eq!(backoff.wait(19), Duration::from_millis(52_428_800));
        assert_eq!(backoff.wait(20), 24 * HOUR);
        assert_eq!(backoff.wait(u32::MAX), 24 * HOUR);
    }

    #[test]
    fn odd_settings_have_sensible_waits() {
        let ms = Duration::from_millis;
        let cases = [
            // (initial, multiplier, max, retry, wait)
            (ms(50), 1.0, HOUR, u32::MAX, ms(50)),
            (ms(50), 1.5, HOUR, 2, Duration::from_micros(112_500)),
            (ms(50), 0.5, HOUR, 9, ms(50)),
            (ms(50), -2.0, HOUR, 9, ms(50)),
            (ms(50), f64::NAN, HOUR, 9, ms(50)),
            (ms(50), f64::INFINITY, HOUR, 0, ms(50)),
            (ms(50), f64::INFINITY, HOUR, 1, HOUR),
            (ms(50), f64::NEG_INFINITY, HOUR, 1, ms(50)),
            (HOUR, 2.0, ms(10), 0, ms(10)),
            (Duration::ZERO, 2.0, HOUR, 0, Backoff::SHORTEST),
            (Duration::ZERO, f64::INFINITY, HOUR, 1, HOUR),
            (Duration::ZERO, 1.0, Duration::ZERO, 3, Backoff::SHORTEST),
            (Duration::MAX, 2.0, Duration::MAX, 3, Duration::MAX),
            (ms(1), 2.0, Duration::MAX, u32::MAX, Duration::MAX),
        ];
        for (initial, multiplier, max, retry, wait) in cases {
            let backoff = Backoff { initial, multiplier, max };
            assert_eq!(backoff.wait(retry), wait, "{backoff:?}, retry {retry}");
        }
    }

    /// What a queue may store: see the CHECK constraints of `queues`.
    fn storable() -> impl Strategy<Value = Backoff> {
        (1..=86_400_000_u64, 1_000..=100_000_u32, 1..=86_400_000_u64).prop_map(|(initial, thousandths, max)| Backoff {
            initial: Duration::from_millis(initial),
            multiplier: f64::from(thousandths) / 1000.0,
            max: Duration::from_millis(max),
        })
    }

    proptest! {
        #[test]
        fn starts_at_the_initial_wait(backoff in storable()) {
            prop_assert_eq!(backoff.wait(0), backoff.initial.min(backoff.max));
        }

        #[test]
        fn never_shrinks_and_stays_within_its_bounds(backoff in storable(), retry in 0..2_000_u32) {
            let (wait, later) = (backoff.wait(retry), backoff.wait(retry + 1));
            prop_assert!(wait <= later, "{:?} then {:?}", wait, later);
            prop_assert!(backoff.initial.min(backoff.max) <= wait && later <= backoff.max);
        }

        #[test]
        fn is_total(initial: Duration, multiplier in any::<f64>(), max: Duration, retry: u32) {
            let wait = Backoff { initial, multiplier, max }.wait(retry);
            prop_assert!(wait >= Backoff::SHORTEST);
            prop_assert!(wait <= max.max(Backoff::SHORTEST));
        }
    }
}
