//! The fields of a JSON object, each still as it was sent.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::ApiError;

/// The fields of a request's body that nobody has taken yet. Where a name comes twice, the last counts.
#[derive(Debug)]
pub struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// [`ApiError::InvalidJson`], or what [`Fields::not_an_object`] says.
    pub fn parse(json: &'a str) -> Result<Fields<'a>, ApiError> {
        if json.trim_ascii_start().starts_with('{') {
            serde_json::from_str(json).map_err(|_| ApiError::InvalidJson)
        } else {
            serde_json::from_str::<&RawValue>(json).map_err(|_| ApiError::InvalidJson)?;
            Err(Fields::not_an_object())
        }
    }

    /// What there is to say about a body that is no object.
    #[must_use]
    pub fn not_an_object() -> ApiError {
        ApiError::Validation("body must be object".to_owned())
    }

    /// Takes fields out that must be there, whatever their values.
    ///
    /// # Errors
    /// The first that is missing.
    pub fn require<const N: usize>(&mut self, names: [&str; N]) -> Result<[&'a RawValue; N], ApiError> {
        let mut values = [RawValue::NULL; N];
        for (name, value) in names.iter().zip(&mut values) {
            let missing = || ApiError::Validation(format!("body must have required property '{name}'"));
            *value = self.take(name).ok_or_else(missing)?;
        }
        Ok(values)
    }

    /// Takes a field out.
    pub fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let mut last = None;
        self.0.retain(|(given, value)| {
            let taken = given == name;
            if taken {
                last = Some(*value);
            }
            !taken
        });
        last
    }

    /// Makes sure that fields are there, whatever their values.
    ///
    /// # Errors
    /// The first that is missing.
    pub fn must_have(&self, names: &[&str]) -> Result<(), ApiError> {
        match names.iter().find(|name| self.0.iter().all(|(given, _)| given != *name)) {
            None => Ok(()),
            Some(name) => Err(ApiError::Validation(format!("body must have required property '{name}'"))),
        }
    }

    /// The names that nobody has taken yet.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_ref())
    }

    /// Takes the two times that every client may send back and that are not looked at.
    pub fn ignore_times(&mut self) {
        self.take("createdAt");
        self.take("updatedAt");
    }

    /// Makes sure that nothing is left.
    ///
    /// # Errors
    /// The first field that nobody has taken.
    pub fn finish(self) -> Result<(), ApiError> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(ApiError::UnknownField(name.chars().take(100).collect())),
        }
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields<'de>, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::with_capacity(8);
                while let Some(Name(name)) = map.next_key()? {
                    fields.push((name, map.next_value()?));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

/// A name, borrowed unless it has escapes. (serde's own `Cow<str>` always copies.)
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name<'de>, D::Error> {
        #[derive(serde::Deserialize)]
        struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

        Borrowed::deserialize(deserializer).map(|Borrowed(name)| Name(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(json: &str) -> String {
        Fields::parse(json).unwrap_err().to_string()
    }

    #[test]
    fn only_objects_are_bodies() {
        for json in ["null", "[]", "[{}]", "1", "\"{}\"", " true "] {
            assert_eq!(message(json), "body must be object", "{json}");
        }
        for json in ["", " ", "{", "{a:1}", "{\"a\":}", "{} {}", "\u{feff}{}", "{\"a\":1,}", "nul", "{\"a\":\"\u{1}\"}"]
        {
            assert_eq!(Fields::parse(json).unwrap_err(), ApiError::InvalidJson, "{json}");
        }
        assert!(Fields::parse(" \n{ } ").unwrap().finish().is_ok());
    }

    #[test]
    fn fields_are_taken_once() {
        let mut fields = Fields::parse(r#"{"a": 1, "b": {"x": [1, 2]}, "a": 2, "\u0063": null}"#).unwrap();
        assert_eq!(fields.take("a").map(RawValue::get), Some("2"));
        assert_eq!(fields.take("a").map(RawValue::get), None);
        assert_eq!(fields.take("c").map(RawValue::get), Some("null"));
        assert_eq!(fields.finish().unwrap_err().to_string(), "body has no property 'b'");
    }

    #[test]
    fn the_first_missing_field_is_named() {
        let missing = |names: [&str; 2]| {
            let fields = Fields::parse(r#"{"method": null}"#);
            fields.unwrap().require(names).unwrap_err().to_string()
        };
        assert_eq!(missing(["callbackUrl", "method"]), "body must have required property 'callbackUrl'");
        assert_eq!(missing(["method", "name"]), "body must have required property 'name'");
        let mut fields = Fields::parse(r#"{"a": 1, "b": [2]}"#).unwrap();
        assert_eq!(fields.require(["b", "a"]).map(|values| values.map(RawValue::get)), Ok(["[2]", "1"]));
    }
}
