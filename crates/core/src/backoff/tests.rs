use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn plain(shape: Shape) -> Backoff {
    Backoff { shape, jitter: 0.0 }
}

fn exponential(initial: Duration, multiplier: f64, max: Duration) -> Backoff {
    plain(Shape::Exponential { initial, multiplier, max })
}

fn seconds(backoff: &Backoff, retries: u32) -> Vec<u64> {
    (0..retries).map(|retry| backoff.wait(retry, 0.5).as_secs()).collect()
}

#[test]
fn default_waits_are_those_of_the_contract() {
    let waits: Vec<u128> = (0..8).map(|retry| Backoff::default().wait(retry, 0.9).as_micros()).collect();
    assert_eq!(waits, [100_000, 200_000, 400_000, 800_000, 1_600_000, 3_200_000, 6_400_000, 12_800_000]);
}

#[test]
fn fast_is_capped_at_a_day() {
    let backoff = Backoff::fast();
    assert_eq!(backoff.wait(19, 0.5), Duration::from_millis(52_428_800));
    assert_eq!(backoff.wait(20, 0.5), 24 * HOUR);
    assert_eq!(backoff.wait(u32::MAX, 0.5), 24 * HOUR);
}

#[test]
fn standard_is_the_example_of_standard_webhooks() {
    let backoff = Backoff::standard();
    assert_eq!(seconds(&backoff, 9), [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]);
    assert_eq!(backoff.wait(9, 0.5), 24 * HOUR, "the last one again");
    assert_eq!(backoff.retries(), Some(9));
    assert_eq!(backoff.check(), Ok(()));
}

#[test]
fn presets_have_names() {
    assert_eq!(Backoff::preset("fast"), Some(Backoff::fast()));
    assert_eq!(Backoff::preset("standard"), Some(Backoff::standard()));
    assert_eq!(Backoff::preset("Fast"), None);
}

#[test]
fn the_other_shapes() {
    let step = Duration::from_secs(10);
    let linear = plain(Shape::Linear { step, max: Duration::from_secs(25) });
    assert_eq!(seconds(&linear, 4), [10, 20, 25, 25]);
    assert_eq!(linear.wait(u32::MAX, 0.5), Duration::from_secs(25));
    assert_eq!(seconds(&plain(Shape::Fixed { wait: step }), 3), [10, 10, 10]);
    let schedule = plain(Shape::Schedule { waits: vec![HOUR, step] });
    assert_eq!(seconds(&schedule, 4), [3600, 10, 10, 10]);
    let empty = plain(Shape::Schedule { waits: vec![] });
    assert_eq!(empty.wait(2, 0.5), Duration::from_millis(400), "stored past the API's checks");
    assert_eq!(linear.retries(), None);
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
        let backoff = exponential(initial, multiplier, max);
        assert_eq!(backoff.wait(retry, 0.5), wait, "{backoff:?}, retry {retry}");
    }
}

#[test]
fn jitter_makes_a_wait_longer_or_shorter_by_a_part_of_itself() {
    let second = Duration::from_secs(1);
    let cases = [
        // (jitter, chance, wait in ms)
        (0.0, 0.0, 1000),
        (0.2, 0.0, 800),
        (0.2, 0.5, 1000),
        (0.2, 1.0, 1200),
        (1.0, 0.0, 1),
        (1.0, 1.0, 2000),
        (9.0, 1.0, 2000),
        (-1.0, 1.0, 1000),
        (f64::NAN, 1.0, 1000),
        (0.2, f64::NAN, 800),
        (0.2, 7.0, 1200),
    ];
    for (jitter, chance, wait) in cases {
        let backoff = Backoff { shape: Shape::Fixed { wait: second }, jitter };
        assert_eq!(backoff.wait(0, chance).as_millis(), wait, "{jitter}, {chance}");
    }
    let capped = Backoff { shape: Shape::Linear { step: second, max: second }, jitter: 0.5 };
    assert_eq!(capped.wait(0, 1.0), second, "a cap is a cap");
}

#[test]
fn what_cannot_be_asked_for_is_told() {
    let (ms, day) = (Duration::from_millis(1), 24 * HOUR);
    let fixed = |wait| plain(Shape::Fixed { wait });
    let linear = |step, max| plain(Shape::Linear { step, max });
    let schedule = |waits| plain(Shape::Schedule { waits });
    let cases = [
        (fixed(ms), Ok(())),
        (fixed(7 * day), Ok(())),
        (fixed(Duration::ZERO), Err(BackoffError::Wait)),
        (fixed(7 * day + ms), Err(BackoffError::Wait)),
        (linear(HOUR, HOUR), Ok(())),
        (linear(HOUR, ms), Err(BackoffError::Order)),
        (linear(Duration::ZERO, ms), Err(BackoffError::Wait)),
        (exponential(ms, 1.0, day), Ok(())),
        (exponential(ms, 100.0, day), Ok(())),
        (exponential(ms, 100.1, day), Err(BackoffError::Multiplier)),
        (exponential(ms, f64::NAN, day), Err(BackoffError::Multiplier)),
        (exponential(HOUR, 2.0, ms), Err(BackoffError::Order)),
        (schedule(vec![HOUR, ms]), Ok(())),
        (schedule(vec![]), Err(BackoffError::Schedule)),
        (schedule(vec![ms; 101]), Err(BackoffError::Schedule)),
        (schedule(vec![ms, Duration::ZERO]), Err(BackoffError::Wait)),
        (Backoff { jitter: 1.0, ..Backoff::fast() }, Ok(())),
        (Backoff { jitter: 1.1, ..Backoff::fast() }, Err(BackoffError::Jitter)),
        (Backoff { jitter: f64::NAN, ..Backoff::fast() }, Err(BackoffError::Jitter)),
    ];
    for (backoff, checked) in cases {
        assert_eq!(backoff.check(), checked, "{backoff:?}");
    }
}

fn storable() -> impl Strategy<Value = Backoff> {
    let wait = || (1..=604_800_000_u64).prop_map(Duration::from_millis);
    let shape = prop_oneof![
        (wait(), 1_000..=100_000_u32, wait()).prop_map(|(initial, thousandths, max)| Shape::Exponential {
            initial: initial.min(max),
            multiplier: f64::from(thousandths) / 1000.0,
            max,
        }),
        (wait(), wait()).prop_map(|(step, max)| Shape::Linear { step: step.min(max), max }),
        wait().prop_map(|wait| Shape::Fixed { wait }),
        proptest::collection::vec(wait(), 1..20).prop_map(|mut waits| {
            waits.sort();
            Shape::Schedule { waits }
        }),
    ];
    (shape, 0..=1000_u32).prop_map(|(shape, jitter)| Backoff { shape, jitter: f64::from(jitter) / 1000.0 })
}

proptest! {
    #[test]
    fn what_can_be_stored_never_shrinks(backoff in storable(), retry in 0..2_000_u32) {
        prop_assert_eq!(backoff.check(), Ok(()));
        prop_assert!(backoff.wait(retry, 0.5) <= backoff.wait(retry + 1, 0.5));
    }

    #[test]
    fn jitter_stays_within_its_part(backoff in storable(), retry in 0..2_000_u32, chance in 0.0..=1.0_f64) {
        let (wait, least, most) = (backoff.wait(retry, chance), backoff.wait(retry, 0.0), backoff.wait(retry, 1.0));
        prop_assert!(least <= wait && wait <= most);
        prop_assert!(most <= 2 * backoff.wait(retry, 0.5));
    }

    #[test]
    fn is_total(initial: Duration, multiplier in any::<f64>(), max: Duration, retry: u32, jitter in any::<f64>(), chance in any::<f64>()) {
        for shape in [
            Shape::Exponential { initial, multiplier, max },
            Shape::Linear { step: initial, max },
            Shape::Fixed { wait: initial },
            Shape::Schedule { waits: vec![initial, max] },
        ] {
            let wait = Backoff { shape, jitter }.wait(retry, chance);
            prop_assert!(wait >= Backoff::SHORTEST);
        }
    }
}
