//! What a worker reads of its shards: where its feed begins, what arrived since, which queues there are and which of them are
//! paused, what comes next.
//!
//! The reads run one after the other, between the events of the loop, so no outcome becomes known while one is under way:
//! what a read shows of a message that is finished meanwhile is still known as in flight when it is passed on.

use std::time::Instant;

use posthaste_core::ids::Shard;
use posthaste_core::time::Timestamp;
use posthaste_store::connect::Connection;
use posthaste_store::error::StoreError;
use posthaste_store::queue_state;
use posthaste_store::reading::{self, Facts, Snapshot};

use super::{Event, POLL, POLL_PAUSES, Report, Step, Worker};
use crate::clock::DatabaseClock;

/// Queues that one step of discovery reads, a shard.
const DISCOVERY: i32 = 1_000;
/// Windows refilled in one statement.
const REFILLS: usize = 16;

/// The place in the stream of changes that was read up to, on which server.
pub(super) struct Feed {
    pub(super) snapshot: Snapshot,
    postmaster_start: Timestamp,
    pub(super) clock: DatabaseClock,
}

impl Worker {
    /// Opens the windows of every shard that is owned: after the snapshot was taken, so that whatever is committed from
    /// then on arrives, and whatever was committed before is found by discovery.
    pub(super) async fn begin(&mut self, reader: &mut Connection) -> Result<(), StoreError> {
        let (snapshot, facts) = reading::begin(reader).await?;
        self.feed =
            Some(Feed { snapshot, postmaster_start: facts.postmaster_start, clock: DatabaseClock::set(facts.clock) });
        self.taking = self.owned.keys().copied().collect();
        self.pauses(reader).await
    }

    /// Reads the changes since the last read. False: another server answered, and the process was told.
    pub(super) async fn arrivals(&mut self, reader: &mut Connection) -> Result<bool, StoreError> {
        let Some(feed) = &mut self.feed else { return Ok(true) };
        let owned: Vec<Shard> = self.owned.keys().copied().collect();
        let windows = &mut self.windows;
        let (snapshot, facts) = reading::arrivals(reader, &owned, &feed.snapshot, |row| windows.arrive(row)).await?;
        let Facts { clock, postmaster_start, in_recovery } = facts;
        if in_recovery || postmaster_start != feed.postmaster_start {
            tracing::warn!("another database server answers: taking over anew");
            let _ = self.report.send(Report::ServerChanged);
            self.handle(Event::Lost);
            return Ok(false);
        }
        *feed = Feed { snapshot, postmaster_start, clock: DatabaseClock::set(clock) };
        self.poll_at = Instant::now() + POLL;
        self.keys.set(self.windows.keys());
        Ok(true)
    }

    /// Reads which queues are paused. Pauses are seen in order, those that a read of payloads shows as well: both are read by
    /// this connection, one after the other.
    pub(super) async fn pauses(&mut self, reader: &mut Connection) -> Result<(), StoreError> {
        // Counted from here: what is paused while the answer is on its way is read next time.
        self.pauses_at = Instant::now() + POLL_PAUSES;
        let paused = queue_state::paused(reader).await?;
        self.windows.set_paused(&paused.into_iter().collect());
        self.gather(reader).await
    }

    pub(super) async fn reread(&mut self, reader: &mut Connection) -> Result<(), StoreError> {
        if self.reread.is_empty() {
            return Ok(());
        }
        let owned: Vec<Shard> = self.owned.keys().copied().collect();
        for row in reading::by_id(reader, &self.reread, &owned).await? {
            self.windows.reread(row);
        }
        self.reread.clear();
        Ok(())
    }

    pub(super) async fn discover(&mut self, reader: &mut Connection) -> Result<Step, StoreError> {
        let steps = self.windows.next_discovery(self.owned.len());
        if steps.is_empty() {
            return Ok(Step::Idle);
        }
        match reading::discover(reader, &steps, DISCOVERY).await {
            Ok(found) => {
                for found in found {
                    self.windows.discovered(found.shard, &found.bands, found.complete);
                }
                Ok(Step::More)
            }
            Err(error) => {
                for (shard, _) in steps {
                    self.windows.discovery_failed(shard);
                }
                Err(error)
            }
        }
    }

    pub(super) async fn refill(&mut self, reader: &mut Connection) -> Result<Step, StoreError> {
        let Some(now) = self.now() else { return Ok(Step::Idle) };
        let refills = self.windows.next_refills(now, REFILLS);
        if refills.is_empty() {
            return Ok(Step::Idle);
        }
        match reading::refill(reader, &refills).await {
            Ok(found) => {
                for (refill, (rows, exhausted)) in refills.into_iter().zip(found) {
                    self.windows.refilled(refill, &rows, exhausted);
                }
                Ok(Step::More)
            }
            Err(error) => {
                for refill in refills {
                    self.windows.refill_failed(refill);
                }
                Err(error)
            }
        }
    }
}
