//! The API's settings of who may do what.

use std::time::Duration;

use posthaste_service::environment::{ConfigError, Faults, Secret, Variables, read};
use posthaste_service::parse;
use serde::Deserialize;

use crate::auth::jwt::key::VerifyingKey;
use crate::auth::jwt::{JwtConfig, KeySource};
use crate::auth::rules::Rules;
use crate::auth::webhook::WebhookConfig;

/// Who may use an API.
#[derive(Debug, Clone, Default)]
pub struct AuthorizationConfig {
    /// What administrators send in `X-PLATFORMATIC-ADMIN-SECRET`.
    pub admin_secret: Option<Secret>,
    /// What everybody else may do; `None` is nothing.
    pub rules: Option<Rules>,
    /// Which tokens tell who somebody is.
    pub jwt: Option<JwtConfig>,
    /// Who else knows.
    pub webhook: Option<WebhookConfig>,
}

/// The variables of [`AuthorizationConfig`].
#[derive(Debug, Deserialize)]
pub struct AuthorizationVariables {
    admin_secret: Option<Secret>,
    auth_rules: Option<String>,
    auth_rules_file: Option<String>,
    jwt_secret: Option<Secret>,
    jwt_public_key: Option<String>,
    jwt_public_key_file: Option<String>,
    jwt_jwks_url: Option<String>,
    jwt_issuer: Option<String>,
    jwt_audience: Option<String>,
    jwt_namespace: Option<String>,
    auth_webhook_url: Option<String>,
    auth_webhook_cache_seconds: Option<String>,
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
        let keys = [
            raw.jwt_secret.map(|secret| ("JWT_SECRET", KeySource::Secret(secret))),
            public_key(faults, raw.jwt_public_key).map(|key| ("JWT_PUBLIC_KEY", KeySource::PublicKey(key))),
            public_key_file(faults, raw.jwt_public_key_file)
                .map(|key| ("JWT_PUBLIC_KEY_FILE", KeySource::PublicKey(key))),
            faults
                .optional("JWT_JWKS_URL", raw.jwt_jwks_url, str::parse)
                .map(|url| ("JWT_JWKS_URL", KeySource::Jwks(url))),
        ];
        let keys = single(faults, keys);
        let bounds = [
            ("JWT_ISSUER", raw.jwt_issuer.is_some()),
            ("JWT_AUDIENCE", raw.jwt_audience.is_some()),
            ("JWT_NAMESPACE", raw.jwt_namespace.is_some()),
        ];
        let names = parse::list(parse::text);
        let issuers = faults.or("JWT_ISSUER", Vec::new(), raw.jwt_issuer, &names);
        let audiences = faults.or("JWT_AUDIENCE", Vec::new(), raw.jwt_audience, &names);
        let namespace = raw.jwt_namespace;
        let jwt = keys.map(|keys| JwtConfig { keys, issuers, audiences, namespace });
        for (variable, _) in bounds.into_iter().filter(|(_, given)| *given && jwt.is_none()) {
            faults.add(variable, "says which tokens count, but there is no JWT_SECRET, JWT_PUBLIC_KEY or JWT_JWKS_URL");
        }
        let keep =
            faults.or("AUTH_WEBHOOK_CACHE_SECONDS", 0, raw.auth_webhook_cache_seconds, parse::integer(0..=86_400_u64));
        let webhook = faults
            .optional("AUTH_WEBHOOK_URL", raw.auth_webhook_url, str::parse)
            .map(|url| WebhookConfig { url, keep: Duration::from_secs(keep) });
        Ok(AuthorizationConfig { admin_secret: raw.admin_secret, rules, jwt, webhook })
    }

    /// Whether everybody may do everything, as nothing says otherwise.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.admin_secret.is_none() && self.rules.is_none() && self.jwt.is_none() && self.webhook.is_none()
    }

    /// Whether strangers are kept out: there is a way to tell who somebody is, and what they may do.
    #[must_use]
    pub fn tells_strangers(&self) -> bool {
        self.admin_secret.is_some() || ((self.jwt.is_some() || self.webhook.is_some()) && self.rules.is_some())
    }

    /// Whether somebody else has to be asked about callers.
    #[must_use]
    pub fn asks_others(&self) -> bool {
        self.webhook.is_some() || matches!(&self.jwt, Some(JwtConfig { keys: KeySource::Jwks(_), .. }))
    }
}

/// The one source of keys that is given.
fn single<const N: usize>(faults: &mut Faults, sources: [Option<(&str, KeySource)>; N]) -> Option<KeySource> {
    let mut given = sources.into_iter().flatten();
    let (first, source) = given.next()?;
    for (variable, _) in given {
        faults.add(variable, format!("excludes {first}: set one of them"));
    }
    Some(source)
}

fn public_key(faults: &mut Faults, pem: Option<String>) -> Option<VerifyingKey> {
    faults.optional("JWT_PUBLIC_KEY", pem, VerifyingKey::of_pem)
}

fn public_key_file(faults: &mut Faults, path: Option<String>) -> Option<VerifyingKey> {
    let pem = contents(faults, "JWT_PUBLIC_KEY_FILE", &path?)?;
    faults.optional("JWT_PUBLIC_KEY_FILE", Some(pem), VerifyingKey::of_pem)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Result<AuthorizationConfig, ConfigError> {
        let mut faults = Faults::default();
        let read = AuthorizationConfig::read(&pairs.iter().copied().collect(), &mut faults)?;
        faults.finish(|| Some(read))
    }

    const SECRET: (&str, &str) = ("ADMIN_SECRET", "hunter2");
    const RULES: (&str, &str) = ("AUTH_RULES", "[]");
    const JWT: (&str, &str) = ("JWT_SECRET", "hunter2");
    const WEBHOOK: (&str, &str) = ("AUTH_WEBHOOK_URL", "https://id.example/?token=hunter2");

    #[test]
    fn strangers_are_kept_out_by_what_tells_them_from_others() {
        for (pairs, is_open, tells) in [
            (&[][..], true, false),
            (&[SECRET], false, true),
            (&[RULES], false, false),
            (&[JWT], false, false),
            (&[WEBHOOK], false, false),
            (&[JWT, RULES], false, true),
            (&[WEBHOOK, RULES], false, true),
            (&[SECRET, RULES, JWT, WEBHOOK], false, true),
        ] {
            let config = config(pairs).unwrap();
            assert_eq!((config.is_open(), config.tells_strangers()), (is_open, tells), "{pairs:?}");
            assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
        }
    }

    #[test]
    fn faults_are_told_with_their_variables() {
        let published = ("JWT_JWKS_URL", "http://127.0.0.1/jwks.json");
        for (pairs, variable, says) in [
            (&[RULES, ("AUTH_RULES_FILE", "/x")][..], "AUTH_RULES_FILE", "excludes AUTH_RULES"),
            (&[("AUTH_RULES_FILE", "/nowhere")], "AUTH_RULES_FILE", "takes a file that can be read"),
            (&[("AUTH_RULES", "{")], "AUTH_RULES", "is not JSON"),
            (&[("AUTH_RULES", r#"[{"role": "a", "entity": "queu"}]"#)], "AUTH_RULES", "Did you mean 'queue'?"),
            (&[JWT, published], "JWT_JWKS_URL", "excludes JWT_SECRET"),
            (&[("JWT_PUBLIC_KEY", "hunter2")], "JWT_PUBLIC_KEY", "takes a public key in PEM"),
            (&[("JWT_PUBLIC_KEY_FILE", "/nowhere")], "JWT_PUBLIC_KEY_FILE", "takes a file"),
            (&[("JWT_JWKS_URL", "jwks.json")], "JWT_JWKS_URL", "takes a URL"),
            (&[("AUTH_WEBHOOK_URL", "ftp://me:hunter2@x")], "AUTH_WEBHOOK_URL", "takes a URL"),
            (&[("JWT_ISSUER", "x")], "JWT_ISSUER", "but there is no JWT_SECRET"),
            (&[("JWT_AUDIENCE", "x")], "JWT_AUDIENCE", "but there is no JWT_SECRET"),
            (&[("JWT_NAMESPACE", "x")], "JWT_NAMESPACE", "but there is no JWT_SECRET"),
            (&[("AUTH_WEBHOOK_CACHE_SECONDS", "-1")], "AUTH_WEBHOOK_CACHE_SECONDS", "from 0 to 86400"),
        ] {
            let error = config(pairs).unwrap_err();
            let [fault] = error.faults() else { panic!("{pairs:?}: {error}") };
            assert_eq!(fault.variable, variable, "{pairs:?}");
            assert!(fault.problem.contains(says) && !fault.problem.contains("hunter2"), "{pairs:?}: {error}");
        }
    }

    #[test]
    fn everything_is_read() {
        let pairs = [JWT, ("JWT_ISSUER", "a, b"), ("JWT_AUDIENCE", "c"), ("JWT_NAMESPACE", "https://x/"), WEBHOOK];
        let config = config(&[&pairs[..], &[("AUTH_WEBHOOK_CACHE_SECONDS", "30")]].concat()).unwrap();
        let jwt = config.jwt.clone().unwrap();
        assert_eq!((jwt.issuers, jwt.audiences), (vec!["a".to_owned(), "b".to_owned()], vec!["c".to_owned()]));
        assert_eq!(jwt.namespace.as_deref(), Some("https://x/"));
        assert_eq!(config.webhook.as_ref().map(|webhook| webhook.keep), Some(Duration::from_secs(30)));
        assert!(config.asks_others());
    }
}
