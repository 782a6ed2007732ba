//! Entries of the audit log in JSON.

use posthaste_store::audit::Recorded;
use serde::Serialize;
use serde_json::Value;

use super::{Date, Id};

/// An entry as it is answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryView<'a> {
    id: Id,
    at: Date,
    actor: &'a str,
    action: &'a str,
    entity: &'a str,
    entity_id: Option<Id>,
    detail: Option<&'a Value>,
}

impl<'a> From<&'a Recorded> for EntryView<'a> {
    fn from(entry: &'a Recorded) -> EntryView<'a> {
        EntryView {
            id: Id(entry.id),
            at: Date(entry.at),
            actor: &entry.actor,
            action: &entry.action,
            entity: &entry.entity,
            entity_id: entry.entity_id.map(Id),
            detail: entry.detail.as_ref(),
        }
    }
}
