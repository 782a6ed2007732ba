//! Where the messages of a list are looked for.
//!
//! Three rules make the plans good whatever the table holds:
//! - Statistics of `pending` are always wrong, so where its rows come into it, the planner has no choice: a `LATERAL` with
//!   `OFFSET 0` is a look-up by id and nothing else, and the id as `(message_id + 0)` is found in one index only.
//! - Where it matters whether few or many are pending, the statement itself looks, up to [`FEW`], and one of two branches
//!   is then not executed.
//! - Statistics of `messages` and `attempts` are good, for their rows stay: between these two the planner decides.

use posthaste_core::entity::MessageField;
use posthaste_core::filter::{Clause, Comparison, Condition, Filter, Test, Value};
use posthaste_core::listing::Listing;

use super::fields::{View, field, of_request};
use super::{final_attempt, pending_row};
use crate::listing::{Branch, Expression, Logic, Sql, conditions};
use crate::message::Ending;

/// So many pending rows are read and sorted; where there are more, an index in the list's order is followed.
const FEW: &str = "100000";

/// What the branches of a list depend on.
pub(super) struct Question<'a> {
    filter: &'a Filter<MessageField>,
    order: Vec<MessageField>,
    /// The field that refers to `parent.id`, for lists of many parents.
    parent: Option<MessageField>,
}

impl<'a> Question<'a> {
    pub(super) fn list(listing: &'a Listing<MessageField>, parent: Option<MessageField>) -> Question<'a> {
        let mut order: Vec<MessageField> = listing.order.iter().map(|order| order.field).collect();
        if let Some(id) = order.iter().position(|field| *field == MessageField::Id) {
            order.truncate(id + 1);
        }
        Question { filter: &listing.filter, order, parent }
    }

    pub(super) fn count(filter: &'a Filter<MessageField>) -> Question<'a> {
        Question { filter, order: Vec::new(), parent: None }
    }

    fn asks(&self, field: MessageField) -> bool {
        self.fields().any(|asked| asked == field)
    }

    fn filters(&self, field: MessageField) -> bool {
        self.filter.fields().any(|asked| asked == field)
    }

    fn fields(&self) -> impl Iterator<Item = MessageField> {
        self.filter.fields().chain(self.order.iter().copied()).chain(self.parent)
    }

    /// Whether only messages of one queue, or of a few, are let through.
    fn is_of_queue(&self) -> bool {
        self.parent == Some(MessageField::QueueId)
            || self.requires(|one| {
                one.field == MessageField::QueueId
                    && matches!(one.test, Test::Compare(Comparison::Equal, _) | Test::In(_))
            })
    }

    /// Whether only messages with certain ids are let through: they are looked up, whatever the order.
    fn names_ids(&self) -> bool {
        self.requires(|one| {
            one.field == MessageField::Id && matches!(one.test, Test::Compare(Comparison::Equal, _) | Test::In(_))
        })
    }

    /// Whether only messages that have been retried are let through.
    fn is_retried(&self) -> bool {
        self.requires(|one| {
            one.field == MessageField::Retries
                && match one.test {
                    Test::Compare(Comparison::Greater, Value::Number(than)) => than >= 0,
                    Test::Compare(Comparison::Equal | Comparison::GreaterOrEqual, Value::Number(least)) => least > 0,
                    _ => false,
                }
        })
    }

    /// Whether a condition of this kind is among those that must hold.
    fn requires(&self, kind: impl Fn(&Condition<MessageField>) -> bool) -> bool {
        self.filter.all.iter().any(|clause| matches!(clause, Clause::One(one) if kind(one)))
    }

    /// Whether the columns of `messages` are needed for these rows.
    fn needs_message(&self, view: View) -> bool {
        let ended = matches!(view, View::Ended(_));
        self.fields().any(|field| of_request(field) || ended && field == MessageField::When)
    }

    /// The first field of the order that is not the same for all these rows.
    fn walk(&self, view: View) -> MessageField {
        let open = |asked: &&MessageField| matches!(field(view, **asked), Expression::Column { .. });
        self.order.iter().find(open).copied().unwrap_or(MessageField::Id)
    }

    fn can_match(&self, view: View) -> bool {
        let fields = |asked| field(view, asked);
        conditions(self.filter, &fields) != Logic::Never
    }

    /// Whether an index of `attempts` has something to go by. That messages were delivered narrows nothing down: most were.
    fn is_led_by_attempts(&self, view: View) -> bool {
        let ended = |asked| matches!(asked, MessageField::SentAt | MessageField::Retries);
        self.walk(view) == MessageField::SentAt || matches!(self.conditions_on(view, ended), Logic::Sometimes(_))
    }

    /// The conditions that concern nothing but what `known` says yes to, in a view; implied by the whole filter.
    fn conditions_on(&self, view: View, known: impl Fn(MessageField) -> bool) -> Logic {
        let concerned = |clause: &&Clause<MessageField>| match clause {
            Clause::One(one) => known(one.field),
            Clause::Any(any) => any.iter().all(|one| known(one.field)),
        };
        let filter = Filter { all: self.filter.all.iter().filter(concerned).cloned().collect() };
        let relation = match self.parent {
            Some(parent) if known(parent) => self.relation(view),
            Some(_) | None => Logic::Always,
        };
        conditions(&filter, &|asked| field(view, asked)).and(relation)
    }

    /// The parent's own rows.
    fn relation(&self, view: View) -> Logic {
        match self.parent.map(|parent| field(view, parent)) {
            Some(Expression::Column { text, .. }) => Logic::Sometimes(Sql::new(text).text(" = parent.id")),
            Some(Expression::Constant { .. } | Expression::Named { .. }) | None => Logic::Always,
        }
    }

    fn branch(&self, view: View, from: Sql, rows: Logic) -> Branch<MessageField> {
        let rows = self.relation(view).and(rows);
        Branch { from, fields: Box::new(move |asked| field(view, asked)), rows, ends_with_earlier: false }
    }
}

/// The branches of which a list or count consists; they are disjoint.
pub(super) fn branches(question: &Question<'_>) -> Vec<Branch<MessageField>> {
    let own = |asked: MessageField| of_request(asked) || matches!(asked, MessageField::Id | MessageField::QueueId);
    if question.fields().all(own) {
        return vec![question.branch(View::Any, Sql::new("posthaste.messages m"), Logic::Always)];
    }
    let mut branches = Vec::new();
    if question.can_match(View::Pending) {
        branches = pending(question);
    }
    if question.fields().all(|asked| own(asked) || asked == MessageField::When) {
        branches.push(not_pending(question, Sql::new("posthaste.messages m")));
        return branches;
    }
    let unknown = question.can_match(View::Unknown) && !question.order.contains(&MessageField::SentAt);
    if unknown && !question.filters(MessageField::Status) && !question.asks(MessageField::SentAt) {
        // What narrows nothing down is told of each message in turn.
        if question.asks(MessageField::When) {
            let from = Sql::new(concat!("posthaste.messages m ", final_attempt!()));
            branches.push(not_pending(question, from));
            return branches;
        }
        let from = Sql::new(concat!("posthaste.messages m ", pending_row!(), final_attempt!()));
        return vec![question.branch(View::Any, from, Logic::Always)];
    }
    let endings = [Ending::Delivered, Ending::Failed, Ending::Cancelled, Ending::Expired];
    branches.extend(
        endings
            .into_iter()
            .filter(|ending| question.can_match(View::Ended(*ending)))
            .map(|ending| ended(question, ending)),
    );
    if unknown {
        let none = "NOT EXISTS (SELECT FROM posthaste.attempts a
                                 WHERE a.message_id = m.id AND a.outcome <> 'retried' OFFSET 0)";
        let rows = without_pending("m.id").and(Logic::Sometimes(Sql::new(none)));
        branches.push(question.branch(View::Unknown, Sql::new("posthaste.messages m"), rows));
    }
    branches
}

/// By `when`, what is pending comes last or, downwards, first; among the latter only a walk over all of it finds another.
fn not_pending(question: &Question<'_>, from: Sql) -> Branch<MessageField> {
    let ends_with_earlier = question.order.first() == Some(&MessageField::When) && !question.names_ids();
    Branch { ends_with_earlier, ..question.branch(View::NotPending, from, without_pending("m.id")) }
}

/// A pending row wins over an attempt.
fn without_pending(id: &'static str) -> Logic {
    let sql = Sql::new("NOT EXISTS (SELECT FROM posthaste.pending p WHERE p.message_id = ").text(id);
    Logic::Sometimes(sql.text(" OFFSET 0)"))
}

fn pending(question: &Question<'_>) -> Vec<Branch<MessageField>> {
    let of_queue = question.is_of_queue();
    let retrying = question.is_retried();
    let by_time = question.walk(View::Pending) == MessageField::When && !question.names_ids();
    let view = if of_queue || retrying || by_time { View::PendingOfSome } else { View::Pending };
    let filtered_by_message = question.needs_message(view);
    // Rows of it that are left of a deleted message are cancelled.
    let message = if filtered_by_message { MESSAGE_OF_PENDING } else { "" };
    let exists = if filtered_by_message { Logic::Always } else { Logic::Sometimes(Sql::new(EXISTS_OF_PENDING)) };
    // As the index of what is retrying has it.
    let narrow = if retrying { Logic::Sometimes(Sql::new("p.attempt > 0")) } else { Logic::Always };
    let own = question.conditions_on(view, |asked| !of_request(asked)).and(narrow.clone());
    let direct = |rows: Logic| {
        let from = Sql::new("posthaste.pending p").text(message);
        question.branch(view, from, exists.clone().and(narrow.clone()).and(rows))
    };
    let set = |rows: Logic| {
        let set = Sql::new("(SELECT p.* FROM posthaste.pending p").sql(clause(own.clone()));
        // So that no other index seems to be as good.
        let order = if of_queue {
            " ORDER BY p.queue_id, (p.message_id + 0) OFFSET 0) AS p"
        } else if retrying {
            " ORDER BY (p.message_id + 0) OFFSET 0) AS p"
        } else {
            " ORDER BY p.message_id OFFSET 0) AS p"
        };
        question.branch(view, set.text(order).text(message), exists.clone().and(rows))
    };
    let by_message = |rows: Logic| {
        let from = "posthaste.messages m CROSS JOIN LATERAL (
                        SELECT p.* FROM posthaste.pending p WHERE p.message_id = m.id OFFSET 0) AS p";
        question.branch(View::PendingByMessage, Sql::new(from), rows)
    };
    let few = || gate(own.clone(), " <= ");
    let many = || gate(own.clone(), " > ");
    match question.walk(view) {
        MessageField::Id if filtered_by_message => vec![set(few()), by_message(many())],
        MessageField::Id => vec![direct(Logic::Always)],
        MessageField::When if of_queue || retrying => vec![set(few()), direct(many())],
        MessageField::When => vec![direct(Logic::Always)],
        asked if of_request(asked) => vec![set(few()), by_message(many())],
        _ => vec![set(Logic::Always)],
    }
}

const MESSAGE_OF_PENDING: &str =
    " CROSS JOIN LATERAL (SELECT m.* FROM posthaste.messages m WHERE m.id = p.message_id OFFSET 0) AS m";
const EXISTS_OF_PENDING: &str =
    "(NOT p.cancelled OR EXISTS (SELECT FROM posthaste.messages m WHERE m.id = p.message_id OFFSET 0))";

/// Whether the pending rows that fulfil a condition are few, or many.
fn gate(own: Logic, comparison: &'static str) -> Logic {
    let count = Sql::new("(SELECT count(*) FROM (SELECT FROM posthaste.pending p").sql(clause(own));
    Logic::Sometimes(count.text(" LIMIT ").text(FEW).text(" + 1) AS few)").text(comparison).text(FEW))
}

fn clause(condition: Logic) -> Sql {
    match condition {
        Logic::Always => Sql::default(),
        Logic::Never => Sql::new(" WHERE false"),
        Logic::Sometimes(condition) => Sql::new(" WHERE ").sql(condition),
    }
}

fn ended(question: &Question<'_>, ending: Ending) -> Branch<MessageField> {
    let view = View::Ended(ending);
    let outcome = match ending {
        Ending::Delivered => "a.outcome = 'delivered'",
        Ending::Failed => "a.outcome = 'failed'",
        Ending::Cancelled => "a.outcome = 'cancelled'",
        Ending::Expired => "a.outcome = 'expired'",
    };
    // Sent again after it had ended, a message has several such attempts.
    let last = "NOT EXISTS (SELECT FROM posthaste.attempts l WHERE l.message_id = a.message_id
                               AND l.number > a.number AND l.outcome <> 'retried' OFFSET 0)";
    let ended = Logic::Sometimes(Sql::new(outcome)).and(without_pending("a.message_id"));
    // As the index of what was retried has it.
    let narrow = if question.is_retried() { Logic::Sometimes(Sql::new("a.number - 1 > 0")) } else { Logic::Always };
    let ended = ended.and(narrow).and(Logic::Sometimes(Sql::new(last)));
    if ending == Ending::Delivered && !question.is_led_by_attempts(view) {
        let from = "posthaste.messages m CROSS JOIN LATERAL (
                        SELECT a.* FROM posthaste.attempts a
                         WHERE a.message_id = m.id AND a.outcome = 'delivered' OFFSET 0) AS a";
        return question.branch(View::EndedByMessage(ending), Sql::new(from), ended);
    }
    if question.needs_message(view) {
        let from = Sql::new("posthaste.attempts a JOIN posthaste.messages m ON m.id = a.message_id");
        return question.branch(view, from, ended);
    }
    let exists = "EXISTS (SELECT FROM posthaste.messages m WHERE m.id = a.message_id OFFSET 0)";
    question.branch(view, Sql::new("posthaste.attempts a"), ended.and(Logic::Sometimes(Sql::new(exists))))
}
