//! Requests of the API's own: for the keys that tokens are signed with, and to the webhook that knows who a caller is.
//!
//! awc's client belongs to one thread, and those who wait here are on many: so it has a thread of its own, which ends when
//! nobody can ask it any more. An answer is bounded in time and size, and no redirect is followed. Nothing here is logged
//! but what went wrong: neither headers nor URLs, as both may hold secrets.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue, USER_AGENT};
use actix_web::http::{Method, Uri};
use actix_web::web::Bytes;
use awc::error::{ConnectError, SendRequestError};
use awc::{Client, Connector};
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

/// From the question to the last byte of the answer.
const TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// An idle connection is closed after this, before the other side does.
const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// Connections at a time; more questions than that wait within their time.
const CONNECTIONS: usize = 64;
/// Questions that wait for the thread. It takes them at once.
const BACKLOG: usize = 1024;
const LARGEST_ANSWER: usize = 1 << 20;
const PRODUCT: &str = concat!("Posthaste/", env!("CARGO_PKG_VERSION"));

/// An absolute URL of http or https, without user and password. Neither `Debug` nor an error shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl(Uri);

impl FromStr for HttpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<HttpUrl, String> {
        let usable = |uri: &Uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
                && uri.host().is_some_and(|host| !host.is_empty())
        };
        let uri = text.parse::<Uri>().ok().filter(usable);
        uri.map(HttpUrl).ok_or_else(|| "takes a URL such as https://HOST/PATH, without user and password".to_owned())
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[url]")
    }
}

/// What is asked.
pub(super) struct Question {
    pub(super) method: Method,
    pub(super) url: HttpUrl,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// Asks. Clones share the connections.
#[derive(Debug, Clone)]
pub(super) struct Outbound(mpsc::Sender<Job>);

struct Job {
    question: Question,
    answer: oneshot::Sender<Result<Answer, String>>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}

impl Outbound {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has none to give.
    pub(super) fn start() -> std::io::Result<Outbound> {
        let (sender, jobs) = mpsc::channel(BACKLOG);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = move || LocalSet::new().block_on(&runtime, serve(jobs));
        std::thread::Builder::new().name("outbound".to_owned()).spawn(work)?;
        Ok(Outbound(sender))
    }

    /// Asks once; a connection that was closed while it was idle counts for nothing.
    ///
    /// # Errors
    /// A sentence that says what went wrong, without any part of the question.
    pub(super) async fn ask(&self, question: Question) -> Result<Answer, String> {
        let (answer, answered) = oneshot::channel();
        let gone = "the thread that asks has ended";
        self.0.send(Job { question, answer }).await.map_err(|_| gone.to_owned())?;
        answered.await.map_err(|_| gone.to_owned())?
    }
}

async fn serve(mut jobs: mpsc::Receiver<Job>) {
    let client = client();
    while let Some(Job { question, answer }) = jobs.recv().await {
        let client = client.clone();
        tokio::task::spawn_local(async move {
            let result = tokio::time::timeout(TIMEOUT, twice(&client, &question)).await;
            // Who does not wait any more does not want to know.
            let _ = answer.send(result.unwrap_or_else(|_| Err("no answer in time".to_owned())));
        });
    }
}

async fn twice(client: &Client, question: &Question) -> Result<Answer, String> {
    match once(client, question).await {
        Err(SendRequestError::Connect(ConnectError::Disconnected) | SendRequestError::Send(_)) => {
            once(client, question).await.map_err(|error| error.to_string())?
        }
        result => result.map_err(|error| error.to_string())?,
    }
}

async fn once(client: &Client, question: &Question) -> Result<Result<Answer, String>, SendRequestError> {
    let mut request = client.request(question.method.clone(), question.url.0.clone()).no_decompress();
    if question.headers.iter().any(|(name, _)| name == USER_AGENT) {
        request.headers_mut().remove(USER_AGENT);
    }
    for (name, value) in &question.headers {
        request.headers_mut().append(name.clone(), value.clone());
    }
    let mut response = request.send_body(question.body.clone()).await?;
    let status = response.status().as_u16();
    let body = response.body().limit(LARGEST_ANSWER).await;
    Ok(body.map(|body| Answer { status, body }).map_err(|error| error.to_string()))
}

fn client() -> Client {
    let connector = Connector::new()
        .timeout(CONNECT_TIMEOUT)
        .handshake_timeout(CONNECT_TIMEOUT)
        .conn_keep_alive(KEEP_ALIVE)
        .limit(CONNECTIONS)
        .rustls_0_23(tls());
    let builder = Client::builder().connector(connector).timeout(TIMEOUT).disable_redirects();
    builder.add_default_header((USER_AGENT, PRODUCT)).finish()
}

/// The system's roots, TLS 1.2 and later.
fn tls() -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a root certificate of the system cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = match rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions() {
        Ok(builder) => builder.with_root_certificates(roots).with_no_client_auth(),
        Err(error) => unreachable!("ring offers the default protocol versions: {error}"),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_absolute_and_not_shown() {
        for url in ["http://a", "https://a:8443/x?token=hunter2", "http://[::1]:1/"] {
            let read = url.parse::<HttpUrl>().unwrap();
            assert_eq!(format!("{read:?}"), "[url]");
        }
        for url in ["", "/x", "a/b", "ftp://a/", "http://", "https://me:hunter2@a/", "http://a b/", "http:a"] {
            let problem = url.parse::<HttpUrl>().unwrap_err();
            assert!(problem.starts_with("takes a URL") && !problem.contains("hunter2"), "{url}");
        }
    }
}
