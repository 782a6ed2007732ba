use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn policy(max_retries: Option<u32>, max_age: Duration) -> RetryPolicy {
    RetryPolicy { max_retries, max_age, ..RetryPolicy::default() }
}

fn answered(status: u16) -> AttemptResult {
    AttemptResult::Answered(Signals::status(status))
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
        let result = answered(status);
        let delivered = (200..300).contains(&status);
        let expected = match status {
            200..300 => Verdict::Delivered,
            489 => Verdict::Failed,
            _ => retried(100),
        };
        assert_eq!(decide(result, 0, aged(Duration::ZERO), &policy, 0.5), expected, "{status}");
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
        assert_eq!(decide(result, 0, aged(Duration::ZERO), &one_left, 0.5), with_retry_left, "{class}");
        assert_eq!(decide(result, 1, aged(Duration::ZERO), &one_left, 0.5), with_none_left, "{class}");
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
        for result in [answered(302), answered(500), AttemptResult::Error(ErrorClass::Reset)] {
            assert_eq!(
                decide(result, done, aged(age), &policy, 0.5),
                verdict,
                "{result:?}, {done} done, {age:?}, {policy:?}"
            );
        }
        // However late the answer comes, it was delivered.
        assert_eq!(decide(answered(204), done, aged(age), &policy, 0.5), Verdict::Delivered);
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
        let decided = decide(answered(500), done, lifetime, &policy, 0.5);
        assert_eq!(decided, verdict, "{done} done, {left:?} left, {max_retries:?}");
        // Sent in time, it is delivered however late the answer comes.
        assert_eq!(decide(answered(200), done, lifetime, &policy, 0.5), Verdict::Delivered);
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
                .take_while(|&done| decide(answered(503), done, aged(Duration::ZERO), &policy, 0.5) != Verdict::Failed)
                .count();
        assert_eq!(u32::try_from(attempts), Ok(max_retries + 1));
    }
}

#[test]
fn the_default_policy_is_the_contracts() {
    let policy = RetryPolicy::default();
    let verdicts: Vec<Verdict> =
        (0..6).map(|done| decide(answered(500), done, aged(Duration::ZERO), &policy, 0.5)).collect();
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
            "proxy",
            "oauth",
            "secrets",
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
        // (verdict, code, final, dead letter, dead letter where the expired are none)
        (Verdict::Delivered, "delivered", true, false, false),
        (retried(100), "retried", false, false, false),
        (Verdict::Failed, "failed", true, true, true),
        (Verdict::Cancelled, "cancelled", true, false, false),
        (Verdict::Expired, "expired", true, true, false),
    ];
    for (verdict, code, is_final, is_dead_letter, without_expired) in table {
        assert_eq!((verdict.as_str(), verdict.is_final()), (code, is_final));
        assert_eq!((verdict.is_dead_letter(true), verdict.is_dead_letter(false)), (is_dead_letter, without_expired));
    }
}

#[test]
fn receivers_end_a_message_at_once() {
    let mut policy = policy(Some(5), DAY);
    policy.final_statuses = FinalStatuses::parse(&["404", "5xx"]).unwrap();
    let cases = [
        // (status, no-retry header, verdict)
        (489, false, Verdict::Failed),
        (404, false, Verdict::Failed),
        (500, false, Verdict::Failed),
        (503, false, retried(100)),
        (400, false, retried(100)),
        (400, true, Verdict::Failed),
        (503, true, Verdict::Failed),
        (302, true, Verdict::Failed),
        (204, true, Verdict::Delivered),
    ];
    for (status, no_retry, verdict) in cases {
        let result = AttemptResult::Answered(Signals { no_retry, ..Signals::status(status) });
        assert_eq!(decide(result, 0, aged(Duration::ZERO), &policy, 0.5), verdict, "{status}, {no_retry}");
    }
}

#[test]
fn receivers_ask_for_a_longer_wait_with_429_and_503() {
    let second = Duration::from_secs(1);
    let (policy, left) = (policy(Some(5), DAY), Some(Duration::from_secs(60)));
    let cases = [
        // (status, retry-after, time left, verdict)
        (429, Some(second), None, retried(1_000)),
        (503, Some(second), None, retried(1_000)),
        // Never earlier than the queue's backoff.
        (429, Some(Duration::ZERO), None, retried(100)),
        (429, Some(Duration::from_millis(99)), None, retried(100)),
        (429, None, None, retried(100)),
        // Other answers do not speak for the receiver's load.
        (500, Some(second), None, retried(100)),
        (408, Some(second), None, retried(100)),
        (301, Some(second), None, retried(100)),
        // Longer than the message lives.
        (429, Some(DAY), None, Verdict::Failed),
        (429, Some(Duration::from_secs(59)), left, retried(59_000)),
        (429, Some(Duration::from_secs(60)), left, Verdict::Failed),
        (429, Some(Duration::MAX), None, Verdict::Failed),
    ];
    for (status, retry_after, left, verdict) in cases {
        let result = AttemptResult::Answered(Signals { retry_after, ..Signals::status(status) });
        let lifetime = Lifetime { age: Duration::ZERO, left };
        assert_eq!(decide(result, 0, lifetime, &policy, 0.5), verdict, "{status}, {retry_after:?}, {left:?}");
        assert_eq!(decide(result, 5, lifetime, &policy, 0.5), Verdict::Failed, "no retry is left");
    }
}

#[test]
fn the_backoffs_jitter_has_its_say() {
    let mut policy = RetryPolicy::default();
    policy.backoff.jitter = 0.5;
    let waits = [0.0, 0.5, 1.0].map(|chance| decide(answered(500), 0, aged(Duration::ZERO), &policy, chance));
    assert_eq!(waits, [retried(50), retried(100), retried(150)]);
}

#[test]
fn only_gone_pauses_a_queue() {
    for status in 0..=u16::MAX {
        assert_eq!(pauses_queue(answered(status)).is_some(), status == 410, "{status}");
    }
    for &class in ErrorClass::ALL {
        assert_eq!(pauses_queue(AttemptResult::Error(class)), None);
    }
    assert_eq!(
        decide(answered(410), 0, aged(Duration::ZERO), &policy(Some(1), DAY), 0.5),
        retried(100),
        "kept for later"
    );
}

#[test]
fn dead_letters_go_round_a_circle_only_so_often() {
    let hops: Vec<i16> = std::iter::successors(Some(0), |&hops| next_dead_letter_hop(hops)).collect();
    assert_eq!(hops, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(next_dead_letter_hop(i16::MAX), None);
    assert_eq!(next_dead_letter_hop(i16::MIN), Some(1));
}
