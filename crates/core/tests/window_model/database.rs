//! The table `pending` of a model: committed rows, transactions that are still open, and the log of what has committed; and
//! which queues are paused.

use std::collections::{BTreeMap, BTreeSet};

use posthaste_core::ids::{MessageId, QueueId, Shard};
use posthaste_core::time::Timestamp;
use posthaste_core::window::{Band, Refill, Row};

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

    pub fn bands(&self, shard: Shard, beyond: Option<Band>, limit: usize) -> Vec<Band> {
        let bands = self.rows.values().filter(|row| row.shard == shard).map(|row| (row.queue, row.priority));
        let mut bands: Vec<Band> = bands.filter(|band| beyond.is_none_or(|beyond| *band > beyond)).collect();
        bands.sort();
        bands.dedup();
        bands.truncate(limit);
        bands
    }

    pub fn read(&self, refill: &Refill) -> Vec<Row> {
        let of = (refill.shard, refill.queue, refill.priority);
        let rows = self.rows.values().filter(|row| (row.shard, row.queue, row.priority) == of);
        let beyond = |row: &&Row| refill.after.is_none_or(|after| (row.due, row.id) > after);
        let mut rows: Vec<Row> = rows.filter(beyond).copied().collect();
        rows.sort_by_key(|row| (row.due, row.id));
        rows.truncate(refill.limit);
        rows
    }

    fn of_key(&self, queue: QueueId, key: i64) -> impl Iterator<Item = &Row> {
        self.rows.values().filter(move |row| row.queue == queue && row.key == Some(key))
    }

    /// Whether no other of its ordering key comes before it.
    pub fn is_first(&self, row: &Row) -> bool {
        row.key.is_none_or(|key| self.of_key(row.queue, key).all(|other| other.id >= row.id))
    }

    /// From when on a row that is the first of its ordering key may be started: others of it may still be being sent.
    pub fn startable_at(&self, row: &Row) -> Timestamp {
        let of_key =
            self.rows.values().filter(|other| row.key.is_some() && (other.queue, other.key) == (row.queue, row.key));
        let holds = of_key.filter(|_| !row.cancelled).filter_map(|other| other.held_until);
        holds.chain(row.held_until).fold(row.due, Timestamp::max)
    }

    /// The one of its ordering key that comes before it.
    pub fn precedes(&self, row: &Row) -> Option<MessageId> {
        self.of_key(row.queue, row.key?).map(|other| other.id).min().filter(|first| *first < row.id)
    }

    /// Until when another of its ordering key is being sent at most.
    pub fn other_is_sent_until(&self, row: &Row, now: Timestamp) -> Option<Timestamp> {
        let others = self.of_key(row.queue, row.key?).filter(|other| other.id != row.id);
        others.filter_map(|other| other.held_until).filter(|until| *until > now).max()
    }

    /// Lets the first of an ordering key arrive.
    pub fn touch(&mut self, queue: QueueId, key: Option<i64>) {
        let first = key.and_then(|key| self.of_key(queue, key).map(|row| row.id).min());
        if let Some(first) = first {
            self.update(first, |_| ());
        }
    }
}
