//! How long to wait before a retry.
//!
//! Promise: every input has an answer. Nothing overflows, no setting makes a wait longer than its cap or shorter than
//! [`Backoff::SHORTEST`], and a later retry never waits noticeably less than an earlier one, unless its schedule says so.

mod setting;

use std::time::Duration;

pub use setting::SettingError;

/// The waits between the attempts of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Backoff {
    /// How the waits follow one another.
    pub shape: Shape,
    /// By which part of itself a wait may be longer or shorter, from 0 (never) to 1. What is below 0 or above 1, or no number,
    /// counts as the nearest that is possible. Messages that failed together then do not come back together.
    pub jitter: f64,
}

/// How waits follow one another. Retries are counted from 0.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// `initial * multiplier ^ retry`, at most `max`.
    Exponential {
        /// The wait before the first retry.
        initial: Duration,
        /// How many times longer each wait is than the one before. What is below 1, or no number, counts as 1.
        multiplier: f64,
        /// No wait is longer than this.
        max: Duration,
    },
    /// `step * (retry + 1)`, at most `max`.
    Linear {
        /// The wait before the first retry, and by how much each later one is longer.
        step: Duration,
        /// No wait is longer than this.
        max: Duration,
    },
    /// Always the same.
    Fixed {
        /// Every wait.
        wait: Duration,
    },
    /// These, one after the other; the last one again and again.
    Schedule {
        /// In the order of the retries. An empty list waits as [`Backoff::fast`].
        waits: Vec<Duration>,
    },
}

/// What is wrong with the waits that someone asks for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BackoffError {
    /// A wait that is too short or too long.
    #[error("a wait must be from 1 ms to 7 days")]
    Wait,
    /// A first wait that is longer than the longest.
    #[error("the longest wait must not be shorter than the first one")]
    Order,
    /// A multiplier out of range.
    #[error("the multiplier must be from 1 to 100")]
    Multiplier,
    /// A jitter out of range.
    #[error("the jitter must be from 0 to 1")]
    Jitter,
    /// A schedule with no waits or too many.
    #[error("a schedule must have 1 to {} waits", Backoff::LONGEST_SCHEDULE)]
    Schedule,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for Backoff {
    /// [`Backoff::fast`].
    fn default() -> Backoff {
        Backoff::fast()
    }
}

impl Backoff {
    /// No wait is shorter than this, whatever the settings: a retry without a wait is a busy loop at a failing receiver.
    pub const SHORTEST: Duration = Duration::from_millis(1);
    /// The longest wait that can be asked for.
    pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
    /// The most waits of a schedule.
    pub const LONGEST_SCHEDULE: usize = 100;

    /// The contract's default: 100 ms, doubling, up to 24 h, without jitter.
    #[must_use]
    pub const fn fast() -> Backoff {
        let initial = Duration::from_millis(100);
        Backoff { shape: Shape::Exponential { initial, multiplier: 2.0, max: DAY }, jitter: 0.0 }
    }

    /// The example of Standard Webhooks 1.0.0, "Deliverability and reliability": over about three days, with a little jitter.
    /// Its first attempt is at once, so its nine waits are for nine retries.
    #[must_use]
    pub fn standard() -> Backoff {
        let (minute, hour) = (60, 3600);
        let seconds = [5, 5 * minute, 30 * minute, 2 * hour, 5 * hour, 10 * hour, 14 * hour, 20 * hour, 24 * hour];
        Backoff { shape: Shape::Schedule { waits: seconds.map(Duration::from_secs).to_vec() }, jitter: 0.1 }
    }

    /// The preset of this name.
    #[must_use]
    pub fn preset(name: &str) -> Option<Backoff> {
        match name {
            "fast" => Some(Backoff::fast()),
            "standard" => Some(Backoff::standard()),
            _ => None,
        }
    }

    /// How many retries the waits are meant for; `None` for those that go on for ever.
    #[must_use]
    pub fn retries(&self) -> Option<usize> {
        match &self.shape {
            Shape::Schedule { waits } => Some(waits.len()),
            Shape::Exponential { .. } | Shape::Linear { .. } | Shape::Fixed { .. } => None,
        }
    }

    /// Checks what someone asks for.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self) -> Result<(), BackoffError> {
        let wait = |wait: Duration| {
            if (Backoff::SHORTEST..=Backoff::LONGEST).contains(&wait) { Ok(()) } else { Err(BackoffError::Wait) }
        };
        let ordered = |first: Duration, max: Duration| {
            wait(first)?;
            wait(max)?;
            if first <= max { Ok(()) } else { Err(BackoffError::Order) }
        };
        match &self.shape {
            Shape::Exponential { initial, multiplier, max } => {
                if !(1.0..=100.0).contains(multiplier) {
                    return Err(BackoffError::Multiplier);
                }
                ordered(*initial, *max)?;
            }
            Shape::Linear { step, max } => ordered(*step, *max)?,
            Shape::Fixed { wait: each } => wait(*each)?,
            Shape::Schedule { waits } => {
                if !(1..=Backoff::LONGEST_SCHEDULE).contains(&waits.len()) {
                    return Err(BackoffError::Schedule);
                }
                waits.iter().try_for_each(|each| wait(*each))?;
            }
        }
        if (0.0..=1.0).contains(&self.jitter) { Ok(()) } else { Err(BackoffError::Jitter) }
    }

    /// The wait before retry number `retry`, counted from 0. `chance` is a random number from 0 to 1: 0.5 is the wait itself, 0
    /// and 1 are what the jitter makes of it at most.
    #[must_use]
    pub fn wait(&self, retry: u32, chance: f64) -> Duration {
        let (wait, max) = self.shape.wait(retry);
        let (wait, max) = (wait.max(Backoff::SHORTEST), max.max(Backoff::SHORTEST));
        let jitter = within_0_and_1(self.jitter);
        if jitter == 0.0 {
            return wait.min(max);
        }
        let factor = 1.0 + jitter * (2.0 * within_0_and_1(chance) - 1.0);
        let jittered = Duration::try_from_secs_f64(wait.as_secs_f64() * factor).unwrap_or(max);
        jittered.clamp(Backoff::SHORTEST, max)
    }
}

impl Shape {
    /// The wait before a retry, and what no wait may exceed.
    fn wait(&self, retry: u32) -> (Duration, Duration) {
        match self {
            Shape::Exponential { initial, multiplier, max } => (exponential(*initial, *multiplier, *max, retry), *max),
            Shape::Linear { step, max } => {
                let wait = step.checked_mul(retry.saturating_add(1)).unwrap_or(*max);
                (wait.min(*max), *max)
            }
            Shape::Fixed { wait } => (*wait, Duration::MAX),
            Shape::Schedule { waits } => match usize::try_from(retry).ok().and_then(|retry| waits.get(retry)) {
                Some(wait) => (*wait, Duration::MAX),
                None => match waits.last() {
                    Some(last) => (*last, Duration::MAX),
                    None => Backoff::fast().shape.wait(retry),
                },
            },
        }
    }
}

fn exponential(initial: Duration, multiplier: f64, max: Duration, retry: u32) -> Duration {
    let initial = initial.max(Backoff::SHORTEST);
    // Also false for NaN.
    let multiplier = if multiplier >= 1.0 { multiplier } else { 1.0 };
    // Neither factor can be zero, so the product may be infinite but is always a number.
    let seconds = initial.as_secs_f64() * multiplier.powi(i32::try_from(retry).unwrap_or(i32::MAX));
    if seconds >= max.as_secs_f64() {
        return max;
    }
    Duration::try_from_secs_f64(seconds).map_or(max, |wait| wait.min(max))
}

/// `f64::clamp` lets NaN through.
fn within_0_and_1(number: f64) -> f64 {
    if number > 0.0 { number.min(1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests;
