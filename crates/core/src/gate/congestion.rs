//! How many requests may be in flight to one receiver: more while it answers well, half as many when it does not.
//!
//! Additive increase, multiplicative decrease, with slow start, as TCP has it (RFC 5681): a receiver that is fast is found out to be
//! so within a few round trips, and one that is overloaded is left in peace after one. A window that is not used does not grow: what
//! was never tried is not known.

use crate::time::Timestamp;

/// No window grows beyond.
const MOST: f64 = 1_000_000.0;

/// The window of one receiver.
#[derive(Debug, Clone, PartialEq)]
pub struct Congestion {
    /// At least 1.
    window: f64,
    /// Up to here the window doubles with each round, from here on it grows by one.
    threshold: f64,
    /// Requests that began by then say nothing about the window as it is now.
    cut_at: Timestamp,
}

impl Congestion {
    /// A receiver of which nothing is known: `opening` requests at once, at least 1.
    #[must_use]
    pub fn new(opening: usize) -> Congestion {
        let window = f64::from(u32::try_from(opening).unwrap_or(u32::MAX)).clamp(1.0, MOST);
        Congestion { window, threshold: MOST, cut_at: Timestamp::MIN }
    }

    /// How many requests may be in flight, at least 1.
    #[must_use]
    pub fn window(&self) -> usize {
        // Between 1 and MOST.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let window = self.window as usize;
        window
    }

    /// A request was answered well, while `in_flight` were under way, itself included.
    pub fn well(&mut self, in_flight: usize) {
        if in_flight.saturating_mul(2) < self.window() {
            return;
        }
        let more = if self.window < self.threshold { 1.0 } else { 1.0 / self.window };
        self.window = (self.window + more).min(MOST);
    }

    /// A request that began at `started` was answered badly or not at all. However many of one round are, the window is cut once.
    pub fn badly(&mut self, started: Timestamp, now: Timestamp) {
        if started <= self.cut_at {
            return;
        }
        self.window = (self.window / 2.0).max(1.0);
        self.threshold = self.window;
        self.cut_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000_000)
    }

    /// Every request of a full window is answered well.
    fn round(congestion: &mut Congestion) {
        let window = congestion.window();
        for _ in 0..window {
            congestion.well(window);
        }
    }

    #[test]
    fn a_receiver_that_answers_well_gets_twice_as_much_each_round() {
        let mut congestion = Congestion::new(16);
        let windows: Vec<usize> = (0..4)
            .map(|_| {
                round(&mut congestion);
                congestion.window()
            })
            .collect();
        assert_eq!(windows, [32, 64, 128, 256]);
    }

    #[test]
    fn one_bad_round_halves_it_once_and_then_it_grows_by_one_a_round() {
        let mut congestion = Congestion::new(64);
        for _ in 0..64 {
            congestion.badly(at(1), at(5));
        }
        assert_eq!(congestion.window(), 32);
        round(&mut congestion);
        assert_eq!(congestion.window(), 32, "a round of 32 adds a little less than one");
        round(&mut congestion);
        assert_eq!(congestion.window(), 33);
        // Sent since the cut: another one.
        congestion.badly(at(6), at(7));
        assert_eq!(congestion.window(), 16);
    }

    #[test]
    fn one_is_always_left() {
        let mut congestion = Congestion::new(0);
        assert_eq!(congestion.window(), 1);
        for second in 1..100 {
            congestion.badly(at(second), at(second));
        }
        assert_eq!(congestion.window(), 1);
        congestion.well(1);
        congestion.well(1);
        assert_eq!(congestion.window(), 2);
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut congestion = Congestion::new(16);
        for _ in 0..1000 {
            congestion.well(7);
        }
        assert_eq!(congestion.window(), 16);
        congestion.well(8);
        assert_eq!(congestion.window(), 17);
    }
}
