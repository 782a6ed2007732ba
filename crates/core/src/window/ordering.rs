//! Ordering keys: of each only the first that is in memory starts, and one waits behind it.
//!
//! A row that comes while another of its key is in flight, or one of its key that was stored earlier is in memory, is kept beside that
//! one, and joins when it leaves memory. Of several only the one that was stored first is kept: whoever ends a message makes the next
//! of its key in the table arrive. So a key costs two rows at most, however many wait for it.
//!
//! This is not yet the promise, because an earlier one may be unread: whoever sends makes sure in the table that the row comes first.

use super::Row;
use super::Windows;
use super::joining::Source;
use crate::ids::{MessageId, QueueId};

#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub first: MessageId,
    /// What joins when the first leaves memory.
    next: Option<Row>,
}

impl Windows {
    /// Whether another of its ordering key must end first. It is kept until then, unless one before it is.
    pub(super) fn stands_behind(&mut self, row: &Row) -> bool {
        let Some(head) = row.key.and_then(|key| self.heads.get_mut(&(row.queue, key))) else { return false };
        // An older version of it, which counts no more wherever this one goes.
        head.next = head.next.filter(|next| next.id != row.id);
        if row.cancelled || row.held_until.is_some() {
            return false;
        }
        let behind = head.first < row.id || head.first != row.id && self.flights.contains_key(&head.first);
        if behind && head.next.is_none_or(|next| row.id < next.id) {
            head.next = Some(*row);
        }
        behind
    }

    /// Remembers the first of its ordering key.
    pub(super) fn crown(&mut self, id: MessageId, queue: QueueId, key: Option<i64>) {
        if let Some(key) = key {
            let head = self.heads.entry((queue, key)).or_insert(Head { first: id, next: None });
            if id < head.first && !self.flights.contains_key(&head.first) {
                head.first = id;
            }
        }
    }

    /// This message is in flight, so it stands first whatever else of its key is in memory.
    pub(super) fn enthrone(&mut self, id: MessageId, queue: QueueId, key: Option<i64>) {
        if let Some(key) = key {
            self.heads.entry((queue, key)).or_insert(Head { first: id, next: None }).first = id;
        }
    }

    /// This message is no longer the first of its ordering key: the next may join.
    pub(super) fn behead(&mut self, id: MessageId, queue: QueueId, key: Option<i64>) {
        if let Some(key) = key
            && self.heads.get(&(queue, key)).is_some_and(|head| head.first == id)
        {
            let next = self.heads.remove(&(queue, key)).and_then(|head| head.next);
            self.following.extend(next);
        }
    }

    /// Lets those join whose predecessors have left memory.
    pub(super) fn let_follow(&mut self) {
        while let Some(row) = self.following.pop() {
            self.admit(row, Source::Other);
        }
    }
}
