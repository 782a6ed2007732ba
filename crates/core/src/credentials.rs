//! What a queue shows its receiver to be let in, and whom it takes for its receiver: an authorization, a certificate of its
//! own, and the certificate authorities that it trusts.
//!
//! Promise: what passes here can be used; nothing of it that is secret appears in an error, a description or a log.

use std::fmt;

use ring::digest::{SHA256, digest};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::queue::{CallbackUrl, check_headers};

/// The longest text of one field, in bytes: whole certificate chains fit.
const LONGEST: usize = 64 * 1024;

/// The credentials of a queue.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Credentials {
    /// What is sent with every request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// What is shown in the TLS handshake (mutual TLS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<ClientCertificate>,
    /// PEM: the receiver's certificate must come from one of these, instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_certificates: Option<String>,
}

/// What is sent with every request, over what headers say.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Authorization {
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer {
        /// As it is sent.
        token: String,
    },
    /// `Authorization: Basic …` (RFC 7617).
    Basic {
        /// Without a colon.
        username: String,
        /// Any.
        password: String,
    },
    /// A header of the receiver's choice.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// `Authorization: Bearer …` with a token that is fetched by the client credentials grant (RFC 6749 §4.4) and renewed.
    Oauth2 {
        /// Where tokens are had.
        token_url: String,
        /// Who asks.
        client_id: String,
        /// And proves it.
        client_secret: String,
        /// What for, where the server wants to know.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scope: Option<String>,
        /// And for whom.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        audience: Option<String>,
        /// How it is proved.
        #[serde(default)]
        client_authentication: ClientAuthentication,
    },
}

/// How a client proves to a token server who it is (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClientAuthentication {
    /// HTTP Basic.
    #[default]
    Basic,
    /// In the form.
    Body,
}

/// A certificate and its key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientCertificate {
    /// PEM: the certificate first, then those that it comes from.
    pub certificate: String,
    /// PEM.
    pub private_key: String,
}

/// What is wrong with credentials; nothing of it is a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// Not the JSON that it should be.
    #[error("{0}")]
    Form(String),
    /// None at all.
    #[error("must have authorization, clientCertificate or caCertificates")]
    Empty,
    /// A field of it.
    #[error("{field}: {problem}")]
    Field {
        /// Which one, such as `authorization.token`.
        field: &'static str,
        /// What it takes.
        problem: String,
    },
}

impl Credentials {
    /// Reads and checks what a client sends.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(text: &str) -> Result<Credentials, CredentialsError> {
        // serde would take a list of the fields' values as well.
        if !text.trim_ascii_start().starts_with('{') {
            return Err(form(""));
        }
        let credentials: Credentials = serde_json::from_str(text).map_err(|error| form(&error.to_string()))?;
        credentials.check()?;
        Ok(credentials)
    }

    fn check(&self) -> Result<(), CredentialsError> {
        if self.authorization.is_none() && self.client_certificate.is_none() && self.ca_certificates.is_none() {
            return Err(CredentialsError::Empty);
        }
        if let Some(authorization) = &self.authorization {
            authorization.check()?;
        }
        if let Some(own) = &self.client_certificate {
            certificates("clientCertificate.certificate", &own.certificate)?;
            own.key()?;
        }
        if let Some(authorities) = &self.ca_certificates {
            certificates("caCertificates", authorities)?;
        }
        Ok(())
    }

    /// The certificates that the receiver's may come from; none where the system's are meant.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn authorities(&self) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
        self.ca_certificates.as_deref().map_or(Ok(Vec::new()), |pem| certificates("caCertificates", pem))
    }

    /// What may be shown of them to whoever may see the queue.
    #[must_use]
    pub fn describe(&self) -> Value {
        let mut shown = Map::new();
        if let Some(authorization) = &self.authorization {
            shown.insert("authorization".to_owned(), authorization.describe());
        }
        if let Some(own) = &self.client_certificate {
            let chain = own.chain().unwrap_or_default();
            shown.insert("clientCertificate".to_owned(), json!({"sha256": chain.first().map(fingerprint)}));
        }
        if self.ca_certificates.is_some() {
            let authorities: Vec<String> = self.authorities().unwrap_or_default().iter().map(fingerprint).collect();
            shown.insert("caCertificates".to_owned(), json!({"sha256": authorities}));
        }
        Value::Object(shown)
    }
}

impl Authorization {
    fn check(&self) -> Result<(), CredentialsError> {
        match self {
            Authorization::Bearer { token } => text("authorization.token", token),
            Authorization::Basic { username, password } => {
                text("authorization.username", username)?;
                if username.contains(':') {
                    return Err(fault("authorization.username", "must not contain a colon"));
                }
                text("authorization.password", password)
            }
            Authorization::Header { name, value } => {
                let headers = Map::from_iter([(name.clone(), Value::String(value.clone()))]);
                check_headers(&headers).map_err(|error| fault("authorization.name", &error.to_string()))?;
                text("authorization.value", value)
            }
            Authorization::Oauth2 {
                token_url,
                client_id,
                client_secret,
                scope,
                audience,
                client_authentication: _,
            } => {
                CallbackUrl::parse(token_url).map_err(|error| fault("authorization.tokenUrl", &error.to_string()))?;
                text("authorization.clientId", client_id)?;
                text("authorization.clientSecret", client_secret)?;
                scope.as_deref().map_or(Ok(()), |scope| text("authorization.scope", scope))?;
                audience.as_deref().map_or(Ok(()), |audience| text("authorization.audience", audience))
            }
        }
    }

    fn describe(&self) -> Value {
        match self {
            Authorization::Bearer { token: _ } => json!({"type": "bearer"}),
            Authorization::Basic { username, password: _ } => json!({"type": "basic", "username": username}),
            Authorization::Header { name, value: _ } => json!({"type": "header", "name": name}),
            Authorization::Oauth2 {
                token_url,
                client_id,
                client_secret: _,
                scope,
                audience,
                client_authentication,
            } => {
                json!({"type": "oauth2", "tokenUrl": token_url, "clientId": client_id, "scope": scope,
                       "audience": audience, "clientAuthentication": client_authentication})
            }
        }
    }
}

impl ClientCertificate {
    /// The certificate, and those that it comes from.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn chain(&self) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
        certificates("clientCertificate.certificate", &self.certificate)
    }

    /// Its key.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn key(&self) -> Result<PrivateKeyDer<'static>, CredentialsError> {
        let field = "clientCertificate.privateKey";
        short(field, &self.private_key)?;
        PrivateKeyDer::from_pem_slice(self.private_key.as_bytes())
            .map_err(|_| fault(field, "must be a private key in PEM, not encrypted"))
    }
}

fn certificates(field: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    short(field, pem)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| fault(field, "must be one or more certificates in PEM"))
}

fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    digest(&SHA256, certificate).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is sent in a header or a form.
fn text(field: &'static str, text: &str) -> Result<(), CredentialsError> {
    short(field, text)?;
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(fault(field, "must not be empty or contain control characters"));
    }
    Ok(())
}

fn short(field: &'static str, text: &str) -> Result<(), CredentialsError> {
    if text.len() > LONGEST {
        return Err(fault(field, &format!("may have at most {LONGEST} bytes")));
    }
    Ok(())
}

fn fault(field: &'static str, problem: &str) -> CredentialsError {
    CredentialsError::Field { field, problem: problem.to_owned() }
}

/// serde's words, where they name fields; where they repeat values, which may be secrets, words of our own.
fn form(error: &str) -> CredentialsError {
    let told = error.split(" at line ").next().unwrap_or_default();
    let is_harmless = ["missing field", "unknown field", "unknown variant"].iter().any(|start| told.starts_with(start));
    CredentialsError::Form(match is_harmless {
        true => told.chars().take(200).collect(),
        false => "must be an object of objects and strings, as documented".to_owned(),
    })
}

/// What may be shown.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.describe())
    }
}

/// What may be shown.
impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorization({})", self.describe())
    }
}

/// Nothing of it.
impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";

    fn told(value: &Value) -> Result<String, String> {
        Credentials::parse(&value.to_string())
            .map(|read| read.describe().to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_can_be_used_is_described_without_its_secrets() {
        let sha = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        let cases = [
            (
                json!({"authorization": {"type": "bearer", "token": "secret"}}),
                json!({"authorization": {"type": "bearer"}}),
            ),
            (
                json!({"authorization": {"type": "basic", "username": "me", "password": "secret"}}),
                json!({"authorization": {"type": "basic", "username": "me"}}),
            ),
            (
                json!({"authorization": {"type": "header", "name": "X-Key", "value": "secret"}}),
                json!({"authorization": {"type": "header", "name": "X-Key"}}),
            ),
            (
                json!({"authorization": {"type": "oauth2", "tokenUrl": "https://id.example/token", "clientId": "me",
                                         "clientSecret": "secret", "clientAuthentication": "body"}}),
                json!({"authorization": {"type": "oauth2", "tokenUrl": "https://id.example/token", "clientId": "me",
                                         "scope": null, "audience": null, "clientAuthentication": "body"}}),
            ),
            (
                json!({"clientCertificate": {"certificate": CERTIFICATE, "privateKey": KEY}, "caCertificates": CERTIFICATE.repeat(2)}),
                json!({"clientCertificate": {"sha256": sha}, "caCertificates": {"sha256": [sha, sha]}}),
            ),
        ];
        for (given, described) in cases {
            let read = Credentials::parse(&given.to_string()).unwrap();
            assert_eq!(read.describe(), described);
            assert!(!format!("{read:?}").contains("secret"));
            let kept = serde_json::to_string(&read).unwrap();
            assert_eq!(Credentials::parse(&kept), Ok(read), "what is kept is read again");
        }
    }

    #[test]
    fn faults_are_told_without_secrets() {
        let basic = |username: &str, password: &str| json!({"authorization": {"type": "basic", "username": username, "password": password}});
        let header = |name: &str| json!({"authorization": {"type": "header", "name": name, "value": "hunter2"}});
        let cases = [
            (json!({}), "must have authorization"),
            (json!([]), "must be an object"),
            (json!("hunter2"), "must be an object"),
            (json!({"authorization": "hunter2"}), "must be an object"),
            (json!({"authorization": {"type": "bearer", "token": ["hunter2"]}}), "must be an object"),
            (json!({"authorization": {"type": "bearer"}}), "missing field `token`"),
            (json!({"authorization": {"type": "digest"}}), "unknown variant `digest`"),
            (json!({"authorization": {"token": "hunter2"}}), "missing field `type`"),
            (json!({"authorization": {"type": "bearer", "token": "x", "user": "hunter2"}}), "unknown field `user`"),
            (json!({"password": "hunter2"}), "unknown field `password`"),
            (json!({"authorization": {"type": "bearer", "token": ""}}), "authorization.token: must not be empty"),
            (
                json!({"authorization": {"type": "bearer", "token": "hunter2\r\n"}}),
                "authorization.token: must not be empty",
            ),
            (basic("a:b", "hunter2"), "authorization.username: must not contain a colon"),
            (basic("me", &"hunter2".repeat(10_000)), "authorization.password: may have at most 65536 bytes"),
            (header("host name"), "authorization.name: \"host name\" is not a header name"),
            (header("content-length"), "authorization.name: the header \"content-length\" cannot be set"),
            (
                json!({"authorization": {"type": "oauth2", "tokenUrl": "ftp://x", "clientId": "me", "clientSecret": "hunter2"}}),
                "authorization.tokenUrl: the callback URL must begin with http",
            ),
            (json!({"caCertificates": "hunter2"}), "caCertificates: must be one or more certificates in PEM"),
            (
                json!({"clientCertificate": {"certificate": CERTIFICATE, "privateKey": "hunter2"}}),
                "clientCertificate.privateKey: must be a private key in PEM",
            ),
            (json!({"clientCertificate": {"certificate": CERTIFICATE}}), "missing field `privateKey`"),
        ];
        for (given, says) in cases {
            let error = told(&given).unwrap_err();
            assert!(error.starts_with(says), "{error} instead of {says}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
