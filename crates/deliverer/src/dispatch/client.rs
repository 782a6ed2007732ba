//! HTTP clients: one a thread for all receivers, and one more for each queue that brings certificates of its own.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use awc::Client;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::connect::{Ways, guarded};

/// An idle connection is closed after this; receivers commonly close theirs after some more.
const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// A client is replaced at this age. It looks at an idle connection only when it is about to use it again, so one to a
/// receiver that is not called any more would stay open for ever; with its client it is closed.
const LIFETIME: Duration = Duration::from_secs(10);
/// The client's own limits for connecting and for TLS lie beyond every limit that can be set: those are kept in `super`.
const BEYOND: Duration = Duration::from_secs(1000);
/// Of an answer over HTTP/2, what may be on its way unread. Answers are short, or not read to their end.
const WINDOW: u32 = 64 * 1024;

/// A client that is made when it is needed, and anew now and then.
pub(super) struct Renewing {
    ways: Rc<Ways>,
    tls: Arc<ClientConfig>,
    client: RefCell<Option<(Client, Instant)>>,
}

impl Renewing {
    pub(super) fn new(ways: Rc<Ways>, tls: Arc<ClientConfig>) -> Renewing {
        Renewing { ways, tls, client: RefCell::default() }
    }

    /// The client to send with. Deliveries under way keep theirs.
    pub(super) fn get(&self) -> Client {
        self.sweep();
        let mut current = self.client.borrow_mut();
        let (client, _) = current.get_or_insert_with(|| (client(&self.ways, &self.tls), Instant::now()));
        client.clone()
    }

    /// Lets go of a client that is too old, and with it of connections that nobody uses any more. To be called now and then.
    pub(super) fn sweep(&self) {
        let mut current = self.client.borrow_mut();
        if current.as_ref().is_some_and(|(_, made)| made.elapsed() >= LIFETIME) {
            *current = None;
        }
    }
}

impl fmt::Debug for Renewing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewing").finish_non_exhaustive()
    }
}

fn client(ways: &Rc<Ways>, tls: &Arc<ClientConfig>) -> Client {
    let connector = awc::Connector::new()
        .connector(guarded(Rc::clone(ways)))
        .rustls_0_23(Arc::clone(tls))
        .timeout(BEYOND)
        .handshake_timeout(BEYOND)
        .conn_keep_alive(KEEP_ALIVE)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        // How many deliveries run at once is the gate's decision; a second limit here could only deadlock with it.
        .limit(0);
    Client::builder()
        .connector(connector)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .disable_redirects()
        .no_default_headers()
        .disable_timeout()
        .finish()
}

/// Certificates of a queue's own.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    /// Those that the receiver's certificate may come from; empty: the system's.
    pub(super) authorities: Vec<CertificateDer<'static>>,
    /// What the receiver is shown.
    pub(super) own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

/// TLS as every public HTTPS endpoint expects it: the system's roots, TLS 1.2 and later, HTTP/2 where it is offered.
pub(super) fn public_tls(roots: &Arc<RootCertStore>) -> Arc<ClientConfig> {
    match tls(roots, Certificates::default()) {
        Ok(config) => config,
        Err(error) => unreachable!("nothing of it comes from outside: {error}"),
    }
}

/// The system's root certificates.
pub(super) fn system_roots() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a root certificate of the system cannot be read");
    }
    let (_, ignored) = roots.add_parsable_certificates(found.certs);
    if ignored > 0 {
        tracing::warn!(ignored, "root certificates of the system that cannot be parsed");
    }
    Arc::new(roots)
}

/// TLS with certificates of a queue's own.
///
/// # Errors
/// What is wrong with them, without any secret.
pub(super) fn tls(roots: &Arc<RootCertStore>, certificates: Certificates) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut store = Arc::clone(roots);
    if !certificates.authorities.is_empty() {
        let mut own = RootCertStore::empty();
        for authority in certificates.authorities {
            own.add(authority)?;
        }
        store = Arc::new(own);
    }
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(store);
    let mut config = match certificates.own {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
