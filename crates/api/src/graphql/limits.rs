//! What an operation may ask for, judged by its text alone, before anything is done.
//!
//! Rows are counted as they could come: a list of 100 with lists of 100 in it is ten thousand. Fragments are followed
//! wherever they are used, with the same limits, so that a short text cannot ask for much by repeating itself.

use async_graphql::parser::types::{DocumentOperations, ExecutableDocument, Field, Selection, SelectionSet};
use async_graphql::{Positioned, ServerError, Value, Variables};

use crate::error::ErrorCode;
use crate::rest::parameters::{DEFAULT_LIMIT, LARGEST_LIMIT};

/// Fields within fields. What describes the schema is not counted: it is nested deeper, and costs nothing.
pub const DEEPEST: usize = 12;
/// Rows that an operation may come to.
pub const MOST_ROWS: i64 = 5_000;
/// Fields that an operation may name.
pub const MOST_FIELDS: usize = 2_000;
/// Fragments within fragments.
const MOST_SPREADS: usize = 32;
/// Lists within lists of what describes the schema, which is as long as the schema is large.
const DEEPEST_LISTS: usize = 3;

/// Brackets within brackets of the text, whatever they mean. Its parser calls itself for each.
const DEEPEST_BRACKETS: usize = 100;

/// Fields whose rows are bounded by `limit`.
const LISTS: [&str; 3] = ["queues", "messages", "crons"];
/// Lists of what describes the schema that lead from one type to others.
const TYPE_LISTS: [&str; 4] = ["fields", "inputFields", "interfaces", "possibleTypes"];

/// Holds a text against what its parser can bear.
///
/// # Errors
/// It cannot.
pub fn check_text(text: &str) -> Result<(), ServerError> {
    let mut depth = 0_usize;
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = match first {
            b'{' | b'[' | b'(' => {
                depth += 1;
                if depth > DEEPEST_BRACKETS {
                    return Err(exceeded(&format!("brackets may be at most {DEEPEST_BRACKETS} deep")));
                }
                after
            }
            b'}' | b']' | b')' => {
                depth = depth.saturating_sub(1);
                after
            }
            b'#' => skip(after, |rest| rest.first().is_some_and(|byte| matches!(byte, b'\n' | b'\r'))),
            b'"' if after.starts_with(b"\"\"") => {
                let rest = skip(after.get(2..).unwrap_or_default(), |rest| rest.starts_with(b"\"\"\""));
                rest.get(3..).unwrap_or_default()
            }
            b'"' => skip(after, |rest| rest.first().is_some_and(|byte| matches!(byte, b'"' | b'\n')))
                .get(1..)
                .unwrap_or_default(),
            _ => after,
        };
    }
    Ok(())
}

/// What is left where `ends` holds, passing over what a backslash precedes.
fn skip(mut rest: &[u8], ends: impl Fn(&[u8]) -> bool) -> &[u8] {
    while !rest.is_empty() && !ends(rest) {
        rest = rest.get(if rest.first() == Some(&b'\\') { 2 } else { 1 }..).unwrap_or_default();
    }
    rest
}

/// Holds every operation of a document against the limits.
///
/// # Errors
/// The first that is exceeded.
pub fn check(document: &ExecutableDocument, variables: &Variables) -> Result<(), ServerError> {
    let operations = match &document.operations {
        DocumentOperations::Single(operation) => vec![operation],
        DocumentOperations::Multiple(operations) => operations.values().collect(),
    };
    let mut walk = Walk { document, variables, fields: 0, rows: 0 };
    for operation in operations {
        walk.rows = 0;
        walk.selections(&operation.node.selection_set, At { depth: 0, factor: 1, spreads: 0, type_lists: None })?;
    }
    Ok(())
}

struct Walk<'a> {
    document: &'a ExecutableDocument,
    variables: &'a Variables,
    fields: usize,
    rows: i64,
}

/// A place in a document.
#[derive(Clone, Copy)]
struct At {
    depth: usize,
    /// How many rows it is asked of.
    factor: i64,
    spreads: usize,
    /// Within what describes the schema: the lists around it.
    type_lists: Option<usize>,
}

impl Walk<'_> {
    fn selections(&mut self, set: &Positioned<SelectionSet>, at: At) -> Result<(), ServerError> {
        for selection in &set.node.items {
            match &selection.node {
                Selection::Field(field) => self.field(field, at)?,
                Selection::InlineFragment(fragment) => self.selections(&fragment.node.selection_set, at)?,
                Selection::FragmentSpread(spread) => {
                    let at = At { spreads: at.spreads + 1, ..at };
                    if at.spreads > MOST_SPREADS {
                        return Err(exceeded("fragments may not be nested deeper than 32, nor in a circle"));
                    }
                    // One that does not exist is told of by the validation.
                    if let Some(fragment) = self.document.fragments.get(&spread.node.fragment_name.node) {
                        self.selections(&fragment.node.selection_set, at)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &Positioned<Field>, at: At) -> Result<(), ServerError> {
        self.fields += 1;
        if self.fields > MOST_FIELDS {
            return Err(exceeded(&format!("an operation may have at most {MOST_FIELDS} fields")));
        }
        let name = field.node.name.node.as_str();
        let mut at = At { depth: at.depth + 1, ..at };
        if let Some(lists) = at.type_lists {
            let lists = lists + usize::from(TYPE_LISTS.contains(&name));
            if lists > DEEPEST_LISTS {
                return Err(exceeded("a query for the schema is nested too deeply"));
            }
            at.type_lists = Some(lists);
        } else if name.starts_with("__") {
            at.type_lists = Some(0);
        } else if at.depth > DEEPEST {
            return Err(exceeded(&format!("a query may be at most {DEEPEST} fields deep")));
        } else if !field.node.selection_set.node.items.is_empty() {
            if LISTS.contains(&name) {
                at.factor = at.factor.saturating_mul(self.limit(&field.node));
            }
            self.rows = self.rows.saturating_add(at.factor);
            if self.rows > MOST_ROWS {
                return Err(exceeded(&format!("a query may come to at most {MOST_ROWS} rows; lower a limit")));
            }
        }
        self.selections(&field.node.selection_set, at)
    }

    /// How many rows a list may have. What is no number is refused later.
    fn limit(&self, field: &Field) -> i64 {
        let Some(limit) = field.get_argument("limit") else { return DEFAULT_LIMIT };
        let limit = limit.node.clone().into_const_with(|name| self.variables.get(&name).cloned().ok_or(()));
        let limit = match limit {
            Ok(Value::Number(number)) => number.as_i64().unwrap_or(LARGEST_LIMIT),
            Ok(_) => DEFAULT_LIMIT,
            // A variable without a value; perhaps it has a default.
            Err(()) => LARGEST_LIMIT,
        };
        limit.clamp(0, LARGEST_LIMIT)
    }
}

fn exceeded(problem: &str) -> ServerError {
    let mut error = ServerError::new(problem, None);
    error.extensions.get_or_insert_default().set("code", ErrorCode::Limit.as_str());
    error
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use serde_json::json;

    use super::*;

    fn verdict(query: &str, variables: serde_json::Value) -> Result<(), String> {
        check(&parse_query(query).unwrap(), &Variables::from_json(variables)).map_err(|error| error.message)
    }

    #[test]
    fn what_is_usual_is_allowed() {
        for query in [
            "{ queues { id } }",
            "{ queues(limit: 100) { name messages(limit: 40) { id } } }",
            "mutation { saveQueue(input: {}) { id } }",
            "subscription { messageSaved { id queue { name } } }",
        ] {
            assert_eq!(verdict(query, json!({})), Ok(()), "{query}");
        }
    }

    #[test]
    fn rows_multiply() {
        let query = "query Q($n: LimitInt) { queues(limit: $n) { messages(limit: 100) { id } } }";
        assert_eq!(verdict(query, json!({"n": 40})), Ok(()));
        for variables in [json!({"n": 50}), json!({"n": 4_000_000_000_u64}), json!({})] {
            assert!(verdict(query, variables).unwrap_err().contains("5000 rows"));
        }
        // As null is: the default.
        assert_eq!(verdict(query, json!({"n": null})), Ok(()));
        let aliases = (0..60).map(|n| format!("a{n}: messages(limit: 100) {{ id }}")).collect::<String>();
        assert!(verdict(&format!("{{ {aliases} }}"), json!({})).unwrap_err().contains("rows"));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| {
            let open = "queue { queues(limit: 1) { messages(limit: 1) { ".repeat(depth / 3);
            format!("{{ messages {{ {open} id {} }} }}", "} } } ".repeat(depth / 3))
        };
        assert_eq!(verdict(&nested(9), json!({})), Ok(()));
        assert!(verdict(&nested(12), json!({})).unwrap_err().contains("12 fields deep"));
    }

    #[test]
    fn brackets_are_counted_where_they_are_brackets() {
        let many = "[".repeat(DEEPEST_BRACKETS + 1);
        for text in
            [format!("{{ a(b: {many}"), "{".repeat(1_000_000), format!("{{ a(b: \"x\") {many}"), format!("# x\n{many}")]
        {
            assert!(check_text(&text).is_err());
        }
        for text in [
            format!("{{ a(b: \"{many}\") }}"),
            format!("{{ a(b: \"\\\"{many}\") }}"),
            format!("{{ a(b: \"\"\"{many} \\\"\"\" \" \"\"\") }} # {many}"),
            "{ a }".repeat(1000),
            String::new(),
        ] {
            assert!(check_text(&text).is_ok(), "{text}");
        }
    }

    #[test]
    fn fragments_are_followed() {
        let bomb: String =
            (0..20).map(|n| format!("fragment F{n} on Query {{ ...F{} ...F{} }} ", n + 1, n + 1)).collect();
        let query = format!("{{ ...F0 }} {bomb} fragment F20 on Query {{ queues {{ id }} }}");
        assert!(verdict(&query, json!({})).is_err());
        let circle = "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }";
        assert!(verdict(circle, json!({})).unwrap_err().contains("circle"));
    }

    #[test]
    fn the_schema_can_be_asked_for() {
        let of_type = "ofType { kind name ".repeat(9) + &"} ".repeat(9);
        let usual = format!(
            "{{ __schema {{ types {{ fields {{ args {{ type {{ {of_type} }} }} }} inputFields {{ type {{ {of_type} }} }} }} }} }}"
        );
        assert_eq!(verdict(&usual, json!({})), Ok(()));
        let deep =
            "{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }";
        assert!(verdict(deep, json!({})).is_err());
    }
}
