//! What a fault may cost: a message may arrive twice only if it was in flight in what broke, at the moment when it broke.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, made_by};
use crate::ledger::Ledger;

/// How many deliveries one worker thread has in flight at most.
pub const SLOTS: usize = 2048;

/// How many of one queue, while it is the only one: it leaves eight times as much free as it takes.
pub const SLOTS_OF_ONE_QUEUE: usize = SLOTS / 9 + 1;

/// What was sent before the moment may be read by the receiver a little after it, on a busy machine.
const READ_WITHIN: Duration = Duration::from_secs(1);

/// What was in flight at the moment was sent no longer before it than receivers and the recording of outcomes take.
const SENT_WITHIN: Duration = Duration::from_secs(5);

/// Something that broke.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// When.
    pub at: Instant,
    /// The deliverer's process id, if it was one; its outcomes must not have counted for what came again.
    pub process: Option<u32>,
    /// How many deliveries may have been in flight there.
    pub in_flight: usize,
}

impl Fault {
    /// A deliverer with at most this much in flight dies or freezes now.
    pub fn of_process(pid: u32, in_flight: usize) -> Self {
        Self { at: Instant::now(), process: Some(pid), in_flight }
    }

    /// Something that deliverers depend on, which have at most this much in flight together, breaks now.
    pub fn of_all(in_flight: usize) -> Self {
        Self { at: Instant::now(), process: None, in_flight }
    }

    fn explains(&self, first_arrival: Instant) -> bool {
        first_arrival <= self.at + READ_WITHIN && first_arrival + SENT_WITHIN >= self.at
    }
}

/// Checks that `faults` explain everything that came more than once, and returns how many messages did. To be called when all
/// is recorded.
///
/// # Panics
/// They do not.
pub async fn check_repetitions(cluster: &Cluster, ledger: &Ledger, faults: &[Fault]) -> usize {
    let repeated = ledger.repeated();
    let ids: Vec<i64> = repeated.keys().copied().collect();
    let attempts = cluster.attempts(&ids).await;
    let mut caused = vec![0; faults.len()];
    for (id, arrivals) in &repeated {
        let first = arrivals[0];
        let since: Vec<String> = faults.iter().map(|fault| offset(first, fault.at)).collect();
        let again: Vec<Duration> = arrivals[1..].iter().map(|again| *again - first).collect();
        let story = || {
            format!(
                "message {id}: first at {since:?} of the faults, again after {again:?}; recorded: {:?}",
                attempts[id]
            )
        };
        let causes: Vec<usize> = (0..faults.len()).filter(|number| faults[*number].explains(first)).collect();
        assert!(!causes.is_empty(), "no fault explains it. {}", story());
        assert!(arrivals.len() <= 1 + causes.len(), "it came more often than faults explain. {}", story());
        assert_eq!(attempts[id].len(), 1, "it is not recorded once. {}", story());
        // Faults that follow each other closely explain the same arrivals; each repetition was caused by one of them.
        let mut likely = causes.clone();
        likely.sort_by_key(|cause| std::cmp::Reverse(faults[*cause].in_flight.saturating_sub(caused[*cause])));
        for cause in likely.into_iter().take(arrivals.len() - 1) {
            caused[cause] += 1;
        }
        for cause in causes {
            let recorded_there = faults[cause].process.is_some_and(|pid| made_by(&attempts[id][0], pid));
            assert!(!recorded_there, "what broke had recorded it. {}", story());
        }
    }
    for (fault, caused) in faults.iter().zip(caused) {
        assert!(caused <= fault.in_flight, "{caused} messages came again because of {fault:?}");
    }
    repeated.len()
}

fn offset(moment: Instant, from: Instant) -> String {
    match moment.checked_duration_since(from) {
        Some(later) => format!("+{later:?}"),
        None => format!("-{:?}", from - moment),
    }
}
