//! What has arrived: one bit per message, the instants of arrival, and how long each message took.

use hdrhistogram::{CreationError, Histogram};
use serde::{Deserialize, Serialize};

use crate::body;

/// Greater numbers are not of ours; this bounds the memory to 16 MiB of bits.
const GREATEST: u64 = (1 << 27) - 1;

/// How many numbers a report names of those lost or doubled.
const EXAMPLES: usize = 10;

/// What has arrived since the last reset.
pub struct Ledger {
    /// Deliveries of another run (a late one of the run before, say) do not count into this one.
    run: String,
    seen: Vec<u64>,
    /// The instant of each first arrival, in order of arrival; nanoseconds, see [`body::now`].
    arrivals: Vec<u64>,
    duplicates: u64,
    duplicated: Vec<u64>,
    foreign: u64,
    latency: Option<Histogram<u64>>,
}

/// A ledger's summary.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stats {
    /// How many different messages arrived.
    pub distinct: u64,
    /// Arrivals beyond the first of a message.
    pub duplicates: u64,
    /// Numbers of some of the messages that arrived more than once.
    pub duplicated: Vec<u64>,
    /// Numbers of some of the expected messages that have not arrived.
    pub missing: Vec<u64>,
    /// Requests that are not of this run, or whose body is not a benchmark's.
    pub foreign: u64,
    /// When the first message arrived, nanoseconds.
    pub first: u64,
    /// When the last message first arrived, nanoseconds.
    pub last: u64,
    /// When each fifth of the messages had arrived: five instants, the last equal to `last`; empty below five messages.
    pub fifths: Vec<u64>,
    /// From the send time in the body to the first arrival.
    pub latency: Latency,
}

/// Quantiles in microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Latency {
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub max: u64,
}

/// A histogram of microseconds: three digits, up to an hour; more counts as an hour.
///
/// # Errors
/// Only impossible settings are refused, which these are not.
pub fn histogram() -> Result<Histogram<u64>, CreationError> {
    Histogram::new_with_max(3_600_000_000, 3)
}

impl Latency {
    pub fn of(histogram: &Histogram<u64>) -> Latency {
        Latency {
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            p99: histogram.value_at_quantile(0.99),
            max: histogram.max(),
        }
    }
}

impl Ledger {
    pub fn new(run: &str) -> Ledger {
        Ledger {
            run: run.to_owned(),
            seen: Vec::new(),
            arrivals: Vec::new(),
            duplicates: 0,
            duplicated: Vec::new(),
            foreign: 0,
            latency: histogram().ok(),
        }
    }

    /// Whether deliveries of `run` are to be counted.
    pub fn is_of(&self, run: &str) -> bool {
        self.run == run
    }

    /// Counts the arrival of `message` at `now`.
    pub fn arrived(&mut self, message: &[u8], now: u64) {
        match body::decode(message) {
            Some((number, sent)) if number <= GREATEST => {
                if self.is_first(number) {
                    self.arrivals.push(now);
                    if let Some(latency) = &mut self.latency {
                        latency.saturating_record(now.saturating_sub(sent) / 1000);
                    }
                } else {
                    self.duplicates += 1;
                    if self.duplicated.len() < EXAMPLES {
                        self.duplicated.push(number);
                    }
                }
            }
            _ => self.stray(),
        }
    }

    /// Counts a request that is not a delivery of this run.
    pub fn stray(&mut self) {
        self.foreign += 1;
    }

    /// How many different messages arrived.
    pub fn distinct(&self) -> usize {
        self.arrivals.len()
    }

    /// The summary, given that the numbers below `expected` should have arrived.
    pub fn stats(&self, expected: u64) -> Stats {
        let count = self.arrivals.len();
        let fifths = if count < 5 {
            Vec::new()
        } else {
            (1..=5).filter_map(|fifth| self.arrivals.get(count * fifth / 5 - 1).copied()).collect()
        };
        Stats {
            distinct: count as u64,
            duplicates: self.duplicates,
            duplicated: self.duplicated.clone(),
            missing: (0..expected.min(GREATEST)).filter(|number| !self.has(*number)).take(EXAMPLES).collect(),
            foreign: self.foreign,
            first: self.arrivals.first().copied().unwrap_or(0),
            last: self.arrivals.last().copied().unwrap_or(0),
            fifths,
            latency: self.latency.as_ref().map(Latency::of).unwrap_or_default(),
        }
    }

    fn has(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.seen.get(word).is_some_and(|bits| bits & bit != 0)
    }

    fn is_first(&mut self, number: u64) -> bool {
        let (word, bit) = place(number);
        if word >= self.seen.len() {
            self.seen.resize(word + 1, 0);
        }
        let Some(bits) = self.seen.get_mut(word) else {
            return false;
        };
        let first = *bits & bit == 0;
        *bits |= bit;
        first
    }
}

fn place(number: u64) -> (usize, u64) {
    (usize::try_from(number / 64).unwrap_or(usize::MAX), 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrive(ledger: &mut Ledger, number: u64, sent: u64, now: u64) {
        ledger.arrived(body::encode(number, sent, 200).as_bytes(), now);
    }

    #[test]
    fn losses_and_duplicates_are_counted_and_named() {
        let mut ledger = Ledger::new("1");
        for number in [0, 1, 3, 3, 64, 200, 3] {
            arrive(&mut ledger, number, 0, 1);
        }
        ledger.arrived(b"hello", 1);
        arrive(&mut ledger, GREATEST + 1, 0, 1);
        let stats = ledger.stats(6);
        assert_eq!((stats.distinct, stats.duplicates, stats.foreign), (5, 2, 2));
        assert_eq!(stats.duplicated, [3, 3]);
        assert_eq!(stats.missing, [2, 4, 5]);
    }

    #[test]
    fn fifths_and_latency_are_those_of_first_arrivals() {
        let mut ledger = Ledger::new("1");
        for number in 0..10 {
            arrive(&mut ledger, number, number * 1_000_000, (number + 2) * 1_000_000);
            arrive(&mut ledger, number, 0, 900_000_000);
        }
        let stats = ledger.stats(10);
        assert_eq!(stats.fifths, [3, 5, 7, 9, 11].map(|millisecond| millisecond * 1_000_000));
        assert_eq!((stats.first, stats.last), (2_000_000, 11_000_000));
        // Three significant digits: within a thousandth.
        assert!((1999..=2001).contains(&stats.latency.p50), "{:?}", stats.latency);
        assert!((1999..=2001).contains(&stats.latency.max), "{:?}", stats.latency);

        arrive(&mut ledger, 10, 0, 40_000_000_000);
        let slowest = ledger.stats(11).latency.max;
        assert!((39_960_000..=40_040_000).contains(&slowest), "{slowest} µs");
    }
}
