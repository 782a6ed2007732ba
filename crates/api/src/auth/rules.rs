//! Rules: what each role may do with each entity.
//!
//! They are read once, when the API starts, and what is unknown in them keeps it from starting: a rule whose field is
//! mistyped would let everything through, or nothing. A caller gets the first rule, in their order, that is about one
//! of its roles; what that rule does not mention is denied. A check compares a field with a claim of the caller, as the
//! field's kind of value; where the claim is missing, null, or cannot be such a value, the operation is denied. It is
//! never compared with null, which would let everybody without the claim at the rows without an owner.

mod compile;
mod convert;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};

use posthaste_core::entity::{CronField, Entity, Field, MessageField, QueueField};
use posthaste_core::filter::{Comparison, Condition, Filter};

use super::claims::{Claims, RolesAt};
use super::grant::{Grant, Operation};

/// The role that may do everything.
pub const ADMIN: &str = "platformatic-admin";
/// The role of callers without any, unless the rules name another.
const ANONYMOUS: &str = "anonymous";

/// The rules of an API, ready to be used.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The role of callers without any.
    pub anonymous_role: String,
    /// Where a caller's roles are among its claims.
    pub roles_at: RolesAt,
    queues: Vec<Rule<QueueField>>,
    messages: Vec<Rule<MessageField>>,
    crons: Vec<Rule<CronField>>,
}

/// Denies everything.
impl Default for Rules {
    fn default() -> Rules {
        Rules {
            anonymous_role: ANONYMOUS.to_owned(),
            roles_at: RolesAt::default(),
            queues: Vec::new(),
            messages: Vec::new(),
            crons: Vec::new(),
        }
    }
}

/// What one role may do with one entity. `None` is nothing.
#[derive(Debug, Clone)]
struct Rule<F> {
    role: String,
    find: Option<Permission<F>>,
    save: Option<Permission<F>>,
    update_many: Option<Permission<F>>,
    delete: Option<Permission<F>>,
    /// Fields and the claims that they are set to.
    defaults: Vec<(F, String)>,
}

/// The bounds of one operation.
#[derive(Debug, Clone, PartialEq)]
struct Permission<F> {
    checks: Vec<Check<F>>,
    fields: Option<BTreeSet<F>>,
}

/// A comparison of a field with a claim.
#[derive(Debug, Clone, PartialEq)]
struct Check<F> {
    field: F,
    operator: Operator,
    claim: String,
}

/// How a field is compared with a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Compare(Comparison),
    In,
    NotIn,
    Like,
    Ilike,
}

impl Rules {
    /// Reads rules from JSON: an array of rules, or an object with `rules` and, optionally, `roleKey`, `rolePath` and
    /// `anonymousRole`.
    ///
    /// # Errors
    /// Everything that is wrong with them, one sentence each.
    pub fn compile(json: &str) -> Result<Rules, Vec<String>> {
        compile::compile(json)
    }

    /// What a caller with these roles and claims may do; `None`: nothing.
    #[must_use]
    pub fn grant<F: Field>(&self, operation: Operation, roles: &[String], claims: &Claims) -> Option<Grant<F>> {
        self.of::<F>().iter().find(|rule| roles.contains(&rule.role))?.grant(operation, claims)
    }

    fn of<F: Field>(&self) -> &[Rule<F>] {
        let rules: &dyn Any = match F::ENTITY {
            Entity::Queue => &self.queues,
            Entity::Message => &self.messages,
            Entity::Cron => &self.crons,
        };
        // The fields of an entity are of one type. Were there two, the other would be denied everything.
        rules.downcast_ref::<Vec<Rule<F>>>().map_or(&[], Vec::as_slice)
    }
}

impl<F: Field> Rule<F> {
    fn grant(&self, operation: Operation, claims: &Claims) -> Option<Grant<F>> {
        let (permission, writes) = match operation {
            Operation::Find => (&self.find, false),
            Operation::Save => (&self.save, true),
            Operation::UpdateMany => (&self.update_many, true),
            Operation::Delete => (&self.delete, false),
        };
        let permission = permission.as_ref()?;
        let mut filter = Filter::default();
        for check in &permission.checks {
            let test = convert::test(check.field, check.operator, claims.get(&check.claim)?)?;
            filter = filter.and(Condition { field: check.field, test });
        }
        let mut defaults = BTreeMap::new();
        if writes {
            for (field, claim) in &self.defaults {
                defaults.insert(*field, convert::value(field.kind(), claims.get(claim)?)?);
            }
        }
        Some(Grant { filter, fields: permission.fields.clone(), defaults })
    }
}

#[cfg(test)]
mod tests;
