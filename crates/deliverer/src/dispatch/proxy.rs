//! A forward proxy, through which every connection goes where one is configured: a tunnel by `CONNECT` (RFC 9110 §9.3.6), for
//! http and https alike.
//!
//! The egress rules judge the receiver's address all the same: it is resolved here, and the proxy is told the address. Only where
//! the operator lets the proxy resolve names (because nothing else in that network can) the rules judge literal addresses alone,
//! and names are the proxy's to judge.

use std::fmt;
use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

/// More than any proxy answers to `CONNECT`.
const LONGEST_ANSWER: usize = 8 * 1024;

/// Where the proxy is, and how to speak to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
    /// The value of `Proxy-Authorization`.
    authorization: Option<String>,
    /// Whether names are resolved by the proxy.
    pub(super) resolves: bool,
}

impl Proxy {
    /// Reads `http://[user:password@]host[:port]`. Names are resolved here.
    ///
    /// # Errors
    /// What it takes. The text itself is not repeated: it may hold a password.
    pub fn parse(text: &str) -> Result<Proxy, &'static str> {
        const TAKES: &str = "takes a URL such as http://proxy.example:3128 or http://user:password@proxy.example:3128";
        let url = Url::parse(text).map_err(|_| TAKES)?;
        let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        let host = url.host_str().filter(|host| url.scheme() == "http" && is_bare && !host.is_empty()).ok_or(TAKES)?;
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().map(String::from);
        let authorization = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => {
                let user = decoded(user).map_err(|_| TAKES)?;
                let password = decoded(password.unwrap_or_default()).map_err(|_| TAKES)?;
                Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
            }
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Proxy { host, port: url.port().unwrap_or(80), authorization, resolves: false })
    }

    /// The same proxy, which resolves names itself, or does not.
    #[must_use]
    pub fn resolving(self, resolves: bool) -> Proxy {
        Proxy { resolves, ..self }
    }

    /// A connection through the proxy to `target`, such as `192.0.2.1:443`.
    ///
    /// # Errors
    /// Why there is none, in words for whoever operates the proxy.
    pub(super) async fn connect(&self, target: &str) -> Result<TcpStream, ProxyError> {
        let unreachable = |error| ProxyError::Unreachable { error };
        let mut stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(authorization) = &self.authorization {
            request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await.map_err(unreachable)?;
        let mut answer = Vec::with_capacity(256);
        while !answer.ends_with(b"\r\n\r\n") {
            // One by one: what follows belongs to the receiver.
            let byte = stream.read_u8().await.map_err(|_| ProxyError::NoAnswer)?;
            answer.push(byte);
            if answer.len() > LONGEST_ANSWER {
                return Err(ProxyError::NoAnswer);
            }
        }
        match status(&answer) {
            Some(200..=299) => Ok(stream),
            Some(status) => Err(ProxyError::Refused { status }),
            None => Err(ProxyError::NoAnswer),
        }
    }
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(answer.split(|&byte| byte == b'\r').next()?).ok()?;
    let mut words = line.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

/// Nothing of it is a secret.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({}:{})", self.host, self.port)
    }
}

/// Why there is no connection through the proxy.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    #[error("the forward proxy cannot be reached: {error}")]
    Unreachable { error: io::Error },
    #[error("the forward proxy does not answer as one")]
    NoAnswer,
    #[error("the forward proxy answered {status}")]
    Refused { status: u16 },
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn urls_of_proxies() {
        let proxy = Proxy::parse("http://me:p%40ss@proxy.example:3128/").unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.example", 3128));
        assert_eq!(proxy.authorization.as_deref(), Some("Basic bWU6cEBzcw=="));
        assert_eq!(format!("{proxy:?}"), "Proxy(proxy.example:3128)");
        let plain = Proxy::parse("http://[::1]").unwrap();
        assert_eq!((plain.host.as_str(), plain.port, plain.authorization), ("::1", 80, None));
        for text in
            ["", "proxy:3128", "https://proxy:3128", "socks5://proxy", "http://proxy/path", "http://proxy?x", "http://"]
        {
            assert!(Proxy::parse(text).is_err(), "{text}");
        }
    }

    /// Connects through a proxy that gives this answer, and what it was asked.
    async fn ask(answer: &'static str) -> (Result<TcpStream, ProxyError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Proxy::parse(&format!("http://me:secret@127.0.0.1:{port}")).unwrap();
        let serving = actix_rt::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        });
        let connected = proxy.connect("[2001:db8::1]:443").await;
        (connected, serving.await.unwrap())
    }

    #[actix_rt::test]
    async fn a_tunnel_begins_right_behind_the_answer() {
        let (connected, asked) = ask("HTTP/1.1 200 Connection established\r\nx: y\r\n\r\nrest").await;
        assert_eq!(
            asked,
            "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n"
        );
        let mut rest = String::new();
        connected.unwrap().read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "rest");
    }

    #[actix_rt::test]
    async fn refusals_are_told() {
        for (answer, says) in [
            ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "the forward proxy answered 407"),
            ("HTTP/1.0 503 Busy\r\n\r\n", "the forward proxy answered 503"),
            ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "the forward proxy does not answer as one"),
            ("HTTP/1.1 200 OK\r\n", "the forward proxy does not answer as one"),
            ("", "the forward proxy does not answer as one"),
        ] {
            assert_eq!(ask(answer).await.0.unwrap_err().to_string(), says, "{answer:?}");
        }
    }
}
