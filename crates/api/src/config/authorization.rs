//! The API's settings of who may do what.

use posthaste_service::environment::{ConfigError, Faults, Secret, Variables, read};
use serde::Deserialize;

use crate::auth::rules::Rules;

/// Who may use an API.
#[derive(Debug, Clone, Default)]
pub struct AuthorizationConfig {
    /// What administrators send in `X-PLATFORMATIC-ADMIN-SECRET`.
    pub admin_secret: Option<Secret>,
    /// What everybody else may do; `None` is nothing.
    pub rules: Option<Rules>,
}

/// The variables of [`AuthorizationConfig`].
#[derive(Debug, Deserialize)]
pub struct AuthorizationVariables {
    admin_secret: Option<Secret>,
    auth_rules: Option<String>,
    auth_rules_file: Option<String>,
}

impl AuthorizationConfig {
    /// Reads the variables named by [`AuthorizationVariables`], and the files that they name. What is wrong is added to
    /// `faults`, and the rest read as if it were not there.
    ///
    /// # Errors
    /// As [`read`].
    pub(super) fn read(variables: &Variables, faults: &mut Faults) -> Result<AuthorizationConfig, ConfigError> {
        let raw: AuthorizationVariables = read(variables)?;
        let rules = rules(faults, raw.auth_rules, raw.auth_rules_file);
        Ok(AuthorizationConfig { admin_secret: raw.admin_secret, rules })
    }

    /// Whether everybody may do everything, as nothing says otherwise.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.admin_secret.is_none() && self.rules.is_none()
    }

    /// Whether strangers are kept out: there is a way to tell who somebody is, and what they may do.
    #[must_use]
    pub fn tells_strangers(&self) -> bool {
        self.admin_secret.is_some()
    }
}

fn rules(faults: &mut Faults, text: Option<String>, file: Option<String>) -> Option<Rules> {
    let (variable, text) = match (text, file) {
        (Some(_), Some(_)) => {
            faults.add("AUTH_RULES_FILE", "excludes AUTH_RULES: set one of them");
            return None;
        }
        (Some(text), None) => ("AUTH_RULES", text),
        (None, Some(file)) => ("AUTH_RULES_FILE", contents(faults, "AUTH_RULES_FILE", &file)?),
        (None, None) => return None,
    };
    match Rules::compile(&text) {
        Ok(rules) => Some(rules),
        Err(problems) => {
            for problem in problems {
                faults.add(variable, problem);
            }
            None
        }
    }
}

fn contents(faults: &mut Faults, variable: &str, path: &str) -> Option<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) => {
            faults.add(variable, format!("takes a file that can be read, not {path:?}: {error}"));
            None
        }
    }
}
