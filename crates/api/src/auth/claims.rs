//! What is known of a caller: names and values, from headers beside the admin secret, a token, or a webhook's answer.

use std::fmt;

use serde_json::{Map, Value};

/// The claim that names who it is, for checks and the audit log.
const USER: &str = "X-PLATFORMATIC-USER-ID";
/// The same in tokens that know nothing of us (RFC 7519, section 4.1.2).
const SUBJECT: &str = "sub";
/// The longest name of a user in the audit log, in characters.
const LONGEST_NAME: usize = 100;

/// Where a caller's roles are among its claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolesAt {
    /// In the claim of this name.
    Key(String),
    /// In the claim of the first name, in its member of the second name, and so on.
    Path(Vec<String>),
}

impl Default for RolesAt {
    fn default() -> RolesAt {
        RolesAt::Key("X-PLATFORMATIC-ROLE".to_owned())
    }
}

/// The claims of one caller. `Debug` shows names only.
#[derive(Clone, PartialEq, Default)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// A claim; one that is null is none.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Adds the claims that have `prefix` again without it. They win over those without.
    #[must_use]
    pub fn without_prefix(mut self, prefix: &str) -> Claims {
        let stripped: Vec<(String, Value)> = self
            .0
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.to_owned(), value.clone())))
            .filter(|(name, _)| !name.is_empty())
            .collect();
        self.0.extend(stripped);
        self
    }

    /// The roles: a text, separated by commas, or an array of texts.
    #[must_use]
    pub fn roles(&self, at: &RolesAt) -> Vec<String> {
        let found = match at {
            RolesAt::Key(name) => self.get(name),
            RolesAt::Path(path) => self.at(path),
        };
        match found {
            Some(Value::String(text)) => split(text),
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).flat_map(split).collect(),
            _ => Vec::new(),
        }
    }

    fn at(&self, path: &[String]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.get(first)?, |value, name| value.get(name))
    }

    /// Who it is, fit to be shown; `None` where no claim says.
    #[must_use]
    pub fn user(&self) -> Option<String> {
        let text = [USER, SUBJECT].iter().find_map(|name| match self.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })?;
        let shown: String = text.trim().chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
        (!shown.is_empty()).then_some(shown)
    }
}

/// Roles in a text.
pub fn split(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|role| !role.is_empty()).map(str::to_owned).collect()
}

impl From<Map<String, Value>> for Claims {
    fn from(claims: Map<String, Value>) -> Claims {
        Claims(claims)
    }
}

impl FromIterator<(String, Value)> for Claims {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(pairs: I) -> Claims {
        Claims(pairs.into_iter().collect())
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(json: Value) -> Claims {
        match json {
            Value::Object(claims) => claims.into(),
            _ => panic!("claims are an object"),
        }
    }

    #[test]
    fn roles_are_a_list_in_either_form() {
        let of = |value: Value| claims(json!({ "X-PLATFORMATIC-ROLE": value })).roles(&RolesAt::default());
        assert_eq!(of(json!("a")), ["a"]);
        assert_eq!(of(json!("a, b,,c ")), ["a", "b", "c"]);
        assert_eq!(of(json!(["a", "b,c", 7, null])), ["a", "b", "c"]);
        for nothing in [json!(""), json!(null), json!(7), json!(true), json!({"a": 1}), json!([])] {
            assert_eq!(of(nothing.clone()), Vec::<String>::new(), "{nothing}");
        }
        assert_eq!(claims(json!({"role": "a"})).roles(&RolesAt::default()), Vec::<String>::new());
    }

    #[test]
    fn roles_may_be_elsewhere() {
        let claims = claims(json!({"groups": "a", "access": {"api": {"roles": ["b"]}, "text": "c"}}));
        let path = |path: &[&str]| claims.roles(&RolesAt::Path(path.iter().map(ToString::to_string).collect()));
        assert_eq!(claims.roles(&RolesAt::Key("groups".to_owned())), ["a"]);
        assert_eq!(path(&["access", "api", "roles"]), ["b"]);
        assert_eq!(path(&["groups"]), ["a"]);
        for nowhere in [&["access", "web", "roles"][..], &["access", "text", "roles"], &["nope"], &[]] {
            assert_eq!(path(nowhere), Vec::<String>::new(), "{nowhere:?}");
        }
    }

    #[test]
    fn a_prefix_is_taken_off() {
        let claims = claims(json!({"https://x/USER": 1, "USER": 2, "https://x/": 3})).without_prefix("https://x/");
        assert_eq!(claims.get("USER"), Some(&json!(1)));
        assert_eq!(claims.get(""), None);
    }

    #[test]
    fn a_user_is_fit_to_be_shown() {
        let user = |json| claims(json).user();
        assert_eq!(user(json!({"X-PLATFORMATIC-USER-ID": 42, "sub": "x"})).as_deref(), Some("42"));
        assert_eq!(user(json!({"X-PLATFORMATIC-USER-ID": null, "sub": " a\n\u{1b}[1mb "})).as_deref(), Some("a[1mb"));
        assert_eq!(user(json!({"sub": "x".repeat(101)})).map(|name| name.len()), Some(100));
        for nobody in [json!({}), json!({"sub": ""}), json!({"sub": ["x"]}), json!({"sub": "\n"})] {
            assert_eq!(user(nobody), None);
        }
        assert!(!format!("{:?}", claims(json!({"sub": "secret"}))).contains("secret"));
    }
}
