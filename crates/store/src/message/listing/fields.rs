//! What the fields of a message are, by where it is looked for.

use posthaste_core::entity::MessageField;
use posthaste_core::filter::Value;

use crate::listing::Expression;
use crate::message::Ending;

/// Where messages are looked for. The tables are `m`, `p` and `a`; `f` is the final attempt of `m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// `m`, perhaps with `p` and `f`, whatever has become of it.
    Any,
    /// `m` without a pending row, perhaps with `f`.
    NotPending,
    /// `p`, and `m` where it is asked for.
    Pending,
    /// As [`View::Pending`], of one queue, retrying, or by time: the id is as the indexes for these have it.
    PendingOfSome,
    /// `m` with `p`.
    PendingByMessage,
    /// `a`, which ended so, and `m` where it is asked for.
    Ended(Ending),
    /// As [`View::Ended`], looked for by `m`.
    EndedByMessage(Ending),
    /// `m` with neither.
    Unknown,
}

/// Whether a field is of what was asked, and not of how far it has come: it is in `messages` alone.
pub(super) fn of_request(field: MessageField) -> bool {
    match field {
        MessageField::Body
        | MessageField::Headers
        | MessageField::CronId
        | MessageField::CreatedAt
        | MessageField::UpdatedAt
        | MessageField::ExpiresAt
        | MessageField::BodyBase64
        | MessageField::ConnectTimeoutMs
        | MessageField::TimeoutMs
        | MessageField::Traceparent
        | MessageField::Tracestate
        | MessageField::OrderingKey
        | MessageField::Priority
        | MessageField::Origin
        | MessageField::ReplayOf
        | MessageField::EventType => true,
        MessageField::Id
        | MessageField::QueueId
        | MessageField::When
        | MessageField::Failed
        | MessageField::SentAt
        | MessageField::Retries
        | MessageField::Status => false,
    }
}

/// A field in a view. The counterpart in Rust is [`Progress`](crate::message::Progress), read from the same rows.
pub(super) fn field(view: View, field: MessageField) -> Expression {
    match field {
        MessageField::Id => column(match view {
            View::Any | View::NotPending | View::PendingByMessage | View::EndedByMessage(_) | View::Unknown => "m.id",
            View::Pending => "p.message_id",
            View::PendingOfSome => "(p.message_id + 0)",
            View::Ended(_) => "a.message_id",
        }),
        MessageField::QueueId => column(match view {
            View::Any | View::NotPending | View::PendingByMessage | View::EndedByMessage(_) | View::Unknown => {
                "m.queue_id"
            }
            View::Pending | View::PendingOfSome => "p.queue_id",
            View::Ended(_) => "a.queue_id",
        }),
        MessageField::When => column(match view {
            View::Any => "coalesce(p.due_at, m.scheduled_at)",
            View::Pending | View::PendingOfSome | View::PendingByMessage => "p.due_at",
            View::NotPending | View::Ended(_) | View::EndedByMessage(_) | View::Unknown => "m.scheduled_at",
        }),
        MessageField::Failed => match view {
            View::Any => column("(p.attempt IS NULL AND coalesce(f.outcome IN ('failed', 'expired'), false))"),
            View::NotPending => column("coalesce(f.outcome IN ('failed', 'expired'), false)"),
            View::Ended(Ending::Failed | Ending::Expired) | View::EndedByMessage(Ending::Failed | Ending::Expired) => {
                constant(Value::Boolean(true), "true")
            }
            View::Pending
            | View::PendingOfSome
            | View::PendingByMessage
            | View::Ended(Ending::Delivered | Ending::Cancelled)
            | View::EndedByMessage(Ending::Delivered | Ending::Cancelled)
            | View::Unknown => constant(Value::Boolean(false), "false"),
        },
        MessageField::SentAt => match view {
            View::Any => nullable(
                "(CASE WHEN p.attempt IS NULL AND f.outcome IN ('delivered', 'failed') THEN f.finished_at END)",
            ),
            View::NotPending => nullable("(CASE WHEN f.outcome IN ('delivered', 'failed') THEN f.finished_at END)"),
            View::Ended(Ending::Delivered | Ending::Failed)
            | View::EndedByMessage(Ending::Delivered | Ending::Failed) => column("a.finished_at"),
            View::Pending
            | View::PendingOfSome
            | View::PendingByMessage
            | View::Ended(Ending::Cancelled | Ending::Expired)
            | View::EndedByMessage(Ending::Cancelled | Ending::Expired) => null("NULL::timestamptz"),
            View::Unknown => Expression::Named { value: None, text: "NULL::timestamptz" },
        },
        MessageField::Retries => match view {
            View::Any => column("coalesce(p.attempt, f.number - 1, 0)"),
            View::NotPending => column("coalesce(f.number - 1, 0)"),
            View::Pending | View::PendingOfSome | View::PendingByMessage => column("p.attempt"),
            View::Ended(_) | View::EndedByMessage(_) => column("(a.number - 1)"),
            View::Unknown => constant(Value::Number(0), "0"),
        },
        MessageField::Status => match view {
            View::Any => {
                column("(CASE WHEN p.attempt IS NOT NULL THEN 'pending' ELSE coalesce(f.outcome, 'unknown') END)")
            }
            View::NotPending => column("coalesce(f.outcome, 'unknown')"),
            View::Pending | View::PendingOfSome | View::PendingByMessage => status("pending", "'pending'::text"),
            View::Ended(Ending::Delivered) | View::EndedByMessage(Ending::Delivered) => {
                status("delivered", "'delivered'::text")
            }
            View::Ended(Ending::Failed) | View::EndedByMessage(Ending::Failed) => status("failed", "'failed'::text"),
            View::Ended(Ending::Cancelled) | View::EndedByMessage(Ending::Cancelled) => {
                status("cancelled", "'cancelled'::text")
            }
            View::Ended(Ending::Expired) | View::EndedByMessage(Ending::Expired) => {
                status("expired", "'expired'::text")
            }
            View::Unknown => {
                Expression::Named { value: Some(Value::Text("unknown".to_owned())), text: "'unknown'::text" }
            }
        },
        MessageField::Body => nullable("m.body"),
        MessageField::CronId => nullable("m.cron_id"),
        MessageField::CreatedAt => column("m.created_at"),
        MessageField::UpdatedAt => column("m.updated_at"),
        MessageField::ExpiresAt => nullable("m.expires_at"),
        MessageField::ConnectTimeoutMs => nullable("m.connect_timeout_ms"),
        MessageField::TimeoutMs => nullable("m.timeout_ms"),
        MessageField::Traceparent => nullable("m.traceparent"),
        MessageField::Tracestate => nullable("m.tracestate"),
        MessageField::OrderingKey => nullable("m.ordering_key"),
        MessageField::Priority => column("coalesce(m.priority, 0)"),
        MessageField::ReplayOf => nullable("m.replay_of"),
        MessageField::EventType => nullable("m.event_type"),
        // Not compared by from outside, see `Field::is_comparable`; a redrive asks whether it is null: whether there is one that has not
        // been redriven.
        MessageField::Origin => {
            nullable("(CASE WHEN m.origin ->> 'redrivenAt' IS NULL THEN m.origin ->> 'queueId' END)")
        }
        MessageField::Headers | MessageField::BodyBase64 => null("NULL::text"),
    }
}

fn column(text: &'static str) -> Expression {
    Expression::Column { text, nullable: false }
}

fn nullable(text: &'static str) -> Expression {
    Expression::Column { text, nullable: true }
}

fn constant(value: Value, text: &'static str) -> Expression {
    Expression::Constant { value: Some(value), text }
}

fn null(text: &'static str) -> Expression {
    Expression::Constant { value: None, text }
}

fn status(status: &str, text: &'static str) -> Expression {
    constant(Value::Text(status.to_owned()), text)
}
