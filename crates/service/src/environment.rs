//! Configuration from environment variables, read once, from a map that is handed in.
//!
//! All faults are told at once, each with its variable and what it takes. envy by itself stops at the first, and shows the
//! value. So a service's configuration is read in two steps: envy fills a struct of optional texts whose fields are named
//! like the variables, and [`Faults`] turns each text into what it means:
//!
//! ```
//! use posthaste_service::environment::{ConfigError, Faults, Secret, Variables, read};
//! use posthaste_service::parse;
//!
//! #[derive(serde::Deserialize)]
//! struct Raw {
//!     database_url: Option<String>,
//!     port: Option<String>,
//!     admin_secret: Option<Secret>,
//! }
//!
//! struct Config {
//!     database_url: String,
//!     port: u16,
//!     admin_secret: Option<Secret>,
//! }
//!
//! fn config(variables: &Variables) -> Result<Config, ConfigError> {
//!     let raw: Raw = read(variables)?;
//!     let mut faults = Faults::default();
//!     let database_url = faults.required("DATABASE_URL", "a database", raw.database_url, parse::text);
//!     let port = faults.or("PORT", 3042, raw.port, parse::port);
//!     faults.finish(|| Some(Config { database_url: database_url?, port, admin_secret: raw.admin_secret }))
//! }
//! # let of = |pairs: &[(&str, &str)]| config(&pairs.iter().copied().collect());
//! # assert!(of(&[("DATABASE_URL", "x")]).is_ok());
//! # assert_eq!(of(&[("PORT", "x")]).err().map(|error| error.faults().len()), Some(2));
//! ```

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Visitor, value::Error as ValueError};

/// The variables that a program was started with. An empty value counts as unset. `Debug` shows names only.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Those of this process. A value that is not UTF-8 is read with replacement characters.
    #[must_use]
    pub fn from_env() -> Variables {
        std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect()
    }

    /// The value, unless it is unset or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Sets a variable where it is unset: a default of one program.
    pub fn default_to(&mut self, name: &str, value: &str) {
        if self.get(name).is_none() {
            self.set(name, value);
        }
    }

    /// Sets a variable; an empty value unsets it.
    pub fn set(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            self.0.remove(name);
        } else {
            self.0.insert(name.to_owned(), value.to_owned());
        }
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Variables {
        let pairs = pairs.into_iter().map(|(name, value)| (name.into(), value.into()));
        Variables(pairs.filter(|(_, value): &(String, String)| !value.is_empty()).collect())
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A text that is never shown. Compare it in constant time.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides `text` from now on.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The variable to change.
    pub variable: String,
    /// What is wrong, and what the variable takes. Without the value where that may be secret.
    pub problem: String,
}

/// Everything that is wrong with a configuration; displayed one line each, `VARIABLE: problem`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Vec<Fault>);

impl ConfigError {
    /// A single fault.
    #[must_use]
    pub fn new(variable: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError(vec![Fault { variable: variable.to_owned(), problem: problem.into() }])
    }

    /// Refuses a setting that contradicts what the database was set up with; one that is not given agrees.
    ///
    /// # Errors
    /// The fault.
    pub fn unless_agreed<T: PartialEq + fmt::Display>(
        variable: &str,
        given: Option<T>,
        database: &T,
    ) -> Result<(), ConfigError> {
        match given {
            Some(given) if given != *database => {
                Err(ConfigError::new(variable, format!("is {given}, but the database has {database}: leave it out")))
            }
            _ => Ok(()),
        }
    }

    /// In the order in which they were found.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.0
    }

    /// Both parts of a configuration, or the faults of both.
    ///
    /// # Errors
    /// If either is one.
    pub fn both<A, B>(a: Result<A, ConfigError>, b: Result<B, ConfigError>) -> Result<(A, B), ConfigError> {
        match (a, b) {
            (Ok(a), Ok(b)) => Ok((a, b)),
            (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
            (Err(mut error), Err(other)) => {
                error.0.extend(other.0);
                Err(error)
            }
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let newline = if index > 0 { "\n" } else { "" };
            write!(f, "{newline}{}: {}", fault.variable, fault.problem)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Gathers the faults of a configuration while its values are read.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Adds a fault that no single value shows, such as two variables that contradict each other.
    pub fn add(&mut self, variable: &str, problem: impl Into<String>) {
        self.0.push(Fault { variable: variable.to_owned(), problem: problem.into() });
    }

    /// A value that may be left out. A fault of `parse` is noted, with its message as it is.
    pub fn optional<T, E: fmt::Display>(
        &mut self,
        variable: &str,
        raw: Option<String>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(&raw?) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.add(variable, problem.to_string());
                None
            }
        }
    }

    /// A value with a default.
    pub fn or<T, E: fmt::Display>(
        &mut self,
        variable: &str,
        default: T,
        raw: Option<String>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> T {
        self.optional(variable, raw, parse).unwrap_or(default)
    }

    /// A value that must be given; `what` completes "is required: …". `None` only where a fault was noted.
    pub fn required<T, E: fmt::Display>(
        &mut self,
        variable: &str,
        what: &str,
        raw: Option<String>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if raw.is_none() {
            self.add(variable, format!("is required: {what}"));
        }
        self.optional(variable, raw, parse)
    }

    /// The configuration that `build` puts together, if there was no fault.
    ///
    /// # Errors
    /// The faults.
    pub fn finish<C>(self, build: impl FnOnce() -> Option<C>) -> Result<C, ConfigError> {
        match build() {
            Some(config) if self.0.is_empty() => Ok(config),
            _ => Err(ConfigError(self.0)),
        }
    }
}

/// Fills a struct of `Option<String>` and `Option<Secret>` fields; field `pool_size` from variable `POOL_SIZE`.
///
/// # Errors
/// A fault, if the struct has other fields than these.
pub fn read<T: DeserializeOwned>(variables: &Variables) -> Result<T, ConfigError> {
    // Only what the struct asks for: envy ignores case, and `http_proxy` beside `HTTP_PROXY` is an error to it.
    let wanted = names::<T>();
    let pairs =
        wanted.into_iter().filter_map(|name| variables.get(&name).map(|value| (name.clone(), value.to_owned())));
    envy::from_iter(pairs).map_err(|error| match error {
        envy::Error::MissingValue(field) => ConfigError::new(&field.to_uppercase(), "is required"),
        // Its text may show the value.
        envy::Error::Custom(_) => ConfigError::new("environment", "cannot be read"),
    })
}

/// The names of the variables that [`read`] fills `T` from, in the order of its fields.
#[must_use]
pub fn names<T: DeserializeOwned>() -> Vec<String> {
    let mut fields: &[&str] = &[];
    // Fails by design: it is only asked for its fields.
    let _ = T::deserialize(FieldsOf(&mut fields));
    fields.iter().map(|field| field.to_uppercase()).collect()
}

/// A deserializer that only notes the names of the fields that a struct asks it for.
struct FieldsOf<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldsOf<'_> {
    type Error = ValueError;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, ValueError> {
        *self.0 = fields;
        Err(serde::de::Error::custom("only the fields were asked for"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, ValueError> {
        Err(serde::de::Error::custom("not a struct"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[derive(Debug, Deserialize)]
    struct Raw {
        database_url: Option<String>,
        port: Option<String>,
        allow_anonymous: Option<String>,
        admin_secret: Option<Secret>,
    }

    #[derive(Debug)]
    struct Config {
        port: u16,
        allow_anonymous: bool,
        admin_secret: Option<Secret>,
    }

    fn config(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let raw: Raw = read(&pairs.iter().copied().collect())?;
        let mut faults = Faults::default();
        let database_url = faults.required("DATABASE_URL", "a database", raw.database_url, parse::text);
        let port = faults.or("PORT", 3042, raw.port, parse::port);
        let allow_anonymous = faults.or("ALLOW_ANONYMOUS", false, raw.allow_anonymous, parse::boolean);
        faults.finish(|| {
            database_url?;
            Some(Config { port, allow_anonymous, admin_secret: raw.admin_secret })
        })
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let error = config(&[("PORT", "70000"), ("ALLOW_ANONYMOUS", "maybe")]).unwrap_err();
        let variables: Vec<&str> = error.faults().iter().map(|fault| fault.variable.as_str()).collect();
        assert_eq!(variables, ["DATABASE_URL", "PORT", "ALLOW_ANONYMOUS"]);
        assert_eq!(
            error.to_string(),
            "DATABASE_URL: is required: a database\n\
             PORT: takes a port number from 0 (any free one) to 65535, not \"70000\"\n\
             ALLOW_ANONYMOUS: takes true or false, not \"maybe\""
        );
    }

    #[test]
    fn defaults_hold_where_nothing_is_said() {
        let config = config(&[("DATABASE_URL", "postgres://x"), ("PORT", ""), ("HOME", "/root")]).unwrap();
        assert_eq!((config.port, config.allow_anonymous), (3042, false));
        assert!(config.admin_secret.is_none());
    }

    #[test]
    fn an_empty_value_is_none() {
        let error = config(&[("DATABASE_URL", "")]).unwrap_err();
        assert_eq!(error.faults().len(), 1);
    }

    #[test]
    fn names_are_matched_exactly() {
        let config = config(&[("DATABASE_URL", "x"), ("port", "1"), ("PORT", "2")]).unwrap();
        assert_eq!(config.port, 2);
        assert_eq!(names::<Raw>(), ["DATABASE_URL", "PORT", "ALLOW_ANONYMOUS", "ADMIN_SECRET"]);
    }

    #[test]
    fn secrets_are_not_shown() {
        let variables: Variables =
            [("ADMIN_SECRET", "hunter2"), ("DATABASE_URL", "postgres://x:hunter2@y")].into_iter().collect();
        assert_eq!(format!("{variables:?}"), r#"{"ADMIN_SECRET", "DATABASE_URL"}"#);
        let config = config(&[("DATABASE_URL", "x"), ("ADMIN_SECRET", "hunter2")]).unwrap();
        let secret = config.admin_secret.as_ref().unwrap();
        assert_eq!(secret.expose(), "hunter2");
        assert!(!format!("{config:?} {secret}").contains("hunter2"));
    }

    #[test]
    fn the_faults_of_two_parts_are_told_together() {
        let both = ConfigError::both::<(), ()>(Err(ConfigError::new("A", "x")), Err(ConfigError::new("B", "y")));
        assert_eq!(both.unwrap_err().to_string(), "A: x\nB: y");
    }
}
