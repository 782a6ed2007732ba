//! A forward proxy: everything goes through it, and the egress rules still hold.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use posthaste_tests::receiver::Receiver;
use posthaste_tests::secure::{Flaw, Manner, SecureReceiver};

use super::Scene;

/// A proxy that notes what it is asked, and connects to where it is told or, for names, to `names`.
struct Proxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(refuses: bool, names: Option<String>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (noted, names) = (Arc::clone(&noted), names.clone());
                std::thread::spawn(move || tunnel(stream, refuses, names, &noted));
            }
        });
        Proxy { port, asked }
    }

    fn url(&self) -> String {
        format!("http://user:pass@127.0.0.1:{}", self.port)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn tunnel(mut stream: TcpStream, refuses: bool, names: Option<String>, noted: &Mutex<Vec<String>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    let head = String::from_utf8(head).ok()?;
    noted.lock().unwrap().push(head.clone());
    if refuses {
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").ok()?;
        return None;
    }
    let target = head.split(' ').nth(1)?.to_owned();
    let mut onward = TcpStream::connect(names.filter(|_| target.starts_with("shop.")).unwrap_or(target)).ok()?;
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok()?;
    let (mut from, mut to) = (stream.try_clone().ok()?, onward.try_clone().ok()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let _ = std::io::copy(&mut onward, &mut stream);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    None
}

#[actix_rt::test]
async fn everything_goes_through_it() {
    let proxy = Proxy::start(false, None);
    let scene = Scene::with(&[("EGRESS_PROXY", &proxy.url())]).await;
    let plain = Receiver::start();
    assert_eq!(scene.try_once(&plain.url("/hook")).await.verdict(), "delivered");
    let secure = SecureReceiver::start(&scene.authority.issue(Flaw::None), Manner { http2: true, ..Manner::default() });
    let attempt = scene.try_once(&secure.url()).await;
    assert_eq!(attempt.verdict(), "delivered", "{attempt:?}");
    assert_eq!(secure.requests(), (0, 1));
    let asked = proxy.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked[0].starts_with(&format!("CONNECT {} HTTP/1.1\r\n", plain.address())), "{asked:?}");
    assert!(asked.iter().all(|head| head.contains("Proxy-Authorization: Basic dXNlcjpwYXNz\r\n")), "{asked:?}");
}

#[actix_rt::test]
async fn one_that_refuses_or_is_not_there_is_told_from_a_receiver_that_does() {
    let proxy = Proxy::start(true, None);
    let scene = Scene::with(&[("EGRESS_PROXY", &proxy.url())]).await;
    let receiver = Receiver::start();
    let attempt = scene.try_once(&receiver.url("/hook")).await;
    assert_eq!(attempt.verdict(), "failed proxy", "{attempt:?}");
    assert_eq!(attempt.error.as_deref(), Some("the forward proxy answered 403"));
    let nowhere = Scene::with(&[("EGRESS_PROXY", "http://127.0.0.1:1")]).await;
    let attempt = nowhere.try_once(&receiver.url("/hook")).await;
    assert_eq!(attempt.verdict(), "failed proxy", "{attempt:?}");
    assert_eq!(receiver.count(), 0);
}

#[actix_rt::test]
async fn it_is_not_asked_for_what_may_not_be_called() {
    let receiver = Receiver::start();
    for resolves in ["false", "true"] {
        let proxy = Proxy::start(false, Some(receiver.address().to_string()));
        let variables = [
            ("EGRESS_PROXY", proxy.url()),
            ("EGRESS_PROXY_RESOLVES", resolves.to_owned()),
            ("EGRESS_ALLOW", String::new()),
        ];
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let scene = Scene::with(&variables).await;
        let attempt = scene.try_once(&receiver.url("/hook")).await;
        assert_eq!(attempt.verdict(), "failed blocked_address", "{resolves}: {attempt:?}");
        assert_eq!(proxy.asked(), Vec::<String>::new());
        // A name that only the proxy can resolve.
        let attempt = scene.try_once("http://shop.invalid:8080/hook").await;
        let expected = if resolves == "true" { "delivered" } else { "failed dns" };
        assert_eq!(attempt.verdict(), expected, "{attempt:?}");
    }
    assert_eq!(receiver.count(), 1);
}
