use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn policy(max_retries: Option<u32>, max_age: Duration) -> RetryPolicy {
    RetryPolicy { backoff: Backoff::default(), max_retries, max_age }
}

/// The lifetime of a message that has no end of its own.
fn aged(age: Duration) -> Lifetime {
    Lifetime { age, left: None }
}

fn retried(ms: u64) -> Verdict {
    Verdict::Retried { wait: Duration::from_millis(ms) }
}

#[test]
fn every_status_is_delivered_or_a_failure() {
    let policy = policy(Some(1), DAY);
    for status in 0..=u16::MAX {
        let result = AttemptResult::Status(status);
        let delivered = (200..300).contains(&status);
        let expected = if delivered { Verdict::Delivered } else { retried(100) };
        assert_eq!(decide(result, 0, aged(Duration::ZERO), &policy), expected, "{status}");
        assert_eq!(result.error_class(), (!delivered).then_some(ErrorClass::Status), "{status}");
    }
}

#[test]
fn every_error_class_has_its_verdict() {
    let one_left = policy(Some(1), DAY);
    for &class in ErrorClass::ALL {
        let (with_retry_left, with_none_left) = match class.as_str() {
            "cancelled" | "queue_deleted" => (Verdict::Cancelled, Verdict::Cancelled),
            "expired" => (Verdict::Expired, Verdict::Expired),
            _ => (retried(100), Verdict::Failed),
        };
        let result = AttemptResult::Error(class);
        assert_eq!(decide(result, 0, aged(Duration::ZERO), &one_left), with_retry_left, "{class}");
        assert_eq!(decide(result, 1, aged(Duration::ZERO), &one_left), with_none_left, "{class}");
        assert_eq!(result.error_class(), Some(class));
    }
}

#[test]
fn retries_end_by_number_or_by_age() {
    let seconds = Duration::from_secs;
    let ms = Duration::from_millis;
    let cases = [
        // (retries done, age, max_retries, max_age, verdict)
        (0, ms(0), Some(0), DAY, Verdict::Failed),
        (0, ms(0), Some(1), DAY, retried(100)),
        (1, ms(0), Some(1), DAY, Verdict::Failed),
        (4, seconds(2), Some(5), DAY, retried(1_600)),
        (5, seconds(4), Some(5), DAY, Verdict::Failed),
        // More retries than allowed: the setting was lowered meanwhile.
        (9, seconds(4), Some(5), DAY, Verdict::Failed),
        // Unlimited: only age ends it.
        (0, ms(0), None, DAY, retried(100)),
        (1_000_000, seconds(1), None, DAY * 3, retried(86_400_000)),
        (0, DAY, None, DAY, Verdict::Failed),
        // The next attempt would start exactly at, or just before, the end.
        (0, ms(900), None, seconds(1), Verdict::Failed),
        (0, ms(899), None, seconds(1), retried(100)),
        (0, ms(900), Some(5), seconds(1), Verdict::Failed),
        (0, Duration::MAX, None, Duration::MAX, Verdict::Failed),
        (u32::MAX, ms(0), Some(u32::MAX), Duration::MAX, Verdict::Failed),
        (0, ms(0), None, Duration::ZERO, Verdict::Failed),
    ];
    for (done, age, max_retries, max_age, verdict) in cases {
        let policy = policy(max_retries, max_age);
        for result in [AttemptResult::Status(302), AttemptResult::Status(500), AttemptResult::Error(ErrorClass::Reset)]
        {
            assert_eq!(
                decide(result, done, aged(age), &policy),
                verdict,
                "{result:?}, {done} done, {age:?}, {policy:?}"
            );
        }
        // However late the answer comes, it was delivered.
        assert_eq!(decide(AttemptResult::Status(204), done, aged(age), &policy), Verdict::Delivered);
    }
}

#[test]
fn a_retry_that_would_start_when_the_message_has_expired_is_not_waited_for() {
    let ms = Duration::from_millis;
    let cases = [
        // (retries done, time left, max_retries, verdict)
        (0, None, None, retried(100)),
        (0, Some(ms(101)), None, retried(100)),
        (0, Some(ms(100)), None, Verdict::Failed),
        (0, Some(ms(99)), Some(5), Verdict::Failed),
        (0, Some(Duration::ZERO), Some(5), Verdict::Failed),
        (3, Some(ms(800)), Some(5), Verdict::Failed),
        (3, Some(ms(801)), Some(5), retried(800)),
        // The number of retries ends it earlier.
        (5, Some(DAY), Some(5), Verdict::Failed),
        (0, Some(Duration::MAX), None, retried(100)),
    ];
    for (done, left, max_retries, verdict) in cases {
        let (policy, lifetime) = (policy(max_retries, DAY), Lifetime { age: ms(5), left });
        let decided = decide(AttemptResult::Status(500), done, lifetime, &policy);
        assert_eq!(decided, verdict, "{done} done, {left:?} left, {max_retries:?}");
        // Sent in time, it is delivered however late the answer comes.
        assert_eq!(decide(AttemptResult::Status(200), done, lifetime, &policy), Verdict::Delivered);
    }
}

#[test]
fn a_message_expires_at_its_own_end_always_and_by_its_queues_maximum_age_only_once_it_was_tried() {
    let second = Duration::from_secs(1);
    let (young, old) = (second - Duration::from_nanos(1), second);
    let (some, none) = (Some(Duration::from_micros(1)), Some(Duration::ZERO));
    let cases = [
        // (retries done, age, time left, expired)
        (0, young, None, false),
        (0, old, None, false),
        (0, Duration::MAX, some, false),
        (0, Duration::ZERO, none, true),
        (1, young, None, false),
        (1, young, some, false),
        (1, young, none, true),
        (1, old, None, true),
        (1, old, some, true),
        (7, old, none, true),
    ];
    for (done, age, left, expired) in cases {
        let lifetime = Lifetime { age, left };
        assert_eq!(is_expired(done, lifetime, &policy(None, second)), expired, "{done} done, {lifetime:?}");
    }
}

#[test]
fn time_passes_for_both_ends_of_a_lifetime() {
    let seconds = Duration::from_secs;
    let lifetime = Lifetime { age: seconds(3), left: Some(seconds(5)) };
    assert_eq!(lifetime.after(seconds(2)), Lifetime { age: seconds(5), left: Some(seconds(3)) });
    assert_eq!(lifetime.after(seconds(9)), Lifetime { age: seconds(12), left: Some(Duration::ZERO) });
    assert_eq!(aged(seconds(1)).after(Duration::MAX), aged(Duration::MAX));
}

#[test]
fn max_retries_n_makes_n_plus_1_attempts() {
    for max_retries in [0, 1, 5, 10] {
        let policy = policy(Some(max_retries), DAY * 365);
        let attempts = 1
            + (0..)
                .take_while(|&done| {
                    decide(AttemptResult::Status(503), done, aged(Duration::ZERO), &policy) != Verdict::Failed
                })
                .count();
        assert_eq!(u32::try_from(attempts), Ok(max_retries + 1));
    }
}

#[test]
fn the_default_policy_is_the_contracts() {
    let policy = RetryPolicy::default();
    let verdicts: Vec<Verdict> =
        (0..6).map(|done| decide(AttemptResult::Status(500), done, aged(Duration::ZERO), &policy)).collect();
    assert_eq!(verdicts, [retried(100), retried(200), retried(400), retried(800), retried(1_600), Verdict::Failed]);
}

#[test]
fn codes_are_stable() {
    let codes: Vec<&str> = ErrorClass::ALL.iter().map(|class| class.as_str()).collect();
    assert_eq!(
        codes,
        [
            "dns",
            "refused",
            "reset",
            "tls",
            "connect_timeout",
            "total_timeout",
            "blocked_address",
            "status",
            "protocol",
            "invalid_request",
            "queue_deleted",
            "cancelled",
            "expired"
        ]
    );
    for &class in ErrorClass::ALL {
        assert_eq!(ErrorClass::parse(class.as_str()), Some(class));
    }
    for unknown in ["", "DNS", "dns ", "timeout"] {
        assert_eq!(ErrorClass::parse(unknown), None, "{unknown:?}");
    }
}

#[test]
fn verdicts_say_what_follows() {
    let table = [
        // (verdict, code, final, dead letter)
        (Verdict::Delivered, "delivered", true, false),
        (retried(100), "retried", false, false),
        (Verdict::Failed, "failed", true, true),
        (Verdict::Cancelled, "cancelled", true, false),
        (Verdict::Expired, "expired", true, true),
    ];
    for (verdict, code, is_final, is_dead_letter) in table {
        assert_eq!((verdict.as_str(), verdict.is_final(), verdict.is_dead_letter()), (code, is_final, is_dead_letter));
    }
}

#[test]
fn dead_letters_go_round_a_circle_only_so_often() {
    let hops: Vec<i16> = std::iter::successors(Some(0), |&hops| next_dead_letter_hop(hops)).collect();
    assert_eq!(hops, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(next_dead_letter_hop(i16::MAX), None);
    assert_eq!(next_dead_letter_hop(i16::MIN), Some(1));
}
