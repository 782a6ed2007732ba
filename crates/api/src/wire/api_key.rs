//! API keys in JSON.

use posthaste_core::ids::QueueId;
use posthaste_core::scope::Scope;
use posthaste_core::time::Timestamp;
use posthaste_store::api_key::ApiKey;
use serde::Serialize;
use serde_json::value::RawValue;

use super::fields::Fields;
use super::time;
use super::value::{given, integer, invalid, queue_id, string};
use super::{Date, Id};
use crate::error::ApiError;

/// The longest name, in characters.
const LONGEST_NAME: usize = 255;
/// The most queues that a key may be bound to.
const MOST_QUEUES: usize = 1000;
/// The most requests a second that a limit may allow.
const LARGEST_RATE: i32 = 1_000_000;

/// A key as it is answered. The key itself is there only in the answer to its creation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyView<'a> {
    id: Id,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    prefix: &'a str,
    scopes: Vec<&'static str>,
    queue_ids: Option<Vec<Id>>,
    rate_limit: Option<i32>,
    expires_at: Option<Date>,
    revoked_at: Option<Date>,
    last_used_at: Option<Date>,
    created_at: Date,
}

impl<'a> ApiKeyView<'a> {
    /// Together with the key itself.
    #[must_use]
    pub fn with_key(self, key: &'a str) -> ApiKeyView<'a> {
        ApiKeyView { key: Some(key), ..self }
    }
}

impl<'a> From<&'a ApiKey> for ApiKeyView<'a> {
    fn from(key: &'a ApiKey) -> ApiKeyView<'a> {
        ApiKeyView {
            id: Id(key.id.0),
            name: &key.name,
            key: None,
            prefix: &key.prefix,
            scopes: key.scopes.iter().map(|scope| scope.name()).collect(),
            queue_ids: key.queue_ids.as_ref().map(|ids| ids.iter().map(|id| Id(id.0)).collect()),
            rate_limit: key.rate_limit,
            expires_at: key.expires_at.map(Date),
            revoked_at: key.revoked_at.map(Date),
            last_used_at: key.last_used_at.map(Date),
            created_at: Date(key.created_at),
        }
    }
}

/// A key that is asked for.
#[derive(Debug, PartialEq)]
pub struct ApiKeyInput {
    pub name: String,
    pub scopes: Vec<Scope>,
    pub queue_ids: Option<Vec<QueueId>>,
    pub rate_limit: Option<i32>,
    pub expires_at: Option<Timestamp>,
}

impl ApiKeyInput {
    /// Reads and validates a request's body.
    ///
    /// # Errors
    /// The first fault.
    pub fn read(mut fields: Fields<'_>) -> Result<ApiKeyInput, ApiError> {
        let [name, scopes] = fields.require(["name", "scopes"])?;
        let name = string("name", name)?;
        if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
            return Err(invalid(
                "name",
                format!("takes 1 to {LONGEST_NAME} characters, none of them control characters"),
            ));
        }
        let scopes = scopes_of(scopes)?;
        let queue_ids = given(fields.take("queueIds")).map(queues).transpose()?;
        let rate_limit = given(fields.take("rateLimit")).map(rate).transpose()?;
        let expires_at = given(fields.take("expiresAt")).map(moment).transpose()?;
        fields.finish()?;
        Ok(ApiKeyInput { name, scopes, queue_ids, rate_limit, expires_at })
    }
}

fn array<'a>(field: &str, value: &'a RawValue) -> Result<Vec<&'a RawValue>, ApiError> {
    let no_array = || ApiError::Validation(format!("body/{field} must be array"));
    serde_json::from_str(value.get()).map_err(|_| no_array())
}

fn scopes_of(value: &RawValue) -> Result<Vec<Scope>, ApiError> {
    let mut scopes = Vec::new();
    for item in array("scopes", value)? {
        let name = string("scopes", item)?;
        let all = Scope::ALL.map(Scope::name).join(", ");
        let scope = Scope::from_name(&name).ok_or_else(|| invalid("scopes", format!("takes some of {all}")))?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    if scopes.is_empty() { Err(invalid("scopes", "takes at least one scope")) } else { Ok(scopes) }
}

fn queues(value: &RawValue) -> Result<Vec<QueueId>, ApiError> {
    let mut queues = Vec::new();
    for item in array("queueIds", value)? {
        let id = queue_id("queueIds", item)?;
        if !queues.contains(&id) {
            queues.push(id);
        }
        if queues.len() > MOST_QUEUES {
            return Err(invalid("queueIds", format!("takes at most {MOST_QUEUES} queues")));
        }
    }
    if queues.is_empty() {
        Err(invalid("queueIds", "takes at least one queue; leave it out for all"))
    } else {
        Ok(queues)
    }
}

fn rate(value: &RawValue) -> Result<i32, ApiError> {
    let rate = i32::try_from(integer("rateLimit", value)?).ok().filter(|rate| (1..=LARGEST_RATE).contains(rate));
    rate.ok_or_else(|| invalid("rateLimit", format!("takes 1 to {LARGEST_RATE} requests a second")))
}

fn moment(value: &RawValue) -> Result<Timestamp, ApiError> {
    time::parse(&string("expiresAt", value)?).ok_or_else(|| invalid("expiresAt", time::EXPECTED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<ApiKeyInput, String> {
        Fields::parse(json).and_then(ApiKeyInput::read).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_left_out_bounds_nothing() {
        let read = read(r#"{"name": "ci", "scopes": ["queues:read", "queues:read"], "queueIds": null}"#).unwrap();
        assert_eq!(read.scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>(), ["queues:read"]);
        assert_eq!((read.queue_ids, read.rate_limit, read.expires_at), (None, None, None));
    }

    #[test]
    fn bounds_are_read() {
        let read = read(
            r#"{"name": "ci", "scopes": ["messages:write"], "queueIds": ["1", 2, 1], "rateLimit": "10",
                "expiresAt": "1970-01-01T00:00:01Z"}"#,
        );
        let read = read.unwrap();
        assert_eq!(read.queue_ids, Some(vec![QueueId(1), QueueId(2)]));
        assert_eq!((read.rate_limit, read.expires_at), (Some(10), Some(Timestamp(1_000_000))));
    }

    #[test]
    fn faults_are_named() {
        let with = |field: &str| format!(r#"{{"name": "ci", "scopes": ["queues:read"], {field}}}"#);
        for (json, says) in [
            ("{}".to_owned(), "body must have required property 'name'"),
            (r#"{"name": "x"}"#.to_owned(), "body must have required property 'scopes'"),
            (with(r#""name": """#), "body/name: takes 1 to 255 characters"),
            (with(r#""name": "a\nb""#), "body/name: takes 1 to 255 characters"),
            (with(r#""scopes": "queues:read""#), "body/scopes must be array"),
            (with(r#""scopes": []"#), "body/scopes: takes at least one scope"),
            (with(r#""scopes": [1]"#), "body/scopes must be string"),
            (with(r#""scopes": ["queues"]"#), "body/scopes: takes some of queues:read, queues:write"),
            (with(r#""queueIds": []"#), "body/queueIds: takes at least one queue"),
            (with(r#""queueIds": ["x"]"#), "body/queueIds must be integer"),
            (with(r#""queueIds": 1"#), "body/queueIds must be array"),
            (with(r#""rateLimit": 0"#), "body/rateLimit: takes 1 to 1000000"),
            (with(r#""rateLimit": 1.5"#), "body/rateLimit must be integer"),
            (with(r#""expiresAt": "soon""#), "body/expiresAt: takes a time"),
            (with(r#""key": "phk_mine""#), "body has no property 'key'"),
        ] {
            let problem = read(&json).unwrap_err();
            assert!(problem.starts_with(says), "{json}: {problem}");
        }
    }
}
