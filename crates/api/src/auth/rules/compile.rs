//! From JSON to rules: everything is checked, nothing is ignored.

use std::collections::BTreeSet;

use posthaste_core::entity::{CronField, Entity, Field, Kind, MessageField, QueueField};
use posthaste_core::filter::Comparison;
use serde_json::{Map, Value};

use super::{ADMIN, Check, Operator, Permission, Rule, Rules};
use crate::auth::claims::RolesAt;

/// All entities at once.
const EVERY: &str = "*";
const OPERATIONS: [&str; 4] = ["find", "save", "updateMany", "delete"];
const OPERATORS: [(&str, Operator); 10] = [
    ("eq", Operator::Compare(Comparison::Equal)),
    ("neq", Operator::Compare(Comparison::NotEqual)),
    ("gt", Operator::Compare(Comparison::Greater)),
    ("gte", Operator::Compare(Comparison::GreaterOrEqual)),
    ("lt", Operator::Compare(Comparison::Less)),
    ("lte", Operator::Compare(Comparison::LessOrEqual)),
    ("in", Operator::In),
    ("nin", Operator::NotIn),
    ("like", Operator::Like),
    ("ilike", Operator::Ilike),
];

pub(super) fn compile(json: &str) -> Result<Rules, Vec<String>> {
    let value: Value = serde_json::from_str(json).map_err(|error| vec![format!("is not JSON: {error}")])?;
    let mut compiler = Compiler { faults: Vec::new(), rules: Rules::default() };
    match value {
        Value::Array(rules) => compiler.rules(&rules),
        Value::Object(document) => compiler.document(&document),
        _ => compiler.fault("takes an array of rules, or an object that has one as 'rules'"),
    }
    if compiler.faults.is_empty() { Ok(compiler.rules) } else { Err(compiler.faults) }
}

struct Compiler {
    faults: Vec<String>,
    rules: Rules,
}

impl Compiler {
    fn fault(&mut self, fault: impl Into<String>) {
        self.faults.push(fault.into());
    }

    fn document(&mut self, document: &Map<String, Value>) {
        for (key, value) in document {
            match (key.as_str(), value) {
                ("rules", Value::Array(rules)) => self.rules(rules),
                ("rules", _) => self.fault("'rules' must be an array"),
                ("anonymousRole", Value::String(role)) if role == ADMIN => {
                    self.fault(format!("'anonymousRole' must not be '{ADMIN}', which may do everything"));
                }
                ("anonymousRole", Value::String(role)) if is_role(role) => self.rules.anonymous_role.clone_from(role),
                ("roleKey", Value::String(key)) if !key.is_empty() => {
                    self.rules.roles_at = RolesAt::Key(key.clone());
                }
                ("rolePath", Value::String(path)) if !path.split('.').any(str::is_empty) => {
                    self.rules.roles_at = RolesAt::Path(path.split('.').map(str::to_owned).collect());
                }
                ("anonymousRole" | "roleKey" | "rolePath", _) => {
                    self.fault(format!("'{key}' must be a string that names something"));
                }
                _ => {
                    let keys = ["rules", "roleKey", "rolePath", "anonymousRole"];
                    self.fault(unknown("key", key, "", keys));
                }
            }
        }
        if !document.contains_key("rules") {
            self.fault("has no 'rules'");
        }
        if document.contains_key("roleKey") && document.contains_key("rolePath") {
            self.fault("'roleKey' and 'rolePath' exclude each other");
        }
    }

    fn rules(&mut self, rules: &[Value]) {
        for (index, rule) in rules.iter().enumerate() {
            let place = format!(" in authorization rule {index}");
            match rule {
                Value::Object(rule) => self.rule(&place, rule),
                _ => self.fault(format!("authorization rule {index} must be an object")),
            }
        }
    }

    fn rule(&mut self, place: &str, rule: &Map<String, Value>) {
        const KEYS: [&str; 8] = ["role", "entity", "entities", "find", "save", "delete", "updateMany", "defaults"];
        for key in rule.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            self.fault(unknown("key", key, place, KEYS));
        }
        let role = match rule.get("role") {
            Some(Value::String(role)) if is_role(role) => role.as_str(),
            _ => {
                self.fault(format!("'role'{place} must be a string that names one role"));
                return;
            }
        };
        if role == ADMIN && is_bounded(rule) {
            self.fault(format!("the role '{ADMIN}'{place} may do everything and cannot be bounded"));
        }
        for entity in self.entities(place, rule) {
            match entity {
                Entity::Queue => {
                    let rule = self.typed::<QueueField>(place, role, rule);
                    self.rules.queues.push(rule);
                }
                Entity::Message => {
                    let rule = self.typed::<MessageField>(place, role, rule);
                    self.rules.messages.push(rule);
                }
                Entity::Cron => {
                    let rule = self.typed::<CronField>(place, role, rule);
                    self.rules.crons.push(rule);
                }
            }
        }
    }

    fn entities(&mut self, place: &str, rule: &Map<String, Value>) -> Vec<Entity> {
        let named: Option<Vec<&str>> = match (rule.get("entity"), rule.get("entities")) {
            (Some(Value::String(name)), None) => Some(vec![name]),
            (None, Some(Value::Array(names))) if !names.is_empty() => names.iter().map(Value::as_str).collect(),
            _ => None,
        };
        let Some(names) = named else {
            self.fault(format!("'entity'{place} must be a string, or 'entities' an array of strings"));
            return Vec::new();
        };
        let mut entities = Vec::new();
        for name in names {
            match Entity::ALL.into_iter().find(|entity| entity.name() == name) {
                Some(entity) => entities.push(entity),
                None if name == EVERY => entities.extend(Entity::ALL),
                None => self.fault(unknown("entity", name, place, Entity::ALL.map(Entity::name))),
            }
        }
        entities
    }

    fn typed<F: Field>(&mut self, place: &str, role: &str, rule: &Map<String, Value>) -> Rule<F> {
        let [find, save, update_many, delete] =
            OPERATIONS.map(|operation| self.permission(place, operation, rule.get(operation)));
        Rule { role: role.to_owned(), find, save, update_many, delete, defaults: self.defaults(place, rule) }
    }

    fn permission<F: Field>(&mut self, place: &str, operation: &str, value: Option<&Value>) -> Option<Permission<F>> {
        let mut permission = Permission { checks: Vec::new(), fields: None };
        let bounds = match value {
            None | Some(Value::Bool(false)) => return None,
            Some(Value::Bool(true)) => return Some(permission),
            Some(Value::Object(bounds)) if !bounds.is_empty() => bounds,
            Some(_) => {
                let takes = "must be true, false, or an object with 'checks', 'fields' or both";
                self.fault(format!("'{operation}'{place} {takes}"));
                return None;
            }
        };
        for (key, value) in bounds {
            match (key.as_str(), value) {
                ("checks", Value::Object(checks)) if !checks.is_empty() => {
                    for (name, value) in checks {
                        self.check(place, name, value, &mut permission.checks);
                    }
                }
                ("checks", _) => {
                    self.fault(format!("'checks' of '{operation}'{place} must be an object of fields to claims"));
                }
                ("fields", Value::Array(names)) => permission.fields = Some(self.fields(place, names)),
                ("fields", _) => self.fault(format!("'fields' of '{operation}'{place} must be an array of fields")),
                _ => self.fault(unknown("key", key, &format!(" of '{operation}'{place}"), ["checks", "fields"])),
            }
        }
        Some(permission)
    }

    fn check<F: Field>(&mut self, place: &str, name: &str, value: &Value, checks: &mut Vec<Check<F>>) {
        let Some(field) = self.field::<F>(place, name) else { return };
        if !field.is_comparable() {
            self.fault(format!("field '{name}' of entity '{}'{place} cannot be checked", F::ENTITY));
            return;
        }
        let single = Map::from_iter([("eq".to_owned(), value.clone())]);
        let comparisons = match value {
            Value::String(_) => &single,
            Value::Object(comparisons) if !comparisons.is_empty() => comparisons,
            _ => {
                self.fault(format!("the check of '{name}'{place} must name a claim, or be an object of operators"));
                return;
            }
        };
        for (key, claim) in comparisons {
            let Some((_, operator)) = OPERATORS.into_iter().find(|(known, _)| known == key) else {
                self.fault(unknown("operator", key, place, OPERATORS.map(|(known, _)| known)));
                continue;
            };
            match claim {
                Value::String(claim) if !claim.is_empty() && fits(operator, field.kind()) => {
                    checks.push(Check { field, operator, claim: claim.clone() });
                }
                Value::String(claim) if !claim.is_empty() => {
                    self.fault(format!("operator '{key}' does not suit field '{name}'{place}"));
                }
                _ => self.fault(format!("the check of '{name}'{place} must name a claim")),
            }
        }
    }

    fn fields<F: Field>(&mut self, place: &str, names: &[Value]) -> BTreeSet<F> {
        let mut fields = BTreeSet::new();
        for name in names {
            match name {
                Value::String(name) => fields.extend(self.field::<F>(place, name)),
                _ => self.fault(format!("'fields'{place} must hold strings")),
            }
        }
        fields
    }

    fn defaults<F: Field>(&mut self, place: &str, rule: &Map<String, Value>) -> Vec<(F, String)> {
        let defaults = match rule.get("defaults") {
            None => return Vec::new(),
            Some(Value::Object(defaults)) => defaults,
            Some(_) => {
                self.fault(format!("'defaults'{place} must be an object of fields to claims"));
                return Vec::new();
            }
        };
        let mut read = Vec::new();
        for (name, claim) in defaults {
            let Some(field) = self.field::<F>(place, name) else { continue };
            match claim {
                Value::String(_) if !can_default(field) => {
                    self.fault(format!("field '{name}' of entity '{}'{place} cannot have a default", F::ENTITY));
                }
                Value::String(claim) if !claim.is_empty() => read.push((field, claim.clone())),
                _ => self.fault(format!("the default of '{name}'{place} must name a claim")),
            }
        }
        read
    }

    fn field<F: Field>(&mut self, place: &str, name: &str) -> Option<F> {
        let field = F::from_name(name);
        if field.is_none() {
            let place = format!(" of entity '{}'{place}", F::ENTITY);
            self.fault(unknown("field", name, &place, F::ALL.iter().map(|field| field.name())));
        }
        field
    }
}

fn is_role(role: &str) -> bool {
    !role.is_empty() && role.trim() == role && !role.contains(',')
}

/// Whether a rule takes something away from who may do everything. Saying nothing of an operation is not meant so.
fn is_bounded(rule: &Map<String, Value>) -> bool {
    rule.contains_key("defaults")
        || OPERATIONS.iter().any(|operation| rule.get(*operation).is_some_and(|value| *value != Value::Bool(true)))
}

fn fits(operator: Operator, kind: Kind) -> bool {
    match operator {
        Operator::Compare(Comparison::Equal | Comparison::NotEqual) | Operator::In | Operator::NotIn => true,
        Operator::Compare(_) => kind != Kind::Boolean,
        Operator::Like | Operator::Ilike => kind == Kind::Text,
    }
}

/// Whether a client may set a field, and a claim can be its value.
fn can_default<F: Field>(field: F) -> bool {
    let settable: &[&str] = match F::ENTITY {
        Entity::Queue => &["name", "callbackUrl", "method", "deadLetterQueueId", "maxRetries"],
        Entity::Message => &["queueId", "when", "body", "expiresAt"],
        Entity::Cron => &["queueId", "schedule", "body"],
    };
    settable.contains(&field.name())
}

/// That something is unknown, and what may have been meant.
fn unknown<'a>(what: &str, name: &str, place: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let shown: String = name.chars().take(100).collect();
    let closest = known.into_iter().min_by_key(|known| distance(known, &shown)).unwrap_or_default();
    format!("Unknown {what} '{shown}'{place}. Did you mean '{closest}'?")
}

/// How many characters must be put in, taken out or replaced to come from one text to another (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests;
