//! HTTPS: only to whom a certificate that we trust says that it is.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use posthaste_tests::receiver::Receiver;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::Scene;
use super::raw::RawReceiver;

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/receivers").join(name)
}

/// A receiver with a certificate for 127.0.0.1 that no public authority has signed, and a count of what it was sent.
fn secure() -> (RawReceiver, Arc<AtomicUsize>) {
    let certificate = CertificateDer::from_pem_file(fixture("untrusted.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(fixture("untrusted.key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let talk = move |mut tcp: TcpStream| {
        let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = rustls::Stream::new(&mut connection, &mut tcp);
        let mut buffer = [0; 4096];
        // Requests are small enough for one record.
        while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
            counted.fetch_add(1, Ordering::Relaxed);
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
                return;
            }
        }
    };
    (RawReceiver::start(talk), count)
}

#[actix_rt::test]
async fn a_certificate_that_nobody_trusts_gets_nothing() {
    let scene = Scene::new().await;
    let (receiver, count) = secure();
    let attempt = scene.try_once(&format!("https://127.0.0.1:{}/", receiver.port())).await;
    assert_eq!(attempt.verdict(), "failed tls", "{attempt:?}");
    assert!(attempt.error.is_some());
    assert_eq!((receiver.accepted(), count.load(Ordering::Relaxed)), (1, 0));
}

#[actix_rt::test]
async fn a_certificate_counts_for_the_name_that_it_is_for() {
    let root = fixture("untrusted.pem");
    let scene = Scene::with(|launch| launch.env("SSL_CERT_FILE", root.to_str().unwrap())).await;
    let (receiver, count) = secure();

    let attempt = scene.try_once(&format!("https://127.0.0.1:{}/", receiver.port())).await;
    assert_eq!((attempt.verdict().as_str(), attempt.status), ("delivered", Some(200)), "{attempt:?}");
    assert_eq!(count.load(Ordering::Relaxed), 1);

    let attempt = scene.try_once(&format!("https://localhost:{}/", receiver.port())).await;
    assert_eq!(attempt.verdict(), "failed tls", "{attempt:?}");
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[actix_rt::test]
async fn tls_to_a_port_that_does_not_speak_it_fails() {
    let scene = Scene::new().await;
    let receiver = Receiver::start();
    let attempt = scene.try_once(&format!("https://{}/", receiver.address())).await;
    assert_eq!(attempt.verdict(), "failed tls", "{attempt:?}");
    assert_eq!(receiver.count(), 0);
}

#[actix_rt::test]
async fn plain_http_to_a_port_that_speaks_tls_fails() {
    let scene = Scene::new().await;
    let (receiver, count) = secure();
    let attempt = scene.try_once(&receiver.url()).await;
    // The other side sends an alert, or only closes.
    assert!(["failed protocol", "failed reset"].contains(&attempt.verdict().as_str()), "{attempt:?}");
    assert_eq!(count.load(Ordering::Relaxed), 0);
}
