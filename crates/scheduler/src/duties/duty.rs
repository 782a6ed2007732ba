//! Which duties there are, when each is due besides on taking the lead, and what one step of it is.
//!
//! Every step is one statement of a bounded size, or several, and right to do twice.

use std::time::Duration;

use posthaste_core::seal::Keys;
use posthaste_store::connect::Connection;
use posthaste_store::error::StoreError;
use posthaste_store::partition::retiring::{self, Retired};
use posthaste_store::retention::{self, Kept};
use posthaste_store::wakeup::notify_pending;
use posthaste_store::{count, job, partition, statistics};
use tokio::time::Instant;

use super::resealing;
use crate::metrics::SchedulerMetrics;

/// Rows per statement.
const STEP: u16 = 10_000;
/// A tick's row makes it impossible to store its message twice. A week is longer than any dispute about that lasts.
const TICKS_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Subscriptions read what was deleted every second or so; one that was away for longer reads everything anew.
const DELETIONS_KEPT: Duration = Duration::from_secs(10 * 60);
/// Whoever asked for one has its answer, or has gone.
const TESTS_KEPT: Duration = Duration::from_secs(3600);
const AUDIT_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
/// Every so many times counting begins with the oldest row again, for those that committed after later ones were counted.
/// Each time, it would read what an old transaction keeps of all that was ever counted.
const FROM_THE_BEGINNING: u32 = 30;

/// After a look at what is late, so many times as long as it took, there is none.
const LOOKS_SHARE: u32 = 20;

/// Something that the leader does again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    Partitions,
    Counts,
    Ticks,
    IdempotencyKeys,
    Deletions,
    AuditLog,
    Secrets,
    TestDeliveries,
    Retention,
    Jobs,
    Statistics,
}

/// What duties need beyond the database.
#[derive(Debug, Clone)]
pub(crate) struct Means {
    /// What queues' secrets are sealed with.
    pub secrets: Option<Keys>,
    /// How long messages that have ended are kept; `None`: for ever.
    pub retention: Option<Duration>,
    pub metrics: SchedulerMetrics,
}

/// What one step did, and whether another is to follow at once.
pub(super) struct Step {
    pub count: u64,
    pub more: bool,
}

impl Duty {
    pub const ALL: [Duty; 11] = [
        Duty::Partitions,
        Duty::Counts,
        Duty::Ticks,
        Duty::IdempotencyKeys,
        Duty::Deletions,
        Duty::AuditLog,
        Duty::Secrets,
        Duty::TestDeliveries,
        Duty::Retention,
        Duty::Jobs,
        Duty::Statistics,
    ];

    /// As a cron with seconds.
    pub fn schedule(self) -> &'static str {
        match self {
            // Far more often than needed, so that a failed attempt is followed by another long before the ids run out.
            Duty::Partitions => "*/10 * * * * *",
            Duty::Counts => "*/10 * * * * *",
            Duty::Ticks => "0 17 * * * *",
            Duty::IdempotencyKeys => "41 * * * * *",
            Duty::Deletions => "23 * * * * *",
            Duty::AuditLog => "0 47 * * * *",
            Duty::Secrets => "53 * * * * *",
            Duty::TestDeliveries => "0 7 * * * *",
            Duty::Retention => "30 */10 * * * *",
            Duty::Jobs => "* * * * * *",
            Duty::Statistics => "*/5 * * * * *",
        }
    }

    /// Whether it is due every few seconds.
    pub fn is_frequent(self) -> bool {
        match self {
            Duty::Partitions | Duty::Counts | Duty::Jobs | Duty::Statistics => true,
            Duty::Ticks
            | Duty::IdempotencyKeys
            | Duty::Deletions
            | Duty::AuditLog
            | Duty::Secrets
            | Duty::TestDeliveries
            | Duty::Retention => false,
        }
    }

    /// Whether it is worth a line in the log that it did something, or is nothing but routine.
    pub fn is_news(self) -> bool {
        match self {
            Duty::Counts | Duty::Statistics => false,
            Duty::Partitions
            | Duty::Ticks
            | Duty::IdempotencyKeys
            | Duty::Deletions
            | Duty::AuditLog
            | Duty::Secrets
            | Duty::TestDeliveries
            | Duty::Retention
            | Duty::Jobs => true,
        }
    }

    /// The label of its metrics.
    pub fn name(self) -> &'static str {
        match self {
            Duty::Partitions => "partitions",
            Duty::Counts => "counts",
            Duty::Ticks => "ticks",
            Duty::IdempotencyKeys => "idempotency_keys",
            Duty::Deletions => "deletions",
            Duty::AuditLog => "audit_log",
            Duty::Secrets => "secrets",
            Duty::TestDeliveries => "test_deliveries",
            Duty::Retention => "retention",
            Duty::Jobs => "jobs",
            Duty::Statistics => "statistics",
        }
    }

    /// For the log.
    pub fn done(self) -> &'static str {
        match self {
            Duty::Partitions => "made partitions ahead",
            Duty::Counts => "counted batches of outcomes",
            Duty::Ticks => "deleted old ticks of crons",
            Duty::IdempotencyKeys => "deleted expired idempotency keys",
            Duty::Deletions => "deleted old news of deletions",
            Duty::AuditLog => "deleted old entries of the audit log",
            Duty::Secrets => "encrypted secrets with the new key",
            Duty::TestDeliveries => "deleted old test deliveries",
            Duty::Retention => "dropped partitions of old messages",
            Duty::Jobs => "met messages of purges, replays and redrives",
            Duty::Statistics => "looked at what is late",
        }
    }

    pub async fn step(self, conn: &mut Connection, bookmark: &mut Bookmark, means: &Means) -> Result<Step, StoreError> {
        match self {
            Duty::Partitions => {
                let made = partition::ensure_partitions(conn).await?;
                Ok(Step { count: u64::try_from(made).unwrap_or(0), more: false })
            }
            Duty::Counts => {
                let folded = count::fold(conn, bookmark.after, STEP).await?;
                bookmark.after = folded.last.unwrap_or(bookmark.after);
                Ok(bounded(folded.rows))
            }
            Duty::Ticks => retention::delete_old(conn, Kept::Ticks, TICKS_KEPT, STEP).await.map(bounded),
            Duty::IdempotencyKeys => retention::delete_expired_keys(conn, STEP).await.map(bounded),
            Duty::Deletions => retention::delete_old(conn, Kept::Deletions, DELETIONS_KEPT, STEP).await.map(bounded),
            Duty::AuditLog => retention::delete_old(conn, Kept::AuditLog, AUDIT_KEPT, STEP).await.map(bounded),
            Duty::Jobs => work(conn, bookmark).await,
            Duty::Statistics => look(conn, bookmark, means).await,
            Duty::Retention => match means.retention {
                Some(age) => retire(conn, age).await,
                None => Ok(Step { count: 0, more: false }),
            },
            Duty::TestDeliveries => {
                retention::delete_old(conn, Kept::TestDeliveries, TESTS_KEPT, STEP).await.map(bounded)
            }
            Duty::Secrets => {
                let count = match &means.secrets {
                    Some(keys) => resealing::reseal(conn, keys).await?,
                    None => 0,
                };
                Ok(Step { count, more: false })
            }
        }
    }
}

/// Lets the ids go on in the next partition if the present one has been filled for a tenth of the time, so that nothing is kept for
/// much longer than that; and retires one partition.
async fn retire(conn: &mut Connection, age: Duration) -> Result<Step, StoreError> {
    let (hour, week) = (Duration::from_secs(3600), Duration::from_secs(7 * 24 * 3600));
    if retiring::roll(conn, (age / 10).clamp(hour, week)).await? {
        tracing::info!("new messages go to a new partition");
    }
    Ok(match retiring::retire(conn, age).await? {
        Retired::Nothing => Step { count: 0, more: false },
        Retired::Dropped | Retired::Shrunk => Step { count: 1, more: true },
        Retired::Kept => {
            tracing::warn!("old messages are kept: too many of the same age are still to be delivered");
            Step { count: 0, more: false }
        }
    })
}

/// Tells what is late, and what keeps dead rows. Reading a great backlog costs, so it takes a small part of the time.
async fn look(conn: &mut Connection, bookmark: &mut Bookmark, means: &Means) -> Result<Step, StoreError> {
    let began = Instant::now();
    if bookmark.rest_until.is_some_and(|until| began < until) {
        return Ok(Step { count: 0, more: false });
    }
    let (due, oldest) = (statistics::due(conn).await?, statistics::oldest_transaction(conn).await?);
    means.metrics.looked(&due, oldest);
    bookmark.rest_until = Some(Instant::now() + began.elapsed() * LOOKS_SHARE);
    Ok(Step { count: u64::try_from(due.len()).unwrap_or(0), more: false })
}

/// A step of the next running job, in turn. When the last has had its turn, it is the first one's again, as long as one of them has
/// more to do at once.
async fn work(conn: &mut Connection, bookmark: &mut Bookmark) -> Result<Step, StoreError> {
    let Some(id) = job::next(conn, bookmark.job).await? else {
        bookmark.job = 0;
        return Ok(Step { count: 0, more: std::mem::take(&mut bookmark.more) });
    };
    // Also if it fails: the others have their turn when the duty is due again.
    bookmark.job = id;
    let stepped = match job::step(conn, id).await {
        Err(StoreError::MissingPartition) => {
            partition::ensure_partitions(conn).await?;
            job::step(conn, id).await?
        }
        stepped => stepped?,
    };
    bookmark.more |= stepped.more;
    if !stepped.shards.is_empty()
        && let Err(error) = notify_pending(conn, &stepped.shards).await
    {
        tracing::debug!(%error, "what a job did is not announced; polling will find it");
    }
    Ok(Step { count: stepped.done, more: true })
}

fn bounded(count: u64) -> Step {
    Step { count, more: count >= u64::from(STEP) }
}

/// Up to where outcomes were counted, and which job had the last turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bookmark {
    after: i64,
    times: u32,
    job: i64,
    /// Whether one of the jobs that had their turn has more to do at once.
    more: bool,
    /// When it may be looked next at what is late.
    rest_until: Option<Instant>,
}

impl Default for Bookmark {
    fn default() -> Bookmark {
        Bookmark { after: i64::MIN, times: 0, job: 0, more: false, rest_until: None }
    }
}

impl Bookmark {
    /// The duty is due again.
    pub fn begin(&mut self) {
        if self.times.is_multiple_of(FROM_THE_BEGINNING) {
            self.after = i64::MIN;
        }
        self.times = self.times.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_goes_on_where_it_stopped_and_begins_anew_now_and_then() {
        let mut bookmark = Bookmark::default();
        let mut beginnings = 0;
        for time in 1..=i64::from(2 * FROM_THE_BEGINNING) {
            bookmark.begin();
            if bookmark.after == i64::MIN {
                beginnings += 1;
            } else {
                assert_eq!(bookmark.after, time - 1);
            }
            bookmark.after = time;
        }
        assert_eq!(beginnings, 2);
    }

    #[test]
    fn a_full_step_is_followed_by_another() {
        assert!(bounded(u64::from(STEP)).more && !bounded(u64::from(STEP) - 1).more && !bounded(0).more);
    }
}
