//! A retry policy as one setting of a deployment: `fast`, `standard`, `exponential:100ms,2,24h`, `linear:10s,1h`, `fixed:30s` or
//! `schedule:5s,5m,30m`, each with `;jitter=0.1` behind it where its waits are to vary.

use std::str::FromStr;
use std::time::Duration;

use super::{Backoff, BackoffError, Shape};
use crate::excerpt::excerpt;

/// Why a text is no retry policy.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SettingError {
    /// It does not begin with the name of a policy.
    #[error(
        "takes fast, standard, exponential:INITIAL,MULTIPLIER,MAX, linear:STEP,MAX, fixed:WAIT or schedule:WAIT,WAIT,…, each with \
         ;jitter=0.1 behind it if wanted, not \"{given}\""
    )]
    Kind {
        /// What was given, escaped and cut.
        given: String,
    },
    /// The policy does not have the parts that it needs.
    #[error("{kind} takes {takes}, such as {example}")]
    Parts {
        /// Its name.
        kind: &'static str,
        /// What it takes.
        takes: &'static str,
        /// One that is right.
        example: &'static str,
    },
    /// A wait is none.
    #[error("a wait is a whole number with ms, s, m, h or d behind it, such as 30s, not \"{given}\"")]
    Wait {
        /// What was given, escaped and cut.
        given: String,
    },
    /// A number is none.
    #[error("{what} is a number such as {example}, not \"{given}\"")]
    Number {
        /// What it is for.
        what: &'static str,
        /// One that is right.
        example: &'static str,
        /// What was given, escaped and cut.
        given: String,
    },
    /// Every part can be read, but is out of its bounds.
    #[error(transparent)]
    Bounds(#[from] BackoffError),
}

impl FromStr for Backoff {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Backoff, SettingError> {
        let (policy, jitter) = match text.split_once(";jitter=") {
            Some((policy, jitter)) => (policy, Some(number("jitter", "0.1", jitter)?)),
            None => (text, None),
        };
        let mut backoff = match policy.split_once(':') {
            None => Backoff::preset(policy).ok_or_else(|| SettingError::Kind { given: excerpt(text) })?,
            Some((kind, parts)) => {
                let parts: Vec<&str> = parts.split(',').map(str::trim).collect();
                let shape = shape(kind, &parts).unwrap_or_else(|| Err(SettingError::Kind { given: excerpt(text) }))?;
                Backoff { shape, jitter: 0.0 }
            }
        };
        if let Some(jitter) = jitter {
            backoff.jitter = jitter;
        }
        backoff.check()?;
        Ok(backoff)
    }
}

/// `None` where there is no such kind.
fn shape(kind: &str, parts: &[&str]) -> Option<Result<Shape, SettingError>> {
    let needs = |kind, takes, example| Err(SettingError::Parts { kind, takes, example });
    Some(match (kind, parts) {
        ("exponential", &[initial, multiplier, max]) => exponential(initial, multiplier, max),
        ("exponential", _) => {
            needs("exponential", "the first wait, the multiplier and the longest wait", "exponential:100ms,2,24h")
        }
        ("linear", &[step, max]) => wait(step).and_then(|step| Ok(Shape::Linear { step, max: wait(max)? })),
        ("linear", _) => needs("linear", "the step and the longest wait", "linear:10s,1h"),
        ("fixed", &[each]) => wait(each).map(|wait| Shape::Fixed { wait }),
        ("fixed", _) => needs("fixed", "one wait", "fixed:30s"),
        ("schedule", waits) => {
            waits.iter().map(|each| wait(each)).collect::<Result<_, _>>().map(|waits| Shape::Schedule { waits })
        }
        _ => return None,
    })
}

fn exponential(initial: &str, multiplier: &str, max: &str) -> Result<Shape, SettingError> {
    let initial = wait(initial)?;
    Ok(Shape::Exponential { initial, multiplier: number("the multiplier", "2", multiplier)?, max: wait(max)? })
}

fn wait(text: &str) -> Result<Duration, SettingError> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    // More than fits is out of bounds in any case.
    let known = !digits.is_empty() && millis != 0;
    let total = digits.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(millis);
    if known { Ok(Duration::from_millis(total)) } else { Err(SettingError::Wait { given: excerpt(text) }) }
}

/// Written with digits and a point alone: what Rust reads besides (`inf`, `1e3`, `+1`) is no setting.
fn number(what: &'static str, example: &'static str, text: &str) -> Result<f64, SettingError> {
    let plain = text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let read = text.parse().ok().filter(|_| plain);
    read.ok_or_else(|| SettingError::Number { what, example, given: excerpt(text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn every_shape_has_a_text() {
        let exponential = |initial, multiplier, max| Shape::Exponential { initial, multiplier, max };
        for (text, shape, jitter) in [
            ("exponential:100ms,2,24h", Backoff::fast().shape, 0.0),
            ("exponential:1s,1.5,1d;jitter=0.25", exponential(seconds(1), 1.5, seconds(86_400)), 0.25),
            ("linear:10s,1h", Shape::Linear { step: seconds(10), max: seconds(3600) }, 0.0),
            ("fixed:30s;jitter=1", Shape::Fixed { wait: seconds(30) }, 1.0),
            ("schedule:5s", Shape::Schedule { waits: vec![seconds(5)] }, 0.0),
            ("schedule:5s, 5m, 7d", Shape::Schedule { waits: [5, 300, 604_800].map(seconds).to_vec() }, 0.0),
            ("standard;jitter=0", Backoff::standard().shape, 0.0),
        ] {
            assert_eq!(text.parse(), Ok(Backoff { shape, jitter }), "{text}");
        }
        assert_eq!("fast".parse(), Ok(Backoff::fast()));
        assert_eq!("standard".parse(), Ok(Backoff::standard()));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, says) in [
            ("", "takes fast, standard, exponential:"),
            ("slow", "takes fast, standard, exponential:"),
            ("Fast", "takes fast, standard, exponential:"),
            ("cubic:1s", "takes fast, standard, exponential:"),
            ("fast:1s", "takes fast, standard, exponential:"),
            ("exponential:100ms,2", "exponential takes the first wait, the multiplier and the longest wait, such as"),
            ("linear:10s", "linear takes the step and the longest wait, such as linear:10s,1h"),
            ("fixed:1s,2s", "fixed takes one wait, such as fixed:30s"),
            ("fixed:", "a wait is a whole number with ms, s, m, h or d behind it, such as 30s, not \"\""),
            ("fixed:30", "a wait is a whole number"),
            ("fixed:s", "a wait is a whole number"),
            ("fixed:1.5s", "a wait is a whole number"),
            ("fixed:-1s", "a wait is a whole number"),
            ("fixed:1 s", "a wait is a whole number"),
            ("schedule:5s,,5m", "a wait is a whole number"),
            ("exponential:1s,two,1h", "the multiplier is a number such as 2, not \"two\""),
            ("exponential:1s,inf,1h", "the multiplier is a number"),
            ("exponential:1s,1e1,1h", "the multiplier is a number"),
            ("fast;jitter=", "jitter is a number such as 0.1, not \"\""),
            ("fast;jitter=-0.1", "jitter is a number"),
            ("fast;jitter=1.1", "the jitter must be from 0 to 1"),
            ("fast;shake=1", "takes fast, standard, exponential:"),
            ("exponential:1s,0.5,1h", "the multiplier must be from 1 to 100"),
            ("exponential:2h,2,1h", "the longest wait must not be shorter than the first one"),
            ("fixed:0s", "a wait must be from 1 ms to 7 days"),
            ("fixed:8d", "a wait must be from 1 ms to 7 days"),
            ("fixed:99999999999999999999d", "a wait must be from 1 ms to 7 days"),
            (&format!("schedule:{}", vec!["1s"; 101].join(",")), "a schedule must have 1 to 100 waits"),
        ] {
            let said = text.parse::<Backoff>().unwrap_err().to_string();
            assert!(said.starts_with(says), "{text}: {said}");
        }
    }
}
