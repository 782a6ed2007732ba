//! TLS to Postgres by rustls with ring, configured here and never by a process-wide default.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Whose signature on a server's certificate counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Roots {
    /// The certificates that the system trusts.
    System,
    /// A file of PEM certificates.
    File(PathBuf),
}

/// What of the server's certificate is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Check {
    /// Nothing: encrypts, but does not tell who is at the other end (libpq's `prefer` and `require`).
    Nothing,
    /// That it is signed by a root (`verify-ca`).
    Chain(Roots),
    /// Also that it is for the host (`verify-full`).
    ChainAndName(Roots),
}

/// # Errors
/// A sentence about the roots that cannot be read.
pub(crate) fn client_config(check: Check) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (roots, name) = match check {
        Check::Nothing => (None, false),
        Check::Chain(roots) => (Some(Trusted::read(roots)?), false),
        Check::ChainAndName(roots) => (Some(Trusted::read(roots)?), true),
    };
    let verifier = Verifier { provider: Arc::clone(&provider), roots, name };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

#[derive(Debug)]
struct Trusted {
    anchors: RootCertStore,
    /// The roots as they are. A server whose own self-signed certificate is the root, as is common for Postgres, has a
    /// chain of one, which the usual rules refuse because that certificate is also an authority's.
    certificates: Vec<CertificateDer<'static>>,
}

impl Trusted {
    fn read(roots: Roots) -> Result<Trusted, String> {
        let certificates = match roots {
            Roots::System => {
                let found = rustls_native_certs::load_native_certs();
                if found.certs.is_empty() {
                    return Err("the system has no trusted certificates; name a file with sslrootcert".to_owned());
                }
                found.certs
            }
            Roots::File(path) => {
                let told = |problem: String| format!("sslrootcert: {}: {problem}", path.display());
                let certificates = CertificateDer::pem_file_iter(&path)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(|error| told(error.to_string()))?;
                if certificates.is_empty() {
                    return Err(told("holds no certificate".to_owned()));
                }
                certificates
            }
        };
        let mut anchors = RootCertStore::empty();
        anchors.add_parsable_certificates(certificates.iter().cloned());
        Ok(Trusted { anchors, certificates })
    }
}

#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    roots: Option<Trusted>,
    name: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(roots) = &self.roots else {
            return Ok(ServerCertVerified::assertion());
        };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        if !roots.certificates.contains(end_entity) {
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, &roots.anchors, intermediates, now, algorithms)?;
        }
        if self.name {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
