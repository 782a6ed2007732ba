//! Receivers that try to cost more than a delivery may: in bytes, in time, in memory, in connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use posthaste_tests::outbox::message_of;
use posthaste_tests::receiver::{Answer, Receiver};
use posthaste_tests::wait::eventually;

use super::raw::{RawReceiver, read_request, wait_for_close};
use super::{ONCE, SOON, Scene};

const GIB: u64 = 1 << 30;

impl Scene {
    /// What the deliverer has in memory, in KiB.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self._deliverer.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Its open sockets.
    fn sockets(&self) -> usize {
        let folder = std::fs::read_dir(format!("/proc/{}/fd", self._deliverer.pid())).unwrap();
        let links = folder.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
    }
}

#[actix_rt::test]
async fn ten_gibibytes_are_not_read() {
    let scene = Scene::new().await;
    let sent = Arc::new(AtomicU64::new(0));
    for head in ["content-length: 10737418240", "transfer-encoding: chunked"] {
        let counted = Arc::clone(&sent);
        let chunked = head.starts_with('t');
        let receiver = RawReceiver::start(move |mut stream| {
            if !read_request(&stream)
                || stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes()).is_err()
            {
                return;
            }
            let mut piece = vec![b'x'; 1 << 16];
            if chunked {
                piece = [b"10000\r\n", &piece[..], b"\r\n"].concat();
            }
            let mut total = 0;
            while total < 10 * GIB && stream.write_all(&piece).is_ok() {
                total += 1 << 16;
            }
            counted.fetch_add(total, Ordering::SeqCst);
        });
        let attempt = scene.try_once(&receiver.url()).await;
        assert_eq!(
            (attempt.verdict().as_str(), attempt.response_body.map(|body| body.len())),
            ("delivered", Some(4096))
        );
        eventually(SOON, "the connection is closed", async || receiver.open() == 0).await;
    }
    // What lies in the sockets' buffers counts as sent.
    let sent = sent.load(Ordering::SeqCst);
    assert!(sent < 64 << 20, "{sent} bytes were taken");
}

#[actix_rt::test]
async fn who_lies_about_the_length_is_found_out() {
    let scene = Scene::new().await;
    let short = RawReceiver::start(|mut stream| {
        if read_request(&stream) && stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello").is_ok() {
            wait_for_close(&stream);
        }
    });
    let attempt = scene.try_once(&short.url()).await;
    assert_eq!((attempt.verdict().as_str(), attempt.response_body.as_deref()), ("delivered", Some(&b"hello"[..])));
    eventually(SOON, "the connection is closed", async || short.open() == 0).await;

    // What comes beyond the announced end is no answer to the next request.
    let long = RawReceiver::start(|mut stream| {
        while read_request(&stream) {
            let forged =
                b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 500 Forged\r\ncontent-length: 0\r\n\r\n";
            if stream.write_all(forged).is_err() {
                return;
            }
        }
    });
    let queue = scene.outbox.queue(&long.url(), &[ONCE]).await;
    for _ in 0..5 {
        let message = scene.outbox.enqueue(queue, "{}").await;
        let attempts = scene.outbox.ended(SOON, message).await;
        assert_eq!((attempts[0].verdict().as_str(), attempts[0].status), ("delivered", Some(200)), "{attempts:?}");
    }
}

#[actix_rt::test]
async fn an_answer_after_the_timeout_is_nobodys() {
    let scene = Scene::new().await;
    let receiver = Receiver::start();
    receiver.plan("/late", |number, _| {
        if number == 0 { Answer::after(Duration::from_millis(900)).body("late") } else { Answer::status(204) }
    });
    let settings = [("timeout_ms", "400"), ("max_retries", "1"), ("retry_kind", "'fixed'"), ("retry_initial_ms", "1")];
    let queue = scene.outbox.queue(&receiver.url("/late"), &settings).await;
    let message = scene.outbox.enqueue(queue, "{}").await;
    let attempts = scene.outbox.ended(SOON, message).await;
    let verdicts: Vec<String> = attempts.iter().map(posthaste_tests::outbox::Attempt::verdict).collect();
    assert_eq!(verdicts, ["retried total_timeout", "delivered"]);
    assert_eq!((attempts[1].status, attempts[1].response_body.as_deref()), (Some(204), None));
    let ids: Vec<i64> = receiver.requests().iter().map(message_of).collect();
    assert_eq!(ids, [message, message]);
}

#[actix_rt::test]
async fn a_head_that_drips_is_given_up_in_time() {
    let scene = Scene::new().await;
    let receiver = RawReceiver::start(|mut stream| {
        if read_request(&stream) && stream.write_all(b"HTTP/1.1 200 OK\r\nx-drip: ").is_ok() {
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(30));
            }
        }
    });
    let queue = scene.outbox.queue(&receiver.url(), &[ONCE, ("timeout_ms", "600")]).await;
    let message = scene.outbox.enqueue(queue, "{}").await;
    let attempts = scene.outbox.ended(SOON, message).await;
    assert_eq!(attempts[0].verdict(), "failed total_timeout", "{attempts:?}");
    eventually(SOON, "the connection is closed", async || receiver.open() == 0).await;
}

#[actix_rt::test]
async fn an_interim_answer_is_none() {
    let scene = Scene::new().await;
    let receiver = RawReceiver::answering(
        "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    );
    let attempt = scene.try_once(&receiver.url()).await;
    assert_eq!(attempt.verdict(), "failed protocol", "{attempt:?}");
    assert!(attempt.error.unwrap().contains("an interim answer (103)"));
}

#[actix_rt::test]
async fn a_compressed_bomb_stays_compressed() {
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        bomb.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    let scene = Scene::new().await;
    let receiver = Receiver::start();
    receiver.answer("/bomb", Answer::status(200).header("content-encoding", "gzip").body(bomb.clone()));
    let queue = scene.outbox.queue(&receiver.url("/bomb"), &[ONCE]).await;
    let before = scene.resident();
    let messages = scene.outbox.enqueue_many(queue, 50).await;
    scene.outbox.nothing_pending(SOON).await;
    let attempts = scene.outbox.attempts(messages[0]).await;
    assert!(attempts[0].response_body.as_deref() == Some(&bomb[..4096]), "as it came");
    let grown = scene.resident().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more");
}

/// The long version is `just test-large-answers`.
#[actix_rt::test]
async fn thousands_of_large_answers_leave_neither_connections_nor_memory_behind() {
    let count = std::env::var("POSTHASTE_LARGE_ANSWERS").map_or(400, |count| count.parse().unwrap());
    let scene = Scene::new().await;
    let talking = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&talking);
    // Each answers another size, from 64 KiB to a MiB; one in ten does not end its answer.
    let receiver = RawReceiver::start(move |mut stream: TcpStream| {
        while read_request(&stream) {
            let number = counted.fetch_add(1, Ordering::Relaxed);
            let size = (1 << 16) * (1 + number % 16);
            let announced = if number.is_multiple_of(10) { size + 1 } else { size };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {announced}\r\n\r\n");
            if stream.write_all(head.as_bytes()).is_err() || stream.write_all(&vec![b'x'; size]).is_err() {
                return;
            }
        }
        let _ = stream.read(&mut [0]);
    });
    let queue = scene.outbox.queue(&receiver.url(), &[ONCE]).await;
    // What a first round leaves in caches and in the allocator is no leak.
    scene.outbox.enqueue_many(queue, 200).await;
    scene.outbox.nothing_pending(Duration::from_secs(60)).await;
    let (memory, sockets) = (scene.resident(), scene.sockets());
    scene.outbox.enqueue_many(queue, count).await;
    scene.outbox.nothing_pending(Duration::from_secs(600)).await;
    let delivered = scene.outbox.number("SELECT count(*) FROM posthaste.attempts WHERE outcome = 'delivered'").await;
    assert_eq!(delivered, i64::from(count) + 200);

    let other = Receiver::start();
    let quiet = scene.outbox.queue(&other.url("/"), &[]).await;
    let closed = async || {
        let message = scene.outbox.enqueue(quiet, "{}").await;
        scene.outbox.ended(SOON, message).await;
        receiver.open() == 0
    };
    eventually(Duration::from_secs(30), "all connections are closed", closed).await;
    let (grown, left) = (scene.resident().saturating_sub(memory), scene.sockets());
    println!("{count} deliveries: {grown} KiB more, {left} sockets after {sockets}");
    assert!(grown < 48 * 1024, "{grown} KiB more");
    assert!(left <= sockets + 2, "{left} sockets after {sockets}");
}

#[actix_rt::test]
async fn bodies_on_their_way_to_slow_receivers_are_bounded_in_bytes() {
    const QUEUES: usize = 40;
    const EACH: usize = 3;
    const BODY: usize = 1_000_000;
    let scene = Scene::with(|launch| launch.env("WORKERS", "1")).await;
    let receiver = Receiver::start();
    receiver.answer("/slow", Answer::after(Duration::from_millis(1500)));
    let mut queues = Vec::new();
    for _ in 0..QUEUES {
        queues.push(scene.outbox.queue(&receiver.url("/slow"), &[ONCE]).await);
    }
    // All are due at once.
    let enqueue = format!(
        "SELECT posthaste.enqueue(queue, repeat('x', {BODY}), at => now() + interval '1 second')
           FROM unnest(ARRAY{queues:?}::bigint[]) AS queue, generate_series(1, {EACH})"
    );
    scene.outbox.execute(&enqueue).await;
    scene.outbox.nothing_pending(Duration::from_secs(60)).await;
    assert_eq!(receiver.tally(|request| Some(message_of(request))).values().max(), Some(&1));
    assert_eq!(receiver.count(), QUEUES * EACH);
    // The slots of a thread are good for 64 MiB of bodies, and 8 MiB are read before it is known how large they are.
    let at_once = receiver.most_open("/slow");
    assert!((32..=(72 << 20) / BODY).contains(&at_once), "{at_once} at once");
}
