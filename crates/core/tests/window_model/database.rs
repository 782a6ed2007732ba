//! The table `pending` of a model: committed rows, transactions that are still open, and the log of what has committed; and
//! which queues are paused.

use std::collections::{BTreeMap, BTreeSet};

use posthaste_core::ids::{MessageId, QueueId, Shard};
use posthaste_core::time::Timestamp;
use posthaste_core::window::Row;

/// What a transaction does when it commits.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    Insert(Row),
    Reschedule(MessageId, Timestamp),
    Cancel(MessageId),
}

#[derive(Default)]
pub struct Database {
    pub rows: BTreeMap<MessageId, Row>,
    /// The ids that were inserted or updated, in the order of the commits: what arrivals are read from.
    pub log: Vec<MessageId>,
    pub open: Vec<Vec<Change>>,
    pub paused: BTreeSet<QueueId>,
    /// How many messages have committed.
    pub inserted: usize,
    last_id: i64,
}

impl Database {
    /// Ids are handed out when a row is inserted, and so do not rise with commits.
    pub fn next_id(&mut self) -> MessageId {
        self.last_id += 1;
        MessageId(self.last_id)
    }

    pub fn commit(&mut self, changes: &[Change]) {
        for change in changes {
            match *change {
                Change::Insert(row) => {
                    self.inserted += 1;
                    self.write(row);
                }
                Change::Reschedule(id, due) => self.update(id, |row| row.due = due),
                Change::Cancel(id) => self.update(id, |row| row.cancelled = true),
            }
        }
    }

    pub fn update(&mut self, id: MessageId, change: impl FnOnce(&mut Row)) {
        if let Some(mut row) = self.rows.get(&id).copied() {
            change(&mut row);
            self.write(row);
        }
    }

    fn write(&mut self, row: Row) {
        self.rows.insert(row.id, row);
        self.log.push(row.id);
    }

    /// The row, if this attempt of it is still to be made.
    pub fn pending(&self, id: MessageId, attempt: i32) -> Option<Row> {
        self.rows.get(&id).copied().filter(|row| row.attempt == attempt)
    }

    /// The rows that changed since that place of the log, in these shards. Transactions show up whole and rows in any order.
    pub fn arrivals(&self, since: usize, owned: &[Shard]) -> Vec<Row> {
        let mut ids = self.log[since..].to_vec();
        ids.sort_by_key(|id| (id.0 * 7) % 11);
        ids.dedup();
        let rows = ids.iter().filter_map(|id| self.rows.get(id));
        rows.filter(|row| owned.contains(&row.shard)).copied().collect()
    }

    pub fn queues(&self, shard: Shard, beyond: Option<QueueId>, limit: usize) -> Vec<QueueId> {
        let rows =
            self.rows.values().filter(|row| row.shard == shard && beyond.is_none_or(|beyond| row.queue > beyond));
        let mut queues: Vec<QueueId> = rows.map(|row| row.queue).collect();
        queues.sort();
        queues.dedup();
        queues.truncate(limit);
        queues
    }

    pub fn read(&self, shard: Shard, queue: QueueId, after: Option<(Timestamp, MessageId)>, limit: usize) -> Vec<Row> {
        let rows = self.rows.values().filter(|row| row.shard == shard && row.queue == queue);
        let mut rows: Vec<Row> =
            rows.filter(|row| after.is_none_or(|after| (row.due, row.id) > after)).copied().collect();
        rows.sort_by_key(|row| (row.due, row.id));
        rows.truncate(limit);
        rows
    }
}

/// From when on a row may be started.
pub fn startable_at(row: &Row) -> Timestamp {
    row.held_until.map_or(row.due, |until| until.max(row.due))
}
