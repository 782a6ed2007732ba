//! Secrets and credentials of queues in JSON.

use std::time::Duration;

use posthaste_core::credentials::{Credentials, CredentialsError};
use posthaste_core::signature::Scheme;
use posthaste_store::queue_credentials::Description;
use posthaste_store::queue_secret::Secret;
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use serde::Serialize;
use serde_json::Value;

use super::fields::Fields;
use super::value::{given, integer, invalid, string};
use super::{Date, Id};
use crate::error::ApiError;

const LONGEST_GRACE_SECONDS: i64 = 30 * 86_400;

/// A secret as it is answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretView<'a> {
    id: Id,
    queue_id: Id,
    #[serde(rename = "type")]
    scheme: &'a str,
    /// The secret itself: only when it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    public_key: Option<&'a str>,
    created_at: Date,
    expires_at: Option<Date>,
    revoked_at: Option<Date>,
}

impl<'a> SecretView<'a> {
    /// Together with the secret itself.
    #[must_use]
    pub fn with_secret(self, secret: &'a str) -> SecretView<'a> {
        SecretView { secret: Some(secret), ..self }
    }
}

impl<'a> From<&'a Secret> for SecretView<'a> {
    fn from(secret: &'a Secret) -> SecretView<'a> {
        SecretView {
            id: Id(secret.id.0),
            queue_id: Id(secret.queue.0),
            scheme: &secret.scheme,
            secret: None,
            public_key: secret.public_key.as_deref(),
            created_at: Date(secret.created_at),
            expires_at: secret.expires_at.map(Date),
            revoked_at: secret.revoked_at.map(Date),
        }
    }
}

/// A secret that is asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct SecretInput {
    pub scheme: Scheme,
    pub grace: Option<Duration>,
}

impl SecretInput {
    /// How long earlier secrets are good after a new one was made, where nobody says. As Svix does.
    pub const DEFAULT_GRACE_SECONDS: i64 = 86_400;

    /// Reads and validates a request's body; nothing asks for the usual.
    ///
    /// # Errors
    /// The first fault.
    pub fn read(body: Option<Fields<'_>>) -> Result<SecretInput, ApiError> {
        let Some(mut fields) = body else { return SecretInput::of(None, Some(SecretInput::DEFAULT_GRACE_SECONDS)) };
        let scheme = given(fields.take("type")).map(|value| string("type", value)).transpose()?;
        let grace = match fields.take("gracePeriodSeconds") {
            None => Some(SecretInput::DEFAULT_GRACE_SECONDS),
            Some(value) => given(Some(value)).map(|value| integer("gracePeriodSeconds", value)).transpose()?,
        };
        fields.finish()?;
        SecretInput::of(scheme.as_deref(), grace)
    }

    /// The same of values that were read already; `None` for the grace leaves earlier secrets as they are.
    ///
    /// # Errors
    /// The first fault.
    pub fn of(scheme: Option<&str>, grace: Option<i64>) -> Result<SecretInput, ApiError> {
        let scheme = scheme.map_or(Some(Scheme::V1), Scheme::from_name);
        let scheme = scheme.ok_or_else(|| invalid("type", "takes v1 (HMAC-SHA256) or v1a (ed25519)"))?;
        let seconds = |seconds: i64| {
            let checked = u64::try_from(seconds).ok().filter(|_| seconds <= LONGEST_GRACE_SECONDS);
            checked.map(Duration::from_secs).ok_or_else(|| {
                invalid(
                    "gracePeriodSeconds",
                    format!("takes 0 to {LONGEST_GRACE_SECONDS}, or null to keep earlier secrets"),
                )
            })
        };
        Ok(SecretInput { scheme, grace: grace.map(seconds).transpose()? })
    }
}

/// What may be seen of a queue's credentials.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialsView<'a> {
    queue_id: Id,
    #[serde(flatten)]
    shown: &'a Value,
    updated_at: Date,
}

impl<'a> From<&'a Description> for CredentialsView<'a> {
    fn from(description: &'a Description) -> CredentialsView<'a> {
        CredentialsView {
            queue_id: Id(description.queue.0),
            shown: &description.shown,
            updated_at: Date(description.updated_at),
        }
    }
}

/// Reads and validates credentials.
///
/// # Errors
/// The first fault. No value is repeated.
pub fn credentials(body: &str) -> Result<Credentials, ApiError> {
    // Tells what is wrong with the JSON in the usual words.
    Fields::parse(body)?;
    let credentials = Credentials::parse(body).map_err(|error| refused(&error))?;
    usable(&credentials)?;
    Ok(credentials)
}

fn refused(error: &CredentialsError) -> ApiError {
    ApiError::Validation(format!("body {error}"))
}

/// Makes sure that TLS can use the certificates: what is PEM need not be a certificate, nor a key that belongs to it.
fn usable(credentials: &Credentials) -> Result<(), ApiError> {
    let unusable = |what: &str| ApiError::Validation(format!("body {what}"));
    if let Some(own) = &credentials.client_certificate {
        let (chain, key) = (own.chain().map_err(|error| refused(&error))?, own.key().map_err(|error| refused(&error))?);
        CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())
            .map_err(|_| unusable("clientCertificate: must be a certificate and the private key that belongs to it"))?;
    }
    for authority in credentials.authorities().map_err(|error| refused(&error))? {
        RootCertStore::empty()
            .add(authority)
            .map_err(|_| unusable("caCertificates: must be certificates of certificate authorities"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_about_a_secret_is_the_usual() {
        let read = |json: Option<&str>| {
            SecretInput::read(json.map(|json| Fields::parse(json).unwrap())).map_err(|error| error.to_string())
        };
        let day = Some(Duration::from_secs(86_400));
        let cases = [
            (None, Ok(SecretInput { scheme: Scheme::V1, grace: day })),
            (Some("{}"), Ok(SecretInput { scheme: Scheme::V1, grace: day })),
            (
                Some(r#"{"type":"v1a","gracePeriodSeconds":0}"#),
                Ok(SecretInput { scheme: Scheme::V1a, grace: Some(Duration::ZERO) }),
            ),
            (Some(r#"{"type":null,"gracePeriodSeconds":null}"#), Ok(SecretInput { scheme: Scheme::V1, grace: None })),
        ];
        for (json, expected) in cases {
            assert_eq!(read(json), expected, "{json:?}");
        }
        for (json, says) in [
            (r#"{"type":"v2"}"#, "body/type: takes v1"),
            (r#"{"gracePeriodSeconds":-1}"#, "body/gracePeriodSeconds: takes 0 to"),
            (r#"{"gracePeriodSeconds":2592001}"#, "body/gracePeriodSeconds: takes 0 to"),
            (r#"{"gracePeriodSeconds":1.5}"#, "body/gracePeriodSeconds must be integer"),
            (r#"{"secret":"whsec_mine"}"#, "body has no property 'secret'"),
        ] {
            let problem = read(Some(json)).unwrap_err();
            assert!(problem.starts_with(says), "{json}: {problem}");
        }
    }
}
