//! Tokens: with a secret, and with keys that are published over HTTP and HTTPS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use posthaste_tests::receiver::{Answer, Receiver};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};

use super::secrets::TOKEN;
use super::*;

/// RS256 by key `r`: role `user`, user 42, and no end.
const SIGNED: &str = "\
    eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InIifQ.eyJYLVBMQVRGT1JNQVRJQy1ST0xFIjoidXNlciIsIlgtUExBV\
    EZPUk1BVElDLVVTRVItSUQiOjQyfQ.RTYVb-\
    A6A0jlSUTXP2WWUp5V76dLUa1d5HJfWoXT4kCqNvkl4KOOgU9LiV9vjJp0hT_fV8PMGLt4PGBAsrUYuPCXnyBrG9kbqegfCZucsH\
    QerOkqqdO9Horw21O6qbt6yBruk2ZUPlE2CucEpudf5Ix2W61alGFE453-VXqPMVMwF7mYQ2kptm60qShz4iAOJxrKEHEHt-hBz8\
    BObvrJSp7za26HRK2ZEs9xpjftrJ1nBmXOca299h8uXo8K4mFItUN267YR1FyQkf0hF7OuNlStSLPDXWXWU4DKYwoGNOdPyg1TSn\
    Ez2PWzDiH8V2gLKwpLwPfo9hy0egCJD5hRHw";

/// HS256 by `hunter2-of-the-tokens`: role `user`, and an end in 2001.
const EXPIRED: &str = "\
    eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJYLVBMQVRGT1JNQVRJQy1ST0xFIjoidXNlciIsImV4cCI6MTAwMDAwMDAwMH0\
    .8VKD4C0_GaSubuTBx-QdGnqJPMoXT4D0TO1giWD48WU";

/// The modulus of key `r`.
const MODULUS: &str = "\
    o9DwEsSGpLVRwelhsTGV3keiyutF82c_duzVgmyqXGpmMqGbXBUUqCVCSz5A2um8z9b4VxSK3ATmkZcUhDnG9srtKJTUoaUSSUR0\
    LksFanaUHQTDHqVh7SqrOlb56rZ01F8e1mbdl4cP0JS2Tygg-\
    o7ymmFNvD5T3IOshqTjjOB919r6y_a5dp89zzZL4Uw0gm3AQpQ1vYBMnsw2uLaUS7kWLIl1wXv-Ga4Q7jj8yxRjBqyquertWbdLy\
    pa6aXcm-1j6R57N9gUJrH8NNDS0bATbQQ6kUygjciZdGtkCL3yLP3ONs7P0sZ1mZyYo9DT9dmrzAHlk1TobgEyw_bW8Pw";

const RULES: &str = r#"[
    {"role": "user", "entity": "queue", "find": true},
    {"role": "anonymous", "entity": "message", "find": true}
]"#;

fn keys() -> String {
    json!({"keys": [{"kty": "RSA", "kid": "r", "use": "sig", "alg": "RS256", "n": MODULUS, "e": "AQAB"}]}).to_string()
}

fn launch(database: &Database) -> Launch {
    Launch::api(database).env("AUTH_RULES", RULES)
}

/// What is answered to a token where a user, and where anybody may look.
async fn statuses(process: &Process, token: &str) -> (u16, u16) {
    let api = with_key(process, token);
    (api.get("/queues").await.status, api.get("/messages").await.status)
}

#[actix_rt::test]
async fn a_token_counts_while_its_key_and_its_time_are_right() {
    let database = Database::new().await;
    let process = launch(&database).env("JWT_SECRET", "hunter2-of-the-tokens").start().await;
    assert_eq!(statuses(&process, TOKEN).await, (200, 403));
    // Anything else is as none: what anybody may do is still allowed.
    let unsigned = TOKEN.rsplit_once('.').unwrap().0.to_owned() + ".";
    for token in [EXPIRED, SIGNED, &unsigned, "x", "..", ""] {
        assert_eq!(statuses(&process, token).await, (401, 200), "{token}");
    }
}

#[actix_rt::test]
async fn published_keys_are_read_when_they_are_needed_and_stay_when_they_cannot_be() {
    let database = Database::new().await;
    let publisher = Receiver::start();
    publisher.answer("/jwks.json", Answer::status(200).body(keys()));
    let process = launch(&database).env("JWT_JWKS_URL", &publisher.url("/jwks.json")).start().await;
    assert_eq!(publisher.count(), 0);
    assert_eq!(statuses(&process, SIGNED).await, (200, 403));
    assert_eq!(statuses(&process, TOKEN).await, (401, 200));
    publisher.answer("/jwks.json", Answer::status(500));
    assert_eq!(statuses(&process, SIGNED).await, (200, 403));
    assert_eq!(publisher.count(), 1);
}

#[actix_rt::test]
async fn keys_that_never_came_leave_everybody_anonymous() {
    let database = Database::new().await;
    let publisher = Receiver::start();
    publisher.answer("/jwks.json", Answer::hang());
    let process = launch(&database).env("JWT_JWKS_URL", &publisher.url("/jwks.json")).start().await;
    assert_eq!(statuses(&process, SIGNED).await, (401, 200));
}

#[actix_rt::test]
async fn keys_are_taken_from_whom_the_certificate_is_for() {
    let (database, address) = (Database::new().await, publish_securely());
    let url = format!("https://{address}/jwks.json");
    let trusting = launch(&database).env("JWT_JWKS_URL", &url);
    let trusting = trusting.env("SSL_CERT_FILE", fixture("untrusted.pem").to_str().unwrap()).start().await;
    assert_eq!(statuses(&trusting, SIGNED).await, (200, 403));
    let other = launch(&database).env("JWT_JWKS_URL", &url).start().await;
    assert_eq!(statuses(&other, SIGNED).await, (401, 200));
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/receivers").join(name)
}

/// Publishes the keys with a certificate that no public authority has signed.
fn publish_securely() -> SocketAddr {
    let certificate = CertificateDer::from_pem_file(fixture("untrusted.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(fixture("untrusted.key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for tcp in listener.incoming() {
            let mut tcp = tcp.unwrap();
            let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = Stream::new(&mut connection, &mut tcp);
            // A request is small enough for one record; who does not trust us sends none.
            if stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                let keys = keys();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", keys.len());
                stream.write_all((head + &keys).as_bytes()).unwrap();
            }
        }
    });
    address
}
