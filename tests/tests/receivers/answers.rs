//! Odd answers, and none.

use std::io::Write;
use std::time::{Duration, Instant};

use posthaste_tests::ports::Port;
use posthaste_tests::receiver::{Answer, Ending, Receiver};
use rustix::net::sockopt::set_socket_linger;

use super::raw::{RawReceiver, read_request, wait_for_close};
use super::{SOON, Scene};

/// Less than the time limit of an attempt by far: nothing here may be waited out.
const PROMPTLY: Duration = Duration::from_secs(8);

#[actix_rt::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let scene = Scene::new().await;
    let receiver = Receiver::start();
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = receiver.url("/elsewhere");
        receiver.answer("/moved", Answer::status(status).header("location", &elsewhere));

        let attempt = scene.try_once(&receiver.url("/moved")).await;

        assert_eq!((attempt.verdict().as_str(), attempt.status), ("failed status", i16::try_from(status).ok()));
        assert_eq!(attempt.response_headers.unwrap()["location"], elsewhere);
    }
    assert_eq!(receiver.requests_to("/elsewhere").len(), 0);
    assert_eq!(receiver.count(), 5);
}

#[actix_rt::test]
async fn the_status_decides_however_the_body_goes_on() {
    let scene = Scene::new().await;
    let receiver = Receiver::start();
    for (path, status, wanted) in [("/error", 500, "failed status"), ("/ok", 200, "delivered")] {
        receiver.answer(path, Answer { ending: Ending::Endless, ..Answer::status(status).body("the beginning") });
        let began = Instant::now();
        let attempt = scene.try_once(&receiver.url(path)).await;
        assert_eq!((attempt.verdict().as_str(), attempt.status), (wanted, i16::try_from(status).ok()));
        assert_eq!(attempt.response_body.as_deref(), Some(b"the beginning".as_slice()));
        assert!(began.elapsed() < PROMPTLY, "{path} took {:?}", began.elapsed());
    }
}

#[actix_rt::test]
async fn what_is_no_http_answer_is_a_protocol_error() {
    let scene = Scene::new().await;
    let head = "HTTP/1.1 200 OK\r\n";
    let many: String = (0..1000).map(|number| format!("x-{number}: y\r\n")).collect();
    let answers = [
        ("another protocol", "220 mail.example ESMTP ready\r\n\r\n".to_owned()),
        ("nonsense", "\u{0}\u{1}\u{2}\u{3}\r\n\r\n".to_owned()),
        ("a status that is none", "HTTP/1.1 abc OK\r\n\r\n".to_owned()),
        ("a status that is too low", "HTTP/1.1 099 Low\r\ncontent-length: 0\r\n\r\n".to_owned()),
        ("a header without a name", format!("{head}: value\r\n\r\n")),
        ("a header with NUL", format!("{head}x-a: \u{0}\r\n\r\n")),
        ("a length that is none", format!("{head}content-length: many\r\n\r\n")),
        ("one header of 200 KiB", format!("{head}x-large: {}\r\n\r\n", "x".repeat(200 << 10))),
        ("a thousand headers", format!("{head}{many}\r\n")),
    ];
    for (what, answer) in answers {
        let receiver = RawReceiver::answering(answer);
        let began = Instant::now();
        let attempt = scene.try_once(&receiver.url()).await;
        assert_eq!(attempt.verdict(), "failed protocol", "{what}: {attempt:?}");
        assert_eq!((attempt.status, &attempt.response_body), (None, &None), "{what}");
        assert!(attempt.error.is_some(), "{what}");
        assert!(began.elapsed() < PROMPTLY, "{what} took {:?}", began.elapsed());
    }
}

#[actix_rt::test]
async fn headers_that_never_end_are_given_up() {
    let scene = Scene::new().await;
    let receiver = RawReceiver::start(|mut stream| {
        if read_request(&stream) && stream.write_all(b"HTTP/1.1 200 OK\r\n").is_ok() {
            while stream.write_all(format!("x-a: {}\r\n", "x".repeat(1000)).as_bytes()).is_ok() {}
        }
    });
    let attempt = scene.try_once(&receiver.url()).await;
    assert_eq!(attempt.verdict(), "failed protocol", "{attempt:?}");
}

#[actix_rt::test]
async fn odd_answers_that_are_valid_count_by_their_status() {
    let scene = Scene::new().await;
    let large: String = (0..10).map(|number| format!("x-{number}: {}\r\n", "v".repeat(1000))).collect();
    let answers: [(&str, Vec<u8>, &str); 9] = [
        ("HTTP/1.0 without a length", b"HTTP/1.0 200 OK\r\n\r\nuntil the end".into(), "delivered"),
        ("no reason", b"HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n".into(), "delivered"),
        ("a body cut short", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort".into(), "delivered"),
        ("chunks that are none", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzzz\r\n".into(), "delivered"),
        (
            "compression that is none",
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc".into(),
            "delivered",
        ),
        (
            "a header that is no UTF-8",
            b"HTTP/1.1 200 OK\r\nx-odd: \xff\xfe\r\ncontent-length: 0\r\n\r\n".into(),
            "delivered",
        ),
        ("a body of NUL", b"HTTP/1.1 500 No\r\ncontent-length: 4\r\n\r\n\0\0\xff\0".into(), "failed status"),
        ("a status nobody knows", b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n".into(), "failed status"),
        ("ten large headers", format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{large}\r\n").into_bytes(), "delivered"),
    ];
    for (what, answer, wanted) in answers {
        let receiver = RawReceiver::answering_once(answer);
        let attempt = scene.try_once(&receiver.url()).await;
        assert_eq!(attempt.verdict(), wanted, "{what}: {attempt:?}");
        match what {
            "HTTP/1.0 without a length" => assert_eq!(attempt.response_body.unwrap(), b"until the end"),
            "a body cut short" => assert_eq!(attempt.response_body.unwrap(), b"short"),
            "compression that is none" => assert_eq!(attempt.response_body.unwrap(), b"abc"),
            "a body of NUL" => assert_eq!(attempt.response_body.unwrap(), b"\0\0\xff\0"),
            "a status nobody knows" => assert_eq!(attempt.status, Some(999)),
            "ten large headers" => {
                let kept = attempt.response_headers.unwrap().to_string().len();
                assert!((2000..6000).contains(&kept), "{kept} bytes of headers are kept");
            }
            _ => {}
        }
    }
}

#[actix_rt::test]
async fn a_connection_that_ends_without_an_answer_is_reset() {
    let scene = Scene::new().await;
    let closing = RawReceiver::start(|stream| {
        read_request(&stream);
    });
    let rude = RawReceiver::start(|stream| {
        read_request(&stream);
        // The kernel sends RST in place of FIN.
        set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    });
    let hasty = RawReceiver::start(drop);
    let breaking_off = RawReceiver::answering_once("HTTP/1.1 200 OK\r\nx-ha");
    for (what, receiver) in [("closing", closing), ("rude", rude), ("hasty", hasty), ("breaking off", breaking_off)] {
        let attempt = scene.try_once(&receiver.url()).await;
        assert_eq!(attempt.verdict(), "failed reset", "{what}: {attempt:?}");
        assert_eq!(attempt.status, None, "{what}");
        assert!(receiver.accepted() > 0, "{what}");
    }
}

#[actix_rt::test]
async fn where_nobody_listens_the_connection_is_refused() {
    let scene = Scene::new().await;
    let port = Port::lease();
    let attempt = scene.try_once(&format!("http://{}/", port.address())).await;
    assert_eq!(attempt.verdict(), "failed refused", "{attempt:?}");
}

#[actix_rt::test]
async fn a_name_that_does_not_exist_is_a_dns_error() {
    let scene = Scene::new().await;
    // RFC 6761 §6.4: this never resolves.
    let attempt = scene.try_once("http://receiver.invalid/hook").await;
    assert_eq!(attempt.verdict(), "failed dns", "{attempt:?}");
}

/// Linux drops what comes when as many connections wait as a listener asked for.
#[cfg(target_os = "linux")]
#[actix_rt::test]
async fn a_receiver_that_does_not_accept_is_a_connect_timeout() {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let scene = Scene::new().await;
    let port = Port::lease();
    let listener = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&listener, &port.address()).unwrap();
    listen(&listener, 0).unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&port.address(), Duration::from_millis(300)) {
        waiting.push(stream);
        assert!(waiting.len() < 100, "the listener takes any number");
    }
    let attempt = scene.try_once(&format!("http://{}/", port.address())).await;
    assert_eq!(attempt.verdict(), "failed connect_timeout", "{attempt:?}");
}

#[actix_rt::test]
async fn what_cannot_be_sent_is_recorded_as_such() {
    let scene = Scene::new().await;
    let receiver = Receiver::start();
    // Past the API's checks: an operator's own SQL.
    for url in ["no url", "/path/only", "ftp://127.0.0.1/", "http://", "http://127.0.0.1:99999/"] {
        let attempt = scene.try_once(url).await;
        assert_eq!(attempt.verdict(), "failed invalid_request", "{url}: {attempt:?}");
    }
    let headers = r#"'{"bad name": "x"}'"#;
    let queue = scene.outbox.queue(&receiver.url("/"), &[super::ONCE, ("headers", headers)]).await;
    let message = scene.outbox.enqueue(queue, "x").await;
    let attempts = scene.outbox.ended(SOON, message).await;
    assert_eq!(attempts[0].verdict(), "failed invalid_request", "{attempts:?}");
    assert_eq!(receiver.count(), 0);
}

#[actix_rt::test]
async fn an_endless_body_costs_its_connection_and_nothing_else() {
    let scene = Scene::new().await;
    let dripping = RawReceiver::start(|mut stream| {
        if read_request(&stream) && stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_ok() {
            while stream.write_all(b"5\r\nhello\r\n").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    });
    let flooding = RawReceiver::start(|mut stream| {
        if read_request(&stream) && stream.write_all(b"HTTP/1.1 500 No\r\ncontent-length: 99999999999\r\n\r\n").is_ok()
        {
            while stream.write_all(&[b'x'; 65_536]).is_ok() {}
        }
    });
    let silent = RawReceiver::start(|mut stream| {
        if read_request(&stream) && stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab").is_ok() {
            wait_for_close(&stream);
        }
    });
    for (what, receiver, wanted) in [
        ("dripping", &dripping, "delivered"),
        ("flooding", &flooding, "failed status"),
        ("silent", &silent, "delivered"),
    ] {
        let queue = scene.outbox.queue(&receiver.url(), &[super::ONCE]).await;
        let messages = scene.outbox.enqueue_many(queue, 20).await;
        let began = Instant::now();
        for message in messages {
            let attempts = scene.outbox.ended(PROMPTLY, message).await;
            assert_eq!(attempts[0].verdict(), wanted, "{what}: {attempts:?}");
            assert!(attempts[0].response_body.as_ref().is_some_and(|body| body.len() <= 4096), "{what}");
        }
        println!("{what}: {:?}", began.elapsed());
        assert!(receiver.accepted() >= 20, "{what}");
        posthaste_tests::wait::eventually(SOON, "the connections are closed", async || receiver.open() == 0).await;
    }
}
