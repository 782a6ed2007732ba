//! A receiver that speaks TLS, HTTP/1.1 and HTTP/2, with certificates of an authority of the test's own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::ports::Port;

/// A certificate and its key, both in PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// It ended years ago.
    Expired,
    /// It is for another name.
    OtherName,
    /// It has signed itself.
    SelfSigned,
}

/// A certificate authority that exists for one test.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Default for Authority {
    fn default() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority"))
    }
}

impl Authority {
    /// Its certificate, in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for 127.0.0.1 and localhost.
    pub fn issue(&self, flaw: Flaw) -> Identity {
        let names = match flaw {
            Flaw::OtherName => vec!["elsewhere.example".to_owned()],
            Flaw::None | Flaw::Expired | Flaw::SelfSigned => vec!["127.0.0.1".to_owned(), "localhost".to_owned()],
        };
        let mut params = CertificateParams::new(names).expect("names");
        if flaw == Flaw::Expired {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = match flaw {
            Flaw::SelfSigned => params.self_signed(&key),
            Flaw::None | Flaw::Expired | Flaw::OtherName => params.signed_by(&key, &self.0),
        };
        Identity { certificate: certificate.expect("a certificate").pem(), key: key.serialize_pem() }
    }
}

/// How a receiver behaves beside TLS.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// Offers HTTP/2.
    pub http2: bool,
    /// Wants a certificate of this authority (PEM) from its callers.
    pub wants: Option<String>,
    /// Resets every HTTP/2 stream after its request.
    pub resets: bool,
    /// Says GOAWAY and closes after this many HTTP/2 requests of a connection.
    pub goes_away_after: Option<usize>,
    /// Waits this long before each answer.
    pub delay: Duration,
    /// Of every answer.
    pub body: Vec<u8>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicUsize,
    open: AtomicUsize,
    http1: AtomicUsize,
    http2: AtomicUsize,
}

/// A receiver on a thread of its own, until it is dropped.
pub struct SecureReceiver {
    address: SocketAddr,
    counts: Arc<Counts>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    _port: Port,
}

impl SecureReceiver {
    /// Listens with this certificate.
    ///
    /// # Panics
    /// The certificate cannot be used.
    pub fn start(identity: &Identity, manner: Manner) -> Self {
        let config = Arc::new(config(identity, &manner));
        let port = Port::lease();
        let listener = std::net::TcpListener::bind(port.address()).expect("a leased port is free");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("a bound socket");
        let (counts, (stop, stopped)) = (Arc::new(Counts::default()), tokio::sync::oneshot::channel::<()>());
        let counted = Arc::clone(&counts);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a listener");
                let serve = async {
                    while let Ok((stream, _)) = listener.accept().await {
                        let (config, manner, counts) = (Arc::clone(&config), manner.clone(), Arc::clone(&counted));
                        tokio::spawn(connection(stream, config, manner, counts));
                    }
                };
                tokio::select! { () = serve => {}, _ = stopped => {} }
            });
        });
        Self { address, counts, stop: Some(stop), _port: port }
    }

    /// Its URL, by its address.
    pub fn url(&self) -> String {
        format!("https://{}/", self.address)
    }

    /// TCP connections that were accepted.
    pub fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// TCP connections that are open.
    pub fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// Requests that came by HTTP/1.1 and by HTTP/2.
    pub fn requests(&self) -> (usize, usize) {
        (self.counts.http1.load(Ordering::SeqCst), self.counts.http2.load(Ordering::SeqCst))
    }
}

impl Drop for SecureReceiver {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

fn config(identity: &Identity, manner: &Manner) -> ServerConfig {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.expect("protocol versions");
    let builder = match &manner.wants {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).expect("an authority")).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    let mut config = builder.with_single_cert(chain, key).expect("a certificate and its key");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if manner.http2 {
        config.alpn_protocols.insert(0, b"h2".to_vec());
    }
    config
}

async fn connection(stream: TcpStream, config: Arc<ServerConfig>, manner: Manner, counts: Arc<Counts>) {
    counts.connections.fetch_add(1, Ordering::SeqCst);
    counts.open.fetch_add(1, Ordering::SeqCst);
    if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        // However it ends, the test sees what came of it at the other side.
        let _ = if is_http2 { http2(stream, &manner, &counts).await } else { http1(stream, &manner, &counts).await };
    }
    counts.open.fetch_sub(1, Ordering::SeqCst);
}

type Served = Result<(), Box<dyn std::error::Error + Send + Sync>>;

async fn http1(mut stream: TlsStream<TcpStream>, manner: &Manner, counts: &Counts) -> Served {
    let mut read = Vec::new();
    loop {
        // Requests have small bodies, whose end is known by their length.
        let head = read.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&read[..head]).to_ascii_lowercase();
            let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            let end = head + length.map_or(Ok(0), str::parse::<usize>)?;
            if read.len() >= end {
                read.drain(..end);
                counts.http1.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(manner.delay).await;
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", manner.body.len());
                stream.write_all(answer.as_bytes()).await?;
                stream.write_all(&manner.body).await?;
                stream.flush().await?;
                continue;
            }
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    }
}

async fn http2(stream: TlsStream<TcpStream>, manner: &Manner, counts: &Arc<Counts>) -> Served {
    let mut connection = h2::server::handshake(stream).await?;
    let mut served = 0;
    while let Some(request) = connection.accept().await {
        let (request, mut respond) = request?;
        served += 1;
        counts.http2.fetch_add(1, Ordering::SeqCst);
        if manner.goes_away_after.is_some_and(|most| served > most) {
            connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
            continue;
        }
        let manner = manner.clone();
        tokio::spawn(async move {
            let mut body = request.into_body();
            while let Some(Ok(chunk)) = body.data().await {
                let _ = body.flow_control().release_capacity(chunk.len());
            }
            tokio::time::sleep(manner.delay).await;
            if manner.resets {
                respond.send_reset(h2::Reason::INTERNAL_ERROR);
                return;
            }
            let answer = http::Response::builder().status(200).body(()).expect("an answer");
            if let Ok(mut send) = respond.send_response(answer, manner.body.is_empty()) {
                let _ = send.send_data(Bytes::from(manner.body), true);
            }
        });
    }
    Ok(())
}
